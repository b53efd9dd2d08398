// SPDX-License-Identifier: Apache-2.0
//! How a queue ends with its process: what waits is brought into files, the store is given that, and for a while what others have left in
//! files, and is closed.
//!
//! What is left of others' files is left to the next process. Nothing here waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::super::spool::Whose;
use super::{Ledger, Outlet, Queue, Trust};

impl Queue {
    /// Brings all that waits into files, if there can be some: the process ends. What does not go into a file stays. Files of others are
    /// sent until `others_until`.
    pub(in super::super) fn keep(&mut self, others_until: Duration, outlet: Outlet<'_>) {
        self.others_until = Some(others_until);
        if let Some(refusal) = self.spill_all(outlet)
            && self.trust() == Trust::Failed
        {
            self.standing
                .kept_nothing(self.now, &refusal, outlet.messages);
        }
        // A store that answers is told, and soon.
        if self.trust() == Trust::Failed
            && !self.losses.is_empty()
            && self.backlog.keep_losses(&self.losses)
        {
            self.losses = Ledger::default();
        }
    }

    /// Whether it does.
    pub(super) fn is_ending(&self) -> bool {
        self.others_until.is_some()
    }

    /// Whether what others have left is sent now.
    pub(super) fn sends_others(&self) -> bool {
        self.others_until.is_none_or(|until| self.now < until)
    }

    /// Leaves what others have left to a later process.
    pub(super) fn leave_others(&mut self, outlet: Outlet<'_>) {
        self.backlog.leave_adopted();
        self.tell_adopted(outlet);
    }

    pub(super) fn tell_adopted(&mut self, outlet: Outlet<'_>) {
        let count = std::mem::take(&mut self.adopted);
        self.standing.adopted(count, outlet.messages);
    }

    /// Whether the process may end: all up to the mark is settled, and while the store takes them and there is time, what others have
    /// left in files is stored, too. A process that lives for one batch does not else do what the one before it has promised.
    pub(in super::super) fn may_end(&self) -> bool {
        let has_others = self.trust() == Trust::Answers && self.backlog.has_files(Whose::Adopted);
        self.is_past_mark() && !(has_others && self.sends_others())
    }

    /// Whether the process ends and all of this store is in files: one that takes nothing is not asked once more for those, and perhaps
    /// in vain until the deadline.
    pub(super) fn rests_in_files(&self) -> bool {
        self.is_ending() && self.trust() == Trust::Failed && self.len() == 0
    }

    /// Closes the store; it is opened again when it is needed.
    pub(in super::super) fn close(&mut self, outlet: Outlet<'_>) {
        if let Some(mut writer) = self.writer.take() {
            self.finish(writer.as_mut(), outlet);
            self.take_losses(writer.as_mut(), outlet);
            // A driver that panics in its drop has nothing of ours any more.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(writer)));
        }
        if self.is_ending() {
            self.standing.tell_last_given_up(self.now, outlet.messages);
        }
    }
}
