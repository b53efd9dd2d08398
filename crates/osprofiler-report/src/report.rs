// SPDX-License-Identifier: Apache-2.0
//! The report: the points of a trace as a tree, with their times and what is wrong with them.
//!
//! Points live in one arena and refer to each other and to their notifications by number; no text is copied out of the
//! [`Notifications`]. Each point stands in the tree exactly once, whatever its parent is. Times are microseconds since
//! the trace's first notification; the milliseconds of the JSON contract are those, cut off at each end by itself.

use osprofiler::driver::ReadSummary;
use osprofiler::wire::json::member;
use osprofiler::{Id, Notification, Notifications};

use crate::build;
use crate::totals::{NameTotal, ServiceTotal};
use crate::walk::Walk;

/// A trace's points as a tree, and its statistics. Made by [`Report::build`], shown by a
/// [`Renderer`](crate::Renderer). About 70 bytes a point beside the notifications themselves.
#[derive(Debug)]
pub struct Report {
    pub(crate) notifications: Notifications,
    pub(crate) summary: ReadSummary,
    /// In order of first appearance.
    pub(crate) points: Vec<PointRow>,
    /// The notifications that each point shows, point after point; see [`PointRow::payloads`].
    pub(crate) payloads: Vec<u32>,
    /// The children of each point, point after point; see [`PointRow::children`].
    pub(crate) children: Vec<PointId>,
    pub(crate) roots: Vec<PointId>,
    pub(crate) times: Times,
    pub(crate) counts: Counts,
    pub(crate) names: Vec<NameTotal>,
    pub(crate) services: Vec<ServiceTotal>,
}

/// A point's number within its report: its place in the order of first appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PointId(pub(crate) u32);

/// When the trace as a whole began and ended, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// The first notification, since 1970.
    pub(crate) first: i64,
    /// The last notification, since the first.
    pub(crate) finished: i64,
    /// The last notification that is no stop, since the first.
    pub(crate) last_started: Option<i64>,
}

/// How many points have something wrong with them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) errors: usize,
    pub(crate) never_ended: usize,
    pub(crate) never_started: usize,
    pub(crate) orphans: usize,
    pub(crate) cycles: usize,
}

/// What a point is in the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PointRow {
    /// The notification that says who the point is: the first that was seen.
    pub(crate) first: u32,
    /// The latest notification that is no stop, or [`NONE`].
    pub(crate) start: u32,
    /// The latest stop, or [`NONE`].
    pub(crate) stop: u32,
    /// The point it hangs below, or [`NONE`] at the top.
    pub(crate) parent: u32,
    /// The range within [`Report::payloads`]: one notification for each distinct name.
    pub(crate) payloads: (u32, u32),
    /// The range within [`Report::children`].
    pub(crate) children: (u32, u32),
    pub(crate) started_us: i64,
    pub(crate) finished_us: i64,
    pub(crate) has_error: bool,
    pub(crate) is_orphan: bool,
    pub(crate) closes_cycle: bool,
}

/// The number of no point and no notification.
pub(crate) const NONE: u32 = u32::MAX;

impl PointId {
    /// The number as an index into a table with one entry a point.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Report {
    /// The report of `notifications`, which are one trace's in order of recording, as far as known. Takes linear time, but for
    /// sorting siblings, and never fails: what does not fit together is shown and counted.
    ///
    /// ```
    /// # use osprofiler::{Id, Notification, Notifications, Timestamp, driver::ReadSummary};
    /// # use osprofiler_report::Report;
    /// let mut notifications = Notifications::default();
    /// for (name, micros) in [("db-start", 0), ("db-stop", 1500)] {
    ///     notifications.push(&Notification {
    ///         name,
    ///         base_id: Id::from_u128(1),
    ///         trace_id: Id::from_u128(2),
    ///         parent_id: Id::from_u128(1),
    ///         timestamp: Timestamp::from_micros(micros),
    ///         info: r#"{"host": "a"}"#,
    ///         project: None,
    ///         service: None,
    ///     });
    /// }
    /// let report = Report::build(notifications, ReadSummary::default());
    /// let point = report.point(report.roots()[0]);
    /// assert_eq!((point.name(), point.duration_us()), ("db", 1500));
    /// ```
    pub fn build(notifications: Notifications, summary: ReadSummary) -> Self {
        build::build(notifications, summary)
    }

    /// Whether the trace has no points.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// How many points the trace has.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// The trace's id, if it has points.
    pub fn base_id(&self) -> Option<Id<'_>> {
        let first = self.points.first()?;
        Some(self.notifications.get(first.first as usize).base_id)
    }

    /// What the report was built from.
    pub fn notifications(&self) -> &Notifications {
        &self.notifications
    }

    /// What reading found beside the notifications.
    pub fn summary(&self) -> &ReadSummary {
        &self.summary
    }

    /// How many notifications of this trace are known to be lost.
    pub fn lost(&self) -> u64 {
        self.summary
            .losses
            .iter()
            .fold(0, |sum, loss| sum.saturating_add(loss.count))
    }

    /// The points at the top: those whose parent is not in the trace, and one of each cycle of parents.
    pub fn roots(&self) -> &[PointId] {
        &self.roots
    }

    /// The points directly below `point`, in order of their start.
    ///
    /// # Panics
    /// If `point` is of another, larger report; so do all methods that take one.
    pub fn children(&self, point: PointId) -> &[PointId] {
        let (begin, end) = self.points[point.index()].children;
        &self.children[begin as usize..end as usize]
    }

    /// The point with that number.
    pub fn point(&self, id: PointId) -> Point<'_> {
        Point {
            report: self,
            row: &self.points[id.index()],
        }
    }

    /// All points in order of first appearance; their numbers count from 0.
    pub fn points(&self) -> impl ExactSizeIterator<Item = PointId> + use<> {
        // As many as notifications at most, which are numbered in 32 bits: see `build`.
        (0..self.points.len() as u32).map(PointId)
    }

    /// The tree from top to bottom: each point is entered, then its children, then it is left.
    pub fn walk(&self) -> Walk<'_> {
        Walk::new(self)
    }

    /// From the first notification to the last, in microseconds.
    pub fn duration_us(&self) -> i64 {
        self.times.finished
    }

    /// When the first notification was, in microseconds since 1970.
    pub fn first_us(&self) -> i64 {
        self.times.first
    }

    /// How many points ended with an error.
    pub fn errors(&self) -> usize {
        self.counts.errors
    }

    /// How many points have no stop: still open, or the process is gone, or the stop is lost.
    pub fn never_ended(&self) -> usize {
        self.counts.never_ended
    }

    /// How many points have a stop only.
    pub fn never_started(&self) -> usize {
        self.counts.never_started
    }

    /// How many points name a parent that is neither in the trace nor the trace itself.
    pub fn orphans(&self) -> usize {
        self.counts.orphans
    }

    /// How many cycles the parents form; each was opened at its earliest point, which stands at the top.
    pub fn cycles(&self) -> usize {
        self.counts.cycles
    }

    /// Count and duration for each name of a point, in order of first appearance.
    pub fn names(&self) -> &[NameTotal] {
        &self.names
    }

    /// Count and duration for each project and service, in order of first appearance.
    pub fn services(&self) -> &[ServiceTotal] {
        &self.services
    }
}

/// One point of a report. Cheap to make and to copy; texts are borrowed from the report.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    report: &'a Report,
    row: &'a PointRow,
}

impl<'a> Point<'a> {
    /// The name, without `-start` or `-stop`.
    pub fn name(self) -> &'a str {
        self.first().point_name()
    }

    /// The service's project.
    pub fn project(self) -> Option<&'a str> {
        self.first().project
    }

    /// The service.
    pub fn service(self) -> Option<&'a str> {
        self.first().service
    }

    /// The host as JSON text, quotes included.
    pub fn host_json(self) -> Option<&'a str> {
        member(self.first().info, "host")
    }

    /// The point's own id.
    pub fn trace_id(self) -> Id<'a> {
        self.first().trace_id
    }

    /// The id of the point around it, as recorded; not in the trace at the top.
    pub fn parent_id(self) -> Id<'a> {
        self.first().parent_id
    }

    /// The number of the point it hangs below in the tree.
    pub fn parent(self) -> Option<PointId> {
        (self.row.parent != NONE).then_some(PointId(self.row.parent))
    }

    /// Begin, since the trace's first notification; the end's if there is no start.
    pub fn started_us(self) -> i64 {
        self.row.started_us
    }

    /// End, since the trace's first notification; the begin's if there is no stop.
    pub fn finished_us(self) -> i64 {
        self.row.finished_us
    }

    /// From begin to end; negative if the clocks say so.
    pub fn duration_us(self) -> i64 {
        self.row.finished_us - self.row.started_us
    }

    /// Begin in whole milliseconds.
    pub fn started_ms(self) -> i64 {
        self.row.started_us / 1000
    }

    /// End in whole milliseconds.
    pub fn finished_ms(self) -> i64 {
        self.row.finished_us / 1000
    }

    /// The latest notification that is no stop.
    pub fn start(self) -> Option<Notification<'a>> {
        self.notification(self.row.start)
    }

    /// The latest stop.
    pub fn stop(self) -> Option<Notification<'a>> {
        self.notification(self.row.stop)
    }

    /// All its notifications, the latest of each name, in order of each name's first appearance.
    pub fn payloads(self) -> impl ExactSizeIterator<Item = Notification<'a>> {
        let (begin, end) = self.row.payloads;
        self.report.payloads[begin as usize..end as usize]
            .iter()
            .map(move |&index| self.report.notifications.get(index as usize))
    }

    /// Whether it ended with an error.
    pub fn has_error(self) -> bool {
        self.row.has_error
    }

    /// The error's type as JSON text, if it [ended with one](Self::has_error).
    pub fn error_type_json(self) -> Option<&'a str> {
        self.row
            .has_error
            .then(|| member(self.stop()?.info, "etype"))?
    }

    /// The error's message as JSON text, if it [ended with an error](Self::has_error) that has one.
    pub fn error_message_json(self) -> Option<&'a str> {
        self.row
            .has_error
            .then(|| member(self.stop()?.info, "message"))?
    }

    /// What the JSON contract calls `exception`: the stop's `etype`, whatever it is, or the string `None`.
    pub(crate) fn exception_json(self) -> &'a str {
        self.stop()
            .and_then(|stop| member(stop.info, "etype"))
            .unwrap_or("\"None\"")
    }

    /// Whether there is no stop.
    pub fn never_ended(self) -> bool {
        self.row.stop == NONE
    }

    /// Whether there is no start.
    pub fn never_started(self) -> bool {
        self.row.start == NONE
    }

    /// Whether its parent is neither in the trace nor the trace itself.
    pub fn is_orphan(self) -> bool {
        self.row.is_orphan
    }

    /// Whether its parent lies below it: it is the earliest point of a cycle, and stands at the top.
    pub fn closes_cycle(self) -> bool {
        self.row.closes_cycle
    }

    fn first(self) -> Notification<'a> {
        self.report.notifications.get(self.row.first as usize)
    }

    fn notification(self, index: u32) -> Option<Notification<'a>> {
        (index != NONE).then(|| self.report.notifications.get(index as usize))
    }
}
