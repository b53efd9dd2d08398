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
//! What the index refuses (a server before 6.2 knows no `LT`) is no failure: a listing finds such traces by looking for
//! their lists.

use std::collections::HashMap;

use ::redis::{Connection, RedisResult, cmd};

use super::connection::Server;
use super::settings::Settings;
use super::transaction::{Need, Transaction};
use super::{ERROR, ERRORS, LOST, NOTIFICATIONS, TRACES, listing};
use crate::driver::Writer;
use crate::wire::{self, BatchJson, json};
use crate::{Error, ErrorKind, Id, Loss, Notifications, Result, Timestamp};

/// After so many traces of batches the index is looked through, twice as many entries of it.
const TRACES_A_SWEEP: usize = 512;

pub(super) struct RedisWriter {
    server: Server,
    /// Traces written since the index was looked through.
    unswept: usize,
    /// The rank in the index at which to go on looking.
    sweep_from: usize,
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
        }
    }

    /// Removes entries of the index whose traces have expired or were deleted. Entries are looked at twice as fast as they
    /// are made, so that the index stays within twice the size of what is there.
    fn sweep(&mut self, traces: usize) {
        self.unswept += traces;
        if self.unswept < TRACES_A_SWEEP {
            return;
        }
        let (from, count) = (self.sweep_from, 2 * std::mem::take(&mut self.unswept));
        // The batch is stored; what goes wrong here is tried again with a later one.
        let swept = listing::remove_stale(&mut self.server, from, count);
        self.sweep_from = swept.unwrap_or(0);
    }
}

impl Writer for RedisWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let traces = by_trace(batch);
        let replicas = self.server.run("write", |connection, settings| {
            write_batch(connection, settings, batch, &traces)
        })?;
        let settings = &self.server.settings;
        if replicas < settings.replicas {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "cannot write `{}`: only {replicas} of {} replicas have it",
                    settings.shown, settings.replicas
                ),
            )
            .with_help("see which replicas are connected: `redis-cli info replication`"));
        }
        self.sweep(traces.len());
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let mut key = LOST.to_owned();
        if let Some(id) = base_id {
            id.push_to(&mut key);
        }
        let count = i64::try_from(loss.count).unwrap_or(i64::MAX).to_string();
        self.server.run("write", |connection, settings| {
            let mut transaction = Transaction::new(connection);
            let addition = ["HINCRBY", &key, loss.reason.name(), &count];
            transaction.command(Need::Must, &addition, 0);
            push_expiry(&mut transaction, settings, &key);
            transaction.execute()
        })
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        // What the server evicts or expires it does not tell.
        Vec::new()
    }
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

/// Has the server store the batch. Returns how many replicas have it, if that is asked for.
fn write_batch(
    connection: &mut Connection,
    settings: &Settings,
    batch: &Notifications,
    traces: &[OfTrace<'_>],
) -> RedisResult<u32> {
    let mut transaction = Transaction::new(connection);
    let mut json = BatchJson::new(batch);
    let mut text = Vec::new();
    for trace in traces {
        let id = trace.base_id.to_string();
        let list = format!("{NOTIFICATIONS}{id}");
        transaction.command(Need::Must, &["LPUSH", &list], trace.indices.len());
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
    transaction.execute()?;
    if settings.replicas == 0 {
        return Ok(0);
    }
    // The answer has to come before the connection's own time-out.
    let patience = settings.answer_timeout.mul_f64(0.8).as_millis().max(1);
    cmd("WAIT")
        .arg(settings.replicas)
        .arg(patience as u64)
        .query(connection)
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
