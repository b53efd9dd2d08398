// SPDX-License-Identifier: Apache-2.0
//! What other processes of the host may know of this one: its counters, in a small file that `osprofiler doctor` reads.
//!
//! ```text
//!   background thread ──at most once a second, if they changed──▶ RUNTIME/counters-NAMESPACE-PID-START ──▶ processes()
//! ```
//!
//! In: the counters. Out: a file below the first [folder](folders) that this process may use, removed at its orderly end. A
//! process that records nothing for a second makes none. Nothing of it touches a traced thread, holds a file open, waits, or fails the program: what
//! cannot be published is [counted](failed_publications). Whoever reads the files believes nothing in them that it has not checked.

mod content;
mod folders;
mod identity;
mod processes;
mod publisher;

pub(super) use content::{Content, Numbers};
pub(crate) use folders::effective_user;
pub(super) use folders::note_environment;
pub(super) use publisher::{Publisher, forget};

pub use folders::RuntimeFolders;
pub use processes::{ProcessList, PublishedProcess, processes};
pub use publisher::{failed_publications, set_publishing};
