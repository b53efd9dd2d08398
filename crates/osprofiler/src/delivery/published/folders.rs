// SPDX-License-Identifier: Apache-2.0
//! The folders that published files may be in, and which of them may be trusted.
//!
//! | Folder | Made by |
//! |---|---|
//! | `$OSPROFILER_RUNTIME_DIR`, and then no other | whoever set it; empty or `off`: nothing is published |
//! | `/run/osprofiler` | the operator, for the services of all users |
//! | `$XDG_RUNTIME_DIR/osprofiler` | the process, for its user alone |
//! | `/tmp/osprofiler-UID` | the process, for its user alone |
//!
//! A folder is used if it is no link, belongs to root or the user, and nobody else can take away what is in it. Another user can so
//! neither read what he may not, nor have a file of somebody else's written or removed; he can at most keep a place from being used.

#![expect(unsafe_code, reason = "std has no call for the user id")]

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The most folders and files that are looked at.
pub(super) const MOST_ENTRIES: usize = 4096;

/// Where processes publish. [`Default`] is what holds without variables.
///
/// ```
/// use osprofiler::delivery::{RuntimeFolders, processes};
///
/// let folder = tempfile::tempdir().unwrap();
/// let folders = RuntimeFolders {
///     named: Some(folder.path().into()),
///     ..RuntimeFolders::default()
/// };
/// assert!(processes(&folders).processes.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeFolders {
    /// `OSPROFILER_RUNTIME_DIR`.
    pub named: Option<OsString>,
    /// `XDG_RUNTIME_DIR`.
    pub user: Option<OsString>,
}

/// What the process's variables were when it was attached to its first store. Never freed.
static NOTED: AtomicPtr<RuntimeFolders> = AtomicPtr::new(ptr::null_mut());

/// Reads the variables, once, on a thread of the program: later, on another, the program might be changing them.
pub(in super::super) fn note_environment() {
    if !NOTED.load(Ordering::Acquire).is_null() {
        return;
    }
    let noted = Box::into_raw(Box::new(RuntimeFolders {
        named: std::env::var_os("OSPROFILER_RUNTIME_DIR"),
        user: std::env::var_os("XDG_RUNTIME_DIR"),
    }));
    let null = ptr::null_mut();
    if NOTED
        .compare_exchange(null, noted, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
    {
        // SAFETY: the exchange failed, so `noted` is still this thread's alone.
        drop(unsafe { Box::from_raw(noted) });
    }
}

/// What was noted; nothing where nobody was attached.
pub(super) fn noted() -> Option<&'static RuntimeFolders> {
    // SAFETY: the pointer is null or came from `Box::into_raw` by a release operation, and is never freed.
    unsafe { NOTED.load(Ordering::Acquire).as_ref() }
}

/// The user that this process acts for.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: takes nothing, cannot fail, touches no memory of ours.
    unsafe { libc::geteuid() }
}

const SHARED: &str = "/run/osprofiler";
const TEMPORARY: &str = "/tmp";
const USERS: &str = "/run/user";

impl RuntimeFolders {
    /// Whether nothing is to be published or read.
    pub fn are_off(&self) -> bool {
        self.named
            .as_ref()
            .is_some_and(|named| named.is_empty() || named == "off")
    }

    /// The folders that this process may publish in, the best first; those of its user are made.
    pub(super) fn to_write(&self, user: u32) -> Vec<PathBuf> {
        if self.are_off() {
            return Vec::new();
        }
        let folders: Vec<PathBuf> = if let Some(named) = &self.named {
            vec![named.into()]
        } else {
            // Who is root by `sudo` may have the variable of somebody else, to whom the folder above ours would belong.
            let own = self.user.as_ref().map(Path::new);
            let own = own.filter(|folder| belongs_to(folder, user));
            let own = own.map(|folder| folder.join("osprofiler"));
            let temporary = Path::new(TEMPORARY).join(format!("osprofiler-{user}"));
            let own = own.into_iter().chain([temporary]);
            let own = own.filter(|folder| make(folder, user));
            [SHARED.into()].into_iter().chain(own).collect()
        };
        folders
            .into_iter()
            .filter(|folder| is_safe(folder, user))
            .collect()
    }

    /// The folders that processes of any user may have published in.
    pub(super) fn to_read(&self) -> Vec<PathBuf> {
        if self.are_off() {
            return Vec::new();
        }
        if let Some(named) = &self.named {
            return vec![named.into()];
        }
        let mut folders = vec![PathBuf::from(SHARED)];
        folders.extend(
            self.user
                .as_ref()
                .map(|folder| Path::new(folder).join("osprofiler")),
        );
        folders.extend(below(USERS, "").map(|folder| folder.join("osprofiler")));
        folders.extend(below(TEMPORARY, "osprofiler-"));
        // What a service of systemd with a `/tmp` of its own takes for that.
        for private in below(TEMPORARY, "systemd-private-") {
            folders.extend(below(private.join("tmp"), "osprofiler-"));
        }
        folders.sort();
        folders.dedup();
        folders.truncate(MOST_ENTRIES);
        folders
    }
}

/// What is in a folder and has a name with that beginning.
fn below(folder: impl AsRef<Path>, beginning: &str) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .take(MOST_ENTRIES);
    let beginning = beginning.to_owned();
    entries
        .filter_map(Result::ok)
        .filter(move |entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(beginning.as_bytes())
        })
        .map(|entry| entry.path())
}

/// Makes a folder for the user alone; whether it is there and the user's.
fn make(folder: &Path, user: u32) -> bool {
    // An error shows in the next line: the folder is not there.
    let _there = std::fs::DirBuilder::new().mode(0o700).create(folder);
    belongs_to(folder, user)
}

fn belongs_to(folder: &Path, user: u32) -> bool {
    folder
        .symlink_metadata()
        .is_ok_and(|found| found.uid() == user)
}

/// Whether what is put there stays what it is: a folder of root's or the user's own, and if all can write it, one where each can
/// remove only what is his.
pub(super) fn is_safe(folder: &Path, user: u32) -> bool {
    let Ok(found) = folder.symlink_metadata() else {
        return false;
    };
    let all_can_write = found.mode() & 0o002 != 0;
    let each_his_own = found.mode() & 0o1000 != 0;
    found.is_dir() && [0, user].contains(&found.uid()) && (!all_can_write || each_his_own)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_folder_that_others_can_empty_is_not_used() {
        let user = effective_user();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (mode, expected) in [
            (0o700, true),
            (0o755, true),
            (0o2770, true),
            (0o1777, true),
            (0o777, false),
        ] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_safe(path, user), expected, "{mode:o}");
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let (link, file) = (path.join("link"), path.join("file"));
        symlink(path, &link).unwrap();
        std::fs::write(&file, "").unwrap();
        assert!(!is_safe(&link, user) && !is_safe(&file, user) && !is_safe(&path.join("x"), user));
        if user != 0 {
            return;
        }
        std::os::unix::fs::chown(path, Some(4711), None).unwrap();
        assert!(is_safe(path, 4711) && !is_safe(path, 0));
    }

    #[test]
    fn the_users_folders_are_made_and_others_are_not() {
        let user = effective_user();
        let folder = tempfile::tempdir().unwrap();
        let folders = RuntimeFolders {
            named: None,
            user: Some(folder.path().into()),
        };
        let own = folder.path().join("osprofiler");
        assert!(folders.to_write(user).contains(&own));
        assert_eq!(own.metadata().unwrap().mode() & 0o7777, 0o700);
        assert!(folders.to_read().contains(&own));
        let named = folder.path().join("named");
        let folders = RuntimeFolders {
            named: Some(named.clone().into()),
            ..folders
        };
        assert!(folders.to_write(user).is_empty() && !named.exists());
        assert_eq!(folders.to_read(), [named]);
    }

    #[test]
    fn off_is_off() {
        for off in ["", "off"] {
            let folders = RuntimeFolders {
                named: Some(off.into()),
                user: Some("/tmp".into()),
            };
            assert!(folders.to_write(0).is_empty() && folders.to_read().is_empty());
        }
    }
}
