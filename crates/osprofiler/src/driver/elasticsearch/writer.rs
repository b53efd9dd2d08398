// SPDX-License-Identifier: Apache-2.0
//! Writing: a batch is a few bulk requests, then a document for each trace with an error; losses are documents, too.
//!
//! What the server refuses of a request is sent once more with its info as text; what it refuses again is lost and counted. After
//! a temporary error the whole batch comes again with the same ids, and a document that is there already is stored. Each request
//! is bounded, and halved where a server finds it too large.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use serde::Deserialize;

use super::client::{Ask, Client};
use super::documents::{self, Documents, Form};
use super::errors::{self, Refusal, Sorted};
use super::expiry::{Expiry, Removal};
use super::settings::Settings;
use super::{ERRORS, LOSSES, TIDY, WRITE, template};
use crate::driver::Writer;
use crate::driver::document_ids::DocumentIds;
use crate::driver::expiry::now;
use crate::driver::losses::Mark;
use crate::{Error, ErrorKind, Id, Loss, LossReason, Notifications, Result, Timestamp, wire};

/// A request ends at this many documents, so that a slow server has done it before the answer is due...
const BULK_LEN: usize = 2_000;
/// ...or bytes. A document that has more goes alone.
const BULK_BYTES: usize = 4 << 20;

pub(super) struct ElasticsearchWriter {
    client: Client,
    ids: DocumentIds,
    /// The batch that failed for the time being and comes again, and its ids.
    unfinished: Option<(u64, DocumentIds)>,
    /// The document's id of a loss that is told again, after a batch in between.
    loss: Mark<[u8; 12]>,
    is_prepared: bool,
    refused: u64,
    expiry: Option<Expiry>,
}

/// What became of a request.
enum Bulk {
    /// Of each document: nothing if it is stored.
    Done(Vec<Option<Sorted>>),
    TooLarge,
    Refused(Sorted),
}

#[derive(Deserialize)]
struct BulkAnswer {
    #[serde(default)]
    items: Vec<Element>,
}

#[derive(Deserialize)]
struct Element {
    create: Item,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Removed {
    total: i64,
}

impl ElasticsearchWriter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            expiry: settings.ttl.map(Expiry::new),
            client: Client::new(settings),
            ids: DocumentIds::new(),
            unfinished: None,
            loss: Mark::new(),
            is_prepared: false,
            refused: 0,
        }
    }

    /// Has the indexes made well, before the first document.
    fn prepare(&mut self) -> Result<()> {
        if !self.is_prepared {
            template::prepare(&mut self.client)?;
            self.is_prepared = true;
        }
        Ok(())
    }

    /// Stores the batch; returns which of its notifications were refused.
    fn store(&mut self, batch: &Notifications, mut ids: DocumentIds) -> Result<Vec<usize>> {
        let ids_of: Vec<_> = (0..batch.len()).map(|_| ids.next()).collect();
        let mut made = Documents::new(batch);
        let mut waiting: VecDeque<_> = (0..batch.len()).map(|index| (index, Form::Whole)).collect();
        let (mut taken, mut body) = (Vec::new(), Vec::new());
        let (mut refused, mut last_refusal) = (Vec::new(), None);
        let mut most_bytes = BULK_BYTES;
        while !waiting.is_empty() {
            body.clear();
            while taken.len() < BULK_LEN
                && let Some(&(index, form)) = waiting.front()
            {
                let end = body.len();
                made.push(index, ids_of[index], form, &mut body);
                if body.len() > most_bytes && end > 0 {
                    // It goes with the next, or alone.
                    body.truncate(end);
                    break;
                }
                taken.push((index, form));
                waiting.pop_front();
            }
            let mut refuse = |(index, form), sorted: Sorted, waiting: &mut VecDeque<_>| {
                match form {
                    Form::Whole if sorted.is_too_large => waiting.push_back((index, Form::Outline)),
                    Form::Whole => waiting.push_back((index, Form::Text)),
                    Form::Text => waiting.push_back((index, Form::Outline)),
                    Form::Outline => refused.push(index),
                }
                last_refusal = Some(sorted);
            };
            match self.bulk("", &body, taken.len())? {
                Bulk::Done(fates) => {
                    for (document, fate) in taken.drain(..).zip(fates) {
                        match fate {
                            None => {}
                            Some(sorted) if sorted.is_temporary => return Err(self.told(sorted)),
                            Some(sorted) => refuse(document, sorted, &mut waiting),
                        }
                    }
                }
                Bulk::TooLarge if taken.len() > 1 => {
                    most_bytes = body.len() / 2;
                    for document in taken.drain(..).rev() {
                        waiting.push_front(document);
                    }
                }
                Bulk::TooLarge => {
                    for document in taken.drain(..) {
                        refuse(document, errors::document_too_large(), &mut waiting);
                    }
                }
                Bulk::Refused(sorted) => {
                    for document in taken.drain(..) {
                        refuse(document, sorted.clone(), &mut waiting);
                    }
                }
            }
        }
        match last_refusal {
            Some(sorted) if refused.len() == batch.len() => return Err(self.told(sorted)),
            _ => {}
        }
        self.list_errors(batch, &mut ids)?;
        Ok(refused)
    }

    /// Lists the traces of the batch that have errors, each with its first error's time.
    fn list_errors(&mut self, batch: &Notifications, ids: &mut DocumentIds) -> Result<()> {
        let mut first = BTreeMap::<Id<'_>, Timestamp>::new();
        for notification in batch.iter().filter(wire::has_error) {
            first
                .entry(notification.base_id)
                .and_modify(|first| *first = notification.timestamp.min(*first))
                .or_insert(notification.timestamp);
        }
        let mut body = Vec::new();
        for (&base_id, &first) in &first {
            documents::push_error(ids.next(), base_id, first, &mut body);
        }
        // The traces are stored; only the list of errors may lack some.
        self.add(ERRORS, &body, first.len()).map(drop)
    }

    /// Adds documents to one of the smaller indexes; returns what was refused of them.
    fn add(&mut self, end: &str, body: &[u8], count: usize) -> Result<Option<Sorted>> {
        if count == 0 {
            return Ok(None);
        }
        let refusal = match self.bulk(end, body, count)? {
            Bulk::Done(fates) => fates
                .into_iter()
                .flatten()
                .max_by_key(|sorted| sorted.is_temporary),
            Bulk::TooLarge => Some(errors::document_too_large()),
            Bulk::Refused(sorted) => Some(sorted),
        };
        match refusal {
            Some(sorted) if sorted.is_temporary => Err(self.told(sorted)),
            refusal => Ok(refusal),
        }
    }

    /// Has the server create `count` documents in the index whose name ends so.
    fn bulk(&mut self, end: &str, body: &[u8], count: usize) -> Result<Bulk> {
        let index = &self.client.settings.index;
        let path = format!(
            "/{index}{end}/_bulk?filter_path=items.*.status,items.*.error.type,items.*.error.reason"
        );
        let ask = Ask::PostLines(body);
        let answer = self.client.ask_for(&WRITE, ask, &path, &[400, 413])?;
        if answer.status == 413 {
            return Ok(Bulk::TooLarge);
        }
        if answer.status == 400 {
            let sorted = errors::of_answer(400, answer.text.as_deref().unwrap_or_default());
            return if sorted.is_temporary {
                Err(self.told(sorted))
            } else {
                Ok(Bulk::Refused(sorted))
            };
        }
        let Some(text) = answer.text else {
            // Nobody has as much to say of a request that is none of the largest.
            return if body.len() > BULK_BYTES {
                Ok(Bulk::Refused(errors::refused_at_length()))
            } else {
                Err(self.told(errors::too_large(&WRITE)))
            };
        };
        let items = serde_json::from_str(&text).map_or(Vec::new(), |BulkAnswer { items }| items);
        if items.len() != count {
            return Err(self.told(errors::stranger()));
        }
        let fates = items.into_iter().map(|element| {
            let Item { status, error } = element.create;
            // It is there already: the answer that said so the first time did not come.
            let is_stored = matches!(status, 200..300 | 409);
            (!is_stored).then(|| errors::of_refusal(status, &error.unwrap_or_default()))
        });
        Ok(Bulk::Done(fates.collect()))
    }

    /// Counts the refused ones, and tells the store of them, as far as it can be told: delivery is in any case.
    fn refuse(&mut self, batch: &Notifications, refused: &[usize]) {
        self.refused += refused.len() as u64;
        let mut by_trace = HashMap::<Id<'_>, u64>::new();
        for &index in refused {
            *by_trace.entry(batch.get(index).base_id).or_default() += 1;
        }
        self.ids.take_time();
        let mut body = Vec::new();
        for (&base_id, &count) in &by_trace {
            let reason = LossReason::Refused;
            let (id, loss) = (self.ids.next(), Loss { count, reason });
            documents::push_loss(id, Some(base_id), loss, now(), &mut body);
        }
        let _ = self.add(LOSSES, &body, by_trace.len());
    }

    /// Has the server remove so many documents at most of those before that time. It is waited for, for a while: what nobody waits for
    /// at all leaves a document with the server about itself. What is answered later is done all the same, and counted nowhere.
    fn remove(&mut self, oldest: Timestamp, most: i64) -> Removal {
        let index = &self.client.settings.index;
        let path = format!(
            "/{index},{index}{ERRORS},{index}{LOSSES}/_delete_by_query?conflicts=proceed&ignore_unavailable=true"
        );
        let body = format!(
            r#"{{"query": {{"range": {{"timestamp": {{"lt": "{oldest}"}}}}}}, "max_docs": {most}}}"#
        );
        let text = match self.client.ask_for(&TIDY, Ask::Post(&body), &path, &[]) {
            Ok(answer) => answer.text,
            // It is for those who may, or to be done once an administrator lets us.
            Err(error) if error.kind() == ErrorKind::Denied => return Removal::Done,
            Err(error) if error.is_temporary() => return Removal::TooMuch,
            Err(_) => None,
        };
        let removed = text.and_then(|text| serde_json::from_str(&text).ok());
        if removed.is_some_and(|Removed { total }| total >= most) {
            Removal::Behind
        } else {
            Removal::Done
        }
    }

    fn told(&self, sorted: Sorted) -> Error {
        sorted.told(WRITE.action, &self.client.settings.shown)
    }
}

impl Writer for ElasticsearchWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.prepare()?;
        let print = batch.fingerprint();
        let ids = match self.unfinished.take() {
            Some((of, ids)) if of == print => ids,
            _ => {
                self.ids.take_time();
                self.ids.clone()
            }
        };
        let stored = self.store(batch, ids.clone());
        if stored.as_ref().is_err_and(Error::is_temporary) {
            self.unfinished = Some((print, ids));
        }
        let refused = stored?;
        if !refused.is_empty() {
            self.refuse(batch, &refused);
        }
        if let Some(expiry) = &mut self.expiry {
            expiry.wrote(batch.len());
        }
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        self.prepare()?;
        let ids = &mut self.ids;
        let id = self.loss.of(base_id, loss, || {
            ids.take_time();
            ids.next()
        });
        let mut body = Vec::new();
        documents::push_loss(id, base_id, loss, now(), &mut body);
        if let Some(sorted) = self.add(LOSSES, &body, 1)? {
            return Err(self.told(sorted));
        }
        self.loss.taken();
        Ok(())
    }

    fn tidy(&mut self) {
        if let Some((oldest, most)) = self.expiry.as_mut().and_then(Expiry::due) {
            let begin = Instant::now();
            let removal = self.remove(oldest, most);
            if let Some(expiry) = &mut self.expiry {
                expiry.done(removal, begin.elapsed());
            }
        }
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::driver::ConnectionString;
    use crate::driver::http::scripted::{Say, Scripted};

    /// What comes of removing ten documents at most.
    fn remove(authority: &str) -> Removal {
        let text = format!("elasticsearch://{authority}");
        let settings = Settings::of(&ConnectionString::parse(&text).unwrap()).unwrap();
        ElasticsearchWriter::new(settings).remove(now(), 10)
    }

    #[test]
    fn who_may_not_remove_leaves_it_and_who_could_not_asks_for_less() {
        let refused = |kind| format!(r#"{{"error": {{"type": "{kind}", "reason": "no"}}}}"#);
        for (status, text, expected) in [
            (200, r#"{"total": 9}"#.to_owned(), Removal::Done),
            (200, r#"{"total": 10}"#.to_owned(), Removal::Behind),
            (400, refused("x_content_parse_exception"), Removal::Done),
            (401, refused("security_exception"), Removal::Done),
            (403, refused("security_exception"), Removal::Done),
            (403, refused("cluster_block_exception"), Removal::Done),
            (429, refused("circuit_breaking_exception"), Removal::TooMuch),
            (503, refused("no_shard_available"), Removal::TooMuch),
        ] {
            let server = Scripted::new(vec![Say::Answer(status, text)]);
            assert_eq!(remove(&server.address), expected, "{status}");
        }
    }

    #[test]
    fn a_removal_that_is_not_answered_in_time_is_not_asked_of_the_next_server() {
        // It takes the request and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let next = Scripted::new(vec![Say::Answer(200, r#"{"total": 0}"#.to_owned())]);
        let servers = format!("{address},{}/?socket_timeout=0.2", next.address);
        assert_eq!(remove(&servers), Removal::TooMuch);
    }
}
