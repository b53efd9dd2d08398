// SPDX-License-Identifier: Apache-2.0
//! Reading traces back and listing them. A table that is not there is an empty one.

use std::collections::HashSet;

use tokio_postgres::types::{ToSql, Type};

use super::connection::{Connection, Server};
use super::settings::Settings;
use super::tables::Tables;
use crate::driver::sql::listing::Listing;
use crate::driver::sql::trace::{self, DATA_BYTES, TraceRows};
use crate::driver::{ListFilter, ReadSummary, Reader, TraceSummary};
use crate::{Id, Notifications, Result, Timestamp};

pub(super) struct PostgresqlReader {
    server: Server,
}

impl PostgresqlReader {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            server: Server::new(settings),
        }
    }

    fn call<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.server.call("read", |_| Ok(()), work)
    }
}

impl Reader for PostgresqlReader {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        self.call(|connection| read(connection, &base_id.to_string(), notifications))
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        let listing = self.call(|connection| list(connection, filter))?;
        Ok(listing.tell(each))
    }

    fn written_since(&mut self, traces: &[Id<'_>], since: Timestamp) -> Result<Vec<bool>> {
        self.call(|connection| written_since(connection, traces, since))
    }
}

fn written_since(
    connection: &Connection,
    traces: &[Id<'_>],
    since: Timestamp,
) -> Result<Vec<bool>> {
    let mut written = HashSet::new();
    let fit = |trace: &Id<'_>| connection.holds.fit(&trace.to_string()).into_owned();
    let traces: Vec<String> = traces.iter().map(fit).collect();
    if Tables::find(connection)?.data {
        // Texts of times are in their order, by their bytes.
        let query = "SELECT DISTINCT base_id::text FROM data \
                     WHERE base_id = ANY($1) AND timestamp COLLATE \"C\" >= $2";
        let since = since.to_string();
        let parameters: &[(&(dyn ToSql + Sync), Type)] =
            &[(&traces, Type::TEXT_ARRAY), (&since, Type::TEXT)];
        connection.query(query, parameters, &mut |row| {
            written.extend(row.try_get::<_, String>(0));
        })?;
    }
    let is_written = |trace: &String| written.contains(trace);
    Ok(traces.iter().map(is_written).collect())
}

fn read(
    connection: &Connection,
    base_id: &str,
    notifications: &mut Notifications,
) -> Result<ReadSummary> {
    let mut summary = ReadSummary::default();
    let tables = Tables::find(connection)?;
    let base_id = connection.holds.fit(base_id).into_owned();
    if tables.data {
        let mut rows = TraceRows::new(base_id.clone(), notifications);
        connection.query(
            &format!(
                "SELECT id::bigint, timestamp::text, base_id::text, parent_id::text, trace_id::text, project::text, service::text, name::text, \
                 CASE WHEN octet_length(data::text) <= {DATA_BYTES} THEN data::text END FROM data WHERE base_id = $1"
            ),
            &[(&base_id, Type::TEXT)],
            &mut |row| {
                let text = |column: usize| row.try_get(column + 1).unwrap_or_default();
                rows.add(row.try_get(0).unwrap_or_default(), std::array::from_fn(text));
            },
        )?;
        summary.skipped = rows.finish();
    }
    if tables.data_lost {
        connection.query(
            "SELECT DISTINCT reason::text, count::bigint, timestamp FROM data_lost WHERE base_id = $1",
            &[(&base_id, Type::TEXT)],
            &mut |row| {
                let reason = row.try_get(0).unwrap_or_default();
                let count = row.try_get(1).unwrap_or_default();
                match trace::loss(reason, count) {
                    Some(loss) => summary.add_loss(loss),
                    None => summary.skipped += 1,
                }
            },
        )?;
    }
    Ok(summary)
}

fn list(connection: &Connection, filter: ListFilter) -> Result<Listing> {
    let mut listing = Listing::default();
    let tables = Tables::find(connection)?;
    let table = match filter {
        ListFilter::All if tables.data => "data",
        ListFilter::WithErrors if tables.data_error => "data_error",
        _ => return Ok(listing),
    };
    // From trace to trace along the index of base_id and timestamp; `SELECT DISTINCT` would read all of it.
    let query = format!(
        "WITH RECURSIVE trace AS ( \
           (SELECT base_id, timestamp FROM {table} WHERE base_id IS NOT NULL ORDER BY base_id, timestamp LIMIT 1) \
           UNION ALL \
           SELECT next.base_id, next.timestamp FROM trace, LATERAL \
             (SELECT base_id, timestamp FROM {table} WHERE base_id > trace.base_id ORDER BY base_id, timestamp LIMIT 1) AS next \
         ) SELECT base_id::text, timestamp::text FROM trace"
    );
    connection.query(&query, &[], &mut |row| {
        let text = |column: usize| row.try_get(column).unwrap_or_default();
        listing.add(text(0), text(1));
    })?;
    listing.look_into_unclear(&mut |base_id, notifications| {
        read(connection, base_id, notifications).map(|_| ())
    })?;
    Ok(listing)
}
