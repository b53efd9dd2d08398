// SPDX-License-Identifier: Apache-2.0
//! How much of each point's time no point below it accounts for.
//!
//! ```text
//! point    |────────────────────|       0..20
//! children    |─────|   |──|            3..9 and 13..16
//!                |────|        |─────|  6..11 and 24..30: only what lies within the point counts, and once
//! self     |──|       |─|  |────|       3 + 2 + 4
//! ```
//!
//! What is left is never negative and never longer than the point. A point without a start or without a stop has no length: it has
//! no self time, and takes none from the point around it.

use crate::report::{PointId, PointRow};

/// The self time of each point in microseconds; `children` are [`Report::children`](crate::Report::children).
pub(crate) fn self_times(points: &[PointRow], children: &[PointId]) -> Vec<i64> {
    let mut intervals = Vec::new();
    points
        .iter()
        .map(|row| {
            let (begin, end) = row.children;
            intervals.clear();
            intervals.extend(
                children[begin as usize..end as usize]
                    .iter()
                    .map(|child| &points[child.index()])
                    .map(|child| (child.started_us, child.finished_us)),
            );
            uncovered((row.started_us, row.finished_us), &mut intervals)
        })
        .collect()
}

/// How much of the interval `whole` lies in none of `parts`, which come back sorted.
fn uncovered((begin, end): (i64, i64), parts: &mut [(i64, i64)]) -> i64 {
    parts.sort_unstable();
    let mut uncovered = 0;
    let mut reached = begin;
    for &mut (part_begin, part_end) in parts {
        if part_begin >= end {
            break;
        }
        uncovered += (part_begin - reached).max(0);
        // A part whose clock ran backwards ends before it begins, and covers nothing.
        reached = reached.max(part_begin).max(part_end);
    }
    uncovered + (end - reached).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_parts_cover_is_taken_off_once() {
        for (whole, parts, expected) in [
            ((0, 20), &[][..], 20),
            ((0, 20), &[(3, 9), (13, 16)], 11),
            ((0, 20), &[(13, 16), (6, 11), (3, 9), (24, 30)], 9),
            ((0, 20), &[(3, 9), (3, 9), (4, 5)], 14),
            ((0, 20), &[(0, 20)], 0),
            ((5, 10), &[(0, 7), (9, 12)], 2),
            ((5, 10), &[(0, 3), (12, 15)], 5),
            ((5, 10), &[(0, 15)], 0),
            ((5, 10), &[(7, 7)], 5),
            ((5, 10), &[(8, 6)], 5),
            ((5, 5), &[(0, 9)], 0),
            ((9, 5), &[(6, 8)], 0),
            ((9, 5), &[(0, 2)], 0),
        ] {
            assert_eq!(
                uncovered(whole, &mut parts.to_vec()),
                expected,
                "{whole:?} {parts:?}"
            );
        }
    }
}
