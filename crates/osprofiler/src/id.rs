// SPDX-License-Identifier: Apache-2.0
//! Identifiers of traces and points: 16 bytes where they are UUIDs, the caller's text where they are not.
//!
//! The contract lets any non-empty string of up to 255 bytes be an id, and come back unchanged. Only a text that equals
//! its canonical lower-case form (`8-4-4-4-12` hex digits) is held as a number, so equal ids have equal representations
//! and the text always comes back.

use std::fmt;

/// An id as it travels through recorder, delivery, drivers and report. Copied, compared and hashed as a value.
///
/// ```
/// # use osprofiler::Id;
/// let id = Id::parse("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee").unwrap();
/// assert_eq!(id.as_u128(), Some(0x4e3e_0ec6_2938_40b1_8504_09eb_1d4b_0dee));
/// assert_eq!(Id::parse("4E3E0EC6-2938-40b1-8504-09eb1d4b0dee").unwrap().as_u128(), None);
/// assert!(Id::parse("").is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id<'a>(Repr<'a>);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr<'a> {
    Uuid(u128),
    Text(&'a str),
}

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidId {
    /// The text is empty.
    Empty,
    /// The text is longer than [`Id::MAX_BYTES`].
    TooLong,
}

impl<'a> Id<'a> {
    /// The longest id, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 255;

    /// The id that `text` is.
    pub fn parse(text: &'a str) -> Result<Self, InvalidId> {
        if let Some(number) = parse_canonical(text.as_bytes()) {
            return Ok(Self(Repr::Uuid(number)));
        }
        match text.len() {
            0 => Err(InvalidId::Empty),
            1..=Self::MAX_BYTES => Ok(Self(Repr::Text(text))),
            _ => Err(InvalidId::TooLong),
        }
    }

    /// The id whose text is the canonical form of `number`.
    #[inline]
    pub const fn from_u128(number: u128) -> Self {
        Self(Repr::Uuid(number))
    }

    /// The number, if this id's text is a canonical UUID.
    #[inline]
    pub const fn as_u128(self) -> Option<u128> {
        match self.0 {
            Repr::Uuid(number) => Some(number),
            Repr::Text(_) => None,
        }
    }

    /// The text, if it is not a canonical UUID.
    #[inline]
    pub const fn as_text(self) -> Option<&'a str> {
        match self.0 {
            Repr::Uuid(_) => None,
            Repr::Text(text) => Some(text),
        }
    }

    /// Appends the id's text to `out`.
    pub fn push_to(self, out: &mut String) {
        match self.0 {
            Repr::Uuid(number) => {
                let text = canonical(number);
                out.push_str(std::str::from_utf8(&text).unwrap_or_default());
            }
            Repr::Text(text) => out.push_str(text),
        }
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Repr::Uuid(number) => {
                f.pad(std::str::from_utf8(&canonical(number)).unwrap_or_default())
            }
            Repr::Text(text) => f.pad(text),
        }
    }
}

impl fmt::Debug for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an id must not be empty"),
            Self::TooLong => write!(f, "an id must not be longer than {} bytes", Id::MAX_BYTES),
        }
    }
}

impl std::error::Error for InvalidId {}

/// Positions of the 32 hex digits within `8-4-4-4-12`.
const DIGITS: [u8; 32] = [
    0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25, 26, 27, 28, 29,
    30, 31, 32, 33, 34, 35,
];

fn parse_canonical(text: &[u8]) -> Option<u128> {
    let text: &[u8; 36] = text.try_into().ok()?;
    if text[8] != b'-' || text[13] != b'-' || text[18] != b'-' || text[23] != b'-' {
        return None;
    }
    let mut number = 0u128;
    for position in DIGITS {
        let digit = match text[position as usize] {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u128::from(digit);
    }
    Some(number)
}

/// The text of an id that is a UUID.
pub(crate) fn canonical(number: u128) -> [u8; 36] {
    let [first, second, third, fourth] =
        [96, 64, 32, 0].map(|shift| hex_digits((number >> shift) as u32));
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&first);
    text[9..13].copy_from_slice(&second[..4]);
    text[14..18].copy_from_slice(&second[4..]);
    text[19..23].copy_from_slice(&third[..4]);
    text[24..28].copy_from_slice(&third[4..]);
    text[28..].copy_from_slice(&fourth);
    text
}

/// The 8 digits of a number, all at once: one digit a byte of a word.
fn hex_digits(number: u32) -> [u8; 8] {
    let mut digits = u64::from(number);
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // 1 in each byte that is above 9; those are letters, which come 39 places after the digits.
    let letters = (digits + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (digits + 0x3030_3030_3030_3030 + letters * 39).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_unchanged() {
        for text in [
            "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee",
            "00000000-0000-0000-0000-000000000000",
            "01234567-89ab-cdef-fedc-ba9876543210",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "4E3E0EC6-2938-40B1-8504-09EB1D4B0DEE",
            "4e3e0ec6293840b1850409eb1d4b0dee",
            "4e3e0ec6-2938-40b1-8504-09eb1d4b0de ",
            "4e3e0ec6-2938-40b1-8504-09eb1d4b0deé",
            "B",
            "ключ",
        ] {
            let id = Id::parse(text).unwrap();
            assert_eq!(id.to_string(), text);
            let mut out = String::new();
            id.push_to(&mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn only_the_canonical_form_is_a_number() {
        assert_eq!(
            Id::parse("00000000-0000-0000-0000-00000000002a"),
            Ok(Id::from_u128(42))
        );
        assert_eq!(
            Id::parse("00000000-0000-0000-0000-00000000002A")
                .unwrap()
                .as_u128(),
            None
        );
        assert_eq!(
            Id::parse("0000000000000000000000000000002a")
                .unwrap()
                .as_u128(),
            None
        );
    }

    #[test]
    fn length_is_bounded() {
        assert_eq!(Id::parse(""), Err(InvalidId::Empty));
        assert!(Id::parse(&"x".repeat(255)).is_ok());
        assert_eq!(Id::parse(&"x".repeat(256)), Err(InvalidId::TooLong));
    }
}
