// SPDX-License-Identifier: Apache-2.0
//! The command `osprofiler` inside a Python process: the native program's library, writing to `sys.stdout` and `sys.stderr`.

use std::ffi::OsString;
use std::io;

use osprofiler_cli::Environment;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Runs the command line `arguments`, without the program's name, and returns the exit code.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    let sys = py.import("sys")?;
    let (stdout, stderr) = (sys.getattr("stdout")?, sys.getattr("stderr")?);
    let is_terminal = |stream: &Bound<'_, PyAny>| {
        stream
            .call_method0("isatty")
            .is_ok_and(|answer| answer.is_truthy().unwrap_or(false))
    };
    let mut environment = Environment::of_process();
    if !is_terminal(&stdout) {
        environment.redirect_stdout();
    }
    environment.stderr_is_terminal &= is_terminal(&stderr);
    let mut stdout = io::BufWriter::with_capacity(64 * 1024, Stream::new(&stdout));
    let mut stderr = Stream::new(&stderr);
    let arguments = std::iter::once("osprofiler".into()).chain(arguments);
    let status = py.detach(|| {
        let status = osprofiler_cli::run(arguments, &mut stdout, &mut stderr, &environment);
        // A reader that went away is no failure, as in the program.
        let _ = io::Write::flush(&mut stdout);
        status
    });
    Ok(status.code())
}

/// A Python text stream, written through its `buffer` where it has one.
struct Stream {
    text: Py<PyAny>,
    buffer: Option<Py<PyAny>>,
    /// The beginning of a character whose end has not come yet.
    rest: Vec<u8>,
}

impl Stream {
    fn new(stream: &Bound<'_, PyAny>) -> Self {
        let _ = stream.call_method0("flush");
        Self {
            text: stream.clone().unbind(),
            buffer: stream.getattr("buffer").ok().map(Bound::unbind),
            rest: Vec::new(),
        }
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Python::attach(|py| {
            if let Some(buffer) = &self.buffer {
                let written = buffer.call_method1(py, "write", (PyBytes::new(py, bytes),))?;
                // Under `python -u` that is the file itself, which may take less than it is given.
                return Ok(written.extract(py).unwrap_or(bytes.len()));
            }
            self.rest.extend_from_slice(bytes);
            let whole = match std::str::from_utf8(&self.rest) {
                Ok(text) => text.len(),
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                Err(_) => self.rest.len(),
            };
            let whole_text = String::from_utf8_lossy(&self.rest[..whole]).into_owned();
            self.text.call_method1(py, "write", (whole_text,))?;
            self.rest.drain(..whole);
            Ok(bytes.len())
        })
        .map_err(|error: PyErr| error.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Python::attach(|py| match &self.buffer {
            Some(buffer) => buffer.call_method0(py, "flush"),
            None => self.text.call_method0(py, "flush"),
        })
        .map(drop)
        .map_err(|error: PyErr| error.into())
    }
}
