// SPDX-License-Identifier: Apache-2.0
//! Keeps this process's file: at most one write a second, none where nothing changed, and none that could hurt.
//!
//! Owned by the background thread. The file is opened for each write and closed again, so that the program never meets a descriptor that it did
//! not open, and written only if it is still the one that this process made.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::content::Content;
use super::folders::{self, MOST_ENTRIES, RuntimeFolders};
use super::identity::Identity;
use crate::delivery::counters::Counters;

/// The least time between two writes, and between the first event and the first of them: a program that is over by then makes no file.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);
/// After a failure.
const BETWEEN_FAILURES: Duration = Duration::from_secs(60);

static PUBLISHING: AtomicBool = AtomicBool::new(true);
static FAILED: AtomicU64 = AtomicU64::new(0);

/// Sets whether this process, and those forked from it, publish their counters for `osprofiler doctor`. They do without this.
pub fn set_publishing(on: bool) {
    PUBLISHING.store(on, Relaxed);
}

/// How often this process could not publish its counters: no folder, no rights, no room. Nobody is told of it.
pub fn failed_publications() -> u64 {
    FAILED.load(Relaxed)
}

/// A forked child has published nothing.
pub(in super::super) fn forget() {
    FAILED.store(0, Relaxed);
}

/// This process's file, and when it is written next.
#[derive(Default)]
pub(in super::super) struct Publisher {
    /// Not before; `None` until something was recorded.
    due: Option<Duration>,
    /// What was written last.
    published: Counters,
    file: Option<Own>,
    has_ended: bool,
    text: Vec<u8>,
}

/// A file that this process made.
struct Own {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl Publisher {
    /// Writes what changed, if it is time. Returns how soon a turn is wanted for what could not be written yet.
    ///
    /// `now` is the time of any clock that goes on; `content` makes what is published but for its time.
    pub(in super::super) fn turn(
        &mut self,
        now: Duration,
        counters: &Counters,
        content: impl FnOnce() -> Content,
    ) -> Option<Duration> {
        if self.has_ended || *counters == self.published {
            return None;
        }
        if !PUBLISHING.load(Relaxed) {
            self.remove();
            return None;
        }
        let due = *self.due.get_or_insert(now + BETWEEN_WRITES);
        let remaining = due.saturating_sub(now);
        if !remaining.is_zero() {
            return Some(remaining);
        }
        self.published = *counters;
        let pause = match folders::noted().map(|folders| self.publish(folders, content())) {
            Some(Err(_)) => {
                FAILED.fetch_add(1, Relaxed);
                BETWEEN_FAILURES
            }
            _ => BETWEEN_WRITES,
        };
        self.due = Some(now + pause);
        None
    }

    /// Removes the file, for good: the process is ending in order.
    pub(in super::super) fn end(&mut self) {
        self.has_ended = true;
        self.remove();
    }

    fn remove(&mut self) {
        if let Some(own) = self.file.take() {
            // Nobody can be told; whoever reads it sees that the process is gone.
            let _left = std::fs::remove_file(own.path);
        }
    }

    fn publish(&mut self, folders: &RuntimeFolders, mut content: Content) -> io::Result<()> {
        if folders.are_off() {
            return Ok(());
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        content.updated_us = since.map_or(0, |since| since.as_micros() as i64);
        content.failed_publications = failed_publications();
        content.encode(&mut self.text);
        if let Some(own) = &self.file
            && let Some(file) = own.open()
        {
            return file.write_all_at(&self.text, 0);
        }
        let own = Own::make(folders)?;
        let file = own.open().ok_or(io::ErrorKind::NotFound)?;
        self.file = Some(own);
        file.write_all_at(&self.text, 0)
    }
}

impl Own {
    /// Makes this process's file in the first folder where that can be done.
    fn make(folders: &RuntimeFolders) -> io::Result<Self> {
        let identity = Identity::of_this().ok_or(io::ErrorKind::Unsupported)?;
        let user = folders::effective_user();
        let mut outcome = Err(io::ErrorKind::NotFound.into());
        for folder in folders.to_write(user) {
            remove_dead(&folder, user);
            let path = folder.join(identity.file_name());
            outcome = create(&path).map(|file| Self { path, file });
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// The file, if it is still there and the one that was made.
    fn open(&self) -> Option<File> {
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&self.path)
            .ok()?;
        let metadata = file.metadata().ok()?;
        ((metadata.dev(), metadata.ino()) == self.file).then_some(file)
    }
}

/// Makes a new file, and says which it is. One of that name is from an earlier turn of this process, or is a trap; in either case it goes,
/// if it can.
fn create(path: &Path) -> io::Result<(u64, u64)> {
    let create = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o640).open(path)
    };
    let file = match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            create()?
        }
        outcome => outcome?,
    };
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Removes what processes of this user left that were killed.
fn remove_dead(folder: &Path, user: u32) {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    for entry in entries.take(MOST_ENTRIES).filter_map(Result::ok) {
        let name = entry.file_name();
        let identity = name.to_str().and_then(Identity::parse);
        let is_dead = identity.is_some_and(|identity| identity.lives() == Some(false));
        if is_dead
            && entry
                .metadata()
                .is_ok_and(|metadata| metadata.uid() == user)
        {
            let _left = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::content::Numbers;
    use super::*;

    fn folders(folder: &Path) -> RuntimeFolders {
        RuntimeFolders {
            named: Some(folder.into()),
            user: None,
        }
    }

    fn content(recorded: u64) -> Content {
        let counters = Counters {
            recorded,
            ..Counters::default()
        };
        Content::new(Numbers::new(&counters))
    }

    fn read(path: &Path) -> Content {
        Content::decode(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn a_write_a_second_and_none_without_a_change() {
        let mut publisher = Publisher::default();
        let mut made = 0;
        let mut turn = |ms, recorded| {
            let counters = Counters {
                recorded,
                ..Counters::default()
            };
            let wanted = publisher.turn(Duration::from_millis(ms), &counters, || {
                made += 1;
                Content::default()
            });
            (wanted.map(|wanted| wanted.as_millis()), made)
        };
        for (ms, recorded, expected) in [
            (0, 0, (None, 0)),
            (100, 2, (Some(1000), 0)),
            (1099, 4, (Some(1), 0)),
            (1100, 4, (None, 0)),
            (1200, 4, (None, 0)),
            (1200, 6, (Some(900), 0)),
            (9000, 6, (None, 0)),
        ] {
            // Nobody has noted the variables here, so nothing is made.
            assert_eq!(turn(ms, recorded), expected, "{ms}");
        }
    }

    #[test]
    fn the_file_is_written_in_place_and_made_again_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::default();
        publisher
            .publish(&folders(folder.path()), content(1))
            .unwrap();
        let path = publisher.file.as_ref().unwrap().path.clone();
        let inode = path.metadata().unwrap().ino();
        publisher
            .publish(&folders(folder.path()), content(2))
            .unwrap();
        assert_eq!(path.metadata().unwrap().ino(), inode);
        assert_eq!(read(&path).total, content(2).total);
        std::fs::remove_file(&path).unwrap();
        publisher
            .publish(&folders(folder.path()), content(3))
            .unwrap();
        assert_eq!(read(&path).total, content(3).total);
        publisher.end();
        assert!(!path.exists());
    }

    #[test]
    fn what_another_put_in_its_place_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "as it was").unwrap();
        let name = Identity::of_this().unwrap().file_name();
        let path = folder.path().join(name);
        let mut publisher = Publisher::default();
        // Before the file is made, and when it is there.
        for recorded in 1..=2 {
            let _gone = std::fs::remove_file(&path);
            symlink(&victim, &path).unwrap();
            publisher
                .publish(&folders(folder.path()), content(recorded))
                .unwrap();
            assert_eq!(std::fs::read(&victim).unwrap(), b"as it was");
            assert_eq!(read(&path).total, content(recorded).total);
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&victim, &path).unwrap();
        publisher
            .publish(&folders(folder.path()), content(3))
            .unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"as it was");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        publisher
            .publish(&folders(folder.path()), content(4))
            .unwrap_err();
    }

    #[test]
    fn files_of_the_dead_are_removed_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let name = Identity::of_this().unwrap().file_name();
        let dead = name.replace(
            &format!("-{}-", std::process::id()),
            &format!("-{}-", child.id()),
        );
        child.wait().unwrap();
        let elsewhere = dead.replacen("counters-", "counters-1", 1);
        for name in [&dead, &elsewhere, "counters-of-somebody"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let mut publisher = Publisher::default();
        publisher
            .publish(&folders(folder.path()), content(1))
            .unwrap();
        assert!(!folder.path().join(&dead).exists());
        assert!(folder.path().join(&elsewhere).exists());
        assert!(folder.path().join("counters-of-somebody").exists());
    }
}
