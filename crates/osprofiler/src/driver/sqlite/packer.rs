// SPDX-License-Identifier: Apache-2.0
//! A batch as rows: sorted by trace, packed into blocks, the table of traces kept up.
//!
//! Small batches would repeat their texts in small blocks; so a trace's last block is packed again together with what
//! follows, until it is large.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::block;
use super::schema::{SqlId, block_id};
use crate::wire;
use crate::{Id, Kind, Notifications};

/// Sorts a batch by trace and packs it; keeps its memory between batches.
#[derive(Default)]
pub(super) struct Packer {
    encoder: block::Encoder,
    /// Of each text of the batch: whether it tells of an error, once somebody asked.
    tells_error: Vec<Option<bool>>,
    /// A trace's last block unpacked, and what follows it.
    merged: Notifications,
    data: Vec<u8>,
}

/// The row of a trace that is already stored.
struct StoredTrace {
    number: i64,
    blocks: i64,
    tail: i64,
}

impl Packer {
    /// Stores the batch; the caller's transaction makes it whole.
    pub(super) fn write(
        &mut self,
        connection: &Connection,
        batch: &Notifications,
    ) -> rusqlite::Result<()> {
        self.tells_error.clear();
        self.tells_error.resize(batch.text_count(), None);
        let mut rows_of_trace = HashMap::<Id<'_>, Vec<u32>>::new();
        let mut traces = Vec::new();
        for index in 0..batch.len() as u32 {
            let base_id = batch.get(index as usize).base_id;
            let rows = rows_of_trace.entry(base_id).or_insert_with(|| {
                traces.push(base_id);
                Vec::new()
            });
            rows.push(index);
        }
        for base_id in traces {
            self.write_trace(connection, batch, base_id, &rows_of_trace[&base_id])?;
        }
        Ok(())
    }

    fn write_trace(
        &mut self,
        connection: &Connection,
        batch: &Notifications,
        base_id: Id<'_>,
        rows: &[u32],
    ) -> rusqlite::Result<()> {
        let (started, failed) = self.times(batch, rows);
        let stored = connection
            .prepare_cached("SELECT number, blocks, tail FROM trace WHERE base_id = ?1")?
            .query_row([SqlId(base_id)], |row| {
                Ok(StoredTrace {
                    number: row.get(0)?,
                    blocks: row.get(1)?,
                    tail: row.get(2)?,
                })
            })
            .optional()?;
        let mut trace = match stored {
            Some(stored) => stored,
            None => StoredTrace {
                number: connection
                    .prepare_cached(
                        "INSERT INTO trace (base_id, started, notifications, blocks, tail) VALUES (?1, ?2, 0, 0, 0)",
                    )?
                    .insert(params![SqlId(base_id), started])?,
                blocks: 0,
                tail: 0,
            },
        };
        if !self.merge(connection, batch, base_id, rows, &mut trace)? {
            self.append(connection, batch, base_id, rows, &mut trace)?;
        }
        connection
            .prepare_cached(
                "UPDATE trace SET started = min(started, ?2), failed = coalesce(min(failed, ?3), failed, ?3),
                     notifications = notifications + ?4, blocks = ?5, tail = ?6
                 WHERE number = ?1",
            )?
            .execute(params![
                trace.number,
                started,
                failed,
                rows.len() as i64,
                trace.blocks,
                trace.tail
            ])?;
        Ok(())
    }

    /// The first notification's time, and the first error's.
    fn times(&mut self, batch: &Notifications, rows: &[u32]) -> (i64, Option<i64>) {
        let (mut started, mut failed) = (i64::MAX, None::<i64>);
        for &row in rows {
            let notification = batch.get(row as usize);
            let micros = notification.timestamp.as_micros();
            started = started.min(micros);
            if notification.kind() == Kind::Stop {
                let [_, info, ..] = batch.text_numbers(row as usize);
                let tells_error = &mut self.tells_error[info.index()];
                if *tells_error.get_or_insert_with(|| wire::info_has_error(notification.info)) {
                    failed = Some(failed.map_or(micros, |failed| failed.min(micros)));
                }
            }
        }
        (started, failed)
    }

    /// Packs the trace's last block again with `rows` after it, if both fit into one.
    fn merge(
        &mut self,
        connection: &Connection,
        batch: &Notifications,
        base_id: Id<'_>,
        rows: &[u32],
        trace: &mut StoredTrace,
    ) -> rusqlite::Result<bool> {
        if trace.tail <= 0
            || trace.tail.saturating_add(rows.len() as i64) > block::MERGED_ROWS as i64
        {
            return Ok(false);
        }
        let id = block_id(trace.number, trace.blocks.saturating_sub(1))?;
        self.merged.clear();
        let merged = &mut self.merged;
        let unpacked = connection
            .prepare_cached("SELECT data FROM block WHERE id = ?1")?
            .query_row([id], |row| {
                let data = row.get_ref(0)?;
                Ok(data
                    .as_blob()
                    .is_ok_and(|data| block::decode(base_id, data, merged).is_ok()))
            })
            .optional()?;
        // A block that is damaged or gone stays as it is; what follows begins a new one.
        if unpacked != Some(true) {
            return Ok(false);
        }
        self.merged
            .extend(rows.iter().map(|&row| batch.get(row as usize)));
        if self.merged.size_bytes() > block::BLOCK_TEXT_BYTES {
            return Ok(false);
        }
        let all: Vec<u32> = (0..self.merged.len() as u32).collect();
        self.data.clear();
        self.encoder
            .encode(base_id, &self.merged, &all, &mut self.data);
        connection
            .prepare_cached("UPDATE block SET data = ?2 WHERE id = ?1")?
            .execute(params![id, self.data])?;
        trace.tail = all.len() as i64;
        Ok(true)
    }

    /// Adds `rows` as new blocks.
    fn append(
        &mut self,
        connection: &Connection,
        batch: &Notifications,
        base_id: Id<'_>,
        mut rows: &[u32],
        trace: &mut StoredTrace,
    ) -> rusqlite::Result<()> {
        let mut insert =
            connection.prepare_cached("INSERT INTO block (id, data) VALUES (?1, ?2)")?;
        while !rows.is_empty() {
            let mut text_bytes = 0;
            let full = rows.iter().take(block::BLOCK_ROWS).position(|&row| {
                text_bytes += batch.get(row as usize).text_bytes();
                text_bytes > block::BLOCK_TEXT_BYTES
            });
            let count = full.unwrap_or(block::BLOCK_ROWS).clamp(1, rows.len());
            let (these, rest) = rows.split_at(count);
            self.data.clear();
            self.encoder.encode(base_id, batch, these, &mut self.data);
            insert.execute(params![block_id(trace.number, trace.blocks)?, self.data])?;
            trace.blocks += 1;
            trace.tail = count as i64;
            rows = rest;
        }
        Ok(())
    }
}
