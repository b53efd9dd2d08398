// SPDX-License-Identifier: Apache-2.0
//! RabbitMQ. The bare loop: frames that are ready go into a socket, and a thread counts what the broker confirms, a batch at a time.
//!
//! Our driver has no client but itself, so the loop has none either: it says what AMQP 0-9-1 wants to hear and no more.

use std::collections::BTreeSet;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;

use osprofiler::driver::ConnectionString;
use osprofiler::{Id, Notification, Notifications, wire};

use super::{Loop, Store, Upstream};
use crate::Outcome;

pub(super) const STORE: Store = Store {
    driver: "messaging",
    floor_summary: "ready frames into a socket, each batch confirmed",
    floor,
    options: "",
    upstream,
    of_upstream: None,
    points: None,
};

type MethodId = (u16, u16);

const START: MethodId = (10, 10);
const START_OK: MethodId = (10, 11);
const TUNE: MethodId = (10, 30);
const TUNE_OK: MethodId = (10, 31);
const OPEN: MethodId = (10, 40);
const OPEN_OK: MethodId = (10, 41);
const CHANNEL_OPEN: MethodId = (20, 10);
const CHANNEL_OPEN_OK: MethodId = (20, 11);
const PUBLISH: MethodId = (60, 40);
const ACK: MethodId = (60, 80);
const CONFIRM_SELECT: MethodId = (85, 10);
const CONFIRM_SELECT_OK: MethodId = (85, 11);

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xce;
const FRAME_BYTES: usize = 128 << 10;

fn floor(store: &str, batches: &[Notifications]) -> Outcome<Loop> {
    let connection = ConnectionString::parse(store)?;
    let queue = format!("{}.info", connection.option("topic").unwrap_or("profiler"));
    let sent: Vec<(Vec<u8>, u64)> = batches
        .iter()
        .map(|batch| (frames(batch, &queue), batch.len() as u64))
        .collect();
    let mut socket = connect(&connection)?;
    let confirmations = BufReader::with_capacity(64 << 10, socket.try_clone()?);
    Ok(Box::new(move || {
        let counts = sent.iter().map(|(_, count)| *count).collect();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            // What goes wrong ends the channel, and so the loop.
            let _ = count(confirmations, counts, &tell);
        });
        for (frames, _) in &sent {
            socket.write_all(frames)?;
            told.recv()
                .map_err(|_| "the broker confirmed something else")?;
        }
        thread.join().map_err(|_| "counting failed")?;
        Ok(())
    }))
}

/// Tells of each batch when all of its messages are confirmed.
fn count(mut reader: impl Read, counts: Vec<u64>, tell: &mpsc::Sender<()>) -> Outcome<()> {
    let mut waited_for = BTreeSet::new();
    let mut last = 0;
    for count in counts {
        waited_for.extend(last + 1..=last + count);
        last += count;
        while !waited_for.is_empty() {
            let arguments = expect(&mut reader, ACK)?;
            let number = u64::from_be_bytes(arguments[..8].try_into()?);
            if arguments[8] & 1 == 1 {
                waited_for = waited_for.split_off(&(number + 1));
            } else {
                waited_for.remove(&number);
            }
        }
        tell.send(())?;
    }
    Ok(())
}

fn connect(connection: &ConnectionString) -> Outcome<TcpStream> {
    let (host, port) = connection.hosts().next().ok_or("no host")?;
    let mut socket = TcpStream::connect((host, port.unwrap_or(5672)))?;
    socket.set_nodelay(true)?;
    socket.write_all(b"AMQP\0\0\x09\x01")?;
    expect(&mut socket, START)?;
    let (user, password) = (connection.user(), connection.password());
    let response = format!(
        "\0{}\0{}",
        user.unwrap_or_default(),
        password.unwrap_or_default()
    );
    ask(&mut socket, 0, START_OK, TUNE, |out| {
        push_long(b"", out);
        push_short(b"PLAIN", out);
        push_long(response.as_bytes(), out);
        push_short(b"en_US", out);
    })?;
    let mut out = Vec::new();
    push_method(0, TUNE_OK, &mut out, |out| {
        out.extend_from_slice(&1u16.to_be_bytes());
        out.extend_from_slice(&(FRAME_BYTES as u32).to_be_bytes());
        out.extend_from_slice(&0u16.to_be_bytes());
    });
    socket.write_all(&out)?;
    ask(&mut socket, 0, OPEN, OPEN_OK, |out| {
        push_short(b"/", out);
        push_short(b"", out);
        out.push(0);
    })?;
    ask(&mut socket, 1, CHANNEL_OPEN, CHANNEL_OPEN_OK, |out| {
        push_short(b"", out);
    })?;
    ask(&mut socket, 1, CONFIRM_SELECT, CONFIRM_SELECT_OK, |out| {
        out.push(0);
    })?;
    Ok(socket)
}

fn ask(
    socket: &mut TcpStream,
    channel: u16,
    method: MethodId,
    answer: MethodId,
    arguments: impl FnOnce(&mut Vec<u8>),
) -> Outcome<()> {
    let mut out = Vec::new();
    push_method(channel, method, &mut out, arguments);
    socket.write_all(&out)?;
    expect(socket, answer).map(drop)
}

/// The arguments of the method that comes next, which is to be this one.
fn expect(reader: &mut impl Read, method: MethodId) -> Outcome<Vec<u8>> {
    let mut prefix = [0; 7];
    reader.read_exact(&mut prefix)?;
    let size = u32::from_be_bytes([prefix[3], prefix[4], prefix[5], prefix[6]]);
    let mut payload = vec![0; size as usize + 1];
    reader.read_exact(&mut payload)?;
    let came = (
        u16::from_be_bytes([payload[0], payload[1]]),
        u16::from_be_bytes([payload[2], payload[3]]),
    );
    if prefix[0] != METHOD || came != method {
        return Err(format!("the broker says {came:?} instead of {method:?}").into());
    }
    payload.drain(..4);
    Ok(payload)
}

/// Everything that is sent for a batch.
fn frames(batch: &Notifications, queue: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, notification) in batch.iter().enumerate() {
        let body = body(&notification, number);
        push_method(1, PUBLISH, &mut out, |out| {
            out.extend_from_slice(&[0; 2]);
            push_short(b"openstack", out);
            push_short(queue.as_bytes(), out);
            out.push(1);
        });
        push_frame(HEADER, 1, &mut out, |out| {
            out.extend_from_slice(&PUBLISH.0.to_be_bytes());
            out.extend_from_slice(&0u16.to_be_bytes());
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
            // Type, encoding, headers, mode, priority and id.
            out.extend_from_slice(&0xf880_u16.to_be_bytes());
            push_short(b"application/json", out);
            push_short(b"utf-8", out);
            push_long(b"", out);
            out.extend_from_slice(&[2, 0]);
            push_short(format!("{number:016x}").as_bytes(), out);
        });
        for part in body.as_bytes().chunks(FRAME_BYTES - 8) {
            push_frame(BODY, 1, &mut out, |out| out.extend_from_slice(part));
        }
    }
    out
}

/// The message of a notification. Its id is another than that of any other.
fn body(notification: &Notification<'_>, number: usize) -> String {
    let id = notification.trace_id.as_u128().unwrap_or_default() ^ (number as u128) << 64;
    let host = wire::json::member(notification.info, "host").unwrap_or("null");
    let service = notification.service.unwrap_or("None");
    let mut payload = String::new();
    wire::push_json(notification, &mut payload);
    format!(
        r#"{{"message_id": "{}", "publisher_id": {host}, "event_type": "profiler.{service}", "priority": "INFO", "payload": {payload}, "timestamp": "{}", "_unique_id": "{id:032x}"}}"#,
        Id::from_u128(id),
        notification.timestamp.to_string().replace('T', " "),
    )
}

fn push_method(
    channel: u16,
    (class, method): MethodId,
    out: &mut Vec<u8>,
    arguments: impl FnOnce(&mut Vec<u8>),
) {
    push_frame(METHOD, channel, out, |out| {
        out.extend_from_slice(&class.to_be_bytes());
        out.extend_from_slice(&method.to_be_bytes());
        arguments(out);
    });
}

fn push_frame(kind: u8, channel: u16, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    let size_at = out.len();
    out.extend_from_slice(&[0; 4]);
    payload(out);
    let size = (out.len() - size_at - 4) as u32;
    out[size_at..size_at + 4].copy_from_slice(&size.to_be_bytes());
    out.push(END);
}

fn push_short(text: &[u8], out: &mut Vec<u8>) {
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

fn push_long(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text);
}

/// The queue that upstream has: the topic is always `profiler`. Its reader takes away all that is there.
fn upstream(store: &str) -> Upstream {
    let (address, _) = store.split_once('?').unwrap_or((store, ""));
    Upstream {
        ours: format!("{address}?idle_timeout=0"),
        transport_url: Some(address.replacen("messaging://", "rabbit://", 1)),
        takes_away: true,
        ..Upstream::alike("messaging://")
    }
}
