// SPDX-License-Identifier: Apache-2.0
//! What a connection string says, for PostgreSQL's client: where the server is, who to be, whom to trust.
//!
//! In: a connection string whose options are known to be the driver's. Out: checked values, or one error that says what would
//! do. Options of libpq's that mean the same as one of ours are read here; ours go first. Opens nothing.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, LoadBalanceHosts, SslMode, TargetSessionAttrs};

use crate::driver::options::refused;
use crate::driver::sql::address::{self, Address};
use crate::driver::sql::settings;
use crate::driver::tls::Trust;
use crate::driver::{ConnectionString, options};
use crate::{Error, ErrorKind, Result};

const PORT: u16 = 5432;
/// Where a server's socket is if no host is named: Debian's and Red Hat's place.
const SOCKET_FOLDER: &str = "/run/postgresql";

/// A connection string, understood.
pub(super) struct Settings {
    /// For messages, without secrets.
    pub(super) shown: String,
    pub(super) config: Config,
    /// `None` if there is to be no TLS.
    pub(super) trust: Option<Trust>,
    /// What making a connection may take, to all hosts together.
    pub(super) connect_timeout: Duration,
    /// What an answer may take.
    pub(super) answer_timeout: Duration,
    pub(super) ttl: Option<Duration>,
}

impl Settings {
    pub(super) fn of(connection: &ConnectionString) -> Result<Self> {
        let mut config = Config::new();
        let hosts = add_hosts(&mut config, connection)?;
        let path = connection.path().trim_start_matches('/');
        let path = (!path.is_empty()).then_some(path);
        if let Some(user) = connection.user().or(connection.option("user")) {
            config.user(user);
        }
        if let Some(password) = connection.password().or(connection.option("password")) {
            config.password(password);
        }
        if let Some(database) = path.or(connection.option("dbname")) {
            config.dbname(database);
        }
        config.application_name(
            connection
                .option("application_name")
                .unwrap_or("osprofiler"),
        );
        if let Some(options) = connection.option("options") {
            config.options(options);
        }
        add_choices(&mut config, connection)?;
        let trust = add_tls(&mut config, connection)?;
        let each = options::seconds(connection, "connect_timeout", Duration::from_secs(2))?;
        config.connect_timeout(each);
        Ok(Self {
            shown: connection.to_string(),
            config,
            trust,
            connect_timeout: each.saturating_mul(hosts),
            answer_timeout: options::seconds(connection, "socket_timeout", Duration::from_secs(5))?,
            ttl: options::span(connection, "ttl")?,
        })
    }
}

/// Adds the servers, and returns how many there are.
fn add_hosts(config: &mut Config, connection: &ConnectionString) -> Result<u32> {
    let port = settings::port(connection, PORT)?;
    let named = connection
        .options()
        .filter(|(name, _)| *name == "host")
        .map(|(_, value)| value);
    let mut hosts = 0;
    for list in std::iter::once(connection.authority()).chain(named) {
        for address in address::parse_list(connection, list, port)? {
            match address {
                Address::Host(host, port) => config.host(host).port(port),
                Address::Path(folder) => config.host_path(folder).port(port),
            };
            hosts += 1;
        }
    }
    if hosts == 0 {
        config.host_path(SOCKET_FOLDER).port(port);
        hosts = 1;
    }
    Ok(hosts)
}

/// Adds what has a few words to choose from.
fn add_choices(config: &mut Config, connection: &ConnectionString) -> Result<()> {
    match connection.option("target_session_attrs") {
        None | Some("any") => {}
        Some("read-write" | "primary") => {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Some("read-only" | "standby") => {
            config.target_session_attrs(TargetSessionAttrs::ReadOnly);
        }
        Some(text) => {
            let help = "write `any`, `read-write` or `read-only`";
            return Err(refused("target_session_attrs", text, help));
        }
    }
    match connection.option("load_balance_hosts") {
        None | Some("disable") => {}
        Some("random") => {
            config.load_balance_hosts(LoadBalanceHosts::Random);
        }
        Some(text) => {
            let help = "write `disable` or `random`";
            return Err(refused("load_balance_hosts", text, help));
        }
    }
    match connection.option("channel_binding") {
        None | Some("prefer") => {}
        Some("disable") => {
            config.channel_binding(ChannelBinding::Disable);
        }
        Some("require") => {
            config.channel_binding(ChannelBinding::Require);
        }
        Some(text) => {
            let help = "write `prefer`, `disable` or `require`";
            return Err(refused("channel_binding", text, help));
        }
    }
    Ok(())
}

/// Adds whether to speak TLS, and returns whom to trust then. As libpq has it: without a word TLS is taken where the
/// server has it, and the server believed. Options of ours mean that it has to be proven.
fn add_tls(config: &mut Config, connection: &ConnectionString) -> Result<Option<Trust>> {
    let authorities = settings::first(connection, &["tls_ca_file", "sslrootcert"])
        // libpq's word for the system's.
        .filter(|file| *file != "system");
    let verify = options::is_on(connection, "tls_verify", true)?;
    let is_meant = ["tls_ca_file", "tls_verify", "sslrootcert"]
        .iter()
        .any(|name| connection.option(name).is_some());
    let (mode, anybody, any_name) = match connection.option("sslmode") {
        None if is_meant => (SslMode::Require, !verify, false),
        Some("disable") => {
            config.ssl_mode(SslMode::Disable);
            return Ok(None);
        }
        None | Some("allow" | "prefer") => (SslMode::Prefer, true, false),
        // As libpq has it, and warns of.
        Some("require") => (SslMode::Require, !verify || authorities.is_none(), true),
        Some("verify-ca") if verify && authorities.is_none() => {
            return Err(Error::new(
                ErrorKind::Usage,
                "the option `sslmode` cannot be `verify-ca` without an authority of your own: public ones certify anybody",
            )
            .with_help("name its file, `sslrootcert=/path/ca.pem`, or write `sslmode=verify-full`"));
        }
        Some("verify-ca") => (SslMode::Require, !verify, true),
        Some("verify-full") => (SslMode::Require, !verify, false),
        Some(text) => {
            let help = "write `disable`, `prefer`, `require`, `verify-ca` or `verify-full`";
            return Err(refused("sslmode", text, help));
        }
    };
    config.ssl_mode(mode);
    let identity = settings::identity(connection, ["sslcert", "sslkey"])?;
    Ok(Some(Trust {
        authorities: authorities.map(str::to_owned),
        anybody,
        any_name,
        identity,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Settings> {
        Settings::of(&ConnectionString::parse(text).unwrap())
    }

    #[test]
    fn trust_is_libpqs_and_ours_is_to_verify() {
        use SslMode::{Prefer, Require};
        let trust = |authorities: Option<&str>, anybody, any_name| Trust {
            authorities: authorities.map(str::to_owned),
            anybody,
            any_name,
            identity: None,
        };
        for (options, mode, expected) in [
            ("", Prefer, trust(None, true, false)),
            ("sslmode=prefer", Prefer, trust(None, true, false)),
            ("sslmode=require", Require, trust(None, true, true)),
            (
                "sslmode=require&sslrootcert=/ca",
                Require,
                trust(Some("/ca"), false, true),
            ),
            (
                "sslmode=verify-ca&sslrootcert=/ca",
                Require,
                trust(Some("/ca"), false, true),
            ),
            ("sslmode=verify-full", Require, trust(None, false, false)),
            ("sslrootcert=system", Require, trust(None, false, false)),
            ("tls_ca_file=/ca", Require, trust(Some("/ca"), false, false)),
            ("tls_verify=true", Require, trust(None, false, false)),
            ("tls_verify=false", Require, trust(None, true, false)),
        ] {
            let settings = of(&format!("postgresql://h/d?{options}")).unwrap();
            assert_eq!(settings.config.get_ssl_mode(), mode, "{options}");
            assert_eq!(settings.trust, Some(expected), "{options}");
        }
        assert_eq!(of("postgresql://h?sslmode=disable").unwrap().trust, None);
    }

    #[test]
    fn hosts_are_lpqs_or_sqlalchemys() {
        for (text, expected) in [
            ("postgresql://", r#"[Unix("/run/postgresql")] [5432]"#),
            ("postgresql://h/d", r#"[Tcp("h")] [5432]"#),
            (
                "postgresql://a:1,[::1]/d",
                r#"[Tcp("a"), Tcp("::1")] [1, 5432]"#,
            ),
            (
                "postgresql:///d?host=/run/x&port=7",
                r#"[Unix("/run/x")] [7]"#,
            ),
            (
                "postgresql://u@/d?host=a:1&host=b:2",
                r#"[Tcp("a"), Tcp("b")] [1, 2]"#,
            ),
        ] {
            let settings = of(text).unwrap();
            let (hosts, ports) = (settings.config.get_hosts(), settings.config.get_ports());
            assert_eq!(format!("{hosts:?} {ports:?}"), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (text, expected) in [
            ("postgresql://h:x/d", "names a server that cannot be: `h:x`"),
            ("postgresql://h?port=0", "`port` cannot be `0`"),
            ("postgresql://h?sslmode=on", "`sslmode` cannot be `on`"),
            (
                "postgresql://h?sslmode=verify-ca",
                "`verify-ca` without an authority",
            ),
            (
                "postgresql://h?sslmode=verify-ca&sslrootcert=system",
                "`verify-ca` without an authority",
            ),
            ("postgresql://h?sslcert=/c", "`sslcert` and `sslkey`"),
            ("postgresql://h?socket_timeout=x", "`socket_timeout`"),
            (
                "postgresql://h?target_session_attrs=best",
                "`target_session_attrs` cannot be `best`",
            ),
        ] {
            let error = of(text).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
