// SPDX-License-Identifier: Apache-2.0
//! Python values become JSON text, on the calling thread, because they may change later.
//!
//! Any value gives a text, best effort: what JSON knows as itself, dates as ISO, `Decimal`, `UUID` as their text, bytes as
//! UTF-8 or else base64, sets and tuples as lists, everything else as its `repr`. At most [`MAX_BYTES`] and [`MAX_LEVELS`] levels
//! are written; what is left out is marked `<cut>`, a container inside itself `<cycle>`. An iterator is never consumed.
//! Only what is no `Exception` (`KeyboardInterrupt`, an eventlet `Timeout`) leaves here as an error: it is the program's.

use std::cell::Cell;
use std::fmt::Write;

use base64::Engine;
use osprofiler::secrets;
use pyo3::exceptions::PyException;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDate, PyDateAccess, PyDateTime, PyDict, PyFloat, PyFrozenSet,
    PyInt, PyList, PyMemoryView, PyNone, PySet, PySlice, PyString, PyTimeAccess, PyTuple, PyType,
};

use crate::json_text;

/// The longest text of one `info`, a little below the recorder's own bound so that marks and `host` still fit.
pub(crate) const MAX_BYTES: usize = (1 << 20) - 8192;
/// The deepest nesting that is written out.
pub(crate) const MAX_LEVELS: usize = 16;

pub(crate) const CUT: &str = "<cut>";
const CYCLE: &str = "<cycle>";
/// A buffer that has grown beyond this is not kept for the next value.
const KEEP_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<String> = const { Cell::new(String::new()) };
}

/// The text of an info while it is made and recorded; its memory is the thread's, and goes back to it.
pub(crate) struct InfoText(String);

impl InfoText {
    /// An empty text. A `repr` may run traced code, which comes here again: the buffer is taken, not borrowed.
    pub(crate) fn take() -> Self {
        let mut text = BUFFER.try_with(Cell::take).unwrap_or_default();
        text.clear();
        Self(text)
    }

    pub(crate) fn as_mut(&mut self) -> &mut String {
        &mut self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Drop for InfoText {
    fn drop(&mut self) {
        if self.0.capacity() <= KEEP_BYTES {
            let _ = BUFFER.try_with(|buffer| buffer.set(std::mem::take(&mut self.0)));
        }
    }
}

/// Appends the JSON object text of `info`, without a top-level `host`. What is no dict is told as `{"info": ...}`.
pub(crate) fn push_info(info: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
    let mut writer = InfoWriter::new(out);
    if let Ok(dict) = info.cast::<PyDict>() {
        return writer.dict(dict, Some("host"));
    }
    writer.out.push_str("{\"info\": ");
    let written = writer.value(info);
    writer.out.push('}');
    written
}

/// Appends one member of the object that is written for `owner`.
pub(crate) fn push_member(
    owner: &Bound<'_, PyAny>,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    out: &mut String,
) -> PyResult<()> {
    let mut writer = InfoWriter::new(out);
    writer.enter(owner);
    writer.key(key)?;
    writer.out.push_str(": ");
    writer.value(value)
}

/// Appends the JSON text of any one value, under the same bounds.
pub(crate) fn push_value(value: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
    InfoWriter::new(out).value(value)
}

/// Whether nothing inside `value` can change: its text may be made once.
pub(crate) fn is_constant(value: &Bound<'_, PyAny>) -> bool {
    is_constant_scalar(value)
        || value
            .cast_exact::<PyTuple>()
            .is_ok_and(|items| items.iter().all(|item| is_constant_scalar(&item)))
}

fn is_constant_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.cast_exact::<PyString>().is_ok()
        || value.cast_exact::<PyBool>().is_ok()
        || value.cast_exact::<PyInt>().is_ok()
        || value.cast_exact::<PyFloat>().is_ok()
        || value.cast_exact::<PyBytes>().is_ok()
}

struct InfoWriter<'a> {
    out: &'a mut String,
    /// The containers around the current value, to find cycles.
    open: [*mut ffi::PyObject; MAX_LEVELS],
    level: usize,
}

impl<'a> InfoWriter<'a> {
    fn new(out: &'a mut String) -> Self {
        Self {
            out,
            open: [std::ptr::null_mut(); MAX_LEVELS],
            level: 0,
        }
    }

    fn room(&self) -> usize {
        MAX_BYTES.saturating_sub(self.out.len())
    }

    fn value(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = value.cast::<PyString>() {
            return self.string(text);
        }
        if value.cast::<PyNone>().is_ok() {
            self.out.push_str("null");
            return Ok(());
        }
        if let Ok(flag) = value.cast::<PyBool>() {
            self.out
                .push_str(if flag.is_true() { "true" } else { "false" });
            return Ok(());
        }
        if let Ok(number) = value.cast::<PyInt>() {
            return self.int(number);
        }
        if let Ok(dict) = value.cast::<PyDict>() {
            return self.dict(dict, None);
        }
        if let Ok(list) = value.cast::<PyList>() {
            return self.container(value, |writer| {
                let mut index = 0;
                // By index: a `repr` further down may change the list.
                while let Ok(item) = list.get_item(index) {
                    if !writer.item(index, &item)? {
                        break;
                    }
                    index += 1;
                }
                Ok(())
            });
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return self.container(value, |writer| writer.items(tuple.iter()));
        }
        if let Ok(number) = value.cast::<PyFloat>() {
            return self.float(number.value(), value.py());
        }
        self.rare_value(value)
    }

    #[cold]
    fn rare_value(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(bytes) = value.cast::<PyBytes>() {
            self.bytes(bytes.as_bytes());
            return Ok(());
        }
        if value.cast::<PySet>().is_ok() || value.cast::<PyFrozenSet>().is_ok() {
            let Ok(items) = value.py().get_type::<PyList>().call1((value,)) else {
                return self.repr(value);
            };
            let items = items.cast_into::<PyList>()?;
            return self.container(value, |writer| writer.items(items.iter()));
        }
        if value.cast::<PyByteArray>().is_ok() || value.cast::<PyMemoryView>().is_ok() {
            return self.numbers_of(value);
        }
        if let Ok(time) = value.cast::<PyDateTime>() {
            return self.datetime(time);
        }
        if value.cast::<PyDate>().is_ok() {
            return self.text_of(value, value.call_method0("isoformat"));
        }
        if is_text_type(value) {
            return self.text_of(value, value.str().map(Bound::into_any));
        }
        if is_deque(value) {
            let Ok(items) = value.py().get_type::<PyList>().call1((value,)) else {
                return self.repr(value);
            };
            let items = items.cast_into::<PyList>()?;
            return self.container(value, |writer| writer.items(items.iter()));
        }
        self.repr(value)
    }

    /// Writes `[`, what `body` writes, `]`; or the mark that says why not.
    fn container(
        &mut self,
        value: &Bound<'_, PyAny>,
        body: impl FnOnce(&mut Self) -> PyResult<()>,
    ) -> PyResult<()> {
        if !self.enter(value) {
            return Ok(());
        }
        self.out.push('[');
        let written = body(self);
        self.out.push(']');
        self.level -= 1;
        written
    }

    fn enter(&mut self, value: &Bound<'_, PyAny>) -> bool {
        let mark = if self.open[..self.level].contains(&value.as_ptr()) {
            CYCLE
        } else if self.level == MAX_LEVELS || self.room() == 0 {
            CUT
        } else {
            self.open[self.level] = value.as_ptr();
            self.level += 1;
            return true;
        };
        self.out.push('"');
        self.out.push_str(mark);
        self.out.push('"');
        false
    }

    fn items<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<()> {
        for (index, item) in items.enumerate() {
            if !self.item(index, &item)? {
                break;
            }
        }
        Ok(())
    }

    /// Writes one element; `false` if there was no room for it.
    fn item(&mut self, index: usize, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        if index > 0 {
            self.out.push_str(", ");
        }
        if self.room() == 0 {
            self.out.push_str("\"<cut>\"");
            return Ok(false);
        }
        self.value(item)?;
        Ok(true)
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, without: Option<&str>) -> PyResult<()> {
        if !self.enter(dict.as_any()) {
            return Ok(());
        }
        self.out.push('{');
        let written = self.members(dict, without);
        self.out.push('}');
        self.level -= 1;
        written
    }

    fn members(&mut self, dict: &Bound<'_, PyDict>, without: Option<&str>) -> PyResult<()> {
        let mut first = true;
        // A copy: a `repr` further down may change the dict.
        for member in dict.items() {
            let (key, value) = member.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            if let (Some(without), Ok(key)) = (without, key.cast::<PyString>())
                && key.to_str().is_ok_and(|key| key == without)
            {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push_str(", ");
            }
            if self.room() == 0 {
                self.out.push_str("\"<cut>\": true");
                break;
            }
            self.key(&key)?;
            self.out.push_str(": ");
            self.value(&value)?;
        }
        Ok(())
    }

    fn key(&mut self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = key.cast::<PyString>() {
            return self.string(text);
        }
        if key.is_none() || key.cast::<PyInt>().is_ok() || key.cast::<PyFloat>().is_ok() {
            self.out.push('"');
            let written = self.value(key);
            self.out.push('"');
            return written;
        }
        if let Ok(bytes) = key.cast::<PyBytes>() {
            self.bytes(bytes.as_bytes());
            return Ok(());
        }
        self.repr(key)
    }

    fn string(&mut self, text: &Bound<'_, PyString>) -> PyResult<()> {
        let room = self.room();
        let long = text.len().is_ok_and(|length| length > room);
        let head = if long {
            // Only the head is turned into UTF-8.
            text.as_any()
                .get_item(PySlice::new(text.py(), 0, room as isize, 1))?
                .cast_into::<PyString>()?
        } else {
            text.clone()
        };
        self.out.push('"');
        match head.to_str() {
            Ok(head) => self.escape(head, long),
            Err(_) => self.surrogates(&head, long)?,
        }
        self.out.push('"');
        Ok(())
    }

    fn escape(&mut self, text: &str, cut: bool) {
        if !json_text::push_head(text, MAX_BYTES, self.out) || cut {
            self.out.push_str(CUT);
        }
    }

    /// A text that is no UTF-8 because it has lone surrogates, which JSON can say.
    #[cold]
    fn surrogates(&mut self, text: &Bound<'_, PyString>, cut: bool) -> PyResult<()> {
        let encoded = text.call_method1("encode", ("utf-16-le", "surrogatepass"))?;
        let encoded = encoded.cast::<PyBytes>()?.as_bytes();
        let mut cut = cut;
        for pair in encoded.chunks_exact(2) {
            if self.room() == 0 {
                cut = true;
                break;
            }
            json_text::push_unit(u16::from_le_bytes([pair[0], pair[1]]), self.out);
        }
        if cut {
            self.out.push_str(CUT);
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.out.push('"');
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.escape(text, false);
        } else {
            // Whole groups of three, so that what is cut is still base64 up to the mark.
            let fitting = bytes.len().min(self.room() / 4 * 3);
            base64::engine::general_purpose::STANDARD.encode_string(&bytes[..fitting], self.out);
            if fitting < bytes.len() {
                self.out.push_str(CUT);
            }
        }
        self.out.push('"');
    }

    fn int(&mut self, number: &Bound<'_, PyInt>) -> PyResult<()> {
        if let Ok(number) = number.extract::<i64>() {
            json_text::push_integer(number, self.out);
            return Ok(());
        }
        // Beyond 64 bits, through `int` itself (a subclass may print as it likes); it refuses thousands of digits.
        let text = number
            .py()
            .get_type::<PyInt>()
            .call_method1("__repr__", (number,));
        match text {
            Ok(text) => {
                if let Ok(text) = text.cast::<PyString>()?.to_str() {
                    self.out.push_str(text);
                }
                Ok(())
            }
            Err(error) => {
                raise_if_not_exception(number.py(), error)?;
                self.out.push_str("\"<int of too many digits>\"");
                Ok(())
            }
        }
    }

    fn float(&mut self, number: f64, py: Python<'_>) -> PyResult<()> {
        if number.is_nan() {
            self.out.push_str("NaN");
        } else if number.is_infinite() {
            self.out.push_str(if number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            });
        } else {
            let text = PyFloat::new(py, number).repr()?;
            self.out.push_str(text.to_str()?);
        }
        Ok(())
    }

    fn datetime(&mut self, time: &Bound<'_, PyDateTime>) -> PyResult<()> {
        write!(
            self.out,
            "\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}\"",
            time.get_year(),
            time.get_month(),
            time.get_day(),
            time.get_hour(),
            time.get_minute(),
            time.get_second(),
            time.get_microsecond()
        )
        .map_err(|_| PyException::new_err("cannot write a date"))
    }

    /// `bytearray` and `memoryview`, as upstream: lists of numbers.
    fn numbers_of(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let room = self.room();
        let head = value
            .get_item(PySlice::new(value.py(), 0, room as isize, 1))
            .and_then(|head| value.py().get_type::<PyList>().call1((head,)));
        match head {
            Ok(head) => {
                let head = head.cast_into::<PyList>()?;
                self.container(value, |writer| writer.items(head.iter()))
            }
            Err(error) => {
                raise_if_not_exception(value.py(), error)?;
                self.repr(value)
            }
        }
    }

    fn text_of<'py>(
        &mut self,
        value: &Bound<'py, PyAny>,
        text: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        match text.and_then(|text| Ok(text.cast_into::<PyString>()?)) {
            Ok(text) => self.string(&text),
            Err(error) => {
                raise_if_not_exception(value.py(), error)?;
                self.repr(value)
            }
        }
    }

    fn repr(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.string(&safe_repr(value)?)
    }
}

/// The text that a point's info is stored as, without its secrets if this process masks them.
#[pyfunction]
pub(crate) fn info_json(info: &Bound<'_, PyAny>) -> PyResult<String> {
    let mut text = String::new();
    if info.is_none() {
        text.push_str("{}");
    } else {
        push_info(info, &mut text)?;
    }
    secrets::mask_info(&mut text);
    Ok(text)
}

/// `repr(value)`, or a text that names the type if that raises.
#[pyfunction]
pub(crate) fn safe_repr<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    value.repr().or_else(|error| unprintable(value, error))
}

/// `str(value)`, or a text that names the type if that raises.
#[pyfunction]
pub(crate) fn safe_str<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    value.str().or_else(|error| unprintable(value, error))
}

/// The text, or as many of its characters as an info has room for in UTF-8, with the mark.
pub(crate) fn head(text: Bound<'_, PyString>) -> PyResult<Bound<'_, PyString>> {
    let py = text.py();
    // Only the head is encoded: one character more than there is room for. By `str` itself, as a subclass may not let us.
    let enough = PySlice::new(py, 0, MAX_BYTES as isize + 1, 1);
    let head = py
        .get_type::<PyString>()
        .call_method1("__getitem__", (&text, enough))?;
    // Half a surrogate pair is a character of Python's texts, too.
    let encoded = head.call_method1("encode", ("utf-8", "surrogatepass"))?;
    let bytes = encoded.cast::<PyBytes>()?.as_bytes();
    if bytes.len() <= MAX_BYTES {
        return Ok(text);
    }
    let is_inside = |end: &usize| bytes[*end] & 0b1100_0000 == 0b1000_0000;
    let end = (0..=MAX_BYTES).rev().find(|end| !is_inside(end));
    let head = PyBytes::new(py, &bytes[..end.unwrap_or(0)]);
    let head = head.call_method1("decode", ("utf-8", "surrogatepass"))?;
    Ok(head.add(PyString::new(py, CUT))?.cast_into()?)
}

#[cold]
pub(crate) fn unprintable<'py>(
    value: &Bound<'py, PyAny>,
    error: PyErr,
) -> PyResult<Bound<'py, PyString>> {
    let py = value.py();
    raise_if_not_exception(py, error)?;
    let name = value.get_type().name();
    let name = name.as_ref().map_or(Ok("?"), |name| name.to_str());
    let text = format!("<unprintable {} object>", name.unwrap_or("?"));
    Ok(PyString::new(py, &text))
}

/// Gives back an error that is no `Exception`, and forgets any other.
pub(crate) fn raise_if_not_exception(py: Python<'_>, error: PyErr) -> PyResult<()> {
    if error.is_instance_of::<PyException>(py) {
        Ok(())
    } else {
        Err(error)
    }
}

/// Whether a value counts as true; one that fails to say so does.
pub(crate) fn is_true(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value
        .is_truthy()
        .or_else(|error| raise_if_not_exception(value.py(), error).map(|()| true))
}

fn is_text_type(value: &Bound<'_, PyAny>) -> bool {
    static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static UUID: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    is_imported_type(value, &DECIMAL, "decimal", "Decimal")
        || is_imported_type(value, &UUID, "uuid", "UUID")
        || value.get_type().module().is_ok_and(|module| {
            module
                .to_str()
                .is_ok_and(|name| name.starts_with("netaddr."))
        })
}

fn is_deque(value: &Bound<'_, PyAny>) -> bool {
    static DEQUE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    is_imported_type(value, &DEQUE, "collections", "deque")
}

pub(crate) fn is_imported_type(
    value: &Bound<'_, PyAny>,
    cell: &'static PyOnceLock<Py<PyType>>,
    module: &str,
    name: &str,
) -> bool {
    cell.import(value.py(), module, name)
        .is_ok_and(|class| value.is_instance(class.as_any()).unwrap_or(false))
}
