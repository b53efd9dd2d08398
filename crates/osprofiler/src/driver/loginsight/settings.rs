// SPDX-License-Identifier: Apache-2.0
//! What a connection string says: where the server is, who to be there, whom to trust.
//!
//! In: a connection string whose options are known to be the driver's. Out: checked values, or one error that says what
//! would do. Opens nothing.

use std::time::Duration;

use crate::driver::tls::Trust;
use crate::driver::{ConnectionString, options};
use crate::{Error, ErrorKind, Result};

/// A connection string, understood.
pub(super) struct Settings {
    /// For messages: it shows no password.
    pub(super) shown: ConnectionString,
    /// The address of the ingestion API, `scheme://host:port`.
    pub(super) ingestion: String,
    /// The address of logins and queries.
    pub(super) queries: String,
    pub(super) user: String,
    pub(super) password: String,
    /// Who knows the user.
    pub(super) provider: Option<String>,
    pub(super) trust: Trust,
    pub(super) connect_timeout: Duration,
    /// How long an answer may take; `None` is what suits the call.
    pub(super) answer_timeout: Option<Duration>,
}

impl Settings {
    pub(super) fn of(connection: &ConnectionString) -> Result<Self> {
        let (Some(user), Some(password)) = (connection.user(), connection.password()) else {
            return Err(malformed(connection, "names no user and password"));
        };
        let host = connection.authority();
        let mut hosts = connection.hosts();
        match (hosts.next(), hosts.next()) {
            (Some((name, None)), None) if !name.is_empty() && is_host(host) => {}
            (Some((_, Some(_))), None) => {
                let help = "leave the port out; the options `api_port` and `api_ssl_port` name others than 9000 and 9543";
                return Err(malformed(connection, "names a port").with_help(help));
            }
            _ => {
                return Err(malformed(
                    connection,
                    "names no host, or one that cannot be",
                ));
            }
        }
        if !matches!(connection.path(), "" | "/") {
            return Err(malformed(connection, "has a path"));
        }
        let secure_port = port(connection, "api_ssl_port", 9543)?;
        let queries = format!("https://{host}:{secure_port}");
        let ingestion = if options::is_on(connection, "ingest_tls", false)? {
            queries.clone()
        } else {
            let port = port(connection, "api_port", 9000)?;
            format!("http://{host}:{port}")
        };
        let answer_timeout = connection
            .option("socket_timeout")
            .map(|_| options::seconds(connection, "socket_timeout", Duration::ZERO))
            .transpose()?;
        Ok(Self {
            shown: connection.clone(),
            ingestion,
            queries,
            user: user.to_owned(),
            password: password.to_owned(),
            provider: connection.option("provider").map(str::to_owned),
            trust: Trust {
                authorities: connection.option("tls_ca_file").map(str::to_owned),
                anybody: !options::is_on(connection, "tls_verify", true)?,
                ..Trust::default()
            },
            connect_timeout: options::seconds(
                connection,
                "connect_timeout",
                Duration::from_secs(2),
            )?,
            answer_timeout,
        })
    }
}

/// Whether `text` may stand in a URL as its host: a name, an IPv4 address, an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_of = |text: &str, more: &[u8]| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    match inner {
        Some(address) => is_of(address, b":."),
        None => is_of(text, b"-._"),
    }
}

fn port(connection: &ConnectionString, name: &str, default: u16) -> Result<u16> {
    let Some(text) = connection.option(name) else {
        return Ok(default);
    };
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => {
            let message = format!("the option `{name}` cannot be `{text}`");
            let help = format!("write a port, for example `{name}={default}`");
            Err(Error::new(ErrorKind::Usage, message).with_help(help))
        }
    }
}

fn malformed(connection: &ConnectionString, what: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("`{connection}` {what}"))
        .with_help("write `loginsight://USER:PASSWORD@HOST`")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is the two addresses and the login, or the error.
    fn check(text: &str, expected: &str) {
        let made = Settings::of(&ConnectionString::parse(text).unwrap());
        let told = match made {
            Ok(made) => {
                let Settings {
                    ingestion,
                    queries,
                    user,
                    password,
                    ..
                } = made;
                format!("{ingestion} {queries} {user} {password}")
            }
            Err(error) => error.text_with_help(),
        };
        assert!(told.contains(expected), "{text}: {told}");
    }

    #[test]
    fn a_connection_string_is_upstreams_and_options() {
        for (text, expected) in [
            ("loginsight://u:p@h", "http://h:9000 https://h:9543 u p"),
            (
                "loginsight://u%40d:a%3Ab@[::1]/?api_port=1&api_ssl_port=2",
                "http://[::1]:1 https://[::1]:2 u@d a:b",
            ),
            (
                "loginsight://u:p@h?ingest_tls=true&api_ssl_port=2",
                "https://h:2 https://h:2 u p",
            ),
            ("loginsight://u:p@x@h", "u p@x"),
            (
                "loginsight://u:s3cret@h:9543",
                "`loginsight://u:***@h:9543` names a port: leave the port out",
            ),
            (
                "loginsight://u:p@h:x",
                "names no host, or one that cannot be",
            ),
            (
                "loginsight://u:p@a,b",
                "names no host, or one that cannot be",
            ),
            ("loginsight://u:p@", "names no host, or one that cannot be"),
            (
                "loginsight://u:p@h%2F",
                "names no host, or one that cannot be",
            ),
            (
                "loginsight://u:p@h/x",
                "has a path: write `loginsight://USER:PASSWORD@HOST`",
            ),
            ("loginsight://u@h", "names no user and password"),
            ("loginsight://h", "names no user and password"),
            (
                "loginsight://u:p@h?api_port=0",
                "the option `api_port` cannot be `0`: write a port, for example `api_port=9000`",
            ),
            ("loginsight://u:p@h?api_ssl_port=99999", "cannot be `99999`"),
            ("loginsight://u:p@h?socket_timeout=0", "write seconds"),
        ] {
            check(text, expected);
        }
    }
}
