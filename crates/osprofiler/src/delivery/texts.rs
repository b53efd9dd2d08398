// SPDX-License-Identifier: Apache-2.0
//! The texts of an event: its name with its suffix, and its info with the `host` and without secrets. Made when they are first
//! asked for, which they often are not: a batch that has had an event of the same [`Wording`] has its texts already, by number.

use super::pipeline::{Incoming, Route};
use crate::recorder::Wording;
use crate::{Kind, Notification, TextNumber, secrets};

/// Memory for the texts of one event at a time.
#[derive(Default)]
pub(super) struct Texts {
    name: String,
    info: String,
}

impl Texts {
    /// The texts of `event`, none of which is made yet.
    pub(super) fn of<'a>(
        &'a mut self,
        event: &'a Incoming<'a>,
        route: &'a Route,
    ) -> EventTexts<'a> {
        self.name.clear();
        self.info.clear();
        EventTexts {
            texts: self,
            event,
            route,
        }
    }
}

/// The texts of one event, for all stores it goes to.
pub(super) struct EventTexts<'a> {
    texts: &'a mut Texts,
    event: &'a Incoming<'a>,
    route: &'a Route,
}

impl EventTexts<'_> {
    /// The event as a notification.
    pub(super) fn notification(&mut self) -> Notification<'_> {
        self.info();
        if self.texts.name.is_empty() {
            self.texts.name.push_str(self.event.name);
            self.texts.name.push_str(match self.event.kind {
                Kind::Start => "-start",
                Kind::Stop => "-stop",
            });
        }
        let [base_id, trace_id, parent_id] = self.event.ids;
        Notification {
            name: &self.texts.name,
            base_id,
            trace_id,
            parent_id,
            timestamp: self.event.timestamp,
            info: &self.texts.info,
            project: self.route.project,
            service: self.route.service,
        }
    }

    /// The event's info.
    pub(super) fn info(&mut self) -> &str {
        // An object is never an empty text.
        if self.texts.info.is_empty() {
            (self.event.info)(self.route.host, &mut self.texts.info);
            secrets::mask_info(&mut self.texts.info);
        }
        &self.texts.info
    }
}

/// Which texts of a batch events had.
pub(super) struct KnownTexts {
    /// By the wording's name and the event's kind, the last one in each place.
    table: Vec<Entry>,
    /// Counts the batches: numbers of texts hold in one.
    batch: u64,
}

/// The numbers of an event's texts: of its name, info, project and service.
pub(super) enum Known {
    All([TextNumber; 4]),
    /// The info's number is another's.
    AllButInfo([TextNumber; 4]),
    Nothing,
}

/// Places in the table: for the names of a program, as a rule; others take turns.
const PLACES: usize = 2048;

#[derive(Clone, Copy)]
struct Entry {
    batch: u64,
    origin: u16,
    wording: Wording,
    numbers: [TextNumber; 4],
}

impl KnownTexts {
    pub(super) fn new() -> Self {
        Self {
            table: Vec::new(),
            batch: 1,
        }
    }

    /// What the batch has of the texts of `event`.
    pub(super) fn get(&self, event: &Incoming<'_>) -> Known {
        let Some(wording) = event.wording else {
            return Known::Nothing;
        };
        match self.table.get(place(wording, event.kind)) {
            Some(entry)
                if entry.batch == self.batch
                    && entry.origin == event.origin
                    && entry.wording.name == wording.name =>
            {
                if wording.info.is_some() && wording.info == entry.wording.info {
                    Known::All(entry.numbers)
                } else {
                    Known::AllButInfo(entry.numbers)
                }
            }
            _ => Known::Nothing,
        }
    }

    /// Remembers `numbers` for the next event like this.
    pub(super) fn put(&mut self, event: &Incoming<'_>, numbers: [TextNumber; 4]) {
        let Some(wording) = event.wording else { return };
        if self.table.is_empty() {
            self.table = vec![Entry::NONE; PLACES];
        }
        self.table[place(wording, event.kind)] = Entry {
            batch: self.batch,
            origin: event.origin,
            wording,
            numbers,
        };
    }

    /// Another batch begins.
    pub(super) fn forget(&mut self) {
        self.batch += 1;
    }
}

impl Entry {
    const NONE: Self = Self {
        batch: 0,
        origin: 0,
        wording: Wording {
            name: 0,
            info: None,
        },
        numbers: [TextNumber::ABSENT; 4],
    };
}

fn place(wording: Wording, kind: Kind) -> usize {
    (wording.name as usize * 2 + usize::from(kind == Kind::Stop)) % PLACES
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fmt::Write as _;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::delivery::counters::Tally;
    use crate::delivery::limits::Limits;
    use crate::delivery::messages::Messages;
    use crate::delivery::pipeline::{Directory, Pipeline};
    use crate::delivery::queue::{Behind, Next, Outlet};
    use crate::driver::Writer;
    use crate::{Id, Loss, Notifications, Result, Timestamp, wire};

    #[derive(Clone, Default)]
    struct Store(Arc<Mutex<Vec<String>>>);

    impl Writer for Store {
        fn write(&mut self, batch: &Notifications) -> Result<()> {
            let lines = batch.iter().map(|notification| {
                let mut line = String::new();
                wire::push_line(&notification, &mut line);
                line
            });
            self.0.lock().unwrap().extend(lines);
            Ok(())
        }

        fn write_loss(&mut self, _: Option<Id<'_>>, _: Loss) -> Result<()> {
            Ok(())
        }

        fn take_losses(&mut self) -> Vec<Loss> {
            Vec::new()
        }
    }

    /// Origin, kind and wording: events in which one after the other differs in any of these.
    fn events() -> impl Iterator<Item = (u16, Kind, Wording)> {
        (0..500u32).map(|number| {
            let mixed = number.wrapping_mul(0x9e37_79b1);
            let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b);
            let bit = |bit: u32| mixed >> (24 + bit) & 1;
            let kind = if bit(0) == 0 { Kind::Start } else { Kind::Stop };
            let origin = 1 + bit(1) as u16;
            let info = (bit(2) == 0).then_some(bit(3));
            let name = 7 + bit(4) + bit(5) * PLACES as u32 / 2;
            (origin, kind, Wording { name, info })
        })
    }

    /// What is stored of the events, each recorded three times in a row, and how many infos were made. Batches are of `batch_len`.
    fn stored(batch_len: usize, with_wordings: bool) -> (Vec<String>, u32) {
        let store = Store::default();
        let behind = store.clone();
        let directory = Directory {
            route: Box::new(|origin| Route {
                project: (origin == 1).then_some("shop"),
                service: Some("api"),
                host: if origin == 1 { "host-1" } else { "host-2" },
                stores: vec![0],
            }),
            store: Box::new(move |_| {
                let store = behind.clone();
                Behind {
                    name: "test".to_owned(),
                    open: Box::new(move || Ok(Box::new(store.clone()) as Box<dyn Writer>)),
                    survives_fork: true,
                    tally: Box::leak(Box::default()),
                    spool: None,
                }
            }),
        };
        let limits = Limits {
            batch_len,
            ..Limits::DEFAULT
        };
        let mut pipeline = Pipeline::new(directory, limits);
        let (tally, messages) = (Tally::new(), Messages::new(Box::leak(Box::default())));
        let outlet = Outlet {
            tally: &tally,
            messages: &messages,
        };
        let made = Cell::new(0);
        for (ticks, (origin, kind, wording)) in (0..).zip(events().flat_map(|event| [event; 3])) {
            let event = Incoming {
                origin,
                kind,
                ticks,
                timestamp: Timestamp::from_micros(ticks as i64),
                name: &wording.name.to_string(),
                ids: [1, 2, 3].map(Id::from_u128),
                info: &|host, out| {
                    made.set(made.get() + 1);
                    let info = wording.info.map_or(ticks + 2, u64::from);
                    write!(out, r#"{{"info": {info}, "host": "{host}"}}"#).unwrap();
                },
                wording: with_wordings.then_some(wording),
            };
            pipeline.accept(&event, outlet);
        }
        while pipeline.step(&|| Duration::ZERO, outlet, &|| {}) != Next::Never {}
        let lines = std::mem::take(&mut *store.0.lock().unwrap());
        (lines, made.get())
    }

    #[test]
    fn a_wording_stands_for_the_texts_it_had() {
        for batch_len in [1, 2, 5, 10_000] {
            let (expected, _) = stored(batch_len, false);
            let (lines, _) = stored(batch_len, true);
            assert_eq!(lines, expected, "batches of {batch_len}");
        }
    }

    #[test]
    fn texts_known_by_their_wording_are_not_made_again() {
        let (_, made) = stored(10_000, true);
        let constant = events().filter(|(.., wording)| wording.info.is_some());
        // Each of three events in a row that bring values, and one of three that don't.
        let most = 3 * 500 - 2 * constant.count() as u32;
        assert!(made <= most, "{made} of {most} at most");
    }
}
