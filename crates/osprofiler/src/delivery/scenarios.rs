// SPDX-License-Identifier: Apache-2.0
//! Tests of the pipeline with stores that fail on purpose, on a clock that only the test moves: whatever a store does,
//! recorded = stored + spooled + lost + waiting, nothing is stored twice, and the order of ticks holds within a batch.

mod flushes;
mod given_up;
mod held;
mod several;
mod spooled;
mod tidy;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::counters::{Counters, Tally};
use super::limits::Limits;
use super::messages::Messages;
use super::pipeline::{Directory, Incoming, Pipeline, Route};
use super::queue::{Behind, Next, Open, Outlet};
use super::spool::Spool;
use crate::driver::Writer;
use crate::{Error, ErrorKind, Id, Kind, Loss, LossReason, Notifications, Result, Timestamp};

const MS: Duration = Duration::from_millis(1);

/// What a store does with its next calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Takes,
    IsDown,
    Refuses,
    Panics,
}

/// A store in memory, shared between a test and its writers.
#[derive(Clone)]
struct Store(Arc<Mutex<Inner>>);

struct Inner {
    open: Mood,
    write: Mood,
    losses: Mood,
    tidy: Mood,
    /// How long a call takes on the scene's clock.
    call_ms: u64,
    clock_ms: u64,
    opened: u32,
    calls: u32,
    tidied: u32,
    names: Vec<String>,
    told: Vec<(Option<String>, Loss)>,
    given_up: Vec<Loss>,
}

impl Store {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            open: Mood::Takes,
            write: Mood::Takes,
            losses: Mood::Takes,
            tidy: Mood::Takes,
            call_ms: 0,
            clock_ms: 0,
            opened: 0,
            calls: 0,
            tidied: 0,
            names: Vec::new(),
            told: Vec::new(),
            given_up: Vec::new(),
        })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut inner)
    }

    fn opener(&self) -> Open {
        let store = self.clone();
        Box::new(move || {
            store.call(|inner| inner.open)?;
            store.with(|inner| inner.opened += 1);
            Ok(Box::new(store.clone()))
        })
    }

    fn call(&self, mood: impl FnOnce(&Inner) -> Mood) -> Result<()> {
        let mood = self.with(|inner| {
            inner.calls += 1;
            inner.clock_ms += inner.call_ms;
            mood(inner)
        });
        match mood {
            Mood::Takes => Ok(()),
            Mood::IsDown => Err(Error::new(ErrorKind::Unavailable, "connection refused")
                .with_help("start the server")),
            Mood::Refuses => Err(Error::new(ErrorKind::Denied, "permission denied")),
            Mood::Panics => panic!("a driver's defect, on purpose"),
        }
    }
}

impl Writer for Store {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        self.call(|inner| inner.write)?;
        let names = batch.iter().map(|one| one.name.to_owned());
        self.with(|inner| inner.names.extend(names));
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        self.call(|inner| inner.losses)?;
        let base_id = base_id.map(|id| id.to_string());
        self.with(|inner| inner.told.push((base_id, loss)));
        Ok(())
    }

    fn tidy(&mut self) {
        self.with(|inner| inner.tidied += 1);
        assert_eq!(self.with(|inner| inner.tidy), Mood::Takes, "on purpose");
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        self.with(|inner| std::mem::take(&mut inner.given_up))
    }
}

/// A pipeline, the stores behind it, and what the background thread would do with them.
struct Scene {
    pipeline: Pipeline,
    tally: Tally,
    messages: Messages,
    stores: Vec<Store>,
    recorded: u64,
    /// How often it was said that no store is open which a fork would harm.
    closed: Cell<u32>,
}

const LIMITS: Limits = Limits {
    queue_bytes: 20_000,
    batch_len: 10,
    ..Limits::DEFAULT
};

impl Scene {
    fn new(stores: usize) -> Self {
        Self::with(stores, LIMITS, |_| None)
    }

    /// With files for the stores that `spool` gives some to.
    fn with(
        stores: usize,
        limits: Limits,
        spool: impl Fn(usize) -> Option<Spool> + 'static,
    ) -> Self {
        let stores: Vec<Store> = (0..stores).map(|_| Store::new()).collect();
        let behind = stores.clone();
        let tallies = [const { Tally::new() }; 2];
        let tallies: &'static [Tally; 2] = Box::leak(Box::new(tallies));
        let directory = Directory {
            route: Box::new(|origin| Route {
                project: Some("shop"),
                service: Some("api"),
                host: "host-1",
                // Origin 1 goes to store 0, origin 2 to 1, origin 3 to both, origin 4 nowhere.
                stores: (0..2).filter(|store| origin & (1 << store) != 0).collect(),
            }),
            store: Box::new(move |number| Behind {
                name: format!("test:{number}"),
                open: behind[number].opener(),
                // As a file, and a server.
                survives_fork: number == 0,
                tally: &tallies[number],
                spool: spool(number),
            }),
        };
        Self {
            pipeline: Pipeline::new(directory, limits),
            tally: Tally::new(),
            messages: Messages::new(Box::leak(Box::default())),
            stores,
            recorded: 0,
            closed: Cell::new(0),
        }
    }

    /// Records `count` starts of the trace, named by their number since the beginning.
    fn record(&mut self, origin: u16, trace: &str, count: u64) {
        for _ in 0..count {
            self.recorded += 1;
            self.record_at(self.recorded, origin, trace);
        }
    }

    fn record_at(&mut self, ticks: u64, origin: u16, trace: &str) {
        let outlet = Outlet {
            tally: &self.tally,
            messages: &self.messages,
        };
        let id = Id::parse(trace).unwrap();
        let event = Incoming {
            origin,
            kind: Kind::Start,
            ticks,
            timestamp: Timestamp::from_micros(ticks as i64),
            name: &ticks.to_string(),
            ids: [id; 3],
            info: &|host, out| {
                out.push_str("{\"host\": \"");
                out.push_str(host);
                out.push_str("\"}");
            },
            wording: None,
        };
        self.pipeline.accept(&event, outlet);
    }

    /// Lets the thread's turns pass for `ms`. Returns when it would next come by itself.
    fn pass(&mut self, ms: u64) -> Next {
        let clock = Rc::new(Cell::new(self.stores[0].with(|inner| inner.clock_ms)));
        let end = clock.get() + ms;
        loop {
            let next = self.step();
            let counters = self.counters();
            assert_eq!(
                counters.waiting(),
                self.pipeline.len() as u64,
                "recorded = stored + spooled + lost + waiting: {counters:?}"
            );
            let store = &self.stores[0];
            match next {
                Next::Now => {}
                Next::At(time) if time <= end as u32 * MS => {
                    store.with(|inner| inner.clock_ms = time.as_micros().div_ceil(1000) as u64);
                }
                Next::At(_) | Next::Never => {
                    store.with(|inner| inner.clock_ms = inner.clock_ms.max(end));
                    return next;
                }
            }
        }
    }

    /// One turn.
    fn step(&mut self) -> Next {
        let store = self.stores[0].clone();
        let now = move || Duration::from_millis(store.with(|inner| inner.clock_ms));
        let outlet = Outlet {
            tally: &self.tally,
            messages: &self.messages,
        };
        let calls = || self.stores[0].with(|inner| inner.calls);
        let before = calls();
        self.pipeline.step(&now, outlet, &|| {
            assert_eq!(
                calls(),
                before,
                "said before the store that may hang is called"
            );
            self.closed.set(self.closed.get() + 1);
        })
    }

    fn counters(&self) -> Counters {
        self.tally.counters(|| self.recorded)
    }

    fn texts(&self) -> Vec<String> {
        let messages = self.messages.take().into_iter();
        messages.map(|message| message.text).collect()
    }

    fn lost(&self) -> Vec<(u64, LossReason)> {
        let losses = self.counters().losses();
        losses.map(|loss| (loss.count, loss.reason)).collect()
    }

    /// What the store knows to be lost, by trace.
    fn told(&self, store: usize) -> Vec<(Option<String>, u64, LossReason)> {
        let mut told: Vec<_> = self.stores[store].with(|inner| inner.told.clone());
        told.sort_by_key(|(trace, loss)| (trace.clone(), loss.reason));
        told.into_iter()
            .map(|(trace, loss)| (trace, loss.count, loss.reason))
            .collect()
    }

    fn names(&self, store: usize) -> Vec<u64> {
        let names = self.stores[store].with(|inner| inner.names.clone());
        let number = |name: &String| name.strip_suffix("-start").unwrap().parse().unwrap();
        names.iter().map(number).collect()
    }
}

#[test]
fn a_healthy_store_gets_everything_once_in_order_of_ticks() {
    let mut scene = Scene::new(1);
    for ticks in [3, 1, 2, 5, 4] {
        scene.recorded += 1;
        scene.record_at(ticks, 1, "B");
    }
    assert_eq!(scene.pass(0), Next::Never);
    assert_eq!(scene.names(0), [1, 2, 3, 4, 5]);
    assert_eq!(scene.counters().stored(), 5);
    assert_eq!(scene.texts(), [""; 0]);
}

#[test]
fn a_store_that_is_down_at_the_start_gets_everything_later() {
    let mut scene = Scene::new(1);
    scene.stores[0].with(|inner| inner.open = Mood::IsDown);
    scene.record(1, "B", 25);
    scene.pass(5_000);
    assert_eq!(scene.counters().waiting(), 25);
    assert_eq!(
        scene.texts(),
        [
            "cannot store trace notifications in `test:0`: connection refused; they wait in memory, the program is not affected; start the server"
        ]
    );
    scene.stores[0].with(|inner| inner.open = Mood::Takes);
    scene.pass(10_000);
    assert_eq!(scene.names(0), (1..=25).collect::<Vec<_>>());
    let texts = scene.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(
        texts[0].starts_with("`test:0` takes trace notifications again after "),
        "{texts:?}"
    );
    assert!(texts[0].ends_with(" s: nothing was lost"), "{texts:?}");
}

#[test]
fn a_store_that_goes_and_comes_back_misses_nothing_and_gets_nothing_twice() {
    let mut scene = Scene::new(1);
    for mood in [
        Mood::Takes,
        Mood::IsDown,
        Mood::Takes,
        Mood::IsDown,
        Mood::Takes,
    ] {
        scene.stores[0].with(|inner| inner.write = mood);
        scene.record(1, "B", 15);
        scene.pass(300);
    }
    scene.pass(20_000);
    assert_eq!(scene.names(0), (1..=75).collect::<Vec<_>>());
    assert_eq!(scene.lost(), []);
}

#[test]
fn the_waits_for_a_store_that_is_down_double_up_to_ten_seconds() {
    let mut scene = Scene::new(1);
    scene.stores[0].with(|inner| inner.write = Mood::IsDown);
    scene.record(1, "B", 1);
    let mut waits = Vec::new();
    for _ in 0..10 {
        let before = scene.stores[0].with(|inner| inner.clock_ms);
        let Next::At(next) = scene.pass(0) else {
            panic!("it would never try again");
        };
        waits.push(next.as_millis() as u64 - before);
        scene.stores[0].with(|inner| inner.clock_ms = next.as_millis() as u64);
    }
    assert_eq!(
        waits,
        [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]
    );
}

#[test]
fn a_store_that_hangs_has_at_most_half_of_the_time() {
    let mut scene = Scene::new(1);
    scene.stores[0].with(|inner| (inner.write, inner.call_ms) = (Mood::IsDown, 5_000));
    scene.record(1, "B", 1);
    // One call to open, one to write: it took until 10 s, and is left alone for as long.
    assert_eq!(scene.pass(0), Next::At(20_000 * MS));
}

#[test]
fn a_store_that_refuses_loses_what_it_refused_and_no_more() {
    let mut scene = Scene::new(1);
    scene.stores[0].with(|inner| inner.write = Mood::Refuses);
    scene.record(1, "B", 7);
    scene.record(1, "C", 3);
    scene.pass(0);
    assert_eq!(scene.lost(), [(10, LossReason::Refused)]);
    scene.stores[0].with(|inner| inner.write = Mood::Takes);
    scene.record(1, "B", 4);
    scene.pass(2_000);
    assert_eq!(scene.names(0), [11, 12, 13, 14]);
    assert_eq!(
        scene.told(0),
        [
            (Some("B".to_owned()), 7, LossReason::Refused),
            (Some("C".to_owned()), 3, LossReason::Refused)
        ]
    );
    let texts = scene.texts();
    assert_eq!(
        texts[0],
        "cannot store trace notifications in `test:0`: permission denied; they are lost, the program is not affected"
    );
    assert!(
        texts[1].ends_with(" s: 10 were lost, their traces say so"),
        "{texts:?}"
    );
    assert_eq!(texts.len(), 2);
}

#[test]
fn a_store_that_always_refuses_costs_a_call_in_ten_seconds_and_counts_everything() {
    let mut scene = Scene::new(1);
    scene.stores[0].with(|inner| (inner.open, inner.losses) = (Mood::Refuses, Mood::Refuses));
    for _ in 0..1_000 {
        scene.record(1, "B", 5);
        scene.pass(100);
    }
    scene.pipeline.hurry();
    scene.pass(0);
    assert_eq!(scene.counters().lost(), 5_000);
    assert!(scene.stores[0].with(|inner| inner.calls) < 25);
    // The fault, and that its queue overflowed between two tries.
    assert_eq!(scene.texts().len(), 2);
}

#[test]
fn a_driver_that_panics_is_replaced_and_what_it_held_is_counted() {
    let mut scene = Scene::new(1);
    scene.record(1, "B", 10);
    scene.pass(0);
    scene.stores[0].with(|inner| inner.write = Mood::Panics);
    scene.record(1, "B", 10);
    scene.pass(0);
    scene.stores[0].with(|inner| inner.write = Mood::Takes);
    scene.record(1, "B", 10);
    scene.pass(1_000);
    assert_eq!(scene.lost(), [(10, LossReason::DriverFailed)]);
    assert_eq!(scene.counters().stored(), 20);
    assert_eq!(scene.stores[0].with(|inner| inner.opened), 2);
    assert!(scene.texts()[0].contains("failed unexpectedly"));
}

#[test]
fn a_driver_that_panics_as_it_opens_or_hears_of_losses_is_survived() {
    let mut scene = Scene::new(1);
    scene.stores[0].with(|inner| (inner.open, inner.losses) = (Mood::Panics, Mood::Panics));
    scene.record(1, "B", 10);
    scene.pass(5_000);
    scene.stores[0].with(|inner| inner.open = Mood::Takes);
    scene.record(1, "B", 10);
    scene.pass(30_000);
    assert_eq!(scene.counters().stored(), 10);
    scene.stores[0].with(|inner| inner.losses = Mood::Takes);
    scene.pass(30_000);
    assert_eq!(
        scene.told(0),
        [(Some("B".to_owned()), 10, LossReason::DriverFailed)]
    );
}

#[test]
fn beyond_the_limit_the_oldest_are_lost_and_the_newest_are_stored() {
    let mut scene = Scene::new(1);
    scene.stores[0].with(|inner| inner.write = Mood::IsDown);
    scene.record(1, "old", 100);
    scene.pass(0);
    scene.record(1, "new", 900);
    scene.pass(100);
    let lost = scene.counters().lost();
    assert!((100..1_000).contains(&lost), "{lost}");
    scene.stores[0].with(|inner| inner.write = Mood::Takes);
    scene.pass(20_000);
    assert_eq!(scene.names(0), (lost + 1..=1_000).collect::<Vec<_>>());
    assert_eq!(
        scene.told(0),
        [
            (Some("new".to_owned()), lost - 100, LossReason::QueueFull),
            (Some("old".to_owned()), 100, LossReason::QueueFull)
        ]
    );
    let texts = scene.texts();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[1].contains("the oldest are lost from now on"));
    assert!(texts[2].ends_with(&format!(" s: {lost} were lost, their traces say so")));
}

#[test]
fn a_store_that_is_only_too_slow_is_said_to_be_as_well() {
    let mut scene = Scene::new(1);
    for _ in 0..2 {
        scene.record(1, "B", 1_000);
        let lost = scene.counters().lost();
        scene.pass(60_000);
        // A turn in which nothing is found.
        scene.step();
        let texts = scene.texts();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].contains("the oldest are lost from now on"));
        assert!(
            texts[1].starts_with("`test:0` has caught up: "),
            "{texts:?}"
        );
        assert!(lost > 0);
    }
}

#[test]
fn losses_are_told_once_the_store_takes_something_and_at_most_once_a_second() {
    let mut scene = Scene::new(1);
    let lose = |scene: &mut Scene, count| {
        let reason = LossReason::MemoryFull;
        let loss = Loss { count, reason };
        scene.recorded += count;
        scene.tally.add_loss(loss);
        scene
            .pipeline
            .accept_loss(Some(Id::parse("B").unwrap()), loss);
    };
    lose(&mut scene, 1);
    assert_eq!(scene.told(0), []);
    scene.record(1, "B", 1);
    scene.pass(0);
    assert_eq!(scene.told(0).len(), 1);
    for _ in 0..9 {
        lose(&mut scene, 1);
        scene.record(1, "B", 1);
        scene.pass(100);
    }
    assert_eq!(scene.told(0).len(), 1);
    scene.pass(100);
    let counts: Vec<u64> = scene.told(0).iter().map(|told| told.1).collect();
    assert_eq!(counts, [1, 9]);
}

#[test]
fn an_origin_without_a_store_is_counted_and_said_once() {
    let mut scene = Scene::new(1);
    scene.record(4, "B", 3);
    scene.pass(0);
    assert_eq!(scene.lost(), [(3, LossReason::Refused)]);
    assert_eq!(
        scene.texts(),
        ["trace notifications of `api` are lost: no store is attached to it"]
    );
}

#[test]
fn a_store_that_flaps_is_not_told_of_each_time() {
    let mut scene = Scene::new(1);
    for _ in 0..250 {
        for mood in [Mood::IsDown, Mood::Takes] {
            scene.stores[0].with(|inner| inner.write = mood);
            scene.record(1, "B", 1);
            scene.pass(200);
        }
    }
    // A hundred seconds, two faults told, each with its end.
    assert_eq!(scene.texts().len(), 4);
}
