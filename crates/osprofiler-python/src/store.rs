// SPDX-License-Identifier: Apache-2.0
//! Stores as the Python drivers use them: attached for writing, opened for a report or a list.
//!
//! Reading happens without the interpreter: what was read arrives as JSON text, and becomes Python's objects at once. An error
//! keeps its help, and shows no password.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use osprofiler::delivery::{self, Severity};
use osprofiler::driver::registry::{self, Capability};
use osprofiler::driver::{ConnectionString, ConnectionStrings, ListFilter, Reader, Stored};
use osprofiler::recorder::Origin;
use osprofiler::{Error, ErrorKind, Id, Notification, Notifications, Timestamp, wire};
use osprofiler_report::{RenderOptions, Renderer, Report};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyDictMethods};

use crate::{notifier, objects, value};

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
            timestamp: Timestamp::parse(&timestamp).unwrap_or_else(notifier::now),
            info: &info,
            project: None,
            service: None,
        },
    );
    Ok(())
}

/// The report of a trace, a dict.
#[pyfunction]
pub(crate) fn report<'py>(
    py: Python<'py>,
    connection_string: &str,
    base_id: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let connection = parse(connection_string)?;
    let json = py.detach(|| {
        let mut notifications = Notifications::default();
        let summary = match Id::parse(base_id) {
            Ok(id) => reading(&connection, |reader| reader.read(id, &mut notifications))?,
            Err(_) => osprofiler::driver::ReadSummary::default(),
        };
        let report = Report::build(notifications, summary);
        let mut json = Vec::new();
        let renderer = Renderer::find("json")
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no renderer `json`"))?;
        (renderer.render)(&report, &RenderOptions::default(), &mut json)
            .map_err(|error| Error::new(ErrorKind::Corrupt, error.to_string()))?;
        Ok(json)
    });
    notifier::log_messages(py)?;
    let json = json.map_err(|error: Error| to_python(&error))?;
    objects::from_json(py, &String::from_utf8_lossy(&json))
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
    let listed = py.detach(|| reading(&connection, |reader| list(reader, filter)));
    notifier::log_messages(py)?;
    listed.map_err(|error: Error| to_python(&error))
}

/// Id and time of each trace.
fn list(reader: &mut dyn Reader, filter: ListFilter) -> Result<Vec<(String, String)>, Error> {
    let mut traces = Vec::new();
    reader.list(filter, &mut |trace| {
        traces.push((trace.base_id.to_string(), trace.timestamp.to_string()));
    })?;
    Ok(traces)
}

/// What `read` finds in the store. What that does to the store is said to whoever reads the log.
fn reading<T>(
    connection: &ConnectionString,
    read: impl FnOnce(&mut dyn Reader) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut reader = registry::open_reader(connection)?;
    let found = read(&mut *reader);
    if let Some(warning) = reader.take_warning() {
        delivery::say(Severity::Warning, warning);
    }
    found
}

/// The traces of a store, oldest first: ids, times, and of each its first notification, a dict, as far as the store has it.
/// One reader asks for all of it.
#[pyfunction]
pub(crate) fn list_first_notifications<'py>(
    py: Python<'py>,
    connection_string: &str,
) -> PyResult<Vec<Listed<'py>>> {
    let connection = parse(connection_string)?;
    let find = |reader: &mut dyn Reader| {
        let traces = list(reader, ListFilter::All)?;
        // Each of them is an id, so the others are in the same places.
        let ids = traces.iter().filter_map(|(id, _)| Id::parse(id).ok());
        let ids = ids.collect::<Vec<_>>();
        let places: HashMap<_, _> = ids.iter().copied().zip(0..).collect();
        let mut first = vec![None::<(Timestamp, String)>; ids.len()];
        reader.read_each(&ids, &mut |stored| {
            if let Stored::Notification(notification) = stored
                && let Some(&place) = places.get(&notification.base_id)
                && first[place]
                    .as_ref()
                    .is_none_or(|(timestamp, _)| notification.timestamp < *timestamp)
            {
                let mut json = String::new();
                wire::push_json(&notification, &mut json);
                first[place] = Some((notification.timestamp, json));
            }
            ControlFlow::Continue(())
        })?;
        Ok(traces.into_iter().zip(first).collect::<Vec<_>>())
    };
    let found = py.detach(|| reading(&connection, find));
    notifier::log_messages(py)?;
    let found = found.map_err(|error: Error| to_python(&error))?;
    found
        .into_iter()
        .map(|((id, timestamp), first)| {
            let first = first.map(|(_, json)| objects::from_json(py, &json));
            Ok((id, timestamp, first.transpose()?))
        })
        .collect()
}

/// Id, time and first notification of a trace.
type Listed<'py> = (String, String, Option<Bound<'py, PyAny>>);

/// A connection string, or several, with passwords hidden; of what is none, what can be shown.
#[pyfunction]
pub(crate) fn mask(connection_string: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = value::safe_str(connection_string)?;
    Ok(ConnectionStrings::shown(&text.to_string_lossy()))
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
            text = text.replace(quoted, &ConnectionStrings::shown(quoted));
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
