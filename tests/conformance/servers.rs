// SPDX-License-Identifier: Apache-2.0
//! Which servers the drivers are checked on: what the environment names.
//!
//! `OSPROFILER_TEST_REDIS`, for the driver `redis`, holds a line for each server: `Redis 7.0.15|redis://127.0.0.1:1234/{}`,
//! its name and version, a bar, and the connection string of a store, with `{}` for a number that makes it another
//! store. `tests/servers/stores.py` starts the servers and sets these, and `OSPROFILER_TEST_SERVERS` to say that none may be
//! missing.

use std::cell::Cell;
use std::env;

use osprofiler::driver::ConnectionString;
use osprofiler::driver::registry::Implementation;

/// A server to check a driver on.
pub(crate) struct Server {
    /// Its name and version, for the table.
    pub(crate) name: String,
    store: String,
}

impl Server {
    /// A connection string to another empty store of it at each call.
    pub(crate) fn stores(&self) -> Box<dyn Fn() -> String> {
        let (next, store) = (Cell::new(0), self.store.clone());
        Box::new(move || {
            next.set(next.get() + 1);
            store.replace("{}", &next.get().to_string())
        })
    }
}

/// Whether a driver's store is a server: its connection strings name a host.
pub(crate) fn is_needed(implementation: &Implementation) -> bool {
    let example = ConnectionString::parse(implementation.example).expect("an example is one");
    !example.authority().is_empty() || example.path().is_empty()
}

/// Whether a driver without a server fails.
pub(crate) fn are_required() -> bool {
    env::var_os("OSPROFILER_TEST_SERVERS").is_some()
}

/// The servers of the driver of that name.
pub(crate) fn of(driver: &str) -> Vec<Server> {
    let variable = format!("OSPROFILER_TEST_{}", driver.to_uppercase());
    let lines = env::var(variable).unwrap_or_default();
    let server = |line: &str| {
        let (name, store) = line.split_once('|').expect("a name, a bar, a store");
        Server {
            name: name.trim().to_owned(),
            store: store.trim().to_owned(),
        }
    };
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    lines.map(server).collect()
}
