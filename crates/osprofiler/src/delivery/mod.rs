// SPDX-License-Identifier: Apache-2.0
//! From recorded events to stores: one background thread a process.
//!
//! ```text
//!   recorder's chunks            process.rs: submit, notifications as they are
//!        │ swept by worker.rs         │
//!        ▼                            ▼
//!   pipeline.rs   project, service, host; to each store of the origin, which table.rs knows
//!        ▼
//!   queue.rs      one a store: an unordered tail, sealed to batches
//!        ▼
//!   backlog.rs    bounded memory, oldest first ──full, or at the end──▶ spool.rs: files, if there may be some
//!        │                         ▲                                     │       │ none, or their bound is reached
//!        ▼ batch by batch          └──this process's, an ended one's─────┘       ▼
//!   calls.rs      driver::Writer::write                                        lost: ledger.rs, by trace and reason,
//!        ├─ for now: the same batch again, when standing.rs says so              ▲   until the store is told
//!        ├─ refused, a panic ────────────────────────────────────────────────────┘
//!        └─ taken: stored, but for what queue/held.rs knows the writer to hold back
//! ```
//!
//! What becomes of each is counted in counters.rs.
//!
//! The thread starts at a process's first event, sweeps every 100 ms while there are events, and sleeps without a timer otherwise. It
//! never touches Python, blocks signals, survives its drivers' panics, and belongs to one process: a forked child starts its own. At the
//! process's end an exit handler waits for it, up to a deadline. At any time recorded = stored + spooled + lost + waiting. It publishes
//! these numbers for whoever runs the host, in a small file, at most once a second.
//!
//! The modules stand in the order of that flow: who may call, the thread and its ends, what the thread runs.

mod clocksource;
mod process;

mod exit;
mod fork;
mod futex;
mod passage;
mod thread;

mod backlog;
mod bounds;
mod calls;
mod limits;
mod pipeline;
mod queue;
mod spool;
mod standing;
mod table;
mod texts;
mod worker;

mod counters;
mod ledger;
mod messages;
mod published;

#[cfg(test)]
mod scenarios;

pub use bounds::{Bounds, set_bounds};
pub use counters::Counters;
pub use exit::{EXIT_DEADLINE, end, set_exit_deadline};
pub(crate) use fork::leave_parent_unseen;
pub use fork::{FORK_DEADLINE, set_fork_deadline};
pub use messages::{Message, Severity};
pub use passage::let_time_pass;
pub(crate) use process::log_waiting_messages;
pub use process::{
    attach, attach_alone, attach_each, attach_own, counters, counters_by_store, flush,
    has_messages, say, submit, take_messages, traces_go_on,
};
pub(crate) use published::effective_user;
pub use published::{
    ProcessList, PublishedProcess, RuntimeFolders, failed_publications, processes, set_publishing,
};
pub use spool::{Spooled, spooled};
