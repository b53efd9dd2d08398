// SPDX-License-Identifier: Apache-2.0
//! Who am I inside which trace, now: a `contextvars.ContextVar` of immutable nodes.
//!
//! A node is an open point, or the top of a trace before any point is open. Opening a point sets a new node whose parent is the
//! current one, closing it sets that parent again, so threads, greenlets and asyncio tasks each have their own place in the
//! tree. The variable is restored by setting what was there before, never by a token. Nodes are counted by trace, so a
//! process without one finds that out without asking the variable.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr;

use osprofiler::Id;
use osprofiler::recorder::{self, Name};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::gil::GilCell;
use crate::heap_type::{FreeList, HeapType, slot};
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

    #[inline]
    pub(crate) fn as_id(&self) -> Id<'_> {
        match self {
            Self::Uuid(number) => Id::from_u128(*number),
            // The text was an id when it came in.
            Self::Text(text) => Id::parse(text).unwrap_or(Id::from_u128(0)),
        }
    }
}

/// An id as Python has it.
pub(crate) fn id_text<'py>(py: Python<'py>, id: Id<'_>) -> Bound<'py, PyString> {
    match id.as_text() {
        Some(text) => PyString::new(py, text),
        None => PyString::new(py, &id.to_string()),
    }
}

/// A place in a trace, as Python's memory holds it. Immutable but for its end: dropping a long chain must not recurse, so the
/// parent can be taken out.
#[repr(C)]
struct Node {
    head: ffi::PyObject,
    profiler: ManuallyDrop<Py<Profiler>>,
    /// A reference of its own, or null.
    parent: *mut Node,
    /// The open point's name, a `str` of valid UTF-8 and a reference of its own; null at the top.
    name: *mut ffi::PyObject,
    /// The open point's id, its high and low half: Python's memory is aligned for no `u128`.
    id: [u64; 2],
    /// The name as the recorder knows it, if it was recorded.
    number: Option<Name>,
    /// The process that opened the point: a forked child has a number of its own.
    generation: u32,
}

static TYPE: HeapType = HeapType::new();
static FREED: FreeList = FreeList::new();
/// Tops of traces alive in this process.
static TRACES: GilCell<usize> = GilCell::new(0);
static VARIABLE: GilCell<*mut ffi::PyObject> = GilCell::new(ptr::null_mut());

/// Makes the type of nodes, the variable, and what stands for a place in somebody else's hands.
#[expect(unsafe_code, reason = "a type and a variable of C's interface")]
pub(crate) fn prepare(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let mut slots = [
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(
            ffi::Py_tp_doc,
            c"A place in a trace: what `current_context` returns."
                .as_ptr()
                .cast_mut()
                .cast(),
        ),
        slot(0, ptr::null_mut()),
    ];
    let spec = ffi::PyType_Spec {
        name: c"osprofiler._native._Context".as_ptr(),
        basicsize: size_of::<Node>() as i32,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION) as u32,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the slots' functions have the signatures that their slots ask for, and a `Node` begins with a `PyObject`.
    let made = unsafe { TYPE.make(py, spec)? };
    // SAFETY: the name is a C string, and no default is allowed; the result is a new reference or null with an exception set.
    let variable = unsafe {
        Bound::from_owned_ptr_or_err(
            py,
            ffi::PyContextVar_New(c"osprofiler".as_ptr(), ptr::null_mut()),
        )?
    };
    VARIABLE.set(py, variable.into_ptr());
    // SAFETY: `make` returns a live type.
    Ok(unsafe { Bound::from_borrowed_ptr(py, made.cast()) })
}

/// A place in a trace: a node, and a reference to it.
#[derive(Clone)]
pub(crate) struct Place<'py>(Bound<'py, PyAny>);

impl<'py> Place<'py> {
    /// The top of the profiler's trace.
    pub(crate) fn top(profiler: &Bound<'py, Profiler>) -> PyResult<Self> {
        let py = profiler.py();
        let top = Self::new(profiler, ptr::null_mut(), ptr::null_mut(), 0, None)?;
        TRACES.set(py, TRACES.get(py) + 1);
        Ok(top)
    }

    /// A point below this place.
    pub(crate) fn below(
        &self,
        name: &Bound<'py, PyString>,
        number: Option<Name>,
        id: u128,
    ) -> PyResult<Self> {
        let parent = self.0.clone().into_ptr().cast();
        let name = name.clone().into_ptr();
        Self::new(self.profiler(), parent, name, id, number)
    }

    /// Takes `parent` and `name` over.
    #[expect(unsafe_code, reason = "an object of C's interface")]
    fn new(
        profiler: &Bound<'py, Profiler>,
        parent: *mut Node,
        name: *mut ffi::PyObject,
        id: u128,
        number: Option<Name>,
    ) -> PyResult<Self> {
        let py = profiler.py();
        // SAFETY: the memory is a node's: a freed one's, which the list held, or new and as large. `PyObject_Init` makes an object of it;
        // all other fields are written before anybody sees it.
        unsafe {
            let mut object = FREED.take(py);
            if object.is_null() {
                object = ffi::PyObject_Malloc(size_of::<Node>()).cast();
            }
            if object.is_null() {
                ffi::Py_XDECREF(parent.cast());
                ffi::Py_XDECREF(name);
                return Err(pyo3::exceptions::PyMemoryError::new_err(()));
            }
            ffi::PyObject_Init(object, TYPE.get(py));
            let node = object.cast::<Node>();
            (&raw mut (*node).profiler).write(ManuallyDrop::new(profiler.clone().unbind()));
            (&raw mut (*node).parent).write(parent);
            (&raw mut (*node).name).write(name);
            (&raw mut (*node).id).write([(id >> 64) as u64, id as u64]);
            (&raw mut (*node).number).write(number);
            (&raw mut (*node).generation).write(recorder::generation());
            Ok(Self(Bound::from_owned_ptr(py, object)))
        }
    }

    /// The place that `object` is.
    pub(crate) fn cast(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if TYPE.is_type_of(object) {
            return Ok(Self(object.clone()));
        }
        Err(PyTypeError::new_err("a place in a trace is needed"))
    }

    pub(crate) fn into_any(self) -> Bound<'py, PyAny> {
        self.0
    }

    #[inline]
    #[expect(unsafe_code, reason = "an object of C's interface")]
    fn node(&self) -> &Node {
        // SAFETY: only `new` and `cast` make a place, both of an object of our type, and it is alive as long as `self`.
        unsafe { &*self.0.as_ptr().cast::<Node>() }
    }

    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.is(&other.0)
    }

    #[inline]
    pub(crate) fn profiler(&self) -> &Bound<'py, Profiler> {
        self.node().profiler.bind(self.0.py())
    }

    /// Whether a point is open here; else it is the top.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !self.node().name.is_null()
    }

    /// The open point's id; 0 at the top.
    #[inline]
    pub(crate) fn id(&self) -> u128 {
        let [high, low] = self.node().id;
        u128::from(high) << 64 | u128::from(low)
    }

    /// The open point's name; `None` at the top.
    #[inline]
    #[expect(unsafe_code, reason = "a field of an object of C's interface")]
    pub(crate) fn name(&self) -> Option<Bound<'py, PyString>> {
        let name = self.node().name;
        // SAFETY: null, or a `str` that the node owns a reference to.
        unsafe {
            Bound::from_borrowed_ptr_or_opt(self.0.py(), name)
                .map(|name| name.cast_into_unchecked())
        }
    }

    /// The open point's name as the recorder knows it.
    #[inline]
    pub(crate) fn number(&self) -> Option<Name> {
        self.node().number
    }

    /// Whether this process opened the point, and did not inherit it by a fork.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.node().generation == recorder::generation()
    }

    #[inline]
    #[expect(unsafe_code, reason = "a field of an object of C's interface")]
    pub(crate) fn parent(&self) -> Option<Self> {
        let parent = self.node().parent.cast();
        // SAFETY: null, or a node that this one owns a reference to.
        unsafe { Bound::from_borrowed_ptr_or_opt(self.0.py(), parent).map(Self) }
    }

    /// What a point below this place has as its parent; `None` if the trace's ids cannot be recorded.
    #[inline]
    pub(crate) fn id_for_children(&self) -> Option<Id<'_>> {
        if self.is_open() {
            return Some(Id::from_u128(self.id()));
        }
        let (_, parent_id) = self.profiler().get().ids()?;
        Some(parent_id.as_id())
    }
}

#[expect(unsafe_code, reason = "an object of C's interface")]
unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    let node = object.cast::<Node>();
    // SAFETY: CPython calls this with the last reference to a node, with the interpreter attached. Each reference that the node owns is
    // given up once. A parent that nobody else has is emptied first, so that giving it up does not come back here deeper than once.
    unsafe {
        let py = Python::assume_attached();
        let mut parent = (*node).parent;
        let (profiler, name) = ((*node).profiler.as_ptr(), (*node).name);
        if name.is_null() {
            TRACES.set(py, TRACES.get(py) - 1);
        }
        let class = ffi::Py_TYPE(object);
        if !FREED.keep(py, object) {
            ffi::PyObject_Free(object.cast());
        }
        ffi::Py_DECREF(class.cast());
        ffi::Py_DECREF(profiler);
        ffi::Py_XDECREF(name);
        while !parent.is_null() {
            let next = if ffi::Py_REFCNT(parent.cast()) == 1 {
                (&raw mut (*parent).parent).replace(ptr::null_mut())
            } else {
                ptr::null_mut()
            };
            ffi::Py_DECREF(parent.cast());
            parent = next;
        }
    }
}

/// Whether no trace is open anywhere in this process.
#[inline]
pub(crate) fn is_untraced(py: Python<'_>) -> bool {
    TRACES.get(py) == 0
}

/// The current place. Costs one `ContextVar` read where the process has a trace at all.
#[inline]
#[expect(unsafe_code, reason = "pyo3 has no safe call for `PyContextVar_Get`")]
pub(crate) fn current(py: Python<'_>) -> Option<Place<'_>> {
    if is_untraced(py) {
        return None;
    }
    let mut value = ptr::null_mut();
    // SAFETY: `prepare` made the variable, the interpreter is attached (`py`), a null default is allowed, and `value` is valid
    // for the write; it receives a new reference or null, of which a `Bound` takes ownership.
    let value = unsafe {
        let result = ffi::PyContextVar_Get(VARIABLE.get(py), ptr::null_mut(), &raw mut value);
        if result < 0 {
            ffi::PyErr_Clear();
            return None;
        }
        Bound::from_owned_ptr_or_opt(py, value)?
    };
    TYPE.is_type_of(&value).then_some(Place(value))
}

/// Makes `place` the current one; `None` is outside of any trace.
#[inline]
#[expect(unsafe_code, reason = "pyo3 has no safe call for `PyContextVar_Set`")]
pub(crate) fn set<'py>(py: Python<'py>, place: Option<&Place<'py>>) -> PyResult<Before<'py>> {
    // SAFETY: `prepare` made the variable, the interpreter is attached, the value is a live object; the result is a new
    // reference (a token) or null with an exception set.
    unsafe {
        let value = place.map_or_else(|| ffi::Py_None(), |place| place.0.as_ptr());
        let token = ffi::PyContextVar_Set(VARIABLE.get(py), value);
        Bound::from_owned_ptr_or_err(py, token).map(Before)
    }
}

/// What [`set`] has replaced, as a token of the variable.
pub(crate) struct Before<'py>(Bound<'py, PyAny>);

impl Before<'_> {
    /// Makes the place current again that was so before. Half the cost of setting it, where this is still the context that it was
    /// set in; says whether it is.
    #[inline]
    #[expect(unsafe_code, reason = "pyo3 has no safe call for `PyContextVar_Reset`")]
    pub(crate) fn reset(self) -> bool {
        // SAFETY: `prepare` made the variable, and `PyContextVar_Set` the token; the interpreter is attached, as the token's
        // own lifetime says. Any other context's token, and a used one, is refused with an exception.
        unsafe {
            let is_reset = ffi::PyContextVar_Reset(VARIABLE.get(self.0.py()), self.0.as_ptr()) == 0;
            if !is_reset {
                ffi::PyErr_Clear();
            }
            is_reset
        }
    }
}
