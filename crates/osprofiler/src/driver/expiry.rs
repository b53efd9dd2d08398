// SPDX-License-Identifier: Apache-2.0
//! When old notifications are removed, the option `ttl`, where writers do that: now and then, a bounded number at a time.
//!
//! A writer removes at most twice as many as it has written since the last time, or 1,000, so that the store shrinks as long as
//! anybody writes, and no writer works for long on what the others have left.

#[cfg(feature = "_pace")]
use std::time::Instant;
use std::time::{Duration, SystemTime};

use crate::Timestamp;

/// From one removal to the next.
#[cfg(feature = "_pace")]
const INTERVAL: Duration = Duration::from_secs(10);
/// What is removed at least, if there is as much.
pub(super) const LEAST: i64 = 1_000;

/// What a writer knows of removing.
#[cfg(feature = "_pace")]
pub(super) struct Expiry {
    ttl: Duration,
    most: i64,
    last: Option<Instant>,
    written: usize,
}

#[cfg(feature = "_pace")]
impl Expiry {
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            most: i64::MAX,
            last: None,
            written: 0,
        }
    }

    /// Never more than so many at a time.
    #[cfg(feature = "sqlite")]
    pub(super) fn at_most(self, most: i64) -> Self {
        Self { most, ..self }
    }

    /// There is more to remove: the next batch need not wait.
    #[cfg(any(test, feature = "sqlite"))]
    pub(super) fn hurry(&mut self) {
        self.last = None;
    }

    /// Counts notifications that were written.
    pub(super) fn wrote(&mut self, notifications: usize) {
        self.written = self.written.saturating_add(notifications);
    }

    /// If it is time to remove: what is older than which time, and how many at most.
    pub(super) fn due(&mut self) -> Option<(Timestamp, i64)> {
        if self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return None;
        }
        self.last = Some(Instant::now());
        let share = share(std::mem::take(&mut self.written), self.most);
        Some((oldest(self.ttl), share))
    }
}

/// How many may be removed by who has written so many since the last time, and removes `most` at most.
pub(super) fn share(written: usize, most: i64) -> i64 {
    let twice = i64::try_from(written).unwrap_or(i64::MAX).saturating_mul(2);
    twice.clamp(LEAST, most)
}

/// The time before which everything is too old.
pub(super) fn oldest(ttl: Duration) -> Timestamp {
    let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now().as_micros().saturating_sub(ttl))
}

/// The time, by this machine's clock.
pub(super) fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since_1970.unwrap_or_default().as_micros();
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(all(test, feature = "_pace"))]
mod tests {
    use super::*;

    #[test]
    fn little_is_removed_at_a_time_and_seldom() {
        let mut expiry = Expiry::new(Duration::from_secs(3600));
        let before = now().as_micros() - 3_600_000_000;
        expiry.wrote(10);
        let (oldest, most) = expiry.due().unwrap();
        assert!((before..=now().as_micros()).contains(&oldest.as_micros()));
        assert_eq!(most, 1_000);
        expiry.wrote(5_000);
        assert_eq!(expiry.due(), None);
        expiry.wrote(1);
        expiry.hurry();
        assert_eq!(expiry.due().unwrap().1, 10_002);
        expiry.wrote(usize::MAX);
        expiry.hurry();
        assert_eq!(expiry.due().unwrap().1, i64::MAX);
    }
}
