// SPDX-License-Identifier: Apache-2.0
//! Which clock a process records by: that is decided when its first store is attached, by what Linux itself counts on and what the
//! CPU says of its counter, which `/proc/cpuinfo` repeats: `constant_tsc` and `nonstop_tsc` are the one bit that promises both.
//!
//! It is decided once a process, so this test has one of its own.

use std::fs;

use osprofiler::delivery;
use osprofiler::driver::ConnectionString;
use osprofiler::recorder::clock::{self, Source};

#[test]
fn the_first_store_decides_by_linuxs_clock() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file://{}", folder.path().join("traces.jsonl").display());
    assert_eq!(clock::source(), None, "nobody has asked for the time yet");
    delivery::attach(None, None, "h", &ConnectionString::parse(&store).unwrap()).unwrap();
    let current =
        fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap();
    let has = |flag| cpu.split_whitespace().any(|word| word == flag);
    let is_constant = cfg!(target_arch = "x86_64") && has("constant_tsc") && has("nonstop_tsc");
    // Where Linux does not say, the CPU's word counts alone.
    let is_counted_on = current.as_ref().map_or(true, |name| name == "tsc\n");
    let expected = if is_constant && is_counted_on {
        Source::Counter
    } else {
        Source::System
    };
    let seen = format!("{is_constant} {current:?}");
    assert_eq!(clock::source(), Some(expected), "{seen}");
}
