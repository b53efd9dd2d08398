// SPDX-License-Identifier: Apache-2.0
//! The queue before one store: notifications gather in batches, the writer takes them one by one, and what it does not
//! take now is tried again later.
//!
//! ```text
//!  push ──▶ tail ──seal──▶ sealed batches ──step──▶ Writer::write ──▶ stored
//!           (grows,         │ oldest first            │ temporary: same batch again, after a wait that doubles
//!            unordered)     └▶ over the limit:        └▶ permanent, panic: counted, next batch
//!                              oldest counted, gone
//! ```
//!
//! Memory is bounded; everything that leaves without being stored is counted, by trace and reason, and the store is told once it
//! takes something. There is no clock and no thread in here: the time comes in, and [`Next`] says when to come back.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::counters::Tally;
use super::ledger::Ledger;
use super::messages::{Messages, Severity};
use super::pipeline::Incoming;
use super::texts::{EventTexts, Known, KnownTexts};
use crate::driver::Writer;
use crate::{Error, Id, Loss, LossReason, Notification, Notifications, Result};

/// Opens the store: at the first batch, after a fork, after a panic.
pub(super) type Open = Box<dyn FnMut() -> Result<Box<dyn Writer>> + Send>;

/// Sizes and times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// What may wait in sealed batches, in bytes as [`Notifications::size_bytes`] counts them.
    pub(super) queue_bytes: usize,
    /// A batch is sealed at this many notifications...
    pub(super) batch_len: usize,
    /// ...or bytes.
    pub(super) batch_bytes: usize,
    /// The wait after a first failure. It doubles with each further one...
    pub(super) first_wait: Duration,
    /// ...up to this.
    pub(super) longest_wait: Duration,
    /// The least time between two reports of losses to the store, and ten of it between two warnings.
    pub(super) loss_interval: Duration,
}

impl Limits {
    pub(super) const DEFAULT: Self = Self {
        queue_bytes: 64 << 20,
        batch_len: 10_000,
        batch_bytes: 4 << 20,
        first_wait: Duration::from_millis(100),
        longest_wait: Duration::from_secs(10),
        loss_interval: Duration::from_secs(1),
    };
}

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

/// What is known of a store, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// It took what it was given last.
    Answers,
    /// Nobody has asked it yet.
    Untried,
    /// It did not take what it was given last.
    Failed,
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
}

/// The queue before one store.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of the store or of what was said, and any of them may hold together"
)]
pub(super) struct Queue {
    /// The store as messages name it, without its password.
    store: String,
    open: Open,
    survives_fork: bool,
    /// Of this store alone; written by the background thread only.
    tally: &'static Tally,
    limits: Limits,
    writer: Option<Box<dyn Writer>>,
    tail: Notifications,
    /// Of the tail.
    known: KnownTexts,
    /// Empty; memory for the next tail.
    spare: Notifications,
    /// The order of `tail`.
    ticks: Vec<u64>,
    sealed: VecDeque<Notifications>,
    sealed_bytes: usize,
    /// How many were ever pushed, and were so at the last mark.
    pushed: u64,
    mark: u64,
    losses: Ledger,
    /// The store would not hear of losses; it is asked again once it has taken a batch.
    losses_refused: bool,
    next_losses: Duration,
    next_try: Duration,
    wait: Duration,
    fault: Option<Fault>,
    /// The store has ever taken something.
    has_answered: bool,
    last_warning: Option<Duration>,
    /// That memory is full was said, and the store has not caught up since.
    told_overflow: bool,
    /// Lost since somebody was last told.
    lost_untold: u64,
}

/// A time during which the store takes nothing.
struct Fault {
    since: Duration,
    told: bool,
}

/// Why a call to the driver gave nothing.
enum Failure {
    Error(Error),
    Panic,
}

impl Failure {
    /// Why what was to be written is lost; `None` if it is worth another try.
    fn reason_to_give_up(&self) -> Option<LossReason> {
        match self {
            Self::Error(error) if error.is_temporary() => None,
            Self::Error(_) => Some(LossReason::Refused),
            Self::Panic => Some(LossReason::DriverFailed),
        }
    }
}

impl Queue {
    pub(super) fn new(behind: Behind, limits: Limits) -> Self {
        Self {
            store: behind.name,
            open: behind.open,
            survives_fork: behind.survives_fork,
            tally: behind.tally,
            limits,
            writer: None,
            tail: Notifications::default(),
            known: KnownTexts::new(),
            spare: Notifications::default(),
            ticks: Vec::new(),
            sealed: VecDeque::new(),
            sealed_bytes: 0,
            pushed: 0,
            mark: 0,
            losses: Ledger::default(),
            losses_refused: false,
            next_losses: Duration::ZERO,
            next_try: Duration::ZERO,
            wait: limits.first_wait,
            fault: None,
            has_answered: false,
            last_warning: None,
            told_overflow: false,
            lost_untold: 0,
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
            while self.sealed_bytes > self.limits.queue_bytes {
                self.drop_oldest(outlet);
            }
        }
    }

    /// Adds losses that happened before this queue, and were counted there, for the store to know.
    pub(super) fn add_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) {
        self.losses.add(base_id, loss);
    }

    /// How many notifications wait.
    pub(super) fn len(&self) -> usize {
        self.tail.len() + self.sealed.iter().map(Notifications::len).sum::<usize>()
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
        !self.is_done() && now >= self.next_try
    }

    /// Remembers what has been pushed so far.
    pub(super) fn mark(&mut self) {
        self.mark = self.pushed;
    }

    /// Whether all that had been pushed at the last mark has left, what was lost is told included: what is pushed later leaves later.
    pub(super) fn is_past_mark(&self) -> bool {
        self.has_written_mark() && self.has_told_losses()
    }

    /// Whether all that had been pushed at the last mark has left.
    pub(super) fn has_written_mark(&self) -> bool {
        self.pushed - self.len() as u64 >= self.mark
    }

    /// What is known of the store.
    pub(super) fn trust(&self) -> Trust {
        match (&self.fault, self.has_answered) {
            (Some(_), _) => Trust::Failed,
            (None, true) => Trust::Answers,
            (None, false) => Trust::Untried,
        }
    }

    fn has_told_losses(&self) -> bool {
        self.losses.is_empty() || self.losses_refused
    }

    /// Whether there is nothing left to tell the store that it would hear.
    fn is_done(&self) -> bool {
        self.tail.is_empty() && self.sealed.is_empty() && self.has_told_losses()
    }

    /// Forgets waits: somebody asked for a flush.
    pub(super) fn hurry(&mut self) {
        self.next_try = Duration::ZERO;
        self.next_losses = Duration::ZERO;
        self.wait = self.limits.first_wait;
    }

    /// Closes the store; it is opened again when it is needed.
    pub(super) fn close(&mut self, outlet: Outlet<'_>) {
        if let Some(mut writer) = self.writer.take() {
            self.take_losses(writer.as_mut(), outlet);
            // A driver that panics in its drop has nothing of ours any more.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(writer)));
        }
    }

    /// Writes at most one batch, and the losses if it is time.
    pub(super) fn step(&mut self, now: &dyn Fn() -> Duration, outlet: Outlet<'_>) -> Next {
        if self.is_done() {
            return Next::Never;
        }
        let begin = now();
        if begin < self.next_try {
            return Next::At(self.next_try);
        }
        match self.write_batch(outlet) {
            Ok(true) => self.heal(begin, outlet),
            Ok(false) => {}
            Err(failure) => return self.fail(begin, now(), &failure, outlet),
        }
        if begin >= self.next_losses && !self.losses.is_empty() && !self.losses_refused {
            self.next_losses = begin + self.limits.loss_interval;
            match self.write_losses() {
                Ok(()) => {}
                Err(Failure::Error(error)) if !error.is_temporary() => self.losses_refused = true,
                Err(failure) => return self.fail(begin, now(), &failure, outlet),
            }
        }
        if !self.tail.is_empty() || !self.sealed.is_empty() {
            return Next::Now;
        }
        self.say_caught_up(outlet);
        if self.is_done() {
            Next::Never
        } else {
            Next::At(self.next_losses)
        }
    }

    /// Writes the oldest batch; whether there was one. A batch whose writing failed for the time being is the oldest again.
    fn write_batch(&mut self, outlet: Outlet<'_>) -> std::result::Result<bool, Failure> {
        if self.sealed.is_empty() {
            self.seal();
        }
        if let Err(failure) = self.open() {
            if let Some(reason) = failure.reason_to_give_up() {
                self.seal();
                while let Some(batch) = self.sealed.pop_front() {
                    self.lose(&batch, reason, outlet);
                }
                self.sealed_bytes = 0;
                // It will not hear of losses either.
                self.losses_refused = true;
            }
            return Err(failure);
        }
        let (Some(writer), Some(batch)) = (&mut self.writer, self.sealed.pop_front()) else {
            return Ok(false);
        };
        self.sealed_bytes -= batch.size_bytes();
        match guarded(|| writer.write(&batch)) {
            Ok(()) => {
                outlet.tally.add_stored(batch.len() as u64);
                self.tally.add_stored(batch.len() as u64);
                self.losses_refused = false;
                if let Some(mut writer) = self.writer.take() {
                    self.take_losses(writer.as_mut(), outlet);
                    self.writer = Some(writer);
                }
                self.reuse(batch);
                Ok(true)
            }
            Err(failure) => {
                if let Some(reason) = failure.reason_to_give_up() {
                    self.lose(&batch, reason, outlet);
                } else {
                    self.sealed_bytes += batch.size_bytes();
                    self.sealed.push_front(batch);
                }
                Err(failure)
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

    /// Closes the tail in its order of ticks. An empty one stays.
    fn seal(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        self.known.forget();
        self.tail.sort_by_keys(&self.ticks);
        self.ticks.clear();
        self.sealed_bytes += self.tail.size_bytes();
        let mut next = std::mem::take(&mut self.spare);
        if self.tail.len() >= self.limits.batch_len {
            // More comes at once; growing would copy it some times over.
            next.reserve(self.limits.batch_len);
        }
        self.sealed
            .push_back(std::mem::replace(&mut self.tail, next));
    }

    /// Keeps a written batch's memory for one to come: a large one only while there is a backlog.
    fn reuse(&mut self, mut batch: Notifications) {
        if !self.sealed.is_empty() || batch.size_bytes() <= self.limits.batch_bytes / 16 {
            batch.clear();
            self.spare = batch;
        } else {
            self.spare = Notifications::default();
        }
    }

    fn drop_oldest(&mut self, outlet: Outlet<'_>) {
        let Some(batch) = self.sealed.pop_front() else {
            return;
        };
        self.sealed_bytes -= batch.size_bytes();
        self.lose(&batch, LossReason::QueueFull, outlet);
        if !std::mem::replace(&mut self.told_overflow, true) {
            let text = format!(
                "memory for notifications that wait for `{}` is full ({} MiB): the oldest are lost from now on",
                self.store,
                self.limits.queue_bytes >> 20,
            );
            outlet.messages.push(Severity::Warning, text);
        }
    }

    fn lose(&mut self, batch: &Notifications, reason: LossReason, outlet: Outlet<'_>) {
        let count = batch.len() as u64;
        self.lost_untold += count;
        self.count_loss(Loss { count, reason }, outlet);
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
        let count = self.len() as u64;
        self.count_loss(Loss { count, reason }, outlet);
    }

    /// Counts what the writer or its store gave up by itself. The writer has stored it, by trace.
    fn take_losses(&mut self, writer: &mut dyn Writer, outlet: Outlet<'_>) {
        let losses = catch_unwind(AssertUnwindSafe(|| writer.take_losses())).unwrap_or_default();
        for loss in losses {
            outlet.tally.give_up(loss);
            self.tally.give_up(loss);
            if loss.reason != LossReason::Evicted {
                self.lost_untold += loss.count;
            }
        }
    }

    /// The store did not take something: waits longer each time, at least as long as the call took, so that a store that
    /// hangs never has more than half of the thread's time.
    fn fail(
        &mut self,
        begin: Duration,
        end: Duration,
        failure: &Failure,
        outlet: Outlet<'_>,
    ) -> Next {
        if let Some(mut writer) = self.writer.take() {
            if let Failure::Error(_) = failure {
                self.take_losses(writer.as_mut(), outlet);
                self.writer = Some(writer);
            } else {
                // What it left behind may be in any state: not even its drop is safe to run.
                std::mem::forget(writer);
            }
        }
        let pause = self.wait.max(end.saturating_sub(begin));
        self.next_try = end + pause.min(self.limits.longest_wait);
        self.wait = (self.wait * 2).min(self.limits.longest_wait);
        self.warn(begin, failure, outlet);
        Next::At(self.next_try)
    }

    fn warn(&mut self, now: Duration, failure: &Failure, outlet: Outlet<'_>) {
        let fault = self.fault.get_or_insert(Fault {
            since: now,
            told: false,
        });
        let recent = self
            .last_warning
            .is_some_and(|last| now < last + self.limits.loss_interval * 10);
        if fault.told || recent {
            return;
        }
        fault.told = true;
        self.last_warning = Some(now);
        let store = &self.store;
        let text = match failure {
            Failure::Error(error) => {
                let help = error
                    .help()
                    .map_or_else(String::new, |help| format!("; {help}"));
                let consequence = if error.is_temporary() {
                    "they wait in memory, the program is not affected"
                } else {
                    "they are lost, the program is not affected"
                };
                format!(
                    "cannot store trace notifications in `{store}`: {error}; {consequence}{help}"
                )
            }
            Failure::Panic => format!(
                "the driver of `{store}` failed unexpectedly (this is a defect): trace notifications are lost, the program is not affected"
            ),
        };
        outlet.messages.push(Severity::Warning, text);
    }

    /// Ends what [`drop_oldest`](Self::drop_oldest) said, where no fault has ended before and told the number: the store was only slow.
    fn say_caught_up(&mut self, outlet: Outlet<'_>) {
        if self.fault.is_some() || !std::mem::take(&mut self.told_overflow) || self.lost_untold == 0
        {
            return;
        }
        let lost = std::mem::take(&mut self.lost_untold);
        let store = &self.store;
        let text = format!(
            "`{store}` has caught up: {lost} trace notifications were lost, their traces say so"
        );
        outlet.messages.push(Severity::Warning, text);
    }

    fn heal(&mut self, now: Duration, outlet: Outlet<'_>) {
        self.has_answered = true;
        self.wait = self.limits.first_wait;
        self.next_try = Duration::ZERO;
        let Some(fault) = self.fault.take().filter(|fault| fault.told) else {
            return;
        };
        let seconds = now.saturating_sub(fault.since).as_secs_f64();
        let lost = std::mem::take(&mut self.lost_untold);
        let store = &self.store;
        let (severity, what) = match lost {
            0 => (Severity::Info, "nothing was lost".to_owned()),
            lost => (
                Severity::Warning,
                format!("{lost} were lost, their traces say so"),
            ),
        };
        let text =
            format!("`{store}` takes trace notifications again after {seconds:.1} s: {what}");
        outlet.messages.push(severity, text);
    }
}

/// Calls into a driver; a panic stays there.
fn guarded<T>(call: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(outcome) => outcome.map_err(Failure::Error),
        Err(_) => Err(Failure::Panic),
    }
}
