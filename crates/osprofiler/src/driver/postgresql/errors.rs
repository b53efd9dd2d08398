// SPDX-License-Identifier: Apache-2.0
//! What PostgreSQL's errors mean: of which kind, whether they pass, what to do about them.
//!
//! In: an error of the client. Out: one of ours that says why, without what failed on what. Of what the server says only its
//! first line is taken, and a part of that: details may hold what was to be stored.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::DbError;

use crate::driver::sql::shorten;
use crate::driver::tls::untrusted;
use crate::{Error, ErrorKind};

pub(super) fn sort(error: &tokio_postgres::Error) -> Error {
    if let Some(said) = error.as_db_error() {
        return sort_said(said);
    }
    let Some(source) = error.source() else {
        let kind = if error.is_closed() {
            ErrorKind::Unavailable
        } else {
            ErrorKind::Corrupt
        };
        return Error::new(kind, error.to_string())
            .with_help(IS_IT_POSTGRESQL)
            .set_temporary(true);
    };
    if let Some(io) = source.downcast_ref::<io::Error>() {
        let inner = io.get_ref().and_then(|inner| inner.downcast_ref());
        return match inner {
            Some(rustls::Error::InvalidCertificate(why)) => Error::new(ErrorKind::Denied, untrusted(why))
            .with_help("name the file with its authority, `?tls_ca_file=/path/ca.pem`, and the server as its certificate does")
            .set_temporary(true),
            Some(other) => {
                let why = shorten(&other.to_string());
                Error::new(ErrorKind::Denied, format!("TLS fails: {why}")).set_temporary(true)
            }
            // How the client says that what it read was no message.
            None if io.kind() == io::ErrorKind::InvalidInput => not_postgresql(io),
            None if io.kind() == io::ErrorKind::ConnectionRefused => {
                Error::new(ErrorKind::Unavailable, "nobody listens there")
            }
            None => Error::new(ErrorKind::Unavailable, shorten(&io.to_string())),
        };
    }
    let message = format!("{error}: {source}");
    if message.contains("does not support TLS") {
        return Error::new(ErrorKind::Denied, "the server does not speak TLS")
            .with_help("turn it on there (`ssl = on`), or do without: `?sslmode=disable`")
            .set_temporary(true);
    }
    if message.starts_with("authentication error") || message.contains("password") {
        return denied(shorten(&source.to_string()));
    }
    // What the client cannot say is ours, and stays so.
    let is_ours = message.starts_with("error serializing") || message.starts_with("error encoding");
    not_postgresql(source).set_temporary(!is_ours)
}

const IS_IT_POSTGRESQL: &str = "is it a PostgreSQL server that listens there?";

fn not_postgresql(why: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "what answers is not what a PostgreSQL server says: {}",
            shorten(&why.to_string())
        ),
    )
    .with_help(IS_IT_POSTGRESQL)
    .set_temporary(true)
}

fn denied(why: String) -> Error {
    Error::new(ErrorKind::Denied, why)
        .with_help("check user, password and database; the server's `pg_hba.conf` says who may come from where")
        .set_temporary(true)
}

/// Sorts what the server said, by its SQLSTATE.
fn sort_said(said: &DbError) -> Error {
    let code = said.code().code();
    let message = shorten(said.message());
    let error = |kind| Error::new(kind, message.clone());
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        ("28", _) => denied(message),
        (_, "42501") => error(ErrorKind::Denied).with_help(
            "let the user write: `GRANT ALL ON data, data_error, data_lost TO ...`, and make tables: `GRANT CREATE ON SCHEMA public TO ...`",
        )
        .set_temporary(true),
        (_, "3D000") => error(ErrorKind::NotFound)
            .with_help("make it: `CREATE DATABASE osprofiler`")
            .set_temporary(true),
        (_, "3F000") => error(ErrorKind::NotFound)
            .with_help("make it: `CREATE SCHEMA ...`, or name another: `?options=-csearch_path%3Dpublic`")
            .set_temporary(true),
        // A standby now, perhaps the primary again.
        (_, "25006") => error(ErrorKind::Denied)
            .with_help("the server takes no writes: name the primary, or several hosts and `?target_session_attrs=read-write`")
            .set_temporary(true),
        (_, "53100") => error(ErrorKind::Full),
        // All numbers of a table that upstream made are used.
        (_, "2200H") => error(ErrorKind::Full)
            .with_help("widen it: `ALTER SEQUENCE data_id_seq AS bigint; ALTER TABLE data ALTER id TYPE bigint`"),
        // Of these, the tables were removed, or another process has just made them: the next connection sees.
        (_, "42P01" | "42P07" | "42710" | "23505")
        | ("08" | "40" | "53" | "55" | "57" | "58" | "XX", _) => error(ErrorKind::Unavailable),
        _ => Error::new(
            ErrorKind::Corrupt,
            format!("its tables are not this driver's: {message} ({code})"),
        )
        .with_help("is `data` another program's table? give traces a database of their own, or a schema: `?options=-csearch_path%3Dosprofiler`"),
    }
}
