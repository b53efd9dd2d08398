// SPDX-License-Identifier: Apache-2.0
//! A scanner of JSON text as Python writes and reads it: tokens in, no values made.
//!
//! Accepts `NaN`, `Infinity`, `-Infinity`, escaped lone surrogates and integers of any length, which a value type would
//! reject or bend; so text can be checked and re-indented without changing it. Never recurses: nesting is one bit a
//! level, bounded by [`MAX_DEPTH`].

pub(crate) use super::text::push_escaped;
pub use super::text::{push_text, unescape};

/// The deepest nesting of objects and arrays that is accepted; Python's own reader gives up at about as many.
pub const MAX_DEPTH: usize = 1024;

/// A piece of JSON text. Texts keep their quotes and escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// The name of an object's member, as written, with its quotes.
    Key(&'a str),
    /// A text value, as written, with its quotes.
    Text(&'a str),
    /// A number as written, `NaN`, `Infinity` and `-Infinity` included.
    Number(&'a str),
    /// `true`, `false` or `null`.
    Literal(&'a str),
}

/// The text is not JSON, from this byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where.
    pub offset: usize,
    /// What was wrong there.
    pub reason: &'static str,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl std::error::Error for Malformed {}

/// The tokens of one JSON value, in order. After an error there are no more.
#[derive(Clone)]
pub struct Scanner<'a> {
    text: &'a str,
    position: usize,
    /// A bit a level: 1 inside an object.
    levels: [u64; MAX_DEPTH / 64],
    depth: usize,
    expects: Expects,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    Value,
    /// Right after `[`.
    ValueOrEnd,
    /// Right after `{`.
    KeyOrEnd,
    CommaOrEnd,
    Nothing,
}

impl<'a> Scanner<'a> {
    /// A scanner at the beginning of `text`, which is one value with blanks around it.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            position: 0,
            levels: [0; MAX_DEPTH / 64],
            depth: 0,
            expects: Expects::Value,
        }
    }

    /// The byte after the last token.
    pub fn position(&self) -> usize {
        self.position
    }

    /// How many objects and arrays are open.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The next token, `None` at the end of the text.
    pub fn next_token(&mut self) -> Result<Option<Token<'a>>, Malformed> {
        self.skip_blanks();
        if self.expects == Expects::Nothing {
            return match self.peek() {
                None => Ok(None),
                Some(_) => self.fail("something after the value"),
            };
        }
        if self.expects == Expects::CommaOrEnd {
            match (self.peek(), self.in_object()) {
                (Some(b'}'), true) => return Ok(Some(self.close(Token::ObjectEnd))),
                (Some(b']'), false) => return Ok(Some(self.close(Token::ArrayEnd))),
                (Some(b','), in_object) => {
                    self.position += 1;
                    self.skip_blanks();
                    if in_object {
                        return self.key().map(Some);
                    }
                }
                _ => return self.fail("no comma or end of the object or array"),
            }
        }
        match (self.expects, self.peek()) {
            (Expects::KeyOrEnd, Some(b'}')) => Ok(Some(self.close(Token::ObjectEnd))),
            (Expects::KeyOrEnd, _) => self.key().map(Some),
            (Expects::ValueOrEnd, Some(b']')) => Ok(Some(self.close(Token::ArrayEnd))),
            _ => self.value().map(Some),
        }
    }

    /// Reads to the end of the value whose first token was just returned. Costs about 1 ns a byte, less in long texts.
    pub fn skip_value(&mut self, first: Token<'a>) -> Result<(), Malformed> {
        if matches!(first, Token::ObjectStart | Token::ArrayStart) {
            let outside = self.depth - 1;
            while self.depth > outside {
                self.next_token()?;
            }
        }
        Ok(())
    }

    fn value(&mut self) -> Result<Token<'a>, Malformed> {
        let start = self.position;
        let token = match self.peek() {
            Some(b'{') => return self.open(1, Expects::KeyOrEnd, Token::ObjectStart),
            Some(b'[') => return self.open(0, Expects::ValueOrEnd, Token::ArrayStart),
            Some(b'"') => Token::Text(self.text_token()?),
            Some(b't') => Token::Literal(self.word("true")?),
            Some(b'f') => Token::Literal(self.word("false")?),
            Some(b'n') => Token::Literal(self.word("null")?),
            Some(b'N') => Token::Number(self.word("NaN")?),
            Some(b'I') => Token::Number(self.word("Infinity")?),
            Some(b'-') if self.text[start + 1..].starts_with('I') => {
                Token::Number(self.word("-Infinity")?)
            }
            Some(b'-' | b'0'..=b'9') => Token::Number(self.number()?),
            Some(_) => return self.fail("no value"),
            None => return self.fail("the text ends within a value"),
        };
        self.expects = self.after_value();
        Ok(token)
    }

    fn open(
        &mut self,
        bit: u64,
        expects: Expects,
        token: Token<'a>,
    ) -> Result<Token<'a>, Malformed> {
        if self.depth == MAX_DEPTH {
            return self.fail("nested too deep");
        }
        let level = &mut self.levels[self.depth / 64];
        *level = *level & !(1 << (self.depth % 64)) | bit << (self.depth % 64);
        self.depth += 1;
        self.position += 1;
        self.expects = expects;
        Ok(token)
    }

    fn close(&mut self, token: Token<'a>) -> Token<'a> {
        self.depth -= 1;
        self.position += 1;
        self.expects = self.after_value();
        token
    }

    fn key(&mut self) -> Result<Token<'a>, Malformed> {
        if self.peek() != Some(b'"') {
            return self.fail("no name of a member");
        }
        let key = self.text_token()?;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return self.fail("no colon after the name of a member");
        }
        self.position += 1;
        self.expects = Expects::Value;
        Ok(Token::Key(key))
    }

    fn in_object(&self) -> bool {
        let level = self.depth - 1;
        self.levels[level / 64] >> (level % 64) & 1 == 1
    }

    fn after_value(&self) -> Expects {
        if self.depth == 0 {
            Expects::Nothing
        } else {
            Expects::CommaOrEnd
        }
    }

    fn text_token(&mut self) -> Result<&'a str, Malformed> {
        let start = self.position;
        let bytes = self.text.as_bytes();
        let mut position = start + 1;
        loop {
            position = end_of_plain_text(bytes, position);
            match bytes.get(position) {
                Some(b'"') => break,
                Some(b'\\') => {
                    let escape = bytes.get(position + 1).copied();
                    position += match escape {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u')
                            if bytes
                                .get(position + 2..position + 6)
                                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) =>
                        {
                            6
                        }
                        _ => {
                            self.position = position;
                            return self.fail("no escape of JSON");
                        }
                    };
                }
                Some(_) => {
                    self.position = position;
                    return self.fail("a control character in a text");
                }
                None => {
                    self.position = position;
                    return self.fail("the text ends within a text value");
                }
            }
        }
        self.position = position + 1;
        Ok(&self.text[start..self.position])
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.position;
        self.position += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.position += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            self.position += usize::from(matches!(self.peek(), Some(b'-' | b'+')));
            self.digits()?;
        }
        Ok(&self.text[start..self.position])
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        if self.position == start {
            return self.fail("no digit");
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<&'a str, Malformed> {
        let start = self.position;
        if !self.text[start..].starts_with(word) {
            return self.fail("no value");
        }
        self.position += word.len();
        Ok(&self.text[start..self.position])
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn fail<T>(&mut self, reason: &'static str) -> Result<T, Malformed> {
        let offset = self.position;
        self.position = self.text.len();
        self.depth = 0;
        self.expects = Expects::Nothing;
        Err(Malformed { offset, reason })
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Result<Token<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_token().transpose()
    }
}

/// Whether `text` is exactly one JSON object; why not, if it isn't.
pub fn check_object(text: &str) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(text);
    if scanner.next_token()? != Some(Token::ObjectStart) {
        return Err(Malformed {
            offset: 0,
            reason: "no object",
        });
    }
    while scanner.next_token()?.is_some() {}
    Ok(())
}

/// The text of the value of the member `name` of the object `text`, as written; the last one if there are several.
/// `None` also if `text` is no object.
pub fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut scanner = Scanner::new(text);
    if scanner.next_token() != Ok(Some(Token::ObjectStart)) {
        return None;
    }
    let mut found = None;
    while let Ok(Some(Token::Key(key))) = scanner.next_token() {
        scanner.skip_blanks();
        let start = scanner.position();
        let first = scanner.next_token().ok()??;
        scanner.skip_value(first).ok()?;
        if unescape(key) == name {
            found = Some(&text[start..scanner.position()]);
        }
    }
    found
}

/// The position of the first `"`, `\` or control character from `position` on; eight bytes at a time.
pub(super) fn end_of_plain_text(bytes: &[u8], mut position: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // Sets the high bit of each byte that is zero; a byte above one that is may be marked by mistake, never one below.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    while let Some(chunk) = bytes.get(position..position + 8) {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let escapes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = quotes | escapes | controls;
        if found != 0 {
            return position + (found.trailing_zeros() / 8) as usize;
        }
        position += 8;
    }
    bytes[position.min(bytes.len())..]
        .iter()
        .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)
        .map_or(bytes.len(), |index| position + index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is the tokens' texts joined by blanks, or the error.
    fn check(text: &str, expected: &str) {
        let mut found = Vec::new();
        for token in Scanner::new(text) {
            match token {
                Ok(Token::ObjectStart) => found.push("{".to_owned()),
                Ok(Token::ObjectEnd) => found.push("}".to_owned()),
                Ok(Token::ArrayStart) => found.push("[".to_owned()),
                Ok(Token::ArrayEnd) => found.push("]".to_owned()),
                Ok(Token::Key(text)) => found.push(format!("{text}:")),
                Ok(Token::Text(text) | Token::Number(text) | Token::Literal(text)) => {
                    found.push(text.to_owned());
                }
                Err(error) => found = vec![format!("! {error}")],
            }
        }
        assert_eq!(found.join(" "), expected, "{text}");
    }

    #[test]
    fn tokens_are_what_python_reads() {
        for (text, expected) in [
            ("{}", "{ }"),
            (" [ ] ", "[ ]"),
            (
                r#"{"a": [1, -0.5e+3, true], "b": {"c": null}}"#,
                r#"{ "a": [ 1 -0.5e+3 true ] "b": { "c": null } }"#,
            ),
            ("[NaN, Infinity, -Infinity]", "[ NaN Infinity -Infinity ]"),
            (
                r#"["\ud800", "\u00e9", "é\n"]"#,
                r#"[ "\ud800" "\u00e9" "é\n" ]"#,
            ),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            (
                r#"["a long text, longer than eight bytes\\"]"#,
                r#"[ "a long text, longer than eight bytes\\" ]"#,
            ),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn anything_else_is_malformed_where_it_begins() {
        for (text, expected) in [
            ("", "! the text ends within a value at byte 0"),
            ("{", "! no name of a member at byte 1"),
            ("[1,]", "! no value at byte 3"),
            (
                "[1 2]",
                "! no comma or end of the object or array at byte 3",
            ),
            ("[1}", "! no comma or end of the object or array at byte 2"),
            (
                r#"{"a" 1}"#,
                "! no colon after the name of a member at byte 5",
            ),
            (r#"{"a": 1,}"#, "! no name of a member at byte 8"),
            ("{} x", "! something after the value at byte 3"),
            ("01", "! something after the value at byte 1"),
            ("-", "! no digit at byte 1"),
            ("1.", "! no digit at byte 2"),
            ("nul", "! no value at byte 0"),
            (r#""\x""#, "! no escape of JSON at byte 1"),
            (r#""\u12g4""#, "! no escape of JSON at byte 1"),
            ("\"a", "! the text ends within a text value at byte 2"),
            (
                "\"0123456\u{1}\"",
                "! a control character in a text at byte 8",
            ),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Scanner::new(&deep(MAX_DEPTH)).all(|token| token.is_ok()));
        assert!(Scanner::new(&deep(MAX_DEPTH + 1)).any(|token| token.is_err()));
        let mixed = r#"{"a":["#.repeat(500) + &"]}".repeat(500);
        assert!(check_object(&mixed).is_ok());
    }

    #[test]
    fn the_last_of_equal_members_counts() {
        let text = r#"{"a": 1, "b": {"a": 2, "c": [1, {}]}, "\u0061":  [3] }"#;
        assert_eq!(member(text, "a"), Some("[3]"));
        assert_eq!(member(text, "b"), Some(r#"{"a": 2, "c": [1, {}]}"#));
        assert_eq!(member(text, "c"), None);
        assert_eq!(member("[1]", "a"), None);
    }

    #[test]
    fn the_end_of_plain_text_is_found_at_every_offset() {
        for stop in [b'"', b'\\', 0, 0x1f] {
            for length in 0..40 {
                for around in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
                    let mut bytes = vec![around; length];
                    assert_eq!(end_of_plain_text(&bytes, 0), length);
                    bytes.push(stop);
                    bytes.extend([around; 9]);
                    assert_eq!(end_of_plain_text(&bytes, 0), length, "{stop} {around}");
                }
            }
        }
    }
}
