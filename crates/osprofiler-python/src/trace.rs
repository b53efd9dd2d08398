// SPDX-License-Identifier: Apache-2.0
//! `profiler.Trace`: a point as a context manager.
//!
//! An object may be entered again before it is left, in several threads and tasks at once; who leaves it leaves what was
//! entered where it is. Its class may be derived from. It is made by vectorcall, in memory that an earlier
//! one has left; outside of any trace nothing but its name and info is kept.

#![expect(unsafe_code, reason = "an object of C's interface")]

use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::arguments::Arguments;
use crate::heap_type::{FreeList, HeapType, clear, slot, visit_all};
use crate::notifier::{Given, Nothing};
use crate::point::ErrorInfo;
use crate::points::{self, Opened};
use crate::{context, replaced};

/// As Python's memory holds it. Each field behind the head is null or a reference of its own.
#[repr(C)]
struct Trace {
    head: ffi::PyObject,
    name: *mut ffi::PyObject,
    info: *mut ffi::PyObject,
    /// What the last `__enter__` has opened, `None` if that was nothing; null while the object is not entered.
    opened: *mut ffi::PyObject,
    /// A list of what earlier ones have opened, while the object is entered several times.
    around: *mut ffi::PyObject,
}

const DOC: &std::ffi::CStr = c"Trace(name, info=None)
--

A trace point as a context manager.

``with Trace(\"name\", info={...}):`` opens a point when the block begins and closes it when the block ends, with ``etype`` and ``message``
if an exception ends it. The exception goes on.

:param name: the point's name, a text
:param info: what the start carries, a dict; it is not changed

Without a trace the block costs less than 0.2 microseconds more, the dict included; inside one about 1 microsecond. Nothing is raised,
whatever the notifier or the store does.

>>> from osprofiler import profiler
>>> with profiler.Trace(\"work\", info={\"size\": 3}):
...     print(\"working\")
working
";

static TYPE: HeapType = HeapType::new();
static FREED: FreeList = FreeList::new();

/// Makes the type.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let mut slots = [
        slot(ffi::Py_tp_doc, DOC.as_ptr().cast_mut().cast()),
        slot(ffi::Py_tp_new, new as *mut c_void),
        slot(ffi::Py_tp_init, init as *mut c_void),
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, clear_references as *mut c_void),
        slot(ffi::Py_tp_members, members()),
        slot(ffi::Py_tp_methods, methods()),
        slot(0, ptr::null_mut()),
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE;
    let spec = ffi::PyType_Spec {
        name: c"osprofiler.profiler.Trace".as_ptr(),
        basicsize: size_of::<Trace>() as c_int,
        itemsize: 0,
        flags: flags as u32,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the slots' functions have the signatures that their slots ask for, and a `Trace` begins with a `PyObject`. The
    // field is read when the class is called, and derived classes don't inherit it.
    unsafe {
        let class = TYPE.make(py, spec)?;
        (*class).tp_vectorcall = Some(make);
        Ok(Bound::from_borrowed_ptr(py, class.cast()))
    }
}

fn members() -> *mut c_void {
    let field = |name: &'static std::ffi::CStr, offset: usize| ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_OBJECT_EX,
        offset: offset as ffi::Py_ssize_t,
        flags: 0,
        doc: ptr::null(),
    };
    leak(vec![
        field(c"_name", offset_of!(Trace, name)),
        field(c"_info", offset_of!(Trace, info)),
        ffi::PyMemberDef::default(),
    ])
}

fn methods() -> *mut c_void {
    leak(vec![
        ffi::PyMethodDef {
            ml_name: c"__enter__".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunction: enter },
            ml_flags: ffi::METH_NOARGS,
            ml_doc: c"__enter__($self, /)\n--\n\nOpen the point.".as_ptr(),
        },
        ffi::PyMethodDef {
            ml_name: c"__exit__".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunctionFast: exit,
            },
            ml_flags: ffi::METH_FASTCALL,
            ml_doc: c"__exit__($self, etype, value, traceback, /)\n--\n\nClose the point; an exception goes on.".as_ptr(),
        },
        ffi::PyMethodDef::zeroed(),
    ])
}

/// A table that CPython keeps an address into.
fn leak<T>(table: Vec<T>) -> *mut c_void {
    Box::leak(table.into_boxed_slice()).as_mut_ptr().cast()
}

/// `Trace(name, info=None)`, of this very class.
unsafe extern "C" fn make(
    class: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this with the interpreter attached, with our type and with arguments as vectorcall wants them. The memory
    // is an earlier object's or new; all fields are written before the collector sees the object.
    unsafe {
        let py = Python::assume_attached();
        let names = Bound::from_borrowed_ptr_or_opt(py, names)
            .map(|names| names.cast_into_unchecked::<PyTuple>());
        let handed = Arguments::of_vectorcall(arguments, count, names.as_ref());
        let [name, info] = match parse(py, handed) {
            Ok(parsed) => parsed,
            Err(error) => {
                error.restore(py);
                return ptr::null_mut();
            }
        };
        let mut object = FREED.take(py);
        if object.is_null() {
            object = ffi::PyObject_GC_New(class.cast());
            if object.is_null() {
                return object;
            }
        } else {
            ffi::PyObject_Init(object, class.cast());
        }
        let this = object.cast::<Trace>();
        (&raw mut (*this).name).write(ffi::Py_NewRef(name));
        (&raw mut (*this).info).write(ffi::Py_NewRef(info));
        (&raw mut (*this).opened).write(ptr::null_mut());
        (&raw mut (*this).around).write(ptr::null_mut());
        ffi::PyObject_GC_Track(object.cast());
        object
    }
}

/// Name and info, borrowed.
#[inline]
fn parse<'py>(py: Python<'py>, arguments: Arguments<'_, 'py>) -> PyResult<[*mut ffi::PyObject; 2]> {
    let mut found = [ptr::null_mut(); 2];
    if arguments.positional().len() > 2 {
        return Err(PyTypeError::new_err(format!(
            "Trace() takes from 1 to 2 positional arguments but {} were given",
            arguments.positional().len()
        )));
    }
    for (place, given) in found.iter_mut().zip(arguments.positional()) {
        *place = *given;
    }
    for (key, value) in arguments.named() {
        let place = match key.to_str() {
            Ok("name") => 0,
            Ok("info") => 1,
            _ => {
                return Err(PyTypeError::new_err(format!(
                    "Trace() got an unexpected keyword argument '{key}'"
                )));
            }
        };
        if !found[place].is_null() {
            return Err(PyTypeError::new_err(format!(
                "Trace() got multiple values for argument '{key}'"
            )));
        }
        found[place] = value;
    }
    if found[0].is_null() {
        return Err(PyTypeError::new_err(
            "Trace() missing 1 required positional argument: 'name'",
        ));
    }
    if found[1].is_null() {
        found[1] = py.None().as_ptr();
    }
    Ok(found)
}

/// `Trace.__new__`, for derived classes: what arguments there are is `__init__`'s to say.
unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    _arguments: *mut ffi::PyObject,
    _keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: a class derived from ours, with an allocator that returns zeroed memory: every field is null.
    unsafe { ffi::PyType_GenericAlloc(class, 0) }
}

unsafe extern "C" fn init(
    object: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> c_int {
    Python::attach(|py| {
        // SAFETY: CPython calls this with a live object of a class of ours, a tuple, and a dict or null.
        let (this, arguments, keywords) = unsafe {
            (
                object.cast::<Trace>(),
                Bound::from_borrowed_ptr(py, arguments).cast_into_unchecked::<PyTuple>(),
                Bound::from_borrowed_ptr_or_opt(py, keywords)
                    .map(|keywords| keywords.cast_into_unchecked::<PyDict>()),
            )
        };
        let parsed = match keywords {
            None => PyTuple::new(py, [(); 0])
                .and_then(|names| parse(py, Arguments::of_tuple(&arguments, &names))),
            Some(keywords) => PyTuple::new(py, keywords.keys()).and_then(|names| {
                let values: Vec<_> = arguments.iter().chain(keywords.values()).collect();
                let values = PyTuple::new(py, values)?;
                parse(py, Arguments::of_tuple(&values, &names))
            }),
        };
        match parsed {
            // SAFETY: both are alive, held by `arguments` or `keywords`; the fields' former references are given up last.
            Ok([name, info]) => unsafe {
                let name = (&raw mut (*this).name).replace(ffi::Py_NewRef(name));
                let info = (&raw mut (*this).info).replace(ffi::Py_NewRef(info));
                ffi::Py_XDECREF(name);
                ffi::Py_XDECREF(info);
                0
            },
            Err(error) => {
                error.restore(py);
                -1
            }
        }
    })
}

unsafe extern "C" fn enter(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this with the interpreter attached and a live object of our type or of a derived one.
    unsafe {
        let py = Python::assume_attached();
        let this = object.cast::<Trace>();
        let is_quiet = context::is_untraced(py) && !replaced::is_replaced(py);
        let opened = if is_quiet {
            ffi::Py_NewRef(ffi::Py_None())
        } else {
            match open(py, this) {
                Ok(opened) => opened.into_ptr(),
                Err(error) => {
                    error.restore(py);
                    return ptr::null_mut();
                }
            }
        };
        if !(*this).opened.is_null()
            && let Err(error) = put_around(py, this)
        {
            ffi::Py_DECREF(opened);
            error.restore(py);
            return ptr::null_mut();
        }
        (&raw mut (*this).opened).write(opened);
        ffi::Py_NewRef(ffi::Py_None())
    }
}

/// Opens the point; `None` if there is none to close.
///
/// # Safety
/// `this` is alive.
#[inline(never)]
unsafe fn open(py: Python<'_>, this: *mut Trace) -> PyResult<Bound<'_, PyAny>> {
    let around = context::current(py);
    if around.is_none() && !replaced::is_replaced(py) {
        return Ok(py.None().into_bound(py));
    }
    // SAFETY: each field is null or a live object; both get references of their own, because `info` may hold code that changes them.
    let [name, info] = unsafe { [(*this).name, (*this).info] }.map(|field| {
        // SAFETY: as above.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, field) }
            .unwrap_or_else(|| py.None().into_bound(py))
    });
    Python::attach(|_| {
        catch_unwind(AssertUnwindSafe(|| {
            let info = Given::new(Some(&info));
            let opened = points::open_anywhere(around.as_ref(), &name, &info, |around| {
                points::open_named(around, &points::name(&name)?, &info)
            })?;
            Ok(opened.map(|opened| opened.into_any(py)))
        }))
        .unwrap_or(Ok(None))
        .map(|opened| opened.unwrap_or_else(|| py.None().into_bound(py)))
    })
}

unsafe extern "C" fn exit(
    object: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this with the interpreter attached, a live object of our type or of a derived one, and so many
    // live arguments.
    unsafe {
        let py = Python::assume_attached();
        let this = object.cast::<Trace>();
        let mut opened = (&raw mut (*this).opened).replace(ptr::null_mut());
        if !(*this).around.is_null() {
            opened = take_entered(py, this, opened);
        }
        let Some(opened) = Bound::from_owned_ptr_or_opt(py, opened) else {
            return ffi::Py_NewRef(ffi::Py_None());
        };
        if !opened.is_none() {
            let error = if count > 1 {
                Bound::from_borrowed_ptr(py, *arguments.add(1))
            } else {
                py.None().into_bound(py)
            };
            if let Err(error) = close(py, &opened, &error) {
                error.restore(py);
                return ptr::null_mut();
            }
        }
        ffi::Py_NewRef(ffi::Py_None())
    }
}

#[inline(never)]
fn close<'py>(
    py: Python<'py>,
    opened: &Bound<'py, PyAny>,
    error: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let told = || {
        let opened = Opened::from_any(opened)?;
        if error.is_none() {
            return points::close_anywhere(py, opened, &Nothing);
        }
        // Attached anew, so that what an error's own code leaves is given up at once.
        Python::attach(|_| points::close_anywhere(py, opened, &ErrorInfo(error)))
    };
    catch_unwind(AssertUnwindSafe(told)).unwrap_or(Ok(()))
}

/// Puts what is open away, because the object is entered once more.
///
/// # Safety
/// `this` is alive, and its `opened` is not null.
#[cold]
unsafe fn put_around(py: Python<'_>, this: *mut Trace) -> PyResult<()> {
    // SAFETY: as the caller vouches; `around` is null or a list.
    unsafe {
        if (*this).around.is_null() {
            (&raw mut (*this).around).write(PyList::empty(py).into_ptr());
        }
        let around = Bound::from_borrowed_ptr(py, (*this).around).cast_into_unchecked::<PyList>();
        around.append(Bound::from_borrowed_ptr(py, (*this).opened))?;
        clear(&raw mut (*this).opened);
        Ok(())
    }
}

/// Takes what the caller has entered: the newest that is where the caller is, or around that; the newest if none is. The newest
/// of the others is in `opened` afterwards.
///
/// # Safety
/// `this` is alive, its `around` is not null, and its `opened` is; `newest` was there, and is taken over.
#[cold]
unsafe fn take_entered(
    py: Python<'_>,
    this: *mut Trace,
    newest: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as the caller vouches; `around` is a list.
    unsafe {
        let around = Bound::from_borrowed_ptr(py, (*this).around).cast_into_unchecked::<PyList>();
        let Some(newest) = Bound::from_owned_ptr_or_opt(py, newest) else {
            return ptr::null_mut();
        };
        let Some(last) = around.len().checked_sub(1) else {
            return newest.into_ptr();
        };
        let is_entered = |at: &usize| around.get_item(*at).is_ok_and(|held| is_here(py, &held));
        let elsewhere = if is_here(py, &newest) {
            None
        } else {
            (0..=last).rev().find(is_entered)
        };
        let at = elsewhere.unwrap_or(last);
        let taken = match around.get_item(at) {
            Ok(held) if around.del_item(at).is_ok() => held,
            _ => return newest.into_ptr(),
        };
        let (left, kept) = match elsewhere {
            Some(_) => (taken, newest),
            None => (newest, taken),
        };
        (&raw mut (*this).opened).write(kept.into_ptr());
        left.into_ptr()
    }
}

/// Whether an `__enter__` where the caller is may have opened this.
fn is_here<'py>(py: Python<'py>, opened: &Bound<'py, PyAny>) -> bool {
    if opened.is_none() {
        return context::current(py).is_none_or(|here| here.profiler().get().is_over());
    }
    match Opened::from_any(opened) {
        Ok(Opened::Here(place, _)) => points::is_around_here(py, &place),
        Ok(Opened::Elsewhere) | Err(_) => true,
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visitor: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this with a live object; every field is null or a reference of its own, and so is its type.
    unsafe {
        let this = object.cast::<Trace>();
        let held = [
            ffi::Py_TYPE(object).cast(),
            (*this).name,
            (*this).info,
            (*this).opened,
            (*this).around,
        ];
        visit_all(&held, visitor, arg)
    }
}

unsafe extern "C" fn clear_references(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: as for `traverse`; each field may be null at any time.
    unsafe {
        let this = object.cast::<Trace>();
        clear(&raw mut (*this).name);
        clear(&raw mut (*this).info);
        clear(&raw mut (*this).opened);
        clear(&raw mut (*this).around);
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this with the last reference and the interpreter attached; each field is given up once, and the memory goes into
    // our list, if it is of our very type, or back to where it came from. A derived class's own parts were freed before.
    unsafe {
        let py = Python::assume_attached();
        ffi::PyObject_GC_UnTrack(object.cast());
        clear_references(object);
        let class = ffi::Py_TYPE(object);
        let is_kept = class == TYPE.get(py) && FREED.keep(py, object);
        if let (false, Some(free)) = (is_kept, (*class).tp_free) {
            free(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}
