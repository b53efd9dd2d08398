// SPDX-License-Identifier: Apache-2.0
//! `osprofiler trace list`: the traces of a store, oldest first, as a table or as JSON.
//!
//! The table needs the widest id before its first line, and with a limit nobody knows the first to be shown before the last has come: for
//! these, ids and times are collected, 48 bytes a trace. All as JSON is written as the store yields it. No trace is read.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};

use osprofiler::driver::{ListFilter, TraceSummary};
use osprofiler::wire::json;
use osprofiler::{Id, Timestamp};

use crate::number::at_least;
use crate::printer::visible;
use crate::registry::Command;
use crate::store::StoreArguments;
use crate::stores::{Answer, Stores};
use crate::{Failure, Outcome, Session, Status};

/// List the traces of a store, oldest first
///
/// A trace's time, in UTC, is its first notification's, with `--error-trace` its first error's.
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

    /// Only this many traces, the newest
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = at_least(1_usize))]
    limit: Option<usize>,

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
            write_json(&mut stores, filter, self.limit, session)
        } else {
            write_table(&mut stores, filter, self.limit, session)
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
            None => Self::Text(id.to_string().into()),
        }
    }

    /// As it may stand in a table.
    fn visible(self) -> Self {
        match self {
            Self::Uuid(number) => Self::Uuid(number),
            Self::Text(text) => Self::Text(visible(&text).into()),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Uuid(_) => 36,
            Self::Text(text) => text.chars().count(),
        }
    }
}

impl fmt::Display for ListedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(number) => fmt::Display::fmt(&Id::from_u128(*number), f),
            Self::Text(text) => f.pad(text),
        }
    }
}

/// The last traces of those that were pushed, with their times; all of them without a limit.
struct Newest {
    limit: Option<usize>,
    traces: VecDeque<(ListedId, Timestamp)>,
}

impl Newest {
    fn of(limit: Option<usize>) -> Self {
        let traces = VecDeque::new();
        Self { limit, traces }
    }

    fn push(&mut self, trace: TraceSummary<'_>) {
        if Some(self.traces.len()) == self.limit {
            self.traces.pop_front();
        }
        self.traces
            .push_back((ListedId::new(trace.base_id), trace.timestamp));
    }
}

/// The table of the contract (`PrettyTable`'s, left-aligned).
fn write_table(
    stores: &mut Stores,
    filter: ListFilter,
    limit: Option<usize>,
    session: &mut Session<'_>,
) -> Outcome<Listed> {
    let mut rows = Vec::new();
    let listed = stores.ask(|store| {
        let mut newest = Newest::of(limit);
        let skipped = store.reader.list(filter, &mut |trace| newest.push(trace));
        Ok(match skipped {
            Ok(skipped) => {
                let visible = |(id, timestamp): (ListedId, _)| (id.visible(), timestamp);
                rows = newest.traces.into_iter().map(visible).collect();
                let count = rows.len();
                Listed { count, skipped }.into_answer()
            }
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
            writeln!(out, "| {id:id_width$} | {timestamp} |")?;
        }
        writeln!(out, "{rule}")?;
        Ok(())
    })?;
    Ok(listed)
}

/// A JSON array, a trace a line, written while the store is read, or after that if only the newest are wanted.
fn write_json(
    stores: &mut Stores,
    filter: ListFilter,
    limit: Option<usize>,
    session: &mut Session<'_>,
) -> Outcome<Listed> {
    let mut listed = Listed::default();
    session.printer.data(|out| {
        stores.ask(|store| {
            let mut newest = Newest::of(limit);
            let mut written = Ok(());
            let mut write = |id: &dyn fmt::Display, timestamp| {
                if written.is_ok() {
                    written = write_json_trace(out, id, timestamp, listed.count);
                    listed.count += 1;
                }
            };
            let read = store.reader.list(filter, &mut |trace| {
                if limit.is_some() {
                    newest.push(trace);
                } else {
                    write(&trace.base_id, trace.timestamp);
                }
            });
            if read.is_ok() {
                for (id, timestamp) in &newest.traces {
                    write(id, *timestamp);
                }
            }
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

fn write_json_trace(
    out: &mut dyn Write,
    id: &dyn fmt::Display,
    timestamp: Timestamp,
    before: usize,
) -> io::Result<()> {
    let mut line = String::from(if before == 0 { "[\n" } else { ",\n" });
    line.push_str("  {\"base_id\": ");
    json::push_text(&id.to_string(), &mut line);
    write!(out, "{line}, \"timestamp\": \"{timestamp}\"}}")
}
