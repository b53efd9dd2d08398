// SPDX-License-Identifier: Apache-2.0
//! Requests, on the thread that asks, each step with a deadline.
//!
//! In: whom to trust, deadlines, requests. Out: a status and a body of bounded size, whatever the status; or why there is no
//! answer, sorted. A connection is kept for the next request; one that the server has closed meanwhile is replaced, so a request may be sent twice.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::{Request, Response};
use ureq::{Agent, Body, BodyReader, Timeout};

use crate::driver::http;
use crate::driver::tls::{Trust, untrusted};
use crate::{Error, ErrorKind, Result};

/// How long the steps of a request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// Connecting, a greeting with TLS included.
    pub(super) connect: Duration,
    /// Sending a request; then the beginning of the answer; then each further part of it.
    pub(super) answer: Duration,
    /// All of an answer's body.
    pub(super) body: Duration,
}

/// A client of one store.
pub(super) struct Http(Agent);

/// An answer, of whatever status.
pub(super) struct Answer {
    /// Such as 200.
    pub(super) status: u16,
    body: Body,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// What sort of failure it is. All of them pass by themselves, or when an administrator puts them right.
    pub(super) kind: ErrorKind,
    /// As in "cannot write to `store`: {why}".
    pub(super) why: String,
    /// What to do about it, if only one thing can be meant.
    pub(super) help: Option<&'static str>,
    /// Whether there is an answer, but a longer one than was asked for.
    pub(super) is_too_long: bool,
}

const CHECK_TRUST: &str = "name the authority of the server's certificate: `tls_ca_file=/path/authority.pem`; and the host as the certificate does";

impl Http {
    /// Makes a client. Reads the certificates of authorities, opens no connection.
    pub(super) fn new(trust: &Trust, deadlines: Deadlines) -> Result<Self> {
        let config = http::config()
            // Not the search for a host's address, which takes as long as it takes, nor the whole, which includes that.
            .timeout_connect(Some(deadlines.connect))
            .timeout_send_request(Some(deadlines.answer))
            .timeout_send_body(Some(deadlines.answer))
            .timeout_recv_response(Some(deadlines.answer))
            .timeout_per_read(Some(deadlines.answer))
            .timeout_recv_body(Some(deadlines.body));
        Ok(Self(http::agent(config, Some(trust))?))
    }

    /// Sends a request and returns the beginning of its answer. The request may reach the server twice.
    pub(super) fn send(&self, request: &Request<&[u8]>) -> std::result::Result<Answer, Failure> {
        let run = || match request.body() {
            // A method that has no body wants none, not an empty one.
            [] => self.0.run(request.clone().map(|_| ())),
            _ => self.0.run(request.clone()),
        };
        let response = match run() {
            // Closed by the server just when it was used again: there is a reason to try once more, and only once.
            Err(ureq::Error::Io(error)) if is_closed(&error) => run(),
            answered => answered,
        };
        let (head, body) = response
            .map_err(|error| sort(&error))
            .map(Response::into_parts)?;
        Ok(Answer {
            status: head.status.as_u16(),
            body,
        })
    }
}

impl Answer {
    /// Reads the body, of at most `most` bytes: more is a failure.
    pub(super) fn read(self, most: u64) -> std::result::Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        match self.into_reader(most).read_to_end(&mut body) {
            Ok(_) => Ok(body),
            Err(error) => Err(failure_of(error)),
        }
    }

    /// The body to be read as it comes: after `most` bytes, and a deadline, reading fails with what [`failure_of`] explains.
    pub(super) fn into_reader(self, most: u64) -> BodyReader<'static> {
        self.body.into_with_config().limit(most).reader()
    }
}

/// What an error of reading a body means.
pub(super) fn failure_of(error: io::Error) -> Failure {
    sort(&ureq::Error::from(error))
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof
    )
}

fn sort(error: &ureq::Error) -> Failure {
    let unavailable = |why: String| Failure::new(ErrorKind::Unavailable, why);
    let stranger = |why: String| Failure::new(ErrorKind::Corrupt, why);
    match error {
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            unavailable("nobody answers there in time".to_owned())
        }
        ureq::Error::Timeout(_) => unavailable("it does not answer in time".to_owned()),
        ureq::Error::HostNotFound => unavailable("there is no such host".to_owned()),
        ureq::Error::Io(error) => sort_io(error),
        ureq::Error::Protocol(error) => {
            stranger(format!("what answers there does not speak HTTP ({error})"))
        }
        ureq::Error::BodyExceedsLimit(bytes) => Failure {
            is_too_long: true,
            ..stranger(format!("its answer is longer than {bytes} bytes"))
        },
        ureq::Error::LargeResponseHeader(..) => {
            stranger("the head of its answer is too long".to_owned())
        }
        other => unavailable(other.to_string()),
    }
}

fn sort_io(error: &io::Error) -> Failure {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(error) = inner {
        return sort_tls(error);
    }
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            "it does not answer in time".to_owned()
        }
        _ if is_closed(error) => "the server ended the connection".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(ErrorKind::Unavailable, why)
}

fn sort_tls(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(why) => Failure {
            help: Some(CHECK_TRUST),
            ..Failure::new(ErrorKind::Denied, untrusted(why))
        },
        _ => Failure::new(
            ErrorKind::Denied,
            format!("no TLS can be agreed upon: {error}"),
        ),
    }
}

impl Failure {
    fn new(kind: ErrorKind, why: String) -> Self {
        Self {
            kind,
            why,
            help: None,
            is_too_long: false,
        }
    }

    /// The error for a request that failed; `action` as in "cannot {action} `store`: ...". `help` where the failure has none of
    /// its own.
    pub(super) fn told(self, action: &str, store: &str, help: &str) -> Error {
        let message = format!("cannot {action} `{store}`: {}", self.why);
        Error::new(self.kind, message)
            .with_help(self.help.unwrap_or(help))
            .set_temporary(true)
    }
}
