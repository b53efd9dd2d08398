// SPDX-License-Identifier: Apache-2.0
//! How much may wait for a store that takes nothing, in memory and on disk: set for a process, read by its queues.
//!
//! A forked child goes on with its parent's bounds. So they hang on one pointer to what is never freed: no lock that a thread the child
//! does not have may hold.

#![expect(unsafe_code, reason = "an atomic pointer to what is never freed")]

use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// What may wait for each store that does not take it.
///
/// ```
/// use osprofiler::delivery::{Bounds, set_bounds};
///
/// let bounds = Bounds::default();
/// assert_eq!((bounds.queue_bytes, bounds.spool_folder), (64 << 20, None));
/// // Half an hour's outage of a busy service fits on the disk, and outlives the service.
/// set_bounds(Bounds {
///     spool_folder: Some("/var/lib/osprofiler/spool".into()),
///     ..Bounds::default()
/// });
/// # set_bounds(Bounds::default());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Memory for each store, in bytes; 64 MiB by default. Beyond it, the oldest go to files or are lost.
    pub queue_bytes: usize,
    /// The folder for those files, which has to be there; without one, the default, none are made.
    pub spool_folder: Option<PathBuf>,
    /// What all such files in the folder may take together, in bytes, of whichever process they are; 256 MiB by default.
    pub spool_bytes: u64,
}

impl Bounds {
    const DEFAULT: Self = Self {
        queue_bytes: 64 << 20,
        spool_folder: None,
        spool_bytes: 256 << 20,
    };

    /// This process's.
    pub(super) fn get() -> &'static Self {
        static DEFAULT: Bounds = Bounds::DEFAULT;
        // SAFETY: the pointer is null or came from `Box::into_raw` by a release operation, and is never freed.
        unsafe { BOUNDS.load(Ordering::Acquire).as_ref() }.unwrap_or(&DEFAULT)
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

static BOUNDS: AtomicPtr<Bounds> = AtomicPtr::new(ptr::null_mut());

/// Sets the bounds of this process, and of those forked from it later. The files' hold for stores that nothing was recorded for yet,
/// the memory's only until something was recorded for any store: this belongs to the start of a program.
pub fn set_bounds(bounds: Bounds) {
    // Setting the same again and again fills no memory.
    if *Bounds::get() != bounds {
        BOUNDS.store(Box::into_raw(Box::new(bounds)), Ordering::Release);
    }
}
