// SPDX-License-Identifier: Apache-2.0
//! What ticks mean, on pairs made up and on the machine's clocks.

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
    calibration.begin_sweep(pair(5_000_000, 2_000_000), || AHEAD_NS);
    calibration
}

/// The monotonic clock at those ticks.
fn at(calibration: &Calibration, ticks: u64) -> i64 {
    let mut places = 0..calibration.lines.len();
    let place = places.find(|&place| calibration.is_on(place, ticks));
    calibration.realtime_ns(place.unwrap_or_default(), ticks) - AHEAD_NS
}

#[test]
fn ticks_between_two_pairs_are_on_their_line() {
    let mut calibration = calibration();
    // The system's clock is adjusted: this millisecond is one tenth longer.
    calibration.begin_sweep(pair(7_000_000, 3_100_000), || AHEAD_NS);
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
        calibration.begin_sweep(now, || AHEAD_NS + sweep as i64);
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
                5_000_000 + sweep * 200_000_000,
                2_000_000 + sweep as i64 * 100_000_000,
            );
            calibration.begin_sweep(pair(ticks, monotonic_ns), || AHEAD_NS + set_ns);
            calibration.add(
                pair(ticks + 2_000, monotonic_ns + 1_000),
                calibration.newest().offset_ns,
            );
        }
        for (ticks, expected_ns) in [
            (4_000_000, 1_500_000),
            (5_000_000, 2_000_000 + counts),
            (105_000_000, 52_000_000 + counts),
            (205_000_000, 102_000_000 + counts),
            (205_001_000, 102_000_500 + counts),
            (605_002_000, 302_001_000 + counts),
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
fn of_sweeps_that_follow_fast_some_are_kept() {
    let mut calibration = calibration();
    for sweep in 1..=1_000 {
        let (ticks, monotonic_ns) = (5_000_000 + sweep * 100, 2_000_000 + sweep as i64 * 50);
        calibration.begin_sweep(pair(ticks, monotonic_ns), || AHEAD_NS);
    }
    assert_eq!(calibration.lines.len(), KEPT + 2);
    // There and back, from line to line, and before the first.
    for ticks in [
        5_100_000, 5_099_850, 5_099_950, 5_094_000, 5_000_000, 5_100_000,
    ] {
        let expected_ns = AHEAD_NS + (ticks as i64 - 1_000_000) / 2;
        let said = calibration.timestamp(ticks).as_micros();
        assert_eq!(said, expected_ns.div_euclid(1000), "{ticks} ticks");
    }
}

#[test]
fn a_counter_that_begins_anew_is_followed() {
    let mut calibration = calibration();
    // Another core's counter is behind: nothing new is known.
    calibration.begin_sweep(pair(4_999_900, 2_000_000), || AHEAD_NS);
    assert_eq!(at(&calibration, 5_000_000), 2_000_000);
    calibration.begin_sweep(pair(1_000, 9_000_000), || AHEAD_NS);
    assert_eq!(at(&calibration, 1_000), 9_000_000);
    calibration.begin_sweep(pair(2_001_000, 10_000_000), || AHEAD_NS);
    assert_eq!(at(&calibration, 1_001_000), 9_500_000);
    // By the new rate.
    assert_eq!(at(&calibration, 0), 8_999_500);
}

#[test]
fn ticks_from_before_the_first_sweep_are_on_a_line_too() {
    ticks();
    let begin = monotonic_ns();
    // Another thread may be about to make it.
    let mut firsts = std::iter::repeat_with(Pair::first)
        .take_while(|_| monotonic_ns() - begin < 60_000_000_000)
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
            let begin = monotonic_ns();
            while monotonic_ns() - begin < 1_500_000 {
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
    let before = time_of_day_ns() / 1000;
    let ours = calibration.timestamp(ticks()).as_micros();
    let after = time_of_day_ns() / 1000;
    // Two readings differ by far less than a millisecond.
    assert!(ours >= before - 1000);
    assert!(ours <= after + 1000);
}

#[test]
fn ticks_do_not_run_backwards() {
    let readings: Vec<u64> = (0..1000).map(|_| ticks()).collect();
    assert!(readings.is_sorted());
}
