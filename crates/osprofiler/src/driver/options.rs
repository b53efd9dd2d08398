// SPDX-License-Identifier: Apache-2.0
//! Options of connection strings that mean the same for every driver, and how their values are written.
//!
//! In: a connection string whose options the registry has found to be the driver's. Out: typed values, or an error that
//! names the option and shows one that would do. Nothing here knows a store.

use std::time::Duration;

use super::ConnectionString;
use super::registry::DriverOption;
use crate::{Error, ErrorKind, Result};

/// How long a connection may take, and how long an answer.
pub(super) const TIMEOUTS: [DriverOption; 2] = [
    DriverOption {
        name: "connect_timeout",
        default: "2",
        summary: "seconds that making a connection may take",
    },
    DriverOption {
        name: "socket_timeout",
        default: "5",
        summary: "seconds that an answer may take",
    },
];

/// After what time the store removes a trace by itself.
#[cfg_attr(
    not(feature = "_ttl"),
    expect(dead_code, reason = "not every store removes traces by itself")
)]
pub(super) const TTL: DriverOption = DriverOption {
    name: "ttl",
    default: "for ever",
    summary: "how long the store keeps a trace: `12h`, `7d`",
};

/// Trust beyond the system's: further authorities, and none at all.
pub(super) const TLS: [DriverOption; 2] = [
    DriverOption {
        name: "tls_ca_file",
        default: "the system's",
        summary: "a PEM file with the authorities that the store's certificate may come from",
    },
    DriverOption {
        name: "tls_verify",
        default: "true",
        summary: "`false` takes any certificate: whoever is in between reads and changes the traces",
    },
];

/// The seconds of the option `name`, more than none, with a fraction if need be.
pub(super) fn seconds(
    connection: &ConnectionString,
    name: &str,
    default: Duration,
) -> Result<Duration> {
    let Some(text) = connection.option(name) else {
        return Ok(default);
    };
    let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(duration)) if !duration.is_zero() => Ok(duration),
        _ => Err(refused(name, text, "write seconds, for example `2.5`")),
    }
}

/// The span of time of the option `name`, as [`parse_span`] reads it, and more than none.
#[cfg_attr(
    not(any(test, feature = "_ttl")),
    expect(dead_code, reason = "not every store removes traces by itself")
)]
pub(super) fn span(connection: &ConnectionString, name: &str) -> Result<Option<Duration>> {
    let Some(text) = connection.option(name) else {
        return Ok(None);
    };
    match parse_span(text) {
        Ok(span) if !span.is_zero() => Ok(Some(span)),
        Ok(_) => Err(refused(name, text, NO_SPAN)),
        Err(why) => Err(refused(name, text, why)),
    }
}

/// Whether the option `name` is on.
pub(super) fn is_on(connection: &ConnectionString, name: &str, default: bool) -> Result<bool> {
    match connection
        .option(name)
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None => Ok(default),
        Some("true" | "1" | "yes" | "on") => Ok(true),
        Some("false" | "0" | "no" | "off") => Ok(false),
        Some(text) => Err(refused(name, text, "write `true` or `false`")),
    }
}

/// What to write for a span of time.
const NO_SPAN: &str = "write for example `90s`, `12h`, `7d` or `4w`";

/// What to write in place of one that is beyond reason.
const TOO_LONG: &str = "it is too long: write at most a hundred years, `36500d`";

/// A span of time as people write it: a whole number and `s`, `m`, `h`, `d` or `w`. An error that says what to write if it is none,
/// or more than a hundred years. A number alone is none: who means days would otherwise lose what is older than seconds.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(osprofiler::driver::parse_span("7d"), Ok(Duration::from_secs(604_800)));
/// ```
pub fn parse_span(text: &str) -> std::result::Result<Duration, &'static str> {
    let text = text.trim();
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(NO_SPAN),
    };
    if number.is_empty() {
        return Err(NO_SPAN);
    }
    let seconds = number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(seconds))
        // More than anybody lives; sums of such a span and a date stay in range.
        .filter(|&seconds| seconds <= 100 * 365 * 86_400);
    seconds.map(Duration::from_secs).ok_or(TOO_LONG)
}

/// The error for an option that cannot be what it is; `help` shows one that would do.
pub(super) fn refused(name: &str, text: &str, help: &str) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("the option `{name}` cannot be `{text}`"),
    )
    .with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_what_they_say() {
        for (text, expected) in [
            ("90", Err(NO_SPAN)),
            ("90s", Ok(90)),
            ("5 min", Ok(300)),
            ("12h", Ok(43_200)),
            ("7d", Ok(604_800)),
            ("4w", Ok(2_419_200)),
            ("0", Err(NO_SPAN)),
            ("0s", Ok(0)),
            ("", Err(NO_SPAN)),
            ("d", Err(NO_SPAN)),
            ("-1d", Err(NO_SPAN)),
            ("1.5h", Err(NO_SPAN)),
            ("1y", Err(NO_SPAN)),
            ("99999999999999999999d", Err(TOO_LONG)),
            ("36500d", Ok(36_500 * 86_400)),
            ("36501d", Err(TOO_LONG)),
            ("99999999999999d", Err(TOO_LONG)),
        ] {
            assert_eq!(
                parse_span(text).map(|span| span.as_secs()),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_value_is_told_with_a_right_one() {
        let connection = ConnectionString::parse("x://h?ttl=soon&t=0&b=maybe").unwrap();
        let told = |error: Error| format!("{error} | {}", error.help().unwrap());
        assert_eq!(
            told(span(&connection, "ttl").unwrap_err()),
            "the option `ttl` cannot be `soon` | write for example `90s`, `12h`, `7d` or `4w`"
        );
        assert_eq!(
            told(seconds(&connection, "t", Duration::ZERO).unwrap_err()),
            "the option `t` cannot be `0` | write seconds, for example `2.5`"
        );
        assert_eq!(
            told(is_on(&connection, "b", true).unwrap_err()),
            "the option `b` cannot be `maybe` | write `true` or `false`"
        );
        assert_eq!(span(&connection, "none").unwrap(), None);
    }
}
