// SPDX-License-Identifier: Apache-2.0
//! Requests to the server: events without a login, queries with one, which is made anew when it has ended.
//!
//! In: JSON, paths. Out: answers of bounded size whose status says that it was done, or an error that says what failed, on what,
//! why and what to do. What a server says is shown in a line, with every secret of the connection string masked.

use std::time::Duration;

use ureq::http::Request;

use super::answer;
use super::requests::{Answer, Deadlines, Failure, Http};
use super::settings::Settings;
use crate::wire::json;
use crate::{Error, ErrorKind, Result};

/// Names this program to the ingestion API, as upstream does.
const AGENT: &str = "F52D775B-6017-4787-8C8A-F21AE0AEC057";

/// The longest answer to a query.
pub(super) const MOST_ANSWER_BYTES: u64 = 256 << 20;
/// The longest answer to anything else, and of what a refusal says.
const MOST_REPLY_BYTES: u64 = 64 << 10;
/// The most that is repeated of what a server says.
const MOST_CHARACTERS: usize = 300;

const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// As upstream's client waits, and asks the server to.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

/// The session has ended; what to do is to log in again.
const SESSION_ENDED: u16 = 440;

const CHECK_ADDRESS: &str = "check that the server runs, and that its name and the options `api_port` and `api_ssl_port` are right";
const CHECK_LOGIN: &str = "check user and password, and `provider=ActiveDirectory` or `provider=vIDM` for a user who is known there";
const CHECK_TLS_PORT: &str =
    "it may want TLS: `ingest_tls=true`; else check name and port of the server";
const SEE_LOG: &str = "see the server's own log and its limits";

/// A server, and who we are there.
pub(super) struct Client {
    pub(super) settings: Settings,
    action: &'static str,
    answer_timeout: Duration,
    http: Option<Http>,
    session: Option<String>,
}

impl Client {
    /// One that sends events.
    pub(super) fn to_write(settings: Settings) -> Self {
        Self::new(settings, "write to", WRITE_TIMEOUT)
    }

    /// One that queries.
    pub(super) fn to_read(settings: Settings) -> Self {
        Self::new(settings, "read", QUERY_TIMEOUT)
    }

    fn new(settings: Settings, action: &'static str, timeout: Duration) -> Self {
        Self {
            answer_timeout: settings.answer_timeout.unwrap_or(timeout),
            settings,
            action,
            http: None,
            session: None,
        }
    }

    /// Sends events; returns how many the server took, if it says so.
    pub(super) fn ingest(&mut self, body: &str) -> Result<Option<usize>> {
        let url = format!("{}/api/v1/events/ingest/{AGENT}", self.settings.ingestion);
        let request = Request::post(url)
            .header("content-type", "application/json")
            .body(body.as_bytes());
        let reply = self.send(request, MOST_REPLY_BYTES)?;
        Ok(answer::ingested(&self.done(reply)?))
    }

    /// Queries events. `path` is what stands behind `/api/v1/events`.
    pub(super) fn query(&mut self, path: &str) -> Result<Queried> {
        let url = format!(
            "{}/api/v1/events{path}&timeout={}",
            self.settings.queries,
            self.answer_timeout.as_millis()
        );
        let mut has_logged_in = false;
        loop {
            let session = if let Some(session) = &self.session {
                session.clone()
            } else {
                has_logged_in = true;
                self.log_in()?
            };
            let request = Request::get(&url)
                .header("content-type", "application/json")
                // Upstream's name for it, and that of later versions.
                .header("x-li-session-id", &session)
                .header("authorization", format!("Bearer {session}"))
                .body(&[][..]);
            let reply = self.send(request, MOST_ANSWER_BYTES)?;
            if !has_logged_in && matches!(reply.status, SESSION_ENDED | 401) {
                self.session = None;
                continue;
            }
            self.session = Some(session);
            if reply.is_too_long {
                return Ok(Queried::TooLong);
            }
            return self.done(reply).map(Queried::Answer);
        }
    }

    /// An error of this server's.
    pub(super) fn error(&self, kind: ErrorKind, why: &str, help: &str) -> Error {
        let Self {
            action, settings, ..
        } = self;
        let message = format!("cannot {action} `{}`: {}", settings.shown, self.line(why));
        Error::new(kind, message).with_help(help)
    }

    /// The error for an answer that is none of this API.
    pub(super) fn stranger(&self, why: &str) -> Error {
        let why = format!("what answers there is not Log Insight ({why})");
        self.error(ErrorKind::Corrupt, &why, CHECK_ADDRESS)
            .set_temporary(true)
    }

    fn log_in(&mut self) -> Result<String> {
        let mut body = r#"{"username": "#.to_owned();
        json::push_text(&self.settings.user, &mut body);
        body.push_str(r#", "password": "#);
        json::push_text(&self.settings.password, &mut body);
        if let Some(provider) = &self.settings.provider {
            body.push_str(r#", "provider": "#);
            json::push_text(provider, &mut body);
        }
        body.push('}');
        let request = Request::post(format!("{}/api/v1/sessions", self.settings.queries))
            .header("content-type", "application/json")
            .body(body.as_bytes());
        let reply = self.send(request, MOST_REPLY_BYTES)?;
        match answer::session(&self.done(reply)?) {
            Some(session) => Ok(session),
            None => Err(self.stranger("no session in the answer to a login")),
        }
    }

    /// Sends a request and reads the answer.
    fn send(
        &mut self,
        request: ureq::http::Result<Request<&[u8]>>,
        most_bytes: u64,
    ) -> Result<Reply> {
        let request = request
            .map_err(|error| self.error(ErrorKind::Usage, &error.to_string(), CHECK_ADDRESS))?;
        let http = match self.http.take() {
            Some(http) => http,
            None => Http::new(&self.settings.trust, self.deadlines())?,
        };
        let read = |answer: Answer| {
            let status = answer.status;
            let most_bytes = if is_done(status) {
                most_bytes
            } else {
                MOST_REPLY_BYTES
            };
            match answer.read(most_bytes) {
                Ok(body) => Ok((status, Some(body))),
                Err(failure) if failure.is_too_long => Ok((status, None)),
                Err(failure) => Err(failure),
            }
        };
        let answered = http.send(&request).and_then(read);
        let (status, body) = answered.map_err(|failure| self.failed(failure))?;
        // After a failure certificates are read anew, and no connection is used again.
        self.http = Some(http);
        let is_secure = request.uri().scheme_str() == Some("https");
        Ok(Reply {
            status,
            is_too_long: body.is_none(),
            body: String::from_utf8(body.unwrap_or_default()).unwrap_or_default(),
            is_secure,
        })
    }

    /// The body of a reply, if the server did what it was asked to.
    fn done(&self, reply: Reply) -> Result<String> {
        let Reply {
            status,
            is_too_long,
            body,
            is_secure,
        } = reply;
        // A page of a proxy's begins otherwise.
        let is_json = matches!(body.trim_start().bytes().next(), None | Some(b'{'));
        if is_done(status) && is_json && !is_too_long {
            return Ok(body);
        }
        let why = match answer::error_message(&body) {
            Some(says) => format!("the server refuses it: {says} (status {status})"),
            None => format!("the server refuses it with the status {status}"),
        };
        let temporary = |kind, help| Err(self.error(kind, &why, help).set_temporary(true));
        match status {
            401 | 403 => temporary(ErrorKind::Denied, CHECK_LOGIN),
            SESSION_ENDED => temporary(ErrorKind::Denied, "try again"),
            400 | 413 | 422 => Err(self.error(ErrorKind::Denied, &why, SEE_LOG)),
            507 => temporary(
                ErrorKind::Full,
                "make room, or let the server forget sooner",
            ),
            408 | 429 | 500.. => temporary(ErrorKind::Unavailable, SEE_LOG),
            200..300 => Err(self.stranger("it answers with something else than JSON")),
            _ if is_secure => Err(self.stranger(&format!("status {status}"))),
            _ => temporary(ErrorKind::Corrupt, CHECK_TLS_PORT),
        }
    }

    fn failed(&self, failure: Failure) -> Error {
        failure.told(self.action, &self.settings.shown.to_string(), CHECK_ADDRESS)
    }

    fn deadlines(&self) -> Deadlines {
        Deadlines {
            connect: self.settings.connect_timeout,
            // A query's own time-out is the server's to keep.
            answer: self.answer_timeout + self.settings.connect_timeout,
            body: self.answer_timeout,
        }
    }

    /// A line of somebody else's words.
    fn line(&self, text: &str) -> String {
        let mut line = text.replace(|character: char| character.is_control(), " ");
        for secret in self.settings.shown.secrets() {
            if !secret.is_empty() {
                line = line.replace(secret, "***");
            }
        }
        match line.char_indices().nth(MOST_CHARACTERS) {
            Some((end, _)) => format!("{}...", &line[..end]),
            None => line,
        }
    }
}

/// What a query found.
pub(super) enum Queried {
    /// JSON, most probably.
    Answer(String),
    /// More than [`MOST_ANSWER_BYTES`].
    TooLong,
}

/// What the server answered.
struct Reply {
    status: u16,
    /// Then the body is left out.
    is_too_long: bool,
    /// Empty if it is no text.
    body: String,
    is_secure: bool,
}

fn is_done(status: u16) -> bool {
    (200..300).contains(&status)
}
