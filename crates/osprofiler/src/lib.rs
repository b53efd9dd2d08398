// SPDX-License-Identifier: Apache-2.0
//! Trace points for services that share traces with OpenStack.
//!
//! A trace point costs nanoseconds: the [`recorder`] writes fixed records into memory of its thread and returns. One
//! background thread, [`delivery`], turns them into [`Notification`]s and hands these to a [`driver`], which writes them
//! to a store. Nothing that a store does can fail, block or slow the traced program:
//! recorded = stored + spooled + counted as lost.
//!
//! The modules stand in the order of that flow; below them are the values that all stages speak.

pub mod recorder;

pub mod delivery;

pub mod driver;

pub mod config;
mod error;
pub mod headers;
mod id;
mod notification;
mod timestamp;
pub mod wire;

pub use config::{Config, init};
pub use error::{Error, ErrorKind, Result};
pub use id::{Id, InvalidId};
pub use notification::{Kind, Loss, LossReason, Notification, Notifications, TextNumber};
pub use timestamp::Timestamp;
