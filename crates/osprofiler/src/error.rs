// SPDX-License-Identifier: Apache-2.0
//! The one error of this crate: what failed, on what, why, and whether trying again can help.
//!
//! Drivers sort their client's errors into [`ErrorKind`]s here, so that delivery decides on retry and commands on
//! their exit code without knowing any client. No text in an error holds a password: whoever makes one names a store
//! through [`ConnectionString`](crate::driver::ConnectionString), which shows none.

use std::fmt;

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure an [`Error`] is; callers decide by this, people read the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller asked for something that cannot be: a malformed connection string, an option that does not exist.
    Usage,
    /// The store does not answer: down, unreachable, locked, timed out.
    Unavailable,
    /// The store answers and refuses: permission, authentication, read-only.
    Denied,
    /// The store has no room: disk full, size limit.
    Full,
    /// What was read is not what this store writes: corrupt, of another kind, of a later version.
    Corrupt,
    /// The thing asked for is not there.
    NotFound,
}

/// A failure, with what it was about and what to do next.
///
/// Displays as one line, lower case, without a final period: ``cannot open `/srv/traces.db`: permission denied``. `Debug` has the cause
/// and the help on lines below it, so that a `main` may return it.
/// One word wide, so that a `Result` on a warm path stays in registers.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    temporary: bool,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says what failed, on what and why. Temporary if `kind` is
    /// [`Unavailable`](ErrorKind::Unavailable) or [`Full`](ErrorKind::Full).
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let temporary = matches!(kind, ErrorKind::Unavailable | ErrorKind::Full);
        Self(Box::new(Inner {
            kind,
            temporary,
            message: message.into(),
            help: None,
            source: None,
        }))
    }

    /// The same error with a sentence on what to do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// The same error with the error that caused it. Its text is not repeated in this one's.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, said to pass (`true`: the same call may succeed later) or to stay.
    #[must_use]
    pub fn set_temporary(mut self, temporary: bool) -> Self {
        self.0.temporary = temporary;
        self
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later. Delivery keeps a batch and tries again only then.
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }

    /// What to do next, if there is something to say.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// What failed and what to do next, as one text for a line of a log.
    pub fn text_with_help(&self) -> String {
        match self.help() {
            Some(help) => format!("{self}: {help}"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

/// What a `main` that returns the error prints: what failed, and on lines of their own what caused it and what to do next.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        if let Some(source) = &self.0.source {
            write!(f, "\ncause: {source}")?;
        }
        if let Some(help) = &self.0.help {
            write!(f, "\nhelp: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_that_returns_it_tells_all_of_it() {
        let error = || Error::new(ErrorKind::Unavailable, "cannot read `s`: it is down");
        assert_eq!(format!("{:?}", error()), "cannot read `s`: it is down");
        let whole = error().with_source("refused").with_help("is it started?");
        assert_eq!(whole.to_string(), "cannot read `s`: it is down");
        assert_eq!(
            format!("{whole:?}"),
            "cannot read `s`: it is down\ncause: refused\nhelp: is it started?"
        );
    }
}
