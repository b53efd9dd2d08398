// SPDX-License-Identifier: Apache-2.0
//! Connection strings, `scheme://[user[:password]@]rest[?options]`, whose secrets nobody sees.
//!
//! One text in, its percent-decoded parts out. The rest is a list of hosts (`a:1,b:2`), a path, or both; what they mean
//! is the driver's affair. `Debug`, `Display` and every error leave out the password and the options that look secret,
//! also where a password holds an unescaped `@`, `:`, `/`, `?` or `&`: when in doubt a part belongs to the password.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use percent_encoding::percent_decode_str;

use super::registry;
use crate::{Error, ErrorKind, Result};

/// A connection string, parsed. Shows `***` for the password and for options that look secret.
///
/// A path is absolute and begins after the empty host: `sqlite:///srv/traces.db` is the file `/srv/traces.db`. The form with
/// four slashes (`SQLAlchemy`'s for an absolute path) means the same file.
///
/// ```
/// # use osprofiler::driver::ConnectionString;
/// let connection = ConnectionString::parse("redis://:s3cret@a:6379,b/0?socket_timeout=1").unwrap();
/// assert_eq!(connection.password(), Some("s3cret"));
/// assert_eq!(connection.hosts().collect::<Vec<_>>(), [("a", Some(6379)), ("b", None)]);
/// assert_eq!(connection.to_string(), "redis://:***@a:6379,b/0?socket_timeout=1");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ConnectionString {
    scheme: String,
    user: Option<String>,
    password: Option<String>,
    /// Hosts with their ports, comma-separated, as written.
    authority: String,
    /// Decoded; empty or with its leading slash.
    path: String,
    /// Decoded, in order.
    options: Vec<(String, String)>,
}

impl ConnectionString {
    /// Reads a connection string. `://` is appended when absent, the scheme is lower-cased.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or((text, ""));
        if !is_scheme(scheme) {
            return Err(usage(if text.is_empty() {
                "the connection string is empty"
            } else {
                "the connection string does not begin with a scheme"
            })
            .with_help(
                "write `scheme://...`, for example `sqlite:///var/lib/osprofiler/traces.db`",
            ));
        }
        let scheme = scheme.to_ascii_lowercase();
        let (rest, options) = split_options(rest, |name| registry::may_have(&scheme, name));
        let (userinfo, rest) = split_userinfo(rest);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let decode = |part: &str, what: &str| {
            percent_decode_str(part)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| {
                    usage(&format!(
                        "the {what} of the `{scheme}` connection string is not UTF-8 after percent-decoding"
                    ))
                })
        };
        let (user, password) = match userinfo.map(|info| info.split_once(':').ok_or(info)) {
            None => (None, None),
            Some(Err(user)) => (Some(decode(user, "user")?), None),
            Some(Ok((user, password))) => (
                (!user.is_empty())
                    .then(|| decode(user, "user"))
                    .transpose()?,
                Some(decode(password, "password")?),
            ),
        };
        let options = options
            .split('&')
            .filter(|option| !option.is_empty())
            .map(|option| {
                let (name, value) = option.split_once('=').unwrap_or((option, ""));
                Ok((decode(name, "options")?, decode(value, "options")?))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            user,
            password,
            authority: authority.to_owned(),
            path: decode(path, "path")?,
            options,
            scheme,
        })
    }

    /// The scheme, lower-case; the registry finds the driver by it.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The user, decoded; `None` if there is none or it is empty.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, decoded. For the store's client only.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// What nobody is to see, decoded: the password, the values of options that look secret, and the passwords of addresses
    /// within the others. For masking messages.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let (secret, others): (Vec<_>, Vec<_>) = self
            .options
            .iter()
            .map(|(name, value)| (name, value.as_str()))
            .partition(|(name, _)| looks_secret(name));
        let within = |value| passwords(value).into_iter().map(move |range| &value[range]);
        let values = secret.into_iter().map(|(_, value)| value);
        let addresses = others.into_iter().flat_map(move |(_, value)| within(value));
        self.password().into_iter().chain(values).chain(addresses)
    }

    /// Hosts with their ports, as written: `a:1,b:2`, `[::1]:6379`; empty before a path alone.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Each host and its port. The brackets of an IPv6 address are left out; a port that is no number is `None`.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, Option<u16>)> {
        self.authority
            .split(',')
            .filter(|host| !host.is_empty())
            .map(|host| {
                if let Some((address, rest)) =
                    host.strip_prefix('[').and_then(|host| host.split_once(']'))
                {
                    let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
                    return (address, port);
                }
                match host.split_once(':') {
                    Some((name, port)) => (name, port.parse().ok()),
                    None => (host, None),
                }
            })
    }

    /// The path, decoded, empty or with its leading slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The options in order, decoded.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of the option `name`; the last one if it is given twice.
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut options = self.options.iter().rev();
        options
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// The same with an option, unless it has one of that name.
    #[must_use]
    pub(crate) fn or_option(self, name: &str, value: &str) -> Self {
        match self.option(name) {
            Some(_) => self,
            None => self.with_option(name, value),
        }
    }

    /// The same with a further option; one of that name that is there already does not count any more.
    #[must_use]
    pub fn with_option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The file a driver of files works on. A relative path is refused: it would depend on where a service was started.
    pub fn file_path(&self) -> Result<&Path> {
        let scheme = &self.scheme;
        let example = format!("write three slashes: `{scheme}:///var/lib/osprofiler/traces`");
        if !self.authority.is_empty() || self.user.is_some() || self.password.is_some() {
            return Err(usage(&format!(
                "`{self}` names a host or a relative path, `{scheme}` needs an absolute path"
            ))
            .with_help(example));
        }
        if self.path.ends_with('/') || self.path.is_empty() {
            return Err(usage(&format!("`{self}` names no file")).with_help(example));
        }
        if self.path.contains('\0') {
            return Err(usage(&format!("`{self}` holds a NUL byte")));
        }
        // `//srv/x` is the same file as `/srv/x`; one spelling makes messages comparable.
        let slashes = self
            .path
            .len()
            .saturating_sub(self.path.trim_start_matches('/').len());
        Ok(Path::new(&self.path[slashes - 1..]))
    }
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
        }
        if self.password.is_some() {
            f.write_str(":***")?;
        }
        if self.user.is_some() || self.password.is_some() {
            f.write_str("@")?;
        }
        write!(f, "{}{}", self.authority, self.path)?;
        for (index, (name, value)) in self.options.iter().enumerate() {
            write!(f, "{}{name}=", if index == 0 { '?' } else { '&' })?;
            if looks_secret(name) {
                f.write_str("***")?;
                continue;
            }
            let mut shown = 0;
            for hidden in passwords(value) {
                write!(f, "{}***", &value[shown..hidden.start])?;
                shown = hidden.end;
            }
            f.write_str(&value[shown..])?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

fn usage(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message)
}

pub(super) fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.len() <= 64
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

/// Splits `user:password@host?options` before its options. People paste passwords that hold any character, so a `?` begins
/// options only where a `?` after hosts would: ports are numbers, and as far as the last `@` of all nothing follows but
/// `name=value&name=value` whose names `is_option` knows. Any other `?` before that `@` is the password's.
pub(super) fn split_options(rest: &str, is_option: impl Fn(&str) -> bool) -> (&str, &str) {
    let last = rest.rfind('@').filter(|_| !rest.starts_with('/'));
    let begins_options = |at: &usize| {
        let Some(before_last) = last.and_then(|last| rest.get(at + 1..last)) else {
            return true;
        };
        let mut options = before_last.split('&');
        are_hosts(&rest[..*at])
            && options.all(|option| {
                option
                    .split_once('=')
                    .is_some_and(|(name, _)| is_option(name))
            })
    };
    let mut places = rest.match_indices('?').map(|(at, _)| at);
    match places.find(begins_options) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, ""),
    }
}

/// Splits `user:password@rest`, without options. The last `@` ends the password; so an `@` of a path after a host has to be
/// written `%40`.
fn split_userinfo(rest: &str) -> (Option<&str>, &str) {
    match rest.rfind('@') {
        Some(end) if !rest.starts_with('/') => (Some(&rest[..end]), &rest[end + 1..]),
        _ => (None, rest),
    }
}

/// Whether hosts, and perhaps a path, follow the last `@` of `text`, as far as ports tell: `h:1` does, the beginning of a
/// password does not, unless it is a number.
pub(super) fn are_hosts(text: &str) -> bool {
    let (_, hosts) = split_userinfo(text);
    let authority = hosts.split(['/', '?']).next().unwrap_or_default();
    authority.split(',').all(|host| {
        let port = match host.rsplit_once(']') {
            Some((_, after)) => after.strip_prefix(':'),
            None => host.split_once(':').map(|(_, port)| port),
        };
        port.is_none_or(|port| port.parse::<u16>().is_ok())
    })
}

/// Where the passwords are in an option's value that is an address, or holds some: what follows `://` and stands between the
/// first `:` and the last `@`. Of several hosts with a password each, what is between them is hidden, too.
fn passwords(value: &str) -> Vec<Range<usize>> {
    let is_begin = |&(at, _): &(usize, &str)| {
        let before = value[..at].trim_end_matches(|character: char| {
            character.is_ascii_alphanumeric() || "+-._".contains(character)
        });
        // Otherwise it stands in a password.
        before.len() < at && !before.ends_with([':', '@'])
    };
    let begins: Vec<usize> = value
        .match_indices("://")
        .filter(is_begin)
        .map(|(at, _)| at + 3)
        .collect();
    let ends = begins.iter().skip(1).copied().chain([value.len()]);
    begins
        .iter()
        .zip(ends)
        .filter_map(|(&begin, end)| {
            let (address, _) = split_options(&value[begin..end], is_word);
            let (userinfo, _) = split_userinfo(address);
            let (user, password) = userinfo?.split_once(':')?;
            let begin = begin + user.len() + 1;
            Some(begin..begin + password.len())
        })
        .collect()
}

/// Whether an option may have that name, as far as its letters tell.
pub(super) fn is_word(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether an option of that name holds something to hide. Allocates nothing: stores are named at a process's end, too.
fn looks_secret(name: &str) -> bool {
    let holds = |word: &str| {
        let mut parts = name.as_bytes().windows(word.len());
        parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    [
        "pass",
        "pwd",
        "secret",
        "token",
        "key",
        "credential",
        "auth",
        "sign",
        "header",
    ]
    .into_iter()
    .any(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is what `Display` shows, with the file after ` -> ` where there is one.
    fn check(text: &str, expected: &str) {
        let connection = ConnectionString::parse(text).unwrap();
        let mut shown = connection.to_string();
        if let Ok(path) = connection.file_path() {
            shown = format!("{shown} -> {}", path.display());
        }
        assert_eq!(shown, expected, "{text}");
        assert!(!format!("{connection:?}").contains("s3cret"), "{text}");
        if let Err(error) = connection.file_path() {
            assert!(!format!("{error:?}").contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn parts_are_found_and_secrets_are_not_shown() {
        for (text, expected) in [
            (
                "sqlite:///srv/trace.db",
                "sqlite:///srv/trace.db -> /srv/trace.db",
            ),
            (
                "sqlite:////srv/trace.db",
                "sqlite:////srv/trace.db -> /srv/trace.db",
            ),
            (
                "file:///a%20b@c.jsonl",
                "file:///a b@c.jsonl -> /a b@c.jsonl",
            ),
            ("SQLite:///x?max_size=1GB", "sqlite:///x?max_size=1GB -> /x"),
            ("messaging", "messaging://"),
            ("redis://h", "redis://h"),
            ("redis://:s3cret@h:6379/2", "redis://:***@h:6379/2"),
            ("redis://:s3cret%40@h", "redis://:***@h"),
            ("redis://u:@s3cret@h/1", "redis://u:***@h/1"),
            ("redis://u:a/s3cret@h/1", "redis://u:***@h/1"),
            ("redis://u:a?s3cret@h/1?db=2", "redis://u:***@h/1?db=2"),
            ("redis://u:1?s3cret@h/1", "redis://u:***@h/1"),
            ("redis://u:1?db=2&s3cret@h", "redis://u:***@h"),
            ("redis://u:1/s3cret?db@h", "redis://u:***@h"),
            ("redis://u:?s3cret@h", "redis://u:***@h"),
            ("redis://u:99999?db=s3cret@h", "redis://u:***@h"),
            ("redis://u:a@b?s3cret@h/1?db=2", "redis://u:***@h/1?db=2"),
            ("redis://u:a@b:1?s3cret@h", "redis://u:***@h"),
            ("redis://u:1#%&=,s3cret@h?db=2", "redis://u:***@h?db=2"),
            (
                "redis://h:1,[::1]:2?sentinel=m&sentinel_password=a?@s3cret&db=1",
                "redis://h:1,[::1]:2?sentinel=m&sentinel_password=***&db=1",
            ),
            (
                "unix://:s3cret@/run/redis?db=2",
                "unix://:***@/run/redis?db=2",
            ),
            (
                "mongodb://u:s3cret@a:1,b:2,[::1]:3/?replicaSet=r",
                "mongodb://u:***@a:1,b:2,[::1]:3/?replicaSet=r",
            ),
            (
                "redis://h?password=s3cret&db=1",
                "redis://h?password=***&db=1",
            ),
            ("es://h?API_Key=s3cret", "es://h?API_Key=***"),
            ("otlp://h?headers=a=s3cret", "otlp://h?headers=***"),
            ("x://h:4318/x?mail=a@b", "x://h:4318/x?mail=a@b"),
            (
                "messaging://?transport_url=rabbit://u:1?s3cret@h/v&topic=t",
                "messaging://?transport_url=rabbit://u:***@h/v&topic=t",
            ),
            (
                "messaging://?transport_url=rabbit://u:1&s3cret@h",
                "messaging://?transport_url=rabbit:***@h",
            ),
            (
                "messaging://?transport_url=rabbit://u:s3cret@h:5672/v&topic=t",
                "messaging://?transport_url=rabbit://u:***@h:5672/v&topic=t",
            ),
            (
                "x://?a=rabbit%3A%2F%2Fu%3As3cret%40h1,u:s3cret@@h2&b=http://h:1/a:b",
                "x://?a=rabbit://u:***@h2&b=http://h:1/a:b",
            ),
            (
                "x://h?urls=http://a:1/b,amqp://:s3cret@c,amqp://u:d://s3cret@e",
                "x://h?urls=http://a:1/b,amqp://:***@c,amqp://u:***@e",
            ),
        ] {
            check(text, expected);
        }
    }

    #[cfg(feature = "redis")]
    #[test]
    fn what_is_no_option_of_the_driver_is_the_passwords() {
        for (text, expected) in [
            ("redis://u:1?s3cret=@h/1?db=2", "redis://u:***@h/1?db=2"),
            ("redis://u:1?db=2&s3cret=a@h", "redis://u:***@h"),
            ("redis://h:1?DB=a@b", "redis://h:***@b"),
            ("redis://h:1?db=a@b", "redis://h:1?db=a@b"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn what_messages_must_not_show_is_named() {
        for (text, expected) in [
            ("redis://u:a@h?token=b&db=1", &["a", "b"][..]),
            ("redis://u:1?b@h/1", &["1?b"]),
            (
                "x://h?urls=http://a:1/b,amqp://u:c@d,amqp://:e@f",
                &["c", "e"],
            ),
        ] {
            let connection = ConnectionString::parse(text).unwrap();
            assert_eq!(connection.secrets().collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn a_password_comes_back_decoded() {
        for (text, user, password) in [
            ("redis://:p%40%2F@h", None, Some("p@/")),
            ("redis://u@h", Some("u"), None),
            ("redis://u:@h", Some("u"), Some("")),
            ("redis://u:a:b@h", Some("u"), Some("a:b")),
            ("redis://u:1?a@b/c@h/2?db=1", Some("u"), Some("1?a@b/c")),
            ("redis://h:1?db=1", None, None),
            ("redis://h:1", None, None),
        ] {
            let connection = ConnectionString::parse(text).unwrap();
            assert_eq!(
                (connection.user(), connection.password()),
                (user, password),
                "{text}"
            );
        }
    }

    #[test]
    fn each_host_of_a_replica_set_is_found() {
        let connection = ConnectionString::parse("mongodb://a:1,b,[::1]:3/x").unwrap();
        assert_eq!(
            connection.hosts().collect::<Vec<_>>(),
            [("a", Some(1)), ("b", None), ("::1", Some(3))]
        );
    }

    #[test]
    fn the_last_of_two_equal_options_counts() {
        let connection = ConnectionString::parse("x://h?a=1&b&a=%32").unwrap();
        assert_eq!(connection.option("a"), Some("2"));
        assert_eq!(connection.option("b"), Some(""));
        assert_eq!(connection.option("c"), None);
    }

    #[test]
    fn what_is_no_connection_string_is_refused_without_repeating_it() {
        for text in [
            "",
            "  ",
            "://s3cret",
            "a b://s3cret",
            "s3cret:s3cret",
            "1x://s3cret",
            "x://:%ff@s3cret",
        ] {
            let error = ConnectionString::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(!format!("{error:?}").contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn a_path_must_be_absolute_and_name_a_file() {
        for text in [
            "sqlite://trace.db",
            "sqlite://",
            "sqlite:///",
            "sqlite:///a/",
            "sqlite://rel/a",
            "file:///a%00b",
        ] {
            let error = ConnectionString::parse(text)
                .unwrap()
                .file_path()
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
        }
    }
}
