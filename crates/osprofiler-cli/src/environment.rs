// SPDX-License-Identifier: Apache-2.0
//! What a command knows of the process around it: variables, and which streams are terminals.
//!
//! It is a value, filled once by [`Environment::of_process`] or by hand, so that the same command line gives the same output in
//! a test, in the program and inside a Python process. Variables are read when a command runs, never at load.

use std::ffi::OsString;
use std::io::IsTerminal;

use osprofiler::delivery::RuntimeFolders;

/// The variables and terminals that commands look at.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `OSPROFILER_CONNECTION_STRING`: the store, where `--connection-string` is not given.
    pub connection_string: Option<OsString>,
    /// `OSPROFILER_RUNTIME_DIR` and `XDG_RUNTIME_DIR`: where traced processes publish their counters.
    pub runtime_folders: RuntimeFolders,
    /// `NO_COLOR`: no colour, if not empty (<https://no-color.org>).
    pub no_color: Option<OsString>,
    /// `CLICOLOR_FORCE`: colour even in a pipe, if not empty and not `0`.
    pub clicolor_force: Option<OsString>,
    /// `TERM`: no colour if `dumb`.
    pub term: Option<OsString>,
    /// Whether standard input is a terminal.
    pub stdin_is_terminal: bool,
    /// Whether standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// The columns of the terminal that standard output is; `COLUMNS` if it is none.
    pub width: Option<usize>,
}

/// Each variable that a command reads, and what it means: for the manual pages.
pub const VARIABLES: [(&str, &str); 9] = [
    (
        "OSPROFILER_CONNECTION_STRING",
        "the store, where `--connection-string` is not given",
    ),
    (
        "OSPROFILER_RUNTIME_DIR",
        "the one folder where traced processes publish their counters and `doctor` looks for them; `off` for none",
    ),
    (
        "XDG_RUNTIME_DIR",
        "the folder above one more, `osprofiler`, without the variable before",
    ),
    (
        "SSL_CERT_FILE",
        "a file with the authorities to trust over TLS, in the place of the system's; if it is missing, MongoDB and MySQL use those, and other stores trust nobody",
    ),
    (
        "SSL_CERT_DIR",
        "folders of such files, separated by colons, beside that file or in its place; not for MongoDB and MySQL",
    ),
    ("NO_COLOR", "no colour"),
    ("CLICOLOR_FORCE", "colour even in a pipe"),
    ("TERM=dumb", "no colour"),
    (
        "COLUMNS",
        "the width of the tree and of help in a pipe; `--width` wins",
    ),
];

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// At a terminal that can, unless `NO_COLOR` is set; in a pipe if `CLICOLOR_FORCE` is set
    #[default]
    Auto,
    /// Everywhere, files too
    Always,
    /// Nowhere
    Never,
}

impl Environment {
    /// The environment of this process, now.
    pub fn of_process() -> Self {
        let stdout_is_terminal = std::io::stdout().is_terminal();
        Self {
            connection_string: std::env::var_os("OSPROFILER_CONNECTION_STRING"),
            runtime_folders: RuntimeFolders {
                named: std::env::var_os("OSPROFILER_RUNTIME_DIR"),
                user: std::env::var_os("XDG_RUNTIME_DIR"),
            },
            no_color: std::env::var_os("NO_COLOR"),
            clicolor_force: std::env::var_os("CLICOLOR_FORCE"),
            term: std::env::var_os("TERM"),
            stdin_is_terminal: std::io::stdin().is_terminal(),
            stdout_is_terminal,
            stderr_is_terminal: std::io::stderr().is_terminal(),
            width: if stdout_is_terminal {
                terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
            } else {
                columns_of_process()
            },
        }
    }

    /// The same for a caller whose standard output is no terminal, whatever the process's is.
    pub fn redirect_stdout(&mut self) {
        self.stdout_is_terminal = false;
        self.width = columns_of_process();
    }

    /// Whether standard output gets colour under `color`.
    pub fn colors_stdout(&self, color: Color) -> bool {
        self.colors(color, self.stdout_is_terminal)
    }

    /// Whether standard error gets colour.
    pub fn colors_stderr(&self) -> bool {
        self.colors(Color::Auto, self.stderr_is_terminal)
    }

    /// Whether somebody is there to be asked.
    pub fn is_attended(&self) -> bool {
        self.stdin_is_terminal && self.stderr_is_terminal
    }

    /// Whether a line that changes may stand on standard error.
    pub fn shows_progress(&self) -> bool {
        self.stderr_is_terminal && self.term.as_ref().is_none_or(|term| term != "dumb")
    }

    fn colors(&self, color: Color, is_terminal: bool) -> bool {
        let is_set =
            |variable: &Option<OsString>| variable.as_ref().is_some_and(|value| !value.is_empty());
        match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if is_set(&self.no_color) => false,
            Color::Auto
                if is_set(&self.clicolor_force)
                    && self
                        .clicolor_force
                        .as_ref()
                        .is_some_and(|value| value != "0") =>
            {
                true
            }
            Color::Auto => is_terminal && self.term.as_ref().is_none_or(|term| term != "dumb"),
        }
    }
}

fn columns_of_process() -> Option<usize> {
    columns(&std::env::var("COLUMNS").ok()?)
}

/// The width that `COLUMNS` asks for; nonsense asks for nothing.
fn columns(text: &str) -> Option<usize> {
    let columns: u16 = text.trim().parse().ok()?;
    (columns > 0).then_some(usize::from(columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_a_number_or_nothing() {
        for (text, expected) in [
            ("60", Some(60)),
            (" 132\n", Some(132)),
            ("0", None),
            ("", None),
            ("-1", None),
            ("wide", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(columns(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_nearer_wish_about_colour_wins() {
        let terminal = Environment {
            stdout_is_terminal: true,
            ..Environment::default()
        };
        let no_color = |value: &str| Environment {
            no_color: Some(value.into()),
            ..terminal.clone()
        };
        let force = |value: &str| Environment {
            clicolor_force: Some(value.into()),
            ..Environment::default()
        };
        let term = |value: &str| Environment {
            term: Some(value.into()),
            ..terminal.clone()
        };
        for (environment, color, expected) in [
            (terminal.clone(), Color::Auto, true),
            (Environment::default(), Color::Auto, false),
            (Environment::default(), Color::Always, true),
            (terminal.clone(), Color::Never, false),
            (no_color("1"), Color::Auto, false),
            (no_color(""), Color::Auto, true),
            (no_color("1"), Color::Always, true),
            (force("1"), Color::Auto, true),
            (force("0"), Color::Auto, false),
            (force(""), Color::Auto, false),
            (force("1"), Color::Never, false),
            (term("dumb"), Color::Auto, false),
            (term("xterm"), Color::Auto, true),
        ] {
            assert_eq!(
                environment.colors_stdout(color),
                expected,
                "{environment:?} {color:?}"
            );
        }
    }
}
