// SPDX-License-Identifier: Apache-2.0
//! Who may write a file: owner, group and its members, as the host's tables name them without a directory server; and whether
//! this user may, as the kernel says.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use osprofiler::driver::{access_help, missing_folder_help};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::geteuid;

use super::{Finding, Level};
use crate::status::reason;

/// The bit of a folder's mode with which files are removed by their owners only.
const STICKY: u32 = 0o1000;

/// The most members of a group that are named.
const MOST_MEMBERS: usize = 20;

/// A file or folder, and who owns it.
pub(super) struct Owned {
    pub(super) mode: u32,
    pub(super) user: String,
    pub(super) group: String,
    members: Vec<String>,
}

impl Owned {
    /// Of a file, or why it cannot be looked at.
    pub(super) fn at(path: &Path) -> Result<Self, Finding> {
        Self::read(path).map_err(|error| {
            let text = format!("cannot look at `{}`: {}", path.display(), reason(&error));
            let finding = Finding::new(Level::Error, text);
            match error.kind() {
                ErrorKind::PermissionDenied => finding.with_help(access_help(path)),
                _ => finding,
            }
        })
    }

    /// Of a folder that services write into, or why they cannot; one that is missing is to be made with `mode`.
    pub(super) fn folder(path: &Path, mode: u32) -> Result<Self, Finding> {
        let shown = path.display();
        if is_missing(path) {
            let text = format!("the folder `{shown}` does not exist");
            let help = missing_folder_help(path, mode);
            return Err(Finding::new(Level::Error, text).with_help(help));
        }
        if path.metadata().is_ok_and(|metadata| !metadata.is_dir()) {
            let text = format!("`{shown}` is no folder");
            let help = "name a folder that the services may write";
            return Err(Finding::new(Level::Error, text).with_help(help));
        }
        Self::at(path)
    }

    fn read(path: &Path) -> std::io::Result<Self> {
        let metadata = path.metadata()?;
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        let group = entry(&groups, metadata.gid());
        let members = group.as_ref().and_then(|fields| fields.get(3));
        let members = members.map_or("", String::as_str).split(',');
        Ok(Self {
            mode: metadata.mode() & 0o7777,
            user: user_name(metadata.uid()),
            members: members
                .filter(|member| !member.is_empty())
                .map(str::to_owned)
                .collect(),
            group: group.map_or_else(|| metadata.gid().to_string(), |fields| fields[0].clone()),
        })
    }

    /// `glance:osprofiler (mode 0660)`.
    pub(super) fn title(&self) -> String {
        format!("{}:{} (mode {:04o})", self.user, self.group, self.mode)
    }

    /// Who may write it, in words.
    pub(super) fn writers(&self) -> String {
        let mut writers = vec!["root".to_owned()];
        if self.mode & 0o200 != 0 && self.user != "root" {
            writers.push(self.user.clone());
        }
        if self.group_writes() {
            writers.push(match &self.members[..] {
                [] => format!("group {}", self.group),
                members => {
                    let named = members[..members.len().min(MOST_MEMBERS)].join(", ");
                    let more = if members.len() > MOST_MEMBERS {
                        ", ..."
                    } else {
                        ""
                    };
                    format!("group {} ({named}{more})", self.group)
                }
            });
        }
        if self.all_write() {
            writers.push("everybody".to_owned());
        }
        writers.join(", ")
    }

    pub(super) fn group_writes(&self) -> bool {
        self.mode & 0o020 != 0
    }

    pub(super) fn all_write(&self) -> bool {
        self.mode & 0o002 != 0
    }

    /// Whether who may write this folder may remove what others keep in it.
    pub(super) fn lets_remove(&self) -> bool {
        (self.group_writes() || self.all_write()) && self.mode & STICKY == 0
    }

    pub(super) fn all_read(&self) -> bool {
        self.mode & 0o004 != 0
    }
}

/// Whether nothing is there, which a folder that this user may not enter does not say.
pub(super) fn is_missing(path: &Path) -> bool {
    let looked = path.metadata();
    looked.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Why this user may not write the store at `path`, if it is up to `place`: the file itself, or the folder that it is made in.
pub(super) fn may_write(path: &Path, place: &Path) -> Result<(), Finding> {
    let wanted = if place.is_dir() {
        Access::WRITE_OK | Access::EXEC_OK
    } else {
        Access::WRITE_OK
    };
    accessat(CWD, place, wanted, AtFlags::EACCESS).map_err(|error| {
        let user = user_name(geteuid().as_raw());
        let why = reason(&error.into());
        let text = format!("`{user}` may not write `{}`: {why}", path.display());
        Finding::new(Level::Error, text).with_help(access_help(place))
    })
}

/// A user's name, or the number if there is none.
pub(super) fn user_name(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    entry(&users, uid).map_or_else(|| uid.to_string(), |fields| fields[0].clone())
}

/// The fields of the line of a table whose third is that number.
fn entry(table: &str, number: u32) -> Option<Vec<String>> {
    let number = number.to_string();
    let mut lines = table
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.get(2) == Some(&number.as_str()))?;
    Some(fields.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_those_whom_the_mode_lets() {
        let owned = |mode, members: &[&str]| Owned {
            mode,
            user: "glance".to_owned(),
            group: "traces".to_owned(),
            members: members.iter().map(ToString::to_string).collect(),
        };
        for (mode, members, expected) in [
            (0o660, &["a", "b"][..], "root, glance, group traces (a, b)"),
            (0o660, &[], "root, glance, group traces"),
            (0o640, &["a"], "root, glance"),
            (0o444, &["a"], "root"),
            (0o606, &["a"], "root, glance, everybody"),
        ] {
            assert_eq!(owned(mode, members).writers(), expected, "{mode:o}");
        }
    }

    #[test]
    fn names_come_from_the_hosts_tables() {
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(4_294_967_000), "4294967000");
    }
}
