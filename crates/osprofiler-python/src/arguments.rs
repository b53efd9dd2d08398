// SPDX-License-Identifier: Apache-2.0
//! The arguments of a traced call as text: what `str(args)` and `str(kwargs)` give, written without making either.
//!
//! In come the arguments as vectorcall has them; out goes text straight into the JSON of an info. The commonest values (short
//! plain texts, numbers, `None`, objects without a `repr` of their own) are written here, all others by their `repr`. One that
//! raises costs its own argument's text only, named by its type then; what is no `Exception` is returned.

#![expect(unsafe_code, reason = "vectorcall hands arguments over by address")]

use std::slice;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PySlice, PyString, PyTuple, PyTupleMethods};

use crate::json_text;
use crate::value::{self, MAX_BYTES};

/// A call's arguments, borrowed from the caller.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a, 'py> {
    positional: &'a [*mut ffi::PyObject],
    /// The values of `names`, in order.
    keyword: &'a [*mut ffi::PyObject],
    names: Option<&'a Bound<'py, PyTuple>>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// # Safety
    /// The arguments are as a vectorcall function got them, `names` is that call's, and both outlive `'a`.
    #[inline]
    pub(crate) unsafe fn of_vectorcall(
        arguments: *const *mut ffi::PyObject,
        flagged_count: usize,
        names: Option<&'a Bound<'py, PyTuple>>,
    ) -> Self {
        // SAFETY: the function only masks a number.
        let count = unsafe { ffi::PyVectorcall_NARGS(flagged_count) } as usize;
        let keyword = names.map_or(0, PyTupleMethods::len);
        if arguments.is_null() {
            return Self::none();
        }
        // SAFETY: vectorcall passes that many objects, the positional ones first.
        unsafe {
            Self {
                positional: slice::from_raw_parts(arguments, count),
                keyword: slice::from_raw_parts(arguments.add(count), keyword),
                names,
            }
        }
    }

    fn none() -> Self {
        Self {
            positional: &[],
            keyword: &[],
            names: None,
        }
    }

    /// The arguments that a tuple holds, those of `names` last.
    pub(crate) fn of_tuple(
        values: &'a Bound<'py, PyTuple>,
        names: &'a Bound<'py, PyTuple>,
    ) -> Self {
        let tuple = values.as_ptr().cast::<ffi::PyTupleObject>();
        // SAFETY: a tuple has as many members as its length says, one after the other, and keeps them as long as it lives.
        let values =
            unsafe { slice::from_raw_parts((&raw const (*tuple).ob_item).cast(), values.len()) };
        let (positional, keyword) = values.split_at(values.len().saturating_sub(names.len()));
        Self {
            positional,
            keyword,
            names: Some(names),
        }
    }

    #[inline]
    pub(crate) fn positional(self) -> &'a [*mut ffi::PyObject] {
        self.positional
    }

    /// The keyword arguments with their names.
    pub(crate) fn named(self) -> impl Iterator<Item = (Bound<'py, PyString>, *mut ffi::PyObject)> {
        let names = self.names.into_iter().flat_map(PyTupleMethods::iter);
        let names = names.filter_map(|name| name.cast_into::<PyString>().ok());
        names.zip(self.keyword.iter().copied())
    }

    /// The positional arguments as a tuple, the keyword ones as a dict.
    pub(crate) fn to_objects(
        self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let positional = self.positional.iter().map(|object| borrowed(py, object));
        let positional = PyTuple::new(py, positional.collect::<Vec<_>>())?;
        let keyword = PyDict::new(py);
        for (name, object) in self.names.into_iter().flatten().zip(self.keyword) {
            keyword.set_item(name, borrowed(py, object))?;
        }
        Ok((positional, keyword))
    }

    /// Appends what `str(args)` is.
    pub(crate) fn push_positional(self, py: Python<'py>, sink: &mut impl Sink) -> PyResult<()> {
        sink.plain("(");
        for (index, object) in self.positional.iter().enumerate() {
            if index > 0 {
                sink.plain(", ");
            }
            push_repr(borrowed(py, object), sink)?;
            if sink.is_full() {
                sink.mark_cut();
                return Ok(());
            }
        }
        sink.plain(if self.positional.len() == 1 {
            ",)"
        } else {
            ")"
        });
        Ok(())
    }

    /// Appends what `str(kwargs)` is.
    pub(crate) fn push_named(self, py: Python<'py>, sink: &mut impl Sink) -> PyResult<()> {
        sink.plain("{");
        let names = self
            .names
            .into_iter()
            .flat_map(|names| names.iter_borrowed());
        for (index, (name, object)) in names.zip(self.keyword).enumerate() {
            if index > 0 {
                sink.plain(", ");
            }
            push_repr(&name, sink)?;
            sink.plain(": ");
            push_repr(borrowed(py, object), sink)?;
            if sink.is_full() {
                sink.mark_cut();
                return Ok(());
            }
        }
        sink.plain("}");
        Ok(())
    }
}

/// The object at an address that the caller of a traced function passed.
#[inline]
fn borrowed<'a, 'py>(py: Python<'py>, object: &'a *mut ffi::PyObject) -> &'a Bound<'py, PyAny> {
    // SAFETY: whoever made the `Arguments` vouched for its addresses; the caller's references outlive the slice that holds them.
    unsafe { Bound::ref_from_ptr(py, object) }
}

/// Where the text goes.
pub(crate) trait Sink {
    /// Appends text that needs no escaping: printable ASCII without quotes (`"`) and backslashes.
    fn plain(&mut self, text: &str);

    /// Appends any text, as much as there is room for, and the mark if that is not all.
    fn any(&mut self, text: &str);

    /// Appends the mark of what is left out, unless it is there.
    fn mark_cut(&mut self);

    /// Whether there is no room for more.
    fn is_full(&self) -> bool;
}

/// A text as it is, for a notifier made in Python, within the bounds that stores have.
pub(crate) struct Plain {
    text: String,
    max_bytes: usize,
}

impl Plain {
    /// An empty text of one info whose texts have `taken_bytes` already.
    pub(crate) fn new(taken_bytes: usize) -> Self {
        Self {
            text: String::new(),
            max_bytes: MAX_BYTES.saturating_sub(taken_bytes),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl Sink for Plain {
    fn plain(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn any(&mut self, text: &str) {
        let room = self.max_bytes.saturating_sub(self.text.len());
        let mut end = room.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&text[..end]);
        if end < text.len() {
            self.mark_cut();
        }
    }

    fn mark_cut(&mut self) {
        mark_cut(&mut self.text);
    }

    fn is_full(&self) -> bool {
        self.text.len() >= self.max_bytes
    }
}

fn mark_cut(text: &mut String) {
    if !text.ends_with(value::CUT) {
        text.push_str(value::CUT);
    }
}

/// The inside of a JSON text, within the bounds of an info.
pub(crate) struct Escaped<'a>(pub(crate) &'a mut String);

impl Sink for Escaped<'_> {
    #[inline]
    fn plain(&mut self, text: &str) {
        self.0.push_str(text);
    }

    #[inline]
    fn any(&mut self, text: &str) {
        if !json_text::push_head(text, MAX_BYTES, self.0) {
            self.mark_cut();
        }
    }

    fn mark_cut(&mut self) {
        mark_cut(self.0);
    }

    fn is_full(&self) -> bool {
        self.0.len() >= MAX_BYTES
    }
}

/// The longest text that is looked at for being plain; its `repr` is the text in quotes then.
const SHORT_BYTES: usize = 128;

/// Appends `repr(value)`.
pub(crate) fn push_repr(value: &Bound<'_, PyAny>, sink: &mut impl Sink) -> PyResult<()> {
    let class = value.get_type_ptr();
    // SAFETY: the types are CPython's own statics; only addresses are compared, and slots of a live type read.
    unsafe {
        if class == &raw mut ffi::PyUnicode_Type {
            if push_plain_text(value.cast_unchecked(), sink) {
                return Ok(());
            }
        } else if class == &raw mut ffi::PyLong_Type {
            if let Some(number) = small(value.cast_unchecked()) {
                push_number(number, sink);
                return Ok(());
            }
        } else if value.is_none() {
            sink.plain("None");
            return Ok(());
        } else if class == &raw mut ffi::PyBool_Type {
            let is_true = value.as_ptr() == ffi::Py_True();
            sink.plain(if is_true { "True" } else { "False" });
            return Ok(());
        } else if has_default_repr(class) && push_default_repr(value, class, sink).is_some() {
            return Ok(());
        }
    }
    push_any_repr(value, sink)
}

/// Whether a class has no `repr` but `object`'s.
///
/// # Safety
/// `class` is alive.
#[inline]
unsafe fn has_default_repr(class: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: as the caller vouches; the other is a static of CPython's. Both functions are CPython's own or another library's,
    // and such have one address each.
    unsafe {
        match ((*class).tp_repr, ffi::PyBaseObject_Type.tp_repr) {
            (Some(own), Some(default)) => std::ptr::fn_addr_eq(own, default),
            _ => false,
        }
    }
}

/// Appends a short text of printable ASCII in which nothing is to be escaped; `false` if it is another.
#[inline]
fn push_plain_text(text: &Bound<'_, PyString>, sink: &mut impl Sink) -> bool {
    let Ok(text) = text.to_str() else {
        return false;
    };
    let is_plain = text.len() <= SHORT_BYTES
        && text
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'"' | b'\\'));
    if is_plain {
        sink.plain("'");
        sink.plain(text);
        sink.plain("'");
    }
    is_plain
}

#[inline]
fn small(number: &Bound<'_, PyInt>) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: `number` is an `int`, so this cannot fail but by overflow, which it tells.
    let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(number.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(small)
}

#[inline]
fn push_number(number: i64, sink: &mut impl Sink) {
    let mut text = [0; 20];
    sink.plain(json_text::integer(number, &mut text));
}

/// Appends what `object.__repr__` gives: `<module.Class object at 0x...>`. `None` if the class is a rarer kind.
fn push_default_repr(
    value: &Bound<'_, PyAny>,
    class: *mut ffi::PyTypeObject,
    sink: &mut impl Sink,
) -> Option<()> {
    // SAFETY: a live type; a heap type is a `PyHeapTypeObject`, whose qualified name is a `str`.
    let name = unsafe {
        if ffi::PyType_HasFeature(class, ffi::Py_TPFLAGS_HEAPTYPE) == 0 {
            return None;
        }
        Bound::ref_from_ptr(
            value.py(),
            &(*class.cast::<ffi::PyHeapTypeObject>()).ht_qualname,
        )
        .cast_unchecked::<PyString>()
    };
    let class = value.get_type();
    let module = class
        .as_any()
        .getattr(intern!(value.py(), "__module__"))
        .ok()?;
    let module = module.cast::<PyString>().ok()?.to_str().ok()?;
    let name = name.to_str().ok()?;
    if module == "builtins" {
        return None;
    }
    sink.plain("<");
    sink.any(module);
    sink.plain(".");
    sink.any(name);
    sink.plain(" object at 0x");
    let mut digits = [0; 16];
    sink.plain(json_text::hexadecimal(value.as_ptr() as u64, &mut digits));
    sink.plain(">");
    Some(())
}

/// Appends the `repr` that the value's own class makes.
#[inline(never)]
fn push_any_repr(value: &Bound<'_, PyAny>, sink: &mut impl Sink) -> PyResult<()> {
    if let Ok(text) = value.cast_exact::<PyString>()
        && text.len()? > MAX_BYTES
    {
        // What will be left out need not be copied either.
        let head = PySlice::new(value.py(), 0, MAX_BYTES as isize, 1);
        return push_any_repr(&text.as_any().get_item(head)?, sink);
    }
    // SAFETY: a live object; the result is a new reference or null with an exception set.
    let text =
        unsafe { Bound::from_owned_ptr_or_opt(value.py(), ffi::PyObject_Repr(value.as_ptr())) };
    let text = match text {
        // SAFETY: `PyObject_Repr` returns nothing but a `str`.
        Some(text) => unsafe { text.cast_into_unchecked::<PyString>() },
        // Attached anew, so that the error is given up here and not some time later.
        None => Python::attach(|_| value::unprintable(value, PyErr::fetch(value.py())))?,
    };
    match text.to_str() {
        Ok(text) => sink.any(text),
        Err(_) => sink.any(&text.to_string_lossy()),
    }
    Ok(())
}
