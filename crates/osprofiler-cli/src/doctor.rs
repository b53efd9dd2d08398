// SPDX-License-Identifier: Apache-2.0
//! What `osprofiler doctor` finds: of a configuration, of the stores that it names, and of the traced processes of the host.
//!
//! In: files, stores, what processes publish. Out: [`Finding`]s, each a sentence with what to do next, and renderings of all of them: for
//! people, as JSON, for Prometheus. A secret is in none of them.

mod accounts;
mod advice;
mod bus;
mod json;
mod prometheus;
mod store;
mod text;

use osprofiler::delivery::ProcessList;
use osprofiler::driver::ConnectionStrings;

use crate::configuration::Configuration;

pub(crate) use prometheus::write as write_prometheus;
pub(crate) use store::{Checked, TestTrace};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// As it should be.
    Fine,
    /// Good to know.
    Note,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work.
    Error,
}

impl Level {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was found, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) text: String,
    pub(crate) help: Option<String>,
}

impl Finding {
    pub(crate) fn new(level: Level, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            level,
            text,
            help: None,
        }
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<osprofiler::Error> for Finding {
    fn from(error: osprofiler::Error) -> Self {
        let help = error.help().map(str::to_owned);
        let text = error.to_string();
        let level = Level::Error;
        Self { level, text, help }
    }
}

/// Everything that was found.
pub(crate) struct Examination {
    pub(crate) configuration: Option<Configured>,
    pub(crate) stores: Vec<Checked>,
    pub(crate) processes: ProcessList,
}

/// A configuration, and what is to be said of it.
pub(crate) struct Configured {
    pub(crate) configuration: Configuration,
    pub(crate) findings: Vec<Finding>,
    /// Where a service with it would send its notifications, if that is known.
    pub(crate) stores: Option<ConnectionStrings>,
}

impl Configured {
    /// Looks at a configuration.
    pub(crate) fn examine(configuration: Configuration) -> Self {
        let mut findings = advice::findings(&configuration);
        let stores = bus::stores(&configuration, &mut findings);
        Self {
            configuration,
            findings,
            stores,
        }
    }
}

impl Examination {
    /// What does not work.
    pub(crate) fn errors(&self) -> Vec<&Finding> {
        let configured = self.configuration.iter().flat_map(|found| &found.findings);
        let stores = self.stores.iter().flat_map(|store| &store.findings);
        let all = configured.chain(stores);
        all.filter(|finding| finding.level == Level::Error)
            .collect()
    }

    pub(crate) fn write_text(
        &self,
        out: &mut dyn std::io::Write,
    ) -> Result<(), crate::out::Broken> {
        Ok(text::write(self, out)?)
    }

    pub(crate) fn write_json(
        &self,
        out: &mut dyn std::io::Write,
    ) -> Result<(), crate::out::Broken> {
        Ok(out.write_all(json::of(self).as_bytes())?)
    }
}
