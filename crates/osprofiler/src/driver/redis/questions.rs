// SPDX-License-Identifier: Apache-2.0
//! Questions about many keys at a time: which there are, what they hold, what an index says.
//!
//! In: keys, patterns, names of indexes. Out: pages of answers, bounded in number and, where values may be large, in size. A
//! key of another type than ours is an absent answer and no error. Each question may be asked twice and changes nothing.

use std::ops::ControlFlow;

use ::redis::{Pipeline, RedisResult, Value, cmd, pipe};

use super::connection::Server;
use crate::{Id, Result, Timestamp};

/// Keys and entries asked for at a time.
const PAGE: usize = 1000;
/// Values asked for at a time that may be large.
pub(super) const VALUES: usize = 32;
/// The elements of a list's first page; later pages grow to what takes about [`PAGE_BYTES`].
const FIRST_PAGE: usize = 16;
const LARGEST_PAGE: usize = 4096;
const PAGE_BYTES: usize = 4 << 20;

/// Calls `each` with all keys that match, some at a time; with some of them twice.
pub(super) fn each_key(
    server: &mut Server,
    pattern: &str,
    mut each: impl FnMut(&mut Server, &[Vec<u8>]) -> Result<()>,
) -> Result<()> {
    let mut cursor = 0_u64;
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) = server.run("read", |connection, _| {
            cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(PAGE)
                .query(connection)
        })?;
        each(server, &keys)?;
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// Calls `each` with the entries of an index, some at a time; strangers' are left out.
pub(super) fn each_entry(
    server: &mut Server,
    index: &str,
    mut each: impl FnMut(&mut Server, Vec<(String, Timestamp)>) -> Result<()>,
) -> Result<()> {
    let mut from = 0;
    loop {
        let page = server.run("read", |connection, _| {
            let page = cmd("ZRANGE")
                .arg(index)
                .arg(from)
                .arg(from + PAGE - 1)
                .arg("WITHSCORES")
                .query(connection);
            or_wrong_type(page)
        })?;
        let page: Vec<(Vec<u8>, f64)> = page.unwrap_or_default();
        let count = page.len();
        let entries = page.into_iter().filter_map(|(id, micros)| {
            let id = String::from_utf8(id).ok()?;
            Id::parse(&id).ok()?;
            Some((id, Timestamp::from_micros(micros as i64)))
        });
        each(server, entries.collect())?;
        from += count;
        if count < PAGE {
            return Ok(());
        }
    }
}

/// Calls `each` with the elements of a list, the oldest first, some at a time, until it breaks off. Whether it is a list; one
/// that is not there is an empty one.
pub(super) fn each_page(
    server: &mut Server,
    key: &str,
    mut each: impl FnMut(&[Vec<u8>]) -> ControlFlow<()>,
) -> Result<bool> {
    let (mut from, mut size) = (0, FIRST_PAGE);
    loop {
        // From the tail, where nothing is ever added.
        let page = server.run("read", |connection, _| {
            let page = cmd("LRANGE")
                .arg(key)
                .arg(-((from + size) as i64))
                .arg(-(from as i64) - 1)
                .query(connection);
            or_wrong_type(page)
        })?;
        let Some(page) = page else {
            return Ok(false);
        };
        let mut page: Vec<Vec<u8>> = page;
        page.reverse();
        if each(&page).is_break() || page.len() < size {
            return Ok(true);
        }
        from += page.len();
        size = next_size(&page);
    }
}

/// How many elements like those of `page` make a good next one. Few large ones may follow many small ones, so it grows
/// slowly.
fn next_size(page: &[Vec<u8>]) -> usize {
    let bytes: usize = page.iter().map(Vec::len).sum();
    let fitting = PAGE_BYTES * page.len() / bytes.max(1);
    fitting.clamp(1, LARGEST_PAGE.min(page.len() * 8))
}

/// The texts at `keys`; `None` where one is none, or longer than `most` bytes.
pub(super) fn values(
    server: &mut Server,
    keys: &[Vec<u8>],
    most: usize,
) -> Result<Vec<Option<Vec<u8>>>> {
    let mut values = Vec::with_capacity(keys.len());
    for keys in keys.chunks(VALUES) {
        let mut questions = pipe();
        for key in keys {
            questions.cmd("GETRANGE").arg(key).arg(0).arg(most);
        }
        let answers = ask(server, &questions)?.into_iter();
        values.extend(answers.map(|answer| text_of(answer).filter(|text| text.len() <= most)));
    }
    Ok(values)
}

/// The answers to `questions`, errors among them.
pub(super) fn ask(server: &mut Server, questions: &Pipeline) -> Result<Vec<Value>> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    server.run("read", |connection, _| {
        connection.send_packed_command(&questions.get_packed_pipeline())?;
        (0..questions.len())
            .map(|_| connection.recv_response())
            .collect()
    })
}

/// `None` for an answer that the key is of another type than ours are.
pub(super) fn or_wrong_type<T>(answer: RedisResult<T>) -> RedisResult<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn text_of(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(text) => Some(text),
        _ => None,
    }
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
