// SPDX-License-Identifier: Apache-2.0
//! `osprofiler trace show`: one trace as a tree, a page or JSON, from a store or a file.
//!
//! Reads the source, builds the report, says what is wrong with it on stderr, and lets a renderer write it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use osprofiler_report::{LEAST_WIDTH, RenderOptions, Report};

use crate::environment::Color;
use crate::format::FormatArguments;
use crate::number::at_least;
use crate::printer::plural;
use crate::registry::Command;
use crate::source::Source;
use crate::store::StoreArguments;
use crate::{Failure, Outcome, Session, Status, graphviz, out};

/// Show where the time of one request went
///
/// Without a format option, a tree for the terminal, or what the name after `-o` ends with. What is missing or odd in the trace
/// (lost notifications, skipped lines, cycles of parents) is said on stderr; the exit code is 0 all the same.
#[derive(clap::Args)]
pub(crate) struct Show {
    /// The trace's id, a file of notifications (`.jsonl`), or a saved report (`.json`)
    ///
    /// An existing file wins over an id and needs no store; `-` is standard input.
    #[arg(value_name = "TRACE")]
    trace: OsString,

    #[command(flatten)]
    store: StoreArguments,

    #[command(flatten)]
    format: FormatArguments,

    /// Write to this file, as a whole or not at all, instead of stdout
    ///
    /// `.html`, `.json` and `.dot` at the end of its name are that format, unless a format option, `--depth` or `--width` is given.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Tree: show this many levels of points
    #[arg(long, value_name = "LEVELS", allow_negative_numbers = true, value_parser = at_least(1_u32))]
    depth: Option<u32>,

    /// Tree: the width of a line, 40 or more [default: the terminal's; `COLUMNS` or 100 in a pipe]
    #[arg(long, value_name = "COLUMNS", allow_negative_numbers = true, value_parser = at_least(LEAST_WIDTH))]
    width: Option<u16>,

    /// Tree: colour it
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    color: Color,

    /// Accepted as before: the page is always one file that needs no network
    #[arg(long, hide_short_help = true)]
    local_libs: bool,

    /// With `--dot`: also draw the graph into NAME.pdf, with Graphviz
    #[arg(long, value_name = "NAME", requires = "dot", hide_short_help = true)]
    render_dot: Option<String>,
}

impl Command for Show {
    const PATH: &'static [&'static str] = &["trace", "show"];

    fn run(self, session: &mut Session<'_>) -> Outcome {
        let wants_tree = self.depth.is_some() || self.width.is_some();
        let named = self.out.as_deref().filter(|_| !wants_tree);
        let renderer = self.format.renderer(named)?;
        if self.local_libs {
            session
                .printer
                .note("`--local-libs` has no effect: the page is one file that needs no network");
        }
        let source = Source::load(&self.trace, &self.store, session)?;
        let is_cut_off = source.is_cut_off;
        if is_cut_off {
            session.printer.warning(&format!(
                "`{}` is cut off: the report shows what stands before that",
                Path::new(&self.trace).display()
            ));
        }
        let report = Report::build(source.notifications, source.summary);
        warn(&report, u64::from(is_cut_off), session);
        let options = self.options(session);
        out::write(self.out.as_deref(), &mut session.printer, |out| {
            Ok((renderer.render)(&report, &options, out)?)
        })?;
        if let (Some(name), "dot") = (&self.render_dot, renderer.name) {
            let mut graph = Vec::new();
            (renderer.render)(&report, &options, &mut graph)
                .map_err(|error| Failure::io("cannot write to memory", &error))?;
            graphviz::draw(&graph, name)?;
        }
        Ok(Status::Done)
    }
}

impl Show {
    fn options(&self, session: &Session<'_>) -> RenderOptions {
        let goes_to_file = self
            .out
            .as_deref()
            .is_some_and(|path| !out::is_stdout(path));
        let colors = if goes_to_file {
            self.color == Color::Always
        } else {
            session.environment.colors_stdout(self.color)
        };
        let mut options = RenderOptions {
            color: if colors {
                osprofiler_report::Color::Ansi
            } else {
                osprofiler_report::Color::Never
            },
            depth: self.depth.map(|levels| levels as usize),
            ..RenderOptions::default()
        };
        let terminal_width = session.environment.width.filter(|_| !goes_to_file);
        if let Some(width) = self.width.map(usize::from).or(terminal_width) {
            options.width = width;
        }
        options
    }
}

/// Says what the report cannot show or had to bend. Of the skipped elements `said` were spoken of before.
fn warn(report: &Report, said: u64, session: &mut Session<'_>) {
    let summary = report.summary();
    session
        .printer
        .skipped(summary.skipped.saturating_sub(said));
    for loss in summary.losses.iter().filter(|loss| loss.count > 0) {
        let notifications = plural(loss.count, "notification");
        session.printer.warning(&format!(
            "{notifications} of this trace were lost (`{}`): the report is incomplete",
            loss.reason.name()
        ));
    }
    if report.cycles() > 0 {
        let cycles = plural(report.cycles() as u64, "cycle");
        session.printer.warning(&format!(
            "{cycles} of parents: each was opened at its earliest point, which stands at the top"
        ));
    }
}
