// SPDX-License-Identifier: Apache-2.0
//! Reading: a trace by its id, and lists of traces, one row each.
//!
//! A trace comes in the order of its documents' ids, which is that of recording, each notification once. A list is an aggregation that an
//! index answers by looking at one key a trace; where a server cannot, it is made here of all keys. What is no
//! notification is skipped and counted.

use std::collections::{HashMap, HashSet};

use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::error::ErrorKind as Client;
use mongodb::{Cursor, Database};

use super::document::notification;
use super::{Connection, ERRORS, LOSSES, NOTIFICATIONS, READ};
use crate::driver::{ConnectionString, ListFilter, ReadSummary, Reader, TraceSummary};
use crate::{Id, Loss, LossReason, Notifications, Result, Timestamp};

/// The code of what a server of MongoDB's protocol has not implemented.
const NOT_IMPLEMENTED: i32 = 238;

pub(super) struct MongodbReader {
    connection: Connection,
}

/// The traces of a list, each with its first notification's time.
type First = HashMap<String, Timestamp>;

impl MongodbReader {
    pub(super) fn new(connection: &ConnectionString) -> Result<Self> {
        Ok(Self {
            connection: Connection::new(connection)?,
        })
    }

    /// Calls `each` with the documents that `query` asks for. Each part of the answer has the whole time.
    fn each(
        &mut self,
        query: impl AsyncFnOnce(&Database) -> mongodb::error::Result<Cursor<RawDocumentBuf>>,
        mut each: impl FnMut(&RawDocument),
    ) -> Result<()> {
        let mut cursor = self.connection.run(&READ, query)?;
        while self
            .connection
            .run(&READ, async |_| cursor.advance().await)?
        {
            each(cursor.current());
        }
        Ok(())
    }

    fn find(
        &mut self,
        collection: &str,
        filter: Document,
        members: Document,
        each: impl FnMut(&RawDocument),
    ) -> Result<()> {
        let max_time = self.connection.answer_timeout(&READ);
        let query = async |database: &Database| {
            let collection = database.collection::<RawDocumentBuf>(collection);
            collection
                .find(filter)
                .projection(members)
                .max_time(max_time)
                .await
        };
        self.each(query, each)
    }

    /// Adds the traces of a collection's documents; returns how many of these are none.
    fn add_first(&mut self, collection: &str, filter: Document, first: &mut First) -> Result<u64> {
        let mut skipped = 0;
        let members = doc! { "_id": 0, "base_id": 1, "timestamp": 1 };
        self.find(collection, filter, members, |document| {
            match row(document, "base_id") {
                (Some(base_id), Some(timestamp)) => add(first, base_id, timestamp),
                _ => skipped += 1,
            }
        })?;
        Ok(skipped)
    }

    /// Lists by one look at the index a trace; `None` if the server cannot.
    fn list_by_index(&mut self, first: &mut First) -> Result<Option<u64>> {
        let max_time = self.connection.answer_timeout(&READ);
        let pipeline = [
            doc! { "$sort": { "base_id": 1, "timestamp": 1 } },
            doc! { "$group": { "_id": "$base_id", "timestamp": { "$first": "$timestamp" } } },
        ];
        let cursor = self.connection.run(&READ, async |database| {
            let collection = database.collection::<RawDocumentBuf>(NOTIFICATIONS);
            let cursor = collection
                .aggregate(pipeline)
                .allow_disk_use(true)
                .max_time(max_time)
                .with_type::<RawDocumentBuf>()
                .await;
            match cursor {
                Err(error) if matches!(&*error.kind, Client::Command(error) if error.code == NOT_IMPLEMENTED) => Ok(None),
                cursor => cursor.map(Some),
            }
        })?;
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let (mut skipped, mut doubtful) = (0, Vec::new());
        self.each(
            async |_| Ok(cursor),
            |document| match row(document, "_id") {
                (Some(base_id), Some(timestamp)) => add(first, base_id, timestamp),
                // What has no time may stand before what has one.
                (Some(base_id), None) => doubtful.push(base_id.to_owned()),
                _ => skipped += 1,
            },
        )?;
        for base_id in doubtful {
            skipped += self.add_first(NOTIFICATIONS, doc! { "base_id": base_id }, first)?;
        }
        Ok(Some(skipped))
    }
}

impl Reader for MongodbReader {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        let mut summary = ReadSummary::default();
        let of_trace = doc! { "base_id": base_id.to_string() };
        let (mut read, mut ids) = (Notifications::default(), Vec::new());
        let mut info = String::new();
        self.find(
            NOTIFICATIONS,
            of_trace.clone(),
            Document::new(),
            |document| match notification(document, &mut info) {
                Some(notification) => {
                    read.push(&notification);
                    ids.push(document.get_object_id("_id").ok().map(|id| id.bytes()));
                }
                None => summary.skipped += 1,
            },
        )?;
        sort_by_ids(&mut read, &ids);
        read.remove_duplicates(0);
        notifications.extend(read.iter());
        self.find(LOSSES, of_trace, Document::new(), |document| {
            match loss(document) {
                Some(loss) => summary.add_loss(loss),
                None => summary.skipped += 1,
            }
        })?;
        Ok(summary)
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        let mut first = First::new();
        let skipped = match filter {
            ListFilter::WithErrors => self.add_first(ERRORS, Document::new(), &mut first)?,
            ListFilter::All => match self.list_by_index(&mut first)? {
                Some(skipped) => skipped,
                None => self.add_first(NOTIFICATIONS, Document::new(), &mut first)?,
            },
        };
        let mut traces: Vec<_> = first.iter().map(|(id, &first)| (first, id)).collect();
        traces.sort_unstable();
        for (timestamp, text) in traces {
            if let Ok(base_id) = Id::parse(text) {
                each(TraceSummary { base_id, timestamp });
            }
        }
        Ok(skipped)
    }

    fn written_since(&mut self, traces: &[Id<'_>], since: Timestamp) -> Result<Vec<bool>> {
        let traces: Vec<String> = traces.iter().map(ToString::to_string).collect();
        // Texts of times are in their order.
        let filter =
            doc! { "base_id": { "$in": &traces }, "timestamp": { "$gte": since.to_string() } };
        let found = self.connection.run(&READ, async |database| {
            let collection = database.collection::<Document>(NOTIFICATIONS);
            collection.distinct("base_id", filter).await
        })?;
        let written: HashSet<&str> = found.iter().filter_map(Bson::as_str).collect();
        Ok(traces
            .iter()
            .map(|trace| written.contains(&**trace))
            .collect())
    }
}

/// The trace and the time of a row, whose trace is the member `id`.
fn row<'a>(document: &'a RawDocument, id: &str) -> (Option<&'a str>, Option<Timestamp>) {
    let base_id = document
        .get_str(id)
        .ok()
        .filter(|text| Id::parse(text).is_ok());
    let timestamp = document
        .get_str("timestamp")
        .ok()
        .and_then(Timestamp::parse);
    (base_id, timestamp)
}

fn add(first: &mut First, base_id: &str, timestamp: Timestamp) {
    match first.get_mut(base_id) {
        Some(known) => *known = timestamp.min(*known),
        None => {
            first.insert(base_id.to_owned(), timestamp);
        }
    }
}

/// Brings the notifications into the order of their documents' ids; those without one come first, as they came.
fn sort_by_ids(notifications: &mut Notifications, ids: &[Option<[u8; 12]>]) {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|&index| ids[index]);
    let mut keys = vec![0; ids.len()];
    for (key, index) in (0..).zip(order) {
        keys[index] = key;
    }
    notifications.sort_by_keys(&keys);
}

fn loss(document: &RawDocument) -> Option<Loss> {
    let count = match document.get("count").ok()?? {
        mongodb::bson::raw::RawBsonRef::Int32(count) => i64::from(count),
        mongodb::bson::raw::RawBsonRef::Int64(count) => count,
        _ => return None,
    };
    Some(Loss {
        count: u64::try_from(count).ok()?,
        reason: LossReason::from_name(document.get_str("reason").ok()?)?,
    })
}
