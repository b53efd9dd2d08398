// SPDX-License-Identifier: Apache-2.0
//! A notification as a document of the collection `profiler`, and back.
//!
//! The members are upstream's, in its order: `name`, `base_id`, `trace_id`, `parent_id`, `timestamp` (text), `info` (a
//! document), `project`, `service`. Beside them stand `info_json`, the info's very text, where the document cannot give it
//! back, and `expire_at`, a date, where the store is to remove it. `_id` has the order of recording.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mongodb::bson::raw::RawBsonRef;
use mongodb::bson::{RawDocument, RawDocumentBuf};

use super::bson::BsonWriter;
use super::info::{self, StoredInfo};
use crate::wire::json;
use crate::{Id, Notification, Notifications, Timestamp};

/// The most bytes of a document that MongoDB takes.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;
/// The most bytes of its info, in both forms; the rest is room for names and ids.
const MAX_INFO_BYTES: usize = MAX_DOCUMENT_BYTES - (64 << 10);

/// Makes the documents of a batch. An info that occurs again is converted once.
pub(super) struct Documents<'a> {
    batch: &'a Notifications,
    /// By the number of an info's text.
    infos: Vec<Option<StoredInfo>>,
    expire_at_millis: Option<i64>,
}

impl<'a> Documents<'a> {
    /// Of `batch`, to be removed by the store after `ttl`.
    pub(super) fn new(batch: &'a Notifications, ttl: Option<Duration>) -> Self {
        let mut infos = Vec::new();
        infos.resize_with(batch.text_count(), || None);
        Self {
            batch,
            infos,
            expire_at_millis: ttl.map(expire_at_millis),
        }
    }

    /// The document of the notification at `index`; `None` if no document can hold it.
    pub(super) fn make(&mut self, index: usize, id: [u8; 12]) -> Option<RawDocumentBuf> {
        let notification = self.batch.get(index);
        let [_, number, ..] = self.batch.text_numbers(index);
        let info =
            self.infos[number.index()].get_or_insert_with(|| StoredInfo::of(notification.info));
        let text = (!info.is_exact).then_some(notification.info);
        if info.document.len() + text.map_or(0, str::len) > MAX_INFO_BYTES {
            return self.outline(index, id);
        }
        let document = &info.document;
        envelope(&notification, id, document, text, self.expire_at_millis)
    }

    /// The same with the least of the info as a document, and all of it as text: for a server that refuses the other.
    pub(super) fn outline(&self, index: usize, id: [u8; 12]) -> Option<RawDocumentBuf> {
        let notification = self.batch.get(index);
        let outline = StoredInfo::outline(notification.info).document;
        let fits = |text: &&str| outline.len() + text.len() <= MAX_INFO_BYTES;
        let text = Some(notification.info).filter(fits);
        envelope(&notification, id, &outline, text, self.expire_at_millis)
    }
}

fn envelope(
    notification: &Notification<'_>,
    id: [u8; 12],
    info: &[u8],
    info_text: Option<&str>,
    expire_at_millis: Option<i64>,
) -> Option<RawDocumentBuf> {
    let mut writer = BsonWriter::new();
    writer.object_id("_id", id);
    writer.text("name", notification.name);
    for (key, id) in [
        ("base_id", notification.base_id),
        ("trace_id", notification.trace_id),
        ("parent_id", notification.parent_id),
    ] {
        writer.text(key, &id.to_string());
    }
    writer.text("timestamp", &notification.timestamp.to_string());
    writer.document("info", info);
    for (key, text) in [
        ("project", notification.project),
        ("service", notification.service),
    ] {
        match text {
            Some(text) => writer.text(key, text),
            None => writer.null(key),
        }
    }
    if let Some(text) = info_text {
        writer.text("info_json", text);
    }
    if let Some(millis) = expire_at_millis {
        writer.date("expire_at", millis);
    }
    let bytes = writer.finish();
    let document = RawDocumentBuf::from_bytes(bytes).ok()?;
    (document.as_bytes().len() <= MAX_DOCUMENT_BYTES).then_some(document)
}

/// When what is stored now and kept for `ttl` is to go, in milliseconds since 1970.
pub(super) fn expire_at_millis(ttl: Duration) -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from((now + ttl).as_millis()).unwrap_or(i64::MAX)
}

/// What a document of `profiler` has of a notification, its info as text in `info`. `None` if it is none.
pub(super) fn notification<'a>(
    document: &'a RawDocument,
    info: &'a mut String,
) -> Option<Notification<'a>> {
    let text = |key| document.get_str(key).ok();
    let id = |key| text(key).and_then(|text| Id::parse(text).ok());
    let optional = |key| match document.get(key) {
        Ok(Some(RawBsonRef::String(text))) => Some(Some(text)),
        Ok(Some(RawBsonRef::Null) | None) => Some(None),
        _ => None,
    };
    info.clear();
    let of_document = document.get_document("info").ok()?;
    let kept = text("info_json").filter(|text| json::check_object(text).is_ok());
    if kept.is_none() {
        info::push_json(of_document, info)?;
    }
    Some(Notification {
        name: text("name")?,
        base_id: id("base_id")?,
        trace_id: id("trace_id")?,
        parent_id: id("parent_id")?,
        timestamp: Timestamp::parse(text("timestamp")?)?,
        info: kept.unwrap_or(info),
        project: optional("project")?,
        service: optional("service")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Line, Lines};

    /// The documents of notifications with these infos.
    fn documents(infos: &[&str]) -> Vec<Option<RawDocumentBuf>> {
        let mut batch = Notifications::default();
        for info in infos {
            batch.push(&Notification {
                name: "x-start",
                base_id: Id::from_u128(1),
                trace_id: Id::from_u128(2),
                parent_id: Id::from_u128(1),
                timestamp: Timestamp::default(),
                info,
                project: None,
                service: Some("s"),
            });
        }
        let mut made = Documents::new(&batch, None);
        (0..batch.len())
            .map(|index| made.make(index, [0; 12]))
            .collect()
    }

    #[test]
    fn what_services_record_is_stored_once() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
        let (mut batch, mut info) = (Notifications::default(), String::new());
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|name| name == "jsonl") {
                let text = std::fs::read(path).unwrap();
                let mut lines = Lines::new(&text[..]);
                while let Some(Line::Notification(parsed)) = lines.next_line().unwrap() {
                    batch.push(&parsed.as_notification());
                }
            }
        }
        assert!(batch.len() > 5_000);
        let mut made = Documents::new(&batch, None);
        for index in 0..batch.len() {
            let document = made.make(index, [0; 12]).unwrap();
            assert!(document.get("info_json").unwrap().is_none());
            assert_eq!(notification(&document, &mut info), Some(batch.get(index)));
        }
    }

    #[test]
    fn a_large_info_is_cut_where_no_document_holds_it() {
        let info = |bytes: usize| format!(r#"{{"host": "h", "a": "{}"}}"#, "x".repeat(bytes));
        let numbers = format!(r#"{{"host": "h", "a": [{}1]}}"#, "1, ".repeat(2 << 20));
        let (fits, large) = (info(15 << 20), info(17 << 20));
        let made = documents(&[&fits, &numbers, &large]);
        let read = |index: usize, text: &mut String| {
            let document: &RawDocumentBuf = made[index].as_ref().unwrap();
            assert!(document.as_bytes().len() <= MAX_DOCUMENT_BYTES);
            notification(document, text).unwrap().info.to_owned()
        };
        let mut text = String::new();
        assert!(read(0, &mut text) == fits);
        // As a document it would be too large, but not as text.
        assert!(read(1, &mut text) == numbers);
        assert_eq!(read(2, &mut text), r#"{"host": "h"}"#);
    }

    #[test]
    fn what_no_document_can_hold_is_none() {
        let mut batch = Notifications::default();
        let name = "x".repeat(17 << 20);
        batch.push(&Notification {
            name: &name,
            base_id: Id::from_u128(1),
            trace_id: Id::from_u128(2),
            parent_id: Id::from_u128(1),
            timestamp: Timestamp::default(),
            info: "{}",
            project: None,
            service: None,
        });
        assert!(Documents::new(&batch, None).make(0, [0; 12]).is_none());
    }
}
