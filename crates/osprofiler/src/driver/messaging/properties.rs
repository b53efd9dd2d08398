// SPDX-License-Identifier: Apache-2.0
//! What a message says about itself beside its body: that it is JSON, how long it is kept, and its place among others.
//!
//! The same as oslo.messaging sends, and one more, which nobody else looks at: as its `message-id` the microsecond at which it
//! was sent, no two of one writer the same. A quorum queue forgets the order of messages that were looked at and put back.

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
}
