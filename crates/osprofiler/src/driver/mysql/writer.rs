// SPDX-License-Identifier: Apache-2.0
//! Writing batches: one transaction each. A notification that is larger than the server takes anything is lost, not its batch.

use std::cell::Cell;
use std::collections::BTreeMap;

use mysql::Value;

use super::connection::{Connection, Server};
use super::insert::{Inserts, Taken};
use super::settings::Settings;
use super::tables::Tables;
use crate::driver::Writer;
use crate::driver::expiry::{self, Expiry};
use crate::driver::losses::Mark;
use crate::driver::sql::row;
use crate::{Id, Loss, LossReason, Notifications, Result, Timestamp};

/// An insert into `data_error` has at most so many rows, of some 60 bytes each.
const ERRORS_AT_ONCE: usize = 256;

pub(super) struct MysqlWriter {
    server: Server,
    /// Those that the last connection found or made.
    tables: Cell<Tables>,
    expiry: Option<Expiry>,
    /// Too large for the server, still to be told by `take_losses`.
    refused: u64,
    /// The time of the last loss.
    loss: Mark<Timestamp>,
}

impl MysqlWriter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            expiry: settings.ttl.map(Expiry::new),
            server: Server::new(settings),
            tables: Cell::default(),
            refused: 0,
            loss: Mark::new(),
        }
    }

    fn call<T>(&mut self, work: impl FnOnce(&mut Connection, Tables) -> Result<T>) -> Result<T> {
        let tables = &self.tables;
        let make =
            |connection: &mut Connection| Tables::make(connection).map(|made| tables.set(made));
        self.server.call("write to", make, |connection| {
            work(connection, tables.get())
        })
    }
}

impl Writer for MysqlWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.refused += self.call(|connection, tables| {
            connection.execute("START TRANSACTION")?;
            let refused = insert(connection, batch)?;
            if tables.data_error {
                add_errors(connection, batch)?;
            }
            if tables.data_lost {
                for (&base_id, &(count, last)) in &refused {
                    let reason = LossReason::Refused;
                    add_loss(connection, Some(base_id), Loss { count, reason }, last)?;
                }
            }
            connection.execute("COMMIT")?;
            Ok(refused.values().map(|&(count, _)| count).sum::<u64>())
        })?;
        if let Some(expiry) = &mut self.expiry {
            expiry.wrote(batch.len());
        }
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let time = self.loss.of(base_id, loss, expiry::now);
        self.call(|connection, _| add_loss(connection, base_id, loss, time))?;
        self.loss.taken();
        Ok(())
    }

    fn tidy(&mut self) {
        if let Some((oldest, rows)) = self.expiry.as_mut().and_then(Expiry::due) {
            let _ = self.call(|connection, _| remove(connection, oldest, rows));
        }
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        match std::mem::take(&mut self.refused) {
            0 => Vec::new(),
            count => vec![Loss {
                count,
                reason: LossReason::Refused,
            }],
        }
    }
}

/// Inserts the batch, and returns how many of each trace were too large, with the time of the last one.
fn insert<'a>(
    connection: &mut Connection,
    batch: &'a Notifications,
) -> Result<BTreeMap<Id<'a>, (u64, Timestamp)>> {
    let mut refused = BTreeMap::new();
    let mut inserts = Inserts::new(connection);
    for notification in batch.iter() {
        match inserts.add(row::row(&notification))? {
            Taken::Yes => {}
            Taken::TooLarge => {
                let time = notification.timestamp;
                let (count, last) = refused.entry(notification.base_id).or_insert((0, time));
                (*count, *last) = (*count + 1, time);
            }
        }
    }
    inserts.finish()?;
    Ok(refused)
}

/// Lists the traces of the batch that have errors, many in a statement.
fn add_errors(connection: &mut Connection, batch: &Notifications) -> Result<()> {
    let errors: Vec<_> = row::first_errors(batch).into_iter().collect();
    for errors in errors.chunks(ERRORS_AT_ONCE) {
        let rows = vec!["(?, ?)"; errors.len()].join(", ");
        let values = errors
            .iter()
            .flat_map(|(id, time)| [time.to_string().into(), id.to_string().into()]);
        connection.change(
            &format!("INSERT INTO data_error (timestamp, base_id) VALUES {rows}"),
            values.collect(),
        )?;
    }
    Ok(())
}

/// Adds a row for a loss. It has the same `time` when it is added again, and is read once.
fn add_loss(
    connection: &mut Connection,
    base_id: Option<Id<'_>>,
    loss: Loss,
    time: Timestamp,
) -> Result<()> {
    let base_id = base_id.map(|id| id.to_string());
    connection.change(
        "INSERT INTO data_lost (timestamp, base_id, reason, count) VALUES (?, ?, ?, ?)",
        vec![
            time.to_string().into(),
            Value::from(base_id),
            loss.reason.name().into(),
            i64::try_from(loss.count).unwrap_or(i64::MAX).into(),
        ],
    )?;
    Ok(())
}

/// Removes rows older than `oldest`, at most `rows` of each table.
fn remove(connection: &mut Connection, oldest: Timestamp, rows: i64) -> Result<()> {
    for table in ["data", "data_error", "data_lost"] {
        connection.change(
            &format!("DELETE FROM {table} WHERE timestamp < ? ORDER BY timestamp LIMIT {rows}"),
            vec![oldest.to_string().into()],
        )?;
    }
    Ok(())
}
