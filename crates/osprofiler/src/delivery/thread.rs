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
use crate::recorder;

/// Awake, or about to look again anyway.
const AWAKE: u32 = 0;
/// Somebody wants it to look.
const CALLED: u32 = 1;
/// Asleep until somebody calls, or until the next turn is due if one is.
const ASLEEP: u32 = 2;

static STATE: AtomicU32 = AtomicU32::new(AWAKE);
/// 1 while this process has its thread.
static RUNNING: AtomicU32 = AtomicU32::new(0);
/// 1 once it was said that the thread cannot be started.
static TOLD: AtomicU32 = AtomicU32::new(0);
static THREAD_ID: AtomicI32 = AtomicI32::new(0);
/// Tickets of flushes: drawn, and answered up to.
static ASKED: AtomicU32 = AtomicU32::new(0);
static ANSWERED: AtomicU32 = AtomicU32::new(0);

/// Has the thread look at once, and starts it if there is none yet. What the recorder calls: when its memory runs
/// full, and at the first event after idleness. Never waits; 2 to 8 us where the thread sleeps.
pub(super) fn wake() {
    if STATE.swap(CALLED, SeqCst) == ASLEEP {
        futex::wake_all(&STATE);
    }
    if RUNNING.load(SeqCst) == 0 {
        start();
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

/// Waits until it is, or there is no thread that could do it; at most until the deadline.
pub(super) fn await_flush(ticket: Ticket, deadline: Instant) {
    wake();
    futex::wait_until(&ANSWERED, deadline, |answered| {
        !is_running() || ticket.0.wrapping_sub(answered).cast_signed() <= 0
    });
}

/// A forked child has no such thread. Atomics only.
pub(super) fn forget() {
    for word in [&STATE, &RUNNING, &TOLD, &ASKED, &ANSWERED] {
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
        futex::wake_all(&ANSWERED);
        // Whoever takes a chunk, or submits something, tries again.
        recorder::nobody_delivers();
        if TOLD.swap(1, SeqCst) == 1 {
            return;
        }
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
    let mut flush = Flush::default();
    loop {
        fork::stand_aside(|| worker.close_fragile());
        // Read before looking: what was recorded before the call is seen by this turn.
        STATE.store(AWAKE, SeqCst);
        // In this order: the end begins before it draws its ticket, so a flush for that ticket is the last.
        let asked = ASKED.load(SeqCst);
        let is_last = exit::has_begun();
        if is_last {
            worker.end_publishing();
        }
        let found = worker.collect();
        let wish = flush.wish(asked, ANSWERED.load(SeqCst), is_last);
        if wish.mark {
            worker.mark();
        }
        if wish.hurry {
            worker.hurry();
        }
        if is_last {
            worker.keep();
        }
        let pace = worker.write(found);
        let pace = worker.publish(pace);
        if !worker.has_open_fragile_store() {
            fork::nothing_is_open();
        }
        if let Some((ticket, is_last)) = flush.under_way
            && worker.is_settled(is_last)
        {
            if is_last {
                worker.close();
                exit::say_farewell();
                // Should the process live on, neither a fork nor another end waits for this thread.
                fork::nothing_is_open();
                RUNNING.store(0, SeqCst);
            }
            flush.under_way = None;
            ANSWERED.store(ticket, SeqCst);
            futex::wake_all(&ANSWERED);
            if is_last {
                return;
            }
            continue;
        }
        if is_last {
            // There may be no other time to say why the end takes so long.
            exit::say_farewell();
        }
        match pace {
            Pace::Now => {}
            Pace::In(pause) => sleep(Some(pause)),
            Pace::WhenCalled => sleep(None),
        }
    }
}

/// The flush that the thread works for.
#[derive(Default)]
struct Flush {
    /// Up to which ticket, and whether it is the last of the process.
    under_way: Option<(u32, bool)>,
    hurried_for: Option<u32>,
}

/// What a flush wants of a turn.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    /// Remember what was collected: the flush is for that.
    mark: bool,
    /// Try stores that failed at once.
    hurry: bool,
}

impl Flush {
    /// Looks at the tickets drawn and answered. Waits are forgotten once for each flush, which may be long over for who
    /// asked; a store that is down would else be tried at each turn from then on. At the end of the process it is.
    fn wish(&mut self, asked: u32, answered: u32, is_last: bool) -> Wish {
        let mark = self.under_way.is_none() && asked != answered;
        if mark {
            self.under_way = Some((asked, is_last));
        }
        let is_new = asked != answered && self.hurried_for != Some(asked);
        if is_new {
            self.hurried_for = Some(asked);
        }
        let hurry = is_new || is_last && self.under_way.is_some();
        Wish { mark, hurry }
    }
}

/// Sleeps until somebody calls, or for `pause`.
fn sleep(pause: Option<Duration>) {
    if STATE
        .compare_exchange(AWAKE, ASLEEP, SeqCst, SeqCst)
        .is_ok()
    {
        futex::wait(&STATE, ASLEEP, pause);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_hurries_once_and_the_end_at_each_turn() {
        let mut flush = Flush::default();
        for (asked, is_last, mark, hurry) in [
            (0, false, false, false),
            (1, false, true, true),
            (1, false, false, false),
            (2, false, false, true),
            (2, false, false, false),
            (3, true, false, true),
            (3, true, false, true),
        ] {
            let wish = flush.wish(asked, 0, is_last);
            assert_eq!(wish, Wish { mark, hurry }, "{asked} {is_last}");
        }
        assert_eq!(flush.under_way, Some((1, false)));
        // The first is answered; the rest are one more.
        flush.under_way = None;
        let (mark, hurry) = (true, true);
        assert_eq!(flush.wish(3, 1, true), Wish { mark, hurry });
        assert_eq!(flush.under_way, Some((3, true)));
        flush.under_way = None;
        let (mark, hurry) = (false, false);
        assert_eq!(flush.wish(3, 3, false), Wish { mark, hurry });
    }
}
