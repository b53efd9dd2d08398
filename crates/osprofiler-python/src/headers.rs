// SPDX-License-Identifier: Apache-2.0
//! The signed headers for Python: `str` or bytes in, the arguments of `profiler.init` out. Never raises on what it is given.

use osprofiler::trace_context::SpanContext;
use osprofiler::{Id, delivery, headers};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyBytesMethods, PyDict, PyList, PyString};

use crate::notifier;

/// The hex HMAC-SHA1 of `data`.
#[pyfunction]
pub(crate) fn sign(data: &[u8], key: &[u8]) -> String {
    headers::sign(data, key)
}

/// What a valid pair of header values asks for, as the arguments of `profiler.init`; `None` for any other pair.
#[pyfunction]
pub(crate) fn unpack_headers<'py>(
    info: &Bound<'py, PyAny>,
    hmac: &Bound<'py, PyAny>,
    keys: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = info.py();
    let (Some(info), Some(hmac)) = (bytes(info), bytes(hmac)) else {
        return Ok(None);
    };
    let Ok(keys) = py.get_type::<PyList>().call1((keys,)) else {
        return Ok(None);
    };
    let keys = keys.cast_into::<PyList>()?;
    let key_bytes: Vec<Vec<u8>> = keys
        .iter()
        .map(|key| bytes(&key).map(<[u8]>::to_vec).unwrap_or_default())
        .collect();
    let Some(unpacked) = headers::unpack(info, hmac, &key_bytes) else {
        return Ok(None);
    };
    let arguments = PyDict::new(py);
    arguments.set_item("hmac_key", keys.get_item(unpacked.key_index)?)?;
    arguments.set_item("base_id", unpacked.base_id)?;
    if let Some(parent_id) = unpacked.parent_id {
        arguments.set_item("parent_id", parent_id)?;
    }
    Ok(Some(arguments))
}

/// The value of the header `traceparent` of a call made in the point `trace_id`, where one is to be sent; `None` also for ids that are
/// none.
#[pyfunction]
pub(crate) fn traceparent(
    base_id: &Bound<'_, PyAny>,
    trace_id: &Bound<'_, PyAny>,
    py: Python<'_>,
) -> Option<String> {
    if !notifier::origin(py).is_some_and(delivery::traces_go_on) {
        return None;
    }
    let context = SpanContext::of(id(base_id)?, id(trace_id)?);
    Some(context.to_string())
}

/// The span that a received `traceparent` names, as the value of such a header; `None` if it names none, or just the caller's point, which the
/// signed headers name, too.
#[pyfunction]
pub(crate) fn foreign_span(
    header: &Bound<'_, PyAny>,
    base_id: &Bound<'_, PyAny>,
    parent_id: &Bound<'_, PyAny>,
) -> Option<String> {
    let context = SpanContext::parse(bytes(header)?)?;
    let is_callers = id(base_id).is_some_and(|base_id| {
        SpanContext::of(base_id, id(parent_id).unwrap_or(base_id)) == context
    });
    (!is_callers).then(|| context.to_string())
}

fn id<'a>(value: &'a Bound<'_, PyAny>) -> Option<Id<'a>> {
    let text = value.cast::<PyString>().ok()?;
    Id::parse(text.to_str().ok()?).ok()
}

/// The bytes of a header value or key. A text with lone surrogates has none.
fn bytes<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a [u8]> {
    if let Ok(text) = value.cast::<PyString>() {
        return text.to_str().ok().map(str::as_bytes);
    }
    value.cast::<PyBytes>().ok().map(PyBytesMethods::as_bytes)
}
