// SPDX-License-Identifier: Apache-2.0
//! The commands, one file each; `registry.rs` has a line for each.
//!
//! A command's struct is its arguments, the doc comments are its help, and its `run` reads top to bottom what it does.

pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod prune;
pub(crate) mod show;
