// SPDX-License-Identifier: Apache-2.0
//! The report as JSON: upstream's members in upstream's order, and its bytes where the input is in upstream's order.
//!
//! Written as it goes, never held as a whole. An `info` goes through as tokens of its own text: numbers, `NaN` and lone
//! surrogates come out as they went in. From [`DEEPEST_INDENTED`] levels on nothing is indented, or the size would grow with the
//! square of the depth; upstream has no output there. Members that upstream does not have (`lost`, `skipped`, `cycles`,
//! `cycle`) stand only where there is something to tell.

use std::io::{self, Write};

use osprofiler::{Id, Notification};

use crate::renderer::RenderOptions;
use crate::report::{Point, Report};
use crate::walk::Step;

/// A point at a depth of 500, the payload's own members included.
const DEEPEST_INDENTED: usize = 1024;

/// Once this much is written it goes to the caller.
const PIECE_BYTES: usize = 64 * 1024;

/// Writes `report`.
pub(crate) fn render(
    report: &Report,
    _options: &RenderOptions,
    to: &mut dyn Write,
) -> io::Result<()> {
    let mut out = JsonText::default();
    out.open(b'{');
    out.member("info");
    total(report, &mut out);
    out.member("children");
    out.open(b'[');
    for step in report.walk() {
        match step {
            Step::Enter(id) => {
                let point = report.point(id);
                out.element();
                out.open(b'{');
                out.member("info");
                info(point, &mut out);
                out.member("trace_id");
                out.id(point.trace_id());
                out.member("parent_id");
                out.id(point.parent_id());
                out.member("children");
                out.open(b'[');
            }
            Step::Leave(_) => {
                out.close(b']');
                out.close(b'}');
            }
        }
        if out.bytes.len() >= PIECE_BYTES {
            to.write_all(&out.bytes)?;
            out.bytes.clear();
        }
    }
    out.close(b']');
    out.member("stats");
    out.open(b'{');
    for total in report.names() {
        out.member(&total.name);
        out.open(b'{');
        out.member("count");
        out.number(total.count as i64);
        out.member("duration");
        out.number(total.duration_ms);
        out.close(b'}');
    }
    out.close(b'}');
    out.close(b'}');
    to.write_all(&out.bytes)
}

fn total(report: &Report, out: &mut JsonText) {
    let last_started_ms = report.times.last_started.map(|micros| micros / 1000);
    let finished_ms = (!report.is_empty()).then_some(report.times.finished / 1000);
    out.open(b'{');
    out.member("name");
    out.string("total");
    out.member("started");
    out.number(0);
    out.member("finished");
    out.number_or_null(finished_ms);
    out.member("last_trace_started");
    out.number_or_null(last_started_ms);
    let lost = report.lost();
    if lost > 0 {
        out.member("lost");
        out.number(lost as i64);
        out.member("lost_by_reason");
        out.open(b'{');
        for loss in report.summary().losses.iter().filter(|loss| loss.count > 0) {
            out.member(loss.reason.name());
            out.number(loss.count as i64);
        }
        out.close(b'}');
    }
    for (key, count) in [
        ("skipped", report.summary().skipped as i64),
        ("cycles", report.cycles() as i64),
    ] {
        if count > 0 {
            out.member(key);
            out.number(count);
        }
    }
    out.close(b'}');
}

/// The members about times stand where the first notification put them, behind its payload.
fn info(point: Point<'_>, out: &mut JsonText) {
    out.open(b'{');
    out.member("name");
    out.string(point.name());
    out.member("project");
    out.string_or_null(point.project());
    out.member("service");
    out.string_or_null(point.service());
    out.member("host");
    out.raw(point.host_json().unwrap_or("null"));
    let (mut has_started, mut has_finished) = (false, false);
    for notification in point.payloads() {
        out.payload(&notification);
        match notification.kind() {
            osprofiler::Kind::Start if !has_started => {
                has_started = true;
                out.member("started");
                out.number(point.started_ms());
            }
            osprofiler::Kind::Stop if !has_finished => {
                has_finished = true;
                out.member("finished");
                out.number(point.finished_ms());
                out.member("exception");
                out.raw(point.exception_json());
            }
            _ => {}
        }
    }
    if !has_started {
        out.member("started");
        out.number(point.started_ms());
    }
    if !has_finished {
        out.member("finished");
        out.number(point.finished_ms());
    }
    if point.closes_cycle() {
        out.member("cycle");
        out.raw("true");
    }
    out.close(b'}');
}

/// JSON text in the making. The caller opens, names members and closes in an order that makes sense.
#[derive(Default)]
struct JsonText {
    bytes: Vec<u8>,
    level: usize,
    /// Whether the innermost open container has nothing in it yet.
    is_empty: bool,
}

impl JsonText {
    fn open(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.level += 1;
        self.is_empty = true;
    }

    fn close(&mut self, bracket: u8) {
        if !self.is_empty {
            self.new_line(self.level, self.level - 1);
        }
        self.level -= 1;
        self.bytes.push(bracket);
        self.is_empty = false;
    }

    /// Begins the next element of an array.
    fn element(&mut self) {
        if !self.is_empty {
            self.bytes.push(b',');
        }
        self.new_line(self.level, self.level);
        self.is_empty = false;
    }

    /// Begins the next member of an object.
    fn member(&mut self, key: &str) {
        self.element();
        self.string(key);
        self.bytes.extend_from_slice(b": ");
    }

    /// Breaks the line inside a container whose content stands at `level`.
    fn new_line(&mut self, level: usize, indent: usize) {
        if level <= DEEPEST_INDENTED {
            self.bytes.push(b'\n');
            self.bytes.resize(self.bytes.len() + 2 * indent, b' ');
        }
    }

    fn payload(&mut self, notification: &Notification<'_>) {
        self.element();
        self.bytes.extend_from_slice(b"\"meta.raw_payload.");
        self.escaped(notification.name);
        self.bytes.extend_from_slice(b"\": ");
        self.open(b'{');
        self.member("name");
        self.string(notification.name);
        self.member("base_id");
        self.id(notification.base_id);
        self.member("trace_id");
        self.id(notification.trace_id);
        self.member("parent_id");
        self.id(notification.parent_id);
        self.member("timestamp");
        self.bytes.push(b'"');
        self.bytes
            .extend_from_slice(&notification.timestamp.to_bytes());
        self.bytes.push(b'"');
        self.member("info");
        self.raw(notification.info);
        self.member("project");
        self.string_or_null(notification.project);
        self.member("service");
        self.string_or_null(notification.service);
        self.close(b'}');
    }

    fn id(&mut self, id: Id<'_>) {
        match id.as_text() {
            Some(text) => self.string(text),
            None => {
                // Hex digits and hyphens need no escapes; a write into memory does not fail.
                let _ = write!(self.bytes, "\"{id}\"");
            }
        }
    }

    fn number(&mut self, number: i64) {
        let _ = write!(self.bytes, "{number}");
    }

    fn number_or_null(&mut self, number: Option<i64>) {
        match number {
            Some(number) => self.number(number),
            None => self.bytes.extend_from_slice(b"null"),
        }
    }

    fn string(&mut self, text: &str) {
        self.bytes.push(b'"');
        self.escaped(text);
        self.bytes.push(b'"');
    }

    fn string_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None => self.bytes.extend_from_slice(b"null"),
        }
    }

    /// The inside of a string, in ASCII as Python's `json` writes it.
    fn escaped(&mut self, text: &str) {
        let mut rest = text;
        while let Some(position) = rest
            .bytes()
            .position(|byte| !(b' '..=b'~').contains(&byte) || byte == b'"' || byte == b'\\')
        {
            self.bytes.extend_from_slice(&rest.as_bytes()[..position]);
            let Some(character) = rest[position..].chars().next() else {
                return;
            };
            self.escape(character);
            rest = &rest[position + character.len_utf8()..];
        }
        self.bytes.extend_from_slice(rest.as_bytes());
    }

    fn escape(&mut self, character: char) {
        match character {
            '"' => self.bytes.extend_from_slice(b"\\\""),
            '\\' => self.bytes.extend_from_slice(b"\\\\"),
            '\n' => self.bytes.extend_from_slice(b"\\n"),
            '\r' => self.bytes.extend_from_slice(b"\\r"),
            '\t' => self.bytes.extend_from_slice(b"\\t"),
            '\u{8}' => self.bytes.extend_from_slice(b"\\b"),
            '\u{c}' => self.bytes.extend_from_slice(b"\\f"),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(self.bytes, "\\u{unit:04x}");
                }
            }
        }
    }

    /// JSON text as it is, but for blanks, which become this document's, and characters outside ASCII, which become
    /// escapes.
    fn raw(&mut self, text: &str) {
        let outer = self.level;
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                b':' => {
                    self.bytes.extend_from_slice(b": ");
                    at += 1;
                }
                b',' => {
                    self.bytes.push(b',');
                    self.new_line(self.level, self.level);
                    at += 1;
                }
                b'}' | b']' => {
                    if self.level > outer {
                        self.close(byte);
                    }
                    at += 1;
                }
                _ => {
                    if self.is_empty {
                        self.new_line(self.level, self.level);
                        self.is_empty = false;
                    }
                    let begin = at;
                    at += 1;
                    match byte {
                        b'{' | b'[' => self.open(byte),
                        b'"' => {
                            at = string_end(bytes, at);
                            self.token(&text[begin..at]);
                        }
                        _ => {
                            at = scalar_end(bytes, at);
                            self.token(&text[begin..at]);
                        }
                    }
                }
            }
        }
        self.level = outer;
    }

    fn token(&mut self, text: &str) {
        let mut rest = text;
        while let Some(position) = rest.bytes().position(|byte| !(b' '..=b'~').contains(&byte)) {
            self.bytes.extend_from_slice(&rest.as_bytes()[..position]);
            let Some(character) = rest[position..].chars().next() else {
                return;
            };
            self.escape(character);
            rest = &rest[position + character.len_utf8()..];
        }
        self.bytes.extend_from_slice(rest.as_bytes());
    }
}

/// Where the string ends that begins before `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Where the number or word ends that begins before `at`.
fn scalar_end(bytes: &[u8], mut at: usize) -> usize {
    while bytes
        .get(at)
        .is_some_and(|byte| !b" \t\n\r,:]}[{\"".contains(byte))
    {
        at += 1;
    }
    at
}
