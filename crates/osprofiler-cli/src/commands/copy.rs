// SPDX-License-Identifier: Apache-2.0
//! `osprofiler trace copy`: what a store holds of a trace, or of all, into another store.
//!
//! Each batch is in the target whole or not at all, so a run that was broken off leaves what the next one goes on from. What is
//! in the target already is not written again; see [`Transfer`].

use std::ops::ControlFlow;
use std::time::Instant;

use osprofiler::driver::registry::{self, Capability};
use osprofiler::driver::{ConnectionString, ConnectionStrings, Stored};
use osprofiler::wire::json;

use crate::out::Broken;
use crate::printer::plural;
use crate::registry::Command;
use crate::source::{Asked, Source};
use crate::store;
use crate::stores::{Answer, Store, Stores};
use crate::transfer::{Lists, Step, Summary, Target, Transfer};
use crate::{Failure, Outcome, Session, Status};

/// Copy a trace, or all traces, into another store
///
/// What the target holds already is not written again, so a run that was broken off is gone on with by running it again.
/// Losses that the source knows of go with their traces. A target that cannot be read gets everything each time.
///
/// With `messaging://`, the bus of the services stands in the connection string: `messaging://?transport_url=` and what their
/// `transport_url` is.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub(crate) struct Copy {
    /// The trace's id
    #[arg(group = "which")]
    id: Option<String>,

    /// Every trace of the source
    #[arg(long, group = "which")]
    all: bool,

    #[arg(long, value_name = "STORE", help = store::HELP, long_help = store::long_help(store::FIRST_COUNTS))]
    from: Option<String>,

    /// The one store that gets the traces, a connection string like the source's
    #[arg(long, value_name = "STORE")]
    to: String,

    /// Say what would be copied, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Write what was done to stdout, as a JSON object
    #[arg(long)]
    json: bool,
}

impl Command for Copy {
    const PATH: &'static [&'static str] = &["trace", "copy"];

    fn run(self, session: &mut Session<'_>) -> Outcome {
        let from = store::given_or_set(self.from.as_deref(), "--from", session)?;
        let to = store::single(&self.to, "--to")?;
        let mut stores = Stores::open(&ConnectionStrings::parse(&from)?, session)?;
        if let Some(same) = stores.connections().find(|from| is_same_store(from, &to)) {
            let message = format!("`{same}` is the source and the target");
            return Err(Failure::usage(message).with_help("give two stores: `--from` and `--to`"));
        }
        let mut transfer = self.begin(&to, session)?;
        let copied = match &self.id {
            Some(id) => copy_trace(id, &mut stores, &mut transfer, session),
            None => copy_all(&mut stores, &mut transfer, session),
        };
        let copied = copied.and_then(|copied| transfer.finish().map(|()| copied));
        let summary = transfer.summary();
        let source = copied.map_err(|failure| with_progress(failure, summary))?;
        self.say(&source, &to, summary, session)?;
        if self.all {
            stores.tell_unasked(&mut session.printer);
        }
        outcome(&to, summary)
    }
}

/// The store that was copied.
struct Copied {
    from: String,
    /// How many of its elements held no notification.
    skipped: u64,
}

impl Copy {
    /// Opens the target, for as much as is going to be done.
    fn begin(&self, to: &ConnectionString, session: &mut Session<'_>) -> Result<Transfer, Failure> {
        let abilities = registry::capabilities(to)?;
        let reader = abilities
            .contains(&Capability::Read)
            .then(|| registry::open_reader(to))
            .transpose()?;
        if reader.is_none() {
            session.printer.note(&format!(
                "`{to}` cannot be read: what it holds already is written again"
            ));
        }
        let writer = (!self.dry_run)
            .then(|| registry::open_writer(to))
            .transpose()?;
        let lists = if abilities.contains(&Capability::List) {
            Lists::Traces
        } else {
            Lists::Nothing
        };
        Transfer::begin(Target { reader, writer }, lists)
    }

    fn say(
        &self,
        source: &Copied,
        to: &ConnectionString,
        summary: &Summary,
        session: &mut Session<'_>,
    ) -> Result<(), Failure> {
        let printer = &mut session.printer;
        printer.note(&self.sentence(source, to, summary));
        if source.skipped > 0 {
            let skipped = source.skipped;
            printer.warning(&format!(
                "left out stored elements that held no notification: {skipped}"
            ));
        }
        if self.json {
            printer.line(&self.to_json(source, to, summary))?;
        }
        Ok(())
    }

    /// What was done, in words.
    fn sentence(&self, source: &Copied, to: &ConnectionString, summary: &Summary) -> String {
        let verb = if self.dry_run { "would copy" } else { "copied" };
        let copied = plural(summary.copied, "notification");
        let traces = plural(summary.traces_copied, "trace");
        let from = &source.from;
        let lost = match summary.lost {
            0 => String::new(),
            lost => format!(", and that {lost} were lost"),
        };
        let held = match summary.held {
            0 => String::new(),
            held => format!("; {held} were there already"),
        };
        format!("{verb} {copied} of {traces} from `{from}` to `{to}`{lost}{held}")
    }

    /// What was done, for programs.
    fn to_json(&self, source: &Copied, to: &ConnectionString, summary: &Summary) -> String {
        let quoted = |text: &str| {
            let mut quoted = String::new();
            json::push_text(text, &mut quoted);
            quoted
        };
        let members = [
            ("from", quoted(&source.from)),
            ("to", quoted(&to.to_string())),
            ("dry_run", self.dry_run.to_string()),
            ("traces", summary.traces.to_string()),
            ("traces_copied", summary.traces_copied.to_string()),
            ("copied", summary.copied.to_string()),
            ("held", summary.held.to_string()),
            ("refused", summary.refused.to_string()),
            ("lost", summary.lost.to_string()),
            ("given_up", summary.given_up.to_string()),
            ("skipped", source.skipped.to_string()),
        ];
        let members = members.map(|(name, value)| format!("\"{name}\": {value}"));
        format!("{{{}}}", members.join(", "))
    }
}

/// A failure if the target does not hold everything now.
fn outcome(to: &ConnectionString, summary: &Summary) -> Outcome {
    if let Some(why) = &summary.refusal {
        let refused = plural(summary.refused, "notification");
        return Err(Failure::failed(format!(
            "`{to}` cannot hold {refused}: {why}"
        )));
    }
    if summary.given_up > 0 {
        let given_up = plural(summary.given_up, "notification");
        let message = format!("`{to}` has removed {given_up} to stay within its size");
        return Err(Failure::failed(message).with_help(
            "let it grow larger, for example with `?max_size=10GiB`, and run the command again",
        ));
    }
    Ok(Status::Done)
}

/// Copies one trace.
fn copy_trace(
    id: &str,
    stores: &mut Stores,
    transfer: &mut Transfer,
    session: &mut Session<'_>,
) -> Outcome<Copied> {
    let source = Source::from_store(id, Asked::ForStored, stores, session)?;
    let base_id = source.notifications.get(0).base_id;
    let notifications = source.notifications.iter().map(Stored::Notification);
    let losses = source.summary.losses.iter();
    for element in notifications.chain(losses.map(|loss| Stored::Loss(Some(base_id), *loss))) {
        transfer.take(element)?;
    }
    Ok(Copied {
        from: source
            .store
            .map(|store| store.to_string())
            .unwrap_or_default(),
        skipped: source.summary.skipped,
    })
}

/// Copies all traces.
fn copy_all(
    stores: &mut Stores,
    transfer: &mut Transfer,
    session: &mut Session<'_>,
) -> Outcome<Copied> {
    let begin = Instant::now();
    let mut copy = |store: &mut Store| -> Result<Answer<Copied>, Broken> {
        let mut elements = 0;
        let mut failure = None;
        let read = store.reader.read_all(&mut |element| {
            elements += 1;
            match transfer.take(element) {
                Ok(Step::Waits) => ControlFlow::Continue(()),
                Ok(Step::Brought) => {
                    let line = progress(transfer.summary(), begin);
                    session.printer.progress(&line);
                    ControlFlow::Continue(())
                }
                Err(failed) => {
                    failure = Some(failed);
                    ControlFlow::Break(())
                }
            }
        });
        let from = store.connection.to_string();
        match (failure, read) {
            (Some(failure), _) => Err(failure.into()),
            (None, Err(error)) if elements == 0 => Ok(Answer::Failed(error.into())),
            (None, Err(error)) => Err(Failure::from(error).into()),
            (None, Ok(skipped)) if elements == 0 => Ok(Answer::Nothing(Copied { from, skipped })),
            (None, Ok(skipped)) => Ok(Answer::Here(Copied { from, skipped })),
        }
    };
    let copied = stores.ask(&mut copy);
    stores.tell(&mut session.printer);
    copied.map_err(|broken| broken.into_failure("nothing"))
}

/// The failure of a copy that has done something, with how to go on.
fn with_progress(failure: Failure, summary: &Summary) -> Failure {
    if summary.copied == 0 {
        return failure;
    }
    let copied = plural(summary.copied, "notification");
    failure.with_help(format!(
        "{copied} were copied until then: the same command goes on from there"
    ))
}

/// How far it has come and how fast.
fn progress(summary: &Summary, begin: Instant) -> String {
    let elements = summary.copied + summary.held;
    let seconds = begin.elapsed().as_secs_f64().max(0.001);
    format!(
        "{} traces, {} notifications copied, {} there already, {:.0}/s",
        summary.traces,
        summary.copied,
        summary.held,
        elements as f64 / seconds
    )
}

/// Whether two connection strings mean one store, as far as they tell without asking it.
fn is_same_store(one: &ConnectionString, other: &ConnectionString) -> bool {
    let options = |connection: &ConnectionString| {
        let options = connection.options();
        let mut options: Vec<_> = options
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        options.sort();
        options
    };
    if let (Ok(one_path), Ok(other_path)) = (one.file_path(), other.file_path()) {
        let real = |path: &std::path::Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (one_path, other_path) = (real(one_path), real(other_path));
        // Behind a socket are several stores, in a file is one.
        return one_path == other_path && (one_path.is_file() || options(one) == options(other));
    }
    let driver = |connection: &ConnectionString| {
        registry::find(connection.scheme())
            .map(|driver| driver.name)
            .ok()
    };
    driver(one) == driver(other)
        && one.hosts().eq(other.hosts())
        && one.path() == other.path()
        && options(one) == options(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_store_goes_by_several_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("{}/{name}", folder.path().display());
        std::fs::write(path("a"), "").unwrap();
        std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
        for (one, other, is_same) in [
            (
                format!("file://{}", path("a")),
                format!("file://{}", path("link")),
                true,
            ),
            (
                format!("file://{}", path("a")),
                format!("file://{}", path("b")),
                false,
            ),
            (
                format!("file://{}", path("b")),
                format!("file:///{}", path("b")),
                true,
            ),
            (
                "redis://:a@h:1/2".to_owned(),
                "rediss://u:b@h:1/2".to_owned(),
                true,
            ),
            (
                "redis://h:1/2".to_owned(),
                "redis://h:1/3".to_owned(),
                false,
            ),
            (
                "redis://h:1/2".to_owned(),
                "redis://g:1/2".to_owned(),
                false,
            ),
            (
                "redis://h?db=1".to_owned(),
                "redis://h?db=2".to_owned(),
                false,
            ),
            (
                "unix:///run/r?db=1".to_owned(),
                "unix:///run/r?db=2".to_owned(),
                false,
            ),
            ("redis://h/x".to_owned(), "mongodb://h/x".to_owned(), false),
        ] {
            let parse = |text: &str| ConnectionString::parse(text).unwrap();
            assert_eq!(
                is_same_store(&parse(&one), &parse(&other)),
                is_same,
                "{one} {other}"
            );
        }
    }
}
