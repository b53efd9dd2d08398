// SPDX-License-Identifier: Apache-2.0
//! AMQP 0-9-1 as bytes: frames, and the few types that methods' arguments are made of.
//!
//! In: numbers and texts. Out: frames to send, and what frames that came hold. Nothing here knows a connection. What comes is
//! a server's word, so each length is checked; of its tables, which come last in the methods that have some, none is read.

/// The method frame.
pub(super) const METHOD: u8 = 1;
/// The frame that tells a message's size and properties.
pub(super) const HEADER: u8 = 2;
/// A part of a message's body.
pub(super) const BODY: u8 = 3;
/// The frame that says nothing.
pub(super) const HEARTBEAT: u8 = 8;

/// What a frame has around its payload: type, channel and size before it, the mark after it.
pub(super) const OVERHEAD: usize = 8;
/// A frame's bytes before its payload.
pub(super) const PREFIX: usize = 7;
/// The last byte of each frame.
pub(super) const END: u8 = 0xce;

/// What a method is: the numbers of its class and itself.
pub(super) type MethodId = (u16, u16);

/// Appends one frame, whose payload `payload` appends.
pub(super) fn push_frame(
    kind: u8,
    channel: u16,
    out: &mut Vec<u8>,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    let size_at = out.len();
    out.extend_from_slice(&[0; 4]);
    payload(out);
    // A payload is at most a body of some MiB cut into frames, or a handful of names.
    let size = (out.len() - size_at - 4) as u32;
    out[size_at..size_at + 4].copy_from_slice(&size.to_be_bytes());
    out.push(END);
}

/// Appends one frame with the method and the arguments that `arguments` appends.
pub(super) fn push_method(
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

/// Appends a text of at most 255 bytes; the rest of a longer one is left out, at a character's edge.
pub(super) fn push_short_text(text: &str, out: &mut Vec<u8>) {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a text, or any bytes, of some length.
pub(super) fn push_long_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text);
}

/// A value in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Bool(bool),
    Number(i64),
    Text(&'static str),
    Table(Vec<(&'static str, Value)>),
}

/// Appends a table.
pub(super) fn push_table(table: &[(&'static str, Value)], out: &mut Vec<u8>) {
    let size_at = out.len();
    out.extend_from_slice(&[0; 4]);
    for (name, value) in table {
        push_short_text(name, out);
        match value {
            Value::Bool(value) => out.extend_from_slice(&[b't', u8::from(*value)]),
            Value::Number(value) => {
                out.push(b'l');
                out.extend_from_slice(&value.to_be_bytes());
            }
            Value::Text(text) => {
                out.push(b'S');
                push_long_text(text.as_bytes(), out);
            }
            Value::Table(table) => {
                out.push(b'F');
                push_table(table, out);
            }
        }
    }
    let size = (out.len() - size_at - 4) as u32;
    out[size_at..size_at + 4].copy_from_slice(&size.to_be_bytes());
}

/// Reads arguments, one after the other. `None` from the first on that is not there.
pub(super) struct Arguments<'a>(pub(super) &'a [u8]);

impl<'a> Arguments<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(drop)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn long(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn long_long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A short text, as people may read it: what is no UTF-8 or no printable character is replaced.
    pub(super) fn short_text(&mut self) -> Option<String> {
        let size = self.byte()?;
        let text = String::from_utf8_lossy(self.take(usize::from(size))?);
        Some(text.replace(char::is_control, "?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_framed_as_the_protocol_has_it() {
        let mut out = Vec::new();
        push_method(1, (50, 10), &mut out, |out| {
            push_short_text("q", out);
            push_table(
                &[
                    ("a", Value::Text("b")),
                    ("c", Value::Table(vec![("d", Value::Bool(true))])),
                    ("n", Value::Number(258)),
                ],
                out,
            );
        });
        let table =
            b"\0\0\0\x1e\x01aS\0\0\0\x01b\x01cF\0\0\0\x04\x01dt\x01\x01nl\0\0\0\0\0\0\x01\x02";
        let mut expected = b"\x01\0\x01\0\0\0\x28\0\x32\0\x0a\x01q".to_vec();
        expected.extend_from_slice(table);
        expected.push(END);
        assert_eq!(out, expected);
    }

    #[test]
    fn what_comes_is_read_as_far_as_it_goes() {
        let mut arguments = Arguments(b"\x07\0\x02\0\0\0\x03\0\0\0\0\0\0\0\x04\x03a\nb\x09z");
        assert_eq!(arguments.byte(), Some(7));
        assert_eq!(arguments.short(), Some(2));
        assert_eq!(arguments.long(), Some(3));
        assert_eq!(arguments.long_long(), Some(4));
        assert_eq!(arguments.short_text().as_deref(), Some("a?b"));
        assert_eq!(arguments.short_text(), None);
    }

    #[test]
    fn a_text_too_long_ends_at_a_character() {
        let mut out = Vec::new();
        push_short_text(&"é".repeat(200), &mut out);
        assert_eq!((out[0], out.len()), (254, 255));
    }
}
