// SPDX-License-Identifier: Apache-2.0
//! The driver `mongodb`: a document a notification, in upstream's collections, so that each reads what the other wrote.
//!
//! Of the database `osprofiler`, `profiler` holds the notifications, `profiler_error` the traces with errors and
//! `profiler_lost` what was lost. A batch is a few unordered inserts; indexes and, where it is wanted, expiry are made by the first
//! writer. The client is async: it runs on the thread that waits, within the deadline of each call. Notifications that
//! were stored twice are read once.

mod bson;
mod connection;
mod document;
mod errors;
mod info;
mod pruner;
mod reader;
mod writer;

use std::time::Duration;

use self::connection::{Call, Connection};
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
    options: &OPTIONS,
    client_options: &CLIENT_OPTIONS,
    example: "mongodb://mongodb.example.org:27017",
    open_writer: |connection| Ok(Box::new(writer::MongodbWriter::new(connection)?)),
    open_reader: |connection| Ok(Box::new(reader::MongodbReader::new(connection)?)),
    open_pruner: Some(|connection| Ok(Box::new(pruner::MongodbPruner::new(connection)?))),
};

const OPTIONS: [DriverOption; 6] = {
    let [connect, answer] = TIMEOUTS;
    let connect = DriverOption {
        default: "1.5",
        summary: "seconds that finding a server and connecting may take",
        ..connect
    };
    let [authorities, verify] = TLS;
    let database = DriverOption {
        name: "database",
        default: "osprofiler",
        summary: "the database that holds the traces; the one before the `?` is where the user is known",
    };
    [database, TTL, connect, answer, authorities, verify]
};

/// The names of [`OPTIONS`], which the client does not know.
const OWN_OPTIONS: [&str; 6] = {
    let mut names = [""; OPTIONS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = OPTIONS[index].name;
        index += 1;
    }
    names
};

/// MongoDB's options as pymongo reads them; the last ones mean nothing here and are passed over. No option that
/// would make a connection safer is among those.
const CLIENT_OPTIONS: [&str; 41] = [
    "appName",
    "authMechanism",
    "authMechanismProperties",
    "authSource",
    "connectTimeoutMS",
    "directConnection",
    "heartbeatFrequencyMS",
    "journal",
    "loadBalanced",
    "localThresholdMS",
    "maxConnecting",
    "maxIdleTimeMS",
    "maxPoolSize",
    "maxStalenessSeconds",
    "minPoolSize",
    "readConcernLevel",
    "readPreference",
    "readPreferenceTags",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "serverMonitoringMode",
    "serverSelectionTimeoutMS",
    "socketTimeoutMS",
    "srvMaxHosts",
    "srvServiceName",
    "ssl",
    "tls",
    "tlsAllowInvalidCertificates",
    "tlsCAFile",
    "tlsCertificateKeyFile",
    "tlsInsecure",
    "w",
    "wTimeoutMS",
    PASSED_OVER[0],
    PASSED_OVER[1],
    PASSED_OVER[2],
    PASSED_OVER[3],
    PASSED_OVER[4],
    PASSED_OVER[5],
    PASSED_OVER[6],
];

const PASSED_OVER: [&str; 7] = [
    "compressors",
    "connect",
    "timeoutMS",
    "tz_aware",
    "uuidRepresentation",
    "waitQueueTimeoutMS",
    "zlibCompressionLevel",
];

fn is_passed_over(name: &str) -> bool {
    PASSED_OVER
        .iter()
        .any(|option| option.eq_ignore_ascii_case(name))
}

/// The collections, named as upstream names them; the last one is ours.
const NOTIFICATIONS: &str = "profiler";
const ERRORS: &str = "profiler_error";
const LOSSES: &str = "profiler_lost";

/// A call that delivery waits for.
const WRITE: Call = Call {
    action: "write to",
    answer_timeout: Duration::from_secs(5),
};

/// A call that a person waits for, of a server that may have much to look at.
const READ: Call = Call {
    action: "read",
    answer_timeout: Duration::from_secs(60),
};

/// A call that removes what may be much.
const REMOVE: Call = Call {
    action: "remove traces from",
    answer_timeout: Duration::from_secs(60),
};
