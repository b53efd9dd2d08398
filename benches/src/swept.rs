// SPDX-License-Identifier: Apache-2.0
//! A sweeper in the background, as delivery runs one: every 100 ms, or when it is woken.
//!
//! It hands each event to a function, and at the end says how many there were; nothing may have been lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use osprofiler::recorder::{Event, Sweeper, recorded, set_waker, take_losses};

static WOKEN: Mutex<bool> = Mutex::new(false);
static WAKE: Condvar = Condvar::new();
static SWEPT: Condvar = Condvar::new();
static EVENTS: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicBool = AtomicBool::new(false);

fn wake() {
    *WOKEN.lock().unwrap_or_else(PoisonError::into_inner) = true;
    WAKE.notify_one();
}

/// Runs `work` while a thread sweeps and gives each event to `each`. Returns how many there were.
///
/// # Panics
/// If an event was lost.
pub(crate) fn while_swept(each: impl FnMut(&Event<'_>) + Send, work: impl FnOnce()) -> u64 {
    let mut each = each;
    ENDED.store(false, Ordering::Release);
    set_waker(wake);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut sweeper = Sweeper::new();
            loop {
                let ended = ENDED.load(Ordering::Acquire);
                let swept = sweeper.sweep(&mut each);
                EVENTS.fetch_add(swept.events, Ordering::Release);
                SWEPT.notify_all();
                if ended {
                    return;
                }
                let woken = WOKEN.lock().unwrap_or_else(PoisonError::into_inner);
                let (mut woken, _) = WAKE
                    .wait_timeout_while(woken, Duration::from_millis(100), |woken| !*woken)
                    .unwrap_or_else(PoisonError::into_inner);
                *woken = false;
            }
        });
        work();
        ENDED.store(true, Ordering::Release);
        wake();
    });
    let mut lost = 0;
    take_losses(&mut |_, loss| lost += loss.count);
    let events = EVENTS.load(Ordering::Acquire);
    assert_eq!((lost, recorded()), (0, events), "lost, recorded");
    events
}

/// Waits until all but `behind` of the recorded events have been swept.
pub(crate) fn keep_pace(behind: u64) {
    while recorded() > EVENTS.load(Ordering::Acquire) + behind {
        wake();
        // Asleep: what waiting costs would be counted as ours.
        let woken = WOKEN.lock().unwrap_or_else(PoisonError::into_inner);
        drop(SWEPT.wait_timeout(woken, Duration::from_millis(5)));
    }
}
