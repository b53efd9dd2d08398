// SPDX-License-Identifier: Apache-2.0
//! Which commands there are: the one list from which parsing, help, completions and man pages come.
//!
//! A command is one file in `commands/`, a struct of its arguments that implements [`Command`], and one line in
//! [`COMMANDS`]. Its help is the struct's doc comments. The invariant: every path in the list is one or two words, the
//! first of two a group of [`GROUPS`].

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches};

use crate::commands::{completions, copy, doctor, export, list, man, prune, show};
use crate::{Environment, Failure, Outcome, Session, Status};

/// The commands, in the order help lists them.
const COMMANDS: &[Entry] = &[
    Entry::of::<show::Show>(),
    Entry::of::<list::List>(),
    Entry::of::<export::Export>(),
    Entry::of::<copy::Copy>(),
    Entry::of::<prune::Prune>(),
    Entry::of::<doctor::Doctor>(),
    Entry::of::<completions::Completions>(),
    Entry::of::<man::Man>(),
];

/// The first words of two-word commands, and what they are about.
const GROUPS: &[(&str, &str)] = &[(
    "trace",
    "Show, list, export, copy and remove recorded traces",
)];

/// The width of help, unless the terminal is narrower.
const HELP_COLUMNS: usize = 100;

/// A command: its arguments, and what it does with them.
pub(crate) trait Command: clap::Args {
    /// The words that call it, without `osprofiler`.
    const PATH: &'static [&'static str];

    /// Does it. Called once, on the thread that called [`run`](crate::run); it may block on a store.
    fn run(self, session: &mut Session<'_>) -> Outcome;
}

/// A line of [`COMMANDS`].
struct Entry {
    path: &'static [&'static str],
    arguments: fn(clap::Command) -> clap::Command,
    run: fn(&ArgMatches, &mut Session<'_>) -> Outcome,
}

impl Entry {
    const fn of<C: Command>() -> Self {
        Self {
            path: C::PATH,
            arguments: C::augment_args,
            run: |matches, session| match C::from_arg_matches(matches) {
                Ok(command) => command.run(session),
                Err(error) => Err(Failure::usage(error.to_string())),
            },
        }
    }
}

/// The whole command line as clap's value, for completions, man pages and tests.
pub fn command(environment: &Environment) -> clap::Command {
    let mut root = clap::Command::new("osprofiler")
        .about("Shows where the time of a request went, through every service it touched")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .short('v')
                .visible_short_alias('V')
                .long("version")
                .action(ArgAction::Version)
                .help("Print the version"),
        )
        .term_width(
            environment
                .width
                .map_or(HELP_COLUMNS, |width| width.min(HELP_COLUMNS)),
        )
        .color(clap::ColorChoice::Always);
    root = needs_subcommand(root);
    for (group, about) in GROUPS {
        root = root.subcommand(needs_subcommand(clap::Command::new(*group).about(*about)));
    }
    for entry in COMMANDS {
        let leaf = |name: &'static str| {
            (entry.arguments)(clap::Command::new(name)).mut_args(with_long_help)
        };
        root = match entry.path {
            [group, name] => root.mut_subcommand(group, |group| group.subcommand(leaf(name))),
            [name] => root.subcommand(leaf(name)),
            _ => root,
        };
    }
    root
}

/// Manual pages leave out the help of what short help hides, unless it is long help, too.
fn with_long_help(argument: Arg) -> Arg {
    match argument.get_help().cloned() {
        Some(help) if argument.is_hide_short_help_set() => argument.long_help(help),
        _ => argument,
    }
}

fn needs_subcommand(command: clap::Command) -> clap::Command {
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
}

/// The same with `help`, as `osprofiler help trace show` or `osprofiler trace help show`. Only where a line is parsed: it is no
/// command with a manual page.
fn with_help_command(command: clap::Command) -> clap::Command {
    let mut command = command.disable_help_subcommand(false);
    for (group, _) in GROUPS {
        command = command.mut_subcommand(group, |group| group.disable_help_subcommand(false));
    }
    command
}

/// Parses `arguments` and runs the command that they name.
pub(crate) fn dispatch(
    arguments: impl IntoIterator<Item = OsString>,
    session: &mut Session<'_>,
) -> Outcome {
    let command = with_help_command(command(session.environment));
    let matches = match command.try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return answer(error, session),
    };
    let (mut path, mut leaf) = (Vec::new(), &matches);
    while let Some((name, below)) = leaf.subcommand() {
        path.push(name);
        leaf = below;
    }
    match COMMANDS.iter().find(|entry| entry.path == path) {
        Some(entry) => (entry.run)(leaf, session),
        None => Err(Failure::usage(format!("no command `{}`", path.join(" ")))),
    }
}

/// What clap calls an error: help and version are data, the rest is a mistake and goes to stderr.
fn answer(mut error: clap::Error, session: &mut Session<'_>) -> Outcome {
    let is_version = error.kind() == ErrorKind::DisplayVersion;
    if is_version {
        session.printer.line(env!("CARGO_PKG_VERSION"))?;
        return Ok(Status::Done);
    }
    if error.use_stderr() {
        name_group(&mut error);
        session.printer.styled_talk(&error.render());
        return Ok(Status::Usage);
    }
    session
        .printer
        .styled_data(&error.render(), session.environment)?;
    Ok(Status::Done)
}

/// Names the whole command where its second word stands alone, as in `osprofiler list`.
fn name_group(error: &mut clap::Error) {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    let named = |entry: &&Entry| entry.path.len() > 1 && entry.path.last() == Some(&word.as_str());
    if let Some(entry) = COMMANDS.iter().find(named) {
        let tip = format!("did you mean `osprofiler {}`?", entry.path.join(" "));
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command(&Environment::default()).debug_assert();
    }

    #[test]
    fn every_path_is_a_word_or_a_group_and_a_word() {
        for entry in COMMANDS {
            match entry.path {
                [group, _] => assert!(GROUPS.iter().any(|(name, _)| name == group), "{group}"),
                path => assert_eq!(path.len(), 1, "{path:?}"),
            }
        }
        for (group, _) in GROUPS {
            assert!(
                COMMANDS.iter().any(|entry| entry.path[0] == *group),
                "{group}"
            );
        }
    }

    #[test]
    fn every_command_and_argument_has_help() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                let id = argument.get_id();
                assert!(argument.get_help().is_some(), "{} {id}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&command(&Environment::default()));
    }
}
