// SPDX-License-Identifier: Apache-2.0
//! Batches that replicas have to have: pushed once, waited for as often as it takes.
//!
//! While too few replicas have a batch it comes again, and the server has it already. Its transaction leaves a mark, which says
//! so: with the mark there, only the waiting is done again. Without it (another server has become the master, and never had
//! the batch) it is pushed anew. A mark is an entry of one sorted set with the time it was set; each writer has one there, and
//! those of writers that ended go after a day.

use ::redis::{Connection, RedisResult, cmd};

use super::MARKS;
use super::settings::Settings;
use super::transaction::{Need, Transaction};
use crate::{Notifications, recorder};

/// After so long nobody comes back for a mark.
const FORGOTTEN_SECONDS: u64 = 24 * 60 * 60;

/// The marks of one writer.
pub(super) struct Marks {
    writer: u128,
    number: u64,
    /// The batch that the server has, and the replicas may not.
    pushed: Option<Pushed>,
}

/// A batch that the server has answered for.
pub(super) struct Pushed {
    fingerprint: u64,
    /// Those of its traces whose keys hold something else, by their number.
    pub(super) refused: Vec<usize>,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self {
            writer: recorder::new_id(),
            number: 0,
            pushed: None,
        }
    }

    /// Takes what is known of this batch: whether it was pushed before.
    pub(super) fn take(&mut self, batch: &Notifications) -> Option<Pushed> {
        let pushed = self.pushed.take()?;
        (pushed.fingerprint == batch.fingerprint()).then_some(pushed)
    }

    /// The batch was pushed, and comes again.
    pub(super) fn keep(&mut self, pushed: Option<Pushed>) {
        self.pushed = pushed;
    }

    /// Another batch is next.
    pub(super) fn next(&mut self) {
        self.number += 1;
    }

    fn text(&self, number: u64) -> String {
        format!("{:032x}:{number}", self.writer)
    }

    /// Adds the batch's mark to its transaction, in place of the one before.
    pub(super) fn push(&self, transaction: &mut Transaction<'_>, seconds: u64) {
        let (last, mark) = (
            self.text(self.number.wrapping_sub(1)),
            self.text(self.number),
        );
        let old = format!("({}", seconds.saturating_sub(FORGOTTEN_SECONDS));
        let seconds = seconds.to_string();
        transaction.command(Need::May, &["ZREM", MARKS, &last], 0);
        transaction.command(Need::May, &["ZREMRANGEBYSCORE", MARKS, "-inf", &old], 0);
        transaction.command(Need::May, &["ZADD", MARKS, &seconds, &mark], 0);
    }

    /// Whether the server has the batch. Sets its mark anew then: what replicas have is told of what this connection has written.
    pub(super) fn is_there(&self, connection: &mut Connection, seconds: u64) -> RedisResult<bool> {
        let mark = self.text(self.number);
        let score: Option<f64> = cmd("ZSCORE").arg(MARKS).arg(&mark).query(connection)?;
        if score.is_some() {
            let renew = cmd("ZADD").arg(MARKS).arg(seconds).arg(&mark).to_owned();
            renew.exec(connection)?;
        }
        Ok(score.is_some())
    }
}

impl Pushed {
    pub(super) fn new(batch: &Notifications, refused: Vec<usize>) -> Self {
        Self {
            fingerprint: batch.fingerprint(),
            refused,
        }
    }
}

/// How many replicas have what this connection has written, once enough have or the time for an answer is nearly over.
pub(super) fn wait(connection: &mut Connection, settings: &Settings) -> RedisResult<u32> {
    // The answer has to come before the connection's own time-out.
    let patience = settings.answer_timeout.mul_f64(0.8).as_millis().max(1);
    cmd("WAIT")
        .arg(settings.replicas)
        .arg(patience as u64)
        .query(connection)
}
