// SPDX-License-Identifier: Apache-2.0
//! A thread's own state, and how a record gets from it into the pool.
//!
//! The state has no destructor, so it can be used while the thread's other values are being destroyed; a second value with
//! one ends the lane. What was recorded after that is counted as lost. The hot path takes no lock, makes no system call
//! but reads the clock, and allocates nothing.
//!
//! A record is written like this, where the sweeper may take an idle chunk away between any two records (see
//! [`sweep`](super::sweep)):
//!
//! ```text
//!   lane.word = chunk, used, busy        (1)
//!   lane.revoked?  -> another chunk
//!   slots of the chunk = record, bytes
//!   lane.word = chunk, used + slots      (2) publishes, release
//! ```

use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

use crate::{Id, LossReason};

use super::context::Current;
use super::generation::{self, NOWHERE, generation};
use super::ids::Generator;
use super::losses;
use super::plain::Room;
use super::pool::{AT_REST, BUSY, LANE_ENDED, Lane, NONE, Place, Pool, SLOTS};
use super::record::{CONTINUED, Record, SLOT_BYTES};
use super::value::Encoder;
use super::value::sealed::EncodeAll;

pub(super) struct Thread {
    /// The trace this thread is in.
    pub(super) current: Current,
    /// The generation that `lane` and `ids` belong to.
    generation: Cell<u32>,
    /// The chunk, or `NONE`, and the slots used in it; all of them before the first.
    place: Cell<Place>,
    lane: Cell<*const Lane>,
    slots: Cell<*mut Record>,
    /// The lane was ended by the thread's end.
    gone: Cell<bool>,
    ids: Generator,
    seeded_for: Cell<u32>,
    /// Points closed while points within them were open.
    pub(super) closed_early: UnsafeCell<[ClosedEarly; CLOSED_EARLY]>,
}

/// A point that closed before a point within it, and where the thread is once that has closed too.
#[derive(Clone, Copy)]
pub(super) struct ClosedEarly {
    pub(super) trace_id: u128,
    pub(super) parent_id: u128,
    /// As [`Place`](super::context::Place)'s, of the parent: it may be a text.
    pub(super) flags: u8,
}

impl ClosedEarly {
    const NONE: Self = Self {
        trace_id: 0,
        parent_id: 0,
        flags: 0,
    };
}

/// How many points closed before their children are remembered, a thread.
pub(super) const CLOSED_EARLY: usize = 8;

thread_local! {
    static THREAD: Thread = const {
        Thread {
            current: Current::OFF,
            generation: Cell::new(NOWHERE),
            place: Cell::new(Place::new(NONE, SLOTS)),
            lane: Cell::new(ptr::null()),
            slots: Cell::new(ptr::null_mut()),
            gone: Cell::new(false),
            ids: Generator::new(),
            seeded_for: Cell::new(NOWHERE),
            closed_early: UnsafeCell::new([ClosedEarly::NONE; CLOSED_EARLY]),
        }
    };
    static LANE_END: LaneEnd = const { LaneEnd };
}

/// Ends the thread's lane when the thread's values are destroyed.
struct LaneEnd;

impl Drop for LaneEnd {
    fn drop(&mut self) {
        with(|thread| {
            thread.gone.set(true);
            if thread.generation.replace(NOWHERE) == generation::on_page() {
                // SAFETY: a lane of this generation is in the process's pool, which is never unmapped.
                let lane = unsafe { &*thread.lane.get() };
                lane.state.store(LANE_ENDED, Ordering::Release);
            }
        });
    }
}

/// The thread's state. It has no destructor and a constant initial value: reaching it is one load, at any time.
#[inline(always)]
pub(super) fn with<T>(work: impl FnOnce(&Thread) -> T) -> T {
    THREAD.with(work)
}

#[inline]
pub(super) fn new_id() -> u128 {
    with(Thread::new_id)
}

/// Ends the record that the thread is in the middle of without publishing anything.
#[cold]
pub(super) fn leave_record() {
    with(Thread::leave);
}

/// The fixed part of a record, but for what the write itself fills in.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) ticks: u64,
    pub(super) name: u32,
    pub(super) origin: u16,
    pub(super) flags: u8,
    pub(super) base_id: u128,
    pub(super) trace_id: u128,
    pub(super) parent_id: u128,
}

impl Head {
    #[inline(always)]
    pub(super) fn record(self, slots: u8, flags: u8) -> Record {
        Record {
            ticks: self.ticks,
            name: self.name,
            origin: self.origin,
            slots,
            flags: self.flags | flags,
            base_id: self.base_id,
            trace_id: self.trace_id,
            parent_id: self.parent_id,
        }
    }
}

impl Thread {
    #[cold]
    #[inline(never)]
    fn seed(&self) {
        self.seeded_for.set(generation());
        self.ids.seed();
    }

    /// The generation that this thread has last recorded in.
    #[inline(always)]
    pub(super) fn generation(&self) -> u32 {
        self.generation.get()
    }

    #[inline]
    pub(super) fn new_id(&self) -> u128 {
        if self.seeded_for.get() != generation::on_page() {
            self.seed();
        }
        self.ids.next_id()
    }

    /// As [`new_id`](Self::new_id), after [`begin_here`](Self::begin_here) has succeeded.
    #[inline(always)]
    pub(super) fn new_id_here(&self) -> u128 {
        self.ids.next_id()
    }

    /// Writes a record without bytes. `head.base_id` is the trace's id.
    #[inline]
    pub(super) fn write(&self, head: Head) {
        match self.begin(1) {
            Ok(slot) => {
                // SAFETY: `begin` gave us this slot.
                unsafe { slot.write(head.record(0, 0)) };
                self.end(1);
            }
            Err(reason) => losses::count(Id::from_u128(head.base_id), reason),
        }
    }

    /// Writes a record with the bytes that `encode` produces. `encode` runs no code of the program while the encoder is in the
    /// chunk. `head.base_id` is the trace's id.
    pub(super) fn write_encoded(&self, head: Head, encode: impl FnOnce(&mut Encoder)) {
        match self.begin(2) {
            Ok(slot) => self.encode(slot, head, encode),
            Err(reason) => losses::count(Id::from_u128(head.base_id), reason),
        }
    }

    /// Writes a record with these bytes. `head.base_id` is the trace's id.
    #[inline]
    pub(super) fn write_bytes(&self, head: Head, bytes: &[u8]) {
        let slots = 1 + (4 + bytes.len()).div_ceil(SLOT_BYTES);
        let begun = u32::try_from(slots)
            .ok()
            .and_then(|slots| self.begin_here(slots));
        let Some(slot) = begun else {
            return self.write_long(head, &[bytes], Id::from_u128(head.base_id));
        };
        let (to, _) = self.bytes_behind(slot);
        // SAFETY: `begin_here` gave us the slots that record and bytes take, and nobody else has a reference into them.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
            self.end_with_bytes(slot, head, to, bytes.len());
        }
    }

    /// Writes a record that was begun with two slots, and the values behind it.
    #[inline(always)]
    pub(super) fn put(&self, slot: *mut Record, head: Head, values: &impl EncodeAll) {
        let (bytes, room) = self.bytes_behind(slot);
        // SAFETY: `room` bytes are ours until `end`, and the room made here is gone by then.
        let Some(rest) = values.put_all(unsafe { Room::new(bytes, room) }) else {
            return self.encode(slot, head, |encoder| values.encode_all(encoder));
        };
        // SAFETY: `bytes` is as `bytes_behind` gave it, for this slot, and so many of them were written.
        unsafe { self.end_with_bytes(slot, head, bytes, room - rest.left()) };
    }

    /// Writes a record that was begun with two slots, and the bytes that `encode` produces: into the chunk if they fit, else through
    /// memory of the encoder's own.
    #[inline(never)]
    fn encode(&self, slot: *mut Record, head: Head, encode: impl FnOnce(&mut Encoder)) {
        let (bytes, room) = self.bytes_behind(slot);
        // SAFETY: `room` bytes are ours until `end`, as is the record we are in the middle of.
        let mut encoder = unsafe { Encoder::in_chunk(bytes, room) };
        encode(&mut encoder);
        if let Some(length) = encoder.length_in_chunk() {
            // SAFETY: as in `put`.
            unsafe { self.end_with_bytes(slot, head, bytes, length) };
        } else {
            self.write_long(head, &[encoder.own_bytes()], Id::from_u128(head.base_id));
        }
    }

    /// Where the bytes of a record begin that was begun at `slot` with two slots, behind their number, and how many the chunk has
    /// room for.
    #[inline(always)]
    fn bytes_behind(&self, slot: *mut Record) -> (*mut u8, usize) {
        let room = (SLOTS - self.place.get().used() - 1) as usize * SLOT_BYTES - 4;
        // `begin` gave us the slots from `slot` to the end of the chunk, two at least: this lies in the second.
        (slot.wrapping_add(1).cast::<u8>().wrapping_add(4), room)
    }

    /// Writes and publishes a record whose `length` bytes lie at `bytes`.
    ///
    /// # Safety
    /// `begin` gave `slot`, [`bytes_behind`](Self::bytes_behind) gave `bytes` and a room of at least `length`.
    #[inline(always)]
    unsafe fn end_with_bytes(&self, slot: *mut Record, head: Head, bytes: *mut u8, length: usize) {
        let slots = 1 + (4 + length).div_ceil(SLOT_BYTES) as u32;
        // SAFETY: both the record and the number before the bytes lie in slots that `begin` gave us.
        unsafe {
            bytes
                .sub(4)
                .cast::<[u8; 4]>()
                .write((length as u32).to_ne_bytes());
            slot.write(head.record(slots as u8 - 1, 0));
        }
        self.end(slots);
    }

    /// Writes a record and the bytes of `pieces`, over as many chunks as it takes, or counts it as lost. `head.flags` announce what
    /// the pieces are.
    #[cold]
    #[inline(never)]
    pub(super) fn write_long(&self, head: Head, pieces: &[&[u8]], base_id: Id<'_>) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let slots = 1 + (4 + length).div_ceil(SLOT_BYTES);
        let written = if slots <= SLOTS as usize {
            self.begin(slots as u32).map(|slot| {
                // SAFETY: `begin` gave us that many slots from here.
                unsafe {
                    slot.write(head.record(slots as u8 - 1, 0));
                    write_pieces(
                        length,
                        pieces,
                        [(slot.add(1).cast(), (slots - 1) * SLOT_BYTES)],
                    );
                }
                self.end(slots as u32);
            })
        } else {
            self.write_over_chunks(head, length, pieces, slots)
        };
        if let Err(reason) = written {
            losses::count(base_id, reason);
        }
    }

    /// Writes a record of more slots than a chunk has into new chunks, and publishes them all at once.
    fn write_over_chunks(
        &self,
        head: Head,
        length: usize,
        pieces: &[&[u8]],
        slots: usize,
    ) -> Result<(), LossReason> {
        let pool = self.enter()?;
        let count = slots.div_ceil(SLOTS as usize);
        let mut chunks = Vec::with_capacity(count);
        for _ in 0..count {
            let Some(chunk) = pool.take_chunk() else {
                for chunk in chunks {
                    pool.free_chunk(chunk);
                }
                return Err(LossReason::MemoryFull);
            };
            chunks.push(chunk);
        }
        let first = pool.slots(chunks[0]);
        let rooms = chunks.iter().enumerate().map(|(index, chunk)| {
            let skip = usize::from(index == 0);
            // SAFETY: the first slot of the first chunk holds the record; both stay within their chunk.
            let start = unsafe { pool.slots(*chunk).add(skip) };
            (start.cast(), (SLOTS as usize - skip) * SLOT_BYTES)
        });
        // SAFETY: the chunks were taken above and are not linked anywhere yet; together they have room for `length + 4` bytes.
        unsafe {
            first.write(head.record(SLOTS as u8 - 1, CONTINUED));
            write_pieces(length, pieces, rooms);
        }
        for pair in chunks.windows(2) {
            let header = pool.header(pair[0]);
            header.length.store(SLOTS, Ordering::Relaxed);
            header.next.store(pair[1], Ordering::Relaxed);
        }
        let last = chunks[count - 1];
        let used = slots - (count - 1) * SLOTS as usize;
        self.link(pool, chunks[0], last, used as u32);
        self.end(0);
        Ok(())
    }

    /// Begins a record of `slots` slots: from here to [`end`](Self::end) the slots from the returned one to the end of the chunk,
    /// `slots` at least, are this thread's alone to write.
    #[inline]
    fn begin(&self, slots: u32) -> Result<*mut Record, LossReason> {
        match self.begin_here(slots) {
            Some(slot) => Ok(slot),
            None => self.begin_in_new_chunk(),
        }
    }

    /// As [`begin`](Self::begin), if the thread has a chunk with room; in this process, it has ids to draw, too.
    #[inline(always)]
    pub(super) fn begin_here(&self, slots: u32) -> Option<*mut Record> {
        let place = self.place.get();
        let used = place.used();
        if self.generation.get() != generation::on_page() || used + slots > SLOTS {
            return None;
        }
        // SAFETY: the generation is this process's, so the lane is in its pool, which is never unmapped.
        let lane = unsafe { &*self.lane.get() };
        lane.word.store(place.word(BUSY), Ordering::Release);
        // The sweeper's side of this fence is `membarrier`.
        compiler_fence(Ordering::SeqCst);
        if lane.revoked.load(Ordering::Relaxed) != 0 {
            return None;
        }
        // SAFETY: `used` is below the chunk's number of slots.
        Some(unsafe { self.slots.get().add(used as usize) })
    }

    /// Publishes a record of `slots` slots.
    #[inline(always)]
    pub(super) fn end(&self, slots: u32) {
        let place = self.place.get().behind(slots);
        self.place.set(place);
        // SAFETY: `begin` succeeded, so the lane is in the process's pool.
        let lane = unsafe { &*self.lane.get() };
        let recorded = lane.recorded.load(Ordering::Relaxed);
        lane.recorded.store(recorded + 1, Ordering::Relaxed);
        lane.word.store(place.word(AT_REST), Ordering::Release);
    }

    /// Ends a record that was begun, without a trace.
    fn leave(&self) {
        // SAFETY: only called after `begin` succeeded.
        let lane = unsafe { &*self.lane.get() };
        lane.word
            .store(self.place.get().word(AT_REST), Ordering::Release);
    }

    #[cold]
    #[inline(never)]
    fn begin_in_new_chunk(&self) -> Result<*mut Record, LossReason> {
        let pool = self.enter()?;
        let Some(chunk) = pool.take_chunk() else {
            self.leave();
            return Err(LossReason::MemoryFull);
        };
        self.link(pool, chunk, chunk, 0);
        Ok(self.slots.get())
    }

    /// Makes the chain of chunks from `first` to `last` follow what the thread has written, and goes on in `last` behind `used`
    /// slots. Everything in the chain is published by the same store that links it.
    fn link(&self, pool: &Pool, first: u32, last: u32, used: u32) {
        // SAFETY: `enter` succeeded, so the lane is in the process's pool.
        let lane = unsafe { &*self.lane.get() };
        let (old, new) = (self.place.get(), Place::new(last, used));
        // Says of the old chunk what it said before: whoever is there still reads it all, and whoever comes by the link to a new one
        // sees that this is about another.
        lane.word.store(old.word(BUSY), Ordering::Release);
        compiler_fence(Ordering::SeqCst);
        if lane.revoked.load(Ordering::Relaxed) != 0 {
            // The old chunk is, or is about to be, somebody else's.
            lane.left.store(old.used(), Ordering::Relaxed);
            lane.revoked.store(0, Ordering::Relaxed);
            if old.chunk() == last {
                // It was taken back, and came here again by the pool: what was used of it is no more.
                lane.word
                    .store(Place::new(last, 0).word(BUSY), Ordering::Release);
            }
            lane.first.store(first, Ordering::Release);
        } else {
            let header = pool.header(old.chunk());
            header.length.store(old.used(), Ordering::Relaxed);
            header.next.store(first, Ordering::Release);
        }
        self.slots.set(pool.slots(last));
        self.place.set(new);
        // After the link: whoever sees this word at an earlier chunk finds the link there.
        lane.word.store(new.word(BUSY), Ordering::Release);
    }

    /// Makes sure that the thread has a lane in this process's pool.
    fn enter(&self) -> Result<&'static Pool, LossReason> {
        let generation = generation();
        let pool = Pool::get().ok_or(LossReason::MemoryFull)?;
        if self.generation.get() == generation {
            return Ok(pool);
        }
        if self.gone.get() || LANE_END.try_with(|_| ()).is_err() {
            return Err(LossReason::ThreadGone);
        }
        let lane = pool.take_lane().ok_or(LossReason::MemoryFull)?;
        if self.seeded_for.get() != generation {
            self.seed();
        }
        self.lane.set(lane);
        self.place.set(Place::new(NONE, 0));
        self.generation.set(generation);
        Ok(pool)
    }
}

/// Copies the number of bytes and the pieces into `rooms`, one after the other.
///
/// # Safety
/// Each room is valid for writing that many bytes, and together they have room for `4 + length`.
unsafe fn write_pieces(
    length: usize,
    pieces: &[&[u8]],
    rooms: impl IntoIterator<Item = (*mut u8, usize)>,
) {
    let mut rooms = rooms.into_iter();
    let (mut to, mut room) = rooms.next().unwrap_or((ptr::null_mut(), 0));
    let head = (length as u32).to_ne_bytes();
    for mut piece in std::iter::once(&head[..]).chain(pieces.iter().copied()) {
        while !piece.is_empty() {
            if room == 0 {
                let Some(next) = rooms.next() else { return };
                (to, room) = next;
            }
            let count = piece.len().min(room);
            // SAFETY: `room` bytes at `to` may be written, and no piece lies in a room: pieces are the program's or an
            // encoder's own.
            unsafe {
                ptr::copy_nonoverlapping(piece.as_ptr(), to, count);
                to = to.add(count);
            }
            room -= count;
            piece = &piece[count..];
        }
    }
}
