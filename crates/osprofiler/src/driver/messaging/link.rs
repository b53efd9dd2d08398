// SPDX-License-Identifier: Apache-2.0
//! A socket to a broker, plain or with TLS, over which frames go out and come in.
//!
//! In: bytes that wait in `out`. Out: frames, one after the other. Each wait has a deadline and each frame a bound; what goes
//! wrong becomes an error that says what to do. Nothing here knows what a frame says.

use std::io::{self, ErrorKind as IoErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::Settings;
use super::address::Broker;
use super::frame::{self, Arguments};
use crate::driver::tls::untrusted;
use crate::driver::words::one_line;
use crate::{Error, ErrorKind, Result};

/// The largest frame that we ask for and take.
pub(super) const MOST_FRAME_BYTES: usize = 128 << 10;
const READ_BYTES: usize = 64 << 10;

/// A socket that is connected.
pub(super) struct Link {
    stream: Stream,
    /// Who it is with, for messages.
    pub(super) shown: String,
    /// What has come; what of it was not looked at yet begins at `used`.
    received: Vec<u8>,
    used: usize,
    /// What waits to be sent.
    pub(super) out: Vec<u8>,
    /// The largest frame that both take.
    pub(super) frame_bytes: usize,
    /// How long an answer may take.
    pub(super) answer_timeout: Duration,
    /// Why the broker takes nothing at the moment.
    pub(super) blocked: Option<String>,
    /// Whether nobody listens any more.
    pub(super) is_over: bool,
}

enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// A socket on which nothing takes longer than to a moment, however little comes at a time.
struct Socket {
    stream: TcpStream,
    deadline: Instant,
}

/// A frame that came.
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) channel: u16,
    pub(super) payload: Vec<u8>,
}

impl Link {
    /// Connects, with TLS where the settings say so.
    pub(super) fn open(settings: &Settings, broker: &Broker) -> Result<Self> {
        let port = broker.port(settings.tls.is_some());
        let shown = if broker.host.contains(':') {
            format!("[{}]:{port}", broker.host)
        } else {
            format!("{}:{port}", broker.host)
        };
        let usage = |message: String| Error::new(ErrorKind::Usage, message);
        let socket = connect(broker, port, settings.connect_timeout)
            .map_err(|error| unreachable(&shown, &error))?;
        let socket = Socket {
            stream: socket,
            deadline: Instant::now() + settings.answer_timeout,
        };
        let stream = match &settings.tls {
            None => Stream::Plain(socket),
            Some(trust) => {
                let name = ServerName::try_from(broker.host.clone())
                    .map_err(|_| usage(format!("`{shown}` is no name of a host")))?;
                let client = ClientConnection::new(Arc::new(trust.client()?), name)
                    .map_err(|error| usage(format!("cannot prepare TLS: {error}")))?;
                Stream::Tls(Box::new(StreamOwned::new(client, socket)))
            }
        };
        let mut link = Self {
            stream,
            shown,
            received: Vec::new(),
            used: 0,
            out: Vec::new(),
            frame_bytes: MOST_FRAME_BYTES,
            answer_timeout: settings.answer_timeout,
            blocked: None,
            is_over: false,
        };
        if let Stream::Tls(stream) = &mut link.stream
            && let Err(error) = stream.conn.complete_io(&mut stream.sock)
        {
            return Err(link.broken(&error));
        }
        Ok(link)
    }

    /// Sends what waits in `out`.
    pub(super) fn send(&mut self) -> Result<()> {
        self.stream.socket().deadline = self.deadline();
        let writer = self.stream.writer();
        let sent = writer.write_all(&self.out).and_then(|()| writer.flush());
        self.out.clear();
        sent.map_err(|error| self.broken(&error))
    }

    /// The moment at which an answer that is asked for now is late.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.answer_timeout
    }

    /// The next frame that is no heartbeat.
    pub(super) fn frame(&mut self, deadline: Instant) -> Result<Frame> {
        loop {
            // A broker that talks on and on is late, too.
            if Instant::now() >= deadline {
                return Err(self.broken(&IoErrorKind::TimedOut.into()));
            }
            self.fill(frame::PREFIX, deadline)?;
            let mut prefix = Arguments(&self.received[self.used..]);
            let (kind, channel, size) = (prefix.byte(), prefix.short(), prefix.long());
            let (Some(kind @ (1..=3 | frame::HEARTBEAT)), Some(channel), Some(size)) =
                (kind, channel, size)
            else {
                return Err(self.stranger());
            };
            let size = size as usize;
            if size > self.frame_bytes {
                return Err(self.stranger());
            }
            self.fill(size + frame::OVERHEAD, deadline)?;
            let begin = self.used + frame::PREFIX;
            self.used += size + frame::OVERHEAD;
            if self.received[begin + size] != frame::END {
                return Err(self.nonsense("a frame without its end"));
            }
            if kind != frame::HEARTBEAT {
                let payload = self.received[begin..begin + size].to_vec();
                return Ok(Frame {
                    kind,
                    channel,
                    payload,
                });
            }
        }
    }

    /// Lets `pause` pass, unless the broker says something.
    pub(super) fn rest(&mut self, pause: Duration) -> Result<()> {
        let waiting = self.received.len() - self.used;
        let rested = self.fill(waiting + 1, Instant::now() + pause);
        if self.is_over { rested } else { Ok(()) }
    }

    /// Reads until at least `count` bytes wait to be looked at.
    fn fill(&mut self, count: usize, deadline: Instant) -> Result<()> {
        while self.received.len() - self.used < count {
            self.received.drain(..self.used);
            self.used = 0;
            self.stream.socket().deadline = deadline;
            let old = self.received.len();
            self.received.resize(old + READ_BYTES, 0);
            let read = self.stream.reader().read(&mut self.received[old..]);
            self.received.truncate(old + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(self.broken(&IoErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if error.kind() == IoErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(())
    }

    fn broken(&mut self, error: &io::Error) -> Error {
        let shown = &self.shown;
        let failed = |why: &str| {
            let message = format!("RabbitMQ at `{shown}` {why}");
            Error::new(ErrorKind::Unavailable, message)
        };
        let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(error) = of_tls {
            self.is_over = true;
            return tls_error(shown, error);
        }
        match (error.kind(), &self.blocked) {
            (IoErrorKind::WouldBlock | IoErrorKind::TimedOut, None) => {
                let seconds = self.answer_timeout.as_secs_f32();
                failed(&format!("does not answer within {seconds} s")).with_help(format!(
                    "is it overloaded, or something else at that port? on its host: `rabbitmq-diagnostics status`; to wait \
                     longer: `?socket_timeout={}`",
                    seconds * 2.0
                ))
            }
            (IoErrorKind::WouldBlock | IoErrorKind::TimedOut, Some(why)) => {
                failed(&format!("takes nothing at the moment: {why}"))
                    .with_help("free memory or disk on its host: `rabbitmq-diagnostics alarms`")
            }
            (
                IoErrorKind::UnexpectedEof
                | IoErrorKind::ConnectionReset
                | IoErrorKind::ConnectionAborted
                | IoErrorKind::BrokenPipe,
                _,
            ) => {
                self.is_over = true;
                failed("closed the connection")
            }
            _ => {
                self.is_over = true;
                failed(&format!("cannot be talked to: {error}"))
            }
        }
    }

    /// The error for what speaks something else.
    fn stranger(&mut self) -> Error {
        self.is_over = true;
        let shown = &self.shown;
        let message = format!("what answers at `{shown}` is not RabbitMQ");
        let error = Error::new(ErrorKind::Corrupt, message).set_temporary(true);
        // An alert of TLS: the port takes nothing else.
        error.with_help(if self.received[self.used..].starts_with(b"\x15\x03") {
            "it speaks TLS: add `ssl=1`"
        } else {
            "it is to speak AMQP 0-9-1, usually at port 5672; not the management's HTTP, for example"
        })
    }

    /// The error for a broker that does not keep to the protocol.
    pub(super) fn nonsense(&self, what: &str) -> Error {
        let shown = &self.shown;
        let message = format!("RabbitMQ at `{shown}` answers nonsense: {what}");
        Error::new(ErrorKind::Corrupt, message).set_temporary(true)
    }

    /// Sends what waits in `out` as the last, if that goes quickly.
    pub(super) fn end(&mut self) {
        self.answer_timeout = Duration::from_millis(100);
        let _ = self.send();
        if let Stream::Tls(stream) = &mut self.stream {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        self.is_over = true;
    }
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }

    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream,
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream,
        }
    }
}

impl Socket {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(IoErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect(broker: &Broker, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut failed = None;
    for address in (broker.host.as_str(), port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(socket) => {
                // What is sent is whole: there is nothing to wait for.
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| IoErrorKind::NotFound.into()))
}

fn unreachable(shown: &str, error: &io::Error) -> Error {
    let why = match error.kind() {
        IoErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        IoErrorKind::TimedOut | IoErrorKind::WouldBlock => "no answer in time".to_owned(),
        _ => error.to_string(),
    };
    let message = format!("cannot reach RabbitMQ at `{shown}`: {why}");
    Error::new(ErrorKind::Unavailable, message).with_help(
        "is it running, and is the port its own? on its host: `rabbitmq-diagnostics listeners`",
    )
}

fn tls_error(shown: &str, error: &rustls::Error) -> Error {
    let failed = |why: &str| {
        let message = format!("no TLS with RabbitMQ at `{shown}`: {why}");
        Error::new(ErrorKind::Denied, message).set_temporary(true)
    };
    match error {
        rustls::Error::InvalidCertificate(why) => failed(&untrusted(why)).with_help(
            "name the authority that it comes from: `ssl_ca_file` in the section \
                 `[oslo_messaging_rabbit]`, or `tls_ca_file=/path/ca.pem` in the connection string",
        ),
        rustls::Error::InvalidMessage(_) => failed("what answers there speaks no TLS")
            .with_help("leave `ssl` out, or name the port for TLS, usually 5671"),
        rustls::Error::AlertReceived(why) => failed(&format!("it refuses: {why:?}"))
            .with_help("it may want a certificate of ours: `ssl_cert_file` and `ssl_key_file`"),
        other => failed(&one_line(&other.to_string())),
    }
}
