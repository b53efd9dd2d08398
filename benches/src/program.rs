// SPDX-License-Identifier: Apache-2.0
//! A program of many call sites: each case stands 64 times in the text, ours and fastrace's alike, so that neither gains from
//! the compiler pulling the only use of a function into its caller.
//!
//! Every function here does 1,024 points (102 nests of 10).

use std::hint::black_box;

use fastrace::Span;
use fastrace::local::LocalSpan;
use fastrace::prelude::SpanContext;
use osprofiler::point;
use osprofiler::recorder::{Context, Origin};

macro_rules! four {
    ($body:tt) => {{
        $body;
        $body;
        $body;
        $body;
    }};
}

macro_rules! many {
    ($body:tt) => {
        for _ in 0..16 {
            four!({ four!({ four!({ $body }) }) })
        }
    };
}

/// The points of a `many!`.
pub(crate) const POINTS: u32 = 1024;

pub(crate) fn origin() -> Origin {
    let origin = Origin::register(Some("bench"), Some("record"), "host-1");
    origin.expect("the table of origins has room")
}

pub(crate) mod ours {
    use super::{Context, black_box, origin, point};

    pub(crate) fn flat() {
        many!({
            let _point = point!("flat");
        });
    }

    pub(crate) fn constants() {
        many!({
            let _point = point!("constants", {"method": "GET", "path": "/v2/images"});
        });
    }

    pub(crate) fn values() {
        let (method, path) = black_box(("GET", String::from("/v2/images/17")));
        many!({
            let _point = point!("values", {"method": method, "path": path});
        });
    }

    pub(crate) fn roots() {
        let origin = black_box(origin());
        many!({
            let _trace = Context::new_trace(origin).attach();
            let _root = point!("root");
            let _child = point!("child");
        });
    }

    pub(crate) fn nested() {
        for _ in 0..102 {
            let _level_1 = point!("1");
            let _level_2 = point!("2");
            let _level_3 = point!("3");
            let _level_4 = point!("4");
            let _level_5 = point!("5");
            let _level_6 = point!("6");
            let _level_7 = point!("7");
            let _level_8 = point!("8");
            let _level_9 = point!("9");
            let _level_10 = point!("10");
        }
    }
}

pub(crate) mod peer {
    use super::{LocalSpan, Span, SpanContext, black_box};

    pub(crate) fn flat() {
        many!({
            let _span = LocalSpan::enter_with_local_parent("flat");
        });
    }

    pub(crate) fn constants() {
        many!({
            let _span = LocalSpan::enter_with_local_parent("constants")
                .with_properties(|| [("method", "GET"), ("path", "/v2/images")]);
        });
    }

    pub(crate) fn values() {
        let (method, path) = black_box(("GET", String::from("/v2/images/17")));
        many!({
            let _span = LocalSpan::enter_with_local_parent("values")
                .with_properties(|| [("method", method.to_owned()), ("path", path.clone())]);
        });
    }

    pub(crate) fn roots() {
        many!({
            let root = Span::root("root", SpanContext::random());
            let _parent = root.set_local_parent();
            let _child = LocalSpan::enter_with_local_parent("child");
        });
    }

    pub(crate) fn nested() {
        for _ in 0..102 {
            let _level_1 = LocalSpan::enter_with_local_parent("1");
            let _level_2 = LocalSpan::enter_with_local_parent("2");
            let _level_3 = LocalSpan::enter_with_local_parent("3");
            let _level_4 = LocalSpan::enter_with_local_parent("4");
            let _level_5 = LocalSpan::enter_with_local_parent("5");
            let _level_6 = LocalSpan::enter_with_local_parent("6");
            let _level_7 = LocalSpan::enter_with_local_parent("7");
            let _level_8 = LocalSpan::enter_with_local_parent("8");
            let _level_9 = LocalSpan::enter_with_local_parent("9");
            let _level_10 = LocalSpan::enter_with_local_parent("10");
        }
    }
}
