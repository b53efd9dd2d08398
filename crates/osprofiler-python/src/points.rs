// SPDX-License-Identifier: Apache-2.0
//! Opening and closing points at a place of the context.
//!
//! Whatever a notifier or store does, the place in the tree is right afterwards: it is changed before anybody is told of a
//! start, and before anybody is told of a stop. A point is closed by the process that opened it: what a forked child has
//! inherited is its parent's to end.

use osprofiler::Kind;
use osprofiler::recorder::{self, Name};
use pyo3::call::PyCallArgs;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::context::{self, Before, Place};
use crate::notifier::{self, Given, Ids, Nothing, PointInfo};
use crate::{replaced, value};

/// Opens a point below `around`. `None` if its trace takes no points any more. Returns an error only for what is no `Exception`;
/// nothing is open then.
#[inline]
pub(crate) fn open<'py>(
    around: &Place<'py>,
    name: &Bound<'py, PyString>,
    info: &impl PointInfo<'py>,
) -> PyResult<Option<Place<'py>>> {
    Ok(open_named(around, name, info)?.map(|(place, _)| place))
}

/// As [`open`], with the way back.
#[inline]
pub(crate) fn open_named<'py>(
    around: &Place<'py>,
    name: &Bound<'py, PyString>,
    info: &impl PointInfo<'py>,
) -> PyResult<Option<(Place<'py>, Before<'py>)>> {
    open_numbered(around, name, info, || Name::intern(name.to_str().ok()?))
}

/// As [`open_named`]; `number` says what number the recorder knows the name by.
#[inline]
pub(crate) fn open_numbered<'py>(
    around: &Place<'py>,
    name: &Bound<'py, PyString>,
    info: &impl PointInfo<'py>,
    number: impl FnOnce() -> Option<Name>,
) -> PyResult<Option<(Place<'py>, Before<'py>)>> {
    let py = name.py();
    let profiler = around.profiler().get();
    if profiler.is_over() {
        notifier::count_late(py);
        return Ok(None);
    }
    let (Some((base_id, _)), Some(parent_id)) = (profiler.ids(), around.id_for_children()) else {
        return Ok(None);
    };
    let prepared = notifier::prepare(py, info)?;
    let number = if prepared.is_record() { number() } else { None };
    let trace_id = recorder::new_id();
    let place = around.below(name, number, trace_id)?;
    let before = context::set(py, Some(&place))?;
    let ids = Ids {
        base_id: base_id.as_id(),
        trace_id,
        parent_id,
    };
    if let Err(error) = prepared.tell(Kind::Start, name, number, &ids) {
        // The program is being interrupted: the caller will not stop what it has not seen start.
        context::set(py, Some(around))?;
        return Err(error);
    }
    Ok(Some((place, before)))
}

/// Closes the point that was opened at `place`, wherever the caller is now: what was left open inside it stays so, and a caller
/// outside of it (a generator is closed by whoever drops it) keeps its own place. Nothing at the top of a trace.
#[inline]
pub(crate) fn close<'py>(
    place: &Place<'py>,
    before: Option<Before<'py>>,
    info: &impl PointInfo<'py>,
) -> PyResult<()> {
    let (Some(name), Some(parent)) = (place.name(), place.parent()) else {
        return Ok(());
    };
    let py = name.py();
    let prepared = notifier::prepare(py, info);
    if is_around_here(py, place) && !before.is_some_and(Before::reset) {
        context::set(py, Some(&parent))?;
    }
    if !place.is_ours() {
        return prepared.map(drop);
    }
    let base_id = place.profiler().get().ids().map(|(base_id, _)| base_id);
    let (Some(base_id), Some(parent_id)) = (base_id, parent.id_for_children()) else {
        return prepared.map(drop);
    };
    let ids = Ids {
        base_id: base_id.as_id(),
        trace_id: place.id(),
        parent_id,
    };
    let told = match prepared {
        Ok(prepared) => prepared.tell(Kind::Stop, &name, place.number(), &ids),
        Err(error) => notifier::prepare(py, &Nothing)?
            .tell(Kind::Stop, &name, place.number(), &ids)
            .and(Err(error)),
    };
    if !parent.is_open() {
        return told.and(notifier::log_messages(py));
    }
    told
}

/// Whether the caller is at `place` or inside it.
#[inline]
pub(crate) fn is_around_here<'py>(py: Python<'py>, place: &Place<'py>) -> bool {
    let mut around = context::current(py);
    while let Some(here) = around {
        if here.is(place) {
            return true;
        }
        around = here.parent();
    }
    false
}

/// A point that was opened, here or by what somebody has put in the place of `start`.
pub(crate) enum Opened<'py> {
    /// At that place; and the way back, for a caller that is still where it came from.
    Here(Place<'py>, Option<Before<'py>>),
    Elsewhere,
}

impl<'py> Opened<'py> {
    /// As Python carries it from the start to the stop.
    pub(crate) fn into_any(self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Here(place, _) => place.into_any(),
            Self::Elsewhere => true.into_pyobject(py).map_or_else(
                |never| match never {},
                |elsewhere| elsewhere.to_owned().into_any(),
            ),
        }
    }

    pub(crate) fn from_any(opened: &Bound<'py, PyAny>) -> PyResult<Self> {
        if opened.is(&*true.into_pyobject(opened.py())?) {
            return Ok(Self::Elsewhere);
        }
        Place::cast(opened).map(|place| Self::Here(place, None))
    }
}

/// Opens a point below `around`, or by the module's or profiler's `start` where that was replaced; `None` if there is none to
/// close.
#[inline]
pub(crate) fn open_anywhere<'py>(
    around: Option<&Place<'py>>,
    name: &Bound<'py, PyAny>,
    info: &impl PointInfo<'py>,
    open: impl FnOnce(&Place<'py>) -> PyResult<Option<(Place<'py>, Before<'py>)>>,
) -> PyResult<Option<Opened<'py>>> {
    let py = name.py();
    if let Some(start) = replaced::start(py) {
        call(&start, (name,), Some(&info.to_object(py)?))?;
        return Ok(Some(Opened::Elsewhere));
    }
    let Some(around) = around else {
        return Ok(None);
    };
    let profiler = around.profiler();
    if let Some(start) = profiler.get().replacement(profiler, "start")? {
        call(&start, (name,), Some(&info.to_object(py)?))?;
        return Ok(Some(Opened::Elsewhere));
    }
    Ok(open(around)?.map(|(place, before)| Opened::Here(place, Some(before))))
}

/// Closes what [`open_anywhere`] has opened.
#[inline]
pub(crate) fn close_anywhere<'py>(
    py: Python<'py>,
    opened: Opened<'py>,
    info: &impl PointInfo<'py>,
) -> PyResult<()> {
    if let Some(stop) = replaced::stop(py) {
        return call(&stop, (), Some(&info.to_object(py)?));
    }
    match opened {
        Opened::Here(place, before) => {
            let profiler = place.profiler();
            match profiler.get().replacement(profiler, "stop")? {
                Some(stop) => call(&stop, (), Some(&info.to_object(py)?)),
                None => close(&place, before, info),
            }
        }
        Opened::Elsewhere => {
            let info = info.to_object(py)?;
            stop(py, Some(&info))
        }
    }
}

/// Open a point below the innermost open one. Outside of any trace, nothing happens.
///
/// Each needs its ``stop``: ``Trace`` and ``trace`` see to that by themselves. Costs some 20 nanoseconds outside of a trace, a
/// dict for ``info`` not counted, and less than a microsecond inside, with the stop. Nothing is raised, whatever the notifier or
/// the store does.
///
/// :param name: the point's name, a str; what is special about this one goes into ``info``, because reports sum up by name
/// :param info: what the start carries, a dict of any values; it is read at once, bounded to 1 MiB and 16 levels, not changed
///
/// >>> from osprofiler import profiler
/// >>> profiler.start("order", {"order": 7})
/// >>> profiler.stop({"paid": True})
#[pyfunction]
#[pyo3(signature = (name, info=None))]
pub(crate) fn start<'py>(
    name: &Bound<'py, PyAny>,
    info: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let Some(around) = context::current(name.py()) else {
        return Ok(());
    };
    let profiler = around.profiler();
    if let Some(replacement) = profiler.get().replacement(profiler, "start")? {
        return call(&replacement, (name,), info);
    }
    open(&around, &self::name(name)?, &Given::new(info)).map(drop)
}

/// Close the innermost open point of this context. Without one, nothing happens.
///
/// :param info: what the stop carries, as for ``start``; ``etype`` and ``message`` in it mark the point as failed
#[pyfunction]
#[pyo3(signature = (info=None))]
pub(crate) fn stop<'py>(py: Python<'py>, info: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
    let Some(place) = context::current(py) else {
        return Ok(());
    };
    let profiler = place.profiler();
    if let Some(replacement) = profiler.get().replacement(profiler, "stop")? {
        return call(&replacement, (), info);
    }
    close(&place, None, &Given::new(info))
}

/// Opens a point in this context's trace and returns its place, to be closed by [`close_point`]; `None` if none was opened.
#[pyfunction]
#[pyo3(signature = (name, info=None))]
pub(crate) fn open_point<'py>(
    name: &Bound<'py, PyAny>,
    info: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(around) = context::current(name.py()) else {
        return Ok(None);
    };
    let place = open(&around, &self::name(name)?, &Given::new(info))?;
    Ok(place.map(Place::into_any))
}

/// Closes the point that was opened at `place`, wherever the caller is now.
#[pyfunction]
#[pyo3(signature = (place, info=None))]
pub(crate) fn close_point<'py>(
    place: &Bound<'py, PyAny>,
    info: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    close(&Place::cast(place)?, None, &Given::new(info))
}

/// Whether this context is inside a trace.
#[pyfunction]
pub(crate) fn is_tracing(py: Python<'_>) -> bool {
    context::current(py).is_some()
}

/// The current place in a trace, to be entered elsewhere with `enter_context`.
#[pyfunction]
pub(crate) fn current_context(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    context::current(py).map(Place::into_any)
}

/// The current place if a point is open there, in a trace that is not over: what an enclosing caller will want back.
#[pyfunction]
pub(crate) fn open_context(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    context::current(py)
        .filter(|place| place.is_open() && !place.profiler().get().is_closed())
        .map(Place::into_any)
}

/// Makes `place` the current one and returns the one before it; `None` is outside of any trace.
#[pyfunction]
#[pyo3(signature = (place))]
pub(crate) fn enter_context<'py>(
    py: Python<'py>,
    place: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let place = place.map(Place::cast).transpose()?;
    let before = context::current(py);
    context::set(py, place.as_ref())?;
    Ok(before.map(Place::into_any))
}

/// Calls what stands in the place of a `start` or `stop`, with `info` by keyword as upstream does.
#[cold]
fn call<'py>(
    replacement: &Bound<'py, PyAny>,
    arguments: impl PyCallArgs<'py>,
    info: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let keywords = PyDict::new(replacement.py());
    keywords.set_item(intern!(replacement.py(), "info"), info)?;
    replacement.call(arguments, Some(&keywords)).map(drop)
}

/// A point's name as UTF-8, whatever was given.
pub(crate) fn name<'py>(name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let text = match name.cast::<PyString>() {
        Ok(text) => text.clone(),
        Err(_) => value::safe_str(name)?,
    };
    if text.to_str().is_ok() {
        return Ok(text);
    }
    Ok(PyString::new(name.py(), &text.to_string_lossy()))
}
