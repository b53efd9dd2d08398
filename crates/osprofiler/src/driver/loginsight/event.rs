// SPDX-License-Identifier: Apache-2.0
//! Events as the ingestion API takes them, in requests that are as large as it allows.
//!
//! In: notifications and losses. Out: JSON, `{"events": [{"text": ..., "fields": [{"name": ..., "content": ...}, ...]}]}`. A
//! field that would have no content is left out.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{BASE_ID, LOSS, LOST, LOST_BASE_ID, LOST_MARK, NOTIFICATION, ORDER, TRACE};
use crate::wire::{self, BatchJson, json};
use crate::{Id, Loss, Notifications};

/// As many events as the API takes in a request.
const MOST_EVENTS: usize = 500;
/// It takes 4 MB. An event that is larger is alone in its request, for the server to refuse.
const MOST_BYTES: usize = 3_999_000;

/// Numbers for the order in which notifications were recorded.
#[derive(Default)]
pub(super) struct Order {
    last: u64,
}

impl Order {
    /// The next `count` numbers, greater than any before; about the time now, so that those of several processes compare.
    pub(super) fn next(&mut self, count: usize) -> u64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as u64);
        let first = now.max(self.last + 1);
        self.last = first + count as u64;
        first
    }
}

/// The events of notifications, some at a time.
pub(super) struct Events<'a> {
    batch: &'a Notifications,
    json: BatchJson<'a>,
    /// The number of the first one.
    order: u64,
    trace: Vec<u8>,
}

impl<'a> Events<'a> {
    pub(super) fn new(batch: &'a Notifications, order: u64) -> Self {
        Self {
            batch,
            json: BatchJson::new(batch),
            order,
            trace: Vec::new(),
        }
    }

    /// A request of the notifications from `begin` on, before `end`, and where it ends.
    pub(super) fn request(&mut self, begin: usize, end: usize) -> (String, usize) {
        let mut body = Body::new();
        let mut index = begin;
        while index < end && index - begin < MOST_EVENTS {
            let length = body.0.len();
            self.push(index, &mut body);
            if body.0.len() > MOST_BYTES && index > begin {
                body.0.truncate(length);
                break;
            }
            index += 1;
        }
        (body.finish(), index)
    }

    fn push(&mut self, index: usize, body: &mut Body) {
        let notification = self.batch.get(index);
        self.trace.clear();
        self.json.push(index, &mut self.trace);
        body.begin_event(NOTIFICATION);
        body.field(BASE_ID, &notification.base_id.to_string());
        body.field("trace_id", &notification.trace_id.to_string());
        for (name, text) in [
            ("project", notification.project),
            ("service", notification.service),
            ("name", Some(notification.name)),
        ] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                body.field(name, text);
            }
        }
        body.field(TRACE, &String::from_utf8_lossy(&self.trace));
        body.field(ORDER, &(self.order + index as u64).to_string());
        body.end_event();
    }
}

/// The request that tells of losses, each with its mark.
pub(super) fn losses<'a>(losses: impl Iterator<Item = (Option<Id<'a>>, Loss, u128)>) -> String {
    let mut body = Body::new();
    for (base_id, loss, mark) in losses {
        body.begin_event(LOSS);
        if let Some(id) = base_id {
            body.field(LOST_BASE_ID, &id.to_string());
        }
        let mut line = String::new();
        wire::push_loss_line(base_id, loss, &mut line);
        body.field(LOST, line.trim_end());
        body.field(LOST_MARK, &format!("{mark:032x}"));
        body.end_event();
    }
    body.finish()
}

/// A request, being written.
struct Body(String);

impl Body {
    fn new() -> Self {
        Self(r#"{"events": ["#.to_owned())
    }

    fn begin_event(&mut self, text: &str) {
        self.separate();
        self.0.push_str(r#"{"text": "#);
        json::push_text(text, &mut self.0);
        self.0.push_str(r#", "fields": ["#);
    }

    fn field(&mut self, name: &str, content: &str) {
        self.separate();
        self.0.push_str(r#"{"name": "#);
        json::push_text(name, &mut self.0);
        self.0.push_str(r#", "content": "#);
        json::push_text(content, &mut self.0);
        self.0.push('}');
    }

    fn end_event(&mut self) {
        self.0.push_str("]}");
    }

    fn finish(mut self) -> String {
        self.0.push_str("]}");
        self.0
    }

    /// Between two elements of an array.
    fn separate(&mut self) {
        if !self.0.ends_with('[') {
            self.0.push_str(", ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LossReason, Notification, Timestamp};

    fn batch(infos: &[&str]) -> Notifications {
        let mut batch = Notifications::default();
        for info in infos {
            batch.push(&Notification {
                name: "db-start",
                base_id: Id::parse("b").unwrap(),
                trace_id: Id::parse("t").unwrap(),
                parent_id: Id::parse("b").unwrap(),
                timestamp: Timestamp::from_micros(0),
                info,
                project: None,
                service: Some("api"),
            });
        }
        batch
    }

    #[test]
    fn an_event_is_upstreams_with_a_field_more() {
        let batch = batch(&[r#"{"a": "é"}"#]);
        let (body, end) = Events::new(&batch, 7).request(0, 1);
        assert_eq!(end, 1);
        let expected = r#"{"events": [{"text": "OSProfiler trace", "fields": [{"name": "base_id", "content": "b"}, {"name": "trace_id", "content": "t"}, {"name": "service", "content": "api"}, {"name": "name", "content": "db-start"}, {"name": "trace", "content": "{\"name\": \"db-start\", \"base_id\": \"b\", \"trace_id\": \"t\", \"parent_id\": \"b\", \"timestamp\": \"1970-01-01T00:00:00.000000\", \"info\": {\"a\": \"\u00e9\"}, \"project\": null, \"service\": \"api\"}"}, {"name": "order", "content": "7"}]}]}"#;
        assert_eq!(body, expected);
    }

    #[test]
    fn a_loss_is_not_found_by_the_id_of_its_trace() {
        let loss = Loss {
            count: 3,
            reason: LossReason::Exit,
        };
        let body =
            losses([(Some(Id::parse("b").unwrap()), loss, 42), (None, loss, 43)].into_iter());
        let expected = r#"{"events": [{"text": "OSProfiler loss", "fields": [{"name": "lost_base_id", "content": "b"}, {"name": "lost", "content": "{\"osprofiler_lost\": 3, \"reason\": \"exit\", \"base_id\": \"b\"}"}, {"name": "lost_mark", "content": "0000000000000000000000000000002a"}]}, {"text": "OSProfiler loss", "fields": [{"name": "lost", "content": "{\"osprofiler_lost\": 3, \"reason\": \"exit\", \"base_id\": null}"}, {"name": "lost_mark", "content": "0000000000000000000000000000002b"}]}]}"#;
        assert_eq!(body, expected);
    }

    #[test]
    fn a_request_ends_at_a_number_of_events_or_bytes() {
        let info = |length: usize| format!(r#"{{"a": "{}"}}"#, "x".repeat(length));
        let (large, larger) = (info(1 << 20), info(5 << 20));
        for (infos, expected) in [
            (vec!["{}"; 1200], vec![500, 1000, 1200]),
            (vec![&*large; 7], vec![3, 6, 7]),
            (vec![&*larger, &*larger, "{}", "{}"], vec![1, 2, 4]),
            (vec!["{}"; 500], vec![500]),
        ] {
            let batch = batch(&infos);
            let mut events = Events::new(&batch, 0);
            let (mut ends, mut begin) = (Vec::new(), 0);
            while begin < batch.len() {
                let body;
                (body, begin) = events.request(begin, batch.len());
                assert!(crate::wire::json::check_object(&body).is_ok());
                ends.push(begin);
            }
            assert_eq!(ends, expected);
        }
    }

    #[test]
    fn numbers_only_grow() {
        let mut order = Order::default();
        let first = order.next(1 << 40);
        assert!(order.next(1) > first + (1 << 40));
    }
}
