// SPDX-License-Identifier: Apache-2.0
//! JSON text that this process has written becomes Python's dicts, lists, texts and numbers, as `json.loads` makes them.
//!
//! Python's own reader gives up some 1,000 levels deep, and a trace may be deeper: here nothing recurses, what is open lies in a
//! vector. The text is a renderer's or `wire`'s, so that it is JSON was seen to before; what is none gives some value or an
//! error, and no panic.

use std::collections::HashMap;

use osprofiler::wire::json::unescape;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

/// A container whose end has not come yet; a dict with the key of the value that comes next.
enum Open<'py> {
    Dict(Bound<'py, PyDict>, Option<Bound<'py, PyString>>),
    List(Bound<'py, PyList>),
}

/// The first value that `json` says. Linear in its length.
#[pyfunction]
pub(crate) fn from_json<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    let mut tokens = Tokens { json, at: 0 };
    let mut keys: HashMap<&str, Bound<'py, PyString>> = HashMap::new();
    let mut open = Vec::new();
    while let Some(token) = tokens.next() {
        let value = match token.as_bytes()[0] {
            b'{' => {
                open.push(Open::Dict(PyDict::new(py), None));
                continue;
            }
            b'[' => {
                open.push(Open::List(PyList::empty(py)));
                continue;
            }
            b'}' | b']' => match open.pop() {
                Some(Open::Dict(dict, _)) => dict.into_any(),
                Some(Open::List(list)) => list.into_any(),
                None => break,
            },
            b'"' => {
                if let Some(Open::Dict(_, key @ None)) = open.last_mut() {
                    *key = match keys.get(token) {
                        Some(known) => Some(known.clone()),
                        None => Some(keys.entry(token).or_insert(text(py, token)?).clone()),
                    };
                    continue;
                }
                text(py, token)?.into_any()
            }
            _ => scalar(py, token)?,
        };
        match open.last_mut() {
            None => return Ok(value),
            Some(Open::List(list)) => list.append(value)?,
            Some(Open::Dict(dict, key)) => match key.take() {
                Some(key) => dict.set_item(key, value)?,
                None => break,
            },
        }
    }
    Err(PyValueError::new_err("the text is no JSON"))
}

fn text<'py>(py: Python<'py>, token: &str) -> PyResult<Bound<'py, PyString>> {
    if token.contains("\\u") {
        // Half a surrogate pair is a character of Python's texts, and of no other's.
        let made = py.import("json")?.call_method1("loads", (token,))?;
        return Ok(made.cast_into()?);
    }
    Ok(PyString::new(py, &unescape(token)))
}

fn scalar<'py>(py: Python<'py>, token: &str) -> PyResult<Bound<'py, PyAny>> {
    Ok(match token {
        "null" => py.None().into_bound(py),
        "true" | "false" => PyBool::new(py, token == "true").to_owned().into_any(),
        _ => {
            if let Ok(number) = token.parse::<i64>() {
                number.into_pyobject(py)?.into_any()
            } else if token.contains(['.', 'e', 'E', 'N', 'I']) {
                let number = token.parse::<f64>();
                let number = number.map_err(|error| PyValueError::new_err(error.to_string()))?;
                PyFloat::new(py, number).into_any()
            } else {
                // Of more digits than Python reads, it stays text.
                let number = py.get_type::<PyInt>().call1((token,));
                number.unwrap_or_else(|_| PyString::new(py, token).into_any())
            }
        }
    })
}

/// Brackets, texts with their quotes, and words. What stands between them is passed over.
struct Tokens<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.json.as_bytes();
        let is_between = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',' | b':');
        let begin = self.at + bytes[self.at..].iter().position(|byte| !is_between(byte))?;
        let length = match bytes[begin] {
            b'{' | b'}' | b'[' | b']' => 1,
            b'"' => text_length(&bytes[begin..])?,
            _ => {
                let is_end = |byte: &u8| is_between(byte) || matches!(byte, b'}' | b']');
                let rest = &bytes[begin..];
                rest.iter().position(is_end).unwrap_or(rest.len())
            }
        };
        self.at = begin + length;
        self.json.get(begin..self.at)
    }
}

/// How many bytes the text at the beginning has, with its quotes.
fn text_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += bytes[at..]
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\'))?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
        if at > bytes.len() {
            return None;
        }
    }
}
