// SPDX-License-Identifier: Apache-2.0
//! Trace points: a [`Point`] is open on its thread until it is dropped; an [`OpenPoint`] is open anywhere until it is stopped.
//!
//! A point's start is recorded when it opens and its stop when it closes, each with an info of its own. A point that is off
//! is an empty value.

use std::error::Error;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::{Id, LossReason};

use super::clock;
use super::context::{Context, Place, Texts};
use super::foreign::write_texts;
use super::losses;
use super::names::{NO_ROOM, Name, Part, Site};
use super::record::{BASE_TEXT, FORM, FORM_NONE, FORM_SHAPE, NAME_TEXT, PARENT_TEXT, Record, STOP};
use super::signal::GENERATION;
use super::thread::{self, CLOSED_EARLY, Head, Thread};
use super::value::sealed::EncodeAll;
use super::value::{Encoder, Values};

/// A trace point, open on the thread that made it: points opened there meanwhile lie within it. Made by [`point!`](crate::point);
/// dropped, it records its stop.
///
/// During a panic that began within it, the stop says `etype` `panic`. Points need not be dropped in the reverse order of
/// their making: one that closes early passes what was within it to its own parent. After a fork, the child's copies record nothing: the parent ends its
/// points itself.
///
/// Cost off: a thread-local load and a branch at each end, below 1 ns. On: two readings of the clock (20 ns) and 6 ns.
#[must_use = "dropped at once, the point ends at once: `let _point = ...`"]
pub struct Point {
    open: MaybeUninit<Open>,
    /// `open` is initialised.
    is_on: bool,
    /// The thread's context is restored when it is dropped, so it stays on its thread.
    _not_send: PhantomData<*const ()>,
}

/// A trace point that belongs to no thread: it may be sent, and stopped elsewhere. Made by [`start!`](crate::start).
///
/// Nothing lies within it by itself; [`context`](Self::context) attaches to a thread what should. Dropped, it records its stop.
/// Cost: as [`Point`].
#[must_use = "dropped at once, the point ends at once: `let point = ...`"]
pub struct OpenPoint {
    open: Option<Open>,
}

/// What the stop must know about the start.
struct Open {
    base_id: u128,
    trace_id: u128,
    parent_id: u128,
    /// What it has of texts, if `flags` say so: an `Arc` of its own, given up by `end`.
    texts: *const Texts,
    name: u32,
    origin: u16,
    /// `BASE_TEXT`, `PARENT_TEXT`, `NAME_TEXT`, `PANICKING`.
    flags: u8,
    /// The lowest bits: enough to tell a child from its parents.
    generation: u8,
}

/// Of an [`Open`]'s flags: the thread was panicking when the point opened, so a panic at its end says nothing about it.
const PANICKING: u8 = STOP;
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
static FAILURE: Site = Site::new(
    "",
    &[
        Part::Key("etype"),
        Part::Hole,
        Part::Key("message"),
        Part::Hole,
    ],
);

impl Point {
    /// Opens the point of a call site; what [`point!`](crate::point) does without values.
    #[inline]
    pub fn at(site: &Site) -> Self {
        if is_on() {
            Self::open(site)
        } else {
            Self::off()
        }
    }

    /// Opens the point of a call site with the values of its info; what [`point!`](crate::point) does if the thread is in a trace.
    #[inline]
    pub fn with(site: &Site, values: &impl Values) -> Self {
        if is_on() {
            Self::open_with_values(site, values)
        } else {
            Self::off()
        }
    }

    // Out of line, both, so that a call site is small where it is off.
    #[inline(never)]
    fn open(site: &Site) -> Self {
        Self::open_with(site, &())
    }

    #[inline(never)]
    fn open_with_values<V: EncodeAll>(site: &Site, values: &V) -> Self {
        Self::open_with(site, values)
    }

    // One literal, made where it is returned to: with anything in between the guard is made elsewhere and copied, which costs as
    // much as recording.
    #[inline(always)]
    fn open_with<V: EncodeAll>(site: &Site, values: &V) -> Self {
        // SAFETY: the state lives as long as its thread, which this call does not outlast.
        let thread = unsafe { &*thread::with(ptr::from_ref) };
        let Some(begun) = Open::begin(thread, site, size_of::<V>() > 0) else {
            return Self::open_slowly(thread, site, values);
        };
        let open = Open::start(thread, site, values, begun);
        thread.current.current_id.set(open.trace_id);
        Self {
            open: MaybeUninit::new(open),
            is_on: true,
            _not_send: PhantomData,
        }
    }

    #[cold]
    #[inline(never)]
    fn open_slowly<V: EncodeAll>(thread: &Thread, site: &Site, values: &V) -> Self {
        Self::current(thread, Open::start_slowly(thread, site, values))
    }

    fn current(thread: &Thread, open: Open) -> Self {
        thread.current.current_id.set(open.trace_id);
        // Within the point, the parent's id is the point's, and that is a number.
        thread.current.flags.set(open.flags & BASE_TEXT);
        Self {
            open: MaybeUninit::new(open),
            is_on: true,
            _not_send: PhantomData,
        }
    }

    /// Opens a point whose name is known only at run time. Costs a look-up of the name, 10 ns, more than [`point!`](crate::point).
    ///
    /// ```
    /// # use osprofiler::recorder::Point;
    /// for queue in ["mail", "bills"] {
    ///     let _point = Point::named(queue);
    /// }
    /// ```
    #[inline]
    pub fn named(name: &str) -> Self {
        if !is_on() {
            return Self::off();
        }
        thread::with(|thread| Self::current(thread, Open::start_named(thread, name)))
    }

    /// A point that records nothing.
    #[inline]
    pub const fn off() -> Self {
        Self {
            open: MaybeUninit::uninit(),
            is_on: false,
            _not_send: PhantomData,
        }
    }

    /// Whether it records anything.
    #[inline]
    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    fn open_mut(&mut self) -> Option<&mut Open> {
        // SAFETY: `is_on` says that `open` is initialised.
        self.is_on.then(|| unsafe { self.open.assume_init_mut() })
    }

    /// The place within this point, for another thread, a task, or outgoing headers. Costs a copy.
    pub fn context(&self) -> Context {
        if !self.is_on {
            return Context::none();
        }
        // SAFETY: `is_on` says that `open` is initialised.
        unsafe { self.open.assume_init_ref() }.context()
    }

    /// Ends the point by `result`: with the error's type and message if it is one. Gives `result` back. Costs the message's
    /// formatting if the point is on and `result` an error, else nothing more than dropping the point.
    ///
    /// ```
    /// # use osprofiler::point;
    /// fn port(text: &str) -> Result<u16, std::num::ParseIntError> {
    ///     point!("parse").end(text.parse())
    /// }
    /// assert!(port("many").is_err());
    /// ```
    #[inline]
    pub fn end<T, E: Error>(self, result: Result<T, E>) -> Result<T, E> {
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }

    /// Ends the point with an error: `etype` is its type's name, `message` its text.
    #[inline]
    pub fn fail<E: Error + ?Sized>(self, error: &E) {
        if self.is_on() {
            self.fail_with(std::any::type_name::<E>(), &error.to_string());
        }
    }

    /// Ends the point with an error of any kind.
    ///
    /// ```
    /// # use osprofiler::point;
    /// let point = point!("call");
    /// point.fail_with("shop.OutOfStock", "no more tea");
    /// ```
    #[inline]
    pub fn fail_with(self, etype: &str, message: &str) {
        self.stop_with(&FAILURE, &(etype, (message, ())));
    }

    /// Ends the point with an info; what [`stop!`](crate::stop) does if the point is on.
    #[inline]
    pub fn stop_with(mut self, shape: &Site, values: &impl Values) {
        if let Some(open) = self.open_mut() {
            let ticks = clock::ticks();
            thread::with(|thread| {
                open.make_parent_current(thread);
                open.stop_with(thread, ticks, shape, values);
            });
            self.is_on = false;
        }
    }
}

impl Drop for Point {
    #[inline]
    fn drop(&mut self) {
        if let Some(open) = self.open_mut() {
            open.close_current();
        }
    }
}

impl OpenPoint {
    /// Opens the point of a call site; what [`start!`](crate::start) does without values.
    #[inline]
    pub fn at(site: &Site) -> Self {
        Self::with(site, &())
    }

    /// Opens the point of a call site with the values of its info; what [`start!`](crate::start) does if the thread is in a trace.
    #[inline]
    pub fn with(site: &Site, values: &impl Values) -> Self {
        if !is_on() {
            return Self::off();
        }
        thread::with(|thread| {
            let open = match Open::begin(thread, site, size_of_val(values) > 0) {
                Some(begun) => Open::start(thread, site, values, begun),
                None => Open::start_slowly(thread, site, values),
            };
            Self { open: Some(open) }
        })
    }

    /// A point that records nothing.
    #[inline]
    pub const fn off() -> Self {
        Self { open: None }
    }

    /// Whether it records anything.
    #[inline]
    pub const fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// The place within this point: attach it where work for it is done.
    pub fn context(&self) -> Context {
        self.open.as_ref().map_or(Context::none(), Open::context)
    }

    /// Ends the point by `result`, as [`Point::end`].
    #[inline]
    pub fn end<T, E: Error>(self, result: Result<T, E>) -> Result<T, E> {
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }

    /// Ends the point with an error, as [`Point::fail`].
    #[inline]
    pub fn fail<E: Error + ?Sized>(self, error: &E) {
        if self.is_on() {
            self.fail_with(std::any::type_name::<E>(), &error.to_string());
        }
    }

    /// Ends the point with an error, as [`Point::fail_with`].
    #[inline]
    pub fn fail_with(self, etype: &str, message: &str) {
        self.stop_with(&FAILURE, &(etype, (message, ())));
    }

    /// Ends the point with an info; what [`stop!`](crate::stop) does if the point is on.
    #[inline]
    pub fn stop_with(mut self, shape: &Site, values: &impl Values) {
        if let Some(open) = &mut self.open {
            let ticks = clock::ticks();
            thread::with(|thread| open.stop_with(thread, ticks, shape, values));
        }
        self.open = None;
    }
}

impl Drop for OpenPoint {
    #[inline]
    fn drop(&mut self) {
        if let Some(open) = &mut self.open {
            open.close();
        }
    }
}

/// Whether the thread is in a trace: what each call looks at first.
#[doc(hidden)]
#[inline(always)]
pub fn is_on() -> bool {
    thread::with(|thread| thread.current.origin.get() != 0)
}

impl Open {
    /// Begins the record of a start where the thread is, which is in a trace; `None` if that takes more than a slot at hand.
    #[inline(always)]
    fn begin(thread: &Thread, site: &Site, has_values: bool) -> Option<(*mut Record, u32)> {
        let name = site.number();
        if thread.current.flags.get() != 0 || name == NO_ROOM {
            return None;
        }
        let slot = thread.begin_here(1 + u32::from(has_values))?;
        Some((slot, name))
    }

    /// Writes the record that was begun.
    #[inline(always)]
    fn start<V: EncodeAll>(
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
            generation: GENERATION.load(Ordering::Relaxed) as u8,
        };
        let head = open.head(clock::ticks(), site.form());
        if size_of::<V>() > 0 {
            thread.encode(slot, head, |encoder| values.encode_all(encoder));
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
    fn start_slowly<V: EncodeAll>(thread: &Thread, site: &Site, values: &V) -> Self {
        let open = Self::new(thread, site.number());
        let head = open.head(clock::ticks(), site.form());
        open.write(thread, head, |encoder| values.encode_all(encoder));
        open
    }

    #[cold]
    fn start_named(thread: &Thread, name: &str) -> Self {
        let number = Name::intern(name).map_or(0, Name::number);
        let mut open = Self::new(thread, number);
        if number == 0 {
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
            flags: flags | (u8::from(std::thread::panicking()) * PANICKING),
            generation: GENERATION.load(Ordering::Relaxed) as u8,
        }
    }

    #[inline(always)]
    fn head(&self, ticks: u64, flags: u8) -> Head {
        Head {
            ticks,
            name: self.name,
            origin: self.origin,
            flags: self.flags & TEXTS | flags,
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

    fn context(&self) -> Context {
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
    fn make_parent_current(&self, thread: &Thread) {
        let current = &thread.current;
        if current.current_id.get() == self.trace_id && current.closed_early.get() == 0 {
            current.current_id.set(self.parent_id);
            if self.flags != 0 {
                current.flags.set(self.flags & (BASE_TEXT | PARENT_TEXT));
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
            closed[count] = (self.trace_id, self.parent_id);
            current.closed_early.set(count as u8 + 1);
            return;
        }
        let mut parent_id = self.parent_id;
        while let Some(index) = closed[..count].iter().position(|(id, _)| *id == parent_id) {
            parent_id = closed[index].1;
            closed[index] = closed[count - 1];
            count -= 1;
        }
        current.closed_early.set(count as u8);
        current.current_id.set(parent_id);
        if self.flags != 0 && parent_id == self.parent_id {
            current.flags.set(self.flags & (BASE_TEXT | PARENT_TEXT));
        }
    }

    /// Ends a point of this thread without an info, or with the panic that ends it.
    #[inline(never)]
    fn close_current(&mut self) {
        let ticks = clock::ticks();
        thread::with(|thread| {
            self.make_parent_current(thread);
            self.stop(thread, ticks);
        });
    }

    /// Ends a point without an info, or with the panic that ends it.
    #[inline(never)]
    fn close(&mut self) {
        let ticks = clock::ticks();
        thread::with(|thread| self.stop(thread, ticks));
    }

    #[inline(always)]
    fn stop(&mut self, thread: &Thread, ticks: u64) {
        let is_plain =
            self.flags == 0 && self.name != NO_ROOM && self.is_ours() && !std::thread::panicking();
        if is_plain && let Some(slot) = thread.begin_here(1) {
            // SAFETY: `begin_here` gave us this slot.
            unsafe { slot.write(self.head(ticks, STOP).record(0, 0)) };
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
    fn stop_with<V: EncodeAll>(&mut self, thread: &Thread, ticks: u64, shape: &Site, values: &V) {
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
        self.generation == GENERATION.load(Ordering::Relaxed) as u8
    }
}
