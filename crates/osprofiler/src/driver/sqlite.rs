// SPDX-License-Identifier: Apache-2.0
//! The driver `sqlite`: traces in one SQLite file, the store without a server.
//!
//! Several processes, of several users, write the same file: WAL, one transaction a batch. A trace is a row of the small
//! table `trace`, so that a listing reads nothing else, and a few packed [`block`]s of columns. Losses have a table of
//! their own. The store stays within a size: the oldest traces go first, and are counted. Where there is a `ttl`, traces that nobody has
//! written for so long go, too, and are not. A file that was removed or replaced is noticed before the next batch.

mod writer;

mod block;
mod bounds;
mod expiry;
mod packer;

mod reader;

mod pruner;

mod errors;
mod schema;
mod size;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use super::ConnectionString;
use super::options;
use super::registry::{Capability, DriverOption, Implementation};
use crate::{Error, ErrorKind, Result};

pub(super) const IMPLEMENTATION: Implementation = Implementation {
    capabilities: &[
        Capability::Read,
        Capability::List,
        Capability::ListErrors,
        Capability::Losses,
        Capability::Deduplicates,
        Capability::ManyWriters,
        Capability::Bounded,
        Capability::Prunes,
        Capability::Expires,
    ],
    options: &[
        DriverOption {
            name: "max_size",
            default: "1GiB",
            summary: "the oldest traces are removed so that the file stays within this many bytes; `KiB`, `MiB`, `GiB`, `KB`, `MB`, `GB`",
        },
        options::TTL,
        DriverOption {
            name: "busy_timeout",
            default: "5",
            summary: "how many seconds a batch waits while other processes write; 0 to 60",
        },
    ],
    client_options: &[],
    example: "sqlite:///var/lib/osprofiler/traces.db?max_size=1GiB",
    open_writer: |connection| {
        Ok(Box::new(writer::SqliteWriter::new(Settings::of(
            connection,
        )?)))
    },
    open_reader: |connection| {
        Ok(Box::new(reader::SqliteReader::new(Settings::of(
            connection,
        )?)))
    },
    open_pruner: Some(|connection| {
        Ok(Box::new(pruner::SqlitePruner::new(Settings::of(
            connection,
        )?)))
    }),
};

/// What a connection string says.
struct Settings {
    path: PathBuf,
    max_bytes: u64,
    ttl: Option<Duration>,
    busy_timeout: Duration,
}

impl Settings {
    fn of(connection: &ConnectionString) -> Result<Self> {
        let usage = |message: String| Error::new(ErrorKind::Usage, message);
        let max_size = connection.option("max_size").unwrap_or("1GiB");
        let busy_timeout = connection.option("busy_timeout").unwrap_or("5");
        Ok(Self {
            path: connection.file_path()?.to_owned(),
            max_bytes: size::parse(max_size)
                .filter(|&bytes| bytes >= size::SMALLEST)
                .ok_or_else(|| {
                    usage(format!(
                        "`max_size={max_size}` is no size of at least 256 KiB"
                    ))
                    .with_help("write a number and a unit, for example `max_size=500MB`")
                })?,
            ttl: options::span(connection, "ttl")?,
            busy_timeout: busy_timeout
                .parse()
                .ok()
                .filter(|seconds| (0.0..=60.0).contains(seconds))
                .map(Duration::from_secs_f64)
                .ok_or_else(|| {
                    usage(format!(
                        "`busy_timeout={busy_timeout}` is no number of seconds"
                    ))
                    .with_help("write a number from 0 to 60")
                })?,
        })
    }
}
