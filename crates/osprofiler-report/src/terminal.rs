// SPDX-License-Identifier: Apache-2.0
//! The report as a tree for people at a terminal.
//!
//! ```text
//! trace 7e06548b-…   2026-11-22 15:48:24.267990 UTC
//! 646 ms · 134 points · 1 service
//!
//!   offset  duration share
//!  3.75 ms    642 ms   99% wsgi keystone/public POST /v3/auth/tokens
//!  6.41 ms    675 µs     · ├ db SELECT … FROM project WHERE project.id = %(pk_1)s
//!  8.02 ms   14.1 ms    2% └ db ×12  sum 14.1 ms, max 2.30 ms  slowest: SELECT … FROM user
//! ```
//!
//! Header, [rows](rows), totals; each is as wide as [`RenderOptions::width`] allows and no wider. Values are shown
//! [inert](line). Written as it goes, in linear time at any depth.

mod detail;
mod duration;
mod line;
mod rows;

use std::collections::HashMap;
use std::io;

use duration::{duration, grouped, share};
use line::{Line, Style, text_columns};

use crate::renderer::RenderOptions;
use crate::report::Report;

/// Once this much is written it goes to the caller.
const PIECE_BYTES: usize = 64 * 1024;
/// The narrowest tree, in columns; a terminal that says less is not believed.
pub const LEAST_WIDTH: u16 = 40;
/// As many totals are shown, those with the most self time first.
const MOST_TOTALS: usize = 20;
/// How wide the columns of the tables of totals are, without the first.
const TOTAL_COLUMNS: [usize; 6] = [9, 8, 10, 7, 12, 10];
/// The first column of these tables is not cut below this for the sake of the others; those that find no room are left out.
const LABEL_COLUMNS: usize = 12;

/// Writes `report`.
pub(crate) fn render(
    report: &Report,
    options: &RenderOptions,
    to: &mut dyn io::Write,
) -> io::Result<()> {
    let mut page = Page {
        report,
        options: RenderOptions {
            width: options.width.max(usize::from(LEAST_WIDTH)),
            ..*options
        },
        service_colors: (report.services().iter().enumerate())
            .map(|(position, total)| {
                let service = (total.project.as_deref(), total.service.as_deref());
                (service, rows::color_of_service(position))
            })
            .collect(),
        text: String::new(),
        to,
    };
    page.header()?;
    if !report.is_empty() {
        rows::write(&mut page)?;
        page.totals()?;
    }
    page.to.write_all(page.text.as_bytes())
}

/// What is written on, line by line.
struct Page<'a> {
    report: &'a Report,
    options: RenderOptions,
    service_colors: HashMap<(Option<&'a str>, Option<&'a str>), u8>,
    text: String,
    to: &'a mut dyn io::Write,
}

impl Page<'_> {
    fn service_color(&self, project: Option<&str>, service: Option<&str>) -> u8 {
        let known = self.service_colors.get(&(project, service));
        known.copied().unwrap_or(rows::color_of_service(0))
    }

    fn line(&self) -> Line {
        Line::new(self.options.width, self.options.color)
    }

    fn end(&mut self, line: Line) -> io::Result<()> {
        line.finish(&mut self.text);
        if self.text.len() >= PIECE_BYTES {
            self.to.write_all(self.text.as_bytes())?;
            self.text.clear();
        }
        Ok(())
    }

    fn blank(&mut self) -> io::Result<()> {
        let line = self.line();
        self.end(line)
    }

    fn header(&mut self) -> io::Result<()> {
        let report = self.report;
        let mut line = self.line();
        match report.base_id() {
            Some(base_id) => {
                line.push(Style::Dim, "trace ");
                line.push(Style::Bold, &base_id.to_string());
                let first = osprofiler::Timestamp::from_micros(report.first_us()).to_string();
                line.push(Style::Dim, &format!("   {} UTC", first.replace('T', " ")));
            }
            None => line.push(Style::Plain, "a trace without notifications"),
        }
        self.end(line)?;
        let mut items = Vec::new();
        if !report.is_empty() {
            items.push((Style::Bold, duration(report.duration_us())));
            items.push((Style::Plain, counted(report.len() as u64, "point")));
            let services = report.services().len() as u64;
            items.push((Style::Plain, counted(services, "service")));
        }
        let errors = report.errors() as u64;
        if errors > 0 {
            items.push((Style::Error, counted(errors, "error")));
        }
        for (count, one, many) in [
            (
                report.never_ended(),
                "point never ended",
                "points never ended",
            ),
            (
                report.never_started(),
                "point without a start",
                "points without a start",
            ),
            (
                report.orphans(),
                "point whose parent is missing",
                "points whose parent is missing",
            ),
            (report.cycles(), "cycle of parents", "cycles of parents"),
        ] {
            match count {
                0 => {}
                1 => items.push((Style::Warning, format!("1 {one}"))),
                _ => items.push((Style::Warning, format!("{} {many}", grouped(count as u64)))),
            }
        }
        if report.lost() > 0 {
            items.push((Style::Warning, losses(report)));
        }
        let skipped = report.summary().skipped;
        if skipped > 0 {
            let elements = counted(skipped, "unreadable element");
            items.push((Style::Warning, format!("{elements} skipped")));
        }
        self.items(&items)
    }

    /// The items with dots between them, on as many lines as they need.
    fn items(&mut self, items: &[(Style, String)]) -> io::Result<()> {
        let mut line = self.line();
        for (position, (style, text)) in items.iter().enumerate() {
            if position > 0 {
                if line.rest() < text_columns(text) + 3 {
                    self.end(line)?;
                    line = self.line();
                } else {
                    line.push(Style::Dim, " · ");
                }
            }
            line.push(*style, text);
        }
        if items.is_empty() {
            return Ok(());
        }
        self.end(line)
    }

    fn totals(&mut self) -> io::Result<()> {
        let report = self.report;
        let mut services: Vec<Total> = report
            .services()
            .iter()
            .map(|total| Total {
                label: service_label(total.project.as_deref(), total.service.as_deref()),
                color: self.service_color(total.project.as_deref(), total.service.as_deref()),
                count: total.count,
                errors: total.errors,
                self_us: total.self_us,
                duration_us: total.duration_us,
                maximum: String::new(),
            })
            .collect();
        let mut names: Vec<Total> = report
            .names()
            .iter()
            .map(|total| Total {
                label: total.name.to_string(),
                color: rows::color_of_name(&total.name),
                count: total.count,
                errors: total.errors,
                self_us: total.self_us,
                duration_us: total.duration_us,
                maximum: duration(total.maximum_us),
            })
            .collect();
        let widest = services
            .iter()
            .chain(&names)
            .map(|total| text_columns(&total.label))
            .max()
            .unwrap_or(0);
        let figures: usize = TOTAL_COLUMNS.iter().sum();
        let room = self.options.width.saturating_sub(figures);
        let label_width = widest.clamp(7, room.max(LABEL_COLUMNS));
        self.blank()?;
        self.table(["service", "with below", ""], &mut services, label_width)?;
        self.blank()?;
        self.table(["point", "sum", "max"], &mut names, label_width)
    }

    fn table(
        &mut self,
        [label, sum, maximum]: [&str; 3],
        totals: &mut [Total],
        label_width: usize,
    ) -> io::Result<()> {
        let mut used = label_width;
        let columns: Vec<usize> = TOTAL_COLUMNS
            .into_iter()
            .take_while(|width| {
                used += width;
                used <= self.options.width
            })
            .collect();
        totals.sort_by_key(|total| std::cmp::Reverse((total.self_us, total.duration_us)));
        let mut line = self.line();
        line.push_left(Style::Dim, label, label_width);
        let titles = ["points", "errors", "self", "share", sum, maximum];
        for (title, &width) in titles.into_iter().zip(&columns) {
            line.push_right(Style::Dim, title, width);
        }
        self.end(line)?;
        for total in totals.iter().take(MOST_TOTALS) {
            let mut line = self.line();
            line.push_left(Style::BoldColor(total.color), &total.label, label_width);
            let errors = match total.errors {
                0 => (Style::Dim, "·".to_owned()),
                errors => (Style::Error, grouped(errors)),
            };
            let cells = [
                (Style::Plain, grouped(total.count)),
                errors,
                (Style::Plain, duration(total.self_us)),
                (
                    Style::Plain,
                    share(total.self_us, self.report.duration_us()),
                ),
                (Style::Plain, duration(total.duration_us)),
                (Style::Plain, total.maximum.clone()),
            ];
            for ((style, text), &width) in cells.into_iter().zip(&columns) {
                line.push_right(style, &text, width);
            }
            self.end(line)?;
        }
        if totals.len() > MOST_TOTALS {
            let mut line = self.line();
            let more = grouped((totals.len() - MOST_TOTALS) as u64);
            line.push(Style::Dim, &format!("… {more} more"));
            self.end(line)?;
        }
        Ok(())
    }
}

/// A row of the tables at the end.
struct Total {
    label: String,
    color: u8,
    count: u64,
    errors: u64,
    self_us: i64,
    duration_us: i64,
    maximum: String,
}

/// `keystone/public`; `cinder-api` where the service's name has the project's in it.
fn service_label(project: Option<&str>, service: Option<&str>) -> String {
    match (project, service) {
        (Some(project), Some(service)) if service.starts_with(project) => service.to_owned(),
        (Some(project), Some(service)) => format!("{project}/{service}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "-".to_owned(),
    }
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

fn losses(report: &Report) -> String {
    let reasons: Vec<String> = report
        .summary()
        .losses
        .iter()
        .filter(|loss| loss.count > 0)
        .map(|loss| {
            let reason = loss.reason.name().replace('_', " ");
            format!("{reason} {}", grouped(loss.count))
        })
        .collect();
    let lost = counted(report.lost(), "notification");
    format!("{lost} lost ({})", reasons.join(", "))
}
