// SPDX-License-Identifier: Apache-2.0
//! What errors of the client and answers of a server mean: of which kind, whether they pass, what to do about them.
//!
//! A server's words are repeated in part only, on one line, with every secret of the connection string masked.

use std::io;

use serde::Deserialize;

use super::client::{Answer, Call};
use super::settings::Settings;
use crate::driver::ConnectionString;
use crate::driver::tls::untrusted;
use crate::{Error, ErrorKind};

/// The most of a server's words that a message repeats.
const MOST_CHARACTERS: usize = 300;

/// What to know of a failure.
#[derive(Clone, Debug)]
pub(super) struct Sorted {
    kind: ErrorKind,
    /// Whether it is put right, or passes by itself, while services run.
    pub(super) is_temporary: bool,
    /// Whether less of the same may be taken.
    pub(super) is_too_large: bool,
    why: String,
    help: &'static str,
}

const CHECK_ADDRESS: &str = "is the server running, on this port and interface?";
const STRANGER: &str = "what answers there does not speak as Elasticsearch or OpenSearch does";
const CHECK_STRANGER: &str = "check host, port and path; a server with TLS is `elasticsearchs://`";
const CHECK_USER: &str = "write user and password before the host, `elasticsearch://USER:PASSWORD@host`, or `?api_key=...`";
const CHECK_RIGHTS: &str = "allow it on `osprofiler-notifications*`: `create_index`, `index`, `read`, `maintenance`, and `delete` to remove";
const CHECK_TRUST: &str = "name the authority it comes from: `?tls_ca_file=/etc/ssl/elasticsearch-ca.pem`; and the host as the certificate does";
const CHECK_TIME: &str =
    "is it overloaded, or a firewall in between? to wait longer: `?socket_timeout=30`";
const CHECK_BLOCKS: &str = "see which blocks it has: `GET osprofiler-notifications/_settings`";
const CHECK_AUTO_CREATE: &str =
    "allow it, `action.auto_create_index`, or make the index beforehand";
const MAKE_ROOM: &str = "make room, or remove old traces: `?ttl=7d`, `osprofiler trace prune`";
const WAIT: &str = "try again in a while, services do so by themselves; see what it lacks: `GET _nodes/stats/breaker,thread_pool`";
const SEE_LOG: &str = "see the server's log";

impl Sorted {
    fn new(kind: ErrorKind, is_temporary: bool, why: String, help: &'static str) -> Self {
        Self {
            kind,
            is_temporary,
            is_too_large: false,
            why,
            help,
        }
    }

    fn temporary(kind: ErrorKind, why: impl Into<String>, help: &'static str) -> Self {
        Self::new(kind, true, why.into(), help)
    }

    /// The error for `action` on the store, as in "cannot {action} `elasticsearch://host`: ...".
    pub(super) fn told(self, action: &str, store: &ConnectionString) -> Error {
        let why = masked(&self.why, store);
        Error::new(self.kind, format!("cannot {action} `{store}`: {why}"))
            .with_help(self.help)
            .set_temporary(self.is_temporary)
    }
}

/// Whether an answer is a gateway's, which another server may do better than.
pub(super) fn is_gateway(answer: &Answer) -> bool {
    matches!(answer.status, 502..=504)
}

/// No answer, and no other reason.
pub(super) fn late() -> Sorted {
    Sorted::temporary(
        ErrorKind::Unavailable,
        "it does not answer in time",
        CHECK_TIME,
    )
}

/// An answer that no server of the kind gives.
pub(super) fn stranger() -> Sorted {
    Sorted::temporary(ErrorKind::Corrupt, STRANGER, CHECK_STRANGER)
}

/// An answer that is larger than what is read, where it cannot be asked for in parts.
pub(super) fn too_large(call: &Call) -> Sorted {
    let most_mib = call.most_answer_bytes >> 20;
    let why = format!("its answer is larger than {most_mib} MiB");
    Sorted::temporary(ErrorKind::Corrupt, why, CHECK_STRANGER)
}

/// A page that does not end where it must, or ends where the one before did.
pub(super) fn stuck() -> Sorted {
    let why = "its pages do not go on from one to the next";
    Sorted::temporary(ErrorKind::Corrupt, why, CHECK_STRANGER)
}

/// A refusal of one document, which it repeats, that is larger than what is read.
pub(super) fn refused_at_length() -> Sorted {
    let why = "the server refuses it, in more words than are read".to_owned();
    Sorted::new(ErrorKind::Denied, false, why, SEE_LOG)
}

/// A document that is larger than a server takes.
pub(super) fn document_too_large() -> Sorted {
    let why = "the server takes nothing as large (status 413)".to_owned();
    Sorted {
        is_too_large: true,
        ..Sorted::new(
            ErrorKind::Denied,
            false,
            why,
            "see `http.max_content_length`",
        )
    }
}

/// What the client tells of a request that got no answer.
pub(super) fn of_client(error: &ureq::Error, settings: &Settings) -> Sorted {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => Sorted::temporary(
            ErrorKind::Unavailable,
            "it cannot be reached in time",
            CHECK_ADDRESS,
        ),
        ureq::Error::Timeout(_) => late(),
        ureq::Error::Io(error) => of_connection(error, settings),
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => stranger(),
        other => Sorted::temporary(ErrorKind::Unavailable, other.to_string(), CHECK_ADDRESS),
    }
}

/// Whether that is all: no answer in time.
pub(super) fn is_late(error: &ureq::Error) -> bool {
    use io::ErrorKind::{TimedOut, WouldBlock};
    match error {
        ureq::Error::Timeout(_) => true,
        ureq::Error::Io(error) => matches!(error.kind(), TimedOut | WouldBlock),
        _ => false,
    }
}

fn of_connection(error: &io::Error, settings: &Settings) -> Sorted {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return of_tls(error);
    }
    let (why, help) = match error.kind() {
        io::ErrorKind::ConnectionRefused => ("nobody listens there".to_owned(), CHECK_ADDRESS),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => return late(),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => {
            let help = match settings.tls {
                Some(_) => "a server without TLS is `elasticsearch://`",
                None => "the server's log says why; a server with TLS is `elasticsearchs://`",
            };
            ("it closed the connection".to_owned(), help)
        }
        _ => (error.to_string(), CHECK_ADDRESS),
    };
    Sorted::temporary(ErrorKind::Unavailable, why, help)
}

fn of_tls(error: &rustls::Error) -> Sorted {
    match error {
        rustls::Error::InvalidCertificate(reason) => {
            Sorted::temporary(ErrorKind::Denied, untrusted(reason), CHECK_TRUST)
        }
        rustls::Error::InvalidMessage(_) => Sorted::temporary(
            ErrorKind::Corrupt,
            "what answers there does not speak TLS",
            "a server without TLS is `elasticsearch://`",
        ),
        other => Sorted::temporary(ErrorKind::Denied, format!("no TLS ({other})"), SEE_LOG),
    }
}

/// What a server says of a request, or of an element of one, that it did not do.
#[derive(Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) reason: String,
}

#[derive(Deserialize)]
struct Refused {
    error: serde_json::Value,
}

/// What an answer that is no success says.
pub(super) fn of_answer(status: u16, text: &str) -> Sorted {
    let error = serde_json::from_str(text).map(|Refused { error }| error);
    match error {
        // So it answers for a path that it does not know, as of a version of another time.
        Ok(serde_json::Value::String(reason)) if matches!(status, 400 | 404 | 405) => {
            let why = format!("{STRANGER} ({reason})");
            Sorted::temporary(ErrorKind::Corrupt, why, CHECK_STRANGER)
        }
        Ok(error) => of_refusal(status, &Refusal::deserialize(&error).unwrap_or_default()),
        // Proxies answer for a server in pages of their own.
        Err(_) if matches!(status, 401 | 403 | 413 | 429 | 502..=504) => {
            of_refusal(status, &Refusal::default())
        }
        Err(_) => stranger(),
    }
}

/// Of a request, or of an element of one.
pub(super) fn of_refusal(status: u16, refusal: &Refusal) -> Sorted {
    let Refusal { kind, reason } = refusal;
    let words = match (kind.as_str(), reason.as_str()) {
        ("", "") => format!("status {status}"),
        ("", reason) => reason.to_owned(),
        (kind, reason) => format!("{kind}: {reason}"),
    };
    let has_no_room = reason.contains("flood-stage")
        || reason.contains("read-only-allow-delete")
        || reason.contains("read-only / allow delete")
        || reason.contains("maximum normal shards open")
        || reason.contains("maximum shards open");
    if has_no_room {
        let why = format!("the server has no room left ({words})");
        return Sorted::temporary(ErrorKind::Full, why, MAKE_ROOM);
    }
    if kind == "cluster_block_exception" && status != 503 {
        let why = format!("the index is blocked ({words})");
        return Sorted::temporary(ErrorKind::Denied, why, CHECK_BLOCKS);
    }
    match status {
        401 => Sorted::temporary(
            ErrorKind::Denied,
            format!("the server does not know us ({words})"),
            CHECK_USER,
        ),
        403 => Sorted::temporary(
            ErrorKind::Denied,
            format!("the user may not do that ({words})"),
            CHECK_RIGHTS,
        ),
        404 if kind == "index_not_found_exception" => Sorted::temporary(
            ErrorKind::Denied,
            format!("the server makes no index by itself ({words})"),
            CHECK_AUTO_CREATE,
        ),
        413 => document_too_large(),
        429 => Sorted::temporary(
            ErrorKind::Unavailable,
            format!("the server is overloaded ({words})"),
            WAIT,
        ),
        500.. => Sorted::temporary(
            ErrorKind::Unavailable,
            format!("the server cannot at the moment ({words})"),
            SEE_LOG,
        ),
        _ => Sorted::new(
            ErrorKind::Denied,
            false,
            format!("the server refuses it ({words})"),
            SEE_LOG,
        ),
    }
}

/// A line of somebody else's words.
fn masked(text: &str, store: &ConnectionString) -> String {
    let mut line = text.replace(|character: char| character.is_control(), " ");
    for secret in store.secrets().filter(|secret| !secret.is_empty()) {
        line = line.replace(secret, "***");
    }
    match line.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, text: &str, kind: ErrorKind, is_temporary: bool, expected: &str) {
        let store = ConnectionString::parse("elasticsearch://u:s3cret@h").unwrap();
        let error = of_answer(status, text).told("write to", &store);
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (kind, is_temporary),
            "{text}"
        );
        assert_eq!(
            error.to_string(),
            format!("cannot write to `elasticsearch://u:***@h`: {expected}")
        );
    }

    #[test]
    fn what_a_server_refuses_is_sorted() {
        use ErrorKind::{Corrupt, Denied, Full, Unavailable};
        let told = |kind: &str, reason: &str| {
            format!(r#"{{"error": {{"type": "{kind}", "reason": "{reason}", "root_cause": []}}}}"#)
        };
        #[rustfmt::skip] // one line an answer
        let answers = [
            (429, told("cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];"), Full, true,
             "the server has no room left (cluster_block_exception: index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];)"),
            (403, told("cluster_block_exception", "blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];"), Full, true,
             "the server has no room left (cluster_block_exception: blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];)"),
            (403, told("cluster_block_exception", "blocked by: [FORBIDDEN/8/index write (api)];"), Denied, true,
             "the index is blocked (cluster_block_exception: blocked by: [FORBIDDEN/8/index write (api)];)"),
            (503, told("cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/2/no master];"), Unavailable, true,
             "the server cannot at the moment (cluster_block_exception: blocked by: [SERVICE_UNAVAILABLE/2/no master];)"),
            (400, told("validation_exception", "this cluster currently has [1000]/[1000] maximum normal shards open;"), Full, true,
             "the server has no room left (validation_exception: this cluster currently has [1000]/[1000] maximum normal shards open;)"),
            (401, told("security_exception", "unable to authenticate user [u] with s3cret"), Denied, true,
             "the server does not know us (security_exception: unable to authenticate user [u] with ***)"),
            (401, "Unauthorized".to_owned(), Denied, true, "the server does not know us (status 401)"),
            (403, told("security_exception", "action [x] is unauthorized"), Denied, true, "the user may not do that (security_exception: action [x] is unauthorized)"),
            (404, told("index_not_found_exception", "no such index [x]"), Denied, true, "the server makes no index by itself (index_not_found_exception: no such index [x])"),
            (429, told("circuit_breaking_exception", "[parent] Data too large"), Unavailable, true, "the server is overloaded (circuit_breaking_exception: [parent] Data too large)"),
            (429, String::new(), Unavailable, true, "the server is overloaded (status 429)"),
            (502, "<html>".to_owned(), Unavailable, true, "the server cannot at the moment (status 502)"),
            (400, told("mapper_parsing_exception", "failed to parse"), Denied, false, "the server refuses it (mapper_parsing_exception: failed to parse)"),
            (400, r#"{"error": "no handler found for uri [/_bulk]"}"#.to_owned(), Corrupt, true, "what answers there does not speak as Elasticsearch or OpenSearch does (no handler found for uri [/_bulk])"),
            (400, r#"{"error": 7}"#.to_owned(), Denied, false, "the server refuses it (status 400)"),
            (413, String::new(), Denied, false, "the server takes nothing as large (status 413)"),
            (404, "<html>".to_owned(), Corrupt, true, "what answers there does not speak as Elasticsearch or OpenSearch does"),
            (302, r#"{"ok": 1}"#.to_owned(), Corrupt, true, "what answers there does not speak as Elasticsearch or OpenSearch does"),
        ];
        for (status, text, kind, passes, expected) in answers {
            check(status, &text, kind, passes, expected);
        }
    }

    #[test]
    fn a_servers_words_stay_on_one_line_and_short() {
        let reason = "x".repeat(1000);
        let text = format!(r#"{{"error": {{"reason": "a\n\u001b[2J{reason}"}}}}"#);
        let store = ConnectionString::parse("elasticsearch://h").unwrap();
        let error = of_answer(400, &text).told("read", &store).to_string();
        assert!(error.contains("refuses it (a  [2Jxxx"), "{error}");
        assert!(error.len() < MOST_CHARACTERS + 100, "{error}");
    }
}
