// SPDX-License-Identifier: Apache-2.0
//! The driver `postgresql`: traces in a PostgreSQL database, in upstream's table `data`, so that each reads what the other wrote.
//!
//! A batch is one `COPY` in one transaction on one connection, which is made anew after any error. The client is async only and
//! runs on a private runtime, so that each step has a deadline whatever the server does.

mod settings;

mod connection;
mod tables;

mod writer;

mod reader;

mod pruner;

mod errors;

use super::options;
use super::registry::{Capability, Implementation};

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
        options::TTL,
        options::TIMEOUTS[0],
        options::TIMEOUTS[1],
        options::TLS[0],
        options::TLS[1],
    ],
    // What libpq's URLs may bring, and SQLAlchemy hands on. Heeded are those that `settings` reads; the others tune that library.
    client_options: &[
        "application_name",
        "channel_binding",
        "client_encoding",
        "dbname",
        "executemany_mode",
        "fallback_application_name",
        "gssencmode",
        "host",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "options",
        "password",
        "port",
        "prepare_threshold",
        "sslcert",
        "sslcompression",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    ],
    example: "postgresql://osprofiler:PASSWORD@db.example/osprofiler?sslmode=verify-full",
    open_writer: |connection| {
        let settings = settings::Settings::of(connection)?;
        Ok(Box::new(writer::PostgresqlWriter::new(settings)))
    },
    open_reader: |connection| {
        let settings = settings::Settings::of(connection)?;
        Ok(Box::new(reader::PostgresqlReader::new(settings)))
    },
    open_pruner: Some(|connection| {
        let settings = settings::Settings::of(connection)?;
        Ok(Box::new(pruner::PostgresqlPruner::new(settings)))
    }),
};
