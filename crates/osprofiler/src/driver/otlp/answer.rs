// SPDX-License-Identifier: Apache-2.0
//! What a collector's answer means: taken, taken in part, to be tried again, or refused.
//!
//! In: an answer as it came. Out: how many spans were refused, or an error, and when to come back if the collector says so. As OTLP has it, with
//! one difference: what an administrator puts right is tried again, too, as with every store.
//! The rules: <https://opentelemetry.io/docs/specs/otlp/#failures>.

use std::borrow::Cow;
use std::io::Read;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use flate2::read::GzDecoder;
use hyper::StatusCode;
use hyper::header;

use super::connection::{Answer, MOST_ANSWER_BYTES};
use super::protobuf::{Fields, Malformed, Value};
use super::settings::Protocol;
use crate::wire::json;
use crate::{Error, ErrorKind};

/// No collector is heeded that wants to be left alone for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// So much of what a collector says is repeated.
const MOST_SAID_BYTES: usize = 200;

const IS_IT_A_COLLECTOR: &str =
    "is it a collector's receiver of traces that listens there, for this protocol and path?";

/// Taken, but for some spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many spans were refused, never to be sent again.
    pub(super) refused: u64,
    /// What the collector says about that, or about something else.
    pub(super) said: String,
}

/// Not taken.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Error,
    /// How long the collector wants to be left alone.
    pub(super) wait: Option<Duration>,
}

/// What the answer means.
pub(super) fn understand(protocol: Protocol, answer: &Answer) -> Result<Taken, Refusal> {
    match protocol {
        Protocol::Http => of_http(answer),
        Protocol::Grpc => of_grpc(answer),
    }
}

fn of_http(answer: &Answer) -> Result<Taken, Refusal> {
    if answer.status == StatusCode::OK {
        return taken_by_http(answer).map_err(|error| Refusal { error, wait: None });
    }
    let said = match content_type(answer) {
        "application/x-protobuf" => {
            of_status(&answer.body).map_or(String::new(), |status| status.said)
        }
        "application/json" => json_text(&answer.body, "message"),
        "text/plain" | "" => shortened(&String::from_utf8_lossy(&answer.body)),
        _ => String::new(),
    };
    Err(Refusal {
        error: http_error(answer.status, &said),
        wait: retry_after(answer),
    })
}

fn taken_by_http(answer: &Answer) -> Result<Taken, Error> {
    // Some backends answer with an empty body, or in JSON whatever they are asked in.
    let taken = match content_type(answer) {
        _ if answer.body.is_empty() => Ok(Taken::default()),
        "application/x-protobuf" => partial_success(&answer.body),
        "application/json" if answer.body.trim_ascii_start().starts_with(b"{") => {
            Ok(partial_success_in_json(&answer.body))
        }
        _ => Err(Malformed),
    };
    taken.map_err(|_| stranger("it answers with what is no collector's answer"))
}

fn http_error(status: StatusCode, said: &str) -> Error {
    let said = with_reason(&format!("it answers {status}"), said);
    match status.as_u16() {
        401 | 403 | 407 => denied(said),
        413 => Error::new(ErrorKind::Usage, said)
            .with_help("let the collector's receiver take larger requests: 4 MiB"),
        300..=399 | 404 | 405 | 415 => stranger(said),
        429 | 502 | 503 | 504 => Error::new(ErrorKind::Unavailable, said),
        // What will be refused as often as it is sent.
        _ => Error::new(ErrorKind::Usage, said).with_help(IS_IT_A_COLLECTOR),
    }
}

fn of_grpc(answer: &Answer) -> Result<Taken, Refusal> {
    let header = |name: &str| {
        answer
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let Some(code) = header("grpc-status").and_then(|code| code.parse::<u16>().ok()) else {
        // No word of gRPC: a proxy's, perhaps.
        let error = match answer.status {
            StatusCode::OK => stranger("it answers, but not as gRPC does"),
            status => http_error(status, "").set_temporary(true),
        };
        let wait = retry_after(answer);
        return Err(Refusal { error, wait });
    };
    if code == 0 {
        return taken_by_grpc(answer).map_err(|error| Refusal { error, wait: None });
    }
    let details = header("grpc-status-details-bin")
        .and_then(|text| STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok());
    let wait = details
        .and_then(|details| of_status(&details))
        .and_then(|status| status.wait);
    let said = percent_encoding::percent_decode_str(header("grpc-message").unwrap_or_default());
    let said = shortened(&said.decode_utf8_lossy());
    let said = with_reason(&format!("it answers {}", name_of(code)), &said);
    let error = match code {
        7 | 16 => denied(said),
        12 => stranger(said),
        // Too large a message, unless it says when to come back.
        8 if wait.is_none() => Error::new(ErrorKind::Usage, said).with_help(
            "let the collector's receiver take larger messages: `max_recv_msg_size_mib: 4`",
        ),
        1 | 4 | 8 | 10 | 11 | 14 | 15 => Error::new(ErrorKind::Unavailable, said),
        _ => Error::new(ErrorKind::Usage, said),
    };
    Err(Refusal { error, wait })
}

fn taken_by_grpc(answer: &Answer) -> Result<Taken, Error> {
    let taken = match answer.body.split_at_checked(5) {
        Some(([compression, length @ ..], message))
            if u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize
                == message.len() =>
        {
            uncompressed(*compression, message).and_then(|message| partial_success(&message))
        }
        _ => Err(Malformed),
    };
    taken.map_err(|_| stranger("it answers with what is no collector's answer"))
}

/// A message of gRPC. Servers compress their answers as requests are, whatever they are told that we understand.
fn uncompressed(compression: u8, message: &[u8]) -> Result<Cow<'_, [u8]>, Malformed> {
    if compression == 0 {
        return Ok(Cow::Borrowed(message));
    }
    let mut out = Vec::new();
    GzDecoder::new(message)
        .take(MOST_ANSWER_BYTES as u64)
        .read_to_end(&mut out)
        .map_err(|_| Malformed)?;
    Ok(Cow::Owned(out))
}

/// Of an `ExportTraceServiceResponse`.
fn partial_success(message: &[u8]) -> Result<Taken, Malformed> {
    let mut taken = Taken::default();
    for field in Fields(message) {
        let (1, Value::Bytes(partial)) = field? else {
            continue;
        };
        for field in Fields(partial) {
            match field? {
                (1, Value::Number(refused)) => taken.refused = refused,
                (2, Value::Bytes(text)) => taken.said = shortened(&String::from_utf8_lossy(text)),
                _ => {}
            }
        }
    }
    Ok(taken)
}

/// The same in JSON, where a number of 64 bits is a text.
fn partial_success_in_json(body: &[u8]) -> Taken {
    let text = String::from_utf8_lossy(body);
    let partial = json::member(&text, "partialSuccess").unwrap_or_default();
    let refused = json::member(partial, "rejectedSpans").unwrap_or_default();
    Taken {
        refused: refused.trim_matches('"').parse().unwrap_or(0),
        said: json_text(partial.as_bytes(), "errorMessage"),
    }
}

/// What a `google.rpc.Status` says.
struct Status {
    said: String,
    /// Of its detail `google.rpc.RetryInfo`.
    wait: Option<Duration>,
}

fn of_status(message: &[u8]) -> Option<Status> {
    let mut status = Status {
        said: String::new(),
        wait: None,
    };
    for field in Fields(message) {
        match field.ok()? {
            (2, Value::Bytes(text)) => status.said = shortened(&String::from_utf8_lossy(text)),
            (3, Value::Bytes(any)) => status.wait = retry_info(any).or(status.wait),
            _ => {}
        }
    }
    Some(status)
}

fn retry_info(any: &[u8]) -> Option<Duration> {
    let bytes = |message, number| {
        Fields(message).flatten().find_map(|field| match field {
            (found, Value::Bytes(bytes)) if found == number => Some(bytes),
            _ => None,
        })
    };
    let kind = bytes(any, 1)?;
    if !kind.ends_with(b"google.rpc.RetryInfo") {
        return None;
    }
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields(bytes(bytes(any, 2)?, 1)?).flatten() {
        match field {
            (1, Value::Number(number)) => seconds = number,
            (2, Value::Number(number)) => nanos = number,
            _ => {}
        }
    }
    let wait = Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos));
    Some(wait.min(LONGEST_WAIT))
}

/// The header `Retry-After` in seconds; a date in it is passed over.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let value = answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// Without parameters.
fn content_type(answer: &Answer) -> &str {
    let value = answer.headers.get(header::CONTENT_TYPE);
    let value = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn json_text(body: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(body);
    let value = json::member(&text, name).filter(|value| value.starts_with('"'));
    value.map_or(String::new(), |value| shortened(&json::unescape(value)))
}

/// The first line, or what of it is not too long.
fn shortened(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let printable = |character: &char| !character.is_control();
    let mut short = String::new();
    for character in line.chars().filter(printable) {
        if short.len() + character.len_utf8() > MOST_SAID_BYTES {
            short.push('…');
            break;
        }
        short.push(character);
    }
    short
}

fn with_reason(what: &str, said: &str) -> String {
    if said.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {said}")
    }
}

fn denied(said: String) -> Error {
    Error::new(ErrorKind::Denied, said)
        .with_help("give it what it wants to see: a user and a password, or `headers=authorization=Bearer TOKEN`")
        .set_temporary(true)
}

fn stranger(said: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, said)
        .with_help(IS_IT_A_COLLECTOR)
        .set_temporary(true)
}

fn name_of(code: u16) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    match NAMES.get(usize::from(code)) {
        Some(name) => (*name).to_owned(),
        None => format!("with the status {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of gRPC: header lines, and the bytes of its body.
    fn grpc(headers: &str, body: &[u8]) -> Answer {
        let mut answer = Answer::default();
        for line in headers.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            answer.headers.insert(name, value.parse().unwrap());
        }
        answer.body = body.to_owned();
        answer
    }

    /// `expected` is the kind, whether it is tried again, after how many milliseconds, and why.
    fn check(answer: &Answer, expected: &str) {
        let refusal = understand(Protocol::Grpc, answer).unwrap_err();
        let error = refusal.error;
        let temporary = if error.is_temporary() {
            "again"
        } else {
            "never"
        };
        let wait = refusal.wait.map(|wait| format!(" {} ms", wait.as_millis()));
        let wait = wait.unwrap_or_default();
        assert_eq!(
            format!("{:?} {temporary}{wait} {error}", error.kind()),
            expected
        );
    }

    #[test]
    fn statuses_of_grpc_say_whether_to_try_again() {
        for (code, expected) in [
            (1, "Unavailable again it answers CANCELLED"),
            (2, "Usage never it answers UNKNOWN"),
            (3, "Usage never it answers INVALID_ARGUMENT"),
            (4, "Unavailable again it answers DEADLINE_EXCEEDED"),
            (5, "Usage never it answers NOT_FOUND"),
            (6, "Usage never it answers ALREADY_EXISTS"),
            (7, "Denied again it answers PERMISSION_DENIED"),
            (8, "Usage never it answers RESOURCE_EXHAUSTED"),
            (9, "Usage never it answers FAILED_PRECONDITION"),
            (10, "Unavailable again it answers ABORTED"),
            (11, "Unavailable again it answers OUT_OF_RANGE"),
            (12, "Corrupt again it answers UNIMPLEMENTED"),
            (13, "Usage never it answers INTERNAL"),
            (14, "Unavailable again it answers UNAVAILABLE"),
            (15, "Unavailable again it answers DATA_LOSS"),
            (16, "Denied again it answers UNAUTHENTICATED"),
            (99, "Usage never it answers with the status 99"),
        ] {
            check(&grpc(&format!("grpc-status: {code}"), b""), expected);
        }
    }

    #[test]
    fn a_collector_says_why_and_when_to_come_back() {
        check(
            &grpc("grpc-status: 14\ngrpc-message: full%20of%0Aspans", b""),
            "Unavailable again it answers UNAVAILABLE: full of",
        );
        // A `google.rpc.Status` with a `google.rpc.RetryInfo` of 1.5 s.
        let encoded = "CAgSBHNsb3caNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIARCAyrXuAQ";
        check(
            &grpc(
                &format!("grpc-status: 8\ngrpc-status-details-bin: {encoded}"),
                b"",
            ),
            "Unavailable again 1500 ms it answers RESOURCE_EXHAUSTED",
        );
        check(
            &grpc("grpc-status: 8\ngrpc-status-details-bin: bm9uc2Vuc2U", b""),
            "Usage never it answers RESOURCE_EXHAUSTED",
        );
    }

    #[test]
    fn what_is_no_answer_of_grpc_is_a_strangers() {
        let with = |status| Answer {
            status,
            ..Answer::default()
        };
        for (answer, expected) in [
            (
                with(StatusCode::OK),
                "Corrupt again it answers, but not as gRPC does",
            ),
            (
                with(StatusCode::BAD_GATEWAY),
                "Unavailable again it answers 502 Bad Gateway",
            ),
            (
                with(StatusCode::BAD_REQUEST),
                "Usage again it answers 400 Bad Request",
            ),
            (
                grpc("grpc-status: 0", b"\0\0\0\0\x07junk"),
                "Corrupt again it answers with what is no collector's answer",
            ),
            (
                grpc("grpc-status: 0", b""),
                "Corrupt again it answers with what is no collector's answer",
            ),
            (
                grpc("grpc-status: 0", b"\x01\0\0\0\x04junk"),
                "Corrupt again it answers with what is no collector's answer",
            ),
        ] {
            check(&answer, expected);
        }
    }

    #[test]
    fn what_a_collector_takes_it_may_take_in_part() {
        let taken = |body| understand(Protocol::Grpc, &grpc("grpc-status: 0", body)).unwrap();
        assert_eq!(taken(b"\0\0\0\0\0"), Taken::default());
        let partial = taken(b"\0\0\0\0\x0a\x0a\x08\x08\x03\x12\x04full");
        let said = "full".to_owned();
        let expected = Taken { refused: 3, said };
        assert_eq!(partial, expected);
        let packed = crate::driver::otlp::request::gzip(b"\x0a\x08\x08\x03\x12\x04full").unwrap();
        let length = (packed.len() as u32).to_be_bytes();
        let packed = [&[1], &length[..], &packed].concat();
        let header = grpc("grpc-status: 0\ngrpc-encoding: gzip", &packed);
        assert_eq!(understand(Protocol::Grpc, &header).unwrap(), expected);
    }
}
