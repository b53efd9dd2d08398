// SPDX-License-Identifier: Apache-2.0
//! Connection strings, `scheme://[user[:password]@]rest[?options]`, whose secrets nobody sees.
//!
//! One text in, its percent-decoded parts out. The rest is a list of hosts (`a:1,b:2`), a path, or both; what they mean
//! is the driver's affair. `Debug`, `Display` and every error leave out the password and the options that look secret,
//! also where a password holds an unescaped `@`, `:`, `/`, `?` or `&`: when in doubt a part belongs to the password, but for a
//! store's scheme behind `;` or a blank, which is refused, in an option, too.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::registry;
use crate::shown::steers_terminal;
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
            .with_help(scheme_help(text)));
        }
        let scheme = scheme.to_ascii_lowercase();
        refuse_schemes_within(&scheme, rest)?;
        let (rest, options) = split_options(rest, |name| registry::may_have(&scheme, name));
        let (userinfo, rest) = split_userinfo(rest);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let begins_another = [",/", ";/", " /"].iter().any(|begin| path.contains(begin));
        if rest.contains("://") || begins_another {
            return Err(several_stores(&scheme));
        }
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

    /// The text of a connection string for a file by its absolute path in UTF-8, to be read again by [`parse`](Self::parse): what means
    /// something else there, and what would steer a terminal, is written `%XX`.
    ///
    /// ```
    /// # use osprofiler::driver::ConnectionString;
    /// let text = ConnectionString::of_file("file", "/srv/100%,/x.jsonl".as_ref());
    /// assert_eq!(text, "file:///srv/100%25%2C/x.jsonl");
    /// ```
    pub fn of_file(scheme: &str, path: &Path) -> String {
        const MEANS_ELSE: &AsciiSet = &CONTROLS
            .add(b'%')
            .add(b'?')
            .add(b',')
            .add(b';')
            .add(b':')
            .add(b' ');
        let path = path.display().to_string();
        let letters = path.chars().map(|letter| {
            let text = letter.to_string();
            // Those of other languages stay readable.
            if letter.is_ascii() || letter.is_whitespace() || steers_terminal(letter) {
                utf8_percent_encode(&text, MEANS_ELSE).to_string()
            } else {
                text
            }
        });
        format!("{scheme}://{}", letters.collect::<String>())
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
        let help = || format!("write three slashes: `{}`", self.example_of_file());
        if !self.authority.is_empty() || self.user.is_some() || self.password.is_some() {
            return Err(usage(&format!(
                "`{self}` names a host or a relative path, `{scheme}` needs an absolute path"
            ))
            .with_help(help()));
        }
        if self.path.ends_with('/') || self.path.is_empty() {
            return Err(usage(&format!("`{self}` names no file")).with_help(help()));
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

    /// A connection string with an absolute path, and the name of the file that was written, if one was.
    fn example_of_file(&self) -> String {
        let example =
            registry::example(&self.scheme).unwrap_or("file:///var/lib/osprofiler/traces");
        let example = example.split('?').next().unwrap_or(example);
        let written = match (&self.user, &self.password) {
            (None, None) => format!("{}{}", self.authority, self.path),
            _ => String::new(),
        };
        let name = written.rsplit('/').next().unwrap_or_default();
        match example.rsplit_once('/') {
            Some((folder, _)) if !name.is_empty() => format!("{folder}/{name}"),
            _ => example.to_owned(),
        }
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

/// An error if another scheme stands before the rest, a store's or HTTP's, or a store's in it behind `;` or a blank; a comma is the affair of who splits lists.
/// Looked for before the password is known: one with such a thing in it is rarer than a list that is written so.
fn refuse_schemes_within(scheme: &str, rest: &str) -> Result<()> {
    for (at, _) in rest.match_indices("://") {
        let before = before_scheme(&rest[..at]);
        let inner = rest[before.len()..at].to_ascii_lowercase();
        let is_store = registry::has(&inner);
        if before.is_empty() && (is_store || inner == "http" || inner == "https") {
            return Err(two_schemes(scheme, &inner));
        }
        if is_store && before.ends_with([';', ' ', '\t', '\n']) {
            return Err(several_stores(scheme));
        }
    }
    Ok(())
}

fn two_schemes(scheme: &str, inner: &str) -> Error {
    let with_tls = format!("{scheme}s");
    let help = match inner {
        "https" if registry::has(&with_tls) => format!("write `{with_tls}://...`"),
        "https" => format!(
            "leave out `https://`: `{scheme}://...`; how its TLS is switched on is an option's affair"
        ),
        "http" => format!("leave out `http://`: `{scheme}://...`"),
        _ if inner == scheme => format!("write it once: `{scheme}://...`"),
        _ => format!("leave one of them out: `{scheme}://...` or `{inner}://...`"),
    };
    usage(&format!("`{scheme}://` is followed by another scheme")).with_help(help)
}

/// What stands before a scheme, of a text that ends with one.
fn before_scheme(text: &str) -> &str {
    text.trim_end_matches(|character: char| {
        character.is_ascii_alphanumeric() || "+-._".contains(character)
    })
}

fn several_stores(scheme: &str) -> Error {
    usage(&format!(
        "what follows `{scheme}://` looks like more than one store"
    ))
    .with_help(
        "several stores are separated by commas, each with its scheme: `sqlite:///srv/traces.db, otlp://collector:4318`; \
         within a path, a password or an option write `:` as `%3A`, `,` as `%2C`, `;` as `%3B`, a blank as `%20`",
    )
}

/// What to write instead of a text without a scheme. It may be a secret, but for what can only be a path.
fn scheme_help(text: &str) -> String {
    // Two paths with a blank between them are no name.
    if is_path(text) && !text.contains(" /") {
        let path = Path::new(text);
        let scheme = match path.extension() {
            Some(extension) if extension == "jsonl" => "file",
            _ => "sqlite",
        };
        return format!(
            "did you mean `{}`?",
            ConnectionString::of_file(scheme, path)
        );
    }
    "write `scheme://...`, for example `sqlite:///var/lib/osprofiler/traces.db`".to_owned()
}

/// Whether a text is an absolute path, and has nothing behind which a password would stand.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains(|c: char| "@:,;?=&%#".contains(c) || c.is_control())
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
        let before = before_scheme(&value[..at]);
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
mod tests;
