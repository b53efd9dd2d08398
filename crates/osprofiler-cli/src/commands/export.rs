// SPDX-License-Identifier: Apache-2.0
//! `osprofiler trace export`: what a store holds of a trace, or of all, as JSON lines that people and the driver `file` read.
//!
//! Notifications come in the store's order, a line each, then what is known to be lost. One trace is in memory at a time.

use std::io::Write;
use std::path::PathBuf;

use osprofiler::driver::{ListFilter, Reader};
use osprofiler::{Id, wire};

use crate::out::Broken;
use crate::printer::plural;
use crate::registry::Command;
use crate::source::Source;
use crate::store::StoreArguments;
use crate::{Outcome, Session, Status, out};

/// Write the notifications of a trace, or of all traces, as JSON lines
///
/// The result is what `file://` reads and `osprofiler trace show FILE` shows.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub(crate) struct Export {
    /// The trace's id
    #[arg(group = "which")]
    id: Option<String>,

    /// Every trace of the store, oldest first
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
        let mut skipped = 0;
        if let Some(id) = &self.id {
            let source = Source::from_store(id, &mut store)?;
            out::write(path, &mut session.printer, |out| {
                let base_id = source.notifications.get(0).base_id;
                skipped = write_trace(base_id, &source, out)?;
                Ok(())
            })?;
        } else {
            let ids = list(&mut *store.reader)?;
            out::write(path, &mut session.printer, |out| {
                for id in ids.iter().filter_map(|id| Id::parse(id).ok()) {
                    let source = Source::read(id, &mut *store.reader)?;
                    skipped = write_trace(id, &source, out)?.max(skipped);
                }
                Ok(())
            })?;
            let traces = plural(ids.len() as u64, "trace");
            session
                .printer
                .note(&format!("exported {traces} from `{}`", store.connection));
        }
        if skipped > 0 {
            session.printer.warning(&format!(
                "left out stored elements that held no notification: {skipped}"
            ));
        }
        Ok(Status::Done)
    }
}

/// The ids of all traces.
fn list(reader: &mut dyn Reader) -> Outcome<Vec<String>> {
    let mut ids = Vec::new();
    reader.list(ListFilter::All, &mut |trace| {
        ids.push(trace.base_id.to_string());
    })?;
    Ok(ids)
}

/// Writes the lines of one trace. Returns how many stored elements were none.
fn write_trace(base_id: Id<'_>, source: &Source, out: &mut dyn Write) -> Result<u64, Broken> {
    let mut line = String::new();
    for notification in source.notifications.iter() {
        line.clear();
        wire::push_json(&notification, &mut line);
        write_line(&line, out)?;
    }
    for loss in &source.summary.losses {
        line.clear();
        wire::push_loss_json(Some(base_id), *loss, &mut line);
        write_line(&line, out)?;
    }
    Ok(source.summary.skipped)
}

/// A line end within the JSON is white space between its tokens, and becomes a blank.
fn write_line(line: &str, out: &mut dyn Write) -> std::io::Result<()> {
    if line.contains(['\n', '\r']) {
        writeln!(out, "{}", line.replace(['\n', '\r'], " "))
    } else {
        writeln!(out, "{line}")
    }
}
