// SPDX-License-Identifier: Apache-2.0
//! [`Notifications`] as bytes and back, for files that only this library reads: each distinct text once, rows of fixed length.
//!
//! ```text
//!   texts: u32   the length of each: u32   the texts, UTF-8   rows: u32   each row: 72 bytes
//! ```
//!
//! Numbers are little-endian. What is read is as hostile as any file: [`Notifications::unpack`] gives what
//! [`Notifications::push`] could have made, or nothing. It takes no more memory than a few times the bytes it is given.

use super::{Notifications, Row, RowId, TEXT_MARK, TextNumber};
use crate::wire::json;
use crate::{Id, Timestamp};

const ROW_BYTES: usize = 72;

impl Notifications {
    /// Appends these notifications to `out`.
    pub(crate) fn pack(&self, out: &mut Vec<u8>) {
        out.reserve(self.size_bytes());
        push_number(self.text_count(), out);
        let mut begin = 0;
        for &end in &self.texts.ends {
            push_number(end - begin, out);
            begin = end;
        }
        out.extend_from_slice(self.texts.bytes.as_bytes());
        push_number(self.rows.len(), out);
        for row in &self.rows {
            for id in [row.base_id, row.trace_id, row.parent_id] {
                out.extend(id.bits.into_iter().flat_map(u64::to_le_bytes));
            }
            out.extend(row.timestamp.as_micros().to_le_bytes());
            let numbers = [row.name, row.info, row.project, row.service];
            out.extend(
                numbers
                    .into_iter()
                    .flat_map(|number| number.0.to_le_bytes()),
            );
        }
    }

    /// What [`pack`](Self::pack) has appended; `None` if it was anything else.
    pub(crate) fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let text_count = take_number(&mut rest)?;
        let mut lengths = take(&mut rest, text_count.checked_mul(4)?)?;
        let mut notifications = Self::default();
        for number in 0..text_count {
            let length = take_number(&mut lengths)?;
            let text = std::str::from_utf8(take(&mut rest, length)?).ok()?;
            // One that was there before would have the number from then.
            (notifications.intern(text).index() == number).then_some(())?;
        }
        let row_count = take_number(&mut rest)?;
        let rows = take(&mut rest, row_count.checked_mul(ROW_BYTES)?)?;
        rest.is_empty().then_some(())?;
        let mut infos = vec![false; text_count];
        for row in rows.chunks_exact(ROW_BYTES) {
            let row = notifications.unpacked(row)?;
            let known = &mut infos[row.info.index()];
            if !std::mem::replace(known, true) {
                json::check_object(notifications.text(row.info)).ok()?;
            }
            notifications.rows.push(row);
        }
        Some(notifications)
    }

    /// A row whose texts are there, and whose ids are ids.
    fn unpacked(&self, mut bytes: &[u8]) -> Option<Row> {
        let mut ids = [RowId { bits: [0; 2] }; 3];
        for id in &mut ids {
            for bits in &mut id.bits {
                *bits = u64::from_le_bytes(*take(&mut bytes, 8)?.first_chunk()?);
            }
            let [high, low] = id.bits;
            if high == TEXT_MARK {
                let number = TextNumber(u32::try_from(low).ok()?);
                (number.index() < self.text_count()).then_some(())?;
                Id::parse(self.text(number)).ok()?;
            }
        }
        let micros = i64::from_le_bytes(*take(&mut bytes, 8)?.first_chunk()?);
        let mut numbers = [TextNumber::ABSENT; 4];
        for (place, number) in numbers.iter_mut().enumerate() {
            *number = TextNumber(u32::from_le_bytes(*take(&mut bytes, 4)?.first_chunk()?));
            let may_be_absent = place >= 2;
            let is_known = number.index() < self.text_count();
            (is_known || may_be_absent && *number == TextNumber::ABSENT).then_some(())?;
        }
        let [base_id, trace_id, parent_id] = ids;
        let [name, info, project, service] = numbers;
        Some(Row {
            base_id,
            trace_id,
            parent_id,
            timestamp: Timestamp::from_micros(micros),
            name,
            info,
            project,
            service,
        })
    }
}

fn push_number(number: usize, out: &mut Vec<u8>) {
    // A collection's texts have numbers of 32 bits, and no text is longer than the collection.
    out.extend((number as u32).to_le_bytes());
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let number = u32::from_le_bytes(*take(bytes, 4)?.first_chunk()?);
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Notification;

    fn sample() -> Notifications {
        let mut notifications = Notifications::default();
        for (number, (base_id, info, project)) in [
            ("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", "{}", Some("nova")),
            ("B", r#"{"host": "é", "x": NaN}"#, None),
            ("ffffffff-ffff-ffff-0000-000000000001", "{}", Some("")),
        ]
        .into_iter()
        .enumerate()
        {
            notifications.push(&Notification {
                name: "db-start",
                base_id: Id::parse(base_id).unwrap(),
                trace_id: Id::from_u128(number as u128),
                parent_id: Id::parse(base_id).unwrap(),
                timestamp: Timestamp::from_micros(number as i64 - 1),
                info,
                project,
                service: None,
            });
        }
        notifications
    }

    fn packed(notifications: &Notifications) -> Vec<u8> {
        let mut bytes = Vec::new();
        notifications.pack(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_packed_comes_back() {
        for notifications in [Notifications::default(), sample()] {
            let back = Notifications::unpack(&packed(&notifications)).unwrap();
            assert!(back.iter().eq(notifications.iter()));
        }
    }

    #[test]
    fn what_is_too_short_or_too_long_is_nothing() {
        let bytes = packed(&sample());
        for length in 0..bytes.len() {
            assert!(
                Notifications::unpack(&bytes[..length]).is_none(),
                "{length}"
            );
        }
        assert!(Notifications::unpack(&[&bytes[..], &[0]].concat()).is_none());
    }

    #[test]
    fn a_byte_that_is_another_gives_notifications_or_nothing() {
        let bytes = packed(&sample());
        let mut nothing = 0;
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                match Notifications::unpack(&changed) {
                    None => nothing += 1,
                    Some(found) => {
                        assert_eq!(found.len(), 3);
                        assert!(found.iter().all(|one| json::check_object(one.info).is_ok()));
                    }
                }
            }
        }
        assert!(nothing > 0);
    }

    #[test]
    fn an_info_that_is_no_object_and_a_text_that_is_there_twice_are_refused() {
        let mut notifications = sample();
        notifications.texts.bytes = notifications.texts.bytes.replace("{}", "[]");
        assert!(Notifications::unpack(&packed(&notifications)).is_none());
        let twice = [
            &2u32.to_le_bytes()[..],
            &[1, 0, 0, 0, 1, 0, 0, 0],
            b"aa",
            &[0; 4],
        ]
        .concat();
        assert!(Notifications::unpack(&twice).is_none());
        let once = twice
            .iter()
            .map(|&byte| if byte == b'a' { b'b' } else { byte });
        assert!(Notifications::unpack(&once.collect::<Vec<_>>()).is_none());
        let different = [&twice[..12], b"ab", &[0; 4]].concat();
        assert!(Notifications::unpack(&different).unwrap().is_empty());
    }
}
