// SPDX-License-Identifier: Apache-2.0
//! Several stores beside one that fails: what the one does must not cost the others.

use super::{LIMITS, Mood, Scene};
use crate::delivery::queue::Next;
use crate::delivery::spool::Spool;

#[test]
fn a_second_store_is_served_while_the_first_is_down() {
    let mut scene = Scene::new(2);
    scene.stores[0].with(|inner| inner.write = Mood::IsDown);
    scene.record(3, "B", 20);
    scene.pass(1_000);
    assert_eq!(scene.names(1), (1..=20).collect::<Vec<_>>());
    let counters = scene.counters();
    assert_eq!((counters.recorded(), counters.waiting()), (40, 20));
    scene.stores[0].with(|inner| inner.write = Mood::Takes);
    scene.pass(10_000);
    assert_eq!(scene.names(0), scene.names(1));
}

#[test]
fn a_flush_serves_stores_that_answer_before_one_that_hangs() {
    let mut scene = Scene::new(2);
    // Store 0 hangs; store 1 has answered before the first call to it.
    scene.stores[0].with(|inner| (inner.write, inner.call_ms) = (Mood::IsDown, 5_000));
    scene.record(2, "B", 1);
    scene.pass(0);
    for tried in [false, true] {
        scene.record(3, "B", 30);
        scene.pipeline.mark();
        scene.pipeline.hurry();
        let before = scene.stores[0].with(|inner| inner.clock_ms);
        let stored = scene.counters().stored();
        for _ in 0..2 {
            assert_eq!(scene.step(), Next::Now);
            let now = scene.stores[0].with(|inner| inner.clock_ms);
            assert_eq!(now, before, "tried before: {tried}");
        }
        // With the last batch, it has its turn.
        scene.step();
        assert_eq!(scene.counters().stored(), stored + 30);
        assert!(scene.stores[0].with(|inner| inner.clock_ms) > before);
    }
}

#[test]
fn no_store_that_a_fork_would_harm_is_open_while_another_may_hang() {
    let mut scene = Scene::new(2);
    scene.stores[0].with(|inner| (inner.write, inner.call_ms) = (Mood::IsDown, 5_000));
    scene.record(2, "B", 1);
    scene.step();
    assert!(scene.pipeline.has_open_fragile_store());
    for turn in 1..=2 {
        scene.record(3, "B", 5);
        scene.pipeline.hurry();
        scene.step();
        assert!(!scene.pipeline.has_open_fragile_store());
        assert_eq!(scene.closed.get(), turn);
    }
    // While the one waits, the other is served and stays open.
    scene.record(3, "B", 5);
    scene.step();
    assert!(scene.pipeline.has_open_fragile_store());
    assert_eq!((scene.closed.get(), scene.names(1).len()), (2, 16));
    // Once it answers, both stay open.
    scene.stores[0].with(|inner| (inner.write, inner.call_ms) = (Mood::Takes, 0));
    scene.pass(60_000);
    scene.record(3, "B", 5);
    scene.pass(0);
    assert!(scene.pipeline.has_open_fragile_store());
    assert_eq!(scene.closed.get(), 3);
}

#[test]
fn at_the_end_a_store_that_is_down_is_left_alone_while_another_gets_what_others_left() {
    let folder = tempfile::tempdir().unwrap();
    let scene = || {
        let folder = folder.path().to_path_buf();
        Scene::with(2, LIMITS, move |number| {
            Some(Spool::new(&folder, 1 << 20, &format!("test:{number}")))
        })
    };
    let mut ended = scene();
    ended.stores[1].with(|inner| inner.open = Mood::IsDown);
    ended.record(2, "B", 50);
    ended.keep();
    drop(ended);

    let mut scene = scene();
    scene.stores[0].with(|inner| (inner.write, inner.call_ms) = (Mood::IsDown, 5_000));
    scene.record(3, "B", 1);
    scene.step();
    let calls = |scene: &Scene| scene.stores[0].with(|inner| inner.calls);
    let before = (calls(&scene), scene.closed.get());
    scene.pipeline.mark();
    let mut turns = 0;
    while !scene.pipeline.may_end() {
        scene.pipeline.hurry();
        scene.keep();
        scene.step();
        turns += 1;
        assert!(turns < 10, "the end is near");
    }
    assert!(turns > 3, "{turns}");
    assert_eq!((calls(&scene), scene.closed.get()), before);
    let counters = scene.counters();
    assert_eq!((counters.adopted(), counters.spooled()), (50, 1));
}
