// SPDX-License-Identifier: Apache-2.0
//! Trace points: a [`Point`] is open on its thread until it is dropped; an [`OpenPoint`] is open anywhere until it is stopped.
//!
//! A point's start is recorded when it opens and its stop when it closes, each with an info of its own. A point that is off
//! is an empty value.

use std::error::Error;
use std::marker::PhantomData;
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::Id;

use super::clock;
use super::context::{Context, Place, Texts};
use super::foreign::write_texts;
use super::losses;
use super::names::{NO_ROOM, Name, Part, Site};
use super::record::{BASE_TEXT, FORM_NONE, FORM_SHAPE, FORM_SITE, NAME_TEXT, PARENT_TEXT, STOP};
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
    open: Option<Open>,
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
    /// What it has of texts, if `flags` say so.
    texts: Option<Arc<Texts>>,
    generation: u32,
    name: u32,
    origin: NonZeroU16,
    /// `BASE_TEXT`, `PARENT_TEXT`, `NAME_TEXT`.
    flags: u8,
    /// The thread was panicking when the point opened, so a panic at its end says nothing about it.
    panicking: bool,
}

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
        Self::with(site, &())
    }

    /// Opens the point of a call site with the values of its info; what [`point!`](crate::point) does if the thread is in a trace.
    #[inline]
    pub fn with(site: &Site, values: &impl Values) -> Self {
        if !is_on() {
            return Self::off();
        }
        Self::opened(Open::start(site, values))
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
        Self::opened(Open::start_named(name))
    }

    /// A point that records nothing.
    #[inline]
    pub const fn off() -> Self {
        Self {
            open: None,
            _not_send: PhantomData,
        }
    }

    #[inline]
    fn opened(open: Open) -> Self {
        thread::with(|thread| open.make_current(thread));
        Self {
            open: Some(open),
            _not_send: PhantomData,
        }
    }

    /// Whether it records anything.
    #[inline]
    pub const fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// The place within this point, for another thread, a task, or outgoing headers. Costs a copy.
    pub fn context(&self) -> Context {
        self.open.as_ref().map_or(Context::none(), Open::context)
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
        if let Some(open) = self.open.take() {
            let ticks = clock::ticks();
            thread::with(|thread| {
                open.make_parent_current(thread);
                open.stop(thread, ticks, Some((shape, values)));
            });
        }
    }
}

impl Drop for Point {
    #[inline]
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
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
        Self {
            open: is_on().then(|| Open::start(site, values)),
        }
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
        if let Some(open) = self.open.take() {
            let ticks = clock::ticks();
            thread::with(|thread| open.stop(thread, ticks, Some((shape, values))));
        }
    }
}

impl Drop for OpenPoint {
    #[inline]
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.close();
        }
    }
}

/// Whether the thread is in a trace: what each call looks at first.
#[doc(hidden)]
#[inline]
pub fn is_on() -> bool {
    thread::with(|thread| thread.current.origin.get() != 0)
}

impl Open {
    /// Records the start of a point where the thread is, which is in a trace.
    #[inline]
    fn start<V: EncodeAll>(site: &Site, values: &V) -> Self {
        thread::with(|thread| {
            let form = if site.has_info() {
                FORM_SITE
            } else {
                FORM_NONE
            };
            let open = Self::new(thread, site.number());
            open.write_start(thread, form, size_of::<V>() > 0, |encoder| {
                values.encode_all(encoder);
            });
            open
        })
    }

    #[cold]
    fn start_named(name: &str) -> Self {
        thread::with(|thread| {
            let number = Name::intern(name).map_or(0, Name::number);
            let mut open = Self::new(thread, number);
            if number == 0 {
                let [base_id, _, parent_id] = open.ids();
                open.texts = Some(Arc::new(Texts::new(base_id, parent_id, name)));
                open.flags |= NAME_TEXT;
            }
            open.write_start(thread, FORM_NONE, false, |_| {});
            open
        })
    }

    #[inline]
    fn new(thread: &Thread, name: u32) -> Self {
        let Place {
            origin,
            flags,
            base_id,
            current_id,
        } = thread.current.place();
        Self {
            base_id,
            trace_id: super::new_id(),
            parent_id: current_id,
            texts: if flags == 0 {
                None
            } else {
                thread.current.texts()
            },
            generation: GENERATION.load(std::sync::atomic::Ordering::Relaxed),
            name,
            origin: NonZeroU16::new(origin).unwrap_or(NonZeroU16::MIN),
            flags,
            panicking: std::thread::panicking(),
        }
    }

    #[inline]
    fn head(&self, ticks: u64, flags: u8) -> Head {
        Head {
            ticks,
            name: self.name,
            origin: self.origin.get(),
            flags: self.flags | flags,
            base_id: self.base_id,
            trace_id: self.trace_id,
            parent_id: self.parent_id,
        }
    }

    #[inline]
    fn write_start(
        &self,
        thread: &Thread,
        form: u8,
        has_values: bool,
        encode: impl FnOnce(&mut Encoder),
    ) {
        let head = self.head(clock::ticks(), form);
        if self.flags != 0 || self.name == NO_ROOM {
            self.write_slowly(thread, head, encode);
        } else if has_values {
            thread.write_encoded(head, encode);
        } else {
            thread.write(head);
        }
    }

    /// Writes a record of a point with a text id, or whose name has no number.
    #[cold]
    #[inline(never)]
    fn write_slowly(&self, thread: &Thread, head: Head, encode: impl FnOnce(&mut Encoder)) {
        let ids = self.ids();
        if head.name == NO_ROOM {
            return losses::count(ids[0], crate::LossReason::MemoryFull);
        }
        let mut encoder = Encoder::owned();
        encode(&mut encoder);
        let name = self.texts.as_ref().map_or("", |texts| texts.name());
        write_texts(thread, head, name, ids, encoder.own_bytes());
    }

    fn ids(&self) -> [Id<'_>; 3] {
        let (mut base_id, mut parent_id) =
            (Id::from_u128(self.base_id), Id::from_u128(self.parent_id));
        if let Some(texts) = &self.texts {
            base_id = texts.base_id();
            if self.flags & PARENT_TEXT != 0 {
                parent_id = texts.parent_id();
            }
        }
        [base_id, Id::from_u128(self.trace_id), parent_id]
    }

    fn context(&self) -> Context {
        let place = Place {
            origin: self.origin.get(),
            flags: self.flags,
            base_id: self.base_id,
            current_id: self.trace_id,
        };
        Context::within(place, self.texts.clone())
    }

    #[inline]
    fn make_current(&self, thread: &Thread) {
        thread.current.current_id.set(self.trace_id);
        if self.flags != 0 {
            thread.current.flags.set(self.flags & BASE_TEXT);
        }
    }

    /// Makes what lies around this point the thread's place again.
    #[inline]
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
    #[inline]
    fn close_current(self) {
        let ticks = clock::ticks();
        thread::with(|thread| {
            self.make_parent_current(thread);
            self.stop_or_panic(thread, ticks);
        });
    }

    /// Ends a point without an info, or with the panic that ends it.
    #[inline]
    fn close(self) {
        let ticks = clock::ticks();
        thread::with(|thread| self.stop_or_panic(thread, ticks));
    }

    #[inline]
    fn stop_or_panic(&self, thread: &Thread, ticks: u64) {
        if std::thread::panicking() && !self.panicking {
            self.stop_in_panic(thread, ticks);
        } else {
            self.stop::<()>(thread, ticks, None);
        }
    }

    #[cold]
    #[inline(never)]
    fn stop_in_panic(&self, thread: &Thread, ticks: u64) {
        let values = ("panic", ("the thread panicked", ()));
        self.stop(thread, ticks, Some((&FAILURE, &values)));
    }

    #[inline]
    fn stop<V: EncodeAll>(&self, thread: &Thread, ticks: u64, info: Option<(&Site, &V)>) {
        if self.generation != GENERATION.load(std::sync::atomic::Ordering::Relaxed) {
            // Inherited by a forked child.
            return;
        }
        let form = if info.is_some() {
            FORM_SHAPE
        } else {
            FORM_NONE
        };
        let head = self.head(ticks, STOP | form);
        let encode = |encoder: &mut Encoder| {
            if let Some((shape, values)) = info {
                encoder.shape(shape.number());
                values.encode_all(encoder);
            }
        };
        if self.flags != 0 || self.name == NO_ROOM {
            self.write_slowly(thread, head, encode);
        } else if info.is_some() {
            thread.write_encoded(head, encode);
        } else {
            thread.write(head);
        }
    }
}
