// SPDX-License-Identifier: Apache-2.0
//! Removing traces: documents of all three collections, some traces a call.
//!
//! What a trace is listed by goes last, so that one whose removal was broken off is found again.

use std::collections::HashSet;

use mongodb::bson::{Bson, Document, doc};

use super::{Connection, ERRORS, LOSSES, NOTIFICATIONS, REMOVE};
use crate::driver::{ConnectionString, Pruner};
use crate::{Id, Result};

/// How many traces go in one call. The server lets others in between its documents.
const AT_ONCE: usize = 128;

pub(super) struct MongodbPruner {
    connection: Connection,
}

impl MongodbPruner {
    pub(super) fn new(connection: &ConnectionString) -> Result<Self> {
        Ok(Self {
            connection: Connection::new(connection)?,
        })
    }

    /// Removes the documents of a collection that are of the traces, and adds which had some.
    fn remove_from(
        &mut self,
        collection: &str,
        traces: &[String],
        removed: &mut HashSet<String>,
    ) -> Result<()> {
        let of_traces = doc! { "base_id": { "$in": traces } };
        let found = self.connection.run(&REMOVE, async |database| {
            let collection = database.collection::<Document>(collection);
            let found = collection.distinct("base_id", of_traces.clone()).await?;
            if !found.is_empty() {
                collection.delete_many(of_traces).await?;
            }
            Ok(found)
        })?;
        let ids = found.iter().filter_map(Bson::as_str);
        removed.extend(ids.map(str::to_owned));
        Ok(())
    }
}

impl Pruner for MongodbPruner {
    fn remove(&mut self, traces: &[Id<'_>]) -> Result<u64> {
        let traces: Vec<String> = traces.iter().map(ToString::to_string).collect();
        let mut removed = HashSet::new();
        for some in traces.chunks(AT_ONCE) {
            for collection in [ERRORS, LOSSES, NOTIFICATIONS] {
                self.remove_from(collection, some, &mut removed)?;
            }
        }
        Ok(removed.len() as u64)
    }
}
