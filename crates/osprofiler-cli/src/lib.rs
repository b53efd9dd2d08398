// SPDX-License-Identifier: Apache-2.0
//! The `osprofiler` command as a library: arguments, streams and environment in, an exit [`Status`] out.
//!
//! The program and the Python package's `osprofiler.cmd.shell:main` call [`run`]; nothing here ends the process, installs a
//! signal handler or reads a variable behind the caller's back. The modules stand in the order of a run: [`Environment`],
//! the registry that turns arguments into a command, the commands, what they read and where they write, the status.
//! Trees, pages and stores are not made here: `osprofiler-report` renders, `osprofiler` reads.

mod environment;

mod number;
mod registry;

mod commands;

mod configuration;
mod doctor;
mod source;
mod store;
mod stores;
mod transfer;

mod format;
mod graphviz;
mod out;
mod printer;

mod status;

use std::ffi::OsString;
use std::io::Write;

pub use environment::{Color, Environment, VARIABLES};
pub use registry::command;
pub use status::Status;

use printer::Printer;
use status::Failure;

/// Runs the command line `arguments`, whose first is the program's name.
///
/// Data goes to `stdout`, talk to `stderr`; a reader of `stdout` that went away is no failure. Returns what the process is to
/// exit with. Costs under a millisecond beside what the command itself does.
///
/// ```
/// let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
/// let environment = osprofiler_cli::Environment::default();
/// let arguments = ["osprofiler", "--version"].map(Into::into);
/// let status = osprofiler_cli::run(arguments, &mut stdout, &mut stderr, &environment);
/// assert_eq!((status.code(), stderr.is_empty()), (0, true));
/// ```
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
    environment: &Environment,
) -> Status {
    let mut session = Session {
        environment,
        printer: Printer::new(stdout, stderr, environment),
    };
    match registry::dispatch(arguments, &mut session) {
        Ok(status) => status,
        Err(failure) => {
            session.printer.failure(&failure);
            failure.status
        }
    }
}

/// What every command gets beside its own arguments.
pub(crate) struct Session<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) printer: Printer<'a>,
}

/// How a command reports back.
pub(crate) type Outcome<T = Status> = Result<T, Failure>;
