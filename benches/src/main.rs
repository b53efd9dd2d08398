// SPDX-License-Identifier: Apache-2.0
//! Cost beside the peers: `cargo run --release -p osprofiler-benches -- NAME...`; without a name, everything.
//!
//! A bench is one file here and one line in [`BENCHES`]. It runs all its cases in one process of its own, alternating, and
//! returns a table as text; long ones print their lines as they are measured. `stores` needs servers, so it is run by name.

#![expect(
    clippy::print_stdout,
    reason = "the tables are what this command is for"
)]

mod costs;
mod end_to_end;
mod ingest;
mod material;
mod program;
mod record;
mod rounds;
mod secrets;
mod stores;
mod swept;

use std::path::{Path, PathBuf};
use std::process::Command;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A bench's name, what it measures, and the function that does.
type Bench = (&'static str, &'static str, fn() -> Outcome<String>);

/// Those that run without a name, too.
const BENCHES: &[Bench] = &[
    (
        "record",
        "what recording costs the traced thread, beside fastrace 0.7.19",
        record::run,
    ),
    (
        "end_to_end",
        "CPU in all, with the JSON of both notifications, beside fastrace with the same JSON",
        end_to_end::run,
    ),
    (
        "costs",
        "what the documentation of the recorder's functions says they cost",
        costs::run,
    ),
    (
        "ingest",
        "what the SQLite driver takes and weighs, beside a bare loop of inserts",
        || ingest::run(&fixtures()),
    ),
    (
        "secrets",
        "what looking for secrets costs delivery, beside a copy",
        || secrets::run(&fixtures()),
    ),
];

/// Those that need servers, which `make bench` starts.
const ON_SERVERS: &[Bench] = &[(
    "stores",
    "what each store takes and gives back, beside a bare loop and upstream's driver",
    || stores::run(&fixtures()),
)];

/// The folder of the recorded traces.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

fn main() -> Outcome<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let all = BENCHES.iter().chain(ON_SERVERS);
    if let Some(unknown) = names
        .iter()
        .find(|name| !all.clone().any(|(known, ..)| known == name))
    {
        let known: Vec<_> = all.map(|(name, ..)| *name).collect();
        return Err(format!("no bench `{unknown}`, there are: {}", known.join(", ")).into());
    }
    for (name, summary, run) in all {
        let is_named = names.iter().any(|wanted| wanted == name);
        let needs_nothing = BENCHES.iter().any(|(known, ..)| known == name);
        if names.len() == 1 && is_named {
            println!("{name}: {summary}\n");
            println!("{}", run()?);
        } else if is_named || names.is_empty() && needs_nothing {
            // In a process of its own: what a peer keeps from another bench would change its cost.
            let status = Command::new(std::env::current_exe()?).arg(name).status()?;
            if !status.success() {
                return Err(format!("the bench `{name}` failed: {status}").into());
            }
        }
    }
    Ok(())
}
