// SPDX-License-Identifier: Apache-2.0
//! The pool: one block of memory a process with lanes (one a recording thread), chunks of 8 KiB, and who has which.
//!
//! Everything in it is addressed by number and holds no pointer, so that the block can lie in a file mapped by another
//! process. Numbers are stored plus one: a zeroed block is an empty pool. Threads take chunks and lanes, the sweeper gives
//! them back; neither waits for the other.
//!
//! ```text
//!   lane 0 --first--> chunk 7 --next--> chunk 3 (the thread writes here; `word` says how far)
//!   lane 1 --first--> chunk 9
//!   free   ---------> chunk 2 --next--> chunk 5
//! ```

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::record::{Record, SLOT_BYTES};
use super::signal;

/// Records a chunk: 8 KiB.
pub(super) const SLOTS: u32 = 128;
/// Chunks a pool: 32 MiB.
pub(super) const CHUNKS: usize = 4096;
/// Threads that can record at the same time.
pub(super) const LANES: usize = 16_384;
/// So many chunks out of the pool wake delivery: a sweep every 100 ms is then too slow. An eighth of the pool, so that it has
/// time to come.
const MANY_CHUNKS: u32 = CHUNKS as u32 / 8;

/// No chunk, no lane.
pub(super) const NONE: u32 = 0;

static POOL: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());

#[repr(C)]
pub(super) struct Pool {
    free_chunks: Stack,
    free_lanes: Stack,
    chunks_in_use: AtomicU32,
    /// What lanes of ended threads had recorded.
    pub(super) recorded_before: AtomicU64,
    pub(super) lanes: [Lane; LANES],
    pub(super) headers: [Header; CHUNKS],
    chunks: [Chunk; CHUNKS],
}

// SAFETY: all fields are atomics but the chunks' slots, and those are written by the one thread whose lane has the chunk, in slots
// that it has not published, and read by the sweeper only where published.
unsafe impl Sync for Pool {}

/// A recording thread's place. Its thread writes all but `revoked` and the lane's way back to the pool.
#[repr(C, align(64))]
pub(super) struct Lane {
    /// `place in the current chunk << 1 | a record is being written` (see [`Place`]). The release store that publishes.
    pub(super) word: AtomicU32,
    /// The sweeper has taken the current chunk away (see [`sweep`](super::sweep)): take another before writing.
    pub(super) revoked: AtomicU32,
    /// The chunk that starts a new chain; the sweeper takes it from here.
    pub(super) first: AtomicU32,
    /// How many slots were used in the chunk left for `first`.
    pub(super) left: AtomicU32,
    pub(super) state: AtomicU32,
    /// The next free lane.
    next: AtomicU32,
    /// How many records the thread has published.
    pub(super) recorded: AtomicU64,
}

/// In a lane's word: no record is being written, or one is.
pub(super) const AT_REST: u32 = 0;
pub(super) const BUSY: u32 = 1;

pub(super) const LANE_FREE: u32 = 0;
pub(super) const LANE_LIVE: u32 = 1;
pub(super) const LANE_ENDED: u32 = 2;

/// How far a thread is: in which chunk, and how many of its slots are used. One number, so that one store says both.
#[derive(Clone, Copy)]
pub(super) struct Place(u32);

impl Place {
    const USED_BITS: u32 = 8;

    pub(super) const fn new(chunk: u32, used: u32) -> Self {
        Self(chunk << Self::USED_BITS | used)
    }

    /// What a lane's word says.
    pub(super) const fn of_word(word: u32) -> Self {
        Self(word >> 1)
    }

    /// The word that says it.
    #[inline]
    pub(super) const fn word(self, state: u32) -> u32 {
        self.0 << 1 | state
    }

    pub(super) const fn chunk(self) -> u32 {
        self.0 >> Self::USED_BITS
    }

    #[inline]
    pub(super) const fn used(self) -> u32 {
        self.0 & ((1 << Self::USED_BITS) - 1)
    }

    /// Further on in the same chunk.
    #[inline]
    pub(super) const fn behind(self, slots: u32) -> Self {
        Self(self.0 + slots)
    }
}

/// What is known of a chunk, apart from its slots.
#[repr(C)]
pub(super) struct Header {
    /// The chunk after this one, of the same thread or in the list of free ones.
    pub(super) next: AtomicU32,
    /// How many slots are used, once `next` is set.
    pub(super) length: AtomicU32,
}

#[repr(C, align(64))]
struct Chunk(UnsafeCell<MaybeUninit<[Record; SLOTS as usize]>>);

impl Pool {
    /// The process's pool, made at its first record; `None` if there is no memory for it.
    pub(super) fn get() -> Option<&'static Self> {
        let pool = POOL.load(Ordering::Acquire);
        // SAFETY: a non-null pool was fully made before the release exchange that stored it, and is never freed.
        unsafe { pool.as_ref() }.or_else(Self::make)
    }

    /// The process's pool, if anything was recorded.
    pub(super) fn existing() -> Option<&'static Self> {
        // SAFETY: as in `get`.
        unsafe { POOL.load(Ordering::SeqCst).as_ref() }
    }

    #[cold]
    fn make() -> Option<&'static Self> {
        let bytes = size_of::<Self>();
        // Mapped instead of allocated: pages take memory only once a chunk in them is used, and the block is aligned to one.
        // SAFETY: a new private mapping, of no file, at an address that the system chooses, touches nothing that exists.
        let made = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if made == libc::MAP_FAILED {
            return None;
        }
        // Where huge pages are for everybody, a first record would else take 2 MiB. A kernel without them refuses, and need not be told.
        // SAFETY: the mapping was made above with this size; the advice changes nothing of what is in it.
        unsafe { libc::madvise(made, bytes, libc::MADV_NOHUGEPAGE) };
        let made = made.cast::<Self>();
        let exchanged =
            POOL.compare_exchange(ptr::null_mut(), made, Ordering::SeqCst, Ordering::Acquire);
        match exchanged {
            // SAFETY: zeroed memory is a valid pool: atomics of 0, and slots that need not be initialised.
            Ok(_) => Some(unsafe { &*made }),
            Err(other) => {
                // SAFETY: the mapping was made above with this size, and nobody else has seen it.
                unsafe { libc::munmap(made.cast(), bytes) };
                // SAFETY: as in `get`.
                unsafe { other.as_ref() }
            }
        }
    }

    /// The first slot of a chunk.
    pub(super) fn slots(&self, chunk: u32) -> *mut Record {
        self.chunks[chunk as usize - 1].0.get().cast()
    }

    pub(super) fn header(&self, chunk: u32) -> &Header {
        &self.headers[chunk as usize - 1]
    }

    /// Takes a chunk; `None` if all are in use. Wakes delivery if it is idle (see [`signal`]), or if many are.
    pub(super) fn take_chunk(&self) -> Option<u32> {
        let chunk = self
            .free_chunks
            .take(CHUNKS, |chunk| &self.header(chunk).next);
        match chunk {
            Some(chunk) => {
                self.header(chunk).next.store(NONE, Ordering::Relaxed);
                if self.chunks_in_use.fetch_add(1, Ordering::SeqCst) >= MANY_CHUNKS {
                    signal::wake();
                }
                signal::end_idleness();
            }
            None => signal::wake(),
        }
        chunk
    }

    /// Gives a chunk back. Nobody may read or write it any more.
    pub(super) fn free_chunk(&self, chunk: u32) {
        self.chunks_in_use.fetch_sub(1, Ordering::Relaxed);
        self.free_chunks
            .give(chunk, |chunk| &self.header(chunk).next);
    }

    /// Takes a lane, without a chunk; `None` if all are in use.
    pub(super) fn take_lane(&self) -> Option<&Lane> {
        let number = self
            .free_lanes
            .take(LANES, |lane| &self.lanes[lane as usize - 1].next)?;
        let lane = &self.lanes[number as usize - 1];
        lane.word.store(0, Ordering::Relaxed);
        lane.first.store(NONE, Ordering::Relaxed);
        lane.recorded.store(0, Ordering::Relaxed);
        // No chunk yet, which is what a thread finds whose chunk was taken away.
        lane.revoked.store(1, Ordering::Relaxed);
        lane.state.store(LANE_LIVE, Ordering::Release);
        Some(lane)
    }

    /// Gives the lane at `index` back.
    pub(super) fn free_lane(&self, index: usize) {
        let lane = &self.lanes[index];
        self.recorded_before
            .fetch_add(lane.recorded.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        lane.state.store(LANE_FREE, Ordering::Relaxed);
        self.free_lanes
            .give(index as u32 + 1, |lane| &self.lanes[lane as usize - 1].next);
    }

    /// The lanes that were ever taken.
    pub(super) fn used_lanes(&self) -> &[Lane] {
        &self.lanes[..self.free_lanes.fresh.load(Ordering::Acquire) as usize]
    }

    pub(super) fn chunks_in_use(&self) -> u32 {
        self.chunks_in_use.load(Ordering::SeqCst)
    }
}

/// In a forked child: the next record makes a pool of its own. The inherited one stays mapped, and shared with the parent as
/// long as neither writes.
pub(super) fn abandon() {
    POOL.store(ptr::null_mut(), Ordering::Release);
}

/// Numbers that anybody may take and give back: a list linked through the items, and a count of those never taken.
#[repr(C, align(64))]
struct Stack {
    /// `times changed << 32 | first`; the count keeps a slow taker from putting back what it saw long ago.
    head: AtomicU64,
    fresh: AtomicU32,
}

impl Stack {
    fn take<'a>(&self, capacity: usize, next: impl Fn(u32) -> &'a AtomicU32) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        while head as u32 != NONE {
            let rest = next(head as u32).load(Ordering::Relaxed);
            let new = (head >> 32).wrapping_add(1) << 32 | u64::from(rest);
            match self
                .head
                .compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(head as u32),
                Err(now) => head = now,
            }
        }
        let fresh = self
            .fresh
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |fresh| {
                ((fresh as usize) < capacity).then_some(fresh + 1)
            });
        fresh.ok().map(|fresh| fresh + 1)
    }

    fn give<'a>(&self, number: u32, next: impl Fn(u32) -> &'a AtomicU32) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            next(number).store(head as u32, Ordering::Relaxed);
            let new = (head >> 32).wrapping_add(1) << 32 | u64::from(number);
            match self
                .head
                .compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

const _: () = assert!(size_of::<Chunk>() == SLOTS as usize * SLOT_BYTES);
const _: () = assert!(size_of::<Lane>() == 64);
const _: () = assert!(SLOTS < 1 << Place::USED_BITS);
const _: () = assert!(CHUNKS < 1 << (31 - Place::USED_BITS));

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn no_chunk_takes_a_huge_page() {
        let begin = format!("{:x}-", ptr::from_ref(Pool::get().unwrap()).addr());
        let mappings = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut of_pool = mappings
            .lines()
            .skip_while(|line| !line.starts_with(&begin));
        let flags = of_pool.find_map(|line| line.strip_prefix("VmFlags:"));
        let flags = flags.unwrap();
        let has_huge_pages = Path::new("/sys/kernel/mm/transparent_hugepage").exists();
        assert_eq!(flags.split(' ').any(|flag| flag == "nh"), has_huge_pages);
    }
}
