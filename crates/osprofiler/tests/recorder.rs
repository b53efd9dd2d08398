// SPDX-License-Identifier: Apache-2.0
//! What programs record, as the sweeper sees it: traces are drawn as indented trees and compared.
//!
//! Recorder and sweeper are one a process, so each test here holds a lock while it runs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use osprofiler::recorder::{
    Context, Event, InfoSource, Name, OpenPoint, Origin, Point, Sweeper, Traced, Wording, members,
    new_id, record,
};
use osprofiler::{Id, Kind, point, start, stop};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    sweep();
    guard
}

fn origin() -> Origin {
    Origin::register(Some("shop"), Some("api"), "h").expect("the table of origins has room")
}

/// An event, owned.
#[derive(Clone, Debug)]
struct Seen {
    ticks: u64,
    kind: Kind,
    name: String,
    base_id: String,
    trace_id: String,
    parent_id: String,
    info: String,
}

fn sweep() -> Vec<Seen> {
    let mut seen = Vec::new();
    Sweeper::new().sweep(&mut |event| {
        let mut info = String::new();
        event.info.push_json(event.origin.details().host, &mut info);
        check_wording(event, &info);
        seen.push(Seen {
            ticks: event.ticks,
            kind: event.kind,
            name: event.name.to_owned(),
            base_id: event.base_id.to_string(),
            trace_id: event.trace_id.to_string(),
            parent_id: event.parent_id.to_string(),
            info,
        });
    });
    seen.sort_by_key(|event| event.ticks);
    seen
}

/// Events of equal wording have equal words: whoever has seen one knows those of the next.
fn check_wording(event: &Event<'_>, info: &str) {
    type Known = HashMap<(Origin, Kind, Wording), (String, Option<String>)>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let Some(wording) = event.wording else { return };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let words = (
        event.name.to_owned(),
        wording.info.is_some().then(|| info.to_owned()),
    );
    let known = known
        .get_or_insert_default()
        .entry((event.origin, event.kind, wording))
        .or_insert_with(|| words.clone());
    assert_eq!(*known, words, "{wording:?}");
}

/// Draws what was recorded: a point a line, its children indented, with the infos of its start and its stop.
fn draw(seen: &[Seen]) -> String {
    let mut children: HashMap<&str, Vec<&Seen>> = HashMap::new();
    let mut stops: HashMap<&str, &Seen> = HashMap::new();
    let mut roots = Vec::new();
    for event in seen {
        match event.kind {
            Kind::Start => {
                children
                    .entry(event.parent_id.as_str())
                    .or_default()
                    .push(event);
                if event.parent_id == event.base_id {
                    roots.push(event);
                }
            }
            Kind::Stop => {
                let other = stops.insert(event.trace_id.as_str(), event);
                assert!(other.is_none(), "two stops of {event:?}");
            }
        }
    }
    let mut drawing = String::new();
    let mut open: Vec<(&Seen, usize)> = roots.iter().rev().map(|root| (*root, 0)).collect();
    while let Some((start, depth)) = open.pop() {
        drawing.push_str(&"  ".repeat(depth));
        drawing.push_str(&start.name);
        for event in [Some(start), stops.get(start.trace_id.as_str()).copied()] {
            match event {
                Some(event) if event.info != r#"{"host": "h"}"# => {
                    drawing.push(' ');
                    drawing.push_str(&event.info.replace(r#", "host": "h""#, ""));
                }
                Some(_) => {}
                None => drawing.push_str(" (open)"),
            }
        }
        drawing.push('\n');
        for child in children
            .get(start.trace_id.as_str())
            .into_iter()
            .flatten()
            .rev()
        {
            open.push((child, depth + 1));
        }
    }
    drawing
}

#[track_caller]
fn check(record: impl FnOnce(), expected: &str) {
    let _alone = alone();
    let trace = Context::new_trace(origin()).attach();
    record();
    drop(trace);
    let lines: Vec<&str> = expected.lines().skip(1).collect();
    let margin = lines
        .first()
        .map_or(0, |line| line.len() - line.trim_start().len());
    let mut expected = String::new();
    for line in lines.iter().filter(|line| !line.trim().is_empty()) {
        expected += &line[margin..].replace("LONG", &"long ".repeat(60));
        expected += "\n";
    }
    assert_eq!(draw(&sweep()), expected);
}

#[test]
fn points_lie_within_each_other() {
    check(
        || {
            let _request = point!("request", {"request": {"path": "/images", "method": "GET"}});
            for rows in [1, 2] {
                let query = point!("db", {"db": {"statement": "select \"é\""}});
                let _inner = point!("driver");
                stop!(query, {"db": {"rows": rows}});
            }
            let _named = Point::named("cache");
            let _long = Point::named(&"long ".repeat(60));
            let _within = point!("within");
        },
        r#"
        request {"request": {"path": "/images", "method": "GET"}}
          db {"db": {"statement": "select \"\u00e9\""}} {"db": {"rows": 1}}
            driver
          db {"db": {"statement": "select \"\u00e9\""}} {"db": {"rows": 2}}
            driver
          cache
            LONG
              within
        "#,
    );
}

#[test]
fn outside_of_a_trace_nothing_is_evaluated() {
    let _alone = alone();
    let fail = || -> u32 { panic!("evaluated") };
    let point = point!("off", {"value": fail()});
    assert!(!point.is_on());
    stop!(point, {"value": fail()});
    let open = start!("off", {"value": %fail()});
    assert!(!open.context().is_on());
    drop(open);
    assert!(sweep().is_empty());
}

#[test]
fn values_of_each_kind() {
    check(
        || {
            let text = String::from("t");
            let _point = point!("kinds", {
                "text": text,
                "signed": -1i8, "unsigned": u64::MAX, "wide": u128::MAX, "float": 1.5, "nan": f64::NAN,
                "true": true, "char": 'c', "null": (), "some": Some(1u8), "none": None::<&str>,
                "list": [1, 2], "texts": vec!["a", "b"],
                "display": %std::net::Ipv4Addr::LOCALHOST, "debug": ?Some("x"),
                "members": members(&[("k", 1), ("l", 2)]),
                "nested": {"deep": {"deeper": text.len() + 1}, "empty": {}},
                "computed": 1 + 1
            });
        },
        concat!(
            "\n        kinds ",
            r#"{"text": "t", "signed": -1, "unsigned": 18446744073709551615, "#,
            r#""wide": 340282366920938463463374607431768211455, "float": 1.5, "nan": NaN, "#,
            r#""true": true, "char": "c", "null": null, "some": 1, "none": null, "list": [1, 2], "texts": ["a", "b"], "#,
            r#""display": "127.0.0.1", "debug": "Some(\"x\")", "members": {"k": 1, "l": 2}, "#,
            r#""nested": {"deep": {"deeper": 2}, "empty": {}}, "computed": 2}"#,
        ),
    );
}

#[test]
fn errors_are_told_by_the_stop() {
    check(
        || {
            let parsed: Result<u8, _> = point!("parse").end("x".parse());
            assert!(parsed.is_err());
            point!("call").fail_with("shop.OutOfStock", "no tea");
            let fine: Result<u8, std::num::ParseIntError> = start!("fine").end("1".parse());
            assert_eq!(fine, Ok(1));
        },
        r#"
        parse {"etype": "core::num::error::ParseIntError", "message": "invalid digit found in string"}
        call {"etype": "shop.OutOfStock", "message": "no tea"}
        fine
        "#,
    );
}

#[test]
fn a_panic_is_told_by_the_points_it_ends() {
    check(
        || {
            let outer = point!("outer");
            let unwound = std::panic::catch_unwind(|| {
                let _inner = point!("inner");
                std::panic::resume_unwind(Box::new(()));
            });
            assert!(unwound.is_err());
            drop(outer);
            let _after = point!("after");
        },
        r#"
        outer
          inner {"etype": "panic", "message": "the thread panicked"}
        after
        "#,
    );
}

#[test]
fn points_closed_out_of_order_leave_no_closed_parent() {
    check(
        || {
            let top = point!("top");
            let first = point!("first");
            let second = point!("second");
            let third = point!("third");
            drop(second);
            drop(first);
            let fourth = point!("fourth");
            drop(fourth);
            drop(third);
            let _fifth = point!("fifth");
            drop(top);
        },
        r"
        top
          first
            second
              third
                fourth
          fifth
        ",
    );
}

#[test]
fn other_threads_lie_where_their_context_was_captured() {
    check(
        || {
            let _request = point!("request");
            let here = Context::capture();
            let work = move || {
                let _off = point!("off");
                let _here = here.attach();
                let _work = point!("work");
            };
            std::thread::spawn(work).join().unwrap();
            let transfer = start!("transfer");
            let within = transfer.context();
            std::thread::spawn(move || {
                drop(within.attach());
                let _off = point!("off");
                stop!(transfer, {"bytes": 3});
            })
            .join()
            .unwrap();
        },
        r#"
        request
          work
          transfer {"bytes": 3}
        "#,
    );
}

/// Polls futures in turn until all are ready, each on a thread of its own choice.
fn poll_in_turn(mut futures: Vec<std::pin::Pin<Box<dyn Future<Output = ()>>>>) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while !futures.is_empty() {
        futures.retain_mut(|future| future.as_mut().poll(&mut context).is_pending());
    }
}

/// Ready at the second poll.
fn yield_once() -> impl Future<Output = ()> {
    let mut polled = false;
    std::future::poll_fn(move |_| {
        if std::mem::replace(&mut polled, true) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
}

#[test]
fn interleaved_futures_keep_their_own_points() {
    async fn task(name: &'static str) {
        let _before = Point::named(name);
        yield_once().await;
        let _after = point!("after");
        yield_once().await;
    }
    check(
        || {
            let first = task("first").in_point(start!("one"));
            let second = task("second").in_point(start!("two"));
            let third = task("third").in_context(Context::none());
            poll_in_turn(vec![Box::pin(first), Box::pin(second), Box::pin(third)]);
            let cancelled = task("never").in_point(start!("cancelled"));
            drop(cancelled);
        },
        r"
        one
          first
            after
        two
          second
            after
        cancelled
        ",
    );
}

#[test]
fn ids_that_are_no_uuids_come_back_unchanged() {
    let _alone = alone();
    for (base, parent) in [
        ("B", "B"),
        ("4E3E0EC6-2938-40b1-8504-09eb1d4b0dee", "p"),
        ("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", "ключ"),
        ("b", "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee"),
    ] {
        let (base_id, parent_id) = (Id::parse(base).unwrap(), Id::parse(parent).unwrap());
        let context = Context::from_ids(origin(), base_id, parent_id);
        assert_eq!(context.base_id(), Some(base_id));
        assert_eq!(context.current_id(), Some(parent_id));
        let attached = context.attach();
        let outer = point!("outer", {"n": 1});
        let inner = point!("inner", {"text": "x".repeat(10)});
        let here = Context::capture();
        assert_eq!(here.base_id(), Some(base_id));
        stop!(inner, {"n": 2});
        drop(outer);
        assert_eq!(Context::capture().current_id(), Some(parent_id));
        drop(attached);
        let seen = sweep();
        assert_eq!(seen.len(), 4);
        assert!(seen.iter().all(|event| event.base_id == base), "{seen:?}");
        let expected = [
            ("outer", parent, r#"{"n": 1, "host": "h"}"#),
            (
                "inner",
                &seen[0].trace_id,
                r#"{"text": "xxxxxxxxxx", "host": "h"}"#,
            ),
            ("inner", &seen[0].trace_id, r#"{"n": 2, "host": "h"}"#),
            ("outer", parent, r#"{"host": "h"}"#),
        ];
        for (event, expected) in seen.iter().zip(expected) {
            let got = (
                event.name.as_str(),
                event.parent_id.as_str(),
                event.info.as_str(),
            );
            assert_eq!(got, expected);
        }
    }
}

/// What a thread's place says beside its number comes back with it, in whatever order the points within it close.
#[test]
fn points_closed_out_of_order_within_a_text_leave_it_the_parent() {
    let _alone = alone();
    let number = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee";
    for (base, parent) in [("b", "p"), (number, "p"), ("b", number)] {
        let ids = [base, parent].map(|text| Id::parse(text).unwrap());
        let trace = Context::from_ids(origin(), ids[0], ids[1]).attach();
        let first = point!("first");
        let second = point!("second");
        let third = point!("third");
        drop(first);
        drop(second);
        drop(third);
        let here = Context::capture();
        assert_eq!([here.base_id(), here.current_id()], ids.map(Some));
        drop(point!("after"));
        drop(trace);
        let parent_of_last = sweep().pop().map(|event| event.parent_id);
        assert_eq!(parent_of_last.as_deref(), Some(parent), "{base}");
    }
}

#[test]
fn foreign_code_records_with_ids_of_its_own() {
    let _alone = alone();
    let long_name = "n".repeat(300);
    let text = Id::parse("T").unwrap();
    let number = Id::from_u128(new_id());
    let name = Name::intern("db").unwrap();
    record(
        origin(),
        Kind::Start,
        name,
        text,
        number,
        text,
        InfoSource::Json(r#"{"a": {"host": 1}}"#),
    );
    record(
        origin(),
        Kind::Stop,
        long_name.as_str(),
        number,
        text,
        number,
        InfoSource::None,
    );
    record(
        origin(),
        Kind::Stop,
        "x",
        number,
        number,
        number,
        InfoSource::Json(r#"{"host": "own"}"#),
    );
    record(
        origin(),
        Kind::Stop,
        "x",
        number,
        number,
        number,
        InfoSource::Json("{}"),
    );
    record(
        origin(),
        Kind::Stop,
        "x",
        number,
        number,
        number,
        InfoSource::Json("[1]"),
    );
    let seen = sweep();
    let got: Vec<(&str, &str)> = seen
        .iter()
        .map(|event| (event.name.as_str(), event.info.as_str()))
        .collect();
    assert_eq!(
        got,
        [
            ("db", r#"{"a": {"host": 1}, "host": "h"}"#),
            (long_name.as_str(), r#"{"host": "h"}"#),
            ("x", r#"{"host": "own"}"#),
            ("x", r#"{"host": "h"}"#),
            ("x", r#"{"info": "[1]", "host": "h"}"#),
        ]
    );
    assert_eq!(seen[0].base_id, "T");
    assert_eq!(seen[1].trace_id, "T");
}

#[test]
fn texts_of_any_length_come_back_up_to_a_megabyte() {
    let _alone = alone();
    let _trace = Context::new_trace(origin()).attach();
    for length in [
        0, 1, 50, 59, 60, 61, 8000, 8100, 8119, 8120, 8121, 8192, 20_000, 1_000_000,
    ] {
        let text: String = ('a'..='z').cycle().take(length).collect();
        let before = point!("before");
        let point = point!("long", {"text": text, "number": 7});
        stop!(point, {"again": text});
        drop(before);
        let seen = sweep();
        assert_eq!(seen.len(), 4, "{length}");
        assert_eq!(
            seen[1].info,
            format!(r#"{{"text": "{text}", "number": 7, "host": "h"}}"#)
        );
        assert_eq!(
            seen[2].info,
            format!(r#"{{"again": "{text}", "host": "h"}}"#)
        );
    }
    let endless = "é".repeat(1 << 20);
    drop(point!("cut", {"a": endless, "b": %endless, "c": 1}));
    let info = &sweep()[0].info;
    let kept = info.matches("\\u00e9").count();
    assert!((500_000..524_288).contains(&kept), "{kept}");
    assert!(
        info.ends_with(r#"... (cut)", "b": "... (cut)", "c": 1, "host": "h"}"#),
        "{}",
        &info[info.len() - 80..]
    );
}

#[test]
fn formatting_may_record_points_itself_or_panic() {
    struct Recording;
    impl std::fmt::Display for Recording {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let _inner = point!("inner", {"while": "formatting"});
            f.write_str("shown")
        }
    }
    struct Panicking;
    impl std::fmt::Display for Panicking {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            std::panic::resume_unwind(Box::new(()))
        }
    }
    let _alone = alone();
    let _trace = Context::new_trace(origin()).attach();
    drop(point!("outer", {"first": 1, "value": %Recording, "bad": %Panicking, "last": 2}));
    let seen = sweep();
    let outer = seen.iter().find(|event| event.name == "outer").unwrap();
    assert_eq!(
        outer.info,
        r#"{"first": 1, "value": "shown", "bad": "(panicked while being formatted)", "last": 2, "host": "h"}"#
    );
    assert_eq!(seen.len(), 4);
}

#[test]
fn an_open_point_may_outlive_its_trace_and_thread() {
    let _alone = alone();
    let point: OpenPoint = std::thread::spawn(|| {
        let _trace = Context::new_trace(origin()).attach();
        start!("long")
    })
    .join()
    .unwrap();
    assert_eq!(sweep().len(), 1);
    drop(point);
    let seen = sweep();
    assert_eq!((seen.len(), seen[0].kind), (1, Kind::Stop));
}
