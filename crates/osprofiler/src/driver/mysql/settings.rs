// SPDX-License-Identifier: Apache-2.0
//! What a connection string says, for the client of MySQL: where the server is, who to be, whom to trust.
//!
//! In: a connection string whose options are known to be the driver's. Out: checked values, or one error that says what would
//! do. Options of the Python clients' that mean the same as one of ours are read here; ours go first. Opens nothing.

use std::path::PathBuf;
use std::time::Duration;

use mysql::{ClientIdentity, OptsBuilder, SslOpts};

use crate::driver::options::refused;
use crate::driver::sql::address::{self, Address};
use crate::driver::sql::settings;
use crate::driver::{ConnectionString, options, tls};
use crate::{Error, ErrorKind, Result};

const PORT: u16 = 3306;
/// The most that is taken from the server for one row, and given to it.
pub(super) const ROW_BYTES: usize = 64 << 20;

/// A connection string, understood.
pub(super) struct Settings {
    /// For messages, without secrets.
    pub(super) shown: String,
    /// How to reach each of the servers; the first that answers is taken.
    pub(super) servers: Vec<OptsBuilder>,
    pub(super) tls: Tls,
    /// What an answer may take.
    pub(super) answer_timeout: Duration,
    pub(super) ttl: Option<Duration>,
}

/// Whether to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    Never,
    /// Where the server has it.
    Preferred(SslOpts),
    Required(SslOpts),
}

impl Settings {
    pub(super) fn of(connection: &ConnectionString) -> Result<Self> {
        let option = |name| connection.option(name);
        let database = connection.path().trim_start_matches('/');
        if database.is_empty() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("`{connection}` names no database"),
            )
            .with_help(
                "write it after the host: `mysql://osprofiler:PASSWORD@db.example/osprofiler`",
            ));
        }
        let answer = ["socket_timeout", "read_timeout"]
            .into_iter()
            .find(|name| option(name).is_some())
            .unwrap_or("socket_timeout");
        let answer_timeout = options::seconds(connection, answer, Duration::from_secs(5))?;
        let connect_timeout =
            options::seconds(connection, "connect_timeout", Duration::from_secs(2))?;
        let write_timeout = options::seconds(connection, "write_timeout", answer_timeout)?;
        let password = connection
            .password()
            .or(settings::first(connection, &["password", "passwd"]));
        let common = OptsBuilder::new()
            .user(connection.user().or(option("user")))
            .pass(password)
            .db_name(Some(database))
            // A socket that the server names may be another machine's.
            .prefer_socket(false)
            .max_allowed_packet(Some(ROW_BYTES))
            .stmt_cache_size(0)
            .tcp_connect_timeout(Some(connect_timeout))
            .read_timeout(Some(answer_timeout))
            .write_timeout(Some(write_timeout));
        let servers = addresses(connection)?
            .into_iter()
            .map(|address| match address {
                Address::Host(host, port) => {
                    common.clone().ip_or_hostname(Some(host)).tcp_port(port)
                }
                Address::Path(path) => common.clone().socket(Some(path)),
            })
            .collect();
        Ok(Self {
            shown: connection.to_string(),
            servers,
            tls: tls(connection)?,
            answer_timeout,
            ttl: options::span(connection, "ttl")?,
        })
    }
}

fn addresses(connection: &ConnectionString) -> Result<Vec<Address>> {
    let port = settings::port(connection, PORT)?;
    if let Some(socket) = connection.option("unix_socket") {
        return Ok(vec![Address::Path(socket.to_owned())]);
    }
    let host = connection.option("host").unwrap_or_default();
    let list = match connection.authority() {
        "" => host,
        authority => authority,
    };
    let mut addresses = address::parse_list(connection, list, port)?;
    if addresses.is_empty() {
        addresses.push(Address::Host("localhost".to_owned(), port));
    }
    Ok(addresses)
}

/// As the Python clients have it: no TLS without a word of it. Authorities mean that the server has to be proven.
fn tls(connection: &ConnectionString) -> Result<Tls> {
    let option = |name| connection.option(name);
    let authorities = settings::first(connection, &["tls_ca_file", "ssl_ca"]);
    let is_on = |name, default| options::is_on(connection, name, default);
    let verify = is_on("tls_verify", true)? && is_on("ssl_verify_cert", true)?;
    let verify_name = is_on("ssl_check_hostname", true)? && is_on("ssl_verify_identity", true)?;
    let mode = option("ssl_mode").map(str::to_ascii_uppercase);
    let is_meant = ["tls_ca_file", "tls_verify", "ssl_ca", "ssl_cert"]
        .iter()
        .any(|name| option(name).is_some())
        || mode.as_deref() == Some("VERIFY_IDENTITY");
    if is_on("ssl_disabled", false)? {
        return Ok(Tls::Never);
    }
    let identity =
        settings::identity(connection, ["ssl_cert", "ssl_key"])?.map(|(certificate, key)| {
            ClientIdentity::new(PathBuf::from(certificate), PathBuf::from(key))
        });
    let options = |anybody: bool, any_name: bool| {
        SslOpts::default()
            .with_client_identity(identity.clone())
            .with_root_cert_path(
                authorities
                    .map(PathBuf::from)
                    .or_else(tls::system_authorities),
            )
            .with_danger_accept_invalid_certs(anybody)
            .with_danger_skip_domain_validation(any_name)
    };
    Ok(match mode.as_deref() {
        None | Some("VERIFY_IDENTITY") if is_meant && verify && !verify_name => {
            return Err(any_name("the option `ssl_check_hostname` cannot be off"));
        }
        None if is_meant => Tls::Required(options(!verify, !verify_name)),
        None | Some("DISABLED") => Tls::Never,
        Some("PREFERRED") => Tls::Preferred(options(true, true)),
        Some("REQUIRED") => Tls::Required(options(!verify || authorities.is_none(), true)),
        Some("VERIFY_CA") if verify => {
            return Err(any_name("the option `ssl_mode` cannot be `VERIFY_CA`"));
        }
        Some("VERIFY_CA") => Tls::Required(options(true, true)),
        Some("VERIFY_IDENTITY") => Tls::Required(options(!verify, !verify_name)),
        Some(text) => {
            let help =
                "write `DISABLED`, `PREFERRED`, `REQUIRED`, `VERIFY_CA` or `VERIFY_IDENTITY`";
            return Err(refused("ssl_mode", text, help));
        }
    })
}

/// The client trusts public authorities beside those it is given, and has no setting against that. They certify anybody, so without
/// a look at the name a certificate proves nothing.
fn any_name(what: &str) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("{what}: public authorities are trusted beside your own, and they certify anybody"),
    )
    .with_help(
        "write `ssl_mode=VERIFY_IDENTITY` and name the server as its certificate does; `ssl_mode=REQUIRED` encrypts without a proof",
    )
}

#[cfg(test)]
mod tests {
    use mysql::Opts;

    use super::*;

    fn of(text: &str) -> Result<Settings> {
        Settings::of(&ConnectionString::parse(text).unwrap())
    }

    #[test]
    fn trust_is_the_python_clients_and_ours_is_to_verify() {
        // Whether TLS is required, any certificate will do, any name will do.
        for (options, expected) in [
            ("", None),
            ("ssl_disabled=true&ssl_ca=/ca", None),
            ("ssl_mode=DISABLED", None),
            ("ssl_mode=preferred", Some((false, true, true))),
            ("ssl_mode=REQUIRED", Some((true, true, true))),
            ("ssl_mode=REQUIRED&ssl_ca=/ca", Some((true, false, true))),
            (
                "ssl_mode=VERIFY_CA&tls_verify=false",
                Some((true, true, true)),
            ),
            ("ssl_mode=VERIFY_IDENTITY", Some((true, false, false))),
            ("ssl_ca=/ca", Some((true, false, false))),
            (
                "ssl_ca=/ca&ssl_check_hostname=false&tls_verify=false",
                Some((true, true, true)),
            ),
            (
                "ssl_ca=/ca&ssl_verify_cert=false",
                Some((true, true, false)),
            ),
            ("tls_ca_file=/ca", Some((true, false, false))),
            ("tls_verify=false", Some((true, true, false))),
            ("tls_verify=true", Some((true, false, false))),
        ] {
            let settings = of(&format!("mysql://h/d?{options}")).unwrap();
            let found = match &settings.tls {
                Tls::Never => None,
                Tls::Preferred(tls) => Some((false, tls)),
                Tls::Required(tls) => Some((true, tls)),
            };
            let found = found.map(|(required, tls)| {
                let (anybody, any_name) =
                    (tls.accept_invalid_certs(), tls.skip_domain_validation());
                (required, anybody, any_name)
            });
            assert_eq!(found, expected, "{options}");
        }
    }

    #[test]
    fn servers_are_hosts_or_sockets() {
        for (text, expected) in [
            ("mysql:///d", "localhost:3306 None"),
            ("mysql://h/d", "h:3306 None"),
            ("mysql://a:1,[::1]/d", "a:1 None, ::1:3306 None"),
            ("mysql:///d?host=h&port=7", "h:7 None"),
            ("mysql://h/d?unix_socket=/s", r#"localhost:3306 Some("/s")"#),
        ] {
            let shown: Vec<String> = of(text)
                .unwrap()
                .servers
                .into_iter()
                .map(|server| {
                    let server = Opts::from(server);
                    let (host, port) = (server.get_ip_or_hostname(), server.get_tcp_port());
                    format!("{host}:{port} {:?}", server.get_socket())
                })
                .collect();
            assert_eq!(shown.join(", "), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (text, expected) in [
            ("mysql://h", "`mysql://h` names no database"),
            ("mysql://h:x/d", "names a server that cannot be: `h:x`"),
            ("mysql://h/d?port=x", "`port` cannot be `x`"),
            ("mysql://h/d?ssl_mode=ON", "`ssl_mode` cannot be `ON`"),
            (
                "mysql://h/d?ssl_mode=verify_ca&ssl_ca=/ca",
                "cannot be `VERIFY_CA`: public authorities are trusted",
            ),
            (
                "mysql://h/d?ssl_ca=/ca&ssl_check_hostname=false",
                "`ssl_check_hostname` cannot be off: public authorities",
            ),
            (
                "mysql://h/d?ssl_mode=VERIFY_IDENTITY&ssl_verify_identity=no",
                "`ssl_check_hostname` cannot be off: public authorities",
            ),
            ("mysql://h/d?ssl_key=/k", "`ssl_cert` and `ssl_key`"),
            ("mysql://h/d?read_timeout=0", "`read_timeout` cannot be `0`"),
        ] {
            let error = of(text).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
