// SPDX-License-Identifier: Apache-2.0
//! What the texts of a point tell: all of a span but its ids and times, written once for all points of a batch that have the same texts.
//!
//! In: the ends of points. Out: fields of OTLP's `Span`. Services run the same statements and calls again and again, so nearly all that a batch
//! tells it has told before; where it has not, this costs a look-up. What is remembered is bounded, and forgotten with the batch.

use std::collections::HashMap;

use super::attributes::{self, Attributes, OF_EVENT};
use super::halves::{Place, Whole};
use super::info::Info;
use super::protobuf::Message;
use super::span::Ends;
use crate::secret_hash::Secrets;
use crate::trace_context::SpanContext;
use crate::{Notifications, TextNumber};

/// So much is remembered of a batch; what comes then begins anew.
const MOST_BYTES: usize = 1 << 20;

/// Says of a span that one of its ends is not known.
const INCOMPLETE: &str = "osprofiler.incomplete";
const NEVER_ENDED: &str = "the point's end was not recorded";
const NEVER_STARTED: &str = "the point's start was not recorded";

const ERROR: u64 = 2;

/// What a point tells.
pub(super) struct Told {
    /// Fields of a span: its name, kind, attributes, status and link.
    pub(super) fields: Vec<u8>,
    /// Fields of the event that it ended with an exception, but when.
    pub(super) exception: Option<Vec<u8>>,
    pub(super) host: Option<String>,
}

/// What points of a batch have told.
pub(super) struct Tellings<'a> {
    batch: &'a Notifications,
    /// By the texts that decide it: the name, the info of the start and of the stop.
    known: HashMap<[TextNumber; 3], Told, Secrets>,
    bytes: usize,
    /// Of a point that is not of this batch alone.
    other: Option<Told>,
}

/// Which part its caller and callee have in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
}

/// What is known of a point.
enum Infos<'a> {
    Both { start: Info<'a>, stop: Info<'a> },
    Start(Info<'a>),
    Stop(Info<'a>),
}

impl<'a> Tellings<'a> {
    pub(super) fn new(batch: &'a Notifications) -> Self {
        Self {
            batch,
            known: HashMap::default(),
            bytes: 0,
            other: None,
        }
    }

    /// What the point tells whose ends these are.
    pub(super) fn get(&mut self, whole: &Whole, ends: &Ends<'_>) -> &Told {
        let Some(texts) = self.texts(whole) else {
            return self.other.insert(Told::of(ends));
        };
        if self.bytes > MOST_BYTES {
            self.known.clear();
            self.bytes = 0;
        }
        self.known.entry(texts).or_insert_with(|| {
            let told = Told::of(ends);
            self.bytes += told.size_bytes();
            told
        })
    }

    /// The texts that decide what a point tells; `None` unless all of it is in the batch.
    fn texts(&self, whole: &Whole) -> Option<[TextNumber; 3]> {
        let texts = |place: Option<Place>| match place {
            Some(Place::Batch(index)) => Some(self.batch.text_numbers(index)),
            Some(Place::Waiting(_)) => None,
            None => Some([TextNumber::ABSENT; 4]),
        };
        let [[start, start_info, ..], [stop, stop_info, ..]] =
            [texts(whole.start)?, texts(whole.stop)?];
        let name = if whole.start.is_some() { start } else { stop };
        Some([name, start_info, stop_info])
    }
}

impl Told {
    pub(super) fn of(ends: &Ends<'_>) -> Self {
        let infos = match ends {
            Ends::Both { start, stop } => Infos::Both {
                start: Info::read(start.info),
                stop: Info::read(stop.info),
            },
            Ends::Start(start) => Infos::Start(Info::read(start.info)),
            Ends::Stop(stop) => Infos::Stop(Info::read(stop.info)),
        };
        let (point, info) = (ends.first().point_name(), infos.first());
        let mut fields = Vec::new();
        let mut span = Message::new(&mut fields);
        span.bytes(5, attributes::bounded(&name(point, info)).as_bytes());
        span.number(6, kind(point, info) as u64);
        infos.write_attributes(&mut span);
        let exception = infos.stop().and_then(|stop| write_error(stop, &mut span));
        let caller = info.inner_text("request", "traceparent");
        if let Some(caller) = caller.and_then(|text| SpanContext::parse(text.as_bytes())) {
            span.message(13, |link| {
                link.bytes(1, &caller.trace_id);
                link.bytes(2, &caller.span_id);
            });
        }
        Self {
            host: info.text("host").map(str::to_owned),
            fields,
            exception,
        }
    }

    /// What it takes in memory, but for what allocations cost beside.
    fn size_bytes(&self) -> usize {
        let exception = self.exception.as_ref().map_or(0, Vec::len);
        let host = self.host.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.fields.len() + exception + host
    }
}

impl<'a> Infos<'a> {
    /// The start's, or the stop's where there is none.
    fn first(&self) -> &Info<'a> {
        let (Self::Both { start: first, .. } | Self::Start(first) | Self::Stop(first)) = self;
        first
    }

    /// The stop's.
    fn stop(&self) -> Option<&Info<'a>> {
        match self {
            Self::Both { stop, .. } | Self::Stop(stop) => Some(stop),
            Self::Start(_) => None,
        }
    }

    fn write_attributes(&self, span: &mut Message<'_>) {
        let mut attributes = Attributes::of(span);
        match self {
            Self::Both { start, stop } => {
                // What a point knows at its end is the later word.
                attributes.add_info(stop);
                attributes.add_info(start);
            }
            Self::Start(start) => {
                attributes.add_text(INCOMPLETE, NEVER_ENDED);
                attributes.add_info(start);
            }
            Self::Stop(stop) => {
                attributes.add_text(INCOMPLETE, NEVER_STARTED);
                attributes.add_info(stop);
            }
        }
        attributes.finish();
    }
}

/// What services show of a span in lists.
fn name(point: &str, info: &Info<'_>) -> String {
    if let Some(method) = info.inner_text("request", "method") {
        let path = info.inner_text("request", "path").unwrap_or_default();
        [&point.to_uppercase(), "_", method, "_", path].concat()
    } else if let Some(statement) = info.inner_text("db", "statement") {
        let verb = statement.split_whitespace().next().unwrap_or_default();
        ["SQL_", &verb.to_uppercase()].concat()
    } else if let Some(method) = info.inner_text("requests", "method") {
        let host = info.inner_text("requests", "hostname").unwrap_or_default();
        ["REQUESTS_", method, "_", host].concat()
    } else {
        point.to_owned()
    }
}

fn kind(point: &str, info: &Info<'_>) -> Kind {
    if info.has("request") {
        Kind::Server
    } else if info.has("requests") || info.has("db") {
        Kind::Client
    } else if info.has("rpc") {
        match info.inner_text("rpc", "kind") {
            Some("call") | None => Kind::Client,
            Some(_) => Kind::Producer,
        }
    } else if point == "rpc" || ["wsgi", "asgi"].iter().any(|part| point.contains(part)) {
        Kind::Server
    } else if ["db", "http", "api"]
        .iter()
        .any(|part| point.contains(part))
    {
        Kind::Client
    } else {
        Kind::Internal
    }
}

/// Writes what a point ended with as the status; returns it as the fields of an event, too.
fn write_error(info: &Info<'_>, span: &mut Message<'_>) -> Option<Vec<u8>> {
    let kind = info.text("etype")?;
    let message = info.text("message");
    span.message(15, |status| {
        let text = match message {
            Some(message) => [kind, ": ", message].concat(),
            None => kind.to_owned(),
        };
        status.bytes(2, attributes::bounded(&text).as_bytes());
        status.number(3, ERROR);
    });
    let mut fields = Vec::new();
    let mut event = Message::new(&mut fields);
    event.bytes(2, b"exception");
    attributes::write_text(OF_EVENT, "exception.type", kind, &mut event);
    if let Some(message) = message {
        attributes::write_text(OF_EVENT, "exception.message", message, &mut event);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::otlp::tests::batch;

    /// The fields of the points of a batch, a start and a stop each; and how many are remembered then, and their bytes.
    fn tell(batch: &Notifications) -> (Vec<Vec<u8>>, usize, usize) {
        let mut tellings = Tellings::new(batch);
        let mut fields = Vec::new();
        for index in (0..batch.len()).step_by(2) {
            let [start, stop] = [index, index + 1];
            let whole = Whole {
                start: Some(Place::Batch(start)),
                stop: Some(Place::Batch(stop)),
            };
            let ends = Ends::of(Some(batch.get(start)), Some(batch.get(stop))).unwrap();
            fields.push(tellings.get(&whole, &ends).fields.clone());
            assert_eq!(fields.last(), Some(&Told::of(&ends).fields));
        }
        (fields, tellings.known.len(), tellings.bytes)
    }

    #[test]
    fn what_was_told_is_told_again_where_all_texts_are_the_same() {
        let (fields, known, _) = tell(&batch(&[
            ("a", "B", "x-start", 1, r#"{"a": 1}"#),
            ("a", "B", "x-stop", 2, "{}"),
            ("b", "a", "x-start", 3, r#"{"a": 1}"#),
            ("b", "a", "x-stop", 4, "{}"),
            ("c", "B", "x-start", 1, r#"{"a": 1}"#),
            ("c", "B", "x-stop", 2, r#"{"a": 2}"#),
            ("d", "B", "x-start", 1, "{}"),
            ("d", "B", "x-stop", 2, r#"{"a": 1}"#),
            ("e", "B", "y-start", 1, r#"{"a": 1}"#),
            ("e", "B", "y-stop", 2, "{}"),
        ]));
        assert_eq!(known, 4);
        assert_eq!(fields[0], fields[1]);
        assert_ne!(fields[0], fields[2]);
        assert_ne!(fields[0], fields[4]);
    }

    #[test]
    fn no_batch_makes_more_be_remembered_than_a_bound() {
        let large = format!(r#"{{"a": "{}"}}"#, "x".repeat(16 << 10));
        let small: Vec<_> = (0..200)
            .map(|number| format!(r#"{{"b": {number}}}"#))
            .collect();
        let mut rows = Vec::new();
        for stop in &small {
            rows.push(("a", "B", "x-start", 1, &*large));
            rows.push(("a", "B", "x-stop", 2, &**stop));
        }
        let (_, known, bytes) = tell(&batch(&rows));
        assert!(known < small.len(), "{known}");
        assert!(bytes < MOST_BYTES + 2 * large.len(), "{bytes}");
    }
}
