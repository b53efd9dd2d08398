// SPDX-License-Identifier: Apache-2.0
//! Reading traces back: blocks in order, each notification once, damage skipped and counted.
//!
//! A connection lasts for one call, so that a reader which lives long always sees the file that is at its path now.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::schema::{self, SqlId, State, block_id};
use super::{Settings, block, errors};
use crate::driver::{ListFilter, ReadSummary, Reader, TraceSummary};
use crate::{Id, Loss, LossReason, Notifications, Result, Timestamp};

pub(super) struct SqliteReader {
    settings: Settings,
}

impl SqliteReader {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Reader for SqliteReader {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        let mut summary = ReadSummary::default();
        let (mut connection, state) = schema::open_to_read(&self.settings)?;
        if state == State::Ready {
            // One transaction, so that blocks and counts are of the same moment.
            connection
                .transaction()
                .and_then(|snapshot| {
                    read_blocks(&snapshot, base_id, notifications, &mut summary)?;
                    read_losses(&snapshot, base_id, &mut summary)
                })
                .map_err(|error| errors::sort("read", &self.settings.path, error))?;
        }
        Ok(summary)
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        let (connection, state) = schema::open_to_read(&self.settings)?;
        if state == State::Empty {
            return Ok(0);
        }
        let query = match filter {
            ListFilter::All => "SELECT base_id, started FROM trace ORDER BY started, number",
            ListFilter::WithErrors => {
                "SELECT base_id, failed FROM trace WHERE failed IS NOT NULL ORDER BY failed, number"
            }
        };
        let mut list = || {
            let mut statement = connection.prepare(query)?;
            let mut rows = statement.query([])?;
            let mut skipped = 0;
            while let Some(row) = rows.next()? {
                match (id_of(row.get_ref(0)?), row.get(1)) {
                    (Some(base_id), Ok(micros)) => each(TraceSummary {
                        base_id,
                        timestamp: Timestamp::from_micros(micros),
                    }),
                    _ => skipped += 1,
                }
            }
            Ok(skipped)
        };
        list().map_err(|error| errors::sort("read", &self.settings.path, error))
    }
}

/// The id that a column holds; `None` for what this driver does not write.
fn id_of(value: ValueRef<'_>) -> Option<Id<'_>> {
    match value {
        ValueRef::Blob(bytes) => Some(Id::from_u128(u128::from_be_bytes(bytes.try_into().ok()?))),
        ValueRef::Text(text) => Id::parse(std::str::from_utf8(text).ok()?).ok(),
        _ => None,
    }
}

fn read_blocks(
    connection: &Connection,
    base_id: Id<'_>,
    notifications: &mut Notifications,
    summary: &mut ReadSummary,
) -> rusqlite::Result<()> {
    let trace = connection
        .prepare_cached("SELECT number, notifications FROM trace WHERE base_id = ?1")?
        .query_row([SqlId(base_id)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((number, stored)) = trace else {
        return Ok(());
    };
    let number: i64 = number;
    let stored: u64 = stored;
    let (first, last) = (
        block_id(number, 0)?,
        block_id(number, schema::MAX_BLOCKS - 1)?,
    );
    let mut statement = connection
        .prepare_cached("SELECT data FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
    let mut rows = statement.query(params![first, last])?;
    let start = notifications.len();
    let mut damaged = false;
    while let Some(row) = rows.next()? {
        let data = row.get_ref(0)?;
        let decoded = data
            .as_blob()
            .ok()
            .and_then(|data| block::decode(base_id, data, notifications).ok());
        damaged |= decoded.is_none();
    }
    let read = (notifications.len() - start) as u64;
    if damaged || read < stored {
        summary.skipped += stored.saturating_sub(read).max(1);
    }
    notifications.remove_duplicates(start);
    Ok(())
}

fn read_losses(
    connection: &Connection,
    base_id: Id<'_>,
    summary: &mut ReadSummary,
) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("SELECT reason, count FROM loss WHERE base_id = ?1 ORDER BY reason")?;
    let mut rows = statement.query([SqlId(base_id)])?;
    while let Some(row) = rows.next()? {
        let reason = row
            .get_ref(0)?
            .as_str()
            .ok()
            .and_then(LossReason::from_name);
        match (reason, row.get::<_, u64>(1)) {
            (Some(reason), Ok(count)) => summary.add_loss(Loss { count, reason }),
            _ => summary.skipped += 1,
        }
    }
    Ok(())
}
