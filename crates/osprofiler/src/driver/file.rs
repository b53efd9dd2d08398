// SPDX-License-Identifier: Apache-2.0
//! The driver `file`: one notification a line of JSON, appended to one file.
//!
//! Several processes may append: a batch is one write under a lock of the file, cut off again if it did not fit, so that a
//! batch is stored whole or not at all. Readers take lines as they come; junk and half lines are skipped and counted.
//! Losses are lines of their own kind. A file that was removed or replaced is noticed before the next batch. Removing traces
//! writes a new file; see [`pruner`]. What is not this driver's is neither read nor written; see [`content`].

mod content;
mod pruner;

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::registry::{Capability, Implementation};
use super::store_file::{self, FileIdentity, Written};
use super::{ConnectionString, ListFilter, ReadSummary, Reader, Stored, TraceSummary, Writer};
use crate::shown::shell_word;
use crate::wire::{self, BatchJson, Line, Lines};
use crate::{Error, ErrorKind, Id, Loss, LossReason, Notifications, Result, Timestamp};

pub(super) const IMPLEMENTATION: Implementation = Implementation {
    capabilities: &[
        Capability::Read,
        Capability::List,
        Capability::ListErrors,
        Capability::Losses,
        Capability::ManyWriters,
        Capability::Prunes,
        Capability::SurvivesFork,
    ],
    options: &[],
    client_options: &[],
    example: "file:///var/lib/osprofiler/traces.jsonl",
    open_writer: |connection| Ok(Box::new(FileWriter::new(connection.file_path()?))),
    open_reader: |connection: &ConnectionString| {
        Ok(Box::new(FileReader {
            path: connection.file_path()?.to_owned(),
        }))
    },
    open_pruner: Some(|connection| {
        Ok(Box::new(pruner::FilePruner {
            path: connection.file_path()?.to_owned(),
        }))
    }),
};

/// How long a batch waits for another process to finish its own.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);

/// As much of a file's beginning as tells it from any other: the first line's name and ids.
const KNOWN_HEAD_BYTES: usize = 128;

struct FileWriter {
    path: PathBuf,
    open: Option<OpenFile>,
    lines: Vec<u8>,
    /// What files that were removed held: still to be told by `take_losses`, and to be kept in the file that follows.
    removed_count: u64,
    removed: Written,
    /// What this writer put into a file that was written anew without some traces.
    carried: Written,
}

struct OpenFile {
    file: File,
    identity: FileIdentity,
    /// How it began when it was last seen to be ours.
    known_head: Vec<u8>,
    /// What this writer put into this very file: what is gone if it is removed.
    written: Written,
}

impl OpenFile {
    /// An error if it is not ours. It is looked into when it begins otherwise than before: somebody may have emptied it, and
    /// another program filled it since.
    fn check(&mut self, path: &Path) -> Result<()> {
        let mut head = [0; KNOWN_HEAD_BYTES];
        let count = self.file.read_at(&mut head, 0);
        let count = count.map_err(|error| store_file::error("write", path, error))?;
        let head = &head[..count];
        if head.is_empty() || head != self.known_head {
            content::check_to_write(&self.file, path)?;
            self.known_head = head.to_vec();
        }
        Ok(())
    }
}

impl FileWriter {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            open: None,
            lines: Vec::new(),
            removed_count: 0,
            removed: Written::default(),
            carried: Written::default(),
        }
    }

    /// Appends `self.lines` to the file at the path, whatever happened to the one that was open.
    fn append(&mut self) -> Result<&mut OpenFile> {
        self.lock_current()?;
        let mut lost = String::new();
        for (trace, loss) in self.removed.losses() {
            wire::push_loss_line(trace, loss, &mut lost);
        }
        self.lines.extend_from_slice(lost.as_bytes());
        let Some(open) = &mut self.open else {
            return Err(Error::new(ErrorKind::Unavailable, "the file is not open"));
        };
        let appended = append_whole(&mut open.file, &mut self.lines);
        let _ = open.file.unlock();
        appended.map_err(|error| store_file::error("write", &self.path, error))?;
        self.removed = Written::default();
        Ok(open)
    }

    /// Opens and locks the file at the path. While one waits for the lock, the file may be replaced.
    fn lock_current(&mut self) -> Result<()> {
        loop {
            self.reopen()
                .map_err(|error| store_file::error("open", &self.path, error))?;
            let Some(open) = &mut self.open else { continue };
            lock(&open.file, &self.path)?;
            if FileIdentity::at(&self.path).is_ok_and(|at_path| at_path == Some(open.identity)) {
                return open.check(&self.path).inspect_err(|_| {
                    let _ = open.file.unlock();
                });
            }
            let _ = open.file.unlock();
        }
    }

    /// Leaves a file that is not at the path any more, and counts what went with it.
    fn forget_removed(&mut self) -> io::Result<()> {
        let at_path = FileIdentity::at(&self.path)?;
        if let Some(mut open) = self
            .open
            .take_if(|open| Some(open.identity) != at_path)
            // A file that was renamed can still be read; one without a name is gone with all that it held.
            && open.file.metadata().is_ok_and(|file| file.nlink() == 0)
        {
            if pruner::was_rewritten(&mut open.file)? {
                self.carried.take_from(&mut open.written);
            } else {
                self.removed_count += open.written.total();
                self.removed.take_from(&mut open.written);
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.forget_removed()?;
        if self.open.is_some() {
            return Ok(());
        }
        store_file::create(&self.path)?;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&self.path)?;
        self.open = Some(OpenFile {
            identity: FileIdentity::of(&file.metadata()?),
            file,
            known_head: Vec::new(),
            written: std::mem::take(&mut self.carried),
        });
        Ok(())
    }
}

impl Writer for FileWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        self.lines.clear();
        let mut json = BatchJson::new(batch);
        for index in 0..batch.len() {
            json.push_line(index, &mut self.lines);
        }
        self.append()?.written.add(batch);
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let mut line = String::new();
        wire::push_loss_line(base_id, loss, &mut line);
        self.lines = line.into_bytes();
        self.append().map(|_| ())
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        // A path that cannot be looked at says nothing about the file; the next batch will.
        let _ = self.forget_removed();
        match std::mem::take(&mut self.removed_count) {
            0 => Vec::new(),
            count => vec![Loss {
                count,
                reason: LossReason::StoreRemoved,
            }],
        }
    }
}

/// Waits for the lock, but not for ever: a process may be stopped while it holds it.
fn lock(file: &File, path: &Path) -> Result<()> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_DEADLINE => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "locks of files have no wait with a deadline; contention lasts as long as one write"
                )]
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "cannot write `{}`: another process has held its lock for {} s",
                        path.display(),
                        LOCK_DEADLINE.as_secs()
                    ),
                )
                .with_help(format!(
                    "see who: `lslocks`, or `fuser -v {}`",
                    shell_word(path.display())
                )));
            }
            Err(TryLockError::Error(error)) => {
                return Err(store_file::error("lock", path, error));
            }
        }
    }
}

/// Appends all of `lines` or nothing. Begins a line of its own where a writer that crashed has left half of one.
fn append_whole(file: &mut File, lines: &mut Vec<u8>) -> io::Result<()> {
    let end = file.seek(SeekFrom::End(0))?;
    if end > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(end - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            lines.insert(0, b'\n');
        }
    }
    file.write_all(lines).inspect_err(|_| {
        let _ = file.set_len(end);
    })
}

struct FileReader {
    path: PathBuf,
}

impl FileReader {
    fn lines(&self) -> Result<Lines<BufReader<File>>> {
        let open = File::open(&self.path).and_then(|file| {
            if file.metadata()?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok(file)
        });
        let file = open.map_err(|error| store_file::error("read", &self.path, error))?;
        content::check_to_read(&file, &self.path)?;
        Ok(Lines::new(BufReader::with_capacity(1 << 16, file)))
    }

    fn each_line(&self, mut each: impl FnMut(Line<'_>)) -> Result<()> {
        self.lines_while(|line| {
            each(line);
            ControlFlow::Continue(())
        })
    }

    fn lines_while(&self, mut each: impl FnMut(Line<'_>) -> ControlFlow<()>) -> Result<()> {
        let mut lines = self.lines()?;
        while let Some(line) = lines
            .next_line()
            .map_err(|error| store_file::error("read", &self.path, error))?
        {
            if each(line).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Reader for FileReader {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        let mut summary = ReadSummary::default();
        let text = base_id.to_string();
        self.each_line(|line| match line {
            Line::Notification(parsed) => {
                let notification = parsed.as_notification();
                if notification.base_id == base_id {
                    notifications.push(&notification);
                }
            }
            Line::Loss(Some(id), loss) if id == text => summary.add_loss(loss),
            Line::Loss(..) => {}
            Line::Junk(_) => summary.skipped += 1,
        })?;
        Ok(summary)
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        let mut first = HashMap::<String, Timestamp>::new();
        let mut skipped = 0;
        self.each_line(|line| {
            let parsed = match line {
                Line::Notification(parsed) => parsed,
                Line::Loss(..) => return,
                Line::Junk(_) => {
                    skipped += 1;
                    return;
                }
            };
            let notification = parsed.as_notification();
            if filter == ListFilter::WithErrors && !wire::has_error(&notification) {
                return;
            }
            first
                .entry(notification.base_id.to_string())
                .and_modify(|first| *first = notification.timestamp.min(*first))
                .or_insert(notification.timestamp);
        })?;
        let mut traces: Vec<_> = first.iter().map(|(id, &first)| (first, id)).collect();
        traces.sort_unstable();
        for (timestamp, text) in traces {
            if let Ok(base_id) = Id::parse(text) {
                each(TraceSummary { base_id, timestamp });
            }
        }
        Ok(skipped)
    }

    /// In the file's order, in one go.
    fn read_all(&mut self, each: &mut dyn FnMut(Stored<'_>) -> ControlFlow<()>) -> Result<u64> {
        let mut skipped = 0;
        self.lines_while(|line| match line {
            Line::Notification(parsed) => each(Stored::Notification(parsed.as_notification())),
            Line::Loss(base_id, loss) => {
                let base_id = base_id.as_deref().and_then(|text| Id::parse(text).ok());
                each(Stored::Loss(base_id, loss))
            }
            Line::Junk(_) => {
                skipped += 1;
                ControlFlow::Continue(())
            }
        })?;
        Ok(skipped)
    }

    /// In the file's order, in one go.
    fn read_each(
        &mut self,
        traces: &[Id<'_>],
        each: &mut dyn FnMut(Stored<'_>) -> ControlFlow<()>,
    ) -> Result<u64> {
        let traces: HashSet<Id<'_>> = traces.iter().copied().collect();
        self.read_all(&mut |stored| {
            let base_id = match stored {
                Stored::Notification(notification) => Some(notification.base_id),
                Stored::Loss(base_id, _) => base_id,
            };
            if base_id.is_some_and(|base_id| traces.contains(&base_id)) {
                each(stored)
            } else {
                ControlFlow::Continue(())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Notification;

    fn batch(count: u32) -> Notifications {
        let mut batch = Notifications::default();
        for number in 0..count {
            batch.push(&Notification {
                name: "db-start",
                base_id: Id::from_u128(1),
                trace_id: Id::from_u128(u128::from(number) + 2),
                parent_id: Id::from_u128(1),
                timestamp: Timestamp::from_micros(i64::from(number)),
                info: "{\n\"host\": \"a\"}",
                project: None,
                service: None,
            });
        }
        batch
    }

    fn read(path: &Path) -> (usize, ReadSummary) {
        let mut reader = FileReader {
            path: path.to_owned(),
        };
        let mut notifications = Notifications::default();
        let summary = reader.read(Id::from_u128(1), &mut notifications).unwrap();
        (notifications.len(), summary)
    }

    #[test]
    fn a_removed_file_is_made_again_and_what_it_held_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let mut writer = FileWriter::new(&path);
        writer.write(&batch(5)).unwrap();
        std::fs::remove_file(&path).unwrap();
        writer.write(&batch(3)).unwrap();
        assert_eq!(
            writer.take_losses(),
            [Loss {
                count: 5,
                reason: LossReason::StoreRemoved
            }]
        );
        assert_eq!(writer.take_losses(), []);
        assert_eq!(read(&path).0, 3);
    }

    #[test]
    fn a_renamed_file_is_no_loss() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let mut writer = FileWriter::new(&path);
        writer.write(&batch(5)).unwrap();
        std::fs::rename(&path, folder.path().join("trace.jsonl.1")).unwrap();
        writer.write(&batch(3)).unwrap();
        assert_eq!(writer.take_losses(), []);
        assert_eq!(read(&path).0, 3);
    }

    #[test]
    fn all_traces_are_read_in_one_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let mut writer = FileWriter::new(&path);
        writer.write(&batch(2)).unwrap();
        let loss = Loss {
            count: 3,
            reason: LossReason::Exit,
        };
        writer.write_loss(None, loss).unwrap();
        let mut reader = FileReader { path: path.clone() };
        let mut names = Vec::new();
        reader
            .read_all(&mut |stored| {
                // Another pass would not find the file.
                let _ = std::fs::remove_file(&path);
                names.push(match stored {
                    Stored::Notification(notification) => notification.name.to_owned(),
                    Stored::Loss(None, loss) => format!("{} lost", loss.count),
                    Stored::Loss(Some(base_id), _) => panic!("{base_id}"),
                });
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(names, ["db-start", "db-start", "3 lost"]);
    }

    #[test]
    fn half_a_line_of_a_crashed_writer_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        std::fs::write(&path, r#"{"name": "db-st"#).unwrap();
        FileWriter::new(&path).write(&batch(2)).unwrap();
        let (count, summary) = read(&path);
        assert_eq!((count, summary.skipped), (2, 1));
    }

    /// The symptom: JSON behind an SQLite store, over which SQLite then wrote.
    #[test]
    fn a_file_of_another_kind_stays_as_it_is_and_the_batch_is_refused_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        for (text, expected) in [
            (&b"SQLite format 3\0\x10"[..], "it is an SQLite file"),
            (b"nothing of ours\n", "it is another program's file"),
        ] {
            std::fs::write(&path, text).unwrap();
            let mut writer = FileWriter::new(&path);
            let error = writer.write(&batch(2)).unwrap_err();
            assert_eq!(
                (error.kind(), error.is_temporary()),
                (ErrorKind::Corrupt, false)
            );
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), text);
            // Nobody is kept waiting by the refusal, and a file that is moved away makes room.
            std::fs::rename(&path, folder.path().join("old")).unwrap();
            writer.write(&batch(2)).unwrap();
            assert_eq!((read(&path).0, writer.take_losses()), (2, vec![]));
        }
    }

    #[test]
    fn an_emptied_file_that_became_another_programs_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let mut writer = FileWriter::new(&path);
        for _ in 0..2 {
            writer.write(&batch(2)).unwrap();
        }
        let foreign = "{\"level\": \"info\"}\n";
        let length = path.metadata().unwrap().len() as usize;
        // Shorter than ours was, between its first batch and its end, and longer.
        for count in [1, length / foreign.len(), length] {
            let text = foreign.repeat(count);
            std::fs::write(&path, &text).unwrap();
            for _ in 0..2 {
                writer.write(&batch(2)).unwrap_err();
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            std::fs::write(&path, "").unwrap();
            for _ in 0..2 {
                writer.write(&batch(2)).unwrap();
            }
            assert_eq!(read(&path).0, 4);
        }
    }

    #[test]
    fn a_batch_that_does_not_fit_leaves_nothing() {
        let mut writer = FileWriter::new(Path::new("/dev/full"));
        let error = writer.write(&batch(2)).unwrap_err();
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (ErrorKind::Full, true)
        );
    }
}
