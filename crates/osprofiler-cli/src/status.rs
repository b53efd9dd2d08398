// SPDX-License-Identifier: Apache-2.0
//! How a command ends: its exit status, and a failure with what it was about and what to do next.
//!
//! The statuses are one table, from which `docs/exit-codes.md` comes. Failures of the other crates become a [`Failure`] here
//! and nowhere else, so that the same trouble has the same exit code under every command.

use std::fmt;

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
