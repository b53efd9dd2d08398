// SPDX-License-Identifier: Apache-2.0
//! Looking into an `info`: one member of a JSON object, and the text of a JSON string.
//!
//! Values stay raw JSON text until somebody shows them. What is not JSON has no members; nothing here fails or recurses.

use std::borrow::Cow;

/// The value of the member `key` of the JSON object `object`, as JSON text; the last one if there are several, as in Python.
/// Takes one pass over the text, whatever the depth.
pub(crate) fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let mut found = None;
    let mut scan = Scan {
        bytes: object.as_bytes(),
        at: 0,
    };
    scan.eat(b'{')?;
    if scan.eat(b'}').is_some() {
        return None;
    }
    loop {
        let name = scan.value(object)?;
        scan.eat(b':')?;
        let value = scan.value(object)?;
        if is_key(name, key) {
            found = Some(value);
        }
        match scan.eat(b',') {
            Some(()) => {}
            None => return scan.eat(b'}').and(found),
        }
    }
}

fn is_key(name: &str, key: &str) -> bool {
    let Some(bare) = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
    else {
        return false;
    };
    if bare.contains('\\') {
        text(name) == key
    } else {
        bare == key
    }
}

/// What the JSON text `value` says to a reader: a string without its quotes and escapes (a lone surrogate becomes U+FFFD),
/// anything else as it is.
pub(crate) fn text(value: &str) -> Cow<'_, str> {
    let Some(bare) = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
    else {
        return Cow::Borrowed(value);
    };
    if !bare.contains('\\') {
        return Cow::Borrowed(bare);
    }
    let mut out = String::with_capacity(bare.len());
    let mut rest = bare;
    while let Some(position) = rest.find('\\') {
        out.push_str(&rest[..position]);
        rest = &rest[position + 1..];
        let Some(escape) = rest.chars().next() else {
            break;
        };
        rest = &rest[escape.len_utf8()..];
        match escape {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => rest = push_unicode(rest, &mut out),
            other => out.push(other),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Appends the character of the hex digits that `rest` begins with, a surrogate pair's two escapes as one, and returns
/// what follows.
fn push_unicode<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let Some(first) = unit(rest) else {
        out.push(char::REPLACEMENT_CHARACTER);
        return rest;
    };
    let after = &rest[4..];
    if (0xd800..0xdc00).contains(&first)
        && let Some(low) = after.strip_prefix("\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(low)
    {
        let character = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        out.push(char::from_u32(character).unwrap_or(char::REPLACEMENT_CHARACTER));
        return &low[4..];
    }
    out.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    after
}

/// A position in JSON text, which moves over whole values.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Moves over `byte` if it comes next.
    fn eat(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    /// Moves over the value that comes next and returns its text.
    fn value<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        self.blanks();
        let begin = self.at;
        match self.bytes.get(self.at)? {
            b'"' => self.string()?,
            b'{' | b'[' => self.container()?,
            _ => {
                while !matches!(
                    self.bytes.get(self.at),
                    None | Some(b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
                ) {
                    self.at += 1;
                }
            }
        }
        (self.at > begin).then(|| text.get(begin..self.at))?
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    fn container(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(object: &str, expected: Option<&str>) {
        assert_eq!(member(object, "key"), expected, "{object}");
    }

    #[test]
    fn a_member_is_found_at_the_top_only() {
        check(r#"{"key": 1}"#, Some("1"));
        check(
            r#" { "other" : [{"key": 2}] , "key" : {"a": [1, "}"]} } "#,
            Some(r#"{"a": [1, "}"]}"#),
        );
        check(r#"{"other": {"key": 1}}"#, None);
        check(r#"{"other": "\"key\": 1"}"#, None);
        check(r#"{"k\u0065y": "escaped"}"#, Some(r#""escaped""#));
        check(r#"{"key": 1, "key": 2}"#, Some("2"));
        check(r#"{"key": NaN}"#, Some("NaN"));
        check("{}", None);
    }

    #[test]
    fn what_is_no_object_has_no_member() {
        for junk in [
            "",
            "{",
            "[]",
            "null",
            r#"{"key""#,
            r#"{"key": "#,
            r#"{"key": 1"#,
            r#"{"key": "a"#,
            r#"{"key": [1}"#,
            r#"{"key" 1}"#,
            "{key: 1,}",
            "{\"key\": \"\\",
            "{,}",
            "{:}",
        ] {
            check(junk, None);
        }
        let deep = format!("{{\"key\": {}1", "[".repeat(100_000));
        check(&deep, None);
    }

    #[test]
    fn text_is_what_python_reads() {
        for (value, expected) in [
            (r#""a\"b\\c\/d""#, "a\"b\\c/d"),
            (r#""\b\f\n\r\t""#, "\u{8}\u{c}\n\r\t"),
            (r#""\u00e9é""#, "éé"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ude00\ud83dx""#, "\u{fffd}\u{fffd}x"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\u12""#, "\u{fffd}12"),
            ("12.50", "12.50"),
        ] {
            assert_eq!(text(value), expected, "{value}");
        }
    }
}
