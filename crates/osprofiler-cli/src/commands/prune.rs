// SPDX-License-Identifier: Apache-2.0
//! `osprofiler trace prune`: removes traces from a store, by age or by id.
//!
//! What goes is decided here, from the store's list and from when a trace was last written; the driver removes it, some traces at a
//! time, each printed once it is gone. At a terminal somebody is asked first.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osprofiler::driver::{ConnectionString, ListFilter, Pruner, Reader, parse_span, registry};
use osprofiler::{ErrorKind, Id, Timestamp};

use crate::printer::{plural, visible};
use crate::registry::Command;
use crate::source::{Asked, Source};
use crate::store::{NamedStore, long_help};
use crate::stores::Stores;
use crate::{Failure, Outcome, Session, Status};

/// Remove old traces, or some traces, from a store
///
/// A trace goes as a whole, with what is known to be lost of it. Each that went is a line on stdout: its time and its id. At a
/// terminal you are asked before; elsewhere, as from cron, you are not. What is broken off goes on when it is run again.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
#[command(mut_arg("connection_string", |argument| argument.long_help(long_help(ONE_IS_CHANGED))))]
pub(crate) struct Prune {
    /// The traces' ids
    #[arg(group = "which", value_name = "ID")]
    ids: Vec<String>,

    /// Traces that were last written longer ago than this, for example `12h`, `7d` or `4w`
    #[arg(long, group = "which", value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Age>,

    #[command(flatten)]
    store: NamedStore,

    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// Don't ask
    #[arg(short, long)]
    yes: bool,
}

const ONE_IS_CHANGED: &str =
    "Only one store is changed: several, separated by commas, are refused.";

/// A span of time, and how it was written.
#[derive(Clone)]
struct Age {
    span: Duration,
    text: String,
}

fn parse_age(text: &str) -> Result<Age, String> {
    let span = parse_span(text)?;
    let text = text.trim().to_owned();
    Ok(Age { span, text })
}

/// A trace that is to go.
struct Doomed {
    id: String,
    began: Timestamp,
}

impl Command for Prune {
    const PATH: &'static [&'static str] = &["trace", "prune"];

    fn run(self, session: &mut Session<'_>) -> Outcome {
        let connection = self.store.single(session)?;
        let mut removal = Removal {
            pruner: registry::open_pruner(&connection)?,
            since: None,
        };
        let mut traces = match &self.older_than {
            Some(age) => {
                let (mut reader, since) = (registry::open_reader(&connection)?, age.ago());
                let traces = older(&mut *reader, since)?;
                removal.since = Some((reader, since));
                traces
            }
            None => named(&self.ids, &connection, session).map_err(|failure| {
                if self.ids.len() > 1 && !self.dry_run {
                    failure.with_help("nothing was removed, of the others neither")
                } else {
                    failure
                }
            })?,
        };
        let asks = !self.dry_run && !self.yes && session.environment.is_attended();
        if self.dry_run || asks {
            traces = removal.finished(traces)?;
        }
        let mut count = traces.len() as u64;
        if self.dry_run {
            print(&traces, session)?;
        } else {
            let question = format!("remove {} from `{connection}`?", plural(count, "trace"));
            if asks && count > 0 && !session.printer.confirm(&question) {
                session.printer.note("nothing was removed");
                return Ok(Status::Done);
            }
            count = removal.remove(traces, session)?;
        }
        let what = plural(count, "trace");
        let message = match (&self.older_than, count) {
            (Some(age), 0) => format!("no trace in `{connection}` is older than {}", age.text),
            _ if self.dry_run => format!("would remove {what} from `{connection}`"),
            _ => format!("removed {what} from `{connection}`"),
        };
        session.printer.note(&message);
        Ok(Status::Done)
    }
}

/// How traces are removed.
struct Removal {
    pruner: Box<dyn Pruner>,
    /// A trace with a notification of that time or a later one stays; who knows whether it has one.
    since: Option<(Box<dyn Reader>, Timestamp)>,
}

impl Removal {
    /// Those of the traces that nobody has written lately.
    fn finished(&mut self, mut traces: Vec<Doomed>) -> Result<Vec<Doomed>, Failure> {
        let Some((reader, since)) = &mut self.since else {
            return Ok(traces);
        };
        let mut is_written = Vec::with_capacity(traces.len());
        for some in traces.chunks(self.pruner.at_once()) {
            is_written.extend(reader.written_since(&ids(some), *since)?);
        }
        let mut is_written = is_written.into_iter();
        traces.retain(|_| is_written.next() == Some(false));
        Ok(traces)
    }

    /// Removes the traces, some at a time, but for those that are written meanwhile. Returns how many went.
    fn remove(
        &mut self,
        mut traces: Vec<Doomed>,
        session: &mut Session<'_>,
    ) -> Result<u64, Failure> {
        let (all, mut done, mut removed) = (traces.len(), 0, 0);
        while !traces.is_empty() {
            let some = traces.drain(..traces.len().min(self.pruner.at_once()));
            let some: Vec<Doomed> = some.collect();
            done += some.len();
            let some = self.finished(some)?;
            if some.is_empty() {
                continue;
            }
            // Somebody else may have removed some meanwhile.
            removed += self.pruner.remove(&ids(&some)).map_err(|error| {
                let began = removed > 0 || error.kind() != ErrorKind::Denied;
                let failure = Failure::from(error);
                if began {
                    failure.with_help("some may be gone: run it again")
                } else {
                    failure
                }
            })?;
            print(&some, session)?;
            session
                .printer
                .progress(&format!("{done} of {}", plural(all as u64, "trace")));
        }
        Ok(removed)
    }
}

fn ids(traces: &[Doomed]) -> Vec<Id<'_>> {
    let ids = traces.iter().filter_map(|trace| Id::parse(&trace.id).ok());
    ids.collect()
}

fn print(traces: &[Doomed], session: &mut Session<'_>) -> Result<(), Failure> {
    session.printer.data(|out| {
        for trace in traces {
            writeln!(out, "{} {}", trace.began, visible(&trace.id))?;
        }
        Ok(())
    })
}

impl Age {
    /// When it was that long ago.
    fn ago(&self) -> Timestamp {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(micros(now).saturating_sub(micros(self.span)))
    }
}

/// The traces that began before that time, oldest first.
fn older(reader: &mut dyn Reader, limit: Timestamp) -> Result<Vec<Doomed>, Failure> {
    let mut traces = Vec::new();
    reader.list(ListFilter::All, &mut |trace| {
        if trace.timestamp < limit {
            traces.push(Doomed {
                id: trace.base_id.to_string(),
                began: trace.timestamp,
            });
        }
    })?;
    Ok(traces)
}

/// The traces of those ids. A failure if one is not there.
fn named(
    ids: &[String],
    connection: &ConnectionString,
    session: &mut Session<'_>,
) -> Result<Vec<Doomed>, Failure> {
    let mut stores = Stores::of(connection)?;
    let mut traces = Vec::<Doomed>::new();
    for id in ids {
        let notifications =
            Source::from_store(id, Asked::ForStored, &mut stores, session)?.notifications;
        let times = notifications
            .iter()
            .map(|notification| notification.timestamp);
        let id = notifications.get(0).base_id.to_string();
        if !traces.iter().any(|trace| trace.id == id) {
            let began = times.min().unwrap_or_default();
            traces.push(Doomed { id, began });
        }
    }
    Ok(traces)
}
