// SPDX-License-Identifier: Apache-2.0
//! What a report costs: a trace of 100,000 notifications, read from a store and written as JSON by our command and by upstream's.
//!
//! Each runs as a process of its own below the program `measure`; both have to come to the same statistics.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use osprofiler::driver::ConnectionString;
use osprofiler::driver::registry::{self, Capability};
use osprofiler::{Id, Notifications};
use serde_json::Value;

use super::figures::{head, least_and_median, ratio};
use super::{Programs, Server, Store, Upstream, tell};
use crate::Outcome;
use crate::material::{Recorded, batches, one_trace};

const REPORTED: usize = 100_000;
const BATCH: usize = 10_000;
const BASE_ID: u128 = 1;
/// Upstream's command, with an option of `[profiler]`.
const UPSTREAM: &str = r#"
import sys
from osprofiler import opts
from osprofiler.cmd import shell
from oslo_config import cfg
name, _, value = sys.argv.pop(1).partition("=")
cfg.CONF.set_override(name, value, group="profiler")
sys.exit(shell.main())
"#;
/// A report is made so often...
const RUNS: usize = 5;
/// ...unless so much time has passed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the runs of a command took.
struct Figure {
    seconds: Vec<f64>,
    peak_kib: u64,
}

pub(super) fn measure(
    store: &Store,
    server: &mut Server,
    programs: &Programs,
    traces: &[Recorded],
    out: &mut String,
) -> Outcome<()> {
    let named = (store.upstream)(&server.next_store());
    let connection = ConnectionString::parse(&named.ours)?;
    if !registry::capabilities(&connection)?.contains(&Capability::Read) {
        return Ok(());
    }
    fill(&connection, traces)?;
    if !named.takes_away {
        // Elasticsearch shows what is written a second later, or when our reader, whichever trace it looks for, asks for that.
        let another = Id::from_u128(BASE_ID + 1);
        registry::open_reader(&connection)?.read(another, &mut Notifications::default())?;
    }
    let folder = tempfile::tempdir()?;
    let show = |mut words: Vec<OsString>, connection_string: &str, file: &str| {
        let id = Id::from_u128(BASE_ID).to_string();
        words.extend(["trace", "show", "--json", &id].map(Into::into));
        words.extend(["--connection-string", connection_string, "--out"].map(Into::into));
        words.push(folder.path().join(file).into());
        words
    };
    // Upstream's is first: if it takes the trace away, there is another one for ours.
    let theirs = upstreams_command(programs, &named)?;
    let mut command = show(theirs, &named.connection_string, "theirs");
    command.extend(transport(&named));
    let runs = if named.takes_away { 1 } else { RUNS };
    let theirs = run(store.driver, "upstream's report", runs, &command);
    if named.takes_away {
        fill(&connection, traces)?;
    }
    let command = show(vec![programs.command.clone().into()], &named.ours, "ours");
    let ours = run(store.driver, "our report", RUNS, &command)?;
    let title = format!("{}: report of {REPORTED} notifications", server.name);
    head(out, &title, ["least s", "median s", "peak MiB", "runs"]);
    line(out, "ours", &ours);
    match theirs {
        Ok(theirs) => {
            compare(&folder.path().join("ours"), &folder.path().join("theirs"))?;
            line(out, "upstream's", &theirs);
            let median = |figure: &Figure| least_and_median(figure.seconds.clone()).1;
            let faster = median(&theirs) / median(&ours);
            ratio(out, "faster than upstream's, median", faster, None);
            let leaner = theirs.peak_kib as f64 / ours.peak_kib as f64;
            ratio(out, "leaner than upstream's, peak", leaner, None);
        }
        Err(error) => writeln!(out, "no {error}")?,
    }
    out.push('\n');
    Ok(())
}

/// Writes the trace.
fn fill(connection: &ConnectionString, traces: &[Recorded]) -> Outcome<()> {
    let trace = one_trace(traces, Id::from_u128(BASE_ID), REPORTED);
    let mut writer = registry::open_writer(connection)?;
    for batch in batches(&trace, BATCH) {
        writer.write(&batch)?;
    }
    Ok(())
}

fn upstreams_command(programs: &Programs, named: &Upstream) -> Outcome<Vec<OsString>> {
    let python = &programs.upstream_python;
    if let Some(setting) = named.to_read {
        let words = ["-c", UPSTREAM, setting].map(Into::into);
        return Ok([vec![python.into()], words.to_vec()].concat());
    }
    let folder = python.parent().ok_or("an interpreter in no folder")?;
    Ok(vec![folder.join("osprofiler").into()])
}

fn transport(named: &Upstream) -> Vec<OsString> {
    let url = named.transport_url.iter();
    url.flat_map(|url| ["--transport-url".into(), url.into()])
        .collect()
}

/// Runs a command so many times, or as often as there is patience for.
fn run(driver: &str, what: &str, runs: usize, command: &[OsString]) -> Outcome<Figure> {
    let measure = std::env::current_exe()?.with_file_name("measure");
    let mut figure = Figure {
        seconds: Vec::new(),
        peak_kib: 0,
    };
    let begin = Instant::now();
    while figure.seconds.len() < runs && begin.elapsed() < PATIENCE {
        let output = Command::new(&measure)
            .arg("1")
            .args(command)
            .stderr(Stdio::piped())
            .output()?;
        if !output.status.success() {
            let messages = String::from_utf8_lossy(&output.stderr);
            let last = messages.lines().last().unwrap_or_default();
            return Err(format!("{what}: the command fails: {last}").into());
        }
        let taken: Value = serde_json::from_slice(&output.stdout)?;
        let seconds = taken["seconds"][0].as_f64().ok_or("no seconds")?;
        figure.seconds.push(seconds);
        figure.peak_kib = figure
            .peak_kib
            .max(taken["peak_kib"].as_u64().ok_or("no peak")?);
        tell(&format!("{driver}, {what}: {seconds:.2} s"));
    }
    Ok(figure)
}

fn line(out: &mut String, name: &str, figure: &Figure) {
    let (least, median) = least_and_median(figure.seconds.clone());
    let (peak, runs) = (figure.peak_kib as f64 / 1024.0, figure.seconds.len());
    let _ = writeln!(
        out,
        "{name:<60} {least:>10.2} {median:>10.2} {peak:>9.1} {runs:>5}"
    );
}

/// Fails unless both reports have the same statistics: a fast wrong answer is no figure.
fn compare(ours: &Path, theirs: &Path) -> Outcome<()> {
    let stats = |path: &Path| -> Outcome<Value> {
        let report: Value = serde_json::from_slice(&std::fs::read(path)?)?;
        Ok(report["stats"].clone())
    };
    let (ours, theirs) = (stats(ours)?, stats(theirs)?);
    if ours.is_null() || ours != theirs {
        return Err(format!("the reports differ: ours {ours}, upstream's {theirs}").into());
    }
    Ok(())
}
