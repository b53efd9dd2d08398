// SPDX-License-Identifier: Apache-2.0
//! Writes batches to the bus: each notification a message, each message confirmed by the broker before the batch counts as stored.
//!
//! In: batches and losses. Out: messages, some hundred on their way at a time. A connection that failed is made anew by the
//! next batch, and so is one that nothing went over for a while: who stands in between may have dropped it without a word.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant, SystemTime};

use super::connection::{Answer, CONFIRM_SELECT, Connection, publish_frame};
use super::envelope::{self, Bodies};
use super::properties::Properties;
use super::{Settings, queue};
use crate::driver::Writer;
use crate::driver::losses::Mark;
use crate::{Error, ErrorKind, Id, Loss, Notifications, Result, Timestamp};

/// So much is laid by before it is sent.
const SEND_BYTES: usize = 256 << 10;
/// So many messages may wait for their confirmation: what confirms them fits into any socket's buffer, so that neither side
/// ever waits for the other to read.
const MOST_UNCONFIRMED: u64 = 1024;
/// After so long without a batch a connection is not relied on.
const RELIED_ON: Duration = Duration::from_secs(60);
/// A batch may take this much longer for each of its notifications: a broker that takes fewer a second is as good as down.
const PER_NOTIFICATION: Duration = Duration::from_millis(1);

pub(super) struct MessagingWriter {
    settings: Settings,
    session: Option<Session>,
    outgoing: Outgoing,
    /// Which of the brokers is tried first: another one after each failure, and not the same in each process.
    first: usize,
    random: RandomState,
    losses_written: u64,
    /// The number of the last loss's message.
    loss: Mark<u128>,
}

/// What comes before a message's body.
struct Outgoing {
    publish: Vec<u8>,
    properties: Properties,
    /// The last message's place: the microsecond in which it was sent, or the next that is free.
    place: u64,
}

struct Session {
    connection: Connection,
    /// How many messages were sent; the broker numbers them from 1.
    published: u64,
    taken: Taken,
    used: Instant,
}

impl MessagingWriter {
    pub(super) fn new(settings: Settings) -> Self {
        let outgoing = Outgoing {
            publish: publish_frame(&settings.exchange, &settings.queue()),
            properties: Properties::new(settings.ttl),
            place: 0,
        };
        Self {
            settings,
            session: None,
            outgoing,
            first: std::process::id() as usize,
            random: RandomState::new(),
            losses_written: 0,
            loss: Mark::new(),
        }
    }

    /// Runs `work` in a session that is open. If that fails the session is given up, and another broker is tried first the next
    /// time: the one that failed may take connections for as long as it likes, and nothing else.
    fn in_session(
        &mut self,
        work: impl FnOnce(&mut Session, &mut Outgoing) -> Result<()>,
    ) -> Result<()> {
        let mut session = match self.session.take() {
            Some(session) if session.used.elapsed() < RELIED_ON => session,
            _ => Session::open(&self.settings, self.first)
                .inspect_err(|_| self.first = self.first.wrapping_add(1))?,
        };
        let outgoing = &mut self.outgoing;
        outgoing.place = outgoing.place.max(now().as_micros() as u64);
        work(&mut session, outgoing).inspect_err(|_| self.first = self.first.wrapping_add(1))?;
        session.used = Instant::now();
        self.session = Some(session);
        Ok(())
    }
}

impl Writer for MessagingWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        let publisher_id = self.settings.publisher_id.clone();
        self.in_session(|session, outgoing| {
            let deadline = session.deadline(batch.len());
            let mut bodies = Bodies::new(batch, publisher_id.as_deref());
            let mut body = Vec::new();
            for index in 0..batch.len() {
                bodies.write(index, &mut body);
                session.publish(outgoing, &body, deadline)?;
            }
            session.finish(deadline)
        })
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let number = self.loss.of(base_id, loss, || {
            self.losses_written += 1;
            let written = self.losses_written;
            let number = [0u8, 1].map(|half| u128::from(self.random.hash_one((half, written))));
            envelope::as_uuid(number[0] << 64 | number[1], 4)
        });
        let publisher_id = self.settings.publisher_id.as_deref();
        let mut body = Vec::new();
        envelope::write_loss(base_id, loss, publisher_id, number, &mut body);
        self.in_session(|session, outgoing| {
            let deadline = session.deadline(1);
            session.publish(outgoing, &body, deadline)?;
            session.finish(deadline)
        })?;
        self.loss.taken();
        Ok(())
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        Vec::new()
    }
}

impl Session {
    fn open(settings: &Settings, first: usize) -> Result<Self> {
        let mut connection = Connection::open(settings, first)?;
        queue::prepare(&mut connection, settings)?;
        connection
            .ask(CONFIRM_SELECT, |out| out.push(0))
            .map_err(|fault| connection.error("have messages confirmed by", fault))?;
        Ok(Self {
            connection,
            published: 0,
            taken: Taken::default(),
            used: Instant::now(),
        })
    }

    fn deadline(&self, notifications: usize) -> Instant {
        self.connection.deadline() + PER_NOTIFICATION * notifications as u32
    }

    /// Sends one message, or lays it by to be sent with the next.
    fn publish(&mut self, outgoing: &mut Outgoing, body: &[u8], deadline: Instant) -> Result<()> {
        outgoing.place += 1;
        let properties = outgoing.properties.frame(body.len(), outgoing.place);
        self.connection
            .push_message(&outgoing.publish, properties, body);
        self.published += 1;
        if self.connection.waiting_bytes() >= SEND_BYTES {
            self.connection.send()?;
            self.await_taken(self.published.saturating_sub(MOST_UNCONFIRMED), deadline)?;
        }
        Ok(())
    }

    /// Sends what was laid by and waits until all messages are taken.
    fn finish(&mut self, deadline: Instant) -> Result<()> {
        self.connection.send()?;
        self.await_taken(self.published, deadline)
    }

    /// Waits until the broker has taken the first `count` messages.
    fn await_taken(&mut self, count: u64, deadline: Instant) -> Result<()> {
        while self.taken.all_up_to < count {
            let answer = self
                .connection
                .answer(deadline)
                .map_err(|fault| self.connection.error("publish to", fault))?;
            match answer {
                Answer::Settled {
                    number,
                    multiple,
                    is_taken: true,
                } => self.taken.add(number.min(self.published), multiple),
                Answer::Settled {
                    is_taken: false, ..
                } => {
                    return Err(Error::new(
                        ErrorKind::Full,
                        "RabbitMQ refuses messages: their queue is full",
                    )
                    .with_help("see its policy: `rabbitmqctl list_queues name messages policy`; who takes them away?"));
                }
                // The next attempt makes it anew.
                Answer::Returned => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "RabbitMQ has no queue any more for trace notifications",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Which messages the broker has taken. It may tell so of a later one before it does of an earlier one.
#[derive(Default)]
struct Taken {
    all_up_to: u64,
    /// Those beyond, with others before them that were not taken yet.
    beyond: BTreeSet<u64>,
}

impl Taken {
    /// Adds a message, or all up to it.
    fn add(&mut self, number: u64, all_before: bool) {
        if all_before {
            self.all_up_to = self.all_up_to.max(number);
            self.beyond = self.beyond.split_off(&(self.all_up_to + 1));
        } else if number > self.all_up_to {
            self.beyond.insert(number);
        }
        while self.beyond.remove(&(self.all_up_to + 1)) {
            self.all_up_to += 1;
        }
    }
}

pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_micros(since.map_or(0, |since| since.as_micros() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `told` is what the broker tells, in order: a number, and `+` for all up to it.
    fn check(told: &str, expected: u64) {
        let mut taken = Taken::default();
        for one in told.split(' ') {
            let number = one.trim_end_matches('+').parse().unwrap();
            taken.add(number, one.ends_with('+'));
        }
        assert_eq!(taken.all_up_to, expected, "{told}");
    }

    #[test]
    fn confirmations_come_in_any_order() {
        for (told, expected) in [
            ("1 2 3", 3),
            ("3+", 3),
            ("3 1", 1),
            ("3 2+", 3),
            ("3 2 1 5", 3),
            ("5+ 3 4+", 5),
            ("2 2 1 1", 2),
        ] {
            check(told, expected);
        }
    }
}
