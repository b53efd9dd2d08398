// SPDX-License-Identifier: Apache-2.0
//! What the drivers of SQL databases have in common: upstream's table `data`, and two small ones of ours.
//!
//! A notification is a [`row`] of `data`; rows read are a [`trace`] again; a listing's rows are a [`listing`]. `data_error` has a
//! row for each batch and trace with an error, `data_lost` one for each loss that was told: rows are only ever added, so that
//! no two writers wait for each other. The text of statements, connections and the meaning of errors are each database's own.

pub(super) mod row;

pub(super) mod listing;
pub(super) mod trace;

pub(super) mod address;
pub(super) mod settings;

use super::words::one_line;

/// How many rows are removed in one transaction: writers wait for a moment at most.
pub(super) const ROWS_AT_ONCE: u64 = 5_000;

/// The first line of what a server said, or a part of it: details may hold what was to be stored.
pub(super) fn shorten(message: &str) -> String {
    one_line(message.lines().next().unwrap_or_default())
}
