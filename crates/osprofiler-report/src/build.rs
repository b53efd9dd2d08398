// SPDX-License-Identifier: Apache-2.0
//! Notifications to points, points to a tree.
//!
//! Each step is one pass over flat tables:
//!
//! ```text
//! notifications --group by trace_id--> points --fold--> times, payloads
//!               --look up parent_id--> parents --open cycles--> tree --sort siblings--> report
//! ```
//!
//! Nothing is lost on the way: a point whose parent is unknown stands at the top, and of each cycle of parents the earliest
//! point does, so each point stands in the tree exactly once. Tables hold 32-bit numbers, which is as many as a collection of
//! notifications has texts.

use std::collections::HashMap;

use osprofiler::driver::ReadSummary;
use osprofiler::{Id, Kind, Notifications, wire};

use crate::report::{Counts, NONE, PointId, PointRow, Report, Times};
use crate::self_time::self_times;
use crate::totals;

/// What [`Report::build`] does.
pub(crate) fn build(notifications: Notifications, summary: ReadSummary) -> Report {
    let times = times(&notifications);
    let (mut points, mut payloads) = {
        let grouped = Grouped::new(&notifications);
        let mut points = grouped.points();
        for row in &mut points {
            let parent_id = notifications.get(row.first as usize).parent_id;
            let base_id = notifications.get(row.first as usize).base_id;
            match grouped.points.get(&parent_id) {
                Some(&parent) => row.parent = parent,
                None => row.is_orphan = parent_id != base_id,
            }
        }
        (points, grouped.notifications)
    };
    fold(&notifications, times.first, &mut points, &mut payloads);
    find_errors(&notifications, &mut points);
    open_cycles(&notifications, &mut points);
    let (children, roots) = hang(&mut points);
    let self_us = self_times(&points, &children);
    Report {
        times,
        counts: count(&points),
        names: totals::by_name(&notifications, &points, &self_us),
        services: totals::by_service(&notifications, &points, &self_us),
        notifications,
        summary,
        points,
        payloads,
        children,
        roots,
    }
}

fn times(notifications: &Notifications) -> Times {
    let mut first = i64::MAX;
    let mut last = i64::MIN;
    let mut last_started = None;
    for notification in notifications.iter() {
        let micros = notification.timestamp.as_micros();
        first = first.min(micros);
        last = last.max(micros);
        if notification.kind() == Kind::Start {
            last_started = last_started.max(Some(micros));
        }
    }
    if notifications.is_empty() {
        return Times::default();
    }
    Times {
        first,
        finished: last - first,
        last_started: last_started.map(|micros| micros - first),
    }
}

/// The notifications point after point, in each point in order of arrival.
struct Grouped<'a> {
    /// Which point a `trace_id` is.
    points: HashMap<Id<'a>, u32>,
    notifications: Vec<u32>,
    /// Where each point's end; they begin where those of the point before end.
    ends: Vec<u32>,
}

impl<'a> Grouped<'a> {
    fn new(notifications: &'a Notifications) -> Self {
        let mut points = HashMap::new();
        let mut ends: Vec<u32> = Vec::new();
        let mut point_of = Vec::with_capacity(notifications.len());
        for notification in notifications.iter() {
            let next = points.len() as u32;
            let point = *points.entry(notification.trace_id).or_insert(next);
            if point == next {
                ends.push(0);
            }
            ends[point as usize] += 1;
            point_of.push(point);
        }
        let mut position = 0;
        for end in &mut ends {
            // For now where the point begins; filling it moves this to its end.
            position += std::mem::replace(end, position);
        }
        let mut grouped = vec![0; notifications.len()];
        for (index, point) in point_of.into_iter().enumerate() {
            let position = &mut ends[point as usize];
            grouped[*position as usize] = index as u32;
            *position += 1;
        }
        Self {
            points,
            notifications: grouped,
            ends,
        }
    }

    fn range(&self, point: usize) -> (u32, u32) {
        let begin = point.checked_sub(1).map_or(0, |before| self.ends[before]);
        (begin, self.ends[point])
    }

    fn points(&self) -> Vec<PointRow> {
        (0..self.ends.len())
            .map(|point| {
                let payloads = self.range(point);
                PointRow {
                    first: self.notifications[payloads.0 as usize],
                    start: NONE,
                    stop: NONE,
                    parent: NONE,
                    payloads,
                    children: (0, 0),
                    started_us: 0,
                    finished_us: 0,
                    has_error: false,
                    is_orphan: false,
                    closes_cycle: false,
                }
            })
            .collect()
    }
}

/// Gives each point its times, and leaves in `payloads` the latest notification of each name, in the place of the first.
fn fold(
    notifications: &Notifications,
    first_us: i64,
    points: &mut [PointRow],
    payloads: &mut [u32],
) {
    for row in points {
        let (begin, end) = row.payloads;
        let group = &mut payloads[begin as usize..end as usize];
        for &index in group.iter() {
            match notifications.get(index as usize).kind() {
                Kind::Start => row.start = index,
                Kind::Stop => row.stop = index,
            }
        }
        let time = |index: u32| {
            (index != NONE)
                .then(|| notifications.get(index as usize).timestamp.as_micros() - first_us)
        };
        let (started, finished) = (time(row.start), time(row.stop));
        row.started_us = started.or(finished).unwrap_or_default();
        row.finished_us = finished.or(started).unwrap_or_default();
        row.payloads.1 = begin + keep_latest_of_each_name(notifications, group);
    }
}

/// Moves what is kept to the front of `group` and says how many that are.
fn keep_latest_of_each_name(notifications: &Notifications, group: &mut [u32]) -> u32 {
    /// Up to here comparing with all is quicker than a table.
    const FEW: usize = 8;
    let name_of = |index: u32| notifications.text_numbers(index as usize)[0];
    let mut kept = 0;
    let mut positions = HashMap::new();
    for at in 0..group.len() {
        let index = group[at];
        let name = name_of(index);
        let known = if kept <= FEW {
            group[..kept]
                .iter()
                .position(|&other| name_of(other) == name)
        } else {
            if positions.is_empty() {
                positions.extend((0..kept).map(|position| (name_of(group[position]), position)));
            }
            positions.get(&name).copied()
        };
        let position = known.unwrap_or_else(|| {
            if kept > FEW {
                positions.insert(name, kept);
            }
            kept += 1;
            kept - 1
        });
        group[position] = index;
    }
    kept as u32
}

/// Looks for an error's type in each stop; equal infos, which most stops have, are looked into once.
fn find_errors(notifications: &Notifications, points: &mut [PointRow]) {
    let mut known: Vec<Option<bool>> = vec![None; notifications.text_count()];
    for row in points.iter_mut().filter(|row| row.stop != NONE) {
        let [_, info, _, _] = notifications.text_numbers(row.stop as usize);
        row.has_error = *known[info.index()]
            .get_or_insert_with(|| wire::info_has_error(notifications.text(info)));
    }
}

/// Takes the parent from the earliest point of each cycle, so that what remains is a forest.
fn open_cycles(notifications: &Notifications, points: &mut [PointRow]) {
    const UNSEEN: u32 = 0;
    // The number of the walk upwards that came through a point; meeting one's own number closes a cycle.
    let mut seen_by = vec![UNSEEN; points.len()];
    for start in 0..points.len() {
        let walk = start as u32 + 1;
        let mut point = start as u32;
        while point != NONE && seen_by[point as usize] == UNSEEN {
            seen_by[point as usize] = walk;
            point = points[point as usize].parent;
        }
        if point == NONE || seen_by[point as usize] != walk {
            continue;
        }
        let key = |point: u32| {
            let row = &points[point as usize];
            let trace_id = notifications.get(row.first as usize).trace_id;
            (row.started_us, trace_id)
        };
        let mut earliest = point;
        let mut member = points[point as usize].parent;
        while member != point {
            if key(member) < key(earliest) {
                earliest = member;
            }
            member = points[member as usize].parent;
        }
        let row = &mut points[earliest as usize];
        row.parent = NONE;
        row.closes_cycle = true;
    }
}

/// Hangs each point below its parent: siblings by the millisecond of their start, and within one by first appearance.
fn hang(points: &mut [PointRow]) -> (Vec<PointId>, Vec<PointId>) {
    let mut roots = Vec::new();
    for point in 0..points.len() {
        match points[point].parent {
            NONE => roots.push(PointId(point as u32)),
            parent => points[parent as usize].children.1 += 1,
        }
    }
    let mut position = 0;
    for row in points.iter_mut() {
        let count = row.children.1;
        row.children = (position, position);
        position += count;
    }
    let mut children = vec![PointId(0); position as usize];
    for point in 0..points.len() {
        let parent = points[point].parent;
        if parent != NONE {
            let end = &mut points[parent as usize].children.1;
            children[*end as usize] = PointId(point as u32);
            *end += 1;
        }
    }
    let started_ms = |point: &PointId| points[point.index()].started_us / 1000;
    for row in points.iter() {
        let (begin, end) = row.children;
        children[begin as usize..end as usize].sort_by_key(started_ms);
    }
    roots.sort_by_key(started_ms);
    (children, roots)
}

fn count(points: &[PointRow]) -> Counts {
    let count = |is: fn(&PointRow) -> bool| points.iter().filter(|row| is(row)).count();
    Counts {
        errors: count(|row| row.has_error),
        never_ended: count(|row| row.stop == NONE),
        never_started: count(|row| row.start == NONE),
        orphans: count(|row| row.is_orphan),
        cycles: count(|row| row.closes_cycle),
    }
}
