// SPDX-License-Identifier: Apache-2.0
//! What a point's notifications are as a span.

use super::shown;
use super::{Row, batch};
use crate::driver::otlp::request::Request;
use crate::driver::otlp::span::{Ends, Span};
use crate::driver::otlp::told::Told;
use crate::{Kind, LossReason};

/// The span of a point `P`, whose id begins with `8a67`, with that name and these infos.
fn span(point: &str, infos: &[&str]) -> String {
    let names = [format!("{point}-start"), format!("{point}-stop")];
    let rows: Vec<Row<'_>> = infos
        .iter()
        .zip(&names)
        .zip(1..)
        .map(|((info, name), micros)| ("P", "B", &**name, micros, *info))
        .collect();
    let mut lines = lines(&rows);
    assert_eq!(lines.len(), 2);
    lines.remove(1)
}

/// The spans of each two rows.
fn lines(rows: &[Row<'_>]) -> Vec<String> {
    let batch = batch(rows);
    let mut request = Request::new();
    let all: Vec<_> = batch.iter().collect();
    for ends in all.chunks(2) {
        let end = |kind| ends.iter().find(|end| end.kind() == kind).copied();
        let ends = Ends::of(end(Kind::Start), end(Kind::Stop)).unwrap();
        request.add(&Span::new(&ends, &Told::of(&ends)));
    }
    shown::spans(&request.encode(None))
}

fn check(point: &str, infos: &[&str], expected: &str) {
    assert_eq!(span(point, infos), expected, "{infos:?}");
}

#[test]
fn points_have_the_names_kinds_and_attributes_that_they_always_had() {
    check(
        "wsgi",
        &[
            r#"{"request": {"path": "/v3/auth", "query": "a=b", "method": "POST", "scheme": "http"}, "host": "h"}"#,
            r#"{"host": "h"}"#,
        ],
        r#"WSGI_POST_/v3/auth 2 8a67< 1000+1000 http.path="/v3/auth" http.query="a=b" http.method="POST" http.scheme="http""#,
    );
    check(
        "asgi",
        &[r#"{"request": {"path": "/", "method": "GET"}}"#, "{}"],
        r#"ASGI_GET_/ 2 8a67< 1000+1000 http.path="/" http.method="GET""#,
    );
    check(
        "db",
        &[
            r#"{"db": {"statement": " select 1", "params": [1, "a"]}, "host": "h"}"#,
            r#"{"db": {"result": "[(1,)]"}}"#,
        ],
        r#"SQL_SELECT 3 8a67< 1000+1000 result="[(1,)]" db.statement=" select 1" db.params="[1, \"a\"]""#,
    );
    check(
        "http",
        &[
            r#"{"requests": {"method": "GET", "query": "", "path": "/x", "hostname": "glance", "port": 9292, "scheme": "http"}}"#,
            r#"{"requests": {"status_code": 200}}"#,
        ],
        r#"REQUESTS_GET_glance 3 8a67< 1000+1000 status_code=200 http.method="GET" http.query="" http.path="/x" http.hostname="glance" http.port=9292 http.scheme="http""#,
    );
    check(
        "rpc",
        &[
            r#"{"function": {"name": "f", "args": "(1,)", "kwargs": "{}"}}"#,
            r#"{"function": {"result": "2"}}"#,
        ],
        r#"rpc 2 8a67< 1000+1000 result="2" name="f" args="(1,)" kwargs="{}""#,
    );
}

#[test]
fn what_no_member_tells_the_name_does() {
    for (point, info, expected) in [
        ("rpc", r#"{"rpc": {"kind": "call"}}"#, "rpc 3"),
        ("rpc", r#"{"rpc": {"kind": "cast"}}"#, "rpc 4"),
        ("rpc_cast", "{}", "rpc_cast 1"),
        ("vif-driver", "{}", "vif-driver 1"),
        ("fast", "{}", "fast 1"),
        ("neutron_api", "{}", "neutron_api 3"),
        ("my-wsgi", "{}", "my-wsgi 2"),
        ("", "{}", " 1"),
    ] {
        let shown = span(point, &[info, "{}"]);
        assert!(shown.starts_with(&format!("{expected} 8a67<")), "{shown}");
    }
}

#[test]
fn whatever_else_an_info_tells_is_an_attribute() {
    check(
        "x",
        &[
            r#"{"a": 1, "b": {"c": true, "d": {"e": [1]}}, "f": [1, {}], "g": null, "h": "\u00e9\ud800", "i": -0.5}"#,
            r#"{"a": 2, "j": 123456789012345678901234567890, "k": NaN, "host": "h"}"#,
        ],
        concat!(
            r#"x 1 8a67< 1000+1000 info.a=2 info.j="123456789012345678901234567890" info.k=NaN info.b.c=true "#,
            "info.b.d=\"{\\\"e\\\": [1]}\" info.f=\"[1, {}]\" info.h=\"é\u{fffd}\" info.i=-0.5"
        ),
    );
}

#[test]
fn attributes_are_bounded() {
    let many: Vec<String> = (0..130).map(|key| format!(r#""{key}": {key}"#)).collect();
    let shown = span("x", &[&format!("{{{}}}", many.join(", ")), "{}"]);
    assert!(shown.contains("info.127=127 dropped=2"), "{shown}");
    let long = "é".repeat(20_000);
    let shown = span("x", &[&format!(r#"{{"a": "{long}"}}"#), "{}"]);
    assert!(shown.ends_with("é…\""), "{shown}");
    let text = shown.split('"').nth(1).unwrap();
    assert!((16_380..=16_384).contains(&text.len()), "{}", text.len());
    let heavy: Vec<String> = (0..40).map(|key| format!(r#""{key}": "{long}""#)).collect();
    let shown = span("x", &[&format!("{{{}}}", heavy.join(", ")), "{}"]);
    assert!(
        shown.ends_with("dropped=25"),
        "{}",
        &shown[shown.len() - 20..]
    );
}

#[test]
fn what_an_info_repeats_does_not_cost_its_square() {
    let dropped = |info: &str| {
        let shown = span("x", &[info, "{}"]);
        shown.rsplit(' ').next().unwrap().to_owned()
    };
    // Each is compared with what there is, so after 1,024 nobody looks.
    let members = vec![r#""a":1"#; 50_000].join(",");
    assert_eq!(dropped(&format!("{{{members}}}")), "dropped=48976");
    // Of a name that is cut nobody knows whether it is the same.
    let name = "k".repeat(1 << 19);
    let info = format!(r#"{{"\n{name}":{{{members}}}}}"#);
    assert_eq!(dropped(&info), "dropped=49999");
    // Where there is no room, none of them is told.
    let full: Vec<String> = (0..128).map(|key| format!(r#""{key}":1"#)).collect();
    let info = format!("{{{},{members}}}", full.join(","));
    assert_eq!(dropped(&info), "dropped=50000");
}

#[test]
fn what_a_span_tells_is_not_dropped_where_both_ends_say_it() {
    let members = |keys: std::ops::Range<u32>| {
        let members: Vec<String> = keys.map(|key| format!(r#""{key}": {key}"#)).collect();
        format!("{{{}}}", members.join(", "))
    };
    let shown = span("x", &[&members(0..128), &members(0..128)]);
    assert!(shown.ends_with("info.127=127"), "{shown}");
    let shown = span("x", &[&members(100..131), &members(0..128)]);
    assert!(shown.ends_with("info.127=127 dropped=3"), "{shown}");
}

#[test]
fn of_names_that_are_cut_alike_one_is_told_and_the_others_are_dropped() {
    // Written, they differ behind the bound of 16,384 bytes, and at its last.
    for same in [20_000, 16_378] {
        let name = "k".repeat(same);
        let info = format!(r#"{{"{name}longer": 1, "{name}other": 2}}"#);
        let shown = span("x", &[&info, "{}"]);
        assert!(shown.ends_with("k…=1 dropped=1"), "{same}");
        assert_eq!(shown.matches("info.").count(), 1, "{same}");
    }
}

#[test]
fn an_error_is_a_status_and_an_event() {
    check(
        "x",
        &[
            r#"{"a": 1}"#,
            r#"{"etype": "ValueError", "message": "no \"x\"", "host": "h"}"#,
        ],
        concat!(
            r#"x 1 8a67< 1000+1000 info.a=1 [exception 2000 exception.type="ValueError" "#,
            r#"exception.message="no \"x\""] status=2: ValueError: no "x""#
        ),
    );
    check(
        "x",
        &["{}", r#"{"etype": "KeyError", "message": null}"#],
        r#"x 1 8a67< 1000+1000  [exception 2000 exception.type="KeyError"] status=2: KeyError"#,
    );
    check("x", &["{}", r#"{"etype": null}"#], "x 1 8a67< 1000+1000 ");
}

#[test]
fn who_called_by_traceparent_is_linked() {
    let header = "00-4e3e0ec6293840b1850409eb1d4b0dee-850409eb1d4b0dee-01";
    let info = |header: &str| {
        format!(r#"{{"request": {{"method": "GET", "path": "/", "traceparent": "{header}"}}}}"#)
    };
    check(
        "wsgi",
        &[&info(header), "{}"],
        r#"WSGI_GET_/ 2 8a67< 1000+1000 http.method="GET" http.path="/" -> 4e3e/8504"#,
    );
    check(
        "wsgi",
        &[&info("00-x-y-01"), "{}"],
        r#"WSGI_GET_/ 2 8a67< 1000+1000 http.method="GET" http.path="/""#,
    );
}

#[test]
fn times_are_the_notifications_own_and_never_run_backwards() {
    const NOW: i64 = 1_795_362_511_857_066;
    for (start, stop, expected) in [
        (NOW, NOW + 1, "1795362511857066000+1000"),
        (NOW, NOW - 1, "1795362511857066000+0"),
        (i64::MIN, -1, "0+0"),
        (0, i64::MAX, "0+18446744073709551615"),
    ] {
        let rows = [
            ("P", "B", "x-start", start, "{}"),
            ("P", "B", "x-stop", stop, "{}"),
        ];
        let shown = &lines(&rows)[1];
        assert!(shown.contains(&format!(" {expected} ")), "{shown}");
    }
}

#[test]
fn one_end_alone_says_so() {
    check(
        "x",
        &["{}"],
        r#"x 1 8a67< 1000+0 osprofiler.incomplete="the point's end was not recorded""#,
    );
    let shown = lines(&[("P", "B", "x-stop", 1, "{}")]);
    assert_eq!(
        shown[1],
        r#"x 1 8a67< 1000+0 osprofiler.incomplete="the point's start was not recorded""#
    );
}

#[test]
fn parents_are_named_but_the_trace_itself() {
    let rows = [
        ("P", "B", "x-start", 1, "{}"),
        ("P", "B", "x-stop", 4, "{}"),
        ("Q", "P", "y-start", 2, "{}"),
        ("Q", "P", "y-stop", 3, "{}"),
    ];
    let shown = lines(&rows);
    assert!(shown[1].starts_with("x 1 8a67< "), "{shown:?}");
    assert!(
        shown[2].starts_with("y 1 ") && shown[2].contains("<8a67 "),
        "{shown:?}"
    );
}

#[test]
fn spans_stand_below_their_services() {
    let mut own = batch(&[
        ("P", "B", "x-stop", 1, r#"{"host": "h1"}"#),
        ("Q", "B", "x-stop", 1, r#"{"host": "h2"}"#),
        ("R", "B", "x-stop", 1, r#"{"host": "h1"}"#),
    ]);
    let mut nobody = own.get(0);
    (nobody.project, nobody.service, nobody.info) = (None, None, "{}");
    let mut others = batch(&[]);
    others.push(&nobody);
    own.extend(others.iter());
    let mut request = Request::new();
    for stop in own.iter() {
        let ends = Ends::Stop(stop);
        request.add(&Span::new(&ends, &Told::of(&ends)));
    }
    let shown = shown::spans(&request.encode(Some("cloud")));
    let us = format!(
        r#"telemetry.sdk.name="osprofiler" telemetry.sdk.language="rust" telemetry.sdk.version="{}""#,
        env!("CARGO_PKG_VERSION")
    );
    let resources: Vec<_> = shown
        .iter()
        .filter(|line| line.contains("service.name"))
        .collect();
    let service = r#"service.name="cloud-shop-api" service.namespace="shop" host.name="#;
    assert_eq!(
        resources,
        [
            &format!(r#"{service}"h1" {us}"#),
            &format!(r#"{service}"h2" {us}"#),
            &format!(r#"service.name="cloud" {us}"#),
        ]
    );
    // The two of the first host are below it.
    assert!(
        shown[2].starts_with("x 1") && shown[3].starts_with("service.name"),
        "{shown:?}"
    );
    assert_eq!((request.spans, request.notifications), (4, 4));
    let unknown = shown::spans(&request.encode(None));
    assert!(
        unknown
            .iter()
            .any(|line| line.starts_with(r#"service.name="unknown_service""#))
    );
}

#[test]
fn reasons_of_losses_are_their_names() {
    let mut request = Request::new();
    request.add_own(|span| {
        let loss = crate::Loss {
            count: 7,
            reason: LossReason::QueueFull,
        };
        let base_id = crate::Id::parse("B").unwrap();
        crate::driver::otlp::span::write_loss(
            base_id,
            1,
            loss,
            crate::Timestamp::from_micros(5),
            span,
        );
    });
    assert_eq!(
        shown::spans(&request.encode(None))[1],
        r#"osprofiler: notifications were lost 1 0000< 5000+0 osprofiler.lost.count=7 osprofiler.lost.reason="queue_full""#
    );
}
