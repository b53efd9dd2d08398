// SPDX-License-Identifier: Apache-2.0
//! The driver `messaging`: notifications on the services' message bus, RabbitMQ, as oslo.messaging sends them.
//!
//! A notification is a message to the topic exchange, by way of which it waits in the queue `profiler.info` for whoever takes
//! it: Ceilometer's agent, or upstream's reader. Reading here takes nothing away: it looks at each message and puts all of
//! them back. Writers wait for the broker's confirmation of each message, so a batch is stored or it comes again.

mod address;

mod frame;

mod link;

mod incoming;

mod connection;

mod queue;

mod envelope;

mod properties;

mod writer;

mod reader;

use std::time::Duration;

use super::options::{self, TIMEOUTS, TLS, TTL};
use super::registry::{Capability, DriverOption, Implementation};
use super::tls::Trust;
use super::{ConnectionString, Reader, Writer};
use crate::{Error, ErrorKind, Result};

use address::Bus;

pub(super) const IMPLEMENTATION: Implementation = Implementation {
    capabilities: &[
        Capability::Read,
        Capability::List,
        Capability::ListErrors,
        Capability::Losses,
        Capability::Deduplicates,
        Capability::ManyWriters,
        Capability::Expires,
        Capability::SurvivesFork,
    ],
    options: &[
        DriverOption {
            name: "transport_url",
            default: "the service's own",
            summary: "the bus as oslo.messaging names it, `rabbit://user:password@a:5672,user:password@b:5672/vhost?ssl=1`; \
                      escape its `%` and `&` as `%25` and `%26`",
        },
        DriverOption {
            name: "topic",
            default: "profiler",
            summary: "the topic: its queue is the topic's name and `.info`",
        },
        DriverOption {
            name: "exchange",
            default: "openstack",
            summary: "the exchange that notifications are sent to; a service's own is its `control_exchange`",
        },
        DriverOption {
            name: "publisher_id",
            default: "each notification's host",
            summary: "who messages say that they are from",
        },
        DriverOption {
            name: "idle_timeout",
            default: "1",
            summary: "seconds that reading a trace waits for more of it after the last that came",
        },
        DriverOption {
            name: "ssl",
            default: "false",
            summary: "speak TLS with the broker",
        },
        DriverOption {
            name: "amqp_durable_queues",
            default: "false",
            summary: "exchange and queue survive the broker's restart; counts only for those that are not there yet",
        },
        DriverOption {
            name: "amqp_auto_delete",
            default: "false",
            summary: "exchange and queue go with the last who uses them; counts only for those that are not there yet",
        },
        DriverOption {
            name: "rabbit_quorum_queue",
            default: "false",
            summary: "the queue is a replicated one; counts only for one that is not there yet",
        },
        TTL,
        TLS[0],
        TLS[1],
        TIMEOUTS[0],
        DriverOption {
            default: "5 to write, 60 to read",
            ..TIMEOUTS[1]
        },
    ],
    client_options: &[
        "ssl_ca_file",
        "ssl_cert_file",
        "ssl_key_file",
        "rabbit_login_method",
        "rabbit_quorum_delivery_limit",
        "rabbit_quorum_max_memory_length",
        "rabbit_quorum_max_memory_bytes",
    ],
    example: "messaging://user:password@host:5672/vhost",
    open_writer: |connection| {
        let settings = Settings::of(connection)?;
        Ok(Box::new(writer::MessagingWriter::new(settings)) as Box<dyn Writer>)
    },
    open_reader: |connection| {
        let settings = Settings::of(connection)?;
        Ok(Box::new(reader::MessagingReader::new(settings)) as Box<dyn Reader>)
    },
    open_pruner: None,
};

/// How long an answer may take to a writer, and to whoever comes to either.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to a reader: behind messages, some 100,000 maybe, that another reader puts back at this moment.
const READING_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest `idle_timeout`.
const LONGEST_IDLE: f64 = 3600.0;

/// What a connection string says.
struct Settings {
    bus: Bus,
    topic: String,
    exchange: String,
    publisher_id: Option<String>,
    idle_timeout: Duration,
    ttl: Option<Duration>,
    connect_timeout: Duration,
    answer_timeout: Duration,
    /// The same once a reader is connected.
    reading_timeout: Duration,
    /// `None` without TLS.
    tls: Option<Trust>,
    login: Login,
    declaration: Declaration,
}

/// How we show a broker who we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Login {
    Password,
    /// By our certificate.
    Certificate,
}

/// How exchange and queue are made where there is none yet, as oslo.messaging does with the same options.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Declaration {
    is_durable: bool,
    is_auto_deleted: bool,
    /// `None` for a classic queue.
    quorum: Option<Quorum>,
}

/// The limits of a quorum queue, 0 for none.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Quorum {
    delivery_limit: i64,
    max_memory_length: i64,
    max_memory_bytes: i64,
}

impl Settings {
    fn of(connection: &ConnectionString) -> Result<Self> {
        let bus = Bus::of(connection)?;
        // An option in a transport URL goes before the same one outside, as in oslo.messaging.
        let holder = |name: &str| match bus.url_options.option(name) {
            Some(_) => &bus.url_options,
            None => connection,
        };
        let text = |name: &str| holder(name).option(name).filter(|text| !text.is_empty());
        let is_on = |name: &str| options::is_on(holder(name), name, false);
        let tls = if is_on("ssl")? {
            let identity = text("ssl_cert_file").zip(text("ssl_key_file"));
            let authorities = text("tls_ca_file").or_else(|| text("ssl_ca_file"));
            Some(Trust {
                authorities: authorities.map(str::to_owned),
                anybody: !options::is_on(connection, "tls_verify", true)?,
                any_name: false,
                identity: identity.map(|(file, key)| (file.to_owned(), key.to_owned())),
            })
        } else {
            None
        };
        let quorum = is_on("rabbit_quorum_queue")?;
        let number = |name: &str| {
            let number = text(name).map_or(Ok(0), str::parse);
            number.map_err(|_| usage(format!("the option `{name}` is no number")))
        };
        let declaration = Declaration {
            is_durable: is_on("amqp_durable_queues")? || quorum,
            is_auto_deleted: is_on("amqp_auto_delete")?,
            quorum: if quorum {
                Some(Quorum {
                    delivery_limit: number("rabbit_quorum_delivery_limit")?,
                    max_memory_length: number("rabbit_quorum_max_memory_length")?,
                    max_memory_bytes: number("rabbit_quorum_max_memory_bytes")?,
                })
            } else {
                None
            },
        };
        let login = match text("rabbit_login_method") {
            Some("EXTERNAL") => Login::Certificate,
            // A broker that knows any of the others knows the plain one.
            _ => Login::Password,
        };
        Ok(Self {
            topic: name(connection, "topic", "profiler")?,
            exchange: name(connection, "exchange", "openstack")?,
            publisher_id: connection.option("publisher_id").map(str::to_owned),
            idle_timeout: idle_timeout(connection)?,
            ttl: options::span(connection, "ttl")?,
            connect_timeout: options::seconds(
                connection,
                "connect_timeout",
                Duration::from_secs(2),
            )?,
            answer_timeout: options::seconds(connection, "socket_timeout", ANSWER_TIMEOUT)?,
            reading_timeout: options::seconds(connection, "socket_timeout", READING_TIMEOUT)?,
            tls,
            login,
            declaration,
            bus,
        })
    }

    /// The queue that notifications of this topic wait in, and the routing key that brings them there.
    fn queue(&self) -> String {
        format!("{}.info", self.topic)
    }
}

/// The option `name`, which is to be a name that the protocol can carry.
fn name(connection: &ConnectionString, name: &str, default: &str) -> Result<String> {
    let text = connection.option(name).unwrap_or(default);
    if text.is_empty() || text.len() > 200 {
        return Err(usage(format!(
            "the option `{name}` is to have 1 to 200 bytes"
        )));
    }
    Ok(text.to_owned())
}

/// Unlike other times this one may be none at all.
fn idle_timeout(connection: &ConnectionString) -> Result<Duration> {
    let text = connection.option("idle_timeout").unwrap_or("1");
    text.parse()
        .ok()
        .filter(|seconds| (0.0..=LONGEST_IDLE).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| {
            usage(format!("the option `idle_timeout` cannot be `{text}`"))
                .with_help("write seconds, from 0 to 3600, for example `2.5`")
        })
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_waits_longer_unless_told() {
        for (options, writing, reading) in [("", 5, 60), ("?socket_timeout=7", 7, 7)] {
            let connection = ConnectionString::parse(&format!("messaging://h/{options}")).unwrap();
            let settings = Settings::of(&connection).unwrap();
            let timeouts = [settings.answer_timeout, settings.reading_timeout];
            assert_eq!(timeouts, [writing, reading].map(Duration::from_secs));
        }
    }

    #[test]
    fn of_a_broker_that_keeps_silent_it_is_said_where_to_look() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let text = format!("messaging://{address}/?socket_timeout=0.25");
        let settings = Settings::of(&ConnectionString::parse(&text).unwrap()).unwrap();
        let error = connection::Connection::open(&settings, 0).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("RabbitMQ at `{address}` does not answer within 0.25 s")
        );
        let help = error.help().unwrap_or_default();
        assert!(
            help.ends_with("to wait longer: `?socket_timeout=0.5`"),
            "{help}"
        );
    }
}
