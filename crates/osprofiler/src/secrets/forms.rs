// SPDX-License-Identifier: Apache-2.0
//! The forms in which a text tells a name with its secret, and where the secret begins and ends there.
//!
//! A text in, ranges of it out, in order and apart. It may be plain or the inside of a JSON text, whose escapes are never cut.
//! What it quotes may be quoted again (Python's `repr` of JSON in JSON), so a quote is told from another by the backslashes before it.
//! Each byte is looked at a bounded number of times: a name's surroundings reach [`REACH`] bytes, and a secret without an end goes to the
//! end of the text.
//!
//! ```text
//!   'db_password': 'x'   "token_id" : [1, 2]   a key in quotes that holds a name, any value
//!   password=x   token_id => 'x'               a word that holds a name, a sign, a value up to a blank or quote
//!   X-Auth-Token: x                            a word that ends with a name, likewise
//!   password 'x'   --os-password x             a word, a value in quotes; an option, any value
//!   ['--password', 'x']   ('X-Auth-Token', 'x')   an option or header in quotes, a value in quotes
//!   <adminPass>x</adminPass>                   an element
//! ```

use std::ops::Range;

use super::names;

/// How many bytes before and behind a name are looked at for the rest of its word.
const REACH: usize = 64;

/// Values that are no secrets.
const PLAIN_VALUES: &[&[u8]] = &[b"None", b"null", b"True", b"true", b"False", b"false"];

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// As it is.
    Plain,
    /// As the inside of a JSON text.
    Json,
}

/// Gives `each` where secrets stand in `text`.
pub(super) fn find(text: &str, writing: Writing, each: &mut dyn FnMut(Range<usize>)) {
    let text = Text {
        bytes: text.as_bytes(),
        writing,
    };
    let mut masked = 0..0;
    let mut known = 0;
    let mut from = 0;
    while let Some(name) = names::find(text.bytes, from) {
        from = name.end;
        let range = match text.secret_of(&name, known) {
            None => continue,
            Some(Secret::Delimited(range)) => {
                from = from.max(range.end);
                range
            }
            // Another name may be in it, and that one's value not.
            Some(Secret::Word { range, stop }) => {
                known = stop;
                range
            }
        };
        if range.is_empty() {
            continue;
        }
        if !masked.is_empty() && range.start <= masked.end {
            masked.end = masked.end.max(range.end);
        } else if !masked.is_empty() {
            each(std::mem::replace(&mut masked, range));
        } else {
            masked = range;
        }
    }
    if !masked.is_empty() {
        each(masked);
    }
}

/// A secret's place.
enum Secret {
    /// In quotes, brackets or an element.
    Delimited(Range<usize>),
    /// A word, and where what it is in stops.
    Word { range: Range<usize>, stop: usize },
}

/// A text, looked at by its units: a byte, a quote with its backslashes, or an escape of JSON.
#[derive(Clone, Copy)]
struct Text<'a> {
    bytes: &'a [u8],
    writing: Writing,
}

/// What a text has at a place, and where it goes on behind it.
#[derive(Clone, Copy)]
enum Unit {
    Quote(Quote),
    Blank,
    Other(u8),
    End,
}

#[derive(Clone, Copy)]
struct Quote {
    character: u8,
    backslashes: usize,
    /// Where the character stands.
    place: usize,
}

impl Text<'_> {
    /// Where the secret of a name stands; `None` if the text has the name and no value. A word that is a value goes on to `known`
    /// at least.
    fn secret_of(self, name: &Range<usize>, known: usize) -> Option<Secret> {
        let key = self.skip(name.end, |byte| is_word(byte) || byte == b'.');
        if let (Unit::Quote(quote), _) = self.unit(key) {
            return self.after_key(name, quote, known);
        }
        let word = self.skip(name.end, is_word);
        if self.before_word(name) == Some(b'<') {
            return self.in_element(word).map(Secret::Delimited);
        }
        let next = self.skip_blanks(word);
        let is_whole = self.skip(name.end, |byte| byte.is_ascii_digit()) == word;
        match self.unit(next).0 {
            Unit::Other(b'=') => self.value(self.skip_sign(next), known),
            Unit::Other(b':') if is_whole && self.before_word(name) != Some(b'/') => {
                self.value(self.skip_sign(next), known)
            }
            Unit::Quote(quote) if self.opens(quote) => Some(Secret::Delimited(self.quoted(quote))),
            Unit::Other(_) if next > word && self.is_option(name) => self.value(next, known),
            _ => None,
        }
    }

    /// The value behind a key that ends with `quote`.
    fn after_key(self, name: &Range<usize>, quote: Quote, known: usize) -> Option<Secret> {
        let next = self.skip_blanks(quote.place + 1);
        match self.unit(next).0 {
            Unit::Other(b':' | b'=') => self.value(self.skip_sign(next), known),
            Unit::Other(b',') => self.next_text(name, quote, next + 1).map(Secret::Delimited),
            _ => None,
        }
    }

    /// The text in quotes that follows the text in quotes with the name, where both are an option or a header and its value.
    fn next_text(self, name: &Range<usize>, quote: Quote, next: usize) -> Option<Range<usize>> {
        let begin = self.word_begin(name.start);
        let has_hyphen = self.bytes[begin..quote.place].contains(&b'-');
        let (Unit::Quote(opening), _) = self.unit(self.skip_blanks(next)) else {
            return None;
        };
        let text = self.quoted(opening);
        let behind = self.skip_blanks(
            self.closing(opening)
                .map_or(text.end, |quote| quote.place + 1),
        );
        let is_short = text.len() <= REACH;
        match self.unit(behind).0 {
            // `'password', '--option', 'x'`
            Unit::Other(b',') if is_short && self.bytes[text.start..].starts_with(b"-") => {
                match self.unit(self.skip_blanks(behind + 1)).0 {
                    Unit::Quote(opening) => Some(self.quoted(opening)),
                    _ => None,
                }
            }
            // It is the key of something else.
            Unit::Other(b':') if is_short => None,
            _ => has_hyphen.then_some(text),
        }
    }

    /// What stands in the element whose name's word ends at `word`.
    fn in_element(self, word: usize) -> Option<Range<usize>> {
        let head = &self.bytes[word..self.bytes.len().min(word + REACH)];
        let begin = word + 1 + head.iter().position(|byte| matches!(byte, b'>' | b'<'))?;
        if self.bytes[begin - 1] != b'>' || self.bytes[begin - 2] == b'/' {
            return None;
        }
        let rest = &self.bytes[begin..];
        let is_end = |pair: &[u8]| pair == b"</" || pair == b"<\\";
        let length = rest.windows(2).position(is_end).unwrap_or(rest.len());
        Some(begin..begin + length)
    }

    /// The value at a place: what is in its quotes, what its brackets hold with them, or up to a blank or quote.
    fn value(self, begin: usize, known: usize) -> Option<Secret> {
        // Python's `b'...'`, `u'...'` and their like.
        let prefix = self.skip_at_most(begin, 2, |byte| b"bBuUrRfF".contains(&byte));
        for place in [begin, prefix] {
            if let (Unit::Quote(quote), _) = self.unit(place) {
                return Some(Secret::Delimited(self.quoted(quote)));
            }
        }
        let end = match self.unit(begin).0 {
            Unit::Other(b'[' | b'{' | b'(') => Some(self.bracket_end(begin)),
            Unit::Other(b'<') => self.angle_end(begin),
            _ => None,
        };
        if let Some(end) = end {
            return Some(Secret::Delimited(begin..end));
        }
        let stop = self.word_stop(begin, known);
        // What closes or separates at its end is not its own.
        let is_value = |byte: &u8| !b",;)]}".contains(byte);
        let length = self.bytes[begin..stop].iter().rposition(is_value);
        let range = begin..begin + length.map_or(0, |last| last + 1);
        let is_plain = PLAIN_VALUES.contains(&&self.bytes[range.clone()]);
        (!is_plain).then_some(Secret::Word { range, stop })
    }

    /// Whether the quote is no end of something else, by what follows it.
    fn opens(self, quote: Quote) -> bool {
        match self.unit(quote.place + 1).0 {
            Unit::Other(byte) => !b",;:)]}".contains(&byte),
            Unit::Quote(_) => true,
            Unit::Blank | Unit::End => false,
        }
    }

    /// What is between `opening` and the quote that closes it, or to the end of the text.
    fn quoted(self, opening: Quote) -> Range<usize> {
        let begin = opening.place + 1;
        let end = self.closing(opening).map_or(self.bytes.len(), |closing| {
            closing.place - closing.backslashes.min(opening.backslashes)
        });
        begin..end
    }

    fn closing(self, opening: Quote) -> Option<Quote> {
        let mut place = opening.place + 1;
        loop {
            let (unit, next) = self.unit(place);
            match unit {
                Unit::End => return None,
                Unit::Quote(quote) if self.closes(opening, quote) => return Some(quote),
                _ => place = next,
            }
        }
    }

    /// Whether `quote` ends what `opening` begins, or something around it.
    fn closes(self, opening: Quote, quote: Quote) -> bool {
        if opening.character != quote.character {
            return false;
        }
        let [mut outer, mut here] = [opening, quote].map(|quote| match self.writing {
            Writing::Plain => quote.backslashes,
            Writing::Json => quote.backslashes / 2,
        });
        // Each time a text is quoted, a quote in it gets a backslash and a backslash becomes two.
        while outer > 0 {
            if here.is_multiple_of(2) {
                return true;
            }
            (outer, here) = ((outer - 1) / 2, (here - 1) / 2);
        }
        here.is_multiple_of(2)
    }

    /// Behind the bracket that closes the one at `begin`; what is in quotes does not count.
    fn bracket_end(self, begin: usize) -> usize {
        let mut place = begin;
        let mut depth = 0_usize;
        loop {
            let (unit, next) = self.unit(place);
            place = next;
            match unit {
                Unit::Other(b'[' | b'{' | b'(') => depth += 1,
                Unit::Other(b']' | b'}' | b')') => depth -= 1,
                Unit::Quote(quote) => match self.closing(quote) {
                    Some(closing) => place = closing.place + 1,
                    None => return self.bytes.len(),
                },
                Unit::End => return self.bytes.len(),
                _ => {}
            }
            if depth == 0 {
                return place;
            }
        }
    }

    /// Behind the `>` of a `<object at 0x7f00>`.
    fn angle_end(self, begin: usize) -> Option<usize> {
        let head = &self.bytes[begin..self.bytes.len().min(begin + 4 * REACH)];
        let length = head
            .iter()
            .position(|byte| matches!(byte, b'>' | b'"' | b'\'' | b'\\'))?;
        (head[length] == b'>').then_some(begin + length + 1)
    }

    /// Where the word at `begin` meets a blank, a quote or the end, at `known` or later.
    fn word_stop(self, begin: usize, known: usize) -> usize {
        let mut end = begin.max(known);
        loop {
            let (unit, next) = self.unit(end);
            match unit {
                Unit::Other(_) => end = next,
                // `x,b='y'`: a word goes on through what it has in quotes.
                Unit::Quote(quote) if end > begin && b"=:([{,".contains(&self.bytes[end - 1]) => {
                    end = self
                        .closing(quote)
                        .map_or(self.bytes.len(), |closing| closing.place + 1);
                }
                // Backslashes that are not the quote's own escape are the value's.
                Unit::Quote(quote) => {
                    let is_escaped = self.writing == Writing::Json && quote.backslashes % 2 == 1;
                    return quote.place - usize::from(is_escaped);
                }
                Unit::Blank | Unit::End => return end,
            }
        }
    }

    /// Whether the name's word is an option: it begins with a hyphen, and something that is no word is before it.
    fn is_option(self, name: &Range<usize>) -> bool {
        self.bytes[self.word_begin(name.start)..].starts_with(b"-")
    }

    /// The byte before the name's word.
    fn before_word(self, name: &Range<usize>) -> Option<u8> {
        let begin = self.word_begin(name.start);
        begin.checked_sub(1).map(|place| self.bytes[place])
    }

    /// Where the word that a name is in begins. A letter that a backslash makes a blank or another character is not the word's,
    /// be that here or where the text was quoted.
    fn word_begin(self, name: usize) -> usize {
        let reach = &self.bytes[name.saturating_sub(REACH)..name];
        let length = reach
            .iter()
            .rev()
            .take_while(|byte| {
                look();
                is_word(**byte)
            })
            .count();
        let begin = name - length;
        let is_escaped = begin > 0 && self.bytes[begin - 1] == b'\\';
        match self.at(begin) {
            Some(b'n' | b'r' | b't') if is_escaped => name.min(begin + 1),
            Some(b'u') if is_escaped => name.min(begin + 5),
            _ => begin,
        }
    }

    /// Behind the sign between name and value, and blanks.
    fn skip_sign(self, sign: usize) -> usize {
        self.skip_blanks(self.skip_at_most(sign, 3, |byte| b":=>".contains(&byte)))
    }

    fn skip(self, begin: usize, accept: impl Fn(u8) -> bool) -> usize {
        self.skip_at_most(begin, REACH, accept)
    }

    fn skip_at_most(self, begin: usize, most: usize, accept: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes[begin..].iter().take(most);
        let accepted = rest.take_while(|byte| {
            look();
            accept(**byte)
        });
        begin + accepted.count()
    }

    fn skip_blanks(self, mut place: usize) -> usize {
        while let (Unit::Blank, next) = self.unit(place) {
            place = next;
        }
        place
    }

    fn at(self, place: usize) -> Option<u8> {
        self.bytes.get(place).copied()
    }

    /// The unit at a place, and the place behind it.
    fn unit(self, place: usize) -> (Unit, usize) {
        look();
        let Some(byte) = self.at(place) else {
            return (Unit::End, place);
        };
        match byte {
            b'"' | b'\'' => (quote(byte, 0, place), place + 1),
            b' ' | b'\t' | b'\n' | b'\r' => (Unit::Blank, place + 1),
            b'\\' => self.escape(place),
            _ => (Unit::Other(byte), place + 1),
        }
    }

    /// A run of backslashes with what it escapes.
    fn escape(self, begin: usize) -> (Unit, usize) {
        let run = &self.bytes[begin..];
        let count = run.iter().take_while(|byte| **byte == b'\\').count();
        let place = begin + count;
        let end = self.bytes.len();
        match (self.at(place), self.writing) {
            (Some(character @ (b'"' | b'\'')), _) => (quote(character, count, place), place + 1),
            (Some(b'n' | b'r' | b't'), Writing::Json) if count == 1 => (Unit::Blank, place + 1),
            (Some(b'u'), Writing::Json) if count % 2 == 1 => {
                (Unit::Other(b'\\'), end.min(place + 5))
            }
            (Some(_), Writing::Json) if count % 2 == 1 => (Unit::Other(b'\\'), place + 1),
            _ => (Unit::Other(b'\\'), place),
        }
    }
}

#[cfg(test)]
thread_local! {
    /// How often a byte or a unit was looked at.
    pub(super) static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// For the test that the time is bounded.
#[inline]
fn look() {
    #[cfg(test)]
    LOOKS.with(|looks| looks.set(looks.get() + 1));
}

fn quote(character: u8, backslashes: usize, place: usize) -> Unit {
    Unit::Quote(Quote {
        character,
        backslashes,
        place,
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
