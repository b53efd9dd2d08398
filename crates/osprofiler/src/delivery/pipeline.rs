// SPDX-License-Identifier: Apache-2.0
//! From what was recorded to the queues before the stores: each event gets its origin's project, service and host, and goes to
//! every store that its origin is attached to.
//!
//! A pipeline is all that the background thread owns. It has no clock, no thread and no global state, so a test runs it
//! like any other value; a forked child simply never sees its parent's again.

use std::rc::Rc;
use std::time::Duration;

use super::ledger::Ledger;
use super::limits::Limits;
use super::messages::Severity;
use super::queue::{Behind, Next, Outlet, Queue};
use super::standing::Trust;
use super::texts::Texts;
use crate::recorder::Wording;
use crate::{Id, Kind, Loss, LossReason, Notification, Timestamp, secrets};

/// Who records, and where that goes.
pub(super) struct Route {
    pub(super) project: Option<&'static str>,
    pub(super) service: Option<&'static str>,
    pub(super) host: &'static str,
    /// Numbers of stores, each at most once.
    pub(super) stores: Vec<usize>,
}

/// Who knows the routes and the stores: the process's table, or a test.
pub(super) struct Directory {
    /// The route of an origin.
    pub(super) route: Box<dyn Fn(u16) -> Route>,
    /// What is behind a queue.
    pub(super) store: Box<dyn Fn(usize) -> Behind>,
}

/// One event on its way: what the recorder knows of it.
pub(super) struct Incoming<'a> {
    pub(super) origin: u16,
    pub(super) kind: Kind,
    pub(super) ticks: u64,
    pub(super) timestamp: Timestamp,
    /// The point's name, without suffix.
    pub(super) name: &'a str,
    /// The trace's id, the point's, and its parent's.
    pub(super) ids: [Id<'a>; 3],
    /// Appends the info as a JSON object that ends with the given host.
    pub(super) info: &'a dyn Fn(&str, &mut String),
    pub(super) wording: Option<Wording>,
}

/// Everything between the recorder and the drivers.
pub(super) struct Pipeline {
    directory: Directory,
    limits: Limits,
    /// By origin; asked for at its first event.
    routes: Vec<Option<Rc<Route>>>,
    /// By number of store.
    queues: Vec<Queue>,
    /// Losses from before the first queue.
    early: Ledger,
    texts: Texts,
    told_astray: bool,
}

impl Pipeline {
    pub(super) fn new(directory: Directory, limits: Limits) -> Self {
        Self {
            directory,
            limits,
            routes: Vec::new(),
            queues: Vec::new(),
            early: Ledger::default(),
            texts: Texts::default(),
            told_astray: false,
        }
    }

    /// Takes an event in.
    pub(super) fn accept(&mut self, event: &Incoming<'_>, outlet: Outlet<'_>) {
        let route = self.route(event.origin);
        if !self.tally(&route, outlet) {
            return;
        }
        let mut texts = self.texts.of(event, &route);
        for &store in &route.stores {
            self.queues[store].push_event(event, &mut texts, outlet);
        }
    }

    /// Takes in a notification that somebody else made. Project and service are the origin's unless it brings its own.
    pub(super) fn accept_ready(
        &mut self,
        origin: u16,
        notification: Notification<'_>,
        ticks: u64,
        outlet: Outlet<'_>,
    ) {
        let route = self.route(origin);
        let notification = Notification {
            project: notification.project.or(route.project),
            service: notification.service.or(route.service),
            info: &secrets::masked_info(notification.info),
            ..notification
        };
        if !self.tally(&route, outlet) {
            return;
        }
        for &store in &route.stores {
            self.queues[store].push(&notification, ticks, outlet);
        }
    }

    /// Takes in a loss that happened before the pipeline, and was counted there. Each store is told, since none is known to
    /// have the trace.
    pub(super) fn accept_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) {
        if self.queues.is_empty() {
            self.early.add(base_id, loss);
        }
        for queue in &mut self.queues {
            queue.add_loss(base_id, loss);
        }
    }

    /// Gives each store one batch. The earliest of their wishes is when to come back.
    ///
    /// A store that hangs takes the time of all, so those that answer come first, and as long as one of them has not written what a
    /// flush waits for, the others wait for their turn: none answers later because of one that does not.
    ///
    /// Nor does a fork: stores that would not survive one come before those that may hang, and are closed for those, which
    /// `nothing_is_open` is told. None of them is opened again in this step.
    pub(super) fn step(
        &mut self,
        now: &dyn Fn() -> Duration,
        outlet: Outlet<'_>,
        nothing_is_open: &dyn Fn(),
    ) -> Next {
        let mut next = Next::Never;
        let mut answering_is_behind = false;
        let mut queues: Vec<&mut Queue> = self.queues.iter_mut().collect();
        queues.sort_by_key(|queue| (queue.may_hang_in_forks(), queue.trust()));
        for place in 0..queues.len() {
            let queue = &queues[place];
            if answering_is_behind && queue.trust() != Trust::Answers {
                break;
            }
            if queue.may_hang_in_forks() && queue.is_due(now()) {
                let before = queues[..place].iter_mut();
                before
                    .filter(|queue| queue.is_open_and_fragile())
                    .for_each(|queue| queue.close(outlet));
                nothing_is_open();
            }
            let queue = &mut *queues[place];
            next = next.min(queue.step(now, outlet));
            answering_is_behind |= queue.trust() == Trust::Answers && !queue.has_written_mark();
        }
        next
    }

    /// How many notifications wait for a store in memory.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queues.iter().map(Queue::len).sum()
    }

    /// Counts all that waits for a store as lost, where nobody will write it any more.
    pub(super) fn count_as_lost(&self, reason: LossReason, outlet: Outlet<'_>) {
        for queue in &self.queues {
            queue.count_as_lost(reason, outlet);
        }
    }

    /// Whether a store is open that would not survive a fork.
    pub(super) fn has_open_fragile_store(&self) -> bool {
        self.queues.iter().any(Queue::is_open_and_fragile)
    }

    /// Remembers what has been accepted so far.
    pub(super) fn mark(&mut self) {
        self.queues.iter_mut().for_each(Queue::mark);
    }

    /// Whether all that had been accepted at the last mark is stored or lost, and the stores know of the losses.
    pub(super) fn is_past_mark(&self) -> bool {
        self.queues.iter().all(Queue::is_past_mark)
    }

    /// Whether the process may end: that, and nothing is being sent that others have left.
    pub(super) fn may_end(&self) -> bool {
        self.queues.iter().all(Queue::may_end)
    }

    /// Forgets waits.
    pub(super) fn hurry(&mut self) {
        self.queues.iter_mut().for_each(Queue::hurry);
    }

    /// Brings what waits into files, where there can be some: the process ends, and sends what others have left until then.
    pub(super) fn keep(&mut self, others_until: Duration, outlet: Outlet<'_>) {
        let queues = self.queues.iter_mut();
        queues.for_each(|queue| queue.keep(others_until, outlet));
    }

    /// Closes the stores that would not survive a fork; each is opened again when it is needed.
    pub(super) fn close_fragile(&mut self, outlet: Outlet<'_>) {
        let open = self.queues.iter_mut();
        open.filter(|queue| queue.is_open_and_fragile())
            .for_each(|queue| queue.close(outlet));
    }

    /// Closes all stores; each is opened again when it is needed.
    pub(super) fn close(&mut self, outlet: Outlet<'_>) {
        self.queues.iter_mut().for_each(|queue| queue.close(outlet));
    }

    /// Asks for routes anew: an origin was attached to a further store.
    pub(super) fn forget_routes(&mut self) {
        self.routes.clear();
    }

    fn route(&mut self, origin: u16) -> Rc<Route> {
        let place = usize::from(origin);
        if self.routes.len() <= place {
            self.routes.resize(place + 1, None);
        }
        if let Some(route) = &self.routes[place] {
            return Rc::clone(route);
        }
        let route = Rc::new((self.directory.route)(origin));
        let stores = route.stores.iter().max().map_or(0, |last| last + 1);
        for store in self.queues.len()..stores {
            let mut queue = Queue::new((self.directory.store)(store), self.limits);
            self.early
                .drain(|base_id, loss| queue.add_loss(base_id, loss));
            self.queues.push(queue);
        }
        self.routes[place] = Some(Rc::clone(&route));
        route
    }

    /// Counts a notification once for each store it goes to; whether there is one.
    fn tally(&mut self, route: &Route, outlet: Outlet<'_>) -> bool {
        match route.stores.len() {
            0 => self.astray(route, outlet),
            1 => {}
            more => outlet.tally.add_beside(more as u64 - 1),
        }
        !route.stores.is_empty()
    }

    /// Counts a notification whose origin no store was attached to.
    #[cold]
    fn astray(&mut self, route: &Route, outlet: Outlet<'_>) {
        outlet.tally.add_loss(Loss {
            count: 1,
            reason: LossReason::Refused,
        });
        if !std::mem::replace(&mut self.told_astray, true) {
            let text = format!(
                "trace notifications of `{}` are lost: no store is attached to it",
                route.service.unwrap_or("(no service)"),
            );
            outlet.messages.push(Severity::Warning, text);
        }
    }
}
