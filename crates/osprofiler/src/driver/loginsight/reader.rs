// SPDX-License-Identifier: Apache-2.0
//! Reading: a trace is what a query for its id finds; a list goes through all notifications that the server still has.
//!
//! A query is answered from the newest event on, up to a number; the next one asks for what is as old as the last of them, or older.
//! The server takes ids for words, in capitals or not, so what it finds is looked at. What is no notification is skipped and
//! counted.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::{self, Event, Page};
use super::client::{Client, MOST_ANSWER_BYTES, Queried};
use super::settings::Settings;
use super::{BASE_ID, LOST, LOST_BASE_ID, LOST_MARK, NOTIFICATION, ORDER, TRACE};
use crate::driver::{ListFilter, ReadSummary, Reader, TraceSummary};
use crate::wire::{self, MAX_LINE_BYTES};
use crate::{ErrorKind, Id, Notifications, Result, Timestamp};

/// How many events are asked for: as many as the server gives at most, and fewer where their answer would be too long.
const LIMITS: [usize; 3] = [20_000, 2_000, 200];

const LOOK_THERE: &str = "look at the events with the server's own page";

pub(super) struct LogInsightReader {
    client: Client,
}

/// When a trace began, and first failed.
struct Found {
    first: Timestamp,
    failed: Option<Timestamp>,
}

impl LogInsightReader {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            client: Client::to_read(settings),
        }
    }

    /// Calls `each` with the events that have `text` in the field `name`, the newest first, and with some of them twice.
    fn each_event(
        &mut self,
        name: &str,
        text: &str,
        each: &mut dyn FnMut(&Event<'_>),
    ) -> Result<()> {
        let text = utf8_percent_encode(text, NON_ALPHANUMERIC);
        let constraints = format!("/{name}/CONTAINS+{text}/timestamp/GT+0");
        let (mut limits, mut bound) = (LIMITS.into_iter(), String::new());
        let mut limit = limits.next().unwrap_or(1);
        let mut oldest = None;
        loop {
            let path = format!("{constraints}{bound}?limit={limit}");
            let Queried::Answer(answer) = self.client.query(&path)? else {
                let Some(fewer) = limits.next() else {
                    let why =
                        format!("{limit} of its events are longer than {MOST_ANSWER_BYTES} bytes");
                    return Err(self.client.error(ErrorKind::Corrupt, &why, LOOK_THERE));
                };
                limit = fewer;
                continue;
            };
            let page = answer::read(&answer, each)
                .map_err(|error| self.client.stranger(&error.to_string()))?;
            if !page.is_complete {
                let why = "the server did not look at everything in time";
                let help = "try again, or allow for more time: `socket_timeout=300`";
                return Err(self.client.error(ErrorKind::Unavailable, why, help));
            }
            let Page {
                count,
                oldest: of_page,
                ..
            } = page;
            let Some(time) = of_page.filter(|_| count >= limit) else {
                return Ok(());
            };
            if oldest == Some(time) {
                let why = format!("more than {limit} of its events are of one millisecond");
                return Err(self.client.error(ErrorKind::Corrupt, &why, LOOK_THERE));
            }
            if oldest.is_some_and(|oldest| time > oldest) {
                let why = "its events are newer than those that were asked for";
                return Err(self.client.stranger(why));
            }
            oldest = Some(time);
            bound = format!("/timestamp/LE+{time}");
        }
    }

    fn read_notifications(
        &mut self,
        base_id: Id<'_>,
        notifications: &mut Notifications,
        summary: &mut ReadSummary,
    ) -> Result<()> {
        let id = base_id.to_string();
        let (mut read, mut orders) = (Notifications::default(), Vec::new());
        self.each_event(BASE_ID, &id, &mut |event| {
            let text = event.field(TRACE).unwrap_or_default();
            let parsed = (text.len() <= MAX_LINE_BYTES)
                .then(|| wire::parse(text.as_bytes()).ok())
                .flatten();
            match parsed {
                // An id that only looks like it, to the server.
                Some(parsed) if parsed.as_notification().base_id != base_id => {}
                Some(parsed) => {
                    let notification = parsed.as_notification();
                    let order = event.field(ORDER).and_then(|text| text.parse().ok());
                    // Upstream's have none; its numbers are like times.
                    orders.push(order.unwrap_or(notification.timestamp.as_micros()));
                    read.push(&notification);
                }
                None => summary.skipped += u64::from(event.field(BASE_ID).as_deref() == Some(&*id)),
            }
        })?;
        sort(&mut read, &orders);
        read.remove_duplicates(0);
        notifications.extend(read.iter());
        Ok(())
    }

    fn read_losses(&mut self, base_id: Id<'_>, summary: &mut ReadSummary) -> Result<()> {
        let id = base_id.to_string();
        let mut marks = HashSet::new();
        self.each_event(LOST_BASE_ID, &id, &mut |event| {
            let text = event.field(LOST).unwrap_or_default();
            match wire::parse_loss(text.as_bytes()) {
                Some((Some(of), loss)) if of == id => {
                    let mark = event.field(LOST_MARK);
                    if mark.is_none_or(|mark| marks.insert(mark.into_owned())) {
                        summary.add_loss(loss);
                    }
                }
                Some(_) => {}
                None => {
                    let is_its = event.field(LOST_BASE_ID).as_deref() == Some(&*id);
                    summary.skipped += u64::from(is_its);
                }
            }
        })
    }
}

impl Reader for LogInsightReader {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        let mut summary = ReadSummary::default();
        self.read_notifications(base_id, notifications, &mut summary)?;
        self.read_losses(base_id, &mut summary)?;
        Ok(summary)
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        let mut traces = HashMap::<String, Found>::new();
        let mut skipped = 0;
        self.each_event("text", NOTIFICATION, &mut |event| {
            let text = event.field(TRACE).unwrap_or_default();
            let Ok(parsed) = wire::parse(text.as_bytes()) else {
                skipped += 1;
                return;
            };
            let notification = parsed.as_notification();
            let time = notification.timestamp;
            let failed = wire::has_error(&notification).then_some(time);
            let found = traces
                .entry(notification.base_id.to_string())
                .or_insert(Found {
                    first: time,
                    failed,
                });
            found.first = found.first.min(time);
            found.failed = match (found.failed, failed) {
                (Some(known), Some(time)) => Some(known.min(time)),
                (known, time) => known.or(time),
            };
        })?;
        let mut times: Vec<(Timestamp, &str)> = traces
            .iter()
            .filter_map(|(id, found)| {
                let time = match filter {
                    ListFilter::All => Some(found.first),
                    ListFilter::WithErrors => found.failed,
                };
                Some((time?, id.as_str()))
            })
            .collect();
        times.sort_unstable();
        for (timestamp, text) in times {
            if let Ok(base_id) = Id::parse(text) {
                each(TraceSummary { base_id, timestamp });
            }
        }
        Ok(skipped)
    }
}

/// Brings notifications that came the newest first into the order of their numbers.
fn sort(notifications: &mut Notifications, orders: &[i64]) {
    let mut indices: Vec<usize> = (0..orders.len()).collect();
    indices.sort_by_key(|&index| (orders[index], Reverse(index)));
    let mut keys = vec![0; orders.len()];
    for (key, index) in (0..).zip(indices) {
        keys[index] = key;
    }
    notifications.sort_by_keys(&keys);
}
