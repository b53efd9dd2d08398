// SPDX-License-Identifier: Apache-2.0
//! Who am I inside which trace, now: a [`Context`] to carry, and the thread's current one.
//!
//! A thread is in one trace or in none. A context is taken from a thread ([`Context::capture`]), begins a trace, or comes from
//! incoming ids or [headers](crate::headers::Caller); attached to a thread it is current until its guard is dropped. Ids that are UUIDs are numbers all the
//! way; others lie in a shared, counted text, and points directly under them take a slower path.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use crate::{Id, delivery};

use super::ids::{IdCell, new_id};
use super::origin::Origin;
use super::record::{BASE_TEXT, PARENT_TEXT};
use super::thread;

/// A place inside a trace, or outside of all. Cheap to clone and to send.
///
/// ```
/// use osprofiler::point;
/// use osprofiler::recorder::{Context, Origin};
///
/// let origin = Origin::register(Some("shop"), Some("worker"), "host-1").unwrap();
/// let _attached = Context::new_trace(origin).attach();
/// let _request = point!("request");
/// let here = Context::capture();
/// std::thread::spawn(move || {
///     let _attached = here.attach();
///     let _work = point!("work"); // lies within `request`
/// });
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    place: Place,
    /// Set if `place.flags` ever were.
    texts: Option<Arc<Texts>>,
}

/// What of a context or a point is no number: ids from outside that are not both UUIDs, a name that could not be interned.
#[derive(Debug)]
pub(super) struct Texts {
    base_id: OwnedId,
    parent_id: OwnedId,
    name: Box<str>,
}

#[derive(Debug)]
enum OwnedId {
    Number(u128),
    Text(Box<str>),
}

impl OwnedId {
    fn new(id: Id<'_>) -> Self {
        match (id.as_u128(), id.as_text()) {
            (Some(number), _) => Self::Number(number),
            (None, text) => Self::Text(text.unwrap_or_default().into()),
        }
    }

    fn get(&self) -> Id<'_> {
        match self {
            Self::Number(number) => Id::from_u128(*number),
            // The text came from an id, so it is one.
            Self::Text(text) => Id::parse(text).unwrap_or(Id::from_u128(0)),
        }
    }
}

impl Texts {
    pub(super) fn new(base_id: Id<'_>, parent_id: Id<'_>, name: &str) -> Self {
        Self {
            base_id: OwnedId::new(base_id),
            parent_id: OwnedId::new(parent_id),
            name: name.into(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn base_id(&self) -> Id<'_> {
        self.base_id.get()
    }

    pub(super) fn parent_id(&self) -> Id<'_> {
        self.parent_id.get()
    }
}

/// What a context is in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// 0: in no trace.
    pub(super) origin: u16,
    /// `BASE_TEXT`: the trace's id is a text. `PARENT_TEXT`: so is the current point's.
    pub(super) flags: u8,
    pub(super) base_id: u128,
    /// The point that a new one lies within.
    pub(super) current_id: u128,
}

impl Place {
    const OFF: Self = Self {
        origin: 0,
        flags: 0,
        base_id: 0,
        current_id: 0,
    };
}

/// A thread's current context, in pieces that need no destructor.
#[expect(clippy::struct_field_names, reason = "as in `Place`")]
pub(super) struct Current {
    pub(super) origin: Cell<u16>,
    pub(super) flags: Cell<u8>,
    /// How many points are remembered as closed early.
    pub(super) closed_early: Cell<u8>,
    pub(super) base_id: Cell<u128>,
    pub(super) current_id: IdCell,
    /// An `Arc` of its own, or null.
    texts: Cell<*const Texts>,
}

impl Current {
    #[expect(
        clippy::declare_interior_mutable_const,
        reason = "only the initial value of a thread-local"
    )]
    pub(super) const OFF: Self = Self {
        origin: Cell::new(0),
        flags: Cell::new(0),
        closed_early: Cell::new(0),
        base_id: Cell::new(0),
        current_id: IdCell::new(0),
        texts: Cell::new(ptr::null()),
    };

    #[inline]
    pub(super) fn place(&self) -> Place {
        Place {
            origin: self.origin.get(),
            flags: self.flags.get(),
            base_id: self.base_id.get(),
            current_id: self.current_id.get(),
        }
    }

    /// The text ids, if the context came with some.
    #[inline]
    pub(super) fn texts(&self) -> Option<Arc<Texts>> {
        let texts = self.texts.get();
        if texts.is_null() {
            return None;
        }
        // SAFETY: a non-null pointer came from `Arc::into_raw` in `replace`, and its count is still ours: only `replace` takes it
        // out. The increment makes up for the `Arc` made from the pointer.
        unsafe {
            Arc::increment_strong_count(texts);
            Some(Arc::from_raw(texts))
        }
    }

    /// Puts `context` in, and takes out the one before.
    #[inline]
    fn replace(&self, context: Context) -> Context {
        let before = self.place();
        let Context { place, texts } = context;
        self.origin.set(place.origin);
        self.flags.set(place.flags);
        self.base_id.set(place.base_id);
        self.current_id.set(place.current_id);
        let texts = self.texts.replace(texts.map_or(ptr::null(), Arc::into_raw));
        if before.current_id == before.base_id {
            // No point is open in the place just left, so none of it can be waited for.
            self.closed_early.set(0);
        }
        // SAFETY: as in `texts`; the pointer is taken out, and its count with it.
        let texts = (!texts.is_null()).then(|| unsafe { Arc::from_raw(texts) });
        Context {
            place: before,
            texts,
        }
    }
}

impl Context {
    /// The root of a new trace, recorded as `origin`. Costs 3 ns.
    ///
    /// ```
    /// # use osprofiler::recorder::{Context, Origin};
    /// let origin = Origin::register(Some("shop"), None, "host-1").unwrap();
    /// let trace = Context::new_trace(origin);
    /// println!("trace {}", trace.base_id().unwrap());
    /// ```
    #[inline]
    pub fn new_trace(origin: Origin) -> Self {
        let base_id = new_id();
        Self::in_trace(origin, base_id, base_id)
    }

    /// The place that incoming ids name: a trace, and the point of it that called. Costs 2 ns for UUIDs; other ids are copied
    /// (two allocations), and the points directly below them, or all points of the trace if `base_id` is one, cost 80 ns more.
    ///
    /// ```
    /// # use osprofiler::Id;
    /// # use osprofiler::recorder::{Context, Origin};
    /// let origin = Origin::register(Some("shop"), None, "host-1").unwrap();
    /// let base_id = Id::parse("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee").unwrap();
    /// let parent_id = Id::parse("request-17").unwrap();
    /// let context = Context::from_ids(origin, base_id, parent_id);
    /// assert_eq!(context.current_id(), Some(parent_id));
    /// ```
    pub fn from_ids(origin: Origin, base_id: Id<'_>, parent_id: Id<'_>) -> Self {
        let mut context = Self::in_trace(
            origin,
            base_id.as_u128().unwrap_or(0),
            parent_id.as_u128().unwrap_or(0),
        );
        if base_id.as_u128().is_none() {
            context.place.flags |= BASE_TEXT;
        }
        if parent_id.as_u128().is_none() {
            context.place.flags |= PARENT_TEXT;
        }
        if context.place.flags != 0 {
            let texts = Arc::new(Texts::new(base_id, parent_id, ""));
            context.texts = Some(texts);
        }
        context
    }

    /// Outside of all traces: attached, it turns recording off.
    pub const fn none() -> Self {
        Self {
            place: Place::OFF,
            texts: None,
        }
    }

    /// Where the calling thread is. Costs 2 ns.
    #[inline]
    pub fn capture() -> Self {
        thread::with(|thread| Self {
            place: thread.current.place(),
            texts: thread.current.texts(),
        })
    }

    #[inline]
    fn in_trace(origin: Origin, base_id: u128, current_id: u128) -> Self {
        let place = Place {
            origin: origin.number(),
            flags: 0,
            base_id,
            current_id,
        };
        Self { place, texts: None }
    }

    /// The place within an open point, which is `place.current_id`.
    pub(super) fn within(mut place: Place, texts: Option<Arc<Texts>>) -> Self {
        place.flags &= BASE_TEXT;
        Self { place, texts }
    }

    /// Whether this is a place inside a trace. Costs a comparison.
    #[inline]
    pub const fn is_on(&self) -> bool {
        self.place.origin != 0
    }

    /// The trace, for the `base_id` of outgoing headers; `None` outside of all.
    pub fn base_id(&self) -> Option<Id<'_>> {
        self.is_on().then(|| match &self.texts {
            Some(texts) => texts.base_id(),
            None => Id::from_u128(self.place.base_id),
        })
    }

    /// The point that whatever comes next lies within, for the `parent_id` of outgoing headers: the innermost open point, or
    /// what the trace was entered with. `None` outside of all traces.
    pub fn current_id(&self) -> Option<Id<'_>> {
        self.is_on().then(|| match &self.texts {
            Some(texts) if self.place.flags & PARENT_TEXT != 0 => texts.parent_id(),
            _ => Id::from_u128(self.place.current_id),
        })
    }

    /// Who records; `None` outside of all traces.
    pub fn origin(&self) -> Option<Origin> {
        Origin::from_number(self.place.origin)
    }

    /// Makes this the calling thread's context until the guard is dropped, which brings back the one before. Costs below
    /// 12 ns for the pair. Guards are dropped in the reverse order of their making.
    #[inline]
    pub fn attach(self) -> Attached {
        Attached {
            before: thread::with(|thread| thread.current.replace(self)),
            _not_send: PhantomData,
        }
    }

    /// Runs `work` here, and remembers for the next time which points it left open: what a future does at each poll.
    pub(super) fn visit<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let visit = Visit(self);
        visit.0.swap();
        let result = work();
        drop(visit);
        result
    }

    /// Changes places with the thread's context.
    fn swap(&mut self) {
        let context = std::mem::replace(self, Self::none());
        *self = thread::with(|thread| thread.current.replace(context));
    }
}

/// The end of a [`Context::visit`], on unwinding as well.
struct Visit<'a>(&'a mut Context);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.swap();
        delivery::log_waiting_messages();
    }
}

/// Keeps a [`Context`] attached to its thread.
#[must_use = "dropped at once, it detaches the context at once: `let _attached = ...`"]
#[derive(Debug)]
pub struct Attached {
    before: Context,
    _not_send: PhantomData<*const ()>,
}

impl Drop for Attached {
    #[inline]
    fn drop(&mut self) {
        let before = std::mem::replace(&mut self.before, Context::none());
        let is_outermost = before.place.origin == 0;
        drop(thread::with(|thread| thread.current.replace(before)));
        if is_outermost {
            delivery::log_waiting_messages();
        }
    }
}
