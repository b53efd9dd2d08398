// SPDX-License-Identifier: Apache-2.0
//! A traced function: the object that `trace` puts in the place of a function.
//!
//! It is called by vectorcall. Outside of any trace it hands the very arguments on to the function; inside it opens the point, calls,
//! and closes the point with what was returned or raised. No frame of its own is in any traceback. To everybody who looks it is the function:
//! its class is `function`, it binds to instances, its attributes are the function's (`attributes.rs`). What runs in several
//! steps (coroutines, generators) is run by a Python function, `runner`, when it is called inside a trace.

#![expect(unsafe_code, reason = "an object of C's interface")]

mod attributes;

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::{PySystemError, PyTypeError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments::Arguments;
use crate::heap_type::{HeapType, clear, slot, visit_all};
use crate::point::{self, Point};
use crate::points::Opened;
use crate::raised::Raised;
use crate::{context, replaced};

/// As Python's memory holds it. Every reference is the object's own; those said to may be null.
#[repr(C)]
struct TracedFunction {
    head: ffi::PyObject,
    vectorcall: ffi::vectorcallfunc,
    /// What is traced.
    function: *mut ffi::PyObject,
    /// A function whose code, defaults and closure are shown: `function`, if it has such.
    shape: *mut ffi::PyObject,
    /// A [`Point`]; null once the collector has taken the object apart.
    point: *mut ffi::PyObject,
    /// What runs a coroutine or generator; null for what returns when it is done.
    runner: *mut ffi::PyObject,
    /// The object's attributes.
    dict: *mut ffi::PyObject,
    /// Names and texts that were set on the object and differ from the function's; mostly null.
    own: *mut ffi::PyObject,
    weak_references: *mut ffi::PyObject,
}

static TYPE: HeapType = HeapType::new();

/// Makes the type.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let mut slots = [
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, clear_references as *mut c_void),
        slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
        slot(ffi::Py_tp_descr_get, bind as *mut c_void),
        slot(ffi::Py_tp_repr, attributes::repr as *mut c_void),
        slot(ffi::Py_tp_members, attributes::members()),
        slot(ffi::Py_tp_getset, attributes::getters()),
        slot(ffi::Py_tp_methods, attributes::methods()),
        slot(0, ptr::null_mut()),
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT
        | ffi::Py_TPFLAGS_HAVE_GC
        | ffi::Py_TPFLAGS_HAVE_VECTORCALL
        | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR
        | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    let spec = ffi::PyType_Spec {
        name: c"osprofiler._native.TracedFunction".as_ptr(),
        basicsize: size_of::<TracedFunction>() as c_int,
        itemsize: 0,
        flags: flags as u32,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the slots' functions have the signatures that their slots ask for; a `TracedFunction` begins with a `PyObject`, and
    // its vectorcall, dict and weak references lie where `members` says.
    let class = unsafe { TYPE.make(py, spec)? };
    attributes::complete(py, class)?;
    // SAFETY: `make` returns a live type.
    Ok(unsafe { Bound::from_borrowed_ptr(py, class.cast()) })
}

/// Whether `object` was made here.
pub(crate) fn is_traced_function(object: &Bound<'_, PyAny>) -> bool {
    TYPE.is_type_of(object)
}

/// Makes what stands for `function`: each call of it inside a trace is `point`.
///
/// `shape` is the function whose code is shown; `runner(traced, point, function, args, kwargs)` runs what does not end when it
/// returns.
#[pyfunction]
#[pyo3(signature = (function, shape, point, runner=None))]
pub(crate) fn traced_function<'py>(
    function: &Bound<'py, PyAny>,
    shape: &Bound<'py, PyAny>,
    point: &Bound<'py, Point>,
    runner: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    if !function.is_callable() {
        let name = function.get_type().qualname()?;
        return Err(PyTypeError::new_err(format!(
            "cannot trace what cannot be called: an object of the class `{name}`"
        )));
    }
    let dict = PyDict::new(py);
    if let Ok(attributes) = function.getattr(intern!(py, "__dict__"))
        && let Ok(attributes) = attributes.cast::<pyo3::types::PyMapping>()
    {
        dict.update(attributes)?;
    }
    dict.set_item(intern!(py, "__wrapped__"), function)?;
    let runner = runner.map_or(ptr::null_mut(), |runner| runner.clone().into_ptr());
    // SAFETY: the memory is new and as large as the type says; all fields behind the head are written before the collector or
    // anybody else sees the object, each with a reference of its own.
    unsafe {
        let made = ffi::PyObject_GC_New::<TracedFunction>(TYPE.get(py));
        if made.is_null() {
            ffi::Py_XDECREF(runner);
            return Err(PyErr::fetch(py));
        }
        (&raw mut (*made).vectorcall).write(call);
        (&raw mut (*made).function).write(function.clone().into_ptr());
        (&raw mut (*made).shape).write(shape.clone().into_ptr());
        (&raw mut (*made).point).write(point.clone().into_ptr());
        (&raw mut (*made).runner).write(runner);
        (&raw mut (*made).dict).write(dict.into_ptr());
        (&raw mut (*made).own).write(ptr::null_mut());
        (&raw mut (*made).weak_references).write(ptr::null_mut());
        ffi::PyObject_GC_Track(made.cast());
        Ok(Bound::from_owned_ptr(py, made.cast()))
    }
}

/// What CPython calls. Outside of any trace: a load, a comparison, and the function itself.
unsafe extern "C" fn call(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this with the interpreter attached, for an object of our type, whose `function` is always alive, and with
    // arguments as vectorcall wants them; they are handed on as they came.
    unsafe {
        let py = Python::assume_attached();
        if context::is_untraced(py) && !replaced::is_replaced(py) {
            let function = (*object.cast::<TracedFunction>()).function;
            return ffi::PyObject_Vectorcall(function, arguments, count, names);
        }
        call_in_trace(py, object.cast(), arguments, count, names)
    }
}

/// # Safety
/// As for [`call`].
#[inline(never)]
unsafe fn call_in_trace(
    py: Python<'_>,
    object: *mut TracedFunction,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as the caller vouches; the references are held by `object`, which its caller holds during the call. `point` is a `Point`
    // unless it is null, as `traced_function` has seen.
    unsafe {
        let point = Bound::from_borrowed_ptr_or_opt(py, (*object).point);
        let around = context::current(py);
        let is_traced = around.is_some() || replaced::is_replaced(py);
        let (Some(point), true) = (point, is_traced) else {
            return ffi::PyObject_Vectorcall((*object).function, arguments, count, names);
        };
        let point = point.cast_into_unchecked::<Point>();
        let keywords = Bound::from_borrowed_ptr_or_opt(py, names)
            .map(|names| names.cast_into_unchecked::<PyTuple>());
        let handed = Arguments::of_vectorcall(arguments, count, keywords.as_ref());
        if !(*object).runner.is_null() {
            return run(py, object, &point, handed);
        }
        let opened = match edge(|| point.get().open_call(py, around.as_ref(), &handed)) {
            Ok(Some(opened)) => opened,
            Ok(None) => {
                return ffi::PyObject_Vectorcall((*object).function, arguments, count, names);
            }
            Err(error) => {
                error.restore(py);
                return ptr::null_mut();
            }
        };
        let result = ffi::PyObject_Vectorcall((*object).function, arguments, count, names);
        let Some(result) = Bound::from_owned_ptr_or_opt(py, result) else {
            fail(py, opened);
            return ptr::null_mut();
        };
        match edge(|| point.get().close_call(py, opened, &result)) {
            Ok(()) => result.into_ptr(),
            Err(error) => {
                error.restore(py);
                ptr::null_mut()
            }
        }
    }
}

/// Lets the runner make what the call returns: a coroutine or generator that is a point while it runs.
///
/// # Safety
/// `object` is alive, and its `runner` is not null.
unsafe fn run(
    py: Python<'_>,
    object: *mut TracedFunction,
    point: &Bound<'_, Point>,
    arguments: Arguments<'_, '_>,
) -> *mut ffi::PyObject {
    // SAFETY: as the caller vouches; each gets a reference of its own.
    let (traced, runner, function) = unsafe {
        (
            Bound::from_borrowed_ptr(py, object.cast()),
            Bound::from_borrowed_ptr(py, (*object).runner),
            Bound::from_borrowed_ptr(py, (*object).function),
        )
    };
    let made = edge(|| {
        let (positional, keyword) = arguments.to_objects(py)?;
        runner
            .call1((traced, point, function, positional, keyword))
            .map(Some)
    });
    match made {
        Ok(Some(made)) => made.into_ptr(),
        Ok(None) => {
            PySystemError::new_err("a panic in a traced function").restore(py);
            ptr::null_mut()
        }
        Err(error) => {
            error.restore(py);
            ptr::null_mut()
        }
    }
}

/// Closes the point of a call that has raised. What it raised stays raised, as it was.
#[cold]
fn fail<'py>(py: Python<'py>, opened: Opened<'py>) {
    let raised = Raised::take(py);
    let told = match raised.value() {
        Some(error) => edge(|| point::fail(py, opened, error)),
        None => Ok(()),
    };
    match told {
        Ok(()) => raised.restore(),
        // The program was interrupted meanwhile.
        Err(error) => error.restore(py),
    }
}

/// Calls our own code from C's: a panic must not get there, and is as if nothing was to be done.
#[inline]
fn edge<T: Default>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Ok(T::default()))
}

/// `function.__get__`: a method of an instance, itself of a class.
unsafe extern "C" fn bind(
    object: *mut ffi::PyObject,
    instance: *mut ffi::PyObject,
    _class: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this with live objects, the instance perhaps null; the result is a new reference either way.
    unsafe {
        if instance.is_null() || instance == ffi::Py_None() {
            return ffi::Py_NewRef(object);
        }
        PyMethod_New(object, instance)
    }
}

unsafe extern "C" {
    /// Of `classobject.h`; pyo3-ffi leaves it out.
    fn PyMethod_New(
        function: *mut ffi::PyObject,
        instance: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visitor: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this with a live object of our type; every field is null or a reference of its own, and so is a
    // heap type's object's type.
    unsafe {
        let this = object.cast::<TracedFunction>();
        let held = [
            ffi::Py_TYPE(object).cast(),
            (*this).function,
            (*this).shape,
            (*this).point,
            (*this).runner,
            (*this).dict,
            (*this).own,
        ];
        visit_all(&held, visitor, arg)
    }
}

/// Gives up what may be part of a cycle. Whoever calls the object after that gets an error and no crash.
unsafe extern "C" fn clear_references(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: as for `traverse`; `function` and `shape` are never null before the end, so `None` takes their place.
    unsafe {
        let this = object.cast::<TracedFunction>();
        clear(&raw mut (*this).point);
        clear(&raw mut (*this).runner);
        clear(&raw mut (*this).dict);
        clear(&raw mut (*this).own);
        for field in [&raw mut (*this).function, &raw mut (*this).shape] {
            let held = field.replace(ffi::Py_NewRef(ffi::Py_None()));
            ffi::Py_DECREF(held);
        }
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this with the last reference; each field is given up once, and the memory goes back to where
    // `PyObject_GC_New` took it from.
    unsafe {
        let this = object.cast::<TracedFunction>();
        ffi::PyObject_GC_UnTrack(object.cast());
        if !(*this).weak_references.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        clear(&raw mut (*this).function);
        clear(&raw mut (*this).shape);
        clear(&raw mut (*this).point);
        clear(&raw mut (*this).runner);
        clear(&raw mut (*this).dict);
        clear(&raw mut (*this).own);
        let class = ffi::Py_TYPE(object);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}
