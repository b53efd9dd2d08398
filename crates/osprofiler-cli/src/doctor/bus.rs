// SPDX-License-Identifier: Apache-2.0
//! Where a service with a configuration sends its notifications: the connection string, completed by the options that its drivers
//! look at, as the Python package completes it.

use std::time::Duration;

use osprofiler::Config;
use osprofiler::driver::{ConnectionString, ConnectionStrings};

use super::{Finding, Level};
use crate::configuration::{BUS_OPTIONS, ConfigOption, Configuration, Kind, PROFILER, switched};

/// What the transports are called that the driver speaks.
const RABBITMQ: [&str; 2] = ["rabbit", "kombu"];

/// The stores; `None`, and a finding, if they are not known, or there are none: what nobody named is sent nothing.
pub(super) fn stores(
    configuration: &Configuration,
    findings: &mut Vec<Finding>,
) -> Option<ConnectionStrings> {
    let option = ConfigOption::find(PROFILER, "connection_string")?;
    if !configuration.is_whole() {
        let text =
            "the service's stores are not known without all of its files: none of them was tried";
        findings.push(Finding::new(Level::Note, text));
        return None;
    }
    if configuration.setting(option).is_none() {
        let why = match configuration.is_enabled() {
            Some(true) => None,
            Some(false) => Some("nothing is traced"),
            None => Some("whether anything is traced is not known"),
        };
        if let Some(why) = why {
            let text = format!(
                "no `connection_string` is named, and {why}: no store of the service was tried"
            );
            findings.push(Finding::new(Level::Note, text));
            return None;
        }
    }
    // Why it has no value is said already.
    let text = configuration.value(option).ok()?;
    let title = configuration.title_with_place(option);
    if configuration.setting(option).is_none() {
        let text = format!("{title} is not set: {}", option.default_counts());
        findings.push(Finding::new(Level::Note, text));
    }
    let parsed = match ConnectionStrings::parse(&text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let finding = Finding::from(error);
            let text = format!("{title}: {}", finding.text);
            findings.push(Finding { text, ..finding });
            return None;
        }
    };
    for why in parsed.refused() {
        findings.push(Finding::new(
            Level::Error,
            format!("{title}: one of the stores gets nothing: {why}"),
        ));
    }
    let value = |name| configuration.value_or_default(PROFILER, name);
    let mut config = Config {
        connection_string: parsed,
        sentinel_service_name: value("sentinel_service_name"),
        ..Config::default()
    };
    let timeout = value("socket_timeout")
        .trim()
        .parse()
        .map(Duration::try_from_secs_f64);
    if let Ok(Ok(timeout)) = timeout {
        config.socket_timeout = timeout;
    }
    let stores = config.completed_connection_strings();
    Some(stores.map(|connection| {
        if connection.scheme() == "messaging" && connection.authority().is_empty() {
            on_the_bus(configuration, connection.clone())
        } else {
            connection.clone()
        }
    }))
}

/// Whether a bus is one that only oslo.messaging itself can speak with.
pub(super) fn is_foreign(connection: &ConnectionString) -> bool {
    let url = connection.option("transport_url").unwrap_or_default();
    let transport = url.split("://").next().unwrap_or_default();
    connection.scheme() == "messaging" && !url.is_empty() && !RABBITMQ.contains(&transport)
}

/// `messaging://` with the bus of the service.
fn on_the_bus(configuration: &Configuration, mut connection: ConnectionString) -> ConnectionString {
    let value = |option: &ConfigOption| configuration.value_or_default(option.group, option.name);
    if connection.option("transport_url").is_none() {
        let mut urls = BUS_OPTIONS
            .iter()
            .filter(|option| option.name == "transport_url")
            .map(value);
        let url = urls.find(|url| !url.is_empty());
        connection = connection.with_option("transport_url", &url.unwrap_or_default());
    }
    for option in BUS_OPTIONS
        .iter()
        .filter(|option| option.name != "transport_url")
    {
        let value = value(option);
        let name = match option.name {
            "control_exchange" => "exchange",
            name => name,
        };
        let is_default = match option.kind {
            Kind::Switch => switched(&value) == switched(option.default),
            _ => value == option.default,
        };
        if !is_default && connection.option(name).is_none() {
            connection = connection.with_option(name, &value);
        }
    }
    connection
}
