// SPDX-License-Identifier: Apache-2.0
//! W3C Trace Context, by which services with OpenTelemetry hand a trace on: its ids for ours, and its header `traceparent`.
//!
//! A trace's 16 bytes are its `base_id` and a span's 8 bytes are the low half of a point's `trace_id`, as upstream's OTLP driver has
//! them. Of an id that is no UUID they are the beginning of its SHA-1. So each process finds the same ids without asking another.
//! What arrives is hostile and says nothing of who sent it: a header that is malformed is none, and none begins a trace.
//! The format: <https://www.w3.org/TR/trace-context/#traceparent-header>.

use std::fmt;

use sha1::{Digest, Sha1};

use crate::Id;

/// The header that says which span a call is made in.
pub const TRACEPARENT: &str = "traceparent";

/// A span as others know it: the trace that it is of, and itself. Neither is zero.
///
/// ```
/// # use osprofiler::{Id, trace_context::SpanContext};
/// let base_id = Id::parse("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee").unwrap();
/// let point = Id::parse("7d2b7aca-25f9-4c05-a0f5-c1f4b5e0a8e2").unwrap();
/// let context = SpanContext::of(base_id, point);
/// let header = "00-4e3e0ec6293840b1850409eb1d4b0dee-a0f5c1f4b5e0a8e2-01";
/// assert_eq!(context.to_string(), header);
/// assert_eq!(SpanContext::parse(header.as_bytes()), Some(context));
/// assert_eq!(SpanContext::parse(b"00-0-0-01"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
}

impl SpanContext {
    /// Of the point `trace_id` in the trace `base_id`; of the trace itself if both are the same. Costs nothing for UUIDs in their
    /// usual form, a SHA-1 for each other id.
    pub fn of(base_id: Id<'_>, trace_id: Id<'_>) -> Self {
        let (trace, span) = (number(base_id), number(trace_id) as u64);
        Self {
            trace_id: non_zero(trace.to_be_bytes(), base_id),
            span_id: non_zero(span.to_be_bytes(), trace_id),
        }
    }

    /// What the value of a header [`TRACEPARENT`] says, of any version; `None` if it is none.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let (fields, rest) = header.split_at_checked(55)?;
        let version: [u8; 1] = parse_hex(&fields[..2])?;
        // A later version may say more, behind a further hyphen.
        let is_whole = match version {
            [0] => rest.is_empty(),
            [0xff] => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        if !is_whole || [fields[2], fields[35], fields[52]] != *b"---" {
            return None;
        }
        let _flags: [u8; 1] = parse_hex(&fields[53..])?;
        let context = Self {
            trace_id: parse_hex(&fields[3..35])?,
            span_id: parse_hex(&fields[36..52])?,
        };
        (context.trace_id != [0; 16] && context.span_id != [0; 8]).then_some(context)
    }
}

/// The value of a header [`TRACEPARENT`], which says that the trace is recorded.
impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (self.trace_id, self.span_id);
        let (trace, span) = (u128::from_be_bytes(trace), u64::from_be_bytes(span));
        write!(f, "00-{trace:032x}-{span:016x}-01")
    }
}

/// An id's 128 bits.
fn number(id: Id<'_>) -> u128 {
    match (id.as_u128(), id.as_text()) {
        (Some(number), _) => number,
        (None, Some(text)) => parse_uuid(text).unwrap_or_else(|| u128::from_be_bytes(digest(text))),
        (None, None) => 0,
    }
}

/// A UUID however it is written: in upper case, in braces, as a URN, without hyphens. Python's `uuid.UUID` reads the same.
fn parse_uuid(text: &str) -> Option<u128> {
    let digits = text.strip_prefix("urn:").unwrap_or(text);
    let digits = digits.strip_prefix("uuid:").unwrap_or(digits);
    let digits = digits.trim_matches(['{', '}']).replace('-', "");
    let are_digits = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(&digits, 16)
        .ok()
        .filter(|_| are_digits)
}

/// The bytes, or the beginning of the id's digest if they are all zero, which stands for no id.
fn non_zero<const N: usize>(bytes: [u8; N], id: Id<'_>) -> [u8; N] {
    if bytes != [0; N] {
        return bytes;
    }
    let mut begin = [0; N];
    begin.copy_from_slice(&digest(&id.to_string())[..N]);
    begin
}

fn digest(text: &str) -> [u8; 16] {
    let whole = Sha1::digest(text.as_bytes());
    let mut begin = [0; 16];
    begin.copy_from_slice(&whole[..16]);
    begin
}

/// Reads twice as many hex digits, in lower case.
fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is the header of a call made in the point.
    fn check(base_id: &str, trace_id: &str, expected: &str) {
        let [base_id, trace_id] = [base_id, trace_id].map(|text| Id::parse(text).unwrap());
        let context = SpanContext::of(base_id, trace_id);
        assert_eq!(context.to_string(), expected);
        assert_eq!(SpanContext::parse(expected.as_bytes()), Some(context));
    }

    #[test]
    fn ids_of_any_text_have_spans() {
        const UUID: &str = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee";
        const OF_UUID: &str = "00-4e3e0ec6293840b1850409eb1d4b0dee-850409eb1d4b0dee-01";
        check(UUID, UUID, OF_UUID);
        for other in [
            "4E3E0EC6-2938-40B1-8504-09EB1D4B0DEE",
            "4e3e0ec6293840b1850409eb1d4b0dee",
            "{4e3e0ec6-2938-40b1-8504-09eb1d4b0dee}",
            "urn:uuid:4e3e0ec6-2938-40b1-8504-09eb1d4b0dee",
        ] {
            check(other, UUID, OF_UUID);
        }
        // `printf B | sha1sum` begins with ae4f281df5a5d0ff3cad6371f76d5c29, `printf P` with 511993d3c99719e38a6779073019dacd.
        check(
            "B",
            "P",
            "00-ae4f281df5a5d0ff3cad6371f76d5c29-8a6779073019dacd-01",
        );
        check(
            "+e3e0ec6293840b1850409eb1d4b0dee",
            UUID,
            "00-a9919be9e7d25975493de5376755d8e0-850409eb1d4b0dee-01",
        );
    }

    #[test]
    fn no_id_is_zero() {
        let nil = Id::from_u128(0);
        let context = SpanContext::of(nil, nil);
        assert_ne!(context.trace_id, [0; 16]);
        assert_ne!(context.span_id, [0; 8]);
        let low_half_zero = SpanContext::of(nil, Id::from_u128(1 << 64));
        assert_ne!(low_half_zero.span_id, [0; 8]);
        assert_ne!(low_half_zero.span_id, context.span_id);
    }

    #[test]
    fn what_is_no_header_is_none() {
        const HEADER: &str = "00-4e3e0ec6293840b1850409eb1d4b0dee-850409eb1d4b0dee-01";
        let parse = |text: &str| SpanContext::parse(text.as_bytes()).is_some();
        for (change, is_one) in [
            (("", ""), true),
            (("00-", "01-"), true),
            (("-01", "-00"), true),
            (("-01", "-ff"), true),
            (("00-", "ff-"), false),
            (("00-", "0g-"), false),
            (("-01", "-0"), false),
            (("-01", "-01-x"), false),
            (("-01", "-1-"), false),
            (("4e3e", "4E3e"), false),
            (("-8504", "+8504"), false),
            (
                (
                    "4e3e0ec6293840b1850409eb1d4b0dee",
                    "00000000000000000000000000000000",
                ),
                false,
            ),
            (("-850409eb1d4b0dee", "-0000000000000000"), false),
        ] {
            let header = HEADER.replacen(change.0, change.1, 1);
            assert_eq!(parse(&header), is_one, "{header}");
        }
        assert!(parse(&format!("cc{}-more", &HEADER[2..])));
        assert!(!parse(&format!("cc{}more", &HEADER[2..])));
        assert!(!parse(""));
        assert_eq!(SpanContext::parse(&[0xe9; 55]), None);
    }
}
