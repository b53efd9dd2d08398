// SPDX-License-Identifier: Apache-2.0
//! Forks: the child begins with nothing of its parent's, and those stores of the parent's that would not survive it are closed at that moment.
//!
//! Closed, because libraries keep state beside their connections: a child that opens a SQLite file anew finds in the
//! library's list of files that its process had locked it, takes no lock of its own, and goes on writing to a journal
//! that the parent's last close deletes. So, if such a store is in use, the forking thread asks the background thread to
//! stand aside, waits a bounded time for that, and forks.
//!
//! ```text
//!   forking thread         background thread
//!   FORKS += 1, wake ────▶ ends its turn, closes such stores, OPEN = 0
//!   wait for OPEN = 0 ◀──┘ waits for FORKS = 0
//!   fork()
//!   FORKS -= 1 ──────────▶ goes on (parent)          everything set to zero (child)
//! ```
//!
//! The child's handler touches only atomics, and closes its parent's spools. Where nothing was stored before the fork, or only in stores that survive it,
//! nobody waits.

#![expect(unsafe_code, reason = "registering handlers has no safe form")]

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::counters::Tally;
use super::process::{Process, TALLIES_BY_STORE, TALLY};
use super::{exit, futex, published, spool, thread};
use crate::recorder;

/// How long a fork waits for a call to a store that does not survive it, unless told otherwise. Such a store is a local
/// file: a batch takes it milliseconds, on a slow disk a few hundred.
pub const FORK_DEADLINE: Duration = Duration::from_secs(1);

static DEADLINE_MS: AtomicU64 = AtomicU64::new(FORK_DEADLINE.as_millis() as u64);

/// Sets how long a fork of this process waits for a call to a store that does not survive it (`sqlite`) to end.
/// [`FORK_DEADLINE`] without this. If the call has not ended by then, the fork goes ahead, and the child, which says so, stores nothing there.
pub fn set_fork_deadline(deadline: Duration) {
    let ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    DEADLINE_MS.store(ms, SeqCst);
}

/// Whether any store of this process does not survive a fork in mid-call.
static FRAGILE: AtomicBool = AtomicBool::new(false);

/// Forks under way.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// 1 while a store that does not survive a fork may be open, or be opened.
static OPEN: AtomicU32 = AtomicU32::new(0);
/// A fork under way goes ahead although a call to a store has not ended.
static HASTY: AtomicBool = AtomicBool::new(false);
/// The parent of this process was in the middle of a call to a store when it forked.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Registers the handlers, once. A child inherits them.
pub(super) fn install() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, SeqCst) {
        return;
    }
    // SAFETY: the handlers are functions of this library that never unwind; the child's touches only atomics.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
}

/// Says that a store does not survive a fork in mid-call.
pub(super) fn beware() {
    FRAGILE.store(true, SeqCst);
}

/// Whether the state of a store's library may be that of a call which never ends in this process.
pub(super) fn interrupted_a_store() -> bool {
    INTERRUPTED.load(SeqCst)
}

/// For the background thread, before it touches a store: while somebody forks, closes by `close` the stores that would not survive it, and waits.
pub(super) fn stand_aside(mut close: impl FnMut()) {
    // Either this sees the fork, or the forking thread sees the store that may be opened from here on.
    OPEN.store(1, SeqCst);
    while FORKS.load(SeqCst) > 0 {
        close();
        OPEN.store(0, SeqCst);
        futex::wake_all(&OPEN);
        let far = Instant::now() + Duration::from_secs(3600);
        futex::wait_until(&FORKS, far, |forks| forks == 0);
        OPEN.store(1, SeqCst);
    }
}

/// For the background thread: no such store is open, nor will be before it has next stood aside.
pub(super) fn nothing_is_open() {
    OPEN.store(0, SeqCst);
    futex::wake_all(&OPEN);
}

extern "C" fn prepare() {
    recorder::generation();
    FORKS.fetch_add(1, SeqCst);
    if !FRAGILE.load(SeqCst) || OPEN.load(SeqCst) == 0 {
        return;
    }
    // A driver that forks does so in the middle of its own call.
    let quiet = !thread::is_current() && {
        thread::wake();
        let deadline = Duration::from_millis(DEADLINE_MS.load(SeqCst));
        futex::wait_until(&OPEN, Instant::now() + deadline, |open| open == 0)
    };
    if !quiet {
        HASTY.store(true, SeqCst);
    }
}

extern "C" fn parent() {
    if FORKS.fetch_sub(1, SeqCst) == 1 {
        HASTY.store(false, SeqCst);
    }
    futex::wake_all(&FORKS);
}

extern "C" fn child() {
    if HASTY.load(SeqCst) {
        INTERRUPTED.store(true, SeqCst);
    }
    leave_parent();
    recorder::after_fork_in_child();
}

/// For the recorder, in a child whose parent's handlers did not run: nobody has asked the background thread to stand aside. Atomics only.
pub(crate) fn leave_parent_unseen() {
    if FRAGILE.load(SeqCst) && OPEN.load(SeqCst) != 0 {
        INTERRUPTED.store(true, SeqCst);
    }
    leave_parent();
}

fn leave_parent() {
    HASTY.store(false, SeqCst);
    OPEN.store(0, SeqCst);
    FORKS.store(0, SeqCst);
    Process::forget();
    thread::forget();
    exit::forget();
    spool::leave_to_parent();
    published::forget();
    TALLY.reset();
    TALLIES_BY_STORE.iter().for_each(Tally::reset);
}
