// SPDX-License-Identifier: Apache-2.0
//! One line of a terminal: never wider than it may be, coloured only if allowed, and nothing in it but text.
//!
//! Every text that reaches a terminal goes through [`Line::push`], which makes control characters and invisible ones
//! inert: what a trace holds was written by others.

use osprofiler::shown::steers_terminal;
use unicode_width::UnicodeWidthChar;

use crate::renderer::Color;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Dim,
    Bold,
    Error,
    Warning,
    /// In one of the terminal's colours, by its SGR code.
    Color(u8),
    BoldColor(u8),
}

/// A line in the making.
pub(super) struct Line {
    text: String,
    /// Columns taken.
    used: usize,
    room: usize,
    color: Color,
    /// Something did not fit; nothing more goes in.
    is_cut: bool,
}

impl Line {
    pub(super) fn new(room: usize, color: Color) -> Self {
        Self {
            text: String::new(),
            used: 0,
            room,
            color,
            is_cut: false,
        }
    }

    /// Appends as much of `text` as there is room for, with an ellipsis where it is cut.
    pub(super) fn push(&mut self, style: Style, text: &str) {
        if self.is_cut || text.is_empty() {
            return;
        }
        self.begin(style);
        let mut characters = text.chars().map(inert).peekable();
        // Characters without width could go on for ever.
        let mut rest = 4 * self.room;
        while let Some(character) = characters.next() {
            let width = character.width().unwrap_or(0);
            rest = rest.saturating_sub(1);
            let needed = self.used + width + usize::from(characters.peek().is_some());
            if needed > self.room || rest == 0 {
                if self.used < self.room {
                    self.text.push('…');
                    self.used += 1;
                }
                self.is_cut = true;
                break;
            }
            self.text.push(character);
            self.used += width;
        }
        self.end(style);
    }

    /// Appends `text` at the right end of a column.
    pub(super) fn push_right(&mut self, style: Style, text: &str, width: usize) {
        self.blanks(width.saturating_sub(text_columns(text)));
        self.push(style, text);
    }

    /// Appends `text` at the left end of a column, cut to fit into it.
    pub(super) fn push_left(&mut self, style: Style, text: &str, width: usize) {
        let end = self.used + width;
        let room = self.room;
        self.room = room.min(end);
        self.push(style, text);
        self.room = room;
        self.is_cut = false;
        self.blanks(end.saturating_sub(self.used));
    }

    pub(super) fn blanks(&mut self, count: usize) {
        let count = count.min(self.room.saturating_sub(self.used));
        self.text.extend(std::iter::repeat_n(' ', count));
        self.used += count;
    }

    /// Columns that are still free.
    pub(super) fn rest(&self) -> usize {
        self.room.saturating_sub(self.used)
    }

    /// Appends the line to `out`, without blanks at its end.
    pub(super) fn finish(self, out: &mut String) {
        out.push_str(self.text.trim_end_matches(' '));
        out.push('\n');
    }

    fn begin(&mut self, style: Style) {
        use std::fmt::Write as _;
        if self.color == Color::Never {
            return;
        }
        // Writing into a string does not fail.
        let _ = match style {
            Style::Plain => Ok(()),
            Style::Dim => write!(self.text, "\x1b[2m"),
            Style::Bold => write!(self.text, "\x1b[1m"),
            Style::Error => write!(self.text, "\x1b[1;31m"),
            Style::Warning => write!(self.text, "\x1b[33m"),
            Style::Color(code) => write!(self.text, "\x1b[{code}m"),
            Style::BoldColor(code) => write!(self.text, "\x1b[1;{code}m"),
        };
    }

    fn end(&mut self, style: Style) {
        if self.color == Color::Ansi && style != Style::Plain {
            self.text.push_str("\x1b[0m");
        }
    }
}

/// How many columns `text` takes, once inert.
pub(super) fn text_columns(text: &str) -> usize {
    text.chars()
        .map(|character| inert(character).width().unwrap_or(0))
        .sum()
}

/// The character, or a visible one in its place if it [steers a terminal](steers_terminal).
fn inert(character: char) -> char {
    match character {
        '\t' | '\n' | '\r' => ' ',
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('�'),
        '\x7f' => '␡',
        other if steers_terminal(other) => '�',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(room: usize, text: &str, expected: &str) {
        let mut line = Line::new(room, Color::Never);
        line.push(Style::Error, text);
        let mut out = String::new();
        line.finish(&mut out);
        assert_eq!(out.trim_end_matches('\n'), expected);
    }

    #[test]
    fn a_line_is_cut_by_columns() {
        for (room, text, expected) in [
            (5, "abcde", "abcde"),
            (5, "abcdef", "abcd…"),
            (5, "日本", "日本"),
            (4, "日本", "日本"),
            (5, "日本語", "日本…"),
            (4, "日本語", "日…"),
            (1, "ab", "…"),
            (0, "ab", ""),
            (5, "e\u{301}e\u{301}", "e\u{301}e\u{301}"),
        ] {
            check(room, text, expected);
        }
        let many = "\u{301}".repeat(1000);
        let mut line = Line::new(10, Color::Never);
        line.push(Style::Plain, &many);
        assert!(line.text.len() < 100);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_inert() {
        check(40, "\x1b[31mred\x1b]0;title\x07", "␛[31mred␛]0;title␇");
        check(40, "a\u{9b}31m\u{202e}b\u{200b}\x7f", "a�31m�b�␡");
        check(40, "a\r\nb\tc", "a  b c");
    }

    #[test]
    fn colours_come_only_if_allowed() {
        let mut line = Line::new(10, Color::Ansi);
        line.push(Style::Error, "a\x1b[0m");
        line.push(Style::Plain, "b");
        assert_eq!(line.text, "\x1b[1;31ma␛[0m\x1b[0mb");
    }
}
