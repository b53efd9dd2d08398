// SPDX-License-Identifier: Apache-2.0
//! Lists of traces, one row each: the server groups an index by trace, and gives each group's first time.
//!
//! In: an index, and which of its traces. Out: each trace's id and the text of its first time, page after page. The name of the
//! field of ids differs: ours keeps ids as they are, upstream's indexes have a copy beside the words that they are taken apart into.

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Ask, Call, Client};
use super::errors;
use crate::{Id, Result, Timestamp};

/// How many traces one answer has at most.
const PAGE_LEN: usize = 1_000;

/// A trace as the server groups it.
pub(super) struct Row {
    /// Its id, if that is a text.
    pub(super) base_id: Option<String>,
    /// The text of its first time, if it is one.
    pub(super) first: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    /// Absent where there is no index.
    aggregations: Option<Groups>,
}

#[derive(Deserialize)]
struct Groups {
    traces: Traces,
    nameless: Nameless,
}

#[derive(Deserialize)]
struct Traces {
    after_key: Option<Value>,
    buckets: Vec<Value>,
}

#[derive(Deserialize)]
struct Nameless {
    doc_count: u64,
}

/// The field of an index by which a trace's id is found as it is.
pub(super) fn id_field(client: &mut Client, call: &Call, index: &str) -> Result<&'static str> {
    let path = format!(
        "/{index}/_field_caps?fields=base_id,base_id.keyword&ignore_unavailable=true&allow_no_indices=true"
    );
    let answer = client.ask_for(call, Ask::Get, &path, &[])?;
    let answer: Value = serde_json::from_str(&answer.text.unwrap_or_default()).unwrap_or_default();
    let types = |field: &str| {
        let types = answer["fields"][field].as_object();
        types.filter(|types| !types.is_empty())
    };
    let is_exact =
        types("base_id").is_none_or(|types| types.values().all(|of| of["aggregatable"] == true));
    if is_exact || types("base_id.keyword").is_none() {
        Ok("base_id")
    } else {
        Ok("base_id.keyword")
    }
}

/// Calls `each` with the traces of an index, or those of `among`. Returns how many of its documents are of no trace.
pub(super) fn each_trace(
    client: &mut Client,
    call: &Call,
    index: &str,
    among: Option<&[Id<'_>]>,
    each: &mut dyn FnMut(Row),
) -> Result<u64> {
    let field = id_field(client, call, index)?;
    let path = format!(
        "/{index}/_search?ignore_unavailable=true&allow_no_indices=true&allow_partial_search_results=false"
    );
    let query = match among {
        None => json!({"match_all": {}}),
        Some(traces) => any_of(field, traces),
    };
    let mut after = Value::Null;
    let mut nameless = None;
    loop {
        let mut composite =
            json!({"size": PAGE_LEN, "sources": [{"id": {"terms": {"field": field}}}]});
        if !after.is_null() {
            composite["after"] = after.clone();
        }
        // The text is more exact than the date, which upstream's indexes have alone.
        let first = json!({"top_hits": {"size": 1, "_source": ["timestamp"], "sort": [
            {"timestamp": {"order": "asc", "unmapped_type": "date"}},
            {"timestamp.keyword": {"order": "asc", "unmapped_type": "keyword"}},
        ]}});
        let body = json!({"size": 0, "track_total_hits": false, "query": query, "aggs": {
            "traces": {"composite": composite, "aggs": {"first": first}},
            "nameless": {"missing": {"field": field}},
        }});
        let answer = client.ask_for(call, Ask::Post(&body.to_string()), &path, &[])?;
        let text = answer.text.unwrap_or_default();
        let Ok(Answer { aggregations }) = serde_json::from_str(&text) else {
            return Err(errors::stranger().told(call.action, &client.settings.shown));
        };
        let Some(groups) = aggregations else {
            return Ok(0);
        };
        let skipped = *nameless.get_or_insert(groups.nameless.doc_count);
        for bucket in &groups.traces.buckets {
            let first = &bucket["first"]["hits"]["hits"][0]["_source"]["timestamp"];
            each(Row {
                base_id: bucket["key"]["id"].as_str().map(str::to_owned),
                first: first.as_str().map(str::to_owned),
            });
        }
        match groups.traces.after_key {
            Some(key) if !groups.traces.buckets.is_empty() => {
                if key == after {
                    // The next page would be the same, for ever.
                    return Err(errors::stuck().told(call.action, &client.settings.shown));
                }
                after = key;
            }
            _ => return Ok(skipped),
        }
    }
}

/// Calls `each` with the ids of those of the `traces` that have a document of that time or a later one.
pub(super) fn written_since(
    client: &mut Client,
    call: &Call,
    index: &str,
    traces: &[Id<'_>],
    since: Timestamp,
    each: &mut dyn FnMut(&str),
) -> Result<()> {
    let field = id_field(client, call, index)?;
    let path = format!(
        "/{index}/_search?ignore_unavailable=true&allow_no_indices=true&allow_partial_search_results=false"
    );
    // The text has microseconds, and is in the order of times; upstream's indexes have the date alone, in milliseconds.
    let from = json!({"gte": since.to_string()});
    let late = json!({"bool": {"should": [
        {"range": {"timestamp.keyword": from}},
        {"bool": {
            "filter": {"range": {"timestamp": from}},
            "must_not": {"exists": {"field": "timestamp.keyword"}},
        }},
    ], "minimum_should_match": 1}});
    let body = json!({
        "size": 0,
        "track_total_hits": false,
        "query": {"bool": {"filter": [any_of(field, traces), late]}},
        "aggs": {"traces": {"terms": {"field": field, "size": traces.len()}}},
    });
    let answer = client.ask_for(call, Ask::Post(&body.to_string()), &path, &[])?;
    let Ok(found) = serde_json::from_str::<Value>(&answer.text.unwrap_or_default()) else {
        return Err(errors::stranger().told(call.action, &client.settings.shown));
    };
    // Absent where there is no index.
    let groups = found["aggregations"]["traces"]["buckets"].as_array();
    let ids = groups.into_iter().flatten();
    ids.filter_map(|group| group["key"].as_str()).for_each(each);
    Ok(())
}

/// The query for all documents of the `traces`.
pub(super) fn any_of(field: &str, traces: &[Id<'_>]) -> Value {
    let ids: Vec<String> = traces.iter().map(ToString::to_string).collect();
    json!({"terms": {field: ids}})
}
