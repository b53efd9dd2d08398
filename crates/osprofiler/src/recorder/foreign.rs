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
use super::value::{MAX_INFO_BYTES, cut_at};

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
pub fn record<'n>(
    origin: Origin,
    kind: Kind,
    name: impl Into<PointName<'n>>,
    base_id: Id<'_>,
    trace_id: Id<'_>,
    parent_id: Id<'_>,
    info: InfoSource<'_>,
) {
    write(
        origin,
        kind,
        clock::ticks(),
        name.into(),
        [base_id, trace_id, parent_id],
        info,
    );
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
        PointName::Text(text) => match Name::intern(text) {
            Some(name) => (name.number(), ""),
            None => (0, cut_at(text, usize::from(u16::MAX))),
        },
    };
    debug_assert_ne!(number, NO_ROOM);
    let mut flags = match kind {
        Kind::Start => 0,
        Kind::Stop => STOP,
    };
    // The number of a JSON text that was too long, in place of the text.
    let cut;
    let info = match info {
        InfoSource::None => {
            flags |= FORM_NONE;
            ""
        }
        InfoSource::Json(text) if text.len() <= MAX_INFO_BYTES => {
            flags |= FORM_JSON;
            text
        }
        InfoSource::Json(text) => {
            flags |= FORM_JSON;
            cut = format!("{{\"cut\": \"info of {} bytes\"}}", text.len());
            &cut
        }
    };
    for (id, flag) in ids.iter().zip([BASE_TEXT, TRACE_TEXT, PARENT_TEXT]) {
        if id.as_text().is_some() {
            flags |= flag;
        }
    }
    if number == 0 {
        flags |= NAME_TEXT;
    }
    let [base_id, trace_id, parent_id] = ids.map(|id| id.as_u128().unwrap_or(0));
    let head = Head {
        ticks,
        name: number,
        origin: origin.number(),
        flags,
        base_id,
        trace_id,
        parent_id,
    };
    thread::with(|thread| {
        if flags & !STOP == FORM_NONE {
            thread.write(head);
        } else if flags & !STOP == FORM_JSON {
            thread.write_bytes(head, info.as_bytes());
        } else {
            write_texts(thread, head, name_text, ids, info.as_bytes());
        }
    });
}

/// Writes a record whose name, ids or info follow as bytes, as `head.flags` say.
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
