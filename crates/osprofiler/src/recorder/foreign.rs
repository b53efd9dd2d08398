// SPDX-License-Identifier: Apache-2.0
//! Recording with explicit ids: for the Python edge and other foreign code, which keep their own contexts.
//!
//! In come an origin, a name, three ids and an info ready as JSON; out goes one record. The thread's context is neither read
//! nor changed.

use crate::{Id, Kind};

use super::clock;
use super::names::{NO_ROOM, Name};
use super::origin::Origin;
use super::record::{BASE_TEXT, FORM_JSON, FORM_NONE, NAME_TEXT, PARENT_TEXT, STOP, TRACE_TEXT};
use super::thread::{self, Head};
use super::value::MAX_INFO_BYTES;

/// An info as foreign code brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoSource<'a> {
    /// Nothing but the host.
    None,
    /// The text of one JSON object, at most 1 MiB; a longer one is replaced by `{"cut": "info of .. bytes"}`. It is trusted to be
    /// JSON. `host` is added when it is read, unless it is there.
    Json(&'a str),
}

/// Records a start or a stop. Costs 20 ns, the clock's reading included; an info, a text id or a name that is not interned adds 30 and its
/// copy. Never fails, blocks or panics: what finds no room is counted.
///
/// `name` is the point's, without suffix. Whoever records a name often interns it once: [`Name`] converts as well.
///
/// ```
/// # use osprofiler::{Id, Kind};
/// # use osprofiler::recorder::{InfoSource, Name, Origin, new_id, record};
/// let origin = Origin::register(Some("glance"), Some("api"), "host-1").unwrap();
/// let base_id = Id::parse("request-17").unwrap();
/// let trace_id = Id::from_u128(new_id());
/// let name = Name::intern("wsgi").unwrap();
/// record(origin, Kind::Start, name, base_id, trace_id, base_id, InfoSource::Json(r#"{"request": {"path": "/"}}"#));
/// record(origin, Kind::Stop, "wsgi", base_id, trace_id, base_id, InfoSource::None);
/// ```
#[inline]
pub fn record<'n>(
    origin: Origin,
    kind: Kind,
    name: impl Into<PointName<'n>>,
    base_id: Id<'_>,
    trace_id: Id<'_>,
    parent_id: Id<'_>,
    info: InfoSource<'_>,
) {
    let ticks = clock::ticks();
    let name = name.into();
    // Nothing of this is copied as a whole: numbers that were just stored by halves would have to be waited for.
    if let PointName::Interned(name) = name
        && let Some(base_id) = base_id.as_u128()
        && let Some(trace_id) = trace_id.as_u128()
        && let Some(parent_id) = parent_id.as_u128()
    {
        let head = Head {
            ticks,
            name: name.number(),
            origin: origin.number(),
            flags: flag(kind),
            base_id,
            trace_id,
            parent_id,
        };
        write_numbers(head, info);
    } else {
        let ids = [base_id, trace_id, parent_id];
        write(origin, kind, ticks, name, ids, info);
    }
}

#[inline]
fn flag(kind: Kind) -> u8 {
    match kind {
        Kind::Start => 0,
        Kind::Stop => STOP,
    }
}

/// The text of the info; in place of one that is too long its number of bytes, written into `cut`.
#[inline]
fn bounded<'a>(info: InfoSource<'a>, cut: &'a mut String) -> Option<&'a str> {
    match info {
        InfoSource::None => None,
        InfoSource::Json(text) if text.len() <= MAX_INFO_BYTES => Some(text),
        InfoSource::Json(text) => {
            *cut = format!("{{\"cut\": \"info of {} bytes\"}}", text.len());
            Some(cut)
        }
    }
}

/// Writes a record without texts but the info's.
#[inline]
fn write_numbers(mut head: Head, info: InfoSource<'_>) {
    let mut cut = String::new();
    let info = bounded(info, &mut cut);
    thread::with(|thread| match info {
        None => thread.write(head),
        Some(text) => {
            head.flags |= FORM_JSON;
            thread.write_bytes(head, text.as_bytes());
        }
    });
}

/// The name of a point, interned or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointName<'a> {
    /// By number.
    Interned(Name),
    /// As text; interned when it is recorded, if there is room.
    Text(&'a str),
}

impl From<Name> for PointName<'_> {
    fn from(name: Name) -> Self {
        Self::Interned(name)
    }
}

impl<'a> From<&'a str> for PointName<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

#[cold]
#[inline(never)]
fn write(
    origin: Origin,
    kind: Kind,
    ticks: u64,
    name: PointName<'_>,
    ids: [Id<'_>; 3],
    info: InfoSource<'_>,
) {
    let (number, name_text) = match name {
        PointName::Interned(name) => (name.number(), ""),
        PointName::Text(text) => match Name::intern_or_cut(text) {
            Ok(name) => (name.number(), ""),
            Err(text) => (0, text),
        },
    };
    debug_assert_ne!(number, NO_ROOM);
    let mut texts = 0;
    for (id, flag) in ids.iter().zip([BASE_TEXT, TRACE_TEXT, PARENT_TEXT]) {
        if id.as_text().is_some() {
            texts |= flag;
        }
    }
    if number == 0 {
        texts |= NAME_TEXT;
    }
    let [base_id, trace_id, parent_id] = ids.map(|id| id.as_u128().unwrap_or(0));
    let mut head = Head {
        ticks,
        name: number,
        origin: origin.number(),
        flags: flag(kind) | texts,
        base_id,
        trace_id,
        parent_id,
    };
    if texts == 0 {
        return write_numbers(head, info);
    }
    let mut cut = String::new();
    let info = bounded(info, &mut cut);
    head.flags |= info.map_or(FORM_NONE, |_| FORM_JSON);
    thread::with(|thread| {
        let info = info.unwrap_or_default().as_bytes();
        write_texts(thread, head, name_text, ids, info);
    });
}

/// Writes a record whose name, ids or info follow as bytes, as `head.flags` say. A name is as [`Name::intern_or_cut`] gives it.
pub(super) fn write_texts(
    thread: &thread::Thread,
    head: Head,
    name: &str,
    ids: [Id<'_>; 3],
    info: &[u8],
) {
    let name_length = (name.len() as u16).to_ne_bytes();
    let id_lengths = ids.map(|id| [id.as_text().unwrap_or_default().len() as u8]);
    let mut pieces: [&[u8]; 9] = [&[]; 9];
    if head.flags & NAME_TEXT != 0 {
        pieces[0] = &name_length;
        pieces[1] = name.as_bytes();
    }
    for (index, id) in ids.iter().enumerate() {
        if let Some(text) = id.as_text() {
            pieces[2 + 2 * index] = &id_lengths[index];
            pieces[3 + 2 * index] = text.as_bytes();
        }
    }
    pieces[8] = info;
    thread.write_long(head, &pieces, ids[0]);
}
