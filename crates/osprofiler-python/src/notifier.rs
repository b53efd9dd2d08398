// SPDX-License-Identifier: Apache-2.0
//! Where a point's start and stop go: into the recorder for a store, to a callable made in Python, or nowhere.
//!
//! For a store the values become text here and now, and nothing of Python is kept. A callable gets upstream's dict, on the traced
//! thread, in order; what it raises is counted and forgotten, unless it is no `Exception`: that is the program's own.

use std::ptr;
use std::time::SystemTime;

use osprofiler::delivery::{self, Severity};
use osprofiler::recorder::{self, InfoSource, Name, Origin, PointName};
use osprofiler::{Id, Kind, Timestamp};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::context::id_text;
use crate::dropped::Dropped;
use crate::gil::GilCell;
use crate::secrets;
use crate::store::{PyOrigin, host};
use crate::value::{self, InfoText};

/// Where notifications go.
#[derive(Clone, Copy)]
enum Route {
    Off,
    Store(Origin),
    /// To the notifier itself.
    Call,
}

static ROUTE: GilCell<Route> = GilCell::new(Route::Off);
/// What `notifier.get` returns: a reference of its own, or null.
static NOTIFIER: GilCell<*mut ffi::PyObject> = GilCell::new(ptr::null_mut());

/// Notifications that a callable refused by raising.
static REFUSED: Dropped = Dropped::new();
/// Points that were not opened because their trace had been over for too long.
static LATE: Dropped = Dropped::new();
/// Traces of which nothing is recorded, for an id that cannot be one.
static WITHOUT_ID: Dropped = Dropped::new();

/// Makes `notifier` the current one: `origin` is where its store's records come from, `off` says that it does nothing.
#[pyfunction]
#[expect(
    unsafe_code,
    reason = "the notifier is kept under the interpreter's lock"
)]
pub(crate) fn set_notifier(
    notifier: Bound<'_, PyAny>,
    origin: Option<&PyOrigin>,
    off: bool,
    py: Python<'_>,
) {
    let route = match origin {
        _ if off => Route::Off,
        Some(origin) => Route::Store(origin.0),
        None => Route::Call,
    };
    let before = NOTIFIER.get(py);
    NOTIFIER.set(py, notifier.into_ptr());
    ROUTE.set(py, route);
    // SAFETY: null, or the reference that an earlier call has put there. Only now, because this may run a destructor.
    unsafe { ffi::Py_XDECREF(before) };
}

/// The origin of what the current notifier sends to stores.
pub(crate) fn origin(py: Python<'_>) -> Option<Origin> {
    match ROUTE.get(py) {
        Route::Store(origin) => Some(origin),
        Route::Off | Route::Call => None,
    }
}

/// The current notifier.
#[pyfunction]
#[expect(
    unsafe_code,
    reason = "the notifier is kept under the interpreter's lock"
)]
pub(crate) fn get_notifier(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // SAFETY: null, or a reference that `set_notifier` has put there.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, NOTIFIER.get(py)) }
}

/// What a point's start or stop carries.
pub(crate) trait PointInfo<'py> {
    /// The text of the JSON object, where it is at hand.
    #[inline]
    fn ready_json(&self) -> Option<&str> {
        None
    }

    /// Appends the text of a JSON object, without `host`. Returns an error only for what is no `Exception`.
    fn push_json(&self, py: Python<'py>, out: &mut String) -> PyResult<()>;

    /// The same as Python has it: a dict, or whatever was given.
    fn to_object(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
}

/// No info.
pub(crate) struct Nothing;

impl<'py> PointInfo<'py> for Nothing {
    #[inline]
    fn ready_json(&self) -> Option<&str> {
        Some("")
    }

    fn push_json(&self, _py: Python<'py>, _out: &mut String) -> PyResult<()> {
        Ok(())
    }

    fn to_object(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(py.None().into_bound(py))
    }
}

/// What a caller of `start` or `stop` has given.
pub(crate) struct Given<'a, 'py>(Option<&'a Bound<'py, PyAny>>);

impl<'a, 'py> Given<'a, 'py> {
    pub(crate) fn new(info: Option<&'a Bound<'py, PyAny>>) -> Self {
        Self(info.filter(|info| !info.is_none()))
    }
}

impl<'py> PointInfo<'py> for Given<'_, 'py> {
    #[inline]
    fn ready_json(&self) -> Option<&str> {
        self.0.is_none().then_some("")
    }

    fn push_json(&self, _py: Python<'py>, out: &mut String) -> PyResult<()> {
        self.0.map_or(Ok(()), |info| value::push_info(info, out))
    }

    fn to_object(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self
            .0
            .map_or_else(|| py.None().into_bound(py), Bound::clone))
    }
}

/// The ids of a notification.
#[derive(Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "the wire's names")]
pub(crate) struct Ids<'a> {
    pub(crate) base_id: Id<'a>,
    pub(crate) trace_id: u128,
    pub(crate) parent_id: Id<'a>,
}

/// A notification but for its ids: made before a point's place changes, told after that.
pub(crate) enum Prepared<'a, 'py> {
    Off,
    Record(Origin, Json<'a>),
    Call(Bound<'py, PyAny>, Bound<'py, PyDict>),
}

/// The JSON text of an info.
pub(crate) enum Json<'a> {
    /// None, or one that is at hand.
    Ready(&'a str),
    Made(InfoText),
}

impl Json<'_> {
    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Ready(text) => text,
            Self::Made(text) => text.as_str(),
        }
    }
}

/// Turns `info` into what the current notifier takes. Returns an error only for what is no `Exception`; an info that cannot be
/// made is left out.
#[inline]
pub(crate) fn prepare<'a, 'py>(
    py: Python<'py>,
    info: &'a impl PointInfo<'py>,
) -> PyResult<Prepared<'a, 'py>> {
    match ROUTE.get(py) {
        Route::Off => Ok(Prepared::Off),
        Route::Store(origin) => {
            if let Some(text) = info.ready_json() {
                return Ok(Prepared::Record(origin, Json::Ready(text)));
            }
            let mut text = InfoText::take();
            match info.push_json(py, text.as_mut()) {
                Ok(()) => Ok(Prepared::Record(origin, Json::Made(text))),
                Err(error) => {
                    raise_anew(py, error)?;
                    Ok(Prepared::Record(origin, Json::Ready("")))
                }
            }
        }
        Route::Call => {
            let Some(notifier) = get_notifier(py) else {
                return Ok(Prepared::Off);
            };
            match info.to_object(py).and_then(|info| own_dict(&info)) {
                Ok(info) => Ok(Prepared::Call(notifier, info)),
                Err(error) => {
                    raise_anew(py, error)?;
                    Ok(Prepared::Call(notifier, PyDict::new(py)))
                }
            }
        }
    }
}

/// As `raise_if_not_exception`, for callers that are not attached by pyo3: a forgotten error is given up at once.
#[cold]
fn raise_anew(py: Python<'_>, error: PyErr) -> PyResult<()> {
    Python::attach(|_| value::raise_if_not_exception(py, error))
}

impl Prepared<'_, '_> {
    /// Whether this goes to the recorder, which knows names by number.
    #[inline]
    pub(crate) fn is_record(&self) -> bool {
        matches!(self, Self::Record(..))
    }

    /// Tells the notifier. Returns an error only for what is no `Exception`.
    #[inline]
    pub(crate) fn tell(
        &self,
        kind: Kind,
        name: &Bound<'_, PyString>,
        number: Option<Name>,
        ids: &Ids<'_>,
    ) -> PyResult<()> {
        match self {
            Self::Off => Ok(()),
            Self::Record(origin, json) => {
                let name = match number {
                    Some(number) => PointName::Interned(number),
                    None => PointName::Text(name.to_str().unwrap_or_default()),
                };
                recorder::record(
                    *origin,
                    kind,
                    name,
                    ids.base_id,
                    Id::from_u128(ids.trace_id),
                    ids.parent_id,
                    match json.as_str() {
                        "" | "{}" => InfoSource::None,
                        json => InfoSource::Json(json),
                    },
                );
                Ok(())
            }
            Self::Call(notifier, info) => {
                let told = notification(kind, name, ids, info)
                    .and_then(|notification| notifier.call1((notification,)));
                if let Err(error) = told {
                    refused(name.py(), error)?;
                }
                Ok(())
            }
        }
    }
}

/// A dict of the notification's own, made of the caller's info.
fn own_dict<'py>(info: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    if let Ok(info) = info.cast::<PyDict>() {
        return info.copy();
    }
    let own = PyDict::new(info.py());
    if !info.is_none() {
        own.set_item("info", info)?;
    }
    Ok(own)
}

/// Upstream's dict, new for each notification, its `info` too.
fn notification<'py>(
    kind: Kind,
    name: &Bound<'py, PyString>,
    ids: &Ids<'_>,
    info: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = name.py();
    secrets::mask(info)?;
    info.set_item("host", host())?;
    let end = match kind {
        Kind::Start => "start",
        Kind::Stop => "stop",
    };
    let notification = PyDict::new(py);
    notification.set_item("name", format!("{}-{end}", name.to_str()?))?;
    notification.set_item("base_id", id_text(py, ids.base_id))?;
    notification.set_item("trace_id", id_text(py, Id::from_u128(ids.trace_id)))?;
    notification.set_item("parent_id", id_text(py, ids.parent_id))?;
    notification.set_item("timestamp", now().to_string())?;
    notification.set_item("info", info)?;
    Ok(notification)
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_micros(since.map_or(0, |since| since.as_micros() as i64))
}

#[cold]
fn refused(py: Python<'_>, error: PyErr) -> PyResult<()> {
    // Its class alone: what its text quotes may be secret.
    let class = error.get_type(py).name();
    raise_anew(py, error)?;
    REFUSED.count(py, || {
        let class = class.map_or_else(|_| "an error".to_owned(), |name| format!("`{name}`"));
        format!(
            "a notifier made in Python raised {class}, and its notification is gone; further ones are dropped silently"
        )
    });
    Ok(())
}

#[cold]
pub(crate) fn count_late(py: Python<'_>) {
    LATE.count(py, || {
        "a point was not recorded, because its trace has been over for more than 60 seconds; further ones are dropped silently"
            .to_owned()
    });
}

#[cold]
pub(crate) fn count_without_id(py: Python<'_>) -> PyResult<()> {
    if matches!(ROUTE.get(py), Route::Off) {
        return Ok(());
    }
    WITHOUT_ID.count(py, || {
        format!(
            "nothing of a trace is recorded, because `base_id` or `parent_id` is empty, longer than {} bytes, or no text; further \
             such traces are dropped silently",
            Id::MAX_BYTES
        )
    });
    log_messages(py)
}

/// Logs what delivery has to say through Python's `logging`. An atomic load when there is nothing. Returns an error only for what is
/// no `Exception`: a handler of the program's was interrupted.
pub(crate) fn log_messages(py: Python<'_>) -> PyResult<()> {
    if !delivery::has_messages() {
        return Ok(());
    }
    Python::attach(|_| write_messages(py).or_else(|error| value::raise_if_not_exception(py, error)))
}

#[cold]
fn write_messages(py: Python<'_>) -> PyResult<()> {
    let logger = py
        .import("logging")?
        .call_method1("getLogger", ("osprofiler",))?;
    let mut interruption = None;
    for message in delivery::take_messages() {
        let method = match message.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        // A handler of the program's may raise: its message is then gone, the others are not.
        let outcome = logger.call_method1(method, ("%s", message.text));
        if let Err(error) = outcome
            && let Err(error) = value::raise_if_not_exception(py, error)
        {
            interruption = Some(error);
        }
    }
    interruption.map_or(Ok(()), Err)
}

/// Sets what may wait for a store that takes nothing: MiB of memory, a folder for files, MiB for them.
#[pyfunction]
pub(crate) fn set_bounds(queue_mib: u32, spool_folder: Option<std::path::PathBuf>, spool_mib: u32) {
    delivery::set_bounds(delivery::Bounds {
        queue_bytes: usize::try_from(queue_mib).map_or(usize::MAX, |mib| mib << 20),
        spool_folder,
        spool_bytes: u64::from(spool_mib) << 20,
    });
}

/// Lets so many seconds pass for delivery, at once: for tests of long outages.
#[pyfunction]
pub(crate) fn let_time_pass(seconds: f64) {
    let duration = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    delivery::let_time_pass(duration);
}

/// What was recorded, stored, kept in files and lost in this process so far, and what waits.
#[pyfunction]
pub(crate) fn counters(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    as_dict(py, &delivery::counters())
}

/// Waits until what was recorded is stored, in files, or lost, at most `seconds`, and returns the counters.
#[pyfunction]
#[pyo3(signature = (seconds=5.0))]
pub(crate) fn flush(py: Python<'_>, seconds: f64) -> PyResult<Bound<'_, PyDict>> {
    let deadline = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let counters = py.detach(|| delivery::flush(deadline));
    log_messages(py)?;
    as_dict(py, &counters)
}

/// Whether this process publishes its counters for `osprofiler doctor`.
#[pyfunction]
pub(crate) fn set_publish_counters(publishing: bool) {
    delivery::set_publishing(publishing);
}

/// Ends delivery, for a process about to end without exit handlers. Logs nothing: a logger's lock may be held by anybody.
#[pyfunction]
pub(crate) fn end(py: Python<'_>) {
    py.detach(delivery::end);
}

/// Logs what delivery has to say: registered with `atexit`.
#[pyfunction]
#[pyo3(name = "log_messages")]
pub(crate) fn log_messages_now(py: Python<'_>) -> PyResult<()> {
    log_messages(py)
}

fn as_dict<'py>(py: Python<'py>, counters: &delivery::Counters) -> PyResult<Bound<'py, PyDict>> {
    let lost = PyDict::new(py);
    for loss in counters.losses() {
        lost.set_item(loss.reason.name(), loss.count)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("recorded", counters.recorded())?;
    dict.set_item("stored", counters.stored())?;
    dict.set_item("spooled", counters.spooled())?;
    dict.set_item("adopted", counters.adopted())?;
    dict.set_item("lost", counters.lost())?;
    dict.set_item("lost_by_reason", lost)?;
    dict.set_item("waiting", counters.waiting())?;
    dict.set_item("refused_by_notifier", REFUSED.number(py))?;
    dict.set_item("late", LATE.number(py))?;
    dict.set_item("traces_without_id", WITHOUT_ID.number(py))?;
    Ok(dict)
}
