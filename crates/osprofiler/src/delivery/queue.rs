// SPDX-License-Identifier: Apache-2.0
//! The queue before one store: notifications gather in batches, the writer takes them one by one, and what it does not
//! take now is tried again later.
//!
//! ```text
//!  push ──▶ tail ──seal──▶ backlog ──step──▶ Writer::write ──▶ stored
//!           (grows,         │ oldest first       │ temporary: same batch again, after a wait that doubles
//!            unordered)     └▶ over memory's     └▶ permanent, panic: counted, next batch
//!                              bound: the oldest go to a file, or are counted, gone
//! ```
//!
//! Memory is bounded; everything that leaves without being stored is counted, by trace and reason, and the store is told once it
//! takes something. There is no clock and no thread in here: the time comes in, and [`Next`] says when to come back.

mod ending;
mod held;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::backlog::{Backlog, Oldest, Place};
use super::calls::{Failure, guarded};
use super::counters::Tally;
use super::ledger::Ledger;
use super::limits::Limits;
use super::messages::Messages;
use super::pipeline::Incoming;
use super::spool::{Refusal, Spool, Whose};
use super::standing::{Standing, Trust};
use super::texts::{EventTexts, Known, KnownTexts};
use crate::driver::Writer;
use crate::{Error, ErrorKind, Id, Loss, LossReason, Notification, Notifications, Result};

/// Opens the store: at the first batch, after a fork, after a panic.
pub(super) type Open = Box<dyn FnMut() -> Result<Box<dyn Writer>> + Send>;

/// When a queue wants its next [`Queue::step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Next {
    /// At once: there is more to write.
    Now,
    /// At that time.
    At(Duration),
    /// When something new has come.
    Never,
}

/// Where results go.
#[derive(Clone, Copy)]
pub(super) struct Outlet<'a> {
    pub(super) tally: &'a Tally,
    pub(super) messages: &'a Messages,
}

/// The store behind a queue.
pub(super) struct Behind {
    /// What messages call it, without its password.
    pub(super) name: String,
    pub(super) open: Open,
    /// A fork in mid-call, or while it is open, does no harm (see [`fork`](super::fork)).
    pub(super) survives_fork: bool,
    /// Its own numbers, beside those of the process.
    pub(super) tally: &'static Tally,
    /// The files for what memory does not hold.
    pub(super) spool: Option<Spool>,
}

/// The queue before one store.
pub(super) struct Queue {
    standing: Standing,
    open: Open,
    survives_fork: bool,
    /// Of this store alone; written by the background thread only.
    tally: &'static Tally,
    limits: Limits,
    writer: Option<Box<dyn Writer>>,
    /// What the writer has taken and holds back.
    held: u64,
    tail: Notifications,
    /// Of the tail.
    known: KnownTexts,
    /// Empty; memory for the next tail.
    spare: Notifications,
    /// The order of `tail`.
    ticks: Vec<u64>,
    backlog: Backlog,
    /// How many were ever pushed, and were so at the last mark.
    pushed: u64,
    mark: u64,
    losses: Ledger,
    /// The store would not hear of losses; it is asked again once it has taken a batch.
    losses_refused: bool,
    /// The process ends: stores are given what waits and asked for nothing else. Until then they are given others' files, too.
    others_until: Option<Duration>,
    next_losses: Duration,
    next_adoption: Duration,
    /// What was sent of the files of an ended process.
    adopted: u64,
    /// The time of the last step.
    now: Duration,
}

impl Queue {
    pub(super) fn new(behind: Behind, limits: Limits) -> Self {
        Self {
            standing: Standing::new(behind.name, behind.spool.as_ref(), limits),
            open: behind.open,
            survives_fork: behind.survives_fork,
            tally: behind.tally,
            limits,
            writer: None,
            held: 0,
            tail: Notifications::default(),
            known: KnownTexts::new(),
            spare: Notifications::default(),
            ticks: Vec::new(),
            backlog: Backlog::new(behind.spool),
            pushed: 0,
            mark: 0,
            losses: Ledger::default(),
            losses_refused: false,
            others_until: None,
            next_losses: Duration::ZERO,
            next_adoption: Duration::ZERO,
            adopted: 0,
            now: Duration::ZERO,
        }
    }

    /// Adds an event.
    pub(super) fn push_event(
        &mut self,
        event: &Incoming<'_>,
        texts: &mut EventTexts<'_>,
        outlet: Outlet<'_>,
    ) {
        match self.known.get(event) {
            Known::All(numbers) => {
                self.tail.push_interned(event.ids, event.timestamp, numbers);
            }
            Known::AllButInfo([name, _, project, service]) => {
                let info = self.tail.intern(texts.info());
                let numbers = [name, info, project, service];
                self.tail.push_interned(event.ids, event.timestamp, numbers);
                self.known.put(event, numbers);
            }
            Known::Nothing => {
                self.tail.push(&texts.notification());
                let numbers = self.tail.text_numbers(self.tail.len() - 1);
                self.known.put(event, numbers);
            }
        }
        self.pushed_at(event.ticks, outlet);
    }

    /// Adds a notification that was recorded at `ticks`.
    pub(super) fn push(&mut self, notification: &Notification<'_>, ticks: u64, outlet: Outlet<'_>) {
        self.tail.push(notification);
        self.pushed_at(ticks, outlet);
    }

    fn pushed_at(&mut self, ticks: u64, outlet: Outlet<'_>) {
        self.pushed += 1;
        self.tally.count_one();
        self.ticks.push(ticks);
        if self.tail.len() >= self.limits.batch_len
            || self.tail.size_bytes() >= self.limits.batch_bytes
        {
            self.seal();
            self.stay_within_memory(outlet);
        }
    }

    /// Adds losses that happened before this queue, and were counted there, for the store to know.
    pub(super) fn add_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) {
        self.losses.add(base_id, loss);
    }

    /// How many notifications wait in memory.
    pub(super) fn len(&self) -> usize {
        self.tail.len() + self.backlog.len_in_memory()
    }

    /// Whether a fork now would harm the store.
    pub(super) fn is_open_and_fragile(&self) -> bool {
        self.writer.is_some() && !self.survives_fork
    }

    /// Whether a call to the store may take long, and a fork meanwhile does it no harm.
    pub(super) fn may_hang_in_forks(&self) -> bool {
        self.survives_fork && self.trust() != Trust::Answers
    }

    /// Whether a [`step`](Self::step) now would call the store.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        !self.is_done() && now >= self.standing.next_try()
    }

    /// Remembers what has been pushed so far.
    pub(super) fn mark(&mut self) {
        self.mark = self.pushed;
    }

    /// Whether all that had been pushed at the last mark has left, what was lost is told included: what is pushed later leaves later.
    pub(super) fn is_past_mark(&self) -> bool {
        self.has_written_mark() && self.has_told_losses()
    }

    /// Whether all that had been pushed at the last mark has left: to the store, or, while that takes nothing, to a file.
    pub(super) fn has_written_mark(&self) -> bool {
        let waiting = match self.trust() {
            Trust::Failed => self.len(),
            Trust::Answers | Trust::Untried => self.len() + self.backlog.len_in_files(),
        };
        self.pushed - waiting as u64 >= self.mark
    }

    /// What is known of the store.
    pub(super) fn trust(&self) -> Trust {
        self.standing.trust()
    }

    fn has_told_losses(&self) -> bool {
        self.losses.is_empty() || self.losses_refused
    }

    /// Whether there is nothing left to ask of the store, or to tell it that it would hear.
    fn is_done(&self) -> bool {
        (self.has_written_all() || self.rests_in_files()) && self.has_told_losses()
    }

    fn has_written_all(&self) -> bool {
        let adopted = self.backlog.has_files(Whose::Adopted);
        self.tail.is_empty() && self.backlog.is_empty() && !adopted
    }

    /// Forgets waits: somebody asked for a flush.
    pub(super) fn hurry(&mut self) {
        self.standing.hurry();
        self.next_losses = Duration::ZERO;
    }

    /// Brings what waits in memory into files, as far as it goes; why no further.
    fn spill_all(&mut self, outlet: Outlet<'_>) -> Option<Refusal> {
        self.backlog.spool()?;
        self.seal();
        loop {
            match self.backlog.spill([outlet.tally, self.tally]) {
                Ok(true) => self.standing.keeps(),
                Ok(false) => return None,
                Err(refusal) => {
                    self.stay_within_memory(outlet);
                    return Some(refusal);
                }
            }
        }
    }

    /// Writes at most one batch, and the losses if it is time.
    pub(super) fn step(&mut self, now: &dyn Fn() -> Duration, outlet: Outlet<'_>) -> Next {
        let begin = now();
        self.now = begin;
        self.standing.tell_given_up(begin, outlet.messages);
        if !self.sends_others() {
            self.leave_others(outlet);
        }
        if self.is_done() {
            return self.rest();
        }
        if begin < self.standing.next_try() {
            return Next::At(self.standing.next_try());
        }
        if self.trust() == Trust::Failed {
            // The call may hang, and the process end meanwhile, or be killed.
            self.spill_all(outlet);
        }
        let is_written = match self.write_batch(outlet) {
            Ok(true) => {
                let in_files = self.backlog.len_in_files();
                self.standing.heal(begin, in_files, outlet.messages);
                if begin >= self.next_adoption && self.sends_others() {
                    self.next_adoption = begin + self.limits.adopt_interval;
                    self.backlog.adopt();
                }
                true
            }
            Ok(false) => false,
            Err(failure) => return self.fail(begin, now(), &failure, outlet),
        };
        if begin >= self.next_losses && !self.losses.is_empty() && !self.losses_refused {
            self.next_losses = begin + self.limits.loss_interval;
            match self.write_losses() {
                Ok(()) => {}
                Err(Failure::Error(error)) if !error.is_temporary() => self.losses_refused = true,
                Err(failure) => return self.fail(begin, now(), &failure, outlet),
            }
        }
        if is_written && let Err(failure) = self.tidy() {
            return self.fail(begin, now(), &failure, outlet);
        }
        if !self.has_written_all() {
            return Next::Now;
        }
        self.standing.caught_up(outlet.messages);
        if self.is_done() {
            self.rest()
        } else {
            Next::At(self.next_losses)
        }
    }

    /// When to come back if nothing comes.
    fn rest(&self) -> Next {
        self.standing.next_telling().map_or(Next::Never, Next::At)
    }

    /// Writes the oldest batch; whether there was one. A batch whose writing failed for the time being is the oldest again.
    fn write_batch(&mut self, outlet: Outlet<'_>) -> std::result::Result<bool, Failure> {
        if self.backlog.is_empty() {
            self.seal();
        }
        if let Err(failure) = self.open() {
            if let Some(reason) = failure.reason_to_give_up() {
                self.seal();
                while let Some(batch) = self.backlog.pop_memory() {
                    self.lose(&batch, reason, outlet);
                }
                // It will not hear of losses either.
                self.losses_refused = true;
            }
            return Err(failure);
        }
        let Some((place, batch)) = self.oldest(outlet)? else {
            return Ok(false);
        };
        let Some(writer) = &mut self.writer else {
            self.backlog.put_back(place, batch);
            return Ok(false);
        };
        match guarded(|| writer.write(&batch)) {
            Ok(()) => {
                self.losses_refused = false;
                if let Some(mut writer) = self.writer.take() {
                    self.count_taken(place, batch.len() as u64, writer.held(), outlet);
                    self.take_losses(writer.as_mut(), outlet);
                    self.writer = Some(writer);
                }
                self.reuse(batch);
                Ok(true)
            }
            Err(failure) => {
                match failure.reason_to_give_up() {
                    None => self.backlog.put_back(place, batch),
                    Some(reason) => {
                        self.leave_file(place, batch.len() as u64, outlet);
                        if place == Place::File(Whose::Adopted) {
                            // Its own process has counted it as what is in a file; the traces say what became of it.
                            self.note_loss(&batch, reason);
                        } else {
                            self.lose(&batch, reason, outlet);
                        }
                    }
                }
                Err(failure)
            }
        }
    }

    /// The next batch to be written, which has left memory, or is in a file still. Files that hold none are dealt with.
    fn oldest(
        &mut self,
        outlet: Outlet<'_>,
    ) -> std::result::Result<Option<(Place, Notifications)>, Failure> {
        loop {
            match self.backlog.next() {
                None => return Ok(None),
                Some(Oldest::Batch(place, batch)) => return Ok(Some((place, batch))),
                Some(Oldest::Losses(whose, losses)) => {
                    losses.each(|base_id, loss| self.losses.add(base_id, loss));
                    self.leave_file(Place::File(whose), 0, outlet);
                }
                Some(Oldest::Damaged(whose, count)) => {
                    let reason = LossReason::SpoolDamaged;
                    let loss = Loss { count, reason };
                    self.leave_file(Place::File(whose), count, outlet);
                    if whose == Whose::Own {
                        self.count_loss(loss, outlet);
                    }
                    if count > 0 {
                        self.losses.add(None, loss);
                    }
                    self.standing.damaged(self.now, count, outlet.messages);
                }
                Some(Oldest::Unreadable(error)) => {
                    let message = format!("cannot read a file that was kept for it: {error}");
                    let error = Error::new(ErrorKind::Unavailable, message).with_source(error);
                    return Err(Failure::Error(error));
                }
            }
        }
    }

    /// Removes the file that a batch was in, if it was in one.
    fn leave_file(&mut self, place: Place, count: u64, outlet: Outlet<'_>) {
        let Place::File(whose) = place else { return };
        self.backlog.remove_file(whose);
        match whose {
            Whose::Own => {
                for tally in [outlet.tally, self.tally] {
                    tally.remove_spooled(count);
                }
            }
            Whose::Adopted if self.backlog.has_files(whose) => {}
            Whose::Adopted => {
                self.tell_adopted(outlet);
                // There may be files of another.
                self.next_adoption = Duration::ZERO;
            }
        }
    }

    fn open(&mut self) -> std::result::Result<(), Failure> {
        if self.writer.is_none() {
            self.writer = Some(guarded(&mut self.open)?);
        }
        Ok(())
    }

    fn write_losses(&mut self) -> std::result::Result<(), Failure> {
        self.open()?;
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        self.losses
            .write(|base_id, loss| guarded(|| writer.write_loss(base_id, loss)))
    }

    /// Has the writer do what may wait; fails if it panics.
    fn tidy(&mut self) -> std::result::Result<(), Failure> {
        let is_ending = self.is_ending();
        match &mut self.writer {
            Some(writer) if !is_ending => guarded(|| {
                writer.tidy();
                Ok(())
            })
            .map_err(|failure| match self.held {
                0 => Failure::PanicAfterwards,
                _ => failure,
            }),
            _ => Ok(()),
        }
    }

    /// Closes the tail in its order of ticks. An empty one stays.
    fn seal(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        self.known.forget();
        self.tail.sort_by_keys(&self.ticks);
        self.ticks.clear();
        let mut next = std::mem::take(&mut self.spare);
        if self.tail.len() >= self.limits.batch_len {
            // More comes at once; growing would copy it some times over.
            next.reserve(self.limits.batch_len);
        }
        self.backlog.add(std::mem::replace(&mut self.tail, next));
    }

    /// Keeps a written batch's memory for one to come: a large one only while there is a backlog.
    fn reuse(&mut self, mut batch: Notifications) {
        let is_small = batch.size_bytes() <= self.limits.batch_bytes / 16;
        if self.backlog.memory_bytes() > 0 || is_small {
            batch.clear();
            self.spare = batch;
        } else {
            self.spare = Notifications::default();
        }
    }

    /// Has the oldest leave memory until it is within its bound: to files, or for good.
    fn stay_within_memory(&mut self, outlet: Outlet<'_>) {
        while self.backlog.memory_bytes() > self.limits.queue_bytes {
            let refusal = match self.backlog.spill([outlet.tally, self.tally]) {
                Ok(true) => {
                    self.standing.keeps();
                    self.standing.spills(self.now, outlet.messages);
                    continue;
                }
                Ok(false) => None,
                Err(refusal) => Some(refusal),
            };
            let Some(batch) = self.backlog.pop_memory() else {
                return;
            };
            self.lose(&batch, LossReason::QueueFull, outlet);
            self.standing
                .overflows(self.now, refusal.as_ref(), outlet.messages);
        }
    }

    fn lose(&mut self, batch: &Notifications, reason: LossReason, outlet: Outlet<'_>) {
        let count = batch.len() as u64;
        self.count_loss(Loss { count, reason }, outlet);
        self.note_loss(batch, reason);
    }

    /// Has the store told, by trace, and whoever reads the log.
    fn note_loss(&mut self, batch: &Notifications, reason: LossReason) {
        self.standing.lost(batch.len() as u64);
        for notification in batch.iter() {
            self.losses
                .add(Some(notification.base_id), Loss { count: 1, reason });
        }
    }

    fn count_loss(&self, loss: Loss, outlet: Outlet<'_>) {
        outlet.tally.add_loss(loss);
        self.tally.add_loss(loss);
    }

    /// Counts all that waits as lost, where nobody will write it any more.
    pub(super) fn count_as_lost(&self, reason: LossReason, outlet: Outlet<'_>) {
        let count = self.len() as u64 + self.held;
        self.count_loss(Loss { count, reason }, outlet);
    }

    /// Counts what the writer or its store gave up by itself. The writer has stored it, by trace.
    fn take_losses(&mut self, writer: &mut dyn Writer, outlet: Outlet<'_>) {
        let losses = catch_unwind(AssertUnwindSafe(|| writer.take_losses())).unwrap_or_default();
        for loss in losses {
            outlet.tally.give_up(loss);
            self.tally.give_up(loss);
            match loss.reason {
                LossReason::Evicted => self.standing.evicted(loss.count),
                LossReason::StoreRemoved => self.standing.removed(loss.count),
                _ => self.standing.lost(loss.count),
            }
        }
        self.standing.tell_given_up(self.now, outlet.messages);
    }

    /// The store did not take something: it is left alone for a while.
    fn fail(
        &mut self,
        begin: Duration,
        end: Duration,
        failure: &Failure,
        outlet: Outlet<'_>,
    ) -> Next {
        if let Some(mut writer) = self.writer.take() {
            if let Failure::Error(_) = failure {
                self.count_released(writer.held(), 0, outlet);
                self.take_losses(writer.as_mut(), outlet);
                self.writer = Some(writer);
            } else {
                self.lose_held(LossReason::DriverFailed, outlet);
                // What it left behind may be in any state: not even its drop is safe to run.
                std::mem::forget(writer);
            }
        }
        Next::At(self.standing.fail(begin, end, failure, outlet.messages))
    }
}
