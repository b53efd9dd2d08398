// SPDX-License-Identifier: Apache-2.0
//! Which drivers there are: the one list from which help, errors, the README's table and the conformance suite come.
//!
//! A driver is a line of [`DRIVERS`] and a file beside this one. A driver left out of the build keeps
//! its line and answers by name, saying what to do instead; the scheme of a connection string alone decides.

use super::connection_string::is_word;
use super::{ConnectionString, Pruner, Reader, Writer};
use crate::{Error, ErrorKind, Result};

/// A kind of store, as help and errors describe it.
#[derive(Debug)]
pub struct Driver {
    /// The driver's name, also its Cargo feature's.
    pub name: &'static str,
    /// The schemes of connection strings that mean it; the first is the usual one.
    pub schemes: &'static [&'static str],
    /// What it stores where, in one line.
    pub summary: &'static str,
    /// Whether it can be used, and how.
    pub availability: Availability,
}

/// Whether a driver can be used.
#[derive(Debug)]
pub enum Availability {
    /// It is part of this build.
    Ready(&'static Implementation),
    /// It exists, but its Cargo feature was off when this was built.
    CompiledOut,
    /// It will not come; what to use instead.
    Gone(&'static str),
}

/// What a driver's file offers to the registry.
#[derive(Debug)]
pub struct Implementation {
    /// What its store can do; the conformance suite asks before it checks.
    pub capabilities: &'static [Capability],
    /// The options its connection strings may have.
    pub options: &'static [DriverOption],
    /// Options of the store's usual Python client that a connection string may bring from there: those that mean something
    /// here too, and those that don't and are passed over. Any other is refused. In upper case or lower.
    pub client_options: &'static [&'static str],
    /// A connection string to copy.
    pub example: &'static str,
    /// Makes the writing half. Opens nothing yet where the store allows it.
    pub open_writer: fn(&ConnectionString) -> Result<Box<dyn Writer>>,
    /// Makes the reading half.
    pub open_reader: fn(&ConnectionString) -> Result<Box<dyn Reader>>,
    /// Makes what removes traces, where the store [lets that be done](Capability::Prunes). Makes no store.
    pub open_pruner: Option<OpenPruner>,
}

impl Implementation {
    fn has_option(&self, name: &str) -> bool {
        let own = |known: &DriverOption| known.name == name;
        let client = |known: &&str| known.eq_ignore_ascii_case(name);
        self.options.iter().any(own) || self.client_options.iter().any(client)
    }
}

/// How the part of a driver that removes traces is made.
pub type OpenPruner = fn(&ConnectionString) -> Result<Box<dyn Pruner>>;

/// Something that not every store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// What was written can be read back by trace.
    Read,
    /// Traces can be listed.
    List,
    /// Traces with errors can be listed apart.
    ListErrors,
    /// Losses are kept with their trace.
    Losses,
    /// A notification written again after an unclear answer is read once.
    Deduplicates,
    /// Several processes may write at the same time.
    ManyWriters,
    /// The store stays within a size.
    Bounded,
    /// Traces can be removed: there is an `open_pruner`.
    Prunes,
    /// The store removes a trace by itself after a time, the option `ttl`.
    Expires,
    /// A process forked in the middle of a call may open the store: the library keeps nothing beside its connections.
    SurvivesFork,
    /// Traces go on in services with OpenTelemetry: who is called is told of the trace in their words, too.
    TraceContext,
}

/// An option of a connection string, `?name=value`.
#[derive(Clone, Copy, Debug)]
pub struct DriverOption {
    /// Its name.
    pub name: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
}

/// What the module offers where its Cargo feature is on, [`Availability::CompiledOut`] where it is off.
macro_rules! built_in {
    ($feature:tt, $module:ident) => {{
        #[cfg(feature = $feature)]
        const AVAILABILITY: Availability = Availability::Ready(&super::$module::IMPLEMENTATION);
        #[cfg(not(feature = $feature))]
        const AVAILABILITY: Availability = Availability::CompiledOut;
        AVAILABILITY
    }};
}

/// Every driver, in the order help lists them.
#[rustfmt::skip] // one line a driver
pub const DRIVERS: &[Driver] = &[
    Driver { name: "sqlite", schemes: &["sqlite"], summary: "one SQLite file, without a server", availability: built_in!("sqlite", sqlite) },
    Driver { name: "file", schemes: &["file"], summary: "one file of JSON lines, a notification each", availability: built_in!("file", file) },
    Driver { name: "redis", schemes: &["redis", "rediss", "unix", "redissentinel"], summary: "a Redis server, directly or found through its sentinels", availability: built_in!("redis", redis) },
    Driver { name: "mongodb", schemes: &["mongodb", "mongodb+srv"], summary: "a MongoDB server or replica set", availability: built_in!("mongodb", mongodb) },
    Driver { name: "elasticsearch", schemes: &["elasticsearch", "elasticsearchs", "opensearch", "opensearchs"], summary: "an Elasticsearch or OpenSearch server", availability: built_in!("elasticsearch", elasticsearch) },
    Driver { name: "mysql", schemes: &["mysql", "mysql+pymysql", "mysql+mysqldb", "mariadb", "mariadb+pymysql", "mariadb+mysqldb"], summary: "a MySQL or MariaDB database", availability: built_in!("mysql", mysql) },
    Driver { name: "postgresql", schemes: &["postgresql", "postgresql+psycopg2", "postgresql+psycopg"], summary: "a PostgreSQL database", availability: built_in!("postgresql", postgresql) },
    Driver { name: "messaging", schemes: &["messaging"], summary: "the message bus of the services (oslo.messaging), RabbitMQ", availability: built_in!("messaging", messaging) },
    Driver { name: "otlp", schemes: &["otlp", "otlps"], summary: "an OpenTelemetry collector, over HTTP or gRPC; it can't be read back", availability: built_in!("otlp", otlp) },
    Driver { name: "loginsight", schemes: &["loginsight"], summary: "a VMware Aria Operations for Logs (Log Insight) server", availability: built_in!("loginsight", loginsight) },
    Driver { name: "jaeger", schemes: &["jaeger"], summary: "gone: Jaeger takes OTLP itself", availability: Availability::Gone("Jaeger takes OTLP itself: use `otlp://host:4318`") },
];

/// Whether an option of connection strings with that scheme may have that name. What no driver of this build knows may have any.
pub(super) fn may_have(scheme: &str, name: &str) -> bool {
    match with_scheme(scheme).map(|driver| &driver.availability) {
        Some(Availability::Ready(implementation)) => implementation.has_option(name),
        _ => is_word(name),
    }
}

/// A connection string of the driver for a scheme, to copy.
pub(super) fn example(scheme: &str) -> Option<&'static str> {
    match with_scheme(scheme)?.availability {
        Availability::Ready(implementation) => Some(implementation.example),
        _ => None,
    }
}

/// The driver for a scheme. An error lists the schemes there are.
pub fn find(scheme: &str) -> Result<&'static Driver> {
    with_scheme(scheme).ok_or_else(|| {
        let ready = ready_drivers().flat_map(|driver| driver.schemes.iter().copied());
        let ready: Vec<&str> = ready.collect();
        let message = format!("no driver for the scheme `{scheme}://`");
        let help = match nearest(scheme, &ready) {
            Some(meant) => {
                format!(
                    "did you mean `{meant}://`? `osprofiler trace list --help` lists the stores"
                )
            }
            None => format!("use one of {}", list(&ready)),
        };
        Error::new(ErrorKind::Usage, message).with_help(help)
    })
}

/// Whether there is a driver for a scheme, be it in this build or not.
pub(super) fn has(scheme: &str) -> bool {
    with_scheme(scheme).is_some()
}

fn with_scheme(scheme: &str) -> Option<&'static Driver> {
    let mut drivers = DRIVERS.iter();
    drivers.find(|driver| driver.schemes.contains(&scheme))
}

/// The one of `names`, of schemes or options, that somebody meant who wrote `written`: the first that it begins, or one of which at
/// most a third, and never more than three letters, has to be changed, put in or left out.
fn nearest<'a>(written: &str, names: &[&'a str]) -> Option<&'a str> {
    let begins = |known: &&&str| written.len() >= 3 && known.starts_with(written);
    if let Some(meant) = names.iter().find(begins) {
        return Some(meant);
    }
    let most = (written.len() / 3).min(3);
    let distances = names.iter().map(|&known| (distance(written, known), known));
    let (distance, meant) = distances.min_by_key(|&(distance, _)| distance)?;
    (distance <= most).then_some(meant)
}

/// How many letters have to be changed, put in or left out to make `one` of `other` (Levenshtein's distance), in upper
/// case or lower.
fn distance(one: &str, other: &str) -> usize {
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.bytes().enumerate() {
        let mut left_above = std::mem::replace(&mut above[0], row + 1);
        for (column, wanted) in other.bytes().enumerate() {
            let changed = left_above + usize::from(!letter.eq_ignore_ascii_case(&wanted));
            left_above = above[column + 1];
            above[column + 1] = changed.min(left_above + 1).min(above[column] + 1);
        }
    }
    above[other.len()]
}

/// The drivers that this build can use.
pub fn ready_drivers() -> impl Iterator<Item = &'static Driver> {
    DRIVERS
        .iter()
        .filter(|driver| matches!(driver.availability, Availability::Ready(_)))
}

/// Makes the writing half of the driver that `connection` names.
pub fn open_writer(connection: &ConnectionString) -> Result<Box<dyn Writer>> {
    (implementation(connection)?.open_writer)(connection)
}

/// Makes the reading half of the driver that `connection` names.
pub fn open_reader(connection: &ConnectionString) -> Result<Box<dyn Reader>> {
    (implementation(connection)?.open_reader)(connection)
}

/// Makes what removes traces from the store that `connection` names.
///
/// # Errors
/// [`ErrorKind::Usage`] if its driver can't.
pub fn open_pruner(connection: &ConnectionString) -> Result<Box<dyn Pruner>> {
    let implementation = implementation(connection)?;
    if let Some(open) = implementation.open_pruner {
        return open(connection);
    }
    let message = format!("traces cannot be removed from `{connection}`");
    let help = if implementation.capabilities.contains(&Capability::Expires) {
        "the store does it by itself after a time: the option `ttl`, for example `?ttl=7d`"
    } else {
        "the store decides how long it keeps them"
    };
    Err(Error::new(ErrorKind::Usage, message).with_help(help))
}

/// What the driver of `connection` can do. Opens nothing.
///
/// # Errors
/// If no driver that can be used knows it, or an option is not the driver's.
pub fn capabilities(connection: &ConnectionString) -> Result<&'static [Capability]> {
    implementation(connection).map(|implementation| implementation.capabilities)
}

/// The driver's implementation, once it is there and knows all options of `connection`.
fn implementation(connection: &ConnectionString) -> Result<&'static Implementation> {
    let driver = find(connection.scheme())?;
    let name = driver.name;
    let usage = |message: String| Error::new(ErrorKind::Usage, message);
    let implementation = match driver.availability {
        Availability::Ready(implementation) => implementation,
        Availability::CompiledOut => {
            return Err(
                usage(format!("the driver `{name}` is not part of this build"))
                    .with_help(format!("build with the Cargo feature `{name}`")),
            );
        }
        Availability::Gone(instead) => {
            return Err(usage(format!("the driver `{name}` is gone")).with_help(instead));
        }
    };
    let unknown = connection
        .options()
        .find(|(name, _)| !implementation.has_option(name));
    match unknown {
        None => Ok(implementation),
        Some((unknown, _)) => {
            let message = format!("the driver `{name}` has no option `{unknown}`");
            Err(usage(message).with_help(options_help(unknown, implementation)))
        }
    }
}

/// What to write instead of the option `unknown`.
fn options_help(unknown: &str, implementation: &Implementation) -> String {
    if unknown == "ttl" && implementation.open_pruner.is_some() {
        return "it keeps a trace until somebody removes it: `osprofiler trace prune --older-than 7d`, for example from cron"
            .to_owned();
    }
    let own: Vec<&str> = implementation.options.iter().map(|one| one.name).collect();
    if own.is_empty() {
        return "it has no options".to_owned();
    }
    let known = [&own, implementation.client_options].concat();
    let meant = nearest(unknown, &known).map(|meant| format!("did you mean `{meant}`? "));
    let own: Vec<_> = own.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "{}its options are {}",
        meant.unwrap_or_default(),
        own.join(", ")
    )
}

fn list(schemes: &[&str]) -> String {
    schemes
        .iter()
        .map(|scheme| format!("`{scheme}://`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Id, Notifications};

    /// `expected` is the error's text and its help, joined by ` | `.
    fn check(connection: &str, expected: &str) {
        let connection = ConnectionString::parse(connection).unwrap();
        let error = open_reader(&connection).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let text = format!("{error} | {}", error.help().unwrap_or_default());
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn every_name_is_one_drivers_and_says_what_it_is() {
        let mut seen = Vec::new();
        for driver in DRIVERS {
            assert!(!driver.summary.is_empty(), "{}", driver.name);
            for scheme in driver.schemes {
                assert!(!seen.contains(scheme), "{scheme}");
                assert_eq!(find(scheme).unwrap().name, driver.name);
                seen.push(scheme);
            }
            if let Availability::Ready(implementation) = driver.availability {
                let example = ConnectionString::parse(implementation.example).unwrap();
                assert!(driver.schemes.contains(&example.scheme()));
                let prunes = implementation.capabilities.contains(&Capability::Prunes);
                assert_eq!(implementation.open_pruner.is_some(), prunes, "{example}");
                let expires = implementation.capabilities.contains(&Capability::Expires);
                let mut options = implementation.options.iter();
                assert_eq!(options.any(|one| one.name == "ttl"), expires, "{example}");
                assert!(super::implementation(&example).is_ok(), "{example}");
            }
        }
    }

    #[test]
    fn drivers_that_cannot_be_used_answer_by_name() {
        for (connection, expected) in [
            (
                "jaeger://h",
                "the driver `jaeger` is gone | Jaeger takes OTLP itself: use `otlp://",
            ),
            (
                "nope://h",
                "no driver for the scheme `nope://` | use one of ",
            ),
        ] {
            check(connection, expected);
        }
    }

    #[test]
    fn a_misspelt_scheme_is_told_the_nearest_first() {
        let schemes = ["sqlite", "file", "redis", "rediss", "mysql", "postgresql"];
        for (written, expected) in [
            ("sqllite", Some("sqlite")),
            ("sqlit", Some("sqlite")),
            ("sqlite3", Some("sqlite")),
            ("postgre", Some("postgresql")),
            ("red", Some("redis")),
            ("radiss", Some("rediss")),
            ("fiel", None),
            ("kafka", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, &schemes), expected, "{written}");
        }
        assert_eq!(nearest("sqlite", &[]), None);
        let options = ["database", "connectTimeoutMS"];
        assert_eq!(nearest("conecttimeoutms", &options), Some(options[1]));
    }

    #[cfg(all(feature = "file", feature = "sqlite"))]
    #[test]
    fn of_a_misspelt_scheme_the_nearest_is_named_and_where_all_are() {
        let help = "did you mean `sqlite://`? `osprofiler trace list --help` lists the stores";
        let expected = format!("no driver for the scheme `sqllite://` | {help}");
        check("sqllite:///x", &expected);
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn of_a_misspelt_option_the_nearest_is_named_first() {
        for (written, help) in [
            (
                "max_siez=1",
                "did you mean `max_size`? its options are `max_size`, ",
            ),
            ("nonsense=1", "its options are `max_size`, "),
        ] {
            let (name, _) = written.split_once('=').unwrap();
            check(
                &format!("sqlite:///x?{written}"),
                &format!("the driver `sqlite` has no option `{name}` | {help}"),
            );
        }
    }

    #[test]
    fn every_driver_says_alike_that_nobody_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        for connection in [
            format!("redis://{address}"),
            format!("mongodb://{address}/?connect_timeout=1"),
            format!("elasticsearch://{address}"),
            format!("mysql://{address}/x"),
            format!("postgresql://{address}/x"),
            format!("messaging://?transport_url=rabbit://u:p@{address}/"),
            format!("loginsight://u:p@{address}"),
        ] {
            let connection = ConnectionString::parse(&connection).unwrap();
            // What is not part of this build has nothing to say.
            if let Ok(mut reader) = open_reader(&connection) {
                let read = reader.read(Id::from_u128(1), &mut Notifications::default());
                let error = read.unwrap_err();
                let said = error.to_string();
                assert!(said.ends_with(": nobody listens there"), "{said}");
                assert!(error.help().is_some(), "{said}");
            }
        }
    }

    #[cfg(not(feature = "redis"))]
    #[test]
    fn a_driver_left_out_of_the_build_answers_by_name() {
        check(
            "redis://h",
            "the driver `redis` is not part of this build | build with the Cargo feature `redis`",
        );
    }

    #[cfg(feature = "file")]
    #[test]
    fn an_unknown_option_is_refused_by_name() {
        check(
            "file:///x?sise=1",
            "the driver `file` has no option `sise` | ",
        );
        check(
            "file:///x?ttl=7d",
            "the driver `file` has no option `ttl` | it keeps a trace until somebody removes it: `osprofiler trace prune",
        );
    }
}
