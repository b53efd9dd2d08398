// SPDX-License-Identifier: Apache-2.0
//! The one module that prints: data to stdout, talk to stderr.
//!
//! Talk is lines that begin with `error:`, `warning:`, `note:` or `help:`, coloured only at a terminal, with control characters
//! shown instead of sent, since a store's contents may stand in them. A line of progress stands at a terminal only, and makes way
//! for any other. Data ends with a newline. A reader that went
//! away (`| head`) is no failure; talk that cannot be written is given up.

use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use clap::builder::StyledStr;
use osprofiler::driver::ConnectionString;
use osprofiler::shown::steers_terminal;

use crate::environment::{Color, Environment};
use crate::out::Broken;
use crate::status::Failure;

/// The two streams of a command.
pub(crate) struct Printer<'a> {
    stdout: &'a mut dyn Write,
    stderr: &'a mut dyn Write,
    colors_stderr: bool,
    shows_progress: bool,
    /// A line of progress stands there, without an end.
    in_progress: bool,
}

/// ANSI: bold red, bold yellow, bold cyan, and back.
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
const RESET: &str = "\x1b[0m";
/// ANSI: to the line's beginning, and all behind that away.
const CLEAR_LINE: &str = "\r\x1b[K";

/// How much data is collected before it is written.
const BUFFER_BYTES: usize = 64 * 1024;

impl<'a> Printer<'a> {
    pub(crate) fn new(
        stdout: &'a mut dyn Write,
        stderr: &'a mut dyn Write,
        environment: &Environment,
    ) -> Self {
        Self {
            stdout,
            stderr,
            colors_stderr: environment.colors_stderr(),
            shows_progress: environment.shows_progress(),
            in_progress: false,
        }
    }

    /// Writes data to stdout, with a newline at its end if there is none; nothing if there is no data.
    pub(crate) fn data(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Broken>,
    ) -> Result<(), Failure> {
        let mut out = LastByte {
            inner: BufWriter::with_capacity(BUFFER_BYTES, &mut *self.stdout),
            last: b'\n',
        };
        let result = write(&mut out).and_then(|()| {
            if out.last != b'\n' {
                out.write_all(b"\n")?;
            }
            Ok(out.flush()?)
        });
        match result {
            Err(Broken::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|broken| broken.into_failure("to standard output")),
        }
    }

    /// Writes one line of data to stdout.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.data(|out| Ok(out.write_all(text.as_bytes())?))
    }

    /// Writes clap's help to stdout.
    pub(crate) fn styled_data(
        &mut self,
        text: &StyledStr,
        environment: &Environment,
    ) -> Result<(), Failure> {
        self.line(&plain_or_ansi(text, environment.colors_stdout(Color::Auto)))
    }

    /// Writes clap's complaint to stderr.
    pub(crate) fn styled_talk(&mut self, text: &StyledStr) {
        self.end_progress();
        let text = plain_or_ansi(text, self.colors_stderr);
        let _gone = writeln!(self.stderr, "{}", text.trim_end());
    }

    /// Says why a command failed and what to do next.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        self.talk(RED, "error", &failure.message);
        self.why_and_help(RED, failure);
    }

    fn why_and_help(&mut self, color: &str, failure: &Failure) {
        for cause in &failure.causes {
            self.talk(color, "cause", cause);
        }
        for help in &failure.help {
            self.talk(CYAN, "help", help);
        }
    }

    /// Says why `store`, one of several, is not asked, and what to do about it. The store is named where the failure does not.
    pub(crate) fn passed_over(&mut self, store: &ConnectionString, failure: &Failure) {
        let message = &failure.message;
        let path = store.file_path().ok().and_then(Path::to_str);
        let names = [Some(&*store.to_string()), path]
            .map(|name| name.is_some_and(|name| message.contains(name)));
        self.warning(&if names.contains(&true) {
            format!("one of the stores is passed over: {message}")
        } else {
            format!("one of the stores, `{store}`, is passed over: {message}")
        });
        self.why_and_help(YELLOW, failure);
    }

    /// Says what is wrong although the command goes on.
    pub(crate) fn warning(&mut self, message: &str) {
        self.talk(YELLOW, "warning", message);
    }

    /// Says how many stored elements were no notifications, if there were any.
    pub(crate) fn skipped(&mut self, count: u64) {
        if count > 0 {
            let elements = plural(count, "stored element");
            self.warning(&format!("skipped {elements} that held no notification"));
        }
    }

    /// Says what is worth knowing.
    pub(crate) fn note(&mut self, message: &str) {
        self.talk(CYAN, "note", message);
    }

    /// Asks for a yes on standard input; whatever else comes is a no.
    pub(crate) fn confirm(&mut self, question: &str) -> bool {
        self.end_progress();
        let _gone = write!(self.stderr, "{question} [y/N] ").and_then(|()| self.stderr.flush());
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        let answer = answer.trim().to_ascii_lowercase();
        read.is_ok() && matches!(&*answer, "y" | "yes")
    }

    /// Says how far it has come, in the place of what was said so before.
    pub(crate) fn progress(&mut self, message: &str) {
        if self.shows_progress {
            let _gone =
                write!(self.stderr, "{CLEAR_LINE}{message}").and_then(|()| self.stderr.flush());
            self.in_progress = true;
        }
    }

    fn end_progress(&mut self) {
        if std::mem::take(&mut self.in_progress) {
            let _gone = write!(self.stderr, "{CLEAR_LINE}");
        }
    }

    fn talk(&mut self, color: &str, label: &str, message: &str) {
        self.end_progress();
        let message = escaped(message, |letter| letter != '\n' && steers_terminal(letter));
        // Nobody is left to be told when stderr is gone.
        let _gone = if self.colors_stderr {
            writeln!(self.stderr, "{color}{label}:{RESET} {message}")
        } else {
            writeln!(self.stderr, "{label}: {message}")
        };
    }
}

/// Passes everything on and knows the last byte.
struct LastByte<W> {
    inner: W,
    last: u8,
}

impl<W: Write> Write for LastByte<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        if let Some(&last) = bytes[..written].last() {
            self.last = last;
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn plain_or_ansi(text: &StyledStr, colors: bool) -> String {
    if colors {
        text.ansi().to_string()
    } else {
        text.to_string()
    }
}

/// `1 trace`, `2 traces`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `text` with all escaped that steers a terminal, so that nothing read from a store can; line ends too.
pub(crate) fn visible(text: &str) -> String {
    escaped(text, steers_terminal)
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_escaped(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A stream that fails every write.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn data_into(stdout: &mut dyn Write) -> Result<(), Failure> {
        Printer::new(stdout, &mut Vec::new(), &Environment::default()).line("data")
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        assert!(data_into(&mut Failing(ErrorKind::BrokenPipe)).is_ok());
        let failure = data_into(&mut Failing(ErrorKind::StorageFull)).unwrap_err();
        assert_eq!(
            failure.message,
            "cannot write to standard output: no storage space"
        );
    }

    #[test]
    fn data_ends_with_a_newline() {
        for (text, expected) in [("a", "a\n"), ("a\n", "a\n"), ("", "")] {
            let mut stdout = Vec::new();
            Printer::new(&mut stdout, &mut Vec::new(), &Environment::default())
                .line(text)
                .unwrap();
            assert_eq!(stdout, expected.as_bytes());
        }
    }

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        let mut stderr = Vec::new();
        Printer::new(&mut Vec::new(), &mut stderr, &Environment::default())
            .warning("id `\x1b[2J\u{9b}1m` é");
        assert_eq!(
            String::from_utf8(stderr).unwrap(),
            "warning: id `\\u{1b}[2J\\u{9b}1m` é\n"
        );
        assert_eq!(visible("a\nb\u{202e}"), "a\\nb\\u{202e}");
    }
}
