// SPDX-License-Identifier: Apache-2.0
//! How fast a store takes notifications: the bare loop, our driver, upstream's, in turns, each round into stores of its own.
//!
//! What makes connections, tables, queues and indexes is done before the clock starts, on all sides, by one point or notification.
//! Nothing counts that was not found in the stores afterwards.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use osprofiler::driver::registry;
use osprofiler::driver::{ConnectionString, Writer};
use osprofiler::{Id, Notification, Notifications, wire};

use super::figures::{head, most_and_median, paired, ratio};
use super::{Programs, Server, Store, Upstream, tell};
use crate::Outcome;
use crate::material::{Recorded, batches, copies};

const ROUNDS: usize = 7;
/// Each recorded trace is written so many times: some 43,000 notifications.
const COPIES: u128 = 4;
/// Delivery's largest batch, which is what a writer gets while more is recorded than it takes.
const BATCH: usize = 10_000;
/// What upstream's driver writes a round, one by one.
const UPSTREAMS: usize = 1_000;
/// At least so much of the bare loop's rate.
const OF_FLOOR: f64 = 0.7;
/// A server that stores behind its answer has so long for it.
const STORED: Duration = Duration::from_secs(30);

/// Writes the notifications of standard input and prints how many seconds all but the first took.
const UPSTREAM: &str = r#"
import json, sys, time
from osprofiler import opts
from osprofiler.drivers import base
from oslo_config import cfg
store, transport_url, setting = sys.argv[1:]
options = {"project": "p", "service": "s", "host": "h"}
if transport_url:
    options |= {"conf": cfg.ConfigOpts(), "transport_url": transport_url}
    options["conf"]([])
if setting:
    name, _, value = setting.partition("=")
    cfg.CONF.set_override(name, value, group="profiler")
driver = base.get_driver(store, **options)
first, *others = [json.loads(line) for line in sys.stdin]
driver.notify(first)
begin = time.perf_counter()
for notification in others:
    driver.notify(notification)
if hasattr(driver, "trace_api"):  # its spans wait in a queue
    assert driver.trace_api.get_tracer_provider().force_flush()
print(time.perf_counter() - begin)
"#;

/// Rates of all rounds, notifications a second.
#[derive(Default)]
struct Rates {
    floor: Vec<f64>,
    ours: Vec<f64>,
    upstream: Vec<f64>,
}

pub(super) fn measure(
    store: &Store,
    server: &mut Server,
    programs: &Programs,
    traces: &[Recorded],
    out: &mut String,
) -> Outcome<()> {
    let all = copies(traces, COPIES);
    let first = first_point(&all);
    let mut with_first = Notifications::default();
    with_first.extend(all.iter().chain(first.iter()));
    let batches = batches(&all, BATCH);
    let rate = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
    let upstreams_store = (store.upstream)(&server.next_store());
    let mut all_theirs = Notifications::default();
    let mut rates = Rates::default();
    for round in 0..ROUNDS {
        let floors_store = server.next_store();
        drop(open(&floors_store, &first)?);
        let bare = (store.floor)(&floors_store, &batches)?;
        let begin = Instant::now();
        bare()?;
        rates.floor.push(rate(all.len(), begin.elapsed()));
        settle(store, &floors_store, "the bare loop", &with_first)?;

        let our_store = server.next_store();
        let mut writer = open(&our_store, &first)?;
        let begin = Instant::now();
        for batch in &batches {
            writer.write(batch)?;
        }
        writer.finish()?;
        rates.ours.push(rate(all.len(), begin.elapsed()));
        drop(writer);
        settle(store, &our_store, "our driver", &with_first)?;

        let some = all.iter().skip(round * UPSTREAMS).take(UPSTREAMS);
        let theirs = whole_points(&some.collect::<Vec<_>>());
        let time = upstream(programs, &upstreams_store, &theirs)?;
        rates.upstream.push(rate(theirs.len() - 1, time));
        all_theirs.extend(theirs.iter());
        settle(
            store,
            &upstreams_store.ours,
            "upstream's driver",
            &all_theirs,
        )?;

        let [floor, ours, theirs] =
            [&rates.floor, &rates.ours, &rates.upstream].map(|of| of[round]);
        tell(&format!(
            "{}, round {} of {ROUNDS}: {floor:.0}/s, ours {ours:.0}/s, upstream's {theirs:.0}/s",
            store.driver,
            round + 1
        ));
        if round + 1 == ROUNDS && store.points.is_none() {
            find(&floors_store, "the bare loop", &with_first)?;
            find(&our_store, "our driver", &with_first)?;
            find(&upstreams_store.ours, "upstream's driver", &all_theirs)?;
        }
    }
    print(store, &server.name, all.len(), rates, out);
    Ok(())
}

fn print(store: &Store, server: &str, count: usize, rates: Rates, out: &mut String) {
    let title = format!("{server}: {count} notifications, {BATCH} a batch");
    head(out, &title, ["best /s", "median /s", "rounds", ""]);
    let of_floor = paired(&rates.ours, &rates.floor);
    let of_upstream = paired(&rates.ours, &rates.upstream);
    for (name, rates) in [
        (format!("floor: {}", store.floor_summary), rates.floor),
        ("ours".to_owned(), rates.ours),
        ("upstream's, one by one".to_owned(), rates.upstream),
    ] {
        let (best, median) = most_and_median(rates);
        let _ = writeln!(out, "{name:<60} {best:>10.0} {median:>10.0} {ROUNDS:>9}");
    }
    ratio(out, "ours : the floor, paired", of_floor, Some(OF_FLOOR));
    ratio(
        out,
        "ours : upstream's, paired",
        of_upstream,
        store.of_upstream,
    );
    out.push('\n');
}

/// The notifications of one point, in a trace of its own.
fn first_point(all: &Notifications) -> Notifications {
    let trace_id = all.get(0).trace_id;
    let of_point = all.iter().filter(|one| one.trace_id == trace_id);
    let mut first = Notifications::default();
    first.extend(of_point.map(|notification| Notification {
        base_id: Id::from_u128(0),
        ..notification
    }));
    first
}

/// Those whose point has its start and its stop among them: upstream's driver for collectors stumbles over others.
fn whole_points(some: &[Notification<'_>]) -> Notifications {
    let mut ends = HashMap::<_, usize>::new();
    for notification in some {
        *ends.entry(notification.trace_id).or_default() += 1;
    }
    let mut whole = Notifications::default();
    let is_whole = |one: &&Notification<'_>| ends[&one.trace_id] == 2;
    whole.extend(some.iter().filter(is_whole).copied());
    whole
}

/// Our writer of a store, after a first point: it is connected, and what it writes into is there.
fn open(store: &str, first: &Notifications) -> Outcome<Box<dyn Writer>> {
    let mut writer = registry::open_writer(&ConnectionString::parse(store)?)?;
    writer.write(first)?;
    Ok(writer)
}

/// How long upstream's driver takes for the notifications but the first.
fn upstream(
    programs: &Programs,
    store: &Upstream,
    notifications: &Notifications,
) -> Outcome<Duration> {
    let mut child = Command::new(&programs.upstream_python)
        .args(["-c", UPSTREAM, &store.connection_string])
        .arg(store.transport_url.as_deref().unwrap_or_default())
        .arg(store.to_write.unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = String::new();
    for notification in notifications.iter() {
        wire::push_line(&notification, &mut lines);
    }
    let mut input = child.stdin.take().ok_or("no standard input")?;
    input.write_all(lines.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        return Err(format!("upstream's driver failed: {}\n{messages}", output.status).into());
    }
    let seconds = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(Duration::from_secs_f64(seconds))
}

/// Fails unless the store has as many notifications of the first trace as were written.
fn find(store: &str, who: &str, written: &Notifications) -> Outcome<()> {
    let connection = ConnectionString::parse(store)?;
    let trace = written.get(0).base_id;
    let count = written.iter().filter(|one| one.base_id == trace).count();
    let mut found = Notifications::default();
    registry::open_reader(&connection)?.read(trace, &mut found)?;
    if found.len() != count {
        let found = found.len();
        return Err(
            format!("{who} wrote {count} notifications of a trace, and {found} are there").into(),
        );
    }
    Ok(())
}

/// Where no driver reads: fails unless the server says, soon, that it has as many points as were written. It may store behind its
/// answer, so this waits until it has: the next one has the machine for itself.
#[expect(
    clippy::disallowed_methods,
    reason = "the server has no way of telling when: it is asked again"
)]
fn settle(store: &Store, in_store: &str, who: &str, written: &Notifications) -> Outcome<()> {
    let Some(points) = store.points else {
        return Ok(());
    };
    let ids = written.iter().map(|one| (one.base_id, one.trace_id));
    let count = ids.collect::<BTreeSet<_>>().len();
    let begin = Instant::now();
    loop {
        let found = points(in_store)?;
        if found == count {
            return Ok(());
        }
        if begin.elapsed() > STORED {
            return Err(format!("{who} wrote {count} points, and {found} are there").into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
