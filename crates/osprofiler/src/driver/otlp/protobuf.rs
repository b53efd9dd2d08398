// SPDX-License-Identifier: Apache-2.0
//! Protocol Buffers, as much of them as spans need: fields go out by number, and answers come in.
//!
//! A field is a number, how it is written, and a value; a message is fields, and a message within another is written with its length
//! before it. What comes in is hostile: lengths are checked, unknown fields are skipped, nothing recurses.
//! The format: <https://protobuf.dev/programming-guides/encoding/>.

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH: u8 = 2;
const FIXED32: u8 = 5;

/// A message that is being written to the end of a buffer.
pub(super) struct Message<'a>(&'a mut Vec<u8>);

impl<'a> Message<'a> {
    /// A message whose fields begin at the buffer's end.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// A number, a truth or the member of an enumeration.
    pub(super) fn number(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        push_varint(value, self.0);
    }

    /// A number of eight bytes.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes, a text's for instance.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.head(field, value.len());
        self.append(value);
    }

    /// What stands before bytes, or a message, of that length, which are appended next.
    pub(super) fn head(&mut self, field: u32, length: usize) {
        self.tag(field, LENGTH);
        push_varint(length as u64, self.0);
    }

    /// Bytes or fields that were written elsewhere.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A message within this one.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message<'_>)) {
        self.tag(field, LENGTH);
        let begin = self.0.len();
        // The length is known last and stands first. Most often it is one byte.
        self.0.push(0);
        write(&mut Message(self.0));
        let end = self.0.len();
        let length = end - begin - 1;
        self.0[begin] = length as u8 & 0x7f;
        if length >= 0x80 {
            self.0[begin] |= 0x80;
            push_varint((length >> 7) as u64, self.0);
            let length_bytes = self.0.len() - end;
            self.0[begin + 1..].rotate_right(length_bytes);
        }
    }

    /// How much has been written, here and before.
    pub(super) fn position(&self) -> usize {
        self.0.len()
    }

    /// Takes back what was written since that position.
    pub(super) fn truncate(&mut self, position: usize) {
        self.0.truncate(position);
    }

    fn tag(&mut self, field: u32, kind: u8) {
        push_varint(u64::from(field) << 3 | u64::from(kind), self.0);
    }
}

fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field's value, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A varint, or a number of four or eight bytes.
    Number(u64),
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message that came; an error ends them.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

/// What came is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Fields<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3).ok().filter(|&field| field > 0)?;
        let value = match (tag & 7) as u8 {
            VARINT => Value::Number(self.varint()?),
            FIXED64 => Value::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            FIXED32 => Value::Number(u32::from_le_bytes(self.take(4)?.try_into().ok()?).into()),
            LENGTH => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            // Groups, which nobody has written for years.
            _ => return None,
        };
        Some((field, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let long = vec![b'x'; 300];
        let mut out = Vec::new();
        let mut message = Message::new(&mut out);
        message.number(1, 300);
        message.fixed64(2, u64::MAX);
        message.message(3, |inner| {
            inner.bytes(1, &long);
            inner.message(16, |_| {});
        });
        message.head(4, 3);
        message.append(&[1, 2, 3]);
        // 300 is the encoding guide's own example.
        assert_eq!(out[..3], [0x08, 0xac, 0x02]);
        let fields: Vec<_> = Fields(&out).collect::<Result<_, _>>().unwrap();
        let [first, second, (3, Value::Bytes(inner)), fourth] = fields[..] else {
            panic!("{fields:?}");
        };
        assert_eq!(first, (1, Value::Number(300)));
        assert_eq!(second, (2, Value::Number(u64::MAX)));
        assert_eq!(fourth, (4, Value::Bytes(&[1, 2, 3])));
        let inner: Vec<_> = Fields(inner).collect::<Result<_, _>>().unwrap();
        assert_eq!(inner, [(1, Value::Bytes(&long)), (16, Value::Bytes(&[]))]);
    }

    #[test]
    fn what_is_no_message_ends_with_an_error() {
        for bytes in [
            &b"<html>"[..],
            &[0x0a, 0x05, 1],
            &[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            &[0x08],
            &[
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ],
            &[0x00],
            &[0x0b],
        ] {
            let last = Fields(bytes).last();
            assert_eq!(last, Some(Err(Malformed)), "{bytes:?}");
        }
    }
}
