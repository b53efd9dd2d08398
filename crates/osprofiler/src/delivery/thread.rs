// SPDX-License-Identifier: Apache-2.0
//! The background thread: started by the first event of a process, woken rarely, ended only by the process's end.
//!
//! It has its [`Worker`] collect and write every 100 ms while something is recorded, sleeps without a timer otherwise, never touches Python,
//! and takes no signal that the program waits for. Whoever wakes it touches atomics only. A panic in here ends a turn, not the program.

#![expect(unsafe_code, reason = "signal masks have no safe form")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use std::{mem, ptr};

use super::messages::Severity;
use super::process::{self, Process};
use super::worker::{Pace, Worker};
use super::{exit, fork, futex};

/// Awake, or about to look again anyway.
const AWAKE: u32 = 0;
/// Somebody wants it to look.
const CALLED: u32 = 1;
/// Asleep until the next turn is due, or somebody calls.
const ASLEEP: u32 = 2;
/// Asleep without a timer.
const IDLE: u32 = 3;

static STATE: AtomicU32 = AtomicU32::new(AWAKE);
/// 1 while this process has its thread.
static RUNNING: AtomicU32 = AtomicU32::new(0);
static THREAD_ID: AtomicI32 = AtomicI32::new(0);
/// Tickets of flushes: drawn, and answered up to.
static ASKED: AtomicU32 = AtomicU32::new(0);
static ANSWERED: AtomicU32 = AtomicU32::new(0);

/// Has the thread look at once, and starts it if there is none yet. What the recorder calls: when its memory runs
/// full, and at the first event after idleness. Never waits; 2 to 8 us where the thread sleeps.
pub(super) fn wake() {
    if matches!(STATE.swap(CALLED, SeqCst), ASLEEP | IDLE) {
        futex::wake_all(&STATE);
    }
    if RUNNING.load(SeqCst) == 0 {
        start();
    }
}

/// Has the thread look if it would not do so soon by itself.
pub(super) fn wake_if_idle() {
    if STATE.load(SeqCst) == IDLE || RUNNING.load(SeqCst) == 0 {
        wake();
    }
}

/// Whether this process has its thread.
pub(super) fn is_running() -> bool {
    RUNNING.load(SeqCst) == 1
}

/// Whether the caller is the thread.
pub(super) fn is_current() -> bool {
    THREAD_ID.load(SeqCst) == current_id()
}

/// A flush that was asked for.
#[derive(Clone, Copy)]
pub(super) struct Ticket(u32);

/// Asks for all that was recorded before to be settled.
pub(super) fn ask_for_flush() -> Ticket {
    Ticket(ASKED.fetch_add(1, SeqCst).wrapping_add(1))
}

/// Waits until it is; false if the deadline passed first.
pub(super) fn await_flush(ticket: Ticket, deadline: Instant) -> bool {
    wake();
    futex::wait_until(&ANSWERED, deadline, |answered| {
        ticket.0.wrapping_sub(answered).cast_signed() <= 0
    })
}

/// A forked child has no such thread. Atomics only.
pub(super) fn forget() {
    for word in [&STATE, &RUNNING, &ASKED, &ANSWERED] {
        word.store(0, SeqCst);
    }
    THREAD_ID.store(0, SeqCst);
}

#[cold]
fn start() {
    if exit::has_begun() || RUNNING.compare_exchange(0, 1, SeqCst, SeqCst).is_err() {
        return;
    }
    let before = block_signals();
    let outcome = std::thread::Builder::new()
        .name("osprofiler".to_owned())
        .spawn(run);
    restore_signals(&before);
    if let Err(error) = outcome {
        RUNNING.store(0, SeqCst);
        let text = format!(
            "cannot start the thread that stores trace notifications: {error}; trying again later"
        );
        process::say(Severity::Warning, text);
    }
}

fn run() {
    THREAD_ID.store(current_id(), SeqCst);
    loop {
        let mut worker = Worker::new(Process::get());
        let panicked = catch_unwind(AssertUnwindSafe(|| serve(&mut worker))).is_err();
        if !panicked {
            return;
        }
        // What it held cannot be trusted, not even to be dropped. It is counted, and a new one goes on.
        worker.count_as_lost();
        mem::forget(worker);
        sleep(Some(Duration::from_secs(1)));
    }
}

/// Turns until the process has ended.
fn serve(worker: &mut Worker) {
    let mut flush = None;
    loop {
        fork::stand_aside(|| worker.close());
        // Read before looking: what was recorded before the call is seen by this turn.
        STATE.store(AWAKE, SeqCst);
        // The end's own ticket was drawn before it began, so a flush from here on is one for it.
        let is_last = exit::has_begun();
        let asked = ASKED.load(SeqCst);
        let found = worker.collect();
        if flush.is_none() && asked != ANSWERED.load(SeqCst) {
            flush = Some((asked, is_last));
            worker.mark();
        }
        if flush.is_some() {
            worker.hurry();
        }
        let pace = worker.write(found);
        if !worker.has_open_store() {
            fork::nothing_is_open();
        }
        if let Some((ticket, is_last)) = flush
            && worker.is_past_mark()
        {
            if is_last {
                worker.close();
                exit::say_farewell();
            }
            flush = None;
            ANSWERED.store(ticket, SeqCst);
            futex::wake_all(&ANSWERED);
            if is_last {
                return;
            }
            continue;
        }
        match pace {
            Pace::Now => {}
            Pace::In(pause) => sleep(Some(pause)),
            Pace::WhenCalled => sleep(None),
        }
    }
}

/// Sleeps until somebody calls, or for `pause`.
fn sleep(pause: Option<Duration>) {
    let state = if pause.is_some() { ASLEEP } else { IDLE };
    if STATE.compare_exchange(AWAKE, state, SeqCst, SeqCst).is_ok() {
        futex::wait(&STATE, state, pause);
    }
}

fn current_id() -> i32 {
    // SAFETY: the call takes nothing and always succeeds.
    unsafe { libc::gettid() }
}

/// Blocks, for the thread about to be made, all signals but those that a fault of its own raises, which must end the
/// process as everywhere. Returns what was blocked.
fn block_signals() -> libc::sigset_t {
    // SAFETY: both sets are live places of the right type; each call initialises what it is given before it is read.
    unsafe {
        let mut all: libc::sigset_t = mem::zeroed();
        let mut before: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&raw mut all);
        for fault in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGTRAP,
            libc::SIGSYS,
        ] {
            libc::sigdelset(&raw mut all, fault);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
        before
    }
}

fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: `before` is a set that `block_signals` got from the system.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
}
