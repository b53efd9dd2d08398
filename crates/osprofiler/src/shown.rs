// SPDX-License-Identifier: Apache-2.0
//! Text that others chose, such as the name of a file, where people read it or copy it.
//!
//! In: any text. Out: which of its letters a terminal would act on, and the text as one word of a command that help proposes.

use std::fmt::Display;

/// Whether a terminal would act on `character`, show nothing for it, or show its neighbours in another order.
///
/// ```
/// assert!("\u{1b}\n\u{202e}".chars().all(osprofiler::shown::steers_terminal));
/// assert!(!"é ✗".chars().any(osprofiler::shown::steers_terminal));
/// ```
pub fn steers_terminal(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// `text` as a word of a command line that somebody may copy into a shell; nothing in it can act there. It
/// stays as it is, or is quoted; what steers a terminal is escaped, and is then not the same word any more.
///
/// ```
/// assert_eq!(osprofiler::shown::shell_word("/srv/my dir;x"), "'/srv/my dir;x'");
/// ```
pub fn shell_word(text: impl Display) -> String {
    let text = text.to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+,".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    let mut word = String::from("'");
    for letter in text.chars() {
        match letter {
            '\'' => word.push_str("'\\''"),
            letter if steers_terminal(letter) => word.extend(letter.escape_default()),
            letter => word.push(letter),
        }
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_to_be_copied_does_nothing_in_a_shell() {
        for (text, expected) in [
            ("/srv/traces-1.jsonl", "/srv/traces-1.jsonl"),
            ("/tmp/my dir;x", "'/tmp/my dir;x'"),
            ("x; reboot $(id) `id`", "'x; reboot $(id) `id`'"),
            ("it's", "'it'\\''s'"),
            ("a\nb\u{202e}", "'a\\nb\\u{202e}'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), expected);
        }
    }
}
