// SPDX-License-Identifier: Apache-2.0
//! The batches that wait for a store, oldest first: in files if there is a spool and memory was not enough, then in memory.
//!
//! ```text
//!   oldest ◀──────────────────────────────────────────── newest      last of all
//!   [ spool: this process's files ] [ memory, bounded ]  ◀── add     [ files of an ended process ]
//! ```
//!
//! A batch is [taken](Backlog::next), and then settled or put back; a file stays until then. What is in here is counted where it
//! changes its place: `spooled` is what is in this process's files.

use std::collections::VecDeque;
use std::io;

use super::counters::Tally;
use super::ledger::Ledger;
use super::spool::{Piece, Refusal, Spool, Unreadable, Whose};
use crate::Notifications;

/// Where a batch was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Memory,
    File(Whose),
}

/// What comes next.
pub(super) enum Oldest {
    Batch(Place, Notifications),
    /// A file with losses that the store is to be told of.
    Losses(Whose, Ledger),
    /// A file that gives nothing any more, with so many notifications as far as is known.
    Damaged(Whose, u64),
    /// A file that gives nothing at the moment.
    Unreadable(io::Error),
}

/// What waits for one store.
pub(super) struct Backlog {
    memory: VecDeque<Notifications>,
    memory_bytes: usize,
    spool: Option<Spool>,
}

impl Backlog {
    pub(super) fn new(spool: Option<Spool>) -> Self {
        Self {
            memory: VecDeque::new(),
            memory_bytes: 0,
            spool,
        }
    }

    pub(super) fn spool(&self) -> Option<&Spool> {
        self.spool.as_ref()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// How many notifications wait in memory.
    pub(super) fn len_in_memory(&self) -> usize {
        self.memory.iter().map(Notifications::len).sum()
    }

    /// How many notifications of this process wait in files.
    pub(super) fn len_in_files(&self) -> usize {
        self.spool.as_ref().map_or(0, Spool::len)
    }

    /// Whether nothing of this process waits.
    pub(super) fn is_empty(&self) -> bool {
        self.memory.is_empty() && !self.has_files(Whose::Own)
    }

    /// Whether files wait.
    pub(super) fn has_files(&self, whose: Whose) -> bool {
        self.spool.as_ref().is_some_and(|spool| spool.has(whose))
    }

    /// Adds the newest batch.
    pub(super) fn add(&mut self, batch: Notifications) {
        self.memory_bytes += batch.size_bytes();
        self.memory.push_back(batch);
    }

    /// The oldest batch in memory, which leaves it.
    pub(super) fn pop_memory(&mut self) -> Option<Notifications> {
        let batch = self.memory.pop_front()?;
        self.memory_bytes -= batch.size_bytes();
        Some(batch)
    }

    /// The oldest of all. A batch from memory is gone from here; files stay until they are [removed](Self::remove_file).
    pub(super) fn next(&mut self) -> Option<Oldest> {
        if let Some(piece) = self.read(Whose::Own) {
            return Some(piece);
        }
        match self.pop_memory() {
            Some(batch) => Some(Oldest::Batch(Place::Memory, batch)),
            None => self.read(Whose::Adopted),
        }
    }

    fn read(&self, whose: Whose) -> Option<Oldest> {
        Some(match self.spool.as_ref()?.read(whose)? {
            Ok(Piece::Batch(batch)) => Oldest::Batch(Place::File(whose), batch),
            Ok(Piece::Losses(losses)) => Oldest::Losses(whose, losses),
            Err(Unreadable::Lost(count)) => Oldest::Damaged(whose, count),
            Err(Unreadable::Now(error)) => Oldest::Unreadable(error),
        })
    }

    /// Puts a batch back that the store did not take.
    pub(super) fn put_back(&mut self, place: Place, batch: Notifications) {
        if place == Place::Memory {
            self.memory_bytes += batch.size_bytes();
            self.memory.push_front(batch);
        }
    }

    /// Removes the oldest file: its notifications are stored, lost, or were losses.
    pub(super) fn remove_file(&mut self, whose: Whose) {
        if let Some(spool) = &mut self.spool {
            spool.remove(whose);
        }
    }

    /// Brings the oldest batch in memory into a file; whether there was one.
    ///
    /// # Errors
    /// If it does not go into a file; it is where it was.
    pub(super) fn spill(&mut self, tallies: [&Tally; 2]) -> Result<bool, Refusal> {
        let (Some(spool), Some(batch)) = (&mut self.spool, self.memory.front()) else {
            return Ok(false);
        };
        spool.keep(batch)?;
        for tally in tallies {
            tally.add_spooled(batch.len() as u64);
        }
        self.pop_memory();
        Ok(true)
    }

    /// Keeps losses in a file; whether they are there.
    pub(super) fn keep_losses(&mut self, losses: &Ledger) -> bool {
        let spool = self.spool.as_mut();
        spool.is_some_and(|spool| spool.keep_losses(losses).is_ok())
    }

    /// Leaves the files of a process that has ended where they are, to whoever looks for some.
    pub(super) fn leave_adopted(&mut self) {
        if let Some(spool) = &mut self.spool {
            spool.leave_adopted();
        }
    }

    /// Looks for files of a process that has ended, if there are none in hand; whether there are some now.
    pub(super) fn adopt(&mut self) -> bool {
        let Some(spool) = &mut self.spool else {
            return false;
        };
        // Whatever is wrong with the folder is told when something has to go there.
        !spool.has(Whose::Adopted) && spool.adopt().unwrap_or(false)
    }
}
