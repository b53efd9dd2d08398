// SPDX-License-Identifier: Apache-2.0
//! Reads what the traced processes of this host have published.
//!
//! In: folders that anybody may have made. Out: the processes that live, and how many files were of none. A file is believed if it is a plain
//! one, of a user whom the process that its name says runs for, whole, and holds nothing impossible. Nothing is removed or waited for.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::content::{Content, MOST_BYTES};
use super::folders::{MOST_ENTRIES, RuntimeFolders};
use super::identity::Identity;
use crate::Timestamp;
use crate::delivery::counters::Counters;

/// How often a file is read that is being written at that moment.
const TRIES: usize = 5;
/// So young is a file whose first content is on its way. An older one that is empty is of a process that cannot write it.
const FIRST_CONTENT: Duration = Duration::from_secs(5);

/// What the traced processes of a host have published; see [`processes`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessList {
    /// Those that live, by number.
    pub processes: Vec<PublishedProcess>,
    /// Files of processes that were killed or crashed.
    pub ended: u64,
    /// Files of processes in other containers, of which nothing is known here.
    pub elsewhere: u64,
    /// Files that could not be read, or believed.
    pub refused: u64,
}

/// A process and its counters. The texts are as the process wrote them, at most 256 bytes each: hostile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedProcess {
    /// Its number.
    pub pid: u32,
    /// Whose it is, a number of `/etc/passwd`.
    pub user: u32,
    /// The program's name, as the system has it: 15 bytes at most.
    pub program: String,
    /// Project and service of each origin, eight at most.
    pub services: Vec<(Option<String>, Option<String>)>,
    /// When its counters last changed, but for less than a second.
    pub updated: Timestamp,
    /// Of all stores together.
    pub total: Counters,
    /// By the store's name, without its password.
    pub stores: Vec<(String, Counters)>,
    /// How often it could not publish.
    pub failed_publications: u64,
}

/// The traced processes of this host whose files the caller may read: root sees all, others see their own, and what
/// the folder `/run/osprofiler` shows them.
pub fn processes(folders: &RuntimeFolders) -> ProcessList {
    let mut list = ProcessList::default();
    for folder in folders.to_read() {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        for entry in entries.take(MOST_ENTRIES).filter_map(Result::ok) {
            if let Some(identity) = entry.file_name().to_str().and_then(Identity::parse) {
                list.add(identity, &entry.path());
            }
        }
    }
    list.processes.sort_by_key(|process| process.pid);
    list.processes.dedup_by_key(|process| process.pid);
    list
}

impl ProcessList {
    fn add(&mut self, identity: Identity, path: &Path) {
        match identity.lives() {
            None => self.elsewhere += 1,
            Some(false) => self.ended += 1,
            Some(true) if is_just_made(path, SystemTime::now()) => {}
            Some(true) => match read(identity, path) {
                Some(process) => self.processes.push(process),
                // It may have ended meanwhile, in order.
                None if path.symlink_metadata().is_ok() => self.refused += 1,
                None => {}
            },
        }
    }
}

/// Whether it is a file whose first content is on its way.
fn is_just_made(path: &Path, now: SystemTime) -> bool {
    path.symlink_metadata().is_ok_and(|found| {
        // A clock that was set back says nothing of its age.
        let age = found
            .modified()
            .map(|at| now.duration_since(at).unwrap_or_default());
        found.is_file() && found.len() == 0 && age.is_ok_and(|age| age < FIRST_CONTENT)
    })
}

fn read(identity: Identity, path: &Path) -> Option<PublishedProcess> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || !identity.runs_for(metadata.uid()) {
        return None;
    }
    let content = (0..TRIES).find_map(|_| read_once(&mut file))?;
    Some(PublishedProcess {
        pid: identity.pid,
        user: metadata.uid(),
        program: identity.program(),
        updated: Timestamp::from_micros(content.updated_us),
        total: content.total.counters(),
        stores: content
            .stores
            .iter()
            .map(|(name, numbers)| (name.clone(), numbers.counters()))
            .collect(),
        services: content.services,
        failed_publications: content.failed_publications,
    })
}

fn read_once(file: &mut File) -> Option<Content> {
    use std::io::Seek;
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.take(MOST_BYTES as u64).read_to_end(&mut text).ok()?;
    Content::decode(&text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn list(folder: &Path) -> ProcessList {
        processes(&RuntimeFolders {
            named: Some(folder.into()),
            user: None,
        })
    }

    /// Puts a file of this process there, or of one with that difference in its name, and counts.
    fn check(put: impl Fn(&Path, &[u8]), expected: (usize, u64, u64, u64)) {
        let folder = tempfile::tempdir().unwrap();
        let mut text = Vec::new();
        Content::default().encode(&mut text);
        let name = Identity::of_this().unwrap().file_name();
        put(&folder.path().join(name), &text);
        let list = list(folder.path());
        let counted = (
            list.processes.len(),
            list.ended,
            list.elsewhere,
            list.refused,
        );
        assert_eq!(counted, expected, "{list:?}");
    }

    #[test]
    fn only_a_plain_whole_file_of_a_living_process_counts() {
        let write = |path: &Path, text: &[u8]| std::fs::write(path, text).unwrap();
        let beside = |path: &Path, from: &str, to: &str| {
            let name = path.file_name().unwrap().to_str().unwrap();
            path.with_file_name(name.replacen(from, to, 1))
        };
        let pid = format!("-{}-", std::process::id());
        check(write, (1, 0, 0, 0));
        check(|path, _| write(path, b""), (0, 0, 0, 0));
        let write_early = |path: &Path, _: &[u8]| {
            let file = File::create(path).unwrap();
            let early = SystemTime::now() - 2 * FIRST_CONTENT;
            file.set_modified(early).unwrap();
        };
        check(write_early, (0, 0, 0, 1));
        check(
            |path, text| write(path, &text[..text.len() / 2]),
            (0, 0, 0, 1),
        );
        check(
            |path, _| write(path, &vec![b'x'; 3 * MOST_BYTES]),
            (0, 0, 0, 1),
        );
        check(
            |path, text| write(&beside(path, &pid, "-1-"), text),
            (0, 1, 0, 0),
        );
        check(
            |path, text| write(&beside(path, "-", "-1"), text),
            (0, 0, 1, 0),
        );
        check(
            |path, text| write(&beside(path, "counters", "x"), text),
            (0, 0, 0, 0),
        );
        check(|path, _| std::fs::create_dir(path).unwrap(), (0, 0, 0, 1));
        check(
            |path, text| {
                let target = path.with_file_name("target");
                write(&target, text);
                symlink(&target, path).unwrap();
            },
            (0, 0, 0, 1),
        );
        check(
            |path, _| {
                let status = std::process::Command::new("mkfifo").arg(path).status();
                assert!(status.unwrap().success());
            },
            (0, 0, 0, 1),
        );
    }

    #[test]
    fn a_file_of_another_user_says_nothing_of_a_process() {
        if super::super::folders::effective_user() != 0 {
            return;
        }
        check(
            |path, text| {
                std::fs::write(path, text).unwrap();
                std::os::unix::fs::chown(path, Some(4711), None).unwrap();
            },
            (0, 0, 0, 1),
        );
    }
}
