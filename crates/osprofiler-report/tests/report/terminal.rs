// SPDX-License-Identifier: Apache-2.0
//! The terminal tree: what people see, at several widths, of healthy, broken and hostile traces.

use osprofiler::driver::ReadSummary;
use osprofiler::{Loss, LossReason, Notifications};
use osprofiler_report::{Color, RenderOptions, Report};

use crate::drawing::{Event, dedent, event, read, report};
use crate::fixtures;

fn tree(report: &Report, width: usize, depth: Option<usize>) -> String {
    let options = RenderOptions {
        width,
        color: Color::Never,
        depth,
    };
    fixtures::render(report, "tree", &options)
}

/// The rows of the trace of `drawing` are `expected`; header and totals are left out.
fn check(drawing: &str, depth: Option<usize>, expected: &str) {
    let tree = tree(&report(&read(&dedent(drawing))), 80, depth);
    let rows: Vec<&str> = tree.split("\n\n").nth(1).unwrap().lines().skip(1).collect();
    let expected: Vec<&str> = expected
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| &line[8..])
        .collect();
    assert_eq!(rows.join("\n"), expected.join("\n"));
}

#[test]
fn offset_duration_share_and_who() {
    check(
        "
        wsgi 0..100 api
          rpc 10..60.5 conductor
            db 12..12.25 conductor
          db 99..100 api
        ",
        None,
        "
             0 µs    100 ms  100% wsgi proj/api
          10.0 ms   50.5 ms   50% ├ rpc proj/conductor
          12.0 ms    250 µs     · │ └ db
          99.0 ms   1.00 ms    1% └ db
        ",
    );
}

#[test]
fn runs_of_like_siblings_are_folded_unless_there_is_something_about_them() {
    check(
        "
        wsgi 0..1000 api
          db 1..2 api
          db 2..4 api
          db 4..5 api
          db 100..200 api
          db 201..202 api
          db 202..203 api
          db 204..205 api !Oops
          db 205..206 api
          db 206..207 api
          db 207..208 other
          db 208..208.5 api
          db 209..209.5 api
          db 210..210.5 api
        ",
        None,
        "
             0 µs    1.00 s  100% wsgi proj/api
          1.00 ms   4.00 ms     · ├ db ×3 sum 4.00 ms, max 2.00 ms
           100 ms    100 ms   10% ├ db
           201 ms   1.00 ms     · ├ db
           202 ms   1.00 ms     · ├ db
           204 ms   1.00 ms     · ├ db
                                  │ ✗ Oops
           205 ms   1.00 ms     · ├ db
           206 ms   1.00 ms     · ├ db
           207 ms   1.00 ms     · ├ db proj/other
           208 ms   1.50 ms     · └ db ×3 sum 1.50 ms, max 500 µs
        ",
    );
}

#[test]
fn what_is_wrong_is_said() {
    check(
        "
        wsgi 0..10 api !app.errors.Oops
          db 1.. api
          db ..3 api
        db 4..5 api ^GONE
        ",
        None,
        "
             0 µs   10.0 ms  100% wsgi proj/api
                                  │ ✗ app.errors.Oops
          1.00 ms         …       ├ db never ended
          3.00 ms      0 µs       └ db without a start
          4.00 ms   1.00 ms   10% db proj/api parent missing
        ",
    );
    let cycle = report(&[event("a-start", "1", "2", 0), event("a-start", "2", "1", 1)]);
    let tree = tree(&cycle, 80, None);
    assert!(
        tree.contains("a proj/svc never ended cycle of parents\n"),
        "{tree}"
    );
    assert!(tree.contains("· 1 cycle of parents\n"), "{tree}");
}

#[test]
fn depth_is_limited_on_demand() {
    let drawing = "
        wsgi 0..10 api
          rpc 1..9 api
            db 2..3 api
            db 4..5 api !Oops
          rpc 9..9.5 api
    ";
    check(
        drawing,
        Some(2),
        "
             0 µs   10.0 ms  100% wsgi proj/api
          1.00 ms   8.00 ms   80% ├ rpc
                                  │ └ … 2 more below, 1 error
          9.00 ms    500 µs    5% └ rpc
        ",
    );
    check(
        drawing,
        Some(0),
        "
                                  … 5 more below, 1 error
        ",
    );
}

#[test]
fn header_and_totals() {
    let mut notifications = Notifications::default();
    let built = report(&read("wsgi 0..10 api\n  db 2..4 api !Oops\n  db 5.. api\n"));
    notifications.extend(built.notifications().iter());
    let summary = ReadSummary {
        skipped: 1,
        losses: vec![
            Loss {
                count: 1200,
                reason: LossReason::QueueFull,
            },
            Loss {
                count: 2,
                reason: LossReason::Exit,
            },
        ],
    };
    let tree = tree(&Report::build(notifications, summary), 80, Some(1));
    assert_eq!(
        tree,
        "trace B   2026-01-01 00:00:00.000000 UTC
10.0 ms · 3 points · 1 service · 1 error · 1 point never ended
1,202 notifications lost (queue full 1,200, exit 2)
1 unreadable element skipped

   offset  duration share
     0 µs   10.0 ms  100% wsgi proj/api
                          └ … 2 more below, 1 error

service    points  errors      self  share  with below
proj/api        3       1   10.0 ms   100%     10.0 ms

point      points  errors      self  share         sum       max
wsgi            1       ·   8.00 ms    80%     10.0 ms   10.0 ms
db              2       1   2.00 ms    20%     2.00 ms   2.00 ms
"
    );
    let empty = Report::build(Notifications::default(), ReadSummary::default());
    assert_eq!(
        fixtures::render(&empty, "tree", &RenderOptions::default()),
        "a trace without notifications\n"
    );
}

/// The columns of a line whose characters are all of width one.
fn narrow_columns(line: &str) -> usize {
    line.chars().count()
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for name in [
        "image-list",
        "server-show",
        "server-stop-error",
        "volume-delete",
    ] {
        let report = Report::build(fixtures::read(name), ReadSummary::default());
        for width in [40, 80, 160] {
            for line in tree(&report, width, None).lines() {
                assert!(narrow_columns(line) <= width, "{name} {width}: {line}");
            }
        }
    }
}

#[test]
fn a_recorded_trace_fits_on_a_page() {
    let report = Report::build(fixtures::read("server-stop-error"), ReadSummary::default());
    let tree = tree(&report, 80, None);
    assert!(tree.lines().count() < 60, "{tree}");
    for expected in [
        "   574 ms    832 ms   47% wsgi nova/osapi_compute GET /v2.1/servers/lab-vm\n",
        "   579 ms    259 ms   14% │ └ db ×492 sum 259 ms, max 4.09 ms: SELECT … FROM us…\n",
        "                            ✗ InstanceNotFound: Instance lab-vm could not be fo…\n",
        "   1.59 s    149 ms    8%       └ rpc nova-compute ComputeManager.stop_instance\n",
    ] {
        assert!(tree.contains(expected), "{expected}\nin\n{tree}");
    }
}

#[test]
fn hostile_texts_reach_no_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{9b}31m\r\n\u{202e}\u{0}";
    let escaped = r"\u001b]0;owned\u0007\u009b31m\r\n\u202e\u0000";
    let events = [
        Event {
            info: format!(r#"{{"request": {{"method": "{escaped}", "path": "{escaped}"}}}}"#),
            service: Some(evil.to_owned()),
            ..event(&format!("{evil}-start"), evil, &format!("x{evil}"), 0)
        },
        Event {
            info: format!(r#"{{"etype": "{escaped}", "message": "{escaped}"}}"#),
            ..event(&format!("{evil}-stop"), evil, "B", 5)
        },
    ];
    let tree = tree(&report(&events), 160, None);
    for line in tree.lines() {
        assert!(
            !line.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
    }
    assert!(tree.contains("␛]0;owned␇"), "{tree}");
}

#[test]
fn absurd_times_are_shown() {
    let century_us = 100 * 365 * 86_400_000_000;
    let events = [
        event("a-start", "1", "B", -20 * century_us),
        event("a-stop", "1", "B", 70 * century_us),
        event("b-stop", "2", "B", -20 * century_us),
        event("b-start", "2", "B", 70 * century_us),
    ];
    let tree = tree(&report(&events), 160, None);
    assert!(tree.contains("-3285000 d"), "{tree}");
}

#[test]
fn a_chain_of_100_000_points_costs_as_much_a_row_as_a_short_one() {
    let mut events = Vec::new();
    let mut parent = "B".to_owned();
    for number in 0..100_000 {
        let id = number.to_string();
        events.push(event("p-start", &id, &parent, number));
        parent = id;
    }
    let tree = tree(&report(&events), 80, None);
    let last = tree
        .lines()
        .rfind(|line| line.contains("never ended"))
        .unwrap();
    assert_eq!(last, "   100 ms         …       ⋮99999 └ p never ended");
    assert!(tree.len() < 100_000 * 80);
}

#[test]
fn colours_are_only_around_texts() {
    let report = Report::build(fixtures::read("server-stop-error"), ReadSummary::default());
    let options = RenderOptions {
        width: 100,
        color: Color::Ansi,
        depth: None,
    };
    let colored = fixtures::render(&report, "tree", &options);
    let mut plain = String::new();
    for (index, piece) in colored.split('\u{1b}').enumerate() {
        let rest = if index == 0 {
            piece
        } else {
            piece.split_once('m').unwrap().1
        };
        plain.push_str(rest);
    }
    assert_eq!(plain, tree(&report, 100, None));
    assert!(colored.contains("\u{1b}[1;31m✗ "));
}
