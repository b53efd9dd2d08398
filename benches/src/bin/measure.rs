// SPDX-License-Identifier: Apache-2.0
//! `measure RUNS COMMAND...`: runs a command so many times, its output thrown away, and prints what it took as JSON.
//!
//! `seconds` has each run's wall clock, `peak_kib` the largest resident size of any of them. A process of its own measures
//! because a child inherits the peak of the process that starts it: this one is as small as they come.

#![expect(clippy::print_stdout, reason = "the result is this program's output")]

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: measure RUNS COMMAND...";
    let runs: u32 = arguments
        .next()
        .and_then(|runs| runs.to_str()?.parse().ok())
        .ok_or(usage)?;
    let program = arguments.next().ok_or(usage)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut seconds = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        let status = command.status()?;
        seconds.push(started.elapsed().as_secs_f64());
        if !status.success() {
            return Err(format!("the command ended with {status}").into());
        }
    }
    let peak_kib = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    println!(r#"{{"seconds": {seconds:?}, "peak_kib": {peak_kib}}}"#);
    Ok(())
}
