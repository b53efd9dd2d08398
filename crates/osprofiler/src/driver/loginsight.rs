// SPDX-License-Identifier: Apache-2.0
//! The driver `loginsight`: an event a notification in Aria Operations for Logs (Log Insight), as upstream has it, so that each
//! reads what the other wrote.
//!
//! Events are posted to the ingestion API, which wants no login, and found through the query API, which does. The server
//! keeps them in the order of their arrival, to a millisecond; a field more than upstream's has the order of recording. A
//! trace's losses are events of their own, under another name, which upstream's reader doesn't find.
//! The API as it is published: <https://vmw-loginsight.github.io>.

mod settings;

mod client;

mod event;
mod writer;

mod answer;
mod reader;
mod requests;

#[cfg(test)]
mod tests;

use self::settings::Settings;
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
        Capability::SurvivesFork,
    ],
    options: &[
        DriverOption {
            name: "api_port",
            default: "9000",
            summary: "the port that takes events without TLS",
        },
        DriverOption {
            name: "api_ssl_port",
            default: "9543",
            summary: "the port of logins and queries, with TLS",
        },
        DriverOption {
            name: "ingest_tls",
            default: "false",
            summary: "`true` sends events to the port with TLS, too",
        },
        DriverOption {
            name: "provider",
            default: "the server's",
            summary: "who knows the user: `Local`, `ActiveDirectory` or `vIDM`",
        },
        options::TIMEOUTS[0],
        options::TIMEOUTS[1],
        options::TLS[0],
        options::TLS[1],
    ],
    client_options: &[],
    example: "loginsight://USER:PASSWORD@logs.example.org?ingest_tls=true",
    open_writer: |connection| {
        let settings = Settings::of(connection)?;
        Ok(Box::new(writer::LogInsightWriter::new(settings)))
    },
    open_reader: |connection| {
        let settings = Settings::of(connection)?;
        Ok(Box::new(reader::LogInsightReader::new(settings)))
    },
    open_pruner: None,
};

/// The text of an event that is a notification.
const NOTIFICATION: &str = "OSProfiler trace";
/// The text of an event that tells of a loss.
const LOSS: &str = "OSProfiler loss";

/// Fields of upstream's.
const BASE_ID: &str = "base_id";
/// The notification as JSON.
const TRACE: &str = "trace";
/// Ours: a number that grows with each notification of a process, about the microseconds since 1970.
const ORDER: &str = "order";
/// The trace that lost something; not `base_id`, by which upstream finds notifications.
const LOST_BASE_ID: &str = "lost_base_id";
/// The loss as JSON.
const LOST: &str = "lost";
/// What tells a loss from an equal one, and is the same in each event that tells of it.
const LOST_MARK: &str = "lost_mark";
