// SPDX-License-Identifier: Apache-2.0
//! Secrets in infos: what stands under the names that OpenStack's own logs mask becomes `***`.
//!
//! JSON text in, JSON text of the same shape out, borrowed where there is nothing to mask. Values of members whose key holds one
//! of the names go as a whole; inside texts the forms go in which people and programs write a name with its value
//! (`'name': 'value'`, `name=value`, `--name value`, `<name>value</name>`, ...). Linear in the text, whatever it holds. When in doubt,
//! more is masked: a stray `***` in a report costs less than a password in a store.

mod forms;
mod names;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use self::forms::Writing;
use crate::wire::json::{Malformed, Scanner, Token};

pub use names::NAMES;

/// What stands in a secret's place.
pub const MASK: &str = "***";

static MASKING: AtomicBool = AtomicBool::new(true);

/// Whether this process masks secrets, as it does unless it was told otherwise.
pub fn is_masking() -> bool {
    MASKING.load(Ordering::Relaxed)
}

/// Lets this process mask secrets, or not: the option `mask_secrets` of `[profiler]`.
pub fn set_masking(masking: bool) {
    MASKING.store(masking, Ordering::Relaxed);
}

/// Whether a key, a parameter or an option of this name carries a secret: one of [`NAMES`] is in it, in any case.
pub fn is_secret_name(name: &str) -> bool {
    names::find(name.as_bytes(), 0).is_some()
}

/// The JSON text `info` without the secrets in it, if this process masks them. What is no JSON is masked as a text.
///
/// Delivery calls it for each info. Costs a third of a nanosecond a byte where none of the names occurs, which is 70 ns for the
/// infos of a real request (220 bytes on average), and one and a half where some do.
pub fn masked_info(info: &str) -> Cow<'_, str> {
    if is_masking() {
        mask_json(info)
    } else {
        Cow::Borrowed(info)
    }
}

/// As [`masked_info`], in place.
pub fn mask_info(info: &mut String) {
    if let Cow::Owned(masked) = masked_info(info) {
        *info = masked;
    }
}

/// The JSON text without the secrets in it.
///
/// ```
/// # use osprofiler::secrets::mask_json;
/// assert_eq!(
///     mask_json(r#"{"db": {"params": {"password_hash": "x"}}, "function": {"kwargs": "{'admin_pass': 'y', 'id': 1}"}}"#),
///     r#"{"db": {"params": {"password_hash": "***"}}, "function": {"kwargs": "{'admin_pass': '***', 'id': 1}"}}"#,
/// );
/// ```
pub fn mask_json(json: &str) -> Cow<'_, str> {
    if !is_secret_name(json) {
        return Cow::Borrowed(json);
    }
    masked_json(json)
}

/// A text that is no JSON without the secrets in it.
///
/// ```
/// # use osprofiler::secrets::mask_text;
/// assert_eq!(mask_text("login --password pw, token=abc"), "login --password ***, token=***");
/// ```
pub fn mask_text(text: &str) -> Cow<'_, str> {
    let mut masked = Masked::new(text);
    forms::find(text, Writing::Plain, &mut |range| masked.mask(range, MASK));
    masked.finish()
}

#[cold]
fn masked_json(json: &str) -> Cow<'_, str> {
    let mut masked = Masked::new(json);
    if mask_tokens(json, &mut masked).is_err() {
        masked = Masked::new(json);
        forms::find(json, Writing::Json, &mut |range| masked.mask(range, MASK));
    }
    masked.finish()
}

fn mask_tokens(json: &str, masked: &mut Masked<'_>) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(json);
    while let Some(token) = scanner.next_token()? {
        match token {
            Token::Key(key) if is_secret_name(key) => {
                let Some(value) = scanner.next_token()? else {
                    break;
                };
                let begin = scanner.position() - length(value);
                scanner.skip_value(value)?;
                masked.mask(begin..scanner.position(), "\"***\"");
            }
            Token::Text(text) => {
                // Without its quotes.
                let begin = scanner.position() - text.len() + 1;
                let inside = &text[1..text.len() - 1];
                forms::find(inside, Writing::Json, &mut |range| {
                    masked.mask(begin + range.start..begin + range.end, MASK);
                });
            }
            _ => {}
        }
    }
    Ok(())
}

fn length(token: Token<'_>) -> usize {
    match token {
        Token::ObjectStart | Token::ObjectEnd | Token::ArrayStart | Token::ArrayEnd => 1,
        Token::Key(text) | Token::Text(text) | Token::Number(text) | Token::Literal(text) => {
            text.len()
        }
    }
}

/// A text whose parts are replaced from its beginning to its end; copied once something is.
struct Masked<'a> {
    text: &'a str,
    copied: usize,
    out: String,
}

impl<'a> Masked<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            copied: 0,
            out: String::new(),
        }
    }

    fn mask(&mut self, range: Range<usize>, mask: &str) {
        self.out.push_str(&self.text[self.copied..range.start]);
        self.out.push_str(mask);
        self.copied = range.end;
    }

    fn finish(mut self) -> Cow<'a, str> {
        if self.copied == 0 {
            return Cow::Borrowed(self.text);
        }
        self.out.push_str(&self.text[self.copied..]);
        Cow::Owned(self.out)
    }
}

#[cfg(test)]
mod tests;
