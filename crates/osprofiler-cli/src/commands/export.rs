// SPDX-License-Identifier: Apache-2.0
//! `osprofiler trace export`: what a store holds of a trace, or of all, as JSON lines that people and the driver `file` read.
//!
//! A line a notification, in the store's order, and a line for what is known to be lost. One trace is in memory at a time.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use osprofiler::driver::Stored;
use osprofiler::wire;

use crate::out::Broken;
use crate::printer::plural;
use crate::registry::Command;
use crate::source::{Asked, Source};
use crate::store::StoreArguments;
use crate::stores::{Answer, Store};
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
        let mut stores = self.store.open(session)?;
        let path = self.out.as_deref();
        let skipped;
        if let Some(id) = &self.id {
            let source = Source::from_store(id, Asked::ForRequest, &mut stores, session)?;
            skipped = source.summary.skipped;
            out::write(path, &mut session.printer, |out| write_trace(&source, out))?;
        } else {
            let mut exported = None;
            let written = out::write(path, &mut session.printer, |out| {
                exported = Some(stores.ask(|store| write_all(store, out))?);
                Ok(())
            });
            stores.tell(&mut session.printer);
            written?;
            // Without it, the output went away.
            let Some(exported) = exported else {
                return Ok(Status::Done);
            };
            let notifications = plural(exported.count, "notification");
            let told = format!("exported {notifications} from `{}`", exported.from);
            session.printer.note(&told);
            stores.tell_unasked(&mut session.printer);
            skipped = exported.skipped;
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

/// What was written of all traces.
struct Exported {
    /// How many lines were notifications.
    count: u64,
    /// How many stored elements were none.
    skipped: u64,
    /// The store.
    from: String,
}

/// Writes the lines of all traces.
fn write_all(store: &mut Store, out: &mut dyn Write) -> Result<Answer<Exported>, Broken> {
    let mut line = String::new();
    let mut written = Ok(());
    let (mut count, mut lines) = (0, 0);
    let read = store.reader.read_all(&mut |element| {
        lines += 1;
        count += u64::from(matches!(element, Stored::Notification(_)));
        written = write_line(element, &mut line, out);
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    written?;
    match read {
        Ok(skipped) => {
            let from = store.connection.to_string();
            let exported = Exported {
                count,
                skipped,
                from,
            };
            Ok(if lines == 0 {
                Answer::Nothing(exported)
            } else {
                Answer::Here(exported)
            })
        }
        Err(error) if lines == 0 => Ok(Answer::Failed(error.into())),
        Err(error) => Err(Failure::from(error).into()),
    }
}

fn write_line(element: Stored<'_>, line: &mut String, out: &mut dyn Write) -> io::Result<()> {
    line.clear();
    match element {
        Stored::Notification(notification) => wire::push_line(&notification, line),
        Stored::Loss(base_id, loss) => wire::push_loss_line(base_id, loss, line),
    }
    out.write_all(line.as_bytes())
}
