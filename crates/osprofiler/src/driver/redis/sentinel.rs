// SPDX-License-Identifier: Apache-2.0
//! Finding the server that sentinels know: each is asked in turn until one leads to a server that is a master.
//!
//! A sentinel that is down, slow or not yet told of a fail-over costs its time-out and no more. The client's own sentinels
//! are not used: they wait for ever.

use ::redis::{Connection, RedisResult, Value, cmd};

use super::connection::{connect_to_sentinel, connect_to_server};
use super::errors;
use super::settings::{Address, Login, Settings};
use crate::{Error, ErrorKind, Result};

/// A connection to the server that is the master of that name at this moment.
pub(super) fn connect_to_master(
    action: &str,
    settings: &Settings,
    sentinels: &[Address],
    master: &str,
    login: &Login,
) -> Result<Connection> {
    let mut failures = Failures::default();
    for sentinel in sentinels {
        let address = match ask(settings, sentinel, master, login) {
            Ok(Some(address)) => address,
            Ok(None) => {
                failures.add(
                    ErrorKind::NotFound,
                    format!("the sentinel `{sentinel}` knows no master `{master}`"),
                );
                continue;
            }
            Err(error) => {
                let cause = errors::explain(settings, &error);
                failures.add(
                    cause.kind,
                    format!("the sentinel `{sentinel}`: {}", cause.why),
                );
                continue;
            }
        };
        match connect_to_server(settings, &address).and_then(check_role) {
            Ok(Some(connection)) => return Ok(connection),
            Ok(None) => failures.add(
                ErrorKind::Unavailable,
                format!(
                    "`{address}`, which the sentinel `{sentinel}` names, is no master any more"
                ),
            ),
            Err(error) => {
                let cause = errors::explain(settings, &error);
                failures.add(cause.kind, format!("the master `{address}`: {}", cause.why));
            }
        }
    }
    Err(failures.into_error(action, &settings.shown))
}

/// The address that a sentinel gives; `None` if it knows no such name.
fn ask(
    settings: &Settings,
    sentinel: &Address,
    master: &str,
    login: &Login,
) -> RedisResult<Option<Address>> {
    let mut connection = connect_to_sentinel(settings, sentinel, login)?;
    let answer: Option<(String, u16)> = cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(master)
        .query(&mut connection)?;
    Ok(answer.map(|(host, port)| Address { host, port }))
}

/// The connection, if its server says that it is a master, or may not say what it is.
fn check_role(mut connection: Connection) -> RedisResult<Option<Connection>> {
    let role: RedisResult<Vec<Value>> = cmd("ROLE").query(&mut connection);
    let is_replica = match role {
        Ok(role) => matches!(role.first(), Some(Value::BulkString(name)) if name == b"slave"),
        Err(error) if error.code() == Some("NOPERM") => false,
        Err(error) => return Err(error),
    };
    Ok((!is_replica).then_some(connection))
}

/// What each sentinel led to.
#[derive(Default)]
struct Failures {
    kinds: Vec<ErrorKind>,
    texts: Vec<String>,
}

impl Failures {
    fn add(&mut self, kind: ErrorKind, text: String) {
        self.kinds.push(kind);
        if !self.texts.contains(&text) {
            self.texts.push(text);
        }
    }

    /// One error for all: of the first failure's kind if none of them passes.
    fn into_error(self, action: &str, shown: &str) -> Error {
        let kind = match self.kinds.first() {
            Some(&first) if !self.kinds.contains(&ErrorKind::Unavailable) => first,
            _ => ErrorKind::Unavailable,
        };
        Error::new(
            kind,
            format!("cannot {action} `{shown}`: {}", self.texts.join("; ")),
        )
        .set_temporary(kind != ErrorKind::Usage)
        .with_help("see what a sentinel knows: `redis-cli -p 26379 sentinel masters`")
    }
}
