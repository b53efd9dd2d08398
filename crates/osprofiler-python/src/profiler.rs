// SPDX-License-Identifier: Apache-2.0
//! `osprofiler.profiler`: the profiler of a trace, `init`, `get`, `clean`.
//!
//! A profiler that is the context's current one opens and closes points there; any other (made by hand, or handed to another
//! thread) has a stack of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use osprofiler::{Id, Kind, recorder};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyDictMethods, PyString};

use crate::context::{self, Place, PointId, id_text};
use crate::notifier::{Given, Ids};
use crate::{notifier, points, value};

/// How long after `clean` a task that inherited the trace may still open points in it.
const GRACE_SECONDS: u64 = 60;

/// One trace as this process takes part in it: its key, its ids. Upstream's `_Profiler`.
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

    /// The key that signs this trace's headers.
    #[getter]
    fn hmac_key(&self, py: Python<'_>) -> Py<PyAny> {
        lock(&self.hmac_key).clone_ref(py)
    }

    #[setter]
    fn set_hmac_key(&self, hmac_key: Py<PyAny>) {
        let before = std::mem::replace(&mut *lock(&self.hmac_key), hmac_key);
        drop(before);
    }

    /// The id of the trace.
    fn get_base_id(&self, py: Python<'_>) -> Py<PyAny> {
        self.base.clone_ref(py)
    }

    /// The id of the innermost open point, or the parent that the trace came with.
    fn get_id<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyAny> {
        let this = slf.get();
        let id = match Self::innermost(slf) {
            Some(place) if place.is_open() => Some(place.id()),
            Some(_) => None,
            None => lock(&this.own).last().map(|open| open.id),
        };
        id_or(slf.py(), id, &this.parent)
    }

    /// The id of the point around the innermost open one.
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

    /// The short form of an id, as Jaeger shows it: the hex digits of its low 64 bits.
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

    /// Opens a point. Upstream's `_Profiler.start`.
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
            notifier::count_late();
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
        let told = prepared.tell(Kind::Start, &name, None, ids);
        if told.is_err() {
            // The program is being interrupted: the caller will not stop what it has not seen start.
            lock(&this.own).pop();
        }
        told
    }

    /// Closes the innermost open point; nothing if none is open.
    #[pyo3(signature = (info=None))]
    fn stop<'py>(slf: &Bound<'py, Self>, info: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
        let info = Given::new(info);
        if let Some(place) = Self::innermost(slf) {
            return points::close(&place, &info);
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
        prepared.tell(Kind::Stop, open.name.bind(slf.py()), None, ids)
    }
}

impl Profiler {
    /// The ids as recorded: the trace's, and what lies around its outermost points; `None` if nothing is recorded.
    #[inline]
    pub(crate) fn ids(&self) -> Option<&(PointId, PointId)> {
        self.ids.as_ref()
    }

    /// The method of that name if the object has one of its own. An atomic load where it has none.
    pub(crate) fn replacement<'py>(
        &self,
        this: &Bound<'py, Self>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !self.has_own_attributes.load(Ordering::Relaxed) {
            return Ok(None);
        }
        this.getattr("__dict__")?.cast::<PyDict>()?.get_item(name)
    }

    /// The innermost place if this profiler is the context's current one; else its own stack is to be asked.
    fn innermost<'py>(this: &Bound<'py, Self>) -> Option<Place<'py>> {
        context::current(this.py()).filter(|place| place.profiler().is(this))
    }

    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        match self.closed.load(Ordering::Relaxed) {
            0 => false,
            closed => seconds() > closed + GRACE_SECONDS,
        }
    }

    fn close(&self) {
        let _ = self
            .closed
            .compare_exchange(0, seconds(), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Makes the profiler of this context, or returns the one there is if a point is open in it, or if no trace is named.
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
        && (place.is_open() || base_id.is_none())
    {
        return Ok(place.profiler().clone());
    }
    let profiler = Bound::new(py, Profiler::new(py, hmac_key, base_id, parent_id)?)?;
    context::set(py, Some(&Place::top(&profiler)?))?;
    Ok(profiler)
}

/// The profiler of this context, or `None`.
#[pyfunction]
pub(crate) fn get(py: Python<'_>) -> Option<Bound<'_, Profiler>> {
    context::current(py).map(|place| place.profiler().clone())
}

/// Leaves the trace: this context has no profiler any more.
#[pyfunction]
pub(crate) fn clean(py: Python<'_>) -> PyResult<()> {
    let Some(place) = context::current(py) else {
        return Ok(());
    };
    place.profiler().get().close();
    context::set(py, None)?;
    notifier::log_messages(py);
    Ok(())
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
        Some(value) if value.is_truthy()? => Ok(Some(value)),
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
