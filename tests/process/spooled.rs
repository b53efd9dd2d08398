// SPDX-License-Identifier: Apache-2.0
//! Outages that outlast memory or the process, with a folder for what waits: it is there when the process has ended, a later one sends it,
//! and what a disk or its bound did not take is counted.

use std::path::{Path, PathBuf};

use crate::harness::{Program, Stored};
use crate::stores;

/// Nobody sees its end: a test in which somebody waits for it hangs.
const A_DAY_MS: u64 = 24 * 3600 * 1000;

/// A folder for the store, which is not there yet, and one for files.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("spool")).unwrap();
        Self { folder }
    }

    fn stores(&self) -> Vec<String> {
        stores(&self.folder.path().join("store"))
    }

    fn set_down(&self) {
        let _ = std::fs::remove_dir_all(self.folder.path().join("store"));
    }

    fn set_up(&self) {
        std::fs::create_dir(self.folder.path().join("store")).unwrap();
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.spool()).unwrap().count()
    }

    /// How many processes have files of their own there, however many batches each made of what it recorded.
    fn owners_with_files(&self) -> usize {
        let files = std::fs::read_dir(self.spool()).unwrap();
        let names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let owners = names.iter().filter_map(|name| name.strip_suffix(".owner"));
        owners
            .filter(|owner| {
                let batch = format!("{owner}-");
                names.iter().any(|name| name.starts_with(&batch))
            })
            .count()
    }

    /// A program with so many MiB for files.
    fn start(&self, store: &str, mib: u64) -> Program {
        start(store, mib, &self.spool())
    }
}

fn start(store: &str, mib: u64, spool: &Path) -> Program {
    let mut program = Program::start(store);
    program.ask(&format!("exit-deadline {A_DAY_MS}"));
    program.ask(&format!("bounds 1 {mib} {}", spool.display()));
    program
}

#[test]
fn what_waits_when_a_process_ends_is_sent_by_the_next_and_nobody_waits() {
    let scene = Scene::new();
    for end in ["return", "exit", "_exit", "SIGTERM"] {
        for store in scene.stores() {
            scene.set_down();
            let mut program = scene.start(&store, 64);
            program.ask("record 500");
            program.ask("handle-sigterm");
            let done = match end {
                "SIGTERM" => program.signal("-TERM"),
                end => program.end(end),
            };
            assert!(done.status.success(), "{end}, {store}: {}", done.stderr);
            let told = "osprofiler: 1000 trace notifications are in files: the next process";
            assert!(
                done.stderr.contains(told),
                "{end}, {store}: {}",
                done.stderr
            );

            scene.set_up();
            let mut next = scene.start(&store, 64);
            next.ask("record 10");
            let numbers = next.await_numbers(|numbers| numbers.adopted == 1_000);
            assert_eq!((numbers.recorded, numbers.lost), (20, 0), "{end}, {store}");
            assert!(next.end("return").status.success());
            let stored = Stored::read(&store);
            assert_eq!(stored.notifications(), 1_020, "{end}, {store}");
            assert_eq!((stored.open(), stored.lost(), scene.files()), (0, 0, 0));
        }
    }
}

#[test]
fn ten_minutes_of_outage_fit_into_files_and_are_stored_in_order() {
    let scene = Scene::new();
    for store in scene.stores() {
        scene.set_down();
        let mut program = scene.start(&store, 64);
        for _ in 0..60 {
            program.ask("record 500");
            program.ask("pass 10");
        }
        program.await_numbers(|numbers| numbers.spooled > 30_000);
        scene.set_up();
        program.ask("pass 10");
        let numbers = program.numbers("flush");
        assert_eq!(numbers.recorded, 60_000, "{store}");
        assert_eq!(
            (numbers.stored, numbers.spooled, numbers.lost),
            (60_000, 0, 0)
        );
        assert!(program.end("return").status.success());
        let stored = Stored::read(&store);
        assert_eq!(stored.traces[0].numbers, (0..30_000).collect::<Vec<_>>());
        assert_eq!(scene.files(), 0);
    }
}

#[test]
fn what_files_do_not_hold_is_counted_and_the_traces_say_so() {
    let scene = Scene::new();
    for store in scene.stores() {
        scene.set_down();
        let mut program = scene.start(&store, 1);
        for _ in 0..60 {
            program.ask("record 500");
            program.ask("pass 10");
        }
        let numbers = program.await_numbers(|numbers| numbers.by_reason.contains_key("queue_full"));
        assert!(numbers.spooled > 0, "{numbers:?}");
        scene.set_up();
        program.ask("pass 10");
        let numbers = program.numbers("flush");
        assert_eq!(
            (numbers.recorded, numbers.waiting, numbers.spooled),
            (60_000, 0, 0)
        );
        assert_eq!(
            numbers.recorded,
            numbers.stored + numbers.lost,
            "{numbers:?}"
        );
        assert!(program.end("return").status.success());
        let stored = Stored::read(&store);
        assert_eq!(
            (stored.notifications(), stored.lost()),
            (numbers.stored, numbers.lost)
        );
    }
}

#[test]
fn a_child_has_files_of_its_own_and_does_not_keep_its_parents_from_others() {
    let scene = Scene::new();
    for store in scene.stores() {
        scene.set_down();
        let mut parent = scene.start(&store, 64);
        parent.ask("record 100");
        parent.ask("pass 10");
        parent.await_numbers(|numbers| numbers.spooled == 200);
        // Two that record and end, and one that outlives its parent.
        assert_eq!(parent.ask("fork 2 50"), "failed=0");
        let path = scene.folder.path().join("lives");
        let lives = std::fs::File::create(&path).unwrap();
        lives.lock().unwrap();
        parent.ask(&format!("fork-idle {}", path.display()));
        drop(parent.signal("-KILL"));
        assert_eq!(scene.owners_with_files(), 3);
        scene.set_up();
        let mut next = scene.start(&store, 64);
        next.ask("record 1");
        let numbers = next.await_numbers(|numbers| numbers.adopted == 400);
        assert_eq!((numbers.recorded, numbers.lost), (2, 0), "{store}");
        assert!(next.end("return").status.success());
        assert_eq!(Stored::read(&store).notifications(), 402, "{store}");
        assert_eq!(scene.files(), 0);
    }
}

#[test]
fn a_folder_that_is_not_there_is_told_and_costs_the_program_nothing() {
    let scene = Scene::new();
    let missing = scene.folder.path().join("missing");
    for store in scene.stores() {
        scene.set_down();
        let mut program = start(&store, 64, &missing);
        program.ask("exit-deadline 3000");
        program.ask("record 50");
        let end = program.end("return");
        assert!(end.status.success());
        let told = "100 trace notifications are lost";
        assert!(end.stderr.contains(told), "{store}: {}", end.stderr);
        // Once, and nobody is promised what will not be.
        let missing = missing.display().to_string();
        let told = format!("`{missing}` can keep nothing");
        assert!(end.stderr.contains(&told), "{store}: {}", end.stderr);
        assert!(
            end.stderr.contains(": it does not exist; make it"),
            "{}",
            end.stderr
        );
        assert_eq!(end.stderr.matches(&missing).count(), 1, "{}", end.stderr);
    }
}
