// SPDX-License-Identifier: Apache-2.0
//! A span of a point's two notifications, or of the one that there is.
//!
//! In: a start, a stop, or both. Out: the fields of OTLP's `Span`, and which resource it is of: names and attributes as upstream's driver
//! has them, times as the notifications do. A point whose other end never came is as long as nothing and says so.
//! The format: <https://github.com/open-telemetry/opentelemetry-proto/blob/v1.7.0/opentelemetry/proto/trace/v1/trace.proto>.

use super::attributes::{self, Attributes, OF_EVENT};
use super::info::Info;
use super::protobuf::Message;
use crate::trace_context::SpanContext;
use crate::{Id, Loss, Notification, Timestamp};

/// Says of a span that one of its ends is not known.
const INCOMPLETE: &str = "osprofiler.incomplete";
const NEVER_ENDED: &str = "the point's end was not recorded";
const NEVER_STARTED: &str = "the point's start was not recorded";

const ERROR: u64 = 2;

/// Whose span it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) project: Option<String>,
    pub(super) service: Option<String>,
    pub(super) host: Option<String>,
}

/// Which part its caller and callee have in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
}

/// A span about to be written.
pub(super) struct Span<'a> {
    /// The start, or the stop where there is none.
    first: Notification<'a>,
    /// When the stop happened, or the start where there is none.
    end: Timestamp,
    infos: Infos<'a>,
}

/// What is known of a point.
enum Infos<'a> {
    Both { start: Info<'a>, stop: Info<'a> },
    Start(Info<'a>),
    Stop(Info<'a>),
}

impl<'a> Span<'a> {
    /// The span of these two; `None` if neither is there.
    pub(super) fn of(
        start: Option<Notification<'a>>,
        stop: Option<Notification<'a>>,
    ) -> Option<Self> {
        let first = start.or(stop)?;
        let info = Info::read(first.info);
        let infos = match (start, stop) {
            (Some(_), Some(stop)) => Infos::Both {
                start: info,
                stop: Info::read(stop.info),
            },
            (Some(_), None) => Infos::Start(info),
            (None, _) => Infos::Stop(info),
        };
        let end = stop.unwrap_or(first).timestamp;
        Some(Self { first, end, infos })
    }

    /// How many notifications it is of.
    pub(super) fn notifications(&self) -> u64 {
        match self.infos {
            Infos::Both { .. } => 2,
            Infos::Start(_) | Infos::Stop(_) => 1,
        }
    }

    /// Whether it is of that resource.
    pub(super) fn is_of(&self, resource: &Resource) -> bool {
        self.first.project == resource.project.as_deref()
            && self.first.service == resource.service.as_deref()
            && self.infos.first().text("host") == resource.host.as_deref()
    }

    /// The resource that it is of.
    pub(super) fn resource(&self) -> Resource {
        Resource {
            project: self.first.project.map(str::to_owned),
            service: self.first.service.map(str::to_owned),
            host: self.infos.first().text("host").map(str::to_owned),
        }
    }

    /// Writes its fields.
    pub(super) fn write(&self, span: &mut Message<'_>) {
        let (first, info) = (&self.first, self.infos.first());
        let context = SpanContext::of(first.base_id, first.trace_id);
        span.bytes(1, &context.trace_id);
        span.bytes(2, &context.span_id);
        if first.parent_id != first.base_id {
            let parent = SpanContext::of(first.base_id, first.parent_id);
            span.bytes(4, &parent.span_id);
        }
        let point = first.point_name();
        span.bytes(5, attributes::bounded(&name(point, info)).as_bytes());
        span.number(6, kind(point, info) as u64);
        let begin = nanos(first.timestamp);
        // A clock may have been set back; a span that ends before it begins is none.
        let end = nanos(self.end).max(begin);
        span.fixed64(7, begin);
        span.fixed64(8, end);
        self.infos.write_attributes(span);
        if let Infos::Both { stop, .. } | Infos::Stop(stop) = &self.infos {
            write_error(stop, end, span);
        }
        let caller = info.inner_text("request", "traceparent");
        if let Some(caller) = caller.and_then(|text| SpanContext::parse(text.as_bytes())) {
            span.message(13, |link| {
                link.bytes(1, &caller.trace_id);
                link.bytes(2, &caller.span_id);
            });
        }
    }
}

impl<'a> Infos<'a> {
    /// The start's, or the stop's where there is none.
    fn first(&self) -> &Info<'a> {
        let (Self::Both { start: first, .. } | Self::Start(first) | Self::Stop(first)) = self;
        first
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

/// What a point ended with, as an event and as the status.
fn write_error(info: &Info<'_>, at: u64, span: &mut Message<'_>) {
    let Some(kind) = info.text("etype") else {
        return;
    };
    let message = info.text("message");
    span.message(11, |event| {
        event.fixed64(1, at);
        event.bytes(2, b"exception");
        attributes::write_text(OF_EVENT, "exception.type", kind, event);
        if let Some(message) = message {
            attributes::write_text(OF_EVENT, "exception.message", message, event);
        }
    });
    span.message(15, |status| {
        let text = match message {
            Some(message) => [kind, ": ", message].concat(),
            None => kind.to_owned(),
        };
        status.bytes(2, attributes::bounded(&text).as_bytes());
        status.number(3, ERROR);
    });
}

/// Writes, as a span, that notifications of the trace `base_id` were lost, or of traces nobody knows any more: `now`, as span `number`.
pub(super) fn write_loss(
    base_id: Id<'_>,
    number: u128,
    loss: Loss,
    now: Timestamp,
    span: &mut Message<'_>,
) {
    let context = SpanContext::of(base_id, Id::from_u128(number));
    span.bytes(1, &context.trace_id);
    span.bytes(2, &context.span_id);
    span.bytes(5, b"osprofiler: notifications were lost");
    span.number(6, Kind::Internal as u64);
    span.fixed64(7, nanos(now));
    span.fixed64(8, nanos(now));
    let mut attributes = Attributes::of(span);
    attributes.add_number(
        "osprofiler.lost.count",
        i64::try_from(loss.count).unwrap_or(i64::MAX),
    );
    attributes.add_text("osprofiler.lost.reason", loss.reason.name());
    attributes.finish();
}

/// Nanoseconds since 1970, as OTLP has times: none before, nor after the year 2554.
fn nanos(timestamp: Timestamp) -> u64 {
    let micros = u64::try_from(timestamp.as_micros()).unwrap_or(0);
    micros.saturating_mul(1000)
}
