// SPDX-License-Identifier: Apache-2.0
//! The driver `redis`: traces in a Redis server, in the layout of upstream's driver, so that each reads what the other wrote.
//!
//! A trace is a list of JSON, the newest notification at its head. A batch is one round trip and one transaction: one
//! variadic push a trace. Two sorted sets beside the lists know when each trace began and first failed, so that a listing
//! reads no list; they are an index of what is there, never the only place of anything. Losses are a hash a trace.

mod settings;

mod connection;
mod sentinel;

mod replicas;
mod transaction;
mod writer;

mod listing;
mod questions;
mod reader;

mod pruner;

mod errors;

#[cfg(test)]
mod tests;

use super::options;
use super::registry::{Capability, DriverOption, Implementation};

pub(super) const IMPLEMENTATION: Implementation = Implementation {
    capabilities: &[
        Capability::Read,
        Capability::List,
        Capability::ListErrors,
        Capability::Losses,
        Capability::Deduplicates,
        Capability::ManyWriters,
        Capability::Prunes,
        Capability::Expires,
        Capability::SurvivesFork,
    ],
    options: &[
        DriverOption {
            name: "db",
            default: "0",
            summary: "the number of the database, where it is not the path",
        },
        options::TTL,
        DriverOption {
            name: "replicas",
            default: "0",
            summary: "a batch counts as stored once so many replicas have it",
        },
        DriverOption {
            name: "sentinel",
            default: "mymaster",
            summary: "the hosts are sentinels, which know the server by this name",
        },
        DriverOption {
            name: "sentinel_fallback",
            default: "none",
            summary: "a further sentinel, `host:port`; may be given several times",
        },
        DriverOption {
            name: "sentinel_user",
            default: "none",
            summary: "the user to be at the sentinels",
        },
        DriverOption {
            name: "sentinel_password",
            default: "none",
            summary: "the sentinels' own password",
        },
        options::TIMEOUTS[0],
        options::TIMEOUTS[1],
        options::TLS[0],
        options::TLS[1],
    ],
    // What redis-py's URLs may bring. Heeded are those that `settings` reads; the others tune that client.
    client_options: &[
        "username",
        "password",
        "socket_connect_timeout",
        "ssl_ca_certs",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_keyfile",
        "client_name",
        "decode_responses",
        "encoding",
        "encoding_errors",
        "health_check_interval",
        "lib_name",
        "lib_version",
        "max_connections",
        "protocol",
        "retry_on_error",
        "retry_on_timeout",
        "single_connection_client",
        "socket_keepalive",
        "socket_read_size",
        "timeout",
    ],
    example: "redis://:PASSWORD@host:6379/0?ttl=7d",
    open_writer: |connection| {
        Ok(Box::new(writer::RedisWriter::new(settings::Settings::of(
            connection,
        )?)))
    },
    open_reader: |connection| {
        Ok(Box::new(reader::RedisReader::new(settings::Settings::of(
            connection,
        )?)))
    },
    open_pruner: Some(|connection| {
        Ok(Box::new(pruner::RedisPruner::new(settings::Settings::of(
            connection,
        )?)))
    }),
};

/// The list of a trace's notifications, the newest first.
const NOTIFICATIONS: &str = "osprofiler_opt:";
/// That a trace holds an error: JSON with its `base_id` and a `timestamp`. What upstream lists errors by.
const ERROR: &str = "osprofiler_error:";
/// A trace's losses: the number by reason and writer. Without an id behind it: those of traces nobody knows any more.
const LOST: &str = "osprofiler_lost:";
/// A single notification, as upstream wrote before it had lists.
const LEGACY: &str = "osprofiler:";
/// Traces by the time of their first notification.
const TRACES: &str = "osprofiler_traces";
/// Traces with errors by the time of the first.
const ERRORS: &str = "osprofiler_errors";
/// Of writers with `replicas`: the last batch of each that the server has, by the time when it got it, in seconds.
const MARKS: &str = "osprofiler_batches";
