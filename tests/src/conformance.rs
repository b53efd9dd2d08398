// SPDX-License-Identifier: Apache-2.0
//! What every driver has to do: one list of named checks, run on any driver with a store of its own for each.
//!
//! A check is a function and a line of [`CHECKS`]; it says which capabilities it is about and is left out where a driver does
//! not claim them. It fails by panicking, which the caller turns into a line of its table.

mod files;
mod removal;
mod several;
mod taken;

use std::path::PathBuf;
use std::process::{Child, Command};

use osprofiler::driver::registry::{Capability, Implementation};
use osprofiler::driver::{ConnectionString, ListFilter, ReadSummary, Reader, Writer};
use osprofiler::{Loss, LossReason, Notifications};

use crate::sample::{Row, id, json_lines, notifications, recorded_traces};

pub use files::FILE_CHECKS;

/// A driver under test.
pub struct Subject {
    /// Its name, for the table.
    pub name: String,
    /// The driver.
    pub implementation: &'static Implementation,
    /// A connection string to an empty store, without options; each call another one.
    pub fresh: Box<dyn Fn() -> String>,
    /// A program that does [`write_as_told`] with its arguments: a second process.
    pub program: PathBuf,
}

/// One thing that a driver has to do.
pub struct Check {
    /// What, as a sentence.
    pub name: &'static str,
    /// The abilities it is about.
    pub needs: &'static [Capability],
    /// Panics if the driver does not do it.
    pub run: fn(&Subject),
}

use Capability::{Bounded, Deduplicates, List, ListErrors, Losses, ManyWriters, Prunes, Read};

/// Every check, from the plain to the odd.
#[rustfmt::skip] // one line a check
pub const CHECKS: &[Check] = &[
    Check { name: "every recorded trace is taken", needs: &[], run: taken::recorded_traces_are_taken },
    Check { name: "odd values and ids are taken", needs: &[], run: taken::odd_values_are_taken },
    Check { name: "losses are taken, of a trace and of nobody's", needs: &[], run: taken::losses_are_taken },
    Check { name: "every recorded trace comes back byte for byte and in order", needs: &[Read], run: recorded_traces_come_back },
    Check { name: "traces interleaved in one batch come back apart", needs: &[Read], run: interleaved_traces },
    Check { name: "an id is any text of up to 255 bytes", needs: &[Read], run: ids_of_any_text },
    Check { name: "an info is whatever JSON Python writes", needs: &[Read], run: odd_infos },
    Check { name: "an info may take a MiB", needs: &[Read], run: large_infos },
    Check { name: "a null project is no empty one", needs: &[Read], run: absent_texts },
    Check { name: "times run from year 1 to 9999, backwards too", needs: &[Read], run: odd_times },
    Check { name: "a thousand traces fit into a batch", needs: &[Read, List], run: many_traces },
    Check { name: "an unknown trace is empty and no error", needs: &[Read], run: unknown_trace },
    Check { name: "a writer opened again goes on", needs: &[Read], run: writer_reopened },
    Check { name: "a reader sees what an open writer wrote", needs: &[Read], run: reader_beside_writer },
    Check { name: "a notification written again is read once", needs: &[Read, Deduplicates], run: written_again },
    Check { name: "a list has the oldest first, at its first notification's time", needs: &[List], run: list_in_order },
    Check { name: "a list of errors has the first error's time", needs: &[ListErrors], run: list_of_errors },
    Check { name: "losses add up by trace and reason", needs: &[Losses], run: losses_add_up },
    Check { name: "reading all gives each trace as reading one does, its losses too", needs: &[Read, List, Losses], run: several::read_all },
    Check { name: "two processes write one store", needs: &[Read, ManyWriters], run: two_processes },
    Check { name: "reading some traces gives each as reading one does, and no other", needs: &[Read], run: several::read_each },
    Check { name: "a removed trace is gone, the others stay", needs: &[Read, List, Prunes], run: removal::trace },
    Check { name: "a removed trace is gone from the list of errors", needs: &[ListErrors, Prunes], run: removal::error },
    Check { name: "what was lost of a removed trace goes with it", needs: &[Read, Losses, Prunes], run: removal::losses },
    Check { name: "many traces are removed at once, and large ones", needs: &[Read, List, Prunes], run: removal::many },
    Check { name: "an id that only looks like a removed one's stays", needs: &[Read, Prunes], run: removal::alike },
    Check { name: "it is known which traces were written since a time", needs: &[Read, Prunes], run: removal::written_since },
    Check { name: "a writer at work goes on while traces are removed, and loses nothing", needs: &[Read, Prunes], run: removal::beside_writer },
    Check { name: "removing traces beside other processes loses nothing of theirs", needs: &[Read, Prunes, ManyWriters], run: removal::beside_processes },
    Check { name: "a bounded store accounts for what it gives up", needs: &[Read, List, Bounded], run: bounded_store },
];

impl Subject {
    fn connection(&self) -> ConnectionString {
        parse(&(self.fresh)())
    }

    fn writer(&self, connection: &ConnectionString) -> Box<dyn Writer> {
        (self.implementation.open_writer)(connection).expect("the writer opens")
    }

    fn reader(&self, connection: &ConnectionString) -> Box<dyn Reader> {
        (self.implementation.open_reader)(connection).expect("the reader opens")
    }

    fn write(&self, connection: &ConnectionString, batch: &Notifications) {
        self.writer(connection)
            .write(batch)
            .expect("the batch is stored");
    }

    fn read(&self, connection: &ConnectionString, trace: &str) -> (Notifications, ReadSummary) {
        let mut notifications = Notifications::default();
        let summary = self
            .reader(connection)
            .read(id(trace), &mut notifications)
            .expect("the trace can be read");
        (notifications, summary)
    }

    fn list(&self, connection: &ConnectionString, filter: ListFilter) -> Vec<(String, i64)> {
        let mut traces = Vec::new();
        let skipped = self
            .reader(connection)
            .list(filter, &mut |trace| {
                traces.push((trace.base_id.to_string(), trace.timestamp.as_micros()));
            })
            .expect("the store can be listed");
        assert_eq!(skipped, 0, "a listing skips nothing that was written");
        traces
    }

    /// Writes `batch`, all of one trace, and expects just that back.
    fn check_round_trip(&self, batch: &Notifications) {
        let connection = self.connection();
        self.write(&connection, batch);
        let (read, summary) = self.read(&connection, &batch.get(0).base_id.to_string());
        assert_same(&read, batch);
        assert_eq!(summary, ReadSummary::default());
    }

    /// A process that writes to `store`, a connection string with its password.
    fn second_process(&self, store: &str, from: i64, count: i64) -> Child {
        Command::new(&self.program)
            .args(["--write", store])
            .args([from.to_string(), count.to_string()])
            .spawn()
            .expect("the second process starts")
    }
}

/// What a second process does: writes `count` notifications of the trace `t`, one batch each ten, through the registry.
///
/// # Errors
/// If the driver cannot write.
pub fn write_as_told(connection: &str, from: i64, count: i64) -> osprofiler::Result<()> {
    let connection = ConnectionString::parse(connection)?;
    let mut writer = osprofiler::driver::registry::open_writer(&connection)?;
    for start in (from..from + count).step_by(10) {
        writer.write(&numbered("t", start, 10))?;
    }
    Ok(())
}

/// The same for what is refused at first: `wait` gets the error, and the same writer tries once more.
pub fn write_again_as_told(
    connection: &str,
    from: i64,
    count: i64,
    wait: impl FnOnce(&osprofiler::Error),
) -> osprofiler::Result<()> {
    let connection = ConnectionString::parse(connection)?;
    let mut writer = osprofiler::driver::registry::open_writer(&connection)?;
    let batch = numbered("t", from, count);
    match writer.write(&batch) {
        Ok(()) => Ok(()),
        Err(error) => {
            wait(&error);
            writer.write(&batch)
        }
    }
}

/// `count` notifications of one trace, told apart by their times.
fn numbered(trace: &str, from: i64, count: i64) -> Notifications {
    let points: Vec<String> = (from..from + count)
        .map(|number| format!("p{number}"))
        .collect();
    let rows: Vec<Row<'_>> = points
        .iter()
        .zip(from..)
        .map(|(point, micros)| {
            (
                trace,
                &**point,
                trace,
                "db-start",
                micros,
                r#"{"host": "a"}"#,
            )
        })
        .collect();
    notifications(&rows)
}

fn parse(connection: &str) -> ConnectionString {
    ConnectionString::parse(connection).expect("the connection string is one")
}

fn assert_same(read: &Notifications, written: &Notifications) {
    let (read, written) = (json_lines(read), json_lines(written));
    let lines = |text: &str| text.lines().count();
    assert_eq!(
        lines(&read),
        lines(&written),
        "another number of notifications"
    );
    for (read, written) in read.lines().zip(written.lines()) {
        assert!(read == written, "read {read:.300}\nwrote {written:.300}");
    }
}

fn recorded_traces_come_back(subject: &Subject) {
    let connection = subject.connection();
    let traces = recorded_traces();
    assert!(traces.len() >= 8);
    for (_, trace) in &traces {
        subject.write(&connection, trace);
    }
    for (_, trace) in &traces {
        let (read, summary) = subject.read(&connection, &trace.get(0).base_id.to_string());
        assert_same(&read, trace);
        assert_eq!(summary, ReadSummary::default());
    }
}

fn interleaved_traces(subject: &Subject) {
    let connection = subject.connection();
    let rows: Vec<Row<'_>> = (0..300)
        .map(|number| {
            (
                ["a", "b", "c"][number as usize % 3],
                "p",
                "q",
                "x-start",
                number,
                "{}",
            )
        })
        .collect();
    let mut writer = subject.writer(&connection);
    for batch in rows.chunks(70) {
        writer
            .write(&notifications(batch))
            .expect("the batch is stored");
    }
    for trace in ["a", "b", "c"] {
        let of_trace: Vec<_> = rows.iter().copied().filter(|row| row.0 == trace).collect();
        assert_same(
            &subject.read(&connection, trace).0,
            &notifications(&of_trace),
        );
    }
}

fn ids_of_any_text(subject: &Subject) {
    let long = "x".repeat(255);
    let texts = [
        "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee",
        "4E3E0EC6-2938-40B1-8504-09EB1D4B0DEE",
        "4e3e0ec6293840b1850409eb1d4b0dee",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "00000000-0000-0000-0000-000000000000",
        "1",
        "ключ 😀",
        "a\"b\\c\n\t\u{1}",
        "' OR 1=1 --",
        "%*[]?_",
        &long,
    ];
    let connection = subject.connection();
    let mut writer = subject.writer(&connection);
    for text in texts {
        let rows = [
            (text, text, text, "x-start", 1, "{}"),
            (text, "1", text, "x-stop", 2, "{}"),
        ];
        writer
            .write(&notifications(&rows))
            .expect("the batch is stored");
    }
    for text in texts {
        let rows = [
            (text, text, text, "x-start", 1, "{}"),
            (text, "1", text, "x-stop", 2, "{}"),
        ];
        assert_same(&subject.read(&connection, text).0, &notifications(&rows));
    }
    let mut listed: Vec<String> = subject
        .list(&connection, ListFilter::All)
        .into_iter()
        .map(|(trace, _)| trace)
        .collect();
    listed.sort();
    let mut expected = texts.map(str::to_owned);
    expected.sort();
    assert_eq!(listed, expected);
}

fn odd_infos(subject: &Subject) {
    let deep = r#"{"a": "#.repeat(300) + "1" + &"}".repeat(300);
    let infos = [
        "{}",
        r#"{"a": [NaN, Infinity, -Infinity, 1e999, -0.0]}"#,
        r#"{"a": 123456789012345678901234567890123456789012345678901234567890}"#,
        r#"{"a": "\ud800", "b": "\ude00\ud800", "c": "\u0000"}"#,
        r#"{"a": 1, "a": 2}"#,
        r#"{"a": [[1, ["b"]], []], "a.b": {"$c": 1}, "": null}"#,
        r#"{"é": "ключ 😀"}"#,
        r#"{"a": "</script><script>alert(1)</script>"}"#,
        r#"{"name": "x", "base_id": "y", "osprofiler_lost": 7}"#,
        &deep,
    ];
    let rows: Vec<Row<'_>> = infos
        .iter()
        .zip(1..)
        .map(|(info, micros)| ("t", "p", "t", "x-start", micros, *info))
        .collect();
    subject.check_round_trip(&notifications(&rows));
}

fn large_infos(subject: &Subject) {
    let infos: Vec<String> = (0..12)
        .map(|number| format!(r#"{{"a": "{}"}}"#, format!("{number} ").repeat(1 << 19)))
        .collect();
    let rows: Vec<Row<'_>> = infos
        .iter()
        .zip(1..)
        .map(|(info, micros)| ("t", "p", "t", "x-start", micros, &**info))
        .collect();
    subject.check_round_trip(&notifications(&rows));
}

fn absent_texts(subject: &Subject) {
    let mut batch = Notifications::default();
    let sample = notifications(&[("t", "p", "t", "", 1, "{}")]);
    for (project, service) in [
        (None, None),
        (Some(""), None),
        (None, Some("")),
        (Some("é\""), Some("x")),
    ] {
        let mut notification = sample.get(0);
        notification.project = project;
        notification.service = service;
        notification.timestamp = osprofiler::Timestamp::from_micros(batch.len() as i64);
        batch.push(&notification);
    }
    subject.check_round_trip(&batch);
}

fn odd_times(subject: &Subject) {
    let rows: Vec<Row<'_>> = [0, i64::MAX, i64::MIN, -1, 1, 1_795_362_511_857_066]
        .into_iter()
        .map(|micros| ("t", "p", "t", "x-start", micros, "{}"))
        .collect();
    subject.check_round_trip(&notifications(&rows));
}

fn many_traces(subject: &Subject) {
    let connection = subject.connection();
    let traces: Vec<String> = (0..1000).map(|number| format!("trace {number}")).collect();
    let rows: Vec<Row<'_>> = traces
        .iter()
        .zip(0..)
        .flat_map(|(trace, micros)| {
            [
                (&**trace, "p", &**trace, "x-start", micros, "{}"),
                (&**trace, "p", &**trace, "x-stop", micros + 1, "{}"),
            ]
        })
        .collect();
    subject.write(&connection, &notifications(&rows));
    assert_eq!(subject.list(&connection, ListFilter::All).len(), 1000);
    assert_same(
        &subject.read(&connection, "trace 777").0,
        &notifications(&rows[1554..1556]),
    );
}

fn unknown_trace(subject: &Subject) {
    let connection = subject.connection();
    subject.write(&connection, &numbered("t", 0, 1));
    let (read, summary) = subject.read(&connection, "T");
    assert!(read.is_empty());
    assert_eq!(summary, ReadSummary::default());
}

fn writer_reopened(subject: &Subject) {
    let connection = subject.connection();
    for start in [0, 10, 20] {
        subject.write(&connection, &numbered("t", start, 10));
    }
    assert_same(&subject.read(&connection, "t").0, &numbered("t", 0, 30));
}

fn reader_beside_writer(subject: &Subject) {
    let connection = subject.connection();
    let mut writer = subject.writer(&connection);
    writer
        .write(&numbered("t", 0, 10))
        .expect("the batch is stored");
    let mut reader = subject.reader(&connection);
    for count in [20, 30] {
        let mut read = Notifications::default();
        reader
            .read(id("t"), &mut read)
            .expect("the trace can be read");
        assert_same(&read, &numbered("t", 0, count - 10));
        writer
            .write(&numbered("t", count - 10, 10))
            .expect("the batch is stored");
    }
}

fn written_again(subject: &Subject) {
    let connection = subject.connection();
    let mut writer = subject.writer(&connection);
    for _ in 0..2 {
        writer
            .write(&numbered("t", 0, 700))
            .expect("the batch is stored");
    }
    assert_same(&subject.read(&connection, "t").0, &numbered("t", 0, 700));
}

fn list_in_order(subject: &Subject) {
    let connection = subject.connection();
    let mut writer = subject.writer(&connection);
    for rows in [
        [
            ("new", "p", "new", "x-start", 30, "{}"),
            ("old", "p", "old", "x-start", 20, "{}"),
        ],
        [
            ("new", "p", "new", "x-stop", 40, "{}"),
            ("old", "p", "old", "x-start", 10, "{}"),
        ],
        [
            ("mid", "p", "mid", "x-start", 15, "{}"),
            ("new", "q", "new", "x-start", 25, "{}"),
        ],
    ] {
        writer
            .write(&notifications(&rows))
            .expect("the batch is stored");
    }
    let expected = [("old", 10), ("mid", 15), ("new", 25)];
    let expected = expected.map(|(trace, micros)| (trace.to_owned(), micros));
    assert_eq!(subject.list(&connection, ListFilter::All), expected);
    assert_eq!(subject.list(&connection, ListFilter::WithErrors), []);
}

fn list_of_errors(subject: &Subject) {
    let connection = subject.connection();
    let error = r#"{"etype": "ValueError", "message": "x", "host": "a"}"#;
    let mut writer = subject.writer(&connection);
    for rows in [
        [
            ("b", "p", "b", "x-start", 1, "{}"),
            ("b", "p", "b", "x-stop", 30, error),
        ],
        [
            ("b", "q", "b", "x-stop", 20, error),
            ("b", "q", "b", "x-stop", 25, error),
        ],
        [
            ("a", "p", "a", "x-stop", 5, error),
            ("ok", "p", "ok", "x-stop", 2, r#"{"etype": null}"#),
        ],
        [
            ("ok", "p", "ok", "x-start", 3, error),
            ("ok", "p", "ok", "x-stop", 4, r#"{"a": {"etype": "E"}}"#),
        ],
        [
            ("b", "r", "b", "x-stop", 40, error),
            ("b", "r", "b", "x-stop", 50, error),
        ],
    ] {
        writer
            .write(&notifications(&rows))
            .expect("the batch is stored");
    }
    let expected = [("a", 5), ("b", 20)].map(|(trace, micros)| (trace.to_owned(), micros));
    assert_eq!(subject.list(&connection, ListFilter::WithErrors), expected);
    assert_eq!(subject.list(&connection, ListFilter::All).len(), 3);
}

fn losses_add_up(subject: &Subject) {
    let connection = subject.connection();
    let mut writer = subject.writer(&connection);
    writer
        .write(&numbered("t", 0, 1))
        .expect("the batch is stored");
    let loss = |count, reason| Loss { count, reason };
    for (trace, lost) in [
        (Some("t"), loss(3, LossReason::QueueFull)),
        (Some("t"), loss(4, LossReason::QueueFull)),
        (Some("t"), loss(5, LossReason::Exit)),
        (Some("only lost"), loss(6, LossReason::MemoryFull)),
        (None, loss(7, LossReason::Refused)),
    ] {
        writer
            .write_loss(trace.map(id), lost)
            .expect("the loss is stored");
    }
    drop(writer);
    let losses = |trace| {
        let (read, summary) = subject.read(&connection, trace);
        let mut losses = summary.losses;
        losses.sort_by_key(|loss| loss.reason);
        assert_eq!(summary.skipped, 0);
        (read.len(), losses)
    };
    let of_t = vec![loss(7, LossReason::QueueFull), loss(5, LossReason::Exit)];
    assert_eq!(losses("t"), (1, of_t));
    assert_eq!(
        losses("only lost"),
        (0, vec![loss(6, LossReason::MemoryFull)])
    );
    assert_eq!(losses("other"), (0, vec![]));
}

fn two_processes(subject: &Subject) {
    let store = (subject.fresh)();
    let connection = parse(&store);
    let children = [0, 1000, 2000].map(|from| subject.second_process(&store, from, 500));
    for mut child in children {
        assert!(child.wait().expect("the second process ends").success());
    }
    let (mut read, summary) = subject.read(&connection, "t");
    read.sort_by_timestamp();
    let mut expected = Notifications::default();
    for from in [0, 1000, 2000] {
        expected.extend(numbered("t", from, 500).iter());
    }
    assert_same(&read, &expected);
    assert_eq!(summary, ReadSummary::default());
}

fn bounded_store(subject: &Subject) {
    let connection = parse(&format!("{}?max_size=300KB", (subject.fresh)()));
    let mut writer = subject.writer(&connection);
    let (mut written, mut lost) = (0, 0);
    for number in 0..60 {
        let info = format!(r#"{{"a": "{}"}}"#, random_text(number, 20_000));
        let trace = format!("trace {number}");
        writer
            .write(&notifications(&[(
                &trace, "p", &trace, "x-start", number, &info,
            )]))
            .expect("the batch is stored");
        written += 1;
    }
    for loss in writer.take_losses() {
        assert_eq!(loss.reason, LossReason::Evicted);
        lost += loss.count as usize;
    }
    let listed = subject.list(&connection, ListFilter::All);
    assert_eq!(listed.len() + lost, written);
    assert!(lost > 30 && listed.len() > 5, "{lost} of {written} evicted");
    assert_eq!(listed.last(), Some(&("trace 59".to_owned(), 59)));
    let (read, summary) = subject.read(&connection, "trace 0");
    assert!(read.is_empty());
    let reason = LossReason::Evicted;
    assert_eq!(summary.losses, [Loss { count: 1, reason }]);
}

/// Text that no compression makes small.
fn random_text(seed: i64, length: usize) -> String {
    let mut state = seed as u64 + 0x9e37_79b9_7f4a_7c15;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'!' + 2 + (state >> 33) as u8 % 57)
        })
        .collect()
}
