// SPDX-License-Identifier: Apache-2.0
//! When old documents are removed, the option `ttl`: by whoever writes, now and then, a bounded number a request.
//!
//! In: how many documents were written, and what came of a removal. Out: whether it is time for one, of what, of how many at most.
//! Each writer has its own times, so that a hundred processes that start together do not all ask for the same removal; and none
//! removes more than twice what it writes, or 1,000, so that nobody works for long on what the others have left.

use std::time::{Duration, Instant};

use crate::driver::expiry::{LEAST, oldest, share};
use crate::{Timestamp, recorder};

/// From one removal to the next, on average, if none leaves anything and a tenth of the `ttl` is no shorter.
const INTERVAL: Duration = Duration::from_secs(600);
/// The same while one leaves something; at least as long as the removal took, so that it never has more than half of the thread's time.
const INTERVAL_BEHIND: Duration = Duration::from_secs(10);
/// What a request removes at most: it is waited for.
const MOST_DOCUMENTS: i64 = 10_000;
/// One that took longer is not given more the next time: that would not be answered in time.
const SHORT: Duration = Duration::from_millis(500);

/// What came of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// Nothing that is too old is left, or it is not to be removed.
    Done,
    /// There is more.
    Behind,
    /// The server could not, or did not say so in time: it gets less to do.
    TooMuch,
}

/// What a writer knows of removing.
pub(super) struct Expiry {
    ttl: Duration,
    interval: Duration,
    next: Instant,
    /// The last removal left something that the server would have removed as well.
    is_behind: bool,
    /// What the next one removes at most.
    most: i64,
    written: usize,
}

impl Expiry {
    pub(super) fn new(ttl: Duration) -> Self {
        let interval = INTERVAL.min(ttl / 10);
        Self {
            ttl,
            interval,
            next: Instant::now() + interval.mul_f64(random()),
            is_behind: false,
            most: MOST_DOCUMENTS,
            written: 0,
        }
    }

    /// Counts documents that were written.
    pub(super) fn wrote(&mut self, documents: usize) {
        self.written = self.written.saturating_add(documents);
    }

    /// If it is time to remove: what is older than which time, and how many documents at most.
    pub(super) fn due(&mut self) -> Option<(Timestamp, i64)> {
        let is_much = self.written as i64 >= self.most / 2;
        let is_due = Instant::now() >= self.next || self.is_behind && is_much;
        if !is_due {
            return None;
        }
        let share = share(std::mem::take(&mut self.written), self.most);
        Some((oldest(self.ttl), share))
    }

    /// Takes what came of it, and how long that took.
    pub(super) fn done(&mut self, removal: Removal, took: Duration) {
        self.most = match removal {
            Removal::TooMuch => (self.most / 2).max(LEAST),
            Removal::Done | Removal::Behind if took < SHORT => (self.most * 2).min(MOST_DOCUMENTS),
            Removal::Done | Removal::Behind => self.most,
        };
        self.is_behind = removal == Removal::Behind;
        let wait = match removal {
            // Those that were at the same time once need not be for ever.
            Removal::Done => self.interval.mul_f64(0.5 + random()),
            Removal::Behind | Removal::TooMuch => INTERVAL_BEHIND.min(self.interval),
        };
        self.next = Instant::now() + wait.max(took);
    }
}

/// A number from 0 to 1.
fn random() -> f64 {
    f64::from(recorder::new_id() as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::expiry::now;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);
    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn writers_that_start_together_do_not_remove_together() {
        let begin = Instant::now();
        let next: Vec<_> = (0..100).map(|_| Expiry::new(WEEK).next - begin).collect();
        let sooner = next.iter().filter(|next| **next < INTERVAL / 2).count();
        assert!((10..90).contains(&sooner), "{next:?}");
        assert!(next.iter().all(|next| *next < 2 * INTERVAL), "{next:?}");
    }

    #[test]
    fn little_is_removed_at_a_time_and_seldom() {
        let mut expiry = Expiry::new(WEEK);
        let due = |expiry: &mut Expiry| expiry.next = Instant::now();
        due(&mut expiry);
        let before = now().as_micros() - 7 * 86_400_000_000;
        expiry.wrote(1);
        let (oldest, most) = expiry.due().unwrap();
        assert!((before..=now().as_micros()).contains(&oldest.as_micros()));
        assert_eq!(most, 1_000);
        expiry.done(Removal::Done, MOMENT);
        assert!(expiry.next > Instant::now() + INTERVAL / 4);
        let after = |expiry: &mut Expiry, written| {
            expiry.wrote(written);
            expiry.due().map(|(_, most)| most)
        };
        assert_eq!(after(&mut expiry, 4_000), None);
        due(&mut expiry);
        assert_eq!(after(&mut expiry, 100), Some(8_200));
        // It left some: who writes more removes sooner.
        expiry.done(Removal::Behind, MOMENT);
        assert!(expiry.next < Instant::now() + INTERVAL / 4);
        assert_eq!(after(&mut expiry, 4_999), None);
        assert_eq!(after(&mut expiry, 100_000), Some(10_000));
    }

    #[test]
    fn a_server_that_is_slow_gets_less_to_do_and_goes_on() {
        let mut expiry = Expiry::new(WEEK);
        let mut after = |removal, took| {
            expiry.done(removal, took);
            expiry.wrote(100_000);
            // However much is written, one that could not is not asked again at once.
            let is_pressed = removal == Removal::Behind;
            assert_eq!(expiry.due().is_some(), is_pressed);
            expiry.wrote(100_000);
            expiry.next = Instant::now();
            expiry.due().unwrap().1
        };
        let slow = [(); 5].map(|()| after(Removal::TooMuch, MOMENT));
        assert_eq!(slow, [5_000, 2_500, 1_250, 1_000, 1_000]);
        assert_eq!(after(Removal::Behind, SHORT), 1_000);
        assert_eq!(after(Removal::Behind, MOMENT), 2_000);
        assert_eq!(after(Removal::Done, MOMENT), 4_000);
    }

    #[test]
    fn a_removal_has_no_more_than_half_of_the_time() {
        let mut expiry = Expiry::new(WEEK);
        for removal in [Removal::TooMuch, Removal::Behind] {
            let took = 3 * INTERVAL_BEHIND;
            expiry.done(removal, took);
            assert!(expiry.next > Instant::now() + took.mul_f64(0.9));
        }
    }
}
