// SPDX-License-Identifier: Apache-2.0
//! One connection to a MySQL or MariaDB server, made when it is needed, given up after any error.
//!
//! Each answer has a deadline of its own, so that a large trace may take its time as long as the server goes on, and one that has
//! stopped is left.

use mysql::prelude::Queryable;
use mysql::{Conn, DriverError, OptsBuilder, Params, Row, Value};

use super::errors;
use super::settings::{ROW_BYTES, Settings, Tls};
use crate::{Error, ErrorKind, Result};

/// The server that the settings name.
pub(super) struct Server {
    settings: Settings,
    open: Option<Connection>,
}

/// What a call works with.
pub(super) struct Connection {
    pub(super) client: Conn,
    /// The most that the server takes at once.
    pub(super) max_bytes: usize,
}

impl Server {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            open: None,
        }
    }

    /// Calls `work` with a connection, the last one if nothing went wrong with it; `prepare` sees each new one first.
    /// `action` as in "cannot {action} `mysql://...`".
    pub(super) fn call<T>(
        &mut self,
        action: &str,
        prepare: impl FnOnce(&mut Connection) -> Result<()>,
        work: impl FnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        let mut connection = match self.open.take() {
            Some(connection) => connection,
            None => Connection::open(&self.settings)
                .and_then(|mut connection| prepare(&mut connection).map(|()| connection))
                .map_err(|error| self.name("connect to", &error))
                .map_err(|error| match error.help() {
                    None => error.with_help("does the server run, and is it MySQL's or MariaDB's?"),
                    Some(_) => error,
                })?,
        };
        let result = work(&mut connection).map_err(|error| self.name(action, &error))?;
        self.open = Some(connection);
        Ok(result)
    }

    /// The same error, beginning with what failed on what.
    fn name(&self, action: &str, error: &Error) -> Error {
        let message = format!("cannot {action} `{}`: {error}", self.settings.shown);
        let named = Error::new(error.kind(), message).set_temporary(error.is_temporary());
        match error.help() {
            Some(help) => named.with_help(help),
            None => named,
        }
    }
}

impl Connection {
    fn open(settings: &Settings) -> Result<Self> {
        let mut last = Error::new(ErrorKind::Usage, "no server is named");
        for server in &settings.servers {
            match connect(server, &settings.tls) {
                Ok(client) => return Self::prepare(client, settings),
                Err(error) => last = errors::sort(&error),
            }
        }
        Err(last)
    }

    /// Makes the session ours: what does not fit into a column is made to fit, and waits for locks end before the client's own
    /// deadline, so that the server says that it waited.
    fn prepare(client: Conn, settings: &Settings) -> Result<Self> {
        let seconds = (settings.answer_timeout.as_secs() * 4 / 5).max(1);
        let mut connection = Self {
            client,
            max_bytes: 0,
        };
        connection.execute(&format!(
            "SET SESSION sql_mode = '', autocommit = 1, innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}"
        ))?;
        let mut max_bytes = 0;
        connection.query("SELECT @@max_allowed_packet", vec![], &mut |row| {
            max_bytes = number(row, 0);
        })?;
        connection.max_bytes = usize::try_from(max_bytes).unwrap_or(0).min(ROW_BYTES);
        Ok(connection)
    }

    /// Runs a statement without parameters.
    pub(super) fn execute(&mut self, statement: &str) -> Result<()> {
        self.client
            .query_drop(statement)
            .map_err(|error| errors::sort(&error))
    }

    /// Runs a statement that changes rows. Returns how many it did.
    pub(super) fn change(&mut self, statement: &str, parameters: Vec<Value>) -> Result<u64> {
        self.client
            .exec_drop(statement, Params::from(parameters))
            .map_err(|error| errors::sort(&error))?;
        Ok(self.client.affected_rows())
    }

    /// Calls `each` with the rows of a query.
    pub(super) fn query(
        &mut self,
        query: &str,
        parameters: Vec<Value>,
        each: &mut dyn FnMut(&Row),
    ) -> Result<()> {
        let client = &mut self.client;
        let run = || {
            let statement = client.prep(query)?;
            let rows = client.exec_iter(&statement, Params::from(parameters))?;
            for row in rows {
                each(&row?);
            }
            client.close(statement)
        };
        run().map_err(|error| errors::sort(&error))
    }
}

/// Connects to a server, where it may be without TLS to one that has none.
fn connect(server: &OptsBuilder, tls: &Tls) -> mysql::Result<Conn> {
    match tls {
        Tls::Never => Conn::new(server.clone()),
        Tls::Required(options) => Conn::new(server.clone().ssl_opts(options.clone())),
        Tls::Preferred(options) => match Conn::new(server.clone().ssl_opts(options.clone())) {
            Err(mysql::Error::DriverError(DriverError::TlsNotSupported)) => {
                Conn::new(server.clone())
            }
            connected => connected,
        },
    }
}

/// The text of a column; `None` if it is null, or none.
pub(super) fn text(row: &Row, column: usize) -> Option<&str> {
    match row.as_ref(column)? {
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// The number of a column; 0 if it is none.
pub(super) fn number(row: &Row, column: usize) -> i64 {
    match row.as_ref(column) {
        Some(Value::Int(number)) => *number,
        Some(Value::UInt(number)) => i64::try_from(*number).unwrap_or(i64::MAX),
        _ => 0,
    }
}
