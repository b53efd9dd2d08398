// SPDX-License-Identifier: Apache-2.0
//! An event's info, read back from a record: written as the JSON text of one object, on the delivery thread.
//!
//! Separators and escapes are those of Python's `json.dumps` (`", "`, `": "`, ASCII only), which stores already hold. Objects and lists
//! are written without recursion, down to 16 levels.

use std::fmt::Write;

use crate::wire::json::{push_escaped, push_text};

use super::names::{Entry, Part};
use super::value::sealed::Encode;
use super::value::{Encoder, tag};

/// The levels of objects and lists that are written; what lies deeper is marked as cut.
const MAX_LEVELS: usize = 16;

/// What an event carries beside names and ids. Borrowed from the recorder's memory.
#[derive(Clone, Copy)]
pub struct Info<'a>(pub(super) Source<'a>);

#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    None,
    /// A shape, and the values of its holes.
    Shape(&'static Entry, &'a [u8]),
    /// The text of a JSON object.
    Json(&'a str),
}

impl Info<'_> {
    /// Whether there is nothing but the host to tell.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Source::None)
    }

    /// Appends the info as the text of one JSON object, `host` last. A JSON text that has a `host` of its own keeps it.
    pub fn push_json(&self, host: &str, out: &mut String) {
        match self.0 {
            Source::None => out.push_str("{\"host\": \""),
            Source::Shape(entry, bytes) => entry.pieces().push_filled(bytes, out),
            Source::Json(text) => return push_with_host(text, host, out),
        }
        push_escaped(host, out);
        out.push_str("\"}");
    }
}

/// What is the same in each info of a shape, as JSON text cut at its holes; it ends with the quote before the host.
pub(super) struct Pieces {
    before_holes: Vec<Piece>,
    last: String,
}

/// The text before a hole, and how many objects are open there.
struct Piece {
    text: String,
    level: usize,
}

impl Pieces {
    pub(super) fn new(parts: &[Part]) -> Self {
        let mut before_holes = Vec::new();
        let mut text = String::new();
        let mut writer = Writer::new(&mut text);
        writer.open(b'{');
        for part in parts {
            match part {
                Part::Key(key) => writer.key(key),
                Part::Open => writer.open(b'{'),
                Part::Close => writer.close(b'}'),
                Part::Static(value) => {
                    let mut encoder = Encoder::owned();
                    Encode::encode(*value, &mut encoder);
                    writer.value(&mut encoder.own_bytes());
                }
                Part::Hole => {
                    // In a hole that lies too deep nothing is written either.
                    writer.begin_value();
                    before_holes.push(Piece {
                        text: std::mem::take(writer.out),
                        level: writer.level,
                    });
                }
            }
        }
        writer.key("host");
        text.push('"');
        Self {
            before_holes,
            last: text,
        }
    }

    /// Appends the text with the values `bytes` in its holes.
    fn push_filled(&self, mut bytes: &[u8], out: &mut String) {
        for piece in &self.before_holes {
            out.push_str(&piece.text);
            let mut writer = Writer::new(out);
            writer.level = piece.level;
            writer.value(&mut bytes);
        }
        out.push_str(&self.last);
    }
}

impl std::fmt::Debug for Info<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.push_json("", &mut text);
        f.write_str(&text)
    }
}

/// Writes JSON, with what a token stream leaves out: commas, and a bound on depth.
struct Writer<'o> {
    out: &'o mut String,
    /// How many objects and lists are open, those beyond the bound included.
    level: usize,
    /// A member or item was written on the current level.
    follows: bool,
    /// A key was written, its value is next.
    after_key: bool,
}

impl<'o> Writer<'o> {
    fn new(out: &'o mut String) -> Self {
        Self {
            out,
            level: 0,
            follows: false,
            after_key: false,
        }
    }

    /// Whether what comes now lies too deep to be written.
    fn is_too_deep(&self) -> bool {
        self.level > MAX_LEVELS
    }

    /// Writes what comes before a value. Whether the value is to be written.
    fn begin_value(&mut self) -> bool {
        if self.is_too_deep() {
            return false;
        }
        if self.follows && !self.after_key {
            self.out.push_str(", ");
        }
        self.after_key = false;
        self.follows = true;
        true
    }

    fn open(&mut self, bracket: u8) {
        if self.begin_value() {
            if self.level == MAX_LEVELS {
                self.out.push_str("\"(cut: more than 16 levels)\"");
            } else {
                self.out.push(char::from(bracket));
            }
        }
        self.level += 1;
        self.follows = false;
    }

    fn close(&mut self, bracket: u8) {
        self.level = self.level.saturating_sub(1);
        if self.level < MAX_LEVELS {
            self.out.push(char::from(bracket));
        }
        self.follows = true;
        self.after_key = false;
    }

    fn key(&mut self, key: &str) {
        if !self.is_too_deep() {
            if self.follows {
                self.out.push_str(", ");
            }
            push_text(key, self.out);
            self.out.push_str(": ");
            self.after_key = true;
        }
    }

    fn string(&mut self, text: &str) {
        if self.begin_value() {
            push_text(text, self.out);
        }
    }

    fn literal(&mut self, text: &str) {
        if self.begin_value() {
            self.out.push_str(text);
        }
    }

    fn number(&mut self, number: impl std::fmt::Display) {
        if self.begin_value() {
            // Writing into a `String` does not fail.
            let _ = write!(self.out, "{number}");
        }
    }

    fn float(&mut self, number: f64) {
        // As Python writes what JSON has no word for.
        match number {
            _ if number.is_nan() => self.literal("NaN"),
            f64::INFINITY => self.literal("Infinity"),
            f64::NEG_INFINITY => self.literal("-Infinity"),
            _ => self.number(format_args!("{number:?}")),
        }
    }

    /// Writes one value, with all that lies in it, and moves `bytes` behind it. Bytes that are no value end the info early: they
    /// were written by this process, so it is not expected, and it must not end it.
    fn value(&mut self, bytes: &mut &[u8]) {
        let bottom = self.level;
        // Bit `level - bottom` says whether that level is an object; deeper than 64 levels cannot be encoded usefully.
        let mut objects = 0u64;
        let mut at_key = false;
        loop {
            let Some(tag) = take::<1>(bytes).map(|[tag]| tag) else {
                self.literal("null");
                return;
            };
            if at_key && tag != tag::CLOSE {
                let key = take_text(bytes);
                self.key(key);
                at_key = false;
                continue;
            }
            match tag {
                tag::NULL => self.literal("null"),
                tag::FALSE => self.literal("false"),
                tag::TRUE => self.literal("true"),
                tag::SIGNED => {
                    let number = i64::from_le_bytes(take(bytes).unwrap_or_default());
                    self.number(number);
                }
                tag::UNSIGNED => {
                    let number = u64::from_le_bytes(take(bytes).unwrap_or_default());
                    self.number(number);
                }
                tag::FLOAT => {
                    let bits = u64::from_le_bytes(take(bytes).unwrap_or_default());
                    self.float(f64::from_bits(bits));
                }
                tag::DIGITS => {
                    let digits = take_text(bytes);
                    self.literal(digits);
                }
                tag::TEXT => {
                    let text = take_text(bytes);
                    self.string(text);
                }
                tag::CUT => {
                    let text = take_text(bytes);
                    if self.begin_value() {
                        self.out.push('"');
                        push_escaped(text, self.out);
                        self.out.push_str("... (cut)\"");
                    }
                }
                tag::OPEN | tag::LIST => {
                    let is_object = tag == tag::OPEN;
                    self.open(if is_object { b'{' } else { b'[' });
                    objects = objects << 1 | u64::from(is_object);
                }
                _ => {
                    self.close(if tag == tag::CLOSE { b'}' } else { b']' });
                    objects >>= 1;
                }
            }
            if self.level <= bottom {
                return;
            }
            at_key = objects & 1 == 1;
        }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> &'a str {
    let length = u32::from_le_bytes(take(bytes).unwrap_or_default()) as usize;
    let (text, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    std::str::from_utf8(text).unwrap_or_default()
}

/// Appends the JSON object `text`, with a member `host` at its end unless it has one.
fn push_with_host(text: &str, host: &str, out: &mut String) {
    let text = text.trim_ascii();
    let Some(inner) = text
        .strip_prefix('{')
        .and_then(|inner| inner.strip_suffix('}'))
    else {
        // No object: kept as a text, so that what goes on is an object.
        out.push_str("{\"info\": ");
        push_text(text, out);
        out.push_str(", \"host\": ");
        push_text(host, out);
        out.push('}');
        return;
    };
    if has_host(inner) {
        out.push_str(text);
        return;
    }
    out.push('{');
    out.push_str(inner);
    if !inner.trim_ascii().is_empty() {
        out.push_str(", ");
    }
    out.push_str("\"host\": ");
    push_text(host, out);
    out.push('}');
}

/// Whether the members `inner` have a key `host` on their own level.
fn has_host(inner: &str) -> bool {
    let bytes = inner.as_bytes();
    let mut level = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => level += 1,
            b'}' | b']' => level = level.saturating_sub(1),
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                let is_key = || {
                    bytes[at..]
                        .iter()
                        .skip(1)
                        .find(|byte| !byte.is_ascii_whitespace())
                        == Some(&b':')
                };
                if level == 0 && bytes.get(start..at) == Some(b"host") && is_key() {
                    return true;
                }
            }
            _ => {}
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an info says that has two values below `levels` objects of a shape, and one beside them.
    fn filled(levels: usize) -> String {
        let mut parts = [Part::Key("k"), Part::Open].repeat(levels);
        parts.extend([Part::Key("a"), Part::Hole, Part::Key("b"), Part::Hole]);
        parts.extend(vec![Part::Close; levels]);
        parts.extend([Part::Key("c"), Part::Hole]);
        let mut values = Encoder::owned();
        for value in [1u8, 2, 3] {
            value.encode(&mut values);
        }
        let mut text = String::new();
        Pieces::new(&parts).push_filled(values.own_bytes(), &mut text);
        text + "\"}"
    }

    #[test]
    fn what_lies_deeper_than_16_levels_is_marked_as_cut() {
        let nested = |levels: usize, inner: &str| {
            let (begin, end) = ("{\"k\": ".repeat(levels), "}".repeat(levels - 1));
            format!("{begin}{inner}{end}, \"c\": 3, \"host\": \"\"}}")
        };
        for levels in [1, 15] {
            assert_eq!(filled(levels), nested(levels, r#"{"a": 1, "b": 2}"#));
        }
        for levels in [16, 17, 18, 40] {
            assert_eq!(
                filled(levels),
                nested(16, r#""(cut: more than 16 levels)""#)
            );
        }
    }
}
