// SPDX-License-Identifier: Apache-2.0
//! A block: some notifications of one trace, packed as columns for one row of the table `block`.
//!
//! ```text
//!   version: 1 byte | packing: 1 byte (0 plain, 1 LZ4) | rows | uuids | bytes of the body    (varints)
//!   uuids x 16 bytes       ids of points and of their parents, each once, in order of first use
//!   body, packed:
//!     number of texts | length of each | their bytes     names, infos, projects, services, ids that are no UUIDs
//!     how many of the texts, the last ones, are ids
//!     columns: trace ids, parent ids, times, names, infos, projects, services
//! ```
//!
//! Ids repeat: an id in a column is 0 or 1 for "the next new UUID or text", or tells which one again. A parent is mostly "the expected
//! one": its start's, or that of the row before. Times are differences. Ids are random and stay outside of what is
//! compressed. Everything read is checked: any bytes give notifications or a reason, in bounded memory.

use std::collections::HashMap;

use crate::{Id, Notifications, TextNumber, Timestamp};

/// The layout described above. A reader refuses any other.
const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// The most that a reader unpacks. A writer stays far below, by [`BLOCK_ROWS`] and [`BLOCK_TEXT_BYTES`].
const MAX_ROWS: usize = 1 << 16;
const MAX_BODY_BYTES: usize = 64 << 20;

/// A writer begins a new block after this many rows, or this many bytes of distinct text.
pub(super) const BLOCK_ROWS: usize = 1024;
pub(super) const BLOCK_TEXT_BYTES: usize = 4 << 20;
/// A writer packs a block again with what follows it up to this many rows: a larger block is hardly denser.
pub(super) const MERGED_ROWS: usize = 512;
/// The most text that one notification may bring: with it a block can still be read.
pub(super) const ROW_TEXT_BYTES: usize = 32 << 20;

const COLUMNS: usize = 7;
/// What a row can bring that no row before it had: a name, an info, a project, a service, a point and its parent. So bytes
/// that unpack to 255 times their length cannot ask for a list of as many texts.
const TEXTS_A_ROW: usize = 6;

/// Codes of ids: a new one, or how far back in order of first use.
const NEW_UUID: u64 = 0;
const NEW_TEXT: u64 = 1;
const KNOWN: u64 = 2;
/// Codes of parents: the expected one, the trace itself, a new id, or its number.
const EXPECTED: u64 = 0;
const BASE: u64 = 1;
const PARENT: u64 = 2;

/// Packs notifications into blocks; keeps its memory between them.
#[derive(Default)]
pub(super) struct Encoder {
    /// Of each text of the collection, 1 + its number in the block.
    local: Vec<u32>,
    texts: Vec<TextNumber>,
    columns: [Vec<u8>; COLUMNS],
    body: Vec<u8>,
}

/// The ids of a block, in order of first use; of each, the code of its parent where it is a point's.
#[derive(Default)]
struct Ids<'a> {
    numbers: HashMap<Id<'a>, usize>,
    parents: Vec<Option<u64>>,
    uuids: Vec<u128>,
    texts: Vec<&'a str>,
}

impl<'a> Ids<'a> {
    /// The code for an id met for the first time.
    fn add(&mut self, id: Id<'a>) -> u64 {
        self.numbers.insert(id, self.parents.len());
        self.parents.push(None);
        if let Some(uuid) = id.as_u128() {
            self.uuids.push(uuid);
            NEW_UUID
        } else {
            self.texts.push(id.as_text().unwrap_or_default());
            NEW_TEXT
        }
    }
}

impl Encoder {
    /// Packs the notifications of `batch` at `rows`, all of the trace `base_id`, and appends the block to `out`.
    pub(super) fn encode(
        &mut self,
        base_id: Id<'_>,
        batch: &Notifications,
        rows: &[u32],
        out: &mut Vec<u8>,
    ) {
        self.clear(batch.text_count());
        let mut ids = Ids::default();
        let (mut time_before, mut parent_before) = (0, BASE);
        for &row in rows {
            let notification = batch.get(row as usize);
            let (number, code) = match ids.numbers.get(&notification.trace_id) {
                Some(&number) => (number, KNOWN + (ids.parents.len() - 1 - number) as u64),
                None => (ids.parents.len(), ids.add(notification.trace_id)),
            };
            push_varint(&mut self.columns[0], code);
            let expected = ids.parents[number].unwrap_or(parent_before);
            let (parent, code) = if notification.parent_id == base_id {
                (BASE, BASE)
            } else if let Some(&number) = ids.numbers.get(&notification.parent_id) {
                let parent = PARENT + 2 + number as u64;
                (parent, parent)
            } else {
                let parent = PARENT + 2 + ids.parents.len() as u64;
                (parent, PARENT + ids.add(notification.parent_id))
            };
            push_varint(
                &mut self.columns[1],
                if parent == expected { EXPECTED } else { code },
            );
            ids.parents[number] = Some(parent);
            parent_before = parent;
            let time = notification.timestamp.as_micros();
            push_varint(&mut self.columns[2], zigzag(time.wrapping_sub(time_before)));
            time_before = time;
            for (column, text) in batch.text_numbers(row as usize).into_iter().enumerate() {
                let code = self.text_code(text);
                push_varint(&mut self.columns[3 + column], code);
            }
        }
        self.finish(batch, rows.len(), &ids, out);
    }

    fn clear(&mut self, text_count: usize) {
        self.local.clear();
        self.local.resize(text_count, 0);
        self.texts.clear();
        self.columns.iter_mut().for_each(Vec::clear);
        self.body.clear();
    }

    /// 0 for an absent text, else 1 + its number in the block.
    fn text_code(&mut self, text: TextNumber) -> u64 {
        if text == TextNumber::ABSENT {
            return 0;
        }
        let local = &mut self.local[text.index()];
        if *local == 0 {
            self.texts.push(text);
            *local = self.texts.len() as u32;
        }
        u64::from(*local)
    }

    fn finish(&mut self, batch: &Notifications, rows: usize, ids: &Ids<'_>, out: &mut Vec<u8>) {
        let body = &mut self.body;
        let texts = self.texts.iter().map(|&number| batch.text(number));
        let texts = texts.chain(ids.texts.iter().copied());
        push_varint(body, (self.texts.len() + ids.texts.len()) as u64);
        for text in texts.clone() {
            push_varint(body, text.len() as u64);
        }
        for text in texts {
            body.extend_from_slice(text.as_bytes());
        }
        // The ids' texts stand last, in order: only their number is left to say.
        push_varint(body, ids.texts.len() as u64);
        for column in &self.columns {
            body.extend_from_slice(column);
        }
        let packed = lz4_flex::block::compress(body);
        let (packing, content) = if packed.len() < body.len() {
            (LZ4, &packed)
        } else {
            (PLAIN, &*body)
        };
        out.extend([VERSION, packing]);
        push_varint(out, rows as u64);
        push_varint(out, ids.uuids.len() as u64);
        push_varint(out, body.len() as u64);
        for uuid in &ids.uuids {
            out.extend_from_slice(&uuid.to_be_bytes());
        }
        out.extend_from_slice(content);
    }
}

/// Why bytes are no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadBlock {
    /// Of another version of the layout.
    Version(u8),
    /// Damaged, or never a block.
    Damaged(&'static str),
}

const SHORT: BadBlock = BadBlock::Damaged("it ends too early");

/// Unpacks a block of the trace `base_id`, appends its notifications and returns how many they are. After an error
/// nothing was appended.
pub(super) fn decode(
    base_id: Id<'_>,
    block: &[u8],
    notifications: &mut Notifications,
) -> Result<usize, BadBlock> {
    let mut block = Bytes(block);
    match block.take(1)?[0] {
        VERSION => {}
        other => return Err(BadBlock::Version(other)),
    }
    let packing = block.take(1)?[0];
    let rows = block.number_up_to(MAX_ROWS)?;
    let uuid_count = block.number_up_to(2 * MAX_ROWS)?;
    let body_bytes = block.number_up_to(MAX_BODY_BYTES)?;
    if rows * COLUMNS > body_bytes {
        return Err(BadBlock::Damaged(
            "it has more rows than a body of its size",
        ));
    }
    let uuids = block.take(uuid_count * 16)?;
    let unpacked;
    let body = match packing {
        PLAIN => block.0,
        LZ4 => {
            let mut buffer = vec![0; body_bytes];
            let written = lz4_flex::block::decompress_into(block.0, &mut buffer)
                .map_err(|_| BadBlock::Damaged("its body cannot be unpacked"))?;
            buffer.truncate(written);
            unpacked = buffer;
            &unpacked
        }
        _ => return Err(BadBlock::Damaged("its packing is unknown")),
    };
    if body.len() != body_bytes {
        return Err(BadBlock::Damaged("its body has another length"));
    }
    let mut body = Bytes(body);
    let texts = body.texts(rows * TEXTS_A_ROW)?;
    let text_id_count = body.number_up_to(texts.len())?;
    let (texts, text_ids) = texts.split_at(texts.len() - text_id_count);
    for text in text_ids {
        Id::parse(text).map_err(|_| BadBlock::Damaged("one of its ids is none"))?;
    }
    let decoded = Columns {
        base_id,
        uuids,
        text_ids,
        ids: Vec::with_capacity(uuid_count + text_id_count),
    }
    .decode(&mut body, rows, texts.len())?;
    if !body.0.is_empty() {
        return Err(BadBlock::Damaged("something follows its last column"));
    }
    let numbers: Vec<_> = texts
        .iter()
        .map(|text| notifications.intern(text))
        .collect();
    let number = |code: u32| match code {
        0 => TextNumber::ABSENT,
        code => numbers[code as usize - 1],
    };
    for row in decoded {
        notifications.push_interned(
            [base_id, row.trace_id, row.parent_id],
            row.timestamp,
            row.texts.map(number),
        );
    }
    Ok(rows)
}

/// How many notifications the block that begins with `start` says it holds; its first 12 bytes are enough.
pub(super) fn row_count(start: &[u8]) -> Option<u64> {
    let mut bytes = Bytes(start.strip_prefix(&[VERSION])?);
    bytes.take(1).ok()?;
    bytes.number_up_to(MAX_ROWS).ok().map(|rows| rows as u64)
}

struct Row<'a> {
    trace_id: Id<'a>,
    parent_id: Id<'a>,
    timestamp: Timestamp,
    texts: [u32; 4],
}

struct Columns<'a> {
    base_id: Id<'a>,
    uuids: &'a [u8],
    text_ids: &'a [&'a str],
    /// Ids in order of first use, with their parents once known.
    ids: Vec<(Id<'a>, Option<Id<'a>>)>,
}

impl<'a> Columns<'a> {
    fn decode(
        mut self,
        body: &mut Bytes<'_>,
        rows: usize,
        text_count: usize,
    ) -> Result<Vec<Row<'a>>, BadBlock> {
        let mut codes = vec![[0; COLUMNS]; rows];
        for column in 0..COLUMNS {
            for row in &mut codes {
                row[column] = body.number()?;
            }
        }
        let (mut time, mut parent) = (0i64, self.base_id);
        let mut decoded = Vec::with_capacity(rows);
        for [point, parent_code, time_code, text_codes @ ..] in codes {
            let point = self.point(point)?;
            parent = match parent_code {
                EXPECTED => self.ids[point].1.unwrap_or(parent),
                BASE => self.base_id,
                code if code < PARENT + 2 => {
                    let number = self.add(code - PARENT)?;
                    self.ids[number].0
                }
                code => {
                    let number = usize::try_from(code - PARENT - 2).ok();
                    number
                        .and_then(|number| self.ids.get(number))
                        .ok_or(BadBlock::Damaged("a parent is none of its ids"))?
                        .0
                }
            };
            self.ids[point].1 = Some(parent);
            time = time.wrapping_add(unzigzag(time_code));
            for (column, code) in text_codes.into_iter().enumerate() {
                let may_be_absent = column >= 2;
                if code > text_count as u64 || code == 0 && !may_be_absent {
                    return Err(BadBlock::Damaged("a text is none of its texts"));
                }
            }
            decoded.push(Row {
                trace_id: self.ids[point].0,
                parent_id: parent,
                timestamp: Timestamp::from_micros(time),
                texts: text_codes.map(|code| code as u32),
            });
        }
        Ok(decoded)
    }

    fn point(&mut self, code: u64) -> Result<usize, BadBlock> {
        if code < KNOWN {
            return self.add(code);
        }
        usize::try_from(code - KNOWN)
            .ok()
            .and_then(|back| self.ids.len().checked_sub(back.checked_add(1)?))
            .ok_or(BadBlock::Damaged("a point is none of its ids"))
    }

    fn add(&mut self, code: u64) -> Result<usize, BadBlock> {
        let id = if code == NEW_UUID {
            let (uuid, rest) = self.uuids.split_first_chunk::<16>().ok_or(SHORT)?;
            self.uuids = rest;
            Id::from_u128(u128::from_be_bytes(*uuid))
        } else {
            let (text, rest) = self.text_ids.split_first().ok_or(SHORT)?;
            self.text_ids = rest;
            Id::parse(text).map_err(|_| BadBlock::Damaged("one of its ids is none"))?
        };
        self.ids.push((id, None));
        Ok(self.ids.len() - 1)
    }
}

/// Bytes still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BadBlock> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, BadBlock> {
        let mut number = 0;
        for (index, &byte) in self.0.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Ok(number);
            }
        }
        Err(SHORT)
    }

    fn number_up_to(&mut self, most: usize) -> Result<usize, BadBlock> {
        let number = self.number()?;
        if number > most as u64 {
            return Err(BadBlock::Damaged("a number is out of range"));
        }
        Ok(number as usize)
    }

    fn texts(&mut self, most: usize) -> Result<Vec<&'a str>, BadBlock> {
        let count = self.number_up_to(most)?;
        let mut lengths = Vec::with_capacity(count);
        for _ in 0..count {
            lengths.push(self.number_up_to(MAX_BODY_BYTES)?);
        }
        lengths
            .into_iter()
            .map(|length| {
                std::str::from_utf8(self.take(length)?)
                    .map_err(|_| BadBlock::Damaged("a text is not UTF-8"))
            })
            .collect()
    }
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests;
