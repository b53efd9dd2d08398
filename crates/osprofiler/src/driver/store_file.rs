// SPDX-License-Identifier: Apache-2.0
//! What the drivers of files share: making the file, noticing that it was removed, and saying what is wrong with it.
//!
//! A store's file is made 0660 with its folder's group, so that services of several users can write it; the folder is
//! never made, because one that is missing is a mount that is gone or a typing error more often than a wish. An error's
//! help names owner, group, mode and a remedy. What is put right in the file system, without the connection string, is temporary.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::delivery::effective_user;
use crate::shown::shell_word;
use crate::{Error, ErrorKind, Id, Loss, LossReason, Notifications};

/// Which file an open one is: device and inode, which a removed and replaced file does not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// The identity of the file at `path`, `None` if there is none.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Who wrote how much into one file: what is gone if the file is. By trace, so that each trace's report can say so; beyond
/// [`Written::MAX_TRACES`] traces only as a number.
#[derive(Default)]
pub(super) struct Written {
    by_trace: HashMap<String, u64>,
    others: u64,
}

impl Written {
    const MAX_TRACES: usize = 4096;

    pub(super) fn add(&mut self, batch: &Notifications) {
        let mut by_trace = HashMap::<Id<'_>, u64>::new();
        for notification in batch.iter() {
            *by_trace.entry(notification.base_id).or_default() += 1;
        }
        for (trace, count) in by_trace {
            self.add_trace(trace.to_string(), count);
        }
    }

    /// Adds what `other` holds and leaves it empty.
    pub(super) fn take_from(&mut self, other: &mut Self) {
        self.others += std::mem::take(&mut other.others);
        for (trace, count) in other.by_trace.drain() {
            self.add_trace(trace, count);
        }
    }

    fn add_trace(&mut self, trace: String, count: u64) {
        if self.by_trace.len() >= Self::MAX_TRACES && !self.by_trace.contains_key(&trace) {
            self.others += self.by_trace.drain().map(|(_, count)| count).sum::<u64>();
        }
        *self.by_trace.entry(trace).or_default() += count;
    }

    /// Has each trace count no more than `count` says that there is of it, and those that were too many no more than there is of all
    /// (`None`) beside. What `count` does not know stays as it is.
    #[cfg(feature = "sqlite")]
    pub(super) fn keep_at_most(&mut self, count: impl Fn(Option<Id<'_>>) -> Option<u64>) {
        self.by_trace.retain(|trace, written| {
            let left = Id::parse(trace).ok().and_then(|id| count(Some(id)));
            *written = left.map_or(*written, |left| left.min(*written));
            *written > 0
        });
        if let Some(all) = count(None) {
            let by_trace = self.by_trace.values().sum::<u64>();
            self.others = self.others.min(all.saturating_sub(by_trace));
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.others + self.by_trace.values().sum::<u64>()
    }

    /// What is lost with the file, by trace; `None` for the traces that were too many.
    pub(super) fn losses(&self) -> impl Iterator<Item = (Option<Id<'_>>, Loss)> {
        let reason = LossReason::StoreRemoved;
        let others = (self.others > 0).then_some((None, self.others));
        let by_trace = self
            .by_trace
            .iter()
            .map(|(trace, &count)| (Id::parse(trace).ok(), count));
        by_trace
            .chain(others)
            .map(move |(trace, count)| (trace, Loss { count, reason }))
    }
}

/// Makes the file if it is not there, 0660 whatever the umask says, with its folder's group where that is allowed.
pub(super) fn create(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o660)
        .open(path);
    match file {
        Ok(file) => {
            share(path, &file);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Best effort: a file that cannot be shared can still be written by whoever made it.
fn share(path: &Path, file: &File) {
    if let Some(folder) = path.parent().and_then(|folder| folder.metadata().ok()) {
        let _ = std::os::unix::fs::fchown(file, None, Some(folder.gid()));
    }
    let _ = file.set_permissions(std::fs::Permissions::from_mode(0o660));
}

/// Gives the files beside a store the store's group, where that is allowed, so that other users of it can share them. Never
/// through a link: who may write the folder could else have root give away any file.
#[cfg(feature = "sqlite")]
pub(super) fn share_group(path: &Path, beside: &[std::path::PathBuf]) {
    if let Ok(metadata) = path.metadata() {
        for file in beside {
            let _ = std::os::unix::fs::lchown(file, None, Some(metadata.gid()));
        }
    }
}

/// The mode of a store's folder: a group writes it, and what is made in it is that group's.
pub const STORE_FOLDER_MODE: u32 = 0o2770;

/// The mode of a folder in which each user keeps files of their own: the same, but nobody removes another's.
pub const SPOOL_FOLDER_MODE: u32 = 0o3770;

/// What to do where `folder` is not there, which is to have that mode.
pub fn missing_folder_help(folder: &Path, mode: u32) -> String {
    let folder = shell_word(folder.display());
    format!(
        "create it, writable for the services: `install -d -m {mode:o} -g osprofiler {folder}`, after `groupadd osprofiler` and, \
         for each service's user, `usermod -aG osprofiler USER`"
    )
}

/// The error for a call on `path` that failed; `action` as in "cannot {action} `/srv/traces.db`: ...".
pub(super) fn error(action: &str, path: &Path, error: io::Error) -> Error {
    use io::ErrorKind as Io;
    let folder = path.parent().unwrap_or(path);
    let (kind, why, help) = match error.kind() {
        Io::NotFound if !folder.exists() => (
            ErrorKind::Unavailable,
            format!("the folder `{}` does not exist", folder.display()),
            Some(missing_folder_help(folder, STORE_FOLDER_MODE)),
        ),
        Io::NotFound => (
            ErrorKind::NotFound,
            "no such file".to_owned(),
            Some("nothing was recorded there yet, or the store is another".to_owned()),
        ),
        Io::NotADirectory => (
            ErrorKind::Usage,
            "a part of the path is a file, not a folder".to_owned(),
            Some("name another path, or move that file away".to_owned()),
        ),
        Io::IsADirectory => (
            ErrorKind::Usage,
            "it is a folder".to_owned(),
            Some("name a file in it".to_owned()),
        ),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => (
            ErrorKind::Denied,
            if error.kind() == Io::PermissionDenied {
                "permission denied".to_owned()
            } else {
                "the file system is read-only".to_owned()
            },
            Some(access_help(path)),
        ),
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => (
            ErrorKind::Full,
            "no space left on the device".to_owned(),
            Some("free some space, or bound the store's size".to_owned()),
        ),
        _ => (ErrorKind::Unavailable, error.to_string(), None),
    };
    // Nobody can write to a folder; all else somebody changes while services go on.
    let is_temporary = error.kind() != Io::IsADirectory;
    let made = Error::new(kind, format!("cannot {action} `{}`: {why}", path.display()))
        .set_temporary(is_temporary)
        .with_source(error);
    match help {
        Some(help) => made.with_help(help),
        None => made,
    }
}

/// The store at `path` is not one that its driver can use, and will not become one.
pub(super) fn corrupt(action: &str, path: &Path, why: &str) -> Error {
    let path = path.display();
    Error::new(
        ErrorKind::Corrupt,
        format!("cannot {action} `{path}`: {why}"),
    )
    .with_help(format!(
        "is it the right file? if it is, move it away, and whoever writes there next makes a new one: `mv {} {}`",
        shell_word(&path),
        shell_word(format_args!("{path}.old"))
    ))
}

/// Who may, who asks, and what to do: for a file or folder that this process may not use.
pub fn access_help(path: &Path) -> String {
    // Without the file it is the folder that refuses.
    let subject = [Some(path), path.parent()]
        .into_iter()
        .flatten()
        .find_map(Subject::at);
    match subject {
        Some(subject) => subjects_help(&[subject]),
        None => format!(
            "let this user pass through the folders above `{}`",
            path.display()
        ),
    }
}

/// The same for a file that is there and its folder, where this process needs both.
#[cfg(feature = "sqlite")]
pub(super) fn file_and_folder_help(path: &Path) -> String {
    let subjects = [Some(path), path.parent()];
    let subjects: Vec<_> = subjects
        .into_iter()
        .flatten()
        .filter_map(Subject::at)
        .collect();
    format!(
        "the file and its folder must be writable: {}",
        subjects_help(&subjects)
    )
}

/// A file or folder, and whose it is.
struct Subject<'a> {
    path: &'a Path,
    metadata: Metadata,
}

impl<'a> Subject<'a> {
    fn at(path: &'a Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self { path, metadata })
    }

    fn group(&self) -> (u32, String) {
        let gid = self.metadata.gid();
        (gid, name_of("/etc/group", gid))
    }

    /// Whether its mode keeps its group out of it.
    fn keeps_group_out(&self) -> bool {
        let wanted = if self.metadata.is_dir() { 0o070 } else { 0o060 };
        self.metadata.mode() & wanted != wanted
    }
}

fn subjects_help(subjects: &[Subject<'_>]) -> String {
    let user = name_of("/etc/passwd", effective_user());
    let mut text = String::new();
    for Subject { path, metadata } in subjects {
        let owner = name_of("/etc/passwd", metadata.uid());
        let group = name_of("/etc/group", metadata.gid());
        let mode = metadata.mode() & 0o7777;
        let _infallible = write!(
            text,
            "`{}` belongs to {owner}:{group} with mode {mode:04o}, ",
            path.display()
        );
    }
    let groups: Vec<_> = subjects.iter().map(Subject::group).collect();
    let closed = subjects.iter().filter(|subject| subject.keeps_group_out());
    let closed: Vec<_> = closed.map(|subject| subject.path).collect();
    let way_in = way_in(&groups, &closed, &user);
    let _infallible = write!(text, "this process is {user}: {way_in}");
    text
}

/// How `user` comes to share files of `groups`, of which `closed` keep even those out. Nobody is told to join root's group: that
/// opens more than a store.
fn way_in(groups: &[(u32, String)], closed: &[&Path], user: &str) -> String {
    let user = shell_word(user);
    if groups.iter().any(|&(gid, _)| gid == 0) {
        return format!(
            "give the file and its folder a group that the services share: `groupadd osprofiler`, `usermod -aG osprofiler \
             {user}`, and `chgrp osprofiler` and `chmod g+rwX` both"
        );
    }
    let mut names: Vec<&str> = groups.iter().map(|(_, name)| &**name).collect();
    names.dedup();
    let mut way_in = format!(
        "join the group with `usermod -aG {} {user}`",
        shell_word(names.join(","))
    );
    if !closed.is_empty() {
        let closed: Vec<_> = closed
            .iter()
            .map(|path| shell_word(path.display()))
            .collect();
        let _infallible = write!(
            way_in,
            ", and let it in with `chmod g+rwX {}`",
            closed.join(" ")
        );
    }
    way_in
}

/// The name of the number `id`, as the table says that does without a directory server; the number if it has none.
fn name_of(table: &str, id: u32) -> String {
    let id = id.to_string();
    let text = std::fs::read_to_string(table).unwrap_or_default();
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&&*id))
        .map_or(id.clone(), |fields| fields[0].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_for_the_folders_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        create(&path).unwrap();
        create(&path).unwrap();
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o660);
        assert_eq!(metadata.gid(), folder.path().metadata().unwrap().gid());
        assert_eq!(
            FileIdentity::at(&path).unwrap(),
            Some(FileIdentity::of(&metadata))
        );
        assert_eq!(FileIdentity::at(&folder.path().join("y")).unwrap(), None);
    }

    #[test]
    fn what_was_written_is_known_by_trace_within_bounds() {
        let mut batch = Notifications::default();
        let traces = Written::MAX_TRACES as u128 + 10;
        for id in (0..traces).chain([traces - 1]).map(Id::from_u128) {
            batch.push(&crate::Notification {
                name: "x-start",
                base_id: id,
                trace_id: id,
                parent_id: id,
                timestamp: crate::Timestamp::default(),
                info: "{}",
                project: None,
                service: None,
            });
        }
        let (mut written, mut all) = (Written::default(), Written::default());
        written.add(&batch);
        all.take_from(&mut written);
        assert_eq!((written.total(), all.total()), (0, traces as u64 + 1));
        let told: Vec<_> = all.losses().collect();
        assert!(told.len() <= Written::MAX_TRACES + 1);
        assert_eq!(
            told.iter().map(|(_, loss)| loss.count).sum::<u64>(),
            traces as u64 + 1
        );
        assert_eq!(told.iter().filter(|(trace, _)| trace.is_none()).count(), 1);
    }

    #[test]
    #[cfg(feature = "sqlite")]
    fn no_more_is_lost_than_there_was() {
        // Of traces 1 and 2, and of those that were too many, so much was written.
        let check = |left: &dyn Fn(Option<Id<'_>>) -> Option<u64>, expected| {
            let by_trace = [(1, 10), (2, 20)];
            let by_trace = by_trace.map(|(id, count)| (Id::from_u128(id).to_string(), count));
            let mut written = Written {
                by_trace: by_trace.into(),
                others: 1_000,
            };
            written.keep_at_most(left);
            let one = written.by_trace.get(&Id::from_u128(1).to_string());
            assert_eq!((one.copied(), written.total()), expected);
        };
        let left =
            |trace, all| move |id: Option<Id<'_>>| Some(if id.is_some() { trace } else { all });
        check(&|_| None, (Some(10), 1_030));
        check(&left(100, 5_000), (Some(10), 1_030));
        check(&left(7, 500), (Some(7), 500));
        check(&left(0, 500), (None, 500));
        check(&left(7, 5), (Some(7), 14));
    }

    #[test]
    fn errors_say_what_is_wrong_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for (path, kind, temporary, expected) in [
            (
                "gone/x",
                ErrorKind::Unavailable,
                true,
                "gone` does not exist",
            ),
            (
                "file/x",
                ErrorKind::Usage,
                true,
                "a part of the path is a file",
            ),
        ] {
            let path = folder.path().join(path);
            let error = error("open", &path, create(&path).unwrap_err());
            assert_eq!((error.kind(), error.is_temporary()), (kind, temporary));
            assert!(error.to_string().contains(expected), "{error}");
        }
        for (refusal, kind, is_temporary) in [
            (io::ErrorKind::PermissionDenied, ErrorKind::Denied, true),
            (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::Denied, true),
            (io::ErrorKind::IsADirectory, ErrorKind::Usage, false),
        ] {
            let error = error("open", folder.path(), refusal.into());
            assert_eq!((error.kind(), error.is_temporary()), (kind, is_temporary));
            if kind == ErrorKind::Denied {
                assert!(error.help().unwrap().contains("usermod -aG"), "{error:?}");
            }
        }
    }

    #[test]
    fn a_command_to_be_copied_takes_any_path_as_it_is() {
        let (folder, path) = (Path::new("/my dir;x"), Path::new("/my dir;x/it's"));
        let corrupt = corrupt("open", path, "it is damaged");
        for (help, expected) in [
            (
                missing_folder_help(folder, SPOOL_FOLDER_MODE),
                "`install -d -m 3770 -g osprofiler '/my dir;x'`",
            ),
            (
                corrupt.help().unwrap().to_owned(),
                "`mv '/my dir;x/it'\\''s' '/my dir;x/it'\\''s.old'`",
            ),
        ] {
            assert!(help.contains(expected), "{help}");
        }
    }

    #[test]
    fn nobody_is_told_to_join_the_group_of_root() {
        let shared = || (42, "shared".to_owned());
        let root = || (0, "root".to_owned());
        let closed = Path::new("/srv/x");
        for (groups, closed, expected) in [
            (vec![root()], vec![], "`usermod -aG osprofiler glance`"),
            (
                vec![shared(), root()],
                vec![closed],
                "`usermod -aG osprofiler glance`",
            ),
            (
                vec![shared(), shared()],
                vec![],
                "join the group with `usermod -aG shared glance`",
            ),
            (
                vec![shared(), (43, "other".to_owned())],
                vec![closed, Path::new("/my dir;x")],
                "`usermod -aG shared,other glance`, and let it in with `chmod g+rwX /srv/x '/my dir;x'`",
            ),
        ] {
            let help = way_in(&groups, &closed, "glance");
            assert!(!help.contains("-aG root"), "{help}");
            assert!(help.contains(expected), "{help}");
        }
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn who_may_not_use_a_file_gets_its_advice_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.db");
        std::fs::write(&path, "").unwrap();
        for help in [access_help(&path), file_and_folder_help(&path)] {
            assert_eq!(help.matches("this process is").count(), 1, "{help}");
            assert_eq!(help.matches("usermod -aG").count(), 1, "{help}");
        }
    }
}
