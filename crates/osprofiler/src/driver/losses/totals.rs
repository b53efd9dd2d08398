// SPDX-License-Identifier: Apache-2.0
//! Losses for a store that holds a number of each writer: the number is the same however often it is set.

use std::collections::HashMap;

use crate::{Id, Loss, LossReason};

/// What a writer has told of each trace and reason.
pub(in crate::driver) struct Totals {
    /// Tells these numbers from those of other writers, and from this one's earlier ones.
    writer: u128,
    known: HashMap<(Option<String>, LossReason), u64>,
}

/// So many numbers are remembered. Then the writer begins anew, as another one.
const MOST_KNOWN: usize = 4096;

impl Totals {
    pub(in crate::driver) fn new() -> Self {
        Self {
            writer: crate::recorder::new_id(),
            known: HashMap::new(),
        }
    }

    /// What names the writer's numbers in the store.
    pub(in crate::driver) fn writer(&self) -> String {
        format!("{:032x}", self.writer)
    }

    /// What the store's number is to be once it knows of `loss`.
    pub(in crate::driver) fn with(&self, base_id: Option<Id<'_>>, loss: Loss) -> u64 {
        let before = self.known.get(&key(base_id, loss));
        before.copied().unwrap_or(0).saturating_add(loss.count)
    }

    /// The store knows of `loss`.
    pub(in crate::driver) fn add(&mut self, base_id: Option<Id<'_>>, loss: Loss) {
        if self.known.len() >= MOST_KNOWN {
            *self = Self::new();
        } else {
            let total = self.with(base_id, loss);
            self.known.insert(key(base_id, loss), total);
        }
    }
}

fn key(base_id: Option<Id<'_>>, loss: Loss) -> (Option<String>, LossReason) {
    (base_id.map(|id| id.to_string()), loss.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: Loss = Loss {
        count: 5,
        reason: LossReason::Refused,
    };

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
}
