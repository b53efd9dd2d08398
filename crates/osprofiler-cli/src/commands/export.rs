// SPDX-License-Identifier: Apache-2.0
//! `osprofiler trace export`: what a store holds of a trace, or of all, as JSON lines that people and the driver `file` read.
//!
//! A line a notification, in the store's order, and a line for what is known to be lost. One trace is in memory at a time.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use osprofiler::driver::{Reader, Stored};
use osprofiler::wire;

use crate::out::Broken;
use crate::printer::plural;
use crate::registry::Command;
use crate::source::Source;
use crate::store::StoreArguments;
use crate::{Failure, Outcome, Session, Status, out};

/// Write the notifications of a trace, or of all traces, as JSON lines
///
/// The result is what `file://` reads and `osprofiler trace show FILE` shows.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub(crate) struct Export {
    /// The trace's id
    #[arg(group = "which")]
    id: Option<String>,

    /// Every trace of the store
    #[arg(long, group = "which")]
    all: bool,

    #[command(flatten)]
    store: StoreArguments,

    /// Write to this file, as a whole or not at all, instead of stdout
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Command for Export {
    const PATH: &'static [&'static str] = &["trace", "export"];

    fn run(self, session: &mut Session<'_>) -> Outcome {
        let mut store = self.store.open(session)?;
        let path = self.out.as_deref();
        let mut count = 0;
        let mut skipped = 0;
        if let Some(id) = &self.id {
            let source = Source::from_store(id, &mut store)?;
            skipped = source.summary.skipped;
            out::write(path, &mut session.printer, |out| write_trace(&source, out))?;
        } else {
            out::write(path, &mut session.printer, |out| {
                (count, skipped) = write_all(&mut *store.reader, out)?;
                Ok(())
            })?;
            let notifications = plural(count, "notification");
            let from = &store.connection;
            let told = format!("exported {notifications} from `{from}`");
            session.printer.note(&told);
        }
        if skipped > 0 {
            session.printer.warning(&format!(
                "left out stored elements that held no notification: {skipped}"
            ));
        }
        Ok(Status::Done)
    }
}

/// Writes the lines of one trace.
fn write_trace(source: &Source, out: &mut dyn Write) -> Result<(), Broken> {
    let notifications = &source.notifications;
    let base_id = notifications.get(0).base_id;
    let losses = source.summary.losses.iter();
    let stored = notifications
        .iter()
        .map(Stored::Notification)
        .chain(losses.map(|loss| Stored::Loss(Some(base_id), *loss)));
    let mut line = String::new();
    for element in stored {
        write_line(element, &mut line, out)?;
    }
    Ok(())
}

/// Writes the lines of all traces. Returns how many were notifications, and how many stored elements were none.
fn write_all(reader: &mut dyn Reader, out: &mut dyn Write) -> Result<(u64, u64), Broken> {
    let mut line = String::new();
    let mut written = Ok(());
    let mut count = 0;
    let skipped = reader
        .read_all(&mut |element| {
            count += u64::from(matches!(element, Stored::Notification(_)));
            written = write_line(element, &mut line, out);
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })
        .map_err(Failure::from)?;
    written?;
    Ok((count, skipped))
}

fn write_line(element: Stored<'_>, line: &mut String, out: &mut dyn Write) -> io::Result<()> {
    line.clear();
    match element {
        Stored::Notification(notification) => wire::push_line(&notification, line),
        Stored::Loss(base_id, loss) => wire::push_loss_line(base_id, loss, line),
    }
    out.write_all(line.as_bytes())
}
