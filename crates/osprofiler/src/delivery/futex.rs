// SPDX-License-Identifier: Apache-2.0
//! Waiting for an atomic word to change, by Linux's futex: the one way of waiting in delivery.
//!
//! A word in a static needs no construction, holds no owner that a fork could leave behind, and may be woken from a signal handler or
//! an exit handler, where a mutex might be held by the very code that was interrupted.

#![expect(unsafe_code, reason = "the system call has no safe form")]

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Sleeps while `word` is `expected`, until woken or for `timeout`. May return early.
pub(super) fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().cast_signed().into(),
    });
    // SAFETY: the word is a live, aligned u32 and the timeout null or a live timespec; the kernel only reads both.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            timeout.as_ref().map_or(ptr::null(), ptr::from_ref),
        );
    }
}

/// Sleeps until `word` satisfies `condition` or `deadline` has passed; whether it does.
pub(super) fn wait_until(
    word: &AtomicU32,
    deadline: Instant,
    condition: impl Fn(u32) -> bool,
) -> bool {
    loop {
        let value = word.load(SeqCst);
        if condition(value) {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        wait(word, value, Some(left));
    }
}

/// Wakes all that sleep on `word`.
pub(super) fn wake_all(word: &AtomicU32) {
    // SAFETY: the word is a live u32, of which the kernel uses the address only.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            i32::MAX,
        );
    }
}
