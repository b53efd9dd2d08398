// SPDX-License-Identifier: Apache-2.0
//! Asking one of the servers, within a time, but for the looking up of its name, and for an answer of bounded size.
//!
//! In: a request as method, path and body. Out: a status and a JSON object, or an error that says what to do. A server that cannot
//! be reached is passed over for the next; the one that answered last is asked first. Connections stay open between two
//! calls. Every request here may be made twice.

use std::time::{Duration, Instant};

use ureq::{Agent, RequestBuilder, http::Response};

use super::errors;
use super::settings::Settings;
use crate::Result;
use crate::driver::http;

/// The most that is read of an answer which is no success, whoever gives it.
const MOST_REFUSAL_BYTES: u64 = 64 << 10;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// What a call is for.
pub(super) struct Call {
    /// As in "cannot {action} `elasticsearch://host`: ...".
    pub(super) action: &'static str,
    /// What an answer may take where the connection string does not say it.
    pub(super) answer_timeout: Duration,
    /// What it may take in all, with connecting, whatever the connection string says of longer times.
    pub(super) most_time: Option<Duration>,
    /// The largest answer that is read, if it is one of success. Parsed, it may take some times as much memory.
    pub(super) most_answer_bytes: u64,
}

impl Call {
    /// How long an answer may take, and all of the call.
    pub(super) fn limits(&self, settings: &Settings) -> Limits {
        let answer = settings.answer_timeout.unwrap_or(self.answer_timeout);
        let in_all = match self.most_time {
            None => settings.connect_timeout + answer,
            Some(most) => most.min(answer),
        };
        Limits { answer, in_all }
    }
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    Get,
    /// Without a body if it is empty.
    Post(&'a str),
    /// Lines of JSON.
    PostLines(&'a [u8]),
    Put(&'a str),
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The body: a JSON object, if the status is one of success. `None` if it is larger than what is read.
    pub(super) text: Option<String>,
}

/// The servers of a connection string.
pub(super) struct Client {
    pub(super) settings: Settings,
    agent: Option<Agent>,
    /// The server to ask first.
    first: usize,
}

impl Client {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            agent: None,
            first: 0,
        }
    }

    /// The same, for what is neither a success nor one of the statuses `also`: an error.
    pub(super) fn ask_for(
        &mut self,
        call: &Call,
        ask: Ask<'_>,
        path: &str,
        also: &[u16],
    ) -> Result<Answer> {
        let answer = self.ask(call, ask, path)?;
        if (200..300).contains(&answer.status) || also.contains(&answer.status) {
            return Ok(answer);
        }
        let text = answer.text.as_deref().unwrap_or_default();
        Err(errors::of_answer(answer.status, text).told(call.action, &self.settings.shown))
    }

    /// Asks the servers, one after the other, until one answers, within the time for connecting and the answer together, or the call's own. Looking up a
    /// name counts towards it and is not ended by it: see [`http`].
    fn ask(&mut self, call: &Call, ask: Ask<'_>, path: &str) -> Result<Answer> {
        let settings = &self.settings;
        let told = |sorted: errors::Sorted| sorted.told(call.action, &settings.shown);
        let limits = call.limits(settings);
        let deadline = Instant::now() + limits.in_all;
        let servers = &settings.servers;
        let mut failure = None;
        let mut first_is_late = false;
        for turn in 0..servers.len() {
            let limits = Limits {
                in_all: deadline.saturating_duration_since(Instant::now()),
                ..limits
            };
            if limits.in_all.is_zero() {
                break;
            }
            let number = (self.first + turn) % servers.len();
            let agent = match &self.agent {
                Some(agent) => agent,
                None => self.agent.insert(agent(settings)?),
            };
            let url = format!("{}{path}", servers[number]);
            let answered = send(agent, settings, ask, &url, limits)
                .and_then(|response| receive(response, call.most_answer_bytes));
            match answered {
                Ok(answer) if errors::is_gateway(&answer) && turn + 1 < servers.len() => {
                    let text = answer.text.as_deref().unwrap_or_default();
                    failure.get_or_insert(errors::of_answer(answer.status, text));
                }
                Ok(answer) => {
                    self.first = number;
                    let is_success = (200..300).contains(&answer.status);
                    let speaks = |text: &str| text.trim_start().starts_with('{');
                    if is_success && !answer.text.as_deref().is_none_or(speaks) {
                        return Err(told(errors::stranger()));
                    }
                    return Ok(answer);
                }
                Err(error) => {
                    // The next connection reads the files of certificates anew.
                    self.agent = None;
                    first_is_late |= turn == 0 && errors::is_late(&error);
                    failure.get_or_insert(errors::of_client(&error, settings));
                }
            }
        }
        // Whoever comes next begins with another, unless the first was only given less time than others are.
        if !first_is_late || call.most_time.is_none() {
            self.first = (self.first + 1) % servers.len();
        }
        Err(told(failure.unwrap_or_else(errors::late)))
    }
}

fn agent(settings: &Settings) -> Result<Agent> {
    let config = http::config().timeout_connect(Some(settings.connect_timeout));
    http::agent(config, settings.tls.as_ref())
}

/// How long a request may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    answer: Duration,
    pub(super) in_all: Duration,
}

fn send(
    agent: &Agent,
    settings: &Settings,
    ask: Ask<'_>,
    url: &str,
    limits: Limits,
) -> std::result::Result<Response<ureq::Body>, ureq::Error> {
    let (request, body, kind) = match ask {
        Ask::Get => return prepare(agent.get(url), settings, limits).call(),
        Ask::Post(body) => (agent.post(url), body.as_bytes(), JSON),
        Ask::PostLines(body) => (agent.post(url), body, LINES),
        Ask::Put(body) => (agent.put(url), body.as_bytes(), JSON),
    };
    let request = prepare(request, settings, limits).header("content-type", kind);
    if body.is_empty() {
        request.send_empty()
    } else {
        request.send(body)
    }
}

fn prepare<Any>(
    request: RequestBuilder<Any>,
    settings: &Settings,
    limits: Limits,
) -> RequestBuilder<Any> {
    let request = request
        .config()
        .timeout_send_body(Some(limits.answer))
        .timeout_recv_response(Some(limits.answer))
        .timeout_recv_body(Some(limits.answer))
        .timeout_global(Some(limits.in_all))
        .build();
    match &settings.authorization {
        Some(text) => request.header("authorization", text),
        None => request,
    }
}

fn receive(
    mut response: Response<ureq::Body>,
    most_bytes: u64,
) -> std::result::Result<Answer, ureq::Error> {
    let status = response.status().as_u16();
    let most_bytes = if response.status().is_success() {
        most_bytes
    } else {
        MOST_REFUSAL_BYTES
    };
    let body = response.body_mut().with_config().limit(most_bytes);
    let text = match body.read_to_vec() {
        // What is no text is no JSON either.
        Ok(bytes) => Some(String::from_utf8(bytes).unwrap_or_default()),
        Err(ureq::Error::BodyExceedsLimit(_)) => None,
        Err(error) => return Err(error),
    };
    Ok(Answer { status, text })
}
