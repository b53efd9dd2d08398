// SPDX-License-Identifier: Apache-2.0
//! Counts and durations by name of the point and by service.
//!
//! Every point counts, wherever it stands in the tree. Durations of nested points both count, as in the JSON contract.
//! Self times, of which
//! `self_us` has one a point, count once. Sums of absurd times stop at the largest number.

use std::collections::HashMap;

use osprofiler::Notifications;

use crate::report::PointRow;

/// All points of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTotal {
    /// The points' name.
    pub name: Box<str>,
    /// How many there are.
    pub count: u64,
    /// The sum of their durations in whole milliseconds, each end cut off by itself.
    pub duration_ms: i64,
    /// The sum of their durations.
    pub duration_us: i64,
    /// The sum of their durations without what the points directly below them cover.
    pub self_us: i64,
    /// The longest one's duration.
    pub maximum_us: i64,
    /// How many ended with an error.
    pub errors: u64,
}

/// All points of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTotal {
    /// The service's project.
    pub project: Option<Box<str>>,
    /// The service.
    pub service: Option<Box<str>>,
    /// How many points it recorded.
    pub count: u64,
    /// The sum of the durations of those of its points that do not stand below another point of the same service: the
    /// time the trace spent in it, what it waited for others included.
    pub duration_us: i64,
    /// The sum of its points' durations without what the points directly below them cover: the time spent in the service
    /// itself, whoever it worked for.
    pub self_us: i64,
    /// How many of its points ended with an error.
    pub errors: u64,
}

/// The totals by name, in order of first appearance.
pub(crate) fn by_name(
    notifications: &Notifications,
    points: &[PointRow],
    self_us: &[i64],
) -> Vec<NameTotal> {
    let mut totals: Vec<NameTotal> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for (row, &self_us) in points.iter().zip(self_us) {
        let name = notifications.get(row.first as usize).point_name();
        let position = *positions.entry(name).or_insert_with(|| {
            totals.push(NameTotal {
                name: name.into(),
                count: 0,
                duration_ms: 0,
                duration_us: 0,
                self_us: 0,
                maximum_us: 0,
                errors: 0,
            });
            totals.len() - 1
        });
        let total = &mut totals[position];
        let micros = row.finished_us - row.started_us;
        let millis = row.finished_us / 1000 - row.started_us / 1000;
        total.count += 1;
        total.duration_us = total.duration_us.saturating_add(micros);
        total.self_us = total.self_us.saturating_add(self_us);
        total.duration_ms = total.duration_ms.saturating_add(millis);
        total.maximum_us = total.maximum_us.max(micros);
        total.errors += u64::from(row.has_error);
    }
    totals
}

/// The totals by service, in order of first appearance.
pub(crate) fn by_service(
    notifications: &Notifications,
    points: &[PointRow],
    self_us: &[i64],
) -> Vec<ServiceTotal> {
    let mut totals: Vec<ServiceTotal> = Vec::new();
    let mut positions: HashMap<_, usize> = HashMap::new();
    let service_of = |row: &PointRow| {
        let [_, _, project, service] = notifications.text_numbers(row.first as usize);
        [project, service]
    };
    for (row, &self_us) in points.iter().zip(self_us) {
        let service = service_of(row);
        let position = *positions.entry(service).or_insert_with(|| {
            let first = notifications.get(row.first as usize);
            totals.push(ServiceTotal {
                project: first.project.map(Box::from),
                service: first.service.map(Box::from),
                count: 0,
                duration_us: 0,
                self_us: 0,
                errors: 0,
            });
            totals.len() - 1
        });
        let total = &mut totals[position];
        total.count += 1;
        total.self_us = total.self_us.saturating_add(self_us);
        total.errors += u64::from(row.has_error);
        let is_inner = points
            .get(row.parent as usize)
            .is_some_and(|parent| service_of(parent) == service);
        if !is_inner {
            let duration_us = row.finished_us - row.started_us;
            total.duration_us = total.duration_us.saturating_add(duration_us);
        }
    }
    totals
}
