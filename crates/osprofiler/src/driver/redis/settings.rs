// SPDX-License-Identifier: Apache-2.0
//! What a connection string says: where the server is, or who knows, and how to speak to it.
//!
//! In: a connection string whose options are known to be the driver's. Out: checked values, or one error that says what
//! would do. Options of redis-py's that mean the same as one of ours are read here; ours goes first. Opens nothing.

use std::path::PathBuf;
use std::time::Duration;

use crate::driver::{ConnectionString, options};
use crate::{Error, ErrorKind, Result};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A connection string, understood.
pub(super) struct Settings {
    /// The connection string for messages, without its secrets.
    pub(super) shown: String,
    pub(super) place: Place,
    /// Who to be at the server.
    pub(super) login: Login,
    pub(super) database: u32,
    pub(super) tls: Option<Tls>,
    pub(super) connect_timeout: Duration,
    pub(super) answer_timeout: Duration,
    /// After what time without a new notification a trace is removed.
    pub(super) ttl: Option<Duration>,
    /// How many replicas have to have a batch.
    pub(super) replicas: u32,
}

impl Settings {
    /// Somebody's words without the passwords that we have told them.
    pub(super) fn masked(&self, words: &str) -> String {
        let sentinels = match &self.place {
            Place::Sentinels { login, .. } => login.password.as_deref(),
            _ => None,
        };
        // The longer one first: the other may be a part of it.
        let mut passwords = [self.login.password.as_deref(), sentinels];
        passwords.sort_by_key(|password| std::cmp::Reverse(password.map(str::len)));
        let passwords = passwords
            .into_iter()
            .flatten()
            .filter(|password| !password.is_empty());
        passwords.fold(words.to_owned(), |words, password| {
            words.replace(password, "***")
        })
    }
}

/// Where the server is.
pub(super) enum Place {
    Host(Address),
    Socket(PathBuf),
    /// Sentinels know.
    Sentinels {
        addresses: Vec<Address>,
        /// The server's name among them.
        master: String,
        /// Who to be at the sentinels.
        login: Login,
    },
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

/// A user and a password; either may be absent.
#[derive(Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// How to trust the server, and what to show it. Files are read when a connection is made.
pub(super) struct Tls {
    pub(super) trust: Trust,
    /// The authorities; the system's if `None`.
    pub(super) authorities: Option<PathBuf>,
    /// Our own certificate and its key.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
}

/// What a server's certificate has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Of an authority, and for this host.
    AuthorityAndName,
    /// Of an authority, for whatever host.
    Authority,
    /// Any.
    Nobody,
}

impl Settings {
    pub(super) fn of(connection: &ConnectionString) -> Result<Self> {
        let text = |name: &str| connection.option(name).map(str::to_owned);
        let connect_timeout = ["connect_timeout", "socket_connect_timeout"]
            .into_iter()
            .find(|name| connection.option(name).is_some())
            .unwrap_or("connect_timeout");
        Ok(Self {
            shown: connection.to_string(),
            place: place(connection)?,
            login: Login {
                user: connection.user().map(str::to_owned).or(text("username")),
                password: connection
                    .password()
                    .map(str::to_owned)
                    .or(text("password")),
            },
            database: database(connection)?,
            tls: (connection.scheme() == "rediss")
                .then(|| tls(connection))
                .transpose()?,
            connect_timeout: options::seconds(connection, connect_timeout, Duration::from_secs(2))?,
            answer_timeout: options::seconds(connection, "socket_timeout", Duration::from_secs(5))?,
            ttl: options::span(connection, "ttl")?,
            replicas: number(connection, "replicas")?.unwrap_or(0),
        })
    }
}

fn place(connection: &ConnectionString) -> Result<Place> {
    let by_sentinels =
        connection.scheme() == "redissentinel" || connection.option("sentinel").is_some();
    if connection.scheme() == "unix" {
        if by_sentinels || !connection.authority().is_empty() || connection.path().len() < 2 {
            return Err(usage(format!("`{connection}` names no socket"))
                .with_help("write three slashes: `unix:///run/redis/redis.sock?db=0`"));
        }
        return Ok(Place::Socket(PathBuf::from(connection.path())));
    }
    let port = if by_sentinels {
        SENTINEL_PORT
    } else {
        REDIS_PORT
    };
    let fallbacks = connection
        .options()
        .filter(|(name, _)| *name == "sentinel_fallback")
        .map(|(_, value)| value);
    let mut addresses = Vec::new();
    for text in std::iter::once(connection.authority())
        .chain(fallbacks)
        .flat_map(|list| list.split(','))
        .filter(|text| !text.is_empty())
    {
        addresses.push(Address::parse(text, port).ok_or_else(|| {
            usage(format!(
                "`{connection}` names a server that cannot be: `{text}`"
            ))
            .with_help("write `host:port`, an IPv6 address in brackets: `[::1]:6379`")
        })?);
    }
    if addresses.is_empty() {
        addresses.push(Address {
            host: "localhost".to_owned(),
            port,
        });
    }
    if by_sentinels {
        return Ok(Place::Sentinels {
            addresses,
            master: connection
                .option("sentinel")
                .filter(|name| !name.is_empty())
                .unwrap_or("mymaster")
                .to_owned(),
            login: Login {
                user: connection.option("sentinel_user").map(str::to_owned),
                password: connection.option("sentinel_password").map(str::to_owned),
            },
        });
    }
    match <[Address; 1]>::try_from(addresses) {
        Ok([address]) => Ok(Place::Host(address)),
        Err(_) => Err(
            usage(format!("`{connection}` names several servers")).with_help(
                "if they are sentinels, add the name they know the server by: `?sentinel=mymaster`",
            ),
        ),
    }
}

impl Address {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`.
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            Some((host, rest)) => (host, (!rest.is_empty()).then_some(rest)),
            None => match text.find(':') {
                Some(colon) => (&text[..colon], Some(&text[colon..])),
                None => (text, None),
            },
        };
        let port = match port {
            None => default_port,
            Some(port) => port.strip_prefix(':')?.parse().ok()?,
        };
        (!host.is_empty() && port != 0).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The option goes before the path, as with redis-py.
fn database(connection: &ConnectionString) -> Result<u32> {
    if let Some(number) = number(connection, "db")? {
        return Ok(number);
    }
    let path = match connection.scheme() {
        "unix" => "",
        _ => connection.path().trim_matches('/'),
    };
    if path.is_empty() {
        return Ok(0);
    }
    path.parse().map_err(|_| {
        usage(format!("`{connection}` names a database that is no number"))
            .with_help("write its number: `redis://host:6379/1`")
    })
}

fn tls(connection: &ConnectionString) -> Result<Tls> {
    let file = |name| connection.option(name).map(PathBuf::from);
    let verifies = match connection.option("ssl_cert_reqs") {
        Some(text) if connection.option("tls_verify").is_none() => {
            match text.to_ascii_lowercase().trim_start_matches("cert_") {
                "none" => false,
                "optional" | "required" => true,
                _ => {
                    return Err(
                        usage(format!("the option `ssl_cert_reqs` cannot be `{text}`"))
                            .with_help("write `required` or `none`"),
                    );
                }
            }
        }
        _ => options::is_on(connection, "tls_verify", true)?,
    };
    let checks_name = options::is_on(connection, "ssl_check_hostname", true)?;
    let identity = match (file("ssl_certfile"), file("ssl_keyfile")) {
        (None, None) => None,
        // One file may hold both.
        (Some(certificate), key) => Some((certificate.clone(), key.unwrap_or(certificate))),
        (None, Some(_)) => {
            return Err(
                usage("`ssl_keyfile` is the key of no certificate".to_owned())
                    .with_help("name the certificate, too: `ssl_certfile=/path/to/client.pem`"),
            );
        }
    };
    Ok(Tls {
        trust: match (verifies, checks_name) {
            (true, true) => Trust::AuthorityAndName,
            (true, false) => Trust::Authority,
            (false, _) => Trust::Nobody,
        },
        authorities: file("tls_ca_file").or_else(|| file("ssl_ca_certs")),
        identity,
    })
}

fn number(connection: &ConnectionString, name: &str) -> Result<Option<u32>> {
    let Some(text) = connection.option(name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        usage(format!("the option `{name}` cannot be `{text}`")).with_help("write a number")
    })
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where, who, which database, whom to trust: in words; or the error and its help.
    fn describe(text: &str) -> String {
        let settings = match Settings::of(&ConnectionString::parse(text).unwrap()) {
            Ok(settings) => settings,
            Err(error) => return format!("{error} | {}", error.help().unwrap_or_default()),
        };
        let who = |login: &Login| {
            let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
            format!("{}/{}", part(&login.user), part(&login.password))
        };
        let place = match &settings.place {
            Place::Host(address) => address.to_string(),
            Place::Socket(path) => path.display().to_string(),
            Place::Sentinels {
                addresses,
                master,
                login,
            } => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                format!("{master} of {} as {}", addresses.join(" "), who(login))
            }
        };
        let tls = settings
            .tls
            .map(|tls| format!(" {:?} {:?} {:?}", tls.trust, tls.authorities, tls.identity));
        format!(
            "{place} as {} db {}{}",
            who(&settings.login),
            settings.database,
            tls.unwrap_or_default()
        )
    }

    #[test]
    fn a_server_is_found_as_redis_py_finds_it() {
        for (text, expected) in [
            ("redis://", "localhost:6379 as -/- db 0"),
            ("redis://h", "h:6379 as -/- db 0"),
            ("redis://u:p%40@h:1/2", "h:1 as u/p@ db 2"),
            (
                "redis://h/2?db=3&username=u&password=p",
                "h:6379 as u/p db 3",
            ),
            ("redis://[::1]", "[::1]:6379 as -/- db 0"),
            ("redis://[::1]:7/", "[::1]:7 as -/- db 0"),
            ("unix:///run/r.sock?db=2", "/run/r.sock as -/- db 2"),
            ("unix://:p@/run/r.sock", "/run/r.sock as -/p db 0"),
            (
                "rediss://h",
                "h:6379 as -/- db 0 AuthorityAndName None None",
            ),
            (
                "rediss://h?ssl_cert_reqs=none",
                "h:6379 as -/- db 0 Nobody None None",
            ),
            (
                "rediss://h?ssl_cert_reqs=CERT_REQUIRED&ssl_check_hostname=false&ssl_ca_certs=/ca",
                "h:6379 as -/- db 0 Authority Some(\"/ca\") None",
            ),
            (
                "rediss://h?tls_ca_file=/a&ssl_ca_certs=/b&tls_verify=no&ssl_cert_reqs=required&ssl_certfile=/c",
                "h:6379 as -/- db 0 Nobody Some(\"/a\") Some((\"/c\", \"/c\"))",
            ),
        ] {
            assert_eq!(describe(text), expected, "{text}");
        }
    }

    #[test]
    fn sentinels_are_named_as_upstream_and_kolla_name_them() {
        for (text, expected) in [
            (
                "redissentinel://:p@h:1/3",
                "mymaster of h:1 as -/- as -/p db 3",
            ),
            (
                "redissentinel://u:p@a:1,b,[::1]:2?sentinel=n&sentinel_user=s&sentinel_password=t",
                "n of a:1 b:26379 [::1]:2 as s/t as u/p db 0",
            ),
            (
                "redis://default:p@a:1?sentinel=kolla&sentinel_fallback=b:2&sentinel_fallback=c:3,d&db=0&socket_timeout=60&retry_on_timeout=yes",
                "kolla of a:1 b:2 c:3 d:26379 as -/- as default/p db 0",
            ),
            (
                "rediss://a?sentinel=n",
                "n of a:26379 as -/- as -/- db 0 AuthorityAndName None None",
            ),
        ] {
            assert_eq!(describe(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_told_with_what_can() {
        let address = "write `host:port`, an IPv6 address in brackets: `[::1]:6379`";
        for (text, expected) in [
            (
                "redis://h:port",
                &*format!("`redis://h:port` names a server that cannot be: `h:port` | {address}"),
            ),
            (
                "redis://h:0",
                &*format!("`redis://h:0` names a server that cannot be: `h:0` | {address}"),
            ),
            (
                "redis://u:s3cret@h:65536",
                &*format!(
                    "`redis://u:***@h:65536` names a server that cannot be: `h:65536` | {address}"
                ),
            ),
            (
                "redis://fe80::1",
                &*format!("`redis://fe80::1` names a server that cannot be: `fe80::1` | {address}"),
            ),
            (
                "redis://a,b",
                "`redis://a,b` names several servers | if they are sentinels, add the name they know the server by: `?sentinel=mymaster`",
            ),
            (
                "redis://h/one",
                "`redis://h/one` names a database that is no number | write its number: `redis://host:6379/1`",
            ),
            (
                "redis://h?db=-1",
                "the option `db` cannot be `-1` | write a number",
            ),
            (
                "unix://h/run/redis.sock",
                "`unix://h/run/redis.sock` names no socket | write three slashes: `unix:///run/redis/redis.sock?db=0`",
            ),
            (
                "unix://",
                "`unix://` names no socket | write three slashes: `unix:///run/redis/redis.sock?db=0`",
            ),
            (
                "rediss://h?ssl_cert_reqs=maybe",
                "the option `ssl_cert_reqs` cannot be `maybe` | write `required` or `none`",
            ),
            (
                "rediss://h?ssl_keyfile=/k",
                "`ssl_keyfile` is the key of no certificate | name the certificate, too: `ssl_certfile=/path/to/client.pem`",
            ),
            (
                "redis://h?ttl=soon",
                "the option `ttl` cannot be `soon` | write for example `90s`, `12h`, `7d` or `4w`",
            ),
        ] {
            assert_eq!(describe(text), expected, "{text}");
        }
    }
}
