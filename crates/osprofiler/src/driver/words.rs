// SPDX-License-Identifier: Apache-2.0
//! Somebody else's words in a message of ours: a server's, a certificate's.
//!
//! In: any text. Out: a part of it that fits into a line of a log, and that no terminal obeys.

/// The most of somebody's words that a message repeats.
pub(super) const MOST_CHARACTERS: usize = 200;

/// The beginning of `text`, at most [`MOST_CHARACTERS`] of it, without control characters.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .take(MOST_CHARACTERS)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_on_one_line_and_short() {
        for (text, expected) in [
            ("", String::new()),
            ("no\r\nroom", "no  room".to_owned()),
            ("\u{1b}[2J\t\u{9b}", " [2J  ".to_owned()),
            (&"é".repeat(1_000), "é".repeat(MOST_CHARACTERS)),
        ] {
            assert_eq!(one_line(text), expected, "{text:?}");
        }
    }
}
