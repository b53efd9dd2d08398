// SPDX-License-Identifier: Apache-2.0
//! Notifications to test with: the recorded traces, and small ones written as rows of data.

use std::path::{Path, PathBuf};

use osprofiler::wire::{self, Line, Lines};
use osprofiler::{Id, Notification, Notifications, Timestamp};

/// The folder of the recorded traces.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// Every recorded trace with its name, in order of names.
///
/// # Panics
/// If one cannot be read or holds anything but notifications.
pub fn recorded_traces() -> Vec<(String, Notifications)> {
    let mut traces: Vec<_> = std::fs::read_dir(fixtures())
        .expect("the recorded traces are there")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .map(|path| {
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let text = std::fs::read(&path).expect("a recorded trace can be read");
            (name, notifications_of(&text))
        })
        .collect();
    traces.sort_by(|a, b| a.0.cmp(&b.0));
    traces
}

/// The notifications of JSON lines.
///
/// # Panics
/// If a line is none.
pub fn notifications_of(text: &[u8]) -> Notifications {
    let mut lines = Lines::new(text);
    let mut notifications = Notifications::default();
    while let Some(line) = lines.next_line().expect("memory can be read") {
        match line {
            Line::Notification(parsed) => notifications.push(&parsed.as_notification()),
            Line::Loss(..) => panic!("a loss among the notifications"),
            Line::Junk(reject) => panic!("a line that is no notification: {reject}"),
        }
    }
    notifications
}

/// A notification in short: trace, point, parent, name, microseconds, info.
pub type Row<'a> = (&'a str, &'a str, &'a str, &'a str, i64, &'a str);

/// The notifications that `rows` describe.
///
/// # Panics
/// If an id is none.
pub fn notifications(rows: &[Row<'_>]) -> Notifications {
    let mut notifications = Notifications::default();
    for &(base_id, trace_id, parent_id, name, micros, info) in rows {
        notifications.push(&Notification {
            name,
            base_id: id(base_id),
            trace_id: id(trace_id),
            parent_id: id(parent_id),
            timestamp: Timestamp::from_micros(micros),
            info,
            project: Some("keystone"),
            service: None,
        });
    }
    notifications
}

/// The id with that text.
///
/// # Panics
/// If it is none.
pub fn id(text: &str) -> Id<'_> {
    Id::parse(text).expect("the test's id is one")
}

/// The notifications as JSON lines: what "the same" means for a store.
pub fn json_lines(notifications: &Notifications) -> String {
    let mut out = String::new();
    for notification in notifications.iter() {
        wire::push_line(&notification, &mut out);
    }
    out
}
