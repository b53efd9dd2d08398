// SPDX-License-Identifier: Apache-2.0
//! Removing traces: rows of all three tables, a bounded number in a transaction, so that writers wait for none of them long.
//!
//! What a trace is listed by goes last, so that one whose removal was broken off is found again.

use super::connection::{Connection, Server};
use super::settings::Settings;
use super::tables::Tables;
use crate::driver::Pruner;
use crate::driver::sql::ROWS_AT_ONCE;
use crate::{Id, Result};

pub(super) struct MysqlPruner {
    server: Server,
}

impl MysqlPruner {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            server: Server::new(settings),
        }
    }
}

impl Pruner for MysqlPruner {
    fn remove(&mut self, traces: &[Id<'_>]) -> Result<u64> {
        let prepare = |_: &mut Connection| Ok(());
        self.server
            .call("remove traces from", prepare, |connection| {
                let tables = Tables::find(connection)?;
                let mut removed = 0;
                for trace in traces {
                    removed += u64::from(remove(connection, tables, &trace.to_string())?);
                }
                Ok(removed)
            })
    }
}

/// Removes a trace. Whether it was there.
fn remove(connection: &mut Connection, tables: Tables, trace: &str) -> Result<bool> {
    let mut was_there = false;
    for (table, is_there) in [
        ("data_error", tables.data_error),
        ("data_lost", tables.data_lost),
        ("data", tables.data),
    ] {
        // Capitals or blanks may make no difference to the database; the digits of its characters do.
        let statement = format!(
            "DELETE FROM {table} WHERE base_id = ? \
             AND HEX(CONVERT(base_id USING utf8mb4)) = HEX(CONVERT(? USING utf8mb4)) LIMIT {ROWS_AT_ONCE}"
        );
        let mut left = is_there;
        while left {
            let rows = connection.change(&statement, vec![trace.into(), trace.into()])?;
            was_there |= rows > 0;
            left = rows >= ROWS_AT_ONCE;
        }
    }
    Ok(was_there)
}
