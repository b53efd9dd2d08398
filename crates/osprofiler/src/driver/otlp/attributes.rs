// SPDX-License-Identifier: Apache-2.0
//! An info as the attributes of a span.
//!
//! In: the members of an info. Out: attributes, under the names that upstream's driver has for what services tell of requests,
//! statements and functions, and under `info.` for all else. An object at the top of an info is an attribute a member, what is
//! nested deeper is its JSON as one text. Texts, their number and their sum are bounded; what is left out is counted.

use std::borrow::Cow;

use super::info::{Info, Value};
use super::protobuf::Message;

/// The longest text of an attribute, in bytes; what is longer ends with `…`.
const MOST_TEXT_BYTES: usize = 16 << 10;
/// The most bytes of a span's attributes.
const MOST_BYTES: usize = 256 << 10;
/// The most attributes of a span, as OpenTelemetry's own limit is.
const MOST: usize = 128;

/// The most members that are looked for among those there are: an info may have a hundred thousand under one name, each as long to compare
/// as all there is. From there on each counts as dropped, one that the span tells, too.
const MOST_TRIED: usize = 8 * MOST;

/// Where messages of OTLP have their attributes.
pub(super) const OF_RESOURCE: u32 = 1;
pub(super) const OF_SPAN: u32 = 9;
pub(super) const OF_EVENT: u32 = 3;
/// How many a span lacks.
const DROPPED_OF_SPAN: u32 = 10;

/// Members that are told otherwise: as the resource, the status and a link.
const TOLD_OTHERWISE: [&str; 3] = ["host", "etype", "message"];

/// The name of an attribute, in parts.
type Parts<'a> = [&'a str; 4];

/// The attributes of one span, written into it as they are added.
pub(super) struct Attributes<'a, 'b> {
    span: &'a mut Message<'b>,
    /// Where they begin in what is written.
    begin: usize,
    /// Those it has, one behind the other, and where each ends.
    names: String,
    ends: Vec<usize>,
    tried: usize,
    /// Members that found no room; one that both ends have, and that finds none, twice: what is not there is not compared.
    dropped: u64,
}

impl<'a, 'b> Attributes<'a, 'b> {
    pub(super) fn of(span: &'a mut Message<'b>) -> Self {
        Self {
            begin: span.position(),
            span,
            names: String::with_capacity(256),
            ends: Vec::with_capacity(16),
            tried: 0,
            dropped: 0,
        }
    }

    /// Adds what an info tells; of equal names the first that is added counts.
    pub(super) fn add_info(&mut self, info: &Info<'_>) {
        for (name, inner, value) in info.members() {
            if TOLD_OTHERWISE.contains(&name) || (name, inner) == ("request", Some("traceparent")) {
                continue;
            }
            let name = parts(name, inner);
            match value {
                Value::Text(text) => self.add_text_of(name, text),
                // Told a member at a time.
                Value::Json(json) if inner.is_none() && json.starts_with('{') => {}
                Value::Json(json) => self.add_json(name, json),
            }
        }
    }

    /// Adds a text.
    pub(super) fn add_text(&mut self, name: &str, text: &str) {
        self.add_text_of([name, "", "", ""], text);
    }

    /// Adds a number.
    pub(super) fn add_number(&mut self, name: &str, number: i64) {
        self.add([name, "", "", ""], |value| value.number(3, number as u64));
    }

    /// Writes how many found no room.
    pub(super) fn finish(self) {
        if self.dropped > 0 {
            self.span.number(DROPPED_OF_SPAN, self.dropped);
        }
    }

    fn add_json(&mut self, name: Parts<'_>, json: &str) {
        match json {
            "null" => {}
            "true" | "false" => self.add(name, |value| value.number(2, u64::from(json == "true"))),
            _ if json.starts_with(['{', '[']) => self.add_text_of(name, json),
            _ => self.add_number_of(name, json),
        }
    }

    /// A number that is no integer of 64 bits is a float; one that a float bends is kept as the text it is.
    fn add_number_of(&mut self, name: Parts<'_>, json: &str) {
        let is_integer = json
            .trim_start_matches('-')
            .bytes()
            .all(|byte| byte.is_ascii_digit());
        match (json.parse::<i64>(), json.parse::<f64>()) {
            (Ok(number), _) => self.add(name, |value| value.number(3, number as u64)),
            (_, Ok(number)) if !is_integer => {
                self.add(name, |value| value.fixed64(4, number.to_bits()));
            }
            _ => self.add_text_of(name, json),
        }
    }

    fn add_text_of(&mut self, name: Parts<'_>, text: &str) {
        let text = bounded(text);
        self.add(name, |value| value.bytes(1, text.as_bytes()));
    }

    fn add(&mut self, name: Parts<'_>, value: impl FnOnce(&mut Message<'_>)) {
        if self.tried == MOST_TRIED {
            self.dropped += 1;
            return;
        }
        self.tried += 1;
        let begin = self.names.len();
        let is_cut = self.push_name(name);
        let (known, name) = self.names.split_at(begin);
        let is_known = is_among(name, known, &self.ends);
        if is_known || self.ends.len() == MOST {
            // Behind the cut it may be another name.
            self.dropped += u64::from(!is_known || is_cut);
            self.names.truncate(begin);
            return;
        }
        let before = self.span.position();
        write(OF_SPAN, name, value, self.span);
        if self.span.position() - self.begin > MOST_BYTES {
            self.span.truncate(before);
            self.names.truncate(begin);
            self.dropped += 1;
        } else {
            self.ends.push(self.names.len());
        }
    }

    /// Puts a name behind those there are, as it is written; whether that is less than all of it.
    fn push_name(&mut self, name: Parts<'_>) -> bool {
        let begin = self.names.len();
        for part in name {
            // What is behind that, and a character, is not written.
            self.names.push_str(head(part, MOST_TEXT_BYTES + 4));
        }
        let Cow::Owned(cut) = bounded(&self.names[begin..]) else {
            return false;
        };
        self.names.truncate(begin);
        self.names.push_str(&cut);
        true
    }
}

/// Whether the name is one of those that stand one behind the other and end there.
fn is_among(name: &str, known: &str, ends: &[usize]) -> bool {
    let mut begin = 0;
    ends.iter().any(|&end| {
        let other = &known[begin..end];
        begin = end;
        other == name
    })
}

/// Writes an attribute whose value is a text into a message, in the field that has such there.
pub(super) fn write_text(field: u32, name: &str, text: &str, message: &mut Message<'_>) {
    let text = bounded(text);
    write(
        field,
        name,
        |value| value.bytes(1, text.as_bytes()),
        message,
    );
}

fn write(field: u32, name: &str, value: impl FnOnce(&mut Message<'_>), message: &mut Message<'_>) {
    message.message(field, |attribute| {
        attribute.bytes(1, bounded(name).as_bytes());
        attribute.message(2, value);
    });
}

/// What upstream calls a member of an info, or of its member.
fn parts<'a>(member: &'a str, inner: Option<&'a str>) -> Parts<'a> {
    let Some(inner) = inner else {
        return ["info.", member, "", ""];
    };
    match (member, inner) {
        ("requests", "status_code")
        | ("db", "result")
        | ("function", "name" | "args" | "kwargs" | "result") => [inner, "", "", ""],
        ("request" | "requests", _) => ["http.", inner, "", ""],
        ("db", _) => ["db.", inner, "", ""],
        _ => ["info.", member, ".", inner],
    }
}

/// The text, or its beginning where it is too long.
pub(super) fn bounded(text: &str) -> Cow<'_, str> {
    const END: &str = "…";
    if text.len() <= MOST_TEXT_BYTES {
        return Cow::Borrowed(text);
    }
    let begin = head(text, MOST_TEXT_BYTES - END.len());
    Cow::Owned(format!("{begin}{END}"))
}

/// As much of the beginning of a text as `most` bytes hold.
fn head(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
