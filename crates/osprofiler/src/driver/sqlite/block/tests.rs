// SPDX-License-Identifier: Apache-2.0
//! What is packed comes back, in few bytes; what is damaged or made to trap a reader gives a reason, in bounded memory.

use super::*;
use crate::Notification;
use crate::wire::{Line, Lines};

fn fixture(name: &str) -> Notifications {
    let path = format!("{}/../../fixtures/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(path).unwrap();
    let mut lines = Lines::new(&*text);
    let mut notifications = Notifications::default();
    while let Some(line) = lines.next_line().unwrap() {
        let Line::Notification(parsed) = line else {
            panic!("junk in {name}");
        };
        notifications.push(&parsed.as_notification());
    }
    notifications
}

fn encode(notifications: &Notifications) -> Vec<u8> {
    let rows: Vec<u32> = (0..notifications.len() as u32).collect();
    let mut block = Vec::new();
    Encoder::default().encode(base_id(notifications), notifications, &rows, &mut block);
    block
}

fn base_id(notifications: &Notifications) -> Id<'_> {
    notifications.get(0).base_id
}

fn check(notifications: &Notifications) {
    let block = encode(notifications);
    let mut decoded = Notifications::default();
    let rows = decode(base_id(notifications), &block, &mut decoded);
    assert_eq!(rows, Ok(notifications.len()));
    assert_eq!(row_count(&block[..12]), Some(notifications.len() as u64));
    assert!(decoded.iter().eq(notifications.iter()));
}

/// Ids of all kinds, stops without starts, parents that change, times that run backwards.
fn odd() -> Notifications {
    let mut notifications = Notifications::default();
    let base = Id::parse("base, not a UUID").unwrap();
    for (trace, parent, micros) in [
        ("a", "base, not a UUID", 5),
        ("b", "a", 4),
        ("b", "a", i64::MIN),
        ("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", "b", i64::MAX),
        ("b", "base, not a UUID", 0),
        ("c", "c", 0),
        ("d", "unknown", 0),
        ("unknown", "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", 1),
        ("d", "base, not a UUID", -1),
        ("base, not a UUID", "a", -1),
        ("base, not a UUID", "a", -1),
        ("e", "4e3e0ec6-2938-40b1-8504-09eb1d4b0def", -1),
    ] {
        notifications.push(&Notification {
            name: "",
            base_id: base,
            trace_id: Id::parse(trace).unwrap(),
            parent_id: Id::parse(parent).unwrap(),
            timestamp: Timestamp::from_micros(micros),
            info: "{}",
            project: (micros > 0).then_some("p"),
            service: None,
        });
    }
    notifications
}

#[test]
fn what_is_packed_comes_back() {
    check(&odd());
    for name in [
        "token-issue",
        "image-list",
        "server-show",
        "server-stop-error",
    ] {
        check(&fixture(name));
    }
}

#[test]
fn a_block_is_small() {
    let notifications = fixture("image-list");
    let block = encode(&notifications);
    assert!(
        block.len() < 24 * notifications.len(),
        "{} bytes",
        block.len()
    );
}

#[test]
fn damage_anywhere_is_a_reason_or_notifications_never_a_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut recorded = Notifications::default();
    recorded.extend(fixture("token-issue").iter().take(20));
    for notifications in [odd(), recorded] {
        let base_id = base_id(&notifications);
        let packed = encode(&notifications);
        // The plain form exposes every field of the body to the flips below.
        let plain = {
            let mut block = Bytes(&packed[2..]);
            let head = [block.number(), block.number(), block.number()].map(Result::unwrap);
            let uuids = block.take(head[1] as usize * 16).unwrap();
            let body = if packed[1] == LZ4 {
                lz4_flex::block::decompress(block.0, head[2] as usize).unwrap()
            } else {
                block.0.to_vec()
            };
            let mut plain = vec![VERSION, PLAIN];
            for number in head {
                push_varint(&mut plain, number);
            }
            [&plain, uuids, &body].concat()
        };
        let mut decoded = Notifications::default();
        assert!(decode(base_id, &plain, &mut decoded).is_ok());
        for block in [packed, plain] {
            for length in 0..block.len() {
                decoded.clear();
                assert!(decode(base_id, &block[..length], &mut decoded).is_err());
                assert!(decoded.is_empty());
            }
            for position in 0..block.len() {
                let mut damaged = block.clone();
                damaged[position] ^= (random() % 255 + 1) as u8;
                decoded.clear();
                if decode(base_id, &damaged, &mut decoded).is_err() {
                    assert!(decoded.is_empty());
                }
                let other = random() as usize % block.len();
                damaged[other] = random() as u8;
                decoded.clear();
                let _ = decode(base_id, &damaged, &mut decoded);
            }
        }
    }
}

#[test]
fn another_version_is_told_from_damage() {
    let mut block = encode(&odd());
    block[0] = 2;
    let mut decoded = Notifications::default();
    let result = decode(Id::from_u128(0), &block, &mut decoded);
    assert_eq!(result, Err(BadBlock::Version(2)));
}

#[test]
fn a_small_block_cannot_ask_for_much_memory() {
    let mut block = vec![VERSION, LZ4];
    for number in [1, 0, u64::MAX >> 1] {
        push_varint(&mut block, number);
    }
    let mut decoded = Notifications::default();
    assert_eq!(
        decode(Id::from_u128(0), &block, &mut decoded),
        Err(BadBlock::Damaged("a number is out of range"))
    );
}

/// A block of `rows` rows whose body is `body`, packed.
fn packed(rows: u64, body: &[u8]) -> Vec<u8> {
    let mut block = vec![VERSION, LZ4];
    for number in [rows, 0, body.len() as u64] {
        push_varint(&mut block, number);
    }
    block.extend(lz4_flex::block::compress(body));
    block
}

#[test]
fn a_body_that_unpacks_to_much_cannot_ask_for_lists_as_long() {
    let mut texts = Vec::new();
    push_varint(&mut texts, 1_000_000);
    texts.resize(2_000_000, 0);
    for (rows, body, reason) in [
        (1, &*texts, "a number is out of range"),
        (
            MAX_ROWS as u64,
            &[0; 100],
            "it has more rows than a body of its size",
        ),
    ] {
        let block = packed(rows, body);
        assert!(block.len() < 10_000);
        assert_eq!(
            decode(Id::from_u128(0), &block, &mut Notifications::default()),
            Err(BadBlock::Damaged(reason))
        );
    }
}
