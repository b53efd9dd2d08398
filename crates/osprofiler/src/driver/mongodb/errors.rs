// SPDX-License-Identifier: Apache-2.0
//! What the errors of MongoDB's client and servers mean: of which kind, whether they pass, what to do about them.
//!
//! A server's own words are shown, cut to a line and with every secret of the connection string masked.

use std::io;

use mongodb::error::{Error as ClientError, ErrorKind as Client, WriteFailure};

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
struct Sorted {
    kind: ErrorKind,
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
const SEE_LOG: &str = "see the server's log";
const MAKE_ROOM: &str = "make room, remove old traces, or let the store do it: `ttl=7d`";

/// The error for a call on the store that failed; `action` as in "cannot {action} `mongodb://host`: ...".
pub(super) fn sort(action: &str, store: &ConnectionString, failure: Failure) -> Error {
    let Sorted { kind, why, help } = match &failure.error {
        Some(error) => sort_error(error, failure.cause.as_ref()),
        None => unavailable(failure.text),
    };
    let why = masked(&why, store);
    let error = Error::new(kind, format!("cannot {action} `{store}`: {why}")).with_help(help);
    // Users, rights and certificates are put right while services run.
    let passes = error.is_temporary() || kind == ErrorKind::Denied && help != SEE_LOG;
    error.set_temporary(passes)
}

fn unavailable(why: String) -> Sorted {
    Sorted {
        kind: ErrorKind::Unavailable,
        why,
        help: CHECK_ADDRESS,
    }
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
        Client::Authentication { message, .. } => Sorted {
            kind: ErrorKind::Denied,
            why: message.clone(),
            help: CHECK_USER,
        },
        Client::InvalidTlsConfig { message, .. } => Sorted {
            kind: ErrorKind::Usage,
            why: message.clone(),
            help: CHECK_TRUST,
        },
        Client::InvalidArgument { message, .. } => Sorted {
            kind: ErrorKind::Usage,
            why: message.clone(),
            help: CHECK_URI,
        },
        Client::InvalidResponse { .. } | Client::Bson(_) | Client::IncompatibleServer { .. } => {
            Sorted {
                kind: ErrorKind::Usage,
                why: format!(
                    "what answers there does not speak MongoDB's protocol ({})",
                    error.kind
                ),
                help: CHECK_ADDRESS,
            }
        }
        Client::Command(error) => sort_code(error.code, &error.message),
        Client::Write(WriteFailure::WriteError(error)) => sort_code(error.code, &error.message),
        Client::Write(WriteFailure::WriteConcernError(error)) => {
            sort_code(error.code, &error.message)
        }
        Client::InsertMany(errors) => match errors.write_errors.iter().flatten().next() {
            Some(error) => sort_code(error.code, &error.message),
            None => unavailable("the server did not say what it stored".to_owned()),
        },
        other => unavailable(other.to_string()),
    }
}

fn sort_io(error: &io::Error) -> Sorted {
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::InvalidData if text.contains("certificate") => Sorted {
            kind: ErrorKind::Denied,
            why: format!("the server's certificate is not trusted: {text}"),
            help: CHECK_TRUST,
        },
        io::ErrorKind::InvalidData => Sorted {
            kind: ErrorKind::Usage,
            why: format!("no TLS can be agreed upon: {text}"),
            help: CHECK_TLS,
        },
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => Sorted {
            kind: ErrorKind::Unavailable,
            why: "the server ended the connection".to_owned(),
            help: "check that it is a MongoDB server, and has not just stopped; a server with TLS wants `tls=true`",
        },
        io::ErrorKind::TimedOut => unavailable("no answer in time".to_owned()),
        _ => unavailable(text),
    }
}

/// What a server refused. The codes are in MongoDB's `error_codes.yml`.
fn sort_code(code: i32, message: &str) -> Sorted {
    let (kind, help) = match code {
        // Unauthorized, UserNotFound, AuthenticationFailed, AuthenticationRestrictionUnmet.
        13 => (ErrorKind::Denied, CHECK_RIGHTS),
        11 | 18 | 334 => (ErrorKind::Denied, CHECK_USER),
        // OutOfDiskSpace, and a hosted server's own code for it.
        14031 => (ErrorKind::Full, MAKE_ROOM),
        8000 if message.contains("quota") => (ErrorKind::Full, MAKE_ROOM),
        _ if is_temporary(code) => (ErrorKind::Unavailable, "the server asks to try again later"),
        _ => (ErrorKind::Denied, SEE_LOG),
    };
    Sorted {
        kind,
        why: format!("the server refuses it: {message} (code {code})"),
        help,
    }
}

/// Whether the same may succeed later: the server has no primary, changes it, stops, or took too long.
pub(super) fn is_temporary(code: i32) -> bool {
    [
        6, 7, 24, 50, 64, 89, 91, 112, 134, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435,
        13436, 14031,
    ]
    .contains(&code)
}

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
