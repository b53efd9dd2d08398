// SPDX-License-Identifier: Apache-2.0
//! What the background thread does in a turn: sweep what all threads have recorded, take in what was handed in, and give
//! each store a batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::bounds::Bounds;
use super::limits::Limits;
use super::messages::Severity;
use super::pipeline::{Directory, Incoming, Pipeline, Route};
use super::process::{self, Process, TABLE, TALLIES_BY_STORE, TALLY};
use super::published::{Content, Numbers, Publisher};
use super::queue::{Behind, Next, Outlet};
use super::spool::{self, Spool};
use super::standing::BETWEEN_WARNINGS;
use super::table::Store;
use super::{exit, fork, passage};
use crate::recorder::clock::Calibration;
use crate::recorder::{self, Origin, Sweeper};
use crate::{Error, ErrorKind, Loss, LossReason};

/// From sweep to sweep.
const SWEEP: Duration = Duration::from_millis(100);

/// When the next turn is due, unless somebody calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    Now,
    /// After a pause.
    In(Duration),
    /// Not before somebody calls.
    WhenCalled,
}

/// Everything the thread owns.
pub(super) struct Worker {
    process: &'static Process,
    outlet: Outlet<'static>,
    begin: Instant,
    sweeper: Sweeper,
    calibration: Calibration,
    pipeline: Pipeline,
    table_version: u32,
    /// Events taken from the recorder or the inbox, and not yet in the pipeline.
    in_hand: usize,
    /// When the last sweep began, since `begin`.
    swept: Duration,
    shortage: Shortage,
    publisher: Publisher,
    /// At the process's end: until when files of others are sent.
    others_until: Option<Duration>,
}

impl Worker {
    pub(super) fn new(process: &'static Process) -> Self {
        let directory = Directory {
            route: Box::new(route),
            store: Box::new(store),
        };
        let queue_bytes = Bounds::get().queue_bytes;
        let limits = Limits {
            queue_bytes,
            // What gathers for a batch is a small part of what waits.
            batch_bytes: Limits::DEFAULT.batch_bytes.min(queue_bytes / 8),
            ..Limits::DEFAULT
        };
        Self {
            process,
            outlet: Outlet {
                tally: &TALLY,
                messages: &process.messages,
            },
            begin: Instant::now(),
            sweeper: Sweeper::new(),
            calibration: Calibration::new(),
            pipeline: Pipeline::new(directory, limits),
            table_version: TABLE.version(),
            in_hand: 0,
            swept: Duration::ZERO,
            shortage: Shortage::default(),
            publisher: Publisher::default(),
            others_until: None,
        }
    }

    /// Gives each store a batch. `found` is what [`collect`](Self::collect) just said.
    pub(super) fn write(&mut self, found: bool) -> Pace {
        let begin = self.begin;
        let next = self.pipeline.step(
            &|| passage::since(begin),
            self.outlet,
            &fork::nothing_is_open,
        );
        let is_idle = next != Next::Now && !found && self.is_idle();
        match next {
            Next::Now => Pace::Now,
            Next::At(time) => {
                let pause = time.saturating_sub(passage::since(begin));
                Pace::In(if is_idle { pause } else { pause.min(SWEEP) })
            }
            Next::Never if is_idle => Pace::WhenCalled,
            Next::Never => Pace::In(SWEEP),
        }
    }

    /// Publishes the counters if it is time; the pace is that of [`write`](Self::write), or less where something is still to be published.
    pub(super) fn publish(&mut self, pace: Pace) -> Pace {
        let now = self.begin.elapsed();
        let wanted = self.publisher.turn(now, &process::counters(), content);
        match (pace, wanted) {
            (Pace::WhenCalled, Some(pause)) => Pace::In(pause),
            (Pace::In(pause), Some(wanted)) => Pace::In(pause.min(wanted)),
            _ => pace,
        }
    }

    /// Takes back what was published: the process is ending.
    pub(super) fn end_publishing(&mut self) {
        self.publisher.end();
    }

    /// Whether whoever brings something next is going to call.
    fn is_idle(&self) -> bool {
        // In this order: what is not in the inbox yet is brought by somebody who has not looked yet.
        recorder::announce_idle() && self.process.has_empty_inbox()
    }

    /// Has stores that failed tried at once: somebody waits.
    pub(super) fn hurry(&mut self) {
        self.pipeline.hurry();
    }

    /// Brings what waits where it outlives the process, if there is such a place.
    pub(super) fn keep(&mut self) {
        let begin = self.begin;
        let until = || passage::since(begin).saturating_add(exit::time_for_others());
        let until = *self.others_until.get_or_insert_with(until);
        self.pipeline.keep(until, self.outlet);
    }

    /// Remembers what was collected so far.
    pub(super) fn mark(&mut self) {
        self.pipeline.mark();
    }

    /// Whether all that had been collected at the last mark is settled; at the process's end also whether nothing is being sent that
    /// others have left.
    pub(super) fn is_settled(&self, is_last: bool) -> bool {
        if is_last {
            self.pipeline.may_end()
        } else {
            self.pipeline.is_past_mark()
        }
    }

    /// Whether a store is open that would not survive a fork.
    pub(super) fn has_open_fragile_store(&self) -> bool {
        self.pipeline.has_open_fragile_store()
    }

    /// Closes the stores that would not survive a fork until the next turn.
    pub(super) fn close_fragile(&mut self) {
        self.pipeline.close_fragile(self.outlet);
    }

    /// Closes the stores.
    pub(super) fn close(&mut self) {
        self.pipeline.close(self.outlet);
    }

    /// After a panic: whatever it still holds will not be stored.
    pub(super) fn count_as_lost(&self) {
        let reason = LossReason::DriverFailed;
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.pipeline.count_as_lost(reason, self.outlet);
        }));
        let count = self.in_hand as u64;
        self.outlet.tally.add_loss(Loss { count, reason });
    }

    /// Brings everything recorded and handed in so far into the pipeline; whether there was anything.
    pub(super) fn collect(&mut self) -> bool {
        let version = TABLE.version();
        if version != self.table_version {
            self.table_version = version;
            self.pipeline.forget_routes();
        }
        self.calibration.update();
        self.swept = passage::since(self.begin);
        let mut found = false;
        let (pipeline, calibration) = (&mut self.pipeline, &mut self.calibration);
        let outlet = self.outlet;
        let in_hand = &mut self.in_hand;
        self.sweeper.sweep(&mut |event| {
            found = true;
            *in_hand = 1;
            pipeline.accept(
                &Incoming {
                    origin: event.origin.number(),
                    kind: event.kind,
                    ticks: event.ticks,
                    timestamp: calibration.timestamp(event.ticks),
                    name: event.name,
                    ids: [event.base_id, event.trace_id, event.parent_id],
                    info: &|host, out| event.info.push_json(host, out),
                    wording: event.wording,
                },
                outlet,
            );
            *in_hand = 0;
        });
        let dropped = &mut self.shortage;
        recorder::take_losses(&mut |base_id, loss| {
            found = true;
            dropped.add(loss);
            outlet.tally.add_loss(loss);
            pipeline.accept_loss(base_id, loss);
        });
        let mut inbox = self.process.take_inbox();
        *in_hand = inbox.origins.len();
        for (notification, (origin, ticks)) in inbox.notifications.iter().zip(&inbox.origins) {
            found = true;
            pipeline.accept_ready(origin.number(), notification, *ticks, outlet);
            *in_hand -= 1;
        }
        inbox.losses.drain(|base_id, loss| {
            found = true;
            dropped.add(loss);
            pipeline.accept_loss(base_id, loss);
        });
        dropped.warn(self.swept, outlet);
        found
    }
}

/// What found no room on its way to the queues, until it is said: at once, then at most once a minute.
#[derive(Default)]
struct Shortage {
    untold: u64,
    told: Option<Duration>,
}

impl Shortage {
    fn add(&mut self, loss: Loss) {
        if loss.reason == LossReason::MemoryFull {
            self.untold += loss.count;
        }
    }

    fn warn(&mut self, now: Duration, outlet: Outlet<'_>) {
        if self.untold == 0 || self.told.is_some_and(|told| now < told + BETWEEN_WARNINGS) {
            return;
        }
        self.told = Some(now);
        let text = format!(
            "{} trace notifications are lost: more was recorded at once than memory holds until it is stored; their traces say so",
            std::mem::take(&mut self.untold)
        );
        outlet.messages.push(Severity::Warning, text);
    }
}

/// What is published of this process.
fn content() -> Content {
    let mut content = Content::new(Numbers::new(&process::counters()));
    for details in Origin::registered().map(Origin::details) {
        content.add_service(details.project, details.service);
    }
    for (name, counters) in process::counters_by_store() {
        content.add_store(&name, Numbers::new(&counters));
    }
    content
}

fn route(origin: u16) -> Route {
    let details = Origin::from_number(origin).map(Origin::details);
    Route {
        project: details.and_then(|details| details.project),
        service: details.and_then(|details| details.service),
        host: details.map_or("", |details| details.host),
        stores: TABLE.stores_of(origin),
    }
}

fn store(number: usize) -> Behind {
    let store = TABLE.store(number);
    let name = store.map(ToString::to_string).unwrap_or_default();
    let bounds = Bounds::get();
    let folder = bounds.spool_folder.as_deref();
    let mut spool = folder.map(|folder| Spool::new(folder, bounds.spool_bytes, &name));
    if let Some((folder, Err(error))) = folder.zip(spool.as_mut().map(Spool::probe)) {
        // At the time of an outage it is too late to hear of it.
        let folder = folder.display();
        let text = format!(
            "`{folder}` can keep nothing that waits for `{name}`: {}; make it a folder that this service's user may write",
            spool::words(&error)
        );
        process::say(Severity::Warning, text);
    }
    Behind {
        spool,
        name,
        open: Box::new(move || match store {
            Some(store) => store.open(),
            None => Err(Error::new(ErrorKind::NotFound, "no such store")),
        }),
        survives_fork: store.is_none_or(Store::survives_fork),
        tally: &TALLIES_BY_STORE[number],
    }
}
