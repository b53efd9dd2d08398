// SPDX-License-Identifier: Apache-2.0
//! Writing batches: one transaction each, of a few `COPY`s, so that a server that is slow has done one before its answer is due.

use std::cell::Cell;
use std::io::Cursor;
use std::pin::pin;

use futures_util::SinkExt;
use tokio_postgres::types::Type;

use super::connection::{Connection, Holds, Server};
use super::settings::Settings;
use super::tables::Tables;
use crate::driver::Writer;
use crate::driver::expiry::{self, Expiry};
use crate::driver::losses::Mark;
use crate::driver::sql::row::{self, COLUMNS};
use crate::{Id, Loss, Notification, Notifications, Result, Timestamp};

/// A `COPY` has at most so many rows: how long the answer to it may take does not grow with the batch...
const ROWS: usize = 1_000;
/// ...and so many bytes of it are handed to the server at once.
const PIECE_BYTES: usize = 256 << 10;

pub(super) struct PostgresqlWriter {
    server: Server,
    /// Those that the last connection found or made.
    tables: Cell<Tables>,
    expiry: Option<Expiry>,
    /// The time of the last loss. It has the same when it is added again, and is read once.
    loss: Mark<Timestamp>,
}

impl PostgresqlWriter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            expiry: settings.ttl.map(Expiry::new),
            server: Server::new(settings),
            tables: Cell::default(),
            loss: Mark::new(),
        }
    }

    fn call(&mut self, work: impl FnOnce(&Connection, Tables) -> Result<()>) -> Result<()> {
        let tables = &self.tables;
        let make = |connection: &Connection| Tables::make(connection).map(|made| tables.set(made));
        self.server.call("write to", make, |connection| {
            work(connection, tables.get())
        })
    }
}

impl Writer for PostgresqlWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.call(|connection, tables| {
            connection.begin()?;
            copy(connection, batch)?;
            if tables.data_error {
                add_errors(connection, batch)?;
            }
            connection.execute("COMMIT")
        })?;
        if let Some(expiry) = &mut self.expiry {
            expiry.wrote(batch.len());
        }
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let time = self.loss.of(base_id, loss, expiry::now).to_string();
        self.call(|connection, _| {
            let base_id = base_id.map(|id| connection.holds.fit(&id.to_string()).into_owned());
            let count = i64::try_from(loss.count).unwrap_or(i64::MAX);
            connection.change(
                "INSERT INTO data_lost (timestamp, base_id, reason, count) VALUES ($1, $2, $3, $4)",
                &[
                    (&time, Type::TEXT),
                    (&base_id, Type::TEXT),
                    (&loss.reason.name(), Type::TEXT),
                    (&count, Type::INT8),
                ],
            )?;
            Ok(())
        })?;
        self.loss.taken();
        Ok(())
    }

    fn tidy(&mut self) {
        if let Some((oldest, rows)) = self.expiry.as_mut().and_then(Expiry::due) {
            let _ = self.call(|connection, _| remove(connection, oldest, rows));
        }
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        Vec::new()
    }
}

fn copy(connection: &Connection, batch: &Notifications) -> Result<()> {
    let statement = format!("COPY data ({COLUMNS}) FROM STDIN");
    let statement = connection.step(connection.client.prepare(&statement))?;
    for from in (0..batch.len()).step_by(ROWS) {
        let sink = connection.step(connection.client.copy_in(&statement))?;
        let mut sink = pin!(sink);
        let mut lines = Vec::new();
        for index in from..batch.len().min(from + ROWS) {
            push_line(&batch.get(index), connection.holds, &mut lines);
            if lines.len() >= PIECE_BYTES {
                let piece = Cursor::new(std::mem::take(&mut lines));
                connection.step(sink.send(piece))?;
            }
        }
        connection.step(sink.send(Cursor::new(lines)))?;
        connection.step(sink.finish())?;
    }
    Ok(())
}

/// Appends a line of `COPY`'s text format.
fn push_line(notification: &Notification<'_>, holds: Holds, lines: &mut Vec<u8>) {
    for (index, text) in row::row(notification).iter().enumerate() {
        if index > 0 {
            lines.push(b'\t');
        }
        let Some(text) = text else {
            lines.extend_from_slice(br"\N");
            continue;
        };
        for &byte in holds.fit(text).as_bytes() {
            match byte {
                b'\\' => lines.extend_from_slice(br"\\"),
                b'\n' => lines.extend_from_slice(br"\n"),
                b'\r' => lines.extend_from_slice(br"\r"),
                b'\t' => lines.extend_from_slice(br"\t"),
                byte => lines.push(byte),
            }
        }
    }
    lines.push(b'\n');
}

fn add_errors(connection: &Connection, batch: &Notifications) -> Result<()> {
    let errors = row::first_errors(batch);
    if errors.is_empty() {
        return Ok(());
    }
    let fit = |id: &Id<'_>| connection.holds.fit(&id.to_string()).into_owned();
    let (ids, times): (Vec<String>, Vec<String>) = errors
        .iter()
        .map(|(id, time)| (fit(id), time.to_string()))
        .unzip();
    connection.change(
        "INSERT INTO data_error (base_id, timestamp) SELECT * FROM unnest($1, $2)",
        &[(&ids, Type::TEXT_ARRAY), (&times, Type::TEXT_ARRAY)],
    )?;
    Ok(())
}

/// Removes rows older than `oldest`, at most `rows` of each table, and none that another writer is removing.
fn remove(connection: &Connection, oldest: Timestamp, rows: i64) -> Result<()> {
    let oldest = oldest.to_string();
    for table in ["data", "data_error", "data_lost"] {
        connection.change(
            &format!(
                "DELETE FROM {table} WHERE id IN \
                 (SELECT id FROM {table} WHERE timestamp < $1 ORDER BY timestamp LIMIT $2 FOR UPDATE SKIP LOCKED)"
            ),
            &[(&oldest, Type::TEXT), (&rows, Type::INT8)],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_copys() {
        let mut lines = Vec::new();
        push_line(
            &Notification {
                name: "a\tb\\\nc\u{0}é-start",
                base_id: Id::from_u128(1),
                trace_id: Id::parse("\\.").unwrap(),
                parent_id: Id::from_u128(1),
                timestamp: Timestamp::from_micros(0),
                info: r#"{"host": "h"}"#,
                project: Some(""),
                service: None,
            },
            Holds::Unicode,
            &mut lines,
        );
        let base_id = "00000000-0000-0000-0000-000000000001";
        let columns = [
            "1970-01-01T00:00:00.000000",
            base_id,
            base_id,
            r"\\.",
            "",
            "h",
            r"\N",
            "a\\tb\\\\\\nc\u{fffd}é-start",
            r#""{\\"info\\": {\\"host\\": \\"h\\"}}""#,
        ];
        let expected = columns.join("\t") + "\n";
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
    }
}
