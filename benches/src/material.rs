// SPDX-License-Identifier: Apache-2.0
//! What stores are measured with: the recorded traces, copies of them, and batches like delivery's.

use std::path::Path;
use std::time::Duration;

use osprofiler::wire::{Line, Lines};
use osprofiler::{Id, Notification, Notifications};

use crate::Outcome;

/// A recorded trace, as text and as notifications.
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) json_bytes: usize,
    pub(crate) notifications: Notifications,
}

/// The recorded traces of a folder, by name.
pub(crate) fn recorded(fixtures: &Path) -> Outcome<Vec<Recorded>> {
    let mut traces = Vec::new();
    for entry in std::fs::read_dir(fixtures)? {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        let text = std::fs::read(&path)?;
        let mut lines = Lines::new(&*text);
        let mut notifications = Notifications::default();
        while let Some(line) = lines.next_line()? {
            if let Line::Notification(parsed) = line {
                notifications.push(&parsed.as_notification());
            }
        }
        traces.push(Recorded {
            name: path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            json_bytes: text.len(),
            notifications,
        });
    }
    traces.sort_by(|a, b| a.name.cmp(&b.name));
    if traces.is_empty() {
        return Err(format!("no recorded traces in `{}`", fixtures.display()).into());
    }
    Ok(traces)
}

/// All traces, each so many times, with ids of its own each time.
pub(crate) fn copies(traces: &[Recorded], count: u128) -> Notifications {
    let mut all = Notifications::default();
    for copy in 0..count {
        for trace in traces {
            all.extend(trace.notifications.iter().map(|notification| Notification {
                base_id: copied(notification.base_id, copy),
                trace_id: copied(notification.trace_id, copy),
                parent_id: copied(notification.parent_id, copy),
                ..notification
            }));
        }
    }
    all
}

/// One trace of so many notifications: the points of all traces and their copies, below one base id.
pub(crate) fn one_trace(traces: &[Recorded], base_id: Id<'_>, count: usize) -> Notifications {
    let mut trace = Notifications::default();
    let all = (0..).flat_map(|copy| traces.iter().map(move |trace| (copy, trace)));
    for (copy, recorded) in all {
        for notification in recorded.notifications.iter() {
            if trace.len() == count {
                return trace;
            }
            let is_top = notification.parent_id == notification.base_id;
            trace.push(&Notification {
                base_id,
                trace_id: copied(notification.trace_id, copy),
                parent_id: if is_top {
                    base_id
                } else {
                    copied(notification.parent_id, copy)
                },
                ..notification
            });
        }
    }
    trace
}

fn copied(id: Id<'_>, copy: u128) -> Id<'static> {
    id.as_u128()
        .map_or(Id::from_u128(copy), |id| Id::from_u128(id ^ copy << 80))
}

/// The notifications in batches of `size`.
pub(crate) fn batches(notifications: &Notifications, size: usize) -> Vec<Notifications> {
    let mut batches = vec![Notifications::default()];
    for notification in notifications.iter() {
        if batches.last().is_none_or(|batch| batch.len() == size) {
            batches.push(Notifications::default());
        }
        if let Some(batch) = batches.last_mut() {
            batch.push(&notification);
        }
    }
    batches
}

/// Sorts the times and returns the one in the middle.
pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
