// SPDX-License-Identifier: Apache-2.0
//! The value that all stages speak: a [`Notification`] is one start or stop of a trace point, and
//! [`Notifications`] a compact collection of them.
//!
//! A collection keeps each distinct text once and 16 bytes an id, so that a batch on its way to a store and a trace on
//! its way to a report take the same, small room, whatever the point of view. Notifications are views into it; order is the
//! order of insertion. Nothing here knows JSON: [`wire`](crate::wire) does.

mod packed;

use crate::secret_hash::Secrets;
use crate::{Id, Timestamp};

/// One start or stop of a trace point, as a store holds it and a driver writes it. Borrowed, 7 words and 3 ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The point's name and `-start` or `-stop`.
    pub name: &'a str,
    /// The trace.
    pub base_id: Id<'a>,
    /// The point; its start and its stop carry the same.
    pub trace_id: Id<'a>,
    /// The point around this one, or the trace's `base_id` at the top.
    pub parent_id: Id<'a>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The user's payload: the text of one JSON object, perhaps with the `NaN`, `Infinity`, lone surrogates and long
    /// integers that Python writes. Kept as it is.
    pub info: &'a str,
    /// The project of the service, for example `keystone`; JSON's `null` if `None`.
    pub project: Option<&'a str>,
    /// The service, for example `public`; JSON's `null` if `None`.
    pub service: Option<&'a str>,
}

/// Which end of a point a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The point began.
    Start,
    /// The point ended.
    Stop,
}

impl Kind {
    fn of(name: &str) -> Self {
        if name.ends_with("stop") {
            Self::Stop
        } else {
            Self::Start
        }
    }
}

impl<'a> Notification<'a> {
    /// [`Kind::Stop`] if the name ends with `stop`; every other name is a start, as in the contract.
    pub fn kind(&self) -> Kind {
        Kind::of(self.name)
    }

    /// The bytes of its name, info, project and service.
    pub fn text_bytes(&self) -> usize {
        let optional = |text: Option<&str>| text.map_or(0, str::len);
        self.name.len() + self.info.len() + optional(self.project) + optional(self.service)
    }

    /// The name of the point, hyphens of its own included: without the last `-start` or `-stop`.
    pub fn point_name(&self) -> &'a str {
        self.name
            .strip_suffix("-start")
            .or_else(|| self.name.strip_suffix("-stop"))
            .unwrap_or(self.name)
    }
}

/// Why notifications did not reach a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LossReason {
    /// The recorder's memory was full: more was recorded than delivery could take away.
    MemoryFull,
    /// The thread was ending, or the process forking or exiting, when the point was recorded.
    ThreadGone,
    /// The queue before the store was full: the store was down or slow for longer than memory lasts.
    QueueFull,
    /// The store refused the notifications, and would refuse them again.
    Refused,
    /// The process ended before the store had taken them.
    Exit,
    /// The store removed them to stay within its size.
    Evicted,
    /// The file under an open store was removed or replaced before what it held was readable elsewhere.
    StoreRemoved,
    /// The driver panicked while it held the notifications.
    DriverFailed,
    /// The file that kept them while the store was down was damaged or removed.
    SpoolDamaged,
}

impl LossReason {
    /// Every reason, in the order reports list them.
    pub const ALL: [Self; 9] = [
        Self::MemoryFull,
        Self::ThreadGone,
        Self::QueueFull,
        Self::Refused,
        Self::Exit,
        Self::Evicted,
        Self::StoreRemoved,
        Self::DriverFailed,
        Self::SpoolDamaged,
    ];

    /// The reason's name in stores and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MemoryFull => "memory_full",
            Self::ThreadGone => "thread_gone",
            Self::QueueFull => "queue_full",
            Self::Refused => "refused",
            Self::Exit => "exit",
            Self::Evicted => "evicted",
            Self::StoreRemoved => "store_removed",
            Self::DriverFailed => "driver_failed",
            Self::SpoolDamaged => "spool_damaged",
        }
    }

    /// The reason with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// A number of notifications that did not reach a store, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Loss {
    /// How many notifications.
    pub count: u64,
    /// Why.
    pub reason: LossReason,
}

/// Notifications in order of insertion, each distinct text held once.
///
/// ```
/// # use osprofiler::{Id, Notification, Notifications, Timestamp};
/// let mut notifications = Notifications::default();
/// notifications.push(&Notification {
///     name: "db-start",
///     base_id: Id::from_u128(1),
///     trace_id: Id::from_u128(2),
///     parent_id: Id::from_u128(1),
///     timestamp: Timestamp::from_micros(0),
///     info: r#"{"host": "a"}"#,
///     project: Some("glance"),
///     service: Some("api"),
/// });
/// assert_eq!(notifications.get(0).point_name(), "db");
/// ```
#[derive(Clone, Default)]
pub struct Notifications {
    rows: Vec<Row>,
    texts: Texts,
}

/// What a [`Notification`] is in memory: 72 bytes, texts by number.
#[derive(Clone, Copy)]
struct Row {
    base_id: RowId,
    trace_id: RowId,
    parent_id: RowId,
    timestamp: Timestamp,
    name: TextNumber,
    info: TextNumber,
    project: TextNumber,
    service: TextNumber,
}

/// An id in two words: a UUID's bits, or the number of a text. The row's `ids_as_text` would need a third; instead the
/// texts' own range of numbers is kept out of the UUIDs by going through the table as well.
#[derive(Clone, Copy)]
struct RowId {
    bits: [u64; 2],
}

/// The high half of an id that stands for a text. A UUID with this high half is stored as a text, so nothing is ambiguous.
const TEXT_MARK: u64 = u64::MAX;

/// The number of a text within a collection. Equal texts have equal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextNumber(u32);

impl TextNumber {
    /// The number for an absent text (`project` or `service` null).
    pub const ABSENT: Self = Self(u32::MAX);

    /// The position of the text in order of first use.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Notifications {
    /// How many notifications there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The bytes of distinct text and of rows: what this collection takes in memory, without slack.
    pub fn size_bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>() + self.texts.bytes.len() + self.texts.ends.len() * 8
    }

    /// Appends a notification. Copies what is new in it; hashes its texts.
    pub fn push(&mut self, notification: &Notification<'_>) {
        let row = Row {
            base_id: self.row_id(notification.base_id),
            trace_id: self.row_id(notification.trace_id),
            parent_id: self.row_id(notification.parent_id),
            timestamp: notification.timestamp,
            name: self.texts.number(notification.name),
            info: self.texts.number(notification.info),
            project: self.optional(notification.project, |row| row.project),
            service: self.optional(notification.service, |row| row.service),
        };
        self.rows.push(row);
    }

    /// The number of a text that is mostly the last row's.
    fn optional(&mut self, text: Option<&str>, of_row: fn(&Row) -> TextNumber) -> TextNumber {
        let Some(text) = text else {
            return TextNumber::ABSENT;
        };
        match self.rows.last().map(of_row) {
            Some(number) if number != TextNumber::ABSENT && self.texts.get(number) == text => {
                number
            }
            _ => self.texts.number(text),
        }
    }

    /// The number of `text`, which is kept. For drivers that read a dictionary once and then refer to it.
    pub fn intern(&mut self, text: &str) -> TextNumber {
        self.texts.number(text)
    }

    /// Appends a notification whose texts (name, info, project, service) were interned; hashes none of them.
    ///
    /// # Panics
    /// If a number is not this collection's.
    pub fn push_interned(
        &mut self,
        [base_id, trace_id, parent_id]: [Id<'_>; 3],
        timestamp: Timestamp,
        [name, info, project, service]: [TextNumber; 4],
    ) {
        let known = |number: TextNumber| number.index() < self.text_count();
        assert!(
            known(name) && known(info),
            "a name and an info must be texts"
        );
        assert!(
            [project, service]
                .into_iter()
                .all(|number| number == TextNumber::ABSENT || known(number))
        );
        let row = Row {
            base_id: self.row_id(base_id),
            trace_id: self.row_id(trace_id),
            parent_id: self.row_id(parent_id),
            timestamp,
            name,
            info,
            project,
            service,
        };
        self.rows.push(row);
    }

    /// The notification at `index`.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, index: usize) -> Notification<'_> {
        let row = &self.rows[index];
        Notification {
            name: self.texts.get(row.name),
            base_id: self.id(row.base_id),
            trace_id: self.id(row.trace_id),
            parent_id: self.id(row.parent_id),
            timestamp: row.timestamp,
            info: self.texts.get(row.info),
            project: (row.project != TextNumber::ABSENT).then(|| self.texts.get(row.project)),
            service: (row.service != TextNumber::ABSENT).then(|| self.texts.get(row.service)),
        }
    }

    /// The notifications in order of insertion.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Notification<'_>> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The numbers of the texts of the notification at `index`: name, info, project, service. What a driver with a
    /// dictionary of its own needs, without hashing again.
    ///
    /// # Panics
    /// If there is no such notification.
    pub fn text_numbers(&self, index: usize) -> [TextNumber; 4] {
        let row = &self.rows[index];
        [row.name, row.info, row.project, row.service]
    }

    /// What of the notification at `index` are no texts: its ids in their order, and when it happened.
    #[inline]
    pub(crate) fn ids_and_timestamp(&self, index: usize) -> ([Id<'_>; 3], Timestamp) {
        let row = &self.rows[index];
        let ids = [row.base_id, row.trace_id, row.parent_id].map(|id| self.id(id));
        (ids, row.timestamp)
    }

    /// The kind of the notification at `index`.
    #[cfg(feature = "otlp")]
    pub(crate) fn kind(&self, index: usize) -> Kind {
        Kind::of(self.texts.get(self.rows[index].name))
    }

    /// The info of the notification at `index`.
    #[inline]
    pub(crate) fn info(&self, index: usize) -> &str {
        self.texts.get(self.rows[index].info)
    }

    /// How many distinct texts there are; each [`TextNumber::index`] but [`TextNumber::ABSENT`]'s is below it.
    pub fn text_count(&self) -> usize {
        self.texts.ends.len()
    }

    /// The text with that number.
    ///
    /// # Panics
    /// If `number` is another collection's and out of range here.
    pub fn text(&self, number: TextNumber) -> &str {
        self.texts.get(number)
    }

    /// Brings the notifications into the order of their timestamps; equal ones keep theirs.
    pub fn sort_by_timestamp(&mut self) {
        self.rows.sort_by_key(|row| row.timestamp);
    }

    /// Brings the notifications into the order of `keys`, one for each; equal ones keep theirs.
    ///
    /// # Panics
    /// If there are fewer keys than notifications.
    pub fn sort_by_keys(&mut self, keys: &[u64]) {
        let keys = &keys[..self.rows.len()];
        if keys.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|&index| keys[index]);
        self.rows = order.into_iter().map(|index| self.rows[index]).collect();
    }

    /// Keeps the notifications whose index `keep` lets through, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut index = 0..;
        self.rows.retain(|_| index.next().is_some_and(&mut keep));
    }

    /// Makes room for `more` notifications.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.rows.reserve(more);
    }

    /// Empties the collection and keeps its memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.texts.clear();
    }

    fn row_id(&mut self, id: Id<'_>) -> RowId {
        match id.as_u128() {
            Some(number) if (number >> 64) as u64 != TEXT_MARK => RowId {
                bits: [(number >> 64) as u64, number as u64],
            },
            _ => {
                let number = match id.as_text() {
                    Some(text) => self.texts.number(text),
                    None => self.texts.number(&id.to_string()),
                };
                RowId {
                    bits: [TEXT_MARK, u64::from(number.0)],
                }
            }
        }
    }

    fn id(&self, id: RowId) -> Id<'_> {
        let [high, low] = id.bits;
        if high == TEXT_MARK {
            // The text came from an id, so it is one.
            Id::parse(self.texts.get(TextNumber(low as u32))).unwrap_or(Id::from_u128(0))
        } else {
            Id::from_u128(u128::from(high) << 64 | u128::from(low))
        }
    }
}

impl std::fmt::Debug for Notifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Extend<Notification<'a>> for Notifications {
    fn extend<T: IntoIterator<Item = Notification<'a>>>(&mut self, notifications: T) {
        for notification in notifications {
            self.push(&notification);
        }
    }
}

/// Distinct texts by number: one buffer, and an open-addressing table of numbers over it.
#[derive(Clone, Default)]
struct Texts {
    bytes: String,
    /// Where each text ends in `bytes`; it begins where the one before ends.
    ends: Vec<usize>,
    /// `hash, number + 1`; 0 is free. Its length is a power of two, at most half full.
    table: Vec<(u32, u32)>,
    /// Random, so that nobody can choose texts that fall on each other.
    secrets: Secrets,
}

impl Texts {
    fn get(&self, number: TextNumber) -> &str {
        let end = self.ends[number.index()];
        let start = number
            .index()
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        &self.bytes[start..end]
    }

    fn number(&mut self, text: &str) -> TextNumber {
        if self.ends.len() * 2 >= self.table.len() {
            self.grow();
        }
        let hash = self.secrets.hash(text.as_bytes());
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.table[slot] {
                (_, 0) => break,
                (other, number) if other == hash && self.get(TextNumber(number - 1)) == text => {
                    return TextNumber(number - 1);
                }
                _ => slot = (slot + 1) & mask,
            }
        }
        let number = self.ends.len() as u32;
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
        self.table[slot] = (hash, number + 1);
        TextNumber(number)
    }

    #[cold]
    fn grow(&mut self) {
        let mut table = vec![(0, 0); (self.table.len() * 2).max(64)];
        let mask = table.len() - 1;
        for &(hash, number) in self.table.iter().filter(|(_, number)| *number != 0) {
            let mut slot = hash as usize & mask;
            while table[slot].1 != 0 {
                slot = (slot + 1) & mask;
            }
            table[slot] = (hash, number);
        }
        self.table = table;
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.table.fill((0, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification<'a>(name: &'a str, id: &'a str, project: Option<&'a str>) -> Notification<'a> {
        let id = Id::parse(id).unwrap();
        Notification {
            name,
            base_id: id,
            trace_id: id,
            parent_id: id,
            timestamp: Timestamp::from_micros(7),
            info: "{}",
            project,
            service: None,
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let all = [
            notification(
                "db-start",
                "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee",
                Some("nova"),
            ),
            notification("db-stop", "B", None),
            notification("", "ffffffff-ffff-ffff-ffff-000000000001", Some("")),
            notification("x", "ffffffff-ffff-ffff-0000-000000000001", Some("x")),
        ];
        let mut notifications = Notifications::default();
        notifications.extend(all);
        assert_eq!(notifications.iter().collect::<Vec<_>>(), all);
    }

    #[test]
    fn sorting_by_keys_keeps_the_order_of_equal_ones() {
        let mut notifications = Notifications::default();
        notifications.extend(["a", "b", "c", "d"].map(|name| notification(name, "B", None)));
        notifications.sort_by_keys(&[2, 1, 2, 0]);
        let names: Vec<&str> = notifications.iter().map(|one| one.name).collect();
        assert_eq!(names, ["d", "b", "a", "c"]);
    }

    #[test]
    fn ten_thousand_distinct_texts_keep_their_numbers() {
        let texts: Vec<String> = (0..10_000).map(|number| format!("text {number}")).collect();
        let mut table = Texts::default();
        for (index, text) in texts.iter().enumerate() {
            assert_eq!(table.number(text).index(), index);
        }
        for (index, text) in texts.iter().enumerate() {
            assert_eq!(table.number(text).index(), index);
            assert_eq!(table.get(TextNumber(index as u32)), text);
        }
        table.clear();
        assert_eq!(table.number("text 7").index(), 0);
    }

    #[test]
    fn the_point_name_keeps_its_own_hyphens() {
        for (name, point, kind) in [
            ("vif-driver-start", "vif-driver", Kind::Start),
            ("vif-driver-stop", "vif-driver", Kind::Stop),
            ("nonstop", "nonstop", Kind::Stop),
            ("a-start-stop", "a-start", Kind::Stop),
            ("odd", "odd", Kind::Start),
        ] {
            let notification = notification(name, "B", None);
            assert_eq!(
                (notification.point_name(), notification.kind()),
                (point, kind)
            );
        }
    }
}
