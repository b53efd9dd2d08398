// SPDX-License-Identifier: Apache-2.0
//! What waits in a folder, whoever wrote it: for those who look at a host from outside.
//!
//! In: a folder that anybody may have filled. Out: numbers. Nothing is locked, taken over or removed; no link is followed, and of a file only
//! the head is read.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use super::{BATCH, is_named, owner, piece};

/// The most entries of a folder that are looked at.
const MOST_ENTRIES: usize = 1 << 16;

/// What waits in a folder for files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spooled {
    /// How many files.
    pub files: u64,
    /// What they hold, in bytes.
    pub bytes: u64,
    /// How many notifications the files say are in them, without those of [`unread`](Self::unread).
    pub notifications: u64,
    /// How many of the files this user may not read.
    pub unread: u64,
    /// When the oldest was written.
    pub oldest: Option<SystemTime>,
    /// Whether there may be more: nobody looks at a folder for ever.
    pub is_cut_off: bool,
}

/// Looks at a folder for what waits there.
///
/// # Errors
/// If the folder cannot be read.
pub fn spooled(folder: &Path) -> io::Result<Spooled> {
    let mut found = Spooled::default();
    for (number, entry) in fs::read_dir(folder)?.enumerate() {
        if number == MOST_ENTRIES {
            found.is_cut_off = true;
            break;
        }
        let entry = entry?;
        if !is_named(&entry.file_name().to_string_lossy(), BATCH) {
            continue;
        }
        // One that is gone by now waits no longer; no link is followed.
        let Some(metadata) = entry.metadata().ok().filter(fs::Metadata::is_file) else {
            continue;
        };
        found.files += 1;
        found.bytes = found.bytes.saturating_add(metadata.len());
        let written = metadata.modified().ok();
        found.oldest = found.oldest.into_iter().chain(written).min();
        match said_count(&entry.path()) {
            Ok(count) => found.notifications += count,
            Err(_) => found.unread += 1,
        }
    }
    Ok(found)
}

fn said_count(path: &Path) -> io::Result<u64> {
    let mut head = Vec::new();
    let file = owner::open_anyones(path)?;
    file.take(piece::HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(piece::said_count(&head))
}
