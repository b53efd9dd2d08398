// SPDX-License-Identifier: Apache-2.0
//! One connection to a PostgreSQL server, made when it is needed, given up after any error.
//!
//! Each step of a call has a deadline of its own, so that a large trace may take its time as long as the server goes on, and
//! one that has stopped is left. Between two calls nothing runs.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors;
use super::settings::Settings;
use crate::driver::runtime::Runtime;
use crate::{Error, Result};

/// So many rows are taken from the server at once.
const ROWS_AT_ONCE: usize = 256;

/// The server that the settings name.
pub(super) struct Server {
    settings: Settings,
    open: Option<Connection>,
}

/// What a call works with.
pub(super) struct Connection {
    runtime: Runtime,
    pub(super) client: Client,
    pub(super) holds: Holds,
    steps: Steps,
}

/// What a database's texts can hold. JSON is written in ASCII, and always fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Everything but NUL.
    Unicode,
    /// ASCII for certain, whatever else.
    Ascii,
}

/// How long a step may take, and how messages name what it is part of.
struct Steps {
    shown: String,
    action: &'static str,
    deadline: Duration,
}

impl Server {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            open: None,
        }
    }

    /// Calls `work` with a connection, the last one if nothing went wrong with it; `prepare` sees each new one first.
    /// `action` as in "cannot {action} `postgresql://...`".
    pub(super) fn call<T>(
        &mut self,
        action: &'static str,
        prepare: impl FnOnce(&Connection) -> Result<()>,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let mut connection = match self.open.take() {
            Some(connection) if !connection.client.is_closed() => connection,
            _ => {
                let connection = Connection::open(&self.settings)?;
                prepare(&connection)?;
                connection
            }
        };
        connection.steps.action = action;
        let result = work(&connection)?;
        self.open = Some(connection);
        Ok(result)
    }
}

impl Connection {
    fn open(settings: &Settings) -> Result<Self> {
        let mut steps = Steps {
            shown: settings.shown.clone(),
            action: "connect to",
            deadline: settings.connect_timeout,
        };
        let trust = settings.trust.clone().unwrap_or_default();
        let tls = MakeRustlsConnect::new(trust.client()?);
        let runtime = Runtime::new()?;
        let client = steps.run(&runtime, async {
            let (client, connection) = settings.config.connect(tls).await?;
            // It is driven whenever a step waits, and ends with its client; its error is the step's, too.
            drop(tokio::spawn(connection));
            Ok(client)
        });
        let client = client.map_err(|error| match error.help() {
            None => {
                error.with_help("does the server run, and is it PostgreSQL's? `pg_isready` tells")
            }
            Some(_) => error,
        })?;
        steps.deadline = settings.answer_timeout;
        let mut connection = Self {
            runtime,
            client,
            holds: Holds::Ascii,
            steps,
        };
        connection.holds = Holds::find(&connection)?;
        Ok(connection)
    }

    /// Runs one step.
    pub(super) fn step<T>(
        &self,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        self.steps.run(&self.runtime, work)
    }

    /// Begins a transaction that waits less for locks than its steps may take, so that the server says that it waited.
    pub(super) fn begin(&self) -> Result<()> {
        let milliseconds = (self.steps.deadline * 4 / 5).as_millis().max(1);
        self.execute(&format!("BEGIN; SET LOCAL lock_timeout = {milliseconds}"))
    }

    /// Runs statements without parameters, one after the other.
    pub(super) fn execute(&self, statements: &str) -> Result<()> {
        self.step(self.client.batch_execute(statements))
    }

    /// Runs a statement that changes rows. Returns how many it did.
    pub(super) fn change(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64> {
        self.step(self.client.execute_typed(statement, parameters))
    }

    /// Calls `each` with the rows of a query.
    pub(super) fn query(
        &self,
        query: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        each: &mut dyn FnMut(&Row),
    ) -> Result<()> {
        let parameters = parameters
            .iter()
            .map(|(parameter, kind)| (*parameter, kind.clone()));
        let stream = self.step(self.client.query_typed_raw(query, parameters))?;
        let mut stream = std::pin::pin!(stream);
        loop {
            let rows = self.step(async {
                let mut rows = Vec::with_capacity(ROWS_AT_ONCE);
                while rows.len() < ROWS_AT_ONCE {
                    match stream.try_next().await? {
                        Some(row) => rows.push(row),
                        None => break,
                    }
                }
                Ok(rows)
            })?;
            rows.iter().for_each(&mut *each);
            if rows.len() < ROWS_AT_ONCE {
                return Ok(());
            }
        }
    }
}

impl Holds {
    fn find(connection: &Connection) -> Result<Self> {
        let mut holds = Self::Ascii;
        connection.query("SHOW server_encoding", &[], &mut |row| {
            // A database without an encoding of its own keeps what it is given.
            if matches!(row.try_get(0), Ok("UTF8" | "SQL_ASCII")) {
                holds = Self::Unicode;
            }
        })?;
        Ok(holds)
    }

    /// `text` with something else in place of what the database cannot hold.
    pub(super) fn fit(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Unicode if !text.contains('\0') => Cow::Borrowed(text),
            Self::Unicode => Cow::Owned(text.replace('\0', "\u{fffd}")),
            Self::Ascii => {
                let is_held = |character: char| character.is_ascii() && character != '\0';
                Cow::Owned(text.replace(|character| !is_held(character), "?"))
            }
        }
    }
}

impl Steps {
    fn run<T>(
        &self,
        runtime: &Runtime,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let work = async { work.await.map_err(|error| errors::sort(&error)) };
        runtime
            .run(self.deadline, work)
            .map_err(|error| self.name(&error))
    }

    /// The same error, beginning with what failed on what.
    fn name(&self, error: &Error) -> Error {
        let Self { action, shown, .. } = self;
        let message = format!("cannot {action} `{shown}`: {error}");
        let named = Error::new(error.kind(), message).set_temporary(error.is_temporary());
        match error.help() {
            Some(help) => named.with_help(help),
            None => named,
        }
    }
}
