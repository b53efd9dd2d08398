// SPDX-License-Identifier: Apache-2.0
//! What a writer does that may wait: after each batch, at nobody's cost.

use super::{Mood, Scene};

#[test]
fn a_writer_tidies_after_each_batch_and_not_once_the_process_ends() {
    let mut scene = Scene::new(1);
    let tidied = |scene: &Scene| scene.stores[0].with(|inner| inner.tidied);
    scene.record(1, "B", 25);
    scene.pass(0);
    assert_eq!(tidied(&scene), 3);
    scene.stores[0].with(|inner| inner.write = Mood::IsDown);
    scene.record(1, "B", 10);
    scene.pass(0);
    assert_eq!(tidied(&scene), 3, "nothing was written");
    scene.stores[0].with(|inner| inner.write = Mood::Takes);
    scene.keep();
    scene.pass(60_000);
    assert_eq!((scene.counters().stored(), tidied(&scene)), (35, 3));
}

#[test]
fn a_batch_is_stored_whatever_becomes_of_tidying() {
    let mut scene = Scene::new(1);
    scene.stores[0].with(|inner| inner.tidy = Mood::Panics);
    scene.record(1, "B", 10);
    scene.pass(0);
    let counters = scene.counters();
    assert_eq!((counters.stored(), counters.lost()), (10, 0));
    assert_eq!(
        scene.texts(),
        [
            "the driver of `test:0` failed unexpectedly after it had stored what it had in hand (this is a defect): nothing is lost, the program is not affected"
        ]
    );
    scene.stores[0].with(|inner| inner.tidy = Mood::Takes);
    scene.record(1, "B", 10);
    scene.pass(60_000);
    assert_eq!(scene.counters().stored(), 20);
    assert_eq!(scene.stores[0].with(|inner| inner.opened), 2);
}
