// SPDX-License-Identifier: Apache-2.0
//! The telling part of a point's `info` in a few words: the request of a `wsgi` point, the statement of a `db` point.
//!
//! Goes by what an `info` holds and not by the point's name, since services name their points as they like. Blanks and
//! line breaks become one blank; the result is text of others and not yet inert.

use osprofiler::wire::json::{Scanner, Token, member, unescape};

use crate::report::Point;

/// More than a line ever shows.
const ENOUGH_BYTES: usize = 500;
/// A statement may name a hundred columns before it says from where.
const MOST_BYTES: usize = 64 * 1024;

/// What `point` was about; empty if its `info` does not say.
pub(super) fn detail(point: Point<'_>) -> String {
    let Some(notification) = point.start().or(point.stop()) else {
        return String::new();
    };
    let info = notification.info;
    let text = if let Some(request) = member(info, "request") {
        wsgi(request)
    } else if let Some(db) = member(info, "db") {
        statement(&text(db, "statement"))
    } else if let Some(requests) = member(info, "requests") {
        client(requests, point)
    } else if let Some(function) = member(info, "function") {
        last_parts(&text(function, "name"))
    } else {
        scalars(info)
    };
    one_line(&text)
}

/// What the error of `point` says: its type and, if there is one, its message.
pub(super) fn error(point: Point<'_>) -> Option<String> {
    let kind = unescape(point.error_type_json()?);
    let message = point.error_message_json().map(unescape).unwrap_or_default();
    let message = one_line(&message);
    Some(if message.is_empty() || message == "null" {
        one_line(&kind)
    } else {
        format!("{}: {message}", one_line(&kind))
    })
}

/// The text of a member, or as much of it as could matter.
fn text(object: &str, name: &str) -> String {
    member(object, name)
        .filter(|value| *value != "null")
        .map(as_text)
        .unwrap_or_default()
}

fn as_text(value: &str) -> String {
    if value.len() <= MOST_BYTES {
        return unescape(value).into_owned();
    }
    let mut begin = begin_of(value, MOST_BYTES).to_owned();
    if begin.starts_with('"') {
        begin.push('"');
    }
    unescape(&begin).into_owned()
}

fn wsgi(request: &str) -> String {
    let (method, path, query) = (
        text(request, "method"),
        text(request, "path"),
        text(request, "query"),
    );
    if query.is_empty() {
        format!("{method} {path}")
    } else {
        format!("{method} {path}?{query}")
    }
}

fn client(requests: &str, point: Point<'_>) -> String {
    let (method, host, port, path) = (
        text(requests, "method"),
        text(requests, "hostname"),
        text(requests, "port"),
        text(requests, "path"),
    );
    let colon = if port.is_empty() { "" } else { ":" };
    let status = point
        .stop()
        .and_then(|stop| member(stop.info, "requests"))
        .map(|requests| text(requests, "status_code"))
        .filter(|status| !status.is_empty())
        .map(|status| format!(" → {status}"))
        .unwrap_or_default();
    format!("{method} {host}{colon}{port}{path}{status}")
}

/// The statement, without the list of columns that most queries begin with.
fn statement(statement: &str) -> String {
    let from = statement
        .match_indices("FROM")
        .map(|(position, _)| position)
        .find(|&position| {
            let is_blank = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
            let bytes = statement.as_bytes();
            position > 0 && is_blank(bytes.get(position - 1)) && is_blank(bytes.get(position + 4))
        });
    match from {
        Some(position) if statement.starts_with("SELECT ") && position > 24 => {
            format!("SELECT … {}", one_line(&statement[position..]))
        }
        _ => one_line(statement),
    }
}

/// The class and the function: `VolumeManager.create_volume`.
fn last_parts(name: &str) -> String {
    match name.rmatch_indices('.').nth(1) {
        Some((position, _)) => name[position + 1..].to_owned(),
        None => name.to_owned(),
    }
}

/// The members of an `info` of somebody's own: `key=value`, as far as they are simple.
fn scalars(info: &str) -> String {
    let mut scanner = Scanner::new(info);
    let mut out = String::new();
    let mut key = "";
    while let Ok(Some(token)) = scanner.next_token() {
        match token {
            Token::Key(name) => key = name,
            Token::Text(value) | Token::Number(value) | Token::Literal(value)
                if scanner.depth() == 1 =>
            {
                let name = unescape(key);
                if !matches!(&*name, "host" | "etype" | "message") && out.len() < ENOUGH_BYTES {
                    let gap = if out.is_empty() { "" } else { " " };
                    out.push_str(gap);
                    out.push_str(&name);
                    out.push('=');
                    out.push_str(&as_text(value));
                }
            }
            Token::ObjectStart | Token::ArrayStart
                if scanner.depth() > 1 && scanner.skip_value(token).is_err() =>
            {
                break;
            }
            _ => {}
        }
    }
    out
}

/// The first `bytes` of `text`, or a few less where a character would be cut in half.
fn begin_of(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The words of `text`, as many as a line may show, with one blank between them.
fn one_line(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(begin_of(word, ENOUGH_BYTES));
        if out.len() > ENOUGH_BYTES {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use osprofiler::driver::ReadSummary;
    use osprofiler::{Id, Notification, Notifications, Timestamp};

    use super::*;
    use crate::report::Report;

    fn check(start: &str, stop: &str, expected: &str) {
        let mut notifications = Notifications::default();
        for (name, info) in [("x-start", start), ("x-stop", stop)] {
            notifications.push(&Notification {
                name,
                base_id: Id::from_u128(1),
                trace_id: Id::from_u128(2),
                parent_id: Id::from_u128(1),
                timestamp: Timestamp::from_micros(0),
                info,
                project: None,
                service: None,
            });
        }
        let report = Report::build(notifications, ReadSummary::default());
        let point = report.point(report.roots()[0]);
        assert_eq!(detail(point), expected);
    }

    #[test]
    fn each_kind_tells_what_it_was_about() {
        for (start, stop, expected) in [
            (
                r#"{"request": {"path": "/v3", "query": "", "method": "GET", "scheme": "http"}}"#,
                "{}",
                "GET /v3",
            ),
            (
                r#"{"request": {"path": "/v3", "query": "a=b", "method": "GET"}}"#,
                "{}",
                "GET /v3?a=b",
            ),
            (
                r#"{"db": {"statement": "SELECT a.id, b.name, c.description \nFROM a \nWHERE x = 1", "params": {}}}"#,
                "{}",
                "SELECT … FROM a WHERE x = 1",
            ),
            (
                r#"{"db": {"statement": "SELECT 1 FROM a"}}"#,
                "{}",
                "SELECT 1 FROM a",
            ),
            (
                r#"{"db": {"statement": "INSERT INTO a (b) SELECT c FROM d"}}"#,
                "{}",
                "INSERT INTO a (b) SELECT c FROM d",
            ),
            (
                r#"{"function": {"name": "nova.compute.api.API.get", "args": "()"}}"#,
                "{}",
                "API.get",
            ),
            (r#"{"function": {"name": "lonely"}}"#, "{}", "lonely"),
            (
                r#"{"requests": {"method": "POST", "query": "", "path": "/v2", "hostname": "h", "port": 80, "scheme": "http"}}"#,
                r#"{"requests": {"status_code": 201}}"#,
                "POST h:80/v2 → 201",
            ),
            (
                r#"{"requests": {"method": "GET", "hostname": "h", "port": "", "path": "/"}}"#,
                "{}",
                "GET h/",
            ),
            (
                r#"{"any_key": "with_any_value", "n": 3, "deep": {"x": 1}, "host": "h"}"#,
                "{}",
                "any_key=with_any_value n=3",
            ),
            (r#"{"request": 7}"#, "{}", ""),
            (r#"{"db": {"statement": null}}"#, "{}", ""),
            ("junk", "{}", ""),
        ] {
            check(start, stop, expected);
        }
    }

    #[test]
    fn a_huge_value_is_cut_early() {
        let statement = format!(r#"{{"db": {{"statement": "{}"}}}}"#, "é ".repeat(1_000_000));
        let mut notifications = Notifications::default();
        notifications.push(&Notification {
            name: "x-start",
            base_id: Id::from_u128(1),
            trace_id: Id::from_u128(2),
            parent_id: Id::from_u128(1),
            timestamp: Timestamp::from_micros(0),
            info: &statement,
            project: None,
            service: None,
        });
        let report = Report::build(notifications, ReadSummary::default());
        assert!(detail(report.point(report.roots()[0])).len() < 2 * ENOUGH_BYTES);
    }
}
