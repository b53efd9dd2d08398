// SPDX-License-Identifier: Apache-2.0
//! CPU in all: from the traced thread to the JSON text of both notifications, made in the background.
//!
//! The processor time of the whole process (`getrusage`) over a million points; ours and fastrace take turns. Both make the same JSON with
//! the same function.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrace::Span;
use fastrace::collector::{Config, Reporter, SpanRecord};
use fastrace::prelude::SpanContext;
use nix::sys::resource::{UsageWho, getrusage};
use osprofiler::recorder::{Context, Event, clock::Calibration};
use osprofiler::{Id, Kind, Notification, Timestamp, wire};

use crate::Outcome;
use crate::program::{self, POINTS};
use crate::rounds::{Cost, head, line};
use crate::swept::{keep_pace, while_swept};

const RUNS: u32 = 100;
const TURNS: usize = 15;

static BYTES: AtomicU64 = AtomicU64::new(0);
static SPANS: AtomicU64 = AtomicU64::new(0);

/// Makes the two notifications of a span.
struct Json {
    text: String,
    info: String,
    name: String,
}

impl Reporter for Json {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        let count = spans.len() as u64;
        for span in spans {
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
                BYTES.fetch_add(
                    black_box(self.text.as_str()).len() as u64,
                    Ordering::Relaxed,
                );
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

/// Makes the notification of an event, as delivery does.
fn json() -> impl FnMut(&Event<'_>) + Send {
    let calibration = Calibration::new();
    let (mut text, mut info, mut name) = (String::new(), String::new(), String::new());
    move |event| {
        let details = event.origin.details();
        info.clear();
        event.info.push_json(details.host, &mut info);
        name.clear();
        name.push_str(event.name);
        name.push_str(match event.kind {
            Kind::Start => "-start",
            Kind::Stop => "-stop",
        });
        text.clear();
        let notification = Notification {
            name: &name,
            base_id: event.base_id,
            trace_id: event.trace_id,
            parent_id: event.parent_id,
            timestamp: calibration.timestamp(event.ticks),
            info: &info,
            project: details.project,
            service: details.service,
        };
        wire::push_json(&notification, &mut text);
        BYTES.fetch_add(black_box(text.as_str()).len() as u64, Ordering::Relaxed);
    }
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
        keep_pace(100_000);
    }
    // Each side pays for all of its own before the other's turn.
    keep_pace(0);
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
    // A span that fastrace dropped would cost nothing.
    assert_eq!(SPANS.load(Ordering::Acquire), spans, "spans reported");
}

/// A name, ours and fastrace's.
type Case = (&'static str, fn(), fn());

#[expect(clippy::unnecessary_wraps, reason = "the signature of a bench")]
pub(crate) fn run() -> Outcome<String> {
    fastrace::set_reporter(
        Json {
            text: String::new(),
            info: String::new(),
            name: String::new(),
        },
        Config::default().report_interval(Duration::from_millis(100)),
    );
    // What a bench before this one left behind.
    fastrace::flush();
    head("ns of CPU a point");
    let cases: [Case; 3] = [
        ("flat", program::ours::flat, program::peer::flat),
        (
            "two constants",
            program::ours::constants,
            program::peer::constants,
        ),
        ("two values", program::ours::values, program::peer::values),
    ];
    while_swept(json(), || {
        for (name, our_run, peer_run) in cases {
            let mut costs: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
            for _ in 0..TURNS {
                for (side, cost) in costs.iter_mut().enumerate() {
                    let before = cpu();
                    if side == 0 {
                        ours(our_run);
                    } else {
                        peer(peer_run);
                    }
                    let time = cpu().saturating_sub(before);
                    cost.push(time.as_secs_f64() * 1e9 / f64::from(RUNS * POINTS));
                }
            }
            let [ours, peer] = costs.map(Cost::of);
            line(name, ours, Some(peer), "<= 0.9");
        }
    });
    Ok(format!(
        "{} spans of fastrace, {} bytes of JSON in all",
        SPANS.load(Ordering::Acquire),
        BYTES.load(Ordering::Relaxed)
    ))
}
