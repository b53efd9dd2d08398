// SPDX-License-Identifier: Apache-2.0
//! What is in one file of a spool: a batch, or losses that a store has not been told of, with length and checksum.
//!
//! ```text
//!   "osprofiler spool 1\n"   kind: u8   notifications: u32   bytes: u32   checksum: 8 bytes   the bytes
//! ```
//!
//! Numbers are little-endian; the checksum is the beginning of the SHA-1 of all that stands before and after it. It finds what was cut
//! short or rotted, not what somebody made on purpose: whatever has a good one is checked like any input from outside.

use sha1::{Digest, Sha1};

use crate::delivery::ledger::Ledger;
use crate::wire::{Line, Lines, push_loss_line};
use crate::{Id, Notifications};

/// The most bytes of a file: some times the largest batch.
pub(super) const MAX_BYTES: usize = 32 << 20;

const MAGIC: &[u8] = b"osprofiler spool 1\n";
const CHECKSUM_BYTES: usize = 8;
pub(super) const HEAD_BYTES: usize = MAGIC.len() + 1 + 4 + 4;
const BATCH: u8 = b'B';
const LOSSES: u8 = b'L';

/// What one file holds.
pub(in crate::delivery) enum Piece {
    /// Notifications, in order.
    Batch(Notifications),
    /// Losses that were counted, and that the store is to know of.
    Losses(Ledger),
}

/// A file that is not what was written; how many notifications were in it, as far as it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged(pub(super) u64);

/// The bytes of a file that holds `batch`.
pub(super) fn of_batch(batch: &Notifications) -> Vec<u8> {
    framed(BATCH, batch.len(), |out| batch.pack(out))
}

/// The bytes of a file that holds what is in `losses`.
pub(super) fn of_losses(losses: &Ledger) -> Vec<u8> {
    let mut lines = String::new();
    losses.each(|base_id, loss| push_loss_line(base_id, loss, &mut lines));
    framed(LOSSES, 0, |out| out.extend_from_slice(lines.as_bytes()))
}

fn framed(kind: u8, count: usize, push: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(kind);
    bytes.extend((count as u32).to_le_bytes());
    bytes.extend([0; 4 + CHECKSUM_BYTES]);
    let begin = bytes.len();
    push(&mut bytes);
    let length = (bytes.len() - begin) as u32;
    bytes[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes[..HEAD_BYTES], &bytes[begin..]);
    bytes[HEAD_BYTES..begin].copy_from_slice(&checksum);
    bytes
}

/// What a file with these bytes holds.
pub(super) fn parse(bytes: &[u8]) -> Result<Piece, Damaged> {
    let count = said_count(bytes);
    parse_whole(bytes, count).ok_or(Damaged(count))
}

/// How many notifications the head of a file says there are: 0 if it has none.
pub(super) fn said_count(bytes: &[u8]) -> u64 {
    let head = bytes.strip_prefix(MAGIC).and_then(|rest| rest.get(1..5));
    let count = head.and_then(|count| count.first_chunk().copied());
    let count = count.map_or(0, u32::from_le_bytes);
    // A row has more bytes than that, so a file has no more of them.
    if count as usize <= MAX_BYTES / 64 {
        u64::from(count)
    } else {
        0
    }
}

fn parse_whole(bytes: &[u8], count: u64) -> Option<Piece> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let (sum, payload) = rest.split_at_checked(CHECKSUM_BYTES)?;
    let length = u32::from_le_bytes(*head[HEAD_BYTES - 4..].first_chunk()?);
    let is_whole = head.starts_with(MAGIC)
        && payload.len() == usize::try_from(length).ok()?
        && sum == checksum(head, payload);
    is_whole.then_some(())?;
    match head[MAGIC.len()] {
        BATCH => {
            let batch = Notifications::unpack(payload)?;
            (batch.len() as u64 == count && count > 0).then_some(Piece::Batch(batch))
        }
        LOSSES => {
            let mut losses = Ledger::default();
            let mut lines = Lines::new(payload);
            while let Some(line) = lines.next_line().ok()? {
                let Line::Loss(base_id, loss) = line else {
                    return None;
                };
                losses.add(base_id.as_deref().and_then(|id| Id::parse(id).ok()), loss);
            }
            Some(Piece::Losses(losses))
        }
        _ => None,
    }
}

fn checksum(head: &[u8], payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha1::new()
        .chain_update(head)
        .chain_update(payload)
        .finalize();
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Loss, LossReason, Notification, Timestamp};

    fn batch() -> Notifications {
        let mut batch = Notifications::default();
        batch.extend([1, 2].map(|number| Notification {
            name: "db-start",
            base_id: Id::from_u128(number),
            trace_id: Id::from_u128(2),
            parent_id: Id::from_u128(1),
            timestamp: Timestamp::from_micros(3),
            info: r#"{"host": "h"}"#,
            project: None,
            service: None,
        }));
        batch
    }

    #[test]
    fn what_is_cut_short_or_changed_is_damaged_and_its_number_is_known() {
        let bytes = of_batch(&batch());
        let Ok(Piece::Batch(found)) = parse(&bytes) else {
            panic!("no batch");
        };
        assert!(found.iter().eq(batch().iter()));
        for length in 0..bytes.len() {
            let known = if length < MAGIC.len() + 5 { 0 } else { 2 };
            assert_eq!(
                parse(&bytes[..length]).err(),
                Some(Damaged(known)),
                "{length}"
            );
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(parse(&changed).is_err(), "{place}");
        }
    }

    #[test]
    fn losses_come_back() {
        let mut losses = Ledger::default();
        for (id, count, reason) in [
            (Some("B"), 3, LossReason::QueueFull),
            (None, 1, LossReason::MemoryFull),
        ] {
            losses.add(id.map(|id| Id::parse(id).unwrap()), Loss { count, reason });
        }
        let Ok(Piece::Losses(found)) = parse(&of_losses(&losses)) else {
            panic!("no losses");
        };
        let mut texts = [String::new(), String::new()];
        for (text, ledger) in texts.iter_mut().zip([&losses, &found]) {
            let mut entries = Vec::new();
            ledger.each(|id, loss| entries.push(format!("{id:?} {loss:?}")));
            entries.sort();
            *text = entries.join(", ");
        }
        assert_eq!(texts[0], texts[1]);
    }

    #[test]
    fn a_good_checksum_is_not_believed() {
        for (kind, count, payload) in [
            (BATCH, 1, &[0; 8][..]),
            (BATCH, 0, &[0; 8]),
            (BATCH, usize::MAX, &[0xff; 8]),
            (LOSSES, 0, b"{}\n"),
            (b'x', 0, b""),
        ] {
            let bytes = framed(kind, count, |out| out.extend_from_slice(payload));
            assert!(parse(&bytes).is_err(), "{kind} {count}");
        }
    }
}
