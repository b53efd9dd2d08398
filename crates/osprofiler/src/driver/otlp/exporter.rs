// SPDX-License-Identifier: Apache-2.0
//! The collectors, of which one takes what is sent: another is asked where one does not.
//!
//! In: requests. Out: what became of each. A connection is kept for the next request; one that nothing went over for a while, or that breaks off
//! at once, is made anew. A collector that says when to come back is left alone until then.

use std::time::{Duration, Instant};

use hyper::body::Bytes;

use super::answer::{self, Refusal, Taken};
use super::connection::Connection;
use super::request::{Request, gzip};
use super::settings::Settings;
use crate::{Error, ErrorKind, Result};

/// After so long without a request a connection is not relied on.
const RELIED_ON: Duration = Duration::from_secs(30);
/// A connection that was kept and fails within this was closed long before.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Who sends to the collectors that the settings name.
pub(super) struct Exporter {
    settings: Settings,
    open: Option<Open>,
    /// Which of the collectors is asked first: another one after each failure.
    current: usize,
    /// Until when each wants to be left alone.
    rests: Vec<Option<Instant>>,
}

struct Open {
    connection: Connection,
    collector: usize,
    used: Instant,
}

impl Exporter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            rests: vec![None; settings.collectors.len()],
            settings,
            open: None,
            current: 0,
        }
    }

    /// Sends a request to the first collector that takes it; asks no further one once the settings' time for an answer is over.
    pub(super) fn send(&mut self, request: &Request) -> Result<Taken> {
        let message = request.encode(self.settings.service_name_prefix.as_deref());
        let message = if self.settings.compresses {
            gzip(&message).map_err(|error| Error::new(ErrorKind::Usage, error.to_string()))?
        } else {
            message
        };
        let message = Bytes::from(message);
        let begin = Instant::now();
        let mut first = None;
        for _ in 0..self.settings.collectors.len() {
            let collector = self.current;
            let error = match self.ask(collector, &message) {
                Ok(taken) => return Ok(taken),
                Err(refusal) => {
                    let now = Instant::now();
                    self.rests[collector] = refusal.wait.map(|wait| now + wait);
                    self.name(collector, &refusal.error)
                }
            };
            if !error.is_temporary() {
                return Err(error);
            }
            // The next call begins where this one ends.
            self.current = (collector + 1) % self.settings.collectors.len();
            first.get_or_insert(error);
            if begin.elapsed() > self.settings.answer_timeout {
                break;
            }
        }
        Err(first.unwrap_or_else(|| Error::new(ErrorKind::Usage, "there is no collector")))
    }

    fn ask(&mut self, collector: usize, message: &Bytes) -> std::result::Result<Taken, Refusal> {
        let now = Instant::now();
        if let Some(until) = self.rests[collector].filter(|until| *until > now) {
            let wait = until - now;
            let seconds = wait.as_secs() + 1;
            let why = format!("it wants to be left alone for {seconds} s");
            let error = Error::new(ErrorKind::Unavailable, why);
            let wait = Some(wait);
            return Err(Refusal { error, wait });
        }
        let begin = Instant::now();
        let kept = self.open.take().filter(|open| {
            open.collector == collector && now.duration_since(open.used) < RELIED_ON
        });
        if let Some(open) = kept {
            match self.ask_over(open.connection, collector, message) {
                Err(Refusal { error, .. })
                    if self.open.is_none() && begin.elapsed() < AT_ONCE && error.is_temporary() => {
                }
                told => return told,
            }
        }
        let failed = |error| Refusal { error, wait: None };
        let connection = Connection::open(&self.settings, &self.settings.collectors[collector]);
        self.ask_over(connection.map_err(failed)?, collector, message)
    }

    /// Keeps the connection if it brought an answer.
    fn ask_over(
        &mut self,
        mut connection: Connection,
        collector: usize,
        message: &Bytes,
    ) -> std::result::Result<Taken, Refusal> {
        let settings = &self.settings;
        let answer = connection
            .ask(settings, &settings.collectors[collector], message)
            .map_err(|error| Refusal { error, wait: None })?;
        self.open = Some(Open {
            connection,
            collector,
            used: Instant::now(),
        });
        answer::understand(settings.protocol, &answer)
    }

    /// The same error, beginning with what failed on what.
    fn name(&self, collector: usize, error: &Error) -> Error {
        let collector = &self.settings.collectors[collector];
        let message = format!("cannot send to the collector `{collector}`: {error}");
        let named = Error::new(error.kind(), message).set_temporary(error.is_temporary());
        match error.help() {
            Some(help) => named.with_help(help),
            None => named,
        }
    }
}
