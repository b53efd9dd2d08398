// SPDX-License-Identifier: Apache-2.0
//! A store's traces as JSON lines: what the `file` driver stores, `trace show` takes and people can read.
//!
//! One trace is in memory at a time. A trace's losses follow its notifications, so that a file made so tells as much as the store.

use std::io;

use super::{ListFilter, ReadSummary, Reader};
use crate::{Error, ErrorKind, Id, Notifications, Result, wire};

/// Writes the trace, or every trace that the store can list, oldest first, to `out`. The summary adds up all of them.
///
/// ```
/// # #[cfg(feature = "file")] {
/// # use osprofiler::driver::{ConnectionString, export, registry};
/// # use osprofiler::{Id, Notification, Notifications, Timestamp};
/// # let folder = tempfile::tempdir().unwrap();
/// # let connection = format!("file://{}/trace.jsonl", folder.path().display());
/// # let connection = ConnectionString::parse(&connection).unwrap();
/// # let id = Id::from_u128(1);
/// # let mut batch = Notifications::default();
/// # batch.push(&Notification { name: "db-start", base_id: id, trace_id: id, parent_id: id,
/// #     timestamp: Timestamp::from_micros(0), info: "{}", project: None, service: None });
/// # registry::open_writer(&connection).unwrap().write(&batch).unwrap();
/// let mut reader = registry::open_reader(&connection).unwrap();
/// let mut out = Vec::new();
/// export(&mut *reader, None, &mut out).unwrap();
/// assert!(out.starts_with(br#"{"name": "db-start", "base_id": "00000000-"#));
/// # }
/// ```
pub fn export(
    reader: &mut dyn Reader,
    trace: Option<Id<'_>>,
    out: &mut dyn io::Write,
) -> Result<ReadSummary> {
    let mut total = ReadSummary::default();
    if let Some(trace) = trace {
        export_trace(reader, trace, out, &mut total)?;
        return Ok(total);
    }
    let mut traces = Vec::new();
    reader.list(ListFilter::All, &mut |trace| {
        traces.push(trace.base_id.to_string());
    })?;
    for trace in &traces {
        if let Ok(trace) = Id::parse(trace) {
            export_trace(reader, trace, out, &mut total)?;
        }
    }
    Ok(total)
}

fn export_trace(
    reader: &mut dyn Reader,
    trace: Id<'_>,
    out: &mut dyn io::Write,
    total: &mut ReadSummary,
) -> Result<()> {
    let mut notifications = Notifications::default();
    let summary = reader.read(trace, &mut notifications)?;
    total.skipped += summary.skipped;
    let mut text = String::new();
    let mut write = |text: &mut String| {
        text.push('\n');
        let written = out.write_all(text.as_bytes());
        text.clear();
        written.map_err(|error| {
            let message = format!("cannot write the exported traces: {error}");
            Error::new(ErrorKind::Unavailable, message).with_source(error)
        })
    };
    for notification in notifications.iter() {
        wire::push_json(&notification, &mut text);
        write(&mut text)?;
    }
    for loss in summary.losses {
        total.add_loss(loss);
        wire::push_loss_json(Some(trace), loss, &mut text);
        write(&mut text)?;
    }
    Ok(())
}
