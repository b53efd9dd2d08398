// SPDX-License-Identifier: Apache-2.0
//! Where a point's start and stop go: into the recorder for a store, to a callable made in Python, or nowhere.
//!
//! For a store the values become text here and now, and nothing of Python is kept. A callable gets upstream's dict, on the traced
//! thread, in order; what it raises is counted and forgotten, unless it is no `Exception`: that is the program's own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use osprofiler::delivery::{self, Severity};
use osprofiler::recorder::{self, InfoSource, Origin};
use osprofiler::{Id, Kind, Timestamp};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::context::PointId;
use crate::store::{PyOrigin, host};
use crate::value;

enum Route {
    Off,
    Store(Origin),
    Call(Py<PyAny>),
}

struct Current {
    route: Route,
    /// What `notifier.get` returns.
    notifier: Option<Py<PyAny>>,
}

/// No Python code runs under this lock.
static CURRENT: Mutex<Current> = Mutex::new(Current {
    route: Route::Off,
    notifier: None,
});

/// Notifications that a callable refused by raising.
static REFUSED: AtomicU64 = AtomicU64::new(0);
/// Points that were not opened because their trace had been over for too long.
static LATE: AtomicU64 = AtomicU64::new(0);

/// Makes `notifier` the current one: `origin` is where its store's records come from, `off` says that it does nothing.
#[pyfunction]
pub(crate) fn set_notifier(
    notifier: Py<PyAny>,
    origin: Option<&PyOrigin>,
    off: bool,
    py: Python<'_>,
) {
    let route = match origin {
        _ if off => Route::Off,
        Some(origin) => Route::Store(origin.0),
        None => Route::Call(notifier.clone_ref(py)),
    };
    let next = Current {
        route,
        notifier: Some(notifier),
    };
    let before = {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, next)
    };
    // Only now, without the lock: this may run a destructor.
    drop(before);
}

/// The current notifier.
#[pyfunction]
pub(crate) fn get_notifier(py: Python<'_>) -> Option<Py<PyAny>> {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    current
        .notifier
        .as_ref()
        .map(|notifier| notifier.clone_ref(py))
}

/// Tells the current notifier of a start or stop. Returns an error only for what is no `Exception`.
pub(crate) fn tell(
    kind: Kind,
    name: &Bound<'_, PyString>,
    base_id: &PointId,
    trace_id: u128,
    parent_id: &PointId,
    info: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = name.py();
    let route = {
        let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        match &current.route {
            Route::Off => Route::Off,
            Route::Store(origin) => Route::Store(*origin),
            Route::Call(callable) => Route::Call(callable.clone_ref(py)),
        }
    };
    match route {
        Route::Off => Ok(()),
        Route::Store(origin) => {
            let name = name.to_str().unwrap_or_default();
            value::with_info_json(info, |json| {
                recorder::record(
                    origin,
                    kind,
                    name,
                    base_id.as_id(),
                    Id::from_u128(trace_id),
                    parent_id.as_id(),
                    if json == "{}" {
                        InfoSource::None
                    } else {
                        InfoSource::Json(json)
                    },
                );
            })
        }
        Route::Call(callable) => {
            let told = notification(kind, name, base_id, trace_id, parent_id, info)
                .and_then(|notification| callable.call1(py, (notification,)));
            match told {
                Ok(_) => Ok(()),
                Err(error) => {
                    value::raise_if_not_exception(py, error)?;
                    REFUSED.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                }
            }
        }
    }
}

/// Upstream's dict, new for each notification, its `info` too.
fn notification<'py>(
    kind: Kind,
    name: &Bound<'py, PyString>,
    base_id: &PointId,
    trace_id: u128,
    parent_id: &PointId,
    info: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = name.py();
    let own_info = match info.map(|info| info.cast::<PyDict>()) {
        Some(Ok(info)) => info.copy()?,
        _ => PyDict::new(py),
    };
    if let Some(other) = info.filter(|info| !info.is_none() && !info.is_instance_of::<PyDict>()) {
        own_info.set_item("info", other)?;
    }
    own_info.set_item("host", host())?;
    let end = match kind {
        Kind::Start => "start",
        Kind::Stop => "stop",
    };
    let notification = PyDict::new(py);
    notification.set_item("name", format!("{}-{end}", name.to_str()?))?;
    notification.set_item("base_id", base_id.to_py(py))?;
    notification.set_item("trace_id", PointId::Uuid(trace_id).to_py(py))?;
    notification.set_item("parent_id", parent_id.to_py(py))?;
    notification.set_item("timestamp", now().to_string())?;
    notification.set_item("info", own_info)?;
    Ok(notification)
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_micros(since.map_or(0, |since| since.as_micros() as i64))
}

pub(crate) fn count_late() {
    LATE.fetch_add(1, Ordering::Relaxed);
}

/// Logs what delivery has to say through Python's `logging`. An atomic load when there is nothing. Never raises.
pub(crate) fn log_messages(py: Python<'_>) {
    let messages = delivery::take_messages();
    if messages.is_empty() {
        return;
    }
    let logger = py
        .import("logging")
        .and_then(|logging| logging.call_method1("getLogger", ("osprofiler",)));
    let Ok(logger) = logger else { return };
    for message in messages {
        let method = match message.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        // A handler of the program may raise; the message is then gone, the program goes on.
        let _ = logger.call_method1(method, ("%s", message.text));
    }
}

/// What was recorded, stored and lost in this process so far, and what waits.
#[pyfunction]
pub(crate) fn counters(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    as_dict(py, &delivery::counters())
}

/// Waits until what was recorded is stored or lost, at most `seconds`, and returns the counters.
#[pyfunction]
#[pyo3(signature = (seconds=5.0))]
pub(crate) fn flush(py: Python<'_>, seconds: f64) -> PyResult<Bound<'_, PyDict>> {
    let deadline = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let counters = py.detach(|| delivery::flush(deadline));
    log_messages(py);
    as_dict(py, &counters)
}

/// Logs what delivery has to say: registered with `atexit`.
#[pyfunction]
#[pyo3(name = "log_messages")]
pub(crate) fn log_messages_now(py: Python<'_>) {
    log_messages(py);
}

fn as_dict<'py>(py: Python<'py>, counters: &delivery::Counters) -> PyResult<Bound<'py, PyDict>> {
    let lost = PyDict::new(py);
    for loss in counters.losses() {
        lost.set_item(loss.reason.name(), loss.count)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("recorded", counters.recorded())?;
    dict.set_item("stored", counters.stored())?;
    dict.set_item("lost", counters.lost())?;
    dict.set_item("lost_by_reason", lost)?;
    dict.set_item("waiting", counters.waiting())?;
    dict.set_item("refused_by_notifier", REFUSED.load(Ordering::Relaxed))?;
    dict.set_item("late", LATE.load(Ordering::Relaxed))?;
    Ok(dict)
}
