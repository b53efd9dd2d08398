// SPDX-License-Identifier: Apache-2.0
//! What recording threads and delivery tell each other: idleness, and the one wake-up call.
//!
//! Delivery sleeps without a timer only while no thread has a chunk, so whoever records next takes one, and looks here; who
//! writes on in a chunk looks nowhere. Who gets no chunk counts a loss, and looks here as well. Both sides leave their own mark before they look at the other's, so one of them sees it:
//!
//! ```text
//!   delivery                       recording thread              submitting thread
//!   IDLE = true                    takes a chunk, counts it,     leaves what it brings
//!                                  or counts a loss
//!   a chunk in use?  -> go on      IDLE?  -> wake                IDLE?  -> wake
//!   something left?  -> go on      writes and publishes
//!   sleep
//! ```
//!
//! The call may come before its record is published. Then delivery finds nothing but a chunk in use, and comes back soon.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};

use super::losses;
use super::pool::Pool;

/// Delivery sleeps until it is woken. True from the start: the first record of a process starts delivery.
static IDLE: AtomicBool = AtomicBool::new(true);
/// Delivery was woken and has not swept since.
static WOKEN: AtomicBool = AtomicBool::new(false);
static WAKER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Says that nobody delivers yet: in a forked child, and where delivery could not be started.
pub(crate) fn nobody_delivers() {
    WOKEN.store(false, SeqCst);
    IDLE.store(true, SeqCst);
}

/// Registers what wakes delivery; calls it if there was none and something has been recorded. Else it is called on a recording
/// thread, in the middle of a record, so it must be quick and must not record, wait or panic: at the first record after
/// [`announce_idle`] (and at a process's first), and when the pool fills faster than it is swept; then not again before the next sweep.
///
/// ```
/// use osprofiler::recorder::{Context, Origin, set_waker};
/// use osprofiler::point;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// static CALLS: AtomicU32 = AtomicU32::new(0);
/// let origin = Origin::register(Some("shop"), Some("api"), "host-1").unwrap();
/// let _trace = Context::new_trace(origin).attach();
/// drop(point!("early"));
/// set_waker(|| {
///     CALLS.fetch_add(1, Ordering::Relaxed);
/// });
/// drop(point!("late"));
/// assert_eq!(CALLS.load(Ordering::Relaxed), 1);
/// ```
pub fn set_waker(wake: fn()) {
    let before = WAKER.swap(wake as *mut (), SeqCst);
    if before.is_null() && !IDLE.load(SeqCst) {
        wake();
    }
}

/// Says that the caller is going to sleep until it is woken, and whether it may: if a thread has a chunk, what it records
/// there calls nobody, and a loss that waits to be taken has called already. Then what was said is taken back.
pub fn announce_idle() -> bool {
    WOKEN.store(false, SeqCst);
    IDLE.store(true, SeqCst);
    let may_sleep =
        Pool::existing().is_none_or(|pool| pool.chunks_in_use() == 0) && !losses::are_waiting();
    if !may_sleep {
        IDLE.store(false, SeqCst);
    }
    may_sleep
}

/// Begins a sweep.
pub(super) fn sweeping() {
    WOKEN.store(false, SeqCst);
}

/// Wakes delivery if it is idle, for what the caller has just brought: a chunk in use, or something else that delivery looks for
/// between announcing its sleep and falling asleep.
pub(crate) fn end_idleness() {
    if IDLE.load(SeqCst) && IDLE.swap(false, SeqCst) {
        wake();
    }
}

/// Wakes delivery, once between two sweeps.
#[cold]
#[inline(never)]
pub(super) fn wake() {
    if WOKEN.swap(true, SeqCst) {
        return;
    }
    let waker = WAKER.load(SeqCst);
    if !waker.is_null() {
        // SAFETY: the only non-null values ever stored are `fn()` pointers, by `set_waker`.
        let wake = unsafe { std::mem::transmute::<*mut (), fn()>(waker) };
        wake();
    }
}
