// SPDX-License-Identifier: Apache-2.0
//! Writing batches: one transaction each, a block a trace, the oldest traces out when the store is full.
//!
//! Small batches would repeat their texts in small blocks; so a trace's last block is packed again together with what
//! follows, until it is large. The connection is opened by the first batch, in the process and thread that write.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, TransactionBehavior, params};

use super::schema::{self, MAX_BLOCKS, block_id};
use super::{Settings, block, errors};
use crate::driver::Writer;
use crate::driver::store_file::{self, FileIdentity};
use crate::wire;
use crate::{Error, ErrorKind, Id, Kind, Loss, LossReason, Notifications, Result};

pub(super) struct SqliteWriter {
    settings: Settings,
    open: Option<OpenStore>,
    packer: Packer,
    /// In files that were removed, and in traces that this writer evicted; told by the next `take_losses`.
    removed: u64,
    evicted: u64,
}

struct OpenStore {
    connection: Connection,
    identity: FileIdentity,
    /// Tells whether the file still has a name. Opened with `O_PATH`: closing any other descriptor of the file would drop
    /// SQLite's locks on it.
    watch: File,
    /// Notifications this writer put into this very file: what is gone if it is removed.
    written: u64,
}

impl SqliteWriter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            open: None,
            packer: Packer::default(),
            removed: 0,
            evicted: 0,
        }
    }

    /// The store at the path, whatever happened to the one that was open.
    fn store(&mut self) -> Result<&mut OpenStore> {
        self.forget_removed()?;
        let open = match self.open.take() {
            Some(open) => open,
            None => OpenStore::open(&self.settings)?,
        };
        Ok(self.open.insert(open))
    }

    /// Closes a store that is not at its path any more, and counts what went with it.
    fn forget_removed(&mut self) -> Result<()> {
        let path = &self.settings.path;
        let at_path =
            FileIdentity::at(path).map_err(|error| store_file::error("open", path, error))?;
        if let Some(open) = self.open.take_if(|open| Some(open.identity) != at_path) {
            // A file that was renamed can still be read; one without a name is gone with all that it held.
            if open.watch.metadata().is_ok_and(|file| file.nlink() == 0) {
                self.removed += open.written;
            }
            // Closing deletes the journal by its name, which may by now be that of another file's journal.
            let _ = open
                .connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        Ok(())
    }

    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Packer) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.store()?;
        let Some(open) = &mut self.open else {
            return Err(Error::new(ErrorKind::Unavailable, "the store is not open"));
        };
        let result = open
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let result = work(&transaction, &mut self.packer)?;
                transaction.commit()?;
                Ok(result)
            });
        result.map_err(|error| {
            let error = errors::sort("write", &self.settings.path, error);
            // A damaged or forbidden file may be put right without being replaced: look at it afresh next time.
            if !error.is_temporary() {
                self.open = None;
            }
            error
        })
    }
}

impl OpenStore {
    fn open(settings: &Settings) -> Result<Self> {
        let path = &settings.path;
        let connection = schema::open_to_write(settings)?;
        let watch = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path);
        let watched = watch.and_then(|watch| Ok((FileIdentity::of(&watch.metadata()?), watch)));
        let (identity, watch) = watched.map_err(|error| store_file::error("open", path, error))?;
        Ok(Self {
            connection,
            identity,
            watch,
            written: 0,
        })
    }
}

impl Writer for SqliteWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let max_bytes = self.settings.max_bytes;
        let evicted = self.transact(|connection, packer| {
            packer.write(connection, batch)?;
            evict(connection, max_bytes)
        })?;
        self.evicted += evicted;
        if let Some(open) = &mut self.open {
            open.written += batch.len() as u64;
        }
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let max_bytes = self.settings.max_bytes;
        self.transact(|connection, _| {
            add_loss(connection, base_id, loss)?;
            bound_losses(connection, max_bytes)
        })
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        // A path that cannot be looked at says nothing about the file; the next batch will.
        let _ = self.forget_removed();
        [
            (&mut self.evicted, LossReason::Evicted),
            (&mut self.removed, LossReason::StoreRemoved),
        ]
        .into_iter()
        .map(|(count, reason)| Loss {
            count: std::mem::take(count),
            reason,
        })
        .filter(|loss| loss.count > 0)
        .collect()
    }
}

/// An id as a column holds it: 16 bytes if it is a UUID, else text.
pub(super) struct SqlId<'a>(pub(super) Id<'a>);

impl ToSql for SqlId<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match (self.0.as_u128(), self.0.as_text()) {
            (Some(uuid), _) => ToSqlOutput::Owned(Value::Blob(uuid.to_be_bytes().to_vec())),
            (None, text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.unwrap_or_default().as_bytes()))
            }
        })
    }
}

/// Sorts a batch by trace and packs it; keeps its memory between batches.
#[derive(Default)]
struct Packer {
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
    fn write(&mut self, connection: &Connection, batch: &Notifications) -> rusqlite::Result<()> {
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
        if trace.tail == 0 || trace.tail + rows.len() as i64 > block::BLOCK_ROWS as i64 {
            return Ok(false);
        }
        let id = block_id(trace.number, trace.blocks - 1);
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
                text_bytes += batch.get(row as usize).info.len();
                text_bytes > block::BLOCK_TEXT_BYTES
            });
            let count = full.unwrap_or(block::BLOCK_ROWS).clamp(1, rows.len());
            let (these, rest) = rows.split_at(count);
            self.data.clear();
            self.encoder.encode(base_id, batch, these, &mut self.data);
            if trace.blocks >= MAX_BLOCKS {
                return Err(rusqlite::Error::IntegralValueOutOfRange(0, trace.blocks));
            }
            insert.execute(params![block_id(trace.number, trace.blocks), self.data])?;
            trace.blocks += 1;
            trace.tail = count as i64;
            rows = rest;
        }
        Ok(())
    }
}

/// Removes the oldest traces while the store is larger than `max_bytes`, and some more, so that not every batch has to.
/// The newest trace loses its oldest blocks instead. Returns how many notifications went.
fn evict(connection: &Connection, max_bytes: u64) -> rusqlite::Result<u64> {
    if used_bytes(connection)? <= max_bytes {
        return Ok(0);
    }
    let mut evicted = 0;
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
            connection
                .prepare_cached("DELETE FROM block WHERE id BETWEEN ?1 AND ?2")?
                .execute([block_id(number, 0), block_id(number, MAX_BLOCKS - 1)])?;
            connection
                .prepare_cached("DELETE FROM trace WHERE number = ?1")?
                .execute([number])?;
        }
        add_loss_row(connection, &base_id, LossReason::Evicted, count)?;
        evicted += count.max(0) as u64;
    }
    bound_losses(connection, max_bytes)?;
    Ok(evicted)
}

/// Removes the first block of the trace, if it is not its last one. Returns how many notifications it held.
fn remove_oldest_block(connection: &Connection, number: i64) -> rusqlite::Result<Option<i64>> {
    let mut first = connection.prepare_cached(
        "SELECT id, substr(data, 1, 12) FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 2",
    )?;
    let mut rows = first.query([block_id(number, 0), block_id(number, MAX_BLOCKS - 1)])?;
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

fn add_loss(connection: &Connection, base_id: Option<Id<'_>>, loss: Loss) -> rusqlite::Result<()> {
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
fn bound_losses(connection: &Connection, max_bytes: u64) -> rusqlite::Result<()> {
    let most = (max_bytes / 2048).min(10_000);
    let rows: u64 = connection
        .prepare_cached("SELECT count(*) FROM loss")?
        .query_row([], |row| row.get(0))?;
    if rows <= most {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO loss (base_id, reason, count)
             SELECT x'', reason, sum(count) FROM loss
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::driver::sqlite::reader::SqliteReader;
    use crate::driver::{ListFilter, ReadSummary, Reader};
    use crate::{Notification, Timestamp};

    fn settings(path: &Path) -> Settings {
        Settings {
            path: path.to_owned(),
            max_bytes: 1 << 30,
            busy_timeout: Duration::from_secs(5),
        }
    }

    fn writer(path: &Path) -> SqliteWriter {
        SqliteWriter::new(settings(path))
    }

    /// Notifications `from..from + count` of the trace `base`, each with an info of its own.
    fn batch(base: u128, from: u32, count: u32) -> Notifications {
        let mut batch = Notifications::default();
        for number in from..from + count {
            let info = format!(
                r#"{{"number": "{:0100x}"}}"#,
                number.wrapping_mul(2_654_435_761)
            );
            batch.push(&Notification {
                name: "db-start",
                base_id: Id::from_u128(base),
                trace_id: Id::from_u128(u128::from(number) + 1000),
                parent_id: Id::from_u128(base),
                timestamp: Timestamp::from_micros(i64::from(number)),
                info: &info,
                project: Some("p"),
                service: None,
            });
        }
        batch
    }

    fn read(path: &Path, base: u128) -> (Notifications, ReadSummary) {
        let mut notifications = Notifications::default();
        let summary = SqliteReader::new(settings(path))
            .read(Id::from_u128(base), &mut notifications)
            .unwrap();
        (notifications, summary)
    }

    fn query(path: &Path, text: &str) -> i64 {
        let connection = Connection::open(path).unwrap();
        connection.query_row(text, [], |row| row.get(0)).unwrap()
    }

    fn execute(path: &Path, text: &str) {
        Connection::open(path).unwrap().execute_batch(text).unwrap();
    }

    #[test]
    fn small_batches_share_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let mut writer = writer(&path);
        for number in 0..30 {
            writer.write(&batch(1, number * 100, 100)).unwrap();
        }
        assert_eq!(query(&path, "SELECT count(*) FROM block"), 3);
        let (notifications, summary) = read(&path, 1);
        assert!(notifications.iter().eq(batch(1, 0, 3000).iter()));
        assert_eq!(summary, ReadSummary::default());
    }

    #[test]
    fn a_batch_written_twice_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let mut writer = writer(&path);
        for _ in 0..2 {
            writer.write(&batch(1, 0, 700)).unwrap();
        }
        assert!(read(&path, 1).0.iter().eq(batch(1, 0, 700).iter()));
    }

    #[test]
    fn the_oldest_traces_go_when_the_store_is_full_and_everything_is_accounted_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let mut writer = SqliteWriter::new(Settings {
            max_bytes: 300_000,
            ..settings(&path)
        });
        let (mut written, mut evicted) = (0, 0);
        for base in 0..200u32 {
            writer
                .write(&batch(u128::from(base), base * 100, 100))
                .unwrap();
            written += 100;
            assert!(query(&path, "PRAGMA page_count") * 1024 < 320_000);
        }
        for loss in writer.take_losses() {
            assert_eq!(loss.reason, LossReason::Evicted);
            evicted += loss.count;
        }
        let mut listed = Vec::new();
        SqliteReader::new(settings(&path))
            .list(ListFilter::All, &mut |trace| {
                listed.push(trace.base_id.as_u128().unwrap());
            })
            .unwrap();
        let oldest = *listed.first().unwrap();
        assert!(listed.iter().copied().eq(oldest..200) && oldest > 0);
        let stored: usize = listed.iter().map(|&base| read(&path, base).0.len()).sum();
        assert_eq!(stored as u64 + evicted, written);
        let losses = query(
            &path,
            "SELECT sum(count) FROM loss WHERE reason = 'evicted'",
        );
        assert_eq!(losses as u64, evicted);
        let (notifications, summary) = read(&path, oldest - 1);
        assert!(notifications.is_empty());
        assert_eq!(
            summary.losses,
            [Loss {
                count: 100,
                reason: LossReason::Evicted
            }]
        );
    }

    #[test]
    fn a_trace_larger_than_the_store_keeps_its_end_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let mut writer = SqliteWriter::new(Settings {
            max_bytes: 300_000,
            ..settings(&path)
        });
        for number in 0..40 {
            writer.write(&batch(1, number * 1000, 1000)).unwrap();
        }
        let (notifications, summary) = read(&path, 1);
        let kept = notifications.len() as u32;
        assert!(
            notifications
                .iter()
                .eq(batch(1, 40_000 - kept, kept).iter())
        );
        let loss = Loss {
            count: u64::from(40_000 - kept),
            reason: LossReason::Evicted,
        };
        assert!(loss.count > 0);
        assert_eq!(summary.losses, [loss]);
        assert_eq!(writer.take_losses(), [loss]);
        assert_eq!(summary.skipped, 0);
    }

    #[test]
    fn losses_of_traces_that_are_gone_do_not_fill_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let mut writer = SqliteWriter::new(Settings {
            max_bytes: 256 << 10,
            ..settings(&path)
        });
        let loss = Loss {
            count: 2,
            reason: LossReason::QueueFull,
        };
        writer.write(&batch(5, 0, 1)).unwrap();
        for base in 0..1000 {
            writer.write_loss(Some(Id::from_u128(base)), loss).unwrap();
        }
        assert!(query(&path, "SELECT count(*) FROM loss") <= 129);
        assert_eq!(query(&path, "SELECT sum(count) FROM loss"), 2000);
        assert_eq!(read(&path, 5).1.losses, [loss]);
    }

    #[test]
    fn a_removed_file_is_made_again_and_what_it_held_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let (mut first, mut second) = (writer(&path), writer(&path));
        first.write(&batch(1, 0, 5)).unwrap();
        second.write(&batch(1, 5, 4)).unwrap();
        std::fs::remove_file(&path).unwrap();
        first.write(&batch(1, 10, 3)).unwrap();
        second.write(&batch(1, 20, 2)).unwrap();
        first.write(&batch(1, 30, 1)).unwrap();
        for (writer, count) in [(&mut first, 5), (&mut second, 4)] {
            let reason = LossReason::StoreRemoved;
            assert_eq!(writer.take_losses(), [Loss { count, reason }]);
            assert_eq!(writer.take_losses(), []);
        }
        drop(second);
        drop(first);
        assert_eq!(read(&path, 1).0.len(), 6);
    }

    #[test]
    fn a_file_removed_after_the_last_batch_is_counted_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let mut writer = writer(&path);
        writer.write(&batch(1, 0, 5)).unwrap();
        std::fs::remove_file(&path).unwrap();
        let reason = LossReason::StoreRemoved;
        assert_eq!(writer.take_losses(), [Loss { count: 5, reason }]);
    }

    #[test]
    fn a_renamed_file_is_no_loss() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("trace.db"), folder.path().join("old.db"));
        let mut writer = writer(&path);
        writer.write(&batch(1, 0, 5)).unwrap();
        drop(std::mem::replace(&mut writer, super::tests::writer(&path)));
        writer.write(&batch(1, 5, 1)).unwrap();
        std::fs::rename(&path, &old).unwrap();
        writer.write(&batch(1, 10, 3)).unwrap();
        assert_eq!(writer.take_losses(), []);
        assert_eq!(read(&path, 1).0.len(), 3);
    }

    #[test]
    fn damaged_blocks_are_skipped_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let mut writer = writer(&path);
        for number in 0..3 {
            writer.write(&batch(1, number * 1000, 1000)).unwrap();
        }
        execute(
            &path,
            "UPDATE block SET data = x'0102' WHERE id = (SELECT min(id) + 1 FROM block)",
        );
        let (notifications, summary) = read(&path, 1);
        assert_eq!((notifications.len(), summary.skipped), (2000, 1000));
        execute(
            &path,
            "UPDATE block SET data = x'' WHERE id = (SELECT max(id) FROM block)",
        );
        writer.write(&batch(1, 9000, 10)).unwrap();
        let (notifications, summary) = read(&path, 1);
        assert_eq!((notifications.len(), summary.skipped), (1010, 2000));
    }

    #[test]
    fn what_is_no_store_of_ours_is_refused_for_good_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, make: &dyn Fn(&Path), expected: &str| {
            let path = folder.path().join(name);
            make(&path);
            let before = std::fs::read(&path).ok();
            let written = writer(&path).write(&batch(1, 0, 1)).unwrap_err();
            let mut notifications = Notifications::default();
            let read = SqliteReader::new(settings(&path))
                .read(Id::from_u128(1), &mut notifications)
                .unwrap_err();
            for error in [written, read] {
                assert_eq!(
                    (error.kind(), error.is_temporary()),
                    (ErrorKind::Corrupt, false),
                    "{error:?}"
                );
                assert!(error.to_string().contains(expected), "{error}");
            }
            assert_eq!(std::fs::read(&path).ok(), before);
        };
        check(
            "text",
            &|path| std::fs::write(path, "no database at all, but quite long").unwrap(),
            "it is no SQLite database",
        );
        check(
            "other",
            &|path| execute(path, "CREATE TABLE x (a)"),
            "another program's database",
        );
        check(
            "later",
            &|path| {
                writer(path).write(&batch(1, 0, 1)).unwrap();
                execute(path, "PRAGMA user_version = 2");
            },
            "it has layout 2, this version knows layout 1",
        );
        check(
            "emptied",
            &|path| {
                writer(path).write(&batch(1, 0, 1)).unwrap();
                execute(path, "DROP TABLE trace");
            },
            "its tables are not this driver's",
        );
    }

    #[test]
    fn a_locked_store_is_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let mut writer = SqliteWriter::new(Settings {
            busy_timeout: Duration::ZERO,
            ..settings(&path)
        });
        writer.write(&batch(1, 0, 1)).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = writer.write(&batch(1, 1, 1)).unwrap_err();
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (ErrorKind::Unavailable, true)
        );
        other.execute_batch("ROLLBACK").unwrap();
        writer.write(&batch(1, 1, 1)).unwrap();
        assert_eq!(read(&path, 1).0.len(), 2);
    }

    /// Damages a whole file in many ways; writer and reader may refuse it, but must come back.
    #[test]
    fn a_damaged_file_never_panics() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        for base in 0..4 {
            writer(&path).write(&batch(base, 0, 40)).unwrap();
        }
        let good = std::fs::read(&path).unwrap();
        let damaged_path = folder.path().join("damaged.db");
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..250 {
            let mut damaged = good.clone();
            for _ in 0..4 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let position = (state >> 20) as usize % damaged.len();
                damaged[position] = (state >> 8) as u8;
            }
            if round % 4 == 0 {
                damaged.truncate((state >> 30) as usize % good.len());
            }
            std::fs::write(&damaged_path, &damaged).unwrap();
            let mut reader = SqliteReader::new(settings(&damaged_path));
            let _ = reader.list(ListFilter::All, &mut |_| ());
            let _ = reader.read(Id::from_u128(2), &mut Notifications::default());
            let _ = writer(&damaged_path).write(&batch(3, 40, 10));
            for beside in schema::journal_files(&damaged_path) {
                let _ = std::fs::remove_file(beside);
            }
        }
    }
}
