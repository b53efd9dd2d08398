// SPDX-License-Identifier: Apache-2.0
//! Removing traces: rows of all three tables, some traces a transaction, so that writers wait for none of them long.
//!
//! The room that they leave is used for what comes; the file does not become smaller.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::schema::{self, SqlId};
use super::{Settings, bounds, errors};
use crate::driver::{Pruner, store_file};
use crate::{Id, Result};

/// How many traces go in one transaction.
const AT_ONCE: usize = 256;

pub(super) struct SqlitePruner {
    settings: Settings,
}

impl SqlitePruner {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Pruner for SqlitePruner {
    fn remove(&mut self, traces: &[Id<'_>]) -> Result<u64> {
        let path = &self.settings.path;
        // Opening would make one.
        path.metadata()
            .map_err(|error| store_file::error("open", path, error))?;
        let mut connection = schema::open_to_write(&self.settings)?;
        let mut removed = 0;
        for some in traces.chunks(AT_ONCE) {
            removed += remove(&mut connection, some)
                .map_err(|error| errors::sort("write", path, error))?;
        }
        Ok(removed)
    }
}

fn remove(connection: &mut Connection, traces: &[Id<'_>]) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut removed = 0;
    for &trace in traces {
        let number = transaction
            .prepare_cached("SELECT number FROM trace WHERE base_id = ?1")?
            .query_row([SqlId(trace)], |row| row.get(0))
            .optional()?;
        if let Some(number) = number {
            bounds::remove_trace(&transaction, number)?;
        }
        let losses = transaction
            .prepare_cached("DELETE FROM loss WHERE base_id = ?1")?
            .execute([SqlId(trace)])?;
        removed += u64::from(number.is_some() || losses > 0);
    }
    transaction.commit()?;
    Ok(removed)
}
