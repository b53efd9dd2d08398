// SPDX-License-Identifier: Apache-2.0
//! An exception on its way through us: taken out of the thread while we work, put back as it was.
//!
//! Unlike pyo3's error it costs no look at its class, keeps the very traceback, and is nobody's panic.

#![expect(unsafe_code, reason = "pyo3's errors look into what they take")]

use pyo3::ffi;
use pyo3::prelude::*;

/// What was raised. Dropped, it is forgotten.
#[cfg(Py_3_12)]
pub(crate) struct Raised<'py>(Option<Bound<'py, PyAny>>);

#[cfg(Py_3_12)]
impl<'py> Raised<'py> {
    pub(crate) fn take(py: Python<'py>) -> Self {
        // SAFETY: attached; the result is a new reference or null.
        Self(unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyErr_GetRaisedException()) })
    }

    pub(crate) fn value(&self) -> Option<&Bound<'py, PyAny>> {
        self.0.as_ref()
    }

    pub(crate) fn restore(self) {
        if let Some(value) = self.0 {
            // SAFETY: attached, as the value's token says; the reference is taken over.
            unsafe { ffi::PyErr_SetRaisedException(value.into_ptr()) };
        }
    }
}

/// What was raised: class, value and traceback. Dropped, it is forgotten.
#[cfg(not(Py_3_12))]
pub(crate) struct Raised<'py>([Option<Bound<'py, PyAny>>; 3]);

#[cfg(not(Py_3_12))]
impl<'py> Raised<'py> {
    pub(crate) fn take(py: Python<'py>) -> Self {
        let mut raised = [std::ptr::null_mut(); 3];
        let [class, value, traceback] = &mut raised;
        // SAFETY: attached; all three are valid places, and hold new references or null afterwards. Normalizing makes the value an
        // object of the class.
        unsafe {
            ffi::PyErr_Fetch(class, value, traceback);
            ffi::PyErr_NormalizeException(class, value, traceback);
            Self(raised.map(|object| Bound::from_owned_ptr_or_opt(py, object)))
        }
    }

    pub(crate) fn value(&self) -> Option<&Bound<'py, PyAny>> {
        self.0[1].as_ref()
    }

    pub(crate) fn restore(self) {
        let [class, value, traceback] = self
            .0
            .map(|object| object.map_or(std::ptr::null_mut(), Bound::into_ptr));
        // SAFETY: attached, or nothing was raised; the references are taken over.
        unsafe { ffi::PyErr_Restore(class, value, traceback) };
    }
}
