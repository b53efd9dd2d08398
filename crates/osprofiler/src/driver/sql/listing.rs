// SPDX-License-Identifier: Apache-2.0
//! A listing: one row a trace, oldest first.
//!
//! In: each trace's id and the least of its times, as the database compares texts. Out: traces in order of time. Where the least
//! text is no time, somebody wrote one that is none: only reading such a trace tells when it began.

use crate::driver::TraceSummary;
use crate::{Id, Notifications, Result, Timestamp};

/// The rows of a listing.
#[derive(Default)]
pub(in crate::driver) struct Listing {
    traces: Vec<(Timestamp, String)>,
    /// Traces whose first time is no time.
    unclear: Vec<String>,
    /// Rows that are no traces.
    skipped: u64,
}

impl Listing {
    /// Takes a row.
    pub(in crate::driver) fn add(&mut self, base_id: Option<&str>, timestamp: Option<&str>) {
        let base_id = base_id.filter(|text| Id::parse(text).is_ok());
        match (base_id, timestamp.and_then(Timestamp::parse)) {
            (Some(base_id), Some(timestamp)) => self.traces.push((timestamp, base_id.to_owned())),
            (Some(base_id), None) => self.unclear.push(base_id.to_owned()),
            (None, _) => self.skipped += 1,
        }
    }

    /// Reads the traces whose beginning the rows did not tell, by `read`, and drops those that are none.
    pub(in crate::driver) fn look_into_unclear(
        &mut self,
        read: &mut dyn FnMut(&str, &mut Notifications) -> Result<()>,
    ) -> Result<()> {
        for base_id in std::mem::take(&mut self.unclear) {
            let mut notifications = Notifications::default();
            read(&base_id, &mut notifications)?;
            let times = notifications
                .iter()
                .map(|notification| notification.timestamp);
            match times.min() {
                Some(first) => self.traces.push((first, base_id)),
                None => self.skipped += 1,
            }
        }
        Ok(())
    }

    /// Tells the traces, oldest first. Returns how many rows were none.
    pub(in crate::driver) fn tell(mut self, each: &mut dyn FnMut(TraceSummary<'_>)) -> u64 {
        self.traces.sort_unstable();
        for (timestamp, base_id) in &self.traces {
            if let Ok(base_id) = Id::parse(base_id) {
                each(TraceSummary {
                    base_id,
                    timestamp: *timestamp,
                });
            }
        }
        self.skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Notification;

    #[test]
    fn traces_are_in_order_of_their_first_time() {
        let mut listing = Listing::default();
        for (base_id, timestamp) in [
            (Some("new"), Some("2026-01-02T00:00:00.000000")),
            (Some("old"), Some("2026-01-01T00:00:00.000000")),
            (Some("unclear"), Some("")),
            (Some("none"), None),
            (Some(""), Some("2026-01-01T00:00:00.000000")),
            (None, None),
        ] {
            listing.add(base_id, timestamp);
        }
        let mut read = |base_id: &str, notifications: &mut Notifications| {
            if base_id == "unclear" {
                for micros in [20, 10] {
                    notifications.push(&Notification {
                        name: "x-start",
                        base_id: Id::from_u128(1),
                        trace_id: Id::from_u128(1),
                        parent_id: Id::from_u128(1),
                        timestamp: Timestamp::from_micros(micros),
                        info: "{}",
                        project: None,
                        service: None,
                    });
                }
            }
            Ok(())
        };
        listing.look_into_unclear(&mut read).unwrap();
        let mut told = Vec::new();
        let skipped = listing.tell(&mut |trace| told.push(trace.base_id.to_string()));
        assert_eq!(told, ["unclear", "old", "new"]);
        assert_eq!(skipped, 3);
    }
}
