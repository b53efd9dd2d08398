// SPDX-License-Identifier: Apache-2.0
//! Documents that a query finds, page after page, in the order in which they came into the index.
//!
//! In: an index and a query. Out: each document's very text. The next page is asked for by where the last one ended, so nothing is
//! kept open at the server and nothing there runs out. A page whose answer is too large is asked for again in smaller ones; a
//! document that is too large alone is passed over and counted.

use std::fmt::Write as _;

use super::client::{Ask, Call, Client};
use super::errors;
use crate::Result;
use crate::wire::json::{Malformed, Scanner, Token};

/// How many documents one answer has at most.
const PAGE_LEN: usize = 1_000;

/// The order of arrival, which counts in each shard by itself; then what tells documents of several shards or indexes apart. Only
/// upstream's indexes have `trace_id.keyword`, only ours `timestamp.keyword`.
const ORDER: &str = r#"[{"_seq_no": "asc"}, {"timestamp": {"order": "asc", "unmapped_type": "date"}}, {"timestamp.keyword": {"order": "asc", "unmapped_type": "keyword"}}, {"trace_id.keyword": {"order": "asc", "unmapped_type": "keyword"}}]"#;

/// A document, as it stands in an answer: parts of its JSON.
#[derive(Clone, Copy, Default)]
pub(super) struct Hit<'a> {
    /// With its quotes.
    pub(super) id: &'a str,
    /// Empty if it was not asked for.
    pub(super) source: &'a str,
    sort: &'a str,
}

/// Calls `each` with the documents of `index`, an index or alias that need not exist, that `query` finds. Returns how many are too
/// large to be read.
pub(super) fn each_hit(
    client: &mut Client,
    call: &Call,
    index: &str,
    query: &str,
    each: &mut dyn FnMut(Hit<'_>),
) -> Result<u64> {
    let path = format!(
        "/{index}/_search?ignore_unavailable=true&allow_no_indices=true&allow_partial_search_results=false"
    );
    let (mut size, mut has_source) = (PAGE_LEN, true);
    let (mut after, mut too_large) = (String::new(), 0);
    loop {
        let before = after.clone();
        let mut body = format!(
            r#"{{"size": {size}, "query": {query}, "sort": {ORDER}, "track_total_hits": false, "_source": {has_source}"#
        );
        if !after.is_empty() {
            // Writing into a `String` does not fail.
            let _ = write!(body, r#", "search_after": {after}"#);
        }
        body.push('}');
        let answer = client.ask_for(call, Ask::Post(&body), &path, &[])?;
        let told = |sorted: errors::Sorted| sorted.told(call.action, &client.settings.shown);
        let Some(text) = answer.text else {
            if !has_source {
                return Err(told(errors::too_large(call)));
            }
            // A page of one that is too large is passed over without its text.
            has_source = size > 1;
            size = (size / 8).max(1);
            continue;
        };
        let mut count = 0;
        let whole = hits(&text, &mut |hit| {
            count += 1;
            if count == size {
                hit.sort.clone_into(&mut after);
            }
            if has_source {
                each(hit);
            } else {
                too_large += 1;
            }
        });
        if whole.is_err() {
            return Err(told(errors::stranger()));
        }
        if count < size {
            return Ok(too_large);
        }
        if after.is_empty() || after == before {
            // The next page would be the same, for ever.
            return Err(told(errors::stuck()));
        }
        has_source = true;
        size = (2 * size).min(PAGE_LEN);
    }
}

/// Calls `each` with the documents of an answer.
fn hits<'a>(text: &'a str, each: &mut dyn FnMut(Hit<'a>)) -> std::result::Result<(), Malformed> {
    let mut scanner = Scanner::new(text);
    for _ in 0..2 {
        enter(&mut scanner, "\"hits\"")?;
    }
    expect(&mut scanner, Token::ArrayStart)?;
    loop {
        match scanner.next_token()? {
            Some(Token::ObjectStart) => {}
            Some(Token::ArrayEnd) => return Ok(()),
            _ => return Err(no_hits(&scanner)),
        }
        let mut hit = Hit::default();
        while let Some(Token::Key(key)) = scanner.next_token()? {
            let start = scanner.position();
            if let Some(first) = scanner.next_token()? {
                scanner.skip_value(first)?;
            }
            let value = text[start..scanner.position()].trim_start();
            match key {
                "\"_id\"" => hit.id = value,
                "\"_source\"" => hit.source = value,
                "\"sort\"" => hit.sort = value,
                _ => {}
            }
        }
        each(hit);
    }
}

/// Goes to the value of the member `name` of the object that comes next.
fn enter(scanner: &mut Scanner<'_>, name: &str) -> std::result::Result<(), Malformed> {
    expect(scanner, Token::ObjectStart)?;
    while let Some(Token::Key(key)) = scanner.next_token()? {
        if key == name {
            return Ok(());
        }
        if let Some(first) = scanner.next_token()? {
            scanner.skip_value(first)?;
        }
    }
    Err(no_hits(scanner))
}

fn expect(scanner: &mut Scanner<'_>, token: Token<'_>) -> std::result::Result<(), Malformed> {
    if scanner.next_token()? == Some(token) {
        Ok(())
    } else {
        Err(no_hits(scanner))
    }
}

fn no_hits(scanner: &Scanner<'_>) -> Malformed {
    Malformed {
        offset: scanner.position(),
        reason: "no hits",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        let whole = hits(text, &mut |hit| {
            found.push(format!("{} {} {}", hit.id, hit.source, hit.sort));
        });
        if whole.is_err() {
            found.push("!".to_owned());
        }
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn documents_are_found_in_an_answer_and_not_looked_into() {
        check(
            r#"{"took": 1, "_shards": {"hits": 7}, "hits": {"max_score": null, "hits": [
                {"_index": "x", "_id": "a", "_source": {"a": NaN, "_id": "b"}, "sort" : [1, null]},
                {"_id": "c"}]}}"#,
            &[r#""a" {"a": NaN, "_id": "b"} [1, null]"#, r#""c"  "#],
        );
        check(r#"{"hits": {"hits": []}}"#, &[]);
        for text in [
            "",
            "{}",
            "[]",
            r#"{"hits": []}"#,
            r#"{"hits": {"hits": {}}}"#,
            r#"{"hits": {"hits": [1]}}"#,
            r#"{"hits": {"hits": "#,
        ] {
            check(text, &["!"]);
        }
        check(r#"{"hits": {"hits": [{"_id": "a"}, "#, &[r#""a"  "#, "!"]);
    }
}
