// SPDX-License-Identifier: Apache-2.0
//! Which origin's events go to which stores: bounded, append-only, process-wide, without a lock.
//!
//! Routes outlive a fork: a worker forked after its parent was set up goes on without a call. So, as the origins, they are
//! atomics that a child may use whatever its parent's other threads were doing. A store is a number below [`STORES`], one for
//! each distinct connection string or name; an origin's stores are a word of bits.

#![expect(
    unsafe_code,
    reason = "atomic pointers to entries that are never freed"
)]

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::fork;
use crate::driver::registry::{self, Capability};
use crate::driver::{ConnectionString, Writer};
use crate::{Error, ErrorKind, Result};

/// How many different stores a process may use.
pub(super) const STORES: usize = 64;
/// Origins have numbers up to 65,535; those beyond the recorder's own bound never occur.
const ORIGINS: usize = 1 << 16;

/// Where notifications can go.
pub(super) enum Store {
    /// To a driver of the registry.
    Connection(ConnectionString),
    /// To a driver that the program brought.
    Own {
        name: String,
        open: Box<dyn Fn() -> Result<Box<dyn Writer>> + Send + Sync>,
    },
}

impl Store {
    /// Whether its library keeps no state that a fork could cut in two.
    pub(super) fn survives_fork(&self) -> bool {
        match self {
            Self::Connection(_) => self.can(Capability::SurvivesFork),
            Self::Own { .. } => true,
        }
    }

    /// Whether its driver has that ability; of one that the program brings nothing is known.
    pub(super) fn can(&self, capability: Capability) -> bool {
        match self {
            Self::Connection(connection) => registry::capabilities(connection)
                .is_ok_and(|capabilities| capabilities.contains(&capability)),
            Self::Own { .. } => false,
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// The driver's; and for a driver whose library keeps state that a fork may have cut in two, that this happened.
    pub(super) fn open(&self) -> Result<Box<dyn Writer>> {
        match self {
            Self::Connection(connection) => {
                let survives = registry::capabilities(connection)?;
                if fork::interrupted_a_store() && !survives.contains(&Capability::SurvivesFork) {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "this process was forked while its parent was writing to a store",
                    )
                    .set_temporary(false)
                    .with_help("restart the worker; fork workers before requests are traced"));
                }
                registry::open_writer(connection)
            }
            Self::Own { open, .. } => open(),
        }
    }
}

impl PartialEq for Store {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Connection(one), Self::Connection(other)) => one == other,
            (Self::Own { name: one, .. }, Self::Own { name: other, .. }) => one == other,
            _ => false,
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(connection) => connection.fmt(f),
            Self::Own { name, .. } => f.write_str(name),
        }
    }
}

/// One process's table.
pub(super) struct Table {
    stores: [AtomicPtr<Store>; STORES],
    routes: [AtomicU64; ORIGINS],
    version: AtomicU32,
}

impl Table {
    #[expect(
        clippy::large_stack_arrays,
        reason = "the initial value of a static, which takes no room until it is written"
    )]
    pub(super) const fn new() -> Self {
        Self {
            stores: [const { AtomicPtr::new(ptr::null_mut()) }; STORES],
            routes: [const { AtomicU64::new(0) }; ORIGINS],
            version: AtomicU32::new(0),
        }
    }

    /// Sends an origin's events also to the stores with those numbers, a bit each.
    pub(super) fn attach(&self, origin: u16, numbers: u64) {
        self.routes[usize::from(origin)].fetch_or(numbers, Ordering::AcqRel);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The stores of an origin.
    pub(super) fn stores_of(&self, origin: u16) -> Vec<usize> {
        let bits = self.routes[usize::from(origin)].load(Ordering::Acquire);
        (0..STORES)
            .filter(|store| bits & (1 << store) != 0)
            .collect()
    }

    /// Whether one of the stores of those numbers, a bit each, is an origin's.
    pub(super) fn has_store_of(&self, origin: u16, numbers: u64) -> bool {
        numbers != 0 && self.routes[usize::from(origin)].load(Ordering::Relaxed) & numbers != 0
    }

    /// The store with that number.
    pub(super) fn store(&self, number: usize) -> Option<&Store> {
        let entry = self.stores.get(number)?.load(Ordering::Acquire);
        // SAFETY: an entry is null or came from `Box::into_raw` by a release operation, and is never freed or written again.
        unsafe { entry.as_ref() }
    }

    /// Changes whenever a route does.
    pub(super) fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// The number of a store: a new one if it is new.
    ///
    /// # Errors
    /// If there are too many stores.
    pub(super) fn number_of(&self, store: Store) -> Result<usize> {
        let mut made = Box::into_raw(Box::new(store));
        for (number, slot) in self.stores.iter().enumerate() {
            let exchanged =
                slot.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
            let Err(entry) = exchanged else {
                return Ok(number);
            };
            // SAFETY: no exchange has succeeded, so `made` is still this thread's alone; `entry` is not null, for then the
            // exchange would have succeeded, and an entry lives for ever.
            let (ours, theirs) = unsafe { (Box::from_raw(made), &*entry) };
            if *ours == *theirs {
                return Ok(number);
            }
            made = Box::into_raw(ours);
        }
        // SAFETY: no exchange has succeeded, so `made` is still this thread's alone.
        let store = unsafe { Box::from_raw(made) };
        let message =
            format!("this process uses {STORES} stores already, too many to add `{store}`");
        Err(Error::new(ErrorKind::Usage, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(number: usize) -> Store {
        Store::Connection(ConnectionString::parse(&format!("file:///{number}")).unwrap())
    }

    #[test]
    fn equal_connections_are_one_store() {
        let table = Box::new(Table::new());
        for (origin, number) in [(1, 7), (2, 8), (3, 7), (1, 8), (1, 8)] {
            table.attach(origin, 1 << table.number_of(store(number)).unwrap());
        }
        assert_eq!(table.stores_of(1), [0, 1]);
        assert_eq!(table.stores_of(2), [1]);
        assert_eq!(table.stores_of(3), [0]);
        assert!(table.stores_of(4).is_empty());
        assert_eq!(table.store(0).unwrap().to_string(), "file:///7");
        assert!(table.store(2).is_none());
    }

    #[test]
    fn stores_are_bounded() {
        let table = Box::new(Table::new());
        for number in 0..STORES {
            table.attach(1, 1 << table.number_of(store(number)).unwrap());
        }
        let error = table.number_of(store(STORES)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this process uses 64 stores already, too many to add `file:///64`"
        );
        table.attach(2, 1 << table.number_of(store(STORES - 1)).unwrap());
    }
}
