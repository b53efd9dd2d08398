// SPDX-License-Identifier: Apache-2.0
//! A span of a point's two notifications, or of the one that there is.
//!
//! In: a start, a stop, or both. Out: the fields of OTLP's `Span`, and which resource it is of: names and attributes as upstream's driver
//! has them, times as the notifications do. A point whose other end never came is as long as nothing and says so.
//! The format: <https://github.com/open-telemetry/opentelemetry-proto/blob/v1.7.0/opentelemetry/proto/trace/v1/trace.proto>.

use std::borrow::Cow;

use super::attributes::{self, Attributes, OF_EVENT, inner_member, text_member};
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

/// A span about to be written: at least one of both.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    start: Option<Notification<'a>>,
    stop: Option<Notification<'a>>,
    /// The start, or the stop where there is none.
    first: Notification<'a>,
}

impl<'a> Span<'a> {
    /// The span of these two; `None` if neither is there.
    pub(super) fn of(
        start: Option<Notification<'a>>,
        stop: Option<Notification<'a>>,
    ) -> Option<Self> {
        let first = start.or(stop)?;
        Some(Self { start, stop, first })
    }

    /// How many notifications it is of.
    pub(super) fn notifications(&self) -> u64 {
        u64::from(self.start.is_some()) + u64::from(self.stop.is_some())
    }

    /// Whether it is of that resource.
    pub(super) fn is_of(&self, resource: &Resource) -> bool {
        self.first.project == resource.project.as_deref()
            && self.first.service == resource.service.as_deref()
            && text_member(self.first.info, "host").as_deref() == resource.host.as_deref()
    }

    /// The resource that it is of.
    pub(super) fn resource(&self) -> Resource {
        Resource {
            project: self.first.project.map(str::to_owned),
            service: self.first.service.map(str::to_owned),
            host: text_member(self.first.info, "host").map(Cow::into_owned),
        }
    }

    /// Writes its fields.
    pub(super) fn write(&self, span: &mut Message<'_>) {
        let first = &self.first;
        let context = SpanContext::of(first.base_id, first.trace_id);
        let parent = (first.parent_id != first.base_id)
            .then(|| SpanContext::of(first.base_id, first.parent_id));
        span.bytes(1, &context.trace_id);
        span.bytes(2, &context.span_id);
        if let Some(parent) = parent {
            span.bytes(4, &parent.span_id);
        }
        span.bytes(5, self.name().as_bytes());
        span.number(6, self.kind() as u64);
        let begin = nanos(first.timestamp);
        let end = nanos(self.stop.unwrap_or(*first).timestamp);
        span.fixed64(7, begin);
        // A clock may have been set back; a span that ends before it begins is none.
        span.fixed64(8, end.max(begin));
        self.attributes().write(span);
        self.write_error(end.max(begin), span);
        let caller = inner_member(first.info, "request", "traceparent");
        if let Some(caller) = caller.and_then(|text| SpanContext::parse(text.as_bytes())) {
            span.message(13, |link| {
                link.bytes(1, &caller.trace_id);
                link.bytes(2, &caller.span_id);
            });
        }
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        match (self.start, self.stop) {
            (_, None) => attributes.add_text(INCOMPLETE, NEVER_ENDED),
            (None, _) => attributes.add_text(INCOMPLETE, NEVER_STARTED),
            _ => {}
        }
        // What a point knows at its end is the later word.
        for end in [self.stop, self.start].into_iter().flatten() {
            attributes.add_info(end.info);
        }
        attributes
    }

    /// What the point ended with, as an event and as the status.
    fn write_error(&self, at: u64, span: &mut Message<'_>) {
        let info = self.stop.map_or("", |stop| stop.info);
        let Some(kind) = text_member(info, "etype") else {
            return;
        };
        let message = text_member(info, "message");
        span.message(11, |event| {
            event.fixed64(1, at);
            event.bytes(2, b"exception");
            attributes::write_text(OF_EVENT, "exception.type", &kind, event);
            if let Some(message) = &message {
                attributes::write_text(OF_EVENT, "exception.message", message, event);
            }
        });
        span.message(15, |status| {
            let text = match &message {
                Some(message) => format!("{kind}: {message}"),
                None => kind.clone().into_owned(),
            };
            status.bytes(2, attributes::bounded(&text).as_bytes());
            status.number(3, ERROR);
        });
    }

    /// What services show of it in lists.
    fn name(&self) -> String {
        let (first, point) = (&self.first, self.first.point_name());
        let member = |name, inner| inner_member(first.info, name, inner);
        let name = if let Some(method) = member("request", "method") {
            let path = member("request", "path").unwrap_or_default();
            format!("{}_{method}_{path}", point.to_uppercase())
        } else if let Some(statement) = member("db", "statement") {
            let verb = statement.split_whitespace().next().unwrap_or_default();
            format!("SQL_{}", verb.to_uppercase())
        } else if let Some(method) = member("requests", "method") {
            let host = member("requests", "hostname").unwrap_or_default();
            format!("REQUESTS_{method}_{host}")
        } else {
            point.to_owned()
        };
        attributes::bounded(&name).into_owned()
    }

    fn kind(&self) -> Kind {
        let (info, point) = (self.first.info, self.first.point_name());
        let told =
            |name: &str| info.contains(name) && crate::wire::json::member(info, name).is_some();
        if told("request") {
            Kind::Server
        } else if told("requests") || told("db") {
            Kind::Client
        } else if told("rpc") {
            match inner_member(info, "rpc", "kind").as_deref() {
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
    let mut attributes = Attributes::new();
    attributes.add_number(
        "osprofiler.lost.count",
        i64::try_from(loss.count).unwrap_or(i64::MAX),
    );
    attributes.add_text("osprofiler.lost.reason", loss.reason.name());
    attributes.write(span);
}

/// Nanoseconds since 1970, as OTLP has times: none before, nor after the year 2554.
fn nanos(timestamp: Timestamp) -> u64 {
    let micros = u64::try_from(timestamp.as_micros()).unwrap_or(0);
    micros.saturating_mul(1000)
}
