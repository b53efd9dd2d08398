// SPDX-License-Identifier: Apache-2.0
//! How a command ends: its exit status, and a failure with what it was about and what to do next.
//!
//! The statuses are one table, from which `docs/exit-codes.md` comes. Failures of the other crates become a [`Failure`] here
//! and nowhere else, so that the same trouble has the same exit code under every command.

use std::fmt;
use std::path::Path;

use osprofiler::shown::shell_word;
use osprofiler::{Error, ErrorKind};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It did what it was asked to.
    Done,
    /// There was nothing to show, or a store or a file failed.
    Failed,
    /// The command line asked for something that cannot be.
    Usage,
}

impl Status {
    /// Every status, in the order of the codes.
    pub const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::Usage];

    /// The exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
        }
    }

    /// What the code says, as the table in the documentation has it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => {
                "done; skipped lines, lost notifications and the like are warnings on stderr"
            }
            Self::Failed => {
                "nothing found, or the store or a file failed; stderr says which and why"
            }
            Self::Usage => {
                "the command line is wrong: an unknown option, no connection string, an unknown scheme"
            }
        }
    }
}

/// Why a command did not do what it was asked to: one line, the causes below it, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) help: Vec<String>,
}

impl Failure {
    /// Nothing found, or a store or a file failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Status::Failed, message.into())
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Status::Usage, message.into())
    }

    /// The same failure with one more thing to do next.
    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The failure of a call to the system; `action` says what failed on what, as in ``cannot read `x` ``.
    pub(crate) fn io(action: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::failed(format!("{action}: {}", reason(error)))
    }

    /// The failure of a call on the file `path`; `action` as in "cannot {action} `x`".
    pub(crate) fn file(action: &str, path: &Path, error: &std::io::Error) -> Self {
        let shown = path.display();
        let failure = Self::io(format!("cannot {action} `{shown}`"), error);
        if error.kind() != std::io::ErrorKind::PermissionDenied {
            return failure;
        }
        let folder = match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => path,
        };
        let there = [folder, path];
        let there = there.iter().filter(|path| path.symlink_metadata().is_ok());
        let words: Vec<_> = there.map(|path| shell_word(path.display())).collect();
        failure.with_help(format!("see who may: `ls -ld {}`", words.join(" ")))
    }

    fn new(status: Status, message: String) -> Self {
        Self {
            status,
            message,
            causes: Vec::new(),
            help: Vec::new(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Usage => Status::Usage,
            _ => Status::Failed,
        };
        let mut failure = Self::new(status, error.to_string());
        failure.help.extend(error.help().map(str::to_owned));
        // Only the nearest cause: those below it say the same in a client's words. The system's errors are in the message.
        if let Some(cause) =
            std::error::Error::source(&error).filter(|cause| !cause.is::<std::io::Error>())
        {
            failure.causes.push(cause.to_string());
        }
        failure
    }
}

/// The system's words for `error` in our case: lower, without ` (os error 2)`.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn who_may_not_use_a_file_is_told_where_to_look() {
        let folder = tempfile::tempdir().unwrap();
        let (there, missing) = (folder.path().join("it's"), folder.path().join("missing"));
        std::fs::write(&there, "").unwrap();
        let shown = folder.path().display();
        for (path, kind, expected) in [
            (
                &*there,
                ErrorKind::PermissionDenied,
                Some(format!("see who may: `ls -ld {shown} '{shown}/it'\\''s'`")),
            ),
            (
                &*missing,
                ErrorKind::PermissionDenied,
                Some(format!("see who may: `ls -ld {shown}`")),
            ),
            (
                Path::new("nowhere"),
                ErrorKind::PermissionDenied,
                Some("see who may: `ls -ld .`".to_owned()),
            ),
            (&*there, ErrorKind::NotFound, None),
        ] {
            let failure = Failure::file("read", path, &kind.into());
            assert_eq!(failure.help.first(), expected.as_ref(), "{path:?} {kind}");
        }
    }
}
