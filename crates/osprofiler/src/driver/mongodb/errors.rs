// SPDX-License-Identifier: Apache-2.0
//! What the errors of MongoDB's client and servers mean: of which kind, whether they pass, what to do about them.
//!
//! A server's own words are shown, cut to a line and with every secret of the connection string masked.

use std::io;

use mongodb::error::{
    Error as ClientError, ErrorKind as Client, InsertManyError, RETRYABLE_WRITE_ERROR, WriteFailure,
};

use crate::driver::ConnectionString;
use crate::{Error, ErrorKind};

/// Why a call failed, as far as the client told.
#[derive(Default)]
pub(super) struct Failure {
    pub(super) error: Option<ClientError>,
    /// Why no server could be reached.
    pub(super) cause: Option<ClientError>,
    /// What there is to say without an error.
    pub(super) text: String,
}

impl Failure {
    pub(super) fn of(error: ClientError) -> Self {
        Self {
            error: Some(error),
            ..Self::default()
        }
    }

    pub(super) fn told(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }
}

/// What to know of a failure.
pub(super) struct Sorted {
    kind: ErrorKind,
    /// Whether it is put right, or passes by itself, while services run.
    is_temporary: bool,
    why: String,
    help: &'static str,
}

const CHECK_ADDRESS: &str = "check that the server runs, and that host and port are right";
const CHECK_USER: &str = "check user and password, and `authSource`: the database that knows the user, `admin` if none is named";
const CHECK_RIGHTS: &str =
    "grant the user `readWrite` on the database `osprofiler`; reading needs `read`";
const CHECK_TRUST: &str = "name the authority of the server's certificate: `tls_ca_file=/path/authority.pem`; and the host as the certificate does";
const CHECK_TLS: &str =
    "a server with TLS wants `tls=true`, one without wants none of the TLS options";
const CHECK_URI: &str =
    "write `mongodb://[user:password@]host[:27017][,host...][/authSource][?option=value&...]`";
const CHECK_SERVER: &str = "check that a MongoDB server runs there; one with TLS wants `tls=true`, one without TLS does not";
const CHECK_CONCERN: &str = "check that the replica set's members run, or ask fewer: `w=1`";
const SEE_LOG: &str = "see the server's log";
const MAKE_ROOM: &str = "make room, remove old traces, or let the store do it: `ttl=7d`";

/// The error for a call on the store that failed; `action` as in "cannot {action} `mongodb://host`: ...".
pub(super) fn sort(action: &str, store: &ConnectionString, failure: Failure) -> Error {
    let sorted = match &failure.error {
        Some(error) => sort_error(error, failure.cause.as_ref()),
        None => unavailable(failure.text),
    };
    sorted.told(action, store)
}

impl Sorted {
    pub(super) fn told(self, action: &str, store: &ConnectionString) -> Error {
        let why = masked(&self.why, store);
        Error::new(self.kind, format!("cannot {action} `{store}`: {why}"))
            .with_help(self.help)
            .set_temporary(self.is_temporary)
    }
}

fn temporary(kind: ErrorKind, why: String, help: &'static str) -> Sorted {
    Sorted {
        kind,
        is_temporary: true,
        why,
        help,
    }
}

fn lasting(kind: ErrorKind, why: String, help: &'static str) -> Sorted {
    Sorted {
        kind,
        is_temporary: false,
        why,
        help,
    }
}

fn unavailable(why: String) -> Sorted {
    temporary(ErrorKind::Unavailable, why, CHECK_ADDRESS)
}

fn sort_error(error: &ClientError, cause: Option<&ClientError>) -> Sorted {
    match &*error.kind {
        Client::ServerSelection { .. } | Client::ConnectionPoolCleared { .. } => match cause {
            Some(cause) if !matches!(*cause.kind, Client::ServerSelection { .. }) => {
                sort_error(cause, None)
            }
            _ => unavailable("no server was found that may be asked".to_owned()),
        },
        Client::Io(error) => sort_io(error),
        Client::DnsResolve { message, .. } => unavailable(message.clone()),
        Client::Authentication { message, .. } => {
            temporary(ErrorKind::Denied, message.clone(), CHECK_USER)
        }
        Client::InvalidTlsConfig { message, .. } => {
            lasting(ErrorKind::Usage, message.clone(), CHECK_TRUST)
        }
        Client::InvalidArgument { message, .. } => {
            lasting(ErrorKind::Usage, message.clone(), CHECK_URI)
        }
        Client::InvalidResponse { .. } | Client::Bson(_) | Client::IncompatibleServer { .. } => {
            let why = format!(
                "what answers there does not speak MongoDB's protocol ({})",
                error.kind
            );
            temporary(ErrorKind::Corrupt, why, CHECK_ADDRESS)
        }
        // The server itself says so, or the client of one that is too old to: also of codes that are to come.
        Client::Command(refusal) if error.contains_label(RETRYABLE_WRITE_ERROR) => {
            let why = refused(refusal.code, &refusal.message);
            temporary(ErrorKind::Unavailable, why, SEE_LOG)
        }
        Client::Command(error) => sort_code(error.code, &error.message),
        Client::Write(WriteFailure::WriteError(error)) => sort_code(error.code, &error.message),
        Client::Write(WriteFailure::WriteConcernError(error)) => {
            on_too_few(error.code, &error.message)
        }
        Client::InsertMany(InsertManyError {
            write_errors,
            write_concern_error,
            ..
        }) => match (write_concern_error, write_errors.iter().flatten().next()) {
            (Some(error), _) => on_too_few(error.code, &error.message),
            (None, Some(error)) => sort_code(error.code, &error.message),
            (None, None) => unavailable("the server did not say what it stored".to_owned()),
        },
        other => unavailable(other.to_string()),
    }
}

fn sort_io(error: &io::Error) -> Sorted {
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::InvalidData if text.contains("certificate") => {
            let why = format!("the server's certificate is not trusted: {text}");
            temporary(ErrorKind::Denied, why, CHECK_TRUST)
        }
        io::ErrorKind::InvalidData => {
            let why = format!("no TLS can be agreed upon: {text}");
            temporary(ErrorKind::Denied, why, CHECK_TLS)
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => {
            let why = "the server ended the connection".to_owned();
            temporary(ErrorKind::Unavailable, why, CHECK_SERVER)
        }
        io::ErrorKind::TimedOut => {
            let why = "no answer in time".to_owned();
            temporary(ErrorKind::Unavailable, why, CHECK_SERVER)
        }
        io::ErrorKind::ConnectionRefused => unavailable("nobody listens there".to_owned()),
        _ => unavailable(text),
    }
}

/// Fewer servers have stored it than the write concern asks for.
pub(super) fn on_too_few(code: i32, message: &str) -> Sorted {
    let why = format!("too few servers have stored it: {message} (code {code})");
    temporary(ErrorKind::Unavailable, why, CHECK_CONCERN)
}

fn refused(code: i32, message: &str) -> String {
    format!("the server refuses it: {message} (code {code})")
}

/// What a server refused. The codes are in MongoDB's `error_codes.yml`.
pub(super) fn sort_code(code: i32, message: &str) -> Sorted {
    let why = refused(code, message);
    match code {
        // Unauthorized; UserNotFound, AuthenticationFailed, AuthenticationRestrictionUnmet.
        13 => temporary(ErrorKind::Denied, why, CHECK_RIGHTS),
        11 | 18 | 334 => temporary(ErrorKind::Denied, why, CHECK_USER),
        // OutOfDiskSpace, and a hosted server's own code for it.
        14031 => temporary(ErrorKind::Full, why, MAKE_ROOM),
        8000 if message.contains("quota") => temporary(ErrorKind::Full, why, MAKE_ROOM),
        _ if is_temporary(code) => temporary(ErrorKind::Unavailable, why, SEE_LOG),
        _ => lasting(ErrorKind::Denied, why, SEE_LOG),
    }
}

/// Whether the same may succeed later: a member, a router or a proxy has no primary, changes it, looks for a shard, stops, has
/// too much to do, or took too long. What `error_codes.yml` calls `NetworkError`, `NotPrimaryError`, `RetriableError`,
/// `Interruption`, `StaleShardVersionError` or `SystemOverloadedError`, and what is like them there without a category.
pub(super) fn is_temporary(code: i32) -> bool {
    TEMPORARY.contains(&code)
}

#[rustfmt::skip] // by category
const TEMPORARY: &[i32] = &[
    // No network, no host, no shard, no primary, no configuration servers.
    6, 7, 70, 71, 82, 83, 89, 94, 133, 145, 149, 199, 202, 203, 216, 9001, 56846,
    // Another primary, or a server that stops.
    91, 189, 10058, 10107, 11600, 11602, 13435, 13436,
    // A router that does not know yet where a shard's documents went.
    63, 150, 249, 343, 9996, 13388,
    // Locks, time, room, load, and who ended it for their sake.
    24, 46, 50, 64, 107, 112, 117, 134, 215, 237, 262, 264, 279, 290, 355, 365, 371, 391, 402, 406, 407, 412, 433, 449, 450,
    453, 462, 11601, 12586, 12587, 14031, 46841, 50915, 91331, 10_045_600,
];

/// A line of somebody else's words.
fn masked(text: &str, store: &ConnectionString) -> String {
    const MAX_CHARACTERS: usize = 300;
    let mut line = text.replace(|character: char| character.is_control(), " ");
    for secret in store.secrets().filter(|secret| !secret.is_empty()) {
        line = line.replace(secret, "***");
    }
    match line.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
