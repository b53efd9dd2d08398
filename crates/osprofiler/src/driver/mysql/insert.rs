// SPDX-License-Identifier: Apache-2.0
//! Rows of a batch as inserts of many rows each, none larger than the server takes.
//!
//! An insert is a statement that is prepared for its number of rows, used as long as that number lasts, and closed: a server
//! keeps a bounded number of them for all its clients.

use mysql::prelude::Queryable;
use mysql::{Params, Statement, Value};

use super::connection::Connection;
use super::errors;
use crate::Result;
use crate::driver::sql::row::{COLUMNS, Row, WIDTH};

/// An insert has at most so many rows...
const ROWS: usize = 256;
/// ...and so many bytes, but for a row that is longer.
const BYTES: usize = 1 << 20;
/// What a row takes beside its texts: lengths, types, the statement's own.
const OVERHEAD_BYTES: usize = 512;

/// Inserts into `data`.
pub(super) struct Inserts<'a> {
    connection: &'a mut Connection,
    statement: Option<(usize, Statement)>,
    values: Vec<Value>,
    bytes: usize,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// It is larger than the server takes anything.
    TooLarge,
}

impl<'a> Inserts<'a> {
    pub(super) fn new(connection: &'a mut Connection) -> Self {
        Self {
            connection,
            statement: None,
            values: Vec::with_capacity(ROWS * WIDTH),
            bytes: 0,
        }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: Row<'_>) -> Result<Taken> {
        let texts = row.iter().flatten().map(|text| text.len());
        let bytes = texts.sum::<usize>() + OVERHEAD_BYTES;
        if bytes > self.connection.max_bytes {
            return Ok(Taken::TooLarge);
        }
        let most = BYTES.min(self.connection.max_bytes);
        if self.values.len() == ROWS * WIDTH || self.bytes + bytes > most {
            self.send()?;
        }
        self.bytes += bytes;
        self.values.extend(row.into_iter().map(|text| match text {
            Some(text) => Value::Bytes(text.into_owned().into_bytes()),
            None => Value::NULL,
        }));
        Ok(Taken::Yes)
    }

    /// Sends what is left.
    pub(super) fn finish(mut self) -> Result<()> {
        self.send()?;
        self.close()
    }

    fn send(&mut self) -> Result<()> {
        let rows = self.values.len() / WIDTH;
        if rows == 0 {
            return Ok(());
        }
        if self.statement.as_ref().is_none_or(|&(of, _)| of != rows) {
            self.close()?;
            let row = format!("({}?)", "?, ".repeat(WIDTH - 1));
            let all = vec![&*row; rows].join(", ");
            let statement = self
                .connection
                .client
                .prep(format!("INSERT INTO data ({COLUMNS}) VALUES {all}"))
                .map_err(|error| errors::sort(&error))?;
            self.statement = Some((rows, statement));
        }
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(ROWS * WIDTH));
        self.bytes = 0;
        let Some((_, statement)) = &self.statement else {
            return Ok(());
        };
        self.connection
            .client
            .exec_drop(statement, Params::Positional(values))
            .map_err(|error| errors::sort(&error))
    }

    fn close(&mut self) -> Result<()> {
        match self.statement.take() {
            Some((_, statement)) => self
                .connection
                .client
                .close(statement)
                .map_err(|error| errors::sort(&error)),
            None => Ok(()),
        }
    }
}
