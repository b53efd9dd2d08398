// SPDX-License-Identifier: Apache-2.0
//! The `[profiler]` options of oslo.config as a plain value, and the one call that starts tracing in a Rust service.
//!
//! Names and defaults are upstream's, so that one paragraph of documentation serves Python and Rust services. Where the values come from
//! (an INI file, the environment, arguments) is the service's affair. Keys and passwords never show.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::driver::{ConnectionString, ConnectionStrings};
use crate::recorder::Origin;
use crate::{Result, delivery, secrets};

/// Who a service is, and the `[profiler]` options.
///
/// ```
/// use osprofiler::config::{Config, HmacKeys};
///
/// let config = Config::default();
/// assert!(!config.enabled);
/// assert_eq!(config.connection_string.to_string(), "messaging://");
/// assert_eq!(config.hmac_keys, HmacKeys::parse("SECRET_KEY"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are options of a file, each with a name of its own"
)]
pub struct Config {
    /// The project of the service, for example `keystone`.
    pub project: Option<String>,
    /// The service, for example `public`.
    pub service: Option<String>,
    /// The machine, in each notification's info; the system's host name if `None`.
    pub host: Option<String>,
    /// Whether anything is traced.
    pub enabled: bool,
    /// Whether SQL statements are points of their own.
    pub trace_sqlalchemy: bool,
    /// Whether outgoing HTTP requests are points of their own.
    pub trace_requests: bool,
    /// The keys that trace headers may be signed with. The first signs what this service sends of traces that begin in it; others go on
    /// with the key they came with. A service that joins traces by the default one, which everybody knows, is warned.
    pub hmac_keys: HmacKeys,
    /// Whether what infos carry under the names of secrets is masked, for the whole process; see [`secrets`]. Ours, not upstream's.
    pub mask_secrets: bool,
    /// Where notifications go: to each of these stores.
    pub connection_string: ConnectionStrings,
    /// Not needed: readers list traces with errors whatever it says. Upstream's.
    pub filter_error_trace: bool,
    /// Not used, as the next two: upstream's driver for Elasticsearch reads them. The type of documents.
    pub es_doc_type: String,
    /// How long a scroll is kept, in Elasticsearch's notation.
    pub es_scroll_time: String,
    /// How many documents a page has.
    pub es_scroll_size: u32,
    /// `redissentinel://`: how long an answer may take. The default is upstream's, whose driver writes while the request
    /// waits; it stands for ours, 5 seconds.
    pub socket_timeout: Duration,
    /// `redissentinel://`: the name that the sentinels know the server by.
    pub sentinel_service_name: String,
    /// OTLP: what comes before the service's name (`[profiler_otlp] service_name_prefix`).
    pub otlp_service_name_prefix: Option<String>,
    /// How long the end of the process waits for the store. Ours, not upstream's.
    pub exit_deadline: Duration,
    /// How much memory notifications take that wait for one store, in MiB. Ours, as the next two.
    pub queue_max_mib: u32,
    /// The folder for files with what memory does not hold while a store is down, and with what waits when the process ends. Without
    /// one there are no such files. Its path has to be absolute, whatever folder the program was started in: a relative one is told in a
    /// message, and is none.
    pub spool_folder: Option<PathBuf>,
    /// What all files in that folder may take together, of whichever process they are, in MiB.
    pub spool_max_mib: u32,
    /// Whether the process publishes its counters for `osprofiler doctor`; see [`delivery::processes`]. Ours, not upstream's.
    pub publish_counters: bool,
}

/// What [`Config::hmac_keys`] is where nobody has set it.
const DEFAULT_KEY: &str = "SECRET_KEY";

/// What [`Config::socket_timeout`] is where nobody has set it.
const UPSTREAMS_TIMEOUT: Duration = Duration::from_millis(100);

impl Default for Config {
    fn default() -> Self {
        Self {
            project: None,
            service: None,
            host: None,
            enabled: false,
            trace_sqlalchemy: false,
            trace_requests: false,
            hmac_keys: HmacKeys::parse(DEFAULT_KEY),
            mask_secrets: true,
            connection_string: ConnectionStrings::parse("messaging://")
                .unwrap_or_else(|_| unreachable!("a scheme alone is a connection string")),
            filter_error_trace: false,
            es_doc_type: "notification".to_owned(),
            es_scroll_time: "2m".to_owned(),
            es_scroll_size: 10_000,
            socket_timeout: UPSTREAMS_TIMEOUT,
            sentinel_service_name: "mymaster".to_owned(),
            otlp_service_name_prefix: None,
            exit_deadline: delivery::EXIT_DEADLINE,
            queue_max_mib: 64,
            spool_folder: None,
            spool_max_mib: 256,
            publish_counters: true,
        }
    }
}

impl Config {
    /// What may wait for a store.
    fn bounds(&self) -> delivery::Bounds {
        delivery::Bounds {
            queue_bytes: usize::try_from(self.queue_max_mib).map_or(usize::MAX, |mib| mib << 20),
            spool_folder: self.absolute_spool_folder(),
            spool_bytes: u64::from(self.spool_max_mib) << 20,
        }
    }

    /// The folder for what waits, unless its path is none; then that is said.
    fn absolute_spool_folder(&self) -> Option<PathBuf> {
        let folder = self.spool_folder.as_ref()?;
        if folder.is_absolute() {
            return Some(folder.clone());
        }
        // An empty one is how files write that there is none.
        if !folder.as_os_str().is_empty() {
            let text = format!(
                "`spool_folder` cannot be `{}`: it has to be an absolute path; what waits for a store is kept in no files",
                folder.display()
            );
            delivery::say(delivery::Severity::Warning, text);
        }
        None
    }

    /// The connection strings with those options of the configuration that are about their drivers.
    pub fn completed_connection_strings(&self) -> ConnectionStrings {
        self.connection_string
            .map(|connection| self.completed(connection))
    }

    fn completed(&self, connection: &ConnectionString) -> ConnectionString {
        let connection = connection.clone();
        match (connection.scheme(), &self.otlp_service_name_prefix) {
            ("redissentinel", _) => {}
            ("otlp" | "otlps", Some(prefix)) => {
                return connection.or_option("service_name_prefix", prefix);
            }
            _ => return connection,
        }
        let connection = connection.or_option("sentinel", &self.sentinel_service_name);
        if self.socket_timeout == UPSTREAMS_TIMEOUT {
            return connection;
        }
        let seconds = self.socket_timeout.as_secs_f64().to_string();
        connection.or_option("socket_timeout", &seconds)
    }
}

/// The keys that sign trace headers. `Debug` shows how many there are and nothing else.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HmacKeys(Vec<String>);

impl HmacKeys {
    /// Reads keys separated by commas. Blanks around them and empty ones are dropped.
    ///
    /// ```
    /// # use osprofiler::config::HmacKeys;
    /// let keys = HmacKeys::parse("new, old,");
    /// assert_eq!(keys.signing_key(), Some("new"));
    /// assert_eq!(format!("{keys:?}"), "HmacKeys(2 keys)");
    /// ```
    pub fn parse(text: &str) -> Self {
        let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
        Self(keys.map(str::to_owned).collect())
    }

    /// The keys, for [`headers::unpack`](crate::headers::unpack).
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// The key that signs, for [`headers::pack`](crate::headers::pack).
    pub fn signing_key(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// Says, once a process, if requests are traced whose headers anybody can sign. For whoever joins their traces.
    pub(crate) fn warn_of_default(&self) {
        static TOLD: AtomicBool = AtomicBool::new(false);
        if self.0.iter().any(|key| key == DEFAULT_KEY) && !TOLD.swap(true, Ordering::Relaxed) {
            let text = format!(
                "`hmac_keys` has the default `{DEFAULT_KEY}`, which everybody knows: whoever reaches the service can have requests traced; set a key of your own"
            );
            delivery::say(delivery::Severity::Warning, text);
            // Nobody may ever leave a trace here, which is where messages are logged else.
            delivery::log_waiting_messages();
        }
    }
}

impl fmt::Debug for HmacKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HmacKeys({} keys)", self.0.len())
    }
}

/// Starts tracing in a Rust service: attaches it to its store and returns who it is to the recorder; `None` if the
/// configuration says that nothing is traced. Opens nothing: that the store is down is logged once something was recorded,
/// and heals by itself.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if no driver knows the connection string, or an option in it cannot be what it is;
/// of several, all of them. One that will not do beside others that will is told in a message.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("trace.jsonl");
/// use osprofiler::Config;
/// use osprofiler::driver::ConnectionStrings;
/// use osprofiler::recorder::Context;
/// use osprofiler::point;
///
/// let config = Config {
///     project: Some("shop".to_owned()),
///     service: Some("api".to_owned()),
///     enabled: true,
///     connection_string: ConnectionStrings::parse(&format!("file://{}", path.display()))?,
///     ..Config::default()
/// };
/// let origin = osprofiler::init(&config)?;
///
/// // In a request:
/// let trace = origin.map(|origin| Context::new_trace(origin).attach());
/// {
///     let _point = point!("db", {"db": {"statement": "select 1"}});
/// }
/// drop(trace);
///
/// // The end of the program waits for the store by itself; a test wants to look earlier.
/// let counters = osprofiler::delivery::flush(std::time::Duration::from_secs(10));
/// assert_eq!((counters.stored(), counters.lost()), (2, 0));
/// assert!(std::fs::read_to_string(path).unwrap().contains("\"db-stop\""));
/// # Ok::<(), osprofiler::Error>(())
/// ```
pub fn init(config: &Config) -> Result<Option<Origin>> {
    if !config.enabled {
        return Ok(None);
    }
    delivery::set_exit_deadline(config.exit_deadline);
    delivery::set_bounds(config.bounds());
    secrets::set_masking(config.mask_secrets);
    delivery::set_publishing(config.publish_counters);
    let host = config.host.clone().unwrap_or_else(host_name);
    delivery::attach_each(
        config.project.as_deref(),
        config.service.as_deref(),
        &host,
        &config.completed_connection_strings(),
    )
    .map(Some)
}

/// The system's host name, as `gethostname` gives it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_and_no_password_shows() {
        let config = Config {
            hmac_keys: HmacKeys::parse("hunter2"),
            connection_string: ConnectionStrings::parse("redis://:hunter2@h").unwrap(),
            ..Config::default()
        };
        let shown = format!("{config:?} {config:#?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn an_option_that_cannot_be_is_told_at_once() {
        let config = Config {
            enabled: true,
            connection_string: ConnectionStrings::parse("sqlite:///srv/t.db?ttl=7").unwrap(),
            ..Config::default()
        };
        let error = init(&config).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Usage);
        assert_eq!(error.to_string(), "the option `ttl` cannot be `7`");
    }

    #[test]
    fn options_of_the_configuration_complete_the_connection_string() {
        let with = |text: &str, seconds| {
            let config = Config {
                connection_string: ConnectionStrings::parse(text).unwrap(),
                sentinel_service_name: "kolla".to_owned(),
                socket_timeout: Duration::from_secs_f64(seconds),
                otlp_service_name_prefix: Some("cloud".to_owned()),
                ..Config::default()
            };
            config.completed_connection_strings().to_string()
        };
        for (text, seconds, expected) in [
            ("redissentinel://h", 0.1, "redissentinel://h?sentinel=kolla"),
            (
                "redissentinel://h?sentinel=n&ttl=7d",
                1.5,
                "redissentinel://h?sentinel=n&ttl=7d&socket_timeout=1.5",
            ),
            ("redis://h", 1.5, "redis://h"),
            ("otlps://h", 0.1, "otlps://h?service_name_prefix=cloud"),
            (
                "otlp://h?service_name_prefix=x",
                0.1,
                "otlp://h?service_name_prefix=x",
            ),
            (
                "redissentinel://h, redis://i",
                0.1,
                "redissentinel://h?sentinel=kolla, redis://i",
            ),
        ] {
            assert_eq!(with(text, seconds), expected);
        }
    }

    #[test]
    fn keys_are_split_as_upstream_splits_them() {
        for (text, expected) in [
            ("a", &["a"][..]),
            (" a , b ", &["a", "b"]),
            (",a,,", &["a"]),
            ("", &[]),
        ] {
            assert_eq!(HmacKeys::parse(text).as_slice(), expected, "{text}");
        }
    }

    #[test]
    fn the_bounds_are_deliverys_own_unless_somebody_says_otherwise() {
        assert_eq!(Config::default().bounds(), delivery::Bounds::default());
    }

    #[test]
    fn a_relative_folder_for_what_waits_is_told_and_none() {
        for (folder, expected, is_told) in [
            ("/spool", Some("/spool"), false),
            ("spool", None, true),
            ("../spool", None, true),
            ("", None, false),
        ] {
            let config = Config {
                spool_folder: Some(folder.into()),
                ..Config::default()
            };
            let bounds = config.bounds();
            assert_eq!(bounds.spool_folder, expected.map(PathBuf::from));
            // No other test takes messages, and others may leave some.
            let told =
                format!("`spool_folder` cannot be `{folder}`: it has to be an absolute path");
            let mut messages = delivery::take_messages().into_iter();
            assert_eq!(
                messages.any(|message| message.text.starts_with(&told)),
                is_told
            );
        }
    }

    #[test]
    fn a_disabled_profiler_starts_nothing() {
        assert_eq!(init(&Config::default()).unwrap(), None);
    }
}
