// SPDX-License-Identifier: Apache-2.0
//! Brings what one store holds into another that may hold a part of it already.
//!
//! In: the elements of a source in any order, as [`Reader::read_all`] yields them. Out: in the target each notification and each
//! loss once, however often this was done or broken off before. Two notifications are one if trace, point, name and time are
//! equal: what a store can't hold exactly comes back differently, and would be copied again and again if more counted. So does
//! a long name: of that, what every store keeps counts, its beginning and its end.
//!
//! ```text
//!  take ──▶ batch ──full──▶ of each new trace: does the target list it? ──yes──▶ read it there, once
//!                                    │ no                                             │
//!                                    └──▶ what is not there yet ──▶ Writer::write ◀───┘
//! ```
//!
//! A batch, the hashes of what the target has of the traces in it, and two hashes for each trace are in memory; never a whole store.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::{ControlFlow, Range};

use osprofiler::driver::{ListFilter, Reader, Stored, Writer};
use osprofiler::{Error, ErrorKind, Id, Loss, LossReason, Notification, Notifications};

use crate::Failure;

/// A batch is written at this many notifications...
const BATCH_LEN: usize = 10_000;
/// ...or bytes.
const BATCH_BYTES: usize = 4 << 20;
/// How many hashes of notifications are kept for traces that may go on.
const MOST_HASHES: usize = 1 << 20;
/// A target that has refused so many and taken none refuses for another reason than what is in them.
const MOST_REFUSED: u64 = 100;

/// So many characters of a name are kept by every store: a column of upstream's tables holds 255, an end such as `-start` among them.
const NAME_CHARACTERS: usize = 200;

/// What was done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Traces of the source.
    pub(crate) traces: u64,
    /// Those of them of which something was copied.
    pub(crate) traces_copied: u64,
    /// Notifications that were written.
    pub(crate) copied: u64,
    /// Notifications that the target had already.
    pub(crate) held: u64,
    /// Notifications that the target cannot hold.
    pub(crate) refused: u64,
    /// Why it can't hold the first of them.
    pub(crate) refusal: Option<String>,
    /// How many notifications the target now knows to be lost that it did not know of.
    pub(crate) lost: u64,
    /// What the target gave up while it was written, to stay within its size.
    pub(crate) given_up: u64,
}

impl Summary {
    /// Says why something was refused, unless that was said of something before.
    fn refuse(&mut self, why: impl FnOnce() -> String) {
        self.refusal.get_or_insert_with(why);
    }
}

/// Where everything goes.
pub(crate) struct Target {
    /// `None` for a store that cannot be read: it is taken to hold nothing.
    pub(crate) reader: Option<Box<dyn Reader>>,
    /// `None` if nothing is to be written.
    pub(crate) writer: Option<Box<dyn Writer>>,
}

/// Counts what a writer has refused of what it had taken, now or until now, and what it gave up; returns how much it has refused.
fn take_refused(writer: &mut dyn Writer, summary: &mut Summary) -> u64 {
    let mut refused: u64 = 0;
    for loss in writer.take_losses() {
        let number = match loss.reason {
            LossReason::Refused => &mut refused,
            _ => &mut summary.given_up,
        };
        *number = number.saturating_add(loss.count);
    }
    summary.copied = summary.copied.saturating_sub(refused);
    summary.refused = summary.refused.saturating_add(refused);
    refused
}

/// A hash that stands for what was hashed; two that differ have equal ones once in 2^64 pairs of billions.
type Fingerprint = u128;

/// A copy under way.
pub(crate) struct Transfer {
    target: Target,
    hashers: [RandomState; 2],
    /// The traces that the target lists; `None` if it lists none, and so may hold any.
    listed: Option<HashSet<Fingerprint>>,
    /// What the target has of each trace that was in the last batches.
    held: HashMap<Fingerprint, HashSet<Fingerprint>>,
    batch: Notifications,
    losses: HashMap<String, HashMap<LossReason, u64>>,
    seen: HashSet<Fingerprint>,
    changed: HashSet<Fingerprint>,
    summary: Summary,
}

impl Transfer {
    /// Looks at what the target lists.
    pub(crate) fn begin(mut target: Target, lists: Lists) -> Result<Self, Failure> {
        let hashers = [RandomState::new(), RandomState::new()];
        let mut listed = HashSet::new();
        if let (Some(reader), Lists::Traces) = (&mut target.reader, lists) {
            let outcome = reader.list(ListFilter::All, &mut |trace| {
                listed.insert(fingerprint(&hashers, trace.base_id));
            });
            absent_is_empty(outcome)?;
        }
        Ok(Self {
            target,
            hashers,
            listed: (lists == Lists::Traces).then_some(listed),
            held: HashMap::new(),
            batch: Notifications::default(),
            losses: HashMap::new(),
            seen: HashSet::new(),
            changed: HashSet::new(),
            summary: Summary::default(),
        })
    }

    /// What was done so far.
    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Takes an element of the source; whether that made a batch full, which was then brought over.
    pub(crate) fn take(&mut self, element: Stored<'_>) -> Result<Step, Failure> {
        match element {
            Stored::Notification(notification) => {
                self.batch.push(&notification);
                if self.batch.len() >= BATCH_LEN || self.batch.size_bytes() >= BATCH_BYTES {
                    self.bring_batch()?;
                    return Ok(Step::Brought);
                }
            }
            Stored::Loss(Some(base_id), loss) => {
                let of_trace = self.losses.entry(base_id.to_string()).or_default();
                let count = of_trace.entry(loss.reason).or_default();
                *count = count.saturating_add(loss.count);
            }
            // It stands in no trace's report, and no store says what it has of that.
            Stored::Loss(None, _) => {}
        }
        Ok(Step::Waits)
    }

    /// Brings over what waits, and the losses.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.bring_batch()?;
        if let Some(writer) = &mut self.target.writer {
            // Points whose other end is not in the source.
            writer.finish()?;
            if take_refused(writer.as_mut(), &mut self.summary) > 0 {
                self.summary
                    .refuse(|| "it refuses what is in them".to_owned());
            }
        }
        self.bring_losses()
    }

    fn bring_batch(&mut self) -> Result<(), Failure> {
        let mut batch = std::mem::take(&mut self.batch);
        let mut traces = HashMap::new();
        for notification in batch.iter() {
            let trace = notification.base_id;
            traces.insert(trace, fingerprint(&self.hashers, trace));
        }
        self.seen.extend(traces.values());
        self.learn(&traces)?;
        let is_new: Vec<bool> = batch
            .iter()
            .map(|notification| {
                let trace = traces[&notification.base_id];
                let print = self.print(&notification);
                let is_new = self.held.entry(trace).or_default().insert(print);
                if is_new {
                    self.changed.insert(trace);
                }
                is_new
            })
            .collect();
        let in_batch: HashSet<Fingerprint> = traces.into_values().collect();
        let all = batch.len();
        batch.retain(|index| is_new[index]);
        self.summary.held += (all - batch.len()) as u64;
        self.write(&batch)?;
        self.summary.traces = self.seen.len() as u64;
        self.summary.traces_copied = self.changed.len() as u64;
        if self.held.values().map(HashSet::len).sum::<usize>() > MOST_HASHES {
            self.held.retain(|trace, _| in_batch.contains(trace));
        }
        // What was written there is known to it from now on.
        if let Some(listed) = &mut self.listed {
            listed.extend(&in_batch);
        }
        batch.clear();
        self.batch = batch;
        Ok(())
    }

    /// Reads what the target has of those traces that were not looked up yet.
    fn learn(&mut self, traces: &HashMap<Id<'_>, Fingerprint>) -> Result<(), Failure> {
        let Some(reader) = &mut self.target.reader else {
            return Ok(());
        };
        let (held, listed) = (&mut self.held, &self.listed);
        let mut there = Vec::new();
        for (&trace, &print) in traces {
            let may_be_there = listed.as_ref().is_none_or(|listed| listed.contains(&print));
            if may_be_there && !held.contains_key(&print) {
                held.insert(print, HashSet::new());
                there.push(trace);
            }
        }
        if there.is_empty() {
            return Ok(());
        }
        let hashers = &self.hashers;
        let outcome = reader.read_each(&there, &mut |stored| {
            if let Stored::Notification(notification) = stored {
                let trace = fingerprint(hashers, notification.base_id);
                held.entry(trace)
                    .or_default()
                    .insert(print(hashers, &notification));
            }
            ControlFlow::Continue(())
        });
        absent_is_empty(outcome)
    }

    /// Writes what the target does not know to be lost yet.
    fn bring_losses(&mut self) -> Result<(), Failure> {
        let losses = std::mem::take(&mut self.losses);
        let traces: Vec<Id<'_>> = losses
            .keys()
            .filter_map(|text| Id::parse(text).ok())
            .collect();
        let mut known = HashMap::<(String, LossReason), u64>::new();
        if let (Some(reader), false) = (&mut self.target.reader, traces.is_empty()) {
            let outcome = reader.read_each(&traces, &mut |stored| {
                if let Stored::Loss(Some(base_id), loss) = stored {
                    *known.entry((base_id.to_string(), loss.reason)).or_default() += loss.count;
                }
                ControlFlow::Continue(())
            });
            absent_is_empty(outcome)?;
        }
        for (trace, of_trace) in &losses {
            for (&reason, &count) in of_trace {
                let known = known.get(&(trace.clone(), reason)).copied();
                let count = count.saturating_sub(known.unwrap_or(0));
                if count == 0 {
                    continue;
                }
                if let Some(writer) = &mut self.target.writer {
                    writer.write_loss(Id::parse(trace).ok(), Loss { count, reason })?;
                }
                self.summary.lost = self.summary.lost.saturating_add(count);
            }
        }
        Ok(())
    }

    /// Writes all of `batch` but for what the target cannot hold, which is counted.
    fn write(&mut self, batch: &Notifications) -> Result<(), Failure> {
        let Some(writer) = &mut self.target.writer else {
            self.summary.copied += batch.len() as u64;
            return Ok(());
        };
        let summary = &mut self.summary;
        let mut waiting: Vec<Range<usize>> = std::iter::once(0..batch.len()).collect();
        while let Some(range) = waiting.pop() {
            if range.is_empty() {
                continue;
            }
            let outcome = if range.len() == batch.len() {
                writer.write(batch)
            } else {
                writer.write(&part(batch, &range))
            };
            if outcome.is_ok() {
                summary.copied += range.len() as u64;
            }
            let refused = take_refused(writer.as_mut(), summary);
            if refused > 0 && outcome.is_ok() {
                summary.refuse(|| "it refuses what is in them".to_owned());
            }
            match outcome {
                Ok(()) => {}
                // What will pass, or has nothing to do with what is in them.
                Err(error) if error.kind() != ErrorKind::Usage || error.is_temporary() => {
                    return Err(error.into());
                }
                // One of them is at fault: it is found by halves.
                Err(_) if range.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    waiting.push(middle..range.end);
                    waiting.push(range.start..middle);
                }
                Err(error) => {
                    summary.refused += 1;
                    if summary.copied == 0 && summary.refused >= MOST_REFUSED {
                        return Err(error.into());
                    }
                    summary.refuse(|| error.to_string());
                }
            }
        }
        Ok(())
    }

    fn print(&self, notification: &Notification<'_>) -> Fingerprint {
        print(&self.hashers, notification)
    }
}

/// Whether the target can list its traces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// It can.
    Traces,
    /// It can't: each trace has to be asked for.
    Nothing,
}

/// What came of an element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It waits for others.
    Waits,
    /// It went over with all that waited.
    Brought,
}

/// A target that is not there yet holds nothing. One that cannot be looked at is not written, and that is what was wanted of it.
fn absent_is_empty(outcome: Result<u64, Error>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let mut failure = Failure::from(error);
            if let Some(on_what) = failure.message.strip_prefix("cannot read ") {
                failure.message = format!("cannot write {on_what}");
            }
            Err(failure)
        }
        _ => Ok(()),
    }
}

fn part(batch: &Notifications, range: &Range<usize>) -> Notifications {
    let mut part = Notifications::default();
    part.extend(range.clone().map(|index| batch.get(index)));
    part
}

/// What makes a notification the same one within its trace.
fn print(hashers: &[RandomState; 2], notification: &Notification<'_>) -> Fingerprint {
    let name = notification.name;
    let (point, end) = name.split_at(notification.point_name().len());
    let beginning = point.char_indices().nth(NAME_CHARACTERS);
    let kept = beginning.map_or(point, |(at, _)| &point[..at]);
    let identity = (notification.trace_id, kept, end, notification.timestamp);
    fingerprint(hashers, identity)
}

fn fingerprint(hashers: &[RandomState; 2], value: impl Hash) -> Fingerprint {
    let [high, low] = hashers;
    u128::from(high.hash_one(&value)) << 64 | u128::from(low.hash_one(&value))
}

#[cfg(test)]
mod tests {
    use osprofiler::{Result, Timestamp};

    use super::*;

    /// A target that takes all but those of which the name holds `x`, and counts these as refused.
    struct Counting(u64);

    impl Writer for Counting {
        fn write(&mut self, batch: &Notifications) -> Result<()> {
            let refused = batch.iter().filter(|one| one.name.contains('x'));
            self.0 += refused.count() as u64;
            Ok(())
        }

        fn write_loss(&mut self, _: Option<Id<'_>>, _: Loss) -> Result<()> {
            Ok(())
        }

        fn take_losses(&mut self) -> Vec<Loss> {
            let loss = |count, reason| Loss { count, reason };
            let refused = std::mem::take(&mut self.0);
            if refused == 0 {
                return Vec::new();
            }
            vec![
                loss(refused, LossReason::Refused),
                loss(1, LossReason::Evicted),
            ]
        }
    }

    /// A target that takes no notification of which the name holds `x`, and tells what it took.
    struct Picky(std::sync::Arc<std::sync::Mutex<Vec<String>>>, ErrorKind);

    impl Writer for Picky {
        fn write(&mut self, batch: &Notifications) -> Result<()> {
            if batch.iter().any(|one| one.name.contains('x')) {
                return Err(Error::new(self.1, "it holds an `x`"));
            }
            let mut taken = self.0.lock().unwrap();
            taken.extend(batch.iter().map(|one| one.name.to_owned()));
            Ok(())
        }

        fn write_loss(&mut self, _: Option<Id<'_>>, _: Loss) -> Result<()> {
            Ok(())
        }

        fn take_losses(&mut self) -> Vec<Loss> {
            Vec::new()
        }
    }

    /// Brings points of those names to a target that refuses some with an error of `kind`; what it took.
    fn bring(names: &[&str], kind: ErrorKind) -> (std::result::Result<Summary, Failure>, String) {
        let taken = std::sync::Arc::default();
        let outcome = bring_to(Box::new(Picky(std::sync::Arc::clone(&taken), kind)), names);
        let taken = taken.lock().unwrap().concat();
        (outcome, taken)
    }

    fn named(name: &str, number: u128) -> Notification<'_> {
        let id = Id::from_u128(number);
        Notification {
            name,
            base_id: Id::from_u128(0),
            trace_id: id,
            parent_id: id,
            timestamp: Timestamp::from_micros(0),
            info: "{}",
            project: None,
            service: None,
        }
    }

    fn bring_to(writer: Box<dyn Writer>, names: &[&str]) -> std::result::Result<Summary, Failure> {
        let target = Target {
            reader: None,
            writer: Some(writer),
        };
        let mut transfer = Transfer::begin(target, Lists::Nothing).unwrap();
        for (name, number) in names.iter().zip(0..) {
            let notification = named(name, number);
            transfer.take(Stored::Notification(notification)).unwrap();
        }
        transfer.finish().map(|()| transfer.summary().clone())
    }

    #[test]
    fn what_the_target_took_and_could_not_hold_is_not_copied() {
        let summary = bring_to(Box::new(Counting(0)), &["a", "x1", "b", "x2"]).unwrap();
        assert_eq!(
            (summary.copied, summary.refused, summary.given_up),
            (2, 2, 1)
        );
        assert!(summary.refusal.is_some());
    }

    /// A target that holds back what it is given, and refuses one of all at the end.
    struct Holding(u64);

    impl Writer for Holding {
        fn write(&mut self, batch: &Notifications) -> Result<()> {
            self.0 += batch.len() as u64;
            Ok(())
        }

        fn write_loss(&mut self, _: Option<Id<'_>>, _: Loss) -> Result<()> {
            Ok(())
        }

        fn take_losses(&mut self) -> Vec<Loss> {
            let (count, reason) = (1, LossReason::Refused);
            if self.0 == 0 {
                vec![Loss { count, reason }]
            } else {
                Vec::new()
            }
        }

        fn held(&self) -> u64 {
            self.0
        }

        fn finish(&mut self) -> Result<()> {
            self.0 = 0;
            Ok(())
        }
    }

    #[test]
    fn what_the_target_holds_back_is_finished_and_what_it_refuses_then_is_not_copied() {
        let summary = bring_to(Box::new(Holding(0)), &["a", "b", "c"]).unwrap();
        assert_eq!((summary.copied, summary.refused), (2, 1));
        assert!(summary.refusal.is_some());
    }

    #[test]
    fn what_the_target_cannot_hold_is_counted_and_the_rest_is_there() {
        let names = ["a", "x1", "b", "c", "d", "x2", "x3", "e"];
        let (summary, taken) = bring(&names, ErrorKind::Usage);
        let summary = summary.unwrap();
        assert_eq!((summary.copied, summary.refused, &*taken), (5, 3, "abcde"));
        assert_eq!(summary.refusal.as_deref(), Some("it holds an `x`"));
    }

    #[test]
    fn a_target_that_fails_ends_the_copy_at_once() {
        for (names, kind) in [
            (&["a", "x"][..], ErrorKind::Unavailable),
            (&["a", "x"], ErrorKind::Denied),
            (&["x"; 500], ErrorKind::Usage),
        ] {
            let (outcome, taken) = bring(names, kind);
            assert_eq!(outcome.unwrap_err().message, "it holds an `x`");
            assert_eq!(taken, "");
        }
    }

    #[test]
    fn a_name_that_a_table_shortened_is_the_same() {
        let hashers = [RandomState::new(), RandomState::new()];
        let same = |one: &str, other: &str| {
            print(&hashers, &named(one, 0)) == print(&hashers, &named(other, 0))
        };
        let long = |character: &str, count, end| format!("{}{end}", character.repeat(count));
        for (whole, end) in [("x", "-start"), ("é", "-stop"), ("x", "")] {
            let (name, column) = (long(whole, 300, end), long(whole, 254 - end.len(), "…"));
            assert!(same(&name, &format!("{column}{end}")), "{end}");
            assert!(!same(&name, &format!("y{name}")));
        }
        assert!(!same(&long("x", 300, "-start"), &long("x", 300, "-stop")));
        assert!(!same("x-start", "xx-start"));
        assert!(!same("x-start", "x-stop"));
    }
}
