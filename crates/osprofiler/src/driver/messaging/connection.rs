// SPDX-License-Identifier: Apache-2.0
//! A conversation with a broker: what is asked waits for its answer, and nothing runs beside.
//!
//! In: methods and messages to send. Out: the broker's [`Answer`]s, one after the other, on one channel or on several. There is
//! no thread and no runtime, so a fork leaves nothing behind to miss. After a fault that is no [`Refusal`] the connection is of no
//! more use. Heartbeats are declined: between two batches nobody is there to send them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::address::Broker;
use super::frame::{self, Arguments, MethodId, Value};
use super::incoming::{Incoming, Message};
use super::link::{Frame, Link, MOST_FRAME_BYTES};
use super::{Login, Settings};
use crate::{Error, ErrorKind, Result};

/// The channel that is always there.
pub(super) const CHANNEL: u16 = 1;
/// The most channels that we ask for.
pub(super) const MOST_CHANNELS: u16 = 64;
/// How the conversation is opened: AMQP 0-9-1.
const HELLO: &[u8; 8] = b"AMQP\0\0\x09\x01";

// The methods that are about the connection.
const START: MethodId = (10, 10);
const START_OK: MethodId = (10, 11);
const TUNE: MethodId = (10, 30);
const TUNE_OK: MethodId = (10, 31);
const OPEN: MethodId = (10, 40);
const OPEN_OK: MethodId = (10, 41);
const CLOSE: MethodId = (10, 50);
const CLOSE_OK: MethodId = (10, 51);
const BLOCKED: MethodId = (10, 60);
const UNBLOCKED: MethodId = (10, 61);

// Those about the channel.
const CHANNEL_OPEN: MethodId = (20, 10);
const CHANNEL_OPEN_OK: MethodId = (20, 11);
const CHANNEL_CLOSE: MethodId = (20, 40);
const CHANNEL_CLOSE_OK: MethodId = (20, 41);
pub(super) const EXCHANGE_DECLARE: MethodId = (40, 10);
const EXCHANGE_DECLARE_OK: MethodId = (40, 11);
pub(super) const QUEUE_DECLARE: MethodId = (50, 10);
const QUEUE_DECLARE_OK: MethodId = (50, 11);
pub(super) const QUEUE_BIND: MethodId = (50, 20);
const QUEUE_BIND_OK: MethodId = (50, 21);
pub(super) const PUBLISH: MethodId = (60, 40);
const RETURN: MethodId = (60, 50);
pub(super) const GET: MethodId = (60, 70);
const GET_OK: MethodId = (60, 71);
const GET_EMPTY: MethodId = (60, 72);
const ACK: MethodId = (60, 80);
const NACK: MethodId = (60, 120);
pub(super) const CONFIRM_SELECT: MethodId = (85, 10);
const CONFIRM_SELECT_OK: MethodId = (85, 11);

/// A connection that is open, with its channel.
pub(super) struct Connection {
    link: Link,
    /// How many channels are open; they are numbered from 1.
    channels: u16,
    /// How many may be.
    most_channels: u16,
    /// By channel, messages that are not whole yet.
    incoming: HashMap<u16, (Incoming, MethodId)>,
}

/// What a broker says on the channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What was asked is done.
    Done,
    /// The queue is there, and so many messages wait in it.
    Queue { messages: u32 },
    /// A message that was published is taken, or refused: the one of that number, with all before it if `multiple`.
    Settled {
        number: u64,
        multiple: bool,
        is_taken: bool,
    },
    /// A message that was published found no queue.
    Returned,
    /// A message.
    Got(Message),
    /// There is no message.
    Empty,
}

/// Why something was not done.
pub(super) enum Fault {
    /// The broker closed the channel over it, and goes on with the connection.
    Refused(Refusal),
    /// The connection is over.
    Broken(Error),
}

/// The broker's reply: one of the protocol's numbers, and its reason.
pub(super) struct Refusal {
    pub(super) code: u16,
    text: String,
}

type Done<T> = std::result::Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl Connection {
    /// Connects to one of the brokers, the one of number `first` if it can, and opens the channel.
    pub(super) fn open(settings: &Settings, first: usize) -> Result<Self> {
        let brokers = &settings.bus.brokers;
        let mut failed = None;
        for number in 0..brokers.len() {
            let broker = &brokers[(first + number) % brokers.len()];
            match Self::open_one(settings, broker) {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| Error::new(ErrorKind::Usage, "there is no broker")))
    }

    fn open_one(settings: &Settings, broker: &Broker) -> Result<Self> {
        let mut connection = Self {
            link: Link::open(settings, broker)?,
            channels: 0,
            most_channels: MOST_CHANNELS,
            incoming: HashMap::new(),
        };
        connection.introduce(settings, broker)?;
        match connection.open_channel() {
            Ok(()) => Ok(connection),
            Err(fault) => Err(connection.error("open a channel at", fault)),
        }
    }

    /// Says who we are, agrees on sizes, enters the virtual host.
    fn introduce(&mut self, settings: &Settings, broker: &Broker) -> Result<()> {
        self.link.out.extend_from_slice(HELLO);
        self.link.send()?;
        let deadline = self.link.deadline();
        self.expect(START, deadline)?;

        let (mechanism, response) = match settings.login {
            Login::Password => ("PLAIN", format!("\0{}\0{}", broker.user, broker.password)),
            Login::Certificate => ("EXTERNAL", String::new()),
        };
        frame::push_method(0, START_OK, &mut self.link.out, |out| {
            frame::push_table(&about_us(), out);
            frame::push_short_text(mechanism, out);
            frame::push_long_text(response.as_bytes(), out);
            frame::push_short_text("en_US", out);
        });
        self.link.send()?;
        let tune = self.expect(TUNE, deadline)?;
        let mut tune = Arguments(&tune);
        let (channels, frame_bytes) = (tune.short(), tune.long());
        if let Some(channels @ 1..) = channels {
            self.most_channels = channels.min(MOST_CHANNELS);
        }
        if let Some(bytes @ 1..) = frame_bytes {
            // The protocol's least is 4096, and nobody who asks for less is a broker.
            self.link.frame_bytes = (bytes as usize).clamp(4096, MOST_FRAME_BYTES);
        }
        let (channels, frame_bytes) = (self.most_channels, self.link.frame_bytes as u32);
        frame::push_method(0, TUNE_OK, &mut self.link.out, |out| {
            out.extend_from_slice(&channels.to_be_bytes());
            out.extend_from_slice(&frame_bytes.to_be_bytes());
            out.extend_from_slice(&0u16.to_be_bytes());
        });

        frame::push_method(0, OPEN, &mut self.link.out, |out| {
            frame::push_short_text(&settings.bus.vhost, out);
            frame::push_short_text("", out);
            out.push(0);
        });
        self.link.send()?;
        self.expect(OPEN_OK, deadline).map(drop)
    }

    /// Waits for a method about the connection; returns its arguments.
    fn expect(&mut self, expected: MethodId, deadline: Instant) -> Result<Vec<u8>> {
        let frame = self.link.frame(deadline)?;
        let (method, arguments) = self.method(&frame)?;
        self.heed(method, arguments)?;
        if method == expected && frame.channel == 0 {
            Ok(arguments.to_vec())
        } else {
            Err(self.link.nonsense("no conversation as AMQP has it"))
        }
    }

    /// Opens the first channel: at first, and after a refusal.
    pub(super) fn open_channel(&mut self) -> Done<()> {
        self.channels = self.channels.max(CHANNEL);
        self.ask(CHANNEL_OPEN, |out| frame::push_short_text("", out))
            .map(drop)
    }

    /// Opens as many channels as there may be, and returns how many that are.
    pub(super) fn open_all_channels(&mut self) -> Done<u16> {
        let new = self.channels + 1..=self.most_channels;
        for channel in new.clone() {
            self.push_on(channel, CHANNEL_OPEN, |out| frame::push_short_text("", out));
        }
        self.channels = self.most_channels;
        self.send()?;
        for _ in new {
            self.answer(self.link.deadline())?;
        }
        Ok(self.channels)
    }

    /// Closes all channels. Messages that were got are put back, all at once; told to put them back by a method of its own, a
    /// broker takes seconds for some thousand.
    pub(super) fn close_channels(&mut self) -> Done<()> {
        for channel in CHANNEL..=self.channels {
            self.push_on(channel, CHANNEL_CLOSE, |out| {
                out.extend_from_slice(&200u16.to_be_bytes());
                frame::push_short_text("", out);
                out.extend_from_slice(&[0; 4]);
            });
        }
        self.send()?;
        for _ in CHANNEL..=std::mem::take(&mut self.channels) {
            self.answer(self.link.deadline())?;
        }
        Ok(())
    }

    /// Sends a method and waits for what answers it.
    pub(super) fn ask(
        &mut self,
        method: MethodId,
        arguments: impl FnOnce(&mut Vec<u8>),
    ) -> Done<Answer> {
        self.push(method, arguments);
        self.send()?;
        self.answer(self.link.deadline())
    }

    /// Lays a method by, to be sent with others.
    fn push(&mut self, method: MethodId, arguments: impl FnOnce(&mut Vec<u8>)) {
        self.push_on(CHANNEL, method, arguments);
    }

    /// The same on that channel.
    pub(super) fn push_on(
        &mut self,
        channel: u16,
        method: MethodId,
        arguments: impl FnOnce(&mut Vec<u8>),
    ) {
        frame::push_method(channel, method, &mut self.link.out, arguments);
    }

    /// Lays by a message: the frame of its method, the frame of its properties, and its body.
    pub(super) fn push_message(&mut self, method: &[u8], properties: &[u8], body: &[u8]) {
        let out = &mut self.link.out;
        out.extend_from_slice(method);
        out.extend_from_slice(properties);
        for part in body.chunks(self.link.frame_bytes - frame::OVERHEAD) {
            frame::push_frame(frame::BODY, CHANNEL, out, |out| out.extend_from_slice(part));
        }
    }

    /// How many bytes were laid by.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.link.out.len()
    }

    /// Sends what was laid by.
    pub(super) fn send(&mut self) -> Result<()> {
        self.link.send()
    }

    /// Lets each answer take that long from now on.
    pub(super) fn answer_within(&mut self, timeout: Duration) {
        self.link.answer_timeout = timeout;
    }

    /// The moment at which an answer that is asked for now is late.
    pub(super) fn deadline(&self) -> Instant {
        self.link.deadline()
    }

    /// Lets `pause` pass, unless the broker says something.
    pub(super) fn rest(&mut self, pause: Duration) -> Result<()> {
        self.link.rest(pause)
    }

    /// Waits for the next that the broker says on a channel.
    pub(super) fn answer(&mut self, deadline: Instant) -> Done<Answer> {
        loop {
            let frame = self.link.frame(deadline)?;
            if frame.kind != frame::METHOD {
                if let Some(answer) = self.add_to_message(&frame)? {
                    return Ok(answer);
                }
                continue;
            }
            let (method, arguments) = self.method(&frame)?;
            match (frame.channel, method) {
                (0, _) => self.heed(method, arguments)?,
                (channel, GET_OK | RETURN) => {
                    self.incoming.insert(channel, (Incoming::default(), method));
                }
                (channel, CHANNEL_CLOSE) => {
                    let refusal = Refusal::of(arguments);
                    self.push_on(channel, CHANNEL_CLOSE_OK, |_| ());
                    self.send()?;
                    return Err(Fault::Refused(refusal));
                }
                _ => {
                    let unasked = || self.link.nonsense("what it was not asked for");
                    return Ok(understand(method, arguments).ok_or_else(unasked)?);
                }
            }
        }
    }

    /// Adds a frame to the message that comes on its channel.
    fn add_to_message(&mut self, frame: &Frame) -> Result<Option<Answer>> {
        let Some((incoming, method)) = self.incoming.get_mut(&frame.channel) else {
            return Err(self.link.nonsense("a message that no method announced"));
        };
        let answer = match incoming.add(frame) {
            Ok(None) => return Ok(None),
            Ok(Some(_)) if *method == RETURN => Answer::Returned,
            Ok(Some(message)) => Answer::Got(message),
            Err(wrong) => return Err(self.link.nonsense(wrong)),
        };
        self.incoming.remove(&frame.channel);
        Ok(Some(answer))
    }

    fn method<'a>(&self, frame: &'a Frame) -> Result<(MethodId, &'a [u8])> {
        let mut arguments = Arguments(&frame.payload);
        match (frame.kind, arguments.short(), arguments.short()) {
            (frame::METHOD, Some(class), Some(method)) => Ok(((class, method), arguments.0)),
            _ => Err(self.link.nonsense("a frame that is no method")),
        }
    }

    /// Takes notice of what is about the connection and may come at any time.
    fn heed(&mut self, method: MethodId, arguments: &[u8]) -> Result<()> {
        match method {
            CLOSE => {
                let refusal = Refusal::of(arguments);
                frame::push_method(0, CLOSE_OK, &mut self.link.out, |_| ());
                self.link.end();
                return Err(refusal.into_error("talk to", &self.link.shown));
            }
            BLOCKED => {
                let why = Arguments(arguments).short_text();
                self.link.blocked = Some(why.unwrap_or_default());
            }
            UNBLOCKED => self.link.blocked = None,
            _ => {}
        }
        Ok(())
    }

    /// The error for a fault that came up when this was to be done to the broker: "read the queue `q` of".
    pub(super) fn error(&self, what: &str, fault: Fault) -> Error {
        match fault {
            Fault::Broken(error) => error,
            Fault::Refused(refusal) => refusal.into_error(what, &self.link.shown),
        }
    }
}

impl Drop for Connection {
    /// Says goodbye where somebody listens, and does not wait: a broker whose client is just gone complains in its log.
    fn drop(&mut self) {
        if !self.link.is_over {
            self.link.out.clear();
            frame::push_method(0, CLOSE, &mut self.link.out, |out| {
                out.extend_from_slice(&200u16.to_be_bytes());
                frame::push_short_text("done", out);
                out.extend_from_slice(&[0; 4]);
            });
            self.link.end();
        }
    }
}

impl Refusal {
    fn of(arguments: &[u8]) -> Self {
        let mut arguments = Arguments(arguments);
        Self {
            code: arguments.short().unwrap_or(0),
            text: arguments.short_text().unwrap_or_default(),
        }
    }

    fn into_error(self, what: &str, shown: &str) -> Error {
        let Self { code, text } = self;
        let kind = match code {
            402 | 403 | 530 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            406 => ErrorKind::Usage,
            _ => ErrorKind::Unavailable,
        };
        let error = Error::new(kind, format!("cannot {what} RabbitMQ at `{shown}`: {text}"));
        match kind {
            ErrorKind::Denied => error.set_temporary(true).with_help(
                "check user, password, virtual host, and `rabbitmqctl list_permissions --vhost VHOST`",
            ),
            // What somebody removed, the next attempt makes anew.
            ErrorKind::NotFound => error.set_temporary(true),
            _ => error,
        }
    }
}

/// What a method says that no message follows; `None` for one that makes no sense.
fn understand(method: MethodId, arguments: &[u8]) -> Option<Answer> {
    let mut arguments = Arguments(arguments);
    match method {
        CHANNEL_OPEN_OK | CHANNEL_CLOSE_OK | EXCHANGE_DECLARE_OK | QUEUE_BIND_OK
        | CONFIRM_SELECT_OK => Some(Answer::Done),
        QUEUE_DECLARE_OK => {
            let _name = arguments.short_text();
            arguments.long().map(|messages| Answer::Queue { messages })
        }
        GET_EMPTY => Some(Answer::Empty),
        ACK | NACK => {
            let (number, flags) = (arguments.long_long()?, arguments.byte()?);
            Some(Answer::Settled {
                number,
                multiple: flags & 1 == 1,
                is_taken: method == ACK,
            })
        }
        _ => None,
    }
}

/// The frame of the method that publishes a message. A message that finds no queue is to come back.
pub(super) fn publish_frame(exchange: &str, routing_key: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::push_method(CHANNEL, PUBLISH, &mut out, |out| {
        out.extend_from_slice(&[0; 2]);
        frame::push_short_text(exchange, out);
        frame::push_short_text(routing_key, out);
        out.push(1);
    });
    out
}

/// What `rabbitmqctl list_connections` shows of us, and what beyond the protocol we understand.
fn about_us() -> Vec<(&'static str, Value)> {
    vec![
        ("product", Value::Text("osprofiler")),
        ("version", Value::Text(env!("CARGO_PKG_VERSION"))),
        ("connection_name", Value::Text("osprofiler")),
        (
            "capabilities",
            Value::Table(vec![
                ("publisher_confirms", Value::Bool(true)),
                ("basic.nack", Value::Bool(true)),
                ("authentication_failure_close", Value::Bool(true)),
                ("connection.blocked", Value::Bool(true)),
            ]),
        ),
    ]
}
