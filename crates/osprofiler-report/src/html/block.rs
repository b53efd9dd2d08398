// SPDX-License-Identifier: Apache-2.0
//! The report as the page's block: columns of numbers and one table of texts, deflated. The format stands in the module above.
//!
//! Comes in a report, goes out bytes. Every text is held once and by number, so repeated infos cost four bytes each before compression.
//! One pass over the tree, without recursion.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use osprofiler::wire::json::unescape;
use osprofiler::{Notification, Timestamp};

use crate::report::{Point, Report};
use crate::walk::Step;

const FORMAT: u32 = 1;
/// The number of an absent text, parent or info.
const NONE: i32 = -1;

const STARTED: u8 = 1;
const STOPPED: u8 = 2;
const ERROR: u8 = 4;
const ORPHAN: u8 = 8;
const CYCLE: u8 = 16;

/// The block of `report`, not yet in base64.
pub(super) fn make(report: &Report) -> io::Result<Vec<u8>> {
    let mut columns = Columns::default();
    let mut texts = Texts::default();
    // A report has fewer points than 2^32, a page's are counted in i32: beyond that no browser opens it.
    let mut number_of = vec![NONE; report.len()];
    for step in report.walk() {
        let Step::Enter(id) = step else { continue };
        let point = report.point(id);
        let number = columns.parent.len() as i32;
        number_of[id.index()] = number;
        let parent = point
            .parent()
            .map_or(NONE, |parent| number_of[parent.index()]);
        columns.push(&point, number, parent, &mut texts);
    }
    for loss in &report.summary().losses {
        columns.loss_reason.push(texts.number(loss.reason.name()));
        let count = i64::try_from(loss.count).unwrap_or(i64::MAX);
        columns.loss_count.push(count);
    }
    let base_id = report
        .base_id()
        .map_or(NONE, |id| texts.number(id.to_string()));
    let started = if report.is_empty() {
        NONE
    } else {
        texts.number(Timestamp::from_micros(report.first_us()).to_string())
    };
    let mut layout = Layout::default();
    columns.lay_out(&mut layout);
    layout.u32("text_end", &texts.ends);
    layout.u8("text_bytes", texts.bytes.as_bytes());
    let head = format!(
        "{{\"format\":{FORMAT},\"columns\":[{}],\"base_id\":{base_id},\"started\":{started},\"duration_us\":{},\"skipped\":{}}}",
        layout.names,
        report.duration_us(),
        report.summary().skipped,
    );
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
    deflate.write_all(&(head.len() as u32).to_le_bytes())?;
    deflate.write_all(head.as_bytes())?;
    deflate.write_all(&[0; 8][..padding(4 + head.len())])?;
    deflate.write_all(&layout.bytes)?;
    deflate.finish()
}

#[derive(Default)]
struct Columns<'a> {
    parent: Vec<i32>,
    start_us: Vec<i64>,
    stop_us: Vec<i64>,
    name: Vec<i32>,
    origin: Vec<i32>,
    flags: Vec<u8>,
    id: Vec<u8>,
    id_text: Vec<i32>,
    parent_text: Vec<i32>,
    start_info: Vec<i32>,
    stop_info: Vec<i32>,
    origins: HashMap<Origin<'a>, i32>,
    origin_project: Vec<i32>,
    origin_service: Vec<i32>,
    origin_host: Vec<i32>,
    other_point: Vec<i32>,
    other_name: Vec<i32>,
    other_us: Vec<i64>,
    other_info: Vec<i32>,
    loss_reason: Vec<i32>,
    loss_count: Vec<i64>,
}

/// Project, service, and the host as JSON text.
type Origin<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

impl<'a> Columns<'a> {
    fn push(&mut self, point: &Point<'a>, number: i32, parent: i32, texts: &mut Texts<'a>) {
        let (start, stop) = (point.start(), point.stop());
        self.parent.push(parent);
        self.start_us.push(point.started_us());
        self.stop_us.push(point.finished_us());
        self.name.push(texts.number(point.name()));
        let origin =
            self.origin_number((point.project(), point.service(), point.host_json()), texts);
        self.origin.push(origin);
        self.flags.push(flags(point));
        self.id
            .extend(point.trace_id().as_u128().unwrap_or_default().to_be_bytes());
        self.id_text.push(
            point
                .trace_id()
                .as_text()
                .map_or(NONE, |text| texts.number(text)),
        );
        self.parent_text.push(match parent {
            NONE => texts.number(point.parent_id().to_string()),
            _ => NONE,
        });
        self.start_info.push(info_number(start, texts));
        self.stop_info.push(info_number(stop, texts));
        let begin = start
            .or(stop)
            .map_or(0, |notification| notification.timestamp.as_micros())
            - point.started_us();
        for other in point
            .payloads()
            .filter(|&other| Some(other) != start && Some(other) != stop)
        {
            self.other_point.push(number);
            self.other_name.push(texts.number(other.name));
            self.other_us.push(other.timestamp.as_micros() - begin);
            self.other_info.push(texts.number(other.info));
        }
    }

    fn origin_number(&mut self, origin: Origin<'a>, texts: &mut Texts<'a>) -> i32 {
        if let Some(&number) = self.origins.get(&origin) {
            return number;
        }
        let number = self.origin_host.len() as i32;
        let (project, service, host) = origin;
        self.origin_project
            .push(project.map_or(NONE, |text| texts.number(text)));
        self.origin_service
            .push(service.map_or(NONE, |text| texts.number(text)));
        self.origin_host
            .push(host.map_or(NONE, |json| texts.number(host_text(json))));
        self.origins.insert(origin, number);
        number
    }

    fn lay_out(&self, layout: &mut Layout) {
        layout.i32("parent", &self.parent);
        layout.number("start_us", &self.start_us);
        layout.number("stop_us", &self.stop_us);
        layout.i32("name", &self.name);
        layout.i32("origin", &self.origin);
        layout.u8("flags", &self.flags);
        layout.u8("id", &self.id);
        layout.i32("id_text", &self.id_text);
        layout.i32("parent_text", &self.parent_text);
        layout.i32("start_info", &self.start_info);
        layout.i32("stop_info", &self.stop_info);
        layout.i32("origin_project", &self.origin_project);
        layout.i32("origin_service", &self.origin_service);
        layout.i32("origin_host", &self.origin_host);
        layout.i32("other_point", &self.other_point);
        layout.i32("other_name", &self.other_name);
        layout.number("other_us", &self.other_us);
        layout.i32("other_info", &self.other_info);
        layout.i32("loss_reason", &self.loss_reason);
        layout.number("loss_count", &self.loss_count);
    }
}

/// A host as people read it: a string without its quotes and escapes, anything else as JSON.
fn host_text(json: &str) -> Cow<'_, str> {
    if json.starts_with('"') {
        unescape(json)
    } else {
        Cow::Borrowed(json)
    }
}

fn flags(point: &Point<'_>) -> u8 {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    flag(!point.never_started(), STARTED)
        | flag(!point.never_ended(), STOPPED)
        | flag(point.has_error(), ERROR)
        | flag(point.is_orphan(), ORPHAN)
        | flag(point.closes_cycle(), CYCLE)
}

fn info_number<'a>(notification: Option<Notification<'a>>, texts: &mut Texts<'a>) -> i32 {
    notification.map_or(NONE, |notification| texts.number(notification.info))
}

/// Distinct texts by number.
#[derive(Default)]
struct Texts<'a> {
    numbers: HashMap<Cow<'a, str>, i32>,
    bytes: String,
    ends: Vec<u32>,
}

impl<'a> Texts<'a> {
    fn number(&mut self, text: impl Into<Cow<'a, str>>) -> i32 {
        let text = text.into();
        if let Some(&number) = self.numbers.get(&text) {
            return number;
        }
        let number = self.ends.len() as i32;
        self.bytes.push_str(&text);
        // 4 GiB of text are beyond what a browser holds in one string of base64.
        self.ends.push(self.bytes.len() as u32);
        self.numbers.insert(text, number);
        number
    }
}

/// Columns one after another, with what the head says about them.
#[derive(Default)]
struct Layout {
    names: String,
    bytes: Vec<u8>,
}

impl Layout {
    fn u8(&mut self, name: &str, values: &[u8]) {
        self.column(
            name,
            "u8",
            values.len(),
            values.iter().map(|value| [*value]),
        );
    }

    fn u32(&mut self, name: &str, values: &[u32]) {
        self.column(
            name,
            "u32",
            values.len(),
            values.iter().map(|value| value.to_le_bytes()),
        );
    }

    fn i32(&mut self, name: &str, values: &[i32]) {
        self.column(
            name,
            "i32",
            values.len(),
            values.iter().map(|value| value.to_le_bytes()),
        );
    }

    /// Four bytes each if all fit, else eight.
    fn number(&mut self, name: &str, values: &[i64]) {
        let small: Option<Vec<i32>> = values
            .iter()
            .map(|&value| i32::try_from(value).ok())
            .collect();
        match small {
            Some(small) => self.i32(name, &small),
            None => self.column(
                name,
                "f64",
                values.len(),
                values.iter().map(|&value| (value as f64).to_le_bytes()),
            ),
        }
    }

    fn column<const N: usize>(
        &mut self,
        name: &str,
        kind: &str,
        length: usize,
        values: impl Iterator<Item = [u8; N]>,
    ) {
        let comma = if self.names.is_empty() { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(self.names, "{comma}[\"{name}\",\"{kind}\",{length}]");
        self.bytes.extend(values.flatten());
        self.bytes.extend(&[0; 8][..padding(self.bytes.len())]);
    }
}

/// How many bytes are missing to a multiple of 8.
const fn padding(length: usize) -> usize {
    length.next_multiple_of(8) - length
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::DeflateDecoder;
    use osprofiler::driver::ReadSummary;
    use osprofiler::{Id, Notifications};

    use super::*;

    /// Notifications drawn as `name id parent micros`, and the inflated block's head and length of columns.
    fn check(drawn: &[&str], head: &str) {
        let mut notifications = Notifications::default();
        for line in drawn {
            let [name, id, parent, micros] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            notifications.push(&Notification {
                name,
                base_id: Id::parse("B").unwrap(),
                trace_id: Id::parse(id).unwrap(),
                parent_id: Id::parse(parent).unwrap(),
                timestamp: Timestamp::from_micros(micros.parse().unwrap()),
                info: r#"{"host": "a"}"#,
                project: Some("p"),
                service: None,
            });
        }
        let report = Report::build(notifications, ReadSummary::default());
        let mut bytes = Vec::new();
        DeflateDecoder::new(&make(&report).unwrap()[..])
            .read_to_end(&mut bytes)
            .unwrap();
        let length = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        let text = std::str::from_utf8(&bytes[4..4 + length]).unwrap();
        assert_eq!(text, head.replace(['\n', ' '], ""));
        assert_eq!(bytes.len() % 8, 0);
    }

    #[test]
    fn the_head_says_what_the_columns_are() {
        check(
            &[
                "a-start 1 B 0",
                "b-start 2 1 100",
                "b-stop 2 1 200",
                "stray-start 2 1 300",
                "a-stop 1 B 3000000000",
            ],
            r#"{"format":1,"columns":[["parent","i32",2],["start_us","i32",2],["stop_us","f64",2],["name","i32",2],
            ["origin","i32",2],["flags","u8",2],["id","u8",32],["id_text","i32",2],["parent_text","i32",2],
            ["start_info","i32",2],["stop_info","i32",2],["origin_project","i32",1],["origin_service","i32",1],
            ["origin_host","i32",1],["other_point","i32",1],["other_name","i32",1],["other_us","i32",1],["other_info","i32",1],
            ["loss_reason","i32",0],["loss_count","i32",0],["text_end","u32",9],["text_bytes","u8",52]],
            "base_id":3,"started":8,"duration_us":3000000000,"skipped":0}"#,
        );
    }

    #[test]
    fn an_empty_report_is_a_page_too() {
        check(
            &[],
            r#"{"format":1,"columns":[["parent","i32",0],["start_us","i32",0],["stop_us","i32",0],["name","i32",0],
            ["origin","i32",0],["flags","u8",0],["id","u8",0],["id_text","i32",0],["parent_text","i32",0],
            ["start_info","i32",0],["stop_info","i32",0],["origin_project","i32",0],["origin_service","i32",0],
            ["origin_host","i32",0],["other_point","i32",0],["other_name","i32",0],["other_us","i32",0],["other_info","i32",0],
            ["loss_reason","i32",0],["loss_count","i32",0],["text_end","u32",0],["text_bytes","u8",0]],
            "base_id":-1,"started":-1,"duration_us":0,"skipped":0}"#,
        );
    }
}
