// SPDX-License-Identifier: Apache-2.0
//! Being connected: to the server that the settings name or the sentinels know, with a time limit on everything.
//!
//! A connection is made by the first call that needs it, in the process and thread that use it, and dropped after any error,
//! so that no late answer is ever taken for another's. One that the server closed meanwhile (idle for too long, restarted) is
//! replaced without anybody noticing: what is sent twice is read once.

use std::path::Path;
use std::time::Duration;

use ::redis::io::tcp::TcpSettings;
use ::redis::{
    Client, ClientTlsConfig, Cmd, Connection, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, cmd,
};
use rustls::crypto::{CryptoProvider, ring};

use super::settings::{Address, Login, Place, Settings, Tls, Trust};
use super::{errors, sentinel};
use crate::Result;

/// A server that is connected to when it is needed.
pub(super) struct Server {
    pub(super) settings: Settings,
    connection: Option<Connection>,
}

impl Server {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            connection: None,
        }
    }

    /// Does `work` on the server; `action` as in "cannot {action} `redis://...`: ...". The work may be begun twice.
    pub(super) fn run<T>(
        &mut self,
        action: &str,
        mut work: impl FnMut(&mut Connection, &Settings) -> RedisResult<T>,
    ) -> Result<T> {
        if let Some(mut connection) = self.connection.take() {
            match work(&mut connection, &self.settings) {
                Ok(result) => {
                    self.connection = Some(connection);
                    return Ok(result);
                }
                Err(error) if error.is_connection_dropped() => {}
                Err(error) => return Err(errors::sort(action, &self.settings, &error)),
            }
        }
        let mut connection = open(action, &self.settings)?;
        let result = work(&mut connection, &self.settings)
            .map_err(|error| errors::sort(action, &self.settings, &error))?;
        self.connection = Some(connection);
        Ok(result)
    }
}

fn open(action: &str, settings: &Settings) -> Result<Connection> {
    let connected = match &settings.place {
        Place::Host(address) => connect_to_server(settings, address),
        Place::Socket(path) => log_in(settings, ConnectionAddr::Unix(path.clone())),
        Place::Sentinels {
            addresses,
            master,
            login,
        } => return sentinel::connect_to_master(action, settings, addresses, master, login),
    };
    connected.map_err(|error| errors::sort(action, settings, &error))
}

/// A connection to the server at `address`, which may be used for notifications.
pub(super) fn connect_to_server(settings: &Settings, address: &Address) -> RedisResult<Connection> {
    log_in(settings, tcp(settings, address))
}

/// A connection to the sentinel at `address`.
pub(super) fn connect_to_sentinel(
    settings: &Settings,
    address: &Address,
    login: &Login,
) -> RedisResult<Connection> {
    let mut connection = connect(settings, tcp(settings, address), settings.connect_timeout)?;
    authenticate(&mut connection, login)?;
    Ok(connection)
}

fn log_in(settings: &Settings, address: ConnectionAddr) -> RedisResult<Connection> {
    let mut connection = connect(settings, address, settings.answer_timeout)?;
    authenticate(&mut connection, &settings.login)?;
    if settings.database != 0 {
        cmd("SELECT").arg(settings.database).exec(&mut connection)?;
    }
    Ok(connection)
}

fn tcp(settings: &Settings, address: &Address) -> ConnectionAddr {
    let Address { host, port } = address.clone();
    match &settings.tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(tls) => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: tls.trust == Trust::Nobody,
            tls_params: None,
        },
    }
}

fn connect(
    settings: &Settings,
    address: ConnectionAddr,
    answer_timeout: Duration,
) -> RedisResult<Connection> {
    // Who we are comes later, as commands of our own: their errors keep the server's words.
    let anonymous = RedisConnectionInfo::default().set_skip_set_lib_name();
    // The end of a batch would wait until the server has acknowledged what came before it, which takes 40 ms.
    let at_once = TcpSettings::default().set_nodelay(true);
    let mut info = address
        .into_connection_info()?
        .set_redis_settings(anonymous)
        .set_tcp_settings(at_once);
    if let Some(tls) = &settings.tls {
        info = with_certificates(info, tls)?;
    }
    let connection = Client::open(info)?.get_connection_with_timeout(settings.connect_timeout)?;
    connection.set_read_timeout(Some(answer_timeout))?;
    connection.set_write_timeout(Some(answer_timeout))?;
    Ok(connection)
}

fn with_certificates(info: ConnectionInfo, tls: &Tls) -> RedisResult<ConnectionInfo> {
    // rustls asks for the process's provider, and panics where a program links several and has chosen none.
    if CryptoProvider::get_default().is_none() {
        let _ = ring::default_provider().install_default();
    }
    let certificates = TlsCertificates {
        client_tls: match &tls.identity {
            None => None,
            Some((certificate, key)) => Some(ClientTlsConfig {
                client_cert: read(certificate)?,
                client_key: read(key)?,
            }),
        },
        root_cert: match &tls.authorities {
            None => None,
            Some(path) => Some(read(path)?),
        },
    };
    let client = Client::build_with_tls(info, certificates)?;
    let info = client.get_connection_info().clone();
    let mut address = info.addr().clone();
    address.set_danger_accept_invalid_hostnames(tls.trust == Trust::Authority);
    Ok(info.set_addr(address))
}

fn read(path: &Path) -> RedisResult<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        let detail = format!("cannot read `{}`: {error}", path.display());
        RedisError::from((ErrorKind::InvalidClientConfig, "certificates", detail))
    })
}

fn authenticate(connection: &mut Connection, login: &Login) -> RedisResult<()> {
    let mut command: Cmd = cmd("AUTH");
    match (&login.user, &login.password) {
        (_, None) => return Ok(()),
        (None, Some(password)) => command.arg(password),
        (Some(user), Some(password)) => command.arg(user).arg(password),
    };
    command.exec(connection)
}
