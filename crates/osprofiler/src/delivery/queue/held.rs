// SPDX-License-Identifier: Apache-2.0
//! What a writer has taken and holds back, such as the starts of points whose store has but whole points: it waits until it is
//! stored, and is lost with the writer. It is in no file: the writer alone knows of it.

use super::super::backlog::Place;
use super::super::calls::guarded;
use super::super::spool::Whose;
use super::{Outlet, Queue};
use crate::driver::Writer;
use crate::{Loss, LossReason};

impl Queue {
    /// Counts what the writer has taken, and of which, with what it held back before, it holds back `held` now.
    pub(super) fn count_taken(&mut self, place: Place, count: u64, held: u64, outlet: Outlet<'_>) {
        if place == Place::File(Whose::Adopted) {
            self.adopted += count;
        }
        self.leave_file(place, count, outlet);
        if place == Place::File(Whose::Adopted) {
            for tally in [outlet.tally, self.tally] {
                tally.add_adopted(count);
            }
            self.count_released(held, 0, outlet);
        } else {
            self.count_released(held, count, outlet);
        }
    }

    /// Has a writer that is about to be closed store what it holds back.
    pub(super) fn finish(&mut self, writer: &mut dyn Writer, outlet: Outlet<'_>) {
        // What another process had recorded is held back, too, and not counted as this one's.
        if self.held == 0 && guarded(|| Ok(writer.held())).unwrap_or(0) == 0 {
            return;
        }
        let left = guarded(|| {
            let _ = writer.finish();
            Ok(writer.held())
        });
        self.count_released(left.unwrap_or(self.held), 0, outlet);
        let held = self.held;
        self.lose_held(LossReason::Exit, outlet);
        self.standing.held_in_vain(held, outlet.messages);
    }

    /// Counts what the writer has stored: of `taken` and of what it held back, all but what it holds back now.
    pub(super) fn count_released(&mut self, held: u64, taken: u64, outlet: Outlet<'_>) {
        let before = self.held + taken;
        self.held = held.min(before);
        outlet.tally.add_stored(before - self.held);
        self.tally.add_stored(before - self.held);
    }

    /// Counts what the writer holds back as lost: it is gone with the writer.
    pub(super) fn lose_held(&mut self, reason: LossReason, outlet: Outlet<'_>) {
        let count = std::mem::take(&mut self.held);
        self.standing.lost(count);
        self.count_loss(Loss { count, reason }, outlet);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::super::super::counters::Tally;
    use super::super::super::limits::Limits;
    use super::super::super::messages::Messages;
    use super::super::Behind;
    use super::*;
    use crate::{Id, Notifications, Result};

    /// Holds back three until it finishes, which it counts.
    struct Holding(Arc<AtomicU64>);

    impl Writer for Holding {
        fn write(&mut self, _batch: &Notifications) -> Result<()> {
            Ok(())
        }

        fn write_loss(&mut self, _base_id: Option<Id<'_>>, _loss: Loss) -> Result<()> {
            Ok(())
        }

        fn take_losses(&mut self) -> Vec<Loss> {
            Vec::new()
        }

        fn held(&self) -> u64 {
            3
        }

        fn finish(&mut self) -> Result<()> {
            self.0.fetch_add(1, SeqCst);
            Ok(())
        }
    }

    #[test]
    fn what_another_process_had_recorded_is_finished_and_not_counted_here() {
        let behind = Behind {
            name: "test".to_owned(),
            open: Box::new(|| unreachable!("it is not opened")),
            survives_fork: true,
            tally: Box::leak(Box::default()),
            spool: None,
        };
        let mut queue = Queue::new(behind, Limits::DEFAULT);
        let (tally, messages) = (Tally::new(), Messages::new(Box::leak(Box::default())));
        let outlet = Outlet {
            tally: &tally,
            messages: &messages,
        };
        let finished = Arc::new(AtomicU64::new(0));
        let mut writer = Holding(Arc::clone(&finished));
        queue.count_taken(Place::File(Whose::Adopted), 3, writer.held(), outlet);
        queue.finish(&mut writer, outlet);
        let counters = tally.counters(|| 0);
        assert_eq!(finished.load(SeqCst), 1);
        assert_eq!(
            (counters.adopted(), counters.stored(), counters.lost()),
            (3, 0, 0)
        );
    }
}
