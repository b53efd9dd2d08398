// SPDX-License-Identifier: Apache-2.0
//! How a queue stands with its store: whether it answers, when it is tried next, and what is said of it.
//!
//! A fault is told when it begins and when it has ended, that memory is full once, and no two warnings of a kind within a minute;
//! what was lost meanwhile is in the next one's number. What a store gave up is told then even if nothing follows, and at the end.

use std::time::Duration;

use super::calls::Failure;
use super::limits::Limits;
use super::messages::{Messages, Severity};
use super::spool::{self, Refusal, Spool};

/// The least time between two warnings of a kind about one store.
pub(super) const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

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

/// A time during which the store takes nothing.
struct Fault {
    since: Duration,
    told: bool,
}

/// A kind of warning: when one was last given.
#[derive(Default)]
struct Warned(Option<Duration>);

impl Warned {
    /// Whether one may be given; then it is.
    fn may(&mut self, now: Duration) -> bool {
        let may = self.0.is_none_or(|last| now >= last + BETWEEN_WARNINGS);
        if may {
            self.0 = Some(now);
        }
        may
    }
}

/// What a store gave up by itself: told at once, then in sums, as warnings are.
#[derive(Default)]
struct GivenUp {
    told: Warned,
    untold: u64,
}

impl GivenUp {
    /// How many there are to be told now, if there are some and that may be.
    fn due(&mut self, now: Duration) -> Option<u64> {
        let is_due = self.untold > 0 && self.told.may(now);
        is_due.then(|| std::mem::take(&mut self.untold))
    }

    /// When there will be.
    fn next(&self) -> Option<Duration> {
        let last = self.told.0.filter(|_| self.untold > 0)?;
        Some(last + BETWEEN_WARNINGS)
    }
}

/// The folder that keeps what memory does not.
struct Folder {
    path: String,
    max_bytes: u64,
    /// It took nothing since that was said.
    refuses: bool,
}

/// How things stand with one store.
pub(super) struct Standing {
    /// The store as messages name it, without its password.
    store: String,
    folder: Option<Folder>,
    limits: Limits,
    next_try: Duration,
    wait: Duration,
    fault: Option<Fault>,
    /// The store has ever taken something.
    has_answered: bool,
    warned_of_fault: Warned,
    warned_of_loss: Warned,
    warned_of_spilling: Warned,
    /// That memory is full was said, and the store has not caught up since.
    told_overflow: bool,
    /// Lost since somebody was last told.
    lost_untold: u64,
    /// Removed by the store for room.
    evicted: GivenUp,
    /// Gone with a store that was removed.
    removed: GivenUp,
    /// The same, of the fault that is now: what ends it says so again.
    removed_in_fault: u64,
}

impl Standing {
    pub(super) fn new(store: String, spool: Option<&Spool>, limits: Limits) -> Self {
        Self {
            store,
            folder: spool.map(|spool| Folder {
                path: spool.folder().display().to_string(),
                max_bytes: spool.max_bytes(),
                refuses: spool.refuses(),
            }),
            limits,
            next_try: Duration::ZERO,
            wait: limits.first_wait,
            fault: None,
            has_answered: false,
            warned_of_fault: Warned::default(),
            warned_of_loss: Warned::default(),
            warned_of_spilling: Warned::default(),
            told_overflow: false,
            lost_untold: 0,
            evicted: GivenUp::default(),
            removed: GivenUp::default(),
            removed_in_fault: 0,
        }
    }

    pub(super) fn trust(&self) -> Trust {
        match (&self.fault, self.has_answered) {
            (Some(_), _) => Trust::Failed,
            (None, true) => Trust::Answers,
            (None, false) => Trust::Untried,
        }
    }

    pub(super) fn next_try(&self) -> Duration {
        self.next_try
    }

    /// Forgets waits: somebody asked for a flush.
    pub(super) fn hurry(&mut self) {
        self.next_try = Duration::ZERO;
        self.wait = self.limits.first_wait;
    }

    /// Adds to what is told with the next warning.
    pub(super) fn lost(&mut self, count: u64) {
        self.lost_untold += count;
    }

    /// The store did not take something: waits longer each time, at least as long as the call took, so that a store that
    /// hangs never has more than half of the thread's time. Returns until when.
    pub(super) fn fail(
        &mut self,
        begin: Duration,
        end: Duration,
        failure: &Failure,
        messages: &Messages,
    ) -> Duration {
        let pause = self.wait.max(end.saturating_sub(begin));
        self.next_try = end + pause.min(self.limits.longest_wait);
        self.wait = (self.wait * 2).min(self.limits.longest_wait);
        self.warn(begin, failure, messages);
        self.next_try
    }

    fn warn(&mut self, now: Duration, failure: &Failure, messages: &Messages) {
        let fault = self.fault.get_or_insert(Fault {
            since: now,
            told: false,
        });
        if fault.told || !self.warned_of_fault.may(now) {
            return;
        }
        fault.told = true;
        let store = &self.store;
        let text = match failure {
            Failure::Error(error) => {
                let help = error
                    .help()
                    .map_or_else(String::new, |help| format!("; {help}"));
                let consequence = match &self.folder {
                    _ if !error.is_temporary() => {
                        "they are lost, the program is not affected".to_owned()
                    }
                    Some(Folder {
                        path,
                        refuses: false,
                        ..
                    }) => format!(
                        "they wait in memory, then in `{path}`, the program is not affected"
                    ),
                    _ => "they wait in memory, the program is not affected".to_owned(),
                };
                format!(
                    "cannot store trace notifications in `{store}`: {error}; {consequence}{help}"
                )
            }
            Failure::Panic => format!(
                "the driver of `{store}` failed unexpectedly (this is a defect): what it had in hand is lost, the program is not affected"
            ),
            Failure::PanicAfterwards => format!(
                "the driver of `{store}` failed unexpectedly after it had stored what it had in hand (this is a defect): nothing is lost, the program is not affected"
            ),
        };
        messages.push(Severity::Warning, text);
    }

    /// Memory is full, and what is oldest in it goes to a file.
    pub(super) fn spills(&mut self, now: Duration, messages: &Messages) {
        let Some(Folder { path: folder, .. }) = &self.folder else {
            return;
        };
        if !self.warned_of_spilling.may(now) {
            return;
        }
        let text = format!(
            "memory for notifications that wait for `{}` is full ({}): the oldest are kept in `{folder}` until it takes them",
            self.store,
            size(self.limits.queue_bytes as u64),
        );
        messages.push(Severity::Info, text);
    }

    /// Memory is full, and what is oldest in it is lost; `refusal` says why it is in no file, if it could be.
    pub(super) fn overflows(
        &mut self,
        now: Duration,
        refusal: Option<&Refusal>,
        messages: &Messages,
    ) {
        if self.told_overflow || !self.warned_of_loss.may(now) {
            return;
        }
        self.told_overflow = true;
        let memory = format!(
            "memory for notifications that wait for `{}` is full ({})",
            self.store,
            size(self.limits.queue_bytes as u64),
        );
        let why = refusal.and_then(|refusal| self.why(refusal));
        let text = match why {
            None => format!("{memory}: the oldest are lost from now on"),
            Some(why) => format!("{memory}, and {why}: the oldest are lost from now on"),
        };
        messages.push(Severity::Warning, text);
    }

    /// What waits as the process ends does not go into files. That the folder takes nothing is said once.
    pub(super) fn kept_nothing(&mut self, now: Duration, refusal: &Refusal, messages: &Messages) {
        let Some(folder) = &self.folder else { return };
        let is_known = matches!(refusal, Refusal::System(_)) && folder.refuses;
        if is_known || !self.warned_of_loss.may(now) {
            return;
        }
        if let Some(why) = self.why(refusal) {
            let text = format!("what waits for `{}` is not kept: {why}", self.store);
            messages.push(Severity::Warning, text);
        }
    }

    /// The folder has taken what it was given last.
    pub(super) fn keeps(&mut self) {
        if let Some(folder) = &mut self.folder {
            folder.refuses = false;
        }
    }

    /// What the writer held back is lost as the process ends, so many notifications.
    pub(super) fn held_in_vain(&mut self, count: u64, messages: &Messages) {
        if count > 0 {
            let text = format!(
                "{count} trace notifications of points that had not ended are lost: `{}` does not take them",
                self.store
            );
            messages.push(Severity::Warning, text);
        }
    }

    /// The store has removed its oldest traces to stay within its size, so many notifications.
    pub(super) fn evicted(&mut self, count: u64) {
        self.evicted.untold += count;
    }

    /// The store was removed with so many notifications in it that this process had written, of its own or of others.
    pub(super) fn removed(&mut self, count: u64) {
        self.removed_in_fault += count;
        self.removed.untold += count;
    }

    /// Tells what the store gave up, as far as that may be said now.
    pub(super) fn tell_given_up(&mut self, now: Duration, messages: &Messages) {
        let store = &self.store;
        if let Some(count) = self.removed.due(now) {
            let text = format!(
                "`{store}` was removed: {count} trace notifications that this process had written were in it and are lost"
            );
            messages.push(Severity::Warning, text);
        }
        if let Some(count) = self.evicted.due(now) {
            let text = format!(
                "`{store}` has reached its `max_size`: it removed its oldest traces, {count} notifications; a larger one keeps them longer"
            );
            messages.push(Severity::Info, text);
        }
    }

    /// The same, of all of it: there is no later time.
    pub(super) fn tell_last_given_up(&mut self, now: Duration, messages: &Messages) {
        for given_up in [&mut self.removed, &mut self.evicted] {
            given_up.told = Warned::default();
        }
        self.tell_given_up(now, messages);
    }

    /// When what is untold of it may be told; `None` if nothing is.
    pub(super) fn next_telling(&self) -> Option<Duration> {
        let (removed, evicted) = (self.removed.next(), self.evicted.next());
        removed.into_iter().chain(evicted).min()
    }

    fn why(&mut self, refusal: &Refusal) -> Option<String> {
        let folder = self.folder.as_mut()?;
        let path = &folder.path;
        Some(match refusal {
            Refusal::Full => format!(
                "the files in `{path}` have {} (`spool_max_mib`)",
                size(folder.max_bytes)
            ),
            Refusal::System(error) => {
                folder.refuses = true;
                format!(
                    "no file can be written in `{path}`: {}",
                    spool::words(error)
                )
            }
        })
    }

    /// What was recorded while the store was slow is stored: ends what [`overflows`](Self::overflows) said, where no fault has ended
    /// before and told the number.
    pub(super) fn caught_up(&mut self, messages: &Messages) {
        if self.fault.is_some() || !std::mem::take(&mut self.told_overflow) || self.lost_untold == 0
        {
            return;
        }
        let lost = std::mem::take(&mut self.lost_untold);
        let store = &self.store;
        let text = format!(
            "`{store}` has caught up: {lost} trace notifications were lost, their traces say so"
        );
        messages.push(Severity::Warning, text);
    }

    /// The store took something; `waiting` is what waits for it in files.
    pub(super) fn heal(&mut self, now: Duration, waiting: usize, messages: &Messages) {
        self.has_answered = true;
        self.wait = self.limits.first_wait;
        self.next_try = Duration::ZERO;
        let removed = std::mem::take(&mut self.removed_in_fault);
        let Some(fault) = self.fault.take().filter(|fault| fault.told) else {
            return;
        };
        let seconds = now.saturating_sub(fault.since).as_secs_f64();
        let lost = std::mem::take(&mut self.lost_untold) + removed;
        let store = &self.store;
        let (severity, what) = match lost {
            0 => (Severity::Info, "nothing was lost".to_owned()),
            lost => (
                Severity::Warning,
                format!("{lost} were lost, their traces say so"),
            ),
        };
        let files = match waiting {
            0 => String::new(),
            waiting => format!(", and {waiting} come from files"),
        };
        let text = format!(
            "`{store}` takes trace notifications again after {seconds:.1} s: {what}{files}"
        );
        messages.push(severity, text);
    }

    /// Files of a process that has ended are sent, so many notifications.
    pub(super) fn adopted(&self, count: u64, messages: &Messages) {
        if count == 0 {
            // They had losses alone, or were damaged.
            return;
        }
        let text = format!(
            "{count} trace notifications that a process had kept until its end are in `{}` now",
            self.store
        );
        messages.push(Severity::Info, text);
    }

    /// A file that was to be sent is damaged.
    pub(super) fn damaged(&mut self, now: Duration, count: u64, messages: &Messages) {
        self.lost_untold += count;
        if !self.warned_of_loss.may(now) {
            return;
        }
        let folder = self.folder.as_ref().map_or("", |folder| &folder.path);
        let count = match count {
            0 => "an unknown number of".to_owned(),
            count => count.to_string(),
        };
        let text = format!(
            "a file in `{folder}` was damaged or removed: {count} trace notifications for `{}` are lost",
            self.store
        );
        messages.push(Severity::Warning, text);
    }
}

/// A number of bytes as people read it.
fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{bytes} bytes")
    }
}
