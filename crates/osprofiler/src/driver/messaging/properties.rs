// SPDX-License-Identifier: Apache-2.0
//! What a message says about itself beside its body: that it is JSON, how long it is kept, and its place among others.
//!
//! The same as oslo.messaging sends, and one more, which nobody else looks at: as its `message-id` the microsecond at which it
//! was sent, no two of one writer the same. A quorum queue forgets the order of messages that were looked at and put back, and
//! says of each how often that was.

use std::time::Duration;

use super::connection::{CHANNEL, PUBLISH};
use super::frame::{self, Arguments};

// Which properties there are, a bit each, in the order in which they follow.
const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;

/// The broker keeps such a message over its restart, where the queue is durable.
const PERSISTENT: u8 = 2;
/// Where the size of the body stands in the frame.
const SIZE_AT: usize = frame::PREFIX + 4;
/// How many digits a place has.
const PLACE_DIGITS: usize = 16;

/// The frame of the properties of each message that a writer sends.
pub(super) struct Properties(Vec<u8>);

impl Properties {
    /// For messages that are gone after `ttl`.
    pub(super) fn new(ttl: Option<Duration>) -> Self {
        let own = CONTENT_TYPE | CONTENT_ENCODING | HEADERS | DELIVERY_MODE | PRIORITY | MESSAGE_ID;
        let flags = own | if ttl.is_some() { EXPIRATION } else { 0 };
        let mut out = Vec::new();
        frame::push_frame(frame::HEADER, CHANNEL, &mut out, |out| {
            out.extend_from_slice(&PUBLISH.0.to_be_bytes());
            out.extend_from_slice(&[0; 2 + 8]);
            out.extend_from_slice(&flags.to_be_bytes());
            frame::push_short_text("application/json", out);
            frame::push_short_text("utf-8", out);
            frame::push_table(&[], out);
            out.extend_from_slice(&[PERSISTENT, 0]);
            if let Some(ttl) = ttl {
                frame::push_short_text(&ttl.as_millis().to_string(), out);
            }
            frame::push_short_text(&"0".repeat(PLACE_DIGITS), out);
        });
        Self(out)
    }

    /// The frame for a message of that size, at that place.
    pub(super) fn frame(&mut self, body_bytes: usize, place: u64) -> &[u8] {
        let frame = &mut self.0;
        frame[SIZE_AT..SIZE_AT + 8].copy_from_slice(&(body_bytes as u64).to_be_bytes());
        let end = frame.len() - 1;
        frame[end - PLACE_DIGITS..end].copy_from_slice(format!("{place:016x}").as_bytes());
        frame
    }
}

/// The place that a message's properties tell, if they are ours.
pub(super) fn place(flags_and_properties: &[u8]) -> Option<u64> {
    let mut rest = Arguments(flags_and_properties);
    let flags = rest.short()?;
    for property in [
        CONTENT_TYPE,
        CONTENT_ENCODING,
        HEADERS,
        DELIVERY_MODE,
        PRIORITY,
        CORRELATION_ID,
        REPLY_TO,
        EXPIRATION,
    ] {
        if flags & property == 0 {
            continue;
        }
        match property {
            HEADERS => {
                let bytes = rest.long()?;
                rest.skip(usize::try_from(bytes).ok()?)?;
            }
            DELIVERY_MODE | PRIORITY => rest.skip(1)?,
            _ => drop(rest.short_text()?),
        }
    }
    let text = (flags & MESSAGE_ID != 0).then(|| rest.short_text())??;
    let is_ours = text.len() == PLACE_DIGITS;
    is_ours.then(|| u64::from_str_radix(&text, 16).ok())?
}

/// The header in which a quorum queue says how often it gave a message out before.
const DELIVERIES: &[u8] = b"x-delivery-count";

/// How often the message was given out before, if the queue says so.
pub(super) fn deliveries(flags_and_properties: &[u8]) -> u64 {
    headers(flags_and_properties)
        .and_then(deliveries_of)
        .unwrap_or(0)
}

/// The table of headers.
fn headers(flags_and_properties: &[u8]) -> Option<&[u8]> {
    let mut rest = Arguments(flags_and_properties);
    let flags = rest.short()?;
    for property in [CONTENT_TYPE, CONTENT_ENCODING] {
        if flags & property != 0 {
            rest.short_text()?;
        }
    }
    let bytes = (flags & HEADERS != 0).then(|| rest.long())??;
    rest.take(usize::try_from(bytes).ok()?)
}

fn deliveries_of(headers: &[u8]) -> Option<u64> {
    let mut rest = Arguments(headers);
    loop {
        let name_bytes = rest.byte()?;
        let name = rest.take(usize::from(name_bytes))?;
        // What the protocol has for values, and RabbitMQ's own: so many bytes, or as many as the value itself tells.
        let bytes = match rest.byte()? {
            b't' | b'b' | b'B' => 1,
            b's' | b'u' | b'U' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            b'V' => 0,
            b'S' | b'x' | b'F' | b'A' => usize::try_from(rest.long()?).ok()?,
            _ => return None,
        };
        let value = rest.take(bytes)?;
        if name == DELIVERIES && (1..=8).contains(&bytes) {
            let number = value
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte));
            return Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back() {
        for ttl in [None, Some(Duration::from_secs(7))] {
            let mut properties = Properties::new(ttl);
            for number in [0, 1, 1_795_656_695_609_489, u64::MAX] {
                let frame = properties.frame(300, number);
                assert_eq!(frame[SIZE_AT..SIZE_AT + 8], 300u64.to_be_bytes());
                let (payload, _) = frame[frame::PREFIX..].split_at(frame.len() - frame::OVERHEAD);
                assert_eq!(place(&payload[12..]), Some(number));
            }
        }
    }

    #[test]
    fn strangers_have_none() {
        for properties in [
            &b""[..],
            b"\0\0",
            b"\0\x80",
            b"\0\x80\x0312x",
            b"\0\x80\x10000000000000000g",
            b"\x20\x80\xff\xff\xff\xff\x100000000000000001",
            b"\xff",
        ] {
            assert_eq!(place(properties), None, "{properties:?}");
        }
        assert_eq!(place(b"\x20\x80\0\0\0\x01x\x100000000000000001"), Some(1));
    }

    #[test]
    fn a_queue_says_how_often_it_gave_a_message_out() {
        let count = b"\x10x-delivery-countl\0\0\0\0\0\0\x01\x02";
        let other = b"\x01aS\0\0\0\x02hi\x01bt\x01\x01cV\x01dF\0\0\0\x03\x01et";
        for (table, expected) in [
            (&b""[..], 0),
            (count, 258),
            (&[&other[..], count].concat(), 258),
            (&count[..20], 0),
            (b"\x10x-delivery-countI\0\0\0\x07", 7),
            (b"\x10x-delivery-countS\0\0\0\x01\x07", 7),
            (b"\x01a?\x10x-delivery-countI\0\0\0\x07", 0),
        ] {
            let size = (table.len() as u32).to_be_bytes();
            let properties = [b"\xa0\0\x01j", &size[..], table].concat();
            assert_eq!(deliveries(&properties), expected, "{table:?}");
        }
        for properties in [&b""[..], b"\xff", b"\0\0", b"\x20\0\xff\xff\xff\xff"] {
            assert_eq!(deliveries(properties), 0);
        }
    }
}
