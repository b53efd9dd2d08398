// SPDX-License-Identifier: Apache-2.0
//! Who am I inside which trace, now: a `contextvars.ContextVar` of immutable nodes.
//!
//! A node is an open point, or the top of a trace before any point is open. Opening a point sets a new node whose parent is the
//! current one, closing it sets that parent again, so threads, greenlets and asyncio tasks each have their own place in the
//! tree. The variable is restored by setting what was there before, never by a token.

use std::sync::{Mutex, PoisonError};

use osprofiler::Id;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::profiler::Profiler;

/// An id, owned.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PointId {
    Uuid(u128),
    Text(Box<str>),
}

impl PointId {
    /// The id that `text` is, if it is one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let id = Id::parse(text).ok()?;
        Some(match id.as_u128() {
            Some(number) => Self::Uuid(number),
            None => Self::Text(text.into()),
        })
    }

    pub(crate) fn as_id(&self) -> Id<'_> {
        match self {
            Self::Uuid(number) => Id::from_u128(*number),
            // The text was an id when it came in.
            Self::Text(text) => Id::parse(text).unwrap_or(Id::from_u128(0)),
        }
    }

    pub(crate) fn to_py<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        match self {
            Self::Uuid(number) => PyString::new(py, &Id::from_u128(*number).to_string()),
            Self::Text(text) => PyString::new(py, text),
        }
    }
}

/// A place in a trace. Immutable but for its end: dropping a long chain must not recurse, so the parent can be taken out.
#[pyclass(frozen, module = "osprofiler._native", name = "_Context")]
pub(crate) struct Node {
    pub(crate) profiler: Py<Profiler>,
    /// The open point; `None` at the top.
    pub(crate) open: Option<OpenPoint>,
    parent: Mutex<Option<Py<Node>>>,
}

/// A point that has begun.
pub(crate) struct OpenPoint {
    pub(crate) id: u128,
    /// Valid UTF-8.
    pub(crate) name: Py<PyString>,
    pub(crate) parent_id: PointId,
}

impl Node {
    pub(crate) fn top(profiler: Py<Profiler>) -> Self {
        Self {
            profiler,
            open: None,
            parent: Mutex::new(None),
        }
    }

    pub(crate) fn below(parent: &Bound<'_, Self>, open: OpenPoint) -> Self {
        Self {
            profiler: parent.get().profiler.clone_ref(parent.py()),
            open: Some(open),
            parent: Mutex::new(Some(parent.clone().unbind())),
        }
    }

    pub(crate) fn parent<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Self>> {
        let parent = self.parent.lock().unwrap_or_else(PoisonError::into_inner);
        parent.as_ref().map(|parent| parent.bind(py).clone())
    }
}

impl Drop for Node {
    #[expect(unsafe_code, reason = "pyo3 has no safe call for `Py_REFCNT`")]
    fn drop(&mut self) {
        let mut next = self
            .parent
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if next.is_none() {
            return;
        }
        Python::attach(|py| {
            while let Some(node) = next.take() {
                // Only the last owner may empty the node; if there is another, dropping ours ends nothing.
                // SAFETY: `node` is a live object, and the interpreter is attached (`py`).
                if unsafe { ffi::Py_REFCNT(node.bind(py).as_ptr()) } == 1 {
                    next = node
                        .get()
                        .parent
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .take();
                }
            }
        });
    }
}

static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    VARIABLE
        .get_or_try_init(py, || {
            py.import("contextvars")?
                .getattr("ContextVar")?
                .call1(("osprofiler",))
                .map(Bound::unbind)
        })
        .map(|variable| variable.bind(py))
}

/// The current node. Costs one `ContextVar` read.
#[expect(unsafe_code, reason = "pyo3 has no safe call for `PyContextVar_Get`")]
pub(crate) fn current(py: Python<'_>) -> Option<Bound<'_, Node>> {
    let variable = variable(py).ok()?;
    let mut value = std::ptr::null_mut();
    // SAFETY: `variable` made its object with `contextvars.ContextVar`, the interpreter is attached (`py`), a null default
    // is allowed, and `value` is valid for the write; it receives a new reference or null.
    let result =
        unsafe { ffi::PyContextVar_Get(variable.as_ptr(), std::ptr::null_mut(), &raw mut value) };
    if result < 0 {
        drop(PyErr::take(py));
        return None;
    }
    // SAFETY: `value` is null or a new reference, of which this takes ownership.
    let value = unsafe { Bound::from_owned_ptr_or_opt(py, value) }?;
    value.cast_into::<Node>().ok()
}

/// Makes `node` the current one; `None` is outside of any trace.
#[expect(unsafe_code, reason = "pyo3 has no safe call for `PyContextVar_Set`")]
pub(crate) fn set(py: Python<'_>, node: Option<&Bound<'_, Node>>) -> PyResult<()> {
    let variable = variable(py)?;
    let value = node.map_or_else(|| py.None().into_bound(py), |node| node.as_any().clone());
    // SAFETY: `variable` is a `ContextVar`, the interpreter is attached, `value` is a live object; the result is a new
    // reference (a token, dropped) or null with an exception set.
    unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyContextVar_Set(variable.as_ptr(), value.as_ptr()))
    }
    .map(drop)
}
