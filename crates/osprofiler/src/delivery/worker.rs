// SPDX-License-Identifier: Apache-2.0
//! What the background thread does in a turn: sweep what all threads have recorded, take in what was handed in, and give
//! each store a batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::pipeline::{Directory, Incoming, Pipeline, Route};
use super::process::{Process, TABLE, TALLY};
use super::queue::{Limits, Next, Open, Outlet};
use crate::recorder::clock::Calibration;
use crate::recorder::{self, Origin, Sweeper};
use crate::{Error, ErrorKind, Loss, LossReason};

/// From sweep to sweep.
const SWEEP: Duration = Duration::from_millis(100);
/// After so many sweeps that found nothing the recorder is told that the thread will sleep without a timer.
const QUIET_SWEEPS: u32 = 10;

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
    /// Sweeps in a row that found nothing. Beyond [`QUIET_SWEEPS`] the recorder has been told.
    quiet_sweeps: u32,
}

impl Worker {
    pub(super) fn new(process: &'static Process) -> Self {
        let directory = Directory {
            route: Box::new(route),
            store: Box::new(store),
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
            pipeline: Pipeline::new(directory, Limits::DEFAULT),
            table_version: TABLE.version(),
            in_hand: 0,
            quiet_sweeps: 0,
        }
    }

    /// Gives each store a batch. `found` is what [`collect`](Self::collect) just said.
    pub(super) fn write(&mut self, found: bool) -> Pace {
        let begin = self.begin;
        let next = self.pipeline.step(&|| begin.elapsed(), self.outlet);
        let sweep = self.next_sweep(found);
        match (next, sweep) {
            (Next::Now, _) => Pace::Now,
            (Next::At(time), sweep) => {
                let pause = time.saturating_sub(begin.elapsed());
                Pace::In(sweep.map_or(pause, |sweep| sweep.min(pause)))
            }
            (Next::Never, Some(sweep)) => Pace::In(sweep),
            (Next::Never, None) => Pace::WhenCalled,
        }
    }

    /// Has stores that failed tried at once: somebody waits.
    pub(super) fn hurry(&mut self) {
        self.pipeline.hurry();
    }

    /// Remembers what was collected so far.
    pub(super) fn mark(&mut self) {
        self.pipeline.mark();
    }

    /// Whether all that had been collected at the last mark is settled.
    pub(super) fn is_past_mark(&self) -> bool {
        self.pipeline.is_past_mark()
    }

    /// Whether a store is open.
    pub(super) fn has_open_store(&self) -> bool {
        self.pipeline.has_open_store()
    }

    /// Closes the stores until the next turn.
    pub(super) fn close(&mut self) {
        self.pipeline.close(self.outlet);
    }

    /// After a panic: whatever it still holds will not be stored.
    pub(super) fn count_as_lost(&self) {
        let queued = catch_unwind(AssertUnwindSafe(|| self.pipeline.len())).unwrap_or(0);
        let count = (queued + self.in_hand) as u64;
        let reason = LossReason::DriverFailed;
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
        let mut found = false;
        let (pipeline, calibration, outlet) = (&mut self.pipeline, &self.calibration, self.outlet);
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
                    base_id: event.base_id,
                    trace_id: event.trace_id,
                    parent_id: event.parent_id,
                    info: &|host, out| event.info.push_json(host, out),
                },
                outlet,
            );
            *in_hand = 0;
        });
        recorder::take_losses(&mut |base_id, loss| {
            found = true;
            outlet.tally.add_loss(loss);
            pipeline.accept_loss(base_id, loss);
        });
        let inbox = self.process.take_inbox();
        *in_hand = inbox.origins.len();
        for (notification, (origin, ticks)) in inbox.notifications.iter().zip(&inbox.origins) {
            found = true;
            pipeline.accept_ready(origin.number(), notification, *ticks, outlet);
            *in_hand -= 1;
        }
        found
    }

    /// How long to wait for the next sweep; `None` if the recorder calls when there is something.
    fn next_sweep(&mut self, found: bool) -> Option<Duration> {
        if found {
            self.quiet_sweeps = 0;
            return Some(SWEEP);
        }
        self.quiet_sweeps = self.quiet_sweeps.saturating_add(1);
        if self.quiet_sweeps == QUIET_SWEEPS {
            recorder::announce_idle();
        }
        // The sweep after the announcement still has to find nothing.
        (self.quiet_sweeps <= QUIET_SWEEPS).then_some(SWEEP)
    }
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

fn store(number: usize) -> (String, Open) {
    let store = TABLE.store(number);
    let open: Open = Box::new(move || match store {
        Some(store) => store.open(),
        None => Err(Error::new(ErrorKind::NotFound, "no such store")),
    });
    (store.map(ToString::to_string).unwrap_or_default(), open)
}
