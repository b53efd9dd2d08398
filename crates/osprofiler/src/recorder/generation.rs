// SPDX-License-Identifier: Apache-2.0
//! Which process this is: a number that each fork changes, whoever forks and however.
//!
//! What a thread holds of the recorder belongs to a generation; a thread that finds another one has inherited it and drops it. The number
//! lies on a page of its own, which the kernel zeroes in every child: so a child also notices whose `pthread_atfork` handlers did not run
//! (a raw `clone`, `_Fork`), and nobody pays for looking. Where the kernel has no such pages (before Linux 4.14), the handlers are the only guard.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::delivery;

use super::{losses, pool, signal, sweep};

/// No process's: what a thread has that belongs to none yet.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The largest page that a kernel may have here.
const PAGE_BYTES: usize = if cfg!(target_arch = "x86_64") {
    1 << 12
} else {
    1 << 16
};

#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(align(65536)))]
struct Page {
    /// Counts forks above this process, from 1. 0 until somebody has looked, which includes a child of the fork that zeroed it.
    number: AtomicU32,
    /// Somebody is looking.
    looking: AtomicU32,
    _rest: [u8; PAGE_BYTES - 8],
}

const _: () = assert!(size_of::<Page>() == PAGE_BYTES && align_of::<Page>() == PAGE_BYTES);

static PAGE: Page = Page {
    number: AtomicU32::new(0),
    looking: AtomicU32::new(0),
    _rest: [0; PAGE_BYTES - 8],
};

/// The last number given. A child inherits it.
static LAST: AtomicU32 = AtomicU32::new(0);

/// What the page says: this process's number, or 0.
#[inline(always)]
pub(super) fn on_page() -> u32 {
    PAGE.number.load(Ordering::Relaxed)
}

/// How many forks lie above this process, plus one. The first call in a child leaves behind what was the parent's.
#[inline]
pub fn generation() -> u32 {
    match PAGE.number.load(Ordering::Acquire) {
        0 => look(),
        number => number,
    }
}

/// Makes the recorder this process's own; call it in the child after a fork, before anything records, from `pthread_atfork`.
///
/// Touches only atomics. What the parent's threads had recorded is the parent's to deliver; its memory is left as it is. Without it
/// the child does the same at its first record, if the kernel tells it of the fork.
pub fn after_fork_in_child() {
    leave_parent();
    begin();
}

#[cold]
#[inline(never)]
fn look() -> u32 {
    if PAGE.looking.swap(1, Ordering::AcqRel) == 0 {
        if LAST.load(Ordering::Relaxed) != 0 {
            delivery::leave_parent_unseen();
            leave_parent();
        }
        begin();
    }
    // Another thread of this process is between the lines above, which wait for nothing.
    while on_page() == 0 {
        std::thread::yield_now();
    }
    PAGE.number.load(Ordering::Acquire)
}

fn leave_parent() {
    signal::nobody_delivers();
    losses::forget();
    sweep::abandon();
    pool::abandon();
}

fn begin() {
    let last = LAST.load(Ordering::Relaxed);
    if last == 0 {
        zero_in_children();
    }
    // Not 0, and not `NOWHERE`, though nobody forks that often.
    let number = last % (NOWHERE - 1) + 1;
    LAST.store(number, Ordering::Relaxed);
    PAGE.number.store(number, Ordering::Release);
}

/// Has the kernel zero the page in all processes below this one.
fn zero_in_children() {
    // SAFETY: `sysconf` reads a number. The page is a `static` of this module that nothing else lies on, of the size and alignment of
    // the kernel's or a multiple; what changes in a child are its atomics, to a value that they may have.
    unsafe {
        if libc::sysconf(libc::_SC_PAGESIZE) as usize <= PAGE_BYTES {
            let page = (&raw const PAGE).cast_mut().cast();
            // An error leaves the handlers of `pthread_atfork`.
            libc::madvise(page, PAGE_BYTES, libc::MADV_WIPEONFORK);
        }
    }
}
