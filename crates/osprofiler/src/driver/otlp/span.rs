// SPDX-License-Identifier: Apache-2.0
//! A span of a point's two notifications, or of the one that there is.
//!
//! In: a start, a stop, or both, and what their texts tell. Out: the fields of OTLP's `Span`, and which resource it is of: names and attributes
//! as upstream's driver has them, times as the notifications do. A point whose other end never came is as long as nothing and says so.
//! The format: <https://github.com/open-telemetry/opentelemetry-proto/blob/v1.7.0/opentelemetry/proto/trace/v1/trace.proto>.

use super::attributes::Attributes;
use super::protobuf::Message;
use super::told::{Kind, Told};
use crate::trace_context::SpanContext;
use crate::{Id, Loss, Notification, Timestamp};

/// Whose span it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) project: Option<String>,
    pub(super) service: Option<String>,
    pub(super) host: Option<String>,
}

/// The notifications of a point that there are.
#[derive(Clone, Copy)]
pub(super) enum Ends<'a> {
    Both {
        start: Notification<'a>,
        stop: Notification<'a>,
    },
    Start(Notification<'a>),
    Stop(Notification<'a>),
}

/// A span about to be written.
pub(super) struct Span<'a> {
    ends: &'a Ends<'a>,
    told: &'a Told,
}

impl<'a> Ends<'a> {
    /// `None` if neither is there.
    pub(super) fn of(
        start: Option<Notification<'a>>,
        stop: Option<Notification<'a>>,
    ) -> Option<Self> {
        match (start, stop) {
            (Some(start), Some(stop)) => Some(Self::Both { start, stop }),
            (Some(start), None) => Some(Self::Start(start)),
            (None, stop) => stop.map(Self::Stop),
        }
    }

    /// The start, or the stop where there is none.
    pub(super) fn first(&self) -> &Notification<'a> {
        let (Self::Both { start: first, .. } | Self::Start(first) | Self::Stop(first)) = self;
        first
    }

    /// The stop, or the start where there is none.
    fn last(&self) -> &Notification<'a> {
        let (Self::Both { stop: last, .. } | Self::Start(last) | Self::Stop(last)) = self;
        last
    }
}

impl<'a> Span<'a> {
    /// The span of these, which tell that.
    pub(super) fn new(ends: &'a Ends<'a>, told: &'a Told) -> Self {
        Self { ends, told }
    }

    /// How many notifications it is of.
    pub(super) fn notifications(&self) -> u64 {
        match self.ends {
            Ends::Both { .. } => 2,
            Ends::Start(_) | Ends::Stop(_) => 1,
        }
    }

    /// Whether it is of that resource.
    pub(super) fn is_of(&self, resource: &Resource) -> bool {
        let first = self.ends.first();
        first.project == resource.project.as_deref()
            && first.service == resource.service.as_deref()
            && self.told.host == resource.host
    }

    /// The resource that it is of.
    pub(super) fn resource(&self) -> Resource {
        let first = self.ends.first();
        Resource {
            project: first.project.map(str::to_owned),
            service: first.service.map(str::to_owned),
            host: self.told.host.clone(),
        }
    }

    /// Writes its fields.
    pub(super) fn write(&self, span: &mut Message<'_>) {
        let first = self.ends.first();
        let context = SpanContext::of(first.base_id, first.trace_id);
        span.bytes(1, &context.trace_id);
        span.bytes(2, &context.span_id);
        if first.parent_id != first.base_id {
            let parent = SpanContext::of(first.base_id, first.parent_id);
            span.bytes(4, &parent.span_id);
        }
        let begin = nanos(first.timestamp);
        // A clock may have been set back; a span that ends before it begins is none.
        let end = nanos(self.ends.last().timestamp).max(begin);
        span.fixed64(7, begin);
        span.fixed64(8, end);
        span.append(&self.told.fields);
        if let Some(exception) = &self.told.exception {
            span.message(11, |event| {
                event.fixed64(1, end);
                event.append(exception);
            });
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
