// SPDX-License-Identifier: Apache-2.0
//! `osprofiler doctor`: looks at a service's configuration, at the stores that it names, and at the traced processes of this host.
//!
//! What is found is data, on stdout, whatever it is; that something does not work is the exit code, with the first of it on stderr.

use std::path::PathBuf;

use osprofiler::delivery::{ProcessList, processes};
use osprofiler::driver::ConnectionStrings;

use crate::configuration::Configuration;
use crate::doctor::{Checked, Configured, Examination, TestTrace, write_prometheus};
use crate::registry::Command;
use crate::store::{StoreArguments, long_help};
use crate::{Failure, Outcome, Session, Status, out};

/// Look at a service's configuration, its stores, and the traced processes of this host
///
/// Says which options of `[profiler]` count and from where, whether each store answers, who may write it, and whether a test trace
/// that is sent there comes back; it is removed again where the store can do that. Last come the counters of the traced processes:
/// root sees those of all users. No key and no password is shown. The exit code is 1 if something does not work.
///
/// For example `osprofiler doctor --config-file /etc/glance/glance-api.conf`.
#[derive(clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are options of a command line, each with a name of its own"
)]
#[command(mut_arg("connection_string", |argument| argument.long_help(long_help("Of several, separated by commas, each is tried."))))]
pub(crate) struct Doctor {
    /// A configuration file of the service, as it is started with; of several, later ones win
    #[arg(long, value_name = "FILE")]
    config_file: Vec<PathBuf>,

    #[command(flatten)]
    store: StoreArguments,

    /// Send no test trace: only see whether the stores answer
    #[arg(long)]
    no_test_trace: bool,

    /// Only the traced processes of this host
    #[arg(long, conflicts_with_all = ["config_file", "connection_string"])]
    processes: bool,

    /// Write all as one JSON object
    #[arg(long)]
    json: bool,

    /// Only the traced processes of this host, in Prometheus' text format
    #[arg(long, conflicts_with_all = ["config_file", "connection_string", "json"])]
    prometheus: bool,

    /// Write into this file, as a whole or not at all
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Command for Doctor {
    const PATH: &'static [&'static str] = &["doctor"];

    fn run(self, session: &mut Session<'_>) -> Outcome {
        let found = self.examine(session)?;
        let path = self.out.as_deref();
        out::write(path, &mut session.printer, |out| match () {
            () if self.prometheus => write_prometheus(&found.processes, out),
            () if self.json => found.write_json(out),
            () => found.write_text(out),
        })?;
        let errors = found.errors();
        match errors.split_first() {
            None => Ok(Status::Done),
            Some((first, others)) => {
                let failure = Failure::failed(first.text.clone());
                let failure = match &first.help {
                    Some(help) => failure.with_help(help.clone()),
                    None => failure,
                };
                Err(match others.len() {
                    0 => failure,
                    more => {
                        failure.with_help(format!("{more} more of what was found does not work"))
                    }
                })
            }
        }
    }
}

impl Doctor {
    fn examine(&self, session: &mut Session<'_>) -> Result<Examination, Failure> {
        let only_processes = self.processes || self.prometheus;
        let configuration = (!self.config_file.is_empty())
            .then(|| Configured::examine(Configuration::read(&self.config_file)));
        let stores = match &configuration {
            _ if only_processes => {
                self.store.refuse_beside("and no store is looked at")?;
                None
            }
            // A store that is named goes before the configuration's.
            Some(configured) if !self.store.is_given() => {
                self.store.want_bus("not with `--config-file` alone")?;
                configured.stores.clone()
            }
            Some(_) => Some(self.store.named(session)?),
            None if self.store.is_given_or_set(session) => Some(self.store.named(session)?),
            None => {
                self.store.want_bus("and no store is named")?;
                None
            }
        };
        let test = if self.no_test_trace {
            TestTrace::NotSent
        } else {
            TestTrace::Sent
        };
        Ok(Examination {
            configuration,
            stores: stores
                .iter()
                .flat_map(ConnectionStrings::iter)
                .map(|store| {
                    session.printer.progress(&format!("trying {store}"));
                    Checked::examine(store, test)
                })
                .collect(),
            processes: list(session),
        })
    }
}

fn list(session: &Session<'_>) -> ProcessList {
    processes(&session.environment.runtime_folders)
}
