// SPDX-License-Identifier: Apache-2.0
//! Trace points: a [`Point`] is open on its thread until it is dropped; an [`OpenPoint`] is open anywhere until it is stopped.
//!
//! A point's start is recorded when it opens and its stop when it closes, each with an info of its own. A point that is off
//! is an empty value.

use std::error::Error;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use super::clock;
use super::context::Context;
use super::names::Site;
use super::open::{FAILURE, Open};
use super::record::BASE_TEXT;
use super::thread::{self, Thread};
use super::value::Values;
use super::value::sealed::EncodeAll;

/// A trace point, open on the thread that made it: points opened there meanwhile lie within it. Made by [`point!`](crate::point);
/// dropped, it records its stop.
///
/// During a panic that began within it, the stop says `etype` `panic`. Points need not be dropped in the reverse order of
/// their making: one that closes early passes what was within it to its own parent. After a fork, the child's copies record nothing: the parent ends its
/// points itself.
///
/// Cost off: a thread-local load and a branch at each end, below 1 ns. On: two readings of the clock (22 ns) and 6 ns.
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

    /// Opens a point whose name is known only at run time. Costs a look-up of the name, some 25 ns, more than [`point!`](crate::point).
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
