// SPDX-License-Identifier: Apache-2.0
//! The files in which batches wait while a store is down and memory is full, or the process ends.
//!
//! ```text
//!   FOLDER/osprofiler-PID-MICROSECONDS.owner            locked while its process lives; names the store
//!   FOLDER/osprofiler-PID-MICROSECONDS-00000001.spool   a batch, oldest first
//! ```
//!
//! A batch is a file: written once, read once, removed when the store has it. So nothing is ever half removed, what a crash cuts short is
//! one file, and what two processes write never meets. Files whose owner has ended go to whoever next stores into the same store;
//! only this user's own are looked at. The bound is of all such files in the folder.
//!
//! Runs on the background thread. Nothing is synced: files outlive a process, not a power cut.

mod owner;
mod piece;
mod waiting;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use self::owner::Owner;
use self::piece::Damaged;
use super::ledger::Ledger;
use crate::Notifications;

pub(super) use self::owner::leave_to_parent;
pub(super) use self::piece::Piece;
pub use self::waiting::{Spooled, spooled};

const PREFIX: &str = "osprofiler-";
const OWNER: &str = ".owner";
const BATCH: &str = ".spool";

/// Why a batch was not kept.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The folder's bound is reached.
    Full,
    /// The system's reason.
    System(io::Error),
}

/// Why the oldest file gives nothing.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is gone or damaged: so many notifications, as far as is known.
    Lost(u64),
    /// The process or the system lacks something that may come back.
    Now(io::Error),
}

/// One store's files, of this process and of one that has ended.
pub(super) struct Spool {
    folder: PathBuf,
    max_bytes: u64,
    store: String,
    own: Option<Files>,
    adopted: Option<Files>,
    refuses: bool,
}

/// What a file takes of a disk at least.
const BLOCK_BYTES: u64 = 4096;

/// Whose files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// This process's.
    Own,
    /// An ended one's.
    Adopted,
}

/// The files of one owner.
struct Files {
    _owner: Owner,
    /// Path and beginning of each name.
    stem: String,
    next: u64,
    /// Oldest first: its number, and its notifications as far as known.
    waiting: VecDeque<(u64, u64)>,
}

impl Files {
    fn owner_path(&self) -> String {
        format!("{}{OWNER}", self.stem)
    }

    fn path(&self, number: u64) -> String {
        format!("{}-{number:08}{BATCH}", self.stem)
    }
}

impl Spool {
    /// For the store of that name; makes nothing yet.
    pub(super) fn new(folder: &Path, max_bytes: u64, store: &str) -> Self {
        Self {
            folder: folder.to_path_buf(),
            max_bytes,
            store: store.to_owned(),
            own: None,
            adopted: None,
            refuses: false,
        }
    }

    /// Whether files can be made at all.
    ///
    /// # Errors
    /// The system's, if not.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        let path = format!("{}.probe", self.new_stem());
        let made = owner::create(Path::new(&path));
        self.refuses = made.is_err();
        made.and_then(|_| fs::remove_file(path))
    }

    /// Whether files could not be made when that was [tried](Self::probe).
    pub(super) fn refuses(&self) -> bool {
        self.refuses
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// How many notifications of this process are in files.
    pub(super) fn len(&self) -> usize {
        let counts = self.own.iter().flat_map(|files| &files.waiting);
        counts.map(|(_, count)| *count as usize).sum()
    }

    /// Whether there are files to be sent.
    pub(super) fn has(&self, whose: Whose) -> bool {
        match whose {
            Whose::Own => self.own.is_some(),
            Whose::Adopted => self.adopted.is_some(),
        }
    }

    /// Keeps a batch.
    pub(super) fn keep(&mut self, batch: &Notifications) -> Result<(), Refusal> {
        // Nearly what it takes packed, and a little more; packing it for nothing would cost each batch of a long outage.
        // A block is left, for losses.
        self.has_room(batch.size_bytes() + BLOCK_BYTES as usize)?;
        self.write(&piece::of_batch(batch), batch.len() as u64)
    }

    /// Keeps losses that the store is to be told of.
    pub(super) fn keep_losses(&mut self, losses: &Ledger) -> Result<(), Refusal> {
        let bytes = piece::of_losses(losses);
        self.has_room(bytes.len())?;
        self.write(&bytes, 0)
    }

    fn has_room(&self, bytes: usize) -> Result<(), Refusal> {
        let used = self.used_bytes().map_err(Refusal::System)?;
        let bytes = (bytes as u64).next_multiple_of(BLOCK_BYTES);
        if used.saturating_add(bytes) > self.max_bytes {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], count: u64) -> Result<(), Refusal> {
        let mut files = match self.own.take() {
            Some(files) => files,
            None => self.begin().map_err(Refusal::System)?,
        };
        let number = files.next;
        files.next += 1;
        let path = files.path(number);
        let written = owner::create(Path::new(&path)).and_then(|mut file| file.write_all(bytes));
        match &written {
            Ok(()) => files.waiting.push_back((number, count)),
            // Its number is never used again, so what is left of it is only read by whoever adopts it, as damaged.
            Err(_) => drop(fs::remove_file(&path)),
        }
        if files.waiting.is_empty() {
            let _ = fs::remove_file(files.owner_path());
        } else {
            self.own = Some(files);
        }
        written.map_err(Refusal::System)
    }

    /// Path and beginning of a name that nobody has: a moment is not twice one process's, or its file is not made.
    fn new_stem(&self) -> String {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        let name = format!("{PREFIX}{}-{micros}", std::process::id());
        self.folder.join(name).display().to_string()
    }

    fn begin(&self) -> io::Result<Files> {
        let stem = self.new_stem();
        let owner = Owner::make(Path::new(&format!("{stem}{OWNER}")), &self.store)?;
        Ok(Files {
            _owner: owner,
            stem,
            next: 1,
            waiting: VecDeque::new(),
        })
    }

    /// What all files in the folder take, whoever wrote them.
    fn used_bytes(&self) -> io::Result<u64> {
        let mut used = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if is_named(&entry.file_name().to_string_lossy(), BATCH) {
                // One that is gone by now takes nothing.
                used += entry.metadata().map_or(0, |metadata| {
                    // Rounded up, as the disk does: so the number of files is bounded, too.
                    metadata.len().next_multiple_of(BLOCK_BYTES)
                });
            }
        }
        Ok(used)
    }

    /// The oldest piece, which stays until it is [removed](Self::remove); `None` if there is none.
    pub(super) fn read(&self, whose: Whose) -> Option<Result<Piece, Unreadable>> {
        let files = match whose {
            Whose::Own => self.own.as_ref()?,
            Whose::Adopted => self.adopted.as_ref()?,
        };
        let &(number, count) = files.waiting.front()?;
        Some(
            read(Path::new(&files.path(number))).map_err(|why| match why {
                // What this process knows of its own is not for the file to say.
                Unreadable::Lost(_) if whose == Whose::Own => Unreadable::Lost(count),
                why => why,
            }),
        )
    }

    /// Removes the oldest piece: it is stored, or lost.
    pub(super) fn remove(&mut self, whose: Whose) {
        let place = match whose {
            Whose::Own => &mut self.own,
            Whose::Adopted => &mut self.adopted,
        };
        let Some(files) = place else { return };
        if let Some((number, _)) = files.waiting.pop_front() {
            let _ = fs::remove_file(files.path(number));
        }
        if files.waiting.is_empty() {
            let _ = fs::remove_file(files.owner_path());
            *place = None;
        }
    }

    /// Looks for files for this store whose process has ended, and takes over those of one; whether it has.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn adopt(&mut self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some(stem) = name.to_str().filter(|name| is_named(name, OWNER)) else {
                continue;
            };
            let stem = &stem[..stem.len() - OWNER.len()];
            let path = self.folder.join(&name);
            // This process's own is locked, for this process as well.
            let Ok(Some(owner)) = Owner::take_over(&path, &self.store) else {
                continue;
            };
            let waiting = self.numbers_of(stem)?;
            if waiting.is_empty() {
                let _ = fs::remove_file(&path);
                continue;
            }
            self.adopted = Some(Files {
                _owner: owner,
                stem: self.folder.join(stem).display().to_string(),
                next: 0,
                waiting,
            });
            return Ok(true);
        }
        Ok(false)
    }

    /// Gives back what was [adopted](Self::adopt) and not yet removed.
    pub(super) fn leave_adopted(&mut self) {
        self.adopted = None;
    }

    /// The files of an owner, oldest first.
    fn numbers_of(&self, stem: &str) -> io::Result<VecDeque<(u64, u64)>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| {
                let number = name.strip_prefix(stem)?.strip_prefix('-')?;
                number.strip_suffix(BATCH)?.parse::<u64>().ok()
            });
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers.into_iter().map(|number| (number, 0)).collect())
    }
}

/// Why the system makes no file in a folder, in words alone.
pub(super) fn words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        return "it does not exist".to_owned();
    }
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

fn is_named(name: &str, end: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(end)
}

fn read(path: &Path) -> Result<Piece, Unreadable> {
    let lost = |Damaged(count)| Unreadable::Lost(count);
    let mut bytes = Vec::new();
    let read = owner::open(path).and_then(|file| {
        let most = piece::MAX_BYTES as u64 + 1;
        file.take(most).read_to_end(&mut bytes)
    });
    match read {
        Ok(length) if length > piece::MAX_BYTES => Err(Unreadable::Lost(0)),
        Ok(_) => piece::parse(&bytes).map_err(lost),
        Err(error) => Err(match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR) => {
                Unreadable::Now(error)
            }
            // It is gone, a link, somebody else's, on a disk that fails: whoever waited for it would wait for ever.
            _ => Unreadable::Lost(0),
        }),
    }
}

#[cfg(test)]
mod tests;
