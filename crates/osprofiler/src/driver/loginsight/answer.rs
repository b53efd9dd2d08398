// SPDX-License-Identifier: Apache-2.0
//! Answers of the query API: `{"complete": true, "events": [{"timestamp": ..., "fields": [{"name", "content"}...]}...]}`.
//!
//! In: their text, of which nothing is trusted. Out: events with the contents of their fields. What has another form is left
//! out where it is a part, and an error where it is the whole.

use std::borrow::Cow;

use crate::wire::json::{self, Malformed, Scanner, Token};

/// What an answer says of its events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// How many events it has.
    pub(super) count: usize,
    /// The least of their timestamps, in milliseconds since 1970; `None` if none has one.
    pub(super) oldest: Option<i64>,
    /// Whether all were looked at that there are.
    pub(super) is_complete: bool,
}

/// An event's fields.
pub(super) struct Event<'a> {
    fields: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// The content of the field `name`.
    pub(super) fn field(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut found = None;
        // What is malformed was found before.
        let _ = each_element(self.fields?, &mut |field| {
            let is_it = text_of(field, "name").is_some_and(|other| other == name);
            if is_it && found.is_none() {
                found = text_of(field, "content");
            }
        });
        found
    }
}

/// Calls `each` with the events of an answer.
pub(super) fn read(answer: &str, each: &mut dyn FnMut(&Event<'_>)) -> Result<Page, Malformed> {
    json::check_object(answer)?;
    let mut page = Page {
        count: 0,
        oldest: None,
        is_complete: json::member(answer, "complete") != Some("false"),
    };
    let events = json::member(answer, "events").unwrap_or("[]");
    each_element(events, &mut |event| {
        page.count += 1;
        let timestamp = json::member(event, "timestamp");
        let timestamp = timestamp.and_then(|text| text.parse::<i64>().ok());
        page.oldest = match (page.oldest, timestamp) {
            (Some(known), Some(timestamp)) => Some(timestamp.min(known)),
            (known, timestamp) => known.or(timestamp),
        };
        let fields = json::member(event, "fields");
        each(&Event { fields });
    })?;
    Ok(page)
}

/// The session that the answer to a login has.
pub(super) fn session(answer: &str) -> Option<String> {
    json::check_object(answer).ok()?;
    let session = text_of(answer, "sessionId")?.into_owned();
    // It becomes a header.
    let is_plain = !session.is_empty() && session.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then_some(session)
}

/// How many events the server says it took.
pub(super) fn ingested(answer: &str) -> Option<usize> {
    json::check_object(answer).ok()?;
    json::member(answer, "ingested")?.parse().ok()
}

/// Why the server refuses something.
pub(super) fn error_message(answer: &str) -> Option<String> {
    json::check_object(answer).ok()?;
    text_of(answer, "errorMessage").map(Cow::into_owned)
}

/// The text that a member of an object is.
fn text_of<'a>(object: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let text = json::member(object, name).filter(|value| value.starts_with('"'))?;
    Some(json::unescape(text))
}

/// Calls `each` with the elements of an array, as written. Anything else is one without elements.
fn each_element<'a>(array: &'a str, each: &mut dyn FnMut(&'a str)) -> Result<(), Malformed> {
    let mut tokens = Scanner::new(array);
    if tokens.next_token()? != Some(Token::ArrayStart) {
        return Ok(());
    }
    while let Some(token) = tokens.next_token()? {
        let begin = match token {
            Token::ArrayEnd => break,
            Token::ObjectStart | Token::ArrayStart => tokens.position() - 1,
            Token::Text(text) | Token::Number(text) | Token::Literal(text) => {
                tokens.position() - text.len()
            }
            Token::ObjectEnd | Token::Key(_) => continue,
        };
        tokens.skip_value(token)?;
        each(&array[begin..tokens.position()]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contents of the field `trace` of each event, and what is known of the page.
    fn check(answer: &str, expected: &[Option<&str>], page: (Option<i64>, bool)) {
        let mut contents = Vec::new();
        let read = read(answer, &mut |event| {
            contents.push(event.field("trace").map(Cow::into_owned));
        });
        let contents: Vec<_> = contents.iter().map(Option::as_deref).collect();
        assert_eq!(contents, expected, "{answer}");
        let expected = Page {
            count: expected.len(),
            oldest: page.0,
            is_complete: page.1,
        };
        assert_eq!(read.unwrap(), expected, "{answer}");
    }

    #[test]
    fn events_are_read_whatever_stands_beside_them() {
        check(
            r#"{"complete": true, "duration": 1, "events": [
                {"text": "x", "timestamp": 20, "fields": [{"name": "a", "content": "b"}, {"name": "trace", "content": "{\"a\": \"\\ud800\"}"}]},
                {"timestamp": 10, "fields": [{"name": "trace", "startPosition": 1, "length": 2}]},
                {"timestamp": "soon", "fields": [5, null, "x", [], {"name": "trace", "content": "\ud800\n"}, {"name": "trace", "content": "again"}]},
                {"fields": {"name": "trace"}}, 7, "text", [[]], {}]}"#,
            &[
                Some(r#"{"a": "\ud800"}"#),
                None,
                Some("\u{fffd}\n"),
                None,
                None,
                None,
                None,
                None,
            ],
            (Some(10), true),
        );
    }

    #[test]
    fn an_answer_without_events_has_none() {
        check("{}", &[], (None, true));
        check(r#"{"events": null, "complete": false}"#, &[], (None, false));
        check(r#"{"events": "x"}"#, &[], (None, true));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for text in ["", "<html>", "[]", r#"{"events": [}"#, r#"{"events": ["#] {
            assert!(read(text, &mut |_| ()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_session_is_what_a_header_can_hold() {
        for (answer, expected) in [
            (r#"{"sessionId": "ab+/=", "ttl": 1800}"#, Some("ab+/=")),
            (r#"{"sessionId": ""}"#, None),
            (r#"{"sessionId": "a\r\nX: b"}"#, None),
            (r#"{"sessionId": 5}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(session(answer).as_deref(), expected, "{answer}");
        }
    }
}
