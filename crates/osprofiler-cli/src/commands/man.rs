// SPDX-License-Identifier: Apache-2.0
//! `osprofiler man`: the manual pages, to stdout or as files for `man` to find.
//!
//! Derived from the registry; one page a command, `osprofiler-trace-show.1` for `osprofiler trace show`.

use std::path::PathBuf;

use clap_mangen::roff::{Roff, bold, roman};

use crate::environment::VARIABLES;
use crate::registry::{self, Command};
use crate::{Failure, Outcome, Session, Status, out};

/// Print a manual page, or write all of them into a folder
///
/// For example `osprofiler man trace show | man -l -`, or `osprofiler man -o /usr/local/share/man/man1`.
#[derive(clap::Args)]
pub(crate) struct Man {
    /// The command whose page to print, for example `trace show` or `trace-show`; none for `osprofiler` itself
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    words: Vec<String>,

    /// Write the pages of all commands into this folder
    #[arg(short, long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Command for Man {
    const PATH: &'static [&'static str] = &["man"];

    fn run(self, session: &mut Session<'_>) -> Outcome {
        let mut root = registry::command(session.environment);
        root.build();
        let Some(folder) = self.out else {
            let page = page(find(&root, &self.words)?);
            session.printer.data(|out| Ok(out.write_all(&page)?))?;
            return Ok(Status::Done);
        };
        let mut remaining = vec![&root];
        while let Some(command) = remaining.pop() {
            let name = command.get_display_name().unwrap_or("osprofiler");
            let path = folder.join(format!("{name}.1"));
            let page = page(command);
            out::write(Some(&path), &mut session.printer, |out| {
                Ok(out.write_all(&page)?)
            })?;
            remaining.extend(command.get_subcommands());
        }
        Ok(Status::Done)
    }
}

fn find<'a>(root: &'a clap::Command, words: &[String]) -> Result<&'a clap::Command, Failure> {
    if let [name] = words
        && let Some(command) = find_page(root, name)
    {
        return Ok(command);
    }
    let mut command = root;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            let names: Vec<_> = command
                .get_subcommands()
                .map(|command| format!("`{}`", command.get_name()))
                .collect();
            let failure = Failure::usage(format!("no command `{}`", words.join(" ")));
            if names.is_empty() {
                failure
            } else {
                failure.with_help(format!("there are {}", names.join(", ")))
            }
        })?;
    }
    Ok(command)
}

/// The command whose page is called `name`, as `osprofiler-trace-show` or without the first word.
fn find_page<'a>(root: &'a clap::Command, name: &str) -> Option<&'a clap::Command> {
    let mut remaining = vec![root];
    while let Some(command) = remaining.pop() {
        let page = command.get_display_name().unwrap_or(command.get_name());
        if page == name || page.strip_prefix("osprofiler-") == Some(name) {
            return Some(command);
        }
        remaining.extend(command.get_subcommands());
    }
    None
}

fn page(command: &clap::Command) -> Vec<u8> {
    let mut page = Vec::new();
    let mut command = command.clone();
    // As help has it: a synopsis made from the options names none of their values.
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let rendered = clap_mangen::Man::new(command.override_usage(usage))
        .source(concat!("osprofiler ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)
        .and_then(|()| exit_status().to_writer(&mut page))
        .and_then(|()| environment().to_writer(&mut page));
    debug_assert!(rendered.is_ok(), "writing to memory does not fail");
    page
}

/// The section that tells the exit codes, which are those of every command.
fn exit_status() -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["EXIT STATUS"]);
    for status in Status::ALL {
        section
            .control("TP", [])
            .text([bold(status.code().to_string())])
            .text([roman(status.meaning())]);
    }
    section
}

/// The section that tells the variables, which any command may read.
fn environment() -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in VARIABLES {
        section
            .control("TP", [])
            .text([bold(name)])
            .text([roman(meaning)]);
    }
    section
}
