// SPDX-License-Identifier: Apache-2.0
//! A client for stores that speak HTTP: on the thread that asks, without threads beside it.
//!
//! In: settings, and whom to trust. Out: a client of `ureq`'s. No redirection is followed and no proxy asked: what was meant
//! for the store goes to nobody else. Names are looked up without a time-out, as long as the system's resolver takes.

mod transport;

#[cfg(test)]
pub(super) mod scripted;

use std::sync::Arc;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use self::transport::{Names, Tls};
use super::tls::Trust;
use crate::Result;

/// The settings that every client has.
pub(super) fn config() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("osprofiler/", env!("CARGO_PKG_VERSION")))
}

/// A client of these settings, which speaks TLS if it is told whom to trust. Reads the certificates of authorities, opens no
/// connection, and starts no thread, ever.
pub(super) fn agent(config: ConfigBuilder<AgentScope>, trust: Option<&Trust>) -> Result<Agent> {
    let tls = trust.map(Trust::client).transpose()?.map(Arc::new);
    let connector = ().chain(TcpConnector::default()).chain(Tls(tls));
    Ok(Agent::with_parts(config.build(), connector, Names))
}
