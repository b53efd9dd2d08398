// SPDX-License-Identifier: Apache-2.0
//! How fast a store takes notifications: the bare loop, our driver, upstream's, in turns, each round into stores of its own.
//!
//! What makes connections, tables, queues and indexes is done before the clock starts, on all sides, by one notification. Nothing
//! counts that was not found in the stores afterwards.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use osprofiler::driver::registry::{self, Capability};
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

/// Writes the notifications of standard input and prints how many seconds all but the first took.
const UPSTREAM: &str = r#"
import json, sys, time
from osprofiler import opts
from osprofiler.drivers import base
options = {"project": "p", "service": "s", "host": "h"}
if sys.argv[2:]:
    from oslo_config import cfg
    options |= {"conf": cfg.ConfigOpts(), "transport_url": sys.argv[2]}
    options["conf"]([])
driver = base.get_driver(sys.argv[1], **options)
first, *others = [json.loads(line) for line in sys.stdin]
driver.notify(first)
begin = time.perf_counter()
for notification in others:
    driver.notify(notification)
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
    let batches = batches(&all, BATCH);
    let rate = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
    let upstreams_store = (store.upstream)(&server.next_store());
    let mut rates = Rates::default();
    for round in 0..ROUNDS {
        let floors_store = server.next_store();
        open(&floors_store, &all)?;
        let bare = (store.floor)(&floors_store, &batches)?;
        let begin = Instant::now();
        bare()?;
        rates.floor.push(rate(all.len(), begin.elapsed()));

        let our_store = server.next_store();
        let mut writer = open(&our_store, &all)?;
        let begin = Instant::now();
        for batch in &batches {
            writer.write(batch)?;
        }
        rates.ours.push(rate(all.len(), begin.elapsed()));
        drop(writer);

        let theirs = all.iter().skip(round * UPSTREAMS).take(UPSTREAMS);
        let time = upstream(programs, &upstreams_store, theirs)?;
        rates.upstream.push(rate(UPSTREAMS - 1, time));

        let [floor, ours, theirs] =
            [&rates.floor, &rates.ours, &rates.upstream].map(|of| of[round]);
        tell(&format!(
            "{}, round {} of {ROUNDS}: {floor:.0}/s, ours {ours:.0}/s, upstream's {theirs:.0}/s",
            store.driver,
            round + 1
        ));
        if round + 1 == ROUNDS {
            find(&floors_store, "the bare loop", all.iter())?;
            find(&our_store, "our driver", all.iter())?;
            let theirs = all.iter().take(ROUNDS * UPSTREAMS);
            find(&upstreams_store.ours, "upstream's driver", theirs)?;
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

/// Our writer of a store, after its first notification: it is connected, and what it writes into is there.
fn open(store: &str, all: &Notifications) -> Outcome<Box<dyn Writer>> {
    let mut writer = registry::open_writer(&ConnectionString::parse(store)?)?;
    let mut first = Notifications::default();
    first.push(&Notification {
        base_id: Id::from_u128(0),
        ..all.get(0)
    });
    writer.write(&first)?;
    Ok(writer)
}

/// How long upstream's driver takes for the notifications but the first.
fn upstream<'a>(
    programs: &Programs,
    store: &Upstream,
    notifications: impl Iterator<Item = Notification<'a>>,
) -> Outcome<Duration> {
    let mut child = Command::new(&programs.upstream_python)
        .args(["-c", UPSTREAM, &store.connection_string])
        .args(&store.transport_url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = String::new();
    for notification in notifications {
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
fn find<'a>(
    store: &str,
    who: &str,
    written: impl Iterator<Item = Notification<'a>>,
) -> Outcome<()> {
    let connection = ConnectionString::parse(store)?;
    if !registry::capabilities(&connection)?.contains(&Capability::Read) {
        return Ok(());
    }
    let mut written = written.peekable();
    let trace = written.peek().ok_or("nothing was written")?.base_id;
    let count = written.filter(|one| one.base_id == trace).count();
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
