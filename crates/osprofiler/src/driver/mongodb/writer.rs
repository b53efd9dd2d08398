// SPDX-License-Identifier: Apache-2.0
//! Writing: a batch is one unordered insert, then a line for each trace with an error; losses are counted up.
//!
//! What the server refuses of a batch, or all of it, is sent once more with its infos as text; what it refuses again is
//! lost and counted. A document that is there already is stored. After a temporary error the whole batch comes again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mongodb::bson::{DateTime, Document, RawDocumentBuf, doc};
use mongodb::error::ErrorKind as Client;
use mongodb::options::IndexOptions;
use mongodb::{Database, IndexModel};

use super::document::{DocumentIds, Documents, expire_at_millis};
use super::{Connection, ERRORS, LOSSES, NOTIFICATIONS, WRITE, errors};
use crate::driver::{ConnectionString, Writer};
use crate::{Id, Loss, LossReason, Notifications, Result, Timestamp, wire};

/// The code of a document whose `_id` is there already.
const DUPLICATE_KEY: i32 = 11000;

pub(super) struct MongodbWriter {
    connection: Connection,
    ids: DocumentIds,
    prepared: Prepared,
    refused: u64,
}

/// The collections whose indexes were looked after.
type Prepared = HashSet<&'static str>;

impl MongodbWriter {
    pub(super) fn new(connection: &ConnectionString) -> Result<Self> {
        Ok(Self {
            connection: Connection::new(connection)?,
            ids: DocumentIds::new(),
            prepared: Prepared::new(),
            refused: 0,
        })
    }

    /// Inserts the documents that `make` makes of the notifications at `indexes`; returns where those are that the server refused.
    fn insert(
        &mut self,
        indexes: &[usize],
        mut make: impl FnMut(usize) -> Option<RawDocumentBuf>,
    ) -> Result<Vec<usize>> {
        let (mut documents, mut places, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for &index in indexes {
            match make(index) {
                Some(document) => {
                    documents.push(document);
                    places.push(index);
                }
                None => refused.push(index),
            }
        }
        if documents.is_empty() {
            return Ok(refused);
        }
        let ttl = self.connection.settings.ttl;
        let timeout = self.connection.answer_timeout(&WRITE);
        let prepared = &mut self.prepared;
        let refusals = self.connection.run(&WRITE, async |database| {
            prepare(database, NOTIFICATIONS, ttl, timeout, prepared).await?;
            let collection = database.collection::<RawDocumentBuf>(NOTIFICATIONS);
            let Err(error) = collection.insert_many(&documents).ordered(false).await else {
                return Ok(Vec::new());
            };
            let Client::InsertMany(failed) = &*error.kind else {
                return Err(error);
            };
            let refusals: Vec<_> = failed
                .write_errors
                .iter()
                .flatten()
                .filter(|failed| failed.code != DUPLICATE_KEY)
                .map(|failed| (failed.index, failed.code))
                .collect();
            // A server that stored nothing, or asks for another try, has said something about all of them.
            if refusals.len() == documents.len()
                || refusals.iter().any(|&(_, code)| errors::is_temporary(code))
            {
                return Err(error);
            }
            Ok(refusals)
        })?;
        let place = |&(index, _): &(usize, i32)| places.get(index).copied();
        refused.extend(refusals.iter().filter_map(place));
        Ok(refused)
    }

    /// Lists the traces of the batch that have errors, each with its first error's time.
    fn list_errors(&mut self, batch: &Notifications) -> Result<()> {
        let mut first = HashMap::<Id<'_>, Timestamp>::new();
        for notification in batch.iter().filter(wire::has_error) {
            first
                .entry(notification.base_id)
                .and_modify(|first| *first = notification.timestamp.min(*first))
                .or_insert(notification.timestamp);
        }
        let updates = first.iter().map(|(id, timestamp)| {
            let (id, timestamp) = (id.to_string(), timestamp.to_string());
            (
                doc! { "base_id": id },
                doc! { "$min": { "timestamp": timestamp } },
            )
        });
        self.upsert(ERRORS, updates.collect())
    }

    /// Brings the document that each filter finds, or a new one, up to date.
    fn upsert(
        &mut self,
        collection: &'static str,
        changes: Vec<(Document, Document)>,
    ) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let ttl = self.connection.settings.ttl;
        let timeout = self.connection.answer_timeout(&WRITE);
        let updates: Vec<Document> = changes
            .into_iter()
            .map(|(filter, mut change)| {
                if let Some(ttl) = ttl {
                    change.insert(
                        "$set",
                        doc! { "expire_at": DateTime::from_millis(expire_at_millis(ttl)) },
                    );
                }
                doc! { "q": filter, "u": change, "upsert": true }
            })
            .collect();
        let command = doc! { "update": collection, "updates": updates, "ordered": false };
        let prepared = &mut self.prepared;
        let reply = self.connection.run(&WRITE, async |database| {
            prepare(database, collection, ttl, timeout, prepared).await?;
            database.run_command(command).await
        })?;
        let failed = reply.get_array("writeErrors").ok();
        let failed = failed.and_then(|failed| failed.first()?.as_document());
        match failed.map(|failed| (failed.get_i32("code"), failed.get_str("errmsg"))) {
            None | Some((Ok(DUPLICATE_KEY), _)) => Ok(()),
            Some((code, message)) => {
                Err(self
                    .connection
                    .refused(&WRITE, code.unwrap_or(0), message.unwrap_or_default()))
            }
        }
    }

    fn refuse(&mut self, batch: &Notifications, refused: &[usize]) {
        if refused.is_empty() {
            return;
        }
        self.refused += refused.len() as u64;
        let mut by_trace = HashMap::<Id<'_>, u64>::new();
        for &index in refused {
            *by_trace.entry(batch.get(index).base_id).or_default() += 1;
        }
        for (id, count) in by_trace {
            // Delivery is told in any case; the store is told if it can be.
            let reason = LossReason::Refused;
            let _ = self.write_loss(Some(id), Loss { count, reason });
        }
    }
}

impl Writer for MongodbWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.ids.take_time();
        let ids: Vec<_> = (0..batch.len()).map(|_| self.ids.next()).collect();
        let mut made = Documents::new(batch, self.connection.settings.ttl);
        let all: Vec<usize> = (0..batch.len()).collect();
        let mut refused = match self.insert(&all, |index| made.make(index, ids[index])) {
            // Some servers refuse a batch for one value in it.
            Err(error) if !error.is_temporary() => all,
            inserted => inserted?,
        };
        if !refused.is_empty() {
            refused = match self.insert(&refused, |index| made.outline(index, ids[index])) {
                Err(error) if !error.is_temporary() && refused.len() < batch.len() => refused,
                inserted => inserted?,
            };
        }
        drop(made);
        match self.list_errors(batch) {
            // The traces are stored; only the list of errors lacks some.
            Err(error) if !error.is_temporary() => {}
            listed => listed?,
        }
        self.refuse(batch, &refused);
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let filter =
            doc! { "base_id": base_id.map(|id| id.to_string()), "reason": loss.reason.name() };
        let count = i64::try_from(loss.count).unwrap_or(i64::MAX);
        self.upsert(LOSSES, vec![(filter, doc! { "$inc": { "count": count } })])
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        match std::mem::take(&mut self.refused) {
            0 => Vec::new(),
            count => vec![Loss {
                count,
                reason: LossReason::Refused,
            }],
        }
    }
}

/// Makes the collection's indexes, once. A user may lack the right, an administrator have made others, an index take
/// long to build: the store works without them, only slower, so that is no error.
async fn prepare(
    database: &Database,
    collection: &'static str,
    ttl: Option<Duration>,
    timeout: Duration,
    prepared: &mut Prepared,
) -> mongodb::error::Result<()> {
    if prepared.contains(collection) {
        return Ok(());
    }
    let unique = IndexOptions::builder().unique(true).build();
    let at_that_time = IndexOptions::builder().expire_after(Duration::ZERO).build();
    let mut indexes = match collection {
        // In this order, a list of traces looks at one key each.
        NOTIFICATIONS => vec![
            (doc! { "base_id": 1, "timestamp": 1 }, None),
            (doc! { "timestamp": 1 }, None),
        ],
        ERRORS => vec![(doc! { "base_id": 1 }, Some(unique))],
        _ => vec![(doc! { "base_id": 1 }, None)],
    };
    if ttl.is_some() {
        indexes.push((doc! { "expire_at": 1 }, Some(at_that_time)));
    }
    let collection_of_any = database.collection::<Document>(collection);
    // One by one: an index that is refused takes no other along.
    for (keys, options) in indexes {
        let index = IndexModel::builder().keys(keys).options(options).build();
        let made = collection_of_any.create_index(index).into_future();
        if let Ok(Err(error)) = tokio::time::timeout(timeout, made).await
            && !matches!(*error.kind, Client::Command(_))
        {
            return Err(error);
        }
    }
    prepared.insert(collection);
    Ok(())
}
