// SPDX-License-Identifier: Apache-2.0
//! Keeping the store within its size: which traces go, and the table of losses that says so.
//!
//! What is evicted stays known as a loss of its trace, until so many traces are gone that their losses become one row.

use rusqlite::types::Value;
use rusqlite::{Connection, ToSql, params, params_from_iter};

use super::block;
use super::schema::{MAX_BLOCKS, SqlId, block_id};
use crate::{Id, Loss, LossReason};

/// Removes the oldest traces while the store is larger than `max_bytes`, and some more, so that not every batch has to.
/// The newest trace loses its oldest blocks instead. Returns how many notifications went.
pub(super) fn evict(connection: &Connection, max_bytes: u64) -> rusqlite::Result<u64> {
    if used_bytes(connection)? <= max_bytes {
        return Ok(0);
    }
    let mut evicted = 0u64;
    while used_bytes(connection)? > max_bytes - max_bytes / 32 {
        let mut oldest = connection.prepare_cached(
            "SELECT number, base_id, notifications FROM trace ORDER BY number LIMIT 2",
        )?;
        let mut rows = oldest.query([])?;
        let Some(row) = rows.next()? else { break };
        let (number, base_id): (i64, Value) = (row.get(0)?, row.get(1)?);
        let mut count: i64 = row.get(2)?;
        let is_newest = rows.next()?.is_none();
        if is_newest {
            let Some(removed) = remove_oldest_block(connection, number)? else {
                break;
            };
            count = removed;
        } else {
            remove_trace(connection, number)?;
        }
        add_loss_row(connection, &base_id, LossReason::Evicted, count)?;
        evicted = evicted.saturating_add(count.max(0) as u64);
    }
    bound_losses(connection, max_bytes)?;
    Ok(evicted)
}

/// How many notifications there are: of the trace, or of all.
pub(super) fn count(connection: &Connection, base_id: Option<Id<'_>>) -> rusqlite::Result<u64> {
    let (which, values) = match base_id {
        None => ("", None),
        Some(base_id) => (" WHERE base_id = ?1", Some(SqlId(base_id))),
    };
    connection
        .prepare_cached(&format!(
            "SELECT coalesce(sum(notifications), 0) FROM trace{which}"
        ))?
        .query_row(params_from_iter(values), |row| row.get(0))
}

/// Removes the trace, but not what is known to be lost of it.
pub(super) fn remove_trace(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM block WHERE id BETWEEN ?1 AND ?2")?
        .execute([block_id(number, 0)?, block_id(number, MAX_BLOCKS - 1)?])?;
    connection
        .prepare_cached("DELETE FROM trace WHERE number = ?1")?
        .execute([number])?;
    Ok(())
}

/// Removes the trace, and what is known to be lost of it.
pub(super) fn forget_trace(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM loss WHERE base_id = (SELECT base_id FROM trace WHERE number = ?1)",
        )?
        .execute([number])?;
    remove_trace(connection, number)
}

/// Removes the first block of the trace, if it is not its last one. Returns how many notifications it held.
fn remove_oldest_block(connection: &Connection, number: i64) -> rusqlite::Result<Option<i64>> {
    let mut first = connection.prepare_cached(
        "SELECT id, substr(data, 1, 12) FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 2",
    )?;
    let mut rows = first.query([block_id(number, 0)?, block_id(number, MAX_BLOCKS - 1)?])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let (id, start): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
    if rows.next()?.is_none() {
        return Ok(None);
    }
    let count = block::row_count(&start).unwrap_or(0) as i64;
    connection
        .prepare_cached("DELETE FROM block WHERE id = ?1")?
        .execute([id])?;
    connection
        .prepare_cached("UPDATE trace SET notifications = notifications - ?2 WHERE number = ?1")?
        .execute([number, count])?;
    Ok(Some(count))
}

fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |pragma| {
        connection
            .prepare_cached(pragma)?
            .query_row([], |row| row.get::<_, u64>(0))
    };
    let pages = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
    Ok(pages * number("PRAGMA page_size")?)
}

pub(super) fn add_loss(
    connection: &Connection,
    base_id: Option<Id<'_>>,
    loss: Loss,
) -> rusqlite::Result<()> {
    let count = i64::try_from(loss.count).unwrap_or(i64::MAX);
    match base_id {
        Some(id) => add_loss_row(connection, &SqlId(id), loss.reason, count),
        None => add_loss_row(connection, &UNKNOWN_TRACE, loss.reason, count),
    }
}

/// Stands for the traces that nobody knows any more; no id is empty.
const UNKNOWN_TRACE: &[u8] = &[];

fn add_loss_row(
    connection: &Connection,
    base_id: &dyn ToSql,
    reason: LossReason,
    count: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO loss (base_id, reason, count) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET count = min(count + excluded.count, 9223372036854775807)",
        )?
        .execute(params![base_id, reason.name(), count])?;
    Ok(())
}

/// Keeps the table of losses small beside the store: those of traces that are gone become one row a reason.
pub(super) fn bound_losses(connection: &Connection, max_bytes: u64) -> rusqlite::Result<()> {
    let most = (max_bytes / 2048).min(10_000);
    let rows: u64 = connection
        .prepare_cached("SELECT count(*) FROM loss")?
        .query_row([], |row| row.get(0))?;
    if rows <= most {
        return Ok(());
    }
    connection
        .prepare_cached(
            // `sum` ends with an error where the sum is no 64-bit number. `total` is exact up to 2^53, and the cast stops at the largest
            // number; what is no count counts as none.
            "INSERT INTO loss (base_id, reason, count)
             SELECT x'', reason, CAST(total(max(count, 0)) AS INTEGER) FROM loss
             WHERE base_id <> x'' AND base_id NOT IN (SELECT base_id FROM trace) GROUP BY reason
             ON CONFLICT DO UPDATE SET count = min(count + excluded.count, 9223372036854775807)",
        )?
        .execute([])?;
    connection
        .prepare_cached(
            "DELETE FROM loss WHERE base_id <> x'' AND base_id NOT IN (SELECT base_id FROM trace)",
        )?
        .execute([])?;
    Ok(())
}
