// SPDX-License-Identifier: Apache-2.0
//! Secrets in the infos that notifiers made in Python get: masked as those are that go to stores.
//!
//! Stores get theirs masked on the delivery thread, as JSON text; a callable gets Python's objects on the traced thread, so here the
//! texts and keys of its copy are looked at. What is the program's own is never changed: where something is masked, what holds it
//! is copied. Objects that are no dict, list, tuple or text are left alone.

use osprofiler::secrets::{self, MASK};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

/// Deeper than that nothing is looked at; texts for stores end there, too.
const MAX_LEVELS: usize = 16;

/// Lets this process mask secrets in infos, or not.
#[pyfunction]
pub(crate) fn set_mask_secrets(masking: bool) {
    secrets::set_masking(masking);
}

/// Whether this process masks secrets in infos.
#[pyfunction]
pub(crate) fn is_masking() -> bool {
    secrets::is_masking()
}

/// Whether what has this name is a secret.
#[pyfunction]
pub(crate) fn is_secret_name(name: &Bound<'_, PyString>) -> bool {
    secrets::is_secret_name(&name.to_string_lossy())
}

/// Masks the secrets in `info`, which is the notification's own, if this process masks them.
pub(crate) fn mask(info: &Bound<'_, PyDict>) -> PyResult<()> {
    if !secrets::is_masking() {
        return Ok(());
    }
    for (key, value) in info.copy()? {
        if let Some(masked) = masked_member(&key, &value, 1)? {
            info.set_item(key, masked)?;
        }
    }
    Ok(())
}

/// What takes the value's place; `None` if it may stay.
fn masked_member<'py>(
    key: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    level: usize,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(key) = key.cast::<PyString>()
        && secrets::is_secret_name(&key.to_string_lossy())
    {
        return Ok(Some(PyString::new(key.py(), MASK).into_any()));
    }
    masked(value, level)
}

fn masked<'py>(value: &Bound<'py, PyAny>, level: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    if let Ok(text) = value.cast::<PyString>() {
        let text = text.to_string_lossy();
        return Ok(match secrets::mask_text(&text) {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(masked) => Some(PyString::new(py, &masked).into_any()),
        });
    }
    if level == MAX_LEVELS {
        return Ok(None);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let copy = dict.copy()?;
        let mut is_masked = false;
        for (key, value) in dict.copy()? {
            if let Some(masked) = masked_member(&key, &value, level + 1)? {
                copy.set_item(key, masked)?;
                is_masked = true;
            }
        }
        return Ok(is_masked.then(|| copy.into_any()));
    }
    // Copied first: nothing that runs meanwhile changes a tuple.
    let (items, is_list) = match (value.cast::<PyTuple>(), value.cast::<PyList>()) {
        (Ok(tuple), _) => (tuple.clone(), false),
        (_, Ok(list)) => (list.to_tuple(), true),
        _ => return Ok(None),
    };
    let mut is_masked = false;
    let mut copy = Vec::with_capacity(items.len());
    for item in items {
        let masked = masked(&item, level + 1)?;
        is_masked |= masked.is_some();
        copy.push(masked.unwrap_or(item));
    }
    Ok(match (is_masked, is_list) {
        (false, _) => None,
        (true, false) => Some(PyTuple::new(py, copy)?.into_any()),
        (true, true) => Some(PyList::new(py, copy)?.into_any()),
    })
}
