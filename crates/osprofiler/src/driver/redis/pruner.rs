// SPDX-License-Identifier: Apache-2.0
//! Removing traces: their lists, errors, losses and entries of the index, some traces a transaction.
//!
//! Keys of other applications are never touched: a trace's keys are known by its id, and a single notification of upstream's, from
//! before it had lists, is read before it goes.

use std::collections::HashSet;

use ::redis::{Value, cmd};

use super::connection::Server;
use super::settings::Settings;
use super::transaction::{Need, Transaction};
use super::{ERROR, ERRORS, LEGACY, LOST, NOTIFICATIONS, TRACES, questions};
use crate::driver::Pruner;
use crate::wire::{self, MAX_LINE_BYTES};
use crate::{Id, Result};

/// How many traces go in one transaction, while which the server does nothing else.
const AT_ONCE: usize = 64;

pub(super) struct RedisPruner {
    server: Server,
}

impl RedisPruner {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            server: Server::new(settings),
        }
    }

    /// Removes the traces, and returns those that had neither a list nor anything else.
    fn remove_some<'a>(&mut self, traces: &'a [String]) -> Result<Vec<&'a str>> {
        let answers = self.server.run("remove traces from", |connection, _| {
            let mut transaction = Transaction::new(connection);
            for trace in traces {
                // The server gives a long list's memory back by and by.
                let keys = [NOTIFICATIONS, ERROR, LOST].map(|prefix| format!("{prefix}{trace}"));
                let [of_list, of_error, of_losses] = keys.each_ref().map(String::as_str);
                let unlink = ["UNLINK", of_list, of_error, of_losses];
                transaction.command(Need::Must, &unlink, 0);
            }
            for index in [TRACES, ERRORS] {
                // What is there by that name may be a stranger's.
                transaction.command(Need::May, &["ZREM", index], traces.len());
                for trace in traces {
                    transaction.argument(trace.as_bytes())?;
                }
            }
            transaction.answers()
        })?;
        let was_absent = |(trace, answer): (&'a String, Value)| {
            (answer == Value::Int(0)).then_some(trace.as_str())
        };
        Ok(traces.iter().zip(answers).filter_map(was_absent).collect())
    }

    /// Removes the traces' single notifications. Returns how many traces had some.
    fn remove_legacy(&mut self, traces: &HashSet<&str>) -> Result<u64> {
        let mut removed = HashSet::new();
        questions::each_key(&mut self.server, &format!("{LEGACY}*"), |server, keys| {
            let mut gone = Vec::new();
            let values = questions::values(server, keys, MAX_LINE_BYTES)?;
            for (key, value) in keys.iter().zip(values) {
                let parsed = value.as_deref().and_then(|value| wire::parse(value).ok());
                let Some(parsed) = parsed else { continue };
                let trace = parsed.as_notification().base_id.to_string();
                let begin = format!("{LEGACY}{trace}");
                if traces.contains(&*trace) && key.starts_with(begin.as_bytes()) {
                    gone.push(key);
                    removed.insert(trace);
                }
            }
            if gone.is_empty() {
                return Ok(());
            }
            server.run("remove traces from", |connection, _| {
                cmd("UNLINK").arg(&gone).exec(connection)
            })
        })?;
        Ok(removed.len() as u64)
    }
}

impl Pruner for RedisPruner {
    fn remove(&mut self, traces: &[Id<'_>]) -> Result<u64> {
        let traces: Vec<String> = traces.iter().map(ToString::to_string).collect();
        let mut absent = HashSet::new();
        for some in traces.chunks(AT_ONCE) {
            absent.extend(self.remove_some(some)?);
        }
        let mut removed = (traces.len() - absent.len()) as u64;
        // As when such a trace is read: nothing but their keys tells which there are, so all are looked at.
        if !absent.is_empty() {
            removed += self.remove_legacy(&absent)?;
        }
        Ok(removed)
    }
}
