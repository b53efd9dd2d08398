// SPDX-License-Identifier: Apache-2.0
//! The connection to a MongoDB server: what the connection string says, the client it makes, calls with a deadline.
//!
//! The options of the connection string are MongoDB's own and go to its client as they are, and so does what stands before them;
//! ours are taken out. A call ends within its deadline whatever the server does. Between two calls nothing runs: the
//! client's own tasks go on in the next one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{Acknowledgment, ClientOptions, ServerMonitoringMode, Tls, TlsOptions};
use mongodb::{Client, Database};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::errors::{self, Failure};
use crate::driver::runtime::Runtime;
use crate::driver::{ConnectionString, options, tls};
use crate::{Error, ErrorKind, Result};

/// What a connection string says.
pub(super) struct Settings {
    /// For messages: it shows no password.
    shown: ConnectionString,
    /// For the client alone: it holds the password.
    uri: String,
    database: String,
    connect_timeout: Duration,
    answer_timeout: Option<Duration>,
    /// How long the store keeps what is written.
    pub(super) ttl: Option<Duration>,
    authorities: Option<String>,
    verify: bool,
}

impl Settings {
    pub(super) fn new(connection: &ConnectionString) -> Result<Self> {
        let timeout = |name, clients: &[&str]| -> Result<Option<Duration>> {
            match connection.option(name) {
                Some(_) => options::seconds(connection, name, Duration::ZERO).map(Some),
                None => Ok(clients.iter().find_map(|name| millis(connection, name))),
            }
        };
        let settings = Self {
            shown: connection.clone(),
            uri: uri(connection),
            database: connection
                .option("database")
                .unwrap_or("osprofiler")
                .to_owned(),
            connect_timeout: timeout(
                "connect_timeout",
                &["serverSelectionTimeoutMS", "connectTimeoutMS"],
            )?
            .unwrap_or(CONNECT_TIMEOUT),
            answer_timeout: timeout("socket_timeout", &["socketTimeoutMS"])?,
            ttl: options::span(connection, "ttl")?,
            authorities: connection.option("tls_ca_file").map(str::to_owned),
            verify: options::is_on(connection, "tls_verify", true)?,
        };
        if settings.database.is_empty()
            || settings.database.len() > 63
            || settings
                .database
                .contains(['/', '\\', '.', ' ', '"', '$', '\0'])
        {
            return Err(Error::new(
                ErrorKind::Usage,
                "the option `database` is no name of a database",
            )
            .with_help("write letters and digits, at most 63: `database=osprofiler`"));
        }
        mongodb::options::ConnectionString::parse(&settings.uri)
            .map_err(|error| errors::sort("use", connection, Failure::of(error)))?;
        Ok(settings)
    }

    async fn client_options(&self) -> mongodb::error::Result<ClientOptions> {
        let mut options = ClientOptions::parse(&self.uri).await?;
        // A server that does not answer is given up a little sooner than the search for one, so that this knows why.
        options.connect_timeout = Some(self.connect_timeout.mul_f32(0.75));
        options.server_selection_timeout = Some(self.connect_timeout);
        options
            .app_name
            .get_or_insert_with(|| "osprofiler".to_owned());
        // Nobody listens between two calls, so a server that tells of changes by itself would cost a connection for nothing.
        options
            .server_monitoring_mode
            .get_or_insert(ServerMonitoringMode::Poll);
        // What nobody acknowledges, nobody can count as stored.
        if let Some(concern) = &mut options.write_concern
            && concern.w == Some(Acknowledgment::Nodes(0))
        {
            concern.w = Some(Acknowledgment::Nodes(1));
        }
        if self.authorities.is_some() || !self.verify {
            let tls = options
                .tls
                .get_or_insert_with(|| Tls::Enabled(TlsOptions::default()));
            if let Tls::Enabled(tls) = tls {
                if let Some(path) = &self.authorities {
                    tls.ca_file_path = Some(path.into());
                }
                if !self.verify {
                    tls.allow_invalid_certificates = Some(true);
                }
            }
        }
        if let Some(Tls::Enabled(tls)) = &mut options.tls
            && tls.ca_file_path.is_none()
        {
            tls.ca_file_path = tls::system_authorities();
        }
        Ok(options)
    }
}

/// What finding a server and connecting may take: less than the end of a process waits, so that it says why it lost something.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// A time-out of MongoDB's own, in milliseconds; none if it is none.
fn millis(connection: &ConnectionString, name: &str) -> Option<Duration> {
    let mut options = connection.options();
    let (_, text) = options.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
    let millis = text.parse().ok().filter(|&millis| millis > 0)?;
    Some(Duration::from_millis(millis))
}

/// The connection string without the options that are ours or only Python's, for the client to read. Written anew, so that a
/// password need not be percent-encoded by whoever wrote it.
fn uri(connection: &ConnectionString) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut uri = format!("{}://", connection.scheme());
    if connection.user().is_some() || connection.password().is_some() {
        uri.push_str(&encode(connection.user().unwrap_or_default()));
        if let Some(password) = connection.password() {
            uri.push(':');
            uri.push_str(&encode(password));
        }
        uri.push('@');
    }
    uri.push_str(connection.authority());
    uri.push('/');
    uri.push_str(&encode(connection.path().trim_start_matches('/')));
    let mut separator = '?';
    for (name, value) in connection.options() {
        if super::OWN_OPTIONS.contains(&name) || super::is_passed_over(name) {
            continue;
        }
        uri.push(separator);
        separator = '&';
        for part in [name, "=", &encode(value)] {
            uri.push_str(part);
        }
    }
    uri
}

/// A connection, made at the first call.
pub(super) struct Connection {
    pub(super) settings: Settings,
    open: Option<Open>,
}

struct Open {
    // In this order: the client's end is work for the runtime.
    database: Database,
    runtime: Runtime,
    last_failure: LastFailure,
}

/// Why the client last failed to reach a server; what it says of its search alone names no cause.
type LastFailure = Arc<Mutex<Option<mongodb::error::Error>>>;

/// A call on the store.
pub(super) struct Call {
    /// As in "cannot {action} `mongodb://host`".
    pub(super) action: &'static str,
    /// How long the answer may take where the connection string does not say.
    pub(super) answer_timeout: Duration,
}

impl Connection {
    pub(super) fn new(connection: &ConnectionString) -> Result<Self> {
        Ok(Self {
            settings: Settings::new(connection)?,
            open: None,
        })
    }

    /// The error for a part of a call that the server refused with a code.
    pub(super) fn refused(&self, call: &Call, code: i32, message: &str) -> Error {
        errors::sort_code(code, message).told(call.action, &self.settings.shown)
    }

    /// The error for a call that fewer servers took part in than were asked to.
    pub(super) fn on_too_few(&self, call: &Call, code: i32, message: &str) -> Error {
        errors::on_too_few(code, message).told(call.action, &self.settings.shown)
    }

    /// How long the answer to a call may take.
    pub(super) fn answer_timeout(&self, call: &Call) -> Duration {
        self.settings.answer_timeout.unwrap_or(call.answer_timeout)
    }

    /// Does `work` on the database, within the time that connecting and `call` may take together.
    pub(super) fn run<T>(
        &mut self,
        call: &Call,
        work: impl AsyncFnOnce(&Database) -> mongodb::error::Result<T>,
    ) -> Result<T> {
        let answer_timeout = self.answer_timeout(call);
        let settings = &self.settings;
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Open::new(settings)?),
        };
        let take = |failure: &LastFailure| {
            failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        };
        // What an earlier call failed of says nothing about this one.
        take(&open.last_failure);
        let deadline = settings.connect_timeout + answer_timeout;
        let done = open
            .runtime
            .run(deadline, async { Ok(work(&open.database).await) });
        let failure = match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => Failure {
                cause: take(&open.last_failure),
                error: Some(error),
                text: String::new(),
            },
            Err(late) => Failure::told(late.to_string()),
        };
        Err(errors::sort(call.action, &settings.shown, failure))
    }
}

impl Open {
    fn new(settings: &Settings) -> Result<Self> {
        let runtime = Runtime::new()?;
        let last_failure = LastFailure::default();
        let told = Arc::clone(&last_failure);
        // Of a `mongodb+srv` string, this asks the name server.
        let made = runtime.run(settings.connect_timeout, async {
            Ok(async {
                let mut options = settings.client_options().await?;
                options.sdam_event_handler = Some(EventHandler::callback(move |event| {
                    if let SdamEvent::ServerHeartbeatFailed(event) = event {
                        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(event.failure);
                    }
                }));
                Client::with_options(options)
            }
            .await)
        });
        let failure = match made {
            Ok(Ok(client)) => {
                return Ok(Self {
                    database: client.database(&settings.database),
                    runtime,
                    last_failure,
                });
            }
            Ok(Err(error)) => Failure::of(error),
            Err(late) => Failure::told(late.to_string()),
        };
        Err(errors::sort("reach", &settings.shown, failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let connection = ConnectionString::parse(text).unwrap();
        assert_eq!(uri(&connection), expected, "{text}");
    }

    #[test]
    fn the_client_gets_what_is_its_own() {
        for (text, expected) in [
            ("mongodb://h", "mongodb://h/"),
            (
                "mongodb://h:1,b,[::1]:2/users",
                "mongodb://h:1,b,[::1]:2/users",
            ),
            (
                "mongodb://u:p%40@x:y/z@h/?ttl=1d&replicaSet=r&database=d",
                "mongodb://u:p%40%40x%3Ay%2Fz@h/?replicaSet=r",
            ),
            (
                "mongodb+srv://u:@h/?TLS=false&compressors=zlib&readPreferenceTags=dc:ny,rack:1",
                "mongodb+srv://u:@h/?TLS=false&readPreferenceTags=dc%3Any%2Crack%3A1",
            ),
            (
                "mongodb://%2Ftmp%2Fmongodb.sock",
                "mongodb://%2Ftmp%2Fmongodb.sock/",
            ),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn every_option_that_is_known_is_one_of_the_client() {
        for name in super::super::CLIENT_OPTIONS {
            let value = match name {
                "authMechanism" => "SCRAM-SHA-256",
                "authMechanismProperties" => "a:b",
                "readPreference" => "nearest",
                "readPreferenceTags" => "a:b&readPreference=nearest",
                "maxStalenessSeconds" => "100&readPreference=nearest",
                "serverMonitoringMode" => "poll",
                "srvMaxHosts" => "0",
                "srvServiceName" => "s",
                _ if name.ends_with("MS") || name.contains("Pool") => "1",
                "maxConnecting" | "w" => "1",
                "appName" | "authSource" | "readConcernLevel" | "replicaSet" => "a",
                "tlsCAFile" | "tlsCertificateKeyFile" => "/x",
                _ => "true",
            };
            let scheme = if name.starts_with("srv") {
                "mongodb+srv"
            } else {
                "mongodb"
            };
            let text = format!("{scheme}://u:p@a.b.c/?{name}={value}");
            if let Err(error) = Settings::new(&ConnectionString::parse(&text).unwrap()) {
                panic!("{text}: {error}");
            }
        }
    }

    #[test]
    fn time_outs_are_ours_or_the_clients_or_short() {
        let told = ["connect_timeout", "socket_timeout"].map(|name| {
            let mut options = super::super::OPTIONS.iter();
            let option = options.find(|option| option.name == name).unwrap();
            format!("{name}={}", option.default)
        });
        for (options, connect, answer) in [
            ("", 1_500, 5_000),
            (&*told.join("&"), 1_500, 5_000),
            ("connect_timeout=0.5&socket_timeout=7", 500, 7_000),
            ("connectTimeoutMS=3000&SOCKETTIMEOUTMS=100", 3_000, 100),
            (
                "connectTimeoutMS=3000&serverSelectionTimeoutMS=900",
                900,
                5_000,
            ),
            ("connect_timeout=1&serverSelectionTimeoutMS=0", 1_000, 5_000),
        ] {
            let text = format!("mongodb://h/?{options}");
            let connection = Connection::new(&ConnectionString::parse(&text).unwrap()).unwrap();
            let timeouts = [
                connection.settings.connect_timeout,
                connection.answer_timeout(&super::super::WRITE),
            ];
            assert_eq!(
                timeouts,
                [connect, answer].map(Duration::from_millis),
                "{text}"
            );
        }
    }
}
