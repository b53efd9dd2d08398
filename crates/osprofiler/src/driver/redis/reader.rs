// SPDX-License-Identifier: Apache-2.0
//! Reading a trace back: its list from the oldest notification on, its losses, and what upstream wrote before it had lists.
//!
//! Whatever is no notification of the trace is skipped and counted.

use std::ops::ControlFlow;

use ::redis::{Value, cmd, pipe};

use super::connection::Server;
use super::settings::Settings;
use super::{LEGACY, LOST, NOTIFICATIONS, listing, questions};
use crate::driver::{ListFilter, ReadSummary, Reader, TraceSummary};
use crate::wire::{self, MAX_LINE_BYTES};
use crate::{Id, Loss, LossReason, Notifications, Result, Timestamp};

/// How many of a list's newest elements tell when it was last written: services' clocks differ, and some may be junk.
const NEWEST: i64 = 8;

pub(super) struct RedisReader {
    server: Server,
}

impl RedisReader {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            server: Server::new(settings),
        }
    }

    fn read_list(
        &mut self,
        base_id: Id<'_>,
        notifications: &mut Notifications,
        summary: &mut ReadSummary,
    ) -> Result<()> {
        let key = format!("{NOTIFICATIONS}{base_id}");
        let is_list = questions::each_page(&mut self.server, &key, |page| {
            for element in page {
                push(element, base_id, notifications, summary);
            }
            ControlFlow::Continue(())
        })?;
        summary.skipped += u64::from(!is_list);
        Ok(())
    }

    fn read_losses(&mut self, base_id: Id<'_>, summary: &mut ReadSummary) -> Result<()> {
        let key = format!("{LOST}{base_id}");
        let counts = self.server.run("read", |connection, _| {
            questions::or_wrong_type(cmd("HGETALL").arg(&key).query(connection))
        })?;
        let Some(counts) = counts else {
            summary.skipped += 1;
            return Ok(());
        };
        let counts: Vec<(Vec<u8>, Vec<u8>)> = counts;
        for (field, count) in &counts {
            match loss(field, count) {
                Some(loss) => summary.add_loss(loss),
                None => summary.skipped += 1,
            }
        }
        Ok(())
    }

    /// Reads single notifications. Nothing but their keys tells which there are, so all keys of the database are looked at.
    fn read_legacy(
        &mut self,
        base_id: Id<'_>,
        notifications: &mut Notifications,
        summary: &mut ReadSummary,
    ) -> Result<()> {
        let pattern = format!("{LEGACY}{}*", questions::escape(&base_id.to_string()));
        let mut found = Notifications::default();
        questions::each_key(&mut self.server, &pattern, |server, keys| {
            for value in questions::values(server, keys, MAX_LINE_BYTES)? {
                // An id that begins like this one has keys that begin like its keys.
                match value.as_deref().and_then(|value| wire::parse(value).ok()) {
                    Some(parsed) if parsed.as_notification().base_id != base_id => {}
                    Some(parsed) => found.push(&parsed.as_notification()),
                    None => summary.skipped += 1,
                }
            }
            Ok(())
        })?;
        found.sort_by_timestamp();
        notifications.extend(found.iter());
        Ok(())
    }
}

impl Reader for RedisReader {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        let mut summary = ReadSummary::default();
        let start = notifications.len();
        self.read_list(base_id, notifications, &mut summary)?;
        self.read_losses(base_id, &mut summary)?;
        if notifications.len() == start && summary == ReadSummary::default() {
            self.read_legacy(base_id, notifications, &mut summary)?;
        }
        notifications.remove_duplicates(start);
        Ok(summary)
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        listing::list(&mut self.server, filter, each)
    }

    /// Looks at what was pushed last. What has no list was written by an upstream of long ago.
    fn written_since(&mut self, traces: &[Id<'_>], since: Timestamp) -> Result<Vec<bool>> {
        let mut written = Vec::with_capacity(traces.len());
        for traces in traces.chunks(questions::VALUES) {
            let mut questions = pipe();
            for trace in traces {
                let key = format!("{NOTIFICATIONS}{trace}");
                questions.cmd("LRANGE").arg(key).arg(0).arg(NEWEST - 1);
            }
            let answers = questions::ask(&mut self.server, &questions)?.into_iter();
            written.extend(answers.map(|answer| {
                let Value::Array(elements) = answer else {
                    return false;
                };
                let mut texts = elements.into_iter().filter_map(questions::text_of);
                texts.any(|text| {
                    wire::parse(&text).is_ok_and(|one| one.as_notification().timestamp >= since)
                })
            }));
        }
        Ok(written)
    }
}

/// What a field of a trace's losses says: `<reason>:<writer>`, and a number.
fn loss(field: &[u8], count: &[u8]) -> Option<Loss> {
    let (reason, _) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some(Loss {
        count: std::str::from_utf8(count).ok()?.parse().ok()?,
        reason: LossReason::from_name(reason)?,
    })
}

fn push(
    element: &[u8],
    base_id: Id<'_>,
    notifications: &mut Notifications,
    summary: &mut ReadSummary,
) {
    let parsed = (element.len() <= MAX_LINE_BYTES)
        .then(|| wire::parse(element).ok())
        .flatten();
    match parsed {
        Some(parsed) if parsed.as_notification().base_id == base_id => {
            notifications.push(&parsed.as_notification());
        }
        _ => summary.skipped += 1,
    }
}
