// SPDX-License-Identifier: Apache-2.0
//! The stores that a command reads: `--connection-string` or `OSPROFILER_CONNECTION_STRING`, opened for reading.
//!
//! What drivers there are, help and errors say from the registry. A store's password is in no text made here: a
//! [`ConnectionString`] shows none.

use std::fmt::Write as _;

use osprofiler::driver::registry::{self, Availability, DRIVERS, Driver};
use osprofiler::driver::{ConnectionString, ConnectionStrings};

use crate::stores::Stores;
use crate::{Failure, Session};

/// The argument that names a store.
#[derive(clap::Args)]
#[command(about = None, long_about = None)]
pub(crate) struct NamedStore {
    #[arg(long, value_name = "STORE", help = HELP, long_help = long_help(FIRST_COUNTS))]
    connection_string: Option<String>,
}

/// The arguments that name a store to be read.
#[derive(clap::Args)]
#[command(about = None, long_about = None)]
pub(crate) struct StoreArguments {
    #[command(flatten)]
    named: NamedStore,

    /// With `messaging://`: the bus, as `transport_url` in the services' configuration has it
    #[arg(long, value_name = "URL", hide_short_help = true)]
    transport_url: Option<String>,

    /// With `messaging://`: how long to wait for more of a trace after the last that came [default: 1]
    #[arg(long, value_name = "SECONDS", hide_short_help = true)]
    idle_timeout: Option<f64>,
}

pub(crate) const HELP: &str = "Where the traces are, for example `sqlite:///var/lib/osprofiler/traces.db` \
                    [default: $OSPROFILER_CONNECTION_STRING]";

pub(crate) const FIRST_COUNTS: &str = "Of several, separated by commas, the first one counts that can be read and has what is asked for.";

impl NamedStore {
    /// The store, for a command that changes it: one, and opened by whoever does so.
    pub(crate) fn single(&self, session: &Session<'_>) -> Result<ConnectionString, Failure> {
        single(&self.text(session)?, "--connection-string")
    }

    fn text(&self, session: &Session<'_>) -> Result<String, Failure> {
        let given = self.connection_string.as_deref();
        given_or_set(given, "--connection-string", session)
    }
}

impl StoreArguments {
    /// Opens for reading what can be read of the store, or of the stores of a list.
    pub(crate) fn open(&self, session: &mut Session<'_>) -> Result<Stores, Failure> {
        let connections = self.named(session)?;
        let lacks_bus = connections.iter().next().is_some_and(|first| {
            has_option(first, "transport_url") == Some(true)
                && first.option("transport_url").is_none()
                && first.authority().is_empty()
        });
        Stores::open(&connections, session).map_err(|failure| {
            if lacks_bus {
                failure.with_help(
                    "or give the services' `transport_url` beside it: `--transport-url URL`",
                )
            } else {
                failure
            }
        })
    }

    /// The stores, not opened yet.
    pub(crate) fn named(&self, session: &Session<'_>) -> Result<ConnectionStrings, Failure> {
        let connections = ConnectionStrings::parse(&self.named.text(session)?)?;
        for (name, option, value) in self.beside() {
            let lack = |connection| has_option(connection, name) == Some(false);
            if value.is_some() && connections.iter().all(lack) {
                let why = format!("not with `{connections}`");
                return Err(self.lacks_bus(option, &why));
            }
        }
        Ok(connections.map(|connection| self.completed(connection.clone())))
    }

    /// An error if something was said beside a connection string where none counts; `why` as in "... only, {why}".
    pub(crate) fn refuse_beside(&self, why: &str) -> Result<(), Failure> {
        self.first_beside().map_or(Ok(()), |option| {
            Err(out_of_place(option, why).with_help("leave it out"))
        })
    }

    /// The same where one would count that is not given.
    pub(crate) fn want_bus(&self, why: &str) -> Result<(), Failure> {
        self.first_beside()
            .map_or(Ok(()), |option| Err(self.lacks_bus(option, why)))
    }

    fn first_beside(&self) -> Option<&'static str> {
        let mut beside = self.beside().into_iter();
        beside.find_map(|(_, option, value)| value.map(|_| option))
    }

    fn lacks_bus(&self, option: &str, why: &str) -> Failure {
        let url = match self.transport_url {
            Some(_) => "",
            None => " --transport-url URL",
        };
        out_of_place(option, why).with_help(format!(
            "leave it out, or name the services' bus: `--connection-string messaging://{url}`"
        ))
    }

    /// Whether the command line names a store.
    pub(crate) fn is_given(&self) -> bool {
        self.named.connection_string.is_some()
    }

    /// Whether the command line or the environment does.
    pub(crate) fn is_given_or_set(&self, session: &Session<'_>) -> bool {
        let set = session.environment.connection_string.as_ref();
        self.is_given() || set.is_some_and(|set| !set.is_empty())
    }

    /// What may be said beside a connection string: a driver's option, ours that gives it, and the value given.
    fn beside(&self) -> [(&'static str, &'static str, Option<String>); 2] {
        let idle_timeout = self.idle_timeout.map(|seconds| seconds.to_string());
        [
            (
                "transport_url",
                "--transport-url",
                self.transport_url.clone(),
            ),
            ("idle_timeout", "--idle-timeout", idle_timeout),
        ]
    }

    /// The connection string with what was said beside it, where its driver has such options.
    fn completed(&self, mut connection: ConnectionString) -> ConnectionString {
        for (name, _, value) in self.beside() {
            if let Some(value) = value
                && has_option(&connection, name) == Some(true)
            {
                connection = connection.with_option(name, &value);
            }
        }
        connection
    }
}

/// The error for an option that counts for a bus only.
fn out_of_place(option: &str, why: &str) -> Failure {
    Failure::usage(format!("`{option}` goes with `messaging://` only, {why}"))
}

/// The one connection string that `text` is; the option `name` is what gives one.
pub(crate) fn single(text: &str, name: &str) -> Result<ConnectionString, Failure> {
    match ConnectionStrings::split(text)[..] {
        [text] => Ok(ConnectionString::parse(text)?),
        _ => Err(
            Failure::usage("the connection string names several stores, and one is wanted")
                .with_help(format!(
                    "run it once for each that is meant: `{name} STORE`"
                )),
        ),
    }
}

/// The connection string that the option `name` gave, or else the environment's.
pub(crate) fn given_or_set(
    given: Option<&str>,
    name: &str,
    session: &Session<'_>,
) -> Result<String, Failure> {
    match (given, &session.environment.connection_string) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Some(text)) if !text.is_empty() => Ok(text.to_string_lossy().into_owned()),
        _ => Err(
            Failure::usage("no connection string: it is not known where the traces are").with_help(
                format!(
                    "give `{name} STORE` or set `OSPROFILER_CONNECTION_STRING`, to what `connection_string` in the \
                     services' section `[profiler]` is"
                ),
            ),
        ),
    }
}

/// Whether the driver of `connection` has an option of that name; `None` where there is no driver.
fn has_option(connection: &ConnectionString, name: &str) -> Option<bool> {
    match &registry::find(connection.scheme()).ok()?.availability {
        Availability::Ready(implementation) => Some(
            implementation
                .options
                .iter()
                .any(|option| option.name == name),
        ),
        _ => None,
    }
}

/// The drivers with their schemes, from the registry; `of_several` is the sentence that says what becomes of a list.
pub(crate) fn long_help(of_several: &str) -> String {
    let mut text = format!(
        "Where the traces are, as `connection_string` in the services' section `[profiler]` has it. Without it, \
         `OSPROFILER_CONNECTION_STRING` is read. {of_several}\n",
    );
    let scheme_of =
        |driver: &Driver| format!("{}://", driver.schemes.first().unwrap_or(&driver.name));
    let named = DRIVERS
        .iter()
        .filter(|driver| !matches!(driver.availability, Availability::Gone(_)));
    let width = named
        .map(|driver| scheme_of(driver).len())
        .max()
        .unwrap_or(0);
    for driver in DRIVERS {
        let scheme = scheme_of(driver);
        let summary = driver.summary;
        let _infallible = match driver.availability {
            Availability::Ready(_) => write!(text, "\n  {scheme:width$} {summary}"),
            Availability::CompiledOut => {
                write!(
                    text,
                    "\n  {scheme:width$} {summary} (not part of this build)"
                )
            }
            Availability::Gone(_) => Ok(()),
        };
    }
    text
}
