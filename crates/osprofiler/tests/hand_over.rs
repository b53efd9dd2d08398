// SPDX-License-Identifier: Apache-2.0
//! Threads that record race with a sweeper, and each event arrives, once and whole, also if the sweeper sleeps whenever it may.
//!
//! `make test` runs this program with `ThreadSanitizer` as well, which sees whether what a thread writes and the sweeper reads is
//! ordered by the recorder's own atomics, on whatever processor. Not a libtest: that hands its results over by a channel of the standard
//! library, which no sanitizer was built into.

#![expect(clippy::print_stdout, reason = "says what a test runner would say")]

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use osprofiler::recorder::{
    Context, Event, Origin, Sweeper, announce_idle, clock, recorded, set_waker, take_losses,
};
use osprofiler::{Kind, point, stop};

/// A name, and what the sweeper takes for the time.
type Race = (&'static str, fn(sweeps: u64) -> u64);

fn main() {
    let races: [Race; 2] = [
        ("while threads race with the sweeper", |_| clock::ticks()),
        // Each sweep finds itself minutes after the one before, so that all lanes look idle to all sweeps.
        ("while every chunk is taken away as idle", |sweeps| {
            clock::ticks() + (sweeps << 40)
        }),
    ];
    for (name, now) in races {
        println!("each event arrives once {name}");
        race(now);
    }
    println!("whoever records while the sweeper falls asleep wakes it");
    race_with_sleep();
    println!(
        "test result: ok. {} passed; 0 failed; 0 ignored;",
        races.len() + 1
    );
}

fn origin() -> Origin {
    Origin::register(Some("shop"), Some("race"), "h").expect("the table of origins has room")
}

/// What a sweep saw of points that carry their thread's and their own number.
#[derive(Default)]
struct Seen {
    /// `(trace_id, is a stop)`.
    ends: HashSet<(u128, bool)>,
    /// The parent and the info, by point.
    starts: HashMap<u128, (u128, String)>,
    events: u64,
}

impl Seen {
    fn add(&mut self, event: &Event<'_>) {
        let id = |id: osprofiler::Id<'_>| id.as_u128().expect("only UUIDs here");
        let trace_id = id(event.trace_id);
        let is_stop = event.kind == Kind::Stop;
        assert!(self.ends.insert((trace_id, is_stop)), "twice: {event:?}");
        if is_stop {
            assert!(
                self.ends.contains(&(trace_id, false)),
                "stop before start: {event:?}"
            );
        } else {
            let mut info = String::new();
            event.info.push_json("h", &mut info);
            self.starts.insert(trace_id, (id(event.parent_id), info));
        }
        self.events += 1;
    }

    /// Each round of each thread is there, its inner point within its outer one.
    fn check_rounds(&self) {
        let mut rounds = HashSet::new();
        for (parent_id, info) in self.starts.values() {
            let end = info.find(", \"text\"").or(info.find(", \"host\""));
            let numbers = &info[..end.expect("every info has a host")];
            if info.contains("\"text\"") {
                let (_, outer) = &self.starts[parent_id];
                assert!(outer.starts_with(numbers), "{numbers} lies within {outer}");
            } else {
                assert!(rounds.insert(numbers), "twice: {numbers}");
            }
        }
        assert_eq!(rounds.len() as u32, THREADS * ROUNDS);
    }
}

const THREADS: u32 = 4;
const ROUNDS: u32 = 3_000;

/// How many events are recorded for sure: a sweep that begins then sees them all, which is what a flush says.
static CERTAIN: AtomicU64 = AtomicU64::new(0);

fn record_rounds(thread: u32) {
    for round in 0..ROUNDS {
        let _trace = Context::new_trace(origin()).attach();
        let _outer = point!("outer", {"thread": thread, "round": round});
        let text = "x".repeat(round as usize * 7 % 600 * (1 + round as usize % 97 / 96 * 40));
        let inner = point!("inner", {"thread": thread, "round": round, "text": text});
        stop!(inner, {"round": round});
        CERTAIN.fetch_add(3, Ordering::Release);
        if round % 8 == 0 {
            // Lets the sweeper find this thread idle.
            std::thread::yield_now();
        }
    }
}

/// Lets threads record while another sweeps as fast as it can, and checks that everything arrived, once and whole.
fn race(now: fn(u64) -> u64) {
    let before = recorded();
    CERTAIN.store(0, Ordering::Relaxed);
    let ended = AtomicBool::new(false);
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            let mut sweeps = 0;
            loop {
                let last = ended.load(Ordering::Acquire);
                sweeps += 1;
                let certain = CERTAIN.load(Ordering::Acquire);
                Sweeper::new().sweep_at(now(sweeps), &mut |event| seen.add(event));
                assert!(seen.events >= certain, "{} of {certain}", seen.events);
                if last {
                    return;
                }
                std::thread::yield_now();
            }
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || record_rounds(thread)))
            .collect();
        for thread in threads {
            thread.join().expect("no thread panicked");
        }
        ended.store(true, Ordering::Release);
        sweeper.join().expect("the sweeper did not panic");
    });
    take_losses(&mut |_, loss| panic!("lost: {loss:?}"));
    let expected = u64::from(THREADS * ROUNDS * 4);
    assert_eq!((recorded() - before, seen.events), (expected, expected));
    seen.check_rounds();
}

/// How often the sweeper has come to where it may sleep, and how often a thread has recorded since.
static TURNS: AtomicU32 = AtomicU32::new(0);
static RECORDED: AtomicU32 = AtomicU32::new(0);
static CALLED: AtomicBool = AtomicBool::new(false);
const SLEEPS: u32 = 6_000;

/// Has a thread record just when the sweeper falls asleep, again and again.
fn race_with_sleep() {
    set_waker(|| CALLED.store(true, Ordering::Release));
    let before = recorded();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _trace = Context::new_trace(origin()).attach();
            for turn in 1..=SLEEPS {
                let mut looks = 0;
                while TURNS.load(Ordering::Acquire) < turn {
                    looks += 1;
                    if looks % 10_000 == 0 {
                        std::thread::yield_now();
                    }
                }
                dally(turn % 64);
                drop(point!("first"));
                RECORDED.store(turn, Ordering::Release);
            }
        });
        let mut sweeps = 0;
        let mut sweep = || {
            sweeps += 1;
            // Seconds later each time.
            Sweeper::new().sweep_at(clock::ticks() + (sweeps << 34), &mut |_| {})
        };
        for turn in 1..=SLEEPS {
            let mut events = 0;
            // Until the chunk is back that the thread wrote its last two events into.
            loop {
                let is_recorded = RECORDED.load(Ordering::Acquire) == turn - 1;
                let swept = sweep();
                events += swept.events;
                if is_recorded && swept.chunks_in_use == 0 {
                    break;
                }
            }
            check(turn == 1 || events == 2, "each event arrives once");
            TURNS.store(turn, Ordering::Release);
            dally(turn / 64 % 128);
            check(!announce_idle() || is_called_in(turn), "somebody calls");
        }
        thread.join().expect("the thread did not panic");
        assert_eq!(sweep().events, 2);
    });
    assert_eq!(recorded() - before, u64::from(2 * SLEEPS));
}

/// Panics if something does not hold, once the thread cannot but come to its end.
#[track_caller]
fn check(holds: bool, what: &str) {
    if !holds {
        TURNS.store(SLEEPS, Ordering::Release);
        panic!("not in turn {}: {what}", RECORDED.load(Ordering::Acquire));
    }
}

/// Goes on somewhat later, so that not each turn of a race goes alike.
fn dally(steps: u32) {
    for step in 0..steps {
        std::hint::black_box(step);
    }
}

/// Sleeps until somebody calls; false if the record that has to call did not.
fn is_called_in(turn: u32) -> bool {
    loop {
        // In this order: the call comes before the record.
        let is_recorded = RECORDED.load(Ordering::Acquire) == turn;
        if CALLED.swap(false, Ordering::Acquire) {
            return true;
        }
        if is_recorded {
            return false;
        }
        std::thread::yield_now();
    }
}
