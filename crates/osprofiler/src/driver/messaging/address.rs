// SPDX-License-Identifier: Apache-2.0
//! Where the bus is: brokers and their virtual host, from a connection string of ours or a transport URL of oslo.messaging's.
//!
//! `messaging://user:password@a:5672,b:5672/vhost` names brokers itself; `?transport_url=rabbit://...` brings the services' own
//! URL, in which each broker has a user and a password and whose options are oslo.messaging's. No text made here holds a password.

use percent_encoding::percent_decode_str;

use crate::driver::ConnectionString;
use crate::driver::connection_string::{is_word, split_options};
use crate::{Error, ErrorKind, Result};

const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;
/// The user that a broker has before anybody makes another, and their password; it is taken from the broker's own host only.
const GUEST: &str = "guest";

/// The brokers of a bus, one as good as the other.
pub(super) struct Bus {
    /// At least one.
    pub(super) brokers: Vec<Broker>,
    pub(super) vhost: String,
    /// The options of the transport URL, as a connection string of ours that has nothing else.
    pub(super) url_options: ConnectionString,
}

/// One broker, and who we are to it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Broker {
    pub(super) host: String,
    /// `None` for the usual one.
    port: Option<u16>,
    pub(super) user: String,
    pub(super) password: String,
}

impl Broker {
    /// The port to connect to.
    pub(super) fn port(&self, tls: bool) -> u16 {
        self.port.unwrap_or(if tls { TLS_PORT } else { PORT })
    }
}

impl Bus {
    /// What `connection` names.
    pub(super) fn of(connection: &ConnectionString) -> Result<Self> {
        let no_options = ConnectionString::parse("messaging://")?;
        let Some(url) = connection.option("transport_url") else {
            if connection.authority().is_empty() {
                return Err(usage("`messaging://` alone names no broker").with_help(
                    "write `messaging://user:password@host:5672/vhost`, or `messaging://?transport_url=` and what \
                     `transport_url` in the services' configuration is",
                ));
            }
            let user = connection.user().unwrap_or(GUEST);
            let password = connection.password().unwrap_or(GUEST);
            let brokers = connection
                .authority()
                .split(',')
                .filter(|host| !host.is_empty())
                .map(|host| broker(host, user, password));
            return Ok(Self {
                brokers: brokers.collect::<Result<_>>()?,
                vhost: vhost(connection.path()),
                url_options: no_options,
            });
        };
        if !connection.authority().is_empty() {
            return Err(usage(
                "the brokers are named twice, before `?` and by `transport_url`",
            ));
        }
        Self::of_url(url)
    }

    fn of_url(url: &str) -> Result<Self> {
        let (transport, rest) = url.split_once("://").unwrap_or((url, ""));
        if !matches!(transport, "rabbit" | "kombu") {
            let shown: String = transport.chars().take(20).collect();
            return Err(usage(&format!("no transport `{shown}`: RabbitMQ is read and written here")).with_help(
                "write `rabbit://user:password@host:5672/vhost`; a service in Python reaches other transports through oslo.messaging",
            ));
        }
        let (rest, query) = split_options(rest, is_word);
        let (hosts, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut brokers = Vec::new();
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            let (who, host) = host.rsplit_once('@').unwrap_or(("", host));
            let (user, password) = who.split_once(':').unwrap_or((who, ""));
            let (user, password) = (decoded(user)?, decoded(password)?);
            let or_guest = |text: String| {
                if text.is_empty() {
                    GUEST.to_owned()
                } else {
                    text
                }
            };
            brokers.push(broker(host, &or_guest(user), &or_guest(password))?);
        }
        if brokers.is_empty() {
            brokers.push(broker("localhost", GUEST, GUEST)?);
        }
        Ok(Self {
            brokers,
            vhost: vhost(&decoded(path)?),
            url_options: ConnectionString::parse(&format!("messaging://?{query}"))?,
        })
    }
}

fn broker(host: &str, user: &str, password: &str) -> Result<Broker> {
    let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => host
            .split_once(':')
            .map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let port = port
        .map(|port| {
            // What stands there may be the rest of a password that nobody escaped.
            let wrong = || usage("a broker's port is no number from 1 to 65535");
            let port = port.parse().ok().filter(|&port| port > 0);
            port.ok_or_else(|| {
                wrong().with_help(
                    "in a password write `@`, `:`, `/` and `,` as `%40`, `%3A`, `%2F` and `%2C`",
                )
            })
        })
        .transpose()?;
    if name.is_empty() {
        return Err(usage("a broker has no host"));
    }
    Ok(Broker {
        host: name.to_owned(),
        port,
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

/// The virtual host that a path means: `/` for none, what follows the slash otherwise.
fn vhost(path: &str) -> String {
    match path.strip_prefix('/') {
        None | Some("") => "/".to_owned(),
        Some(name) => name.to_owned(),
    }
}

fn decoded(text: &str) -> Result<String> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| usage("the transport URL is not UTF-8 after percent-decoding"))
}

fn usage(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is the brokers as `user:password@host:port`, and the virtual host after a blank; or the error.
    fn check(text: &str, expected: &str) {
        let connection = ConnectionString::parse(text).unwrap();
        let shown = match Bus::of(&connection) {
            Ok(bus) => {
                let brokers = bus.brokers.iter().map(|broker| {
                    let (user, password, host) = (&broker.user, &broker.password, &broker.host);
                    format!("{user}:{password}@{host}:{}", broker.port(false))
                });
                format!("{} {}", brokers.collect::<Vec<_>>().join(","), bus.vhost)
            }
            Err(error) => {
                let text = format!("! {error}");
                assert!(!format!("{error:?}").contains("s3cret"), "{text}");
                text
            }
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn a_connection_string_names_brokers() {
        for (text, expected) in [
            ("messaging://h", "guest:guest@h:5672 /"),
            ("messaging://u:p@h:1/", "u:p@h:1 /"),
            (
                "messaging://u:p%40@h:1,[::1]:2/a%2Fb",
                "u:p@@h:1,u:p@@::1:2 a/b",
            ),
            ("messaging://h//", "guest:guest@h:5672 /"),
            ("messaging://h/%2F", "guest:guest@h:5672 /"),
            ("messaging://", "! `messaging://` alone names no broker"),
            ("messaging:///v", "! `messaging://` alone names no broker"),
            (
                "messaging://h:0",
                "! a broker's port is no number from 1 to 65535",
            ),
            (
                "messaging://h:x",
                "! a broker's port is no number from 1 to 65535",
            ),
            ("messaging://:1", "! a broker has no host"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn a_transport_url_does_as_in_oslo_messaging() {
        for (url, expected) in [
            ("rabbit://", "guest:guest@localhost:5672 /"),
            ("rabbit:///v", "guest:guest@localhost:5672 v"),
            ("rabbit://u:p@h:1/", "u:p@h:1 /"),
            ("rabbit://u:p@h:1//", "u:p@h:1 /"),
            ("kombu://u:p%2F%40@h", "u:p/@@h:5672 /"),
            (
                "rabbit://a:b@h1:1,c:d@[fe80::1]:2/v?ssl=1",
                "a:b@h1:1,c:d@fe80::1:2 v",
            ),
            ("rabbit://a:s3cret:2@h/v", "a:s3cret:2@h:5672 v"),
            ("rabbit://u:1?s3cret@h/v?ssl=1", "u:1?s3cret@h:5672 v"),
            (
                "rabbit://u:s3cret,@h/v",
                "! a broker's port is no number from 1 to 65535",
            ),
            (
                "kafka://u:s3cret@h",
                "! no transport `kafka`: RabbitMQ is read and written here",
            ),
            (
                "rabbit://u:%ffs3cret@h",
                "! the transport URL is not UTF-8 after percent-decoding",
            ),
        ] {
            let escaped = url.replace('%', "%25");
            check(&format!("messaging://?transport_url={escaped}"), expected);
        }
        check(
            "messaging://h?transport_url=rabbit://h",
            "! the brokers are named twice, before `?` and by `transport_url`",
        );
        let connection =
            ConnectionString::parse("messaging://?transport_url=rabbit://h/?ssl=1").unwrap();
        let options = Bus::of(&connection).unwrap().url_options;
        assert_eq!(options.option("ssl"), Some("1"));
    }
}
