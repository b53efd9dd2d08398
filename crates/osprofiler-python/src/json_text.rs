// SPDX-License-Identifier: Apache-2.0
//! Texts and integers as Python's `json.dumps` writes them: ASCII only, `\n` and its like short, the rest as `\u....`.
//!
//! Beside `osprofiler::wire`, which escapes whole texts, because here a text may be cut anywhere and may hold lone surrogates.

/// Appends the characters of `text` while `out` is shorter than `limit` bytes; `false` if some are missing.
pub(crate) fn push_head(text: &str, limit: usize, out: &mut String) -> bool {
    let bytes = text.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        let room = limit.saturating_sub(out.len());
        let plain = count_plain(&bytes[start..bytes.len().min(start.saturating_add(room))]);
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

/// How many of the first bytes stand in a JSON text as they are: printable ASCII but quotes and backslashes.
fn count_plain(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let equals = |word: u64, byte: u8| {
        let difference = word ^ (LOW * u64::from(byte));
        difference.wrapping_sub(LOW) & !difference
    };
    let mut count = 0;
    // Eight at a time. Borrows can only make a byte above a special one look special, so the first one found is right.
    for word in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        let special = word
            | word.wrapping_add(LOW)
            | (word.wrapping_sub(LOW * u64::from(b' ')) & !word)
            | equals(word, b'"')
            | equals(word, b'\\');
        let special = special & HIGH;
        if special != 0 {
            return count + special.trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    let rest = bytes[count..].iter();
    count
        + rest
            .take_while(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
            .count()
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
    out.push_str(integer(number, &mut [0; 20]));
}

/// The decimal digits of `number`.
pub(crate) fn integer(number: i64, digits: &mut [u8; 20]) -> &str {
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
        start -= 1;
        digits[start] = b'-';
    }
    std::str::from_utf8(&digits[start..]).unwrap_or_default()
}

/// The hexadecimal digits of `number`.
pub(crate) fn hexadecimal(number: u64, digits: &mut [u8; 16]) -> &str {
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    std::str::from_utf8(&digits[start..]).unwrap_or_default()
}
