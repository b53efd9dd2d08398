// SPDX-License-Identifier: Apache-2.0
//! The counters of the host's traced processes in Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! A metric of the process has its number, user, program and service as labels; one of a store the process's number and the store's
//! name. The two are metrics of their own, so that each can be summed. Labels come from what processes wrote: they are escaped, and
//! what has the same labels then, such as stores that differ in a password alone, is one series, their sum: two would be refused.

use std::collections::HashMap;
use std::io::{self, Write};

use osprofiler::delivery::{Counters, ProcessList, PublishedProcess};

use super::accounts::user_name;
use super::text::services;
use crate::out::Broken;

/// A metric: its name, type and help, and its values, each with a further label.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    values: fn(&Counters) -> Vec<(Reason, u64)>,
}

/// The label `reason`, where a metric has it.
type Reason = Option<&'static str>;

/// The metrics of a process, and, with `store_` in their names, of a store.
const METRICS: &[Metric] = &[
    Metric {
        name: "notifications_recorded_total",
        kind: "counter",
        help: "Starts and stops recorded, once for each store that they go to.",
        values: |counters| vec![(None, counters.recorded())],
    },
    Metric {
        name: "notifications_stored_total",
        kind: "counter",
        help: "Notifications that a store has taken.",
        values: |counters| vec![(None, counters.stored())],
    },
    Metric {
        name: "notifications_lost_total",
        kind: "counter",
        help: "Notifications that no store will ever take, by reason.",
        values: |counters| {
            let reasons = osprofiler::LossReason::ALL.into_iter();
            let lost = reasons.map(|reason| {
                let loss = counters.losses().find(|loss| loss.reason == reason);
                (Some(reason.name()), loss.map_or(0, |loss| loss.count))
            });
            lost.collect()
        },
    },
    Metric {
        name: "notifications_waiting",
        kind: "gauge",
        help: "Notifications on their way to a store.",
        values: |counters| vec![(None, counters.waiting())],
    },
    Metric {
        name: "notifications_spooled",
        kind: "gauge",
        help: "Notifications in files, until their store takes something.",
        values: |counters| vec![(None, counters.spooled())],
    },
    Metric {
        name: "notifications_adopted_total",
        kind: "counter",
        help: "Stored notifications that ended processes had left in files; recorded does not count them.",
        values: |counters| vec![(None, counters.adopted())],
    },
    Metric {
        name: "notifications_evicted_total",
        kind: "counter",
        help: "Stored notifications that the store removed to stay within its size.",
        values: |counters| vec![(None, counters.evicted())],
    },
];

/// Writes all metrics of all processes.
pub(crate) fn write(list: &ProcessList, out: &mut dyn Write) -> Result<(), Broken> {
    for metric in METRICS {
        let samples = list.processes.iter();
        let samples = samples.map(|process| (labels(process), &process.total));
        write_metric("osprofiler_", metric, samples, out)?;
        let samples = list.processes.iter().flat_map(|process| {
            let stores = process.stores.iter();
            stores.map(|(store, counters)| {
                let pid = process.pid.to_string();
                (vec![("pid", pid), ("store", store.clone())], counters)
            })
        });
        write_metric("osprofiler_store_", metric, samples, out)?;
    }
    let name = "osprofiler_counters_changed_timestamp_seconds";
    head(
        name,
        "gauge",
        "When the counters of the process last changed.",
        out,
    )?;
    for process in &list.processes {
        let seconds = process.updated.as_micros() as f64 / 1e6;
        sample(name, &labels(process), &format!("{seconds:.3}"), out)?;
    }
    let name = "osprofiler_failed_publications_total";
    head(
        name,
        "counter",
        "How often the process could not publish its counters.",
        out,
    )?;
    for process in &list.processes {
        let failed = process.failed_publications.to_string();
        sample(name, &labels(process), &failed, out)?;
    }
    let name = "osprofiler_processes";
    head(
        name,
        "gauge",
        "Traced processes of this host that publish their counters.",
        out,
    )?;
    sample(name, &[], &list.processes.len().to_string(), out)?;
    Ok(())
}

fn write_metric<'a>(
    prefix: &str,
    metric: &Metric,
    samples: impl Iterator<Item = (Vec<(&'static str, String)>, &'a Counters)>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let name = format!("{prefix}{}", metric.name);
    head(&name, metric.kind, metric.help, out)?;
    let mut series: Vec<(String, u64)> = Vec::new();
    let mut places = HashMap::new();
    for (labels, counters) in samples {
        for (reason, value) in (metric.values)(counters) {
            let mut labels = labels.clone();
            labels.extend(reason.map(|reason| ("reason", reason.to_owned())));
            let labels = in_braces(&labels);
            let place = *places.entry(labels.clone()).or_insert(series.len());
            match series.get_mut(place) {
                Some((_, sum)) => *sum = sum.saturating_add(value),
                None => series.push((labels, value)),
            }
        }
    }
    for (labels, value) in series {
        writeln!(out, "{name}{labels} {value}")?;
    }
    Ok(())
}

fn head(name: &str, kind: &str, help: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn labels(process: &PublishedProcess) -> Vec<(&'static str, String)> {
    vec![
        ("pid", process.pid.to_string()),
        ("user", user_name(process.user)),
        ("program", process.program.clone()),
        ("service", services(process)),
    ]
}

fn sample(
    name: &str,
    labels: &[(&'static str, String)],
    value: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{name}{} {value}", in_braces(labels))
}

/// Labels as they stand behind a metric's name; nothing if there are none.
fn in_braces(labels: &[(&'static str, String)]) -> String {
    let labels = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    match labels.collect::<Vec<_>>().join(",").as_str() {
        "" => String::new(),
        labels => format!("{{{labels}}}"),
    }
}

/// A label's value. Backslash, quote and line feed are escaped as the format has it; other control characters, which it lets
/// stand, become question marks, since the text may be looked at in a terminal.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            letter if osprofiler::shown::steers_terminal(letter) => escaped.push('?'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_whatever_a_process_wrote() {
        let mut out = Vec::new();
        let value = "a\\b\"c\nd\re\u{1b}é".to_owned();
        sample("x", &[("service", value)], "1", &mut out).unwrap();
        let expected = "x{service=\"a\\\\b\\\"c\\nd?e?é\"} 1\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_reads_the_same_is_one_series() {
        let metric = Metric {
            name: "x",
            kind: "gauge",
            help: "Help.",
            values: |_| vec![(None, 2), (Some("exit"), u64::MAX)],
        };
        let counters = Counters::default();
        let stores = ["a\u{1}", "b", "a\u{2}"];
        let samples = stores.map(|store| (vec![("store", store.to_owned())], &counters));
        let mut out = Vec::new();
        write_metric("", &metric, samples.into_iter(), &mut out).unwrap();
        let most = u64::MAX;
        let expected = format!(
            "# HELP x Help.\n# TYPE x gauge\n\
             x{{store=\"a?\"}} 4\nx{{store=\"a?\",reason=\"exit\"}} {most}\n\
             x{{store=\"b\"}} 2\nx{{store=\"b\",reason=\"exit\"}} {most}\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
