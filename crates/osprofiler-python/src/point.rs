// SPDX-License-Identifier: Apache-2.0
//! What `trace` knows of one function: the point's name, the user's info, what to hide; and the texts that its calls make of it.
//!
//! Constant parts are encoded once, at the first call that is recorded: the name's number, the function's name, and the user's
//! info where nothing inside it can change. Arguments and results become text on the calling thread.

use std::borrow::Cow;
use std::sync::OnceLock;

use osprofiler::recorder::Name;
use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFunction, PyString, PyTuple, PyType};

use crate::arguments::{Arguments, Escaped, Plain, push_repr};
use crate::context::{self, Place};
use crate::notifier::{self, Nothing, PointInfo, Prepared};
use crate::points::{self, Opened};
use crate::value::{self, MAX_BYTES};
use crate::{function, json_text};

/// A traced function's point.
#[pyclass(frozen, module = "osprofiler._native", name = "_Point")]
pub(crate) struct Point {
    /// As given.
    given_name: Py<PyAny>,
    /// Valid UTF-8.
    name: Py<PyString>,
    function: Py<PyAny>,
    /// The user's info, a copy of our own.
    info: Py<PyAny>,
    hide_args: bool,
    hide_result: bool,
    number: OnceLock<Option<Name>>,
    function_name: OnceLock<String>,
    start: OnceLock<StartText>,
}

/// The JSON of a start's info, but for the arguments.
#[derive(Clone, Default)]
struct StartText {
    text: String,
    /// Where the arguments go.
    arguments_at: usize,
}

#[pymethods]
impl Point {
    #[new]
    #[pyo3(signature = (name, info, function, hide_args, hide_result))]
    fn new(
        name: &Bound<'_, PyAny>,
        info: Py<PyAny>,
        function: Py<PyAny>,
        hide_args: &Bound<'_, PyAny>,
        hide_result: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        Ok(Self {
            given_name: name.clone().unbind(),
            name: points::name(name)?.unbind(),
            function,
            info,
            hide_args: value::is_true(hide_args)?,
            hide_result: value::is_true(hide_result)?,
            number: OnceLock::new(),
            function_name: OnceLock::new(),
            start: OnceLock::new(),
        })
    }

    /// What a start with these arguments tells, as they are now, for an `open` that comes later; `None` if nobody is told of them.
    fn told<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        if slf.get().hide_args {
            return Ok(None);
        }
        with_arguments(args, kwargs, |arguments| {
            let info = CallInfo {
                point: slf.get(),
                arguments,
                told: None,
            };
            Ok(match notifier::prepare(py, &info)? {
                Prepared::Off => None,
                Prepared::Record(_, json) => Some(PyString::new(py, json.as_str()).into_any()),
                Prepared::Call(_, info) => Some(info.into_any()),
            })
        })
    }

    /// Opens the point with these arguments, of which `told` was made when they were passed; what is returned goes to `close` or
    /// `fail`, `None` is nothing to close.
    fn open<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        told: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let around = context::current(slf.py());
        let opened = with_arguments(args, kwargs, |arguments| {
            let info = CallInfo {
                point: slf.get(),
                arguments,
                told,
            };
            slf.get().open_told(slf.py(), around.as_ref(), &info)
        })?;
        Ok(opened.map(|opened| opened.into_any(slf.py())))
    }

    /// Closes the point after a return.
    #[pyo3(name = "close")]
    fn close_object<'py>(
        &self,
        opened: &Bound<'py, PyAny>,
        result: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        self.close_call(result.py(), Opened::from_any(opened)?, result)
    }

    /// Closes the point after an error.
    #[pyo3(name = "fail")]
    #[expect(clippy::unused_self, reason = "beside `close`")]
    fn fail_object<'py>(
        &self,
        opened: &Bound<'py, PyAny>,
        error: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        fail(error.py(), Opened::from_any(opened)?, error)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.given_name)?;
        visit.call(&self.function)?;
        visit.call(&self.info)
    }
}

impl Point {
    /// Opens the point of a call.
    #[inline]
    pub(crate) fn open_call<'py>(
        &self,
        py: Python<'py>,
        around: Option<&Place<'py>>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Option<Opened<'py>>> {
        let info = CallInfo {
            point: self,
            arguments,
            told: None,
        };
        self.open_told(py, around, &info)
    }

    #[inline]
    fn open_told<'py>(
        &self,
        py: Python<'py>,
        around: Option<&Place<'py>>,
        info: &CallInfo<'_, 'py>,
    ) -> PyResult<Option<Opened<'py>>> {
        points::open_anywhere(around, self.given_name.bind(py), info, |around| {
            points::open_numbered(around, self.name.bind(py), info, || self.number(py))
        })
    }

    /// Closes the point of a call that has returned.
    #[inline]
    pub(crate) fn close_call<'py>(
        &self,
        py: Python<'py>,
        opened: Opened<'py>,
        result: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        if self.hide_result {
            return points::close_anywhere(py, opened, &Nothing);
        }
        points::close_anywhere(py, opened, &ResultInfo(result))
    }

    fn number(&self, py: Python<'_>) -> Option<Name> {
        *self
            .number
            .get_or_init(|| Name::intern(self.name.bind(py).to_str().ok()?))
    }

    fn function_name(&self, py: Python<'_>) -> PyResult<&str> {
        if let Some(name) = self.function_name.get() {
            return Ok(name);
        }
        let name = callable_name(self.function.bind(py))?;
        Ok(self.function_name.get_or_init(|| name))
    }

    fn start_text(&self, py: Python<'_>) -> PyResult<Cow<'_, StartText>> {
        if let Some(start) = self.start.get() {
            return Ok(Cow::Borrowed(start));
        }
        let mut start = StartText::default();
        if self.make_start(py, &mut start)? {
            return Ok(Cow::Borrowed(self.start.get_or_init(|| start)));
        }
        Ok(Cow::Owned(start))
    }

    /// Makes the text, and returns whether it will always be the same.
    fn make_start(&self, py: Python<'_>, start: &mut StartText) -> PyResult<bool> {
        let info = self.info.bind(py);
        let mut is_constant = true;
        start.text.push('{');
        if let Ok(info) = info.cast::<PyDict>() {
            // A copy: a `repr` may change what is ours, if it looks for it.
            for member in info.items() {
                let (key, value) = member.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
                match key.cast::<PyString>().map(|key| key.to_str()) {
                    Ok(Ok("function")) => self.make_function(py, start)?,
                    Ok(Ok("host")) => {}
                    _ => {
                        separate(&mut start.text);
                        value::push_member(info.as_any(), &key, &value, &mut start.text)?;
                        is_constant &= value::is_constant(&key) && value::is_constant(&value);
                    }
                }
            }
        }
        if start.arguments_at == 0 {
            self.make_function(py, start)?;
        }
        start.text.push('}');
        Ok(is_constant)
    }

    fn make_function(&self, py: Python<'_>, start: &mut StartText) -> PyResult<()> {
        separate(&mut start.text);
        start.text.push_str("\"function\": {\"name\": \"");
        // Not bounded by an info's room: its arguments may be cut, its name says what was called.
        json_text::push_head(self.function_name(py)?, usize::MAX, &mut start.text);
        start.text.push('"');
        start.arguments_at = start.text.len();
        start.text.push('}');
        Ok(())
    }
}

fn separate(text: &mut String) {
    if text.len() > 1 {
        text.push_str(", ");
    }
}

/// Lends the arguments of a call to `work`.
fn with_arguments<'py, T>(
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
    work: impl FnOnce(&Arguments<'_, 'py>) -> PyResult<T>,
) -> PyResult<T> {
    let names = PyTuple::new(args.py(), kwargs.keys())?;
    let values: Vec<_> = args.iter().chain(kwargs.values()).collect();
    let values = PyTuple::new(args.py(), values)?;
    work(&Arguments::of_tuple(&values, &names))
}

/// The info of a call's start.
struct CallInfo<'a, 'py> {
    point: &'a Point,
    arguments: &'a Arguments<'a, 'py>,
    /// What [`Point::told`] has made of them: JSON text, or a dict. It serves as long as the notifier is of that kind.
    told: Option<&'a Bound<'py, PyAny>>,
}

impl<'py> PointInfo<'py> for CallInfo<'_, 'py> {
    #[inline]
    fn ready_json(&self) -> Option<&str> {
        if let Some(told) = self.told
            && let Ok(told) = told.cast::<PyString>()
        {
            return told.to_str().ok();
        }
        if !self.point.hide_args {
            return None;
        }
        self.point.start.get().map(|start| start.text.as_str())
    }

    #[inline]
    fn push_json(&self, py: Python<'py>, out: &mut String) -> PyResult<()> {
        let start = self.point.start_text(py)?;
        if self.point.hide_args {
            out.push_str(&start.text);
            return Ok(());
        }
        let (before, behind) = start.text.split_at(start.arguments_at);
        out.push_str(before);
        out.push_str(", \"args\": \"");
        self.arguments.push_positional(py, &mut Escaped(out))?;
        out.push_str("\", \"kwargs\": \"");
        self.arguments.push_named(py, &mut Escaped(out))?;
        out.push('"');
        out.push_str(behind);
        Ok(())
    }

    fn to_object(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(told) = self.told
            && told.is_instance_of::<PyDict>()
        {
            return Ok(told.clone());
        }
        let function = PyDict::new(py);
        function.set_item("name", self.point.function_name(py)?)?;
        if !self.point.hide_args {
            let mut args = Plain::new(0);
            self.arguments.push_positional(py, &mut args)?;
            function.set_item("args", args.as_str())?;
            let mut kwargs = Plain::new(args.as_str().len());
            self.arguments.push_named(py, &mut kwargs)?;
            function.set_item("kwargs", kwargs.as_str())?;
        }
        let info = self.point.info.bind(py).call_method0(intern!(py, "copy"))?;
        info.set_item("function", function)?;
        Ok(info)
    }
}

/// The info of a call's stop: what it returned.
struct ResultInfo<'a, 'py>(&'a Bound<'py, PyAny>);

impl<'py> PointInfo<'py> for ResultInfo<'_, 'py> {
    fn push_json(&self, _py: Python<'py>, out: &mut String) -> PyResult<()> {
        out.push_str("{\"function\": {\"result\": \"");
        push_repr(self.0, &mut Escaped(out))?;
        out.push_str("\"}}");
        Ok(())
    }

    fn to_object(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut text = Plain::new(0);
        push_repr(self.0, &mut text)?;
        let function = PyDict::new(py);
        function.set_item("result", text.as_str())?;
        let info = PyDict::new(py);
        info.set_item("function", function)?;
        Ok(info.into_any())
    }
}

/// The info of a stop after an error: its class and its text.
pub(crate) struct ErrorInfo<'a, 'py>(pub(crate) &'a Bound<'py, PyAny>);

impl<'py> PointInfo<'py> for ErrorInfo<'_, 'py> {
    fn push_json(&self, _py: Python<'py>, out: &mut String) -> PyResult<()> {
        out.push_str("{\"etype\": \"");
        json_text::push_head(&class_name(&self.0.get_type())?, MAX_BYTES, out);
        out.push_str("\", \"message\": ");
        value::push_value(value::safe_str(self.0)?.as_any(), out)?;
        out.push('}');
        Ok(())
    }

    fn to_object(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let info = PyDict::new(py);
        info.set_item("etype", class_name(&self.0.get_type())?)?;
        info.set_item("message", value::head(value::safe_str(self.0)?)?)?;
        Ok(info.into_any())
    }
}

/// Closes the point of a call that has raised; what is no `Exception` just ends it.
pub(crate) fn fail<'py>(
    py: Python<'py>,
    opened: Opened<'py>,
    error: &Bound<'py, PyAny>,
) -> PyResult<()> {
    if error.is_instance_of::<PyException>() {
        return points::close_anywhere(py, opened, &ErrorInfo(error));
    }
    points::close_anywhere(py, opened, &Nothing)
}

/// What a stop after an error carries: `etype` and `message`.
#[pyfunction]
pub(crate) fn error_info<'py>(error: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    ErrorInfo(error).to_object(error.py())
}

/// A class's full name; those of `builtins` without their module.
fn class_name(class: &Bound<'_, PyType>) -> PyResult<String> {
    let name = class.name()?;
    let name = name.to_string_lossy();
    match class.module() {
        Ok(module) if module.as_any().eq("builtins")? => Ok(name.into_owned()),
        Ok(module) => Ok(format!("{}.{name}", module.to_string_lossy())),
        Err(_) => Ok(name.into_owned()),
    }
}

fn is_method(callable: &Bound<'_, PyAny>) -> bool {
    static METHOD: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    value::is_imported_type(callable, &METHOD, "types", "MethodType")
}

/// `module.Class.method` or `module.function`; of any other callable, its class.
fn callable_name(callable: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = callable.py();
    let is_named = callable.is_instance_of::<PyType>()
        || callable.is_instance_of::<PyFunction>()
        || is_method(callable)
        || function::is_traced_function(callable);
    if !is_named {
        return callable_name(callable.get_type().as_any());
    }
    let part = |name| -> PyResult<String> {
        let part = callable.getattr(name)?;
        Ok(value::safe_str(&part)?.to_string_lossy().into_owned())
    };
    Ok(format!(
        "{}.{}",
        part(intern!(py, "__module__"))?,
        part(intern!(py, "__qualname__"))?
    ))
}
