// SPDX-License-Identifier: Apache-2.0
//! Spans as a collector would read them, and what a writer does with a collector's answers.

mod collector;
mod faults;
mod shown;
mod spans;

use crate::{Id, Notification, Notifications, Timestamp};

/// A notification in short: point, parent, name, microseconds, info. The trace is `B`.
pub(super) type Row<'a> = (&'a str, &'a str, &'a str, i64, &'a str);

pub(super) fn batch(rows: &[Row<'_>]) -> Notifications {
    let id = |text| Id::parse(text).unwrap();
    let mut batch = Notifications::default();
    for &(trace_id, parent_id, name, micros, info) in rows {
        batch.push(&Notification {
            name,
            base_id: id("B"),
            trace_id: id(trace_id),
            parent_id: id(parent_id),
            timestamp: Timestamp::from_micros(micros),
            info,
            project: Some("shop"),
            service: Some("api"),
        });
    }
    batch
}
