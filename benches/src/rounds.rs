// SPDX-License-Identifier: Apache-2.0
//! Rounds that alternate between ours and the peer's, and the table of their minima and medians.
//!
//! A round times a run of some thousand operations; what it needs is set up and torn down outside of the time. Noise only adds,
//! so the minimum is the cost and the median says how noisy the machine was. A neighbour on the same core halves its speed for longer
//! than a few hundred rounds take, so rounds go on until they have seen some seconds of the machine.

use std::time::{Duration, Instant};

/// What one side of a comparison does.
pub(crate) struct Side {
    /// Makes what `run` needs; dropped after the clock has stopped.
    pub(crate) set_up: fn() -> Box<dyn std::any::Any>,
    /// Does the operations.
    pub(crate) run: fn(),
}

/// Nanoseconds an operation.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) minimum: f64,
    pub(crate) median: f64,
}

/// There are at least so many rounds, and they go on for at least so long.
const ROUNDS: usize = 400;
const SPAN: Duration = Duration::from_secs(3);
/// The first rounds fill caches, tables and pools.
const WARM_UPS: usize = 20;

/// The cost of each side, `operations` a run.
pub(crate) fn compare<const N: usize>(operations: u32, sides: [&Side; N]) -> [Cost; N] {
    let mut times: [Vec<Duration>; N] = std::array::from_fn(|_| Vec::with_capacity(ROUNDS));
    let begin = Instant::now();
    for round in 0.. {
        if round >= ROUNDS + WARM_UPS && begin.elapsed() >= SPAN {
            break;
        }
        for (side, times) in sides.iter().zip(&mut times) {
            let set_up = (side.set_up)();
            let begin = Instant::now();
            (side.run)();
            let time = begin.elapsed();
            drop(set_up);
            if round >= WARM_UPS {
                times.push(time);
            }
        }
    }
    times.map(|times| {
        let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(operations);
        Cost::of(times.into_iter().map(nanoseconds).collect())
    })
}

impl Cost {
    /// The cost by some measurements, one at least.
    pub(crate) fn of(mut nanoseconds: Vec<f64>) -> Self {
        nanoseconds.sort_unstable_by(f64::total_cmp);
        Self {
            minimum: nanoseconds[0],
            median: nanoseconds[nanoseconds.len() / 2],
        }
    }
}

/// A line of the table: a name, what was measured, and what the ratio should be at most.
pub(crate) fn line(name: &str, ours: Cost, peer: Option<Cost>, target: &str) {
    let Some(peer) = peer else {
        return print(&format!(
            "{name:<44} {:>7.1} {:>7.1}",
            ours.minimum, ours.median
        ));
    };
    print(&format!(
        "{name:<44} {:>7.1} {:>7.1} {:>9.1} {:>7.1} {:>7.2} {:>7.2}  {target}",
        ours.minimum,
        ours.median,
        peer.minimum,
        peer.median,
        ours.minimum / peer.minimum,
        ours.median / peer.median,
    ));
}

/// The head of the table.
pub(crate) fn head(unit: &str) {
    print(&format!(
        "{:<44} {:>7} {:>7} {:>9} {:>7} {:>7} {:>7}  target",
        unit, "ours", "", "fastrace", "", "ratio", ""
    ));
    print(&format!(
        "{:<44} {:>7} {:>7} {:>9} {:>7} {:>7} {:>7}",
        "", "min", "median", "min", "median", "min", "median"
    ));
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(crate) fn print(line: &str) {
    println!("{line}");
}
