// SPDX-License-Identifier: Apache-2.0
//! What every format owes: each renderer of the registry takes any trace there can be, writes as it goes, and stops at the
//! first error of whoever it writes to.

use std::io::{self, Write};

use osprofiler_report::{Color, RENDERERS, RenderOptions, Report};

use crate::drawing::{Event, event, read, report};
use crate::fixtures;

/// The report in each format, with its name.
fn each_format(report: &Report) -> impl Iterator<Item = (&'static str, String)> {
    RENDERERS.iter().map(|renderer| {
        let text = fixtures::render(report, renderer.name, &RenderOptions::default());
        (renderer.name, text)
    })
}

#[test]
fn names_are_words_and_unique() {
    let mut names: Vec<_> = RENDERERS.iter().map(|renderer| renderer.name).collect();
    assert!(
        names
            .iter()
            .all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase()))
    );
    assert!(RENDERERS.iter().all(|renderer| renderer.summary.len() > 10));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RENDERERS.len());
}

#[test]
fn a_chain_of_100_000_points_is_a_report_in_each_format() {
    let mut events = Vec::new();
    let mut parent = "B".to_owned();
    for number in 0..100_000 {
        let id = number.to_string();
        events.push(event("p-start", &id, &parent, number));
        parent = id;
    }
    for (format, text) in each_format(&report(&events)) {
        assert!(text.len() > 1000, "{format}");
    }
}

#[test]
fn cycles_and_nothing_are_reports_in_each_format() {
    let cycle = [event("a-start", "1", "2", 0), event("b-start", "2", "1", 1)];
    for (format, text) in each_format(&report(&cycle)) {
        assert!(text.len() > 10, "{format}");
    }
    for (format, text) in each_format(&report(&[])) {
        assert!(!text.is_empty(), "{format}");
    }
}

#[test]
fn infos_that_are_no_objects_are_shown_in_each_format() {
    let deep = "[".repeat(100_000);
    let huge = format!(r#"{{"db": {{"statement": "{}"}}}}"#, "x".repeat(1 << 20));
    let events: Vec<Event> = [
        "",
        "null",
        "7",
        "{",
        "}",
        "[]",
        "\"",
        "{\"request\": 1, \"db\": [], \"function\": null}",
        "{\"request\": {\"path\": {}, \"method\": [7]}}",
        "{\"function\": {\"name\": \"...\"}}",
        "{\"db\": {\"statement\": \"\\ud800\"}, \"etype\": {}, \"message\": [1]}",
        &deep,
        &huge,
    ]
    .into_iter()
    .enumerate()
    .flat_map(|(number, info)| {
        ["start", "stop"].map(|end| Event {
            info: info.to_owned(),
            ..event(&format!("x-{end}"), &number.to_string(), "B", 0)
        })
    })
    .collect();
    for (format, text) in each_format(&report(&events)) {
        assert!(!text.is_empty(), "{format}");
    }
}

/// Takes so many bytes and then fails.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        match taken {
            0 => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_of_the_output_is_handed_on() {
    let report = report(&read("wsgi 0..10 api\n  db 1..2 api\n"));
    let options = RenderOptions {
        color: Color::Ansi,
        ..RenderOptions::default()
    };
    for renderer in RENDERERS {
        for room in [0, 1, 100] {
            let error = (renderer.render)(&report, &options, &mut Full(room)).unwrap_err();
            assert_eq!(
                error.kind(),
                io::ErrorKind::StorageFull,
                "{}",
                renderer.name
            );
        }
    }
}
