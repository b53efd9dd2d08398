// SPDX-License-Identifier: Apache-2.0
//! The recorder where it is hard: a full pool, threads that end, forks, long texts, deep nesting. Races with the sweeper are in
//! `hand_over.rs`; full tables fill `full_tables.rs`.
//!
//! Recorder and sweeper are one a process, so each test here holds a lock while it runs.

#![expect(unsafe_code, reason = "fork, and what a child may do after it")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use osprofiler::recorder::{
    Context, InfoSource, Origin, Point, Sweeper, after_fork_in_child, announce_idle, clock, new_id,
    record, recorded, set_waker, take_losses,
};
use osprofiler::{Id, Kind, LossReason, point};

/// Runs a test in a thread of its own, which has ended, lane and all, before the next test begins.
#[track_caller]
fn alone(test: impl FnOnce() + Send + 'static) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Sweeper::new().sweep(&mut |_| {});
    take_losses(&mut |_, _| {});
    if let Err(panic) = std::thread::spawn(test).join() {
        std::panic::resume_unwind(panic);
    }
}

fn origin() -> Origin {
    Origin::register(Some("shop"), Some("limits"), "h").expect("the table of origins has room")
}

fn losses() -> HashMap<LossReason, u64> {
    let mut losses = HashMap::new();
    take_losses(&mut |_, loss| *losses.entry(loss.reason).or_default() += loss.count);
    losses
}

/// Minutes from now: a thread that records nothing meanwhile looks idle to a sweep at that time.
fn later(minutes: u64) -> u64 {
    clock::ticks() + (minutes << 40)
}

/// More than a pool holds.
const POINTS: u64 = 300_000;

#[test]
fn an_idle_threads_chunk_returns_to_the_pool() {
    alone(|| {
        let trace = Context::new_trace(origin()).attach();
        drop(point!("before"));
        let mut events = 0;
        let mut sweep = |now| {
            Sweeper::new()
                .sweep_at(now, &mut |_| events += 1)
                .chunks_in_use
        };
        let busy = sweep(later(1));
        sweep(later(2));
        let idle = sweep(later(3));
        assert_eq!(idle, busy - 1);
        drop(point!("after"));
        assert_eq!(sweep(later(3)), busy);
        assert_eq!(events, 4);
        drop(trace);
    });
}

#[test]
fn a_full_pool_loses_exactly_what_is_counted() {
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    alone(|| {
        set_waker(|| {
            WOKEN.fetch_add(1, Ordering::Relaxed);
        });
        let before = recorded();
        let woken_before = WOKEN.load(Ordering::Relaxed);
        let context = Context::new_trace(origin());
        let base_id = context.base_id().expect("it is in a trace").as_u128();
        let trace = context.attach();
        for _ in 0..POINTS {
            drop(point!("flood"));
        }
        // What lies over several chunks is lost as a whole, and gives back what it had got.
        drop(point!("long", {"text": "x".repeat(500_000)}));
        drop(trace);
        assert_eq!(
            WOKEN.load(Ordering::Relaxed) - woken_before,
            1,
            "woken once before a sweep"
        );
        let swept = Sweeper::new().sweep(&mut |event| assert_eq!(event.name, "flood"));
        let mut lost = 0;
        take_losses(&mut |of, loss| {
            assert_eq!(of.and_then(Id::as_u128), base_id);
            assert_eq!(loss.reason, LossReason::MemoryFull);
            lost += loss.count;
        });
        assert_eq!(recorded() - before, 2 * POINTS + 2);
        assert_eq!(swept.events + lost, 2 * POINTS + 2);
        assert_eq!(swept.events, 4096 * 128 - swept_elsewhere(swept.events));
        // There is room again.
        let _trace = Context::new_trace(origin()).attach();
        drop(point!("after"));
        assert_eq!(Sweeper::new().sweep(&mut |_| {}).events, 2);
        assert!(losses().is_empty());
    });
}

#[test]
fn a_loss_is_known_by_trace_while_others_are_taken() {
    alone(|| {
        let context = Context::new_trace(origin());
        let base_id = context.base_id().expect("it is in a trace").as_u128();
        // How often something was taken, while more was lost.
        let (mut lost, takes) = (0, AtomicU32::new(0));
        let mut take = || {
            take_losses(&mut |of, loss| {
                assert_eq!(of.and_then(Id::as_u128), base_id);
                lost += loss.count;
                takes.fetch_add(1, Ordering::Relaxed);
            });
        };
        let before = recorded();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _trace = context.attach();
                while takes.load(Ordering::Relaxed) < 1_000 {
                    drop(point!("flood"));
                }
            });
            while takes.load(Ordering::Relaxed) < 1_000 {
                take();
            }
        });
        take();
        let stored = Sweeper::new().sweep(&mut |_| {}).events;
        assert_eq!(stored + lost, recorded() - before);
    });
}

/// Slots in chunks that other threads of this process hold: less than one in a hundred.
fn swept_elsewhere(events: u64) -> u64 {
    let rest = 4096 * 128 - events;
    assert!(rest < 5_000, "{rest}");
    rest
}

/// Whoever records as fast as the sweeper reads, here the sweeper itself, does not keep it.
#[test]
fn a_sweep_ends_although_others_go_on_recording() {
    alone(|| {
        let trace = Context::new_trace(origin()).attach();
        for _ in 0..100 {
            let _point = point!("before");
        }
        let (mut before, mut since) = (0, 0);
        Sweeper::new().sweep(&mut |event| {
            let _point = point!("since");
            *(if event.name == "before" {
                &mut before
            } else {
                &mut since
            }) += 1;
        });
        assert_eq!(before, 200, "what was there as it began is read");
        assert!(since < 10_000, "{since}");
        drop(trace);
        while Sweeper::new().sweep(&mut |_| {}).events > 0 {}
    });
}

#[test]
fn deep_nesting_is_kept() {
    alone(|| {
        let _trace = Context::new_trace(origin()).attach();
        let mut points: Vec<Point> = (0..100_000).map(|_| point!("deep")).collect();
        while points.pop().is_some() {}
        let mut ids = Vec::new();
        Sweeper::new()
            .sweep(&mut |event| ids.push((event.trace_id.as_u128(), event.parent_id.as_u128())));
        assert_eq!(ids.len(), 200_000);
        for pair in ids[..100_000].windows(2) {
            assert_eq!(pair[1].1, pair[0].0);
        }
    });
}

/// Its length travels in two bytes. What did not fit was read as the ids behind it.
#[test]
fn a_name_longer_than_its_length_can_say_is_cut() {
    alone(|| {
        let name = "é".repeat(40_000);
        let cut = "é".repeat(usize::from(u16::MAX) / 2);
        let numbers = [1, 2].map(Id::from_u128);
        let texts = ["base", "parent"].map(|text| Id::parse(text).unwrap());
        for [base_id, parent_id] in [numbers, texts] {
            let trace = Context::from_ids(origin(), base_id, parent_id).attach();
            drop(Point::named(&name));
            drop(trace);
            let kind = Kind::Start;
            let info = InfoSource::None;
            record(
                origin(),
                kind,
                name.as_str(),
                base_id,
                parent_id,
                parent_id,
                info,
            );
            let swept = Sweeper::new().sweep(&mut |event| {
                assert!(event.name == cut, "{} bytes", event.name.len());
                assert_eq!([event.base_id, event.parent_id], [base_id, parent_id]);
                assert!(event.info.is_empty());
            });
            assert_eq!(swept.events, 3);
        }
    });
}

#[test]
fn foreign_infos_come_back_up_to_a_mebibyte() {
    alone(|| {
        let id = Id::from_u128(new_id());
        let text = Id::parse("T").unwrap();
        let empty = r#"{"a": ""}"#.len();
        for (bytes, fits) in [(1 << 20, true), ((1 << 20) + 1, false)] {
            let info = format!(r#"{{"a": "{}"}}"#, "x".repeat(bytes - empty));
            let read = if fits {
                format!(r#"{}, "host": "h"}}"#, &info[..bytes - 1])
            } else {
                format!(r#"{{"cut": "info of {bytes} bytes", "host": "h"}}"#)
            };
            // Numbers and texts take different ways.
            for id in [id, text] {
                record(
                    origin(),
                    Kind::Start,
                    "x",
                    id,
                    id,
                    id,
                    InfoSource::Json(&info),
                );
            }
            let swept = Sweeper::new().sweep(&mut |event| {
                let mut info = String::new();
                event.info.push_json("h", &mut info);
                assert!(info == read, "{} bytes of {bytes}", info.len());
            });
            assert_eq!(swept.events, 2);
        }
    });
}

#[test]
fn ended_threads_leave_their_events_and_give_back_their_memory() {
    alone(|| {
        let in_use = Sweeper::new().sweep(&mut |_| {}).chunks_in_use;
        for _ in 0..50 {
            let threads: Vec<_> = (0..20)
                .map(|_| {
                    std::thread::spawn(|| {
                        let _trace = Context::new_trace(origin()).attach();
                        let _point = point!("short");
                    })
                })
                .collect();
            for thread in threads {
                thread.join().expect("no thread panicked");
            }
            let swept = Sweeper::new().sweep(&mut |_| {});
            assert_eq!((swept.events, swept.chunks_in_use), (40, in_use));
        }
    });
}

#[test]
fn what_is_recorded_while_a_thread_ends_is_swept_or_counted() {
    struct Recording;
    impl Drop for Recording {
        fn drop(&mut self) {
            let _trace = Context::new_trace(origin()).attach();
            let _point = point!("ending");
        }
    }
    thread_local! {
        static BEFORE: RefCell<Option<Recording>> = const { RefCell::new(None) };
        static AFTER: RefCell<Option<Recording>> = const { RefCell::new(None) };
    }
    alone(|| {
        let before = recorded();
        std::thread::spawn(|| {
            BEFORE.with(|value| value.replace(Some(Recording)));
            let _trace = Context::new_trace(origin()).attach();
            drop(point!("living"));
            AFTER.with(|value| value.replace(Some(Recording)));
        })
        .join()
        .expect("the thread did not panic");
        let swept = Sweeper::new().sweep(&mut |_| {}).events;
        let losses = losses();
        let lost = losses.get(&LossReason::ThreadGone).copied().unwrap_or(0);
        assert_eq!(losses.values().sum::<u64>(), lost);
        // Of the two values one is destroyed before the lane ends and one after; which, is the system's affair.
        assert_eq!((swept, lost, recorded() - before), (4, 2, 6));
    });
}

#[test]
fn a_loss_after_idleness_wakes() {
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    struct Recording;
    impl Drop for Recording {
        fn drop(&mut self) {
            let _trace = Context::new_trace(origin()).attach();
            // Delivery falls asleep while this thread, whose lane has ended, is about to record.
            Sweeper::new().sweep(&mut |_| {});
            losses();
            let slept = announce_idle();
            let before = WOKEN.load(Ordering::Relaxed);
            drop(point!("ending"));
            let woken = WOKEN.load(Ordering::Relaxed) - before;
            if losses().contains_key(&LossReason::ThreadGone) {
                SEEN.store(1 + u32::from(slept && woken == 1), Ordering::Relaxed);
            }
        }
    }
    static SEEN: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static BEFORE: RefCell<Option<Recording>> = const { RefCell::new(None) };
        static AFTER: RefCell<Option<Recording>> = const { RefCell::new(None) };
    }
    alone(|| {
        set_waker(|| {
            WOKEN.fetch_add(1, Ordering::Relaxed);
        });
        std::thread::spawn(|| {
            BEFORE.with(|value| value.replace(Some(Recording)));
            let _trace = Context::new_trace(origin()).attach();
            drop(point!("living"));
            AFTER.with(|value| value.replace(Some(Recording)));
        })
        .join()
        .expect("the thread did not panic");
        // As in the test above, one of the two values is destroyed after the lane ends.
        assert_eq!(SEEN.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn the_first_record_after_idleness_wakes() {
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    alone(|| {
        set_waker(|| {
            WOKEN.fetch_add(1, Ordering::Relaxed);
        });
        let _trace = Context::new_trace(origin()).attach();
        drop(point!("busy"));
        let before = WOKEN.load(Ordering::Relaxed);
        assert!(!announce_idle(), "a thread may write on in its chunk");
        drop(point!("busy"));
        assert_eq!(WOKEN.load(Ordering::Relaxed), before);
        for minutes in 1..=3 {
            Sweeper::new().sweep_at(later(minutes), &mut |_| {});
        }
        assert!(announce_idle());
        drop(point!("first"));
        drop(point!("second"));
        assert_eq!(WOKEN.load(Ordering::Relaxed), before + 1);
        Sweeper::new().sweep(&mut |_| {});
    });
}

/// What the child of a fork checks. `inherited` was open when it was made.
fn child(inherited: Point) -> bool {
    after_fork_in_child();
    let mut names = Vec::new();
    // The parent's records are not ours, nor is the end of its point.
    drop(inherited);
    Sweeper::new().sweep(&mut |event| names.push(event.name.to_owned()));
    let nothing_inherited = names.is_empty() && recorded() == 0;
    drop(point!("child"));
    Sweeper::new().sweep(&mut |event| names.push(event.name.to_owned()));
    nothing_inherited && names == ["child", "child"] && recorded() == 2
}

#[test]
fn a_forked_child_records_for_itself() {
    alone(|| {
        let trace = Context::new_trace(origin()).attach();
        drop(point!("parent"));
        let open = point!("open");
        let (mut reader, mut writer) = std::io::pipe().expect("a pipe can be made");
        // SAFETY: the child runs `child` and leaves; that touches the recorder's atomics and allocates, which glibc allows after a fork.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let succeeded = std::panic::catch_unwind(|| child(open)).unwrap_or(false);
            let written = writer.write_all(&new_id().to_ne_bytes()).is_ok();
            // SAFETY: leaves at once; nothing of the parent's is to be run here.
            unsafe { libc::_exit(i32::from(!(succeeded && written))) };
        }
        assert!(pid > 0, "fork failed");
        drop(writer);
        let mut id = [0; 16];
        reader.read_exact(&mut id).expect("the child writes an id");
        let mut status = -1;
        // SAFETY: `status` is a valid place for an int.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!((waited, status), (pid, 0));
        // The child began with a copy of our generator and drew twice.
        let ours = [new_id(), new_id(), new_id()];
        assert!(!ours.contains(&u128::from_ne_bytes(id)));
        drop(open);
        drop(trace);
        assert_eq!(Sweeper::new().sweep(&mut |_| {}).events, 4);
    });
}
