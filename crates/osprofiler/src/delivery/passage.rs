// SPDX-License-Identifier: Apache-2.0
//! The passage of time for delivery: the system's monotonic clock, and what somebody let pass beside it.
//!
//! Everything that delivery waits for between two turns is by this clock. What a caller waits for (a flush, a fork, the end of the
//! process) is not.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::thread;

static AHEAD_NS: AtomicU64 = AtomicU64::new(0);

/// How long it is since `begin`.
pub(super) fn since(begin: Instant) -> Duration {
    begin.elapsed() + Duration::from_nanos(AHEAD_NS.load(Relaxed))
}

/// Lets so much time pass for this process's delivery, at once: waits for a store that failed are over that much earlier. For
/// tests of long outages.
///
/// ```
/// use std::time::Duration;
///
/// osprofiler::delivery::let_time_pass(Duration::from_mins(10));
/// ```
pub fn let_time_pass(duration: Duration) {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    AHEAD_NS.fetch_add(ns, Relaxed);
    if thread::is_running() {
        thread::wake();
    }
}
