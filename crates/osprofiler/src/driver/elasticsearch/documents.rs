// SPDX-License-Identifier: Apache-2.0
//! Documents as lines of a bulk request, and a notification back from one.
//!
//! A notification's document is upstream's, member for member, in the bytes that it is everywhere. Where a server refuses those
//! (`NaN`, equal keys, what an index of upstream's has typed otherwise), its info is an outline, and the very text stands beside it
//! as `info_json`; where one is too large, the outline is all that is left of it. The id has the order of recording. All of a
//! trace lies on one shard.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::wire::json::{self, Scanner, Token};
use crate::wire::{self, BatchJson, MAX_LINE_BYTES};
use crate::{Id, Loss, Notification, Notifications, Timestamp};

/// The characters of an id of ours; upstream's have more.
const ID_CHARACTERS: usize = 16;

/// How a notification is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As everywhere.
    Whole,
    /// Its info as text, beside an outline.
    Text,
    /// An outline of its info.
    Outline,
}

/// Writes the lines of a batch.
pub(super) struct Documents<'a> {
    batch: &'a Notifications,
    json: BatchJson<'a>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(batch: &'a Notifications) -> Self {
        Self {
            batch,
            json: BatchJson::new(batch),
        }
    }

    /// Appends both lines of the notification at `index`.
    pub(super) fn push(&mut self, index: usize, id: [u8; 12], form: Form, out: &mut Vec<u8>) {
        let notification = self.batch.get(index);
        push_action(id, Some(notification.base_id), out);
        if form == Form::Whole {
            return self.json.push_line(index, out);
        }
        let outline = outline(notification.info);
        let mut text = String::new();
        let short = Notification {
            info: &outline,
            ..notification
        };
        wire::push_json(&short, &mut text);
        if form == Form::Text {
            text.pop();
            text.push_str(r#", "info_json": "#);
            json::push_text(notification.info, &mut text);
            text.push('}');
        }
        text.push('\n');
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends both lines that tell of a trace's first error.
pub(super) fn push_error(id: [u8; 12], base_id: Id<'_>, first: Timestamp, out: &mut Vec<u8>) {
    push_action(id, Some(base_id), out);
    let rest = format!(", \"timestamp\": \"{first}\"}}\n");
    push_with_id(Some(base_id), &rest, out);
}

/// Appends both lines that tell of a loss.
pub(super) fn push_loss(
    id: [u8; 12],
    base_id: Option<Id<'_>>,
    loss: Loss,
    now: Timestamp,
    out: &mut Vec<u8>,
) {
    push_action(id, base_id, out);
    let count = i64::try_from(loss.count).unwrap_or(i64::MAX);
    let reason = loss.reason.name();
    let rest =
        format!(", \"reason\": \"{reason}\", \"count\": {count}, \"timestamp\": \"{now}\"}}\n");
    push_with_id(base_id, &rest, out);
}

fn push_with_id(base_id: Option<Id<'_>>, rest: &str, out: &mut Vec<u8>) {
    let mut text = String::from(r#"{"base_id": "#);
    match base_id {
        Some(base_id) => json::push_text(&base_id.to_string(), &mut text),
        None => text.push_str("null"),
    }
    text.push_str(rest);
    out.extend_from_slice(text.as_bytes());
}

/// The line before a document: it is to be there under its id, which is no news if it is already.
fn push_action(id: [u8; 12], base_id: Option<Id<'_>>, out: &mut Vec<u8>) {
    let mut text = format!(r#"{{"create": {{"_id": "{}""#, URL_SAFE_NO_PAD.encode(id));
    if let Some(base_id) = base_id {
        text.push_str(r#", "routing": "#);
        json::push_text(&base_id.to_string(), &mut text);
    }
    text.push_str("}}\n");
    out.extend_from_slice(text.as_bytes());
}

/// The bytes of an id of ours; `None` for another's.
pub(super) fn own_id(text: &str) -> Option<[u8; 12]> {
    let bytes = (text.len() == ID_CHARACTERS).then(|| URL_SAFE_NO_PAD.decode(text).ok())??;
    bytes.try_into().ok()
}

/// What of an info is short and at its top, as any server takes it.
fn outline(info: &str) -> String {
    const MAX_VALUE_BYTES: usize = 1024;
    const MAX_MEMBERS: usize = 64;
    let mut out = String::from("{");
    let mut keys = HashSet::new();
    let mut scanner = Scanner::new(info);
    let _ = scanner.next_token();
    while let Ok(Some(Token::Key(key))) = scanner.next_token()
        && keys.len() < MAX_MEMBERS
    {
        let Ok(Some(value)) = scanner.next_token() else {
            break;
        };
        let text = match value {
            Token::Text(text) | Token::Literal(text) => Some(text),
            // `NaN` and infinity are no numbers of JSON.
            Token::Number(text) if !text.contains(['N', 'I']) => Some(text),
            _ => None,
        };
        if scanner.skip_value(value).is_err() {
            break;
        }
        if let Some(text) = text
            && key.len().max(text.len()) <= MAX_VALUE_BYTES
            && keys.insert(json::unescape(key))
        {
            if keys.len() > 1 {
                out.push_str(", ");
            }
            out.push_str(key);
            out.push_str(": ");
            out.push_str(text);
        }
    }
    out.push('}');
    out
}

/// What a document's text is.
pub(super) enum Stored {
    /// Appended to the notifications.
    Notification,
    /// Of another trace, whose id has a word in common.
    Another,
    /// No notification, though of this trace.
    Junk,
}

/// Appends the notification that the document `source` is, if it is one of the trace.
pub(super) fn take(source: &str, base_id: Id<'_>, notifications: &mut Notifications) -> Stored {
    let Ok(parsed) = wire::parse(source.as_bytes()) else {
        let of = json::member(source, "base_id").filter(|value| value.starts_with('"'));
        let is_this = of.is_none_or(|value| *json::unescape(value) == *base_id.to_string());
        return if is_this {
            Stored::Junk
        } else {
            Stored::Another
        };
    };
    let notification = parsed.as_notification();
    if notification.base_id != base_id {
        return Stored::Another;
    }
    let kept = info_json(source);
    let info = kept.as_deref().unwrap_or(notification.info);
    if info.len() > MAX_LINE_BYTES {
        return Stored::Junk;
    }
    notifications.push(&Notification {
        info,
        ..notification
    });
    Stored::Notification
}

/// The very text of the info, where it stands beside it.
fn info_json(source: &str) -> Option<Cow<'_, str>> {
    if !source.contains(r#""info_json""#) {
        return None;
    }
    let text = json::member(source, "info_json").filter(|value| value.starts_with('"'))?;
    let text = json::unescape(text);
    json::check_object(&text).is_ok().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LossReason;

    fn batch(info: &str) -> Notifications {
        let mut batch = Notifications::default();
        batch.push(&Notification {
            name: "x-start",
            base_id: Id::parse("a\"b").unwrap(),
            trace_id: Id::from_u128(2),
            parent_id: Id::from_u128(1),
            timestamp: Timestamp::from_micros(1),
            info,
            project: None,
            service: Some("s"),
        });
        batch
    }

    fn lines(info: &str, form: Form) -> Vec<String> {
        let (batch, mut out) = (batch(info), Vec::new());
        Documents::new(&batch).push(0, [255; 12], form, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_form_is_one_line_that_gives_back_what_it_can() {
        let base_id = Id::parse("a\"b").unwrap();
        let info = "{\"a\": NaN,\n\"host\": \"h\", \"b\": [1]}";
        let blanks = info.replace('\n', " ");
        for (form, expected) in [
            (Form::Whole, &*blanks),
            (Form::Text, info),
            (Form::Outline, r#"{"host": "h"}"#),
        ] {
            let lines = lines(info, form);
            assert_eq!(lines.len(), 2, "{lines:?}");
            assert_eq!(
                lines[0],
                r#"{"create": {"_id": "________________", "routing": "a\"b"}}"#
            );
            let mut read = Notifications::default();
            let stored = take(&lines[1], base_id, &mut read);
            assert!(matches!(stored, Stored::Notification), "{}", lines[1]);
            assert_eq!(read.get(0).info, expected);
            assert_eq!(read.get(0).service, Some("s"));
        }
    }

    #[test]
    fn an_outline_is_what_any_server_takes() {
        let long = "x".repeat(2000);
        for (info, expected) in [
            ("{}", "{}".to_owned()),
            (
                &*format!(
                    r#"{{"host": "a", "f": {{"g": 1}}, "x": "{long}", "n": -1.5e+3, "{long}": 2, "l": [[]], "z": null}}"#
                ),
                r#"{"host": "a", "n": -1.5e+3, "z": null}"#.to_owned(),
            ),
            (
                r#"{"a": 1, "\u0061": 2, "i": -Infinity, "n": NaN, "t": true}"#,
                r#"{"a": 1, "t": true}"#.to_owned(),
            ),
            (r#"{"a": 1, "b": tru"#, r#"{"a": 1}"#.to_owned()),
        ] {
            assert_eq!(outline(info), expected);
        }
    }

    #[test]
    fn what_is_no_notification_of_the_trace_is_told_apart() {
        let base_id = Id::from_u128(1);
        let mut read = Notifications::default();
        for (source, is_junk) in [
            ("{}", true),
            ("[]", true),
            (r#"{"base_id": 7}"#, true),
            (
                r#"{"base_id": "00000000-0000-0000-0000-000000000001"}"#,
                true,
            ),
            (r#"{"base_id": "other"}"#, false),
            (&lines("{}", Form::Whole)[1], false),
        ] {
            let stored = take(source, base_id, &mut read);
            assert_eq!(matches!(stored, Stored::Junk), is_junk, "{source}");
            assert!(!matches!(stored, Stored::Notification), "{source}");
        }
        assert!(read.is_empty());
    }

    #[test]
    fn ids_come_back_and_upstreams_do_not() {
        let id = [7, 0, 255, 254, 1, 2, 3, 4, 5, 6, 7, 8];
        let mut out = Vec::new();
        push_action(id, None, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(own_id(text.split('"').nth(5).unwrap()), Some(id));
        assert_eq!(own_id("s9BQxpMBRlWmOGhcoL6a"), None);
        assert_eq!(own_id("****************"), None);
    }

    #[test]
    fn errors_and_losses_are_documents_of_their_own() {
        let id = Id::from_u128(1);
        let mut out = Vec::new();
        push_error([0; 12], id, Timestamp::from_micros(1), &mut out);
        let loss = Loss {
            count: u64::MAX,
            reason: LossReason::Exit,
        };
        push_loss([0; 12], None, loss, Timestamp::from_micros(2), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"create": {"_id": "AAAAAAAAAAAAAAAA", "routing": "00000000-0000-0000-0000-000000000001"}}
{"base_id": "00000000-0000-0000-0000-000000000001", "timestamp": "1970-01-01T00:00:00.000001"}
{"create": {"_id": "AAAAAAAAAAAAAAAA"}}
{"base_id": null, "reason": "exit", "count": 9223372036854775807, "timestamp": "1970-01-01T00:00:00.000002"}
"#
        );
    }
}
