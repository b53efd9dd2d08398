// SPDX-License-Identifier: Apache-2.0
//! The second half of the subject `record`: a program in which every call goes through one small function.
//!
//! Nothing else here opens points, so the compiler may do with that function what it likes.

#[path = "../rounds.rs"]
mod rounds;
#[path = "../swept.rs"]
mod swept;

use std::any::Any;
use std::time::Duration;

use fastrace::Span;
use fastrace::collector::{Config, Reporter, SpanRecord};
use fastrace::local::LocalSpan;
use fastrace::prelude::SpanContext;
use osprofiler::point;
use osprofiler::recorder::{Context, Origin};

use rounds::{Side, compare, head, line, print};
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

fn main() {
    head("ns an operation");
    print("-- one small function");
    let config = Config::default().report_interval(Duration::from_millis(100));
    fastrace::set_reporter(Drop, config);
    while_swept(
        |_| {},
        || {
            let side = |set_up, run| Side { set_up, run };
            let cases = [
                (
                    "flat",
                    side(in_trace, all_ours),
                    side(in_span, all_peer),
                    "<= 1.0",
                ),
                (
                    "off",
                    side(nothing, all_ours),
                    side(nothing, all_peer),
                    "<= 1 ns",
                ),
            ];
            for (name, ours, peer, target) in &cases {
                let [ours, peer] = compare(POINTS, [ours, peer]);
                line(name, ours, Some(peer), target);
            }
        },
    );
}
