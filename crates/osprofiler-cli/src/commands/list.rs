// SPDX-License-Identifier: Apache-2.0
//! `osprofiler trace list`: the traces of a store, oldest first, as a table or as JSON.
//!
//! The table needs the widest id before its first line, so ids and times are collected, 48 bytes a trace; JSON is
//! written as the store yields it. No trace is read.

use std::io::{self, Write};

use osprofiler::driver::{ListFilter, TraceSummary};
use osprofiler::wire::json;
use osprofiler::{Id, Timestamp};

use crate::printer::visible;
use crate::registry::Command;
use crate::store::StoreArguments;
use crate::stores::{Answer, Stores};
use crate::{Failure, Outcome, Session, Status};

/// List the traces of a store, oldest first
///
/// A trace's time is its first notification's, with `--error-trace` its first error's.
#[derive(clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    store: StoreArguments,

    /// Only traces in which a point ended with an error
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        value_parser = parse_switch,
    )]
    error_trace: bool,

    /// Write a JSON array of objects with `base_id` and `timestamp`, one a line
    #[arg(long)]
    json: bool,
}

impl Command for List {
    const PATH: &'static [&'static str] = &["trace", "list"];

    fn run(self, session: &mut Session<'_>) -> Outcome {
        let mut stores = self.store.open(session)?;
        let filter = if self.error_trace {
            ListFilter::WithErrors
        } else {
            ListFilter::All
        };
        let listed = if self.json {
            write_json(&mut stores, filter, session)
        } else {
            write_table(&mut stores, filter, session)
        };
        stores.tell(&mut session.printer);
        let Listed { count, skipped } = listed?;
        if count == 0 {
            let what = match filter {
                ListFilter::All => "no traces",
                ListFilter::WithErrors => "no traces with errors",
            };
            let told = format!("there are {what} in {}", stores.names());
            session.printer.note(&told);
        }
        stores.tell_unasked(&mut session.printer);
        session.printer.skipped(skipped);
        Ok(Status::Done)
    }
}

/// How many traces were written, and how many stored elements the store could not make one of.
#[derive(Clone, Copy, Default)]
struct Listed {
    count: usize,
    skipped: u64,
}

impl Listed {
    fn into_answer(self) -> Answer<Self> {
        if self.count == 0 {
            Answer::Nothing(self)
        } else {
            Answer::Here(self)
        }
    }
}

/// The value that scripts for upstream's command give `--error-trace`.
fn parse_switch(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" | "" => Ok(false),
        _ => Err("give nothing, `true` or `false`".to_owned()),
    }
}

/// The id of a listed trace: 16 bytes for nearly all.
enum ListedId {
    Uuid(u128),
    Text(Box<str>),
}

impl ListedId {
    fn new(id: Id<'_>) -> Self {
        match id.as_u128() {
            Some(number) => Self::Uuid(number),
            None => Self::Text(visible(&id.to_string()).into()),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Uuid(_) => 36,
            Self::Text(text) => text.chars().count(),
        }
    }
}

/// The table of the contract (`PrettyTable`'s, left-aligned).
fn write_table(
    stores: &mut Stores,
    filter: ListFilter,
    session: &mut Session<'_>,
) -> Outcome<Listed> {
    let mut rows: Vec<(ListedId, Timestamp)> = Vec::new();
    let listed = stores.ask(|store| {
        rows.clear();
        let skipped = store.reader.list(filter, &mut |trace| {
            rows.push((ListedId::new(trace.base_id), trace.timestamp));
        });
        let count = rows.len();
        Ok(match skipped {
            Ok(skipped) => Listed { count, skipped }.into_answer(),
            Err(error) => Answer::Failed(error.into()),
        })
    });
    let listed = listed.map_err(|broken| broken.into_failure("the list"))?;
    let id_width = rows
        .iter()
        .map(|(id, _)| id.width())
        .fold("base_id".len(), usize::max);
    let time_width = if rows.is_empty() {
        "timestamp".len()
    } else {
        26
    };
    session.printer.data(|out| {
        let rule = format!(
            "+{}+{}+",
            "-".repeat(id_width + 2),
            "-".repeat(time_width + 2)
        );
        writeln!(out, "{rule}")?;
        writeln!(
            out,
            "| {:id_width$} | {:time_width$} |",
            "base_id", "timestamp"
        )?;
        writeln!(out, "{rule}")?;
        for (id, timestamp) in &rows {
            match id {
                ListedId::Uuid(number) => {
                    write!(out, "| {:id_width$} ", Id::from_u128(*number))?;
                }
                ListedId::Text(text) => write!(out, "| {text:id_width$} ")?,
            }
            writeln!(out, "| {timestamp} |")?;
        }
        writeln!(out, "{rule}")?;
        Ok(())
    })?;
    Ok(listed)
}

/// A JSON array, a trace a line, written while the store is read.
fn write_json(
    stores: &mut Stores,
    filter: ListFilter,
    session: &mut Session<'_>,
) -> Outcome<Listed> {
    let mut listed = Listed::default();
    session.printer.data(|out| {
        stores.ask(|store| {
            let mut written = Ok(());
            let read = store.reader.list(filter, &mut |trace| {
                if written.is_ok() {
                    written = write_json_trace(out, trace, listed.count);
                    listed.count += 1;
                }
            });
            written?;
            match read {
                Ok(skipped) => {
                    listed.skipped = skipped;
                    Ok(listed.into_answer())
                }
                Err(error) if listed.count == 0 => Ok(Answer::Failed(error.into())),
                Err(error) => Err(Failure::from(error).into()),
            }
        })?;
        Ok(out.write_all(if listed.count == 0 { b"[]" } else { b"\n]" })?)
    })?;
    Ok(listed)
}

fn write_json_trace(out: &mut dyn Write, trace: TraceSummary<'_>, before: usize) -> io::Result<()> {
    let mut line = String::from(if before == 0 { "[\n" } else { ",\n" });
    line.push_str("  {\"base_id\": ");
    json::push_text(&trace.base_id.to_string(), &mut line);
    write!(out, "{line}, \"timestamp\": \"{}\"}}", trace.timestamp)
}
