// SPDX-License-Identifier: Apache-2.0
//! Rows of the table `data` as a trace: in the order of their `id`s, each notification once, what is none counted.
//!
//! In: rows as the database gives them, in any order, of traces whose ids are equal for the database, which may take capitals
//! and trailing blanks for nothing. Out: the notifications of the one trace. Nothing in a row is trusted.

use std::borrow::Cow;

use crate::wire::MAX_LINE_BYTES;
use crate::wire::json::{self, Scanner, Token};
use crate::{Id, Loss, LossReason, Notification, Notifications, Timestamp};

/// The longest `data` that is asked for; a longer one is no notification.
pub(in crate::driver) const DATA_BYTES: usize = 2 * MAX_LINE_BYTES;

/// The columns that are read after the `id`.
pub(in crate::driver) const WIDTH: usize = 8;

/// A row's texts: `timestamp`, `base_id`, `parent_id`, `trace_id`, `project`, `service`, `name`, `data`.
pub(in crate::driver) type Row<'a> = [Option<&'a str>; WIDTH];

/// The rows of one trace, becoming notifications.
pub(in crate::driver) struct TraceRows<'a> {
    base_id: String,
    notifications: &'a mut Notifications,
    start: usize,
    /// Of all notifications, those that were there before first.
    order: Vec<u64>,
    skipped: u64,
}

impl<'a> TraceRows<'a> {
    /// `base_id` as the database has it.
    pub(in crate::driver) fn new(base_id: String, notifications: &'a mut Notifications) -> Self {
        let start = notifications.len();
        Self {
            base_id,
            order: vec![0; start],
            notifications,
            start,
            skipped: 0,
        }
    }

    /// Takes a row.
    pub(in crate::driver) fn add(&mut self, id: i64, row: Row<'_>) {
        if row[1] != Some(&self.base_id) {
            return;
        }
        let Some((info, parts)) = read(row) else {
            self.skipped += 1;
            return;
        };
        self.notifications.push(&Notification {
            info: &info,
            ..parts
        });
        self.order.push(u64::try_from(id).unwrap_or(0).max(1));
    }

    /// Brings the notifications in order, without duplicates. Returns how many rows were none.
    pub(in crate::driver) fn finish(self) -> u64 {
        self.notifications.sort_by_keys(&self.order);
        self.notifications.remove_duplicates(self.start);
        self.skipped
    }
}

/// The notification without its info, and that.
fn read(row: Row<'_>) -> Option<(Cow<'_, str>, Notification<'_>)> {
    let [
        timestamp,
        base_id,
        parent_id,
        trace_id,
        project,
        service,
        name,
        data,
    ] = row;
    let notification = Notification {
        name: name?,
        base_id: Id::parse(base_id?).ok()?,
        trace_id: Id::parse(trace_id?).ok()?,
        parent_id: Id::parse(parent_id?).ok()?,
        timestamp: Timestamp::parse(timestamp?)?,
        info: "",
        project,
        service,
    };
    Some((info(data?)?, notification))
}

/// The info that `data` holds: JSON in a JSON text, or that JSON itself.
fn info(data: &str) -> Option<Cow<'_, str>> {
    let mut tokens = Scanner::new(data);
    let object = match (tokens.next_token().ok()??, tokens.position()) {
        (Token::Text(text), end) if data[end..].trim_ascii().is_empty() => json::unescape(text),
        _ => Cow::Borrowed(data),
    };
    if object.len() > MAX_LINE_BYTES || json::check_object(&object).is_err() {
        return None;
    }
    match object {
        Cow::Borrowed(object) => info_member(object).map(Cow::Borrowed),
        Cow::Owned(object) => info_member(&object).map(|info| Cow::Owned(info.to_owned())),
    }
}

fn info_member(object: &str) -> Option<&str> {
    json::member(object, "info").filter(|info| info.starts_with('{'))
}

/// The loss that a row of `data_lost` tells.
pub(in crate::driver) fn loss(reason: Option<&str>, count: Option<i64>) -> Option<Loss> {
    Some(Loss {
        reason: LossReason::from_name(reason?)?,
        count: u64::try_from(count?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Row<'_> = [
        Some("2026-01-01T00:00:00.000001"),
        Some("b"),
        Some("b"),
        Some("t"),
        None,
        Some("api"),
        Some("x-start"),
        Some(r#""{\"info\": {\"a\": \"\\u0000\"}}""#),
    ];

    /// `rows` change one column each; expected are the infos read, and how many rows were skipped.
    fn check(rows: &[(i64, usize, Option<&str>)], expected: (&[&str], u64)) {
        let mut notifications = Notifications::default();
        let mut trace = TraceRows::new("b".to_owned(), &mut notifications);
        for &(id, column, text) in rows {
            let mut row = GOOD;
            row[column] = text;
            trace.add(id, row);
        }
        let skipped = trace.finish();
        let infos: Vec<&str> = notifications
            .iter()
            .map(|notification| notification.info)
            .collect();
        assert_eq!((&*infos, skipped), expected, "{rows:?}");
    }

    #[test]
    fn an_info_comes_out_of_json_in_json_or_of_json() {
        for (data, expected) in [
            (GOOD[7].unwrap(), Some(r#"{"a": "\u0000"}"#)),
            (r#"{"info": {"a": NaN}}"#, Some(r#"{"a": NaN}"#)),
            (r#" "{\"info\":{}}" "#, Some("{}")),
            (r#"{"x": 1, "info": {"b": 2}}"#, Some(r#"{"b": 2}"#)),
            (r#""{\"info\": []}""#, None),
            (r#""{\"info\": {}""#, None),
            (r#""{\"info\": {}}" x"#, None),
            (r#""\"{\\\"info\\\": {}}\"""#, None),
            ("{}", None),
            ("", None),
            ("null", None),
            ("junk", None),
        ] {
            let expected = match &expected {
                Some(info) => (std::slice::from_ref(info), 0),
                None => (&[][..], 1),
            };
            check(&[(1, 7, Some(data))], expected);
        }
    }

    #[test]
    fn rows_that_are_no_notifications_are_counted_those_of_others_are_not() {
        let long = "x".repeat(256);
        for (column, text, skipped) in [
            (0, Some("yesterday"), 1),
            (0, None, 1),
            (1, Some("B"), 0),
            (1, Some("b "), 0),
            (1, None, 0),
            (2, Some(""), 1),
            (3, Some(&*long), 1),
            (3, None, 1),
            (6, None, 1),
            (7, None, 1),
        ] {
            check(&[(1, column, text)], (&[], skipped));
        }
    }

    #[test]
    fn rows_are_in_order_and_once() {
        let mut notifications = Notifications::default();
        let mut trace = TraceRows::new("b".to_owned(), &mut notifications);
        for (id, point) in [(9, "q"), (3, "p"), (5, "q"), (-1, "p"), (7, "r")] {
            let mut row = GOOD;
            row[3] = Some(point);
            trace.add(id, row);
        }
        assert_eq!(trace.finish(), 0);
        let points = notifications.iter().map(|row| row.trace_id.to_string());
        assert_eq!(points.collect::<Vec<_>>(), ["p", "q", "r"]);
    }
}
