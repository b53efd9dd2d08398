// SPDX-License-Identifier: Apache-2.0
//! Losses for a store that they are only ever added to: the same loss has the same mark, and a reader counts a mark once.

use crate::{Id, Loss};

/// The mark of the loss that was told last and not taken, if there is one.
pub(in crate::driver) struct Mark<M>(Option<(Option<String>, Loss, M)>);

impl<M: Copy> Mark<M> {
    pub(in crate::driver) fn new() -> Self {
        Self(None)
    }

    /// The mark of a loss: that of the last one if it is the same, otherwise the one that `make` makes.
    pub(in crate::driver) fn of(
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
    pub(in crate::driver) fn taken(&mut self) {
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
