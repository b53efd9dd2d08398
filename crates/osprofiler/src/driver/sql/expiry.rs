// SPDX-License-Identifier: Apache-2.0
//! When old rows are removed, the option `ttl`: by whoever writes, now and then, a bounded number at a time.
//!
//! A writer removes at most twice as many rows as it has written since the last time, so that the table shrinks as long as
//! anybody writes, and no writer works for long on what the others have left.

use std::time::{Duration, Instant, SystemTime};

use crate::Timestamp;

/// From one removal to the next.
const INTERVAL: Duration = Duration::from_secs(10);
/// What is removed at least, if there is as much.
const LEAST_ROWS: u64 = 1_000;

/// What a writer knows of removing.
pub(in crate::driver) struct Expiry {
    ttl: Duration,
    last: Option<Instant>,
    written: u64,
}

impl Expiry {
    pub(in crate::driver) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            last: None,
            written: 0,
        }
    }

    /// After `written` rows: if it is time to remove, what is older than which time, and how many rows at most.
    pub(in crate::driver) fn after(&mut self, written: usize) -> Option<(Timestamp, i64)> {
        self.written += written as u64;
        if self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return None;
        }
        self.last = Some(Instant::now());
        let rows = (2 * std::mem::take(&mut self.written)).max(LEAST_ROWS);
        let ttl = i64::try_from(self.ttl.as_micros()).unwrap_or(i64::MAX);
        let oldest = now().as_micros().saturating_sub(ttl);
        Some((
            Timestamp::from_micros(oldest),
            i64::try_from(rows).unwrap_or(i64::MAX),
        ))
    }
}

/// The time, by this machine's clock.
pub(in crate::driver) fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since_1970.unwrap_or_default().as_micros();
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_removed_at_a_time_and_seldom() {
        let mut expiry = Expiry::new(Duration::from_secs(3600));
        let before = now().as_micros() - 3_600_000_000;
        let (oldest, rows) = expiry.after(10).unwrap();
        assert!((before..=now().as_micros()).contains(&oldest.as_micros()));
        assert_eq!(rows, 1_000);
        assert_eq!(expiry.after(5_000), None);
        expiry.last = None;
        assert_eq!(expiry.after(1).unwrap().1, 10_002);
    }
}
