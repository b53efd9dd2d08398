// SPDX-License-Identifier: Apache-2.0
//! A private runtime for stores whose client is async only: it runs on the thread that waits, and nowhere else.
//!
//! It is made in the process that uses it, so a fork leaves no thread behind to miss; between two calls nothing runs. A
//! client that has heartbeats to answer answers them while the driver waits, and connects again after it did not.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime as Tokio};

use crate::{Error, ErrorKind, Result};

/// The runtime of one connection.
pub(super) struct Runtime(Option<Tokio>);

impl Runtime {
    /// Makes one. Opens no connection; costs two file descriptors.
    pub(super) fn new() -> Result<Self> {
        Builder::new_current_thread()
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(|error| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("cannot prepare to wait for the store: {error}"),
                )
            })
    }

    /// Runs `work` to its end on this thread, at most for `deadline`; what takes longer is dropped, and is
    /// [`Unavailable`](ErrorKind::Unavailable) for not having answered.
    pub(super) fn run<T>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.0
            .as_ref()
            .and_then(|runtime| {
                let timed = async { tokio::time::timeout(deadline, work).await };
                runtime.block_on(timed).ok()
            })
            .unwrap_or_else(|| {
                Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("no answer within {} s", deadline.as_secs_f32()),
                ))
            })
    }
}

impl Drop for Runtime {
    /// Leaves what still runs, such as the search for a host's address, to its own end: nobody waits for it.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
