// SPDX-License-Identifier: Apache-2.0
//! Notifications and losses as JSON lines: what the `file` driver stores, recorded traces are and an export writes.
//!
//! Bytes in, one item a line out. A line is a notification, a loss, or junk to be skipped and counted; none is ever longer in
//! memory than [`MAX_LINE_BYTES`]. A loss is a line of its own kind, which readers that look for a `name` pass over.

use std::io::{self, BufRead};

use super::json;
use super::{ParsedNotification, Reject, parse, push_id, push_json};
use crate::{Id, Loss, LossReason, Notification};

/// The longest line that is read: room for one `info` of 1 MiB, each byte escaped as six.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// What some editors put before a text in UTF-8. It belongs to no line.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const LOSS_PREFIX: &str = r#"{"osprofiler_lost": "#;

/// Appends the notification as one line, its end included. Line ends between an info's tokens become blanks.
pub fn push_line(notification: &Notification<'_>, out: &mut String) {
    let start = out.len();
    push_json(notification, out);
    if out.as_bytes()[start..].iter().any(|&byte| byte < b' ') {
        let line = out.split_off(start).replace(['\n', '\r'], " ");
        out.push_str(&line);
    }
    out.push('\n');
}

/// Appends a loss as one line, its end included: `{"osprofiler_lost": 3, "reason": "exit", "base_id": "..."}`, `base_id` null
/// if nobody knows the trace.
pub fn push_loss_line(base_id: Option<Id<'_>>, loss: Loss, out: &mut String) {
    out.push_str(LOSS_PREFIX);
    out.push_str(&loss.count.to_string());
    out.push_str(r#", "reason": ""#);
    out.push_str(loss.reason.name());
    out.push_str(r#"", "base_id": "#);
    match base_id {
        Some(id) => push_id(id, out),
        None => out.push_str("null"),
    }
    out.push_str("}\n");
}

/// Reads a loss that [`push_loss_line`] wrote. The id comes as its text.
pub fn parse_loss(line: &[u8]) -> Option<(Option<String>, Loss)> {
    let text = std::str::from_utf8(line).ok()?;
    if !text.starts_with(LOSS_PREFIX) {
        return None;
    }
    json::check_object(text).ok()?;
    let text_of = |name| json::member(text, name).filter(|value| value.starts_with('"'));
    let loss = Loss {
        count: json::member(text, "osprofiler_lost")?.parse().ok()?,
        reason: LossReason::from_name(&json::unescape(text_of("reason")?))?,
    };
    let base_id = text_of("base_id").map(|value| json::unescape(value).into_owned());
    Some((base_id, loss))
}

/// The lines of a reader, one after the other, in one buffer.
pub struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    position: u64,
}

/// What a line is.
pub enum Line<'a> {
    /// A notification.
    Notification(ParsedNotification<'a>),
    /// A loss, and the id of its trace.
    Loss(Option<String>, Loss),
    /// Neither, and why it is no notification.
    Junk(Reject),
}

impl<R: BufRead> Lines<R> {
    /// Lines of `reader`, from where it stands.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
            position: 0,
        }
    }

    /// How many bytes were taken from the reader: where the next line begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next line that is not blank, `None` at the end. A last line without its end counts as any other: half of one is
    /// junk, a whole one is not.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let is_first = self.position == 0;
            let Some(whole) = self.read_line()? else {
                return Ok(None);
            };
            if is_first && self.line.starts_with(BYTE_ORDER_MARK) {
                self.line.drain(..BYTE_ORDER_MARK.len());
            }
            if !whole {
                return Ok(Some(Line::Junk(Reject::TooLong)));
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        let line = self.line.trim_ascii();
        Ok(Some(match parse(line) {
            Ok(notification) => Line::Notification(notification),
            Err(reject) => match parse_loss(line) {
                Some((base_id, loss)) => Line::Loss(base_id, loss),
                None => Line::Junk(reject),
            },
        }))
    }

    /// Reads one line; `Some(false)` if it was too long, and is gone.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        let (mut any, mut whole) = (false, true);
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(any.then_some(whole));
            }
            any = true;
            let end = available.iter().position(|&byte| byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            whole &= self.line.len() + part.len() <= MAX_LINE_BYTES;
            if whole {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            self.position += used as u64;
            if end.is_some() {
                return Ok(Some(whole));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: &[&str]) {
        let mut lines = Lines::new(io::BufReader::with_capacity(7, text));
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push(match line {
                Line::Notification(parsed) => parsed.as_notification().name.to_owned(),
                Line::Loss(base_id, loss) => {
                    format!("{} {} {base_id:?}", loss.count, loss.reason.name())
                }
                Line::Junk(reject) => format!("! {reject}"),
            });
        }
        assert_eq!(found, expected);
    }

    const GOOD: &str = r#"{"name": "n", "base_id": "b", "trace_id": "t", "parent_id": "p", "timestamp": "2026-01-01T00:00:00.000001", "info": {}, "project": null, "service": null}"#;

    #[test]
    fn junk_is_told_and_the_rest_is_read() {
        let half = &GOOD[..62];
        let text = format!("{GOOD}\n\n  \r\n{GOOD}\r\n\u{0}\u{1}\n{{}}\n{GOOD}\n{half}");
        check(
            text.as_bytes(),
            &[
                "n",
                "n",
                "! not JSON: no value at byte 0",
                "! no member `name`",
                "n",
                "! not JSON: the text ends within a text value at byte 62",
            ],
        );
        check(b"\xff\xfe\n", &["! not UTF-8"]);
        check(GOOD.as_bytes(), &["n"]);
        check(b"", &[]);
    }

    #[test]
    fn the_first_line_behind_a_byte_order_mark_is_read() {
        check(format!("\u{feff}{GOOD}\n{GOOD}").as_bytes(), &["n", "n"]);
        check(format!("\u{feff}\n{GOOD}").as_bytes(), &["n"]);
        check("\u{feff}".as_bytes(), &[]);
        let later = format!("{GOOD}\n\u{feff}{GOOD}");
        check(later.as_bytes(), &["n", "! not JSON: no value at byte 0"]);
    }

    #[test]
    fn a_line_too_long_is_skipped_and_what_follows_is_read() {
        let text = "x".repeat(MAX_LINE_BYTES + 1) + "\n" + GOOD + "\n";
        check(text.as_bytes(), &["! longer than 8388608 bytes", "n"]);
    }

    #[test]
    fn a_loss_comes_back() {
        let mut text = String::new();
        for (id, reason) in [
            (Some("b\"é"), LossReason::Evicted),
            (None, LossReason::Exit),
        ] {
            let loss = Loss { count: 3, reason };
            push_loss_line(id.map(|id| Id::parse(id).unwrap()), loss, &mut text);
            text.push('\n');
        }
        check(
            text.as_bytes(),
            &["3 evicted Some(\"b\\\"é\")", "3 exit None"],
        );
        check(
            br#"{"osprofiler_lost": -3, "reason": "exit", "base_id": null}"#,
            &["! no member `name`"],
        );
    }
}
