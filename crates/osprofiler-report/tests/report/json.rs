// SPDX-License-Identifier: Apache-2.0
//! The JSON renderer against the contract's own examples.

use std::fmt::Write as _;

use crate::drawing::{Event, event, report};
use osprofiler::driver::ReadSummary;
use osprofiler::{Id, Loss, LossReason, Notification, Notifications, Timestamp};
use osprofiler_report::{RenderOptions, Renderer, Report};

fn json(report: &Report) -> String {
    let mut out = Vec::new();
    let renderer = Renderer::find("json").unwrap();
    (renderer.render)(report, &RenderOptions::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The JSON on one line, each payload as its timestamp's milliseconds: `<3.1>`.
fn outline(json: &str) -> String {
    let mut outline = String::new();
    let mut payload_margin = None;
    for line in json.lines() {
        let text = line.trim_start();
        let margin = line.len() - text.len();
        if payload_margin.is_some() {
            if let Some(timestamp) = text.strip_prefix("\"timestamp\": \"2026-01-01T00:00:00.") {
                let micros: u32 = timestamp[..6].parse().unwrap();
                write!(outline, "<{}>", f64::from(micros) / 1000.0).unwrap();
            }
            if payload_margin == Some(margin) {
                payload_margin = None;
                outline.push_str(text.trim_start_matches('}'));
            }
        } else if text.starts_with("\"meta.raw_payload.") {
            payload_margin = Some(margin);
            outline.push_str(text.trim_end_matches('{'));
        } else {
            outline.push_str(text);
        }
        if outline.ends_with(',') {
            outline.push(' ');
        }
    }
    outline
}

fn check(events: &[Event], expected: &str) {
    let expected = expected
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(outline(&json(&report(events))), expected);
}

fn with_error(event: Event, error: &str) -> Event {
    Event {
        info: format!(r#"{{"etype": {error}, "message": "m", "host": "h1"}}"#),
        ..event
    }
}

#[test]
fn example_0_no_notifications() {
    check(
        &[],
        r#"{"info": {"name": "total", "started": 0, "finished": null, "last_trace_started": null}, "children": [], "stats": {}}"#,
    );
}

#[test]
fn example_1_nested_points() {
    check(
        &[
            event("wsgi-start", "1", "B", 0),
            event("db-start", "2", "1", 1900),
            event("db-stop", "2", "1", 3100),
            event("wsgi-stop", "1", "B", 10999),
        ],
        r#"{"info": {"name": "total", "started": 0, "finished": 10, "last_trace_started": 1},
        "children": [{"info": {"name": "wsgi", "project": "proj", "service": "svc", "host": "h1",
        "meta.raw_payload.wsgi-start": <0>, "started": 0, "meta.raw_payload.wsgi-stop": <10.999>,
        "finished": 10, "exception": "None"}, "trace_id": "1", "parent_id": "B",
        "children": [{"info": {"name": "db", "project": "proj", "service": "svc", "host": "h1",
        "meta.raw_payload.db-start": <1.9>, "started": 1, "meta.raw_payload.db-stop": <3.1>,
        "finished": 3, "exception": "None"}, "trace_id": "2", "parent_id": "1", "children": []}]}],
        "stats": {"wsgi": {"count": 1, "duration": 10}, "db": {"count": 1, "duration": 2}}}"#,
    );
}

#[test]
fn example_2_missing_ends_and_an_orphan() {
    check(
        &[
            event("rpc-start", "1", "B", 100_000),
            event("db-start", "2", "1", 101_000),
            event("db-stop", "3", "GONE", 102_500),
            with_error(event("rpc-stop", "1", "B", 105_000), r#""ValueError""#),
        ],
        r#"{"info": {"name": "total", "started": 0, "finished": 5, "last_trace_started": 1},
        "children": [{"info": {"name": "rpc", "project": "proj", "service": "svc", "host": "h1",
        "meta.raw_payload.rpc-start": <100>, "started": 0, "meta.raw_payload.rpc-stop": <105>,
        "finished": 5, "exception": "ValueError"}, "trace_id": "1", "parent_id": "B",
        "children": [{"info": {"name": "db", "project": "proj", "service": "svc", "host": "h1",
        "meta.raw_payload.db-start": <101>, "started": 1, "finished": 1},
        "trace_id": "2", "parent_id": "1", "children": []}]},
        {"info": {"name": "db", "project": "proj", "service": "svc", "host": "h1",
        "meta.raw_payload.db-stop": <102.5>, "finished": 2, "exception": "None", "started": 2},
        "trace_id": "3", "parent_id": "GONE", "children": []}],
        "stats": {"rpc": {"count": 1, "duration": 5}, "db": {"count": 2, "duration": 0}}}"#,
    );
}

#[test]
fn example_3_duplicates() {
    check(
        &[
            event("vif-driver-start", "1", "B", 0),
            event("vif-driver-start", "1", "B", 500),
            event("vif-driver-stop", "1", "B", 2000),
            with_error(event("vif-driver-stop", "1", "B", 4000), r#""E""#),
            event("db-start", "1", "B", 6000),
        ],
        r#"{"info": {"name": "total", "started": 0, "finished": 6, "last_trace_started": 6},
        "children": [{"info": {"name": "vif-driver", "project": "proj", "service": "svc", "host": "h1",
        "meta.raw_payload.vif-driver-start": <0.5>, "started": 6,
        "meta.raw_payload.vif-driver-stop": <4>, "finished": 4, "exception": "E",
        "meta.raw_payload.db-start": <6>}, "trace_id": "1", "parent_id": "B", "children": []}],
        "stats": {"vif-driver": {"count": 1, "duration": -2}}}"#,
    );
}

#[test]
fn what_upstream_has_no_member_for_is_told_only_when_there_is_something_to_tell() {
    let mut notifications = Notifications::default();
    notifications.push(&Notification {
        name: "db-start",
        base_id: Id::parse("B").unwrap(),
        trace_id: Id::parse("1").unwrap(),
        parent_id: Id::parse("1").unwrap(),
        timestamp: Timestamp::from_micros(0),
        info: "{}",
        project: None,
        service: None,
    });
    let summary = ReadSummary {
        skipped: 3,
        losses: vec![
            Loss {
                count: 5,
                reason: LossReason::QueueFull,
            },
            Loss {
                count: 2,
                reason: LossReason::Exit,
            },
        ],
    };
    let json = json(&Report::build(notifications, summary));
    assert!(
        outline(&json).starts_with(
            r#"{"info": {"name": "total", "started": 0, "finished": 0, "last_trace_started": 0, "lost": 7, "lost_by_reason": {"queue_full": 5, "exit": 2}, "skipped": 3, "cycles": 1}, "#
        ),
        "{json}"
    );
    assert!(json.contains("\"cycle\": true\n"), "{json}");
    assert!(json.contains("\"host\": null,"), "{json}");
}

#[test]
fn numbers_that_a_store_made_up_are_not_bent() {
    let loss = |reason| Loss {
        count: u64::MAX,
        reason,
    };
    let summary = ReadSummary {
        skipped: u64::MAX,
        losses: vec![loss(LossReason::QueueFull), loss(LossReason::Exit)],
    };
    let json = json(&Report::build(Notifications::default(), summary));
    let most = u64::MAX;
    let expected = format!(
        r#""lost": {most}, "lost_by_reason": {{"queue_full": {most}, "exit": {most}}}, "skipped": {most}}}"#
    );
    assert!(outline(&json).contains(&expected), "{json}");
}

#[test]
fn an_info_keeps_its_tokens() {
    let event = Event {
        info: r#"{"nan":NaN,"more" : [-Infinity,1e5 , 123456789012345678901234567890,{},[ ]],"lone":"\ud800","é":"é😀\/","host":7}"#.to_owned(),
        ..event("x-start", "1", "B", 0)
    };
    let json = json(&report(&[event]));
    let expected = r#"
          "info": {
            "nan": NaN,
            "more": [
              -Infinity,
              1e5,
              123456789012345678901234567890,
              {},
              []
            ],
            "lone": "\ud800",
            "\u00e9": "\u00e9\ud83d\ude00\/",
            "host": 7
          },
"#;
    assert!(json.contains(expected), "{json}");
    assert!(json.contains("\"host\": 7,\n        \"meta"), "{json}");
}

#[test]
fn names_and_ids_are_escaped_as_python_does() {
    let event = Event {
        service: Some("a\"b\\\n\u{7f}é".to_owned()),
        ..event("naïve-start", "ключ", "B", 0)
    };
    let json = json(&report(&[event]));
    for expected in [
        r#""name": "na\u00efve","#,
        r#""service": "a\"b\\\n\u007f\u00e9","#,
        r#""meta.raw_payload.na\u00efve-start": {"#,
        r#""trace_id": "\u043a\u043b\u044e\u0447","#,
    ] {
        assert!(json.contains(expected), "{expected} in {json}");
    }
}

#[test]
fn indentation_ends_where_it_would_grow_with_the_square_of_the_depth() {
    let chain = |length: usize| -> Vec<Event> {
        (0..length)
            .map(|number| {
                let parent = number
                    .checked_sub(1)
                    .map_or("B".to_owned(), |n| n.to_string());
                event("p-start", &number.to_string(), &parent, 0)
            })
            .collect()
    };
    let on_one_line = "{\"info\": {\"name\"";
    assert!(!json(&report(&chain(500))).contains(on_one_line));
    let long = json(&report(&chain(100_000)));
    assert!(long.len() < 100_000 * 800, "{}", long.len());
    assert!(long.contains(on_one_line));
    assert_eq!(long.matches("\"trace_id\"").count(), 200_000);
}

#[test]
fn an_info_that_is_no_json_becomes_a_string() {
    for junk in ["", "]", "{\"a\": [1,", "}{", "\u{1b}[31m"] {
        let event = Event {
            info: junk.to_owned(),
            ..event("x-start", "1", "B", 0)
        };
        let json = json(&report(&[event]));
        let checked = osprofiler::wire::json::check_object(&json);
        assert_eq!(checked, Ok(()), "{json}");
    }
}
