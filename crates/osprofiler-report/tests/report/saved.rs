// SPDX-License-Identifier: Apache-2.0
//! Saved reports come back: ours, upstream's, deep ones, broken ones.

use osprofiler::driver::ReadSummary;
use osprofiler::{ErrorKind, Loss, LossReason, Notifications};
use osprofiler_report::{RenderOptions, Report, saved};

use crate::drawing::{Event, dedent, draw, event, read, report};
use crate::fixtures;

fn json(report: &Report) -> String {
    fixtures::render(report, "json", &RenderOptions::default())
}

fn read_back(document: &[u8]) -> Report {
    let mut notifications = Notifications::default();
    let saved = saved::read(document, &mut notifications).unwrap();
    Report::build(notifications, saved.summary)
}

#[test]
fn a_drawn_trace_comes_back() {
    let drawing = dedent(
        "
        wsgi 0..10 api
          db 1..2 api !Oops
          db 5.. api
          vif-driver ..6 compute
        db 3..4 api ^GONE
        ",
    );
    let saved = json(&report(&read(&drawing)));
    assert_eq!(draw(&read_back(saved.as_bytes())), drawing);
    assert_eq!(json(&read_back(saved.as_bytes())), saved);
    let marked = format!("\u{feff}{saved}");
    assert_eq!(json(&read_back(marked.as_bytes())), saved);
}

/// Upstream's document, but for the order of the totals, which follows that of the store.
#[test]
fn upstreams_reports_come_back_byte_for_byte() {
    for name in ["token-issue", "volume-create", "server-stop-error"] {
        let document = fixtures::read_report(name);
        let ours = json(&read_back(document.as_bytes()));
        let (ours, our_totals) = ours.split_once("\n  \"stats\": {").unwrap();
        let (theirs, their_totals) = document.split_once("\n  \"stats\": {").unwrap();
        assert!(ours == theirs, "{name}");
        let sorted = |totals: &str| {
            let mut lines: Vec<String> = totals
                .split('}')
                .map(|line| line.replace(',', ""))
                .collect();
            lines.sort();
            lines
        };
        assert_eq!(
            sorted(our_totals),
            sorted(their_totals.trim_end()),
            "{name}"
        );
    }
}

#[test]
fn what_was_lost_and_skipped_comes_back() {
    let mut notifications = Notifications::default();
    notifications.extend(
        report(&[event("a-start", "1", "1", 0)])
            .notifications()
            .iter(),
    );
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
    let saved = json(&Report::build(notifications, summary.clone()));
    let report = read_back(saved.as_bytes());
    assert_eq!(report.summary(), &summary);
    assert_eq!(json(&report), saved);
}

#[test]
fn any_depth_comes_back() {
    let mut events = Vec::new();
    let mut parent = "B".to_owned();
    for number in 0..100_000 {
        let id = number.to_string();
        events.push(event("p-start", &id, &parent, number));
        parent = id;
    }
    let saved = json(&report(&events));
    let report = read_back(saved.as_bytes());
    assert_eq!(
        (report.len(), report.roots().len(), report.orphans()),
        (100_000, 1, 0)
    );
}

#[test]
fn what_is_no_report_is_refused() {
    let deep = "[".repeat(1_000_000);
    let deeper = "{\"children\": [".repeat(1_000_000);
    for junk in [
        "",
        "null",
        "[]",
        "{}",
        "{",
        "\u{0}",
        "{\"children\": 7}",
        "{\"info\": {}}",
        "{\"children\": [",
        "{\"children\": [}",
        "{\"children\"",
        "\"",
        "{\"children\": \"\\",
        &deep,
        &deeper,
        "{\"name\": \"db-start\", \"info\": {}}",
    ] {
        let mut notifications = Notifications::default();
        let error = saved::read(junk.as_bytes(), &mut notifications).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(notifications.is_empty());
    }
}

#[test]
fn a_report_that_breaks_off_or_holds_junk_gives_what_it_has() {
    let saved = json(&report(&read("wsgi 0..10 api\n  db 1..2 api\n")));
    let first_payload = saved.find("\"started\"").unwrap() + 100;
    let first_point = saved[first_payload..].find("\"started\"").unwrap() + first_payload;
    for end in first_point..saved.len() - 1 {
        let mut notifications = Notifications::default();
        let read = saved::read(&saved.as_bytes()[..end], &mut notifications).unwrap();
        assert_eq!((read.summary.skipped, read.is_cut_off), (1, true));
        assert!((1..=4).contains(&notifications.len()));
    }
    let with_junk = saved
        .replace(
            "\"timestamp\": \"2026-01-01T00:00:00.001000\"",
            "\"timestamp\": 7",
        )
        .replacen("\"children\": [", "\"children\": [7, ", 1);
    let mut notifications = Notifications::default();
    let read = saved::read(with_junk.as_bytes(), &mut notifications).unwrap();
    assert_eq!((notifications.len(), read.summary.skipped), (3, 2));
    assert!(!read.is_cut_off);
    let damaged = saved.replace("\"stats\"", "stats");
    let read = saved::read(damaged.as_bytes(), &mut Notifications::default()).unwrap();
    assert_eq!((read.summary.skipped, read.is_cut_off), (1, false));
}

#[test]
fn any_byte_may_be_any_other() {
    let saved = json(&report(&[
        event("a-start", "1", "B", 0),
        Event {
            info: r#"{"etype": "E", "message": "\u00e9", "deep": [[{}]], "host": "h"}"#.to_owned(),
            ..event("a-stop", "1", "B", 5)
        },
    ]));
    let bytes = b"{}[]\",:\\0n \xff";
    for round in 0..2 {
        for position in 0..saved.len() {
            let mut broken = saved.clone().into_bytes();
            broken[position] = bytes[(position * 5 + round) % bytes.len()];
            let mut notifications = Notifications::default();
            if let Ok(saved) = saved::read(&broken, &mut notifications) {
                json(&Report::build(notifications, saved.summary));
            }
        }
    }
}
