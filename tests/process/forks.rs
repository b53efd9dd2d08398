// SPDX-License-Identifier: Apache-2.0
//! Forks: parent and children store what they recorded themselves, once each, whatever was under way.

use crate::harness::{Program, Stored};
use crate::stores;

#[test]
fn a_fork_in_mid_queue_loses_nothing_and_stores_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        program.ask("record 300");
        assert_eq!(program.ask("fork 1 200"), "failed=0");
        program.ask("record 100");
        let numbers = program.numbers("flush");
        assert_eq!(
            (numbers.recorded, numbers.stored, numbers.lost),
            (800, 800, 0),
            "{store}"
        );
        assert!(program.end("return").status.success());
        check(&store, 400, &[200]);
    }
}

#[test]
fn a_fork_after_everything_was_stored_is_as_good() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        program.ask("record 300");
        program.ask("flush");
        assert_eq!(program.ask("fork 3 200"), "failed=0");
        program.ask("record 100");
        assert!(program.end("return").status.success());
        check(&store, 400, &[200, 200, 200]);
    }
}

#[test]
fn a_child_that_outlives_its_parent_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        program.ask("record 300");
        program.ask("flush");
        assert_eq!(program.ask("fork-orphan 200 100"), "left=true");
        // The end of the child too: it has the same standard error.
        assert!(program.end("return").status.success());
        check(&store, 300, &[300]);
    }
}

#[test]
fn sixteen_children_at_once_store_their_own() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        program.ask("record 100");
        assert_eq!(program.ask("fork 16 500"), "failed=0");
        assert!(program.end("exit 0").status.success());
        check(&store, 100, &[500; 16]);
    }
}

#[test]
fn a_worker_forked_before_anything_was_recorded_needs_no_call() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        assert_eq!(program.ask("fork 2 50"), "failed=0");
        let numbers = program.numbers("counters");
        assert_eq!((numbers.recorded, numbers.stored), (0, 0));
        assert!(program.end("return").status.success());
        check(&store, 0, &[50, 50]);
    }
}

#[test]
fn forks_beside_a_thread_that_records_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        program.ask("thread");
        for _ in 0..5 {
            assert_eq!(program.ask("fork 2 20"), "failed=0");
        }
        program.await_numbers(|numbers| numbers.stored > 100);
        assert!(program.end("exit 0").status.success());
        let stored = Stored::read(&store);
        let children = stored
            .traces
            .iter()
            .filter(|trace| trace.numbers.len() == 20);
        assert_eq!(children.count(), 10, "{store}");
    }
}

#[test]
fn a_fork_while_the_store_hangs_goes_ahead_and_the_parent_loses_nothing() {
    let mut program = Program::start("own:gate");
    program.ask("record 10");
    program.await_numbers(|numbers| numbers.waiting == 20);
    assert_eq!(program.ask("exit-deadline 10"), "set");
    // The children's gate stays closed: they lose what they recorded, and end.
    assert_eq!(program.ask("fork 1 10"), "failed=0");
    program.ask("open-gate");
    let numbers = program.numbers("flush");
    assert_eq!(
        (numbers.recorded, numbers.stored, numbers.lost),
        (20, 20, 0)
    );
}

#[test]
fn children_of_a_fork_that_no_handler_saw_draw_ids_of_their_own_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        assert_eq!(program.ask("fork-unseen 2 50"), "stored=2 lost=0");
        // Drawn where the children drew theirs.
        program.ask("trace");
        program.ask("record 50");
        assert!(program.end("return").status.success());
        check(&store, 50, &[50, 50]);
    }
}

#[test]
fn children_of_a_fork_that_no_handler_saw_leave_their_parents_stores_alone() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        program.ask("record 300");
        // The store stays open.
        program.ask("flush");
        let survives = store.starts_with("file:");
        let (expected, children) = if survives {
            ("stored=3 lost=0", &[20; 3][..])
        } else {
            ("stored=0 lost=3", &[][..])
        };
        assert_eq!(program.ask("fork-unseen 3 20"), expected, "{store}");
        program.ask("record 100");
        let numbers = program.numbers("flush");
        assert_eq!(
            (numbers.recorded, numbers.stored, numbers.lost),
            (800, 800, 0),
            "{store}"
        );
        assert!(program.end("return").status.success());
        check(&store, 400, children);
    }
}

/// The parent's trace and the children's have those numbers of points, each closed.
fn check(store: &str, parent: u64, children: &[u64]) {
    let stored = Stored::read(store);
    let mut found: Vec<u64> = stored
        .traces
        .iter()
        .map(|trace| trace.notifications)
        .collect();
    let mut expected: Vec<u64> = children.iter().map(|points| points * 2).collect();
    expected.extend((parent > 0).then_some(parent * 2));
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{store}");
    assert_eq!((stored.open(), stored.lost()), (0, 0), "{store}");
}
