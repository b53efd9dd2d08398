// SPDX-License-Identifier: Apache-2.0
//! Traces as drawings: what a test builds and what it expects are the same indented text.
//!
//! ```text
//! wsgi 0..10 api                  name, begin and end in milliseconds, service
//!   db 1.9..3.1 api
//!   rpc 4.. conductor             never ended
//!     db 5..6 conductor !Oops     ended with an error
//! db ..7 api ^GONE                never started; its parent is not in the trace
//! wsgi 0..1 api @                 the earliest of a cycle of parents (only drawn, never read)
//! ```

use std::fmt::Write as _;

use osprofiler::driver::ReadSummary;
use osprofiler::{Id, Notification, Notifications, Timestamp};
use osprofiler_report::{Report, Step};

/// One notification, owned.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) trace_id: String,
    pub(crate) parent_id: String,
    /// Microseconds since the day began.
    pub(crate) micros: i64,
    pub(crate) info: String,
    pub(crate) service: Option<String>,
}

/// The time at which drawings begin: 2026-01-01T00:00:00.
const BEGIN_US: i64 = 1_767_225_600_000_000;

/// A start or stop `name` of the point `trace_id` below `parent_id`.
pub(crate) fn event(name: &str, trace_id: &str, parent_id: &str, micros: i64) -> Event {
    Event {
        name: name.to_owned(),
        trace_id: trace_id.to_owned(),
        parent_id: parent_id.to_owned(),
        micros,
        info: r#"{"host": "h1"}"#.to_owned(),
        service: Some("svc".to_owned()),
    }
}

/// The report of `events` in that order.
pub(crate) fn report(events: &[Event]) -> Report {
    let mut notifications = Notifications::default();
    for event in events {
        notifications.push(&Notification {
            name: &event.name,
            base_id: Id::parse("B").unwrap(),
            trace_id: Id::parse(&event.trace_id).unwrap(),
            parent_id: Id::parse(&event.parent_id).unwrap(),
            timestamp: Timestamp::from_micros(BEGIN_US + event.micros),
            info: &event.info,
            project: Some("proj"),
            service: event.service.as_deref(),
        });
    }
    Report::build(notifications, ReadSummary::default())
}

/// The notifications of a drawing, points numbered from 1 in the order of its lines.
pub(crate) fn read(drawing: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut path: Vec<String> = Vec::new();
    for (number, line) in drawing
        .lines()
        .filter(|line| !line.trim().is_empty())
        .enumerate()
    {
        let trace_id = (number + 1).to_string();
        let depth = (line.len() - line.trim_start().len()) / 2;
        path.truncate(depth);
        let mut words = line.split_whitespace();
        let (name, times) = (words.next().unwrap(), words.next().unwrap());
        let mut parent_id = path.last().cloned().unwrap_or_else(|| "B".to_owned());
        let mut service = None;
        let mut info = r#"{"host": "h1"}"#.to_owned();
        for word in words {
            match word.split_at(1) {
                ("^", parent) => parent_id = parent.to_owned(),
                ("!", error) => {
                    info = format!(r#"{{"etype": "{error}", "message": "", "host": "h1"}}"#);
                }
                _ => service = Some(word.to_owned()),
            }
        }
        let (started, finished) = times.split_once("..").unwrap();
        for (suffix, time, info) in [
            ("start", started, r#"{"host": "h1"}"#),
            ("stop", finished, info.as_str()),
        ] {
            if !time.is_empty() {
                events.push(Event {
                    info: info.to_owned(),
                    service: service.clone(),
                    ..event(
                        &format!("{name}-{suffix}"),
                        &trace_id,
                        &parent_id,
                        (time.parse::<f64>().unwrap() * 1000.0).round() as i64,
                    )
                });
            }
        }
        path.push(trace_id);
    }
    events
}

/// The drawing of a report.
pub(crate) fn draw(report: &Report) -> String {
    let mut drawing = String::new();
    let mut walk = report.walk();
    while let Some(step) = walk.next() {
        let Step::Enter(id) = step else { continue };
        let point = report.point(id);
        let indent = 2 * (walk.depth() - 1);
        write!(drawing, "{:indent$}{} ", "", point.name()).unwrap();
        if !point.never_started() {
            write!(drawing, "{}", milliseconds(point.started_us())).unwrap();
        }
        drawing.push_str("..");
        if !point.never_ended() {
            write!(drawing, "{}", milliseconds(point.finished_us())).unwrap();
        }
        if let Some(service) = point.service() {
            write!(drawing, " {service}").unwrap();
        }
        if let Some(error) = point.error_type_json() {
            write!(drawing, " !{}", error.trim_matches('"')).unwrap();
        }
        if point.is_orphan() {
            write!(drawing, " ^{}", point.parent_id()).unwrap();
        }
        if point.closes_cycle() {
            drawing.push_str(" @");
        }
        drawing.push('\n');
    }
    drawing
}

/// A drawing without the indentation of the test around it.
pub(crate) fn dedent(drawing: &str) -> String {
    let lines = || drawing.lines().filter(|line| !line.trim().is_empty());
    let margin = lines()
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let mut dedented = String::new();
    for line in lines() {
        dedented.push_str(&line[margin..]);
        dedented.push('\n');
    }
    dedented
}

fn milliseconds(micros: i64) -> String {
    let text = format!("{}.{:03}", micros / 1000, micros % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
