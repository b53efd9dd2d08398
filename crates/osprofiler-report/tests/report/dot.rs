// SPDX-License-Identifier: Apache-2.0
//! The graph for Graphviz: upstream's bytes for the recorded traces, and labels that hold what a hostile trace puts in.

use osprofiler::Notifications;
use osprofiler::driver::ReadSummary;
use osprofiler_report::{RenderOptions, Report};

use crate::drawing::{Event, event, report};
use crate::fixtures;

fn dot(report: &Report) -> String {
    fixtures::render(report, "dot", &RenderOptions::default())
}

#[test]
fn a_recorded_trace_gives_upstreams_graph() {
    for name in ["token-issue", "volume-create", "server-stop-error"] {
        let recorded = fixtures::read(name);
        // Upstream read the newest first, which decides the order of points that begin in the same millisecond.
        let mut newest_first = Notifications::default();
        for index in (0..recorded.len()).rev() {
            newest_first.push(&recorded.get(index));
        }
        let path = format!("{}/../../fixtures/{name}.dot", env!("CARGO_MANIFEST_DIR"));
        let expected = std::fs::read_to_string(path).unwrap();
        let actual = dot(&Report::build(newest_first, ReadSummary::default()));
        let differing = expected.lines().zip(actual.lines()).find(|(a, b)| a != b);
        assert_eq!(differing, None, "{name}");
        assert_eq!(actual.trim_end(), expected.trim_end(), "{name}");
    }
}

/// The label of the point that `info` started.
fn check(name: &str, info: &str, expected: &str) {
    let start = Event {
        info: info.to_owned(),
        ..event(&format!("{name}-start"), "1", "B", 0)
    };
    let stop = event(&format!("{name}-stop"), "1", "B", 2500);
    let graph = dot(&report(&[start, stop]));
    let label = graph.lines().nth(2).unwrap();
    assert_eq!(label, format!("\t1 [label=\"{expected}\"]"));
}

#[test]
fn a_label_says_what_tells_points_apart() {
    let request = r#"{"request": {"method": "GET", "path": "/v2.1/servers/detail/aaaaaaaaabbbb"}}"#;
    check(
        "wsgi",
        request,
        r"svc:wsgi - 2 ms\nGET /v2.1/servers/detail/aaaaaaaaa..",
    );
    let asgi = r#"{"request": {"method": "GET", "path": "/orders"}}"#;
    check("asgi", asgi, r"svc:asgi - 2 ms\nGET /orders..");
    check("db", request, "svc:db - 2 ms");
    let function = r#"{"function": {"name": "nova.compute.manager.stop"}}"#;
    check("rpc", function, r"svc:rpc - 2 ms\nstop");
    check("driver", function, r"svc:driver - 2 ms\nstop");
}

#[test]
fn what_is_missing_is_left_out() {
    for info in [
        "{}",
        r#"{"request": {}}"#,
        r#"{"request": {"method": 1, "path": []}}"#,
    ] {
        check("wsgi", info, "svc:wsgi - 2 ms");
        check("rpc", info, "svc:rpc - 2 ms");
    }
    let mut stop = event("wsgi-stop", "1", "B", 0);
    stop.service = None;
    assert_eq!(
        dot(&report(&[stop])),
        "digraph {\n\t0 [label=\"total - 0 ms\"]\n\t1 [label=\"wsgi - 0 ms\"]\n\t0 -> 1\n}\n"
    );
    assert_eq!(
        dot(&report(&[])),
        "digraph {\n\t0 [label=\"total - 0 ms\"]\n}\n"
    );
}

#[test]
fn a_text_cannot_leave_its_quotes() {
    let function = r#"{"function": {"name": "a\"]; b\\\n\u0007\u00e9"}}"#;
    check("rpc", function, r#"svc:rpc - 2 ms\na\"]; b\\  é"#);
}
