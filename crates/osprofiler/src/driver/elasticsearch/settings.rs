// SPDX-License-Identifier: Apache-2.0
//! What a connection string says: where the servers are, how to speak to them, and which index is meant.
//!
//! In: a connection string whose options are known to be the driver's. Out: checked values, or one error that says what would
//! do. Opens nothing.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::driver::tls::Trust;
use crate::driver::{ConnectionString, options};
use crate::{Error, ErrorKind, Result};

const DEFAULT_PORT: u16 = 9200;
const DEFAULT_INDEX: &str = "osprofiler-notifications";
/// What connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// An index's name has 255 bytes at most, and ours get an end.
const MAX_INDEX_BYTES: usize = 240;
/// What stays as it is in the path before the index.
const PREFIX: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A connection string, understood.
pub(super) struct Settings {
    /// For messages: it shows no password.
    pub(super) shown: ConnectionString,
    /// The servers, each as `http://host:port/prefix`.
    pub(super) servers: Vec<String>,
    /// How to trust them; `None` without TLS.
    pub(super) tls: Option<Trust>,
    /// The header by which they know us.
    pub(super) authorization: Option<String>,
    pub(super) index: String,
    pub(super) ttl: Option<Duration>,
    pub(super) connect_timeout: Duration,
    pub(super) answer_timeout: Option<Duration>,
}

impl Settings {
    pub(super) fn of(connection: &ConnectionString) -> Result<Self> {
        let has_tls = connection.scheme().ends_with('s');
        let answer_timeout = match connection.option("socket_timeout") {
            None => None,
            Some(_) => Some(options::seconds(
                connection,
                "socket_timeout",
                Duration::ZERO,
            )?),
        };
        Ok(Self {
            shown: connection.clone(),
            servers: servers(connection, if has_tls { "https" } else { "http" })?,
            tls: has_tls.then(|| tls(connection)).transpose()?,
            authorization: authorization(connection)?,
            index: index(connection)?,
            ttl: options::span(connection, "ttl")?,
            connect_timeout: options::seconds(connection, "connect_timeout", CONNECT_TIMEOUT)?,
            answer_timeout,
        })
    }
}

fn servers(connection: &ConnectionString, scheme: &str) -> Result<Vec<String>> {
    let wrong = |text: &str| {
        usage(format!(
            "`{connection}` names a server that cannot be: `{text}`"
        ))
        .with_help("write `host:port`, an IPv6 address in brackets: `[::1]:9200`")
    };
    let prefix = utf8_percent_encode(connection.path().trim_matches('/'), PREFIX).to_string();
    let servers: Vec<String> = connection
        .authority()
        .split(',')
        .filter(|text| !text.is_empty())
        .map(|text| {
            let (host, port) = host_and_port(text).ok_or_else(|| wrong(text))?;
            let mut server = format!("{scheme}://{host}:{port}");
            if !prefix.is_empty() {
                // Writing into a `String` does not fail.
                let _ = write!(server, "/{prefix}");
            }
            Ok(server)
        })
        .collect::<Result<_>>()?;
    if servers.is_empty() {
        let example = format!("write `{}://host:9200`", connection.scheme());
        return Err(usage(format!("`{connection}` names no server")).with_help(example));
    }
    Ok(servers)
}

/// Reads `host`, `host:port`, `[address]` or `[address]:port`. An address keeps its brackets.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let end = match text.strip_prefix('[') {
        Some(_) => text.find(']')? + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if port.is_empty() => DEFAULT_PORT,
        None => return None,
    };
    let can_be = match host.strip_prefix('[') {
        Some(address) => address
            .trim_end_matches(']')
            .parse::<std::net::Ipv6Addr>()
            .is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    (can_be && port != 0).then_some((host, port))
}

fn tls(connection: &ConnectionString) -> Result<Trust> {
    Ok(Trust {
        authorities: connection.option("tls_ca_file").map(str::to_owned),
        anybody: !options::is_on(connection, "tls_verify", true)?,
        ..Trust::default()
    })
}

fn authorization(connection: &ConnectionString) -> Result<Option<String>> {
    let key = connection.option("api_key").filter(|key| !key.is_empty());
    match (connection.user(), connection.password(), key) {
        (None, None, None) => Ok(None),
        (None, None, Some(key)) if key.contains(':') => {
            Ok(Some(format!("ApiKey {}", STANDARD.encode(key))))
        }
        (None, None, Some(key)) if key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(format!("ApiKey {key}")))
        }
        (None, None, Some(_)) => Err(usage("the option `api_key` is no API key".to_owned())
            .with_help("write it as the server gave it, `encoded`, or as `ID:KEY`")),
        (user, password, None) => {
            let (user, password) = (user.unwrap_or_default(), password.unwrap_or_default());
            let encoded = STANDARD.encode(format!("{user}:{password}"));
            Ok(Some(format!("Basic {encoded}")))
        }
        (_, _, Some(_)) => Err(
            usage(format!("`{connection}` has a user and an API key, too"))
                .with_help("leave out one of both"),
        ),
    }
}

fn index(connection: &ConnectionString) -> Result<String> {
    let Some(index) = connection.option("index") else {
        return Ok(DEFAULT_INDEX.to_owned());
    };
    let begins_well =
        index.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let can_be = begins_well
        && index.len() <= MAX_INDEX_BYTES
        && index.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte)
        });
    if can_be {
        Ok(index.to_owned())
    } else {
        Err(
            usage(format!("the option `index` cannot be `{index}`")).with_help(
                "write lower-case letters, digits and `-`: `index=osprofiler-notifications`",
            ),
        )
    }
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The servers, who we are, the index, how long answers take; or the error and its help.
    fn describe(text: &str) -> String {
        let settings = match Settings::of(&ConnectionString::parse(text).unwrap()) {
            Ok(settings) => settings,
            Err(error) => return format!("{error} | {}", error.help().unwrap_or_default()),
        };
        let mut shown = settings.servers;
        for part in [settings.authorization, Some(settings.index)] {
            shown.push(part.unwrap_or_else(|| "-".to_owned()));
        }
        if let Some(tls) = settings.tls {
            shown.push(format!("{:?} {}", tls.authorities, tls.anybody));
        }
        shown.join(" ")
    }

    #[test]
    fn a_connection_string_names_servers_users_and_an_index() {
        for (text, expected) in [
            (
                "elasticsearch://h",
                "http://h:9200 - osprofiler-notifications",
            ),
            (
                "opensearch://a:1,b,[::1]:2/p%20q/?index=x-1",
                "http://a:1/p%20q http://b:9200/p%20q http://[::1]:2/p%20q - x-1",
            ),
            (
                "elasticsearch://u:p%40@h/",
                "http://h:9200 Basic dTpwQA== osprofiler-notifications",
            ),
            (
                "elasticsearchs://h:443?api_key=aWQ6a2V5&tls_ca_file=/ca",
                "https://h:443 ApiKey aWQ6a2V5 osprofiler-notifications Some(\"/ca\") false",
            ),
            (
                "opensearchs://h?api_key=id:key&tls_verify=no",
                "https://h:9200 ApiKey aWQ6a2V5 osprofiler-notifications None true",
            ),
        ] {
            assert_eq!(describe(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_told_with_what_can() {
        let address = "write `host:port`, an IPv6 address in brackets: `[::1]:9200`";
        let index = "write lower-case letters, digits and `-`: `index=osprofiler-notifications`";
        for (text, expected) in [
            (
                "elasticsearch://",
                "`elasticsearch://` names no server | write `elasticsearch://host:9200`".to_owned(),
            ),
            (
                "elasticsearch://h:port",
                format!("`elasticsearch://h:port` names a server that cannot be: `h:port` | {address}"),
            ),
            (
                "elasticsearch://u:s3cret@h:0",
                format!("`elasticsearch://u:***@h:0` names a server that cannot be: `h:0` | {address}"),
            ),
            (
                "elasticsearch://fe80::1",
                format!("`elasticsearch://fe80::1` names a server that cannot be: `fe80::1` | {address}"),
            ),
            (
                "elasticsearch://[::x]",
                format!("`elasticsearch://[::x]` names a server that cannot be: `[::x]` | {address}"),
            ),
            (
                "elasticsearch://h?index=Traces",
                format!("the option `index` cannot be `Traces` | {index}"),
            ),
            (
                "elasticsearch://h?index=a,b",
                format!("the option `index` cannot be `a,b` | {index}"),
            ),
            (
                "elasticsearch://u:s3cret@h?api_key=s3cret",
                "`elasticsearch://u:***@h?api_key=***` has a user and an API key, too | leave out one of both".to_owned(),
            ),
            (
                "elasticsearch://h?api_key=a%0Ab",
                "the option `api_key` is no API key | write it as the server gave it, `encoded`, or as `ID:KEY`".to_owned(),
            ),
        ] {
            assert_eq!(describe(text), expected, "{text}");
        }
    }
}
