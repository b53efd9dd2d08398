// SPDX-License-Identifier: Apache-2.0
//! Which events say what their words are as numbers. That equal numbers are equal words, all tests in `recorder.rs` look at.
//!
//! Recorder and sweeper are one a process, so this test has one of its own.

use osprofiler::recorder::{Context, Origin, Point, Sweeper};
use osprofiler::{point, stop};

#[test]
fn only_what_a_record_brings_has_no_number() {
    let origin = Origin::register(Some("shop"), Some("api"), "h").unwrap();
    let trace = Context::new_trace(origin).attach();
    let value = 1;
    stop!(point!("plain"));
    stop!(point!("constant", {"a": 1}), {"b": {"c": true}});
    stop!(point!("value", {"a": value}), {"a": value});
    Point::named("named").fail_with("etype", "message");
    drop(Point::named(&"x".repeat(300)));
    drop(trace);
    let mut numbered = Vec::new();
    Sweeper::new().sweep(&mut |event| {
        numbered.push(event.wording.map(|wording| wording.info.is_some()));
    });
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(
        numbered,
        [yes, yes, yes, yes, no, no, yes, no, None, None],
        "the number of the info, if the name has one"
    );
}
