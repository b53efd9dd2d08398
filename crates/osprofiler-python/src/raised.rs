// SPDX-License-Identifier: Apache-2.0
//! An exception on its way through us: taken out of the thread while we work, put back as it was.
//!
//! Unlike pyo3's error it costs no look at its class, keeps the very traceback, and is nobody's panic. Where it is Python of ours that it
//! goes through, it is caught, handed to `hide_frame` and raised again.

#![expect(unsafe_code, reason = "pyo3's errors look into what they take")]

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::intern;
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

/// Takes the frame that has caught `error`, and is handling it, out of its traceback; a bare `raise` does not put it back.
#[pyfunction]
pub(crate) fn hide_frame(error: &Bound<'_, PyBaseException>) -> PyResult<()> {
    let py = error.py();
    // SAFETY: attached; `error` is an exception, and the result is a new reference or null.
    let traceback = unsafe {
        let traceback = ffi::PyException_GetTraceback(error.as_ptr());
        Bound::from_owned_ptr_or_opt(py, traceback)
    };
    let Some(traceback) = traceback else {
        return Ok(());
    };
    let below = traceback.getattr(intern!(py, "tb_next"))?;
    let class = error.get_type().into_any();
    // SAFETY: attached; `below` is a traceback or `None`. The second call takes references over. Python 3.10 raises again what it holds
    // there, with that traceback; later versions hold the exception alone.
    unsafe {
        ffi::PyException_SetTraceback(error.as_ptr(), below.as_ptr());
        ffi::PyErr_SetExcInfo(class.into_ptr(), error.clone().into_ptr(), below.into_ptr());
    }
    Ok(())
}
