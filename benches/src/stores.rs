// SPDX-License-Identifier: Apache-2.0
//! Stores on their servers: how fast each takes notifications, beside the fastest bare loop with the same client and batch
//! and beside upstream's driver, and how fast a report of 100,000 notifications is read from it.
//!
//! A store is a line of [`STORES`] and a bare loop in a file below. The servers are those of the conformance suite: what
//! `OSPROFILER_TEST_NAME` says of the driver `name`, its first line. Upstream's driver runs in the interpreter that
//! `OSPROFILER_UPSTREAM_STORES_PYTHON` names. Rounds of ours and the bare loop alternate, each into a store of its own.

mod redis;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use osprofiler::driver::{ConnectionString, registry};
use osprofiler::{Id, Notifications, wire};
use osprofiler_report::{RenderOptions, Renderer, Report};

use crate::Outcome;
use crate::material::{Recorded, batches, copies, median, one_trace, recorded};

/// A store, by its driver's name.
struct Store {
    driver: &'static str,
    /// What the bare loop does.
    floor_summary: &'static str,
    /// Stores the batches as fast as the client can; what it prepares does not count.
    floor: fn(&ConnectionString, &[Notifications]) -> Outcome<Duration>,
}

#[rustfmt::skip] // one line a store
const STORES: &[Store] = &[
    Store { driver: "redis", floor_summary: "one LPUSH of ready JSON a trace and batch", floor: redis::floor },
];

const ROUNDS: usize = 7;
/// Each recorded trace is written so many times: some 43,000 notifications.
const COPIES: u128 = 4;
const BATCH: usize = 1000;
/// What upstream's driver writes, one by one.
const UPSTREAMS: usize = 2000;
const REPORTED: usize = 100_000;
/// At least so much of the bare loop's rate, and of upstream's.
const OF_FLOOR: f64 = 0.7;
const OF_UPSTREAM: f64 = 50.0;

/// Writes the notifications of standard input and prints how many seconds that took.
const UPSTREAM: &str = r#"
import json, sys, time
from osprofiler import opts
from osprofiler.drivers import base
driver = base.get_driver(sys.argv[1], project="p", service="s", host="h")
notifications = [json.loads(line) for line in sys.stdin]
begin = time.perf_counter()
for notification in notifications:
    driver.notify(notification)
print(time.perf_counter() - begin)
"#;

/// A server, and how to get at empty stores of it.
struct Server {
    name: String,
    store: String,
    used: usize,
}

impl Server {
    fn of(driver: &str) -> Option<Self> {
        let variable = format!("OSPROFILER_TEST_{}", driver.to_uppercase());
        let lines = std::env::var(variable).ok()?;
        let (name, store) = lines.lines().next()?.split_once('|')?;
        Some(Self {
            name: name.trim().to_owned(),
            store: store.trim().to_owned(),
            // Numbers that the conformance suite does not use.
            used: 50,
        })
    }

    fn next_store(&mut self) -> String {
        self.used += 1;
        self.store.replace("{}", &self.used.to_string())
    }
}

/// Measures each store whose server the environment names.
pub(crate) fn run(fixtures: &Path) -> Outcome<String> {
    let traces = recorded(fixtures)?;
    let mut out = String::new();
    for store in STORES {
        if let Some(mut server) = Server::of(store.driver) {
            measure(store, &mut server, &traces, &mut out)?;
        }
    }
    if out.is_empty() {
        return Err("the environment names no server: `make bench` starts them".into());
    }
    Ok(out)
}

fn measure(
    store: &Store,
    server: &mut Server,
    traces: &[Recorded],
    out: &mut String,
) -> Outcome<()> {
    let all = copies(traces, COPIES);
    let batches = batches(&all, BATCH);
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let connection = ConnectionString::parse(&server.next_store())?;
        floors.push((store.floor)(&connection, &batches)?);
        let connection = ConnectionString::parse(&server.next_store())?;
        ours.push(write(&connection, &batches)?);
    }
    let rate = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
    let best = |times: &mut [Duration]| rate(all.len(), median(times));
    let (floor, ours) = (best(&mut floors), best(&mut ours));
    let upstream = rate(UPSTREAMS, upstream(&server.next_store(), &all)?);
    let (read, reported) = report(&server.next_store(), traces)?;

    let line = |out: &mut String, name: &str, figure: f64, unit: &str, verdict: &str| {
        writeln!(out, "{name:<62} {figure:>11.1} {unit:<3} {verdict}")
    };
    let wanted = |figure: f64, least: f64| {
        let verdict = if figure >= least {
            "as wanted"
        } else {
            "less than wanted"
        };
        format!("(wanted: {least} x) {verdict}")
    };
    writeln!(
        out,
        "{}, notifications a second, {BATCH} a batch, median of {ROUNDS}",
        server.name
    )?;
    line(
        out,
        &format!("floor: {}", store.floor_summary),
        floor,
        "/s",
        "",
    )?;
    line(out, "ours", ours, "/s", "")?;
    line(out, "upstream's driver, one by one", upstream, "/s", "")?;
    line(
        out,
        "ours, of the floor",
        ours / floor,
        "x",
        &wanted(ours / floor, OF_FLOOR),
    )?;
    line(
        out,
        "ours, of upstream's",
        ours / upstream,
        "x",
        &wanted(ours / upstream, OF_UPSTREAM),
    )?;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    line(
        out,
        &format!("a trace of {REPORTED} read"),
        milliseconds(read),
        "ms",
        "",
    )?;
    line(
        out,
        "its report as JSON, read included",
        milliseconds(reported),
        "ms",
        "",
    )?;
    out.push('\n');
    Ok(())
}

fn write(connection: &ConnectionString, batches: &[Notifications]) -> Outcome<Duration> {
    let begin = Instant::now();
    let mut writer = registry::open_writer(connection)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(begin.elapsed())
}

/// How long upstream's driver takes for the first [`UPSTREAMS`] of the notifications.
fn upstream(store: &str, all: &Notifications) -> Outcome<Duration> {
    let python = std::env::var("OSPROFILER_UPSTREAM_STORES_PYTHON")
        .map_err(|_| "`OSPROFILER_UPSTREAM_STORES_PYTHON` names no interpreter")?;
    let mut child = Command::new(python)
        .args(["-c", UPSTREAM, store])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = String::new();
    for notification in all.iter().take(UPSTREAMS) {
        wire::push_line(&notification, &mut lines);
    }
    let mut input = child.stdin.take().ok_or("no standard input")?;
    input.write_all(lines.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("upstream's driver failed: {}", output.status).into());
    }
    let seconds = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(Duration::from_secs_f64(seconds))
}

/// How long the big trace takes to be read, and to be a report as well. The median of [`ROUNDS`].
fn report(store: &str, traces: &[Recorded]) -> Outcome<(Duration, Duration)> {
    let connection = ConnectionString::parse(store)?;
    let base_id = Id::from_u128(1);
    write(
        &connection,
        &batches(&one_trace(traces, base_id, REPORTED), BATCH),
    )?;
    let renderer = Renderer::find("json").ok_or("there is no renderer `json`")?;
    let (mut reads, mut reports) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let mut notifications = Notifications::default();
        let summary = registry::open_reader(&connection)?.read(base_id, &mut notifications)?;
        reads.push(begin.elapsed());
        if notifications.len() != REPORTED {
            return Err(format!("wrote {REPORTED}, read {}", notifications.len()).into());
        }
        let report = Report::build(notifications, summary);
        (renderer.render)(&report, &RenderOptions::default(), &mut std::io::sink())?;
        reports.push(begin.elapsed());
    }
    Ok((median(&mut reads), median(&mut reports)))
}
