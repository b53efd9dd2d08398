// SPDX-License-Identifier: Apache-2.0
//! The `osprofiler` program: the process's arguments, streams and environment, handed to the library.
//!
//! The library returns an exit status; only this file turns it into the end of the process.

use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = osprofiler_cli::Environment::of_process();
    let status = osprofiler_cli::run(
        std::env::args_os(),
        &mut std::io::stdout(),
        &mut std::io::stderr(),
        &environment,
    );
    ExitCode::from(status.code())
}
