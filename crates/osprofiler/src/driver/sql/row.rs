// SPDX-License-Identifier: Apache-2.0
//! A notification as a row of the table `data`, in upstream's layout.
//!
//! In: a notification. Out: nine texts, some null, in the order of [`COLUMNS`]. `data` holds a JSON text that holds JSON,
//! `"{\"info\": {...}}"`, as upstream writes it: whatever an info holds is escaped twice, so that databases which rewrite JSON,
//! or refuse some of it, leave it alone. What is longer than a column is shortened; nothing is refused here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::wire::{self, json};
use crate::{Id, Notification, Notifications, Timestamp};

/// The columns that are written, but for the `id` that the database counts.
pub(in crate::driver) const COLUMNS: &str =
    "timestamp, base_id, parent_id, trace_id, project, host, service, name, data";

/// How many there are.
pub(in crate::driver) const WIDTH: usize = 9;

/// How many characters a column of text holds.
const COLUMN_CHARACTERS: usize = 255;

/// Their texts, in that order.
pub(in crate::driver) type Row<'a> = [Option<Cow<'a, str>>; WIDTH];

/// The row that `notification` is.
pub(in crate::driver) fn row<'a>(notification: &Notification<'a>) -> Row<'a> {
    let host = json::member(notification.info, "host")
        .filter(|value| value.starts_with('"'))
        .map(|value| shorten(json::unescape(value), ""));
    let optional = |text: Option<&'a str>| text.map(|text| shorten(Cow::Borrowed(text), ""));
    [
        Some(Cow::Owned(notification.timestamp.to_string())),
        Some(text_of(notification.base_id)),
        Some(text_of(notification.parent_id)),
        Some(text_of(notification.trace_id)),
        optional(notification.project),
        host,
        optional(notification.service),
        Some(name(notification)),
        Some(Cow::Owned(data(notification.info))),
    ]
}

/// An id's text. It fits: an id has at most as many bytes as a column has characters.
fn text_of(id: Id<'_>) -> Cow<'_, str> {
    match id.as_text() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(id.to_string()),
    }
}

/// The name; a long one keeps its end, by which a reader tells a start from a stop.
fn name<'a>(notification: &Notification<'a>) -> Cow<'a, str> {
    let end = &notification.name[notification.point_name().len()..];
    shorten(Cow::Borrowed(notification.name), end)
}

/// `text` as a column holds it: whole, or its beginning, an ellipsis, and `end`.
fn shorten<'a>(text: Cow<'a, str>, end: &str) -> Cow<'a, str> {
    // Characters are never more than bytes.
    if text.len() <= COLUMN_CHARACTERS || text.chars().count() <= COLUMN_CHARACTERS {
        return text;
    }
    let kept = COLUMN_CHARACTERS - 1 - end.len();
    let beginning: String = text.chars().take(kept).collect();
    Cow::Owned(format!("{beginning}…{end}"))
}

fn data(info: &str) -> String {
    let mut data = String::with_capacity(info.len() + info.len() / 8 + 20);
    data.push_str(r#""{\"info\": "#);
    json::push_escaped(info, &mut data);
    data.push_str("}\"");
    data
}

/// The traces of the batch that have errors, each with the time of its first one here.
pub(in crate::driver) fn first_errors(batch: &Notifications) -> BTreeMap<Id<'_>, Timestamp> {
    let mut first = BTreeMap::new();
    for notification in batch.iter().filter(wire::has_error) {
        first
            .entry(notification.base_id)
            .and_modify(|first: &mut Timestamp| *first = notification.timestamp.min(*first))
            .or_insert(notification.timestamp);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification<'a>(name: &'a str, info: &'a str) -> Notification<'a> {
        Notification {
            name,
            base_id: Id::from_u128(1),
            trace_id: Id::parse("t").unwrap(),
            parent_id: Id::from_u128(1),
            timestamp: Timestamp::from_micros(0),
            info,
            project: None,
            service: Some("api"),
        }
    }

    /// What upstream 4.4.0 writes through SQLAlchemy, read back with a client of the database.
    #[test]
    fn a_row_is_upstreams() {
        let info = r#"{"db": {"statement": "SELECT \"é\""}, "host": "node-1"}"#;
        let row = row(&notification("db-start", info));
        let row = row.each_ref().map(Option::as_deref);
        assert_eq!(
            row,
            [
                Some("1970-01-01T00:00:00.000000"),
                Some("00000000-0000-0000-0000-000000000001"),
                Some("00000000-0000-0000-0000-000000000001"),
                Some("t"),
                None,
                Some("node-1"),
                Some("api"),
                Some("db-start"),
                Some(
                    r#""{\"info\": {\"db\": {\"statement\": \"SELECT \\\"\u00e9\\\"\"}, \"host\": \"node-1\"}}""#
                ),
            ]
        );
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        for (name, expected) in [
            ("x".repeat(255), "x".repeat(255)),
            ("é".repeat(255), "é".repeat(255)),
            ("x".repeat(256), "x".repeat(254) + "…"),
            ("é".repeat(300) + "-start", "é".repeat(248) + "…-start"),
            ("x".repeat(300) + "-stop", "x".repeat(249) + "…-stop"),
        ] {
            let row = row(&notification(&name, "{}"));
            let name = row[7].as_deref().unwrap();
            assert_eq!(name, expected);
            assert!(name.chars().count() <= 255);
        }
    }

    #[test]
    fn a_host_is_a_text_or_none() {
        for (info, expected) in [
            (r#"{"host": "a\u00e9"}"#, Some("aé")),
            (r#"{"host": 1}"#, None),
            (r#"{"host": null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(row(&notification("x-start", info))[5].as_deref(), expected);
        }
    }
}
