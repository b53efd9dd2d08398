// SPDX-License-Identifier: Apache-2.0
//! The JSON of a batch's notifications, one after the other: the same bytes as [`push_json`](super::push_json), for less.
//!
//! Notifications of one batch share names, projects and services, and neighbours their trace and their second. So the members before
//! `info` stay as text, by name, and of the ids and the timestamp only what differs is written into it anew; what follows the info stays
//! as text, too. A batch knows which texts are equal, so nothing is compared or escaped twice.

use crate::id::canonical;
use crate::timestamp::TimestampTexts;
use crate::{Id, Notifications, TextNumber};

use super::{FORM, FORM_ID, FORM_IDS, FORM_TIMESTAMP, json, push_json, push_tail};

/// Writes the JSON of a batch's notifications.
///
/// ```
/// # use osprofiler::{Id, Notification, Notifications, Timestamp, wire};
/// # let mut batch = Notifications::default();
/// # batch.push(&Notification {
/// #     name: "db-start",
/// #     base_id: Id::from_u128(1),
/// #     trace_id: Id::from_u128(2),
/// #     parent_id: Id::from_u128(1),
/// #     timestamp: Timestamp::from_micros(0),
/// #     info: r#"{"host": "a"}"#,
/// #     project: Some("glance"),
/// #     service: Some("api"),
/// # });
/// let mut json = wire::BatchJson::new(&batch);
/// let (mut text, mut one) = (Vec::new(), String::new());
/// for index in 0..batch.len() {
///     json.push(index, &mut text);
///     wire::push_json(&batch.get(index), &mut one);
/// }
/// assert_eq!(text, one.as_bytes());
/// ```
pub struct BatchJson<'a> {
    batch: &'a Notifications,
    timestamps: TimestampTexts,
    /// By a name's number: its head's place, plus one.
    head_of: Vec<u32>,
    heads: Vec<Head>,
    /// The heads' texts.
    texts: Vec<u8>,
    /// What follows the infos of a project and service.
    tail: Vec<u8>,
    tail_of: Option<[TextNumber; 2]>,
}

/// What comes before the info of notifications of one name, as it was last written.
struct Head {
    /// Where its text begins and ends; the end of the text is the form.
    begin: usize,
    end: usize,
    ids: [u128; 3],
}

impl<'a> BatchJson<'a> {
    /// For the notifications of `batch`.
    pub fn new(batch: &'a Notifications) -> Self {
        Self {
            batch,
            timestamps: TimestampTexts::new(),
            head_of: vec![0; batch.text_count()],
            heads: Vec::new(),
            texts: Vec::new(),
            tail: Vec::new(),
            tail_of: None,
        }
    }

    /// Appends the JSON object of the notification at `index`.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub fn push(&mut self, index: usize, out: &mut Vec<u8>) {
        let batch = self.batch;
        if let Some([head, tail]) = self.head_and_tail(index) {
            let info = batch.info(index).as_bytes();
            out.reserve(head.len() + info.len() + tail.len());
            out.extend_from_slice(head);
            out.extend_from_slice(info);
            out.extend_from_slice(tail);
        } else {
            let mut text = String::new();
            push_json(&batch.get(index), &mut text);
            out.extend_from_slice(text.as_bytes());
        }
    }

    /// Appends the notification at `index` as one line, its end included. Line ends between an info's tokens become blanks.
    ///
    /// # Panics
    /// If there is none.
    pub fn push_line(&mut self, index: usize, out: &mut Vec<u8>) {
        let begin = out.len();
        self.push(index, out);
        // Only the info is text from outside that was not escaped. Nearly all are one line, which is seen many bytes at a time.
        let least = self.batch.info(index).bytes().fold(u8::MAX, u8::min);
        if least < b' ' {
            for byte in &mut out[begin..] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
        out.push(b'\n');
    }

    /// What comes before the info of the notification at `index` and what follows it; `None` if an id is a text.
    #[inline]
    fn head_and_tail(&mut self, index: usize) -> Option<[&[u8]; 2]> {
        let (ids, timestamp) = self.batch.ids_and_timestamp(index);
        let [base_id, trace_id, parent_id] = ids.map(Id::as_u128);
        let ids = [base_id?, trace_id?, parent_id?];
        let [name, _, project, service] = self.batch.text_numbers(index);
        if self.tail_of != Some([project, service]) {
            self.make_tail(index);
        }
        if self.head_of[name.index()] == 0 {
            self.make_head(name);
        }
        let head = &mut self.heads[self.head_of[name.index()] as usize - 1];
        let text = &mut self.texts[head.begin..head.end];
        let form = text.last_chunk_mut::<{ FORM.len() }>()?;
        for ((at, id), old) in FORM_IDS.into_iter().zip(ids).zip(&mut head.ids) {
            if id != *old {
                *old = id;
                form[at..at + 36].copy_from_slice(&canonical(id));
            }
        }
        form[FORM_TIMESTAMP..FORM_TIMESTAMP + 26]
            .copy_from_slice(self.timestamps.text_of(timestamp));
        Some([text, &self.tail])
    }

    #[cold]
    fn make_head(&mut self, name: TextNumber) {
        let mut text = String::from("{\"name\": ");
        json::push_text(self.batch.text(name), &mut text);
        let begin = self.texts.len();
        self.texts.extend_from_slice(text.as_bytes());
        self.texts.extend_from_slice(&FORM);
        self.heads.push(Head {
            begin,
            end: self.texts.len(),
            ids: [FORM_ID; 3],
        });
        self.head_of[name.index()] = self.heads.len() as u32;
    }

    #[cold]
    fn make_tail(&mut self, index: usize) {
        let [.., project, service] = self.batch.text_numbers(index);
        let notification = self.batch.get(index);
        let mut text = String::new();
        push_tail(notification.project, notification.service, &mut text);
        self.tail = text.into_bytes();
        self.tail_of = Some([project, service]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{parse, push_line};
    use crate::{Id, Notification, Timestamp};

    fn check(batch: &Notifications) {
        let mut json = BatchJson::new(batch);
        for (index, notification) in batch.iter().enumerate() {
            let (mut text, mut line) = (Vec::new(), Vec::new());
            json.push(index, &mut text);
            json.push_line(index, &mut line);
            let (mut one, mut one_line) = (String::new(), String::new());
            push_json(&notification, &mut one);
            push_line(&notification, &mut one_line);
            assert_eq!(String::from_utf8(text).as_deref(), Ok(&*one));
            assert_eq!(String::from_utf8(line).as_deref(), Ok(&*one_line));
        }
    }

    #[test]
    fn recorded_traces_are_written_as_one_by_one() {
        for trace in ["token-issue", "server-stop-error"] {
            let path = format!(
                "{}/../../fixtures/{trace}.jsonl",
                env!("CARGO_MANIFEST_DIR")
            );
            let text = std::fs::read_to_string(path).unwrap();
            let mut batch = Notifications::default();
            for line in text.lines() {
                batch.push(&parse(line.as_bytes()).unwrap().as_notification());
            }
            check(&batch);
        }
    }

    #[test]
    fn whatever_changes_from_one_to_the_next_is_written() {
        // The form that ids are written into is made of these.
        let f = Id::from_u128(u128::MAX);
        let (one, text) = (Id::from_u128(1), Id::parse("\"B\"").unwrap());
        let mut batch = Notifications::default();
        for (name, ids, micros, info, project) in [
            ("db-start", [f, f, f], 0, "{}", Some("a")),
            ("db-start", [one, f, one], 1, "{}", Some("a")),
            ("db-start", [one, one, one], -1, "{\n\"a\": 1\r\n}", None),
            ("db-start", [one, one, f], -2, "{}", None),
            ("db-start", [text, one, f], 1_000_000, "{\n}", None),
            ("db-start", [one, text, f], 1_000_000, "{}", Some("\"é")),
            ("db-start", [f, f, f], i64::MAX, "{}", Some("a")),
            ("", [f, f, text], i64::MIN, "{}", Some("a")),
            ("é\n", [f, one, f], 999_999, "{\"\": \"é\"}", Some("")),
            ("db-start", [f, one, f], 999_999, "{}", Some("")),
        ] {
            batch.push(&Notification {
                name,
                base_id: ids[0],
                trace_id: ids[1],
                parent_id: ids[2],
                timestamp: Timestamp::from_micros(micros),
                info,
                project,
                service: project.map(|_| "a"),
            });
        }
        check(&batch);
    }
}
