// SPDX-License-Identifier: Apache-2.0
//! Which process a file is of: the namespace of its number, the number, and when it began; all three stand in the file's name.
//!
//! Numbers are given again; with the beginning, in clock ticks since the machine's, they are not. In another namespace (a container's)
//! the same number is another process, so nobody judges files of a namespace that is not its own.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The inode of the namespace.
    namespace: u64,
    pub(super) pid: u32,
    /// In clock ticks since the machine's beginning.
    started: u64,
}

impl Identity {
    /// The calling process.
    pub(super) fn of_this() -> Option<Self> {
        let pid = std::process::id();
        Some(Self {
            namespace: namespace()?,
            pid,
            started: started(pid)?,
        })
    }

    /// What a file's name says; `None` if it is none of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("counters-")?.split('-');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let identity = Self {
            namespace: number()?,
            pid: u32::try_from(number()?).ok()?,
            started: number()?,
        };
        // In one way only: no sign, no leading zero, nothing behind.
        (identity.file_name() == name).then_some(identity)
    }

    /// The file's name.
    pub(super) fn file_name(self) -> String {
        let Self {
            namespace,
            pid,
            started,
        } = self;
        format!("counters-{namespace}-{pid}-{started}")
    }

    /// Whether the process lives; `None` if it is of another namespace.
    pub(super) fn lives(self) -> Option<bool> {
        (namespace() == Some(self.namespace)).then(|| started(self.pid) == Some(self.started))
    }

    /// Whether the process runs for the user `uid`, who owns the file that says it is this process's.
    pub(super) fn runs_for(self, uid: u32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let status = status.unwrap_or_default();
        let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        users
            .unwrap_or_default()
            .split_whitespace()
            .any(|user| user.parse() == Ok(uid))
    }

    /// The program's name, as the system has it.
    pub(super) fn program(self) -> String {
        let name = std::fs::read(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&name).trim_end().to_owned()
    }
}

fn namespace() -> Option<u64> {
    let metadata = Path::new("/proc/self/ns/pid").metadata().ok()?;
    Some(metadata.ino())
}

/// When the process began; `None` if there is none, or only what its parent has not asked about. The program's name, in
/// parentheses before it, may hold anything.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let behind = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[behind + 1..]).ok()?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // The 22nd field, of which three are before this place.
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_a_later_one_of_its_number_does_not() {
        let this = Identity::of_this().unwrap();
        assert_eq!(this.lives(), Some(true));
        let started = this.started + 1;
        assert_eq!(Identity { started, ..this }.lives(), Some(false));
        let namespace = this.namespace + 1;
        assert_eq!(Identity { namespace, ..this }.lives(), None);
        assert_eq!(Identity::parse(&this.file_name()), Some(this));
    }

    #[test]
    fn a_process_that_ended_and_was_not_asked_about_does_not_live() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let stat = format!("/proc/{pid}/stat");
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        assert_eq!(started(pid), None);
        child.wait().unwrap();
    }

    #[test]
    fn only_one_name_is_a_processs() {
        assert!(Identity::parse("counters-1-2-3").is_some());
        for name in [
            "",
            "counters-1-2",
            "counters-1-2-3-4",
            "counters-1-2-3.part",
            "counters-1-+2-3",
            "counters-1-02-3",
            "counters-1-4294967296-3",
            "counters-1-2-18446744073709551616",
            "x-1-2-3",
        ] {
            assert_eq!(Identity::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_process_runs_for_its_user_alone() {
        let this = Identity::of_this().unwrap();
        let user = Path::new("/proc/self").metadata().unwrap().uid();
        assert!(this.runs_for(user));
        assert!(!this.runs_for(user + 1));
    }
}
