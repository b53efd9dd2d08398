// SPDX-License-Identifier: Apache-2.0
//! Sizes as people write them: `1GiB`, `500 MB`, `65536`.

/// The smallest bound of a store: below it, hardly more than the tables themselves would fit.
pub(super) const SMALLEST: u64 = 256 << 10;

/// The bytes that `text` says. `KB`, `MB`, ... count by 1000; `KiB` and a bare `K` by 1024.
pub(super) fn parse(text: &str) -> Option<u64> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let (prefix, base) = if let Some(prefix) = unit.strip_suffix("ib") {
        (prefix, 1024u64)
    } else if let Some(prefix) = unit.strip_suffix('b') {
        (prefix, 1000)
    } else {
        (&*unit, 1024)
    };
    let power = match prefix {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(base.pow(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_what_they_say() {
        for (text, expected) in [
            ("0", Some(0)),
            ("65536", Some(65536)),
            ("7B", Some(7)),
            ("1K", Some(1024)),
            ("1kb", Some(1000)),
            ("2 MiB", Some(2 << 20)),
            ("1GiB", Some(1 << 30)),
            ("1TB", Some(1_000_000_000_000)),
            ("", None),
            ("GB", None),
            ("-1", None),
            ("1.5G", None),
            ("1XB", None),
            ("99999999999TB", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
