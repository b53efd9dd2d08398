// SPDX-License-Identifier: Apache-2.0
//! The signed pair of headers that carries a trace from service to service.
//!
//! `X-Trace-Info` is URL-safe base64 of `{"base_id": ..., "parent_id": ...}`, `X-Trace-HMAC` the hex HMAC-SHA1 of that
//! base64 text. What arrives is hostile: at most [`MAX_BYTES`] are looked at, nothing is decoded before its signature
//! holds, ids are strings of 1 to [`Id::MAX_BYTES`] bytes, and whatever is wrong gives `None`: the request is then served
//! untraced. A service has a [`Caller`] of a request's headers, and of a [`Context`] the headers for a call. Nothing here knows HTTP
//! or a web framework.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha1::Sha1;

use crate::Id;
use crate::config::HmacKeys;
use crate::recorder::{Context, Origin, new_id};

/// The header that carries the ids.
pub const TRACE_INFO: &str = "X-Trace-Info";
/// The header that carries the signature.
pub const TRACE_HMAC: &str = "X-Trace-HMAC";
/// The longest header that is looked at; a longer one is refused before anything is hashed.
pub const MAX_BYTES: usize = 8 * 1024;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The values of the two headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders {
    /// The value of [`TRACE_INFO`].
    pub info: String,
    /// The value of [`TRACE_HMAC`].
    pub hmac: String,
}

impl SignedHeaders {
    /// Both headers, by name.
    pub fn pairs(&self) -> [(&'static str, &str); 2] {
        [(TRACE_INFO, &self.info), (TRACE_HMAC, &self.hmac)]
    }
}

/// Who calls a service: the place in a trace to serve the request in, and the key that says so. The default is nobody: a place outside of all
/// traces. `Debug` does not show the key.
///
/// ```
/// use std::collections::HashMap;
/// use osprofiler::config::HmacKeys;
/// use osprofiler::headers::Caller;
/// use osprofiler::point;
/// use osprofiler::recorder::{Context, Origin};
///
/// let keys = HmacKeys::parse("SECRET");
/// let origin = Origin::register(Some("shop"), Some("api"), "host-1").unwrap();
///
/// // A service that begins a trace, and calls another.
/// let mut request = HashMap::new();
/// let trace = Context::new_trace(origin).attach();
/// {
///     let _call = point!("call");
///     let signed = Context::capture().signed_headers(keys.signing_key().unwrap()).unwrap();
///     request.extend(signed.pairs().map(|(name, value)| (name, value.to_owned())));
/// }
/// drop(trace);
///
/// // The other one joins it.
/// let header = |name: &str| request.get(name).map(|value| value.as_bytes());
/// let caller = Caller::from_headers(origin, &keys, header).unwrap_or_default();
/// let _trace = caller.context.attach();
/// let _request = point!("request"); // lies within `call`
/// ```
#[derive(Clone)]
pub struct Caller<'k> {
    /// The caller's open point. Attached, what is recorded lies within it.
    pub context: Context,
    /// The key that signed the headers, for those of calls that the request leads to: so a trace stays with the services that have its key,
    /// and an operator chooses these by the key. Empty for nobody.
    pub key: &'k str,
}

impl<'k> Caller<'k> {
    /// Who the headers of a request name. `origin` is what [`init`](crate::init) gave, `header` gives the value of a header by its name,
    /// in whatever case. `None` unless both are there and valid, and one of `keys` signed them: the request is then served untraced, or
    /// begins a trace ([`Context::new_trace`]). `None` as well without an origin: tracing is off. Headers that are there and name nobody are
    /// told in a debug line, and that `keys` has the default one in a message, once a process. Costs what [`unpack`] does, and a few copies.
    pub fn from_headers<'h>(
        origin: impl Into<Option<Origin>>,
        keys: &'k HmacKeys,
        header: impl Fn(&str) -> Option<&'h [u8]>,
    ) -> Option<Self> {
        let origin = origin.into()?;
        keys.warn_of_default();
        let (info, hmac) = (header(TRACE_INFO)?, header(TRACE_HMAC)?);
        let Some(read) = unpack(info, hmac, keys.as_slice()) else {
            log::debug!(
                target: "osprofiler",
                "a request is not traced: its trace headers are malformed, or signed with none of `hmac_keys`"
            );
            return None;
        };
        let base_id = given_id(read.base_id.as_deref()).unwrap_or_else(|| Id::from_u128(new_id()));
        let parent_id = given_id(read.parent_id.as_deref()).unwrap_or(base_id);
        Some(Self {
            context: Context::from_ids(origin, base_id, parent_id),
            key: keys.as_slice().get(read.key_index)?,
        })
    }
}

impl Default for Caller<'_> {
    fn default() -> Self {
        Self {
            context: Context::none(),
            key: "",
        }
    }
}

impl fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// The headers by which a service that is called from here joins the trace, signed with `key`: that of the [`Caller`], or
    /// [`HmacKeys::signing_key`] in a trace that began here. `None` outside of all traces, and without a key. Costs an HMAC.
    pub fn signed_headers(&self, key: &str) -> Option<SignedHeaders> {
        let (base_id, current_id) = (self.base_id()?, self.current_id()?);
        (!key.is_empty()).then(|| pack(base_id, current_id, key.as_bytes()))
    }
}

/// What a valid pair of headers says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceHeaders {
    /// The trace to join; `None` asks for a new one (an empty `base_id`).
    pub base_id: Option<String>,
    /// The caller's open point; `None` is the trace's top.
    pub parent_id: Option<String>,
    /// Which of the keys signed them.
    pub key_index: usize,
}

/// The headers for a call made inside the point `parent_id` of the trace `base_id`, signed with `key`.
///
/// ```
/// # use osprofiler::{Id, headers};
/// let signed = headers::pack(Id::parse("B").unwrap(), Id::parse("P").unwrap(), b"key");
/// assert_eq!(signed.info, "eyJiYXNlX2lkIjogIkIiLCAicGFyZW50X2lkIjogIlAifQ==");
/// assert_eq!(signed.hmac, "29c0126c0299bb9ee23595ce55cb5bebf8432f20");
/// ```
pub fn pack(base_id: Id<'_>, parent_id: Id<'_>, key: &[u8]) -> SignedHeaders {
    let mut json = String::with_capacity(112);
    json.push_str("{\"base_id\": ");
    push_id(base_id, &mut json);
    json.push_str(", \"parent_id\": ");
    push_id(parent_id, &mut json);
    json.push('}');
    let info = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, json);
    let hmac = sign(info.as_bytes(), key);
    SignedHeaders { info, hmac }
}

/// The lower-case hex HMAC-SHA1 of `data`.
pub fn sign(data: &[u8], key: &[u8]) -> String {
    let mut hex = String::with_capacity(40);
    for byte in mac(data, key).finalize().into_bytes() {
        for digit in [byte >> 4, byte & 15] {
            hex.push(char::from(HEX[usize::from(digit)]));
        }
    }
    hex
}

/// What the two header values say if one of `keys` signed them; `None` for anything else. Costs one HMAC a key, of at most
/// [`MAX_BYTES`]; an empty key signs nothing.
pub fn unpack<K: AsRef<[u8]>>(info: &[u8], hmac: &[u8], keys: &[K]) -> Option<TraceHeaders> {
    if info.is_empty() || info.len() > MAX_BYTES || hmac.len() > MAX_BYTES {
        return None;
    }
    let signature = parse_hex(trim(hmac))?;
    let key_index = keys.iter().position(|key| {
        !key.as_ref().is_empty() && mac(info, key.as_ref()).verify_slice(&signature).is_ok()
    })?;
    let object: Map<String, Value> = serde_json::from_slice(&decode_base64(info)?).ok()?;
    if !object
        .keys()
        .all(|key| matches!(key.as_str(), "base_id" | "parent_id" | "hmac_key"))
    {
        return None;
    }
    let base_id = id_member(object.get("base_id")?)?;
    let parent_id = object.get("parent_id").map_or(Some(""), id_member)?;
    let given = |id: &str| (!id.is_empty()).then(|| id.to_owned());
    Some(TraceHeaders {
        base_id: given(base_id),
        parent_id: given(parent_id),
        key_index,
    })
}

fn mac(data: &[u8], key: &[u8]) -> Hmac<Sha1> {
    #[cfg(test)]
    tests::HASHED_BYTES.set(tests::HASHED_BYTES.get() + data.len());
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key)
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(data);
    mac
}

fn push_id(id: Id<'_>, json: &mut String) {
    if let Some(text) = id.as_text() {
        push_text(text, json);
    } else {
        json.push('"');
        id.push_to(json);
        json.push('"');
    }
}

/// A JSON string of ASCII only. Ids with characters to escape are rare, so the short forms of escapes are not used.
fn push_text(text: &str, json: &mut String) {
    json.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => json.extend(['\\', char::from(byte)]),
            Ok(byte @ b' '..=b'~') => json.push(char::from(byte)),
            _ => {
                json.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    json.push(char::from(HEX[usize::from(unit >> shift & 15)]));
                }
            }
        }
    }
    json.push('"');
}

/// The text of an id, empty where the sender left the choice to the receiver; `None` for what is no id.
fn id_member(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    (text.is_empty() || Id::parse(text).is_ok()).then_some(text)
}

/// The id that the sender chose.
fn given_id(text: Option<&str>) -> Option<Id<'_>> {
    text.and_then(|text| Id::parse(text).ok())
}

/// Without the blanks that Python's `str.strip` removes from an ASCII text.
fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b'\t'..=b'\r' | 0x1c..=0x1f | b' ');
    let start = text.iter().take_while(|byte| blank(byte)).count();
    let end = text[start..]
        .iter()
        .rev()
        .take_while(|byte| blank(byte))
        .count();
    &text[start..text.len() - end]
}

fn parse_hex(text: &[u8]) -> Option<[u8; 20]> {
    let text: &[u8; 40] = text.try_into().ok()?;
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 20];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Base64 as senders and receivers of these headers have always read it: both alphabets, characters outside them skipped,
/// padding required, what follows the padding ignored. No decoder of the crate `base64` does that.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held, mut padding) = (0u32, 0u8, 0u8);
    for &byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' if held >= 2 => {
                padding += 1;
                if held + padding == 4 {
                    return Some(bytes);
                }
                continue;
            }
            _ => continue,
        };
        padding = 0;
        bits = bits << 6 | u32::from(value);
        held = (held + 1) % 4;
        match held {
            2 => bytes.push((bits >> 4) as u8),
            3 => bytes.push((bits >> 2) as u8),
            0 => bytes.push(bits as u8),
            _ => {}
        }
    }
    (held == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use base64::Engine;

    thread_local! {
        /// How much a test has had hashed.
        pub(super) static HASHED_BYTES: Cell<usize> = const { Cell::new(0) };
    }

    const KEYS: [&str; 2] = ["other", "key"];

    fn encode(json: impl AsRef<[u8]>) -> String {
        base64::engine::general_purpose::URL_SAFE.encode(json)
    }

    /// What a receiver understands of `info` when it is signed as it stands.
    #[track_caller]
    fn check(info: &str, expected: Option<(Option<&str>, Option<&str>)>) {
        let read = unpack(
            info.as_bytes(),
            sign(info.as_bytes(), b"key").as_bytes(),
            &KEYS,
        );
        let expected = expected.map(|(base_id, parent_id)| TraceHeaders {
            base_id: base_id.map(str::to_owned),
            parent_id: parent_id.map(str::to_owned),
            key_index: 1,
        });
        assert_eq!(read, expected, "{info}");
    }

    #[test]
    fn the_vector_of_the_contract() {
        let signed = pack(Id::parse("B").unwrap(), Id::parse("P").unwrap(), b"key");
        assert_eq!(
            signed.info,
            "eyJiYXNlX2lkIjogIkIiLCAicGFyZW50X2lkIjogIlAifQ=="
        );
        assert_eq!(signed.hmac, "29c0126c0299bb9ee23595ce55cb5bebf8432f20");
    }

    #[test]
    fn what_is_packed_unpacks() {
        for (base_id, parent_id) in [
            (
                "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee",
                "ffffffff-2938-40b1-8504-09eb1d4b0dee",
            ),
            ("B", "B"),
            ("ключ \u{1f511}", "\"\\\n\u{7f}"),
        ] {
            let signed = pack(
                Id::parse(base_id).unwrap(),
                Id::parse(parent_id).unwrap(),
                b"key",
            );
            let read = unpack(signed.info.as_bytes(), signed.hmac.as_bytes(), &KEYS).unwrap();
            assert_eq!(
                (read.base_id.as_deref(), read.parent_id.as_deref()),
                (Some(base_id), Some(parent_id))
            );
        }
    }

    #[test]
    fn only_an_object_of_known_members_with_string_ids_is_accepted() {
        let long = "x".repeat(256);
        for (json, expected) in [
            (
                r#"{"base_id": "B", "parent_id": "P"}"#,
                Some((Some("B"), Some("P"))),
            ),
            (r#"{"base_id": "B"}"#, Some((Some("B"), None))),
            (
                r#"{"base_id": "B", "hmac_key": 7}"#,
                Some((Some("B"), None)),
            ),
            (
                r#"{"base_id": "A", "base_id": "B"}"#,
                Some((Some("B"), None)),
            ),
            (r#"{"base_id": "", "parent_id": ""}"#, Some((None, None))),
            (r#"{"base_id": null}"#, None),
            (r#"{"base_id": "B", "parent_id": null}"#, None),
            (r#"{"base_id": 1}"#, None),
            (r#"{"base_id": ["B"]}"#, None),
            (r#"{"base_id": {"a": 1}}"#, None),
            (r#"{"base_id": "B", "parent_id": 1}"#, None),
            (r#"{"base_id": "\ud800"}"#, None),
            (&format!(r#"{{"base_id": "{long}"}}"#), None),
            (r#"{"base_id": "B", "extra": 1}"#, None),
            (r#"{"parent_id": "P"}"#, None),
            ("[]", None),
            (r#""B""#, None),
            ("B", None),
            ("", None),
            ("\u{feff}{\"base_id\": \"B\"}", None),
            (&"[".repeat(6000), None),
        ] {
            check(&encode(json), expected);
        }
        check(&encode("{\0\"\0b\0"), None);
    }

    #[test]
    fn base64_is_read_as_leniently_as_ever() {
        // `~~~???` gives characters of both alphabets.
        let json = r#"{"base_id": "~~~???B", "parent_id": "P"}"#;
        let accepted = Some((Some("~~~???B"), Some("P")));
        let info = encode(json);
        check(&info, accepted);
        check(
            &base64::engine::general_purpose::STANDARD.encode(json),
            accepted,
        );
        check(&format!(" {} \n{}!", &info[..7], &info[7..]), accepted);
        check(
            &format!("{info}more"),
            if info.ends_with('=') { accepted } else { None },
        );
        let padded = encode(r#"{"base_id": "B"}"#);
        assert!(padded.ends_with('='));
        check(padded.trim_end_matches('='), None);
        check(&format!("{padded}==AAAA"), Some((Some("B"), None)));
        check("A", None);
        check("====", None);
    }

    #[test]
    fn a_wrong_signature_is_refused() {
        let info = encode(r#"{"base_id": "B"}"#);
        let hmac = sign(info.as_bytes(), b"key");
        let blanks = format!("\t {hmac}\r\n");
        for (hmac, accepted) in [
            (hmac.as_bytes(), true),
            (blanks.as_bytes(), true),
            (hmac.to_uppercase().as_bytes(), false),
            (&hmac.as_bytes()[1..], false),
            (sign(info.as_bytes(), b"wrong").as_bytes(), false),
            (b"".as_slice(), false),
            (b"\xe9".as_slice(), false),
            ([0xe9; 40].as_slice(), false),
        ] {
            assert_eq!(unpack(info.as_bytes(), hmac, &KEYS).is_some(), accepted);
        }
        assert_eq!(unpack(b"", sign(b"", b"key").as_bytes(), &KEYS), None);
        assert_eq!(unpack::<&str>(info.as_bytes(), hmac.as_bytes(), &[]), None);
    }

    #[test]
    fn an_empty_key_signs_nothing() {
        let info = encode(r#"{"base_id": "B"}"#);
        let hmac = sign(info.as_bytes(), b"");
        assert_eq!(unpack(info.as_bytes(), hmac.as_bytes(), &[""]), None);
    }

    #[test]
    fn more_than_eight_kibibytes_are_refused_whatever_the_signature() {
        let member = r#"{"base_id": "B"}"#;
        let fitting = encode(format!("{member}{}", " ".repeat(6144 - member.len())));
        assert_eq!(fitting.len(), MAX_BYTES);
        check(&fitting, Some((Some("B"), None)));
        check(&format!("{fitting} "), None);
        let hmac = sign(fitting.as_bytes(), b"key") + &" ".repeat(MAX_BYTES);
        assert_eq!(unpack(fitting.as_bytes(), hmac.as_bytes(), &KEYS), None);
    }

    #[test]
    fn a_header_of_more_than_eight_kibibytes_is_refused_before_anything_is_hashed() {
        let fitting = [b'A'; MAX_BYTES];
        let too_long = [b'A'; MAX_BYTES + 1];
        let hmac = [b'0'; 40];
        for (info, hmac, hashed) in [
            (&fitting[..], &hmac[..], 2 * MAX_BYTES),
            (&too_long[..], &hmac[..], 0),
            (&fitting[..], &too_long[..], 0),
            (&too_long[..], &too_long[..], 0),
        ] {
            HASHED_BYTES.set(0);
            assert_eq!(unpack(info, hmac, &KEYS), None);
            assert_eq!(HASHED_BYTES.get(), hashed);
        }
    }
}
