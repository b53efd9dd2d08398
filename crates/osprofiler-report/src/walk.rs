// SPDX-License-Identifier: Apache-2.0
//! The way through a report's tree that every renderer takes: top to bottom, each point entered and left.
//!
//! The path lies in a vector, not on the call stack, so depth is bounded by memory only.

use crate::report::{PointId, Report};

/// One step through the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A point; its children come next.
    Enter(PointId),
    /// The same point, after its children.
    Leave(PointId),
}

/// The steps through a report's tree, from [`Report::walk`].
#[derive(Debug)]
pub struct Walk<'a> {
    report: &'a Report,
    path: Vec<PointId>,
    /// What is still to be entered at each level of the path and below it.
    rest: Vec<std::slice::Iter<'a, PointId>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(report: &'a Report) -> Self {
        Self {
            report,
            path: Vec::new(),
            rest: vec![report.roots().iter()],
        }
    }

    /// How many points have been entered and not left: 1 right after a root was entered.
    pub fn depth(&self) -> usize {
        self.path.len()
    }
}

impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some(&point) = self.rest.last_mut()?.next() {
            self.path.push(point);
            self.rest.push(self.report.children(point).iter());
            return Some(Step::Enter(point));
        }
        self.rest.pop();
        self.path.pop().map(Step::Leave)
    }
}
