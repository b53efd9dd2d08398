// SPDX-License-Identifier: Apache-2.0
//! The driver `otlp`: points as spans, in any collector of OpenTelemetry's, over HTTP or gRPC.
//!
//! A span is a start and a stop, which arrive apart: the first waits here for the other. Ids are the points' own, so spans of several
//! processes, and of batches, make one trace, and services with OpenTelemetry can join it. A collector takes and shows no traces to whoever
//! sends them, so this driver writes only.

mod settings;

mod halves;
mod kept;

mod info;

mod attributes;
mod protobuf;
mod span;
mod told;

mod request;

mod answer;
mod connection;
mod exporter;

mod writer;

#[cfg(test)]
mod tests;

use super::options;
use super::registry::{Capability, DriverOption, Implementation};
use crate::{Error, ErrorKind};

pub(super) const IMPLEMENTATION: Implementation = Implementation {
    capabilities: &[
        Capability::ManyWriters,
        Capability::SurvivesFork,
        Capability::TraceContext,
    ],
    options: &[
        DriverOption {
            name: "protocol",
            default: "`grpc` at port 4317, else `http`",
            summary: "how collectors are spoken to: `http` or `grpc`",
        },
        DriverOption {
            name: "headers",
            default: "none",
            summary: "what goes with each request, tokens for instance: `name=value,name=value`; may be given several times",
        },
        DriverOption {
            name: "compression",
            default: "none",
            summary: "`gzip` makes requests smaller and costs time of the processor",
        },
        DriverOption {
            name: "service_name_prefix",
            default: "that of `[profiler_otlp]`, none",
            summary: "what comes before the names of services, with a hyphen",
        },
        options::TIMEOUTS[0],
        options::TIMEOUTS[1],
        options::TLS[0],
        options::TLS[1],
        DriverOption {
            name: "tls_cert_file",
            default: "none",
            summary: "a PEM file with a certificate of ours, where a collector wants to see one",
        },
        DriverOption {
            name: "tls_key_file",
            default: "the certificate's file",
            summary: "a PEM file with the certificate's key",
        },
    ],
    client_options: &[],
    example: "otlp://collector.example:4318",
    open_writer: |connection| {
        let settings = settings::Settings::of(connection)?;
        Ok(Box::new(writer::OtlpWriter::new(settings)))
    },
    open_reader: |connection| {
        let message = format!("`{connection}` cannot be read: it is written only");
        Err(Error::new(ErrorKind::Usage, message).with_help(
            "look in what the collector sends its traces to; of several stores, `sqlite:///PATH, otlp://HOST`, the others are read",
        ))
    },
    open_pruner: None,
};
