// SPDX-License-Identifier: Apache-2.0
//! The two ends of a point, which come apart, perhaps in different batches: brought together, since a span is both.
//!
//! ```text
//!  batch ──▶ plan ──▶ wholes: a start with its stop, or what has waited for the other for too long
//!               │
//!               └──▶ what is left waits here until its other end comes
//! ```
//!
//! A plan changes nothing: what of it was sent is taken out with [`Halves::forget`], so that a batch which comes again gives the same spans
//! again. What waits is bounded; the oldest goes first, alone. A start waits for as long as its point is open. A stop
//! that comes before its start was recorded in another thread, at the same moment; its start is in the next batch or in none.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::kept::Kept;
use crate::secret_hash::Secrets;
use crate::trace_context::SpanContext;
use crate::{Kind, Notification, Notifications};

/// How much waits here, beside one batch.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) notifications: usize,
    pub(super) bytes: usize,
}

pub(super) const BOUNDS: Bounds = Bounds {
    notifications: 16_384,
    bytes: 8 << 20,
};
/// For how long a stop waits for its start.
const STOP_WAITS: Duration = Duration::from_secs(1);

/// What waits for its other end.
pub(super) struct Halves {
    bounds: Bounds,
    waiting: HashMap<SpanContext, Half, Secrets>,
    /// The same, oldest first.
    order: BTreeMap<u64, SpanContext>,
    next: u64,
    bytes: usize,
}

/// A notification that waits.
struct Half {
    place: u64,
    since: Instant,
    of: Kept,
}

/// Where an end of a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the batch.
    Batch(usize),
    /// Among those that wait.
    Waiting(SpanContext),
}

/// What makes a span: two ends, or the one that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) start: Option<Place>,
    pub(super) stop: Option<Place>,
}

/// What a batch gives.
pub(super) struct Plan {
    pub(super) wholes: Vec<Whole>,
    /// What waits for its other end, by its place in the batch.
    pub(super) kept: Vec<usize>,
}

impl Halves {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            waiting: HashMap::default(),
            order: BTreeMap::new(),
            next: 0,
            bytes: 0,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Looks for the other end of each notification that `is_open` lets through.
    pub(super) fn plan(
        &self,
        batch: &Notifications,
        is_open: impl Fn(usize) -> bool,
        now: Instant,
    ) -> Plan {
        let mut wholes = Vec::with_capacity(batch.len() / 2 + 1);
        let mut open = HashMap::<SpanContext, (Kind, usize), Secrets>::default();
        let mut used = HashSet::default();
        for index in (0..batch.len()).filter(|index| is_open(*index)) {
            let ([base_id, trace_id, _], _) = batch.ids_and_timestamp(index);
            let context = SpanContext::of(base_id, trace_id);
            let kind = batch.kind(index);
            let place = Place::Batch(index);
            let entry = open.entry(context);
            let other = match &entry {
                Entry::Occupied(known) => {
                    let (kind, index) = *known.get();
                    Some((kind, Place::Batch(index)))
                }
                Entry::Vacant(_) => self
                    .waiting
                    .get(&context)
                    .filter(|_| used.insert(context))
                    .map(|half| (half.of.notification().kind(), Place::Waiting(context))),
            };
            match other {
                Some((of, other)) if of != kind => {
                    wholes.push(whole([(of, other), (kind, place)]));
                    if let Entry::Occupied(known) = entry {
                        known.remove();
                    }
                }
                other => {
                    // A second start, or a second stop: the one before stays alone.
                    wholes.extend(other.map(|end| whole([end])));
                    entry.insert_entry((kind, index));
                }
            }
        }
        self.give_up(&used, now, &mut wholes);
        let mut kept: Vec<usize> = open.into_values().map(|(_, index)| index).collect();
        kept.sort_unstable();
        Plan { wholes, kept }
    }

    /// Adds what has waited for too long, or finds no room, and is not `used`.
    fn give_up(&self, used: &HashSet<SpanContext, Secrets>, now: Instant, wholes: &mut Vec<Whole>) {
        let leaving = used
            .iter()
            .map(|context| self.waiting[context].of.size_bytes());
        let mut bytes = self.bytes - leaving.sum::<usize>();
        let mut count = self.waiting.len() - used.len();
        for context in self
            .order
            .values()
            .filter(|context| !used.contains(context))
        {
            let half = &self.waiting[context];
            let kind = half.of.notification().kind();
            let is_over = count > self.bounds.notifications || bytes > self.bounds.bytes;
            let is_late =
                kind == Kind::Stop && now.saturating_duration_since(half.since) > STOP_WAITS;
            if is_over || is_late {
                count -= 1;
                bytes -= half.of.size_bytes();
                wholes.push(whole([(kind, Place::Waiting(*context))]));
            }
        }
    }

    /// All that waits, each alone.
    pub(super) fn all(&self) -> Vec<Whole> {
        let contexts = self.order.values();
        contexts
            .map(|context| {
                let kind = self.waiting[context].of.notification().kind();
                whole([(kind, Place::Waiting(*context))])
            })
            .collect()
    }

    /// The notification at a place of a plan, until it is forgotten.
    pub(super) fn get<'a>(&'a self, place: Place, batch: &'a Notifications) -> Notification<'a> {
        match place {
            Place::Batch(index) => batch.get(index),
            Place::Waiting(context) => self.waiting[&context].of.notification(),
        }
    }

    /// Has a notification wait.
    pub(super) fn keep(&mut self, notification: &Notification<'_>, now: Instant) {
        let of = Kept::new(notification);
        let context = context(notification);
        self.bytes += of.size_bytes();
        self.order.insert(self.next, context);
        let half = Half {
            place: self.next,
            since: now,
            of,
        };
        self.next += 1;
        self.waiting.insert(context, half);
    }

    /// Takes out what waits no more; does nothing where nothing waits.
    pub(super) fn forget(&mut self, context: SpanContext) {
        if let Some(half) = self.waiting.remove(&context) {
            self.order.remove(&half.place);
            self.bytes -= half.of.size_bytes();
        }
    }
}

fn whole<const N: usize>(ends: [(Kind, Place); N]) -> Whole {
    let mut whole = Whole::default();
    for (kind, place) in ends {
        match kind {
            Kind::Start => whole.start = Some(place),
            Kind::Stop => whole.stop = Some(place),
        }
    }
    whole
}

fn context(notification: &Notification<'_>) -> SpanContext {
    SpanContext::of(notification.base_id, notification.trace_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Id, Timestamp};

    const SMALL: Bounds = Bounds {
        notifications: 3,
        bytes: 8 << 20,
    };

    fn batch(ends: &str) -> Notifications {
        let mut batch = Notifications::default();
        for end in ends.split_whitespace() {
            let (id, kind) = end.split_at(1);
            batch.push(&Notification {
                name: if kind == "(" { "x-start" } else { "x-stop" },
                base_id: Id::parse("B").unwrap(),
                trace_id: Id::parse(id).unwrap(),
                parent_id: Id::parse("B").unwrap(),
                timestamp: Timestamp::default(),
                info: "{}",
                project: None,
                service: None,
            });
        }
        batch
    }

    /// Writes `ends` of points as batches, `a(` a start and `a)` a stop, a second apart; returns the spans of each and, at last, what waits.
    fn spans(batches: &[&str], bounds: Bounds) -> Vec<String> {
        let mut halves = Halves::new(bounds);
        let mut shown = Vec::new();
        let mut now = Instant::now();
        for ends in batches {
            let batch = batch(ends);
            let plan = halves.plan(&batch, |_| true, now);
            shown.push(show(&halves, &plan.wholes, &batch));
            for whole in &plan.wholes {
                for place in [whole.start, whole.stop].into_iter().flatten() {
                    if let Place::Waiting(context) = place {
                        halves.forget(context);
                    }
                }
            }
            for index in plan.kept {
                halves.keep(&batch.get(index), now);
            }
            now += STOP_WAITS * 3 / 4;
        }
        shown.push(show(&halves, &halves.all(), &Notifications::default()));
        shown
    }

    fn show(halves: &Halves, wholes: &[Whole], batch: &Notifications) -> String {
        let id = |place| halves.get(place, batch).trace_id.to_string();
        let spans = wholes.iter().map(|whole| {
            let start = whole.start.map(|place| id(place) + "(").unwrap_or_default();
            start + &whole.stop.map(|place| id(place) + ")").unwrap_or_default()
        });
        spans.collect::<Vec<_>>().join(" ")
    }

    /// `expected` are the spans of each batch, and what waits at the end.
    fn check(batches: &[&str], expected: &[&str]) {
        assert_eq!(spans(batches, SMALL), expected, "{batches:?}");
    }

    #[test]
    fn ends_meet_whatever_batch_they_come_in() {
        check(&["a( b( b) a)"], &["b(b) a(a)", ""]);
        check(&["a( b(", "b)", "a) c("], &["", "b(b)", "a(a)", "c("]);
        // Recorded by two threads at the same moment.
        check(&["a)", "a("], &["", "a(a)", ""]);
        check(&["a) a("], &["a(a)", ""]);
    }

    #[test]
    fn what_has_no_other_end_goes_alone() {
        check(&["a)", "b( b)", "c( c)"], &["", "b(b)", "c(c) a)", ""]);
        check(&["a( a( a) a)"], &["a( a(a)", "a)"]);
        check(&["a(", "a(", "a)"], &["", "a(", "a(a)", ""]);
    }

    #[test]
    fn the_oldest_make_room() {
        check(
            &["a( b( c( d( e(", "f( a)", "e)"],
            &["", "a(a) b(", "e(e)", "c( d( f("],
        );
        let bytes = Kept::new(&batch("a(").get(0)).size_bytes();
        let bounds = Bounds {
            notifications: 100,
            bytes: 2 * bytes,
        };
        assert_eq!(spans(&["a( b( c(", "d("], bounds), ["", "a(", "b( c( d("]);
    }

    #[test]
    fn a_plan_that_was_not_carried_out_comes_again() {
        let mut halves = Halves::new(SMALL);
        let now = Instant::now();
        halves.keep(&batch("a(").get(0), now);
        let second = batch("a) b( b)");
        for _ in 0..2 {
            let plan = halves.plan(&second, |_| true, now);
            assert_eq!(show(&halves, &plan.wholes, &second), "a(a) b(b)");
        }
        assert_eq!(halves.len(), 1);
        let rest = halves.plan(&second, |index| index > 0, now);
        assert_eq!(show(&halves, &rest.wholes, &second), "b(b)");
    }
}
