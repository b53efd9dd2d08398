// SPDX-License-Identifier: Apache-2.0
//! A program that records into several stores at once: each gets everything, whatever becomes of the others.

use std::path::Path;

use crate::harness::{Numbers, Program, Stored};

/// Two stores below `folder`, each in a folder of its own that is not there yet.
fn two_stores(folder: &Path) -> [String; 2] {
    let path = |name: &str| folder.join(name).join("trace").display().to_string();
    [
        format!("file://{}", path("file")),
        format!("sqlite://{}", path("sqlite")),
    ]
}

fn make_folder(folder: &Path, name: &str) {
    std::fs::create_dir(folder.join(name)).unwrap();
}

fn check(numbers: &Numbers, recorded: u64, stored: u64, waiting: u64) {
    assert_eq!(
        (numbers.recorded, numbers.stored, numbers.waiting),
        (recorded, stored, waiting),
        "{numbers:?}"
    );
    assert_eq!(recorded, stored + waiting + numbers.lost, "{numbers:?}");
}

#[test]
fn one_store_is_down_and_the_other_gets_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let stores = two_stores(folder.path());
    for (down, up) in [(0, 1), (1, 0)] {
        let name = |place| ["file", "sqlite"][place];
        make_folder(folder.path(), name(up));
        let mut program = Program::start(&stores.join(", "));
        program.ask("record 500");
        program.await_numbers(|numbers| numbers.stored == 1000);
        for place in [0, 1] {
            let taken = if place == up { 1000 } else { 0 };
            let numbers = program.numbers(&format!("counters-of {place}"));
            check(&numbers, 1000, taken, 1000 - taken);
        }
        check(&program.numbers("counters"), 2000, 1000, 1000);
        assert_eq!(Stored::read(&stores[up]).notifications(), 1000);

        make_folder(folder.path(), name(down));
        program.ask("record 1");
        check(&program.numbers("flush"), 2004, 2004, 0);
        for store in &stores {
            let found = Stored::read(store);
            assert_eq!(found.traces.len(), 1, "{store}");
            assert_eq!((found.notifications(), found.lost()), (1002, 0), "{store}");
            assert_eq!(
                found.traces[0].numbers,
                (0..501).collect::<Vec<_>>(),
                "{store}"
            );
        }
        assert!(program.end("return").status.success());
        for name in ["file", "sqlite"] {
            std::fs::remove_dir_all(folder.path().join(name)).unwrap();
        }
    }
}

#[test]
fn a_store_that_is_down_at_exit_costs_the_other_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stores = two_stores(folder.path());
    make_folder(folder.path(), "sqlite");
    let mut program = Program::start(&stores.join(","));
    program.ask("exit-deadline 3000");
    program.ask("record 50");
    program.await_numbers(|numbers| numbers.stored == 100);
    let end = program.end("return");
    assert!(end.status.success());
    let told = format!(
        "100 trace notifications are lost: `{}` did not take them within 3000 ms of the process's end (with a `spool_folder`, what waits is kept in files and sent later)",
        stores[0]
    );
    assert!(end.stderr.contains(&told), "{}", end.stderr);
    assert!(!end.stderr.contains(&stores[1]), "{}", end.stderr);
    assert_eq!(Stored::read(&stores[1]).notifications(), 100);
}

#[test]
fn what_the_end_gives_up_is_the_loss_of_the_store_that_did_not_take_it() {
    let folder = tempfile::tempdir().unwrap();
    let stores = two_stores(folder.path());
    make_folder(folder.path(), "sqlite");
    let mut program = Program::start(&stores.join(","));
    program.ask("exit-deadline 3000");
    program.ask("record 50");
    program.await_numbers(|numbers| numbers.stored == 100);
    check(&program.numbers("end"), 200, 100, 0);
    for (place, stored) in [(0, 0), (1, 100)] {
        let numbers = program.numbers(&format!("counters-of {place}"));
        check(&numbers, 100, stored, 0);
    }
    assert!(program.end("_exit").status.success());
}

#[test]
fn a_string_that_names_no_store_is_told_and_the_others_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let store = format!("file://{}", path.display());
    let bad = [
        ("nope://u:s3cret@h", "no driver for the scheme `nope://`"),
        ("file:///x?sise=1", "the driver `file` has no option `sise`"),
        (
            "sqlite://:s3cret%ff@h",
            "is not UTF-8 after percent-decoding",
        ),
    ];
    for (bad, why) in bad {
        for list in [format!("{bad}, {store}"), format!("{store},{bad}")] {
            let mut program = Program::start(&list);
            program.ask("record 10");
            check(&program.numbers("flush"), 20, 20, 0);
            let messages = program.ask("messages");
            assert!(messages.contains(why), "{messages}");
            assert!(!messages.contains("s3cret"), "{messages}");
            assert!(program.end("return").status.success());
            assert_eq!(Stored::read(&store).notifications(), 20);
            std::fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn forked_children_write_to_both_stores() {
    let folder = tempfile::tempdir().unwrap();
    let stores = two_stores(folder.path());
    for name in ["file", "sqlite"] {
        make_folder(folder.path(), name);
    }
    let mut program = Program::start(&stores.join(", "));
    program.ask("record 20");
    program.ask("fork 3 10");
    program.numbers("flush");
    assert!(program.end("return").status.success());
    let both = stores.each_ref().map(|store| Stored::read(store));
    for stored in &both {
        assert_eq!((stored.notifications(), stored.lost()), (100, 0));
    }
    assert_eq!(both[0].traces.len(), both[1].traces.len());
}
