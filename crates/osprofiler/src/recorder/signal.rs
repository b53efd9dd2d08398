// SPDX-License-Identifier: Apache-2.0
//! What recording threads and delivery tell each other: idleness, and the one wake-up call.
//!
//! A recording thread reads a word that hardly ever changes. It calls the waker only when delivery has said that it sleeps without a
//! timer, or when the pool fills faster than it is swept.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Delivery sleeps until it is woken. True from the start: the first record of a process starts delivery.
pub(super) static IDLE: AtomicBool = AtomicBool::new(true);
/// Delivery was woken and has not swept since.
static WOKEN: AtomicBool = AtomicBool::new(false);
static WAKER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// In a forked child: nobody delivers yet.
pub(super) fn forget() {
    IDLE.store(true, Ordering::Relaxed);
    WOKEN.store(false, Ordering::Relaxed);
}

/// Registers what wakes delivery. It is called on a recording thread, so it must be quick and must not record, wait or panic:
/// at the first record after [`announce_idle`] (and at a process's first), and when the pool fills faster than it is swept; then not again
/// before the next sweep.
pub fn set_waker(wake: fn()) {
    WAKER.store(wake as *mut (), Ordering::Release);
}

/// Says that the caller will sleep without a timer unless a sweep that begins 100 ms or more from now finds something. After
/// that sweep it may: whichever record that sweep could not see has called the waker, or will.
pub fn announce_idle() {
    WOKEN.store(false, Ordering::SeqCst);
    IDLE.store(true, Ordering::SeqCst);
}

/// Begins a sweep.
pub(super) fn sweeping() {
    WOKEN.store(false, Ordering::SeqCst);
}

/// Wakes delivery if it is idle, for what the caller has brought before: a record that was published, or what delivery finds by looking
/// whenever it sweeps.
#[cold]
#[inline(never)]
pub(crate) fn end_idleness() {
    if IDLE.swap(false, Ordering::SeqCst) {
        wake();
    }
}

/// Wakes delivery, once between two sweeps.
#[cold]
#[inline(never)]
pub(super) fn wake() {
    if WOKEN.swap(true, Ordering::SeqCst) {
        return;
    }
    let waker = WAKER.load(Ordering::Acquire);
    if !waker.is_null() {
        // SAFETY: the only non-null values ever stored are `fn()` pointers, by `set_waker`.
        let wake = unsafe { std::mem::transmute::<*mut (), fn()>(waker) };
        wake();
    }
}
