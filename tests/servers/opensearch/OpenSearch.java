// SPDX-License-Identifier: Apache-2.0
// One node of OpenSearch in a folder, at a port of the loopback, until it is told to end.
//
//     java -cp 'JARS/*' OpenSearch.java FOLDER PORT

import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import org.codelibs.opensearch.runner.OpenSearchRunner;

class OpenSearch {
    public static void main(String[] arguments) throws Exception {
        String folder = Path.of(arguments[0]).toAbsolutePath().toString();
        OpenSearchRunner runner = new OpenSearchRunner();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }));
        runner.onBuild((number, settings) -> {
            settings.put("http.port", arguments[1]);
            settings.put("network.host", "127.0.0.1");
            settings.put("transport.port", "0");
            settings.put("discovery.type", "single-node");
            // By default the breaker counts garbage that is not collected yet, and refuses requests of a heap as small as this one.
            settings.put("indices.breaker.total.use_real_memory", false);
            // Every check has stores of its own.
            settings.put("cluster.max_shards_per_node", 10000);
            // The machine's disk may be as full as it likes.
            settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
        });
        runner.build(OpenSearchRunner.newConfigs().basePath(folder).numOfNode(1).clusterName("osprofiler").useLogger());
        new CountDownLatch(1).await();
    }
}
