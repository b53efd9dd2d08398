// SPDX-License-Identifier: Apache-2.0
//! What recording costs the traced thread: points on and off, beside fastrace, in a program of many call sites and in one where
//! every call goes through one small function.
//!
//! The second is a program of its own (`bin/one_site.rs`), which is built and started from here: what the compiler does
//! with a function depends on who else calls it.

use std::any::Any;
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrace::Span;
use fastrace::collector::{Config, Reporter, SpanRecord};
use fastrace::prelude::SpanContext;
use osprofiler::recorder::{Context, clock};

use crate::Outcome;
use crate::program::{self, POINTS};
use crate::rounds::{Side, compare, head, line, print};
use crate::swept::{keep_pace, while_swept};

/// Takes spans as they come, and drops them.
pub(crate) struct Drop;

impl Reporter for Drop {
    fn report(&mut self, _: Vec<SpanRecord>) {}
}

pub(crate) fn nothing() -> Box<dyn Any> {
    Box::new(())
}

/// Ours: a trace around the run.
pub(crate) fn in_trace() -> Box<dyn Any> {
    keep_pace(100_000);
    Box::new(Context::new_trace(program::origin()).attach())
}

/// fastrace's: a root span around the run.
pub(crate) fn in_span() -> Box<dyn Any> {
    let root = Span::root("root", SpanContext::random());
    let parent = root.set_local_parent();
    Box::new((parent, root))
}

/// What no point can do without: when it began and when it ended.
fn two_readings() {
    for _ in 0..POINTS {
        black_box(clock::ticks());
        black_box(clock::ticks());
    }
}

fn atomic_load() {
    static WORD: AtomicU64 = AtomicU64::new(0);
    for _ in 0..POINTS {
        black_box(WORD.load(Ordering::Relaxed));
    }
}

pub(crate) fn run() -> Outcome<String> {
    let config = Config::default().report_interval(Duration::from_millis(100));
    fastrace::set_reporter(Drop, config);
    let events = while_swept(|_| {}, measure);
    print(&format!("swept {events} events, lost 0"));
    one_site()
}

fn measure() {
    let floor = |run| Side {
        set_up: nothing,
        run,
    };
    let [readings, load] = compare(POINTS, [&floor(two_readings), &floor(atomic_load)]);
    head("ns an operation");
    line("floor: two readings of the clock", readings, None, "");
    line("floor: one atomic load", load, None, "");
    print("-- many call sites");
    let on = |run| Side {
        set_up: in_trace,
        run,
    };
    let peer_on = |run| Side {
        set_up: in_span,
        run,
    };
    let cases: [(&str, Side, Side, u32, &str); 7] = [
        (
            "flat",
            on(program::ours::flat),
            peer_on(program::peer::flat),
            POINTS,
            "<= 0.6",
        ),
        (
            "two constants",
            on(program::ours::constants),
            peer_on(program::peer::constants),
            POINTS,
            "",
        ),
        (
            "two values",
            on(program::ours::values),
            peer_on(program::peer::values),
            POINTS,
            "<= 0.3",
        ),
        (
            "root with one child (both)",
            floor(program::ours::roots),
            floor(program::peer::roots),
            POINTS,
            "<= 0.5",
        ),
        (
            "nested, depth 10 (each)",
            on(program::ours::nested),
            peer_on(program::peer::nested),
            1020,
            "<= 1.0",
        ),
        (
            "off",
            floor(program::ours::flat),
            floor(program::peer::flat),
            POINTS,
            "<= 1 ns",
        ),
        (
            "off, two values",
            floor(program::ours::values),
            floor(program::peer::values),
            POINTS,
            "<= 1 ns",
        ),
    ];
    for (name, ours, peer, points, target) in &cases {
        let [ours, peer] = compare(*points, [ours, peer]);
        line(name, ours, Some(peer), target);
        if *name == "flat" {
            print(&format!(
                "{:<44} {:>7.2} {:>7.2} {:>35} <= 1.3",
                "flat / two readings of the clock",
                ours.minimum / readings.minimum,
                ours.median / readings.median,
                ""
            ));
        }
    }
}

fn one_site() -> Outcome<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "-p", "osprofiler-benches"])
        .args(["--bin", "one_site"])
        .status()?;
    if status.success() {
        Ok(String::new())
    } else {
        Err(format!("`one_site` failed: {status}").into())
    }
}
