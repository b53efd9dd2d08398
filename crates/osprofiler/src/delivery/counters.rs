// SPDX-License-Identifier: Apache-2.0
//! How many notifications were recorded, stored, spooled and lost, and why: recorded = stored + spooled + lost + what still waits.
//!
//! A [`Tally`] is atomics only, so that it can be read by anybody at any time and set back in a forked child, which
//! counts its own from zero. [`Counters`] is the copy that callers get.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Loss, LossReason};

const REASONS: usize = LossReason::ALL.len();

/// What became of the notifications of this process so far. Numbers only grow, but for what is spooled, which is stored later, and for
/// what a store gave up after it was handed over, such as [`StoreRemoved`](LossReason::StoreRemoved), what was in a file that vanished:
/// it moves from `stored` to lost.
///
/// ```
/// let counters = osprofiler::delivery::counters();
/// let settled = counters.stored() + counters.spooled() + counters.lost();
/// assert_eq!(counters.recorded(), settled + counters.waiting());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub(super) recorded: u64,
    pub(super) stored: u64,
    pub(super) spooled: u64,
    pub(super) lost: [u64; REASONS],
    pub(super) evicted: u64,
    pub(super) adopted: u64,
}

impl Counters {
    /// Sets the losses, by reason.
    pub(super) fn set_losses(&mut self, losses: impl Iterator<Item = Loss>) {
        for loss in losses {
            self.lost[index(loss.reason)] = loss.count;
        }
    }

    /// Starts and stops recorded, times the stores each of them goes to.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Notifications that a store has taken.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Notifications that are in files of this process's until their store takes something; what is left there at the process's end
    /// is sent by a later one, which counts it as [`adopted`](Self::adopted).
    pub fn spooled(&self) -> u64 {
        self.spooled
    }

    /// Notifications that no store will ever take, whatever the reason.
    pub fn lost(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// The losses by reason, those that occurred.
    pub fn losses(&self) -> impl Iterator<Item = Loss> + use<> {
        let lost = self.lost;
        LossReason::ALL
            .into_iter()
            .map(move |reason| Loss {
                count: lost[index(reason)],
                reason,
            })
            .filter(|loss| loss.count > 0)
    }

    /// Notifications in memory, on their way.
    pub fn waiting(&self) -> u64 {
        let settled = self.stored + self.spooled + self.lost();
        self.recorded.saturating_sub(settled)
    }

    /// Notifications that other processes had recorded and left in files, and that this one stored. They stand outside this one's
    /// balance.
    pub fn adopted(&self) -> u64 {
        self.adopted
    }

    /// Notifications, of this process or of others, that the store removed to stay within its size. They had been stored, so they
    /// stand outside the balance.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

/// The running numbers behind [`Counters`].
#[derive(Default)]
pub(super) struct Tally {
    /// What was recorded beside the recorder: handed in ready-made, counted again for a second store, or all of one store's.
    beside: AtomicU64,
    stored: AtomicU64,
    spooled: AtomicU64,
    lost: [AtomicU64; REASONS],
    evicted: AtomicU64,
    adopted: AtomicU64,
}

impl Tally {
    pub(super) const fn new() -> Self {
        Self {
            beside: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            spooled: AtomicU64::new(0),
            lost: [const { AtomicU64::new(0) }; REASONS],
            evicted: AtomicU64::new(0),
            adopted: AtomicU64::new(0),
        }
    }

    pub(super) fn add_beside(&self, count: u64) {
        self.beside.fetch_add(count, Relaxed);
    }

    /// As [`add_beside`](Self::add_beside) with 1, where no other thread writes: for less.
    #[inline]
    pub(super) fn count_one(&self) {
        self.beside.store(self.beside.load(Relaxed) + 1, Relaxed);
    }

    pub(super) fn add_stored(&self, count: u64) {
        self.stored.fetch_add(count, Relaxed);
    }

    pub(super) fn add_adopted(&self, count: u64) {
        self.adopted.fetch_add(count, Relaxed);
    }

    /// Counts what has come into a file.
    pub(super) fn add_spooled(&self, count: u64) {
        self.spooled.fetch_add(count, Relaxed);
    }

    /// Counts what has left its file; whoever calls counts what became of it.
    pub(super) fn remove_spooled(&self, count: u64) {
        self.spooled.fetch_sub(count, Relaxed);
    }

    /// Counts a loss of what was not counted as stored.
    pub(super) fn add_loss(&self, loss: Loss) {
        self.lost[index(loss.reason)].fetch_add(loss.count, Relaxed);
    }

    /// Counts what a writer or its store gave up by itself, of what was counted as stored before: it moves, or stands apart.
    pub(super) fn give_up(&self, loss: Loss) {
        if loss.reason == LossReason::Evicted {
            self.evicted.fetch_add(loss.count, Relaxed);
            return;
        }
        // Another process may have written to the same file: only what this one stored can move.
        let mut moved = 0;
        let _ = self.stored.fetch_update(Relaxed, Relaxed, |stored| {
            moved = loss.count.min(stored);
            Some(stored - moved)
        });
        self.lost[index(loss.reason)].fetch_add(moved, Relaxed);
    }

    /// The numbers, given the recorder's own count. Read in an order that can only overstate what waits.
    pub(super) fn counters(&self, recorded: impl FnOnce() -> u64) -> Counters {
        let mut counters = Counters {
            stored: self.stored.load(Relaxed),
            spooled: self.spooled.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
            adopted: self.adopted.load(Relaxed),
            ..Counters::default()
        };
        for (to, from) in counters.lost.iter_mut().zip(&self.lost) {
            *to = from.load(Relaxed);
        }
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        counters.recorded = recorded() + self.beside.load(Relaxed);
        counters
    }

    /// Sets everything to zero. Atomics only: a forked child calls it.
    pub(super) fn reset(&self) {
        for number in [
            &self.beside,
            &self.stored,
            &self.spooled,
            &self.evicted,
            &self.adopted,
        ] {
            number.store(0, Relaxed);
        }
        for lost in &self.lost {
            lost.store(0, Relaxed);
        }
    }
}

/// A reason's place in the arrays.
const fn index(reason: LossReason) -> usize {
    reason as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_place() {
        for (place, reason) in LossReason::ALL.into_iter().enumerate() {
            assert_eq!(index(reason), place);
        }
    }

    #[test]
    fn what_a_store_gives_up_takes_back_what_was_stored_and_no_more() {
        let tally = Tally::new();
        tally.add_stored(5);
        for (count, reason) in [(3, LossReason::Refused), (4, LossReason::StoreRemoved)] {
            tally.give_up(Loss { count, reason });
        }
        let counters = tally.counters(|| 5);
        assert_eq!((counters.stored(), counters.lost()), (0, 5));
        assert_eq!(counters.waiting(), 0);
    }

    #[test]
    fn eviction_stands_outside_the_balance() {
        let tally = Tally::new();
        tally.add_stored(2);
        let reason = LossReason::Evicted;
        tally.give_up(Loss { count: 9, reason });
        let counters = tally.counters(|| 2);
        assert_eq!((counters.lost(), counters.evicted()), (0, 9));
    }
}
