// SPDX-License-Identifier: Apache-2.0
//! Whose the files of a spool are: a file that its process holds locked for as long as it lives, and that names the store.
//!
//! The lock is `flock`'s, which the system gives back however a process ends, and which holds between containers that share a folder but
//! not their process ids. A forked child has its parent's open files: it closes these at once, or its parent would seem to live for as long
//! as it does itself. A program may close files that it did not open, as daemons do: before a number is closed here, it is looked whether it
//! still means the file. Nothing here follows a link or opens what belongs to another user.

#![expect(unsafe_code, reason = "a child closes inherited descriptors")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

use crate::delivery::effective_user;

const MAGIC: &str = "osprofiler spool owner 1\n";
/// Room for the longest name of a store that anybody means.
const MAX_BYTES: u64 = 16 << 10;

/// How many owners a process may be: one a store, and as many whose files it takes over.
const MOST: usize = 128;
const NONE: i32 = -1;
/// A place that is being filled.
const RESERVED: i32 = -2;
/// What a forked child closes.
static HELD: [Held; MOST] = [const { Held::new() }; MOST];

/// A descriptor, and the file that it means.
struct Held {
    number: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

impl Held {
    const fn new() -> Self {
        Self {
            number: AtomicI32::new(NONE),
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
        }
    }

    /// Whether `number` still means the file. Safe in a signal handler.
    fn is_meant_by(&self, number: i32) -> bool {
        let mut found = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `found` is a valid place for one `stat`, and the call writes nothing else.
        if unsafe { libc::fstat(number, found.as_mut_ptr()) } != 0 {
            return false;
        }
        // SAFETY: `fstat` has filled it.
        let found = unsafe { found.assume_init() };
        (found.st_dev, found.st_ino) == (self.device.load(SeqCst), self.inode.load(SeqCst))
    }
}

/// The file, open and locked.
pub(super) struct Owner {
    /// `None` once it is being closed.
    file: Option<File>,
    place: usize,
}

impl Owner {
    /// Makes the file at `path`, which is not there yet, for the store of that name.
    pub(super) fn make(path: &Path, store: &str) -> io::Result<Self> {
        let file = create(path)?;
        let made = Self::hold(file).and_then(|mut owner| {
            // Before there is a name in it, nobody takes it for an owner's.
            if let Some(file) = &mut owner.file {
                file.write_all(format!("{MAGIC}{store}").as_bytes())?;
            }
            Ok(owner)
        });
        if made.is_err() {
            let _ = std::fs::remove_file(path);
        }
        made
    }

    /// Takes over the file at `path`: `None` if it is another store's, or its process lives.
    pub(super) fn take_over(path: &Path, store: &str) -> io::Result<Option<Self>> {
        let mut file = open(path)?;
        let mut text = String::new();
        let read = (&mut file).take(MAX_BYTES).read_to_string(&mut text);
        if read.is_err() || text.strip_prefix(MAGIC) != Some(store) {
            return Ok(None);
        }
        match Self::hold(file) {
            Ok(owner) => Ok(Some(owner)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn hold(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let free = |held: &Held| {
            let reserved = held.number.compare_exchange(NONE, RESERVED, SeqCst, SeqCst);
            reserved.is_ok()
        };
        let Some(place) = HELD.iter().position(free) else {
            return Err(io::Error::other(
                "this process holds too many files of spools",
            ));
        };
        HELD[place].device.store(metadata.dev(), SeqCst);
        HELD[place].inode.store(metadata.ino(), SeqCst);
        HELD[place].number.store(file.as_raw_fd(), SeqCst);
        let owner = Self {
            file: Some(file),
            place,
        };
        if let Some(file) = &owner.file {
            file.try_lock().map_err(io::Error::from)?;
        }
        Ok(owner)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // In this order: a child never closes a number that stands for something else by then.
        let held = &HELD[self.place];
        held.number.store(RESERVED, SeqCst);
        if let Some(file) = self.file.take()
            && !held.is_meant_by(file.as_raw_fd())
        {
            // Somebody closed it, and its number is another file's, or nobody's.
            std::mem::forget(file);
        }
        held.number.store(NONE, SeqCst);
    }
}

/// Closes what the parent holds. For a forked child: atomics, and a call that is safe in a signal handler.
pub(in crate::delivery) fn leave_to_parent() {
    for held in &HELD {
        let number = held.number.swap(NONE, SeqCst);
        if number >= 0 && held.is_meant_by(number) {
            // SAFETY: the number is of a file of the parent's that nothing in this process will use: what owns it was left behind.
            unsafe { libc::close(number) };
        }
    }
}

/// Makes a file that is not there yet, for this user alone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path)
}

/// Opens a file of this user's own: no link, no pipe, nobody else's.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = open_anyones(path)?;
    if file.metadata()?.uid() == effective_user() {
        Ok(file)
    } else {
        Err(unfit("it is no file of this user's own"))
    }
}

/// Opens a file, whoever owns it: no link, no pipe.
pub(super) fn open_anyones(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(unfit("it is no file"))
    }
}

fn unfit(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_means_another_file_by_now_is_not_closed() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::make(&folder.path().join("owner"), "store").unwrap();
        let number = owner.file.as_ref().unwrap().as_raw_fd();
        let other = create(&folder.path().join("other")).unwrap();
        // SAFETY: both numbers are of files that this test has open; the owner's means the other's from here on, as after a
        // program that closes everything and opens its own.
        assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), number) }, number);
        drop(owner);
        // SAFETY: asks for flags of a number, changes nothing.
        assert!(unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0);
    }
}
