// SPDX-License-Identifier: Apache-2.0
//! Elasticsearch, for which OpenSearch stands. The bare loop: bulk requests that are ready, posted with the client that our driver has.

use osprofiler::driver::ConnectionString;
use osprofiler::{Notification, Notifications, wire};
use ureq::Agent;

use super::{Loop, Store, Upstream};
use crate::Outcome;

pub(super) const STORE: Store = Store {
    driver: "elasticsearch",
    floor_summary: "bulk requests of 2,000 ready documents",
    floor,
    options: OPTIONS,
    upstream,
    of_upstream: None,
    points: None,
};

/// A server that makes an index on a busy machine takes its time.
const OPTIONS: &str = "&socket_timeout=60";
/// As our driver's requests.
const BULK_LEN: usize = 2_000;
/// What the server answers when all documents of a request are stored: it is asked for no more.
const ALL_STORED: &str = r#"{"errors":false}"#;

fn floor(store: &str, batches: &[Notifications]) -> Outcome<Loop> {
    let mut numbers = 0..;
    let mut bodies = Vec::new();
    for batch in batches {
        let lines = batch.iter().zip(&mut numbers);
        let lines: Vec<_> = lines.map(|(one, number)| lines_of(&one, number)).collect();
        bodies.extend(lines.chunks(BULK_LEN).map(<[_]>::concat));
    }
    let connection = ConnectionString::parse(store)?;
    let index = connection.option("index").ok_or("no index")?;
    let server = format!("http://{}", connection.authority());
    let url = format!("{server}/{index}/_bulk?filter_path=errors,items.*.error");
    let agent: Agent = Agent::config_builder().proxy(None).build().into();
    // It connects when it is first asked something.
    agent.get(&server).call()?.body_mut().read_to_string()?;
    Ok(Box::new(move || {
        for body in &bodies {
            let request = agent
                .post(&url)
                .header("content-type", "application/x-ndjson");
            let answer = request.send(body)?.body_mut().read_to_string()?;
            if answer != ALL_STORED {
                return Err(format!("not all was stored: {answer}").into());
            }
        }
        Ok(())
    }))
}

/// A document, and the line before it. Ids are as long as our driver's, and grow as they do.
fn lines_of(notification: &Notification<'_>, number: u64) -> String {
    let base_id = notification.base_id;
    let mut lines =
        format!(r#"{{"create": {{"_id": "{number:016x}", "routing": "{base_id}"}}}}"#) + "\n";
    wire::push_line(notification, &mut lines);
    lines
}

/// The index `osprofiler-notifications`: upstream knows no other. Servers of this time know no types of documents: it writes
/// with the one name that stands for none, and reads without any.
fn upstream(store: &str) -> Upstream {
    let (address, _) = store.split_once("/?").unwrap_or((store, ""));
    // It understands this scheme only.
    let address = address.replacen("opensearch://", "elasticsearch://", 1);
    Upstream {
        ours: format!("{address}/?index=osprofiler-notifications{OPTIONS}"),
        to_write: Some("es_doc_type=_doc"),
        to_read: Some("es_doc_type="),
        ..Upstream::alike(&address)
    }
}
