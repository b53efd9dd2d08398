// SPDX-License-Identifier: Apache-2.0
//! An info, read once: all that a span wants of it is looked up in what this finds.
//!
//! In: the JSON text of an info. Out: its members, and the members of those that are objects, in their order. What is nested deeper is a
//! value's JSON. Of a text that is no object these are what comes before the fault.

use std::borrow::Cow;

use crate::wire::json::{self, Scanner, Token};

/// The members of an info.
pub(super) struct Info<'a> {
    members: Vec<Member<'a>>,
}

/// A member of an info, or of one of its members.
struct Member<'a> {
    name: Cow<'a, str>,
    /// The place of the member that it is in, whose name may be as long as the info and is not copied to each.
    of: Option<usize>,
    value: Value<'a>,
}

pub(super) enum Value<'a> {
    /// A text, without quotes and escapes.
    Text(Cow<'a, str>),
    /// Anything else, as it is written.
    Json(&'a str),
}

impl<'a> Info<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        let mut reader = Reader {
            text,
            scanner: Scanner::new(text),
            members: Vec::with_capacity(8),
        };
        if reader.scanner.next_token() == Ok(Some(Token::ObjectStart)) {
            // Where it is malformed it ends.
            let _ = reader.read_members(None);
        }
        Self {
            members: reader.members,
        }
    }

    /// All of them, those of a member after itself: their names, those within that member, and their values.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, Option<&str>, &Value<'a>)> {
        self.members.iter().map(|member| {
            let (name, inner) = match member.of {
                None => (&member.name, None),
                Some(outer) => (&self.members[outer].name, Some(&*member.name)),
            };
            (&**name, inner, &member.value)
        })
    }

    /// Whether there is a member `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name, None).is_some()
    }

    /// The member `name`, as a text; `None` where it is null or absent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name, None)?.text()
    }

    /// The member `inner` of the member `name`, as a text; `None` where it is null or absent.
    pub(super) fn inner_text(&self, name: &str, inner: &str) -> Option<&str> {
        self.get(name, Some(inner))?.text()
    }

    /// The last of equal ones counts.
    fn get(&self, name: &str, inner: Option<&str>) -> Option<&Value<'a>> {
        let found = self.members.iter().rev().find(|member| match member.of {
            None => inner.is_none() && member.name == name,
            Some(outer) => {
                inner.is_some_and(|inner| member.name == inner) && self.members[outer].name == name
            }
        })?;
        Some(&found.value)
    }
}

impl Value<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json("null") => None,
            Self::Json(json) => Some(json),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
    members: Vec<Member<'a>>,
}

impl Reader<'_> {
    /// Reads the members of the object that has just begun, which is the member at `of`; `None` where the text is malformed.
    fn read_members(&mut self, of: Option<usize>) -> Option<()> {
        while let Token::Key(key) = self.scanner.next_token().ok()?? {
            let name = json::unescape(key);
            let first = self.scanner.next_token().ok()??;
            let begin = self.scanner.position() - 1;
            let value = match first {
                Token::Text(text) => Value::Text(json::unescape(text)),
                Token::Number(value) | Token::Literal(value) => Value::Json(value),
                Token::ObjectStart if of.is_none() => {
                    let place = self.members.len();
                    // If it never ends, it is all that follows.
                    let value = Value::Json(&self.text[begin..]);
                    self.members.push(Member { name, of, value });
                    self.read_members(Some(place))?;
                    let end = self.scanner.position();
                    self.members[place].value = Value::Json(&self.text[begin..end]);
                    continue;
                }
                _ => {
                    self.scanner.skip_value(first).ok()?;
                    Value::Json(&self.text[begin..self.scanner.position()])
                }
            };
            self.members.push(Member { name, of, value });
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` are the members, `NAME.INNER=VALUE`, texts with a colon.
    fn check(text: &str, expected: &[&str]) {
        let info = Info::read(text);
        let shown = info.members().map(|(name, inner, value)| {
            let inner = inner.map_or_else(String::new, |inner| format!(".{inner}"));
            let name = format!("{name}{inner}");
            match value {
                Value::Text(text) => format!("{name}: {text}"),
                Value::Json(json) => format!("{name}={json}"),
            }
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn members_and_theirs_are_found_in_their_order() {
        check(
            r#"{"a": 1, "b": { "c": "\u00e9", "d" :[1, {"e": 2}], "f": {"g": {}} }, "\u0068":  null}"#,
            &[
                "a=1",
                r#"b={ "c": "\u00e9", "d" :[1, {"e": 2}], "f": {"g": {}} }"#,
                "b.c: é",
                r#"b.d=[1, {"e": 2}]"#,
                r#"b.f={"g": {}}"#,
                "h=null",
            ],
        );
        check("{}", &[]);
        check("[1]", &[]);
        check(
            r#"{"a": 1, "b": {"c": 2, "d"}}"#,
            &["a=1", r#"b={"c": 2, "d"}}"#, "b.c=2"],
        );
    }

    #[test]
    fn a_name_of_any_length_is_kept_once_for_all_that_is_in_it() {
        let members = vec!["\"\":1"; 10_000].join(",");
        let text = format!(r#"{{"\n{}": {{{members}}}}}"#, "k".repeat(100_000));
        let info = Info::read(&text);
        let names: Vec<_> = info.members().map(|(name, ..)| name.as_ptr()).collect();
        assert_eq!(names, vec![names[0]; 10_001]);
    }

    #[test]
    fn texts_are_found_by_name() {
        let info = Info::read(r#"{"a": "\u00e9", "b": {"a": 1, "c": null}, "d": null, "a": "x"}"#);
        assert_eq!(info.text("a"), Some("x"));
        assert_eq!(info.text("d"), None);
        assert_eq!(info.inner_text("b", "a"), Some("1"));
        assert_eq!(info.inner_text("b", "c"), None);
        assert_eq!(info.inner_text("a", "a"), None);
        assert!(info.has("b") && info.has("d") && !info.has("c"));
    }
}
