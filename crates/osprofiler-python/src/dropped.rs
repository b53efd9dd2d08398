// SPDX-License-Identifier: Apache-2.0
//! Notifications, points and traces that go nowhere before any store is asked: counted by process, and told once.
//!
//! In comes each one, out goes a message of delivery's at the first. What a forked child inherits is its parent's: it counts, and
//! tells, anew.

use osprofiler::delivery::{self, Severity};
use osprofiler::recorder;
use pyo3::Python;

use crate::gil::GilCell;

/// Those of one reason.
pub(crate) struct Dropped(GilCell<Counted>);

#[derive(Clone, Copy)]
struct Counted {
    /// The process that has counted.
    generation: u32,
    number: u64,
}

impl Dropped {
    pub(crate) const fn new() -> Self {
        Self(GilCell::new(Counted {
            generation: 0,
            number: 0,
        }))
    }

    /// How many there were in this process.
    pub(crate) fn number(&self, py: Python<'_>) -> u64 {
        let counted = self.0.get(py);
        if counted.generation == recorder::generation() {
            counted.number
        } else {
            0
        }
    }

    /// Counts one; `message` is what is told of the first.
    pub(crate) fn count(&self, py: Python<'_>, message: impl FnOnce() -> String) {
        let number = self.number(py);
        self.0.set(
            py,
            Counted {
                generation: recorder::generation(),
                number: number + 1,
            },
        );
        if number == 0 {
            delivery::say(Severity::Warning, message());
        }
    }
}
