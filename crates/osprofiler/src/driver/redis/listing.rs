// SPDX-License-Identifier: Apache-2.0
//! Listing traces: what the index says is there and really is, and what only a look at all keys finds.
//!
//! Our own writer keeps the times of traces in an index; upstream's does not, nor does a server before 6.2. So a
//! listing asks which of the index's traces have a list, and counts the keys that belong to them. If that is all that the
//! database holds, it is done. If not, what else there is may be another application's or a trace of upstream's: all keys are
//! looked at, and of a list that the index does not know the oldest elements tell the time. Entries whose list has
//! expired or was deleted are passed over; writers remove them by and by ([`remove_stale`]).

use std::collections::HashMap;
use std::ops::ControlFlow;

use ::redis::{Value, cmd, pipe};

use super::connection::Server;
use super::questions::{VALUES, ask, each_entry, each_key, each_page, text_of, values};
use super::transaction::{Need, Transaction};
use super::{ERROR, ERRORS, LEGACY, LOST, MARKS, NOTIFICATIONS, TRACES};
use crate::driver::{ListFilter, TraceSummary};
use crate::wire::{self, MAX_LINE_BYTES, json};
use crate::{Id, Result, Timestamp};

/// The most that is read of what tells of an error: an id and a time.
const ERROR_BYTES: usize = 4096;
/// How many of a list's oldest elements are asked for its time.
const OLDEST: i64 = 4;

/// What is known of a trace.
#[derive(Default)]
struct Found {
    /// When it began; unknown if only errors tell of it.
    first: Option<Timestamp>,
    failed: Option<Timestamp>,
}

/// What is there.
#[derive(Default)]
struct Inventory {
    traces: HashMap<String, Found>,
    /// Keys of the database that belong to what is known.
    keys: u64,
    skipped: u64,
}

pub(super) fn list(
    server: &mut Server,
    filter: ListFilter,
    each: &mut dyn FnMut(TraceSummary<'_>),
) -> Result<u64> {
    let mut inventory = Inventory::default();
    inventory.read_index(server)?;
    if !inventory.is_complete(server)? {
        inventory.look_at_all_keys(server)?;
    }
    let mut traces: Vec<(Timestamp, &str)> = inventory
        .traces
        .iter()
        .filter_map(|(id, found)| {
            let first = found.first?;
            let time = match filter {
                ListFilter::All => Some(first),
                ListFilter::WithErrors => found.failed,
            };
            Some((time?, id.as_str()))
        })
        .collect();
    traces.sort_unstable();
    for (timestamp, text) in traces {
        if let Ok(base_id) = Id::parse(text) {
            each(TraceSummary { base_id, timestamp });
        }
    }
    Ok(inventory.skipped)
}

impl Inventory {
    /// Takes in the traces of the index that are there, with their errors.
    fn read_index(&mut self, server: &mut Server) -> Result<()> {
        let mut failed = HashMap::new();
        each_entry(server, ERRORS, |_, entries| {
            failed.extend(entries);
            Ok(())
        })?;
        each_entry(server, TRACES, |server, entries| {
            let mut questions = pipe();
            for (id, _) in &entries {
                let error = format!("{ERROR}{id}");
                questions.cmd("EXISTS").arg(format!("{NOTIFICATIONS}{id}"));
                questions.cmd("EXISTS").arg(format!("{LOST}{id}"));
                questions.cmd("GETRANGE").arg(error).arg(0).arg(ERROR_BYTES);
            }
            let mut answers = ask(server, &questions)?.into_iter();
            for (id, first) in entries {
                let [has_list, has_losses] =
                    [(); 2].map(|()| answers.next() == Some(Value::Int(1)));
                let error = answers.next().and_then(text_of).unwrap_or_default();
                self.keys += [has_list, has_losses, !error.is_empty()]
                    .into_iter()
                    .map(u64::from)
                    .sum::<u64>();
                if has_list {
                    let failed = failed.get(&id).copied().or_else(|| error_time(&error));
                    let first = Some(first);
                    self.traces.insert(id, Found { first, failed });
                }
            }
            Ok(())
        })
    }

    /// Whether the database holds nothing that is not known.
    fn is_complete(&self, server: &mut Server) -> Result<bool> {
        let (ours, all): (u64, u64) = server.run("read", |connection, _| {
            pipe()
                .cmd("EXISTS")
                .arg(&[TRACES, ERRORS, LOST, MARKS])
                .cmd("DBSIZE")
                .query(connection)
        })?;
        Ok(self.keys + ours == all)
    }

    /// Takes in what the index does not know: lists, errors and single notifications of upstream's writer.
    fn look_at_all_keys(&mut self, server: &mut Server) -> Result<()> {
        each_key(server, "osprofiler[_:]*", |server, keys| {
            let (mut lists, mut errors, mut legacy) = (Vec::new(), Vec::new(), Vec::new());
            for key in keys {
                if let Some(id) = id_behind(key, NOTIFICATIONS) {
                    if self
                        .traces
                        .get(id)
                        .is_none_or(|found| found.first.is_none())
                    {
                        lists.push(id);
                    }
                } else if let Some(id) = id_behind(key, ERROR) {
                    errors.push((id, key.clone()));
                } else if key.starts_with(LEGACY.as_bytes()) {
                    legacy.push(key.clone());
                }
            }
            self.look_at_lists(server, &lists)?;
            self.look_at_errors(server, errors)?;
            self.look_at_single_notifications(server, &legacy)
        })
    }

    fn look_at_lists(&mut self, server: &mut Server, ids: &[&str]) -> Result<()> {
        for ids in ids.chunks(VALUES) {
            let mut questions = pipe();
            for id in ids {
                let key = format!("{NOTIFICATIONS}{id}");
                questions.cmd("LRANGE").arg(key).arg(-OLDEST).arg(-1);
            }
            for (id, answer) in ids.iter().zip(ask(server, &questions)?) {
                let elements = match answer {
                    Value::Array(elements) => elements.into_iter().filter_map(text_of).collect(),
                    _ => Vec::new(),
                };
                let first = match earliest(&elements) {
                    None if elements.len() == OLDEST as usize => first_of_list(server, id)?,
                    first => first,
                };
                match first {
                    Some(first) => self.found(id).first = Some(first),
                    None => self.skipped += 1,
                }
            }
        }
        Ok(())
    }

    fn look_at_errors(&mut self, server: &mut Server, errors: Vec<(&str, Vec<u8>)>) -> Result<()> {
        let (ids, keys): (Vec<_>, Vec<_>) = errors.into_iter().unzip();
        let texts = values(server, &keys, ERROR_BYTES)?;
        for (id, text) in ids.into_iter().zip(texts) {
            match text.as_deref().and_then(error_time) {
                Some(time) => {
                    let found = self.found(id);
                    found.failed = Some(earlier(found.failed, time));
                }
                None => self.skipped += 1,
            }
        }
        Ok(())
    }

    fn look_at_single_notifications(
        &mut self,
        server: &mut Server,
        keys: &[Vec<u8>],
    ) -> Result<()> {
        for text in values(server, keys, MAX_LINE_BYTES)? {
            let parsed = text.as_deref().and_then(|text| wire::parse(text).ok());
            let Some(parsed) = parsed else {
                self.skipped += 1;
                continue;
            };
            let notification = parsed.as_notification();
            let found = self.found(&notification.base_id.to_string());
            found.first = Some(earlier(found.first, notification.timestamp));
            if wire::has_error(&notification) {
                found.failed = Some(earlier(found.failed, notification.timestamp));
            }
        }
        Ok(())
    }

    fn found(&mut self, id: &str) -> &mut Found {
        self.traces.entry(id.to_owned()).or_default()
    }
}

/// Removes those of `count` entries of the index, from a rank on, whose lists are not there any more. Returns the rank at
/// which to go on. A trace that gets a list at the same moment may lose its entry: then it is found by its list.
pub(super) fn remove_stale(server: &mut Server, from: usize, count: usize) -> Result<usize> {
    let ids: Vec<Vec<u8>> = server.run("write", |connection, _| {
        cmd("ZRANGE")
            .arg(TRACES)
            .arg(from)
            .arg(from + count - 1)
            .query(connection)
    })?;
    let mut questions = pipe();
    for id in &ids {
        let list = [NOTIFICATIONS.as_bytes(), id].concat();
        questions.cmd("EXISTS").arg(list);
    }
    let answers = ask(server, &questions)?.into_iter();
    let stale: Vec<&Vec<u8>> = ids
        .iter()
        .zip(answers)
        .filter_map(|(id, answer)| (answer == Value::Int(0)).then_some(id))
        .collect();
    if !stale.is_empty() {
        server.run("write", |connection, _| {
            let mut transaction = Transaction::new(connection);
            for index in [TRACES, ERRORS] {
                transaction.command(Need::Must, &["ZREM", index], stale.len());
                for id in &stale {
                    transaction.argument(id)?;
                }
            }
            transaction.execute().map(|_| ())
        })?;
    }
    let is_end = ids.len() < count;
    Ok(if is_end {
        0
    } else {
        from + ids.len() - stale.len()
    })
}

/// The time of a trace whose oldest elements are junk.
fn first_of_list(server: &mut Server, id: &str) -> Result<Option<Timestamp>> {
    let mut first = None;
    each_page(server, &format!("{NOTIFICATIONS}{id}"), |page| {
        first = earliest(page);
        match first {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    })?;
    Ok(first)
}

fn earliest(elements: &[Vec<u8>]) -> Option<Timestamp> {
    let parsed = elements.iter().filter_map(|text| wire::parse(text).ok());
    parsed
        .map(|parsed| parsed.as_notification().timestamp)
        .min()
}

/// The id behind a key's prefix.
fn id_behind<'a>(key: &'a [u8], prefix: &str) -> Option<&'a str> {
    let id = std::str::from_utf8(key.strip_prefix(prefix.as_bytes())?).ok()?;
    Id::parse(id).is_ok().then_some(id)
}

/// The time in what is kept of a trace with an error.
fn error_time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let time = json::member(text, "timestamp").filter(|value| value.starts_with('"'))?;
    Timestamp::parse(&json::unescape(time))
}

fn earlier(known: Option<Timestamp>, time: Timestamp) -> Timestamp {
    known.map_or(time, |known| known.min(time))
}
