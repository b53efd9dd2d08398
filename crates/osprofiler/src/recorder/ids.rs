// SPDX-License-Identifier: Apache-2.0
//! New ids: UUID4 numbers from a fast generator a thread, seeded by the operating system.
//!
//! The generator is xoroshiro128 (Blackman and Vigna); each of its states makes one id, through both of its authors'
//! scramblers (`++` for the upper half, `**` for the lower). 128 bits of state make it improbable (n²·L / 2^128) that two of n threads ever share
//! a stretch of L ids. Ids identify, they are no secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::thread;

/// A new UUID4. Costs 2 ns. Threads, and a process and its forked children, never draw from the same state.
///
/// ```
/// # use osprofiler::recorder::new_id;
/// let id = new_id();
/// assert_eq!(id >> 76 & 0xf, 4); // the version
/// assert_eq!(id >> 62 & 0b11, 0b10); // the variant
/// assert_ne!(id, new_id());
/// ```
#[inline]
pub fn new_id() -> u128 {
    thread::new_id()
}

/// An id of one thread, stored and loaded by halves. A [`Cell`] of 16 bytes is loaded at once, and one that was stored by halves, as an
/// id from registers is, then waits until both have left the store buffer, behind records on their way to memory. The compiler never
/// merges accesses of atomics, and on the machine those are plain ones.
pub(super) struct IdCell([AtomicU64; 2]);

impl IdCell {
    pub(super) const fn new(id: u128) -> Self {
        Self([AtomicU64::new(id as u64), AtomicU64::new((id >> 64) as u64)])
    }

    #[inline(always)]
    pub(super) fn set(&self, id: u128) {
        self.0[0].store(id as u64, Ordering::Relaxed);
        self.0[1].store((id >> 64) as u64, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn get(&self) -> u128 {
        u128::from(self.low()) | u128::from(self.0[1].load(Ordering::Relaxed)) << 64
    }

    /// The lower half: with its 62 random bits enough to tell points apart.
    #[inline(always)]
    pub(super) fn low(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }
}

/// A generator's state; `[0, 0]` until it is seeded.
pub(super) struct Generator {
    state: Cell<[u64; 2]>,
}

impl Generator {
    pub(super) const fn new() -> Self {
        Self {
            state: Cell::new([0, 0]),
        }
    }

    /// Draws fresh state from the operating system.
    #[cold]
    pub(super) fn seed(&self) {
        self.state.set(seed());
    }

    /// The next id. The generator must have been seeded.
    #[inline(always)]
    pub(super) fn next_id(&self) -> u128 {
        const VERSION: u64 = 0x4000;
        const VARIANT: u64 = 1 << 63;
        let (state, [high, low]) = step(self.state.get());
        self.state.set(state);
        let high = high & !0xf000 | VERSION;
        let low = low << 2 >> 2 | VARIANT;
        u128::from(high) << 64 | u128::from(low)
    }
}

/// The state after `state`, and 128 bits made of `state`.
#[inline(always)]
fn step([first, second]: [u64; 2]) -> ([u64; 2], [u64; 2]) {
    let high = first
        .wrapping_add(second)
        .rotate_left(17)
        .wrapping_add(first);
    let low = second.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
    let mixed = second ^ first;
    let state = [
        first.rotate_left(49) ^ mixed ^ (mixed << 21),
        mixed.rotate_left(28),
    ];
    (state, [high, low])
}

fn seed() -> [u64; 2] {
    let mut bytes = [0u8; 16];
    // SAFETY: `bytes` is a valid place for the 16 bytes asked for. Without blocking: early in boot there may be too little
    // entropy, and a traced program must not wait for it.
    let got =
        unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    let number = u128::from_ne_bytes(bytes);
    if got == 16 && number != 0 {
        return [number as u64, (number >> 64) as u64];
    }
    // The standard library's hash keys are seeded by the operating system too, and stirred for each use; the process and the
    // clock keep a forked child apart.
    let keys = RandomState::new();
    let salt = (
        std::process::id(),
        super::clock::ticks(),
        std::thread::current().id(),
    );
    [keys.hash_one((salt, 0)), keys.hash_one((salt, 1)) | 1]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_upper_half_is_xoroshiro128_plus_plus() {
        // By the authors' algorithm from the state {1, 2}.
        let mut state = [1, 2];
        let mut results = Vec::new();
        for _ in 0..3 {
            let high;
            (state, [high, _]) = step(state);
            results.push(high);
        }
        assert_eq!(
            results,
            [393_217, 669_327_710_093_319, 1_732_421_326_133_921_491]
        );
    }

    #[test]
    fn threads_draw_different_ids() {
        let draw = || (0..10_000).map(|_| new_id()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let mut ids: HashSet<u128> = draw().into_iter().collect();
        for thread in threads {
            ids.extend(thread.join().unwrap());
        }
        assert_eq!(ids.len(), 50_000);
    }
}
