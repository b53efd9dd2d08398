// SPDX-License-Identifier: Apache-2.0
//! CPU in all: from the traced thread to the JSON text of both notifications, made in the background.
//!
//! The processor time of the whole process (`getrusage`) over a hundred thousand points; ours and fastrace take turns. Ours is delivery as it is,
//! with a driver that makes the JSON as the driver `file` does; fastrace has a reporter that makes the same JSON, byte for byte as many,
//! with the function for single notifications.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrace::Span;
use fastrace::collector::{Config, Reporter, SpanRecord};
use fastrace::prelude::SpanContext;
use nix::sys::resource::{UsageWho, getrusage};
use osprofiler::driver::Writer;
use osprofiler::recorder::Context;
use osprofiler::wire::{self, BatchJson};
use osprofiler::{Id, Loss, Notification, Notifications, Timestamp, delivery};

use crate::Outcome;
use crate::program::{self, POINTS};
use crate::rounds::{Cost, head, line};

const RUNS: u32 = 100;
const TURNS: usize = 15;

/// Longer than any turn takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// Of all JSON so far, ours and fastrace's.
static BYTES: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static SPANS: AtomicU64 = AtomicU64::new(0);

/// The text is what the store would get.
fn take(side: usize, text: &[u8]) {
    BYTES[side].fetch_add(black_box(text).len() as u64, Ordering::Relaxed);
}

/// Makes the notifications of each batch.
struct Driver {
    text: Vec<u8>,
}

impl Writer for Driver {
    fn write(&mut self, batch: &Notifications) -> osprofiler::Result<()> {
        let mut json = BatchJson::new(batch);
        for index in 0..batch.len() {
            self.text.clear();
            json.push(index, &mut self.text);
            take(0, &self.text);
        }
        Ok(())
    }

    fn write_loss(&mut self, _: Option<Id<'_>>, _: Loss) -> osprofiler::Result<()> {
        Ok(())
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        Vec::new()
    }
}

/// Makes the two notifications of each span.
#[derive(Default)]
struct Json {
    text: String,
    info: String,
    name: String,
}

impl Reporter for Json {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        let count = spans.len() as u64;
        // The root stands for the trace, which ours need no notification for.
        for span in spans.iter().filter(|span| span.name != "root") {
            let begin_us = (span.begin_time_unix_ns / 1000) as i64;
            let end_us = ((span.begin_time_unix_ns + span.duration_ns) / 1000) as i64;
            self.info.clear();
            self.info.push('{');
            for (key, value) in &span.properties {
                push_string(key, &mut self.info);
                self.info.push_str(": ");
                push_string(value, &mut self.info);
                self.info.push_str(", ");
            }
            self.info.push_str("\"host\": \"host-1\"}");
            for (suffix, micros, info) in [
                ("-start", begin_us, self.info.as_str()),
                ("-stop", end_us, "{\"host\": \"host-1\"}"),
            ] {
                self.name.clear();
                self.name.push_str(&span.name);
                self.name.push_str(suffix);
                self.text.clear();
                let notification = Notification {
                    name: &self.name,
                    base_id: Id::from_u128(span.trace_id.0),
                    trace_id: Id::from_u128(span.span_id.0.into()),
                    parent_id: Id::from_u128(span.parent_id.0.into()),
                    timestamp: Timestamp::from_micros(micros),
                    info,
                    project: Some("bench"),
                    service: Some("record"),
                };
                wire::push_json(&notification, &mut self.text);
                take(1, self.text.as_bytes());
            }
        }
        SPANS.fetch_add(count, Ordering::Release);
    }
}

/// Appends a JSON string of a text that needs no escapes, as all here.
fn push_string(text: &str, out: &mut String) {
    out.push('"');
    if text
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
    {
        out.push_str(text);
    }
    out.push('"');
}

/// The processor time of this process so far, its threads' and the system's for it.
fn cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    [usage.user_time(), usage.system_time()]
        .into_iter()
        .map(|time| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000))
        .sum()
}

fn ours(run: fn()) {
    for _ in 0..RUNS {
        let trace = Context::new_trace(program::origin()).attach();
        run();
        drop(trace);
    }
    // Each side pays for all of its own before the other's turn.
    let counters = delivery::flush(DEADLINE);
    // What was lost would cost nothing.
    assert_eq!(counters.stored(), counters.recorded(), "stored, recorded");
}

fn peer(run: fn()) {
    let spans = SPANS.load(Ordering::Acquire) + u64::from(RUNS * (POINTS + 1));
    for _ in 0..RUNS {
        let root = Span::root("root", SpanContext::random());
        let parent = root.set_local_parent();
        run();
        drop((parent, root));
    }
    fastrace::flush();
    assert_eq!(SPANS.load(Ordering::Acquire), spans, "spans reported");
}

/// A name, ours and fastrace's.
type Case = (&'static str, [fn(); 2]);

const CASES: [Case; 3] = [
    ("flat", [program::ours::flat, program::peer::flat]),
    (
        "two constants",
        [program::ours::constants, program::peer::constants],
    ),
    ("two values", [program::ours::values, program::peer::values]),
];

pub(crate) fn run() -> Outcome<String> {
    let config = Config::default().report_interval(Duration::from_millis(100));
    fastrace::set_reporter(Json::default(), config);
    let origin = program::origin().details();
    delivery::attach_own(origin.project, origin.service, origin.host, "json", || {
        Ok(Box::new(Driver { text: Vec::new() }))
    })?;
    head("ns of CPU a point");
    for (name, runs) in CASES {
        let mut costs: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            for ((turn, run), costs) in [ours as fn(fn()), peer]
                .into_iter()
                .zip(runs)
                .zip(&mut costs)
            {
                let before = cpu();
                turn(run);
                let time = cpu().saturating_sub(before);
                costs.push(time.as_secs_f64() * 1e9 / f64::from(RUNS * POINTS));
            }
        }
        let [ours, peer] = costs.map(Cost::of);
        line(name, ours, Some(peer), "<= 0.9");
    }
    let [bytes, of_peer] = BYTES.each_ref().map(|bytes| bytes.load(Ordering::Relaxed));
    assert_eq!(bytes, of_peer, "bytes of JSON");
    Ok(format!("{bytes} bytes of JSON on either side"))
}
