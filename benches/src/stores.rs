// SPDX-License-Identifier: Apache-2.0
//! Stores on their servers: how fast each takes notifications, beside the fastest bare loop with the same client and batch
//! and beside upstream's driver, and what a report of 100,000 notifications costs that is read from it, as a process.
//!
//! A store is one file below and one line of [`STORES`], or one of [`NOT_MEASURED`] that says why not. The servers are those of the conformance suite: what
//! `OSPROFILER_TEST_NAME` says of the driver `name`, its first line. Upstream's driver and command are those of the interpreter
//! that `OSPROFILER_UPSTREAM_STORES_PYTHON` names, our command is `OSPROFILER_BIN`. What runs is told as it runs.

mod elasticsearch;
mod figures;
mod ingest;
mod messaging;
mod mongodb;
mod mysql;
mod otlp;
mod postgresql;
mod redis;
mod report;
mod rows;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use osprofiler::Notifications;

use crate::Outcome;
use crate::material::recorded;

const STORES: &[Store] = &[
    redis::STORE,
    mongodb::STORE,
    mysql::STORE,
    postgresql::STORE,
    messaging::STORE,
    elasticsearch::STORE,
    otlp::STORE,
];

/// Drivers whose stores are not measured, and why.
const NOT_MEASURED: &[(&str, &str)] = &[(
    "loginsight",
    "its server is a stand-in in Python, and a figure would be that one's",
)];

/// A store: the bare loop that ours stands beside, and how upstream reaches it.
struct Store {
    /// Its driver's name.
    driver: &'static str,
    /// What the bare loop does, in a line.
    floor_summary: &'static str,
    /// Connects to the store of that connection string, which is there and empty, and makes ready what is to be written; what
    /// it returns writes the batches as fast as the client can, and only that is timed.
    floor: fn(&str, &[Notifications]) -> Outcome<Loop>,
    /// What is added to the connection string for everybody, such as that nobody speaks TLS where only one side would.
    options: &'static str,
    /// How upstream reaches the store of that connection string, or the one that it would rather have.
    upstream: fn(&str) -> Upstream,
    /// So many times upstream's rate are wanted, where a number was named.
    of_upstream: Option<f64>,
    /// How many points the server says are in the store of that connection string, where no driver reads what was stored.
    points: Option<fn(&str) -> Outcome<usize>>,
}

type Loop = Box<dyn FnOnce() -> Outcome<()>>;

/// A store as both name it.
struct Upstream {
    ours: String,
    connection_string: String,
    transport_url: Option<String>,
    /// Whether its reader takes away what it reads.
    takes_away: bool,
    /// `NAME=VALUE`, an option of its `[profiler]` that this server wants where upstream writes.
    to_write: Option<&'static str>,
    /// The same where it reads.
    to_read: Option<&'static str>,
}

impl Upstream {
    /// A store that both name alike.
    fn alike(store: &str) -> Self {
        Self {
            ours: store.to_owned(),
            connection_string: store.to_owned(),
            transport_url: None,
            takes_away: false,
            to_write: None,
            to_read: None,
        }
    }
}

/// A server, and how to get at empty stores of it.
struct Server {
    name: String,
    store: String,
    used: usize,
}

impl Server {
    fn of(store: &Store) -> Option<Self> {
        let lines = lines_of(store.driver)?;
        let (name, connection_string) = lines.lines().next()?.split_once('|')?;
        Some(Self {
            name: name.trim().to_owned(),
            store: format!("{}{}", connection_string.trim(), store.options),
            used: 0,
        })
    }

    fn next_store(&mut self) -> String {
        self.used += 1;
        self.store.replace("{}", &self.used.to_string())
    }
}

/// What the environment says of a driver's servers.
fn lines_of(driver: &str) -> Option<String> {
    std::env::var(format!("OSPROFILER_TEST_{}", driver.to_uppercase())).ok()
}

/// What is measured beside this program.
struct Programs {
    command: PathBuf,
    upstream_python: PathBuf,
}

impl Programs {
    fn find() -> Outcome<Self> {
        let named = |variable: &str, what: &str| {
            std::env::var_os(variable)
                .map(PathBuf::from)
                .ok_or_else(|| format!("`{variable}` does not name {what}"))
        };
        Ok(Self {
            command: named("OSPROFILER_BIN", "our command")?,
            upstream_python: named(
                "OSPROFILER_UPSTREAM_STORES_PYTHON",
                "the interpreter with upstream's profiler",
            )?,
        })
    }
}

/// Measures each store whose server the environment names.
pub(crate) fn run(fixtures: &Path) -> Outcome<String> {
    let programs = Programs::find()?;
    let traces = recorded(fixtures)?;
    let mut out = String::new();
    for store in STORES {
        if let Some(mut server) = Server::of(store) {
            report::measure(store, &mut server, &programs, &traces, &mut out)?;
            ingest::measure(store, &mut server, &programs, &traces, &mut out)?;
        }
    }
    for (driver, why) in NOT_MEASURED {
        if lines_of(driver).is_some() {
            let _ = writeln!(out, "{driver}: not measured: {why}\n");
        }
    }
    if out.is_empty() {
        let known: Vec<_> = STORES.iter().map(|store| store.driver).collect();
        return Err(format!(
            "the environment names no server of a store that has a bench: {}; a further one is a line of `STORES`",
            known.join(", ")
        )
        .into());
    }
    Ok(out)
}

/// Tells what is going on, beside the table.
#[expect(
    clippy::print_stderr,
    reason = "minutes pass before the table is there"
)]
fn tell(line: &str) {
    eprintln!("  {line}");
}
