// SPDX-License-Identifier: Apache-2.0
//! A message on its way in: announced by a method, then told its size and properties, then its body in parts.
//!
//! In: frames of one channel. Out: the message, once it is whole. A body too long to keep is passed over to its end.

use super::frame::{self, Arguments};
use super::link::Frame;
use super::properties;
use crate::wire;

/// The largest body that is kept: a notification's longest line, and what is around it.
const MOST_BODY_BYTES: usize = wire::MAX_LINE_BYTES + (64 << 10);

/// A message that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its place, if it tells one.
    pub(super) place: Option<u64>,
    /// How often it was taken in hand before and put back, where the queue counts that.
    pub(super) deliveries: u64,
    /// `None` for one too long to keep.
    pub(super) body: Option<Vec<u8>>,
}

/// One that is not whole yet.
#[derive(Default)]
pub(super) struct Incoming {
    /// What is there of it, and how much of its body is to come; `None` before its size is known.
    known: Option<(Message, u64)>,
}

impl Incoming {
    /// Adds the next frame; returns the message if that was its last. An error says what is wrong with the frame.
    pub(super) fn add(&mut self, frame: &Frame) -> Result<Option<Message>, &'static str> {
        match (&mut self.known, frame.kind) {
            (known @ None, frame::HEADER) => {
                let mut arguments = Arguments(&frame.payload);
                let (_class, _weight) = (arguments.short(), arguments.short());
                let size = arguments.long_long().ok_or("a message without its size")?;
                let message = Message {
                    place: properties::place(arguments.0),
                    deliveries: properties::deliveries(arguments.0),
                    body: (size <= MOST_BODY_BYTES as u64).then(Vec::new),
                };
                *known = Some((message, size));
            }
            (Some((message, left)), frame::BODY) => {
                *left = left
                    .checked_sub(frame.payload.len() as u64)
                    .ok_or("a message longer than it told")?;
                if let Some(body) = &mut message.body {
                    body.extend_from_slice(&frame.payload);
                }
            }
            _ => return Err("a part of a message out of turn"),
        }
        Ok(self
            .known
            .take_if(|(_, left)| *left == 0)
            .map(|(message, _)| message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `frames` are kinds with payloads; expected is the body, `-` for one that was not kept, or what is wrong.
    fn check(frames: &[(u8, &[u8])], expected: &str) {
        let mut incoming = Incoming::default();
        let mut found = "not whole".to_owned();
        for &(kind, payload) in frames {
            let frame = Frame {
                kind,
                channel: 1,
                payload: payload.to_vec(),
            };
            found = match incoming.add(&frame) {
                Ok(None) => "not whole".to_owned(),
                Ok(Some(message)) => message
                    .body
                    .map_or("-".to_owned(), |body| String::from_utf8(body).unwrap()),
                Err(wrong) => format!("! {wrong}"),
            };
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn a_message_is_whole_with_its_last_part() {
        let header = |size: u64| [&[0, 60, 0, 0][..], &size.to_be_bytes(), &[0, 0]].concat();
        let (header_of_3, header_of_0) = (header(3), header(0));
        let part = |text: &'static str| (frame::BODY, text.as_bytes());
        check(
            &[(frame::HEADER, &header_of_3), part("ab"), part("c")],
            "abc",
        );
        check(&[(frame::HEADER, &header_of_3), part("ab")], "not whole");
        check(&[(frame::HEADER, &header_of_0)], "");
        check(
            &[(frame::HEADER, &header_of_3), part("abcd")],
            "! a message longer than it told",
        );
        check(&[part("a")], "! a part of a message out of turn");
        check(
            &[(frame::HEADER, &header_of_3), (frame::HEADER, &header_of_3)],
            "! a part of a message out of turn",
        );
        check(
            &[(frame::HEADER, b"\0\x3c")],
            "! a message without its size",
        );
        let huge = header(MOST_BODY_BYTES as u64 + 1);
        let whole = "x".repeat(MOST_BODY_BYTES + 1);
        check(
            &[(frame::HEADER, &huge), (frame::BODY, whole.as_bytes())],
            "-",
        );
    }
}
