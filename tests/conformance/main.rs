// SPDX-License-Identifier: Apache-2.0
//! Runs the conformance suite on every driver of the registry and on the one in memory, and lists each driver: passed,
//! failed, or still to come. Not a libtest: a driver is a row of a table, and a second process is this program again.
//!
//! `cargo test -p osprofiler-tests --test conformance [PART OF A NAME]` runs what needs no server.
//! `make test TEST_ARGS=stores` starts every server first, and then one that is missing is a failure. See [`servers`].

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod servers;

use std::cell::Cell;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use osprofiler::driver::ConnectionString;
use osprofiler::driver::registry::{Availability, DRIVERS, Driver, Implementation, open_reader};
use osprofiler::{Error, Id, Notifications, Result};
use osprofiler_tests::conformance::{
    CHECKS, Check, FILE_CHECKS, Subject, write_again_as_told, write_as_told,
};
use osprofiler_tests::memory;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--write", connection, from, count] => {
            let number = |text: &str| text.parse().expect("a number");
            exit(write_as_told(connection, number(from), number(count)).map(|()| String::new()))
        }
        ["--write-again", connection, from, count] => {
            let number = |text: &str| text.parse().expect("a number");
            let wait = |error: &Error| {
                println!("{}", describe(error));
                std::io::stdin().lines().next();
            };
            let written = write_again_as_told(connection, number(from), number(count), wait);
            exit(written.map(|()| String::new()))
        }
        ["--count", connection] => exit(count(connection)),
        // What is meant for libtest, which other tests use, is none of a check's name.
        ref all => run(all
            .iter()
            .find(|argument| !argument.starts_with('-'))
            .copied()
            .unwrap_or_default()),
    }
}

/// Says what a second process was asked, and its error in a form that checks can read.
fn exit(result: Result<String>) -> ExitCode {
    let failed = result.is_err();
    print!("{}", result.unwrap_or_else(|error| describe(&error)));
    ExitCode::from(u8::from(failed))
}

fn describe(error: &Error) -> String {
    let help = error.help().unwrap_or_default();
    format!(
        "{:?} temporary={} {error}: {help}",
        error.kind(),
        error.is_temporary()
    )
}

fn count(connection: &str) -> Result<String> {
    let mut notifications = Notifications::default();
    let trace = Id::parse("t").expect("an id");
    open_reader(&ConnectionString::parse(connection)?)?.read(trace, &mut notifications)?;
    Ok(notifications.len().to_string())
}

fn run(filter: &str) -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder for the stores");
    let mut count = check_driver(&memory_subject(), CHECKS.iter(), filter);
    for driver in DRIVERS {
        match driver.availability {
            Availability::Ready(implementation) if servers::is_needed(implementation) => {
                count += check_on_servers(driver, implementation, filter);
            }
            Availability::Ready(_) => {
                let checks = CHECKS.iter().chain(FILE_CHECKS);
                count += check_driver(&file_subject(driver, folder.path()), checks, filter);
            }
            Availability::CompiledOut => {
                println!("{:<32} FAILED: not part of this build", driver.name);
                count += Count::FAILURE;
            }
            Availability::Gone(instead) => println!("{:<32} gone: {instead}", driver.name),
        }
    }
    let Count { passed, failed } = count;
    let verdict = if failed > 0 { "FAILED" } else { "ok" };
    println!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored;");
    ExitCode::from(u8::from(failed > 0))
}

/// How many checks passed and failed.
#[derive(Clone, Copy, Default)]
struct Count {
    passed: usize,
    failed: usize,
}

impl Count {
    const FAILURE: Self = Self {
        passed: 0,
        failed: 1,
    };
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Runs the checks on each server of the driver that the environment names.
fn check_on_servers(
    driver: &Driver,
    implementation: &'static Implementation,
    filter: &str,
) -> Count {
    let servers = servers::of(driver.name);
    if servers.is_empty() {
        let (text, count) = if servers::are_required() {
            ("FAILED: there is no server", Count::FAILURE)
        } else {
            (
                "not run here: `make test TEST_ARGS=stores` starts a server",
                Count::default(),
            )
        };
        println!("{:<32} {text}", driver.name);
        return count;
    }
    let mut count = Count::default();
    for server in servers {
        let subject = Subject {
            name: server.name.clone(),
            implementation,
            fresh: server.stores(),
            program: this_program(),
        };
        count += check_driver(&subject, CHECKS.iter(), filter);
    }
    count
}

fn memory_subject() -> Subject {
    let next = Cell::new(0);
    Subject {
        name: "(memory)".to_owned(),
        implementation: &memory::IMPLEMENTATION,
        fresh: Box::new(move || {
            next.set(next.get() + 1);
            format!("memory:///{}", next.get())
        }),
        program: this_program(),
    }
}

fn file_subject(driver: &Driver, folder: &Path) -> Subject {
    let Availability::Ready(implementation) = driver.availability else {
        unreachable!("only drivers that are ready are checked");
    };
    let next = Cell::new(0);
    let prefix = format!(
        "{}://{}/{}",
        driver.schemes[0],
        folder.display(),
        driver.name
    );
    Subject {
        name: driver.name.to_owned(),
        implementation,
        fresh: Box::new(move || {
            next.set(next.get() + 1);
            format!("{prefix}-{}", next.get())
        }),
        program: this_program(),
    }
}

fn this_program() -> std::path::PathBuf {
    std::env::current_exe().expect("this program has a path")
}

/// Runs the checks, prints the driver's line and what failed, and returns how many passed and failed.
fn check_driver<'a>(
    subject: &Subject,
    checks: impl Iterator<Item = &'a Check>,
    filter: &str,
) -> Count {
    let (mut passed, mut failed, mut left_out) = (0, Vec::new(), 0);
    for check in checks {
        let can = |need| subject.implementation.capabilities.contains(need);
        if !format!("{}: {}", subject.name, check.name).contains(filter) {
            continue;
        }
        if !check.needs.iter().all(can) {
            left_out += 1;
        } else if catch_unwind(AssertUnwindSafe(|| (check.run)(subject))).is_ok() {
            passed += 1;
        } else {
            failed.push(check.name);
        }
    }
    let verdict = if failed.is_empty() {
        "passed"
    } else {
        "FAILED"
    };
    println!(
        "{:<32} {verdict}: {passed} of {} checks, {left_out} about abilities it does not claim",
        subject.name,
        passed + failed.len()
    );
    if filter.is_empty() && passed == 0 {
        failed.push("no check ran");
    }
    for name in &failed {
        println!("{:<32}   FAILED: {name}", "");
    }
    Count {
        passed,
        failed: failed.len(),
    }
}
