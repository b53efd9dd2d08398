// SPDX-License-Identifier: Apache-2.0
//! How a process can end: each way that runs C exit handlers, or asks delivery to end, stores everything, within a deadline; the
//! way that does neither leaves what was stored until then.

use crate::harness::{Program, Stored};
use crate::stores;

/// Nobody sees its end: a test in which somebody waits for it hangs.
const A_DAY_MS: u64 = 24 * 3600 * 1000;

#[test]
fn every_end_that_runs_exit_handlers_or_asks_stores_everything() {
    for end in ["return", "exit", "_exit", "SIGTERM"] {
        let folder = tempfile::tempdir().unwrap();
        for store in stores(folder.path()) {
            let mut program = Program::start(&store);
            program.ask("record 1000");
            program.ask("open");
            let done = if end == "SIGTERM" {
                program.ask("handle-sigterm");
                program.signal("-TERM")
            } else {
                program.end(end)
            };
            assert!(
                done.status.success(),
                "{end}, {store}: {:?} {}",
                done.status,
                done.stderr
            );
            assert_eq!(done.stderr, "", "{end}, {store}");
            let stored = Stored::read(&store);
            assert_eq!(
                (stored.notifications(), stored.open()),
                (2_001, 1),
                "{store}"
            );
        }
    }
}

#[test]
fn exit_beside_a_thread_that_records_stores_a_trace_without_holes() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        program.ask("thread");
        program.await_numbers(|numbers| numbers.recorded > 1_000);
        let end = program.end("exit 7");
        assert_eq!(end.status.code(), Some(7), "{store}");
        let stored = Stored::read(&store);
        assert!(stored.notifications() > 1_000, "{store}");
        check_no_holes(&stored, &store);
    }
}

#[test]
fn kill_9_leaves_everything_that_was_stored_until_then() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        program.ask("record 500");
        // Nobody flushes: that they get there within a sweep is what keeps a kill's loss small.
        program.await_numbers(|numbers| numbers.stored == 1_000);
        program.ask("thread");
        let last = program.await_numbers(|numbers| numbers.stored > 2_000);
        let end = program.signal("-KILL");
        assert!(!end.status.success());
        let stored = Stored::read(&store);
        assert!(stored.notifications() >= last.stored, "{store}");
        check_no_holes(&stored, &store);
    }
}

#[test]
fn a_store_that_hangs_at_exit_costs_the_deadline_once_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let spool = format!(" {}", folder.path().display());
    let advice = " (with a `spool_folder`, what waits is kept in files and sent later)";
    // What a store holds up in its first call is in no file: who has a folder gets no advice that is taken already.
    for (command, spool, advice) in [
        ("exit 3", "", advice),
        ("_exit 3", "", advice),
        ("exit 3", &*spool, ""),
    ] {
        let mut program = Program::start("own:gate");
        program.ask(&format!("bounds 64 64{spool}"));
        program.ask("record 10");
        program.ask("try-flush 1");
        program.await_answer("driver", |answer| answer == "calls=1 taken=0 told=0");
        program.ask("exit-deadline 100");
        let end = program.end(command);
        assert_eq!(end.status.code(), Some(3), "{command}{spool}");
        let told = "20 trace notifications are lost: `own:gate` did not take them within 100 ms of the process's end";
        assert_eq!(
            end.stderr,
            format!("osprofiler: {told}{advice}\n"),
            "{command}{spool}"
        );
    }
}

#[test]
fn workers_that_end_without_exit_handlers_store_their_own_and_nothing_of_their_parents() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        program.ask("record 300");
        assert_eq!(program.ask("fork-workers 3 200"), "failed=0");
        // These have recorded nothing, and their parent's things may be waiting still.
        program.ask("record 100");
        assert_eq!(program.ask("fork-workers 2 0"), "failed=0");
        let numbers = program.numbers("flush");
        assert_eq!((numbers.stored, numbers.lost), (800, 0), "{store}");
        assert!(program.end("_exit").status.success());
        let mut found: Vec<u64> = Stored::read(&store)
            .traces
            .iter()
            .map(|trace| trace.notifications)
            .collect();
        found.sort_unstable();
        assert_eq!(found, [400, 400, 400, 800], "{store}");
    }
}

#[test]
fn a_worker_that_recorded_nothing_does_not_wait_for_its_parents_store() {
    let mut program = Program::start("own:gate");
    program.ask(&format!("exit-deadline {A_DAY_MS}"));
    program.ask("record 10");
    program.await_numbers(|numbers| numbers.waiting == 20);
    assert_eq!(program.ask("fork-workers 2 0"), "failed=0");
    program.ask("open-gate");
    let numbers = program.numbers("flush");
    assert_eq!((numbers.stored, numbers.lost), (20, 0));
}

#[test]
fn a_process_that_lives_on_after_the_end_of_its_delivery_waits_for_it_no_more() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let mut program = Program::start(&store);
        program.ask(&format!("exit-deadline {A_DAY_MS}"));
        program.ask("record 10");
        for _ in 0..2 {
            let numbers = program.numbers("end");
            assert_eq!((numbers.stored, numbers.waiting), (20, 0), "{store}");
        }
        program.ask("record 5");
        let numbers = program.numbers("flush");
        assert_eq!((numbers.stored, numbers.waiting), (20, 10), "{store}");
        // A child has a delivery of its own, and a store that it may open: nobody had to be asked to stand aside.
        assert_eq!(program.ask("fork 1 50"), "failed=0");
        let end = program.end("exit 0");
        assert!(end.status.success(), "{store}");
        assert_eq!(end.stderr, "", "{store}");
        assert_eq!(Stored::read(&store).notifications(), 120, "{store}");
    }
}

#[test]
fn what_comes_while_the_end_is_under_way_is_counted() {
    let mut program = Program::start("own:down");
    program.ask("record 10");
    // The driver submits one more while it takes them, in the end's own flush or before.
    let numbers = program.numbers("end");
    assert_eq!((numbers.recorded, numbers.waiting), (21, 0), "{numbers:?}");
    assert!(numbers.stored >= 20, "{numbers:?}");
    let end = program.end("return");
    let told = end
        .stderr
        .contains("recorded too late to come as far as a store");
    assert_eq!(told, numbers.lost > 0, "{}", end.stderr);
}

#[test]
fn a_store_that_is_down_at_exit_costs_the_deadline_once_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(&folder.path().join("missing")) {
        let mut program = Program::start(&store);
        program.ask("record 10");
        program.ask("exit-deadline 3000");
        let end = program.end("return");
        assert!(end.status.success(), "{store}");
        // Why, before how many.
        let start = format!("osprofiler: cannot store trace notifications in `{store}`: ");
        assert!(end.stderr.starts_with(&start), "{}", end.stderr);
        assert!(
            end.stderr.contains("20 trace notifications are lost"),
            "{store}: {}",
            end.stderr
        );
    }
}

#[test]
fn what_nobody_has_logged_is_said_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        // A folder never becomes a file, so nothing waits.
        let (_, path) = store.split_once("://").unwrap();
        std::fs::create_dir(path).unwrap();
        let mut program = Program::start(&store);
        program.ask("record 10");
        let end = program.end("return");
        assert!(end.status.success(), "{store}");
        let start = format!("osprofiler: cannot store trace notifications in `{store}`: ");
        assert!(end.stderr.starts_with(&start), "{}", end.stderr);
        assert_eq!(end.stderr.lines().count(), 1, "{}", end.stderr);
    }
}

#[test]
fn a_process_that_recorded_nothing_ends_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        for command in ["return", "_exit"] {
            let end = Program::start(&store).end(command);
            assert!(end.status.success());
            assert_eq!(end.stderr, "");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}

/// Every trace of numbered points is there from its first point up to some later one, but for what it says is lost: a
/// thread that does nothing but record may be faster than any store.
fn check_no_holes(stored: &Stored, store: &str) {
    for trace in &stored.traces {
        assert!(trace.numbers.is_sorted(), "{store}");
        let points = trace.numbers.last().map_or(0, |last| last + 1);
        let missing = points - trace.numbers.len() as u64;
        assert!(
            missing <= trace.lost && trace.open <= 1 + trace.lost,
            "{store}: {missing} points are missing and {} open, {} notifications are told to be lost",
            trace.open,
            trace.lost
        );
    }
}
