// SPDX-License-Identifier: Apache-2.0
//! Listing traces: what the index says is there and really is, and what only a look at all keys finds.
//!
//! Our own writer keeps the times of traces in an index; upstream's does not, nor does a server before 6.2. So a
//! listing asks which of the index's traces have a list, and counts the keys that belong to them. If that is all that the
//! database holds, it is done. If not, what else there is may be another application's or a trace of upstream's: all keys are
//! looked at, and of a list that the index does not know the oldest elements tell the time. Entries whose list has
//! expired or was deleted are passed over; writers remove them by and by ([`remove_stale`]).

use std::collections::HashMap;

use ::redis::{Connection, Pipeline, RedisResult, Value, cmd, pipe};

use super::connection::Server;
use super::{ERROR, ERRORS, LEGACY, LOST, NOTIFICATIONS, TRACES};
use crate::driver::{ListFilter, TraceSummary};
use crate::wire::{self, MAX_LINE_BYTES, json};
use crate::{Id, Result, Timestamp};

/// Keys and entries asked for at a time.
const PAGE: usize = 1000;
/// Values asked for at a time that may be large.
const VALUES: usize = 32;
/// The most that is read of what tells of an error: an id and a time.
const ERROR_BYTES: usize = 4096;
/// How many of a list's oldest elements may be junk before its time is unknown.
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
        each_entry(server, ERRORS, &mut |_, entries| {
            failed.extend(entries);
            Ok(())
        })?;
        each_entry(server, TRACES, &mut |connection, entries| {
            let mut questions = pipe();
            for (id, _) in &entries {
                questions.cmd("EXISTS").arg(format!("{NOTIFICATIONS}{id}"));
                questions.cmd("EXISTS").arg(format!("{LOST}{id}"));
                questions
                    .cmd("GETRANGE")
                    .arg(format!("{ERROR}{id}"))
                    .arg(0)
                    .arg(ERROR_BYTES);
            }
            let mut answers = ask(connection, &questions)?.into_iter();
            for (id, first) in entries {
                let (list, lost) = (answers.next(), answers.next());
                let error = answers.next().and_then(text_of);
                let is_there = list == Some(Value::Int(1));
                self.keys += u64::from(is_there)
                    + u64::from(lost == Some(Value::Int(1)))
                    + u64::from(error.as_ref().is_some_and(|text| !text.is_empty()));
                if is_there {
                    let failed = failed.get(&id).copied();
                    let failed = failed.or_else(|| error.as_deref().and_then(error_time));
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
                .arg(&[TRACES, ERRORS, LOST])
                .cmd("DBSIZE")
                .query(connection)
        })?;
        Ok(self.keys + ours == all)
    }

    /// Takes in what the index does not know: lists, errors and single notifications of upstream's writer.
    fn look_at_all_keys(&mut self, server: &mut Server) -> Result<()> {
        scan(server, "osprofiler[_:]*", &mut |connection, keys| {
            let (mut lists, mut errors, mut legacy) = (Vec::new(), Vec::new(), Vec::new());
            for key in keys {
                if let Some(id) = id_behind(key, NOTIFICATIONS) {
                    let is_new = self
                        .traces
                        .get(id)
                        .is_none_or(|found| found.first.is_none());
                    if is_new {
                        lists.push(id);
                    }
                } else if let Some(id) = id_behind(key, ERROR) {
                    errors.push((id, key.clone()));
                } else if key.starts_with(LEGACY.as_bytes()) {
                    legacy.push(key.clone());
                }
            }
            self.look_at_lists(connection, &lists)?;
            self.look_at_errors(connection, errors)?;
            self.look_at_single_notifications(connection, &legacy)
        })
    }

    fn look_at_lists(&mut self, connection: &mut Connection, ids: &[&str]) -> RedisResult<()> {
        for ids in ids.chunks(VALUES) {
            let mut questions = pipe();
            for id in ids {
                let key = format!("{NOTIFICATIONS}{id}");
                questions.cmd("LRANGE").arg(key).arg(-OLDEST).arg(-1);
            }
            for (id, answer) in ids.iter().zip(ask(connection, &questions)?) {
                let elements = match answer {
                    Value::Array(elements) => elements,
                    _ => Vec::new(),
                };
                let times = elements
                    .into_iter()
                    .filter_map(text_of)
                    .filter_map(|text| Some(wire::parse(&text).ok()?.as_notification().timestamp));
                match times.min() {
                    Some(first) => self.found(id).first = Some(first),
                    None => self.skipped += 1,
                }
            }
        }
        Ok(())
    }

    fn look_at_errors(
        &mut self,
        connection: &mut Connection,
        errors: Vec<(&str, Vec<u8>)>,
    ) -> RedisResult<()> {
        let (ids, keys): (Vec<_>, Vec<_>) = errors.into_iter().unzip();
        let mut texts = values(connection, &keys, ERROR_BYTES)?.into_iter();
        for id in ids {
            match texts.next().flatten().as_deref().and_then(error_time) {
                Some(time) => {
                    let failed = &mut self.found(id).failed;
                    *failed = Some(failed.map_or(time, |known| known.min(time)));
                }
                None => self.skipped += 1,
            }
        }
        Ok(())
    }

    fn look_at_single_notifications(
        &mut self,
        connection: &mut Connection,
        keys: &[Vec<u8>],
    ) -> RedisResult<()> {
        for text in values(connection, keys, MAX_LINE_BYTES)? {
            let parsed = text.as_deref().and_then(|text| wire::parse(text).ok());
            let Some(parsed) = parsed else {
                self.skipped += 1;
                continue;
            };
            let notification = parsed.as_notification();
            let found = self.found(&notification.base_id.to_string());
            let earlier = |known: Option<Timestamp>| {
                Some(known.map_or(notification.timestamp, |known| {
                    known.min(notification.timestamp)
                }))
            };
            found.first = earlier(found.first);
            if wire::has_error(&notification) {
                found.failed = earlier(found.failed);
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
pub(super) fn remove_stale(
    connection: &mut Connection,
    from: usize,
    count: usize,
) -> RedisResult<usize> {
    let ids: Vec<Vec<u8>> = cmd("ZRANGE")
        .arg(TRACES)
        .arg(from)
        .arg(from + count - 1)
        .query(connection)?;
    let mut questions = pipe();
    for id in &ids {
        questions
            .cmd("EXISTS")
            .arg([NOTIFICATIONS.as_bytes(), id].concat());
    }
    let answers = ask(connection, &questions)?.into_iter();
    let stale: Vec<&Vec<u8>> = ids
        .iter()
        .zip(answers)
        .filter_map(|(id, answer)| (answer == Value::Int(0)).then_some(id))
        .collect();
    if !stale.is_empty() {
        let mut removal = pipe();
        removal.atomic().cmd("ZREM").arg(TRACES).arg(&stale);
        removal
            .cmd("ZREM")
            .arg(ERRORS)
            .arg(&stale)
            .exec(connection)?;
    }
    let is_end = ids.len() < count;
    Ok(if is_end {
        0
    } else {
        from + ids.len() - stale.len()
    })
}

/// Calls `each` with the entries of an index, a page at a time, on the connection that read it. An index that is none
/// has no entries.
fn each_entry(
    server: &mut Server,
    index: &str,
    each: &mut dyn FnMut(&mut Connection, Vec<(String, Timestamp)>) -> RedisResult<()>,
) -> Result<()> {
    let mut from = 0;
    loop {
        let count = server.run("read", |connection, _| {
            let page = cmd("ZRANGE")
                .arg(index)
                .arg(from)
                .arg(from + PAGE - 1)
                .arg("WITHSCORES")
                .query(connection);
            let page: Vec<(Vec<u8>, f64)> = or_wrong_type(page)?.unwrap_or_default();
            let count = page.len();
            let entries = page
                .into_iter()
                .filter_map(|(id, micros)| {
                    let id = String::from_utf8(id).ok()?;
                    Id::parse(&id).ok()?;
                    Some((id, Timestamp::from_micros(micros as i64)))
                })
                .collect();
            each(connection, entries)?;
            Ok(count)
        })?;
        from += count;
        if count < PAGE {
            return Ok(());
        }
    }
}

/// Calls `each` with all keys that match, some at a time; with some of them twice.
pub(super) fn scan(
    server: &mut Server,
    pattern: &str,
    each: &mut dyn FnMut(&mut Connection, &[Vec<u8>]) -> RedisResult<()>,
) -> Result<()> {
    let mut cursor = 0;
    loop {
        cursor = server.run("read", |connection, _| {
            let (next, keys): (u64, Vec<Vec<u8>>) = cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(PAGE)
                .query(connection)?;
            each(connection, &keys)?;
            Ok(next)
        })?;
        if cursor == 0 {
            return Ok(());
        }
    }
}

/// The texts at `keys`; `None` where one is none, or longer than `most` bytes.
pub(super) fn values(
    connection: &mut Connection,
    keys: &[Vec<u8>],
    most: usize,
) -> RedisResult<Vec<Option<Vec<u8>>>> {
    let mut values = Vec::with_capacity(keys.len());
    for keys in keys.chunks(VALUES) {
        let mut questions = pipe();
        for key in keys {
            questions.cmd("GETRANGE").arg(key).arg(0).arg(most);
        }
        let answers = ask(connection, &questions)?.into_iter();
        values.extend(answers.map(|answer| text_of(answer).filter(|text| text.len() <= most)));
    }
    Ok(values)
}

/// The answers to `questions`, errors among them.
fn ask(connection: &mut Connection, questions: &Pipeline) -> RedisResult<Vec<Value>> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    connection.send_packed_command(&questions.get_packed_pipeline())?;
    (0..questions.len())
        .map(|_| connection.recv_response())
        .collect()
}

/// `None` for an answer that the key is of another type than ours are.
pub(super) fn or_wrong_type<T>(answer: RedisResult<T>) -> RedisResult<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
        Err(error) => Err(error),
    }
}

fn text_of(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(text) => Some(text),
        _ => None,
    }
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

/// A text for a pattern, where it stands for itself.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
