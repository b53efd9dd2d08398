// SPDX-License-Identifier: Apache-2.0
//! The report as JSON: upstream's members in upstream's order, and its bytes where the input is in upstream's order.
//!
//! Written as it goes, never held as a whole. An `info` goes through as tokens of its own text: numbers, `NaN` and lone
//! surrogates come out as they went in. From [`DEEPEST_INDENTED`] levels on nothing is indented, or the size would grow with the
//! square of the depth; upstream has no output there. Members that upstream does not have (`lost`, `skipped`, `cycles`,
//! `cycle`) stand only where there is something to tell.

use std::fmt::Write as _;
use std::io;

use osprofiler::wire::json::{self, Malformed, Scanner, Token};
use osprofiler::{Id, Kind, Notification};

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
    to: &mut dyn io::Write,
) -> io::Result<()> {
    let mut out = JsonText::default();
    out.open('{');
    out.member("info");
    total(report, &mut out);
    out.member("children");
    out.open('[');
    for step in report.walk() {
        match step {
            Step::Enter(id) => {
                let point = report.point(id);
                out.element();
                out.open('{');
                out.member("info");
                info(point, &mut out);
                out.member("trace_id");
                out.id(point.trace_id());
                out.member("parent_id");
                out.id(point.parent_id());
                out.member("children");
                out.open('[');
            }
            Step::Leave(_) => {
                out.close(']');
                out.close('}');
            }
        }
        if out.text.len() >= PIECE_BYTES {
            to.write_all(out.text.as_bytes())?;
            out.text.clear();
        }
    }
    out.close(']');
    out.member("stats");
    out.open('{');
    for total in report.names() {
        out.member(&total.name);
        out.open('{');
        out.member("count");
        out.number(total.count);
        out.member("duration");
        out.number(total.duration_ms);
        out.close('}');
    }
    out.close('}');
    out.close('}');
    to.write_all(out.text.as_bytes())
}

fn total(report: &Report, out: &mut JsonText) {
    let last_started_ms = report.times.last_started.map(|micros| micros / 1000);
    let finished_ms = (!report.is_empty()).then_some(report.times.finished / 1000);
    out.open('{');
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
        out.number(lost);
        out.member("lost_by_reason");
        out.open('{');
        for loss in report.summary().losses.iter().filter(|loss| loss.count > 0) {
            out.member(loss.reason.name());
            out.number(loss.count);
        }
        out.close('}');
    }
    for (key, count) in [
        ("skipped", report.summary().skipped),
        ("cycles", report.cycles() as u64),
    ] {
        if count > 0 {
            out.member(key);
            out.number(count);
        }
    }
    out.close('}');
}

/// The members about times stand where the first notification put them, behind its payload.
fn info(point: Point<'_>, out: &mut JsonText) {
    out.open('{');
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
            Kind::Start if !has_started => {
                has_started = true;
                out.member("started");
                out.number(point.started_ms());
            }
            Kind::Stop if !has_finished => {
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
    out.close('}');
}

/// JSON text in the making. The caller opens, names members and closes in an order that makes sense.
#[derive(Default)]
struct JsonText {
    text: String,
    level: usize,
    /// Whether the innermost open container has nothing in it yet.
    is_empty: bool,
    /// For use in between.
    escapes: String,
}

impl JsonText {
    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        self.level += 1;
        self.is_empty = true;
    }

    fn close(&mut self, bracket: char) {
        if !self.is_empty {
            self.new_line(self.level - 1);
        }
        self.level -= 1;
        self.text.push(bracket);
        self.is_empty = false;
    }

    /// Begins the next element of an array.
    fn element(&mut self) {
        if !self.is_empty {
            self.text.push(',');
        }
        self.new_line(self.level);
        self.is_empty = false;
    }

    /// Begins the next member of an object.
    fn member(&mut self, key: &str) {
        self.element();
        json::push_text(key, &mut self.text);
        self.text.push_str(": ");
    }

    /// Breaks the line inside the innermost container.
    fn new_line(&mut self, indent: usize) {
        const BLANKS: &str = "                                                                ";
        if self.level > DEEPEST_INDENTED {
            return;
        }
        self.text.push('\n');
        let mut blanks = 2 * indent;
        while blanks > 0 {
            let piece = blanks.min(BLANKS.len());
            self.text.push_str(&BLANKS[..piece]);
            blanks -= piece;
        }
    }

    fn payload(&mut self, notification: &Notification<'_>) {
        self.member(&format!("meta.raw_payload.{}", notification.name));
        self.open('{');
        self.member("name");
        self.string(notification.name);
        self.member("base_id");
        self.id(notification.base_id);
        self.member("trace_id");
        self.id(notification.trace_id);
        self.member("parent_id");
        self.id(notification.parent_id);
        self.member("timestamp");
        self.display(format_args!("\"{}\"", notification.timestamp));
        self.member("info");
        self.raw(notification.info);
        self.member("project");
        self.string_or_null(notification.project);
        self.member("service");
        self.string_or_null(notification.service);
        self.close('}');
    }

    fn id(&mut self, id: Id<'_>) {
        if let Some(text) = id.as_text() {
            return self.string(text);
        }
        self.text.push('"');
        id.push_to(&mut self.text);
        self.text.push('"');
    }

    fn number(&mut self, number: impl std::fmt::Display) {
        self.display(format_args!("{number}"));
    }

    fn number_or_null(&mut self, number: Option<i64>) {
        match number {
            Some(number) => self.number(number),
            None => self.text.push_str("null"),
        }
    }

    fn string(&mut self, text: &str) {
        json::push_text(text, &mut self.text);
    }

    fn string_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None => self.text.push_str("null"),
        }
    }

    fn display(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = self.text.write_fmt(text);
    }

    /// JSON text as it is, but for blanks, which become this document's, and characters outside ASCII, which become
    /// escapes. What is no JSON becomes a string.
    fn raw(&mut self, text: &str) {
        let (end, level) = (self.text.len(), self.level);
        if self.tokens(text).is_err() {
            self.text.truncate(end);
            self.level = level;
            self.string(text);
        }
        self.is_empty = false;
    }

    fn tokens(&mut self, text: &str) -> Result<(), Malformed> {
        let mut scanner = Scanner::new(text);
        let outer = self.level;
        let mut is_member = false;
        while let Some(token) = scanner.next_token()? {
            let ends = matches!(token, Token::ObjectEnd | Token::ArrayEnd);
            if !is_member && !ends && self.level > outer {
                self.element();
            }
            is_member = false;
            match token {
                Token::ObjectStart => self.open('{'),
                Token::ArrayStart => self.open('['),
                Token::ObjectEnd => self.close('}'),
                Token::ArrayEnd => self.close(']'),
                Token::Key(key) => {
                    self.token(key);
                    self.text.push_str(": ");
                    is_member = true;
                }
                Token::Text(text) | Token::Number(text) | Token::Literal(text) => self.token(text),
            }
        }
        Ok(())
    }

    /// A token with its own escapes; what lies outside printable ASCII needs some of ours.
    fn token(&mut self, token: &str) {
        if token.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.text.push_str(token);
        }
        let mut rest = token;
        while let Some(begin) = rest.find(|character| !matches!(character, ' '..='~')) {
            let (before, others) = rest.split_at(begin);
            let end = others
                .find(|character| matches!(character, ' '..='~'))
                .unwrap_or(others.len());
            self.text.push_str(before);
            self.escapes.clear();
            json::push_text(&others[..end], &mut self.escapes);
            self.text.push_str(self.escapes.trim_matches('"'));
            rest = &others[end..];
        }
        self.text.push_str(rest);
    }
}
