// SPDX-License-Identifier: Apache-2.0
//! Self times: each trace is drawn, its points named differently, and compared with what each spent by itself.

use crate::drawing::{Event, dedent, event, read, report};

/// Each name's self time in the trace of `events`, in milliseconds, in order of first appearance.
fn check_events(events: &[Event], expected: &str) {
    let report = report(events);
    let actual: Vec<_> = report
        .names()
        .iter()
        .map(|total| format!("{} {}", total.name, total.self_us as f64 / 1000.0))
        .collect();
    assert_eq!(actual.join(", "), expected);
    let of = |totals: &mut dyn Iterator<Item = i64>| totals.sum::<i64>();
    assert_eq!(
        of(&mut report.names().iter().map(|total| total.self_us)),
        of(&mut report.services().iter().map(|total| total.self_us)),
    );
}

fn check(drawing: &str, expected: &str) {
    check_events(&read(&dedent(drawing)), expected);
}

#[test]
fn children_one_after_the_other_are_taken_off() {
    check(
        "
        wsgi 0..10 api
          db 1..3 api
            driver 1.5..2 api
          rpc 5..9.25 volume
        ",
        "wsgi 3.75, db 1.5, driver 0.5, rpc 4.25",
    );
}

#[test]
fn time_that_children_share_is_taken_off_once() {
    check(
        "
        wsgi 0..10 api
          a 1..6 api
          b 4..8 api
          c 5..5.5 api
          d 1.0004..1.0002 api
        ",
        "wsgi 3, a 5, b 4, c 0.5, d 0",
    );
}

#[test]
fn a_child_that_outlives_its_parent_takes_only_what_they_share() {
    check(
        "
        wsgi 2..10 api
          cast 8..30 conductor
          early 0..3 api
        ",
        "wsgi 5, cast 22, early 3",
    );
}

#[test]
fn what_never_ended_or_never_started_has_no_self_time_and_takes_none() {
    check(
        "
        wsgi 0..10 api
          hung 1.. api
            db 2..4 api
          lost ..6 api
        ",
        "wsgi 10, hung 0, db 2, lost 0",
    );
}

#[test]
fn points_of_a_cycle_count_once() {
    check_events(
        &[
            event("a-start", "1", "2", 0),
            event("b-start", "2", "1", 2000),
            event("b-stop", "2", "1", 5000),
            event("a-stop", "1", "2", 9000),
            event("me-start", "3", "3", 0),
            event("me-stop", "3", "3", 4000),
        ],
        "a 6, b 3, me 4",
    );
}

#[test]
fn a_hundred_thousand_children_and_a_chain_of_as_many() {
    let count = 100_000;
    let mut events = vec![event("wsgi-start", "w", "B", 0)];
    for number in 0..count {
        // Two at a time, half of each shared with the next.
        let id = number.to_string();
        events.push(event("db-start", &id, "w", 10 + number * 10));
        events.push(event("db-stop", &id, "w", 30 + number * 10));
    }
    events.push(event("wsgi-stop", "w", "B", 2_000_020));
    check_events(&events, "wsgi 1000.01, db 2000");

    let mut chain = Vec::new();
    for number in 0..count {
        let (id, parent) = (number.to_string(), format!("{}", number - 1));
        chain.push(event("link-start", &id, &parent, number));
        chain.push(event("link-stop", &id, &parent, 2 * count - number));
    }
    check_events(&chain, "link 200");
}
