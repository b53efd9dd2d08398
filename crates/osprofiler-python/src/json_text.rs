// SPDX-License-Identifier: Apache-2.0
//! Texts and integers as Python's `json.dumps` writes them: ASCII only, `\n` and its like short, the rest as `\u....`.
//!
//! Beside `osprofiler::wire`, which escapes whole texts, because here a text may be cut anywhere and may hold lone surrogates.

/// Appends the characters of `text` while `out` is shorter than `limit` bytes; `false` if some are missing.
pub(crate) fn push_head(text: &str, limit: usize, out: &mut String) -> bool {
    let bytes = text.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        let plain = bytes[start..]
            .iter()
            .take(limit.saturating_sub(out.len()))
            .take_while(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
            .count();
        out.push_str(&text[start..start + plain]);
        start += plain;
        let Some(character) = text[start..].chars().next() else {
            break;
        };
        if out.len() >= limit {
            return false;
        }
        let mut units = [0; 2];
        for &mut unit in character.encode_utf16(&mut units) {
            push_unit(unit, out);
        }
        start += character.len_utf8();
    }
    true
}

/// One UTF-16 unit as `json.dumps` writes it.
pub(crate) fn push_unit(unit: u16, out: &mut String) {
    match u8::try_from(unit) {
        Ok(b'\n') => out.push_str("\\n"),
        Ok(b'\r') => out.push_str("\\r"),
        Ok(b'\t') => out.push_str("\\t"),
        Ok(0x08) => out.push_str("\\b"),
        Ok(0x0c) => out.push_str("\\f"),
        Ok(byte @ (b'"' | b'\\')) => out.extend(['\\', char::from(byte)]),
        Ok(byte @ b' '..=b'~') => out.push(char::from(byte)),
        _ => {
            out.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                let digit = b"0123456789abcdef"[usize::from(unit >> shift & 15)];
                out.push(char::from(digit));
            }
        }
    }
}

/// Appends the decimal digits of `number`.
pub(crate) fn push_integer(number: i64, out: &mut String) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push('-');
    }
    out.extend(digits[start..].iter().copied().map(char::from));
}
