// SPDX-License-Identifier: Apache-2.0
//! An info as the attributes of a span.
//!
//! In: the JSON text of an info. Out: attributes, under the names that upstream's driver has for what services tell of requests,
//! statements and functions, and under `info.` for all else. An object at the top of an info is an attribute a member, what is
//! nested deeper is its JSON as one text. Texts, their number and their sum are bounded; what is left out is counted.

use std::borrow::Cow;

use super::protobuf::Message;
use crate::wire::json::{self, Scanner, Token};

/// The longest text of an attribute, in bytes; what is longer ends with `…`.
const MOST_TEXT_BYTES: usize = 16 << 10;
/// The most bytes of a span's attributes.
const MOST_BYTES: usize = 256 << 10;
/// The most attributes of a span, as OpenTelemetry's own limit is.
const MOST: usize = 128;

/// Where messages of OTLP have their attributes.
pub(super) const OF_RESOURCE: u32 = 1;
pub(super) const OF_SPAN: u32 = 9;
pub(super) const OF_EVENT: u32 = 3;
/// How many a span lacks.
const DROPPED_OF_SPAN: u32 = 10;

/// Members that are told otherwise: as the resource, the status and a link.
const TOLD_OTHERWISE: [&str; 3] = ["host", "etype", "message"];

/// The attributes of one span, as they are written into it.
pub(super) struct Attributes {
    fields: Vec<u8>,
    names: Vec<String>,
    dropped: u64,
}

impl Attributes {
    pub(super) fn new() -> Self {
        Self {
            fields: Vec::new(),
            names: Vec::new(),
            dropped: 0,
        }
    }

    /// Adds what an info tells; of equal names the first that is added counts.
    pub(super) fn add_info(&mut self, info: &str) {
        for (member, value) in members(info) {
            let member = json::unescape(member);
            if TOLD_OTHERWISE.contains(&&*member) {
                continue;
            }
            if !value.starts_with('{') {
                self.add_json(&format!("info.{member}"), value);
                continue;
            }
            for (inner, value) in members(value) {
                let inner = json::unescape(inner);
                if (&*member, &*inner) != ("request", "traceparent") {
                    self.add_json(&name(&member, &inner), value);
                }
            }
        }
    }

    /// Adds a text.
    pub(super) fn add_text(&mut self, name: &str, text: &str) {
        let text = bounded(text);
        self.add(name, |value| value.bytes(1, text.as_bytes()));
    }

    /// Adds a number.
    pub(super) fn add_number(&mut self, name: &str, number: i64) {
        self.add(name, |value| value.number(3, number as u64));
    }

    /// Writes them into a span.
    pub(super) fn write(&self, span: &mut Message<'_>) {
        span.append(&self.fields);
        if self.dropped > 0 {
            span.number(DROPPED_OF_SPAN, self.dropped);
        }
    }

    fn add_json(&mut self, name: &str, value: &str) {
        if value == "true" || value == "false" {
            self.add(name, |any| any.number(2, u64::from(value == "true")));
        } else if let Ok(number) = value.parse() {
            self.add_number(name, number);
        } else if value.starts_with('"') {
            self.add_text(name, &json::unescape(value));
        } else if value.starts_with(['{', '[']) {
            self.add_text(name, value);
        } else if value != "null" {
            self.add_float(name, value);
        }
    }

    /// A number that is no integer of 64 bits; one that a float bends is kept as the text it is.
    fn add_float(&mut self, name: &str, value: &str) {
        let is_integer = value
            .trim_start_matches('-')
            .bytes()
            .all(|byte| byte.is_ascii_digit());
        match value.parse::<f64>() {
            Ok(number) if !is_integer => {
                self.add(name, |any| any.fixed64(4, number.to_bits()));
            }
            _ => self.add_text(name, value),
        }
    }

    fn add(&mut self, name: &str, value: impl FnOnce(&mut Message<'_>)) {
        if self.names.iter().any(|known| known == name) {
            return;
        }
        let before = self.fields.len();
        if self.names.len() < MOST {
            write(OF_SPAN, name, value, &mut Message::new(&mut self.fields));
        }
        if self.names.len() == MOST || self.fields.len() > MOST_BYTES {
            self.fields.truncate(before);
            self.dropped += 1;
        } else {
            self.names.push(name.to_owned());
        }
    }
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

/// What upstream calls a member of an info's member.
fn name(member: &str, inner: &str) -> String {
    match (member, inner) {
        ("requests", "status_code")
        | ("db", "result")
        | ("function", "name" | "args" | "kwargs" | "result") => inner.to_owned(),
        ("request" | "requests", _) => format!("http.{inner}"),
        ("db", _) => format!("db.{inner}"),
        _ => format!("info.{member}.{inner}"),
    }
}

/// The text, or its beginning where it is too long.
pub(super) fn bounded(text: &str) -> Cow<'_, str> {
    const END: &str = "…";
    if text.len() <= MOST_TEXT_BYTES {
        return Cow::Borrowed(text);
    }
    let mut end = MOST_TEXT_BYTES - END.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{END}", &text[..end]))
}

/// The members of the object `text`: names and values as they are written, as far as it is an object.
fn members(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut scanner = Scanner::new(text);
    let is_object = scanner.next_token() == Ok(Some(Token::ObjectStart));
    std::iter::from_fn(move || {
        let Ok(Some(Token::Key(key))) = scanner.next_token() else {
            return None;
        };
        let begin = scanner.position();
        let first = scanner.next_token().ok()??;
        scanner.skip_value(first).ok()?;
        Some((key, text[begin..scanner.position()].trim_ascii_start()))
    })
    .take_while(move |_| is_object)
}

/// The member `name` of an info, as a text; `None` where it is null or absent.
pub(super) fn text_member<'a>(info: &'a str, name: &str) -> Option<Cow<'a, str>> {
    match json::member(info, name)? {
        "null" => None,
        value => Some(json::unescape(value)),
    }
}

/// The member `inner` of an info's member `name`, as a text.
pub(super) fn inner_member<'a>(info: &'a str, name: &str, inner: &str) -> Option<Cow<'a, str>> {
    // Most infos have no such member, and most that have it write it plainly.
    if !info.contains(name) && !info.contains('\\') {
        return None;
    }
    text_member(json::member(info, name)?, inner)
}
