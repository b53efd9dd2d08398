// SPDX-License-Identifier: Apache-2.0
//! Points in time as notifications carry them: UTC, microseconds, `2026-01-01T00:00:00.000000`.
//!
//! The text form is the contract's (`%Y-%m-%dT%H:%M:%S.%f`, no zone). The calendar arithmetic is Howard Hinnant's
//! `days_from_civil` and `civil_from_days` (<https://howardhinnant.github.io/date_algorithms.html>), proleptic Gregorian.

use std::fmt;

/// Microseconds since 1970-01-01T00:00:00 UTC. Shown and parsed in the contract's text form, years 1 to 9999.
///
/// ```
/// # use osprofiler::Timestamp;
/// let timestamp = Timestamp::parse("2026-01-01T00:00:00.5").unwrap();
/// assert_eq!(timestamp.to_string(), "2026-01-01T00:00:00.500000");
/// assert_eq!(Timestamp::parse("2026-01-01T00:00:00Z"), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    micros: i64,
}

const MICROS_A_DAY: i64 = 86_400_000_000;
/// 0001-01-01T00:00:00.000000 and 9999-12-31T23:59:59.999999: what the text form can hold.
const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;

impl Timestamp {
    /// The time `micros` microseconds after 1970, moved into the years 1 to 9999 if it lies outside.
    pub fn from_micros(micros: i64) -> Self {
        Self {
            micros: micros.clamp(FIRST, LAST),
        }
    }

    /// Microseconds since 1970; negative before.
    pub const fn as_micros(self) -> i64 {
        self.micros
    }

    /// Reads `YYYY-MM-DDTHH:MM:SS.f` with 1 to 6 digits of fraction and no zone; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if !(21..=26).contains(&text.len())
            || [text[4], text[7], text[10], text[13], text[16], text[19]] != *b"--T::."
        {
            return None;
        }
        let number = |range: std::ops::Range<usize>| {
            text[range].iter().try_fold(0i64, |number, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| number * 10 + i64::from(digit - b'0'))
            })
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let fraction = number(20..text.len())? * 10i64.pow(26 - text.len() as u32);
        let in_range = year >= 1
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        in_range.then(|| {
            let seconds = (hour * 60 + minute) * 60 + second;
            Self {
                micros: days_from_civil(year, month, day) * MICROS_A_DAY
                    + seconds * 1_000_000
                    + fraction,
            }
        })
    }

    /// The 26 bytes of text, ASCII.
    pub fn to_bytes(self) -> [u8; 26] {
        let (year, month, day) = civil_from_days(self.micros.div_euclid(MICROS_A_DAY));
        let of_day = self.micros.rem_euclid(MICROS_A_DAY);
        // Below 86,400, so it fits, and divides faster.
        let second = (of_day / 1_000_000) as u32;
        let mut text = *b"0000-00-00T00:00:00.000000";
        for (at, two_digits) in [
            (0, year / 100),
            (2, year % 100),
            (5, month),
            (8, day),
            (11, second / 3600),
            (14, second / 60 % 60),
            (17, second % 60),
        ] {
            put_two_digits(&mut text, at, two_digits);
        }
        put_fraction(&mut text, of_day % 1_000_000);
        text
    }
}

fn put_two_digits(text: &mut [u8; 26], at: usize, number: u32) {
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

/// Puts in the digits behind the point, of `micros` below a million.
fn put_fraction(text: &mut [u8; 26], micros: i64) {
    let micros = micros as u32;
    put_two_digits(text, 20, micros / 10_000);
    put_two_digits(text, 22, micros / 100 % 100);
    put_two_digits(text, 24, micros % 100);
}

/// The texts of timestamps one after the other: neighbours differ in little but the fraction of a second, so the calendar is asked once
/// a second.
pub(crate) struct TimestampTexts {
    second: i64,
    text: [u8; 26],
}

impl TimestampTexts {
    pub(crate) fn new() -> Self {
        Self {
            second: 0,
            text: Timestamp::default().to_bytes(),
        }
    }

    /// What [`Timestamp::to_bytes`] makes of it.
    #[inline]
    pub(crate) fn text_of(&mut self, timestamp: Timestamp) -> &[u8; 26] {
        let second = timestamp.micros.div_euclid(1_000_000);
        if second == self.second {
            put_fraction(&mut self.text, timestamp.micros - second * 1_000_000);
        } else {
            self.second = second;
            self.text = timestamp.to_bytes();
        }
        &self.text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.to_bytes()).unwrap_or_default())
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date of a day that a [`Timestamp`] can be in: from year 1 on, so that no number here is negative.
fn civil_from_days(days: i64) -> (u32, u32, u32) {
    let days = (days + 719_468) as u32;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + u32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_agree() {
        for (text, micros) in [
            ("1970-01-01T00:00:00.000000", 0),
            ("1969-12-31T23:59:59.999999", -1),
            ("2000-02-29T12:34:56.789012", 951_827_696_789_012),
            ("2026-11-22T15:48:31.857066", 1_795_362_511_857_066),
            ("0001-01-01T00:00:00.000000", FIRST),
            ("9999-12-31T23:59:59.999999", LAST),
        ] {
            assert_eq!(
                Timestamp::parse(text),
                Some(Timestamp::from_micros(micros)),
                "{text}"
            );
            assert_eq!(Timestamp::from_micros(micros).to_string(), text);
        }
    }

    #[test]
    fn a_short_fraction_counts_from_the_left() {
        assert_eq!(
            Timestamp::parse("1970-01-01T00:00:00.04")
                .unwrap()
                .as_micros(),
            40_000
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.",
            "2026-01-01T00:00:00.000000Z",
            "2026-01-01 00:00:00.000000",
            "2026-02-29T00:00:00.000000",
            "2026-13-01T00:00:00.000000",
            "2026-01-01T24:00:00.000000",
            "2026-01-01T00:00:60.000000",
            "0000-01-01T00:00:00.000000",
            "2026-01-01T00:00:00.+00000",
            "2026-01-01T00:00:00.00000\u{660}",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_comes_back() {
        for day in -150_000..150_000i64 {
            let (year, month, date) = civil_from_days(day);
            let [year, month, date] = [year, month, date].map(i64::from);
            assert_eq!(days_from_civil(year, month, date), day);
        }
    }
}
