// SPDX-License-Identifier: Apache-2.0
//! Writes batches as spans: a point's start waits for its stop, and both are one span.
//!
//! In: batches and losses. Out: requests. A batch may be several; what of it was taken is not sent again when the batch comes again. What
//! waits for its other end has not been stored yet, and is counted so, until it is sent, at the latest by [`finish`](Writer::finish).

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant, SystemTime};

use super::answer::Taken;
use super::exporter::Exporter;
use super::halves::{BOUNDS, Halves, Place, Whole};
use super::request::Request;
use super::settings::Settings;
use super::span::{self, Ends, Span};
use super::told::Tellings;
use crate::delivery::{self, Severity};
use crate::driver::Writer;
use crate::driver::losses::Mark;
use crate::recorder::new_id;
use crate::{Id, Loss, LossReason, Notifications, Result, Timestamp};

/// The least time between two warnings of what a collector refuses.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

pub(super) struct OtlpWriter {
    /// The store, for messages.
    shown: String,
    exporter: Exporter,
    halves: Halves,
    /// What has become of a batch that was not taken whole.
    progress: Option<Progress>,
    losses: Vec<Loss>,
    warned: Option<Instant>,
    /// The number and time of the span of a loss that is told again.
    loss: Mark<(u128, Timestamp)>,
}

struct Progress {
    /// Which batch it is.
    print: u64,
    /// Which of its notifications were taken.
    taken: Vec<bool>,
    /// How many of those were refused. They count as lost once the batch counts as stored; where it never does, all of it is lost.
    refused: u64,
}

impl Progress {
    /// Of a batch of that length, which is made known by its print only if it comes again: that costs a look at all of it.
    fn new(len: usize) -> Self {
        Self {
            print: 0,
            taken: vec![false; len],
            refused: 0,
        }
    }
}

/// A request in the making, and what its spans are of.
struct Outgoing {
    request: Request,
    wholes: Vec<Whole>,
}

impl OtlpWriter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            shown: settings.shown.clone(),
            exporter: Exporter::new(settings),
            halves: Halves::new(BOUNDS),
            progress: None,
            losses: Vec::new(),
            warned: None,
            loss: Mark::new(),
        }
    }

    /// Sends the spans of a batch, takes what was sent out of what waits, and writes down what became of the batch's own.
    fn send(
        &mut self,
        wholes: &[Whole],
        batch: &Notifications,
        progress: &mut Progress,
    ) -> Result<()> {
        let mut tellings = Tellings::new(batch);
        let mut rest = wholes.iter().peekable();
        while rest.peek().is_some() {
            let mut outgoing = Outgoing {
                request: Request::new(),
                wholes: Vec::new(),
            };
            while !outgoing.request.is_large()
                && let Some(whole) = rest.next()
            {
                let [start, stop] = [whole.start, whole.stop]
                    .map(|place| place.map(|place| self.halves.get(place, batch)));
                if let Some(ends) = Ends::of(start, stop) {
                    let told = tellings.get(whole, &ends);
                    outgoing.request.add(&Span::new(&ends, told));
                    outgoing.wholes.push(*whole);
                }
            }
            let answer = self.exporter.send(&outgoing.request)?;
            let refused = self.heed(&answer, &outgoing.request);
            let mut waited = 0;
            for place in places(&outgoing.wholes) {
                match place {
                    Place::Batch(index) => progress.taken[index] = true,
                    Place::Waiting(context) => {
                        self.halves.forget(context);
                        waited += 1;
                    }
                }
            }
            // What waited counts as stored from here on, whatever becomes of the batch.
            self.lose(refused.min(waited));
            progress.refused += refused.saturating_sub(waited);
        }
        Ok(())
    }

    /// Returns how many notifications were refused of a request that was taken, and tells what the collector says.
    fn heed(&mut self, answer: &Taken, request: &Request) -> u64 {
        let Taken { refused, said } = answer;
        // Nobody says which spans those are. Nearly all are of two notifications.
        let count = refused.saturating_mul(2).min(request.notifications);
        let now = Instant::now();
        let is_recent = |warned| now.duration_since(warned) < BETWEEN_WARNINGS;
        if (*refused == 0 && said.is_empty()) || self.warned.is_some_and(is_recent) {
            return count;
        }
        self.warned = Some(now);
        let shown = &self.shown;
        let text = match (refused, said.as_str()) {
            (0, said) => format!("`{shown}` takes spans and says: {said}"),
            (refused, "") => format!("`{shown}` refuses {refused} of {} spans", request.spans),
            (refused, said) => {
                format!(
                    "`{shown}` refuses {refused} of {} spans: {said}",
                    request.spans
                )
            }
        };
        delivery::say(Severity::Warning, text);
        count
    }

    fn lose(&mut self, count: u64) {
        if count > 0 {
            let reason = LossReason::Refused;
            self.losses.push(Loss { count, reason });
        }
    }

    /// After an error that will not pass: what waited for a stop in that batch waits in vain.
    fn give_up(&mut self, wholes: &[Whole]) {
        let before = self.halves.len();
        for place in places(wholes) {
            if let Place::Waiting(context) = place {
                self.halves.forget(context);
            }
        }
        self.lose((before - self.halves.len()) as u64);
    }
}

impl Writer for OtlpWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        let now = Instant::now();
        // Another batch may come, where there was no room for that one any more.
        let known = self.progress.take();
        let known = known.filter(|progress| progress.print == print(batch));
        let mut progress = known.unwrap_or_else(|| Progress::new(batch.len()));
        let taken = &progress.taken;
        let plan = self.halves.plan(batch, |index| !taken[index], now);
        if let Err(error) = self.send(&plan.wholes, batch, &mut progress) {
            if error.is_temporary() {
                progress.print = print(batch);
                self.progress = Some(progress);
            } else {
                self.give_up(&plan.wholes);
            }
            return Err(error);
        }
        self.lose(progress.refused);
        for index in plan.kept {
            self.halves.keep(&batch.get(index), now);
        }
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let (number, time) = self.loss.of(base_id, loss, || (new_id(), now()));
        // Of traces nobody knows: as a trace of its own.
        let base_id = base_id.unwrap_or(Id::from_u128(number));
        let mut request = Request::new();
        request.add_own(|span| span::write_loss(base_id, number, loss, time, span));
        let answer = self.exporter.send(&request)?;
        self.loss.taken();
        self.heed(&answer, &request);
        Ok(())
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    fn held(&self) -> u64 {
        self.halves.len() as u64
    }

    fn finish(&mut self) -> Result<()> {
        let wholes = self.halves.all();
        self.send(&wholes, &Notifications::default(), &mut Progress::new(0))
    }
}

fn places(wholes: &[Whole]) -> impl Iterator<Item = Place> {
    let ends = wholes.iter().flat_map(|whole| [whole.start, whole.stop]);
    ends.flatten()
}

/// What tells a batch from others.
fn print(batch: &Notifications) -> u64 {
    let mut hasher = DefaultHasher::new();
    for index in 0..batch.len() {
        batch.ids_and_timestamp(index).hash(&mut hasher);
        batch.text_numbers(index).hash(&mut hasher);
    }
    hasher.finish()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_micros(since.map_or(0, |since| since.as_micros() as i64))
}
