// SPDX-License-Identifier: Apache-2.0
//! Futures that carry their context: it is current while they are polled, on whichever thread, and nowhere else.
//!
//! Works with every executor and depends on none. Points that a future leaves open between two polls (in futures that stay on
//! their thread) are current again at the next.

use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll};

use super::context::Context;
use super::point::OpenPoint;

/// Ways to put a future into a trace.
pub trait Traced: Future + Sized {
    /// Polls this future within `context`. Costs what attaching a [`Context`] does at each poll.
    ///
    /// ```
    /// use osprofiler::point;
    /// use osprofiler::recorder::{Context, Traced};
    ///
    /// async fn fetch() {
    ///     let _point = point!("fetch");
    /// }
    /// // What is spawned lies within the point that spawns it.
    /// let task = fetch().in_context(Context::capture());
    /// # fn spawn<F: Future + Send>(_: F) {}
    /// spawn(task);
    /// ```
    fn in_context(self, context: Context) -> InContext<Self> {
        InContext {
            future: self,
            context,
        }
    }

    /// Polls this future within `point`, which ends when the future is ready, or dropped. Costs what attaching a [`Context`] does at each poll.
    ///
    /// ```
    /// use osprofiler::{point, start};
    /// use osprofiler::recorder::Traced;
    ///
    /// async fn handle() -> u32 {
    ///     let _within = point!("db");
    ///     3
    /// }
    /// let request = handle().in_point(start!("request", {"path": "/images"}));
    /// # fn spawn<F: Future + Send>(_: F) {}
    /// spawn(request);
    /// ```
    fn in_point(self, point: OpenPoint) -> InPoint<Self> {
        InPoint {
            within: self.in_context(point.context()),
            point: Some(point),
        }
    }
}

impl<F: Future> Traced for F {}

/// A future that is polled within a [`Context`]; see [`Traced::in_context`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct InContext<F> {
    future: F,
    context: Context,
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        // SAFETY: `future` is pinned whenever `self` is: it is only reached here, through a pin, is not moved out, there is no `Drop`, and
        // `Unpin` is automatic. `context` is never pinned.
        let (future, context) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), &mut this.context)
        };
        context.visit(|| future.poll(task))
    }
}

/// A future that is polled within a point; see [`Traced::in_point`].
#[must_use = "a future does nothing unless it is polled"]
pub struct InPoint<F> {
    within: InContext<F>,
    point: Option<OpenPoint>,
}

impl<F: Future> Future for InPoint<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        // SAFETY: as for `InContext`, with `within` in the place of `future`.
        let (within, point) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.within), &mut this.point)
        };
        let output = within.poll(task);
        if output.is_ready() {
            drop(point.take());
        }
        output
    }
}
