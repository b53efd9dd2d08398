// SPDX-License-Identifier: Apache-2.0
//! What a flush waits for, and what it does not.

use std::time::Duration;

use super::{Mood, Scene};
use crate::LossReason;
use crate::delivery::queue::Outlet;

#[test]
fn a_store_that_cannot_be_opened_for_good_does_not_hold_up_a_flush() {
    let mut scene = Scene::new(1);
    scene.stores[0].with(|inner| inner.open = Mood::Refuses);
    scene.record(1, "B", 5);
    scene.pipeline.mark();
    assert!(!scene.pipeline.is_past_mark());
    scene.pass(0);
    assert!(scene.pipeline.is_past_mark());
    scene.stores[0].with(|inner| inner.open = Mood::Takes);
    scene.record(1, "C", 1);
    scene.pass(2_000);
    assert_eq!(
        scene.told(0),
        [(Some("B".to_owned()), 5, LossReason::Refused)]
    );
}

#[test]
fn a_flush_ends_although_others_go_on_recording() {
    let mut scene = Scene::new(1);
    scene.record(1, "B", 25);
    scene.pipeline.mark();
    for _ in 0..3 {
        assert!(!scene.pipeline.is_past_mark());
        // Ten leave with each step, and as many come.
        scene.record(1, "C", 10);
        let outlet = Outlet {
            tally: &scene.tally,
            messages: &scene.messages,
        };
        scene.pipeline.step(&|| Duration::ZERO, outlet, &|| {});
    }
    assert!(scene.pipeline.is_past_mark());
    assert_eq!(scene.pipeline.len(), 25);
}
