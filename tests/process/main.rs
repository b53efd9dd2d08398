// SPDX-License-Identifier: Apache-2.0
//! Whole processes: a traced program that is ended, killed or forked, and whose store fails while it records.
//!
//! The measure is always the same: the program is unaffected, and recorded = stored + spooled + lost, in its counters and in the store. No test
//! waits for time to pass; where something has to happen first, the program is asked until it has.

#![cfg(test)]

mod ends;
mod faults;
mod forks;
mod harness;
mod idle;
mod published;
mod several;
mod spooled;

use std::path::Path;

use osprofiler::driver::registry;

/// A connection string for each driver that stores in a file, below `folder`.
fn stores(folder: &Path) -> Vec<String> {
    registry::ready_drivers()
        .filter(|driver| ["file", "sqlite"].contains(&driver.name))
        .map(|driver| {
            format!(
                "{}://{}/trace.{}",
                driver.schemes[0],
                folder.display(),
                driver.name
            )
        })
        .collect()
}
