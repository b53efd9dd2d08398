// SPDX-License-Identifier: Apache-2.0
//! What a store gave up by itself, evicted or gone with a file that somebody removed: counted and told.

use std::time::Duration;

use super::{Mood, Next, Outlet, Scene};
use crate::{Loss, LossReason};

fn gone(count: u64, reason: LossReason) -> Loss {
    Loss { count, reason }
}

impl Scene {
    fn close(&mut self) {
        let outlet = Outlet {
            tally: &self.tally,
            messages: &self.messages,
        };
        self.pipeline.close(outlet);
    }
}

#[test]
fn what_a_store_gave_up_by_itself_is_counted() {
    let mut scene = Scene::new(1);
    scene.record(1, "B", 10);
    scene.pass(0);
    scene.stores[0].with(|inner| {
        inner.given_up = vec![
            gone(4, LossReason::StoreRemoved),
            gone(2, LossReason::Refused),
            gone(50, LossReason::Evicted),
        ];
    });
    scene.record(1, "B", 1);
    scene.pass(2_000);
    assert_eq!(
        scene.lost(),
        [(2, LossReason::Refused), (4, LossReason::StoreRemoved)]
    );
    assert_eq!(
        (scene.counters().stored(), scene.counters().evicted()),
        (5, 50)
    );
    assert_eq!(scene.told(0), []);
    // Evictions go on with each batch, and are told once a minute.
    for _ in 0..6 {
        let evicted = gone(7, LossReason::Evicted);
        scene.stores[0].with(|inner| inner.given_up = vec![evicted]);
        scene.record(1, "B", 1);
        scene.pass(19_000);
    }
    let removed = "`test:0` was removed: 4 trace notifications that this process had written were in it and are lost";
    let evicted = "`test:0` has reached its `max_size`: it removed its oldest traces, N notifications; a larger one keeps them longer";
    let evicted = |count: &str| evicted.replace('N', count);
    assert_eq!(scene.texts(), [removed, &evicted("50"), &evicted("28")]);
    // Nothing more is lost, and nothing comes.
    let left = gone(1, LossReason::StoreRemoved);
    scene.stores[0].with(|inner| inner.given_up = vec![left]);
    scene.record(1, "B", 1);
    let next = scene.pass(0);
    let removed = removed.replace('4', "1");
    assert_eq!(scene.texts(), [&*removed]);
    assert_eq!(next, Next::At(Duration::from_secs(120)));
    assert_eq!(scene.pass(60_000), Next::Never);
    assert_eq!(scene.texts(), [evicted("14")]);
}

#[test]
fn what_is_untold_of_it_is_told_at_the_end_and_not_at_each_closing() {
    let mut scene = Scene::new(1);
    let lose = |scene: &mut Scene| {
        let lost = [LossReason::StoreRemoved, LossReason::Evicted].map(|reason| gone(3, reason));
        scene.stores[0].with(|inner| inner.given_up = lost.to_vec());
        scene.record(1, "B", 1);
        scene.pass(0);
    };
    lose(&mut scene);
    assert_eq!(scene.texts().len(), 2);
    lose(&mut scene);
    scene.close();
    assert_eq!(scene.texts(), [""; 0]);
    scene.keep();
    scene.close();
    let texts = scene.texts();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts.iter().all(|text| text.contains(" 3 ")), "{texts:?}");
}

#[test]
fn a_store_that_was_removed_and_comes_back_has_not_lost_nothing() {
    let mut scene = Scene::new(1);
    let mut told_of_fault = |given_up, end| {
        scene.stores[0].with(|inner| (inner.write, inner.given_up) = (Mood::IsDown, given_up));
        scene.record(1, "B", 1);
        scene.pass(500);
        scene.stores[0].with(|inner| inner.write = Mood::Takes);
        scene.pass(61_000);
        let texts = scene.texts();
        assert!(texts.last().unwrap().ends_with(end), "{texts:?}");
        texts.len()
    };
    let removed = vec![gone(4, LossReason::StoreRemoved)];
    let lost = " s: 4 were lost, their traces say so";
    assert_eq!(told_of_fault(removed, lost), 3);
    assert_eq!(told_of_fault(vec![], " s: nothing was lost"), 2);
}
