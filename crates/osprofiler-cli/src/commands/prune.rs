// SPDX-License-Identifier: Apache-2.0
//! `osprofiler trace prune`: removes traces from a store, by age or by id.
//!
//! What goes is decided here, from the store's list; the driver removes it. At a terminal somebody is asked first.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osprofiler::driver::{ConnectionString, ListFilter, Reader, parse_span, registry};
use osprofiler::{Id, Timestamp};

use crate::printer::{plural, visible};
use crate::registry::Command;
use crate::source::Source;
use crate::store::StoreArguments;
use crate::stores::Stores;
use crate::{Failure, Outcome, Session, Status};

/// Remove old traces, or some traces, from a store
///
/// A trace goes as a whole, with what is known to be lost of it. Each that went is a line on stdout: its time and its id. At a
/// terminal you are asked before; elsewhere, as from cron, you are not. Only one store is changed: several are refused.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub(crate) struct Prune {
    /// The traces' ids
    #[arg(group = "which", value_name = "ID")]
    ids: Vec<String>,

    /// Traces that began longer ago than this, for example `12h`, `7d` or `4w`
    #[arg(long, group = "which", value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Age>,

    #[command(flatten)]
    store: StoreArguments,

    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// Don't ask
    #[arg(short, long)]
    yes: bool,
}

/// A span of time, and how it was written.
#[derive(Clone)]
struct Age {
    span: Duration,
    text: String,
}

fn parse_age(text: &str) -> Result<Age, String> {
    let span = parse_span(text).ok_or("write for example `90s`, `12h`, `7d` or `4w`")?;
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
        let mut pruner = registry::open_pruner(&connection)?;
        let traces = match &self.older_than {
            Some(age) => older(&mut *registry::open_reader(&connection)?, age)?,
            None => named(&self.ids, &connection, session)?,
        };
        if traces.is_empty() {
            let age = self.older_than.map(|age| age.text).unwrap_or_default();
            let message = format!("no trace in `{connection}` is older than {age}");
            session.printer.note(&message);
            return Ok(Status::Done);
        }
        let mut count = traces.len() as u64;
        if !self.dry_run {
            if !self.yes
                && session.environment.is_attended()
                && !session.printer.confirm(&format!(
                    "remove {} from `{connection}`?",
                    plural(count, "trace")
                ))
            {
                session.printer.note("nothing was removed");
                return Ok(Status::Done);
            }
            let ids = traces.iter().filter_map(|trace| Id::parse(&trace.id).ok());
            // Somebody else may have removed some meanwhile.
            count = pruner.remove(&ids.collect::<Vec<_>>()).map_err(|error| {
                Failure::from(error).with_help("some may be gone: run it again")
            })?;
        }
        session.printer.data(|out| {
            for trace in &traces {
                writeln!(out, "{} {}", trace.began, visible(&trace.id))?;
            }
            Ok(())
        })?;
        let verb = if self.dry_run {
            "would remove"
        } else {
            "removed"
        };
        let what = plural(count, "trace");
        session
            .printer
            .note(&format!("{verb} {what} from `{connection}`"));
        Ok(Status::Done)
    }
}

/// The traces that began before that age, oldest first.
fn older(reader: &mut dyn Reader, age: &Age) -> Result<Vec<Doomed>, Failure> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let limit = Timestamp::from_micros(micros(now).saturating_sub(micros(age.span)));
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
        let notifications = Source::from_store(id, &mut stores, session)?.notifications;
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
