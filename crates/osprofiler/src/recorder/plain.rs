// SPDX-License-Identifier: Apache-2.0
//! Plain values, which most are: a number, a text, or nothing but a tag, copied straight into the thread's chunk.
//!
//! In comes where the chunk is free, out comes where it still is. A [`Room`] goes from value to value in two registers, where an
//! [`Encoder`](super::value::Encoder), which can leave the chunk, is a place in memory; what is no plain value, or too long for the
//! chunk, is the encoder's. Both write the same bytes.

use std::ptr;

/// What a plain value is.
#[derive(Clone, Copy)]
pub enum Plain<'a> {
    /// A tag.
    Tag(u8),
    /// A tag and 8 bytes.
    Number(u8, u64),
    /// A text.
    Text(u8, &'a str),
}

/// The free rest of a chunk.
pub struct Room {
    to: *mut u8,
    left: usize,
}

impl Room {
    /// # Safety
    /// `to` is valid for writing `left` bytes by this thread alone, for as long as there is a room made from this one.
    #[inline(always)]
    pub(super) unsafe fn new(to: *mut u8, left: usize) -> Self {
        Self { to, left }
    }

    /// How many bytes are left.
    #[inline(always)]
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Writes a value; `None` if there is too little room.
    #[inline(always)]
    pub(super) fn put(self, value: Plain<'_>) -> Option<Self> {
        let bytes = match value {
            Plain::Tag(_) => 1,
            Plain::Number(..) => 9,
            Plain::Text(_, text) => 5 + text.len(),
        };
        let left = self.left.checked_sub(bytes)?;
        // SAFETY: `bytes` of the `left` at `to` are written, so many as were just found to be there. No text lies in them: nobody
        // has a reference into the unpublished rest of a chunk.
        unsafe {
            match value {
                Plain::Tag(tag) => self.to.write(tag),
                Plain::Number(tag, number) => {
                    self.to.write(tag);
                    self.to.add(1).cast::<[u8; 8]>().write(number.to_le_bytes());
                }
                Plain::Text(tag, text) => {
                    self.to.write(tag);
                    let length = (text.len() as u32).to_le_bytes();
                    self.to.add(1).cast::<[u8; 4]>().write(length);
                    copy(text.as_ptr(), self.to.add(5), text.len());
                }
            }
            Some(Self {
                to: self.to.add(bytes),
                left,
            })
        }
    }
}

/// Copies `count` bytes; few of them, as texts have, without a call: their beginning and their end in pieces that may overlap.
///
/// # Safety
/// As [`ptr::copy_nonoverlapping`].
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, count: usize) {
    /// Copies the first and the last `PIECE` bytes.
    ///
    /// # Safety
    /// As [`ptr::copy_nonoverlapping`]; `count` is at least `PIECE`.
    #[inline(always)]
    unsafe fn ends<const PIECE: usize>(from: *const u8, to: *mut u8, count: usize) {
        // SAFETY: both pieces lie within the `count` bytes. They are read before either is written, and arrays of bytes need no
        // alignment.
        unsafe {
            let first = from.cast::<[u8; PIECE]>().read();
            let last = from.add(count - PIECE).cast::<[u8; PIECE]>().read();
            to.cast::<[u8; PIECE]>().write(first);
            to.add(count - PIECE).cast::<[u8; PIECE]>().write(last);
        }
    }
    // SAFETY: the caller's, and each arm is only for so many bytes as its pieces have.
    unsafe {
        match count {
            8..=16 => ends::<8>(from, to, count),
            17..=32 => ends::<16>(from, to, count),
            4..=7 => ends::<4>(from, to, count),
            2..=3 => ends::<2>(from, to, count),
            0 => {}
            1 => ends::<1>(from, to, count),
            _ => ptr::copy_nonoverlapping(from, to, count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::value::{Encoder, sealed::EncodeAll, tag};

    #[test]
    fn a_plain_value_has_the_bytes_that_the_encoder_writes() {
        fn check(values: &impl EncodeAll) {
            let mut bytes = [0xa5u8; 512];
            // SAFETY: the buffer is this test's, and the last 12 bytes of it are not lent.
            let room = unsafe { Room::new(bytes.as_mut_ptr(), 500) };
            let left = values.put_all(room).unwrap().left();
            let mut encoder = Encoder::owned();
            values.encode_all(&mut encoder);
            assert_eq!(&bytes[..500 - left], encoder.own_bytes());
            assert!(bytes[500 - left..].iter().all(|byte| *byte == 0xa5));
        }
        let text: String = ('a'..='z').cycle().take(60).collect();
        for length in 0..text.len() {
            check(&(&text[..length], (&true, ())));
        }
        check(&(&1u8, (&-1i64, (&0.5f32, (&u64::MAX, (&(), (&false, ())))))));
        check(&(&Some(7usize), (&None::<isize>, (&text, (&&"é", ())))));
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        for (value, bytes) in [
            (Plain::Tag(tag::NULL), 1),
            (Plain::Number(tag::SIGNED, 1), 9),
            (Plain::Text(tag::TEXT, "four"), 9),
        ] {
            let mut place = [0xa5u8; 16];
            // SAFETY: the buffer is this test's and has more bytes than are lent.
            let fits = unsafe { Room::new(place.as_mut_ptr(), bytes) }.put(value);
            assert_eq!(fits.unwrap().left(), 0);
            let mut place = [0xa5u8; 16];
            // SAFETY: as above.
            let fits = unsafe { Room::new(place.as_mut_ptr(), bytes - 1) }.put(value);
            assert!(fits.is_none());
            assert_eq!(place, [0xa5; 16]);
        }
    }
}
