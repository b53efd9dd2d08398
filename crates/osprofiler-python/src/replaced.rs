// SPDX-License-Identifier: Apache-2.0
//! Whether somebody has put another `start` or `stop` into the module `osprofiler.profiler`, or into the class `_Profiler`, as tests
//! of services do.
//!
//! Points then go through the replacement. Nothing else in module and class is watched, and where nothing was replaced the
//! question costs one comparison: for the module up to 3.11 with the version that each dict carries, from 3.12 on with a flag
//! that the dict's watcher sets; for the class with the version that the interpreter gives it, which every change takes from it.

#![expect(
    unsafe_code,
    reason = "pyo3 has no safe call for a dict's or a class's version"
)]

use std::ptr;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::gil::GilCell;
use crate::profiler::Profiler;

/// The module's dict, a reference of its own.
static MODULE: GilCell<*mut ffi::PyObject> = GilCell::new(ptr::null_mut());
/// Our own `start` and `stop`, references of their own.
static OURS: GilCell<[*mut ffi::PyObject; 2]> = GilCell::new([ptr::null_mut(); 2]);

/// The class of profilers, a reference of its own.
static CLASS: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());
/// Its own `start` and `stop`, references of their own.
static METHODS: GilCell<[*mut ffi::PyObject; 2]> = GilCell::new([ptr::null_mut(); 2]);
/// The class's version when neither was replaced.
static CLASS_SEEN: GilCell<u32> = GilCell::new(0);
/// What no class has as its version.
const NO_VERSION: u32 = u32::MAX;

/// Watches the class of profilers, and the module with these globals, whose `start` and `stop` are ours.
#[pyfunction]
pub(crate) fn watch_module(globals: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = globals.py();
    let start = globals.as_any().get_item(intern!(py, "start"))?;
    let stop = globals.as_any().get_item(intern!(py, "stop"))?;
    // References that are never given up: the module is watched as long as the process lives.
    OURS.set(py, [start.into_ptr(), stop.into_ptr()]);
    MODULE.set(py, globals.clone().into_ptr());
    version::begin(globals);
    if CLASS.get(py).is_null() {
        let class = py.get_type::<Profiler>();
        let methods = [intern!(py, "start"), intern!(py, "stop")].map(|name| class.getattr(name));
        let [start, stop] = methods;
        METHODS.set(py, [start?.into_ptr(), stop?.into_ptr()]);
        CLASS_SEEN.set(py, NO_VERSION);
        CLASS.set(py, class.into_ptr().cast());
    }
    Ok(())
}

/// Whether `start` or `stop` of the class is not ours.
#[inline]
pub(crate) fn is_class_replaced(py: Python<'_>) -> bool {
    class_version(py) != CLASS_SEEN.get(py) && look_at_class(py)
}

/// The class's version; 0 while it has none.
#[inline]
fn class_version(py: Python<'_>) -> u32 {
    // SAFETY: null, or a class that is never given up, which is read under the interpreter's lock.
    unsafe { CLASS.get(py).as_ref() }.map_or(0, |class| class.tp_version_tag)
}

#[cold]
#[inline(never)]
fn look_at_class(py: Python<'_>) -> bool {
    // Asking for the two gives the class a version, where there is one to be had.
    let is_replaced = ["start", "stop"].map(|name| is_method_replaced(py, name));
    if is_replaced == [false; 2] {
        let version = class_version(py);
        CLASS_SEEN.set(py, if version == 0 { NO_VERSION } else { version });
    }
    is_replaced != [false; 2]
}

/// Whether the class's method of that name, `start` or `stop`, is not ours.
#[cold]
pub(crate) fn is_method_replaced(py: Python<'_>, name: &str) -> bool {
    let ours = METHODS.get(py)[usize::from(name == "stop")];
    let found = py.get_type::<Profiler>().getattr(name);
    found.is_ok_and(|found| found.as_ptr() != ours)
}

/// Whether `start` or `stop` of the module is not ours.
#[inline]
pub(crate) fn is_replaced(py: Python<'_>) -> bool {
    version::has_changed(py) && look(py)
}

/// The module's `start`, if it is not ours.
pub(crate) fn start(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    is_replaced(py).then(|| replacement(py, 0)).flatten()
}

/// The module's `stop`, if it is not ours.
pub(crate) fn stop(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    is_replaced(py).then(|| replacement(py, 1)).flatten()
}

#[cold]
#[inline(never)]
fn look(py: Python<'_>) -> bool {
    let is_replaced = (0..2).any(|which| replacement(py, which).is_some());
    if !is_replaced {
        version::accept(py);
    }
    is_replaced
}

/// What stands in the place of our `start` (0) or `stop` (1).
#[cold]
fn replacement(py: Python<'_>, which: usize) -> Option<Bound<'_, PyAny>> {
    let name = [intern!(py, "start"), intern!(py, "stop")][which];
    let (module, ours) = (MODULE.get(py), OURS.get(py)[which]);
    // SAFETY: `watch_module` has set both, or `module` is null; both are references that are never given up.
    let found = unsafe {
        let module = Bound::from_borrowed_ptr_or_opt(py, module)?;
        module.cast_unchecked::<PyDict>().get_item(name).ok()??
    };
    (found.as_ptr() != ours).then_some(found)
}

#[cfg(not(Py_3_12))]
mod version {
    use super::{Bound, GilCell, MODULE, PyDict, Python, ffi};

    /// The dict's version when nothing in it was replaced.
    static SEEN: GilCell<u64> = GilCell::new(0);

    pub(super) fn begin(globals: &Bound<'_, PyDict>) {
        accept(globals.py());
    }

    #[inline]
    pub(super) fn has_changed(py: Python<'_>) -> bool {
        now(py) != SEEN.get(py)
    }

    pub(super) fn accept(py: Python<'_>) {
        SEEN.set(py, now(py));
    }

    #[inline]
    fn now(py: Python<'_>) -> u64 {
        let module = MODULE.get(py).cast::<ffi::PyDictObject>();
        // SAFETY: null, or a dict that is never given up; every change of a dict changes its version, under the interpreter's lock.
        unsafe { module.as_ref().map_or(0, |dict| dict.ma_version_tag) }
    }
}

#[cfg(Py_3_12)]
mod version {
    use std::ffi::c_int;

    use super::{Bound, GilCell, PyDict, PyErr, Python, ffi};

    static CHANGED: GilCell<bool> = GilCell::new(false);
    /// The interpreter has eight; a module that is imported anew takes no second one.
    static WATCHER: GilCell<c_int> = GilCell::new(-1);

    unsafe extern "C" {
        /// Of `cpython/dictobject.h`; pyo3-ffi leaves it out.
        fn PyDict_AddWatcher(
            callback: unsafe extern "C" fn(
                c_int,
                *mut ffi::PyObject,
                *mut ffi::PyObject,
                *mut ffi::PyObject,
            ) -> c_int,
        ) -> c_int;
    }

    pub(super) fn begin(globals: &Bound<'_, PyDict>) {
        let py = globals.py();
        accept(py);
        // SAFETY: the callback has the signature asked for; the dict is alive.
        unsafe {
            if WATCHER.get(py) < 0 {
                WATCHER.set(py, PyDict_AddWatcher(changed));
            }
            if WATCHER.get(py) < 0 || ffi::PyDict_Watch(WATCHER.get(py), globals.as_ptr()) < 0 {
                // All watchers are taken: tests that replace `start` will see no difference.
                drop(PyErr::take(py));
            }
        }
    }

    /// Called before any change of the dict, with the lock; must not change what is raised.
    unsafe extern "C" fn changed(
        _event: c_int,
        _dict: *mut ffi::PyObject,
        _key: *mut ffi::PyObject,
        _value: *mut ffi::PyObject,
    ) -> c_int {
        // SAFETY: CPython calls a watcher with the interpreter's lock.
        CHANGED.set(unsafe { Python::assume_attached() }, true);
        0
    }

    #[inline]
    pub(super) fn has_changed(py: Python<'_>) -> bool {
        CHANGED.get(py)
    }

    pub(super) fn accept(py: Python<'_>) {
        CHANGED.set(py, false);
    }
}
