// SPDX-License-Identifier: Apache-2.0
//! The driver `elasticsearch`: a document a notification in Elasticsearch or OpenSearch, in upstream's indexes, so that each
//! reads what the other wrote.
//!
//! `osprofiler-notifications` holds the notifications, `-error` behind it the traces with errors, `-lost` what was lost. A batch is
//! a few bulk requests; a template, made by the first writer, keeps ids as they are and leaves infos unindexed. Nothing here
//! knows which of both servers answers, and nothing is kept open at it: a page is asked for by where the last one ended. Every
//! write can be repeated: a document that is there already is stored.

mod settings;

mod client;

mod documents;
mod expiry;
mod template;
mod writer;

mod listing;
mod pages;
mod reader;

mod pruner;

mod errors;

#[cfg(test)]
mod tests;

use std::time::Duration;

use self::client::Call;
use self::settings::Settings;
use super::options::{TIMEOUTS, TLS, TTL};
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
            name: "index",
            default: "osprofiler-notifications",
            summary: "the index or alias that holds the traces; upstream knows the default only",
        },
        DriverOption {
            name: "api_key",
            default: "none",
            summary: "an API key, encoded as the server gave it, or `ID:KEY`; instead of user and password",
        },
        TTL,
        TIMEOUTS[0],
        TIMEOUTS[1],
        TLS[0],
        TLS[1],
    ],
    client_options: &[],
    example: "elasticsearch://elasticsearch.example.org:9200",
    open_writer: |connection| {
        Ok(Box::new(writer::ElasticsearchWriter::new(Settings::of(
            connection,
        )?)))
    },
    open_reader: |connection| {
        Ok(Box::new(reader::ElasticsearchReader::new(Settings::of(
            connection,
        )?)))
    },
    open_pruner: Some(|connection| {
        Ok(Box::new(pruner::ElasticsearchPruner::new(Settings::of(
            connection,
        )?)))
    }),
};

/// The index of the traces with errors is named like the notifications', and this.
const ERRORS: &str = "-error";
/// So is that of what was lost.
const LOSSES: &str = "-lost";

/// A call that delivery waits for.
const WRITE: Call = Call {
    action: "write to",
    answer_timeout: Duration::from_secs(5),
    most_time: None,
    // Twice what a request has: an answer may repeat what it refuses, and say why.
    most_answer_bytes: 8 << 20,
};

/// A call of a writer that may wait, and during which nothing is written: shorter than the end of a process waits, so that what was
/// recorded meanwhile is stored then, or kept in files. Too short for a second server: the first may go on with it.
const TIDY: Call = Call {
    most_time: Some(Duration::from_secs(1)),
    ..WRITE
};

/// A call that a person waits for, of a server that may have much to look at.
const READ: Call = Call {
    action: "read",
    answer_timeout: Duration::from_secs(60),
    most_time: None,
    // Some pages of notifications, or one that holds the largest.
    most_answer_bytes: 64 << 20,
};

/// The same where something is removed.
const REMOVE: Call = Call {
    action: "remove from",
    answer_timeout: Duration::from_secs(60),
    most_time: None,
    most_answer_bytes: 8 << 20,
};
