// SPDX-License-Identifier: Apache-2.0
//! Losses that are told to a store once more, after an answer that did not come, and are to be counted once.
//!
//! Delivery tells the same loss again, with nothing added, until it is taken. A store that holds a number of each writer gets this
//! writer's [`Totals`], which are the same however often they are set; one that losses are only ever added to gets the same
//! [`Mark`] with the same loss, and its reader counts a mark once.

#[cfg(feature = "_mark")]
mod mark;
#[cfg(feature = "_totals")]
mod totals;

#[cfg(feature = "_mark")]
pub(super) use mark::Mark;
#[cfg(feature = "_totals")]
pub(super) use totals::Totals;
