// SPDX-License-Identifier: Apache-2.0
//! Reads what waits in the queue, and leaves it there: every message is taken in hand, looked at and put back.
//!
//! In: a trace's id. Out: its notifications, in the order in which they were sent. No message is acknowledged, so even a reader
//! that is killed takes none away. One reader at a time has the queue in hand; another would find it empty. How much is
//! taken in hand is bounded, and so is the time that a trace is waited for.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::connection::{Answer, Connection, Fault, GET};
use super::envelope::{Content, Opened};
use super::frame;
use super::incoming::Message;
use super::{Settings, queue};
use crate::driver::{ListFilter, ReadSummary, Reader, Stored, TraceSummary};
use crate::{Error, ErrorKind, Id, Loss, Notification, Notifications, Result, Timestamp, wire};

/// So many messages are asked for at a time on a channel, without waiting for each answer.
const ASKED_AT_ONCE: usize = 32;
/// With more messages than that in the queue several channels ask: a quorum queue writes each answer to disk, those to several
/// channels at a time.
const MANY: u32 = 500;
/// So many messages and bytes are taken in hand: the broker remembers each of them until it is put back.
const MOST_MESSAGES: u64 = 2_000_000;
const MOST_BYTES: u64 = 2 << 30;
/// From look to look while a trace may go on.
const PAUSE: Duration = Duration::from_millis(50);
/// A trace that never comes to rest is waited for so long.
const MOST_WAITING: Duration = Duration::from_secs(60);
/// So long is waited for another reader.
const OTHERS_READING: Duration = Duration::from_secs(30);

/// From so many readings on a person is warned: half of what RabbitMQ 4 lets a quorum queue take.
const MANY_DELIVERIES: u64 = 10;

pub(super) struct MessagingReader {
    settings: Settings,
    warning: Option<String>,
}

/// Looks at what a message holds, at that place; says whether it is what is looked for, or breaks off.
type Look<'a> = dyn FnMut(Content<'_>, u64) -> ControlFlow<(), bool> + 'a;

impl MessagingReader {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            warning: None,
        }
    }

    /// Shows each message that waits to `look`, until it breaks off, and returns how many were junk. With `patience`, waits
    /// for more until for so long none came that is looked for.
    fn look_through(&mut self, patience: Duration, look: &mut Look<'_>) -> Result<u64> {
        let queue = self.settings.queue();
        let mut connection = Connection::open(&self.settings, std::process::id() as usize)?;
        connection.answer_within(self.settings.reading_timeout);
        let reading = format!("read the queue `{queue}` of");
        let failed = |connection: &Connection, fault| connection.error(&reading, fault);
        let depth = match queue::depth(&mut connection, &queue) {
            Ok(Some(depth)) => depth,
            Ok(None) => return Err(self.no_queue(&queue)),
            Err(fault) => return Err(failed(&connection, fault)),
        };
        have_alone(&mut connection, &queue)?;
        let mut hand = Hand::new();
        if depth > MANY {
            let opened = connection.open_all_channels();
            hand.channels = opened.map_err(|fault| failed(&connection, fault))?;
        }
        let begin = Instant::now();
        let mut last_wanted = begin;
        loop {
            let wanted_before = hand.wanted;
            let taken = hand.take_all(&mut connection, &queue, look);
            // What is not looked at to its end goes back, too.
            if hand.deliveries >= MANY_DELIVERIES {
                self.warning = Some(often_read(&queue, hand.deliveries));
            }
            let going_on = taken.map_err(|fault| failed(&connection, fault))?;
            let now = Instant::now();
            if hand.wanted > wanted_before {
                last_wanted = now;
            }
            let until = (last_wanted + patience).min(begin + MOST_WAITING);
            if going_on.is_break() || now >= until {
                break;
            }
            connection.rest((until - now).min(PAUSE))?;
        }
        let put_back = connection.close_channels();
        put_back.map_err(|fault| failed(&connection, fault))?;
        Ok(hand.junk)
    }

    /// Shows what waits of the traces that are wanted. Each look at the queue is a look at all of it, so there is one for all of
    /// them, and it waits for nothing more to come.
    fn read_in_one_go(
        &mut self,
        is_wanted: &dyn Fn(Option<Id<'_>>) -> bool,
        each: &mut dyn FnMut(Stored<'_>) -> ControlFlow<()>,
    ) -> Result<u64> {
        let mut found = Found::default();
        let mut losses: Vec<(Option<String>, Loss)> = Vec::new();
        let skipped = self.look_through(Duration::ZERO, &mut |content, place| {
            match content {
                Content::Notification(id, parsed) => {
                    let notification = parsed.as_notification();
                    if is_wanted(Some(notification.base_id)) {
                        found.take(id, &notification, place);
                    }
                }
                Content::Loss(id, of, loss) => {
                    let trace = of.as_deref().and_then(|text| Id::parse(text).ok());
                    if is_wanted(trace) && found.is_new_loss(id) {
                        losses.push((of, loss));
                    }
                }
            }
            ControlFlow::Continue(false)
        })?;
        let notifications = found.sorted();
        let losses = losses.iter().map(|(base_id, loss)| {
            let base_id = base_id.as_deref().and_then(|text| Id::parse(text).ok());
            Stored::Loss(base_id, *loss)
        });
        let mut all = notifications.iter().map(Stored::Notification).chain(losses);
        let _broken_off = all.try_for_each(each);
        Ok(skipped)
    }

    fn no_queue(&self, queue: &str) -> Error {
        let vhost = &self.settings.bus.vhost;
        let message = format!("RabbitMQ has no queue `{queue}` in the virtual host `{vhost}`");
        Error::new(ErrorKind::NotFound, message).with_help(
            "nothing was traced there yet, or the services' `transport_url` names another broker or virtual host",
        )
    }
}

/// Waits until no other reader has the queue in hand.
fn have_alone(connection: &mut Connection, queue: &str) -> Result<()> {
    let deadline = Instant::now() + OTHERS_READING;
    loop {
        match queue::lock(connection, &format!("{queue}.osprofiler-reader")) {
            Ok(()) => return Ok(()),
            Err(Fault::Broken(error)) => return Err(error),
            Err(Fault::Refused(refusal)) => {
                let again = connection.open_channel();
                again.map_err(|fault| connection.error("open a channel at", fault))?;
                if refusal.code != queue::LOCKED {
                    // Who may make no queue may read this one all the same.
                    return Ok(());
                }
            }
        }
        if Instant::now() >= deadline {
            let seconds = OTHERS_READING.as_secs();
            let message =
                format!("another reader has had the queue `{queue}` in hand for {seconds} s");
            return Err(Error::new(ErrorKind::Unavailable, message)
                .with_help("see who: `rabbitmqctl list_queues name owner_pid`"));
        }
        connection.rest(PAUSE)?;
    }
}

/// The messages that are in hand.
struct Hand {
    /// By so many channels messages are asked for.
    channels: u16,
    messages: u64,
    bytes: u64,
    wanted: u64,
    junk: u64,
    /// How often one of them was in hand before.
    deliveries: u64,
    /// The place of the last one.
    place: u64,
}

impl Hand {
    fn new() -> Self {
        Self {
            channels: 1,
            messages: 0,
            bytes: 0,
            wanted: 0,
            junk: 0,
            deliveries: 0,
            place: 0,
        }
    }

    /// Takes what waits in the queue, to its end.
    fn take_all(
        &mut self,
        connection: &mut Connection,
        queue: &str,
        look: &mut Look<'_>,
    ) -> std::result::Result<ControlFlow<()>, Fault> {
        loop {
            let channels = self.channels;
            let asked = (0..ASKED_AT_ONCE).flat_map(|_| 1..=channels);
            for channel in asked.clone() {
                connection.push_on(channel, GET, |out| {
                    out.extend_from_slice(&[0; 2]);
                    frame::push_short_text(queue, out);
                    out.push(0);
                });
            }
            connection.send()?;
            let mut is_empty = false;
            let mut going_on = ControlFlow::Continue(());
            for _ in asked {
                let deadline = connection.deadline();
                let Answer::Got(message) = connection.answer(deadline)? else {
                    is_empty = true;
                    continue;
                };
                self.messages += 1;
                self.deliveries = self.deliveries.max(message.deliveries);
                self.bytes += message.body.as_ref().map_or(0, Vec::len) as u64;
                if going_on.is_continue() {
                    going_on = self.look_at(&message, look);
                }
            }
            if is_empty || going_on.is_break() {
                return Ok(going_on);
            }
            if self.messages > MOST_MESSAGES || self.bytes > MOST_BYTES {
                return Err(Fault::Broken(too_many(queue, self.messages)));
            }
        }
    }

    fn look_at(&mut self, message: &Message, look: &mut Look<'_>) -> ControlFlow<()> {
        let opened = message.body.as_deref().and_then(Opened::new);
        let Some((opened, content)) = opened
            .as_ref()
            .and_then(|opened| Some((opened, opened.content()?)))
        else {
            self.junk += 1;
            return ControlFlow::Continue(());
        };
        // Others' messages tell when they were sent, at least; what tells nothing stays beside the one before it.
        let sent = || {
            opened
                .sent()
                .and_then(|sent| u64::try_from(sent.as_micros()).ok())
        };
        if let Some(place) = message.place.or_else(sent) {
            self.place = place;
        }
        let is_wanted = look(content, self.place)?;
        self.wanted += u64::from(is_wanted);
        ControlFlow::Continue(())
    }
}

fn often_read(queue: &str, times: u64) -> String {
    format!(
        "messages of the queue `{queue}` were read {times} times before, which RabbitMQ counts as deliveries: one with a delivery \
         limit (20 for quorum queues of RabbitMQ 4, unless told otherwise) drops them then; copy what is wanted to another store, \
         or set `delivery-limit` to -1 by a policy"
    )
}

fn too_many(queue: &str, messages: u64) -> Error {
    let message = format!(
        "the queue `{queue}` holds more than is looked at: {messages} messages were not all of it"
    );
    Error::new(ErrorKind::Full, message)
        .set_temporary(false)
        .with_help(
            "let Ceilometer take them, give them a `ttl`, or empty it: `rabbitmqctl purge_queue`",
        )
}

/// Notifications as they come out of the queue, each once.
#[derive(Default)]
struct Found {
    notifications: Notifications,
    places: Vec<u64>,
    /// Which of them a message of that id holds.
    indexes: HashMap<u128, usize>,
    losses: HashSet<u128>,
}

impl Found {
    /// Takes a notification, and says whether it is a new one. A message that was sent again has the id of the first, and may come out
    /// before it: the notification stays where it was sent first.
    fn take(&mut self, id: Option<u128>, notification: &Notification<'_>, place: u64) -> bool {
        let index = self.places.len();
        let of_id = id.map_or(index, |id| *self.indexes.entry(id).or_insert(index));
        if let Some(before) = self.places.get_mut(of_id) {
            *before = place.min(*before);
            return false;
        }
        self.notifications.push(notification);
        self.places.push(place);
        true
    }

    /// Whether no loss came in a message of that id before. One without an id was not sent again.
    fn is_new_loss(&mut self, id: Option<u128>) -> bool {
        id.is_none_or(|id| self.losses.insert(id))
    }

    /// In the order in which they were sent.
    fn sorted(mut self) -> Notifications {
        self.notifications.sort_by_keys(&self.places);
        self.notifications
    }
}

impl Reader for MessagingReader {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        let mut summary = ReadSummary::default();
        let mut found = Found::default();
        let text = base_id.to_string();
        let patience = self.settings.idle_timeout;
        summary.skipped = self.look_through(patience, &mut |content, place| {
            ControlFlow::Continue(match content {
                Content::Notification(id, parsed) => {
                    let notification = parsed.as_notification();
                    notification.base_id == base_id && found.take(id, &notification, place)
                }
                Content::Loss(id, of, loss) => {
                    let is_wanted = of.as_deref() == Some(&*text) && found.is_new_loss(id);
                    if is_wanted {
                        summary.add_loss(loss);
                    }
                    is_wanted
                }
            })
        })?;
        notifications.extend(found.sorted().iter());
        Ok(summary)
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        let mut first = HashMap::<String, Timestamp>::new();
        let skipped = self.look_through(Duration::ZERO, &mut |content, _| {
            if let Content::Notification(_, parsed) = content {
                let notification = parsed.as_notification();
                if filter == ListFilter::All || wire::has_error(&notification) {
                    first
                        .entry(notification.base_id.to_string())
                        .and_modify(|first| *first = notification.timestamp.min(*first))
                        .or_insert(notification.timestamp);
                }
            }
            ControlFlow::Continue(false)
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

    fn read_all(&mut self, each: &mut dyn FnMut(Stored<'_>) -> ControlFlow<()>) -> Result<u64> {
        self.read_in_one_go(&|_| true, each)
    }

    fn read_each(
        &mut self,
        traces: &[Id<'_>],
        each: &mut dyn FnMut(Stored<'_>) -> ControlFlow<()>,
    ) -> Result<u64> {
        let wanted: HashSet<Id<'_>> = traces.iter().copied().collect();
        self.read_in_one_go(&|id| id.is_some_and(|id| wanted.contains(&id)), each)
    }

    fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_again_stays_where_it_was_sent_first() {
        let of = |micros: i64| {
            format!(
                r#"{{"name": "x-start", "base_id": "B", "trace_id": "p", "parent_id": "B", "timestamp": "1970-01-01T00:00:00.00000{micros}", "info": {{}}}}"#
            )
        };
        let mut found = Found::default();
        // Several channels: the second copy of 1 comes before the first, and that behind what follows it.
        for (id, micros, place, is_new) in [
            (Some(1), 1, 11, true),
            (Some(2), 2, 2, true),
            (Some(1), 1, 1, false),
            (Some(2), 2, 12, false),
            (None, 3, 3, true),
            (None, 3, 3, true),
        ] {
            let line = of(micros);
            let parsed = wire::parse(line.as_bytes()).unwrap();
            assert_eq!(found.take(id, &parsed.as_notification(), place), is_new);
        }
        assert!(found.is_new_loss(Some(1)) && !found.is_new_loss(Some(1)));
        let micros: Vec<_> = found
            .sorted()
            .iter()
            .map(|notification| notification.timestamp.as_micros())
            .collect();
        assert_eq!(micros, [1, 2, 3, 3]);
    }
}
