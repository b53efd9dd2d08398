// SPDX-License-Identifier: Apache-2.0
//! The second half of the subject `record`: a program in which every call goes through one small function.
//!
//! Nothing else here opens points, so the compiler may do with that function what it likes. What a call of such a function costs that does
//! nothing is no cost of tracing: it is measured too, and where a point is off, the difference is what counts.

#[path = "../rounds.rs"]
mod rounds;
#[path = "../swept.rs"]
mod swept;

use std::any::Any;
use std::hint::black_box;
use std::time::Duration;

use fastrace::Span;
use fastrace::collector::{Config, Reporter, SpanRecord};
use fastrace::local::LocalSpan;
use fastrace::prelude::SpanContext;
use osprofiler::point;
use osprofiler::recorder::{Context, Origin};

use rounds::{Cost, Side, compare, head, line, print};
use swept::{keep_pace, while_swept};

const POINTS: u32 = 1024;

struct Drop;

impl Reporter for Drop {
    fn report(&mut self, _: Vec<SpanRecord>) {}
}

#[inline(never)]
fn ours() {
    let _point = point!("flat");
}

#[inline(never)]
fn peer() {
    let _span = LocalSpan::enter_with_local_parent("flat");
}

#[inline(never)]
fn empty() {
    black_box(());
}

fn all_empty() {
    for _ in 0..POINTS {
        empty();
    }
}

fn all_ours() {
    for _ in 0..POINTS {
        ours();
    }
}

fn all_peer() {
    for _ in 0..POINTS {
        peer();
    }
}

fn nothing() -> Box<dyn Any> {
    Box::new(())
}

fn in_trace() -> Box<dyn Any> {
    keep_pace(100_000);
    let origin = Origin::register(Some("bench"), Some("one_site"), "host-1");
    let origin = origin.expect("the table of origins has room");
    Box::new(Context::new_trace(origin).attach())
}

fn in_span() -> Box<dyn Any> {
    let root = Span::root("root", SpanContext::random());
    let parent = root.set_local_parent();
    Box::new((parent, root))
}

/// What is left of `cost` without `floor`.
fn above(floor: Cost, cost: Cost) -> Cost {
    Cost {
        minimum: cost.minimum - floor.minimum,
        median: cost.median - floor.median,
    }
}

fn main() {
    head("ns an operation");
    print("-- one small function");
    let config = Config::default().report_interval(Duration::from_millis(100));
    fastrace::set_reporter(Drop, config);
    while_swept(
        |_| {},
        || {
            let side = |set_up, run| Side { set_up, run };
            let on = [&side(in_trace, all_ours), &side(in_span, all_peer)];
            let [ours, peer] = compare(POINTS, on);
            line("flat", ours, Some(peer), "<= 1.0");
            let off = [all_empty, all_ours, all_peer].map(|run| side(nothing, run));
            let [floor, ours, peer] = compare(POINTS, off.each_ref());
            line("floor: a call of an empty function", floor, None, "");
            line("off", ours, Some(peer), "");
            let [ours, peer] = [ours, peer].map(|cost| above(floor, cost));
            line("off, above the floor", ours, Some(peer), "<= 1 ns");
        },
    );
}
