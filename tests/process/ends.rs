// SPDX-License-Identifier: Apache-2.0
//! How a process can end: each way that runs C exit handlers stores everything, within a deadline; the way that does not
//! leaves what was stored until then.

use crate::harness::{Program, Stored};
use crate::stores;

#[test]
fn every_end_that_runs_exit_handlers_stores_everything() {
    for end in ["return", "exit", "SIGTERM"] {
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
    let mut program = Program::start("own:gate");
    program.ask("record 10");
    program.ask("exit-deadline 100");
    let end = program.end("exit 3");
    assert_eq!(end.status.code(), Some(3));
    assert_eq!(
        end.stderr,
        "osprofiler: 20 trace notifications are lost: the store did not take them within 100 ms of the process's end\n"
    );
}

#[test]
fn a_store_that_is_down_at_exit_costs_the_deadline_once_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(&folder.path().join("missing")) {
        let mut program = Program::start(&store);
        program.ask("record 10");
        program.ask("exit-deadline 1000");
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
    std::fs::write(folder.path().join("file"), "").unwrap();
    for store in stores(&folder.path().join("file")) {
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
        let end = Program::start(&store).end("return");
        assert!(end.status.success());
        assert_eq!(end.stderr, "");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
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
