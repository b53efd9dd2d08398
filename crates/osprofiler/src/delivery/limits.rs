// SPDX-License-Identifier: Apache-2.0
//! How much a queue holds, and how long it waits.

use std::time::Duration;

/// Sizes and times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// What may wait in sealed batches, in bytes as [`Notifications::size_bytes`] counts them.
    pub(super) queue_bytes: usize,
    /// A batch is sealed at this many notifications...
    pub(super) batch_len: usize,
    /// ...or bytes.
    pub(super) batch_bytes: usize,
    /// The wait after a first failure. It doubles with each further one...
    pub(super) first_wait: Duration,
    /// ...up to this.
    pub(super) longest_wait: Duration,
    /// The least time between two reports of losses to the store.
    pub(super) loss_interval: Duration,
    /// The least time between two looks for files of processes that have ended.
    pub(super) adopt_interval: Duration,
}

impl Limits {
    pub(super) const DEFAULT: Self = Self {
        queue_bytes: 64 << 20,
        batch_len: 10_000,
        batch_bytes: 4 << 20,
        first_wait: Duration::from_millis(100),
        longest_wait: Duration::from_secs(10),
        loss_interval: Duration::from_secs(1),
        adopt_interval: Duration::from_secs(60),
    };
}
