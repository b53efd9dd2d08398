// SPDX-License-Identifier: Apache-2.0
//! The options of a service's configuration that count here, with their types and defaults: those of the Python package's `opts`,
//! and those of oslo.messaging that say where the bus is.
//!
//! `tests/python` holds the first list against the package.

/// What a value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Switch,
    Text,
    /// The path of a folder, which does not depend on where a program was started; or nothing.
    AbsolutePath,
    WholeNumber,
    /// A whole number that is not less than the first and not more than the second.
    Between(i64, i64),
    Number,
}

/// An option.
#[derive(Debug)]
pub(crate) struct ConfigOption {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    /// Whether nobody is to see its value.
    pub(crate) secret: bool,
    /// A name in the same group that older files have.
    pub(crate) older_name: Option<&'static str>,
    /// Whether the default counts for a value that is none, where others fail.
    pub(crate) lenient: bool,
    /// Why it has no effect, if so.
    pub(crate) unused: Option<&'static str>,
}

pub(crate) const PROFILER: &str = "profiler";
const GONE: Option<&str> = Some("Jaeger takes OTLP itself");
const NOTIFICATIONS: &str = "oslo_messaging_notifications";
const RABBIT: &str = "oslo_messaging_rabbit";

/// Ours, in the order of the guide.
#[rustfmt::skip] // one line an option
pub(crate) const OPTIONS: &[ConfigOption] = &[
    ConfigOption { older_name: Some("profiler_enabled"), ..switch(PROFILER, "enabled", "False") },
    switch(PROFILER, "trace_sqlalchemy", "False"),
    switch(PROFILER, "trace_requests", "False"),
    secret(PROFILER, "hmac_keys", "SECRET_KEY"),
    secret(PROFILER, "connection_string", "messaging://"),
    text(PROFILER, "es_doc_type", "notification"),
    text(PROFILER, "es_scroll_time", "2m"),
    lenient(Kind::WholeNumber, "es_scroll_size", "10000"),
    lenient(Kind::Number, "socket_timeout", "0.1"),
    text(PROFILER, "sentinel_service_name", "mymaster"),
    lenient(Kind::Switch, "filter_error_trace", "False"),
    lenient(Kind::Switch, "mask_secrets", "True"),
    lenient(Kind::Switch, "publish_counters", "True"),
    lenient(Kind::Between(1, 65_536), "queue_max_mib", "64"),
    lenient(Kind::AbsolutePath, "spool_folder", ""),
    lenient(Kind::Between(1, 16_777_216), "spool_max_mib", "256"),
    ConfigOption { unused: GONE, ..text("profiler_jaeger", "service_name_prefix", "") },
    ConfigOption { unused: GONE, ..text("profiler_jaeger", "process_tags", "") },
    text("profiler_otlp", "service_name_prefix", ""),
];

/// oslo.messaging's, for `messaging://`.
#[rustfmt::skip] // one line an option
pub(crate) const BUS_OPTIONS: &[ConfigOption] = &[
    secret(NOTIFICATIONS, "transport_url", ""),
    secret("DEFAULT", "transport_url", "rabbit://"),
    text("DEFAULT", "control_exchange", "openstack"),
    switch(RABBIT, "ssl", "False"),
    text(RABBIT, "ssl_ca_file", ""),
    text(RABBIT, "ssl_cert_file", ""),
    text(RABBIT, "ssl_key_file", ""),
    text(RABBIT, "rabbit_login_method", "AMQPLAIN"),
    switch(RABBIT, "amqp_durable_queues", "False"),
    switch(RABBIT, "amqp_auto_delete", "False"),
    switch(RABBIT, "rabbit_quorum_queue", "False"),
    ConfigOption { kind: Kind::WholeNumber, ..text(RABBIT, "rabbit_quorum_delivery_limit", "0") },
    ConfigOption { kind: Kind::WholeNumber, ..text(RABBIT, "rabbit_quorum_max_memory_length", "0") },
    ConfigOption { kind: Kind::WholeNumber, ..text(RABBIT, "rabbit_quorum_max_memory_bytes", "0") },
];

const fn text(group: &'static str, name: &'static str, default: &'static str) -> ConfigOption {
    ConfigOption {
        group,
        name,
        kind: Kind::Text,
        default,
        secret: false,
        older_name: None,
        lenient: false,
        unused: None,
    }
}

const fn switch(group: &'static str, name: &'static str, default: &'static str) -> ConfigOption {
    ConfigOption {
        kind: Kind::Switch,
        ..text(group, name, default)
    }
}

const fn lenient(kind: Kind, name: &'static str, default: &'static str) -> ConfigOption {
    ConfigOption {
        kind,
        lenient: true,
        ..text(PROFILER, name, default)
    }
}

const fn secret(group: &'static str, name: &'static str, default: &'static str) -> ConfigOption {
    ConfigOption {
        secret: true,
        ..text(group, name, default)
    }
}

impl ConfigOption {
    /// Our option of that group and name; an older name is none.
    pub(crate) fn find(group: &str, name: &str) -> Option<&'static Self> {
        let mut all = OPTIONS.iter().chain(BUS_OPTIONS);
        all.find(|option| (option.group, option.name) == (group, name))
    }

    /// The names it goes by, the right one first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name].into_iter().chain(self.older_name)
    }

    /// That its default counts, in words.
    pub(crate) fn default_counts(&self) -> String {
        match self.default {
            "" => "the default counts, which is empty".to_owned(),
            default => format!("the default counts, `{default}`"),
        }
    }

    /// How people write it: an option of `[profiler]` by its name alone.
    pub(crate) fn title(&self) -> String {
        match self.group {
            PROFILER => format!("`{}`", self.name),
            group => format!("`[{group}] {}`", self.name),
        }
    }
}

impl Kind {
    /// Why a value cannot be one of this kind, if so. What oslo.config takes, this takes.
    pub(crate) fn fault(self, value: &str) -> Option<String> {
        let value = value.trim();
        match self {
            Self::Switch if switched(value).is_none() => {
                Some("it has to be `True` or `False`".to_owned())
            }
            Self::WholeNumber if !value.is_empty() && !is_whole(value) => {
                Some("it has to be a whole number".to_owned())
            }
            Self::Between(least, most) if !value.is_empty() => {
                let number = value.replace('_', "").parse::<i64>();
                let fits = is_whole(value) && number.is_ok_and(|it| (least..=most).contains(&it));
                (!fits).then(|| format!("it has to be a whole number from {least} to {most}"))
            }
            Self::Number if !value.is_empty() && value.parse::<f64>().is_err() => {
                Some("it has to be a number".to_owned())
            }
            Self::AbsolutePath if !value.is_empty() && !value.starts_with('/') => {
                Some("it has to be an absolute path".to_owned())
            }
            _ => None,
        }
    }
}

fn is_whole(value: &str) -> bool {
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    let digits = digits.replace('_', "");
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What oslo.config takes for true and false.
pub(crate) fn switched(value: &str) -> Option<bool> {
    match value.trim().to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_their_kinds() {
        for (kind, value, expected) in [
            (Kind::Switch, "TRUE", true),
            (Kind::Switch, "0", true),
            (Kind::Switch, "Ture", false),
            (Kind::Switch, "t", false),
            (Kind::Switch, "", false),
            (Kind::WholeNumber, "1_000", true),
            (Kind::WholeNumber, "-7", true),
            (Kind::WholeNumber, "", true),
            (Kind::WholeNumber, "0x10", false),
            (Kind::WholeNumber, "1.5", false),
            (Kind::Between(1, 64), "+6_4", true),
            (Kind::Between(1, 64), "", true),
            (Kind::Between(1, 64), "0", false),
            (Kind::Between(1, 64), "65", false),
            (Kind::Between(1, 64), "1e1", false),
            (Kind::Between(1, 64), "99999999999999999999", false),
            (Kind::Number, "1e1", true),
            (Kind::Number, "", true),
            (Kind::Number, "fast", false),
            (Kind::Text, "", true),
            (Kind::AbsolutePath, "", true),
            (Kind::AbsolutePath, "/spool", true),
            (Kind::AbsolutePath, "spool", false),
            (Kind::AbsolutePath, "~/spool", false),
        ] {
            assert_eq!(kind.fault(value).is_none(), expected, "{value}");
        }
    }

    #[test]
    fn every_default_is_of_its_kind() {
        for option in OPTIONS.iter().chain(BUS_OPTIONS) {
            assert_eq!(option.kind.fault(option.default), None, "{}", option.name);
        }
    }
}
