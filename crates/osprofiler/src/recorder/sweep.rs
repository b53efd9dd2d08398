// SPDX-License-Identifier: Apache-2.0
//! The sweeper: reads what all threads have published, each record once and each thread's in order, and brings chunks back to
//! the pool.
//!
//! A chunk comes back when its thread has gone on to the next, when the thread has ended, and when nothing was written for a
//! second. The last is the hard one, because the thread may begin to write at any moment, and pays for no fence:
//!
//! ```text
//!   sweeper                                   thread, at each record
//!   revoked = 1                               word = chunk, used, busy
//!   membarrier: a full fence on each thread   (compiler fence)
//!   word busy?  -> look again next time       revoked?  -> leave the chunk, begin a new chain at `first`
//!   else the chunk is ours
//! ```
//!
//! After the barrier either the thread sees `revoked` before it writes, or the sweeper sees `busy`. Where the kernel has no such barrier,
//! idle threads keep their chunk, and delivery its timer (see [`signal`]).

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{Id, Kind};

use super::clock;
use super::generation::generation;
use super::info::{Info, Source};
use super::losses;
use super::names::{self, Wording};
use super::origin::Origin;
use super::pool::{AT_REST, BUSY, LANE_ENDED, LANE_FREE, Lane, NONE, Place, Pool, SLOTS};
use super::record::{
    BASE_TEXT, CONTINUED, FORM, FORM_JSON, FORM_SHAPE, FORM_SITE, NAME_TEXT, PARENT_TEXT, Record,
    SLOT_BYTES, STOP, TRACE_TEXT,
};
use super::signal;

/// One recorded start or stop. Borrowed from the recorder's memory for the time of the call that receives it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Who recorded it.
    pub origin: Origin,
    /// Which end of the point it is.
    pub kind: Kind,
    /// When, by the [`clock`].
    pub ticks: u64,
    /// The point's name, without suffix.
    pub name: &'a str,
    /// The trace.
    pub base_id: Id<'a>,
    /// The point.
    pub trace_id: Id<'a>,
    /// The point around it, or the trace's `base_id`.
    pub parent_id: Id<'a>,
    /// What came with it.
    pub info: Info<'a>,
    /// What name and info are as numbers; `None` if the name has none.
    pub wording: Option<Wording>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many events it read.
    pub events: u64,
    /// How many chunks are still out of the pool, of the 4,096 there are.
    pub chunks_in_use: u32,
}

/// How many events this process has recorded: those swept, those still to be swept, and those lost.
pub fn recorded() -> u64 {
    generation();
    let published = Pool::existing().map_or(0, |pool| {
        let live: u64 = pool
            .used_lanes()
            .iter()
            .map(|lane| lane.recorded.load(Ordering::Relaxed))
            .sum();
        live + pool.recorded_before.load(Ordering::Relaxed)
    });
    published + losses::total()
}

/// Reads the recorder's memory. Owned by delivery. Where it stands is the process's: a second one goes on where the first
/// was, and waits while the first sweeps.
#[derive(Debug, Default)]
pub struct Sweeper(());

/// Where sweeping stands. Behind a pointer, so that a forked child can leave the parent's, locked or not.
static STANDING: AtomicPtr<Mutex<Standing>> = AtomicPtr::new(ptr::null_mut());

#[derive(Debug, Default)]
struct Standing {
    /// By lane.
    cursors: Vec<Cursor>,
    /// An info that lies in several chunks.
    joined: Vec<u8>,
    can_revoke: Option<bool>,
    ticks_a_second: u64,
}

/// In a forked child: the inherited standing is about the parent's pool.
pub(super) fn abandon() {
    STANDING.store(ptr::null_mut(), Ordering::Release);
}

fn standing() -> &'static Mutex<Standing> {
    let mut standing = STANDING.load(Ordering::Acquire);
    if standing.is_null() {
        let made = Box::into_raw(Box::default());
        match STANDING.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => standing = made,
            Err(other) => {
                // SAFETY: `made` came from `Box::into_raw` above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                standing = other;
            }
        }
    }
    // SAFETY: what is stored came from `Box::into_raw` through a release operation, and is never freed.
    unsafe { &*standing }
}

/// How far the sweeper is in a lane.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// The chunk to read next; `NONE` if the lane has none.
    chunk: u32,
    /// Slots read of it.
    read: u32,
    /// Ticks when something was last read.
    active: u64,
    /// The lane's `revoked` was set, and its chunk not yet brought back.
    revoking: bool,
}

impl Sweeper {
    /// A sweeper.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives `each` what was published since the last sweep: each event once, those of one thread in their order. Costs a
    /// look at each lane and at each new record. What is published while it runs may come with this sweep or with the next. `each` must not sweep.
    pub fn sweep(&mut self, each: &mut dyn FnMut(&Event<'_>)) -> Swept {
        self.sweep_at(clock::ticks(), each)
    }

    /// As [`sweep`](Self::sweep), as if the [`clock`] said `now`: which threads are idle is seen from there. For tests.
    pub fn sweep_at(&mut self, now: u64, each: &mut dyn FnMut(&Event<'_>)) -> Swept {
        generation();
        signal::sweeping();
        let Some(pool) = Pool::existing() else {
            return Swept::default();
        };
        // Whatever `each` did when it panicked, the cursors are right: they move before it is called.
        let mut standing = standing().lock().unwrap_or_else(PoisonError::into_inner);
        let standing = &mut *standing;
        let lanes = pool.used_lanes();
        standing.cursors.resize(lanes.len(), Cursor::default());
        let pass = Pass {
            pool,
            now,
            most_chunks: pool.chunks_in_use(),
        };
        let mut events = 0;
        for (index, lane) in lanes.iter().enumerate() {
            let cursor = &mut standing.cursors[index];
            events += sweep_lane(&pass, index, lane, cursor, &mut standing.joined, each);
        }
        standing.revoke_idle(pool, now);
        standing.joined.shrink_to(1 << 16);
        Swept {
            events,
            chunks_in_use: pool.chunks_in_use(),
        }
    }
}

impl Standing {
    /// Begins to take chunks away from threads that have not recorded for a second.
    fn revoke_idle(&mut self, pool: &Pool, now: u64) {
        if self.ticks_a_second == 0 {
            self.ticks_a_second = clock::ticks_a_second();
        }
        let second = self.ticks_a_second;
        let is_idle = |cursor: &Cursor| {
            cursor.chunk != NONE && !cursor.revoking && now.wrapping_sub(cursor.active) > second
        };
        if !self.cursors.iter().any(is_idle) {
            return;
        }
        if !*self.can_revoke.get_or_insert_with(register_barrier) {
            return;
        }
        for (cursor, lane) in self.cursors.iter_mut().zip(pool.used_lanes()) {
            if is_idle(cursor) {
                lane.revoked.store(1, Ordering::SeqCst);
                cursor.revoking = true;
            }
        }
        // The next sweep finds out who was writing.
        barrier();
    }
}

/// Asks for the barrier that makes each running thread of this process pass a full fence; false if there is none.
fn register_barrier() -> bool {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

fn barrier() {
    membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes two numbers and touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0) == 0 }
}

/// One sweep of all lanes.
struct Pass<'a> {
    pool: &'a Pool,
    /// When it began.
    now: u64,
    /// How many chunks were in use then. What was published by then lies in no more, in any lane; a thread that records
    /// faster than the sweeper reads would keep it for ever beyond them.
    most_chunks: u32,
}

/// Reads what is new in a lane, and brings back the chunks it has left behind.
fn sweep_lane(
    &Pass {
        pool,
        now,
        most_chunks,
    }: &Pass<'_>,
    index: usize,
    lane: &Lane,
    cursor: &mut Cursor,
    joined: &mut Vec<u8>,
    each: &mut dyn FnMut(&Event<'_>),
) -> u64 {
    // Read before all else: what an ended thread wrote is complete.
    let state = lane.state.load(Ordering::Acquire);
    if state == LANE_FREE {
        return 0;
    }
    let mut events = 0;
    let mut chunks_left = most_chunks;
    loop {
        // What an ended thread wrote has an end of its own.
        if chunks_left == 0 && cursor.chunk != NONE && state != LANE_ENDED {
            break;
        }
        if cursor.chunk == NONE {
            let first = lane.first.swap(NONE, Ordering::Acquire);
            if first == NONE {
                break;
            }
            *cursor = Cursor {
                chunk: first,
                read: 0,
                active: now,
                revoking: false,
            };
        }
        let header = pool.header(cursor.chunk);
        // In this order: a word that is about a later chunk was written after the link to that chunk. One about an earlier chunk says
        // that nothing is published in this one yet.
        let word = lane.word.load(Ordering::Acquire);
        let first = lane.first.load(Ordering::Acquire);
        let next = header.next.load(Ordering::Acquire);
        let (length, is_last) = if next != NONE {
            (header.length.load(Ordering::Relaxed), false)
        } else if first != NONE {
            (lane.left.load(Ordering::Relaxed), false)
        } else {
            let place = Place::of_word(word);
            let is_here = place.chunk() == cursor.chunk;
            (if is_here { place.used() } else { 0 }, true)
        };
        if length > cursor.read {
            cursor.active = now;
        }
        let chunk = cursor.chunk;
        events += read_chunk(pool, cursor, length, joined, each);
        if cursor.chunk != chunk {
            // A long info led on to a later chunk.
            chunks_left = chunks_left.saturating_sub(1);
            continue;
        }
        if is_last {
            if state == LANE_ENDED || (cursor.revoking && word & BUSY == AT_REST) {
                pool.free_chunk(chunk);
                *cursor = Cursor::default();
            }
            break;
        }
        pool.free_chunk(chunk);
        cursor.chunk = next;
        cursor.read = 0;
        chunks_left = chunks_left.saturating_sub(1);
    }
    if state == LANE_ENDED && cursor.chunk == NONE {
        pool.free_lane(index);
    }
    events
}

/// Reads the records from where `cursor` is up to `length` slots. Moves the cursor behind them.
fn read_chunk(
    pool: &Pool,
    cursor: &mut Cursor,
    length: u32,
    joined: &mut Vec<u8>,
    each: &mut dyn FnMut(&Event<'_>),
) -> u64 {
    let slots = pool.slots(cursor.chunk);
    let mut events = 0;
    while cursor.read < length {
        // SAFETY: the slot lies within the chunk, was published by a release store that gave us `length`, and is not
        // written again before we free the chunk.
        let record = unsafe { slots.add(cursor.read as usize).read() };
        // SAFETY: as above for the slots behind it, which belong to the record.
        let bytes = unsafe {
            std::slice::from_raw_parts(
                slots.add(cursor.read as usize + 1).cast::<u8>(),
                usize::from(record.slots) * SLOT_BYTES,
            )
        };
        cursor.read += 1 + u32::from(record.slots);
        if record.flags & CONTINUED != 0 {
            join(pool, cursor, bytes, joined);
            emit(&record, joined, each);
            // The cursor is in another chunk now, which `length` is not about.
            return events + 1;
        }
        let bytes = match bytes.split_first_chunk() {
            Some((count, bytes)) => &bytes[..u32::from_ne_bytes(*count) as usize],
            None => &[],
        };
        emit(&record, bytes, each);
        events += 1;
    }
    events
}

/// Collects the bytes of a record that go on in further chunks, frees those but the last, and moves the cursor behind them.
fn join(pool: &Pool, cursor: &mut Cursor, bytes: &[u8], joined: &mut Vec<u8>) {
    joined.clear();
    let Some((count, bytes)) = bytes.split_first_chunk() else {
        return;
    };
    let count = u32::from_ne_bytes(*count) as usize;
    joined.extend_from_slice(bytes);
    while joined.len() < count {
        // The whole chain was linked before its first chunk was published.
        let next = pool.header(cursor.chunk).next.load(Ordering::Acquire);
        pool.free_chunk(cursor.chunk);
        let rest = (count - joined.len()).min(SLOTS as usize * SLOT_BYTES);
        // SAFETY: the chunk belongs to the record from its beginning, and was published with it.
        let bytes = unsafe { std::slice::from_raw_parts(pool.slots(next).cast::<u8>(), rest) };
        joined.extend_from_slice(bytes);
        cursor.chunk = next;
        cursor.read = rest.div_ceil(SLOT_BYTES) as u32;
    }
}

/// Gives one record to `each`.
fn emit(record: &Record, mut bytes: &[u8], each: &mut dyn FnMut(&Event<'_>)) {
    let has = |flag: u8| record.flags & flag != 0;
    let mut name = names::entry(record.name).map_or("", |entry| entry.name);
    if has(NAME_TEXT) {
        let length = take(&mut bytes).map_or(0, u16::from_ne_bytes);
        name = take_text(&mut bytes, usize::from(length));
    }
    let [base_id, trace_id, parent_id] = [
        (BASE_TEXT, record.base_id),
        (TRACE_TEXT, record.trace_id),
        (PARENT_TEXT, record.parent_id),
    ]
    .map(|(flag, number)| {
        if !has(flag) {
            return Id::from_u128(number);
        }
        let length = take(&mut bytes).map_or(0, u8::from_ne_bytes);
        Id::parse(take_text(&mut bytes, usize::from(length))).unwrap_or(Id::from_u128(number))
    });
    let shape = match record.flags & FORM {
        FORM_SITE => Some(record.name),
        FORM_SHAPE => take(&mut bytes).map(u32::from_ne_bytes),
        _ => None,
    };
    let source = match shape.and_then(names::entry) {
        Some(entry) => Source::Shape(entry, bytes),
        None if record.flags & FORM == FORM_JSON => {
            std::str::from_utf8(bytes).map_or(Source::None, Source::Json)
        }
        None => Source::None,
    };
    let constant = match source {
        Source::None => Some(0),
        Source::Shape(entry, _) if !entry.has_holes => shape,
        Source::Shape(..) | Source::Json(_) => None,
    };
    let Some(origin) = Origin::from_number(record.origin) else {
        return;
    };
    each(&Event {
        origin,
        kind: if has(STOP) { Kind::Stop } else { Kind::Start },
        ticks: record.ticks,
        name,
        base_id,
        trace_id,
        parent_id,
        info: Info(source),
        wording: (!has(NAME_TEXT)).then_some(Wording {
            name: record.name,
            info: constant,
        }),
    });
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn take_text<'a>(bytes: &mut &'a [u8], length: usize) -> &'a str {
    let (text, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    std::str::from_utf8(text).unwrap_or_default()
}
