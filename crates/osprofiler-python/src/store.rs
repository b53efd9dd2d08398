// SPDX-License-Identifier: Apache-2.0
//! Stores as the Python drivers use them: attached for writing, opened for a report or a list.
//!
//! Reading happens without the interpreter: the report arrives in Python as one JSON text. An error keeps its help, and shows
//! no password.

use std::sync::OnceLock;

use osprofiler::driver::registry::{self, Capability};
use osprofiler::driver::{ConnectionString, ConnectionStrings, ListFilter};
use osprofiler::recorder::Origin;
use osprofiler::{Error, ErrorKind, Id, Notification, Notifications, delivery, wire};
use osprofiler_report::{RenderOptions, Renderer, Report};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyDictMethods};

use crate::{notifier, value};

/// Who records, and through that to which store.
#[pyclass(frozen, module = "osprofiler._native", name = "Origin")]
pub(crate) struct PyOrigin(pub(crate) Origin);

/// This machine's name, as notifications tell it.
pub(crate) fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    if let Some(name) = HOST.get() {
        return name;
    }
    // Asked before the cell is filled: Python lets other threads run meanwhile, and one that waited for the cell would
    // wait with the interpreter's lock.
    let name = Python::attach(|py| {
        py.import("socket")
            .and_then(|socket| socket.call_method0("gethostname")?.extract())
            .unwrap_or_default()
    });
    HOST.get_or_init(|| name)
}

/// Raises `ValueError` if no driver can serve the connection string, or if what it says cannot be: whoever configures it is told
/// at once, not with the first notification. A writer is made of it, and opens nothing before it writes.
#[pyfunction]
pub(crate) fn check_connection(connection_string: &str) -> PyResult<()> {
    let connection = parse(connection_string)?;
    registry::open_writer(&connection)
        .map(drop)
        .map_err(|error| to_python(&error))
}

/// The name of the driver that serves the connection string's scheme, whether it is part of this build or not. Raises
/// `ValueError` if there is none.
#[pyfunction]
pub(crate) fn driver_name(connection_string: &str) -> PyResult<&'static str> {
    let connection = parse(connection_string)?;
    registry::find(connection.scheme())
        .map(|driver| driver.name)
        .map_err(|error| to_python(&error))
}

/// The connection strings in a text, of which there is one unless a comma separates several.
#[pyfunction]
pub(crate) fn split_connection_strings(text: &str) -> Vec<&str> {
    ConnectionStrings::split(text)
}

/// Whether what is written to the store can be read back. Raises `ValueError` if no driver can serve the connection string.
#[pyfunction]
pub(crate) fn can_read(connection_string: &str) -> PyResult<bool> {
    let connection = parse(connection_string)?;
    registry::capabilities(&connection)
        .map(|abilities| abilities.contains(&Capability::Read))
        .map_err(|error| to_python(&error))
}

/// Sends what the project's service records to the stores, and to no others. Opens nothing yet.
#[pyfunction]
#[pyo3(signature = (connection_strings, project=None, service=None))]
#[expect(
    clippy::needless_pass_by_value,
    reason = "a list of Python's cannot be borrowed"
)]
pub(crate) fn attach(
    connection_strings: Vec<String>,
    project: Option<&str>,
    service: Option<&str>,
) -> PyResult<PyOrigin> {
    let connections = connection_strings.iter().map(|text| parse(text));
    let connections = connections.collect::<PyResult<Vec<_>>>()?;
    delivery::attach_alone(project, service, host(), &connections)
        .map(PyOrigin)
        .map_err(|error| to_python(&error))
}

/// Stores a ready-made notification, a dict. What it lacks is filled in; a value that cannot be is made text.
#[pyfunction]
pub(crate) fn submit(origin: &PyOrigin, notification: &Bound<'_, PyDict>) -> PyResult<()> {
    let text = |key: &str| -> PyResult<String> {
        match notification.get_item(key)? {
            Some(value) if !value.is_none() => {
                Ok(value::safe_str(&value)?.to_string_lossy().into_owned())
            }
            _ => Ok(String::new()),
        }
    };
    let (name, timestamp) = (text("name")?, text("timestamp")?);
    let (base_id, trace_id, parent_id) = (text("base_id")?, text("trace_id")?, text("parent_id")?);
    let (Ok(base_id), Ok(trace_id)) = (Id::parse(&base_id), Id::parse(&trace_id)) else {
        return Err(PyValueError::new_err(
            "a notification needs `base_id` and `trace_id`, of 1 to 255 bytes",
        ));
    };
    let given = notification.get_item("info")?;
    let mut info = String::new();
    match given {
        Some(given) if given.is_instance_of::<PyDict>() => value::push_value(&given, &mut info)?,
        _ => info.push_str("{}"),
    }
    delivery::submit(
        origin.0,
        &Notification {
            name: &name,
            base_id,
            trace_id,
            parent_id: Id::parse(&parent_id).unwrap_or(base_id),
            timestamp: osprofiler::Timestamp::parse(&timestamp).unwrap_or_else(notifier::now),
            info: &info,
            project: None,
            service: None,
        },
    );
    Ok(())
}

/// The report of a trace, as JSON text.
#[pyfunction]
pub(crate) fn report(py: Python<'_>, connection_string: &str, base_id: &str) -> PyResult<String> {
    let connection = parse(connection_string)?;
    py.detach(|| {
        let mut notifications = Notifications::default();
        let summary = match Id::parse(base_id) {
            Ok(id) => registry::open_reader(&connection)?.read(id, &mut notifications)?,
            Err(_) => osprofiler::driver::ReadSummary::default(),
        };
        let report = Report::build(notifications, summary);
        let mut json = Vec::new();
        let renderer = Renderer::find("json")
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no renderer `json`"))?;
        (renderer.render)(&report, &RenderOptions::default(), &mut json)
            .map_err(|error| Error::new(ErrorKind::Corrupt, error.to_string()))?;
        Ok(String::from_utf8_lossy(&json).into_owned())
    })
    .map_err(|error: Error| to_python(&error))
}

/// The traces of a store, oldest first: ids and times.
#[pyfunction]
pub(crate) fn list_traces(
    py: Python<'_>,
    connection_string: &str,
    with_errors: bool,
) -> PyResult<Vec<(String, String)>> {
    let connection = parse(connection_string)?;
    let filter = if with_errors {
        ListFilter::WithErrors
    } else {
        ListFilter::All
    };
    py.detach(|| {
        let mut traces = Vec::new();
        registry::open_reader(&connection)?.list(filter, &mut |trace| {
            traces.push((trace.base_id.to_string(), trace.timestamp.to_string()));
        })?;
        Ok(traces)
    })
    .map_err(|error: Error| to_python(&error))
}

/// The first notification of a trace, as JSON text.
#[pyfunction]
pub(crate) fn first_notification(
    py: Python<'_>,
    connection_string: &str,
    base_id: &str,
) -> PyResult<Option<String>> {
    let connection = parse(connection_string)?;
    py.detach(|| {
        let mut notifications = Notifications::default();
        if let Ok(id) = Id::parse(base_id) {
            registry::open_reader(&connection)?.read(id, &mut notifications)?;
        }
        Ok(notifications
            .iter()
            .min_by_key(|notification| notification.timestamp)
            .map(|notification| {
                let mut json = String::new();
                wire::push_json(&notification, &mut json);
                json
            }))
    })
    .map_err(|error: Error| to_python(&error))
}

/// A connection string, or several, with passwords hidden; of what is none, what can be shown.
#[pyfunction]
pub(crate) fn mask(connection_string: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = value::safe_str(connection_string)?
        .to_string_lossy()
        .into_owned();
    let masked = ConnectionStrings::split(&text).into_iter().map(masked);
    Ok(masked.collect::<Vec<_>>().join(", "))
}

fn masked(text: &str) -> String {
    ConnectionString::parse(text).map_or_else(
        |_| {
            if is_bare_scheme(text) {
                return text.to_owned();
            }
            let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://***")
        },
        |connection| connection.to_string(),
    )
}

/// Whether `text` is empty or a scheme alone (`sqlite:`, `sqlite:/`): nothing in it can be secret, and masking it would
/// mask the scheme of the example in the advice, too.
fn is_bare_scheme(text: &str) -> bool {
    let scheme = text.trim_end_matches('/');
    let scheme = scheme.strip_suffix(':').unwrap_or(scheme);
    scheme
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// `text` without the connection strings that it may quote, together or each.
#[pyfunction]
pub(crate) fn mask_text(text: &str, connection_string: &Bound<'_, PyAny>) -> PyResult<String> {
    let quoted = value::safe_str(connection_string)?
        .to_string_lossy()
        .into_owned();
    let mut text = text.to_owned();
    for quoted in ConnectionStrings::split(&quoted) {
        if !quoted.is_empty() {
            text = text.replace(quoted, &masked(quoted));
        }
        // A client may quote the password alone, as it is or as it was written.
        let written = quoted.split_once("://").map_or("", |(_, rest)| rest);
        let written = written.rsplit_once('@').map_or("", |(user, _)| user);
        let written = written.split_once(':').map(|(_, password)| password);
        let connection = ConnectionString::parse(quoted).ok();
        let decoded = connection.iter().flat_map(ConnectionString::secrets);
        for secret in decoded.chain(written).filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "***");
        }
    }
    Ok(text)
}

fn parse(connection_string: &str) -> PyResult<ConnectionString> {
    ConnectionString::parse(connection_string).map_err(|error| to_python(&error))
}

/// The exception that upstream's callers expect: `ValueError` for what cannot be, `OSError` for a store that fails.
fn to_python(error: &Error) -> PyErr {
    let text = error.text_with_help();
    match error.kind() {
        ErrorKind::Usage => PyValueError::new_err(text),
        _ => PyOSError::new_err(text),
    }
}
