// SPDX-License-Identifier: Apache-2.0
//! State that belongs to the interpreter's lock: read and changed only by a thread that holds it, so without a lock of its own.
//!
//! In come values that are copied out again; no reference to the inside ever leaves, and no Python code runs in here. The module
//! declares that it needs the lock (`gil_used` in `lib.rs`), so a free-threaded interpreter brings it back.

#![expect(unsafe_code, reason = "the interpreter's lock is the lock")]

use std::cell::Cell;

use pyo3::prelude::*;

/// A value under the interpreter's lock: a number, or the address of a Python object, which belongs to that lock as well.
pub(crate) struct GilCell<T>(Cell<T>);

// SAFETY: `get` and `set` are the only ways in, and both take proof that this thread holds the interpreter's lock; so no two
// threads are inside at once, and taking the lock orders one's writes before the next one's reads.
unsafe impl<T> Sync for GilCell<T> {}

impl<T: Copy> GilCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Cell::new(value))
    }

    #[inline]
    pub(crate) fn get(&self, _py: Python<'_>) -> T {
        self.0.get()
    }

    #[inline]
    pub(crate) fn set(&self, _py: Python<'_>, value: T) {
        self.0.set(value);
    }
}
