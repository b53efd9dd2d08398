// SPDX-License-Identifier: Apache-2.0
//! Writing: a batch is a few unordered inserts, then a line for each trace with an error; losses are counted up.
//!
//! What the server refuses of an insert, or all of it, is sent once more with its infos as text; what it refuses again is
//! lost and counted. After a temporary error the whole batch comes again: it goes on from the insert that failed, with the same
//! `_id`s, and a document that is there already is stored. Each insert is bounded, and so is its time and memory.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mongodb::IndexModel;
use mongodb::bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use mongodb::error::ErrorKind as Client;
use mongodb::options::IndexOptions;

use super::document::{Documents, expire_at_millis};
use super::{Connection, ERRORS, LOSSES, NOTIFICATIONS, WRITE, errors};
use crate::driver::document_ids::DocumentIds;
use crate::driver::losses::Totals;
use crate::driver::{ConnectionString, Writer};
use crate::{Id, Loss, LossReason, Notifications, Result, Timestamp, wire};

/// The code of a document whose `_id` is there already.
const DUPLICATE_KEY: i32 = 11000;

/// An insert ends at this many documents, so that a slow server has done it before the answer is due...
const INSERT_LEN: usize = 2_000;
/// ...or bytes. One document more may be in it.
const INSERT_BYTES: usize = 4 << 20;

pub(super) struct MongodbWriter {
    connection: Connection,
    ids: DocumentIds,
    /// The batch that failed for the time being, and comes again.
    unfinished: Option<(u64, Attempt)>,
    prepared: Prepared,
    refused: u64,
    losses: Totals,
}

/// The collections whose indexes were looked after, and when to do so again, if a server did not say that it has made them.
type Prepared = HashMap<&'static str, Option<Instant>>;

/// A server that is still making an index when its answer is due is asked again after this time, and says it is there.
const INDEXES_AGAIN: Duration = Duration::from_secs(300);

/// How far the storing of a batch has come.
struct Attempt {
    /// The ids of its documents, the same each time.
    ids: Vec<[u8; 12]>,
    /// How many of its notifications need no further insert: they are stored or refused.
    done: usize,
    /// The refused ones.
    refused: Vec<usize>,
}

impl MongodbWriter {
    pub(super) fn new(connection: &ConnectionString) -> Result<Self> {
        Ok(Self {
            connection: Connection::new(connection)?,
            ids: DocumentIds::new(),
            unfinished: None,
            prepared: Prepared::new(),
            refused: 0,
            losses: Totals::new(),
        })
    }

    /// What was done of this batch before, or the beginning of it.
    fn attempt(&mut self, batch: &Notifications) -> Attempt {
        if let Some((print, attempt)) = self.unfinished.take()
            && print == batch.fingerprint()
        {
            return attempt;
        }
        self.ids.take_time();
        Attempt {
            ids: (0..batch.len()).map(|_| self.ids.next()).collect(),
            done: 0,
            refused: Vec::new(),
        }
    }

    /// Stores what is left of the batch, as far as it comes before a temporary error.
    fn store(&mut self, batch: &Notifications, attempt: &mut Attempt) -> Result<()> {
        let mut made = Documents::new(batch, self.connection.settings.ttl);
        let mut last_refusal = None;
        while attempt.done < batch.len() {
            let rest: Vec<usize> = (attempt.done..batch.len()).collect();
            let ids = &attempt.ids;
            let insert = Insert::of(&rest, |index| made.make(index, ids[index]));
            let end = attempt.done + insert.taken;
            let mut refused = match self.insert(&insert) {
                // Some servers refuse an insert for one value in it.
                Err(error) if !error.is_temporary() => rest[..insert.taken].to_vec(),
                inserted => inserted?,
            };
            drop(insert);
            // As text, too, they may be too much for one insert.
            let mut again = std::mem::take(&mut refused);
            while !again.is_empty() {
                let insert = Insert::of(&again, |index| made.outline(index, ids[index]));
                match self.insert(&insert) {
                    Err(error) if !error.is_temporary() => {
                        refused.extend(&again[..insert.taken]);
                        last_refusal = Some(error);
                    }
                    inserted => refused.extend(inserted?),
                }
                again.drain(..insert.taken);
            }
            attempt.refused.extend(refused);
            attempt.done = end;
        }
        drop(made);
        if let Some(error) = last_refusal
            && attempt.refused.len() == batch.len()
        {
            return Err(error);
        }
        // It took the documents: making their indexes may take as long as it likes.
        let _ = self.prepare(NOTIFICATIONS);
        match self.list_errors(batch) {
            // The traces are stored; only the list of errors lacks some.
            Err(error) if !error.is_temporary() => Ok(()),
            listed => listed,
        }
    }

    /// Inserts documents; returns the indexes of the notifications that no document holds or that the server refused.
    fn insert(&mut self, insert: &Insert) -> Result<Vec<usize>> {
        let Insert {
            documents, places, ..
        } = insert;
        let mut refused = insert.impossible.clone();
        if documents.is_empty() {
            return Ok(refused);
        }
        let refusals = self.connection.run(&WRITE, async |database| {
            let collection = database.collection::<RawDocumentBuf>(NOTIFICATIONS);
            let Err(error) = collection.insert_many(documents).ordered(false).await else {
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
            // A server that stored nothing, or asks for another try, has said something about all of them. So has one that
            // stored them on fewer servers than it should have: they may be gone when it is.
            if refusals.len() == documents.len()
                || refusals.iter().any(|&(_, code)| errors::is_temporary(code))
                || failed.write_concern_error.is_some()
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
        self.prepare(collection)?;
        let ttl = self.connection.settings.ttl;
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
        let reply = self
            .connection
            .run(&WRITE, async |database| database.run_command(command).await)?;
        let told = |failed: &Document| {
            let code = failed.get_i32("code").unwrap_or(0);
            (
                code,
                failed.get_str("errmsg").unwrap_or_default().to_owned(),
            )
        };
        let failed = reply.get_array("writeErrors").ok();
        let failed = failed.into_iter().flatten().filter_map(Bson::as_document);
        let mut failed = failed.map(told);
        if let Some((code, message)) = failed.find(|(code, _)| *code != DUPLICATE_KEY) {
            return Err(self.connection.refused(&WRITE, code, &message));
        }
        match reply.get_document("writeConcernError").map(told) {
            Ok((code, message)) => Err(self.connection.on_too_few(&WRITE, code, &message)),
            Err(_) => Ok(()),
        }
    }

    /// Counts the refused ones, and tells the store of them, as far as it can be told: delivery is in any case.
    fn refuse(&mut self, batch: &Notifications, refused: &[usize]) {
        self.refused += refused.len() as u64;
        let mut by_trace = HashMap::<Id<'_>, u64>::new();
        for &index in refused {
            *by_trace.entry(batch.get(index).base_id).or_default() += 1;
        }
        let reason = LossReason::Refused;
        let losses = by_trace
            .into_iter()
            .map(|(id, count)| (Some(id), Loss { count, reason }));
        let _ = self.count_losses(&losses.collect::<Vec<_>>());
    }

    /// Brings this writer's own numbers in the store up to date: done twice, they are the same.
    fn count_losses(&mut self, losses: &[(Option<Id<'_>>, Loss)]) -> Result<()> {
        let change = |&(base_id, loss): &(Option<Id<'_>>, Loss)| {
            let filter = doc! {
                "base_id": base_id.map(|id| id.to_string()),
                "reason": loss.reason.name(),
                "writer": self.losses.writer(),
            };
            let total = i64::try_from(self.losses.with(base_id, loss)).unwrap_or(i64::MAX);
            (filter, doc! { "$max": { "count": total } })
        };
        let changes = losses.iter().map(change).collect();
        self.upsert(LOSSES, changes)?;
        for &(base_id, loss) in losses {
            self.losses.add(base_id, loss);
        }
        Ok(())
    }

    /// Makes the collection's indexes, once. A user may lack the right, an administrator have made others, an index take
    /// long to build: the store works without them, only slower, so that is no error. Each is a call of its own, and goes on at
    /// the server when nobody waits any more: it is asked for again later, as the server may have ended meanwhile. What a
    /// server cannot do for the time being, because it is no primary, is an error as for any other call.
    fn prepare(&mut self, collection: &'static str) -> Result<()> {
        match self.prepared.get(collection) {
            Some(None) => return Ok(()),
            Some(Some(again)) if Instant::now() < *again => return Ok(()),
            _ => {}
        }
        let timeout = self.connection.answer_timeout(&WRITE);
        let mut again = None;
        for index in indexes(collection, self.connection.settings.ttl.is_some()) {
            // One by one: an index that is refused takes no other along.
            let is_answered = self.connection.run(&WRITE, async |database| {
                let collection = database.collection::<Document>(collection);
                let made = collection.create_index(index).into_future();
                match tokio::time::timeout(timeout, made).await {
                    Ok(Err(error)) => match &*error.kind {
                        Client::Command(refusal) if !errors::is_temporary(refusal.code) => Ok(true),
                        _ => Err(error),
                    },
                    Ok(Ok(_)) => Ok(true),
                    Err(_) => Ok(false),
                }
            })?;
            if !is_answered {
                again = Some(Instant::now() + INDEXES_AGAIN);
            }
        }
        self.prepared.insert(collection, again);
        Ok(())
    }
}

impl Writer for MongodbWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut attempt = self.attempt(batch);
        match self.store(batch, &mut attempt) {
            Ok(()) => {}
            Err(error) => {
                if error.is_temporary() {
                    self.unfinished = Some((batch.fingerprint(), attempt));
                }
                return Err(error);
            }
        }
        self.refuse(batch, &attempt.refused);
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        self.count_losses(&[(base_id, loss)])
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

/// The documents of one insert.
struct Insert {
    documents: Vec<RawDocumentBuf>,
    /// Of which notifications they are.
    places: Vec<usize>,
    /// The notifications that no document holds.
    impossible: Vec<usize>,
    /// How many notifications are in it, from the first.
    taken: usize,
}

impl Insert {
    /// The documents that `make` makes of the first notifications at `indexes`, as many as one insert is to have.
    fn of(indexes: &[usize], mut make: impl FnMut(usize) -> Option<RawDocumentBuf>) -> Self {
        let mut insert = Self {
            documents: Vec::new(),
            places: Vec::new(),
            impossible: Vec::new(),
            taken: 0,
        };
        let mut bytes = 0;
        for &index in indexes.iter().take(INSERT_LEN) {
            insert.taken += 1;
            match make(index) {
                Some(document) => {
                    bytes += document.as_bytes().len();
                    insert.documents.push(document);
                    insert.places.push(index);
                }
                None => insert.impossible.push(index),
            }
            if bytes >= INSERT_BYTES {
                break;
            }
        }
        insert
    }
}

/// The indexes of a collection.
fn indexes(collection: &str, expires: bool) -> Vec<IndexModel> {
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
    if expires {
        indexes.push((doc! { "expire_at": 1 }, Some(at_that_time)));
    }
    let model = |(keys, options)| IndexModel::builder().keys(keys).options(options).build();
    indexes.into_iter().map(model).collect()
}

#[cfg(test)]
mod tests;
