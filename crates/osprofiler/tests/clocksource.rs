// SPDX-License-Identifier: Apache-2.0
//! Which clock a process records by: that is decided when its first store is attached, by what Linux itself counts on.
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
    let may_be_counter = current.map_or(true, |name| name == "tsc\n");
    let source = clock::source().expect("it is decided");
    assert!(source == Source::System || may_be_counter, "{source:?}");
}
