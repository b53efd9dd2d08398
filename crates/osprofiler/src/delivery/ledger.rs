// SPDX-License-Identifier: Apache-2.0
//! What was lost of which trace, until the store has been told.
//!
//! Bounded: beyond [`TRACES`] traces, further ones are counted together as "of traces nobody knows any more", so that the
//! totals stay exact whatever is lost.

use std::collections::HashMap;

use crate::{Id, Loss, LossReason};

/// How many traces have entries of their own.
const TRACES: usize = 4096;

/// Losses by trace and reason.
#[derive(Default)]
pub(super) struct Ledger {
    entries: HashMap<Key, u64>,
    /// What was told last and not taken, or taken without an answer: it is told again as it was.
    unclear: Option<(Key, u64)>,
}

type Key = (Option<OwnedId>, LossReason);

/// An id that outlives its batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum OwnedId {
    Uuid(u128),
    Text(Box<str>),
}

impl OwnedId {
    fn new(id: Id<'_>) -> Self {
        match (id.as_u128(), id.as_text()) {
            (Some(number), _) => Self::Uuid(number),
            (None, text) => Self::Text(text.unwrap_or_default().into()),
        }
    }

    fn id(&self) -> Option<Id<'_>> {
        match self {
            Self::Uuid(number) => Some(Id::from_u128(*number)),
            Self::Text(text) => Id::parse(text).ok(),
        }
    }
}

impl Ledger {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.unclear.is_none()
    }

    /// Adds a loss; one without a trace is of traces nobody knows.
    pub(super) fn add(&mut self, base_id: Option<Id<'_>>, loss: Loss) {
        let key = (base_id.map(OwnedId::new), loss.reason);
        if let Some(count) = self.entries.get_mut(&key) {
            *count = count.saturating_add(loss.count);
        } else if self.entries.len() < TRACES {
            self.entries.insert(key, loss.count);
        } else {
            let others = self.entries.entry((None, loss.reason)).or_insert(0);
            *others = others.saturating_add(loss.count);
        }
    }

    /// Hands each entry to `write` and forgets those it takes; ends at the first error. The entry that was not taken comes first
    /// the next time, and with the same number.
    pub(super) fn write<E>(
        &mut self,
        mut write: impl FnMut(Option<Id<'_>>, Loss) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut tell = |(trace, reason): &Key, count| {
            let reason = *reason;
            write(trace.as_ref().and_then(OwnedId::id), Loss { count, reason })
        };
        if let Some((key, count)) = &self.unclear {
            tell(key, *count)?;
            self.unclear = None;
        }
        let mut outcome = Ok(());
        let unclear = &mut self.unclear;
        self.entries.retain(|key, &mut count| {
            if outcome.is_err() {
                return true;
            }
            outcome = tell(key, count);
            if outcome.is_err() {
                *unclear = Some((key.clone(), count));
            }
            false
        });
        outcome
    }

    /// Hands each entry to `see`, the one that was told last and not taken as well.
    pub(super) fn each(&self, mut see: impl FnMut(Option<Id<'_>>, Loss)) {
        let unclear = self.unclear.iter().map(|(key, count)| (key, count));
        for ((trace, reason), &count) in unclear.chain(&self.entries) {
            let reason = *reason;
            see(trace.as_ref().and_then(OwnedId::id), Loss { count, reason });
        }
    }

    /// Hands each entry to `take` and forgets it.
    pub(super) fn drain(&mut self, mut take: impl FnMut(Option<Id<'_>>, Loss)) {
        let Ok(()) = self.write(|base_id, loss| {
            take(base_id, loss);
            Ok::<(), std::convert::Infallible>(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(count: u64) -> Loss {
        let reason = LossReason::QueueFull;
        Loss { count, reason }
    }

    fn written(ledger: &mut Ledger) -> Vec<(Option<String>, u64)> {
        let mut written = Vec::new();
        ledger
            .write(|trace, loss| {
                written.push((trace.map(|id| id.to_string()), loss.count));
                Ok::<(), ()>(())
            })
            .unwrap();
        written.sort();
        written
    }

    #[test]
    fn losses_of_one_trace_and_reason_add_up() {
        let mut ledger = Ledger::default();
        for (trace, count) in [(Some("B"), 2), (None, 1), (Some("B"), 3), (Some("C"), 1)] {
            ledger.add(trace.map(|text| Id::parse(text).unwrap()), loss(count));
        }
        assert_eq!(
            written(&mut ledger),
            [
                (None, 1),
                (Some("B".to_owned()), 5),
                (Some("C".to_owned()), 1)
            ]
        );
        assert!(ledger.is_empty());
    }

    #[test]
    fn what_was_not_taken_is_told_again_as_it_was() {
        let mut ledger = Ledger::default();
        let trace = Some(Id::from_u128(1));
        ledger.add(trace, loss(5));
        assert_eq!(ledger.write(|_, _| Err("no answer")), Err("no answer"));
        ledger.add(trace, loss(3));
        assert!(!ledger.is_empty());
        let mut told = Vec::new();
        let mut tell = |_: Option<Id<'_>>, loss: Loss| {
            told.push(loss.count);
            Ok::<(), ()>(())
        };
        ledger.write(&mut tell).unwrap();
        assert_eq!(told, [5, 3]);
        assert!(ledger.is_empty());
    }

    #[test]
    fn any_number_of_traces_is_bounded_and_counted() {
        let mut ledger = Ledger::default();
        for number in 0..10_000 {
            ledger.add(Some(Id::from_u128(number)), loss(1));
        }
        let written = written(&mut ledger);
        assert_eq!(written.len(), TRACES + 1);
        assert_eq!(written.iter().map(|entry| entry.1).sum::<u64>(), 10_000);
    }

    #[test]
    fn what_the_store_did_not_take_stays() {
        let mut ledger = Ledger::default();
        for number in 0..10 {
            ledger.add(Some(Id::from_u128(number)), loss(1));
        }
        let mut calls = 0;
        let outcome = ledger.write(|_, _| {
            calls += 1;
            if calls < 4 { Ok(()) } else { Err("down") }
        });
        assert_eq!((outcome, calls), (Err("down"), 4));
        assert_eq!(written(&mut ledger).len(), 7);
    }

    #[test]
    fn what_was_told_in_vain_is_still_there_to_be_kept() {
        let mut ledger = Ledger::default();
        ledger.add(Some(Id::from_u128(1)), loss(2));
        ledger.write(|_, _| Err(())).unwrap_err();
        let mut seen = Vec::new();
        ledger.each(|base_id, loss| seen.push((base_id.and_then(Id::as_u128), loss.count)));
        assert_eq!(seen, [(Some(1), 2)]);
    }
}
