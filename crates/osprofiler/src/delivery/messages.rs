// SPDX-License-Identifier: Apache-2.0
//! What delivery has to say, kept until somebody who may log takes it.
//!
//! The background thread never logs: under Python it must not enter the interpreter, and a Rust program's logger may lock or
//! allocate as it likes. So messages wait in a bounded ring, and the next traced caller drains it: Python's through
//! [`take_messages`](super::take_messages), a Rust program's into the `log` crate. One fault gives one message when it
//! begins and one when it ends.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How many messages wait at most; what comes when the ring is full is counted instead.
const CAPACITY: usize = 32;

/// How much a [`Message`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know: a store answers again.
    Info,
    /// Notifications wait or were lost; the program is not affected.
    Warning,
    /// Nothing will be stored until somebody acts.
    Error,
}

/// One line for the log of the traced program: lower case, no final period, no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How much it matters.
    pub severity: Severity,
    /// What is to be said.
    pub text: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Severity> for log::Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warn,
            Severity::Error => Self::Error,
        }
    }
}

/// The ring.
pub(super) struct Messages {
    /// Whether something waits: what a traced caller looks at, without the lock.
    waiting: &'static AtomicBool,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    messages: VecDeque<Message>,
    dropped: u64,
}

impl Messages {
    pub(super) fn new(waiting: &'static AtomicBool) -> Self {
        Self {
            waiting,
            ring: Mutex::default(),
        }
    }

    pub(super) fn push(&self, severity: Severity, text: String) {
        let mut ring = self.lock();
        if ring.messages.len() < CAPACITY {
            ring.messages.push_back(Message { severity, text });
        } else {
            ring.dropped += 1;
        }
        self.waiting.store(true, Relaxed);
    }

    /// All that waits, oldest first, and the ring is empty.
    pub(super) fn take(&self) -> Vec<Message> {
        if !self.waiting.load(Relaxed) {
            return Vec::new();
        }
        let mut ring = self.lock();
        self.waiting.store(false, Relaxed);
        let mut messages: Vec<Message> = ring.messages.drain(..).collect();
        if ring.dropped > 0 {
            messages.push(Message {
                severity: Severity::Warning,
                text: format!("{} further messages were left out", ring.dropped),
            });
            ring.dropped = 0;
        }
        messages
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        // Nothing under the lock can leave the ring half changed.
        self.ring
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Hands `messages` to the logger of the `log` crate.
pub(super) fn log_all(messages: Vec<Message>) {
    for message in messages {
        log::log!(target: "osprofiler", message.severity.into(), "{message}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_bounded_and_counted() {
        static WAITING: AtomicBool = AtomicBool::new(false);
        let messages = Messages::new(&WAITING);
        assert_eq!(messages.take(), []);
        for number in 0..CAPACITY + 7 {
            messages.push(Severity::Warning, number.to_string());
        }
        let taken = messages.take();
        assert_eq!(taken.len(), CAPACITY + 1);
        assert_eq!(taken[0].text, "0");
        assert_eq!(taken[CAPACITY].text, "7 further messages were left out");
        assert!(!WAITING.load(Relaxed));
    }
}
