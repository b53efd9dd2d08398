// SPDX-License-Identifier: Apache-2.0
//! Texts of JSON: escaped as Python's `json.dumps` does, and back.

use std::borrow::Cow;

/// The text that a [`Token::Key`](super::json::Token::Key) or [`Token::Text`](super::json::Token::Text) stands for, without quotes and escapes. A lone surrogate, which no
/// text can hold, becomes U+FFFD.
pub fn unescape(token: &str) -> Cow<'_, str> {
    let inner = token
        .strip_prefix('"')
        .and_then(|token| token.strip_suffix('"'))
        .unwrap_or(token);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, escaped)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = escaped.chars();
        match chars.next() {
            Some('u') => rest = push_unicode_escape(escaped, &mut out),
            Some(other) => {
                out.push(match other {
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                });
                rest = chars.as_str();
            }
            None => rest = "",
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Takes `uXXXX`, or both halves of a pair, off `escaped`; returns what follows.
fn push_unicode_escape<'a>(escaped: &'a str, out: &mut String) -> &'a str {
    let unit = |text: &str| {
        text.strip_prefix('u')
            .and_then(|text| text.get(..4))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let Some(first) = unit(escaped) else {
        out.push(char::REPLACEMENT_CHARACTER);
        return &escaped[1..];
    };
    let rest = &escaped[5..];
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = rest.strip_prefix('\\').and_then(unit)
        && (0xdc00..0xe000).contains(&second)
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        return &rest[6..];
    }
    out.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

/// Appends `text` as JSON text with quotes, everything beyond ASCII escaped, as Python's `json.dumps` does.
#[inline]
pub fn push_text(text: &str, out: &mut String) {
    out.push('"');
    push_escaped(text, out);
    out.push('"');
}

/// Appends `text` as it stands between the quotes.
#[inline]
pub(crate) fn push_escaped(text: &str, out: &mut String) {
    // Nearly all texts are plain. Looked at to the end, without a branch a byte, that is seen many bytes at a time.
    if text
        .bytes()
        .fold(true, |plain, byte| plain & is_plain(byte))
    {
        out.push_str(text);
    } else {
        push_with_escapes(text, out);
    }
}

#[inline]
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~')
}

#[cold]
fn push_with_escapes(text: &str, out: &mut String) {
    let mut plain = 0;
    for (index, character) in text.char_indices() {
        if character.is_ascii() && is_plain(character as u8) {
            continue;
        }
        out.push_str(&text[plain..index]);
        plain = index + character.len_utf8();
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    out.push_str("\\u");
                    for shift in [12, 8, 4, 0] {
                        let digit = usize::from(*unit >> shift & 15);
                        out.push(char::from(b"0123456789abcdef"[digit]));
                    }
                }
            }
        }
    }
    out.push_str(&text[plain..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_in_and_come_out() {
        for (text, json) in [
            ("", r#""""#),
            ("plain", r#""plain""#),
            (
                "a\"b\\c\n\r\t\u{8}\u{c}\u{1}\u{7f}",
                "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u007f\"",
            ),
            ("é", r#""\u00e9""#),
            ("😀x", r#""\ud83d\ude00x""#),
        ] {
            let mut out = String::new();
            push_text(text, &mut out);
            assert_eq!(out, json);
            assert_eq!(unescape(&out), text);
        }
        for (json, text) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            (r#""\ude00\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\/""#, "/"),
        ] {
            assert_eq!(unescape(json), text);
        }
    }
}
