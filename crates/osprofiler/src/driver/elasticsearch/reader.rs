// SPDX-License-Identifier: Apache-2.0
//! Reading: a trace by its id, and lists of traces, one row each.
//!
//! A trace comes in the order of recording: ours by the ids of their documents, upstream's as they came into the index, between
//! them. Each notification comes once. What is no notification is skipped and counted. The server is asked first to show what
//! was written a moment ago.

use std::collections::HashSet;

use serde_json::json;

use super::client::{Ask, Call, Client};
use super::documents::{self, Stored};
use super::settings::Settings;
use super::{ERRORS, LOSSES, READ, listing, pages};
use crate::driver::{ListFilter, ReadSummary, Reader, TraceSummary};
use crate::wire::json as text;
use crate::{Id, Loss, LossReason, Notifications, Result, Timestamp};

pub(super) struct ElasticsearchReader {
    client: Client,
}

impl ElasticsearchReader {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            client: Client::new(settings),
        }
    }

    fn index(&self, end: &str) -> String {
        format!("{}{end}", self.client.settings.index)
    }

    fn read_losses(&mut self, query: &str, summary: &mut ReadSummary) -> Result<()> {
        let index = self.index(LOSSES);
        let mut skipped = 0;
        let too_large =
            pages::each_hit(
                &mut self.client,
                &READ,
                &index,
                query,
                &mut |hit| match loss(hit.source) {
                    Some(loss) => summary.add_loss(loss),
                    None => skipped += 1,
                },
            )?;
        summary.skipped += skipped + too_large;
        Ok(())
    }

    /// When a trace began whose first time is none.
    fn first_time(&mut self, base_id: &str) -> Result<Option<Timestamp>> {
        let Ok(base_id) = Id::parse(base_id) else {
            return Ok(None);
        };
        let mut notifications = Notifications::default();
        self.read(base_id, &mut notifications)?;
        let times = notifications.iter();
        Ok(times.map(|notification| notification.timestamp).min())
    }
}

/// Has the servers show what was written. Who may not ask for that sees it within a second.
pub(super) fn refresh(client: &mut Client, call: &Call) -> Result<()> {
    let index = &client.settings.index;
    let path = format!(
        "/{index},{index}{ERRORS},{index}{LOSSES}/_refresh?ignore_unavailable=true&allow_no_indices=true"
    );
    client.ask_for(call, Ask::Post(""), &path, &[403]).map(drop)
}

impl Reader for ElasticsearchReader {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        refresh(&mut self.client, &READ)?;
        let mut summary = ReadSummary::default();
        let id = base_id.to_string();
        // In upstream's indexes the first finds words of ids; what is of another trace is passed over.
        let query = json!({"bool": {"should": [
            {"term": {"base_id": id}},
            {"term": {"base_id.keyword": id}},
        ], "minimum_should_match": 1}})
        .to_string();
        let (mut read, mut ids) = (Notifications::default(), Vec::new());
        let index = self.index("");
        let mut skipped = 0;
        let too_large = pages::each_hit(&mut self.client, &READ, &index, &query, &mut |hit| {
            match documents::take(hit.source, base_id, &mut read) {
                Stored::Notification => ids.push(documents::own_id(hit.id.trim_matches('"'))),
                Stored::Another => {}
                Stored::Junk => skipped += 1,
            }
        })?;
        summary.skipped = skipped + too_large;
        sort_by_ids(&mut read, &ids);
        read.remove_duplicates(0);
        notifications.extend(read.iter());
        self.read_losses(&query, &mut summary)?;
        Ok(summary)
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        refresh(&mut self.client, &READ)?;
        let index = self.index(match filter {
            ListFilter::All => "",
            ListFilter::WithErrors => ERRORS,
        });
        let (mut traces, mut unclear) = (Vec::new(), Vec::new());
        let mut no_ids = 0;
        let mut skipped = listing::each_trace(&mut self.client, &READ, &index, None, &mut |row| {
            let first = row.first.as_deref().and_then(Timestamp::parse);
            match (row.base_id.filter(|id| Id::parse(id).is_ok()), first) {
                (Some(base_id), Some(first)) => traces.push((first, base_id)),
                (Some(base_id), None) => unclear.push(base_id),
                (None, _) => no_ids += 1,
            }
        })?;
        skipped += no_ids;
        for base_id in unclear {
            match self.first_time(&base_id)? {
                Some(first) => traces.push((first, base_id)),
                None => skipped += 1,
            }
        }
        traces.sort_unstable();
        for (timestamp, base_id) in &traces {
            if let Ok(base_id) = Id::parse(base_id) {
                let timestamp = *timestamp;
                each(TraceSummary { base_id, timestamp });
            }
        }
        Ok(skipped)
    }

    /// The server looks for it: no trace is read.
    fn written_since(&mut self, traces: &[Id<'_>], since: Timestamp) -> Result<Vec<bool>> {
        if traces.is_empty() {
            return Ok(Vec::new());
        }
        refresh(&mut self.client, &READ)?;
        let index = self.index("");
        let mut written = HashSet::new();
        listing::written_since(
            &mut self.client,
            &READ,
            &index,
            traces,
            since,
            &mut |base_id| {
                written.insert(base_id.to_owned());
            },
        )?;
        let is_written = |trace: &Id<'_>| written.contains(&trace.to_string());
        Ok(traces.iter().map(is_written).collect())
    }
}

fn loss(source: &str) -> Option<Loss> {
    let reason = text::member(source, "reason").filter(|value| value.starts_with('"'))?;
    Some(Loss {
        count: text::member(source, "count")?.parse().ok()?,
        reason: LossReason::from_name(&text::unescape(reason))?,
    })
}

/// Brings those that have an id of ours into its order, in the places that they have; others stay.
fn sort_by_ids(notifications: &mut Notifications, ids: &[Option<[u8; 12]>]) {
    let places: Vec<usize> = (0..ids.len())
        .filter(|&index| ids[index].is_some())
        .collect();
    let mut order = places.clone();
    order.sort_by_key(|&index| ids[index]);
    let mut keys: Vec<u64> = (0..ids.len() as u64).collect();
    for (place, index) in places.into_iter().zip(order) {
        keys[index] = place as u64;
    }
    notifications.sort_by_keys(&keys);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Notification;

    #[test]
    fn ours_are_in_the_order_of_ids_and_upstreams_stay_between_them() {
        let mut notifications = Notifications::default();
        let ids = [Some(3), None, Some(1), Some(2), None].map(|id| id.map(|id| [id; 12]));
        for name in ["c", "x", "a", "b", "y"] {
            notifications.push(&Notification {
                name,
                base_id: Id::from_u128(1),
                trace_id: Id::from_u128(1),
                parent_id: Id::from_u128(1),
                timestamp: Timestamp::from_micros(1),
                info: "{}",
                project: None,
                service: None,
            });
        }
        sort_by_ids(&mut notifications, &ids);
        let names: Vec<_> = notifications.iter().map(|one| one.name).collect();
        assert_eq!(names, ["a", "x", "b", "c", "y"]);
    }

    #[test]
    fn what_is_no_loss_is_none() {
        assert_eq!(
            loss(r#"{"reason": "exit", "count": 3}"#),
            Some(Loss {
                count: 3,
                reason: LossReason::Exit
            })
        );
        for source in [
            "{}",
            r#"{"reason": "exit"}"#,
            r#"{"reason": "exit", "count": -1}"#,
            r#"{"reason": "exit", "count": "3"}"#,
            r#"{"reason": "nonsense", "count": 3}"#,
            r#"{"reason": 7, "count": 3}"#,
        ] {
            assert_eq!(loss(source), None, "{source}");
        }
    }
}
