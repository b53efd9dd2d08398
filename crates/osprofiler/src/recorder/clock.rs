// SPDX-License-Identifier: Apache-2.0
//! The clock: raw ticks on the traced thread, times of day made from them later, on the delivery thread.
//!
//! A tick is one of the CPU's time-stamp counter where the CPU promises a constant rate and Linux itself counts on it (11 ns a read against
//! 28 for the system's clock), else a nanosecond of the monotonic clock. Which, is decided once: ticks of both do not mix. A [`Calibration`] takes a pair (ticks, time of day) at each
//! sweep and interpolates between neighbouring pairs, so that neither drift nor an adjustment of the system's clock adds up.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::Timestamp;

const UNKNOWN: u8 = 0;
const COUNTER: u8 = 1;
const SYSTEM: u8 = 2;

static SOURCE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// The clock's reading now. Costs 11 ns with a time-stamp counter.
#[inline]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    if SOURCE.load(Ordering::Relaxed) == COUNTER {
        // SAFETY: every x86_64 CPU has the instruction; it reads a register and touches no memory.
        return unsafe { std::arch::x86_64::_rdtsc() };
    }
    ticks_otherwise()
}

#[cold]
#[inline(never)]
fn ticks_otherwise() -> u64 {
    if SOURCE.load(Ordering::Relaxed) == UNKNOWN {
        decide(None);
        return ticks();
    }
    monotonic_ns()
}

/// Where ticks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The CPU's time-stamp counter.
    Counter,
    /// The system's monotonic clock.
    System,
}

/// Where ticks come from; `None` before that is decided, by the first tick or the first store that is attached.
pub fn source() -> Option<Source> {
    match SOURCE.load(Ordering::Relaxed) {
        COUNTER => Some(Source::Counter),
        SYSTEM => Some(Source::System),
        _ => None,
    }
}

/// Decides where ticks come from, unless it is decided. `clocksource` is what Linux itself uses, if somebody has looked.
pub(crate) fn decide(clocksource: Option<&str>) {
    let source = match best(has_constant_counter(), clocksource) {
        Source::Counter => COUNTER,
        Source::System => SYSTEM,
    };
    // Whoever was faster has given out ticks already.
    let _ = SOURCE.compare_exchange(UNKNOWN, source, Ordering::Relaxed, Ordering::Relaxed);
}

/// Linux knows what the CPU does not: that the counters of two sockets are out of step, or that a hypervisor moves the guest to another
/// machine. It then uses another clock.
fn best(is_constant: bool, clocksource: Option<&str>) -> Source {
    if is_constant && clocksource.is_none_or(|name| name == "tsc") {
        Source::Counter
    } else {
        Source::System
    }
}

/// Whether the CPU says that its counter runs at one rate in all power states ("invariant TSC").
fn has_constant_counter() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for one timespec, and the call writes nothing else.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Ticks and the time of day at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    ticks: u64,
    realtime_ns: i64,
}

impl Pair {
    /// The tightest of a few readings: the time of day lies between two readings of the counter.
    fn now() -> Self {
        let mut best = (
            u64::MAX,
            Self {
                ticks: 0,
                realtime_ns: 0,
            },
        );
        for _ in 0..4 {
            let before = ticks();
            let realtime_ns = match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => since.as_nanos() as i64,
                Err(until) => -(until.duration().as_nanos() as i64),
            };
            let width = ticks().wrapping_sub(before);
            if width < best.0 {
                let ticks = before.wrapping_add(width / 2);
                best = (width, Self { ticks, realtime_ns });
            }
        }
        best.1
    }
}

/// Turns ticks into times of day, by the pairs it was given. Owned by whoever sweeps.
///
/// ```
/// # use osprofiler::recorder::clock::{Calibration, ticks};
/// let mut calibration = Calibration::new();
/// let (first, second) = (ticks(), ticks());
/// calibration.update();
/// assert!(calibration.timestamp(first) <= calibration.timestamp(second));
/// ```
#[derive(Clone, Debug)]
pub struct Calibration {
    older: Pair,
    newer: Pair,
    /// Nanoseconds a tick, before the first second has passed and a pair of pairs is far enough apart.
    ns_a_tick: f64,
}

impl Calibration {
    /// Takes the first pair. The rate is measured for 20 microseconds here, and by each [`update`](Self::update) after that.
    #[expect(
        clippy::new_without_default,
        reason = "it reads the clock, which a default value does not"
    )]
    pub fn new() -> Self {
        let older = Pair::now();
        let begin = Instant::now();
        while begin.elapsed().as_micros() < 20 {
            std::hint::spin_loop();
        }
        let newer = Pair::now();
        let mut calibration = Self {
            older,
            newer,
            ns_a_tick: 1.0,
        };
        calibration.set_rate();
        calibration
    }

    /// Takes another pair; call it at each sweep. Ticks between the last two pairs are interpolated, later ones
    /// extrapolated at the last rate. Costs 0.2 microseconds.
    pub fn update(&mut self) {
        let now = Pair::now();
        // Two readings too close together say nothing about the rate.
        if now.realtime_ns.abs_diff(self.newer.realtime_ns) >= 1_000_000 {
            self.older = self.newer;
            self.newer = now;
            self.set_rate();
        }
    }

    fn set_rate(&mut self) {
        let ticks = self.newer.ticks.wrapping_sub(self.older.ticks) as i64;
        let ns = self.newer.realtime_ns - self.older.realtime_ns;
        // The system's clock may have been set back in between: then the last rate is nearer to the truth.
        if ticks > 0 && ns > 0 {
            self.ns_a_tick = ns as f64 / ticks as f64;
        }
    }

    /// The time of day at `ticks`. Never decreases with growing ticks between two updates.
    pub fn timestamp(&self, ticks: u64) -> Timestamp {
        let since = ticks.wrapping_sub(self.newer.ticks) as i64;
        let ns = self
            .newer
            .realtime_ns
            .saturating_add((since as f64 * self.ns_a_tick) as i64);
        Timestamp::from_micros(ns.div_euclid(1000))
    }

    /// How long `ticks` are, in nanoseconds.
    pub fn duration_ns(&self, ticks: u64) -> u64 {
        (ticks as f64 * self.ns_a_tick) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration(older: (u64, i64), newer: (u64, i64)) -> Calibration {
        let pair = |(ticks, realtime_ns)| Pair { ticks, realtime_ns };
        let mut calibration = Calibration {
            older: pair(older),
            newer: pair(newer),
            ns_a_tick: 1.0,
        };
        calibration.set_rate();
        calibration
    }

    #[test]
    fn ticks_between_two_pairs_are_interpolated() {
        let calibration = calibration((1_000, 0), (3_000, 1_000_000));
        for (ticks, micros) in [
            (1_000, 0),
            (2_000, 500),
            (3_000, 1_000),
            (5_000, 2_000),
            (0, -500),
        ] {
            assert_eq!(
                calibration.timestamp(ticks).as_micros(),
                micros,
                "{ticks} ticks"
            );
        }
    }

    #[test]
    fn the_counter_is_used_where_cpu_and_kernel_count_on_it() {
        for (is_constant, clocksource, expected) in [
            (true, Some("tsc"), Source::Counter),
            (true, None, Source::Counter),
            (true, Some("hpet"), Source::System),
            (true, Some("kvm-clock"), Source::System),
            (true, Some(""), Source::System),
            (false, Some("tsc"), Source::System),
            (false, None, Source::System),
        ] {
            let best = best(is_constant, clocksource);
            assert_eq!(best, expected, "{is_constant} {clocksource:?}");
        }
    }

    #[test]
    fn what_is_decided_stays() {
        let _first = ticks();
        let decided = source();
        assert!(decided.is_some());
        for clocksource in ["tsc", "hpet"] {
            decide(Some(clocksource));
            assert_eq!(source(), decided);
        }
    }

    #[test]
    fn a_clock_set_back_keeps_the_rate() {
        let mut calibration = calibration((0, 0), (1_000_000, 500_000));
        calibration.older = calibration.newer;
        calibration.newer = Pair {
            ticks: 3_000_000,
            realtime_ns: 100_000,
        };
        calibration.set_rate();
        assert_eq!(calibration.timestamp(3_004_000).as_micros(), 102);
    }

    #[test]
    fn the_time_of_day_is_the_systems() {
        let mut calibration = Calibration::new();
        calibration.update();
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ours = calibration.timestamp(ticks()).as_micros();
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        // The rate of 20 microseconds is good to a per cent; a millisecond is far outside of that.
        assert!(ours >= before.as_micros() as i64 - 1000);
        assert!(ours <= after.as_micros() as i64 + 1000);
    }

    #[test]
    fn ticks_do_not_run_backwards() {
        let readings: Vec<u64> = (0..1000).map(|_| ticks()).collect();
        assert!(readings.is_sorted());
    }
}
