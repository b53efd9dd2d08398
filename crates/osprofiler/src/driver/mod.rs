// SPDX-License-Identifier: Apache-2.0
//! Drivers write notifications to a kind of store and read them back.
//!
//! A driver is one file here, one line in the [`registry`] and one in the crate's features, which says what it shares with others. It
//! implements [`Writer`] and [`Reader`], and [`Pruner`] if its store can do that, sorts its client's errors into
//! [`ErrorKind`](crate::ErrorKind)s, and knows nothing of recording, batching or retry. The conformance suite in the folder `tests/`
//! says the rest.

pub mod registry;

mod connection_string;
mod connection_strings;
#[cfg(feature = "_document_ids")]
mod document_ids;
#[cfg(feature = "_duplicates")]
mod duplicates;
#[cfg(feature = "elasticsearch")]
mod elasticsearch;
#[cfg(feature = "_expiry")]
mod expiry;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "_http")]
mod http;
#[cfg(feature = "loginsight")]
mod loginsight;
#[cfg(feature = "_server")]
mod losses;
#[cfg(feature = "messaging")]
mod messaging;
#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg_attr(
    not(feature = "_server"),
    expect(dead_code, reason = "most drivers of servers have these options")
)]
mod options;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "postgresql")]
mod postgresql;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "_runtime")]
mod runtime;
#[cfg(feature = "_sql")]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "_store_file")]
mod store_file;
#[cfg(feature = "_server")]
mod tls;
#[cfg(feature = "_rustls")]
mod words;

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::{Id, Loss, Notification, Notifications, Result, Timestamp};

pub use connection_string::ConnectionString;
pub use connection_strings::ConnectionStrings;
pub use options::parse_span;
#[cfg(feature = "_store_file")]
pub use store_file::{SPOOL_FOLDER_MODE, STORE_FOLDER_MODE, access_help, missing_folder_help};

/// The writing half of a driver.
///
/// Delivery owns it and calls it from its one background thread, never from the traced program's. A call may block for as long
/// as the store's own time-outs let it (seconds, not minutes); delivery does the retrying, with back-off. It is made after a fork,
/// in the process that uses it, and dropped in the same; in a forked child it is leaked instead.
///
/// What whoever runs a store puts right while services go on is temporary, whatever its kind: a user that a server does not know, a right,
/// a folder or a database that is missing, a certificate that is not trusted ([`Denied`](crate::ErrorKind::Denied)), a stranger at its address such
/// as a proxy's page for an outage ([`Corrupt`](crate::ErrorKind::Corrupt)). What will be refused as often as it is tried is not: a connection
/// string that cannot be, a table or key that is somebody else's, a notification that the store cannot hold.
pub trait Writer: Send {
    /// Stores `batch`, all of it or nothing: after an error that [is temporary](crate::Error::is_temporary) the same batch
    /// comes again, after any other it is counted as lost. Called up to ten times a second, with 1 to some
    /// 10,000 notifications of any number of traces, each in order of recording.
    fn write(&mut self, batch: &Notifications) -> Result<()>;

    /// Stores that notifications were lost: of the trace `base_id`, or of traces nobody knows any more.
    /// Called after a batch was taken, at most once a second for one trace and reason. Numbers of several calls add up; after an
    /// error that is temporary the same loss comes again, with nothing added, and is to count once even if the store has it.
    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()>;

    /// Does what may wait, such as removing what is too old. Called after a batch was taken and counted, not while the process ends: what
    /// is not done then is done by a later call, or by another writer. What goes wrong is not told: the next call tries again. It may take as
    /// long as a call of [`write`](Writer::write), and nothing is written meanwhile: a driver whose server is slow asks it seldom.
    fn tidy(&mut self) {}

    /// Takes what this writer or its store has itself given up since the last call (evicted to stay within a size, gone
    /// with a removed file), so that delivery counts it; what is known of it by trace the writer keeps in the store itself, as
    /// with [`write_loss`](Writer::write_loss). An empty list if there is nothing, which is also the right answer for
    /// a driver that never gives anything up.
    fn take_losses(&mut self) -> Vec<Loss>;

    /// How many of the notifications that were taken are held back until more comes, such as the start of a point whose store has
    /// but whole points. They count as waiting. None for a driver that stores whatever it takes.
    fn held(&self) -> u64 {
        0
    }

    /// Stores what is held back as it is: nothing more comes. Called once, before the writer is dropped; after an error that is lost.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The reading half of a driver. Opened by commands and by Python's `get_driver`; used by one thread at a time.
pub trait Reader: Send {
    /// Appends all notifications of the trace to `notifications`, in order of recording as far as the store knows it. Stored
    /// elements that are no notifications are skipped and counted. An unknown trace appends nothing and is no error.
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary>;

    /// Calls `each` once for each trace that `filter` lets through, oldest first. Does not read the traces.
    /// Returns how many stored elements it met and skipped: those that may stand for a trace which is not listed.
    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64>;

    /// Calls `each` with what the store holds of every trace that it can list, until `each` breaks off. A trace's notifications
    /// come in the order in which [`read`](Self::read) has them. Returns how many stored elements were skipped.
    ///
    /// Trace after trace, oldest first, one in memory at a time; a driver that would go through its whole store once for each trace,
    /// and count what it skips as often, has a way of its own.
    fn read_all(&mut self, each: &mut dyn FnMut(Stored<'_>) -> ControlFlow<()>) -> Result<u64> {
        let mut traces = Vec::new();
        let mut skipped = self.list(ListFilter::All, &mut |trace| {
            traces.push(trace.base_id.to_string());
        })?;
        let traces = traces.iter().filter_map(|text| Id::parse(text).ok());
        skipped += self.read_each(&traces.collect::<Vec<_>>(), each)?;
        Ok(skipped)
    }

    /// Calls `each` with what the store holds of the `traces`, each named once, until `each` breaks off; otherwise as
    /// [`read_all`](Self::read_all).
    fn read_each(
        &mut self,
        traces: &[Id<'_>],
        each: &mut dyn FnMut(Stored<'_>) -> ControlFlow<()>,
    ) -> Result<u64> {
        let mut skipped = 0;
        for &trace in traces {
            let mut notifications = Notifications::default();
            let summary = self.read(trace, &mut notifications)?;
            skipped += summary.skipped;
            let losses = summary.losses.into_iter();
            let stored = notifications
                .iter()
                .map(Stored::Notification)
                .chain(losses.map(|loss| Stored::Loss(Some(trace), loss)));
            for element in stored {
                if each(element).is_break() {
                    return Ok(skipped);
                }
            }
        }
        Ok(skipped)
    }

    /// Whether each of the `traces` has a notification of that time or a later one: then somebody may be writing it still. Asked
    /// about [as many](Pruner::at_once) as are removed at a time, just before.
    ///
    /// Reads the traces; a driver whose store knows it without that has a way of its own.
    fn written_since(&mut self, traces: &[Id<'_>], since: Timestamp) -> Result<Vec<bool>> {
        let mut written = HashSet::new();
        self.read_each(traces, &mut |stored| {
            if let Stored::Notification(notification) = stored
                && notification.timestamp >= since
            {
                written.insert(notification.base_id.to_string());
            }
            ControlFlow::Continue(())
        })?;
        let is_written = |trace: &Id<'_>| written.contains(&trace.to_string());
        Ok(traces.iter().map(is_written).collect())
    }

    /// Takes what whoever reads is to know of what reading does to the store, since the last call. Nothing for a driver whose
    /// store does not mind being read, which is nearly any.
    fn take_warning(&mut self) -> Option<String> {
        None
    }
}

/// The part of a driver that removes traces. Opened by commands; used by one thread at a time.
pub trait Pruner: Send {
    /// Removes those of the `traces` that are there, with what is known to be lost of them, and returns how many were. Others
    /// stay as they are, and writers that are at work go on and count nothing of it as lost. After an error some may be gone.
    ///
    /// May take as long as the store needs, but keeps no writer waiting for more than seconds. Where it is broken off, what is left
    /// of a trace is listed still, so that it is found by the next one.
    fn remove(&mut self, traces: &[Id<'_>]) -> Result<u64>;

    /// How many traces it is to be called with at most. Between two calls somebody sees how far it has come, or stops.
    fn at_once(&self) -> usize {
        256
    }
}

/// What a store holds, as [`Reader::read_all`] yields it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stored<'a> {
    /// A notification of any trace.
    Notification(Notification<'a>),
    /// Notifications that were lost, of a trace or of traces nobody knows any more.
    Loss(Option<Id<'a>>, Loss),
}

/// What reading a trace found beside its notifications.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSummary {
    /// Stored elements that were no notifications of any trace: junk, half lines, missing members.
    pub skipped: u64,
    /// What the store knows to have been lost of this trace.
    pub losses: Vec<Loss>,
}

impl ReadSummary {
    /// Adds a loss to those of the same reason.
    pub fn add_loss(&mut self, loss: Loss) {
        match self
            .losses
            .iter_mut()
            .find(|known| known.reason == loss.reason)
        {
            Some(known) => known.count = known.count.saturating_add(loss.count),
            None => self.losses.push(loss),
        }
    }
}

/// Which traces to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFilter {
    /// Every trace.
    All,
    /// Traces with a point that ended with an error (`etype` in a stop's info).
    WithErrors,
}

/// A trace as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSummary<'a> {
    /// The trace.
    pub base_id: Id<'a>,
    /// Its first notification's time; in a listing of errors, the first error's.
    pub timestamp: Timestamp,
}
