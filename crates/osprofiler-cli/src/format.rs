// SPDX-License-Identifier: Apache-2.0
//! The format of a report: one option a renderer, straight from the report's registry.
//!
//! A renderer added there is an option here, in the help and in the completions. Of several options the first in upstream's
//! order of priority wins, then the first of the registry; without any it is the tree.

use clap::{Arg, ArgAction, ArgMatches, Command};
use osprofiler_report::{RENDERERS, Renderer};

use crate::Failure;

/// Upstream's order.
const PRIORITY: [&str; 3] = ["json", "html", "dot"];

/// What is shown without an option.
const DEFAULT: &str = "tree";

/// The format options that were given, the winner first.
pub(crate) struct FormatArguments {
    names: Vec<&'static str>,
}

impl FormatArguments {
    /// The renderer asked for.
    pub(crate) fn renderer(&self) -> Result<&'static Renderer, Failure> {
        let name = self.names.first().copied().unwrap_or(DEFAULT);
        Renderer::find(name)
            .ok_or_else(|| Failure::usage(format!("the format `{name}` is not part of this build")))
    }
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
