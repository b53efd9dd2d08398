// SPDX-License-Identifier: Apache-2.0
//! Removing traces: by a query for their ids, some documents a request, so that none takes long and no writer waits.
//!
//! The list of errors goes first and the notifications last: what is left after an error is still listed, and is removed the next
//! time.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::json;

use super::client::{Ask, Client};
use super::settings::Settings;
use super::{ERRORS, LOSSES, REMOVE, errors, listing, reader};
use crate::driver::Pruner;
use crate::{Id, Result};

/// How many traces a query names.
const AT_ONCE: usize = 250;
/// How many documents a request removes at most.
const MAX_DOCUMENTS: usize = 5_000;

pub(super) struct ElasticsearchPruner {
    client: Client,
}

#[derive(Deserialize)]
struct Removed {
    total: u64,
    deleted: u64,
}

impl ElasticsearchPruner {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            client: Client::new(settings),
        }
    }

    /// Removes the documents of an index that are of these traces.
    fn remove_from(&mut self, index: &str, traces: &[Id<'_>]) -> Result<()> {
        let field = listing::id_field(&mut self.client, &REMOVE, index)?;
        let path = format!(
            "/{index}/_delete_by_query?conflicts=proceed&refresh=true&ignore_unavailable=true&allow_no_indices=true"
        );
        let query = listing::any_of(field, traces);
        let body = json!({"query": query, "max_docs": MAX_DOCUMENTS}).to_string();
        loop {
            let answer = self.client.ask_for(&REMOVE, Ask::Post(&body), &path, &[])?;
            let text = answer.text.unwrap_or_default();
            let Ok(Removed { total, deleted }) = serde_json::from_str(&text) else {
                return Err(errors::stranger().told(REMOVE.action, &self.client.settings.shown));
            };
            // Those that somebody else has just changed are gone, or nobody's any more.
            if total == 0 || deleted == 0 {
                return Ok(());
            }
        }
    }
}

impl Pruner for ElasticsearchPruner {
    fn remove(&mut self, traces: &[Id<'_>]) -> Result<u64> {
        reader::refresh(&mut self.client, &REMOVE)?;
        let index = self.client.settings.index.clone();
        let mut removed = 0;
        for some in traces.chunks(AT_ONCE) {
            let mut there = HashSet::new();
            for end in [ERRORS, LOSSES, ""] {
                let index = format!("{index}{end}");
                let mut add = |row: listing::Row| there.extend(row.base_id);
                listing::each_trace(&mut self.client, &REMOVE, &index, Some(some), &mut add)?;
            }
            if there.is_empty() {
                continue;
            }
            for end in [ERRORS, LOSSES, ""] {
                self.remove_from(&format!("{index}{end}"), some)?;
            }
            removed += there.len() as u64;
        }
        Ok(removed)
    }
}
