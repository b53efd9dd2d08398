// SPDX-License-Identifier: Apache-2.0
//! Who records: a bounded, append-only, process-wide table of project, service and host, so that a record carries 2 bytes.
//!
//! Entries are never removed, and adding one takes no lock: a forked child may register whatever its parent's other threads
//! were doing.

use std::num::NonZeroU16;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

const CAPACITY: usize = 4096;

static TABLE: [AtomicPtr<Entry>; CAPACITY] = [const { AtomicPtr::new(ptr::null_mut()) }; CAPACITY];

struct Entry {
    details: OriginDetails,
    /// What tells origins with equal details apart; 0 where nothing does.
    apart: u64,
}

/// Who records, as a number. Equal details are one origin, unless they are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(NonZeroU16);

/// What an [`Origin`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginDetails {
    /// The project of the service, for example `keystone`.
    pub project: Option<&'static str>,
    /// The service, for example `public`.
    pub service: Option<&'static str>,
    /// The machine's name; becomes `info.host`.
    pub host: &'static str,
}

impl Origin {
    /// The origin with these details. `None` once a process has registered 4,096 different ones. Takes no lock; meant for
    /// initialisation, it looks at every entry.
    ///
    /// ```
    /// # use osprofiler::recorder::Origin;
    /// let origin = Origin::register(Some("glance"), Some("api"), "host-1").unwrap();
    /// assert_eq!(Origin::register(Some("glance"), Some("api"), "host-1"), Some(origin));
    /// assert_eq!(origin.details().project, Some("glance"));
    /// ```
    pub fn register(project: Option<&str>, service: Option<&str>, host: &str) -> Option<Self> {
        Self::register_apart(project, service, host, 0)
    }

    /// The origin with these details that `apart` tells from others with the same.
    pub(crate) fn register_apart(
        project: Option<&str>,
        service: Option<&str>,
        host: &str,
        apart: u64,
    ) -> Option<Self> {
        let mut made: *mut Entry = ptr::null_mut();
        for (index, slot) in TABLE.iter().enumerate() {
            let mut entry = slot.load(Ordering::Acquire);
            if entry.is_null() {
                if made.is_null() {
                    let details = OriginDetails::leak(project, service, host);
                    made = Box::into_raw(Box::new(Entry { details, apart }));
                }
                let exchanged = slot.compare_exchange(
                    ptr::null_mut(),
                    made,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                match exchanged {
                    Ok(_) => return Some(Self::at(index)),
                    Err(other) => entry = other,
                }
            }
            // SAFETY: a non-null entry came from `Box::into_raw` by a release operation, and is never freed or written again.
            let entry = unsafe { &*entry };
            let details = &entry.details;
            if (details.project, details.service, details.host) == (project, service, host)
                && entry.apart == apart
            {
                // `made` lost a race against an equal registration; its few bytes stay with the table's.
                return Some(Self::at(index));
            }
        }
        None
    }

    /// What this origin stands for.
    pub fn details(self) -> OriginDetails {
        let entry = TABLE[usize::from(self.0.get()) - 1].load(Ordering::Acquire);
        // SAFETY: an `Origin` is made only for a slot that was seen filled (or read back from a record that was written
        // with one), and slots are never emptied.
        unsafe { (*entry).details }
    }

    /// All that were registered so far, in order.
    pub(crate) fn registered() -> impl Iterator<Item = Self> {
        let is_there = |slot: &&AtomicPtr<Entry>| !slot.load(Ordering::Acquire).is_null();
        let slots = TABLE.iter().take_while(is_there).enumerate();
        slots.map(|(index, _)| Self::at(index))
    }

    fn at(index: usize) -> Self {
        // CAPACITY is far below 65,535, so `index + 1` neither wraps nor is 0.
        Self(NonZeroU16::MIN.saturating_add(index as u16))
    }

    /// The number that a record carries; never 0.
    #[inline]
    pub(crate) fn number(self) -> u16 {
        self.0.get()
    }

    /// The origin of a record's number; `None` for 0.
    #[inline]
    pub(crate) fn from_number(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }
}

impl OriginDetails {
    fn leak(project: Option<&str>, service: Option<&str>, host: &str) -> Self {
        let leak = |text: &str| -> &'static str { Box::leak(text.into()) };
        Self {
            project: project.map(leak),
            service: service.map(leak),
            host: leak(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_are_different() {
        let empty = Origin::register(Some(""), None, "origin-test").unwrap();
        let absent = Origin::register(None, None, "origin-test").unwrap();
        assert_ne!(empty, absent);
        assert_eq!(absent.details().project, None);
    }

    #[test]
    fn equal_details_can_be_kept_apart() {
        let register = |apart| Origin::register_apart(None, None, "origin-apart", apart).unwrap();
        assert_eq!(
            register(0),
            Origin::register(None, None, "origin-apart").unwrap()
        );
        assert_eq!(register(1), register(1));
        assert_ne!(register(1), register(0));
        assert_ne!(register(1), register(2));
        assert_eq!(register(1).details(), register(2).details());
    }

    #[test]
    fn threads_that_register_the_same_get_the_same() {
        let register = || Origin::register(Some("race"), Some("race"), "origin-race").unwrap();
        let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(register)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), register());
        }
    }
}
