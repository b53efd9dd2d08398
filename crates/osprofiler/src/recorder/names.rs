// SPDX-License-Identifier: Apache-2.0
//! Names and the shapes of infos, by number: what a record refers to instead of carrying it.
//!
//! One append-only, process-wide table of entries; an entry is a point's name and the static part of its info. Names given
//! as text are interned, at most 65,536 of at most 256 bytes; beyond that a name travels as bytes behind its record. Call sites
//! enter themselves once, when they first record. Adding takes no lock, so a forked child may add whatever its parent's other
//! threads were doing.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::info::Pieces;
use super::record::{FORM_NONE, FORM_SITE};
use super::value::{Value, cut_at};

/// How many names given as text are interned.
const MAX_NAMES: u32 = 65_536;
/// The longest name that is interned.
const MAX_NAME_BYTES: usize = 256;
/// Names and call sites together. Call sites are bounded by the program's text.
const CAPACITY: usize = 2 * MAX_NAMES as usize;
/// Places of the hash table from names to entries; twice as many as names.
const PLACES: usize = 2 * MAX_NAMES as usize;
/// How far a search goes before the name travels as bytes.
const MAX_PROBES: usize = 64;

static ENTRIES: [AtomicPtr<Entry>; CAPACITY] =
    [const { AtomicPtr::new(ptr::null_mut()) }; CAPACITY];
static NEXT: AtomicU32 = AtomicU32::new(0);
static NAMES: AtomicU32 = AtomicU32::new(0);
static PLACE: [AtomicU32; PLACES] = [const { AtomicU32::new(0) }; PLACES];

/// What a number stands for.
pub(super) struct Entry {
    pub(super) name: &'static str,
    parts: &'static [Part],
    /// Records bring values for the info, so that it is not the same each time.
    pub(super) has_holes: bool,
    /// What `parts` are as text, once somebody has read an info of this shape; never freed.
    pieces: AtomicPtr<Pieces>,
}

impl Entry {
    fn new(name: &'static str, parts: &'static [Part]) -> Self {
        Self {
            name,
            parts,
            has_holes: parts.iter().any(|part| matches!(part, Part::Hole)),
            pieces: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// What the shape is as text. Takes no lock: a child forked meanwhile makes its own.
    pub(super) fn pieces(&self) -> &Pieces {
        let mut pieces = self.pieces.load(Ordering::Acquire);
        if pieces.is_null() {
            let made = Box::into_raw(Box::new(Pieces::new(self.parts)));
            let exchanged = self.pieces.compare_exchange(
                ptr::null_mut(),
                made,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            pieces = match exchanged {
                Ok(_) => made,
                Err(other) => {
                    // SAFETY: `made` came from `Box::into_raw` above, and nobody else has seen it.
                    drop(unsafe { Box::from_raw(made) });
                    other
                }
            };
        }
        // SAFETY: a non-null pointer came from `Box::into_raw` through a release operation, and is never freed or written again.
        unsafe { &*pieces }
    }
}

/// A piece of an info's shape, as [`point!`](crate::point) writes it down at compile time.
#[derive(Clone, Copy)]
pub enum Part {
    /// A member's key; its value follows.
    Key(&'static str),
    /// An object begins.
    Open,
    /// The innermost object ends.
    Close,
    /// A value known at compile time.
    Static(&'static (dyn Value + Sync)),
    /// A value that each record brings.
    Hole,
}

/// The name of a trace point, interned: what foreign code keeps instead of a text it records with often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name(u32);

impl Name {
    /// The number of `text`, `None` if it is longer than 256 bytes or 65,536 others are interned already. Costs 20 ns,
    /// and an allocation that is never freed for a new name.
    ///
    /// ```
    /// # use osprofiler::recorder::Name;
    /// let name = Name::intern("db").unwrap();
    /// assert_eq!(Name::intern("db"), Some(name));
    /// assert_eq!(name.text(), "db");
    /// ```
    pub fn intern(text: &str) -> Option<Self> {
        if text.len() > MAX_NAME_BYTES {
            return None;
        }
        let mut place = hash(text.as_bytes()) as usize % PLACES;
        for _ in 0..MAX_PROBES {
            let number = match PLACE[place].load(Ordering::Acquire) {
                0 => match add_name(text, &PLACE[place]) {
                    Added::Here(number) => return Some(Self(number)),
                    Added::NoRoom => return None,
                    Added::Other(number) => number,
                },
                number => number,
            };
            if entry(number).is_some_and(|entry| entry.name == text) {
                return Some(Self(number));
            }
            place = (place + 1) % PLACES;
        }
        None
    }

    /// As [`intern`](Self::intern); what gets no number travels behind its record, which has room for 65,535 bytes: as much of the text.
    pub(super) fn intern_or_cut(text: &str) -> Result<Self, &str> {
        Self::intern(text).ok_or_else(|| cut_at(text, usize::from(u16::MAX)))
    }

    /// The name's text.
    pub fn text(self) -> &'static str {
        entry(self.0).map_or("", |entry| entry.name)
    }

    #[inline]
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// What an event has for words, as numbers: events of one origin, one kind and equal wordings have equal names, and equal infos if these
/// have a number. The numbers count up from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wording {
    /// The name's.
    pub name: u32,
    /// The info's, 0 where there is none but the host; `None` if the info holds what the event brought.
    pub info: Option<u32>,
}

enum Added {
    Here(u32),
    Other(u32),
    NoRoom,
}

#[cold]
fn add_name(text: &str, place: &AtomicU32) -> Added {
    let count = NAMES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
        (count < MAX_NAMES).then_some(count + 1)
    });
    if count.is_err() {
        return Added::NoRoom;
    }
    let name = Box::leak(text.into());
    let Some(number) = add(Entry::new(name, &[])) else {
        return Added::NoRoom;
    };
    match place.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Added::Here(number),
        // Lost a race: the entry just made is one of the table's, unused.
        Err(other) => Added::Other(other),
    }
}

fn add(entry: Entry) -> Option<u32> {
    let index = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
        ((next as usize) < CAPACITY).then_some(next + 1)
    });
    let index = index.ok()?;
    ENTRIES[index as usize].store(Box::into_raw(Box::new(entry)), Ordering::Release);
    Some(index + 1)
}

/// What `number` stands for; `None` if no record was ever written with it.
#[inline]
pub(super) fn entry(number: u32) -> Option<&'static Entry> {
    let index = (number as usize).wrapping_sub(1);
    let entry = ENTRIES.get(index)?.load(Ordering::Acquire);
    // SAFETY: a non-null pointer came from `Box::into_raw` through a release store, and is never freed or written again.
    unsafe { entry.as_ref() }
}

/// Not against collisions made on purpose: those run into `MAX_PROBES` and travel as bytes.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    }
    hash ^ hash >> 32
}

/// A trace point's place in the program: its name and its info's shape. [`point!`](crate::point) makes one a call.
pub struct Site {
    name: &'static str,
    parts: &'static [Part],
    /// What a start's flags say of the info.
    form: u8,
    /// 0 until the site has entered itself into the table.
    number: AtomicU32,
}

/// The number of a site that found the table full; its records are counted as lost.
pub(super) const NO_ROOM: u32 = u32::MAX;

impl Site {
    /// A site; what [`point!`](crate::point) puts into a `static`.
    pub const fn new(name: &'static str, parts: &'static [Part]) -> Self {
        Self {
            name,
            parts,
            form: if parts.is_empty() {
                FORM_NONE
            } else {
                FORM_SITE
            },
            number: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(super) fn number(&self) -> u32 {
        match self.number.load(Ordering::Relaxed) {
            0 => self.enter(),
            number => number,
        }
    }

    #[inline]
    pub(super) fn form(&self) -> u8 {
        self.form
    }

    #[cold]
    #[inline(never)]
    fn enter(&self) -> u32 {
        let number = add(Entry::new(self.name, self.parts)).unwrap_or(NO_ROOM);
        // Two threads may enter the same site at once: the table then holds it twice, and either number is right. A reader that
        // sees this number finds the entry, because the entry's number only travels in records published by a release store.
        match self
            .number
            .compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => number,
            Err(other) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_have_equal_numbers_from_any_thread() {
        let intern = || -> Vec<Name> {
            (0..500)
                .map(|number| Name::intern(&format!("race-{number}")).unwrap())
                .collect()
        };
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(intern)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), intern());
        }
        assert_eq!(Name::intern("race-17").unwrap().text(), "race-17");
    }

    #[test]
    fn a_long_name_is_not_interned() {
        assert!(Name::intern(&"x".repeat(256)).is_some());
        assert_eq!(Name::intern(&"x".repeat(257)), None);
    }
}
