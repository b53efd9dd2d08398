// SPDX-License-Identifier: Apache-2.0
//! `osprofiler.profiler`: the profiler of a trace, `init`, `get`, `clean`, `start`, `stop`.
//!
//! A profiler that is the context's current one opens and closes points there; any other (made by hand, or handed to another
//! thread) has a stack of its own. Whatever a notifier or store does, the place in the tree is right afterwards: it is
//! changed before anybody is told of a start, and before anybody is told of a stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use osprofiler::{Kind, recorder};
use pyo3::call::PyCallArgs;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyDictMethods, PyString};

use crate::context::{self, Node, OpenPoint, PointId};
use crate::{notifier, value};

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
    own: Mutex<Vec<OpenPoint>>,
    /// When `clean` closed the trace, in seconds since [`epoch`] plus one; 0 while it is open.
    closed: AtomicU64,
    /// Whether attributes of this object were ever set that its class does not have, as tests set `start` and `stop`.
    has_own_attributes: AtomicBool,
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
            None => PointId::Uuid(recorder::new_id()).to_py(py).into_any(),
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
        let py = slf.py();
        let id = match Self::innermost(slf) {
            Place::Context(node) => node.get().open.as_ref().map(|open| open.id),
            Place::Own => lock(&slf.get().own).last().map(|open| open.id),
        };
        match id {
            Some(id) => PointId::Uuid(id).to_py(py).into_any(),
            None => slf.get().parent.bind(py).clone(),
        }
    }

    /// The id of the point around the innermost open one.
    fn get_parent_id<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyAny> {
        let py = slf.py();
        let this = slf.get();
        let (open, parent) = match Self::innermost(slf) {
            Place::Context(node) => match &node.get().open {
                Some(_) => {
                    let parent = node.get().parent(py);
                    let id = parent.and_then(|node| node.get().open.as_ref().map(|open| open.id));
                    (true, id)
                }
                None => (false, None),
            },
            Place::Own => {
                let own = lock(&this.own);
                let parent = own.len().checked_sub(2).map(|index| own[index].id);
                (!own.is_empty(), parent)
            }
        };
        match (open, parent) {
            (_, Some(id)) => PointId::Uuid(id).to_py(py).into_any(),
            (true, None) => this.parent.bind(py).clone(),
            (false, None) => this.base.bind(py).clone(),
        }
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
    fn start(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let this = slf.get();
        let py = slf.py();
        if this.is_over() {
            notifier::count_late();
            return Ok(());
        }
        let Some((base_id, top_id)) = &this.ids else {
            return Ok(());
        };
        let name = point_name(name)?;
        let id = recorder::new_id();
        match Self::innermost(slf) {
            Place::Context(node) => {
                let parent_id = node
                    .get()
                    .open
                    .as_ref()
                    .map_or_else(|| top_id.clone(), |open| PointId::Uuid(open.id));
                let open = OpenPoint {
                    id,
                    name: name.clone().unbind(),
                    parent_id: parent_id.clone(),
                };
                let node = Bound::new(py, Node::below(&node, open))?;
                context::set(py, Some(&node))?;
                let told = notifier::tell(Kind::Start, &name, base_id, id, &parent_id, info);
                if told.is_err() {
                    // The program is being interrupted: the caller will not stop what it has not seen start.
                    context::set(py, node.get().parent(py).as_ref())?;
                }
                told
            }
            Place::Own => {
                let parent_id = {
                    let mut own = lock(&this.own);
                    let parent_id = own
                        .last()
                        .map_or_else(|| top_id.clone(), |open| PointId::Uuid(open.id));
                    own.push(OpenPoint {
                        id,
                        name: name.clone().unbind(),
                        parent_id: parent_id.clone(),
                    });
                    parent_id
                };
                let told = notifier::tell(Kind::Start, &name, base_id, id, &parent_id, info);
                if told.is_err() {
                    lock(&this.own).pop();
                }
                told
            }
        }
    }

    /// Closes the innermost open point; nothing if none is open.
    #[pyo3(signature = (info=None))]
    fn stop(slf: &Bound<'_, Self>, info: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let this = slf.get();
        let py = slf.py();
        let Some((base_id, _)) = &this.ids else {
            return Ok(());
        };
        let tell = |open: &OpenPoint| {
            let name = open.name.bind(py);
            notifier::tell(Kind::Stop, name, base_id, open.id, &open.parent_id, info)
        };
        match Self::innermost(slf) {
            Place::Context(node) => {
                let Some(open) = &node.get().open else {
                    return Ok(());
                };
                let parent = node.get().parent(py);
                let outermost = parent.as_ref().is_none_or(|node| node.get().open.is_none());
                context::set(py, parent.as_ref())?;
                let told = tell(open);
                if outermost {
                    notifier::log_messages(py);
                }
                told
            }
            Place::Own => {
                let open = lock(&this.own).pop();
                open.as_ref().map_or(Ok(()), tell)
            }
        }
    }
}

/// Where a profiler's innermost open point is to be found.
enum Place<'py> {
    Context(Bound<'py, Node>),
    Own,
}

impl Profiler {
    fn innermost<'py>(this: &Bound<'py, Self>) -> Place<'py> {
        match context::current(this.py()) {
            Some(node) if node.get().profiler.is(this) => Place::Context(node),
            _ => Place::Own,
        }
    }

    /// The method of that name if the object has one of its own. An atomic load where it has none.
    fn replacement<'py>(
        &self,
        this: &Bound<'py, Self>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !self.has_own_attributes.load(Ordering::Relaxed) {
            return Ok(None);
        }
        this.getattr("__dict__")?.cast::<PyDict>()?.get_item(name)
    }

    fn is_over(&self) -> bool {
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
    if let Some(node) = context::current(py)
        && (node.get().open.is_some() || base_id.is_none())
    {
        return Ok(node.get().profiler.bind(py).clone());
    }
    let profiler = Bound::new(py, Profiler::new(py, hmac_key, base_id, parent_id)?)?;
    let top = Bound::new(py, Node::top(profiler.clone().unbind()))?;
    context::set(py, Some(&top))?;
    Ok(profiler)
}

/// The profiler of this context, or `None`.
#[pyfunction]
pub(crate) fn get(py: Python<'_>) -> Option<Bound<'_, Profiler>> {
    context::current(py).map(|node| node.get().profiler.bind(py).clone())
}

/// Leaves the trace: this context has no profiler any more.
#[pyfunction]
pub(crate) fn clean(py: Python<'_>) -> PyResult<()> {
    let Some(node) = context::current(py) else {
        return Ok(());
    };
    node.get().profiler.get().close();
    context::set(py, None)?;
    notifier::log_messages(py);
    Ok(())
}

/// Opens a point in this context's trace; nothing without one.
#[pyfunction]
#[pyo3(signature = (name, info=None))]
pub(crate) fn start(name: &Bound<'_, PyAny>, info: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let py = name.py();
    let Some(node) = context::current(py) else {
        return Ok(());
    };
    let profiler = node.get().profiler.bind(py);
    match profiler.get().replacement(profiler, "start")? {
        None => Profiler::start(profiler, name, info),
        Some(replacement) => call(&replacement, (name,), info),
    }
}

/// Closes the innermost open point of this context; nothing if none is open.
#[pyfunction]
#[pyo3(signature = (info=None))]
pub(crate) fn stop(py: Python<'_>, info: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let Some(node) = context::current(py) else {
        return Ok(());
    };
    let profiler = node.get().profiler.bind(py);
    match profiler.get().replacement(profiler, "stop")? {
        None => Profiler::stop(profiler, info),
        Some(replacement) => call(&replacement, (), info),
    }
}

/// Opens a point in this context's trace and returns its place, to be closed by [`close_point`]; `None` if none was opened.
#[pyfunction]
#[pyo3(signature = (name, info=None))]
pub(crate) fn open_point<'py>(
    name: &Bound<'py, PyAny>,
    info: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, Node>>> {
    let py = name.py();
    let Some(around) = context::current(py) else {
        return Ok(None);
    };
    Profiler::start(around.get().profiler.bind(py), name, info)?;
    Ok(context::current(py).filter(|place| !place.is(&around)))
}

/// Closes the point that was opened at `place`, wherever the caller is now: what was left open inside it stays so, and a caller
/// outside of it (a generator is closed by whoever drops it) keeps its own place.
#[pyfunction]
#[pyo3(signature = (place, info=None))]
pub(crate) fn close_point(
    place: &Bound<'_, Node>,
    info: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = place.py();
    let here = context::current(py);
    let mut around = here.clone();
    while let Some(node) = &around
        && !node.is(place)
    {
        around = node.get().parent(py);
    }
    context::set(py, Some(place))?;
    let told = Profiler::stop(place.get().profiler.bind(py), info);
    if around.is_none() {
        context::set(py, here.as_ref())?;
    }
    told
}

/// Whether this context is inside a trace.
#[pyfunction]
pub(crate) fn is_tracing(py: Python<'_>) -> bool {
    context::current(py).is_some()
}

/// The current place in a trace, to be entered elsewhere with [`enter`].
#[pyfunction]
pub(crate) fn current_context(py: Python<'_>) -> Option<Bound<'_, Node>> {
    context::current(py)
}

/// The current place if a point is open there: what an enclosing caller will want back.
#[pyfunction]
pub(crate) fn open_context(py: Python<'_>) -> Option<Bound<'_, Node>> {
    context::current(py).filter(|node| node.get().open.is_some())
}

/// Makes `node` the current place and returns the one before it.
#[pyfunction]
#[pyo3(signature = (node))]
pub(crate) fn enter_context<'py>(
    py: Python<'py>,
    node: Option<&Bound<'py, Node>>,
) -> PyResult<Option<Bound<'py, Node>>> {
    let before = context::current(py);
    context::set(py, node)?;
    Ok(before)
}

/// Calls what replaces a method, with `info` by keyword as upstream does.
#[cold]
fn call<'py>(
    replacement: &Bound<'py, PyAny>,
    arguments: impl PyCallArgs<'py>,
    info: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let keywords = PyDict::new(replacement.py());
    keywords.set_item("info", info)?;
    replacement.call(arguments, Some(&keywords)).map(drop)
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

/// A point's name as UTF-8, whatever was given.
fn point_name<'py>(name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let text = match name.cast::<PyString>() {
        Ok(text) => text.clone(),
        Err(_) => value::safe_str(name)?,
    };
    if text.to_str().is_ok() {
        return Ok(text);
    }
    Ok(PyString::new(name.py(), &text.to_string_lossy()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since the first call, plus one.
fn seconds() -> u64 {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    EPOCH.get_or_init(Instant::now).elapsed().as_secs() + 1
}
