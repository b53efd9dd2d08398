// SPDX-License-Identifier: Apache-2.0
//! What drivers have to do whose stores let traces be removed: they are gone from everywhere, and nobody else notices.

use std::process::Child;

use osprofiler::driver::{ConnectionString, ListFilter, Pruner, ReadSummary};
use osprofiler::{Loss, LossReason, Timestamp};

use super::{Subject, assert_same, numbered, parse};
use crate::sample::{Row, id, notifications};

fn pruner(subject: &Subject, connection: &ConnectionString) -> Box<dyn Pruner> {
    let open = subject.implementation.open_pruner;
    open.expect("it can remove")(connection).expect("the pruner opens")
}

pub(super) fn trace(subject: &Subject) {
    let connection = subject.connection();
    let mut writer = subject.writer(&connection);
    for (trace, from) in [("old", 0), ("new", 10), ("older", -10), ("newest", 20)] {
        for start in [from, from + 5] {
            writer
                .write(&numbered(trace, start, 5))
                .expect("the batch is stored");
        }
    }
    let mut pruner = pruner(subject, &connection);
    let gone = [id("old"), id("older"), id("unknown")];
    assert_eq!(pruner.remove(&gone).expect("they are removed"), 2);
    for trace in ["old", "older"] {
        let (read, summary) = subject.read(&connection, trace);
        assert!(read.is_empty());
        assert_eq!(summary, ReadSummary::default());
    }
    let left = [("new", 10), ("newest", 20)].map(|(trace, from)| (trace.to_owned(), from));
    assert_eq!(subject.list(&connection, ListFilter::All), left);
    for (trace, from) in left {
        let (read, _) = subject.read(&connection, &trace);
        assert_same(&read, &numbered(&trace, from, 10));
    }
    assert_eq!(pruner.remove(&gone).expect("there is nothing"), 0);
    // An id is free again.
    subject.write(&connection, &numbered("old", 30, 5));
    assert_same(&subject.read(&connection, "old").0, &numbered("old", 30, 5));
}

pub(super) fn error(subject: &Subject) {
    let connection = subject.connection();
    let error = r#"{"etype": "ValueError"}"#;
    for (trace, micros) in [("a", 1), ("b", 2)] {
        subject.write(
            &connection,
            &notifications(&[(trace, "p", trace, "x-stop", micros, error)]),
        );
    }
    let removed = pruner(subject, &connection).remove(&[id("a")]);
    assert_eq!(removed.expect("it is removed"), 1);
    let listed = subject.list(&connection, ListFilter::WithErrors);
    assert_eq!(listed, [("b".to_owned(), 2)]);
}

pub(super) fn losses(subject: &Subject) {
    let connection = subject.connection();
    let mut writer = subject.writer(&connection);
    let reason = LossReason::Exit;
    for trace in ["a", "b"] {
        writer
            .write(&numbered(trace, 0, 1))
            .expect("the batch is stored");
        writer
            .write_loss(Some(id(trace)), Loss { count: 3, reason })
            .expect("the loss is stored");
    }
    drop(writer);
    let removed = pruner(subject, &connection).remove(&[id("a")]);
    assert_eq!(removed.expect("it is removed"), 1);
    assert_eq!(subject.read(&connection, "a").1, ReadSummary::default());
    let losses = subject.read(&connection, "b").1.losses;
    assert_eq!(losses, [Loss { count: 3, reason }]);
}

pub(super) fn many(subject: &Subject) {
    let connection = subject.connection();
    let traces: Vec<String> = (0..300).map(|number| format!("trace {number}")).collect();
    let rows: Vec<Row<'_>> = traces
        .iter()
        .zip(0..)
        .map(|(trace, micros)| (&**trace, "p", &**trace, "x-start", micros, "{}"))
        .collect();
    subject.write(&connection, &notifications(&rows));
    for start in [0, 6_000] {
        subject.write(&connection, &numbered("large", start, 6_000));
    }
    subject.write(&connection, &numbered("stays", 0, 10));
    let mut gone: Vec<_> = traces.iter().map(|trace| id(trace)).collect();
    gone.push(id("large"));
    let removed = pruner(subject, &connection).remove(&gone);
    assert_eq!(removed.expect("they are removed"), 301);
    let left = [("stays".to_owned(), 0)];
    assert_eq!(subject.list(&connection, ListFilter::All), left);
    assert!(subject.read(&connection, "large").0.is_empty());
    assert_same(
        &subject.read(&connection, "stays").0,
        &numbered("stays", 0, 10),
    );
}

/// Databases may take capitals and blanks for nothing; a pattern may match; a prefix is an id of its own.
pub(super) fn alike(subject: &Subject) {
    let connection = subject.connection();
    let alike = ["ABC", "abc ", "abcd", "a*c", "ab", "%", "äbc"];
    for trace in ["abc"].iter().chain(&alike) {
        subject.write(&connection, &numbered(trace, 0, 2));
    }
    let mut pruner = pruner(subject, &connection);
    for trace in ["abc", "a*c", "%"] {
        assert_eq!(pruner.remove(&[id(trace)]).expect("it is removed"), 1);
        assert!(subject.read(&connection, trace).0.is_empty());
    }
    for trace in ["ABC", "abc ", "abcd", "ab", "äbc"] {
        assert_same(&subject.read(&connection, trace).0, &numbered(trace, 0, 2));
    }
}

pub(super) fn written_since(subject: &Subject) {
    let connection = subject.connection();
    for (trace, from) in [("old", 0), ("long", 0), ("long", 1000), ("new", 2000)] {
        subject.write(&connection, &numbered(trace, from, 10));
    }
    let traces = ["old", "long", "new", "OLD", "unknown"].map(id);
    let mut reader = subject.reader(&connection);
    for (since, expected) in [
        (0, [true, true, true, false, false]),
        (9, [true, true, true, false, false]),
        (10, [false, true, true, false, false]),
        (1009, [false, true, true, false, false]),
        (1010, [false, false, true, false, false]),
        (2010, [false; 5]),
    ] {
        let written = reader.written_since(&traces, Timestamp::from_micros(since));
        assert_eq!(written.expect("the store knows"), expected, "{since}");
    }
    let written = reader.written_since(&[], Timestamp::from_micros(0));
    assert!(written.expect("there is nothing to know").is_empty());
}

pub(super) fn beside_writer(subject: &Subject) {
    let connection = subject.connection();
    let mut writer = subject.writer(&connection);
    for turn in 0..3 {
        for (trace, from) in [("t", turn * 10), ("goes", 0)] {
            writer
                .write(&numbered(trace, from, 10))
                .expect("the batch is stored");
        }
        let removed = pruner(subject, &connection).remove(&[id("goes")]);
        assert_eq!(removed.expect("it is removed"), 1);
        assert_eq!(writer.take_losses(), []);
    }
    writer
        .write(&numbered("t", 30, 10))
        .expect("the batch is stored");
    assert_eq!(writer.take_losses(), []);
    let (read, summary) = subject.read(&connection, "t");
    assert_same(&read, &numbered("t", 0, 40));
    assert_eq!(summary, ReadSummary::default());
    assert!(subject.read(&connection, "goes").0.is_empty());
}

pub(super) fn beside_processes(subject: &Subject) {
    let store = (subject.fresh)();
    let connection = parse(&store);
    let mut writer = subject.writer(&connection);
    let mut children = [0, 1000, 2000].map(|from| subject.second_process(&store, from, 500));
    let mut pruner = pruner(subject, &connection);
    let mut turns = 0;
    while turns < 20 || children.iter_mut().any(is_at_work) {
        turns += 1;
        writer
            .write(&numbered("goes", 0, 10))
            .expect("the batch is stored");
        let removed = pruner.remove(&[id("goes")]).expect("it is removed");
        assert_eq!(removed, 1);
        assert_eq!(writer.take_losses(), []);
    }
    for mut child in children {
        assert!(child.wait().expect("the second process ends").success());
    }
    let (read, summary) = subject.read(&connection, "t");
    assert_eq!((read.len(), summary), (1500, ReadSummary::default()));
    assert!(subject.read(&connection, "goes").0.is_empty());
}

fn is_at_work(child: &mut Child) -> bool {
    let ended = child.try_wait().expect("a child can be asked");
    ended.is_none()
}
