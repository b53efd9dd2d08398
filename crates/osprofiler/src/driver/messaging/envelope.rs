// SPDX-License-Identifier: Apache-2.0
//! The body of a message: a notification as oslo.messaging sends it, and what is found in one that came.
//!
//! Written as oslo.messaging's driver `messaging` does, which is upstream's: one JSON object, the notification its `payload`.
//! A message's id comes from what it says, so that a notification sent again after an unclear answer is known as the same. Losses
//! have a priority of their own, which upstream's reader does not listen to. Read is the form of `messagingv2`, too.

use sha1::{Digest, Sha1};

use crate::id::canonical;
use crate::wire::{self, BatchJson, ParsedNotification, json};
use crate::{Id, Loss, Notifications, Timestamp};

/// Writes the bodies of a batch's messages.
pub(super) struct Bodies<'a> {
    batch: &'a Notifications,
    json: BatchJson<'a>,
    payload: Vec<u8>,
    publisher_id: Option<&'a str>,
}

impl<'a> Bodies<'a> {
    pub(super) fn new(batch: &'a Notifications, publisher_id: Option<&'a str>) -> Self {
        Self {
            batch,
            json: BatchJson::new(batch),
            payload: Vec::new(),
            publisher_id,
        }
    }

    /// Writes the body for the notification at `index` over `body`.
    pub(super) fn write(&mut self, index: usize, body: &mut Vec<u8>) {
        let notification = self.batch.get(index);
        self.payload.clear();
        self.json.push(index, &mut self.payload);
        let mut head = String::new();
        let id = id_of(&self.payload);
        push_head(id, &mut head);
        match self.publisher_id {
            Some(publisher_id) => json::push_text(publisher_id, &mut head),
            None => head.push_str(json::member(notification.info, "host").unwrap_or("null")),
        }
        head.push_str(r#", "event_type": "profiler."#);
        // As Python formats it.
        json::push_escaped(notification.service.unwrap_or("None"), &mut head);
        head.push_str(r#"", "priority": "INFO", "payload": "#);
        body.clear();
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&self.payload);
        push_tail(id, notification.timestamp, body);
    }
}

/// Writes the body for a loss. `number` tells this message from others that say the same; it is the same when it is sent again.
pub(super) fn write_loss(
    base_id: Option<Id<'_>>,
    loss: Loss,
    publisher_id: Option<&str>,
    number: u128,
    body: &mut Vec<u8>,
) {
    let mut text = String::new();
    push_head(number, &mut text);
    match publisher_id {
        Some(publisher_id) => json::push_text(publisher_id, &mut text),
        None => text.push_str("null"),
    }
    text.push_str(r#", "event_type": "profiler.lost", "priority": "WARN", "payload": "#);
    wire::push_loss_line(base_id, loss, &mut text);
    text.truncate(text.trim_end().len());
    body.clear();
    body.extend_from_slice(text.as_bytes());
    push_tail(number, super::writer::now(), body);
}

fn push_head(id: u128, out: &mut String) {
    out.push_str(r#"{"message_id": ""#);
    out.push_str(std::str::from_utf8(&canonical(id)).unwrap_or_default());
    out.push_str(r#"", "publisher_id": "#);
}

fn push_tail(id: u128, timestamp: Timestamp, out: &mut Vec<u8>) {
    out.extend_from_slice(br#", "timestamp": ""#);
    let mut text = timestamp.to_bytes();
    // Python's own form of a time.
    text[10] = b' ';
    out.extend_from_slice(&text);
    out.extend_from_slice(br#"", "_unique_id": ""#);
    let hex = canonical(id);
    out.extend(hex.iter().filter(|&&digit| digit != b'-'));
    out.extend_from_slice(br#""}"#);
}

/// A UUID made of a text's hash (version 5).
fn id_of(payload: &[u8]) -> u128 {
    let hash = Sha1::digest(payload);
    let mut bits = [0; 16];
    bits.copy_from_slice(&hash[..16]);
    as_uuid(u128::from_be_bytes(bits), 5)
}

/// The number with the marks of a UUID of that version.
pub(super) fn as_uuid(bits: u128, version: u128) -> u128 {
    const MARKS: u128 = 0xf << 76 | 0b11 << 62;
    bits & !MARKS | version << 76 | 0b10 << 62
}

/// What a body holds.
pub(super) enum Content<'a> {
    /// A notification, and its message's id where that is a UUID.
    Notification(Option<u128>, ParsedNotification<'a>),
    /// A loss, of a trace or of traces nobody knows any more, and its message's id likewise.
    Loss(Option<u128>, Option<String>, Loss),
}

/// A body's text, taken out of the second envelope where there is one.
pub(super) struct Opened<'a>(std::borrow::Cow<'a, str>);

impl<'a> Opened<'a> {
    /// `None` for what is no JSON object.
    pub(super) fn new(body: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        // `messagingv2` puts the whole, as a text, into an object of its own.
        let inner = text
            .contains("oslo.message")
            .then(|| json::member(text, "oslo.message"))
            .flatten()
            .filter(|inner| inner.starts_with('"'));
        Some(Self(match inner {
            Some(inner) => json::unescape(inner),
            None => text.into(),
        }))
    }

    /// When it says that it was sent.
    pub(super) fn sent(&self) -> Option<Timestamp> {
        let text = json::unescape(json::member(&self.0, "timestamp")?);
        Timestamp::parse(&text.replacen(' ', "T", 1))
    }

    /// What it holds; `None` for what is neither.
    pub(super) fn content(&self) -> Option<Content<'_>> {
        let text = &*self.0;
        json::check_object(text).ok()?;
        let payload = json::member(text, "payload")?;
        let id = json::member(text, "message_id").map(json::unescape);
        let id = id.and_then(|id| Id::parse(&id).ok()?.as_u128());
        if let Ok(notification) = wire::parse(payload.as_bytes()) {
            return Some(Content::Notification(id, notification));
        }
        let (base_id, loss) = wire::parse_loss(payload.as_bytes())?;
        Some(Content::Loss(id, base_id, loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LossReason, Notification};

    fn batch() -> Notifications {
        let mut batch = Notifications::default();
        batch.push(&Notification {
            name: "wsgi-start",
            base_id: Id::from_u128(1),
            trace_id: Id::from_u128(2),
            parent_id: Id::from_u128(1),
            timestamp: Timestamp::from_micros(1_795_656_695_609_489),
            info: r#"{"host": "ct\"l", "oslo.message": "x"}"#,
            project: Some("glance"),
            service: Some("api"),
        });
        batch
    }

    fn body(publisher_id: Option<&str>) -> String {
        let batch = batch();
        let mut body = b"left over".to_vec();
        Bodies::new(&batch, publisher_id).write(0, &mut body);
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn a_body_is_what_upstream_sends() {
        assert_eq!(
            body(Some("ctl")),
            r#"{"message_id": "7678bf27-3963-5262-9d4f-6eee7a90bea0", "publisher_id": "ctl", "event_type": "profiler.api", "priority": "INFO", "payload": {"name": "wsgi-start", "base_id": "00000000-0000-0000-0000-000000000001", "trace_id": "00000000-0000-0000-0000-000000000002", "parent_id": "00000000-0000-0000-0000-000000000001", "timestamp": "2026-11-26T01:31:35.609489", "info": {"host": "ct\"l", "oslo.message": "x"}, "project": "glance", "service": "api"}, "timestamp": "2026-11-26 01:31:35.609489", "_unique_id": "7678bf27396352629d4f6eee7a90bea0"}"#
        );
        assert!(body(None).contains(r#""publisher_id": "ct\"l", "#));
    }

    /// `expected` is the name of the notification and its message's id, or the loss, or `junk`.
    fn check(body: &str, expected: &str) {
        let opened = Opened::new(body.as_bytes());
        let found = match opened.as_ref().and_then(Opened::content) {
            Some(Content::Notification(id, parsed)) => {
                format!("{} {}", parsed.as_notification().name, id.is_some())
            }
            Some(Content::Loss(_, base_id, loss)) => {
                format!("{base_id:?} {} {}", loss.count, loss.reason.name())
            }
            None => "junk".to_owned(),
        };
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn what_was_written_is_read_in_both_forms() {
        let first = body(None);
        check(&first, "wsgi-start true");
        let mut second = String::from(r#"{"oslo.version": "2.0", "oslo.message": "#);
        json::push_text(&first, &mut second);
        second.push('}');
        check(&second, "wsgi-start true");
        let sent = Opened::new(second.as_bytes()).and_then(|opened| opened.sent());
        assert_eq!(sent, Some(Timestamp::from_micros(1_795_656_695_609_489)));
        let loss = Loss {
            count: 3,
            reason: LossReason::Exit,
        };
        let mut body = Vec::new();
        write_loss(Some(Id::from_u128(1)), loss, None, 7, &mut body);
        let text = String::from_utf8(body).unwrap();
        check(
            &text,
            r#"Some("00000000-0000-0000-0000-000000000001") 3 exit"#,
        );
        assert!(text.contains(r#""event_type": "profiler.lost", "priority": "WARN""#));
    }

    #[test]
    fn what_is_neither_is_junk() {
        for body in [
            "",
            "{}",
            "[1]",
            "\"payload\"",
            r#"{"payload": {}}"#,
            r#"{"payload": {"name": "x"}}"#,
            r#"{"oslo.message": "{", "oslo.version": "2.0"}"#,
            r#"{"oslo.message": {"payload": {}}}"#,
        ] {
            check(body, "junk");
        }
        assert!(Opened::new(b"\xff").is_none());
    }
}
