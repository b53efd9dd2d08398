// SPDX-License-Identifier: Apache-2.0
//! `osprofiler.profiler`: the profiler of a trace, `init`, `get`, `clean`.
//!
//! A profiler that is the context's current one opens and closes points there; any other (made by hand, or handed to another
//! thread) has a stack of its own.

#![expect(
    clippy::doc_markdown,
    reason = "what is called from Python has Python's docstrings, with fields and examples"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use osprofiler::{Id, Kind, recorder};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyDictMethods, PyString, PyTuple};

use crate::context::{self, Place, PointId, id_text};
use crate::notifier::{Given, Ids};
use crate::{notifier, points, replaced, value};

/// How long after `clean` a task that inherited the trace may still open points in it.
const GRACE_SECONDS: u64 = 60;

/// One trace as this process takes part in it: its key, its ids, its open points. ``init`` makes it and ``get`` returns it.
///
/// :param hmac_key: the key that signs the headers of calls out of the trace, a str; ``None`` signs none
/// :param base_id: the trace's id, a str of 1 to 255 bytes; by default a new UUID
/// :param parent_id: the id of the point that this process's outermost ones are below; by default the trace's id
///
/// >>> from osprofiler import profiler
/// >>> current = profiler.init("SECRET", base_id="4e3e0ec6-2938-40b1-8504-09eb1d4b0dee")
/// >>> with profiler.Trace("work"):
/// ...     current.get_parent_id()
/// '4e3e0ec6-2938-40b1-8504-09eb1d4b0dee'
/// >>> profiler.clean()
#[pyclass(
    frozen,
    subclass,
    dict,
    weakref,
    module = "osprofiler.profiler",
    name = "_Profiler"
)]
pub(crate) struct Profiler {
    hmac_key: Mutex<Py<PyAny>>,
    /// As given, of any type.
    base: Py<PyAny>,
    parent: Py<PyAny>,
    /// As recorded; `None` if what was given cannot be an id, and then nothing is recorded.
    ids: Option<(PointId, PointId)>,
    /// Points opened while this profiler was not the context's current one.
    own: Mutex<Vec<OwnPoint>>,
    /// When `clean` closed the trace, in seconds since [`epoch`] plus one; 0 while it is open.
    closed: AtomicU64,
    /// Whether attributes of this object were ever set that its class does not have, as tests set `start` and `stop`.
    has_own_attributes: AtomicBool,
}

/// A point of a profiler's own stack.
struct OwnPoint {
    id: u128,
    /// Valid UTF-8.
    name: Py<PyString>,
}

#[pymethods]
impl Profiler {
    #[new]
    #[pyo3(signature = (hmac_key, base_id=None, parent_id=None))]
    fn new(
        py: Python<'_>,
        hmac_key: Py<PyAny>,
        base_id: Option<Bound<'_, PyAny>>,
        parent_id: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let base = match given(base_id)? {
            Some(base) => base,
            None => id_text(py, Id::from_u128(recorder::new_id())).into_any(),
        };
        let parent = given(parent_id)?.unwrap_or_else(|| base.clone());
        let ids = point_id(&base)?.zip(point_id(&parent)?);
        if ids.is_none() {
            notifier::count_without_id(py)?;
        }
        Ok(Self {
            hmac_key: Mutex::new(hmac_key),
            base: base.unbind(),
            parent: parent.unbind(),
            ids,
            own: Mutex::default(),
            closed: AtomicU64::new(0),
            has_own_attributes: AtomicBool::new(false),
        })
    }

    /// As any object's, but [`has_own_attributes`](Self::has_own_attributes) learns of it.
    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if let Ok(descriptor) = slf.get_type().getattr(name)
            && descriptor.hasattr("__set__")?
        {
            return descriptor.call_method1("__set__", (slf, value)).map(drop);
        }
        slf.get().has_own_attributes.store(true, Ordering::Relaxed);
        slf.getattr("__dict__")?.set_item(name, value)
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        let own = slf.getattr("__dict__")?;
        own.del_item(name)
            .map_err(|_| PyAttributeError::new_err(name.to_string()))
    }

    /// The key that signs this trace's headers. It may be set.
    #[getter]
    fn hmac_key(&self, py: Python<'_>) -> Py<PyAny> {
        lock(&self.hmac_key).clone_ref(py)
    }

    #[setter]
    fn set_hmac_key(&self, hmac_key: Py<PyAny>) {
        let before = std::mem::replace(&mut *lock(&self.hmac_key), hmac_key);
        drop(before);
    }

    /// Return the id of the trace, as it was given.
    fn get_base_id(&self, py: Python<'_>) -> Py<PyAny> {
        self.base.clone_ref(py)
    }

    /// Return the id of the innermost open point, a UUID as a str; the ``parent_id`` that the trace came with if none is open.
    fn get_id<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyAny> {
        let this = slf.get();
        let id = match Self::innermost(slf) {
            Some(place) if place.is_open() => Some(place.id()),
            Some(_) => None,
            None => lock(&this.own).last().map(|open| open.id),
        };
        id_or(slf.py(), id, &this.parent)
    }

    /// Return the id of the point around the innermost open one, a str.
    fn get_parent_id<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyAny> {
        let this = slf.get();
        let (is_open, parent) = if let Some(place) = Self::innermost(slf) {
            let parent = place.parent().filter(Place::is_open);
            (place.is_open(), parent.map(|parent| parent.id()))
        } else {
            let own = lock(&this.own);
            let parent = own.len().checked_sub(2).map(|index| own[index].id);
            (!own.is_empty(), parent)
        };
        let given = if is_open { &this.parent } else { &this.base };
        id_or(slf.py(), parent, given)
    }

    /// The ids of the trace, of what its outermost points are below, and of the open ones. Upstream's is a deque, this a copy.
    #[getter(_trace_stack)]
    fn trace_stack<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, this) = (slf.py(), slf.get());
        let given = [this.base.bind(py).clone(), this.parent.bind(py).clone()];
        let open = Self::open_points(slf).into_iter();
        let ids = open.map(|(id, _)| id_text(py, Id::from_u128(id)).into_any());
        PyTuple::new(py, given.into_iter().chain(ids).collect::<Vec<_>>())
    }

    /// The names of the open points. Upstream's is a deque, this a copy.
    #[getter(_name)]
    fn names<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let open = Self::open_points(slf).into_iter();
        PyTuple::new(slf.py(), open.map(|(_, name)| name).collect::<Vec<_>>())
    }

    /// Return the short form of an id, as Jaeger shows it: the hex digits of its low 64 bits.
    ///
    /// :param uuid_id: a UUID as a str, or an int
    ///
    /// >>> from osprofiler import profiler
    /// >>> profiler.init("SECRET").get_shorten_id("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee")
    /// '850409eb1d4b0dee'
    /// >>> profiler.clean()
    #[expect(
        clippy::unused_self,
        reason = "upstream's callers call it on an instance"
    )]
    fn get_shorten_id(&self, uuid_id: &Bound<'_, PyAny>) -> PyResult<String> {
        let short = uuid_id
            .py()
            .import("osprofiler._utils")?
            .getattr("shorten_id")?
            .call1((uuid_id,))?;
        Ok(format!("{:x}", short.extract::<u64>()?))
    }

    /// Open a point of this trace, as ``profiler.start`` does of the context's.
    #[pyo3(signature = (name, info=None))]
    fn start<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let name = points::name(name)?;
        let info = Given::new(info);
        if let Some(around) = Self::innermost(slf) {
            return points::open(&around, &name, &info).map(drop);
        }
        let this = slf.get();
        if this.is_over() {
            notifier::count_late(slf.py());
            return Ok(());
        }
        let Some((base_id, top_id)) = &this.ids else {
            return Ok(());
        };
        let prepared = notifier::prepare(slf.py(), &info)?;
        let id = recorder::new_id();
        let parent_id = {
            let mut own = lock(&this.own);
            let parent_id = own
                .last()
                .map_or(top_id.as_id(), |open| Id::from_u128(open.id));
            own.push(OwnPoint {
                id,
                name: name.clone().unbind(),
            });
            parent_id
        };
        let ids = Ids {
            base_id: base_id.as_id(),
            trace_id: id,
            parent_id,
        };
        let told = prepared.tell(Kind::Start, &name, None, &ids);
        if told.is_err() {
            // The program is being interrupted: the caller will not stop what it has not seen start.
            lock(&this.own).pop();
        }
        told
    }

    /// Close the innermost open point of this trace; without one, nothing happens.
    #[pyo3(signature = (info=None))]
    fn stop<'py>(slf: &Bound<'py, Self>, info: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
        let info = Given::new(info);
        if let Some(place) = Self::innermost(slf) {
            return points::close(&place, None, &info);
        }
        let this = slf.get();
        let Some((base_id, top_id)) = &this.ids else {
            return Ok(());
        };
        let prepared = notifier::prepare(slf.py(), &info)?;
        let (open, parent_id) = {
            let mut own = lock(&this.own);
            let Some(open) = own.pop() else {
                return Ok(());
            };
            let parent_id = own
                .last()
                .map_or(top_id.as_id(), |open| Id::from_u128(open.id));
            (open, parent_id)
        };
        let ids = Ids {
            base_id: base_id.as_id(),
            trace_id: open.id,
            parent_id,
        };
        prepared.tell(Kind::Stop, open.name.bind(slf.py()), None, &ids)
    }
}

impl Profiler {
    /// The ids as recorded: the trace's, and what lies around its outermost points; `None` if nothing is recorded.
    #[inline]
    pub(crate) fn ids(&self) -> Option<&(PointId, PointId)> {
        self.ids.as_ref()
    }

    /// The method of that name, `start` or `stop`, if somebody has put another in the place of ours: of the object or of the class.
    /// Two loads where nobody has.
    #[inline]
    pub(crate) fn replacement<'py>(
        &self,
        this: &Bound<'py, Self>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let has_own = self.has_own_attributes.load(Ordering::Relaxed);
        if !has_own && !replaced::is_class_replaced(this.py()) {
            return Ok(None);
        }
        replacement(this, name)
    }

    /// The innermost place if this profiler is the context's current one; else its own stack is to be asked.
    fn innermost<'py>(this: &Bound<'py, Self>) -> Option<Place<'py>> {
        context::current(this.py()).filter(|place| place.profiler().is(this))
    }

    /// The ids and names of the open points, the outermost first.
    fn open_points<'py>(this: &Bound<'py, Self>) -> Vec<(u128, Bound<'py, PyString>)> {
        let py = this.py();
        let Some(innermost) = Self::innermost(this) else {
            let own = lock(&this.get().own);
            return own
                .iter()
                .map(|open| (open.id, open.name.bind(py).clone()))
                .collect();
        };
        let mut found = Vec::new();
        let mut around = Some(innermost);
        while let Some(place) = around {
            if let Some(name) = place.name() {
                found.push((place.id(), name));
            }
            around = place.parent();
        }
        found.reverse();
        found
    }

    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        match self.closed.load(Ordering::Relaxed) {
            0 => false,
            closed => seconds() > closed + GRACE_SECONDS,
        }
    }

    /// Whether `clean` has closed the trace. A place that a task has copied stays as it was, open or not, so this is asked instead.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) != 0
    }

    fn close(&self) {
        let _ = self
            .closed
            .compare_exchange(0, seconds(), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Begin a trace in this context, or join one: from now on, points are recorded.
///
/// A context is a thread's, a greenthread's or a task's own; tasks begin with a copy of their maker's. The middleware calls this
/// for each request. Costs less than a microsecond.
///
/// :param hmac_key: the key that signs the headers of calls out of the trace, a str; ``None`` signs none
/// :param base_id: the trace's id, a str of 1 to 255 bytes; by default a new UUID. With a longer one, or a longer
///     ``parent_id``, nothing is recorded, and a warning says so, once a process
/// :param parent_id: the id of the point that the next ones are below; by default the trace's id
/// :returns: the context's profiler. With a point open in it, or without ``base_id``, one that is there stays; one that a
///     finished request has left is replaced, also in a task or a carried function that was begun in that request
///
/// >>> from osprofiler import profiler
/// >>> current = profiler.init("SECRET", base_id="4e3e0ec6-2938-40b1-8504-09eb1d4b0dee")
/// >>> profiler.get().get_base_id()
/// '4e3e0ec6-2938-40b1-8504-09eb1d4b0dee'
/// >>> profiler.clean()
#[pyfunction]
#[pyo3(signature = (hmac_key, base_id=None, parent_id=None))]
pub(crate) fn init<'py>(
    py: Python<'py>,
    hmac_key: Py<PyAny>,
    base_id: Option<Bound<'py, PyAny>>,
    parent_id: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Profiler>> {
    let base_id = given(base_id)?;
    if let Some(place) = context::current(py)
        && !place.profiler().get().is_closed()
        && (place.is_open() || base_id.is_none())
    {
        return Ok(place.profiler().clone());
    }
    let profiler = Bound::new(py, Profiler::new(py, hmac_key, base_id, parent_id)?)?;
    context::set(py, Some(&Place::top(&profiler)?))?;
    Ok(profiler)
}

/// Return the profiler of this context; ``None`` outside of any trace. Costs some 20 nanoseconds.
///
/// >>> from osprofiler import profiler
/// >>> profiler.get() is None
/// True
#[pyfunction]
pub(crate) fn get(py: Python<'_>) -> Option<Bound<'_, Profiler>> {
    context::current(py).map(|place| place.profiler().clone())
}

/// Leave the trace: this context has no profiler any more, and points do nothing.
///
/// The trace is over. Tasks and carried functions that are still in it may open points for another 60 seconds; later ones
/// are dropped and counted. Points that are open stay so, and a report shows them as never ended.
#[pyfunction]
pub(crate) fn clean(py: Python<'_>) -> PyResult<()> {
    let Some(place) = context::current(py) else {
        return Ok(());
    };
    place.profiler().get().close();
    context::set(py, None)?;
    notifier::log_messages(py)
}

#[cold]
fn replacement<'py>(
    profiler: &Bound<'py, Profiler>,
    name: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let own = profiler.getattr("__dict__")?;
    let is_replaced =
        own.cast::<PyDict>()?.contains(name)? || replaced::is_method_replaced(profiler.py(), name);
    is_replaced.then(|| profiler.getattr(name)).transpose()
}

/// The id as Python has it, or what was given.
fn id_or<'py>(py: Python<'py>, id: Option<u128>, given: &Py<PyAny>) -> Bound<'py, PyAny> {
    match id {
        Some(id) => id_text(py, Id::from_u128(id)).into_any(),
        None => given.bind(py).clone(),
    }
}

/// `value` unless it is falsy, as upstream takes ids.
fn given(value: Option<Bound<'_, PyAny>>) -> PyResult<Option<Bound<'_, PyAny>>> {
    match value {
        Some(value) if value::is_true(&value)? => Ok(Some(value)),
        _ => Ok(None),
    }
}

/// The id that any value's text is, if it is one.
fn point_id(value: &Bound<'_, PyAny>) -> PyResult<Option<PointId>> {
    let text = value::safe_str(value)?;
    Ok(text.to_str().ok().and_then(PointId::parse))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since the first call, plus one.
fn seconds() -> u64 {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    EPOCH.get_or_init(Instant::now).elapsed().as_secs() + 1
}
