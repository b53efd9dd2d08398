// SPDX-License-Identifier: Apache-2.0
//! What a traced function says of itself: what its function says.
//!
//! Names, documentation and annotations are the function's until they are set on the object, as `functools.wraps` has them;
//! code, defaults and closure are the function's altogether. `__dict__` is the object's own, begun as a copy. A pickle holds the
//! qualified name, as of any function.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::{PyAttributeError, PySystemError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::TracedFunction;

/// Attributes that may be set on the object without changing the function.
const OWN: [&CStr; 6] = [
    c"__name__",
    c"__qualname__",
    c"__module__",
    c"__doc__",
    c"__annotations__",
    c"__type_params__",
];
/// Attributes that are the function's, and are set there.
const SHARED: [&CStr; 7] = [
    c"__code__",
    c"__defaults__",
    c"__kwdefaults__",
    c"__globals__",
    c"__closure__",
    c"__builtins__",
    c"__annotate__",
];

/// Where CPython finds what it looks for itself. The table is never freed.
pub(super) fn members() -> *mut c_void {
    let at = |name: &'static CStr, offset: usize| ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset: offset as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: ptr::null(),
    };
    leak(vec![
        at(
            c"__vectorcalloffset__",
            offset_of!(TracedFunction, vectorcall),
        ),
        at(c"__dictoffset__", offset_of!(TracedFunction, dict)),
        at(
            c"__weaklistoffset__",
            offset_of!(TracedFunction, weak_references),
        ),
        ffi::PyMemberDef::default(),
    ])
}

/// The table of attributes; never freed.
pub(super) fn getters() -> *mut c_void {
    let attribute = |name: &'static CStr, get: ffi::getter, set: ffi::setter| ffi::PyGetSetDef {
        name: name.as_ptr(),
        get: Some(get),
        set: Some(set),
        doc: ptr::null(),
        closure: name.as_ptr().cast_mut().cast(),
    };
    let mut table: Vec<_> = OWN
        .iter()
        .map(|name| attribute(name, get_own, set_own))
        .collect();
    table.extend(
        SHARED
            .iter()
            .map(|name| attribute(name, get_shared, set_shared)),
    );
    table.push(attribute(
        c"__dict__",
        ffi::PyObject_GenericGetDict,
        ffi::PyObject_GenericSetDict,
    ));
    table.push(attribute(c"__class__", get_class, set_class));
    table.push(ffi::PyGetSetDef::default());
    leak(table)
}

/// The table of methods; never freed.
pub(super) fn methods() -> *mut c_void {
    leak(vec![
        ffi::PyMethodDef {
            ml_name: c"__reduce__".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunction: reduce,
            },
            ml_flags: ffi::METH_NOARGS,
            ml_doc: ptr::null(),
        },
        ffi::PyMethodDef {
            ml_name: c"__reduce_ex__".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunction: reduce,
            },
            ml_flags: ffi::METH_O,
            ml_doc: ptr::null(),
        },
        ffi::PyMethodDef::zeroed(),
    ])
}

fn leak<T>(table: Vec<T>) -> *mut c_void {
    Box::leak(table.into_boxed_slice()).as_mut_ptr().cast()
}

/// Puts `__module__` back, which making the type has replaced by the type's own.
pub(super) fn complete(py: Python<'_>, class: *mut ffi::PyTypeObject) -> PyResult<()> {
    let definition = Box::leak(Box::new(ffi::PyGetSetDef {
        name: c"__module__".as_ptr(),
        get: Some(get_own),
        set: Some(set_own),
        doc: ptr::null(),
        closure: c"__module__".as_ptr().cast_mut().cast(),
    }));
    // SAFETY: a live type, and a definition that is never freed; the result is a new reference or null with an exception set.
    let (class, module) = unsafe {
        (
            Bound::from_borrowed_ptr(py, class.cast()),
            Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewGetSet(class, definition))?,
        )
    };
    class.setattr("__module__", module)
}

/// Answers CPython with an object; a panic of ours is an error of the interpreter's kind.
fn answer<'py>(
    py: Python<'py>,
    work: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> *mut ffi::PyObject {
    let answer = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(PySystemError::new_err("a panic in a traced function")));
    match answer {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.restore(py);
            ptr::null_mut()
        }
    }
}

/// An object's fields, borrowed for as long as CPython's caller holds the object.
struct Fields<'py> {
    function: Bound<'py, PyAny>,
    shape: Bound<'py, PyAny>,
    own: Option<Bound<'py, PyDict>>,
}

impl<'py> Fields<'py> {
    /// # Safety
    /// `object` is alive and of our type.
    unsafe fn of(py: Python<'py>, object: *mut ffi::PyObject) -> Self {
        // SAFETY: as the caller vouches; `function` and `shape` are never null, and `own` is null or a dict.
        unsafe {
            let this = object.cast::<TracedFunction>();
            Self {
                function: Bound::from_borrowed_ptr(py, (*this).function),
                shape: Bound::from_borrowed_ptr(py, (*this).shape),
                own: Bound::from_borrowed_ptr_or_opt(py, (*this).own)
                    .map(|own| own.cast_into_unchecked()),
            }
        }
    }

    fn get_own(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(own) = &self.own
            && let Some(value) = own.get_item(name)?
        {
            return Ok(value);
        }
        self.function.getattr(name).or_else(|error| {
            if error.is_instance_of::<PyAttributeError>(name.py()) {
                return self.shape.getattr(name);
            }
            Err(error)
        })
    }
}

/// # Safety
/// `closure` is what [`getters`] has put there.
unsafe fn name_of(py: Python<'_>, closure: *mut c_void) -> Bound<'_, PyString> {
    // SAFETY: as the caller vouches, a C string that is never freed, of ASCII.
    let name = unsafe { CStr::from_ptr(closure.cast::<c_char>()) };
    PyString::intern(py, name.to_str().unwrap_or_default())
}

unsafe extern "C" fn get_own(
    object: *mut ffi::PyObject,
    closure: *mut c_void,
) -> *mut ffi::PyObject {
    Python::attach(|py| {
        answer(py, || {
            // SAFETY: CPython calls a getter with a live object of the type and the closure of its definition.
            let (fields, name) = unsafe { (Fields::of(py, object), name_of(py, closure)) };
            fields.get_own(&name)
        })
    })
}

unsafe extern "C" fn get_shared(
    object: *mut ffi::PyObject,
    closure: *mut c_void,
) -> *mut ffi::PyObject {
    Python::attach(|py| {
        answer(py, || {
            // SAFETY: as for `get_own`.
            let (fields, name) = unsafe { (Fields::of(py, object), name_of(py, closure)) };
            fields.shape.getattr(name)
        })
    })
}

/// Answers CPython after a change.
fn changed(py: Python<'_>, work: impl FnOnce() -> PyResult<()>) -> c_int {
    let done = answer(py, || {
        work()?;
        Ok(py.None().into_bound(py))
    });
    if done.is_null() {
        return -1;
    }
    // SAFETY: `answer` gave a reference away.
    unsafe { ffi::Py_DECREF(done) };
    0
}

unsafe extern "C" fn set_own(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    closure: *mut c_void,
) -> c_int {
    Python::attach(|py| {
        changed(py, || {
            // SAFETY: as for `get_own`; `value` is a live object, or null for a deletion. `own` is null or a dict.
            let (name, value, own) = unsafe {
                let own = &raw mut (*object.cast::<TracedFunction>()).own;
                if (*own).is_null() {
                    own.write(PyDict::new(py).into_ptr());
                }
                (
                    name_of(py, closure),
                    Bound::from_borrowed_ptr_or_opt(py, value),
                    Bound::from_borrowed_ptr(py, *own).cast_into_unchecked::<PyDict>(),
                )
            };
            let must_be_text = matches!(name.to_str(), Ok("__name__" | "__qualname__"));
            match value {
                Some(value) if must_be_text && !value.is_instance_of::<PyString>() => Err(
                    PyTypeError::new_err(format!("{name} must be set to a string object")),
                ),
                None if must_be_text => Err(PyTypeError::new_err(format!(
                    "{name} must be set to a string object"
                ))),
                Some(value) => own.set_item(name, value),
                None => own.set_item(name, py.None()),
            }
        })
    })
}

unsafe extern "C" fn set_shared(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    closure: *mut c_void,
) -> c_int {
    Python::attach(|py| {
        changed(py, || {
            // SAFETY: as for `set_own`.
            let (fields, name, value) = unsafe {
                (
                    Fields::of(py, object),
                    name_of(py, closure),
                    Bound::from_borrowed_ptr_or_opt(py, value),
                )
            };
            match value {
                Some(value) => fields.function.setattr(name, value),
                None => fields.function.delattr(name),
            }
        })
    })
}

/// To `isinstance`, and to whoever asks for `__class__`, the object is a function.
unsafe extern "C" fn get_class(
    _object: *mut ffi::PyObject,
    _closure: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: a static type of CPython's.
    unsafe { ffi::Py_NewRef((&raw mut ffi::PyFunction_Type).cast()) }
}

unsafe extern "C" fn set_class(
    _object: *mut ffi::PyObject,
    _value: *mut ffi::PyObject,
    _closure: *mut c_void,
) -> c_int {
    Python::attach(|py| {
        changed(py, || {
            Err(PyTypeError::new_err(
                "the class of a traced function cannot be changed",
            ))
        })
    })
}

pub(super) unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    Python::attach(|py| {
        answer(py, || {
            // SAFETY: as for `get_own`.
            let fields = unsafe { Fields::of(py, object) };
            let name = fields.get_own(&PyString::intern(py, "__qualname__"))?;
            let text = format!("<function {} at {object:p}>", name.str()?.to_string_lossy());
            Ok(PyString::new(py, &text).into_any())
        })
    })
}

/// `__reduce__` and `__reduce_ex__`: by qualified name.
unsafe extern "C" fn reduce(
    object: *mut ffi::PyObject,
    _protocol: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    Python::attach(|py| {
        answer(py, || {
            // SAFETY: as for `get_own`.
            let fields = unsafe { Fields::of(py, object) };
            fields.get_own(&PyString::intern(py, "__qualname__"))
        })
    })
}
