// SPDX-License-Identifier: Apache-2.0
//! Ingest: how fast the SQLite driver takes notifications, beside a bare loop of inserts, and what they weigh on disk.
//!
//! The floor is what anybody would write: the same notifications as rows of upstream's shape with one index, a prepared
//! statement, 1,000 a transaction, the same journal settings. Rounds of both alternate, each into a file of its own; minimum and
//! median are printed. Weights are whole files, tables and indexes included, of one recorded trace each.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use osprofiler::driver::{ConnectionString, Reader, Writer, registry};
use osprofiler::{Id, Notifications};

use crate::Outcome;
use crate::material::{Recorded, batches, copies, median, recorded};

const ROUNDS: usize = 7;
/// Each recorded trace is written so many times, with ids of its own, so that opening the store weighs little.
const COPIES: u128 = 8;
const BATCH: usize = 1000;
/// What a service sends at a time: the sweep of 100 ms of a busy request.
const SWEEP: usize = 150;
/// At least so much of the bare loop's rate, and at most so many bytes a notification, are wanted.
const OF_FLOOR: f64 = 0.7;
const MOST_BYTES: u32 = 80;

/// Runs the comparison over the recorded traces in `fixtures` and returns its tables as text.
pub(crate) fn run(fixtures: &Path) -> Outcome<String> {
    let traces = recorded(fixtures)?;
    let all = copies(&traces, COPIES);
    let mut out = speeds(&all)?;
    out.push('\n');
    out.push_str(&weights(&traces)?);
    Ok(out)
}

fn speeds(all: &Notifications) -> Outcome<String> {
    let large = batches(all, BATCH);
    let small = batches(all, SWEEP);
    let mut rounds: [Vec<Duration>; 5] = Default::default();
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir()?;
        rounds[0].push(floor(&folder.path().join("rows.db"), &large)?);
        let path = folder.path().join("large.db");
        rounds[1].push(ours(&path, &large)?);
        rounds[2].push(ours(&folder.path().join("small.db"), &small)?);
        let start = Instant::now();
        file(&folder.path().join("trace.jsonl"), &large)?;
        rounds[3].push(start.elapsed());
        let start = Instant::now();
        let read = read_all(&path)?;
        rounds[4].push(start.elapsed());
        if read != all.len() {
            return Err(format!("wrote {} notifications, read {read}", all.len()).into());
        }
    }
    let mut out = format!(
        "{:<44} {:>11} {:>11} {:>7}  target\n",
        "notifications a second", "median", "best", "ratio"
    );
    let names = [
        (
            format!("floor: rows with one index, {BATCH} a batch"),
            String::new(),
        ),
        (format!("sqlite, {BATCH} a batch"), format!(">= {OF_FLOOR}")),
        (format!("sqlite, {SWEEP} a batch"), String::new()),
        (format!("file, {BATCH} a batch"), String::new()),
        ("sqlite, read back".to_owned(), String::new()),
    ];
    let floor = median(&mut rounds[0]);
    for ((name, target), times) in names.into_iter().zip(&mut rounds) {
        let median = median(times);
        let rate = |time: Duration| all.len() as f64 / time.as_secs_f64();
        writeln!(
            out,
            "{name:<44} {:>11.0} {:>11.0} {:>6.2}x  {target}",
            rate(median),
            rate(times[0]),
            floor.as_secs_f64() / median.as_secs_f64()
        )?;
    }
    Ok(out)
}

/// Rows of upstream's shape, one index, one transaction a batch.
fn floor(path: &Path, batches: &[Notifications]) -> Outcome<Duration> {
    let rows: Vec<Vec<_>> = batches.iter().map(upstream_rows).collect();
    let start = Instant::now();
    let mut connection = rusqlite::Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = normal;
         CREATE TABLE data (id INTEGER PRIMARY KEY, timestamp TEXT, base_id TEXT, parent_id TEXT, trace_id TEXT,
             project TEXT, host TEXT, service TEXT, name TEXT, data TEXT);
         CREATE INDEX ix_data_base_id ON data (base_id);",
    )?;
    for batch in &rows {
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO data (timestamp, base_id, parent_id, trace_id, project, host, service, name, data)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            for row in batch {
                insert.execute(rusqlite::params_from_iter(row))?;
            }
        }
        transaction.commit()?;
    }
    drop(connection);
    Ok(start.elapsed())
}

fn upstream_rows(batch: &Notifications) -> Vec<[String; 9]> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    batch
        .iter()
        .map(|notification| {
            [
                notification.timestamp.to_string(),
                notification.base_id.to_string(),
                notification.parent_id.to_string(),
                notification.trace_id.to_string(),
                text(notification.project),
                "host".to_owned(),
                text(notification.service),
                notification.name.to_owned(),
                format!("{{\"info\": {}}}", notification.info),
            ]
        })
        .collect()
}

fn connection(scheme: &str, path: &Path) -> Outcome<ConnectionString> {
    Ok(ConnectionString::parse(&format!(
        "{scheme}://{}",
        path.display()
    ))?)
}

fn write(writer: &mut dyn Writer, batches: &[Notifications]) -> Outcome<()> {
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(())
}

fn ours(path: &Path, batches: &[Notifications]) -> Outcome<Duration> {
    let connection = connection("sqlite", path)?;
    let start = Instant::now();
    let mut writer = registry::open_writer(&connection)?;
    write(&mut *writer, batches)?;
    drop(writer);
    Ok(start.elapsed())
}

fn file(path: &Path, batches: &[Notifications]) -> Outcome<()> {
    let mut writer = registry::open_writer(&connection("file", path)?)?;
    write(&mut *writer, batches)
}

fn read_all(path: &Path) -> Outcome<usize> {
    let mut reader = registry::open_reader(&connection("sqlite", path)?)?;
    let mut ids = Vec::new();
    reader.list(osprofiler::driver::ListFilter::All, &mut |trace| {
        ids.push(trace.base_id.to_string());
    })?;
    let mut count = 0;
    for id in ids {
        count += read(&mut *reader, &id)?;
    }
    Ok(count)
}

fn read(reader: &mut dyn Reader, id: &str) -> Outcome<usize> {
    let mut notifications = Notifications::default();
    reader.read(Id::parse(id)?, &mut notifications)?;
    Ok(notifications.len())
}

fn weights(traces: &[Recorded]) -> Outcome<String> {
    let sizes = [BATCH, SWEEP, SWEEP / 3];
    let mut out = format!(
        "{:<20} {:>6} {:>6}",
        format!("bytes (<= {MOST_BYTES})"),
        "count",
        "JSON"
    );
    for size in sizes {
        write!(out, " {:>9}", format!("by {size}"))?;
    }
    out.push('\n');
    for trace in traces {
        let count = trace.notifications.len();
        let per = |bytes: u64| bytes as f64 / count as f64;
        write!(
            out,
            "{:<20} {count:>6} {:>6.0}",
            trace.name,
            per(trace.json_bytes as u64)
        )?;
        for size in sizes {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("trace.db");
            ours(&path, &batches(&trace.notifications, size))?;
            write!(out, " {:>9.1}", per(folder_bytes(folder.path())?))?;
        }
        out.push('\n');
    }
    Ok(out)
}

/// Everything that is left once the writer is gone, journal included.
fn folder_bytes(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
