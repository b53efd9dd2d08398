// SPDX-License-Identifier: Apache-2.0
//! Reads what waits in the queue, and leaves it there: every message is taken in hand, looked at and put back.
//!
//! In: a trace's id. Out: its notifications, in the queue's order. No message is acknowledged, so even a reader that is killed
//! takes none away. One reader at a time has the queue in hand; another would find it empty. How many messages
//! are taken in hand is bounded, and so is the time that a trace is waited for.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::connection::{Answer, Connection, Fault, GET, NACK};
use super::envelope::{Content, Opened};
use super::frame;
use super::{Settings, queue};
use crate::driver::{ListFilter, ReadSummary, Reader, Stored, TraceSummary};
use crate::{Error, ErrorKind, Id, Notifications, Result, Timestamp, wire};

/// So many messages are asked for at a time, without waiting for the answers.
const ASKED_AT_ONCE: usize = 256;
/// So many messages and bytes are taken in hand: the broker keeps those of them that do not fit into its memory on disk, but
/// remembers each.
const MOST_MESSAGES: u64 = 2_000_000;
const MOST_BYTES: u64 = 8 << 30;
/// From look to look while a trace may go on.
const PAUSE: Duration = Duration::from_millis(50);
/// A trace that never comes to rest is waited for so long.
const MOST_WAITING: Duration = Duration::from_secs(60);
/// How long another reader is waited for.
const OTHERS_READING: Duration = Duration::from_secs(30);

pub(super) struct MessagingReader {
    settings: Settings,
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It is what is looked for.
    Wanted,
    Other,
    Junk,
}

impl MessagingReader {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Shows each message that waits to `each`, until it breaks off, and returns how many were junk. With `patience`, waits
    /// for more until for so long no message came that is wanted.
    fn look_through(
        &self,
        patience: Duration,
        each: &mut dyn FnMut(Content<'_>) -> ControlFlow<(), Found>,
    ) -> Result<u64> {
        let queue = self.settings.queue();
        let mut connection = Connection::open(&self.settings, std::process::id() as usize)?;
        let reading = format!("read the queue `{queue}` of");
        let failed = |connection: &Connection, fault| connection.error(&reading, fault);
        match queue::depth(&mut connection, &queue) {
            Ok(Some(_)) => {}
            Ok(None) => return Err(self.no_queue(&queue)),
            Err(fault) => return Err(failed(&connection, fault)),
        }
        self.have_alone(&mut connection, &queue)?;
        let mut hand = Hand::default();
        let begin = Instant::now();
        let mut last_wanted = begin;
        let looked = loop {
            let wanted_before = hand.wanted;
            match hand.take_all(&mut connection, &queue, each) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break Ok(()),
                Err(fault) => break Err(failed(&connection, fault)),
            }
            let now = Instant::now();
            if hand.wanted > wanted_before {
                last_wanted = now;
            }
            if now >= last_wanted + patience || now >= begin + MOST_WAITING {
                break Ok(());
            }
            let left = last_wanted + patience - now;
            if let Err(error) = connection.rest(left.min(PAUSE)) {
                break Err(error);
            }
        };
        looked?;
        hand.put_back(&mut connection)
            .map_err(|fault| failed(&connection, fault))?;
        Ok(hand.junk)
    }

    /// Waits until no other reader has the queue in hand.
    fn have_alone(&self, connection: &mut Connection, queue: &str) -> Result<()> {
        let name = format!("{queue}.osprofiler-reader");
        let deadline = Instant::now() + OTHERS_READING;
        loop {
            match queue::lock(connection, &name) {
                Ok(()) => return Ok(()),
                Err(Fault::Refused(refusal)) if refusal.code == queue::LOCKED => {
                    if Instant::now() >= deadline {
                        let seconds = OTHERS_READING.as_secs();
                        let message = format!(
                            "another reader has had the queue `{queue}` in hand for {seconds} s"
                        );
                        return Err(Error::new(ErrorKind::Unavailable, message)
                            .with_help("see who: `rabbitmqctl list_queues name pid owner_pid`"));
                    }
                    let again = connection.open_channel();
                    again.map_err(|fault| connection.error("open a channel at", fault))?;
                    connection.rest(PAUSE)?;
                }
                // Who may make no queue may read this one all the same.
                Err(Fault::Refused(_)) => {
                    let again = connection.open_channel();
                    return again.map_err(|fault| connection.error("open a channel at", fault));
                }
                Err(fault) => return Err(connection.error("talk to", fault)),
            }
        }
    }

    fn no_queue(&self, queue: &str) -> Error {
        let vhost = &self.settings.bus.vhost;
        let message = format!("RabbitMQ has no queue `{queue}` in the virtual host `{vhost}`");
        Error::new(ErrorKind::NotFound, message).with_help(
            "nothing was traced there yet, or the services' `transport_url` names another broker or virtual host",
        )
    }
}

/// The messages that are in hand.
#[derive(Default)]
struct Hand {
    /// The broker's number for the last one; all before it are in hand, too.
    last: u64,
    messages: u64,
    bytes: u64,
    wanted: u64,
    junk: u64,
}

impl Hand {
    /// Takes what waits in the queue, to its end.
    fn take_all(
        &mut self,
        connection: &mut Connection,
        queue: &str,
        each: &mut dyn FnMut(Content<'_>) -> ControlFlow<(), Found>,
    ) -> std::result::Result<ControlFlow<()>, Fault> {
        loop {
            for _ in 0..ASKED_AT_ONCE {
                connection.push(GET, |out| {
                    out.extend_from_slice(&[0; 2]);
                    frame::push_short_text(queue, out);
                    out.push(0);
                });
            }
            connection.send()?;
            let mut is_empty = false;
            let mut going_on = ControlFlow::Continue(());
            for _ in 0..ASKED_AT_ONCE {
                let deadline = connection.deadline();
                match connection.answer(deadline)? {
                    Answer::Got { tag, body } => {
                        self.last = tag;
                        self.messages += 1;
                        self.bytes += body.as_ref().map_or(0, Vec::len) as u64;
                        if going_on.is_continue() {
                            going_on = self.look_at(body.as_deref(), each);
                        }
                    }
                    _ => is_empty = true,
                }
            }
            if self.messages > MOST_MESSAGES || self.bytes > MOST_BYTES {
                return Err(Fault::Broken(too_many(queue, self.messages)));
            }
            if is_empty || going_on.is_break() {
                return Ok(going_on);
            }
        }
    }

    fn look_at(
        &mut self,
        body: Option<&[u8]>,
        each: &mut dyn FnMut(Content<'_>) -> ControlFlow<(), Found>,
    ) -> ControlFlow<()> {
        let opened = body.and_then(Opened::new);
        let found = match opened.as_ref().and_then(Opened::content) {
            Some(content) => each(content),
            None => ControlFlow::Continue(Found::Junk),
        };
        match found {
            ControlFlow::Break(()) => return ControlFlow::Break(()),
            ControlFlow::Continue(Found::Wanted) => self.wanted += 1,
            ControlFlow::Continue(Found::Junk) => self.junk += 1,
            ControlFlow::Continue(Found::Other) => {}
        }
        ControlFlow::Continue(())
    }

    /// Puts all of them back to where they were, and waits until that is done.
    fn put_back(&self, connection: &mut Connection) -> std::result::Result<(), Fault> {
        if self.messages > 0 {
            connection.push(NACK, |out| {
                out.extend_from_slice(&self.last.to_be_bytes());
                // All up to this one, and back into the queue.
                out.push(0b11);
            });
        }
        connection.close_channel()
    }
}

fn too_many(queue: &str, messages: u64) -> Error {
    let message =
        format!("the queue `{queue}` holds more than is read at once: {messages} messages so far");
    Error::new(ErrorKind::Full, message)
        .set_temporary(false)
        .with_help(
            "let Ceilometer take them, give them a `ttl`, or empty it: `rabbitmqctl purge_queue`",
        )
}

/// Tells the messages that were sent again from those that were not.
#[derive(Default)]
struct Seen(HashSet<u128>);

impl Seen {
    /// Whether a message of that id was there before. One without an id was not.
    fn before(&mut self, id: Option<u128>) -> bool {
        id.is_some_and(|id| !self.0.insert(id))
    }
}

impl Reader for MessagingReader {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        let mut summary = ReadSummary::default();
        let mut seen = Seen::default();
        let text = base_id.to_string();
        let patience = self.settings.idle_timeout;
        summary.skipped = self.look_through(patience, &mut |content| {
            let is_wanted = match content {
                Content::Notification(id, parsed) => {
                    let notification = parsed.as_notification();
                    let is_wanted = notification.base_id == base_id && !seen.before(id);
                    if is_wanted {
                        notifications.push(&notification);
                    }
                    is_wanted
                }
                Content::Loss(id, loss) => {
                    let is_wanted = id.as_deref() == Some(&*text);
                    if is_wanted {
                        summary.add_loss(loss);
                    }
                    is_wanted
                }
            };
            ControlFlow::Continue(if is_wanted {
                Found::Wanted
            } else {
                Found::Other
            })
        })?;
        Ok(summary)
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        let mut first = HashMap::<String, Timestamp>::new();
        let skipped = self.look_through(Duration::ZERO, &mut |content| {
            if let Content::Notification(_, parsed) = content {
                let notification = parsed.as_notification();
                if filter == ListFilter::All || wire::has_error(&notification) {
                    first
                        .entry(notification.base_id.to_string())
                        .and_modify(|first| *first = notification.timestamp.min(*first))
                        .or_insert(notification.timestamp);
                }
            }
            ControlFlow::Continue(Found::Other)
        })?;
        let mut traces: Vec<_> = first.iter().map(|(id, &first)| (first, id)).collect();
        traces.sort_unstable();
        for (timestamp, text) in traces {
            if let Ok(base_id) = Id::parse(text) {
                each(TraceSummary { base_id, timestamp });
            }
        }
        Ok(skipped)
    }

    /// In the queue's order, in one go.
    fn read_all(&mut self, each: &mut dyn FnMut(Stored<'_>) -> ControlFlow<()>) -> Result<u64> {
        let mut seen = Seen::default();
        self.look_through(Duration::ZERO, &mut |content| {
            let going_on = match content {
                Content::Notification(id, _) if seen.before(id) => ControlFlow::Continue(()),
                Content::Notification(_, parsed) => {
                    each(Stored::Notification(parsed.as_notification()))
                }
                Content::Loss(base_id, loss) => {
                    let base_id = base_id.as_deref().and_then(|text| Id::parse(text).ok());
                    each(Stored::Loss(base_id, loss))
                }
            };
            going_on.map_continue(|()| Found::Other)
        })
    }
}
