// SPDX-License-Identifier: Apache-2.0
//! One store: who may write it, whether it answers, and whether a trace that is sent comes back and can be removed.
//!
//! In: a connection string. Out: findings. The test trace has two notifications, project `osprofiler`, service `doctor`. A file that no service has made
//! yet is not made here: it would be this user's.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use osprofiler::driver::registry::{self, Capability};
use osprofiler::driver::{ConnectionString, STORE_FOLDER_MODE};
use osprofiler::shown::shell_word;
use osprofiler::{
    Error, ErrorKind, Id, Loss, LossReason, Notification, Notifications, Timestamp, delivery,
    recorder,
};

use super::accounts::{Owned, is_missing, may_write};
use super::{Finding, Level, bus};

/// How long what was written is waited for, from a store that shows it late.
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// A larger file of lines is not written anew for the sake of two of them.
const MOST_REWRITTEN_BYTES: u64 = 64 << 20;

/// How drivers end what they say of a connection that never was; of one that says it otherwise, a note is one too many.
const REFUSED_CONNECTION: &str = ": nobody listens there";

/// Whether a test trace is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TestTrace {
    Sent,
    NotSent,
}

/// A store, and what was found.
pub(crate) struct Checked {
    /// Its name, without secrets.
    pub(crate) store: String,
    pub(crate) findings: Vec<Finding>,
    /// How long the store took the test trace to write, and to read.
    pub(crate) write_time: Option<Duration>,
    pub(crate) read_time: Option<Duration>,
    /// The id of the test trace, if it is still there or may be.
    pub(crate) left: Option<String>,
}

impl Checked {
    /// Looks at a store, and writes to it if a test trace is to be sent.
    pub(crate) fn examine(connection: &ConnectionString, sending: TestTrace) -> Self {
        let mut checked = Self {
            store: connection.to_string(),
            findings: Vec::new(),
            write_time: None,
            read_time: None,
            left: None,
        };
        if let Err(finding) = checked.look(connection, sending) {
            checked.findings.push(finding);
        }
        checked
    }

    fn look(
        &mut self,
        connection: &ConnectionString,
        mut sending: TestTrace,
    ) -> Result<(), Finding> {
        if bus::is_foreign(connection) {
            return Err(Finding::new(
                Level::Note,
                "the services speak with this bus through oslo.messaging, which this command cannot: it was not tried",
            ));
        }
        let capabilities = registry::capabilities(connection)?;
        if is_file(connection) {
            let path = connection.file_path()?;
            self.look_at_file(path, connection.scheme())?;
            let refused = may_be_written(path, connection.scheme()).err();
            if refused.is_some() || path.metadata().is_ok_and(|found| !found.is_file()) {
                sending = TestTrace::NotSent;
            }
            self.findings.extend(refused);
        }
        let can_read = capabilities.contains(&Capability::Read);
        match sending {
            TestTrace::Sent => self.send(connection, capabilities),
            TestTrace::NotSent if can_read => {
                let begin = Instant::now();
                let mut reader = registry::open_reader(connection)?;
                let trace = Id::from_u128(recorder::new_id());
                reader.read(trace, &mut Notifications::default())?;
                let took = shown(begin.elapsed());
                self.fine(format!("it answers: {took}; no test trace was sent"));
                Ok(())
            }
            TestTrace::NotSent => {
                let text = "it can only be written, and nothing was sent: it was not tried";
                Err(Finding::new(Level::Note, text))
            }
        }
    }

    /// Says who may write a file that is there; else why it is not, or cannot be looked at.
    fn look_at_file(&mut self, path: &Path, scheme: &str) -> Result<(), Finding> {
        let folder = path.parent().unwrap_or(path);
        let found = Owned::folder(folder, STORE_FOLDER_MODE)?;
        let (title, writers) = (found.title(), found.writers());
        self.fine(format!(
            "its folder belongs to {title}; it can be written by {writers}"
        ));
        if found.all_write() && found.lets_remove() {
            self.warn("everybody on this host can remove it: the folder lets all write");
        }
        if is_missing(path) {
            may_write(path, folder)?;
            return Err(Finding::new(
                Level::Note,
                "there is no such file yet: the first service that records makes it, so no test trace was sent",
            ));
        }
        let (group, group_writes_folder) = (found.group.clone(), found.group_writes());
        let found = Owned::at(path)?;
        let (title, writers) = (found.title(), found.writers());
        self.fine(format!(
            "the file belongs to {title}; it can be written by {writers}"
        ));
        if found.all_write() {
            self.warn("everybody on this host can change the traces: the file lets all write");
        }
        if found.all_read() {
            self.warn("everybody on this host can read what was recorded: the file lets all read");
        }
        let shares = found.group_writes() && found.group != "root";
        if scheme == "sqlite" && shares && !(group_writes_folder && group == found.group) {
            self.findings.push(
                Finding::new(
                    Level::Warning,
                    "its group cannot write it, since SQLite makes files beside it and the folder does not let that group do so",
                )
                .with_help(format!(
                    "`chgrp {} {folder}` and `chmod {STORE_FOLDER_MODE:o} {folder}`",
                    shell_word(&found.group),
                    folder = shell_word(folder.display()),
                )),
            );
        }
        Ok(())
    }

    /// Sends a trace, reads it back and removes it, as far as the store can.
    fn send(
        &mut self,
        connection: &ConnectionString,
        capabilities: &[Capability],
    ) -> Result<(), Finding> {
        let number = recorder::new_id();
        let trace = Id::from_u128(number);
        let sent = test_trace(trace);
        let begin = Instant::now();
        let mut writer = registry::open_writer(connection)?;
        // Whatever fails from here on, it may be there.
        self.left = Some(trace.to_string());
        let written = writer.write(&sent);
        let took = begin.elapsed();
        let losses = writer.take_losses();
        drop(writer);
        // What a service would log of it.
        for message in delivery::take_messages() {
            self.warn(&message.text);
        }
        if let Err(error) = written {
            self.not_taken(connection, capabilities, trace, error);
            return Ok(());
        }
        match refused(&losses) {
            0 => {
                self.write_time = Some(took);
                self.fine(format!(
                    "it took a test trace, connection included: {}",
                    shown(took)
                ));
                if capabilities.contains(&Capability::Read) {
                    let came = self.read_back(connection, trace, &sent);
                    // Even what does not come back may be there to be removed.
                    self.findings.extend(came.err());
                }
            }
            count => {
                self.findings.push(refusal(count));
                if count >= sent.len() as u64 {
                    self.left = None;
                    return Ok(());
                }
            }
        }
        if !capabilities.contains(&Capability::Prunes) {
            self.stays(trace, "the store removes no single traces");
            return Ok(());
        }
        let size = connection
            .file_path()
            .ok()
            .and_then(|path| path.metadata().ok());
        if connection.scheme() == "file"
            && size.is_some_and(|found| found.len() > MOST_REWRITTEN_BYTES)
        {
            self.stays(trace, "the whole file would be written anew");
            return Ok(());
        }
        match remove(connection, trace) {
            Ok(0) => self.stays(trace, "the store did not find it to remove"),
            Ok(_) => self.is_removed(),
            Err(error) => {
                self.stays(trace, "it could not be removed");
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Says why the store did not take the test trace, and whether it may be there nevertheless.
    fn not_taken(
        &mut self,
        connection: &ConnectionString,
        capabilities: &[Capability],
        trace: Id<'_>,
        error: Error,
    ) {
        // Nothing, or something that is not the store's answer: then it may have arrived.
        let is_answered = !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Corrupt);
        let is_sent = !error.to_string().ends_with(REFUSED_CONNECTION);
        self.findings.push(error.into());
        if is_answered || !is_sent || is_file(connection) {
            self.left = None;
            return;
        }
        let prunes = capabilities.contains(&Capability::Prunes);
        if prunes && remove(connection, trace).is_ok_and(|count| count > 0) {
            self.is_removed();
        } else {
            let text =
                format!("the store did not say whether it has the test trace now: `{trace}`");
            self.findings.push(Finding::new(Level::Note, text));
        }
    }

    fn read_back(
        &mut self,
        connection: &ConnectionString,
        trace: Id<'_>,
        sent: &Notifications,
    ) -> Result<(), Finding> {
        let begin = Instant::now();
        let mut reader = registry::open_reader(connection)?;
        loop {
            let mut found = Notifications::default();
            let looked = Instant::now();
            reader.read(trace, &mut found)?;
            let names = |notifications: &Notifications| {
                let mut names: Vec<_> = notifications
                    .iter()
                    .map(|one| (one.name.to_owned(), one.trace_id.to_string(), one.timestamp))
                    .collect();
                names.sort();
                names
            };
            if names(&found) == names(sent) {
                let took = begin.elapsed();
                self.read_time = Some(took);
                self.fine(format!("the test trace came back: {}", shown(took)));
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                let text = format!(
                    "of the 2 notifications of the test trace {} came back within {}",
                    found.len(),
                    shown(PATIENCE)
                );
                let help = "services write there, and their traces may not be found: compare with its own tools";
                return Err(Finding::new(Level::Error, text).with_help(help));
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "no store says when it shows what it took"
            )]
            std::thread::sleep(BETWEEN_LOOKS.saturating_sub(looked.elapsed()));
        }
    }

    fn is_removed(&mut self) {
        self.left = None;
        self.fine("it removed the test trace again");
    }

    fn stays(&mut self, trace: Id<'_>, why: &str) {
        let text = format!("the test trace stays there, `{trace}`: {why}");
        self.findings.push(Finding::new(Level::Note, text));
    }

    fn fine(&mut self, text: impl Into<String>) {
        self.findings.push(Finding::new(Level::Fine, text));
    }

    fn warn(&mut self, text: &str) {
        self.findings.push(Finding::new(Level::Warning, text));
    }
}

fn is_file(connection: &ConnectionString) -> bool {
    ["file", "sqlite"].contains(&connection.scheme())
}

/// Why this user may not write a file that is there. SQLite writes another one beside it, and makes it if no process has yet.
fn may_be_written(path: &Path, scheme: &str) -> Result<(), Finding> {
    may_write(path, path)?;
    if scheme != "sqlite" {
        return Ok(());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push("-wal");
    let beside = Path::new(&beside);
    if is_missing(beside) {
        may_write(path, path.parent().unwrap_or(path))
    } else {
        may_write(path, beside)
    }
}

/// How much of what a store took it has refused all the same.
fn refused(losses: &[Loss]) -> u64 {
    let refused = losses
        .iter()
        .filter(|loss| loss.reason == LossReason::Refused);
    refused.map(|loss| loss.count).sum()
}

fn refusal(count: u64) -> Finding {
    let text = format!("it refused {count} of the 2 notifications of the test trace");
    Finding::new(Level::Error, text)
        .with_help("what services send is refused as well: look into the store's own log")
}

fn remove(connection: &ConnectionString, trace: Id<'_>) -> Result<u64, Error> {
    registry::open_pruner(connection)?.remove(&[trace])
}

/// A point's start and stop.
fn test_trace(trace: Id<'_>) -> Notifications {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = i64::try_from(since.as_micros()).unwrap_or_default();
    let point = Id::from_u128(recorder::new_id());
    let mut notifications = Notifications::default();
    for (name, after) in [("doctor-start", 0), ("doctor-stop", 1)] {
        notifications.push(&Notification {
            name,
            base_id: trace,
            trace_id: point,
            parent_id: trace,
            timestamp: Timestamp::from_micros(now + after),
            info: "{\"host\": \"osprofiler doctor\"}",
            project: Some("osprofiler"),
            service: Some("doctor"),
        });
    }
    notifications
}

/// A span of time with the unit that fits.
fn shown(span: Duration) -> String {
    let micros = span.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_take_the_unit_that_fits() {
        for (micros, expected) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_500, "1.5 ms"),
            (2_500_000, "2.50 s"),
        ] {
            assert_eq!(shown(Duration::from_micros(micros)), expected);
        }
    }
}
