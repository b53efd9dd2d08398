// SPDX-License-Identifier: Apache-2.0
//! From notifications to tree: each trace is drawn, built, and drawn again.

use std::collections::BTreeSet;

use crate::drawing::{Event, dedent, draw, event, read, report};
use osprofiler_report::Step;

/// The trace of `drawing` makes the tree `expected`.
fn check(drawing: &str, expected: &str) {
    assert_eq!(draw(&report(&read(&dedent(drawing)))), dedent(expected));
}

fn check_events(events: &[Event], expected: &str) {
    assert_eq!(draw(&report(events)), dedent(expected));
}

#[test]
fn points_hang_below_their_parents_in_order_of_their_start() {
    check(
        "
        wsgi 0..10.999 api
          db 5..6.001 api
          rpc 1.9..3.1 api
            driver 2..3 volume
        wsgi 0.5..0.75 api
        ",
        "
        wsgi 0..10.999 api
          rpc 1.9..3.1 api
            driver 2..3 volume
          db 5..6.001 api
        wsgi 0.5..0.75 api
        ",
    );
}

#[test]
fn a_missing_end_takes_the_time_of_the_other() {
    let events = read("wsgi 0..5 api\n  db 1.. api\n  db ..3 api\n");
    let report = report(&events);
    let times: Vec<_> = report
        .points()
        .map(|id| report.point(id))
        .map(|point| (point.started_us(), point.finished_us()))
        .collect();
    assert_eq!(times, [(0, 5000), (1000, 1000), (3000, 3000)]);
    assert_eq!((report.never_ended(), report.never_started()), (1, 1));
}

#[test]
fn orphans_stand_at_the_top() {
    let drawing = "
        wsgi 0..9 api
        db 1..2 api ^GONE
          db 1.5..1.75 api
        db ..4 api ^ALSO
    ";
    check(drawing, drawing);
    let report = report(&read(&dedent(drawing)));
    assert_eq!(report.orphans(), 2);
}

#[test]
fn a_name_keeps_its_hyphens() {
    let drawing = "vif-driver 0..1 api\n  neutron-api 0..1 api\n  -- 0.5..1 api\n";
    check(drawing, drawing);
}

#[test]
fn the_earliest_point_of_a_cycle_stands_at_the_top() {
    let at = |name: &str, id: &str, parent: &str, ms: i64| event(name, id, parent, ms * 1000);
    for (events, cycles, expected) in [
        (vec![at("self-start", "1", "1", 0)], 1, "self 0.. svc @\n"),
        (
            vec![
                at("late-start", "a", "b", 2),
                at("early-start", "b", "c", 1),
                at("later-start", "c", "a", 3),
                at("below-start", "d", "c", 4),
                at("root-start", "e", "B", 0),
            ],
            1,
            "
            root 0.. svc
            early 1.. svc @
              late 2.. svc
                later 3.. svc
                  below 4.. svc
            ",
        ),
        (
            vec![
                at("x-start", "x", "y", 0),
                at("y-start", "y", "x", 1),
                at("z-start", "z", "z", 2),
            ],
            2,
            "
            x 0.. svc @
              y 1.. svc
            z 2.. svc @
            ",
        ),
    ] {
        check_events(&events, expected);
        assert_eq!(report(&events).cycles(), cycles);
    }
}

#[test]
fn siblings_of_one_millisecond_keep_their_order_of_appearance() {
    let events = [
        event("b-start", "1", "B", 900),
        event("a-start", "2", "B", 100),
        event("c-start", "3", "B", 1000),
        event("zero-start", "4", "B", 0),
    ];
    check_events(
        &events,
        "
        b 0.9.. svc
        a 0.1.. svc
        zero 0.. svc
        c 1.. svc
        ",
    );
}

#[test]
fn many_names_of_one_point_are_kept_once_each() {
    let mut events = Vec::new();
    for round in 0..3 {
        for name in 0..1000 {
            events.push(event(&format!("n{name}"), "1", "B", round * 1000 + name));
        }
    }
    let report = report(&events);
    let point = report.point(report.roots()[0]);
    let payloads: Vec<_> = point.payloads().collect();
    assert_eq!(payloads.len(), 1000);
    for (index, payload) in payloads.iter().enumerate() {
        assert_eq!(payload.name, format!("n{index}"));
        let micros = payload.timestamp.as_micros() - report.first_us();
        assert_eq!(micros, 2000 + index as i64);
    }
}

#[test]
fn a_chain_of_100_000_points_is_built_and_dropped() {
    let mut events = Vec::new();
    let mut parent = "B".to_owned();
    for number in 0..100_000 {
        let id = number.to_string();
        events.push(event("p-start", &id, &parent, number));
        parent = id;
    }
    events.reverse();
    let report = report(&events);
    let mut walk = report.walk();
    let mut deepest = 0;
    while walk.next().is_some() {
        deepest = deepest.max(walk.depth());
    }
    assert_eq!(deepest, 100_000);
}

/// A sequence of numbers that look random and are the same in each run (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[test]
fn any_order_gives_the_same_tree_with_nothing_lost() {
    for seed in 0..100 {
        let mut numbers = Numbers(seed);
        let points = 1 + numbers.below(40);
        let mut events = Vec::new();
        for point in 0..points {
            // Parents before or behind, itself, the trace, or nobody: cycles and orphans happen.
            let parent = match numbers.below(points + 2) {
                other if other < points => other.to_string(),
                other if other == points => "B".to_owned(),
                _ => "GONE".to_owned(),
            };
            let started_ms = numbers.below(1000) * points + point;
            let ends = numbers.below(8);
            for (name, is_there, ms) in [
                ("p-start", ends != 0, started_ms),
                ("p-stop", ends != 1, started_ms + numbers.below(50)),
            ] {
                if is_there {
                    events.push(event(name, &point.to_string(), &parent, ms as i64 * 1000));
                }
            }
        }
        // Where the start is missing, the stop's time orders the siblings: keep those apart as well.
        let mut times: Vec<i64> = events.iter().map(|event| event.micros / 1000).collect();
        times.sort_unstable();
        times.dedup();
        if times.len() < events.len() {
            for (index, event) in events.iter_mut().enumerate() {
                event.micros = event.micros * 100 + index as i64 * 1000;
            }
        }
        let first = draw(&report(&events));
        for _ in 0..4 {
            numbers.shuffle(&mut events);
            let report = report(&events);
            assert_eq!(draw(&report), first, "seed {seed}");
            let seen: Vec<_> = report
                .walk()
                .filter_map(|step| match step {
                    Step::Enter(id) => Some(report.point(id).trace_id().to_string()),
                    Step::Leave(_) => None,
                })
                .collect();
            let all: BTreeSet<_> = events.iter().map(|event| event.trace_id.clone()).collect();
            assert_eq!(seen.len(), all.len(), "seed {seed}");
            assert_eq!(
                seen.into_iter().collect::<BTreeSet<_>>(),
                all,
                "seed {seed}"
            );
        }
    }
}
