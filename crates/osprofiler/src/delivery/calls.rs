// SPDX-License-Identifier: Apache-2.0
//! Calls into a driver: what it returns, or why it gave nothing. A panic stays here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, LossReason, Result};

/// Calls into a driver; a panic stays there.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(outcome) => outcome.map_err(Failure::Error),
        Err(_) => Err(Failure::Panic),
    }
}

/// Why a call to the driver gave nothing.
pub(super) enum Failure {
    Error(Error),
    Panic,
    /// A panic when all that it was given had been stored.
    PanicAfterwards,
}

impl Failure {
    /// Why what was to be written is lost; `None` if it is worth another try.
    pub(super) fn reason_to_give_up(&self) -> Option<LossReason> {
        match self {
            Self::Error(error) if error.is_temporary() => None,
            Self::Error(_) => Some(LossReason::Refused),
            Self::Panic | Self::PanicAfterwards => Some(LossReason::DriverFailed),
        }
    }
}
