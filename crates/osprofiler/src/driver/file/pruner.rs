// SPDX-License-Identifier: Apache-2.0
//! Removing traces from a file: what stays is written into another one, which then takes the first one's place.
//!
//! ```text
//!  old file, locked ──lines of other traces, junk too, byte for byte──▶ new file beside it
//!         │ a mark at its end: this went on elsewhere                      │ owner, group and mode of the old one
//!         └──────────────────────── renamed over ◀─────────────────────────┘
//! ```
//!
//! Readers have the old file or the new one, each whole. Writers wait for the lock, find another file at the path, and go on
//! there; the mark tells them that what they wrote is not lost.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::lock;
use crate::driver::Pruner;
use crate::driver::store_file::{self, FileIdentity};
use crate::wire::{self, Line, Lines};
use crate::{Error, ErrorKind, Id, Loss, LossReason, Result};

pub(super) struct FilePruner {
    pub(super) path: PathBuf,
}

impl Pruner for FilePruner {
    fn remove(&mut self, traces: &[Id<'_>]) -> Result<u64> {
        let sort = |action| {
            let path = self.path.clone();
            move |error| store_file::error(action, &path, error)
        };
        // What a link points to is replaced, not the link.
        let path = self.path.canonicalize().map_err(sort("open"))?;
        let mut old = open_and_lock(&path)?;
        let traces: HashSet<String> = traces.iter().map(ToString::to_string).collect();
        let mut new = NewFile::beside(&path, &old).map_err(sort("write a new file beside"))?;
        let removed = copy_others(&old, &traces, &mut new.file).map_err(sort("write anew"))?;
        if removed > 0 {
            new.file.sync_all().map_err(sort("write anew"))?;
            old.seek(SeekFrom::End(0))
                .and_then(|_| old.write_all(mark().as_bytes()))
                .map_err(sort("write"))?;
            fs::rename(&new.path, &path).map_err(sort("replace"))?;
        }
        let _ = old.unlock();
        Ok(removed)
    }

    /// All of them: each call writes the file anew.
    fn at_once(&self) -> usize {
        usize::MAX
    }
}

/// Opens the file at the path for reading and appending, and locks it.
fn open_and_lock(path: &Path) -> Result<File> {
    loop {
        let file = OpenOptions::new().read(true).append(true).open(path);
        let file = file.map_err(|error| store_file::error("open", path, error))?;
        let metadata = file
            .metadata()
            .map_err(|error| store_file::error("open", path, error))?;
        if !metadata.is_file() {
            let message = format!(
                "cannot remove traces from `{}`: it is no file",
                path.display()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        lock(&file, path)?;
        // While one waits for the lock, the file may be replaced.
        let at_path = FileIdentity::at(path);
        let at_path = at_path.map_err(|error| store_file::error("open", path, error))?;
        if at_path == Some(FileIdentity::of(&metadata)) {
            return Ok(file);
        }
    }
}

/// Writes the lines of `old` that are not of the `traces` to `new`, byte for byte. Returns how many traces had some.
fn copy_others(old: &File, traces: &HashSet<String>, new: &mut File) -> io::Result<u64> {
    let mut new = BufWriter::with_capacity(1 << 16, new);
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, old));
    let mut removed = HashSet::new();
    // What was read up to `kept` is in the new file or is to go.
    let mut kept = 0;
    loop {
        let begin = lines.position();
        let trace = match lines.next_line()? {
            None => break,
            Some(Line::Notification(parsed)) => {
                let base_id = parsed.as_notification().base_id;
                Some(base_id.to_string())
            }
            Some(Line::Loss(trace, _)) => trace,
            Some(Line::Junk(_)) => None,
        };
        if let Some(trace) = trace.filter(|trace| traces.contains(trace)) {
            copy_range(old, kept, begin, &mut new)?;
            kept = lines.position();
            removed.insert(trace);
        }
    }
    copy_range(old, kept, lines.position(), &mut new)?;
    new.flush()?;
    Ok(removed.len() as u64)
}

fn copy_range(from: &File, begin: u64, end: u64, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 1 << 14];
    let mut at = begin;
    while at < end {
        let wanted = usize::try_from(end - at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let part = &mut buffer[..wanted];
        from.read_exact_at(part, at)?;
        to.write_all(part)?;
        at += wanted as u64;
    }
    Ok(())
}

/// A file that is to take another one's place; removed unless it was renamed.
struct NewFile {
    path: PathBuf,
    file: File,
}

impl NewFile {
    /// With the owner, the group and the mode of `old`. An error if it would be of another group: services of other users could
    /// not write it any more.
    fn beside(path: &Path, old: &File) -> io::Result<Self> {
        let old = old.metadata()?;
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.new", std::process::id()));
        let path = path.with_file_name(name);
        // Left by an earlier process of the same number.
        let _absent = fs::remove_file(&path);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        let new = Self { path, file };
        // Only root may give a file to another user; the group decides who can write it.
        if std::os::unix::fs::fchown(&new.file, Some(old.uid()), Some(old.gid())).is_err() {
            std::os::unix::fs::fchown(&new.file, None, Some(old.gid()))?;
        }
        new.file.set_permissions(old.permissions())?;
        Ok(new)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let _renamed = fs::remove_file(&self.path);
    }
}

/// The last line of a file whose lines were carried over into another: a loss of nothing, which no reader minds.
fn mark() -> String {
    let mut line = String::new();
    let reason = LossReason::StoreRemoved;
    wire::push_loss_line(None, Loss { count: 0, reason }, &mut line);
    line
}

/// Whether a file that has no name any more was written anew, and not removed.
pub(super) fn was_rewritten(file: &mut File) -> io::Result<bool> {
    let mark = mark();
    let length = file.metadata()?.len();
    let Some(begin) = length.checked_sub(mark.len() as u64) else {
        return Ok(false);
    };
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(begin))?;
    file.take(mark.len() as u64).read_to_end(&mut end)?;
    Ok(end == mark.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn line(trace: &str) -> String {
        format!(
            r#"{{"name": "n", "base_id": "{trace}", "trace_id": "t", "parent_id": "p", "timestamp": "2026-01-01T00:00:00.000001", "info": {{}}, "project": null, "service": null}}"#
        )
    }

    fn remove(path: &Path, traces: &[&str]) -> Result<u64> {
        let traces: Vec<Id<'_>> = traces.iter().map(|text| Id::parse(text).unwrap()).collect();
        let path = path.to_owned();
        FilePruner { path }.remove(&traces)
    }

    #[test]
    fn all_that_is_of_no_removed_trace_stays_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let lost = r#"{"osprofiler_lost": 1, "reason": "exit", "base_id": "#;
        let long = "x".repeat(wire::MAX_LINE_BYTES + 10);
        let (a, b) = (line("a"), line("b"));
        let text = format!(
            "\0junk\n{a}\r\n{lost}\"a\"}}\n{b}  \n{long}\n{lost}null}}\n{a}\n{a}\n{lost}\"b\"}}\n{}",
            &b[..40]
        );
        fs::write(&path, &text).unwrap();
        assert_eq!(remove(&path, &["a", "c"]).unwrap(), 1);
        let expected = text
            .replace(&format!("{a}\r\n"), "")
            .replace(&format!("{a}\n"), "")
            .replace(&format!("{lost}\"a\"}}\n"), "");
        assert!(fs::read_to_string(&path).unwrap() == expected);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_without_them_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        fs::write(&path, line("b")).unwrap();
        let before = FileIdentity::at(&path).unwrap();
        assert_eq!(remove(&path, &["a"]).unwrap(), 0);
        assert_eq!(FileIdentity::at(&path).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn mode_owner_and_links_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (
            folder.path().join("trace.jsonl"),
            folder.path().join("link"),
        );
        fs::write(&path, line("a") + "\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // Root may give it away; for others both are their own.
        let _not_root = std::os::unix::fs::chown(&path, Some(65534), Some(65534));
        symlink(&path, &link).unwrap();
        let before = fs::metadata(&path).unwrap();
        assert_eq!(remove(&link, &["a"]).unwrap(), 1);
        let after = fs::metadata(&path).unwrap();
        assert_eq!(after.len(), 0);
        assert_eq!(
            (after.mode(), after.uid(), after.gid()),
            (before.mode(), before.uid(), before.gid())
        );
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (path, kind) in [
            (folder.path().join("gone"), ErrorKind::NotFound),
            (folder.path().to_owned(), ErrorKind::Usage),
            (PathBuf::from("/dev/null"), ErrorKind::Usage),
        ] {
            assert_eq!(remove(&path, &["a"]).unwrap_err().kind(), kind);
        }
    }
}
