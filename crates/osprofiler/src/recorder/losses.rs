// SPDX-License-Identifier: Apache-2.0
//! What the recorder had to drop, by trace as far as known: bounded tables, on the cold path only.
//!
//! A table is guarded by a flag that nobody waits for: whoever finds it taken uses the next, so delivery, which empties one after the
//! other, is never in a recording thread's way. Who finds all taken or full counts under "trace unknown". The totals are exact either way.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::{Id, Loss, LossReason};

use super::generation::generation;
use super::signal;

/// As many threads as this count at one moment, less the one that takes.
const TABLES: usize = 4;
/// How many traces and reasons a table tells apart between two calls of [`take_losses`].
const CAPACITY: usize = 64;
const REASONS: usize = LossReason::ALL.len();

static LOSSES: Losses = Losses {
    tables: [const {
        Table {
            taken: AtomicBool::new(false),
            length: AtomicUsize::new(0),
            entries: UnsafeCell::new([const { Entry::EMPTY }; CAPACITY]),
        }
    }; TABLES],
    unknown: [const { AtomicU64::new(0) }; REASONS],
    total: AtomicU64::new(0),
    wait: AtomicBool::new(false),
};

struct Losses {
    tables: [Table; TABLES],
    /// Losses of traces in no table, by reason.
    unknown: [AtomicU64; REASONS],
    /// All since the process began, taken or not.
    total: AtomicU64,
    /// Something was counted since the last [`take_losses`] began.
    wait: AtomicBool,
}

struct Table {
    taken: AtomicBool,
    length: AtomicUsize,
    entries: UnsafeCell<[Entry; CAPACITY]>,
}

// SAFETY: `entries` is touched only through `with_entries`, by the one thread that has set `taken`.
unsafe impl Sync for Table {}

#[derive(Clone, Copy)]
struct Entry {
    base_id: u128,
    text: [u8; Id::MAX_BYTES],
    /// 0 if the id is `base_id`.
    text_length: u8,
    reason: LossReason,
    count: u64,
}

impl Entry {
    const EMPTY: Self = Self {
        base_id: 0,
        text: [0; Id::MAX_BYTES],
        text_length: 0,
        reason: LossReason::MemoryFull,
        count: 0,
    };

    fn text(&self) -> &[u8] {
        &self.text[..usize::from(self.text_length)]
    }

    fn is(&self, base_id: Id<'_>, reason: LossReason) -> bool {
        self.reason == reason
            && self.base_id == base_id.as_u128().unwrap_or(0)
            && self.text() == base_id.as_text().unwrap_or("").as_bytes()
    }
}

/// Counts one notification of the trace `base_id` as lost. Wakes delivery if it is idle, with the first since it last took any.
#[cold]
pub(super) fn count(base_id: Id<'_>, reason: LossReason) {
    LOSSES.total.fetch_add(1, Ordering::Relaxed);
    if !LOSSES
        .tables
        .iter()
        .any(|table| table.count(base_id, reason))
    {
        LOSSES.unknown[position(reason)].fetch_add(1, Ordering::Relaxed);
    }
    if !LOSSES.wait.swap(true, Ordering::SeqCst) {
        signal::end_idleness();
    }
}

/// Whether there is something to take.
pub(super) fn are_waiting() -> bool {
    LOSSES.wait.load(Ordering::SeqCst)
}

/// Gives `each` what was lost since the last call, with the trace where it is known. Numbers of several calls add up to
/// everything that was recorded and not swept. Takes no lock; losses that happen meanwhile come with the next call.
///
/// ```
/// # use osprofiler::recorder::take_losses;
/// let mut lost = 0;
/// take_losses(&mut |_base_id, loss| lost += loss.count);
/// assert_eq!(lost, 0);
/// ```
pub fn take_losses(each: &mut dyn FnMut(Option<Id<'_>>, Loss)) {
    generation();
    // Whoever is counting at this moment says so afterwards, and is seen by the next call.
    if !LOSSES.wait.swap(false, Ordering::SeqCst) {
        return;
    }
    // Copied out first: `each` may take its time, or record. From the last to the first: who counts goes the other way, so that the two
    // meet once.
    let mut taken = Vec::new();
    for table in LOSSES.tables.iter().rev() {
        table.take(&mut taken);
    }
    for entry in &taken {
        let text = std::str::from_utf8(entry.text()).ok();
        let base_id = match entry.text_length {
            0 => Some(Id::from_u128(entry.base_id)),
            _ => text.and_then(|text| Id::parse(text).ok()),
        };
        each(
            base_id,
            Loss {
                count: entry.count,
                reason: entry.reason,
            },
        );
    }
    for reason in LossReason::ALL {
        let count = LOSSES.unknown[position(reason)].swap(0, Ordering::Relaxed);
        if count > 0 {
            each(None, Loss { count, reason });
        }
    }
}

/// How many notifications were lost since the process began (or was forked).
pub(super) fn total() -> u64 {
    LOSSES.total.load(Ordering::Relaxed)
}

/// In a forked child: the parent's losses are the parent's to tell, and whoever held the flag is not in this process.
pub(super) fn forget() {
    for table in &LOSSES.tables {
        table.length.store(0, Ordering::Relaxed);
        table.taken.store(false, Ordering::Release);
    }
    for count in &LOSSES.unknown {
        count.store(0, Ordering::Relaxed);
    }
    LOSSES.total.store(0, Ordering::Relaxed);
    LOSSES.wait.store(false, Ordering::SeqCst);
}

impl Table {
    /// Counts one loss; whether the table was free and had room.
    fn count(&self, base_id: Id<'_>, reason: LossReason) -> bool {
        let counted = self.with_entries(|entries, length| {
            if let Some(entry) = entries[..*length]
                .iter_mut()
                .find(|entry| entry.is(base_id, reason))
            {
                entry.count += 1;
                return true;
            }
            let Some(entry) = entries.get_mut(*length) else {
                return false;
            };
            let text = base_id.as_text().unwrap_or("").as_bytes();
            entry.base_id = base_id.as_u128().unwrap_or(0);
            entry.text[..text.len()].copy_from_slice(text);
            entry.text_length = text.len() as u8; // at most 255: the length of an id
            entry.reason = reason;
            entry.count = 1;
            *length += 1;
            true
        });
        counted == Some(true)
    }

    /// Empties the table into `taken`. One that is in use at this moment keeps what it has for the next call.
    fn take(&self, taken: &mut Vec<Entry>) {
        taken.reserve(CAPACITY);
        self.with_entries(|entries, length| {
            taken.extend_from_slice(&entries[..*length]);
            *length = 0;
        });
    }

    /// Runs `work` on the entries, unless another thread is at them.
    fn with_entries<T>(
        &self,
        work: impl FnOnce(&mut [Entry; CAPACITY], &mut usize) -> T,
    ) -> Option<T> {
        if self.taken.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: `taken` was false and is now ours, so no other reference to the entries exists until we give it back; both
        // callers pass code that neither panics nor comes here again.
        let entries = unsafe { &mut *self.entries.get() };
        let mut length = self.length.load(Ordering::Relaxed);
        let result = work(entries, &mut length);
        self.length.store(length, Ordering::Relaxed);
        self.taken.store(false, Ordering::Release);
        Some(result)
    }
}

fn position(reason: LossReason) -> usize {
    LossReason::ALL
        .iter()
        .position(|other| *other == reason)
        .unwrap_or(0)
}
