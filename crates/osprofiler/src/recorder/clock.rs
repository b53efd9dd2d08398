// SPDX-License-Identifier: Apache-2.0
//! The clock: raw ticks on the traced thread, times of day made from them later, on the delivery thread.
//!
//! A tick is one of the CPU's time-stamp counter where the CPU promises a constant rate and Linux itself counts on it (11 ns a read against
//! 28 for the system's clock), else a nanosecond of the monotonic clock. Which, is decided once: ticks of both do not mix. A [`Calibration`] takes pairs (ticks, monotonic clock) and
//! draws lines between neighbours, never beyond the last, so that drift does not add up, and what was in order stays in order. From there to the
//! time of day it is a sum, which changes where somebody sets the system's clock.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

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
    monotonic_ns() as u64
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
    let decided = SOURCE.compare_exchange(UNKNOWN, source, Ordering::Relaxed, Ordering::Relaxed);
    if decided.is_ok() {
        Pair::now().make_first();
    }
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

fn monotonic_ns() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for one timespec, and the call writes nothing else.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Ticks and the monotonic clock at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    ticks: u64,
    monotonic_ns: i64,
}

/// The pair from when ticks began, as good as older than all of this process, and of those forked from it. The ticks are 0 until it is there.
static FIRST_TICKS: AtomicU64 = AtomicU64::new(0);
static FIRST_NS: AtomicI64 = AtomicI64::new(0);

impl Pair {
    /// The tightest of a few readings: that of the monotonic clock lies between two of the ticks.
    fn now() -> Self {
        let mut best = (u64::MAX, None);
        let mut before = ticks();
        for _ in 0..4 {
            let monotonic_ns = monotonic_ns();
            let after = ticks();
            // Of two cores, one may be behind.
            let width = after.saturating_sub(before);
            if width < best.0 {
                let ticks = before + width / 2;
                best = (width, Some((ticks, monotonic_ns)));
            }
            before = after;
        }
        let (ticks, monotonic_ns) = best.1.unwrap_or_else(|| (before, monotonic_ns()));
        Self {
            ticks,
            monotonic_ns,
        }
    }

    fn make_first(self) {
        FIRST_NS.store(self.monotonic_ns, Ordering::Relaxed);
        FIRST_TICKS.store(self.ticks, Ordering::Release);
    }

    fn first() -> Option<Self> {
        let ticks = FIRST_TICKS.load(Ordering::Acquire);
        let monotonic_ns = FIRST_NS.load(Ordering::Relaxed);
        (ticks > 0).then_some(Self {
            ticks,
            monotonic_ns,
        })
    }

    /// One that is at least 20 microseconds later.
    fn one_later(self) -> Self {
        loop {
            let now = Self::now();
            if now.monotonic_ns - self.monotonic_ns >= RATE_NS {
                return now;
            }
            std::hint::spin_loop();
        }
    }

    /// The rate between two; `None` if no ticks are.
    fn ns_a_tick_since(self, before: Self) -> Option<f64> {
        let ticks = self.ticks.checked_sub(before.ticks).filter(|&it| it > 0)?;
        Some((self.monotonic_ns - before.monotonic_ns) as f64 / ticks as f64)
    }
}

/// What the time of day is ahead of the monotonic clock; by the tightest of a few readings, too.
fn realtime_offset_ns() -> i64 {
    let mut best = (i64::MAX, 0);
    let mut before = monotonic_ns();
    for _ in 0..4 {
        let realtime_ns = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_nanos() as i64,
            Err(until) => -(until.duration().as_nanos() as i64),
        };
        let after = monotonic_ns();
        let width = after - before;
        if width < best.0 {
            best = (width, realtime_ns.saturating_sub(before + width / 2));
        }
        before = after;
    }
    best.1
}

/// The system's clock was set if the time of day and the monotonic clock are so much farther apart than before, or nearer: adjusting its
/// rate adjusts both. Readings differ by far less.
const SET_NS: i64 = 100_000;
/// For how long pairs are kept: a thread that is kept from going on for longer between its clock's reading and its record has that
/// record's time from a rate.
const KEPT_NS: i64 = 1_000_000_000;
/// Two pairs so far apart say what the rate is.
const RATE_NS: i64 = 20_000;

/// Turns ticks into times of day. Owned by whoever sweeps.
///
/// It draws a line from each pair to the next, and takes another pair before it says anything of a tick later than the last. So nothing is
/// guessed that a later pair would contradict: what it says of a tick stays for a second, and of two ticks the later one is never earlier,
/// however long a busy machine keeps the sweeping thread from going on. The exceptions are the system's clock where somebody sets it, which the
/// times of day follow from the last sweep before that is noticed, and what two cores' counters differ by.
///
/// ```
/// # use osprofiler::recorder::clock::{Calibration, ticks};
/// let mut calibration = Calibration::new();
/// let first = calibration.timestamp(ticks());
/// calibration.update();
/// assert!(first <= calibration.timestamp(ticks()));
/// ```
#[derive(Clone, Debug)]
pub struct Calibration {
    /// Those of the last second, and where the one before them begins; at least one. A sweep adds one for each look at a chunk that has records
    /// newer than the last, at most.
    lines: Vec<Line>,
    /// Nanoseconds a tick, over all of them.
    ns_a_tick: f64,
}

/// From a pair to where the next line begins; of the last one only the beginning is known.
#[derive(Clone, Copy, Debug)]
struct Line {
    begin: Pair,
    /// What the time of day is ahead of the monotonic clock.
    offset_ns: i64,
}

impl Calibration {
    /// Takes a pair, beside the one from when ticks began. Where that was less than 20 microseconds ago, it waits as long.
    #[expect(
        clippy::new_without_default,
        reason = "it reads the clock, which a default value does not"
    )]
    pub fn new() -> Self {
        let now = Pair::now();
        // Either clock may have begun anew since, as when a machine was asleep or a process moved to another one.
        let first = Pair::first()
            .filter(|first| first.ticks < now.ticks && first.monotonic_ns <= now.monotonic_ns);
        let first = first.unwrap_or(now);
        Self::from_pairs(first, first.one_later(), realtime_offset_ns())
    }

    fn from_pairs(first: Pair, second: Pair, offset_ns: i64) -> Self {
        let line = |begin| Line { begin, offset_ns };
        Self {
            lines: vec![line(first), line(second)],
            ns_a_tick: second.ns_a_tick_since(first).unwrap_or(1.0),
        }
    }

    /// Takes another pair; call it at each sweep. Costs half a microsecond.
    pub fn update(&mut self) {
        self.begin_sweep(Pair::now(), realtime_offset_ns());
    }

    fn begin_sweep(&mut self, now: Pair, offset_ns: i64) {
        let before = self.newest().offset_ns;
        let is_set = offset_ns.abs_diff(before) > SET_NS.unsigned_abs();
        if is_set {
            // Of what is later than the last pair nothing was said yet; hours may have passed since.
            self.newest_mut().offset_ns = offset_ns;
        }
        self.add(now, if is_set { offset_ns } else { before });
        let kept_since = now.monotonic_ns - KEPT_NS;
        let old = self
            .lines
            .partition_point(|line| line.begin.monotonic_ns < kept_since);
        // What began before that may end within.
        self.lines.drain(..old.saturating_sub(1));
        self.lines.shrink_to(1024);
        let oldest = self.lines[0].begin;
        if now.monotonic_ns - oldest.monotonic_ns >= RATE_NS {
            self.ns_a_tick = now.ns_a_tick_since(oldest).unwrap_or(self.ns_a_tick);
        }
    }

    fn add(&mut self, begin: Pair, offset_ns: i64) {
        let newest = self.newest().begin;
        if begin.ticks <= newest.ticks {
            // Either two cores' counters differ, or the counter began anew, as when a machine was asleep.
            let behind_ns = (newest.ticks - begin.ticks) as f64 * self.ns_a_tick;
            if behind_ns < SET_NS as f64 {
                return;
            }
            self.lines.clear();
        }
        self.lines.push(Line { begin, offset_ns });
    }

    fn newest(&self) -> Line {
        self.lines[self.lines.len() - 1]
    }

    fn newest_mut(&mut self) -> &mut Line {
        let last = self.lines.len() - 1;
        &mut self.lines[last]
    }

    /// The time of day at `ticks`. Costs 0.2 microseconds where they are later than the last pair, else some 5 ns.
    pub fn timestamp(&mut self, ticks: u64) -> Timestamp {
        let newest = self.newest();
        if ticks > newest.begin.ticks {
            self.add(Pair::now(), newest.offset_ns);
        }
        Timestamp::from_micros(self.realtime_ns(ticks).div_euclid(1000))
    }

    fn realtime_ns(&self, ticks: u64) -> i64 {
        let later = self.lines.partition_point(|line| line.begin.ticks <= ticks);
        let Some(place) = later.checked_sub(1) else {
            let Line { begin, offset_ns } = self.lines[0];
            let until = ((begin.ticks - ticks) as f64 * self.ns_a_tick) as i64;
            return (begin.monotonic_ns.saturating_sub(until)).saturating_add(offset_ns);
        };
        let Line { begin, offset_ns } = self.lines[place];
        // After the last, where two cores' counters differ, or it is the last.
        let end = self.lines.get(later).map_or(begin, |line| line.begin);
        let rate = end.ns_a_tick_since(begin).unwrap_or(0.0);
        let since = ((ticks - begin.ticks) as f64 * rate) as i64;
        // Rounding does not lead beyond the line's end.
        (begin.monotonic_ns + since)
            .min(end.monotonic_ns)
            .saturating_add(offset_ns)
    }
}

/// How many ticks a second has, to a per cent: measured for 20 microseconds.
pub(super) fn ticks_a_second() -> u64 {
    let first = Pair::now();
    let rate = first.one_later().ns_a_tick_since(first);
    (1e9 / rate.unwrap_or(1.0)) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// What the time of day is ahead.
    const AHEAD_NS: i64 = 1_000_000_000_000;

    fn pair(ticks: u64, monotonic_ns: i64) -> Pair {
        Pair {
            ticks,
            monotonic_ns,
        }
    }

    /// One that took pairs 1 ms, or 2,000,000 ticks, apart.
    fn calibration() -> Calibration {
        let (first, second) = (pair(1_000_000, 0), pair(3_000_000, 1_000_000));
        let mut calibration = Calibration::from_pairs(first, second, AHEAD_NS);
        calibration.begin_sweep(pair(5_000_000, 2_000_000), AHEAD_NS);
        calibration
    }

    /// The monotonic clock at those ticks.
    fn at(calibration: &Calibration, ticks: u64) -> i64 {
        calibration.realtime_ns(ticks) - AHEAD_NS
    }

    #[test]
    fn ticks_between_two_pairs_are_on_their_line() {
        let mut calibration = calibration();
        // The system's clock is adjusted: this millisecond is one tenth longer.
        calibration.begin_sweep(pair(7_000_000, 3_100_000), AHEAD_NS);
        calibration.ns_a_tick = 0.25;
        for (ticks, expected_ns) in [
            // From before the first pair, by the rate.
            (600_000, -100_000),
            (1_000_000, 0),
            (3_000_000, 1_000_000),
            (4_000_000, 1_500_000),
            (5_000_000, 2_000_000),
            (6_000_000, 2_550_000),
            (7_000_000, 3_100_000),
            // Two cores' counters differ.
            (7_000_009, 3_100_000),
        ] {
            assert_eq!(at(&calibration, ticks), expected_ns, "{ticks} ticks");
        }
    }

    #[test]
    fn what_was_said_of_a_tick_stays_for_a_second() {
        let mut calibration = calibration();
        calibration.add(pair(5_000_600, 2_000_200), AHEAD_NS);
        let before = at(&calibration, 5_000_300);
        assert_eq!(before, 2_000_100);
        for sweep in 1..=20 {
            // Its rate is another one from here on.
            let now = pair(
                5_000_600 + sweep * 300_000_000,
                2_000_200 + sweep as i64 * 100_000_000,
            );
            calibration.begin_sweep(now, AHEAD_NS + sweep as i64);
            let is_kept = calibration.lines[0].begin.ticks <= 5_000_000;
            assert_eq!(is_kept, sweep <= 10, "{sweep}");
            if is_kept {
                assert_eq!(at(&calibration, 5_000_300), before, "{sweep}");
            }
        }
        // Eleven of that second, and the one that ends in it.
        assert_eq!(calibration.lines.len(), 12);
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
    fn a_clock_that_is_set_is_followed_from_the_last_pair_on() {
        for set_ns in [
            -3_600_000_000_000,
            -200_000,
            -50_000,
            50_000,
            200_000,
            3_600_000_000_000,
        ] {
            let mut calibration = calibration();
            let counts = if i64::abs(set_ns) > SET_NS { set_ns } else { 0 };
            for sweep in 1..=3 {
                let (ticks, monotonic_ns) = (
                    5_000_000 + sweep * 2_000_000,
                    2_000_000 + sweep as i64 * 1_000_000,
                );
                calibration.begin_sweep(pair(ticks, monotonic_ns), AHEAD_NS + set_ns);
                calibration.add(
                    pair(ticks + 2_000, monotonic_ns + 1_000),
                    calibration.newest().offset_ns,
                );
            }
            for (ticks, expected_ns) in [
                (4_000_000, 1_500_000),
                (5_000_000, 2_000_000 + counts),
                (6_000_000, 2_500_000 + counts),
                (7_000_000, 3_000_000 + counts),
                (7_001_000, 3_000_500 + counts),
                (8_000_000, 3_500_000 + counts),
                (11_002_000, 5_001_000 + counts),
            ] {
                assert_eq!(
                    at(&calibration, ticks),
                    expected_ns,
                    "{ticks} ticks, set by {set_ns} ns"
                );
            }
        }
    }

    #[test]
    fn a_counter_that_begins_anew_is_followed() {
        let mut calibration = calibration();
        // Another core's counter is behind: nothing new is known.
        calibration.begin_sweep(pair(4_999_900, 2_000_000), AHEAD_NS);
        assert_eq!(at(&calibration, 5_000_000), 2_000_000);
        calibration.begin_sweep(pair(1_000, 9_000_000), AHEAD_NS);
        assert_eq!(at(&calibration, 1_000), 9_000_000);
        calibration.begin_sweep(pair(2_001_000, 10_000_000), AHEAD_NS);
        assert_eq!(at(&calibration, 1_001_000), 9_500_000);
        // By the new rate.
        assert_eq!(at(&calibration, 0), 8_999_500);
    }

    #[test]
    fn ticks_from_before_the_first_sweep_are_on_a_line_too() {
        ticks();
        let begin = Instant::now();
        // Another thread may be about to make it.
        let mut firsts = std::iter::repeat_with(Pair::first)
            .take_while(|_| begin.elapsed().as_secs() < 60)
            .flatten();
        let first = firsts.next().unwrap();
        let calibration = Calibration::new();
        assert_eq!(calibration.lines[0].begin, first);
        let length = calibration.newest().begin.monotonic_ns - first.monotonic_ns;
        assert!(length >= RATE_NS, "{length}");
    }

    #[test]
    fn no_tick_is_earlier_than_one_before_it_however_long_a_sweep_takes() {
        for round in 0..100 {
            let mut calibration = Calibration::new();
            for sweep in 0..3 {
                let begin = Instant::now();
                while begin.elapsed().as_micros() < 1_500 {
                    std::hint::spin_loop();
                }
                let tick = ticks();
                let before = calibration.timestamp(tick);
                calibration.update();
                let after = calibration.timestamp(tick + 1);
                // One tick later: were either a guess, they would be farther apart.
                let apart = after.as_micros() - before.as_micros();
                assert!((0..100).contains(&apart), "round {round}, sweep {sweep}");
            }
        }
    }

    #[test]
    fn the_time_of_day_is_the_systems() {
        let mut calibration = Calibration::new();
        calibration.update();
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ours = calibration.timestamp(ticks()).as_micros();
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        // Two readings differ by far less than a millisecond.
        assert!(ours >= before.as_micros() as i64 - 1000);
        assert!(ours <= after.as_micros() as i64 + 1000);
    }

    #[test]
    fn ticks_do_not_run_backwards() {
        let readings: Vec<u64> = (0..1000).map(|_| ticks()).collect();
        assert!(readings.is_sorted());
    }
}
