// SPDX-License-Identifier: Apache-2.0
//! What the client's and the server's errors mean: of which kind, whether they pass, what to do about them.
//!
//! A text of the server's is repeated in part only, on one line; no command is, so no password and no notification.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use ::redis::{ErrorKind as ClientKind, RedisError};

use super::settings::Settings;
use crate::driver::tls::untrusted;
use crate::driver::words::one_line;
use crate::{Error, ErrorKind};

/// An error, understood.
pub(super) struct Cause {
    pub(super) kind: ErrorKind,
    /// Ends the sentence "cannot write `redis://...`: ".
    pub(super) why: String,
    /// What to do; may be empty.
    pub(super) help: &'static str,
}

/// The error for `action` on the store that the settings name.
pub(super) fn sort(action: &str, settings: &Settings, error: &RedisError) -> Error {
    // Whoever runs the server puts the rest right.
    let lasts = error.code() == Some("WRONGTYPE");
    tell(action, settings, explain(settings, error), lasts)
}

/// The error for `action` on a store all of whose keys that are needed hold what somebody else put there.
pub(super) fn of_wrong_type(action: &str, settings: &Settings) -> Error {
    tell(action, settings, wrong_type(), true)
}

fn tell(action: &str, settings: &Settings, cause: Cause, lasts: bool) -> Error {
    let Cause { kind, why, help } = cause;
    let lasts = lasts || kind == ErrorKind::Usage;
    let shown = &settings.shown;
    let told = Error::new(kind, format!("cannot {action} `{shown}`: {why}")).set_temporary(!lasts);
    if help.is_empty() {
        told
    } else {
        told.with_help(help)
    }
}

pub(super) fn explain(settings: &Settings, error: &RedisError) -> Cause {
    if let Some(cause) = io_error(error).map(explain_io) {
        return cause;
    }
    let (kind, why, help) = match error.kind() {
        ClientKind::Server(_) | ClientKind::Extension => return explain_answer(settings, error),
        ClientKind::Parse | ClientKind::UnexpectedReturnType => (
            ErrorKind::Corrupt,
            "what answers there does not speak as Redis does".to_owned(),
            "check host and port; a server that wants TLS is `rediss://`",
        ),
        ClientKind::InvalidClientConfig => (
            ErrorKind::Usage,
            one_line(error.detail().unwrap_or("its address cannot be")),
            "",
        ),
        _ => (ErrorKind::Unavailable, one_line(&error.to_string()), ""),
    };
    Cause { kind, why, help }
}

/// The server refused, in its own words.
fn explain_answer(settings: &Settings, error: &RedisError) -> Cause {
    // Some servers repeat what they do not understand, a password among it.
    let words = one_line(&settings.masked(error.detail().unwrap_or_default()));
    let code = &*settings.masked(error.code().unwrap_or_default());
    let (kind, why, help) = match code {
        "OOM" => (
            ErrorKind::Full,
            "the server's memory is full (`maxmemory`)".to_owned(),
            "let traces expire, `?ttl=7d`, or raise `maxmemory`",
        ),
        "NOAUTH" => (
            ErrorKind::Denied,
            "the server wants a password".to_owned(),
            "write it before the host: `redis://:PASSWORD@host`",
        ),
        "WRONGPASS" => (
            ErrorKind::Denied,
            "the server knows no such user and password".to_owned(),
            "try them: `redis-cli -h HOST -p PORT --user USER --askpass ping`",
        ),
        "NOPERM" => (
            ErrorKind::Denied,
            format!("the user may not do that ({words})"),
            "allow it: `ACL SETUSER name ~osprofiler* +@read +@write +@transaction +@connection`",
        ),
        "DENIED" => (
            ErrorKind::Denied,
            "the server is in protected mode: it answers on its own machine only".to_owned(),
            "give it a password, or set `protected-mode no` in a network that nobody else is in",
        ),
        "LOADING" => (
            ErrorKind::Unavailable,
            "the server is still loading its data".to_owned(),
            "",
        ),
        "READONLY" => (
            ErrorKind::Unavailable,
            "the server is a replica, which takes no writes".to_owned(),
            "name the master, or its sentinels: `redissentinel://host:26379?sentinel=mymaster`",
        ),
        "MASTERDOWN" => (
            ErrorKind::Unavailable,
            "the server is a replica that has lost its master".to_owned(),
            "",
        ),
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => (
            ErrorKind::Usage,
            "the server is a node of a Redis Cluster, which this driver does not speak".to_owned(),
            "use a server of its own, with replicas and sentinels",
        ),
        "WRONGTYPE" => return wrong_type(),
        // Passwords in the words of servers before 6.0, and the plain refusals of all.
        "ERR" if words.contains("AUTH") || words.contains("invalid password") => {
            (ErrorKind::Denied, refusal(&words), "")
        }
        "ERR" if words.contains("DB index") => (
            ErrorKind::Usage,
            refusal(&words),
            "take a smaller number, or raise `databases`",
        ),
        "ERR" if words.contains("unknown command") => (
            ErrorKind::Corrupt,
            refusal(&words),
            "is it a Redis server, and not a sentinel or a proxy?",
        ),
        "ERR" => (ErrorKind::Unavailable, refusal(&words), ""),
        // NOREPLICAS, MISCONF, TRYAGAIN, BUSY and whatever comes: the server's state, not ours.
        code => (
            ErrorKind::Unavailable,
            refusal(&one_line(&format!("{code} {words}"))),
            "",
        ),
    };
    Cause { kind, why, help }
}

fn wrong_type() -> Cause {
    Cause {
        kind: ErrorKind::Corrupt,
        why: "a key of ours holds what somebody else put there".to_owned(),
        help: "see them: `redis-cli --scan --pattern 'osprofiler*'`, and their `type`",
    }
}

fn refusal(words: &str) -> String {
    format!("the server says \"{words}\"")
}

fn explain_io(error: &io::Error) -> Cause {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return explain_tls(tls);
    }
    let (kind, why, help) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            ErrorKind::Unavailable,
            "nobody listens there".to_owned(),
            "is the server running, on this port and interface?",
        ),
        io::ErrorKind::NotFound => (
            ErrorKind::Unavailable,
            "there is no such socket".to_owned(),
            "is the server running, with this `unixsocket`?",
        ),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Denied,
            "permission denied on its socket".to_owned(),
            "join the socket's group, or set `unixsocketperm 770`",
        ),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => (
            ErrorKind::Unavailable,
            "it does not answer in time".to_owned(),
            "is it overloaded, or a firewall in between? without TLS it is `redis://`; to wait longer: `?socket_timeout=30`",
        ),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => (
            ErrorKind::Unavailable,
            "it closed the connection".to_owned(),
            "the server's log says why; a server that wants TLS is `rediss://`",
        ),
        // A name that nobody knows, a network that leads nowhere.
        _ => (
            ErrorKind::Unavailable,
            one_line(&error.to_string()),
            "check host and port; the name has to be known on this machine: `getent hosts NAME`",
        ),
    };
    Cause { kind, why, help }
}

fn explain_tls(error: &rustls::Error) -> Cause {
    let (kind, why, help) = match error {
        rustls::Error::InvalidCertificate(reason) => (
            ErrorKind::Denied,
            untrusted(reason),
            "name the authority it comes from: `?tls_ca_file=/etc/ssl/redis-ca.pem`",
        ),
        rustls::Error::InvalidMessage(_) => (
            ErrorKind::Corrupt,
            "what answers there does not speak TLS".to_owned(),
            "a server without TLS is `redis://`",
        ),
        rustls::Error::AlertReceived(alert) => (
            ErrorKind::Denied,
            format!("it refuses the TLS connection ({alert:?})"),
            "if it wants a certificate of ours: `?ssl_certfile=...&ssl_keyfile=...`",
        ),
        _ => (ErrorKind::Unavailable, one_line(&error.to_string()), ""),
    };
    Cause { kind, why, help }
}

/// The error of the connection that is behind a client's error.
fn io_error(error: &RedisError) -> Option<&io::Error> {
    let source = error.source()?;
    source.downcast_ref().or_else(|| {
        let shared: &Arc<dyn StdError + Send + Sync> = source.downcast_ref()?;
        shared.downcast_ref()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::ConnectionString;
    use crate::driver::words::MOST_CHARACTERS;

    fn settings() -> Settings {
        let text = "redis://:s3cret@h?sentinel=m&sentinel_password=s3cret2";
        Settings::of(&ConnectionString::parse(text).unwrap()).unwrap()
    }

    /// What a server's error is told as: kind, whether it passes, and the words.
    fn check(answer: &str, kind: ErrorKind, passes: bool, why: &str) {
        let value = ::redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
        let error = value.extract_error().unwrap_err();
        let sorted = sort("write", &settings(), &error);
        assert_eq!(
            (sorted.kind(), sorted.is_temporary()),
            (kind, passes),
            "{answer}"
        );
        assert_eq!(
            sorted.to_string(),
            format!("cannot write `redis://:***@h?sentinel=m&sentinel_password=***`: {why}")
        );
    }

    #[test]
    fn what_a_server_refuses_is_sorted() {
        use ErrorKind::{Corrupt, Denied, Full, Unavailable, Usage};
        #[rustfmt::skip] // one line an answer
        let answers = [
            ("OOM command not allowed when used memory > 'maxmemory'.", Full, true, "the server's memory is full (`maxmemory`)"),
            ("NOAUTH Authentication required.", Denied, true, "the server wants a password"),
            ("WRONGPASS invalid username-password pair or user is disabled.", Denied, true, "the server knows no such user and password"),
            ("ERR invalid password", Denied, true, "the server says \"invalid password\""),
            ("ERR AUTH <password> called without any password configured", Denied, true, "the server says \"AUTH <password> called without any password configured\""),
            ("ERR unknown command `AUTH`, with args beginning with: `s3cret`, ", Denied, true, "the server says \"unknown command `AUTH`, with args beginning with: `***`, \""),
            ("s3cret2 s3cret", Unavailable, true, "the server says \"*** ***\""),
            ("NOPERM this user has no permissions", Denied, true, "the user may not do that (this user has no permissions)"),
            ("DENIED Redis is running in protected mode because", Denied, true, "the server is in protected mode: it answers on its own machine only"),
            ("LOADING Redis is loading the dataset in memory", Unavailable, true, "the server is still loading its data"),
            ("READONLY You can't write against a read only replica.", Unavailable, true, "the server is a replica, which takes no writes"),
            ("MASTERDOWN Link with MASTER is down", Unavailable, true, "the server is a replica that has lost its master"),
            ("NOREPLICAS Not enough good replicas to write.", Unavailable, true, "the server says \"NOREPLICAS Not enough good replicas to write.\""),
            ("MISCONF Errors writing to the AOF file", Unavailable, true, "the server says \"MISCONF Errors writing to the AOF file\""),
            ("ERR max number of clients reached", Unavailable, true, "the server says \"max number of clients reached\""),
            ("ERR DB index is out of range", Usage, false, "the server says \"DB index is out of range\""),
            ("ERR unknown command 'LPUSH'", Corrupt, true, "the server says \"unknown command 'LPUSH'\""),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Corrupt, false, "a key of ours holds what somebody else put there"),
            ("MOVED 3999 127.0.0.1:6381", Usage, false, "the server is a node of a Redis Cluster, which this driver does not speak"),
        ];
        for (answer, kind, passes, why) in answers {
            check(answer, kind, passes, why);
        }
    }

    #[test]
    fn a_host_that_nobody_knows_is_told_with_what_to_check() {
        let unknown = io::Error::other("failed to lookup address information");
        let error = sort("read", &settings(), &RedisError::from(unknown));
        assert!(
            error.help().unwrap_or_default().contains("getent hosts"),
            "{error:?}"
        );
    }

    #[test]
    fn a_servers_words_stay_on_one_line_and_short() {
        let value = format!("-HELLO \u{1b}[2J\t{}\r\n", "x".repeat(1000));
        let value = ::redis::parse_redis_value(value.as_bytes()).unwrap();
        let cause = explain(&settings(), &value.extract_error().unwrap_err());
        assert!(
            cause.why.starts_with("the server says \"HELLO  [2J xxx"),
            "{}",
            cause.why
        );
        assert!(cause.why.len() < MOST_CHARACTERS + 50, "{}", cause.why);
    }
}
