// SPDX-License-Identifier: Apache-2.0
//! The recorded traces of real requests against the reports that upstream made of them.
//!
//! Upstream read them from Redis, newest first, which decides the order of members and of siblings that begin in the same
//! millisecond; in that order our JSON has the same bytes.

use std::path::{Path, PathBuf};

use osprofiler::driver::ReadSummary;
use osprofiler::{Notifications, wire};
use osprofiler_report::{RenderOptions, Renderer, Report};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// The notifications of a recorded trace in order of recording.
pub(crate) fn read(name: &str) -> Notifications {
    let text = std::fs::read(folder().join(format!("{name}.jsonl"))).unwrap();
    let mut notifications = Notifications::default();
    for line in text
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        notifications.push(&wire::parse(line).unwrap().as_notification());
    }
    notifications
}

/// The report that upstream made of a recorded trace.
pub(crate) fn read_report(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.report.json"))).unwrap()
}

pub(crate) fn render(report: &Report, format: &str, options: &RenderOptions) -> String {
    let mut out = Vec::new();
    let renderer = Renderer::find(format).unwrap();
    (renderer.render)(report, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn json_equals_upstreams_byte_for_byte_in_upstreams_order() {
    for name in ["token-issue", "volume-create", "server-stop-error"] {
        let recorded = read(name);
        let mut newest_first = Notifications::default();
        for index in (0..recorded.len()).rev() {
            newest_first.push(&recorded.get(index));
        }
        let report = Report::build(newest_first, ReadSummary::default());
        let json = render(&report, "json", &RenderOptions::default());
        let expected = read_report(name);
        let expected = expected.trim_end();
        if let Some(line) = json.lines().zip(expected.lines()).position(|(a, b)| a != b) {
            panic!(
                "{name}, line {}:\n{}\ninstead of\n{}",
                line + 1,
                json.lines().nth(line).unwrap(),
                expected.lines().nth(line).unwrap()
            );
        }
        assert_eq!(json.len(), expected.len(), "{name}");
    }
}
