// SPDX-License-Identifier: Apache-2.0
//! Writing batches: one transaction in one round trip each, whatever the number of traces.
//!
//! ```text
//! MULTI
//! LPUSH osprofiler_opt:<id> <oldest> ... <newest>      a trace, with each notification as JSON
//! ZADD osprofiler_traces LT <microseconds> <id>        when it began
//! SET osprofiler_error:<id> <json> NX                  if a point failed, for upstream's listing
//! ZADD osprofiler_errors LT <microseconds> <id>        and for ours
//! EXPIRE ...                                           each key of the trace, with `ttl`
//! EXEC
//! WAIT <replicas> <milliseconds>                       with `replicas`
//! ```
//!
//! Where a trace's key holds what somebody else put there, that trace is refused and counted, and nothing else.
//!
//! What the index refuses (a server before 6.2 knows no `LT`) is no failure: a listing finds such traces by looking for
//! their lists.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ::redis::{Connection, RedisResult};

use super::connection::Server;
use super::replicas::{self, Marks, Pushed};
use super::settings::Settings;
use super::transaction::{Need, Transaction};
use super::{ERROR, ERRORS, LOST, NOTIFICATIONS, TRACES, errors, listing};
use crate::driver::Writer;
use crate::driver::losses::Totals;
use crate::wire::{self, BatchJson, json};
use crate::{Error, ErrorKind, Id, Loss, LossReason, Notifications, Result, Timestamp};

/// After so many traces of batches the index is looked through, twice as many entries of it.
const TRACES_A_SWEEP: usize = 512;

pub(super) struct RedisWriter {
    server: Server,
    /// Traces written since the index was looked through.
    unswept: usize,
    /// The rank in the index at which to go on looking.
    sweep_from: usize,
    marks: Marks,
    losses: Totals,
    /// Of traces whose keys are somebody else's, still to be told by `take_losses`.
    refused: u64,
}

/// The notifications of one trace in a batch.
struct OfTrace<'a> {
    base_id: Id<'a>,
    indices: Vec<usize>,
    first: Timestamp,
    failed: Option<Timestamp>,
}

impl RedisWriter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            server: Server::new(settings),
            unswept: 0,
            sweep_from: 0,
            marks: Marks::new(),
            losses: Totals::new(),
            refused: 0,
        }
    }

    /// Has the replicas have the batch, too, if that is asked for. Returns the traces that are refused.
    fn push(&mut self, batch: &Notifications, traces: &[OfTrace<'_>]) -> Result<Vec<usize>> {
        if self.server.settings.replicas == 0 {
            return self.server.run("write", |connection, settings| {
                push_batch(connection, settings, batch, traces, None)
            });
        }
        let mut pushed = self.marks.take(batch);
        let (marks, seconds) = (&self.marks, seconds_since_1970());
        let replicas = self.server.run("write", |connection, settings| {
            if pushed.is_none() || !marks.is_there(connection, seconds)? {
                pushed = None;
                let mark = Some((marks, seconds));
                let refused = push_batch(connection, settings, batch, traces, mark)?;
                pushed = Some(Pushed::new(batch, refused));
            }
            replicas::wait(connection, settings)
        });
        let wanted = self.server.settings.replicas;
        match (replicas, pushed) {
            (Ok(replicas), Some(pushed)) if replicas >= wanted => {
                self.marks.next();
                Ok(pushed.refused)
            }
            (replicas, pushed) => {
                self.marks.keep(pushed);
                Err(self.too_few(replicas?))
            }
        }
    }

    fn too_few(&self, replicas: u32) -> Error {
        let Settings {
            shown,
            replicas: wanted,
            ..
        } = &self.server.settings;
        Error::new(
            ErrorKind::Unavailable,
            format!("cannot write `{shown}`: only {replicas} of {wanted} replicas have it"),
        )
        .with_help("see which replicas are connected: `redis-cli info replication`")
    }

    /// Counts what was refused of some of the traces, and has the store know, as far as it takes that.
    fn refuse(&mut self, traces: &[OfTrace<'_>], refused: &[usize]) {
        for &number in refused {
            let OfTrace {
                base_id, indices, ..
            } = &traces[number];
            let count = indices.len() as u64;
            self.refused += count;
            let reason = LossReason::Refused;
            let _ = self.write_loss(Some(*base_id), Loss { count, reason });
        }
    }

    /// Sets the store's number for a loss. Returns whether the key is somebody else's.
    fn set_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<bool> {
        let mut key = LOST.to_owned();
        if let Some(id) = base_id {
            id.push_to(&mut key);
        }
        let field = format!("{}:{}", loss.reason.name(), self.losses.writer());
        let total = self.losses.with(base_id, loss).to_string();
        let of_wrong_type = self.server.run("write", |connection, settings| {
            let mut transaction = Transaction::new(connection);
            transaction.command(Need::Must, &["HSET", &key, &field, &total], 0);
            push_expiry(&mut transaction, settings, &key);
            transaction.execute()
        })?;
        if of_wrong_type.is_empty() {
            self.losses.add(base_id, loss);
        }
        Ok(!of_wrong_type.is_empty())
    }
}

impl Writer for RedisWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let traces = by_trace(batch);
        let refused = self.push(batch, &traces)?;
        if refused.len() == traces.len() {
            return Err(errors::of_wrong_type("write", &self.server.settings));
        }
        self.refuse(&traces, &refused);
        self.unswept += traces.len();
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        // What a trace's own key cannot say is said of traces that nobody knows.
        if base_id.is_some() && !self.set_loss(base_id, loss)? {
            return Ok(());
        }
        if self.set_loss(None, loss)? {
            return Err(errors::of_wrong_type("write", &self.server.settings));
        }
        Ok(())
    }

    /// Removes entries of the index whose traces have expired or were deleted. Entries are looked at twice as fast as they
    /// are made, so that the index stays within twice the size of what is there.
    fn tidy(&mut self) {
        if self.unswept < TRACES_A_SWEEP {
            return;
        }
        let (from, count) = (self.sweep_from, 2 * std::mem::take(&mut self.unswept));
        let swept = listing::remove_stale(&mut self.server, from, count);
        self.sweep_from = swept.unwrap_or(0);
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        // What the server evicts or expires it does not tell.
        match std::mem::take(&mut self.refused) {
            0 => Vec::new(),
            count => vec![Loss {
                count,
                reason: LossReason::Refused,
            }],
        }
    }
}

fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// The batch's traces in the order of their first notifications.
fn by_trace(batch: &Notifications) -> Vec<OfTrace<'_>> {
    let mut traces: Vec<OfTrace<'_>> = Vec::new();
    let mut numbers = HashMap::<Id<'_>, usize>::new();
    let mut last = 0;
    for (index, notification) in batch.iter().enumerate() {
        let base_id = notification.base_id;
        // Most often the same trace as the one before.
        if traces
            .get(last)
            .is_none_or(|trace| trace.base_id != base_id)
        {
            last = *numbers.entry(base_id).or_insert_with(|| {
                traces.push(OfTrace {
                    base_id,
                    indices: Vec::new(),
                    first: notification.timestamp,
                    failed: None,
                });
                traces.len() - 1
            });
        }
        let trace = &mut traces[last];
        trace.indices.push(index);
        trace.first = trace.first.min(notification.timestamp);
        if wire::has_error(&notification) {
            let failed = trace.failed.unwrap_or(notification.timestamp);
            trace.failed = Some(failed.min(notification.timestamp));
        }
    }
    traces
}

/// Has the server store the batch. Returns the numbers of the traces whose lists are none, but somebody else's keys.
fn push_batch(
    connection: &mut Connection,
    settings: &Settings,
    batch: &Notifications,
    traces: &[OfTrace<'_>],
    mark: Option<(&Marks, u64)>,
) -> RedisResult<Vec<usize>> {
    let mut transaction = Transaction::new(connection);
    let mut json = BatchJson::new(batch);
    let mut text = Vec::new();
    let mut pushes = Vec::with_capacity(traces.len());
    for trace in traces {
        let id = trace.base_id.to_string();
        let list = format!("{NOTIFICATIONS}{id}");
        pushes.push(transaction.command(Need::Must, &["LPUSH", &list], trace.indices.len()));
        for &index in &trace.indices {
            text.clear();
            json.push(index, &mut text);
            transaction.argument(&text)?;
        }
        push_expiry(&mut transaction, settings, &list);
        push_time(&mut transaction, TRACES, trace.first, &id);
        if let Some(failed) = trace.failed {
            let error = format!("{ERROR}{id}");
            let text = error_json(trace.base_id, failed);
            transaction.command(Need::Must, &["SET", &error, &text, "NX"], 0);
            push_expiry(&mut transaction, settings, &error);
            push_time(&mut transaction, ERRORS, failed, &id);
        }
    }
    if let Some((marks, seconds)) = mark {
        marks.push(&mut transaction, seconds);
    }
    let of_wrong_type = transaction.execute()?;
    let is_refused = |number: &usize| of_wrong_type.binary_search(&pushes[*number]).is_ok();
    Ok((0..traces.len()).filter(is_refused).collect())
}

fn push_expiry(transaction: &mut Transaction<'_>, settings: &Settings, key: &str) {
    if let Some(ttl) = settings.ttl {
        let seconds = ttl.as_secs().to_string();
        transaction.command(Need::Must, &["EXPIRE", key, &seconds], 0);
    }
}

/// Brings a trace's time in an index forward, never back.
fn push_time(transaction: &mut Transaction<'_>, index: &str, time: Timestamp, id: &str) {
    let micros = time.as_micros().to_string();
    transaction.command(Need::May, &["ZADD", index, "LT", &micros, id], 0);
}

/// What upstream keeps of a trace with an error.
fn error_json(base_id: Id<'_>, failed: Timestamp) -> String {
    let mut text = "{\"base_id\": ".to_owned();
    json::push_text(&base_id.to_string(), &mut text);
    text.push_str(", \"timestamp\": \"");
    text.push_str(&failed.to_string());
    text.push_str("\"}");
    text
}
