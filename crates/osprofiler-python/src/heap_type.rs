// SPDX-License-Identifier: Apache-2.0
//! What types made through C's interface share: a type's making, its fields' part in garbage collection, freed objects kept.
//!
//! Such types are here for what pyo3's classes cannot: vectorcall, an object's memory used again, no counting of attachments
//! at each call. Everything is called by a thread that holds the interpreter's lock.

#![expect(unsafe_code, reason = "types of C's interface")]

use std::ffi::{c_int, c_void};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::gil::GilCell;

/// A type that exists once, from the module's beginning on.
pub(crate) struct HeapType(GilCell<*mut ffi::PyTypeObject>);

impl HeapType {
    pub(crate) const fn new() -> Self {
        Self(GilCell::new(ptr::null_mut()))
    }

    /// Makes the type; it is never freed.
    ///
    /// # Safety
    /// `spec` describes objects whose first field is a `PyObject`, with functions of the signatures that its slots ask for.
    pub(crate) unsafe fn make(
        &self,
        py: Python<'_>,
        mut spec: ffi::PyType_Spec,
    ) -> PyResult<*mut ffi::PyTypeObject> {
        // SAFETY: the caller vouches for the contents; CPython copies what it keeps, but for the method and member tables, which
        // are statics.
        let made = unsafe { ffi::PyType_FromSpec(&raw mut spec) }.cast::<ffi::PyTypeObject>();
        if made.is_null() {
            return Err(PyErr::fetch(py));
        }
        self.0.set(py, made);
        Ok(made)
    }

    #[inline]
    pub(crate) fn get(&self, py: Python<'_>) -> *mut ffi::PyTypeObject {
        self.0.get(py)
    }

    /// Whether `object` is of this very type.
    #[inline]
    pub(crate) fn is_type_of(&self, object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: `object` is alive.
        unsafe { ffi::Py_TYPE(object.as_ptr()) == self.get(object.py()) }
    }
}

/// A slot of a type's description.
pub(crate) const fn slot(number: c_int, value: *mut c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot {
        slot: number,
        pfunc: value,
    }
}

/// How many freed objects of a type are kept.
const KEPT: usize = 64;

/// Freed objects of one type, their fields given up; memory that needs no allocator.
pub(crate) struct FreeList {
    objects: [GilCell<*mut ffi::PyObject>; KEPT],
    count: GilCell<usize>,
}

impl FreeList {
    pub(crate) const fn new() -> Self {
        Self {
            objects: [const { GilCell::new(ptr::null_mut()) }; KEPT],
            count: GilCell::new(0),
        }
    }

    /// An object without a type, or null.
    #[inline]
    pub(crate) fn take(&self, py: Python<'_>) -> *mut ffi::PyObject {
        let count = self.count.get(py);
        if count == 0 {
            return ptr::null_mut();
        }
        self.count.set(py, count - 1);
        self.objects[(count - 1) % KEPT].get(py)
    }

    /// Keeps a freed object; `false` if there are enough.
    #[inline]
    pub(crate) fn keep(&self, py: Python<'_>, object: *mut ffi::PyObject) -> bool {
        let count = self.count.get(py);
        if count == KEPT {
            return false;
        }
        self.objects[count % KEPT].set(py, object);
        self.count.set(py, count + 1);
        true
    }
}

/// `Py_VISIT` of each: shows the collector what the fields hold, until it has seen enough.
///
/// # Safety
/// Each field is null or a live object; `visit` and `arg` are as the collector gave them.
#[inline]
pub(crate) unsafe fn visit_all(
    fields: &[*mut ffi::PyObject],
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    for &field in fields {
        if field.is_null() {
            continue;
        }
        // SAFETY: as the caller vouches.
        let stop = unsafe { visit(field, arg) };
        if stop != 0 {
            return stop;
        }
    }
    0
}

/// `Py_CLEAR`: gives up what a field holds, the field first.
///
/// # Safety
/// `field` is valid, and null or a reference that it owns.
#[inline]
pub(crate) unsafe fn clear(field: *mut *mut ffi::PyObject) {
    // SAFETY: as the caller vouches; the field no longer has what is given up here, whatever code that runs.
    unsafe {
        let held = field.replace(ptr::null_mut());
        ffi::Py_XDECREF(held);
    }
}
