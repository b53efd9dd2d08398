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

fn time_of_day_ns() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i64,
        Err(until) => -(until.duration().as_nanos() as i64),
    }
}

/// What the time of day is ahead of the monotonic clock; by the tightest of a few readings, too.
fn realtime_offset_ns() -> i64 {
    let mut best = (i64::MAX, 0);
    let mut before = monotonic_ns();
    for _ in 0..4 {
        let time_of_day_ns = time_of_day_ns();
        let after = monotonic_ns();
        let width = after - before;
        if width < best.0 {
            best = (width, time_of_day_ns.saturating_sub(before + width / 2));
        }
        before = after;
    }
    best.1
}

/// The system's clock was set if the time of day and the monotonic clock are so much farther apart than before, or nearer: adjusting its
/// rate adjusts both. Readings differ by far less.
const SET_NS: i64 = 100_000;
/// For how long pairs are kept, and how many of them from before the last sweep: a thread that is kept from going on for longer between its
/// clock's reading and its record has that record's time from a rate.
const KEPT_NS: i64 = 1_000_000_000;
const KEPT: usize = 64;
/// How often the rate is measured, and looked whether the system's clock was set.
const MEASURED_NS: i64 = 100_000_000;
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
    /// At least one. A sweep adds one for each look at a chunk that has records newer than the last, at most.
    lines: Vec<Line>,
    /// Where this sweep's begin.
    sweep: usize,
    /// Where the last tick was found: the next one is near.
    found: usize,
    /// Nanoseconds a tick, and the pair since which it is to be measured next.
    ns_a_tick: f64,
    measured: Pair,
}

/// From a pair to where the next line begins; of the last one only the beginning is known.
#[derive(Clone, Copy, Debug)]
struct Line {
    begin: Pair,
    /// What the time of day is ahead of the monotonic clock.
    offset_ns: i64,
    /// 0 until the end is known.
    ns_a_tick: f64,
}

impl Line {
    const fn new(begin: Pair, offset_ns: i64) -> Self {
        Self {
            begin,
            offset_ns,
            ns_a_tick: 0.0,
        }
    }
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
        let mut calibration = Self {
            lines: vec![Line::new(first, offset_ns)],
            sweep: 0,
            found: 0,
            ns_a_tick: second.ns_a_tick_since(first).unwrap_or(1.0),
            measured: second,
        };
        calibration.add(second, offset_ns);
        calibration
    }

    /// Takes another pair; call it at each sweep. Costs 0.2 microseconds, and as much again ten times a second.
    pub fn update(&mut self) {
        self.begin_sweep(Pair::now(), realtime_offset_ns);
    }

    fn begin_sweep(&mut self, now: Pair, offset_ns: impl FnOnce() -> i64) {
        let since = now.monotonic_ns - self.measured.monotonic_ns;
        // Back, where the process moved to another machine.
        if since.abs() >= MEASURED_NS {
            self.follow(offset_ns());
            let rate = now
                .ns_a_tick_since(self.measured)
                .filter(|&rate| rate > 0.0);
            self.ns_a_tick = rate.unwrap_or(self.ns_a_tick);
            self.measured = now;
        }
        self.forget(now.monotonic_ns - KEPT_NS);
        self.add(now, self.newest().offset_ns);
        self.sweep = self.lines.len() - 1;
    }

    /// Where the system's clock was set, what is later than the last pair counts by it: nothing was said of that yet, and hours may have
    /// passed since.
    fn follow(&mut self, offset_ns: i64) {
        let last = self.lines.len() - 1;
        let newest = &mut self.lines[last];
        if offset_ns.abs_diff(newest.offset_ns) > SET_NS.unsigned_abs() {
            newest.offset_ns = offset_ns;
        }
    }

    /// Keeps what the sweep that ends now took, and of those before it some.
    fn forget(&mut self, since_ns: i64) {
        let before = &self.lines[..self.sweep];
        let old = before.partition_point(|line| line.begin.monotonic_ns < since_ns);
        // What began before that may end within.
        let old = old.saturating_sub(1).max(self.sweep.saturating_sub(KEPT));
        self.lines.drain(..old);
        self.found = 0;
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
            (self.sweep, self.found) = (0, 0);
        }
        if let Some(last) = self.lines.last_mut() {
            last.ns_a_tick = begin.ns_a_tick_since(last.begin).unwrap_or(0.0);
        }
        self.lines.push(Line::new(begin, offset_ns));
    }

    fn newest(&self) -> Line {
        self.lines[self.lines.len() - 1]
    }

    /// The time of day at `ticks`. Costs 0.2 microseconds where they are later than the last pair, else some 10 ns.
    pub fn timestamp(&mut self, ticks: u64) -> Timestamp {
        let newest = self.newest();
        if ticks > newest.begin.ticks {
            self.add(Pair::now(), newest.offset_ns);
        }
        if !self.is_on(self.found, ticks) {
            let later = self.lines.partition_point(|line| line.begin.ticks <= ticks);
            self.found = later.saturating_sub(1);
        }
        let realtime_ns = self.realtime_ns(self.found, ticks);
        Timestamp::from_micros(realtime_ns.div_euclid(1000))
    }

    /// Whether that line begins with the tick or before it, and the next one later.
    fn is_on(&self, place: usize, ticks: u64) -> bool {
        let next = self.lines.get(place + 1);
        self.lines[place].begin.ticks <= ticks && next.is_none_or(|next| ticks < next.begin.ticks)
    }

    /// The time of day at ticks of that line, or before the first one.
    fn realtime_ns(&self, place: usize, ticks: u64) -> i64 {
        let Line {
            begin,
            offset_ns,
            ns_a_tick,
        } = self.lines[place];
        if ticks < begin.ticks {
            let until = ((begin.ticks - ticks) as f64 * self.ns_a_tick) as i64;
            return (begin.monotonic_ns.saturating_sub(until)).saturating_add(offset_ns);
        }
        // After the last, where two cores' counters differ, or it is the last.
        let end = self.lines.get(place + 1).map_or(begin, |line| line.begin);
        let since = ((ticks - begin.ticks) as f64 * ns_a_tick) as i64;
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
mod tests;
