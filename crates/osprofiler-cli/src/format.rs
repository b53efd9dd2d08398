// SPDX-License-Identifier: Apache-2.0
//! The format of a report: one option a renderer, straight from the report's registry.
//!
//! A renderer added there is an option here, in the help and in the completions. Of several options the first in upstream's
//! order of priority wins, then the first of the registry; without any it is what the written file's name ends with, or else
//! the tree.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use osprofiler_report::{RENDERERS, Renderer};

use crate::Failure;

/// Upstream's order.
const PRIORITY: [&str; 3] = ["json", "html", "dot"];

/// What is shown without an option, unless the file's name says another.
const DEFAULT: &str = "tree";

/// The format options that were given, the winner first.
pub(crate) struct FormatArguments {
    names: Vec<&'static str>,
}

impl FormatArguments {
    /// The renderer asked for, if need be by the name of the file that is going to be written.
    pub(crate) fn renderer(&self, file: Option<&Path>) -> Result<&'static Renderer, Failure> {
        let given = self.names.first().copied();
        let name = given.or_else(|| of_file(file?)).unwrap_or(DEFAULT);
        Renderer::find(name)
            .ok_or_else(|| Failure::usage(format!("the format `{name}` is not part of this build")))
    }
}

/// The format that the ending of `file`'s name is.
fn of_file(file: &Path) -> Option<&'static str> {
    let ending = file.extension()?;
    names()
        .into_iter()
        .find(|name| ending.eq_ignore_ascii_case(name))
}

/// Every format there is an option for, the one with the highest priority first.
fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = RENDERERS.iter().map(|renderer| renderer.name).collect();
    names.sort_by_key(|name| {
        let place = PRIORITY.iter().position(|first| first == name);
        place.unwrap_or(PRIORITY.len())
    });
    names
}

impl clap::Args for FormatArguments {
    fn augment_args(command: Command) -> Command {
        names().into_iter().fold(command, |command, name| {
            let summary = Renderer::find(name).map_or("", |renderer| renderer.summary);
            let default = if name == DEFAULT { " [default]" } else { "" };
            command.arg(
                Arg::new(name)
                    .long(name)
                    .action(ArgAction::SetTrue)
                    .help(format!("Write {summary}{default}"))
                    .help_heading("Formats (the first one listed wins)"),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for FormatArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut names = names();
        names.retain(|name| matches.get_flag(name));
        Ok(Self { names })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_option_the_file_s_name_says_the_format() {
        for (given, file, expected) in [
            (None, None, "tree"),
            (None, Some("-"), "tree"),
            (None, Some("x.html"), "html"),
            (None, Some("/srv/a.dot/x.JSON"), "json"),
            (None, Some("x.json.dot"), "dot"),
            (None, Some("/srv/a.dot/x"), "tree"),
            (None, Some("x.jsonl"), "tree"),
            (None, Some("json"), "tree"),
            (None, Some(".json"), "tree"),
            (Some("tree"), Some("x.html"), "tree"),
            (Some("dot"), Some("x.json"), "dot"),
        ] {
            let names = given.into_iter().collect();
            let renderer = FormatArguments { names }
                .renderer(file.map(Path::new))
                .unwrap();
            assert_eq!(renderer.name, expected, "{given:?} {file:?}");
        }
    }
}
