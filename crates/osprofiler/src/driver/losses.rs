// SPDX-License-Identifier: Apache-2.0
//! Losses that are told to a store once more, after an answer that did not come, and are to be counted once.
//!
//! Delivery tells the same loss again, with nothing added, until it is taken. A store that holds a number of each writer gets this
//! writer's [`Totals`], which are the same however often they are set; one that losses are only ever added to gets the same
//! [`Mark`] with the same loss, and its reader counts a mark once.

#[cfg(any(feature = "mongodb", feature = "redis"))]
use std::collections::HashMap;

#[cfg(any(feature = "mongodb", feature = "redis"))]
use crate::LossReason;
use crate::{Id, Loss};

/// What a writer has told of each trace and reason.
#[cfg(any(feature = "mongodb", feature = "redis"))]
pub(super) struct Totals {
    /// Tells these numbers from those of other writers, and from this one's earlier ones.
    writer: u128,
    known: HashMap<(Option<String>, LossReason), u64>,
}

/// So many numbers are remembered. Then the writer begins anew, as another one.
#[cfg(any(feature = "mongodb", feature = "redis"))]
const MOST_KNOWN: usize = 4096;

#[cfg(any(feature = "mongodb", feature = "redis"))]
impl Totals {
    pub(super) fn new() -> Self {
        Self {
            writer: crate::recorder::new_id(),
            known: HashMap::new(),
        }
    }

    /// What names the writer's numbers in the store.
    pub(super) fn writer(&self) -> String {
        format!("{:032x}", self.writer)
    }

    /// What the store's number is to be once it knows of `loss`.
    pub(super) fn with(&self, base_id: Option<Id<'_>>, loss: Loss) -> u64 {
        let before = self.known.get(&key(base_id, loss));
        before.copied().unwrap_or(0).saturating_add(loss.count)
    }

    /// The store knows of `loss`.
    pub(super) fn add(&mut self, base_id: Option<Id<'_>>, loss: Loss) {
        if self.known.len() >= MOST_KNOWN {
            *self = Self::new();
        } else {
            let total = self.with(base_id, loss);
            self.known.insert(key(base_id, loss), total);
        }
    }
}

#[cfg(any(feature = "mongodb", feature = "redis"))]
fn key(base_id: Option<Id<'_>>, loss: Loss) -> (Option<String>, LossReason) {
    (base_id.map(|id| id.to_string()), loss.reason)
}

/// The mark of the loss that was told last and not taken, if there is one.
#[cfg(any(
    feature = "elasticsearch",
    feature = "loginsight",
    feature = "messaging",
    feature = "mysql",
    feature = "otlp",
    feature = "postgresql"
))]
pub(super) struct Mark<M>(Option<(Option<String>, Loss, M)>);

#[cfg(any(
    feature = "elasticsearch",
    feature = "loginsight",
    feature = "messaging",
    feature = "mysql",
    feature = "otlp",
    feature = "postgresql"
))]
impl<M: Copy> Mark<M> {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// The mark of a loss: that of the last one if it is the same, otherwise the one that `make` makes.
    pub(super) fn of(
        &mut self,
        base_id: Option<Id<'_>>,
        loss: Loss,
        make: impl FnOnce() -> M,
    ) -> M {
        let trace = base_id.map(|id| id.to_string());
        match &self.0 {
            Some((known, same, mark)) if *known == trace && *same == loss => *mark,
            _ => {
                let mark = make();
                self.0 = Some((trace, loss, mark));
                mark
            }
        }
    }

    /// The loss was taken: an equal one that comes now is another one.
    pub(super) fn taken(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LossReason;

    const FIVE: Loss = Loss {
        count: 5,
        reason: LossReason::Refused,
    };

    #[cfg(any(feature = "mongodb", feature = "redis"))]
    #[test]
    fn totals_grow_with_what_was_taken_only() {
        let mut totals = Totals::new();
        let trace = Some(Id::from_u128(1));
        assert_eq!(totals.with(trace, FIVE), 5);
        assert_eq!(totals.with(trace, FIVE), 5, "told again");
        totals.add(trace, FIVE);
        assert_eq!(totals.with(trace, FIVE), 10);
        assert_eq!(totals.with(None, FIVE), 5);
        let exit = Loss {
            reason: LossReason::Exit,
            ..FIVE
        };
        assert_eq!(totals.with(trace, exit), 5);
    }

    #[cfg(any(feature = "mongodb", feature = "redis"))]
    #[test]
    fn a_writer_that_forgets_its_numbers_is_another_one() {
        let mut totals = Totals::new();
        let first = totals.writer();
        for trace in 0..=MOST_KNOWN as u128 {
            assert_eq!(totals.writer(), first);
            totals.add(Some(Id::from_u128(trace)), FIVE);
        }
        assert_ne!(totals.writer(), first);
        assert_eq!(totals.with(Some(Id::from_u128(0)), FIVE), 5);
    }

    #[cfg(any(
        feature = "elasticsearch",
        feature = "loginsight",
        feature = "messaging",
        feature = "mysql",
        feature = "otlp",
        feature = "postgresql"
    ))]
    #[test]
    fn a_loss_keeps_its_mark_until_it_is_taken() {
        let mut mark = Mark::new();
        let trace = Some(Id::from_u128(1));
        assert_eq!(mark.of(trace, FIVE, || 1), 1);
        assert_eq!(mark.of(trace, FIVE, || 2), 1);
        assert_eq!(mark.of(None, FIVE, || 3), 3);
        assert_eq!(mark.of(None, Loss { count: 6, ..FIVE }, || 4), 4);
        mark.taken();
        assert_eq!(mark.of(None, Loss { count: 6, ..FIVE }, || 5), 5);
    }
}
