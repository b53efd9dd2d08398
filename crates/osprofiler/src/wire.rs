// SPDX-License-Identifier: Apache-2.0
//! The JSON of a notification, written and read.
//!
//! Written as the contract has it: members in the order `name`, `base_id`, `trace_id`, `parent_id`, `timestamp`, `info`,
//! `project`, `service`, separators `", "` and `": "`, ASCII escapes. Read in that order by a fast scan and in any other by the
//! general one; `info` stays the text it is, checked but not interpreted. Text that is no notification is refused with a reason.

mod batch;
pub mod json;
mod lines;
mod text;

use std::borrow::Cow;
use std::fmt;

use self::json::{Malformed, Scanner, Token};
use crate::id::canonical;
use crate::{Id, InvalidId, Kind, Notification, Timestamp};

pub use batch::BatchJson;
pub use lines::{
    BYTE_ORDER_MARK, Line, Lines, MAX_LINE_BYTES, parse_loss, push_line, push_loss_line,
};

/// Appends the JSON object of `notification` to `out`. For many at once there is [`BatchJson`].
pub fn push_json(notification: &Notification<'_>, out: &mut String) {
    out.reserve(notification.text_bytes() + 320);
    out.push_str(r#"{"name": "#);
    json::push_text(notification.name, out);
    let ids = [
        notification.base_id,
        notification.trace_id,
        notification.parent_id,
    ];
    let timestamp = notification.timestamp.to_bytes();
    if let [Some(base_id), Some(trace_id), Some(parent_id)] = ids.map(Id::as_u128) {
        push_numbers([base_id, trace_id, parent_id], timestamp, out);
    } else {
        for (key, id) in [", \"base_id\": ", ", \"trace_id\": ", ", \"parent_id\": "]
            .into_iter()
            .zip(ids)
        {
            out.push_str(key);
            push_id(id, out);
        }
        out.push_str(r#", "timestamp": ""#);
        out.push_str(std::str::from_utf8(&timestamp).unwrap_or_default());
        out.push_str(r#"", "info": "#);
    }
    out.push_str(notification.info);
    push_tail(notification.project, notification.service, out);
}

/// Appends what follows the info.
#[inline]
fn push_tail(project: Option<&str>, service: Option<&str>, out: &mut String) {
    for (key, text) in [(r#", "project": "#, project), (r#", "service": "#, service)] {
        out.push_str(key);
        match text {
            Some(text) => json::push_text(text, out),
            None => out.push_str("null"),
        }
    }
    out.push('}');
}

/// The members from `base_id` to the key of `info`, where all ids are numbers: of fixed length, to be filled in.
const FORM: [u8; 209] = *br#", "base_id": "ffffffff-ffff-ffff-ffff-ffffffffffff", "trace_id": "ffffffff-ffff-ffff-ffff-ffffffffffff", "parent_id": "ffffffff-ffff-ffff-ffff-ffffffffffff", "timestamp": "0001-01-01T00:00:00.000000", "info": "#;
/// The id that the form has in each place.
const FORM_ID: u128 = u128::MAX;
/// Where the form's ids begin.
const FORM_IDS: [usize; 3] = [14, 66, 119];
const FORM_TIMESTAMP: usize = 172;

fn push_numbers(ids: [u128; 3], timestamp: [u8; 26], out: &mut String) {
    let mut form = FORM;
    for (at, id) in FORM_IDS.into_iter().zip(ids) {
        form[at..at + 36].copy_from_slice(&canonical(id));
    }
    form[FORM_TIMESTAMP..FORM_TIMESTAMP + 26].copy_from_slice(&timestamp);
    out.push_str(std::str::from_utf8(&form).unwrap_or_default());
}

fn push_id(id: Id<'_>, out: &mut String) {
    if let Some(text) = id.as_text() {
        json::push_text(text, out);
    } else {
        out.push('"');
        id.push_to(out);
        out.push('"');
    }
}

/// Whether the notification is the stop of a point that ended with an error: a member `etype` that is not null.
pub fn has_error(notification: &Notification<'_>) -> bool {
    notification.kind() == Kind::Stop && info_has_error(notification.info)
}

/// Whether an `info` tells of an error. Cheap for those that don't.
pub fn info_has_error(info: &str) -> bool {
    (info.contains("etype\"") || info.contains("\\u"))
        && json::member(info, "etype").is_some_and(|value| value != "null")
}

/// A notification read from JSON. Borrows what needed no unescaping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedNotification<'a> {
    name: Cow<'a, str>,
    base_id: ParsedId<'a>,
    trace_id: ParsedId<'a>,
    parent_id: ParsedId<'a>,
    timestamp: Timestamp,
    info: &'a str,
    project: Option<Cow<'a, str>>,
    service: Option<Cow<'a, str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ParsedId<'a> {
    Borrowed(Id<'a>),
    /// Checked when it was read.
    Owned(String),
}

impl ParsedId<'_> {
    fn as_id(&self) -> Id<'_> {
        match self {
            Self::Borrowed(id) => *id,
            Self::Owned(text) => Id::parse(text).unwrap_or(Id::from_u128(0)),
        }
    }
}

impl ParsedNotification<'_> {
    /// The notification.
    pub fn as_notification(&self) -> Notification<'_> {
        Notification {
            name: &self.name,
            base_id: self.base_id.as_id(),
            trace_id: self.trace_id.as_id(),
            parent_id: self.parent_id.as_id(),
            timestamp: self.timestamp,
            info: self.info,
            project: self.project.as_deref(),
            service: self.service.as_deref(),
        }
    }
}

/// Why a text is no notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reject {
    /// It is not UTF-8.
    NotUtf8,
    /// It is not JSON.
    NotJson(Malformed),
    /// It is JSON, but not an object.
    NotAnObject,
    /// The member is missing.
    Missing(&'static str),
    /// The member is not of the type it has to be.
    WrongType(&'static str),
    /// The member is no id.
    InvalidId(&'static str, InvalidId),
    /// `timestamp` is not of the form `2026-01-01T00:00:00.000000`.
    InvalidTimestamp,
    /// It is longer than [`MAX_LINE_BYTES`].
    TooLong,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::NotJson(malformed) => write!(f, "not JSON: {malformed}"),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::Missing(member) => write!(f, "no member `{member}`"),
            Self::WrongType(member) => write!(f, "the member `{member}` has the wrong type"),
            Self::InvalidId(member, reason) => {
                write!(f, "the member `{member}` is no id: {reason}")
            }
            Self::InvalidTimestamp => {
                f.write_str("`timestamp` is not of the form `2026-01-01T00:00:00.000000`")
            }
            Self::TooLong => write!(f, "longer than {MAX_LINE_BYTES} bytes"),
        }
    }
}

impl std::error::Error for Reject {}

impl From<Malformed> for Reject {
    fn from(malformed: Malformed) -> Self {
        Self::NotJson(malformed)
    }
}

/// Reads one notification. Members it does not know are ignored; of equal members the last one counts.
pub fn parse(text: &[u8]) -> Result<ParsedNotification<'_>, Reject> {
    let text = std::str::from_utf8(text).map_err(|_| Reject::NotUtf8)?;
    match parse_in_order(text) {
        Some(notification) => Ok(notification),
        None => parse_in_any_order(text),
    }
}

/// The fast scan: the contract's own order and separators, no escapes but in `info`. `None` leaves the text to the general
/// one, which also knows what is wrong with it.
fn parse_in_order(text: &str) -> Option<ParsedNotification<'_>> {
    let (name, text) = plain_text(text.strip_prefix(r#"{"name": "#)?)?;
    let (base_id, text) = plain_text(text.strip_prefix(r#", "base_id": "#)?)?;
    let (trace_id, text) = plain_text(text.strip_prefix(r#", "trace_id": "#)?)?;
    let (parent_id, text) = plain_text(text.strip_prefix(r#", "parent_id": "#)?)?;
    let (timestamp, text) = plain_text(text.strip_prefix(r#", "timestamp": "#)?)?;
    let text = text.strip_prefix(r#", "info": "#)?;
    let mut scanner = Scanner::new(text);
    let first = scanner.next_token().ok()??;
    if first != Token::ObjectStart {
        return None;
    }
    scanner.skip_value(first).ok()?;
    let (info, text) = text.split_at(scanner.position());
    let (project, text) = plain_text_or_null(text.strip_prefix(r#", "project": "#)?)?;
    let (service, text) = plain_text_or_null(text.strip_prefix(r#", "service": "#)?)?;
    if text.trim_end() != "}" {
        return None;
    }
    Some(ParsedNotification {
        name: Cow::Borrowed(name),
        base_id: ParsedId::Borrowed(Id::parse(base_id).ok()?),
        trace_id: ParsedId::Borrowed(Id::parse(trace_id).ok()?),
        parent_id: ParsedId::Borrowed(Id::parse(parent_id).ok()?),
        timestamp: Timestamp::parse(timestamp)?,
        info,
        project: project.map(Cow::Borrowed),
        service: service.map(Cow::Borrowed),
    })
}

/// A text value without escapes at the beginning of `text`, and what follows it.
fn plain_text(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let end = json::end_of_plain_text(text.as_bytes(), 0);
    let rest = text.get(end..)?.strip_prefix('"')?;
    Some((&text[..end], rest))
}

fn plain_text_or_null(text: &str) -> Option<(Option<&str>, &str)> {
    match text.strip_prefix("null") {
        Some(rest) => Some((None, rest)),
        None => plain_text(text).map(|(text, rest)| (Some(text), rest)),
    }
}

#[derive(Default)]
struct Members<'a> {
    name: Option<&'a str>,
    base_id: Option<&'a str>,
    trace_id: Option<&'a str>,
    parent_id: Option<&'a str>,
    timestamp: Option<&'a str>,
    info: Option<&'a str>,
    project: Option<&'a str>,
    service: Option<&'a str>,
}

fn parse_in_any_order(text: &str) -> Result<ParsedNotification<'_>, Reject> {
    let mut members = Members::default();
    let mut scanner = Scanner::new(text);
    if scanner.next_token()? != Some(Token::ObjectStart) {
        // Junk that begins like a value is no JSON; only a whole value is the wrong one.
        for token in scanner {
            token?;
        }
        return Err(Reject::NotAnObject);
    }
    while let Some(token) = scanner.next_token()? {
        let Token::Key(key) = token else { continue };
        let Some(first) = scanner.next_token()? else {
            continue;
        };
        let start = scanner.position() - token_len(first);
        scanner.skip_value(first)?;
        let value = Some(&text[start..scanner.position()]);
        match &*json::unescape(key) {
            "name" => members.name = value,
            "base_id" => members.base_id = value,
            "trace_id" => members.trace_id = value,
            "parent_id" => members.parent_id = value,
            "timestamp" => members.timestamp = value,
            "info" => members.info = value,
            "project" => members.project = value,
            "service" => members.service = value,
            _ => {}
        }
    }
    Ok(ParsedNotification {
        name: required_text(members.name, "name")?,
        base_id: required_id(members.base_id, "base_id")?,
        trace_id: required_id(members.trace_id, "trace_id")?,
        parent_id: required_id(members.parent_id, "parent_id")?,
        timestamp: Timestamp::parse(&required_text(members.timestamp, "timestamp")?)
            .ok_or(Reject::InvalidTimestamp)?,
        info: match members.info {
            None => return Err(Reject::Missing("info")),
            Some(info) if info.starts_with('{') => info,
            Some(_) => return Err(Reject::WrongType("info")),
        },
        project: optional_text(members.project, "project")?,
        service: optional_text(members.service, "service")?,
    })
}

fn token_len(token: Token<'_>) -> usize {
    match token {
        Token::Key(text) | Token::Text(text) | Token::Number(text) | Token::Literal(text) => {
            text.len()
        }
        _ => 1,
    }
}

fn required_text<'a>(value: Option<&'a str>, member: &'static str) -> Result<Cow<'a, str>, Reject> {
    match value {
        None => Err(Reject::Missing(member)),
        Some(value) if value.starts_with('"') => Ok(json::unescape(value)),
        Some(_) => Err(Reject::WrongType(member)),
    }
}

fn optional_text<'a>(
    value: Option<&'a str>,
    member: &'static str,
) -> Result<Option<Cow<'a, str>>, Reject> {
    match value {
        None | Some("null") => Ok(None),
        value => required_text(value, member).map(Some),
    }
}

fn required_id<'a>(value: Option<&'a str>, member: &'static str) -> Result<ParsedId<'a>, Reject> {
    let invalid = |reason| Reject::InvalidId(member, reason);
    match required_text(value, member)? {
        Cow::Borrowed(text) => Ok(ParsedId::Borrowed(Id::parse(text).map_err(invalid)?)),
        Cow::Owned(text) => {
            Id::parse(&text).map_err(invalid)?;
            Ok(ParsedId::Owned(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee";

    fn json_of(text: &str) -> Result<String, Reject> {
        let parsed = parse(text.as_bytes())?;
        let mut out = String::new();
        push_json(&parsed.as_notification(), &mut out);
        Ok(out)
    }

    #[test]
    fn recorded_traces_come_back_byte_for_byte_through_both_scans() {
        for trace in ["token-issue", "server-stop-error"] {
            let path = format!(
                "{}/../../fixtures/{trace}.jsonl",
                env!("CARGO_MANIFEST_DIR")
            );
            let text = std::fs::read_to_string(path).unwrap();
            for line in text.lines() {
                assert_eq!(json_of(line).as_deref(), Ok(line));
                let fast = parse_in_order(line).unwrap();
                assert_eq!(parse_in_any_order(line), Ok(fast));
            }
        }
    }

    #[test]
    fn any_order_escapes_and_odd_values_are_read() {
        let same = format!(
            r#"{{"name": "d\u00e9-stop", "base_id": "{UUID}", "trace_id": "\u043a", "parent_id": "B", "timestamp": "2026-01-01T00:00:00.000001", "info": {{"a": [NaN, -Infinity, 1e999, 123456789012345678901234567890, "\ud800"]}}, "project": null, "service": "\"x\""}}"#
        );
        assert_eq!(json_of(&same).as_deref(), Ok(&*same));
        let shuffled = r#" {"service":"s","zzz":[{}],"parent_id":"p","trace_id":"t","info":{ "a" : 1 },"base_id":"b0","timestamp":"2026-01-01T00:00:00.5","name":"n-start","base_id":"b"} "#;
        assert_eq!(
            json_of(shuffled).as_deref(),
            Ok(
                r#"{"name": "n-start", "base_id": "b", "trace_id": "t", "parent_id": "p", "timestamp": "2026-01-01T00:00:00.500000", "info": { "a" : 1 }, "project": null, "service": "s"}"#
            )
        );
    }

    #[test]
    fn what_is_no_notification_says_why() {
        let full = |change: (&str, &str)| {
            r#"{"name": "n", "base_id": "b", "trace_id": "t", "parent_id": "p", "timestamp": "2026-01-01T00:00:00.000001", "info": {}, "project": null, "service": null}"#
            .replace(change.0, change.1)
        };
        assert!(json_of(&full(("", ""))).is_ok());
        let long = format!(r#""trace_id": "{}""#, "x".repeat(256));
        for (change, expected) in [
            ((r#""name": "n", "#, ""), "no member `name`"),
            ((r#""n""#, "1"), "the member `name` has the wrong type"),
            ((r#""b""#, "7"), "the member `base_id` has the wrong type"),
            (
                (r#""b""#, r#""""#),
                "the member `base_id` is no id: an id must not be empty",
            ),
            (
                (r#""trace_id": "t""#, &*long),
                "the member `trace_id` is no id: an id must not be longer than 255 bytes",
            ),
            (
                ("000001", "000001Z"),
                "`timestamp` is not of the form `2026-01-01T00:00:00.000000`",
            ),
            (("{}", "[]"), "the member `info` has the wrong type"),
            (("{}", "{"), "not JSON: no name of a member at byte 117"),
            (
                (r#""service": null}"#, r#""service": 1}"#),
                "the member `service` has the wrong type",
            ),
            (
                (r#"": null}"#, r#"": null} x"#),
                "not JSON: something after the value at byte 154",
            ),
        ] {
            let reject = json_of(&full(change)).unwrap_err();
            assert_eq!(reject.to_string(), expected);
        }
        assert_eq!(parse(b"\xff{}"), Err(Reject::NotUtf8));
        assert_eq!(parse(b"[]"), Err(Reject::NotAnObject));
        assert!(matches!(parse(b""), Err(Reject::NotJson(_))));
        assert!(matches!(parse(b"\0\0"), Err(Reject::NotJson(_))));
    }

    #[test]
    fn an_error_is_a_stop_with_an_etype() {
        for (info, expected) in [
            (r#"{"etype": "ValueError"}"#, true),
            (r#"{"\u0065type": "ValueError"}"#, true),
            (r#"{"etype": null}"#, false),
            (r#"{"a": {"etype": "x"}}"#, false),
            (r#"{"a": "etype"}"#, false),
        ] {
            assert_eq!(info_has_error(info), expected, "{info}");
        }
    }
}
