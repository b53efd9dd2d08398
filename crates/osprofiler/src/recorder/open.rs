// SPDX-License-Identifier: Apache-2.0
//! An open point: what its stop must know about its start, and how both are written.
//!
//! Two ways lead to a record. The short one writes a slot that is at hand, of a point whose ids are all numbers; everything
//! else (texts, a new chunk, a thread's first record, a panic) takes the slow one, out of line. Which points are open
//! around this one is the thread's to know: [`make_parent_current`](Open::make_parent_current).

use std::ptr;
use std::sync::Arc;

use crate::{Id, LossReason};

use super::clock;
use super::context::{Context, Place, Texts};
use super::foreign::write_texts;
use super::generation::generation;
use super::losses;
use super::names::{NO_ROOM, Name, Part, Site};
use super::record::{
    BASE_TEXT, FORM, FORM_NONE, FORM_SHAPE, NAME_TEXT, PARENT_TEXT, Record, STOP, TRACE_TEXT,
};
use super::thread;
use super::thread::{CLOSED_EARLY, ClosedEarly, Head, Thread};
use super::value::Encoder;
use super::value::sealed::EncodeAll;

/// What the stop must know about the start.
pub(super) struct Open {
    base_id: u128,
    pub(super) trace_id: u128,
    parent_id: u128,
    /// What it has of texts, if `flags` say so: an `Arc` of its own, given up by `end`.
    texts: *const Texts,
    name: u32,
    origin: u16,
    /// `BASE_TEXT`, `PARENT_TEXT`, `NAME_TEXT`, `PANICKING`, `NAMELESS`.
    pub(super) flags: u8,
    /// The lowest bits: enough to tell a child from its parents.
    generation: u8,
}

/// Of an [`Open`]'s flags: the thread was panicking when the point opened, so a panic at its end says nothing about it.
const PANICKING: u8 = STOP;
/// Of an [`Open`]'s flags: there was no room for its name, so it is lost.
const NAMELESS: u8 = TRACE_TEXT;
/// Of an [`Open`]'s flags: those that a record has as well.
const TEXTS: u8 = BASE_TEXT | PARENT_TEXT | NAME_TEXT;

// Without padding and niches a point is made in registers and stored once; with them it was made on the stack and copied, which
// cost as much as recording.
const _: () = assert!(size_of::<Open>() == 64);

// SAFETY: the pointer is an `Arc<Texts>` in all but its destructor, and that may be sent.
unsafe impl Send for Open {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for Open {}

/// The shape of a stop's info after an error.
pub(super) static FAILURE: Site = Site::new(
    "",
    &[
        Part::Key("etype"),
        Part::Hole,
        Part::Key("message"),
        Part::Hole,
    ],
);

impl Open {
    /// Begins the record of a start where the thread is, which is in a trace; `None` if that takes more than a slot at hand.
    #[inline(always)]
    pub(super) fn begin(
        thread: &Thread,
        site: &Site,
        has_values: bool,
    ) -> Option<(*mut Record, u32)> {
        let name = site.number();
        if thread.current.flags.get() != 0 || name == NO_ROOM {
            return None;
        }
        let slot = thread.begin_here(1 + u32::from(has_values))?;
        Some((slot, name))
    }

    /// Writes the record that was begun.
    #[inline(always)]
    pub(super) fn start<V: EncodeAll>(
        thread: &Thread,
        site: &Site,
        values: &V,
        (slot, name): (*mut Record, u32),
    ) -> Self {
        let current = &thread.current;
        let open = Self {
            base_id: current.base_id.get(),
            trace_id: thread.new_id_here(),
            parent_id: current.current_id.get(),
            texts: ptr::null(),
            name,
            origin: current.origin.get(),
            flags: u8::from(std::thread::panicking()) * PANICKING,
            // As `begin_here` has found, this process's.
            generation: thread.generation() as u8,
        };
        let head = open.plain_head(clock::ticks(), site.form());
        if size_of::<V>() > 0 {
            thread.put(slot, head, values);
        } else {
            // SAFETY: `begin` gave us this slot.
            unsafe { slot.write(head.record(0, 0)) };
            thread.end(1);
        }
        open
    }

    /// As [`start`](Self::start), without a chunk at hand, or with texts.
    #[cold]
    #[inline(never)]
    pub(super) fn start_slowly<V: EncodeAll>(thread: &Thread, site: &Site, values: &V) -> Self {
        let open = Self::new(thread, site.number());
        let head = open.head(clock::ticks(), site.form());
        open.write(thread, head, |encoder| values.encode_all(encoder));
        open
    }

    #[cold]
    pub(super) fn start_named(thread: &Thread, name: &str) -> Self {
        let interned = Name::intern_or_cut(name);
        let mut open = Self::new(thread, interned.map_or(0, Name::number));
        if let Err(name) = interned {
            let [base_id, _, parent_id] = open.ids();
            let texts = Arc::new(Texts::new(base_id, parent_id, name));
            open.give_up_texts();
            open.texts = Arc::into_raw(texts);
            open.flags |= NAME_TEXT;
        }
        open.write(thread, open.head(clock::ticks(), FORM_NONE), |_| {});
        open
    }

    fn new(thread: &Thread, name: u32) -> Self {
        let Place {
            origin,
            flags,
            base_id,
            current_id,
        } = thread.current.place();
        let texts = if flags == 0 {
            None
        } else {
            thread.current.texts()
        };
        Self {
            base_id,
            trace_id: thread.new_id(),
            parent_id: current_id,
            texts: texts.map_or(ptr::null(), Arc::into_raw),
            name,
            origin,
            flags: flags
                | (u8::from(std::thread::panicking()) * PANICKING)
                | (u8::from(name == NO_ROOM) * NAMELESS),
            generation: generation() as u8,
        }
    }

    fn head(&self, ticks: u64, flags: u8) -> Head {
        self.plain_head(ticks, self.flags & TEXTS | flags)
    }

    /// As [`head`](Self::head), of a point without texts.
    #[inline(always)]
    fn plain_head(&self, ticks: u64, flags: u8) -> Head {
        Head {
            ticks,
            name: self.name,
            origin: self.origin,
            flags,
            base_id: self.base_id,
            trace_id: self.trace_id,
            parent_id: self.parent_id,
        }
    }

    /// Writes a record of this point, whatever it has of texts.
    fn write(&self, thread: &Thread, head: Head, encode: impl FnOnce(&mut Encoder)) {
        let ids = self.ids();
        if head.name == NO_ROOM {
            return losses::count(ids[0], LossReason::MemoryFull);
        }
        if self.flags & TEXTS == 0 && head.flags & FORM == FORM_NONE {
            return thread.write(head);
        }
        if self.flags & TEXTS == 0 {
            return thread.write_encoded(head, encode);
        }
        let mut encoder = Encoder::owned();
        encode(&mut encoder);
        let name = self.texts().map_or("", Texts::name);
        write_texts(thread, head, name, ids, encoder.own_bytes());
    }

    fn texts(&self) -> Option<&Texts> {
        // SAFETY: null, or an `Arc` of ours that is given up only by `give_up_texts`.
        unsafe { self.texts.as_ref() }
    }

    fn give_up_texts(&mut self) {
        let texts = std::mem::replace(&mut self.texts, ptr::null());
        if !texts.is_null() {
            // SAFETY: the pointer came from `Arc::into_raw`, and was ours until just now.
            drop(unsafe { Arc::from_raw(texts) });
        }
    }

    fn ids(&self) -> [Id<'_>; 3] {
        let (mut base_id, mut parent_id) =
            (Id::from_u128(self.base_id), Id::from_u128(self.parent_id));
        if let Some(texts) = self.texts() {
            base_id = texts.base_id();
            if self.flags & PARENT_TEXT != 0 {
                parent_id = texts.parent_id();
            }
        }
        [base_id, Id::from_u128(self.trace_id), parent_id]
    }

    pub(super) fn context(&self) -> Context {
        let place = Place {
            origin: self.origin,
            flags: self.flags & TEXTS,
            base_id: self.base_id,
            current_id: self.trace_id,
        };
        let texts = (!self.texts.is_null()).then(|| {
            // SAFETY: the pointer came from `Arc::into_raw` and is still ours; the increment makes up for the new `Arc`.
            unsafe {
                Arc::increment_strong_count(self.texts);
                Arc::from_raw(self.texts)
            }
        });
        Context::within(place, texts)
    }

    /// Makes what lies around this point the thread's place again.
    #[inline(always)]
    pub(super) fn make_parent_current(&self, thread: &Thread) {
        let current = &thread.current;
        let is_innermost = current.current_id.low() == self.trace_id as u64;
        if is_innermost && current.closed_early.get() == 0 {
            current.current_id.set(self.parent_id);
            if self.flags != 0 {
                current.flags.set(self.place_flags());
            }
        } else {
            self.make_parent_current_out_of_order(thread);
        }
    }

    #[cold]
    #[inline(never)]
    fn make_parent_current_out_of_order(&self, thread: &Thread) {
        let current = &thread.current;
        // SAFETY: the thread's own, and this function neither calls itself nor keeps the reference.
        let closed = unsafe { &mut *thread.closed_early.get() };
        let mut count = usize::from(current.closed_early.get());
        if current.current_id.get() != self.trace_id {
            // A point within this one is still open. When it closes, this one's parent is where the thread is.
            if count == CLOSED_EARLY {
                closed.rotate_left(1);
                count -= 1;
            }
            closed[count] = ClosedEarly {
                trace_id: self.trace_id,
                parent_id: self.parent_id,
                flags: self.place_flags(),
            };
            current.closed_early.set(count as u8 + 1);
            return;
        }
        let (mut parent_id, mut flags) = (self.parent_id, self.place_flags());
        while let Some(index) = closed[..count]
            .iter()
            .position(|early| early.trace_id == parent_id)
        {
            (parent_id, flags) = (closed[index].parent_id, closed[index].flags);
            closed[index] = closed[count - 1];
            count -= 1;
        }
        current.closed_early.set(count as u8);
        current.current_id.set(parent_id);
        current.flags.set(flags);
    }

    /// The flags of the place around this point.
    #[inline(always)]
    fn place_flags(&self) -> u8 {
        self.flags & (BASE_TEXT | PARENT_TEXT)
    }

    /// Ends a point of this thread without an info, or with the panic that ends it.
    #[inline(never)]
    pub(super) fn close_current(&mut self) {
        let ticks = clock::ticks();
        thread::with(|thread| {
            self.make_parent_current(thread);
            self.stop(thread, ticks);
        });
    }

    /// Ends a point without an info, or with the panic that ends it.
    #[inline(never)]
    pub(super) fn close(&mut self) {
        let ticks = clock::ticks();
        thread::with(|thread| self.stop(thread, ticks));
    }

    #[inline(always)]
    fn stop(&mut self, thread: &Thread, ticks: u64) {
        // Whether the thread's generation is the process's is for `begin_here` to look at.
        let is_plain = self.flags == 0 && self.generation == thread.generation() as u8;
        if is_plain
            && !std::thread::panicking()
            && let Some(slot) = thread.begin_here(1)
        {
            // SAFETY: `begin_here` gave us this slot.
            unsafe { slot.write(self.plain_head(ticks, STOP).record(0, 0)) };
            thread.end(1);
        } else {
            self.stop_slowly(thread, ticks);
        }
    }

    #[cold]
    #[inline(never)]
    fn stop_slowly(&mut self, thread: &Thread, ticks: u64) {
        if std::thread::panicking() && self.flags & PANICKING == 0 {
            let values = ("panic", ("the thread panicked", ()));
            self.stop_with(thread, ticks, &FAILURE, &values);
        } else if self.is_ours() {
            self.write(thread, self.head(ticks, STOP), |_| {});
        }
        self.give_up_texts();
    }

    /// Ends a point with an info.
    pub(super) fn stop_with<V: EncodeAll>(
        &mut self,
        thread: &Thread,
        ticks: u64,
        shape: &Site,
        values: &V,
    ) {
        if self.is_ours() {
            let head = self.head(ticks, STOP | FORM_SHAPE);
            self.write(thread, head, |encoder| {
                encoder.shape(shape.number());
                values.encode_all(encoder);
            });
        }
        self.give_up_texts();
    }

    /// Whether this process opened the point, and did not inherit it by a fork.
    #[inline(always)]
    fn is_ours(&self) -> bool {
        self.generation == generation() as u8
    }
}
