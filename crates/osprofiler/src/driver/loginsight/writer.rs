// SPDX-License-Identifier: Apache-2.0
//! Writing: a batch is some requests, each as large as the API takes it, an event a notification.
//!
//! What the server refuses is looked for by sending halves; that alone is lost, and counted. After a temporary error the
//! whole batch comes again, or the loss: what is stored twice is read once.

use std::collections::HashMap;

use super::client::Client;
use super::event::{self, Events, Order};
use super::settings::Settings;
use crate::driver::Writer;
use crate::driver::losses::Mark;
use crate::recorder::new_id;
use crate::{Error, Id, Loss, LossReason, Notifications, Result};

/// After so many notifications that were refused one by one, and none taken, the server refuses all.
const REFUSALS: usize = 8;

pub(super) struct LogInsightWriter {
    client: Client,
    order: Order,
    loss: Mark<u128>,
    /// Refused, still to be told by `take_losses`.
    refused: u64,
}

/// What became of a batch.
#[derive(Default)]
struct Outcome {
    taken: usize,
    /// The notifications that the server refuses.
    refused: Vec<usize>,
    /// How many it passed over without saying which.
    passed_over: u64,
    last_refusal: Option<Error>,
}

impl LogInsightWriter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            client: Client::to_write(settings),
            order: Order::default(),
            loss: Mark::new(),
            refused: 0,
        }
    }

    fn send(&mut self, batch: &Notifications) -> Result<Outcome> {
        let mut events = Events::new(batch, self.order.next(batch.len()));
        let mut outcome = Outcome::default();
        // What is still to be sent, the first part last.
        let mut parts = vec![(0, batch.len())];
        while let Some((begin, part_end)) = parts.pop() {
            let (body, end) = events.request(begin, part_end);
            if end < part_end {
                parts.push((end, part_end));
            }
            let count = end - begin;
            match self.client.ingest(&body) {
                Ok(said) => {
                    outcome.taken += count;
                    let said = said.unwrap_or(count).min(count);
                    outcome.passed_over += (count - said) as u64;
                }
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) if count == 1 => {
                    outcome.refused.push(begin);
                    if outcome.taken == 0 && outcome.refused.len() >= REFUSALS {
                        return Err(error);
                    }
                    outcome.last_refusal = Some(error);
                }
                Err(_) => {
                    let middle = begin + count / 2;
                    parts.push((middle, end));
                    parts.push((begin, middle));
                }
            }
        }
        Ok(outcome)
    }

    /// Tells the store which traces lack something, as far as it can be told: delivery is in any case.
    fn tell_refused(&mut self, batch: &Notifications, refused: &[usize]) {
        let mut by_trace = HashMap::<Id<'_>, u64>::new();
        for &index in refused {
            *by_trace.entry(batch.get(index).base_id).or_default() += 1;
        }
        let reason = LossReason::Refused;
        let losses = by_trace
            .into_iter()
            .map(|(id, count)| (Some(id), Loss { count, reason }, new_id()));
        let _ = self.client.ingest(&event::losses(losses));
    }
}

impl Writer for LogInsightWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let outcome = self.send(batch)?;
        if let Some(error) = outcome.last_refusal
            && outcome.taken == 0
        {
            return Err(error);
        }
        self.refused += outcome.refused.len() as u64 + outcome.passed_over;
        if !outcome.refused.is_empty() {
            self.tell_refused(batch, &outcome.refused);
        }
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let mark = self.loss.of(base_id, loss, new_id);
        let body = event::losses([(base_id, loss, mark)].into_iter());
        self.client.ingest(&body)?;
        self.loss.taken();
        Ok(())
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        match std::mem::take(&mut self.refused) {
            0 => Vec::new(),
            count => vec![Loss {
                count,
                reason: LossReason::Refused,
            }],
        }
    }
}
