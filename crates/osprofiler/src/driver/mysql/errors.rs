// SPDX-License-Identifier: Apache-2.0
//! What MySQL's and MariaDB's errors mean: of which kind, whether they pass, what to do about them.
//!
//! In: an error of the client. Out: one of ours that says why, without what failed on what. Of what the server says only its
//! first line is taken, and a part of that.

use std::error::Error as _;
use std::io;

use mysql::{DriverError, Error as Failure};

use crate::driver::sql::shorten;
use crate::driver::tls::untrusted;
use crate::{Error, ErrorKind};

pub(super) fn sort(failure: &Failure) -> Error {
    if let Failure::CodecError(error) = failure
        && let Some(error) = error.source().and_then(|source| source.downcast_ref())
    {
        return sort_io(error);
    }
    match failure {
        Failure::MySqlError(said) => sort_said(said.code, &shorten(&said.message)),
        Failure::IoError(error) => sort_io(error),
        Failure::DriverError(DriverError::CouldNotConnect(Some((_, why, kind)))) => {
            unreachable(*kind, why)
        }
        Failure::DriverError(DriverError::ConnectTimeout | DriverError::Timeout) => no_answer(),
        Failure::DriverError(DriverError::TlsNotSupported) => {
            Error::new(ErrorKind::Denied, "the server does not speak TLS")
                .with_help("turn it on there, or do without: `?ssl_mode=DISABLED`")
                .set_temporary(true)
        }
        Failure::DriverError(DriverError::UnknownAuthPlugin(plugin)) => Error::new(
            ErrorKind::Denied,
            format!(
                "the server asks for a way of logging in that is not known here: `{}`",
                shorten(plugin)
            ),
        )
        .with_help("identify the user by `caching_sha2_password` or `mysql_native_password`")
        .set_temporary(true),
        Failure::DriverError(DriverError::CleartextPluginDisabled) => Error::new(
            ErrorKind::Denied,
            "the server asks for the password as clear text",
        )
        .with_help("identify the user by `caching_sha2_password` or `mysql_native_password`")
        .set_temporary(true),
        Failure::TlsError(error) => tls(&shorten(&error.to_string())),
        other => Error::new(
            ErrorKind::Corrupt,
            format!(
                "what answers is not what a MySQL server says: {}",
                shorten(&other.to_string())
            ),
        )
        .with_help("is it a MySQL or MariaDB server that listens there?")
        .set_temporary(true),
    }
}

fn sort_io(error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match (inner, error.kind()) {
        (Some(rustls::Error::InvalidCertificate(why)), _) => tls(&untrusted(why)),
        (Some(other), _) => tls(&shorten(&other.to_string())),
        (None, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => no_answer(),
        (None, kind) => unreachable(kind, &error.to_string()),
    }
}

fn unreachable(kind: io::ErrorKind, why: &str) -> Error {
    let why = match kind {
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => shorten(why),
    };
    Error::new(ErrorKind::Unavailable, why)
}

fn no_answer() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "no answer within the time that `connect_timeout` and `socket_timeout` give it",
    )
}

fn tls(why: &str) -> Error {
    Error::new(ErrorKind::Denied, format!("the server is not trusted: {why}")).with_help(
        "name the file with its authority, `?tls_ca_file=/path/ca.pem`, and the server as its certificate does",
    )
    .set_temporary(true)
}

const WIDEN: &str = "widen it: `ALTER TABLE data MODIFY id BIGINT NOT NULL AUTO_INCREMENT`";

/// Sorts what the server said, by its number.
fn sort_said(code: u16, message: &str) -> Error {
    let error = |kind| Error::new(kind, message);
    match code {
        1044 | 1045 | 1130 | 1251 | 1698 | 1820 | 1862 | 3118 | 3955 | 4151 => {
            error(ErrorKind::Denied)
                .with_help("check user, password, host and database: `SHOW GRANTS`")
                .set_temporary(true)
        }
        3159 => error(ErrorKind::Denied)
            .with_help("speak TLS: `?ssl_mode=REQUIRED`, or better `?tls_ca_file=/path/ca.pem`")
            .set_temporary(true),
        1142 | 1143 | 1227 | 1370 => error(ErrorKind::Denied).with_help(
            "let the user write and make tables: `GRANT SELECT, INSERT, DELETE, CREATE, INDEX ON osprofiler.* TO ...`",
        )
        .set_temporary(true),
        1049 => error(ErrorKind::NotFound).with_help("make it: `CREATE DATABASE osprofiler`")
            .set_temporary(true),
        // A replica now, perhaps the primary again.
        1290 | 1792 | 1836 => error(ErrorKind::Denied)
            .with_help("the server takes no writes: name the primary")
            .set_temporary(true),
        1021 | 1114 => error(ErrorKind::Full),
        // An engine's own error: 28 is the system's for no space.
        1030 if message.contains("28") => error(ErrorKind::Full),
        // All numbers of a table that upstream made are used: in the words of both servers, of MariaDB, and of MySQL, which
        // gives the last number once more. Any other duplicate is one to an index that somebody else made.
        1467 | 167 => error(ErrorKind::Full).with_help(WIDEN),
        1062 if message.ends_with("PRIMARY'") => error(ErrorKind::Full).with_help(WIDEN),
        // Connections, shutdown, memory, locks, Galera, Group Replication; tables that were removed or altered: the next
        // connection sees. 1105 is what routers and other servers have no number for.
        1030 | 1037 | 1038 | 1040 | 1041 | 1047 | 1050 | 1053 | 1077 | 1078 | 1079 | 1105 | 1146 | 1152 | 1154..=1161
        | 1180 | 1184 | 1203 | 1205 | 1206 | 1213 | 1226 | 1317 | 1412 | 1684 | 1879 | 1927 | 1969 | 3024 | 3100 | 3101
        | 3168 | 3169 | 3796 | 3797 | 4031 => error(ErrorKind::Unavailable),
        // No server's own: a client's number, which a proxy between tells on, or ProxySQL's of its own outages.
        2000..=2999 | 9000..=9999 => error(ErrorKind::Unavailable)
            .with_help("something between, perhaps ProxySQL, does not reach the server: see its log"),
        _ => Error::new(
            ErrorKind::Corrupt,
            format!("its tables are not this driver's: {message} ({code})"),
        )
        .with_help("is `data` another program's table? give traces a database of their own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_there_is_told_in_the_words_of_the_other_drivers() {
        let kind = io::ErrorKind::ConnectionRefused;
        let (address, why) = ("h:3306".to_owned(), "Connection refused".to_owned());
        let could_not = DriverError::CouldNotConnect(Some((address, why, kind)));
        for failure in [
            Failure::DriverError(could_not),
            Failure::IoError(kind.into()),
        ] {
            assert_eq!(sort(&failure).to_string(), "nobody listens there");
        }
    }
}
