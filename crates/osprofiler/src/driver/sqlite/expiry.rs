// SPDX-License-Identifier: Apache-2.0
//! The option `ttl`: traces that nobody has written for so long are removed, by whoever writes, now and then, some at a time.
//!
//! The table of traces says when one began, not when it was last written. So what began too long ago is only a candidate, and its
//! blocks say the rest, last one first; a trace is read once before it goes. Whoever writes removes faster than it writes, in
//! transactions of a bounded size, so that the store shrinks as long as anybody writes, and nobody waits for long.
//!
//! Traces are looked at in the order in which the store got them, until none of a part had begun too long ago. Old ones that came
//! after younger ones, such as copied ones, go when the younger ones before them have.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::schema::{MAX_BLOCKS, block_id};
use super::{block, bounds};
use crate::driver::expiry;
use crate::{Id, Notifications, Timestamp};

/// How many traces are looked at, and notifications removed, at a time at most. A trace goes as a whole.
const MOST: i64 = 100_000;

/// What a writer knows of removing.
pub(super) struct Expiry {
    pace: expiry::Expiry,
    /// The traces up to this number were looked at.
    passed: i64,
}

impl Expiry {
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            pace: expiry::Expiry::new(ttl).at_most(MOST),
            passed: 0,
        }
    }

    /// Counts notifications that were written.
    pub(super) fn wrote(&mut self, notifications: usize) {
        self.pace.wrote(notifications);
    }

    /// If it is time to remove: what is older than which time, and how much at most.
    pub(super) fn due(&mut self) -> Option<(Timestamp, i64)> {
        self.pace.due()
    }

    /// Removes what is older than that time.
    pub(super) fn remove(
        &mut self,
        connection: &Connection,
        oldest: Timestamp,
        most: i64,
    ) -> rusqlite::Result<()> {
        let traces = connection
            .prepare_cached(
                "SELECT number, started, notifications FROM trace WHERE number > ?1 ORDER BY number LIMIT ?2",
            )?
            .query_map(params![self.passed, most], |row| {
                Ok((row.get(0)?, Timestamp::from_micros(row.get(1)?), row.get(2)?))
            })?
            .collect::<rusqlite::Result<Vec<(i64, Timestamp, i64)>>>()?;
        let is_last = (traces.len() as i64) < most;
        let (mut old, mut removed) = (0, 0i64);
        for (number, started, notifications) in traces {
            if removed >= most {
                // More may have to go, and the next batch need not wait for it.
                self.pace.hurry();
                return Ok(());
            }
            if started < oldest {
                old += 1;
                if !is_written_since(connection, number, oldest)? {
                    bounds::forget_trace(connection, number)?;
                    removed = removed.saturating_add(notifications.max(1));
                }
            }
            self.passed = number;
        }
        if is_last || old == 0 {
            self.passed = 0;
        } else {
            self.pace.hurry();
        }
        Ok(())
    }
}

/// Whether a block of the trace has a notification of that time or a later one. What is damaged has none.
fn is_written_since(
    connection: &Connection,
    number: i64,
    since: Timestamp,
) -> rusqlite::Result<bool> {
    let mut blocks = connection
        .prepare_cached("SELECT data FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC")?;
    let mut rows = blocks.query([block_id(number, 0)?, block_id(number, MAX_BLOCKS - 1)?])?;
    let mut notifications = Notifications::default();
    while let Some(row) = rows.next()? {
        notifications.clear();
        if let Ok(data) = row.get_ref(0)?.as_blob() {
            // Whose they are is none of their times'.
            let _ = block::decode(Id::from_u128(0), data, &mut notifications);
        }
        if notifications.iter().any(|one| one.timestamp >= since) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::super::tests::{batch, query, read, settings, writer};
    use super::super::writer::SqliteWriter;
    use super::*;
    use crate::driver::Writer;
    use crate::{Loss, LossReason};

    /// Traces 1 to 9 of ten notifications each, of the times 0 to 89; trace 2 has a later one, of the time 1,000.
    fn store(path: &std::path::Path) -> Connection {
        let mut writer = writer(path);
        for base in 1..10 {
            writer
                .write(&batch(base.into(), base * 10 - 10, 10))
                .unwrap();
        }
        writer.write(&batch(2, 1_000, 1)).unwrap();
        let loss = Loss {
            count: 1,
            reason: LossReason::QueueFull,
        };
        writer.write_loss(Some(Id::from_u128(1)), loss).unwrap();
        writer.write_loss(None, loss).unwrap();
        Connection::open(path).unwrap()
    }

    #[test]
    fn what_nobody_has_written_for_so_long_goes_with_its_losses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let connection = store(&path);
        let mut expiry = Expiry::new(Duration::ZERO);
        for _ in 0..2 {
            expiry
                .remove(&connection, Timestamp::from_micros(55), expiry::LEAST)
                .unwrap();
            for base in 1..10 {
                // The time 55 is within trace 6.
                let expected = match base {
                    1 | 3..6 => 0,
                    2 => 11,
                    _ => 10,
                };
                assert_eq!(read(&path, base).0.len(), expected, "{base}");
            }
            assert_eq!(query(&path, "SELECT count(*) FROM loss"), 1);
            assert_eq!(query(&path, "SELECT count(*) FROM block"), 5);
        }
    }

    #[test]
    fn a_bounded_number_goes_at_a_time_until_all_is_gone() {
        // Traces of ten notifications each; the second, which is still written, is passed over.
        for (most, expected) in [
            (15, &[7, 5, 3, 1][..]),
            (1, &[8, 8, 7, 6, 5, 4, 3, 2, 1, 1]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("trace.db");
            let connection = store(&path);
            let mut expiry = Expiry::new(Duration::ZERO);
            let mut left = Vec::new();
            while expiry.due().is_some() && left.len() < 20 {
                expiry
                    .remove(&connection, Timestamp::from_micros(500), most)
                    .unwrap();
                left.push(query(&path, "SELECT count(*) FROM trace"));
            }
            assert_eq!(left, expected, "{most} at a time");
        }
    }

    #[test]
    fn whoever_writes_removes_what_is_too_old_and_counts_none_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        writer(&path).write(&batch(1, 0, 10)).unwrap();
        let mut writer = SqliteWriter::new(Settings {
            ttl: Some(Duration::from_secs(3600)),
            ..settings(&path)
        });
        let mut young = Notifications::default();
        young.push(&crate::Notification {
            timestamp: expiry::now(),
            ..batch(2, 0, 1).get(0)
        });
        writer.write(&young).unwrap();
        let stored = || (read(&path, 1).0.len(), read(&path, 2).0.len());
        assert_eq!(stored(), (10, 1), "a batch waits for nothing else");
        writer.tidy();
        assert_eq!(stored(), (0, 1));
        assert_eq!(writer.take_losses(), []);
    }

    #[test]
    fn what_had_expired_is_not_lost_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        let mut writer = SqliteWriter::new(Settings {
            ttl: Some(Duration::from_secs(3600)),
            ..settings(&path)
        });
        writer.write(&batch(1, 0, 10)).unwrap();
        writer.tidy();
        writer.write(&batch(2, 0, 3)).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (reason, count) = (LossReason::StoreRemoved, 3);
        assert_eq!(writer.take_losses(), [Loss { count, reason }]);
    }

    #[test]
    fn little_is_removed_at_a_time_and_seldom() {
        let mut expiry = Expiry::new(Duration::from_secs(3600));
        let mut after = |written| {
            expiry.wrote(written);
            let most = expiry.due().map(|(_, most)| most);
            expiry.wrote(5_000);
            assert_eq!(expiry.due(), None);
            expiry.pace.hurry();
            most
        };
        assert_eq!(after(10), Some(expiry::LEAST));
        assert_eq!(after(1), Some(10_002));
        assert_eq!(after(1 << 30), Some(MOST));
    }
}
