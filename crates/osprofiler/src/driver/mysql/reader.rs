// SPDX-License-Identifier: Apache-2.0
//! Reading traces back and listing them. A table that is not there is an empty one.

use std::collections::HashSet;

use mysql::Value;

use super::connection::{Connection, Server, number, text};
use super::settings::Settings;
use super::tables::Tables;
use crate::driver::sql::listing::Listing;
use crate::driver::sql::trace::{self, DATA_BYTES, TraceRows};
use crate::driver::{ListFilter, ReadSummary, Reader, TraceSummary};
use crate::{Id, Notifications, Result, Timestamp};

pub(super) struct MysqlReader {
    server: Server,
}

impl MysqlReader {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            server: Server::new(settings),
        }
    }

    fn call<T>(&mut self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        self.server.call("read", |_| Ok(()), work)
    }
}

impl Reader for MysqlReader {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        self.call(|connection| read(connection, &base_id.to_string(), notifications))
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        let listing = self.call(|connection| list(connection, filter))?;
        Ok(listing.tell(each))
    }

    fn written_since(&mut self, traces: &[Id<'_>], since: Timestamp) -> Result<Vec<bool>> {
        let traces: Vec<String> = traces.iter().map(ToString::to_string).collect();
        let written = self.call(|connection| written_since(connection, &traces, since))?;
        let is_written = |trace: &String| written.contains(trace.trim_end());
        Ok(traces.iter().map(is_written).collect())
    }
}

/// Those of the traces that have a notification of that time or a later one, without blanks at their ends: those may make no
/// difference to the database.
fn written_since(
    connection: &mut Connection,
    traces: &[String],
    since: Timestamp,
) -> Result<HashSet<String>> {
    let mut written = HashSet::new();
    if traces.is_empty() || !Tables::find(connection)?.data {
        return Ok(written);
    }
    // Texts of times are in their order.
    let query = format!(
        "SELECT DISTINCT CONVERT(base_id USING utf8mb4) COLLATE utf8mb4_bin FROM data \
         WHERE base_id IN ({}) AND timestamp >= ?",
        vec!["?"; traces.len()].join(", ")
    );
    let mut parameters: Vec<Value> = traces.iter().map(Value::from).collect();
    parameters.push(since.to_string().into());
    connection.query(&query, parameters, &mut |row| {
        written.extend(text(row, 0).map(|id| id.trim_end().to_owned()));
    })?;
    Ok(written)
}

fn read(
    connection: &mut Connection,
    base_id: &str,
    notifications: &mut Notifications,
) -> Result<ReadSummary> {
    let mut summary = ReadSummary::default();
    let tables = Tables::find(connection)?;
    if tables.data {
        let mut rows = TraceRows::new(base_id.to_owned(), notifications);
        connection.query(
            &format!(
                "SELECT id, timestamp, base_id, parent_id, trace_id, project, service, name, \
                 CASE WHEN LENGTH(data) <= {DATA_BYTES} THEN data END FROM data WHERE base_id = ?"
            ),
            vec![base_id.into()],
            &mut |row| {
                let texts = std::array::from_fn(|column| text(row, column + 1));
                rows.add(number(row, 0), texts);
            },
        )?;
        summary.skipped = rows.finish();
    }
    if tables.data_lost {
        connection.query(
            "SELECT DISTINCT base_id, reason, count, timestamp FROM data_lost WHERE base_id = ?",
            vec![base_id.into()],
            &mut |row| match trace::loss(text(row, 1), Some(number(row, 2))) {
                // Capitals or blanks may make no difference to the database.
                _ if text(row, 0) != Some(base_id) => {}
                Some(loss) => summary.add_loss(loss),
                None => summary.skipped += 1,
            },
        )?;
    }
    Ok(summary)
}

fn list(connection: &mut Connection, filter: ListFilter) -> Result<Listing> {
    let mut listing = Listing::default();
    let tables = Tables::find(connection)?;
    let table = match filter {
        ListFilter::All if tables.data => "data",
        ListFilter::WithErrors if tables.data_error => "data_error",
        _ => return Ok(listing),
    };
    // From trace to trace along the index of base_id and timestamp: MySQL's loose index scan.
    let query = format!(
        "SELECT base_id, MIN(timestamp) FROM {table} WHERE base_id IS NOT NULL GROUP BY base_id"
    );
    connection.query(&query, vec![], &mut |row| {
        listing.add(text(row, 0), text(row, 1));
    })?;
    listing.look_into_unclear(&mut |base_id, notifications| {
        read(connection, base_id, notifications).map(|_| ())
    })?;
    Ok(listing)
}
