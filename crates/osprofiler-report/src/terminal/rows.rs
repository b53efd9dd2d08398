// SPDX-License-Identifier: Apache-2.0
//! The rows of the tree: one a point, or one for a run of like points.
//!
//! A run is three or more siblings in a row that have the same name and service, nothing below them, nothing wrong with
//! them, and no noticeable share of the trace. The path from the top lies in a vector; beyond some levels the indentation
//! stops and the level's number stands there instead, so a row's cost does not grow with its depth.

use std::io;

use super::detail::{detail, error};
use super::duration::{duration, grouped, share};
use super::line::{Line, Style, text_columns};
use super::{Page, service_label};
use crate::report::{Point, PointId, Report};

/// Fewer like siblings are shown one by one.
const SHORTEST_RUN: usize = 3;
/// A point that takes one part in as many of the trace is never folded.
const NOTICEABLE: i64 = 20;
/// From this width on there is a time axis.
const WIDE: usize = 120;

/// The siblings at one level of the path to the current row.
struct Level<'a> {
    siblings: &'a [PointId],
    next: usize,
}

impl Level<'_> {
    fn has_more(&self) -> bool {
        self.next < self.siblings.len()
    }
}

/// Writes the column's titles and all rows.
pub(super) fn write(page: &mut Page<'_>) -> io::Result<()> {
    let report = page.report;
    page.blank()?;
    let columns = Columns::of(page);
    let mut titles = page.line();
    titles.push_right(Style::Dim, "offset", 9);
    titles.push_right(Style::Dim, "duration", 10);
    titles.push_right(Style::Dim, "share", 6);
    page.end(titles)?;

    let mut path = vec![Level {
        siblings: report.roots(),
        next: 0,
    }];
    while let Some(level) = path.last() {
        if !level.has_more() {
            path.pop();
            continue;
        }
        if page.options.depth.is_some_and(|depth| path.len() > depth) {
            more_below(page, &columns, &mut path)?;
            continue;
        }
        let Some(level) = path.last_mut() else { break };
        let siblings = &level.siblings[level.next..];
        let run = run_length(report, siblings);
        if run >= SHORTEST_RUN {
            level.next += run;
            folded(page, &columns, &path, &siblings[..run])?;
        } else {
            level.next += 1;
            single(page, &columns, &path, siblings[0])?;
            let children = report.children(siblings[0]);
            if !children.is_empty() {
                path.push(Level {
                    siblings: children,
                    next: 0,
                });
            }
        }
    }
    Ok(())
}

/// How many of the first siblings are alike.
fn run_length(report: &Report, siblings: &[PointId]) -> usize {
    let is_ordinary = |id: PointId, point: Point<'_>| {
        report.children(id).is_empty()
            && !(point.has_error() || point.never_ended() || point.never_started())
            && !(point.is_orphan() || point.closes_cycle())
            && point.duration_us().saturating_mul(NOTICEABLE) < report.duration_us()
    };
    let first = report.point(siblings[0]);
    siblings
        .iter()
        .take_while(|id| {
            let point = report.point(**id);
            is_ordinary(**id, point)
                && point.name() == first.name()
                && point.service() == first.service()
                && point.project() == first.project()
        })
        .count()
}

fn single(
    page: &mut Page<'_>,
    columns: &Columns,
    path: &[Level<'_>],
    id: PointId,
) -> io::Result<()> {
    let report = page.report;
    let point = report.point(id);
    let mut line = page.line();
    let extent = Extent {
        started: point.started_us(),
        finished: point.finished_us(),
        duration: point.duration_us(),
    };
    columns.times(&mut line, extent, point);
    columns.guides(&mut line, path, Guide::Point);
    who(page, &mut line, point);
    for (is_so, what) in [
        (point.never_ended(), " never ended"),
        (point.never_started(), " without a start"),
        (point.is_orphan(), " parent missing"),
        (point.closes_cycle(), " cycle of parents"),
    ] {
        if is_so {
            line.push(Style::Warning, what);
        }
    }
    let detail = detail(point);
    if !detail.is_empty() {
        line.push(Style::Plain, " ");
        line.push(Style::Plain, &detail);
    }
    page.end(line)?;
    let Some(error) = error(point) else {
        return Ok(());
    };
    let mut line = page.line();
    columns.no_times(&mut line);
    let has_children = !report.children(id).is_empty();
    columns.guides(
        &mut line,
        path,
        if has_children {
            Guide::Through
        } else {
            Guide::Below
        },
    );
    line.push(Style::Error, "✗ ");
    let is_long = text_columns(&error) > line.rest();
    let short = without_module(&error);
    line.push(Style::Error, if is_long { short } else { &error });
    page.end(line)
}

/// `InstanceNotFound: ...` of `nova.exception.InstanceNotFound: ...`.
fn without_module(error: &str) -> &str {
    let kind_end = error.find(": ").unwrap_or(error.len());
    error[..kind_end]
        .rfind('.')
        .map_or(error, |position| &error[position + 1..])
}

fn folded(
    page: &mut Page<'_>,
    columns: &Columns,
    path: &[Level<'_>],
    run: &[PointId],
) -> io::Result<()> {
    let report = page.report;
    let first = report.point(run[0]);
    let mut slowest = first;
    let mut extent = Extent {
        started: first.started_us(),
        finished: first.finished_us(),
        duration: 0,
    };
    for &id in run {
        let point = report.point(id);
        extent.finished = extent.finished.max(point.finished_us());
        extent.duration = extent.duration.saturating_add(point.duration_us());
        if point.duration_us() > slowest.duration_us() {
            slowest = point;
        }
    }
    let mut line = page.line();
    columns.times(&mut line, extent, first);
    columns.guides(&mut line, path, Guide::Point);
    who(page, &mut line, first);
    line.push(Style::Bold, &format!(" ×{}", grouped(run.len() as u64)));
    line.push(
        Style::Dim,
        &format!(
            " sum {}, max {}",
            duration(extent.duration),
            duration(slowest.duration_us())
        ),
    );
    let detail = detail(slowest);
    if !detail.is_empty() {
        line.push(Style::Dim, ": ");
        line.push(Style::Plain, &detail);
    }
    page.end(line)
}

/// One row for all that is below the deepest level shown.
fn more_below(page: &mut Page<'_>, columns: &Columns, path: &mut Vec<Level<'_>>) -> io::Result<()> {
    let Some(level) = path.pop() else {
        return Ok(());
    };
    let report = page.report;
    let (mut points, mut errors) = (0u64, 0u64);
    let mut rest: Vec<PointId> = level.siblings.to_vec();
    while let Some(id) = rest.pop() {
        points += 1;
        errors += u64::from(report.point(id).has_error());
        rest.extend(report.children(id));
    }
    let mut line = page.line();
    columns.no_times(&mut line);
    if !path.is_empty() {
        columns.guides(&mut line, path, Guide::Below);
        line.push(Style::Dim, "└ ");
    }
    line.push(Style::Dim, &format!("… {} more below", grouped(points)));
    match errors {
        0 => {}
        1 => line.push(Style::Error, ", 1 error"),
        _ => line.push(Style::Error, &format!(", {} errors", grouped(errors))),
    }
    page.end(line)
}

/// The point's name, and its service where that is not the parent's.
fn who(page: &Page<'_>, line: &mut Line, point: Point<'_>) {
    line.push(Style::BoldColor(color_of_name(point.name())), point.name());
    let is_same = point.parent().is_some_and(|parent| {
        let parent = page.report.point(parent);
        (parent.project(), parent.service()) == (point.project(), point.service())
    });
    if !is_same {
        let label = service_label(point.project(), point.service());
        line.push(Style::Plain, " ");
        let color = page.service_color(point.project(), point.service());
        line.push(Style::Color(color), &label);
    }
}

/// The colour of a point's name, the same in every trace; red is for errors and yellow for warnings.
pub(super) fn color_of_name(name: &str) -> u8 {
    const OTHERS: [u8; 4] = [94, 95, 92, 96];
    match name.rsplit('.').next().unwrap_or(name) {
        "wsgi" | "asgi" => 34,
        "db" => 36,
        "rpc" => 35,
        "driver" => 32,
        _ => {
            let sum = name
                .bytes()
                .fold(7u32, |sum, byte| sum.wrapping_mul(31) ^ u32::from(byte));
            OTHERS[sum as usize % OTHERS.len()]
        }
    }
}

/// The colour of the service that is the trace's `position`-th: different for as many as there are colours.
pub(super) fn color_of_service(position: usize) -> u8 {
    const COLORS: [u8; 8] = [92, 95, 94, 96, 32, 35, 34, 36];
    COLORS[position % COLORS.len()]
}

/// What a row's times cover, in microseconds: one point, or a run of them.
#[derive(Clone, Copy)]
struct Extent {
    started: i64,
    finished: i64,
    duration: i64,
}

/// Which lines of the tree stand before a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guide {
    /// Branches off to a point.
    Point,
    /// Runs past, to points further down, the children of the point above among them.
    Through,
    /// Runs past, to points further down; the point above has no children, or they are not shown.
    Below,
}

/// The columns before a row's text.
struct Columns {
    total_us: i64,
    /// Characters of the time axis.
    axis: usize,
    /// Levels that are drawn; deeper ones are numbers.
    levels: usize,
}

impl Columns {
    fn of(page: &Page<'_>) -> Self {
        let width = page.options.width;
        Self {
            total_us: page.report.duration_us(),
            axis: if width < WIDE {
                0
            } else {
                ((width - 80) / 3).min(40)
            },
            levels: (width - 26) / 6,
        }
    }

    fn times(&self, line: &mut Line, extent: Extent, point: Point<'_>) {
        line.push_right(Style::Dim, &duration(extent.started), 9);
        let is_large = extent.duration.saturating_mul(10) >= self.total_us;
        let style = if is_large { Style::Bold } else { Style::Plain };
        if point.never_ended() {
            line.push_right(Style::Warning, "…", 10);
            line.blanks(6);
        } else {
            line.push_right(style, &duration(extent.duration), 10);
            line.push_right(style, &share(extent.duration, self.total_us), 6);
        }
        line.blanks(1);
        if self.axis > 0 {
            let (before, bar, after) = self.bar(extent);
            line.blanks(before);
            line.push(Style::Color(color_of_name(point.name())), &bar);
            line.blanks(after + 1);
        }
    }

    fn no_times(&self, line: &mut Line) {
        line.blanks(26 + if self.axis > 0 { self.axis + 1 } else { 0 });
    }

    /// Where in the trace `extent` lies: blanks, the bar in half characters, blanks.
    fn bar(&self, extent: Extent) -> (usize, String, usize) {
        let halves = 2 * self.axis as i128;
        let total = i128::from(self.total_us.max(1));
        let at = |micros: i64| i128::from(micros) * halves / total;
        let begin = at(extent.started).min(halves - 1);
        let end = at(extent.finished).clamp(begin + 1, halves);
        let mut bar = String::new();
        let (first, last) = (begin / 2, (end - 1) / 2);
        for cell in first..=last {
            bar.push(match (2 * cell >= begin, 2 * cell + 1 < end) {
                (true, true) => '━',
                (true, false) => '╸',
                (false, _) => '╺',
            });
        }
        let after = self.axis as i128 - 1 - last;
        (first as usize, bar, after as usize)
    }

    fn guides(&self, line: &mut Line, path: &[Level<'_>], guide: Guide) {
        let deepest = path.len() - 1;
        let mut text = String::new();
        if deepest > self.levels {
            text = format!("⋮{deepest} ");
        } else {
            let passed = if guide == Guide::Point {
                deepest
            } else {
                deepest + 1
            };
            for level in path.iter().take(passed).skip(1) {
                text.push_str(if level.has_more() { "│ " } else { "  " });
            }
        }
        match guide {
            Guide::Point if deepest > 0 => {
                let has_more = path[deepest].has_more();
                text.push_str(if has_more { "├ " } else { "└ " });
            }
            Guide::Through => text.push_str("│ "),
            Guide::Point | Guide::Below => {}
        }
        line.push(Style::Dim, &text);
    }
}
