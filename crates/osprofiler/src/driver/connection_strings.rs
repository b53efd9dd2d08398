// SPDX-License-Identifier: Apache-2.0
//! Several connection strings in one text: `redis://h, otlp://collector:4318` names two stores, and each gets everything.
//!
//! A text in, the strings it holds out. It is split only at a comma that a scheme follows, because the hosts of a replica set
//! and passwords have commas of their own. A string that is none costs only itself: what is wrong with it is kept as a text,
//! without its secrets, for whoever uses the others to say.

use std::fmt;

use super::ConnectionString;
use super::connection_string::{are_hosts, is_path, is_scheme, is_word};
use crate::{Error, Result};

/// One connection string or several, separated by commas. Shows no secrets.
///
/// ```
/// # use osprofiler::driver::ConnectionStrings;
/// let stores = ConnectionStrings::parse("mongodb://:s3cret@a:1,b:2/x, otlp://c:4318")?;
/// let shown: Vec<_> = stores.iter().map(ToString::to_string).collect();
/// assert_eq!(shown, ["mongodb://:***@a:1,b:2/x", "otlp://c:4318"]);
/// # Ok::<(), osprofiler::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionStrings {
    /// Never empty.
    each: Vec<ConnectionString>,
    refused: Vec<String>,
}

impl ConnectionStrings {
    /// Reads what stands between commas that a scheme follows.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage), the first one's, if none is a connection string. If some are, the
    /// errors of the others are their texts in [`refused`](Self::refused).
    pub fn parse(text: &str) -> Result<Self> {
        let mut each = Vec::new();
        let mut errors = Vec::new();
        for part in Self::split(text) {
            match ConnectionString::parse(part) {
                Ok(connection) => each.push(connection),
                Err(error) => errors.push(error),
            }
        }
        let refused = errors.iter().map(Error::text_with_help).collect();
        match errors.into_iter().next() {
            Some(first) if each.is_empty() => Err(first),
            _ => Ok(Self { each, refused }),
        }
    }

    /// The parts of `text`, each to be parsed by itself; one if it is no list. A comma belongs to the part before it unless
    /// `scheme://`, another comma or nothing follows, and as long as that part can only be the beginning of a password.
    pub fn split(text: &str) -> Vec<&str> {
        let mut parts = Vec::new();
        let mut begin = 0;
        for (comma, _) in text.match_indices(',') {
            if begins_with_scheme(text[comma + 1..].trim_start())
                && is_whole(&text[begin..comma], &text[comma..])
            {
                parts.push(without_last_comma(&text[begin..comma]));
                begin = comma + 1;
            }
        }
        parts.push(without_last_comma(&text[begin..]));
        parts
    }

    /// A text that is meant as one, as it may be shown: passwords are `***`, and of a part that is no connection string only its
    /// scheme is told, or nothing.
    ///
    /// ```
    /// # use osprofiler::driver::ConnectionStrings;
    /// for (text, shown) in [
    ///     ("redis://:s3cret@h, file:///x", "redis://:***@h, file:///x"),
    ///     ("redis://:%ff@h", "redis://***"),
    ///     ("s3cret:x", "(not shown)"),
    ///     ("/srv/traces.db", "/srv/traces.db"),
    /// ] {
    ///     assert_eq!(ConnectionStrings::shown(text), shown);
    /// }
    /// ```
    pub fn shown(text: &str) -> String {
        let shown: Vec<String> = Self::split(text).into_iter().map(shown).collect();
        shown.join(", ")
    }

    /// The connection strings, in order; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &ConnectionString> {
        self.each.iter()
    }

    /// The same list with each connection string changed.
    #[must_use]
    pub fn map(&self, change: impl Fn(&ConnectionString) -> ConnectionString) -> Self {
        Self {
            each: self.each.iter().map(change).collect(),
            refused: self.refused.clone(),
        }
    }

    /// What is wrong with the parts that are no connection strings, a text each.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }
}

impl fmt::Display for ConnectionStrings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, connection) in self.each.iter().enumerate() {
            let before = if index == 0 { "" } else { ", " };
            write!(f, "{before}{connection}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConnectionStrings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

fn shown(part: &str) -> String {
    if let Ok(connection) = ConnectionString::parse(part) {
        return connection.to_string();
    }
    let scheme = part.trim_end_matches('/');
    let is_scheme_alone = is_scheme(scheme.strip_suffix(':').unwrap_or(scheme));
    if part.is_empty() || is_scheme_alone || is_path(part) {
        return part.to_owned();
    }
    match part.split_once("://") {
        Some((scheme, _)) if is_scheme(scheme) => format!("{scheme}://***"),
        _ => "(not shown)".to_owned(),
    }
}

fn begins_with_scheme(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// A part without the commas behind which nothing stands: a list may end as it goes on.
fn without_last_comma(part: &str) -> &str {
    let mut part = part.trim();
    while let Some(before) = part.strip_suffix(',').filter(|before| is_whole(before, "")) {
        part = before.trim_end();
    }
    part
}

/// Whether a connection string may end before `after`. `redis://:pa` may not: what stands where a port would be is none, so it
/// is a password that goes on behind the comma. Nor may `redis://u:1?pa` if an `@` follows, for `pa` is no option.
fn is_whole(text: &str, after: &str) -> bool {
    let (_, rest) = text.split_once("://").unwrap_or(("", text));
    if rest.contains('@') {
        return true;
    }
    let (hosts, options) = rest.split_once('?').unwrap_or((rest, ""));
    let is_option = |option: &str| {
        option
            .split_once('=')
            .is_some_and(|(name, _)| is_word(name))
    };
    let may_be_password = hosts.contains(':') && after.contains('@');
    are_hosts(hosts)
        && (!may_be_password || options.is_empty() || options.split('&').all(is_option))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(ConnectionStrings::split(text), expected, "{text}");
    }

    #[test]
    fn a_comma_separates_where_a_scheme_follows() {
        check("redis://h", &["redis://h"]);
        check("messaging", &["messaging"]);
        check("", &[""]);
        check(
            "redis://h:6379/1,otlp://c",
            &["redis://h:6379/1", "otlp://c"],
        );
        check(
            " redis://h ,\n  mongodb+srv://c/x ,sqlite:///a:b ",
            &["redis://h", "mongodb+srv://c/x", "sqlite:///a:b"],
        );
        check(
            "mongodb://a:1,b:2,[::1]:3/x?r=y,[::2]:4, otlp://c",
            &["mongodb://a:1,b:2,[::1]:3/x?r=y,[::2]:4", "otlp://c"],
        );
        check(
            "redis://h?sentinel=m&sentinel_fallback=a:1,b:2, file:///x",
            &[
                "redis://h?sentinel=m&sentinel_fallback=a:1,b:2",
                "file:///x",
            ],
        );
        check(
            "redis://h:1?a=b, otlp://u:1?p@c",
            &["redis://h:1?a=b", "otlp://u:1?p@c"],
        );
        check("redis://h, b c://x", &["redis://h, b c://x"]);
        check("file:///a, otlp://c , ", &["file:///a", "otlp://c"]);
        check("redis://h:6379/1,", &["redis://h:6379/1"]);
        check("file:///a, ,otlp://c,,", &["file:///a", "otlp://c"]);
        check(",", &[""]);
    }

    #[test]
    fn a_comma_of_a_password_separates_nothing() {
        check("redis://u:a,b@h", &["redis://u:a,b@h"]);
        check("redis://u:a,b@h, c://d", &["redis://u:a,b@h", "c://d"]);
        for text in [
            "redis://:pa,ss://w@h",
            "redis://u:p/a,ss://w@h",
            "redis://u:p?a,ss://w@h",
            "redis://u:1?a,ss://w@h",
            "redis://u:1?a=b&c,ss://w@h",
            "mongodb://u:p1,b,ss://w@h",
            "redis://:pa,",
        ] {
            check(text, &[text]);
        }
    }

    #[test]
    fn a_string_that_is_none_costs_only_itself() {
        let stores = ConnectionStrings::parse("x://u:%ff,s3cret@h, file:///x").unwrap();
        assert_eq!(stores.to_string(), "file:///x");
        let [refused] = stores.refused() else {
            panic!("{stores:?}")
        };
        assert!(refused.contains("`x`") && !refused.contains("s3cret"));
    }

    #[test]
    fn no_string_is_an_error() {
        for (text, expected) in [
            ("", "the connection string is empty"),
            (
                "//x, y://%ff@h",
                "the connection string does not begin with a scheme",
            ),
        ] {
            let error = ConnectionStrings::parse(text).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
