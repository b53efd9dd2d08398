// SPDX-License-Identifier: Apache-2.0
//! A listing: one row a trace, oldest first.
//!
//! In: each trace's id and the least of its times, as the database compares texts. Out: traces in order of time. Where the least
//! text is no time, somebody wrote one that is none: only reading such a trace tells when it began.

use crate::{Id, Timestamp};

/// The rows of a listing.
#[derive(Default)]
pub(in crate::driver) struct Listing {
    traces: Vec<(Timestamp, String)>,
    /// Traces whose first time is no time.
    pub(in crate::driver) unclear: Vec<String>,
    /// Rows that are no traces.
    pub(in crate::driver) skipped: u64,
}

impl Listing {
    /// Takes a row.
    pub(in crate::driver) fn add(&mut self, base_id: Option<&str>, timestamp: Option<&str>) {
        let base_id = base_id.filter(|text| Id::parse(text).is_ok());
        match (base_id, timestamp.and_then(Timestamp::parse)) {
            (Some(base_id), Some(timestamp)) => self.add_trace(base_id.to_owned(), timestamp),
            (Some(base_id), None) => self.unclear.push(base_id.to_owned()),
            (None, _) => self.skipped += 1,
        }
    }

    /// Takes a trace whose first time is known.
    pub(in crate::driver) fn add_trace(&mut self, base_id: String, timestamp: Timestamp) {
        self.traces.push((timestamp, base_id));
    }

    /// The traces, oldest first.
    pub(in crate::driver) fn into_traces(mut self) -> Vec<(Timestamp, String)> {
        self.traces.sort_unstable();
        self.traces
    }
}
