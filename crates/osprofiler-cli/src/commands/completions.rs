// SPDX-License-Identifier: Apache-2.0
//! `osprofiler completions SHELL`: the script with which a shell completes commands, options and their values.
//!
//! Derived from the registry, so that it is never behind it.

use clap_complete::Shell;

use crate::registry::{self, Command};
use crate::{Outcome, Session, Status};

/// Print the script that teaches a shell to complete `osprofiler`
///
/// For example `osprofiler completions bash > /etc/bash_completion.d/osprofiler`.
#[derive(clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Command for Completions {
    const PATH: &'static [&'static str] = &["completions"];

    fn run(self, session: &mut Session<'_>) -> Outcome {
        let mut command = registry::command(session.environment);
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "osprofiler", &mut script);
        session.printer.data(|out| Ok(out.write_all(&script)?))?;
        Ok(Status::Done)
    }
}
