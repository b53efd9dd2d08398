// SPDX-License-Identifier: Apache-2.0
//! The folder in which a transcript's commands run: recorded traces, stores that hold them, and files that are neither.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use osprofiler::driver::{ConnectionString, registry};
use osprofiler::wire::{Line, Lines};
use osprofiler::{Id, Loss, LossReason, Notifications};

/// A folder of its own, removed at the end.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

/// A line of a small trace: `wsgi` around `db`, which fails.
const LINES: [&str; 4] = [
    r#"{"name": "wsgi-start", "base_id": "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", "trace_id": "00000000-0000-4000-8000-000000000001", "parent_id": "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", "timestamp": "2026-01-01T00:00:00.000000", "info": {"request": {"path": "/v3", "query": "", "method": "GET", "scheme": "http"}, "host": "h1"}, "project": "keystone", "service": "public"}"#,
    r#"{"name": "db-start", "base_id": "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", "trace_id": "00000000-0000-4000-8000-000000000002", "parent_id": "00000000-0000-4000-8000-000000000001", "timestamp": "2026-01-01T00:00:00.001900", "info": {"db": {"statement": "SELECT 1", "params": []}, "host": "h1"}, "project": "keystone", "service": "public"}"#,
    r#"{"name": "db-stop", "base_id": "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", "trace_id": "00000000-0000-4000-8000-000000000002", "parent_id": "00000000-0000-4000-8000-000000000001", "timestamp": "2026-01-01T00:00:00.003100", "info": {"etype": "OperationalError", "message": "gone", "host": "h1"}, "project": "keystone", "service": "public"}"#,
    r#"{"name": "wsgi-stop", "base_id": "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", "trace_id": "00000000-0000-4000-8000-000000000001", "parent_id": "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", "timestamp": "2026-01-01T00:00:00.010999", "info": {"host": "h1"}, "project": "keystone", "service": "public"}"#,
];

/// A service's configuration with much to be said of it.
const SERVICE: &str = "[DEFAULT]
state_path = [FOLDER]
[profiler]
profiler_enabled = True
hmac_keys = SECRET_KEY, s3cret
connection_string = sqlite://$state_path/sqlite.store,
    file://$state_path/file.store, redis://:s3cret@127.0.0.1:1/0,
    sqlite://$state_path/new.store, file://$state_path/missing/store,
    x://u:s3cret%ff@h
enbaled = True
trace-sqlalchemy = True
# trace_requests = True
es_scroll_size = many
[profilers]
";

/// One where all is well, but for the store.
const SOUND: &str = "[profiler]
enabled = True
hmac_keys = s3cret-s3cret-s3cret
connection_string = messaging://
[oslo_messaging_notifications]
transport_url = rabbit://u:s3cret@127.0.0.1:1/v
[oslo_messaging_rabbit]
rabbit_quorum_queue = true
";

/// What stands in a file that is read after another.
const LATER: &str = "[profiler]
enabled = off
hmac_keys = s3cret$word, s3cret
connection_string = kafka
";

/// One that nobody can tell by whether anything is traced.
const UNSURE: &str = "[profiler]
enabled = yes please
hmac_keys = s3cret-s3cret-s3cret
spool_folder = [FOLDER]/spool
spool_max_mib = $nosuch
";

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let small = LINES.join("\n") + "\n";
        let put = |name: &str, bytes: &[u8]| fs::write(path.join(name), bytes).unwrap();
        put("small.jsonl", small.as_bytes());
        put("half.jsonl", &small.as_bytes()[..small.len() - 40]);
        put(
            "junk-first",
            &[b"\0\xff junk\n{}\n", small.as_bytes()].concat(),
        );
        put("marked.jsonl", ("\u{feff}".to_owned() + &small).as_bytes());
        put("packed.jsonl.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
        put("empty", b"");
        put("blank.jsonl", b"\n\n");
        put("binary", &vec![0; 200_000]);
        put("text.txt", b"nothing of ours\n");
        put("junk.jsonl", b"one\ntwo\n{}\n");
        put("page.html", b"<!doctype html>\n<p>no report\n");
        put("broken.json", b"{\"info\": {\"name\": \"total\"");
        put(
            "cut.json",
            br#"{"info": {"name": "total"}, "children": [{"info": {"meta.raw_payload.db-start": {"name": "db-start", "base_id": "b", "trace_id": "t", "parent_id": "b", "timestamp": "2026-01-01T00:00:00.000000", "info": {}, "project": null, "service": null}, "na"#,
        );
        put("unrelated.json", b"{\"info\": {}}");
        put(
            "nothing.json",
            b"{\"info\": {\"name\": \"total\"}, \"children\": [], \"stats\": {}}",
        );
        let other = small.replace("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", "\\u001b[2J other");
        put("several.jsonl", (small.clone() + &other).as_bytes());
        let cycle = small.replace(
            "\"parent_id\": \"4e3e0ec6-2938-40b1-8504-09eb1d4b0dee\"",
            "\"parent_id\": \"00000000-0000-4000-8000-000000000002\"",
        );
        put("cycle.jsonl", cycle.as_bytes());
        fs::create_dir(path.join("folder")).unwrap();
        let service = SERVICE.replace("[FOLDER]", path.to_str().unwrap());
        put("service.conf", service.as_bytes());
        put("sound.conf", SOUND.as_bytes());
        put("later.conf", LATER.as_bytes());
        let unsure = UNSURE.replace("[FOLDER]", path.to_str().unwrap());
        put("unsure.conf", unsure.as_bytes());
        let spool = path.join("spool");
        fs::create_dir(&spool).unwrap();
        fs::set_permissions(&spool, fs::Permissions::from_mode(0o770)).unwrap();
        for number in 1..=2 {
            let name = format!("spool/osprofiler-1-1000000-{number:08}.spool");
            put(&name, b"osprofiler spool 1\nB\x15\0\0\0 and so on");
        }
        put(
            "refused.conf",
            b"[profiler]\nenabled = True\n  hmac_keys s3cret\ns3cret\n",
        );
        // The stores that need no server.
        for scheme in ["sqlite", "file"] {
            fill_store(scheme, &path, &small);
        }
        lose_in_store(&path, "full", LossReason::Evicted);
        lose_in_store(&path, "lost", LossReason::QueueFull);
        Self {
            _folder: folder,
            path,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.path
    }
}

/// Has `<name>.store` know a trace of which nothing is left, and why.
fn lose_in_store(folder: &Path, name: &str, reason: LossReason) {
    let connection = format!("sqlite://{}/{name}.store", folder.display());
    let connection = ConnectionString::parse(&connection).unwrap();
    let base_id = Id::parse("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee").unwrap();
    let mut writer = registry::open_writer(&connection).unwrap();
    let loss = Loss { count: 4, reason };
    writer.write_loss(Some(base_id), loss).unwrap();
}

/// Writes the trace, and that two more of its notifications were lost, to `<scheme>.store`.
fn fill_store(scheme: &str, folder: &Path, text: &str) {
    let connection = format!("{scheme}://{}/{scheme}.store", folder.display());
    let connection = ConnectionString::parse(&connection).unwrap();
    let mut batch = Notifications::default();
    let mut lines = Lines::new(text.as_bytes());
    while let Some(line) = lines.next_line().unwrap() {
        if let Line::Notification(parsed) = line {
            batch.push(&parsed.as_notification());
        }
    }
    let base_id = batch.get(0).base_id;
    let mut writer = registry::open_writer(&connection).unwrap();
    writer.write(&batch).unwrap();
    let loss = Loss {
        count: 2,
        reason: LossReason::QueueFull,
    };
    writer.write_loss(Some(base_id), loss).unwrap();
}
