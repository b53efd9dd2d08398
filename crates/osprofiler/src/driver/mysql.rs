// SPDX-License-Identifier: Apache-2.0
//! The driver `mysql`: traces in a MySQL or MariaDB database, in upstream's table `data`, so that each reads what the other wrote.
//!
//! A batch is one transaction of a few inserts with many rows each, on one connection, which is made anew after any error.

mod settings;

mod connection;
mod tables;

mod insert;
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
    // What PyMySQL's and mysqlclient's URLs may bring. Heeded are those that `settings` reads; the others tune those libraries.
    client_options: &[
        "auth_plugin",
        "autocommit",
        "binary_prefix",
        "charset",
        "client_flag",
        "collation",
        "compress",
        "host",
        "init_command",
        "local_infile",
        "max_allowed_packet",
        "passwd",
        "password",
        "plugin",
        "port",
        "program_name",
        "read_timeout",
        "sql_mode",
        "ssl_ca",
        "ssl_cert",
        "ssl_check_hostname",
        "ssl_cipher",
        "ssl_disabled",
        "ssl_key",
        "ssl_mode",
        "ssl_verify_cert",
        "ssl_verify_identity",
        "unix_socket",
        "use_unicode",
        "user",
        "write_timeout",
    ],
    example: "mysql://osprofiler:PASSWORD@db.example/osprofiler?charset=utf8mb4",
    open_writer: |connection| {
        let settings = settings::Settings::of(connection)?;
        Ok(Box::new(writer::MysqlWriter::new(settings)))
    },
    open_reader: |connection| {
        let settings = settings::Settings::of(connection)?;
        Ok(Box::new(reader::MysqlReader::new(settings)))
    },
    open_pruner: Some(|connection| {
        let settings = settings::Settings::of(connection)?;
        Ok(Box::new(pruner::MysqlPruner::new(settings)))
    }),
};
