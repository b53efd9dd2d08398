// SPDX-License-Identifier: Apache-2.0
//! What every store takes, be it read back here or not.

use osprofiler::{Loss, LossReason};

use super::Subject;
use crate::sample::{Row, id, notifications, recorded_traces};

/// A writer takes each batch and gives up nothing of it, and what it holds back in between is out at its end.
pub(super) fn recorded_traces_are_taken(subject: &Subject) {
    let mut writer = subject.writer(&subject.connection());
    for (name, trace) in recorded_traces() {
        writer
            .write(&trace)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(writer.take_losses().is_empty());
    writer.finish().expect("nothing keeps it from the store");
    assert_eq!(writer.held(), 0);
    assert!(writer.take_losses().is_empty());
}

pub(super) fn odd_values_are_taken(subject: &Subject) {
    let long_id = "x".repeat(255);
    let large = format!(r#"{{"a": "{}", "b": {{}}}}"#, "é\\u0000".repeat(1 << 16));
    let deep = r#"{"a": "#.repeat(300) + "1" + &"}".repeat(300);
    let many: Vec<String> = (0..1000).map(|key| format!(r#""{key}": {key}"#)).collect();
    let many = format!("{{{}}}", many.join(", "));
    let mut writer = subject.writer(&subject.connection());
    for info in [
        "{}",
        r#"{"host": null, "etype": 1, "message": {"a": "b"}, "request": 1, "db": [], "function": "f"}"#,
        r#"{"request": {"method": null, "path": ["a"], "traceparent": 7}, "requests": {}, "db": {"statement": ""}}"#,
        r#"{"a": [NaN, Infinity, -Infinity, 1e999, -0.0], "b": NaN, "c": -Infinity, "d": 1e999}"#,
        r#"{"a": 123456789012345678901234567890, "b": "\ud800", "c": "\u0000", "é": "😀", "": ""}"#,
        &large,
        &deep,
        &many,
    ] {
        for name in [
            "4E3E0EC6-2938-40B1-8504-09EB1D4B0DEE",
            "ключ 😀\u{1}",
            &long_id,
        ] {
            let nil = "00000000-0000-0000-0000-000000000000";
            let rows: [Row<'_>; 5] = [
                (name, nil, name, "x-start", i64::MAX, info),
                (name, nil, name, "x-stop", i64::MIN, info),
                (nil, name, nil, "", -1, info),
                (nil, name, name, "start", 0, info),
                (nil, nil, nil, "wsgi-stop", 1, info),
            ];
            let written = writer.write(&notifications(&rows));
            written.unwrap_or_else(|error| panic!("{info:.300}: {error}"));
        }
    }
    writer.finish().expect("nothing keeps it from the store");
    assert!(writer.take_losses().is_empty());
}

pub(super) fn losses_are_taken(subject: &Subject) {
    let mut writer = subject.writer(&subject.connection());
    for reason in LossReason::ALL {
        for trace in [Some(id("t")), None] {
            let loss = Loss { count: 7, reason };
            writer.write_loss(trace, loss).expect("the loss is stored");
        }
    }
    assert!(writer.take_losses().is_empty());
}
