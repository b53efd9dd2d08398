// SPDX-License-Identifier: Apache-2.0
//! What is in a published file: one line that says how long and how sound the rest is, and a JSON object.
//!
//! ```text
//! osprofiler-counters 1 LENGTH CHECKSUM
//! {"updated_us": ..., "services": [...], "total": {...}, "stores": [...], "failed_publications": 0}
//! ```
//!
//! It is written in place, in one call, so a reader may meet the half of it: the checksum tells. What stands behind LENGTH is an
//! earlier, longer one's. Hostile when it is read: every length and number is bounded, and what is not as it must be is refused as a whole.

use serde::{Deserialize, Serialize};

use super::super::counters::Counters;
use crate::{Loss, LossReason};

/// The most that a file may hold, in bytes.
pub(super) const MOST_BYTES: usize = 64 * 1024;
const MOST_HEAD_BYTES: usize = 80;
const MAGIC: &str = "osprofiler-counters 1";
/// The most services and stores, and bytes of a name, that are written and read.
const MOST_SERVICES: usize = 8;
const MOST_STORES: usize = 64;
const MOST_NAME_BYTES: usize = 256;
/// The largest number that is believed: JSON's readers keep those up to here.
const MOST_COUNT: u64 = 1 << 53;

/// What a process publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Content {
    /// When it was written, in microseconds since 1970.
    pub(super) updated_us: i64,
    /// Project and service of each origin.
    pub(super) services: Vec<(Option<String>, Option<String>)>,
    pub(super) total: Numbers,
    pub(super) stores: Vec<(String, Numbers)>,
    pub(super) failed_publications: u64,
}

/// [`Counters`] as they travel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Numbers {
    recorded: u64,
    stored: u64,
    #[serde(default)]
    spooled: u64,
    /// By the reason's name. One that a reader does not know, of a later version, it leaves out.
    lost: Vec<(String, u64)>,
    evicted: u64,
    #[serde(default)]
    adopted: u64,
}

impl Numbers {
    pub(in super::super) fn new(counters: &Counters) -> Self {
        let lost = counters.losses();
        Self {
            recorded: counters.recorded(),
            stored: counters.stored(),
            spooled: counters.spooled(),
            lost: lost
                .map(|loss| (loss.reason.name().to_owned(), loss.count))
                .collect(),
            evicted: counters.evicted(),
            adopted: counters.adopted(),
        }
    }

    /// The counters.
    pub(super) fn counters(&self) -> Counters {
        let lost = self.lost.iter().filter_map(|(name, count)| {
            let (count, reason) = (*count, LossReason::from_name(name)?);
            Some(Loss { count, reason })
        });
        let mut counters = Counters {
            recorded: self.recorded,
            stored: self.stored,
            spooled: self.spooled,
            evicted: self.evicted,
            adopted: self.adopted,
            ..Counters::default()
        };
        counters.set_losses(lost);
        counters
    }

    fn is_believable(&self) -> bool {
        let counts = [
            self.recorded,
            self.stored,
            self.spooled,
            self.evicted,
            self.adopted,
        ];
        let lost = self.lost.iter().map(|(_, count)| *count);
        self.lost.len() <= 4 * LossReason::ALL.len()
            && self
                .lost
                .iter()
                .all(|(name, _)| name.len() <= MOST_NAME_BYTES)
            && counts
                .into_iter()
                .chain(lost)
                .all(|count| count <= MOST_COUNT)
    }
}

impl Content {
    pub(in super::super) fn new(total: Numbers) -> Self {
        Self {
            total,
            ..Self::default()
        }
    }

    /// Adds a service, unless it is there or there are enough.
    pub(in super::super) fn add_service(&mut self, project: Option<&str>, service: Option<&str>) {
        let service = (project.map(shortened), service.map(shortened));
        if self.services.len() < MOST_SERVICES && !self.services.contains(&service) {
            self.services.push(service);
        }
    }

    /// Adds a store, unless there are enough. The name has no secrets.
    pub(in super::super) fn add_store(&mut self, name: &str, numbers: Numbers) {
        if self.stores.len() < MOST_STORES {
            self.stores.push((shortened(name), numbers));
        }
    }

    /// Writes the file's text over `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        if json.len() > MOST_BYTES - MOST_HEAD_BYTES {
            // Names of nothing but control characters: the sums count.
            let without = Self {
                services: Vec::new(),
                stores: Vec::new(),
                ..self.clone()
            };
            json = serde_json::to_vec(&without).unwrap_or_default();
        }
        let head = format!("{MAGIC} {} {:016x}\n", json.len(), checksum(&json));
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&json);
        out.push(b'\n');
    }

    /// Reads a file's text. `None` if it is half written, or none of ours.
    pub(super) fn decode(text: &[u8]) -> Option<Self> {
        let text = &text[..text.len().min(MOST_BYTES)];
        let end = text
            .iter()
            .take(MOST_HEAD_BYTES)
            .position(|byte| *byte == b'\n')?;
        let (head, json) = text.split_at(end);
        let head = std::str::from_utf8(head).ok()?.strip_prefix(MAGIC)?;
        let (length, sum) = head.strip_prefix(' ')?.split_once(' ')?;
        let json = json[1..].get(..length.parse().ok()?)?;
        if u64::from_str_radix(sum, 16).ok()? != checksum(json) {
            return None;
        }
        let content: Self = serde_json::from_slice(json).ok()?;
        content.is_believable().then_some(content)
    }

    fn is_believable(&self) -> bool {
        let names = self
            .services
            .iter()
            .flat_map(|(project, service)| [project, service]);
        let stores = self.stores.iter().map(|(name, _)| name);
        let numbers = self.stores.iter().map(|(_, numbers)| numbers);
        self.services.len() <= MOST_SERVICES
            && self.stores.len() <= MOST_STORES
            && self.failed_publications <= MOST_COUNT
            && names
                .flatten()
                .chain(stores)
                .all(|name| name.len() <= MOST_NAME_BYTES)
            && numbers.chain([&self.total]).all(Numbers::is_believable)
    }
}

/// The name, cut where it is too long.
fn shortened(name: &str) -> String {
    let mut end = name.len().min(MOST_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

/// FNV-1a: against halves, not against forgers.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        let lost = [Loss {
            count: 2,
            reason: LossReason::QueueFull,
        }];
        let mut counters = Counters {
            recorded: 10,
            stored: 3,
            spooled: 4,
            evicted: 1,
            ..Counters::default()
        };
        counters.set_losses(lost.into_iter());
        let mut content = Content {
            updated_us: 7,
            total: Numbers::new(&counters),
            ..Content::default()
        };
        content.add_service(Some("glance"), Some("api"));
        content.add_service(None, None);
        content.add_service(Some("glance"), Some("api"));
        content.add_store("redis://:***@h", Numbers::new(&counters));
        content
    }

    fn encoded(content: &Content) -> Vec<u8> {
        let mut text = b"an earlier one".to_vec();
        content.encode(&mut text);
        text
    }

    #[test]
    fn what_is_written_is_read_whatever_stands_behind_it() {
        let content = content();
        assert_eq!(content.services.len(), 2);
        let mut text = encoded(&content);
        assert_eq!(Content::decode(&text), Some(content.clone()));
        text.extend_from_slice(b"the end of an earlier, longer one\n");
        assert_eq!(Content::decode(&text), Some(content.clone()));
        let counters = content.total.counters();
        assert_eq!((counters.recorded(), counters.stored()), (10, 3));
        assert_eq!((counters.lost(), counters.spooled()), (2, 4));
        assert_eq!((counters.waiting(), counters.evicted()), (1, 1));
    }

    #[test]
    fn no_half_and_no_changed_byte_is_believed() {
        let text = encoded(&content());
        for length in 0..text.len() - 1 {
            assert_eq!(Content::decode(&text[..length]), None, "{length}");
        }
        for place in 0..text.len() - 1 {
            let mut changed = text.clone();
            changed[place] ^= 1;
            assert_eq!(Content::decode(&changed), None, "{place}");
        }
    }

    #[test]
    fn what_nobody_can_have_counted_is_refused() {
        let sound = encoded(&content());
        let sound = String::from_utf8(sound).unwrap();
        let json = sound.lines().nth(1).unwrap();
        let name = "x".repeat(MOST_NAME_BYTES + 1);
        let many = ["[null,null]"; MOST_SERVICES + 1].join(",");
        for (from, to) in [
            ("\"recorded\":10", "\"recorded\":18446744073709551615"),
            ("\"recorded\":10", "\"recorded\":-1"),
            ("\"queue_full\",2", "\"queue_full\",9007199254740993"),
            ("glance", &name),
            ("redis://:***@h", &name),
            ("[null,null]", &many),
            ("\"failed_publications\":0", "\"failed_publications\":[]"),
        ] {
            assert!(json.contains(from), "{from}");
            let json = json.replacen(from, to, 1);
            let sum = checksum(json.as_bytes());
            let text = format!("{MAGIC} {} {sum:016x}\n{json}", json.len());
            assert_eq!(Content::decode(text.as_bytes()), None, "{to}");
        }
        let deep = "[".repeat(MOST_BYTES - 100);
        let sum = checksum(deep.as_bytes());
        let text = format!("{MAGIC} {} {sum:016x}\n{deep}", deep.len());
        assert_eq!(Content::decode(text.as_bytes()), None);
    }

    #[test]
    fn a_reason_of_a_later_version_is_left_out() {
        let text = encoded(&content());
        let json = String::from_utf8(text).unwrap();
        let json = json.lines().nth(1).unwrap().replace("queue_full", "tired");
        let sum = checksum(json.as_bytes());
        let text = format!("{MAGIC} {} {sum:016x}\n{json}", json.len());
        let content = Content::decode(text.as_bytes()).unwrap();
        assert_eq!(content.total.counters().lost(), 0);
    }

    #[test]
    fn names_and_lists_are_bounded() {
        let mut content = Content::default();
        let long = "é".repeat(MOST_NAME_BYTES);
        for number in 0..1000 {
            content.add_service(Some(&number.to_string()), Some(&long));
            content.add_store(&long, Numbers::default());
        }
        let text = encoded(&content);
        assert!(text.len() <= MOST_BYTES, "{}", text.len());
        assert_eq!(Content::decode(&text), Some(content));
        let mut content = Content::new(Numbers::default());
        for number in 0..1000 {
            content.add_store(
                &format!("{number}{}", "\u{1}".repeat(250)),
                Numbers::default(),
            );
        }
        let text = encoded(&content);
        assert!(text.len() <= MOST_BYTES, "{}", text.len());
        assert!(Content::decode(&text).unwrap().stores.is_empty());
    }
}
