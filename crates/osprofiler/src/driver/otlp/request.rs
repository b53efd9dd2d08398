// SPDX-License-Identifier: Apache-2.0
//! What is sent: an `ExportTraceServiceRequest`, spans by the resource that they are of.
//!
//! In: spans, until it is large enough. Out: its bytes, compressed if that is wanted. Proxies take a MiB and collectors 4 unless they are told
//! otherwise, so a batch may be several requests.
//! The format: <https://github.com/open-telemetry/opentelemetry-proto/blob/v1.7.0/opentelemetry/proto/collector/trace/v1/trace_service.proto>.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::attributes::{OF_RESOURCE, write_text};
use super::protobuf::Message;
use super::span::{Resource, Span};

/// At this many bytes a request is sent.
const ENOUGH_BYTES: usize = 512 << 10;

/// A request in the making.
pub(super) struct Request {
    /// Spans by resource: the fields of OTLP's `ScopeSpans`.
    groups: Vec<(Resource, Vec<u8>)>,
    bytes: usize,
    /// How many notifications its spans are of.
    pub(super) notifications: u64,
    /// How many spans it has.
    pub(super) spans: u64,
}

impl Request {
    pub(super) fn new() -> Self {
        Self {
            groups: Vec::new(),
            bytes: 0,
            notifications: 0,
            spans: 0,
        }
    }

    /// Whether it is to be sent before more is added.
    pub(super) fn is_large(&self) -> bool {
        self.bytes >= ENOUGH_BYTES
    }

    /// Adds a span.
    pub(super) fn add(&mut self, span: &Span<'_>) {
        // Most often the same as the one before's.
        let known = self.groups.iter().rposition(|(known, _)| span.is_of(known));
        let group = known.unwrap_or_else(|| self.add_group(span.resource()));
        self.write(group, |message| span.write(message));
        self.notifications += span.notifications();
    }

    /// Adds a span that `write` writes, of nobody's service.
    pub(super) fn add_own(&mut self, write: impl FnOnce(&mut Message<'_>)) {
        let group = self.add_group(Resource {
            project: None,
            service: Some("osprofiler".to_owned()),
            host: None,
        });
        self.write(group, write);
    }

    fn add_group(&mut self, resource: Resource) -> usize {
        let mut of_scope = Vec::new();
        Message::new(&mut of_scope).message(1, |scope| {
            scope.bytes(1, b"osprofiler");
            scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
        });
        self.groups.push((resource, of_scope));
        self.groups.len() - 1
    }

    fn write(&mut self, group: usize, write: impl FnOnce(&mut Message<'_>)) {
        let of_scope = &mut self.groups[group].1;
        let before = of_scope.len();
        Message::new(of_scope).message(2, write);
        self.bytes += of_scope.len() - before;
        self.spans += 1;
    }

    /// Its bytes. `prefix` comes before the service's name.
    pub(super) fn encode(&self, prefix: Option<&str>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes + 512 * self.groups.len());
        let mut request = Message::new(&mut out);
        for (resource, of_scope) in &self.groups {
            // Spans are up to half a MiB, which is moved once.
            let mut before = Vec::new();
            let mut of_resource = Message::new(&mut before);
            of_resource.message(1, |message| write_resource(resource, prefix, message));
            of_resource.head(2, of_scope.len());
            request.head(1, before.len() + of_scope.len());
            request.append(&before);
            request.append(of_scope);
        }
        out
    }
}

fn write_resource(resource: &Resource, prefix: Option<&str>, message: &mut Message<'_>) {
    let Resource {
        project,
        service,
        host,
    } = resource;
    let parts = [prefix, project.as_deref(), service.as_deref()];
    let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
    let mut name = parts.collect::<Vec<_>>().join("-");
    if name.is_empty() {
        "unknown_service".clone_into(&mut name);
    }
    let mut attribute = |name: &str, text: &str| write_text(OF_RESOURCE, name, text, message);
    attribute("service.name", &name);
    if let Some(project) = project {
        attribute("service.namespace", project);
    }
    if let Some(host) = host {
        attribute("host.name", host);
    }
    attribute("telemetry.sdk.name", "osprofiler");
    attribute("telemetry.sdk.language", "rust");
    attribute("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
}

/// The bytes, compressed.
pub(super) fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
