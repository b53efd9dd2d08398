// SPDX-License-Identifier: Apache-2.0
//! An info as a BSON document, and back as JSON text.
//!
//! The document is what upstream's reader and a person with `mongosh` look at. Where it would not give back the very
//! text, because BSON or some server of MongoDB's protocol cannot hold a value or because the text is written otherwise
//! than [`push_json`] writes, the text has to be kept beside it: [`StoredInfo::is_exact`] says so, and it is found out by
//! looking, not by rule. Nothing here recurses: what is nested deeper than [`MAX_LEVELS`] becomes text.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::RawDocument;
use mongodb::bson::raw::{RawBsonRef, RawElement, RawIter};
use mongodb::bson::spec::ElementType;

use super::bson::BsonWriter;
use crate::Timestamp;
use crate::wire::json::{self, Malformed, Scanner, Token};

/// How deep a document nests. Servers refuse more than 100 to 200 levels, in a document that holds the info.
const MAX_LEVELS: usize = 64;

/// An info as it is stored.
pub(super) struct StoredInfo {
    /// The bytes of the document.
    pub(super) document: Vec<u8>,
    /// Whether [`push_json`] makes the very text of the document again.
    pub(super) is_exact: bool,
}

impl StoredInfo {
    /// Of the text of a JSON object. Costs about twice a look at each byte.
    pub(super) fn of(text: &str) -> Self {
        let mut encoder = Encoder::new(text);
        let whole = encoder.object().is_ok();
        let document = encoder.writer.finish();
        let mut back = String::with_capacity(text.len());
        let is_exact = whole
            && encoder.is_portable
            && RawDocument::from_bytes(&document)
                .is_ok_and(|document| push_json(document, &mut back).is_some())
            && back == text;
        Self { document, is_exact }
    }

    /// Of what of the text is short and at its top: for an info whose document would be too large to be stored.
    pub(super) fn outline(text: &str) -> Self {
        const MAX_VALUE_BYTES: usize = 1024;
        const MAX_MEMBERS: usize = 64;
        let mut encoder = Encoder::new(text);
        let _ = encoder.outline(MAX_VALUE_BYTES, MAX_MEMBERS);
        Self {
            document: encoder.writer.finish(),
            is_exact: false,
        }
    }
}

/// Makes the document of a text, token by token.
struct Encoder<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
    writer: BsonWriter,
    /// Whether every server stores the document as it is.
    is_portable: bool,
    /// The keys of each object, told apart by its number.
    keys: HashSet<(u32, Cow<'a, str>)>,
    objects: u32,
}

/// An object or array that is open.
enum Level {
    Object { number: u32 },
    Array { next: u32 },
}

impl<'a> Encoder<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            scanner: Scanner::new(text),
            writer: BsonWriter::new(),
            is_portable: true,
            keys: HashSet::new(),
            objects: 0,
        }
    }

    fn object(&mut self) -> Result<(), Malformed> {
        let mut levels = vec![self.begin()?];
        while let Some(level) = levels.last_mut() {
            let Some(token) = self.scanner.next_token()? else {
                break;
            };
            if matches!(token, Token::ObjectEnd | Token::ArrayEnd) {
                self.writer.end();
                levels.pop();
                continue;
            }
            let (key, value) = match level {
                Level::Array { next } => {
                    let key = next.to_string();
                    *next += 1;
                    (Cow::Owned(key), token)
                }
                Level::Object { number } => {
                    let number = *number;
                    let Some(value) = self.scanner.next_token()? else {
                        break;
                    };
                    let Some(key) = self.key(number, token) else {
                        self.scanner.skip_value(value)?;
                        continue;
                    };
                    (key, value)
                }
            };
            match value {
                Token::ObjectStart | Token::ArrayStart if levels.len() == MAX_LEVELS => {
                    let start = self.scanner.position() - 1;
                    self.scanner.skip_value(value)?;
                    let text = &self.text[start..self.scanner.position()];
                    self.writer.text(&key, text);
                    self.is_portable = false;
                }
                Token::ObjectStart => {
                    self.writer.begin_document(&key);
                    self.objects += 1;
                    let number = self.objects;
                    levels.push(Level::Object { number });
                }
                Token::ArrayStart => {
                    self.writer.begin_array(&key);
                    levels.push(Level::Array { next: 0 });
                }
                scalar => self.scalar(&key, scalar),
            }
        }
        Ok(())
    }

    fn outline(&mut self, max_value_bytes: usize, max_members: usize) -> Result<(), Malformed> {
        self.begin()?;
        while let Some(Token::Key(key)) = self.scanner.next_token()?
            && self.keys.len() < max_members
        {
            let Some(value) = self.scanner.next_token()? else {
                break;
            };
            let start = self.scanner.position();
            self.scanner.skip_value(value)?;
            let is_short = match value {
                Token::Text(text) | Token::Number(text) => text.len() <= max_value_bytes,
                _ => start == self.scanner.position(),
            };
            if is_short
                && key.len() <= max_value_bytes
                && let Some(key) = self.key(0, Token::Key(key))
            {
                self.scalar(&key, value);
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<Level, Malformed> {
        match self.scanner.next_token()? {
            Some(Token::ObjectStart) => Ok(Level::Object { number: 0 }),
            _ => Err(Malformed {
                offset: 0,
                reason: "no object",
            }),
        }
    }

    /// A member's key as every server takes it; `None` if the object has it already.
    fn key(&mut self, object: u32, token: Token<'a>) -> Option<Cow<'a, str>> {
        let Token::Key(token) = token else {
            return None;
        };
        let mut key = json::unescape(token);
        if key.contains(['.', '\0']) || key.starts_with('$') {
            // The letters that MongoDB's manual names for these; U+2400 is how NUL is shown.
            let mut plain = key.replace('.', "\u{ff0e}").replace('\0', "\u{2400}");
            if plain.starts_with('$') {
                plain.replace_range(..1, "\u{ff04}");
            }
            key = Cow::Owned(plain);
        }
        if !self.keys.insert((object, key.clone())) {
            self.is_portable = false;
            return None;
        }
        Some(key)
    }

    fn scalar(&mut self, key: &str, token: Token<'_>) {
        match token {
            Token::Text(token) => self.writer.text(key, &json::unescape(token)),
            Token::Number(token) => self.number(key, token),
            Token::Literal("true") => self.writer.boolean(key, true),
            Token::Literal("false") => self.writer.boolean(key, false),
            _ => self.writer.null(key),
        }
    }

    fn number(&mut self, key: &str, token: &str) {
        let is_integer = token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-'));
        match (is_integer, token.parse::<i64>(), token.parse::<f64>()) {
            (true, Ok(number), _) => self.writer.integer(key, number),
            (false, _, Ok(number)) if number.is_finite() && number != 0.0 || token == "0.0" => {
                self.writer.double(key, number);
            }
            // Beyond 64 bits; and what some servers refuse or bend: NaN, infinity, minus zero.
            _ => {
                self.writer.text(key, token);
                self.is_portable = false;
            }
        }
    }
}

/// Appends the document as JSON text, written as Python's `json.dumps` writes. `None` if its bytes are none, or it is nested
/// deeper than JSON is read here.
pub(super) fn push_json(document: &RawDocument, out: &mut String) -> Option<()> {
    let mut levels = vec![Open::object(document)];
    out.push('{');
    while let Some(level) = levels.last_mut() {
        let Some(element) = level.elements.next() else {
            out.push(level.end);
            levels.pop();
            continue;
        };
        let element = element.ok()?;
        if !std::mem::take(&mut level.is_empty) {
            out.push_str(", ");
        }
        if level.end == '}' {
            json::push_text(element.key().as_str(), out);
            out.push_str(": ");
        }
        match element.element_type() {
            ElementType::EmbeddedDocument | ElementType::Array
                if levels.len() >= json::MAX_DEPTH =>
            {
                return None;
            }
            ElementType::EmbeddedDocument => {
                out.push('{');
                levels.push(Open::object(element.value().ok()?.as_document()?));
            }
            ElementType::Array => {
                out.push('[');
                let elements = element.value().ok()?.as_array()?.iter_elements();
                levels.push(Open::new(elements, ']'));
            }
            _ => push_scalar(&element, out)?,
        }
    }
    Some(())
}

/// A document or array in the middle of being read.
struct Open<'a> {
    elements: RawIter<'a>,
    end: char,
    is_empty: bool,
}

impl<'a> Open<'a> {
    fn new(elements: RawIter<'a>, end: char) -> Self {
        Self {
            elements,
            end,
            is_empty: true,
        }
    }

    fn object(document: &'a RawDocument) -> Self {
        Self::new(document.iter_elements(), '}')
    }
}

fn push_scalar(element: &RawElement<'_>, out: &mut String) -> Option<()> {
    match element.element_type() {
        ElementType::Double
        | ElementType::String
        | ElementType::Boolean
        | ElementType::Null
        | ElementType::Int32
        | ElementType::Int64
        | ElementType::DateTime
        | ElementType::Binary
        | ElementType::ObjectId
        | ElementType::Symbol
        | ElementType::JavaScriptCode
        | ElementType::Decimal128 => {}
        // No notification holds one; its name is enough.
        other => {
            json::push_text(&format!("{other:?}"), out);
            return Some(());
        }
    }
    match element.value().ok()? {
        RawBsonRef::Double(number) => push_double(number, out),
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) | RawBsonRef::JavaScriptCode(text) => {
            json::push_text(text, out);
        }
        RawBsonRef::Boolean(value) => out.push_str(if value { "true" } else { "false" }),
        RawBsonRef::Int32(number) => push_display(number, out),
        RawBsonRef::Int64(number) => push_display(number, out),
        RawBsonRef::DateTime(date) => {
            let micros = date.timestamp_millis().saturating_mul(1000);
            json::push_text(&Timestamp::from_micros(micros).to_string(), out);
        }
        RawBsonRef::Binary(binary) => match std::str::from_utf8(binary.bytes) {
            Ok(text) => json::push_text(text, out),
            Err(_) => json::push_text(&STANDARD.encode(binary.bytes), out),
        },
        RawBsonRef::ObjectId(id) => json::push_text(&id.to_hex(), out),
        RawBsonRef::Decimal128(number) => json::push_text(&number.to_string(), out),
        _ => out.push_str("null"),
    }
    Some(())
}

fn push_display(number: impl std::fmt::Display, out: &mut String) {
    // Writing into a `String` does not fail.
    let _ = write!(out, "{number}");
}

/// As Python's `repr` has it, and its JSON: `1e+16` and `1e-05`, where Rust has `1e16` and `1e-5`.
fn push_double(number: f64, out: &mut String) {
    if number.is_nan() {
        return out.push_str("NaN");
    }
    if number.is_infinite() {
        return out.push_str(if number < 0.0 {
            "-Infinity"
        } else {
            "Infinity"
        });
    }
    let text = format!("{number:?}");
    match text.split_once('e') {
        None => out.push_str(&text),
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            push_display(format_args!("{digits}e{sign}{exponent:0>2}"), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(document: &[u8]) -> String {
        let mut out = String::new();
        push_json(RawDocument::from_bytes(document).unwrap(), &mut out).unwrap();
        out
    }

    /// What the document of `text` shows; with `~ ` before it if the text has to be kept beside it.
    fn check(text: &str, expected: &str) {
        let info = StoredInfo::of(text);
        let mark = if info.is_exact { "" } else { "~ " };
        assert_eq!(
            format!("{mark}{}", shown(&info.document)),
            expected,
            "{text}"
        );
    }

    #[test]
    fn what_bson_holds_comes_back_from_it() {
        for text in [
            "{}",
            r#"{"": [], "b": {}, "c": [[], {}], "1": null}"#,
            r#"{"host": "a", "n": [0, -1, 2147483648, -9223372036854775808, 9223372036854775807]}"#,
            r#"{"a": [0.0, 0.1, -1.5, 1e+16, 1e-05, 0.0001, 1.7976931348623157e+308, 5e-324]}"#,
            r#"{"a": "\u00e9 \ud83d\ude00 \" \\ \n \u0000", "\u00e9": true, "b": false}"#,
            r#"{"a": {"a": {"a": 1}, "b": 2}, "a$b": 3}"#,
        ] {
            check(text, text);
        }
    }

    #[test]
    fn what_bson_or_a_server_cannot_hold_is_shown_as_near_as_can_be() {
        for (text, expected) in [
            (
                r#"{"a": 18446744073709551615}"#,
                r#"~ {"a": "18446744073709551615"}"#,
            ),
            (
                r#"{"a": -9223372036854775809}"#,
                r#"~ {"a": "-9223372036854775809"}"#,
            ),
            (
                r#"{"a": [NaN, Infinity, -Infinity, 1e999, -0.0, -0]}"#,
                r#"~ {"a": ["NaN", "Infinity", "-Infinity", "1e999", "-0.0", 0]}"#,
            ),
            (r#"{"a": "\ud800"}"#, r#"~ {"a": "\ufffd"}"#),
            (
                r#"{"a.b": 1, "$c": 2, "d$": 3, "\u0000": 4}"#,
                r#"~ {"a\uff0eb": 1, "\uff04c": 2, "d$": 3, "\u2400": 4}"#,
            ),
            (
                r#"{"a": 1, "b": {"a": 2}, "a": {"b": 3}}"#,
                r#"~ {"a": 1, "b": {"a": 2}}"#,
            ),
            (r#"{"a.b": 1, "a．b": 2}"#, r#"~ {"a\uff0eb": 1}"#),
            (r#"{"a":1}"#, r#"~ {"a": 1}"#),
            (r#"{"é": 1.0e0}"#, r#"~ {"\u00e9": 1.0}"#),
            ("[1]", "~ {}"),
            (r#"{"a": 1, "b": tru"#, r#"~ {"a": 1}"#),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn what_is_too_deep_becomes_text() {
        let objects = |levels: usize| r#"{"a": "#.repeat(levels) + "1" + &"}".repeat(levels);
        let arrays = |levels: usize, inner: &str| {
            format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels))
        };
        check(&objects(MAX_LEVELS), &objects(MAX_LEVELS));
        let deep = StoredInfo::of(&objects(300));
        assert!(!deep.is_exact);
        let inner = objects(300 - MAX_LEVELS).replace('"', "\\\"");
        assert!(shown(&deep.document).contains(&inner));
        let inner = arrays(1023 - (MAX_LEVELS - 1), "1");
        let shown = arrays(MAX_LEVELS - 1, &format!("\"{inner}\""));
        check(
            &format!(r#"{{"a": {}}}"#, arrays(1023, "1")),
            &format!(r#"~ {{"a": {shown}}}"#),
        );
    }

    #[test]
    fn an_outline_has_what_is_short_and_at_the_top() {
        let long = "x".repeat(2000);
        let text = format!(
            r#"{{"host": "a", "function": {{"args": "{long}"}}, "etype": "E", "x": "{long}", "n": 1, "{long}": 2, "l": [], "z": null}}"#
        );
        let outline = StoredInfo::outline(&text);
        assert!(!outline.is_exact);
        assert_eq!(
            shown(&outline.document),
            r#"{"host": "a", "etype": "E", "n": 1, "z": null}"#
        );
    }

    #[test]
    fn values_of_other_writers_are_read() {
        use mongodb::bson::{
            Binary, Bson, DateTime, Timestamp, doc, oid::ObjectId, spec::BinarySubtype,
        };
        let binary = |bytes: &[u8]| Binary {
            subtype: BinarySubtype::Generic,
            bytes: bytes.to_vec(),
        };
        let document = doc! {
            "date": DateTime::from_millis(1_500),
            "text": binary(b"abc"),
            "bytes": binary(&[0xff, 0xfe]),
            "id": ObjectId::from_bytes([1; 12]),
            "nan": f64::NAN,
            "minus": f64::NEG_INFINITY,
            "a.b": Bson::Undefined,
            "clock": Timestamp { time: 1, increment: 2 },
            "code": Bson::JavaScriptCode("x".to_owned()),
        };
        assert_eq!(
            shown(&document.to_vec().unwrap()),
            r#"{"date": "1970-01-01T00:00:01.500000", "text": "abc", "bytes": "//4=", "id": "010101010101010101010101", "nan": NaN, "minus": -Infinity, "a.b": "Undefined", "clock": "Timestamp", "code": "x"}"#
        );
    }

    #[test]
    fn any_bytes_are_a_document_or_refused() {
        let whole =
            StoredInfo::of(r#"{"a": [1, {"b": "text"}, 2.5, null, true], "c": 9999999999}"#)
                .document;
        for index in 0..whole.len() {
            for value in [0, 1, 2, 3, 4, 5, 7, 12, 15, 127, 255] {
                let mut bytes = whole.clone();
                bytes[index] = value;
                if let Ok(document) = RawDocument::from_bytes(&bytes) {
                    let _ = push_json(document, &mut String::new());
                }
            }
        }
    }
}
