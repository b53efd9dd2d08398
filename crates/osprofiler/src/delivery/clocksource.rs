// SPDX-License-Identifier: Apache-2.0
//! Which clock Linux itself counts on, looked up for the recorder, which opens no file: once a process, before the first origin is
//! given out, so before anything is recorded as one.

use std::fs;

use crate::recorder::clock;

const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Has the recorder's clock follow Linux's. Where the file cannot be read, as in a `chroot` without `/sys`, the CPU's word counts alone.
pub(super) fn decide() {
    if clock::source().is_none() {
        let current = fs::read_to_string(CURRENT).ok();
        clock::decide(current.as_deref().map(str::trim));
    }
}
