// SPDX-License-Identifier: Apache-2.0
//! Stores that fail while a program records: it is unaffected, recorded = stored + lost, and the store is told the loss.

use std::path::Path;
use std::process::Command;

use crate::harness::{Numbers, Program, Stored};
use crate::stores;

/// More events than the recorder's memory (32 MiB of 64-byte slots) holds.
const TOO_MANY_POINTS: u64 = 400_000;

#[test]
fn recording_goes_on_while_the_store_hangs() {
    let mut program = Program::start("own:gate");
    program.ask("record 1");
    program.await_numbers(|numbers| numbers.waiting == 2);
    // The driver hangs at its gate, which opens only after all this was recorded and answered.
    program.ask("record 10000");
    let numbers = program.numbers("counters");
    assert_eq!((numbers.recorded, numbers.stored), (20_002, 0));
    program.ask("open-gate");
    let numbers = program.numbers("flush");
    assert_eq!((numbers.stored, numbers.lost), (20_002, 0));
}

#[test]
fn beyond_the_recorders_memory_the_loss_is_counted_and_told() {
    let mut program = Program::start("own:gate");
    program.ask("record 1");
    let driver = |program: &mut Program| program.ask("driver");
    program.await_answer("driver", |answer| answer.starts_with("calls=1 "));
    program.ask(&format!("record {TOO_MANY_POINTS}"));
    program.ask("open-gate");
    let numbers = program.numbers("flush");
    balanced(&numbers, "a store that hangs");
    assert_eq!(numbers.recorded, 2 * TOO_MANY_POINTS + 2);
    assert_eq!(numbers.by_reason["memory_full"], numbers.lost);
    assert_eq!(
        driver(&mut program).split_once(' ').unwrap().1,
        format!("taken={} told={}", numbers.stored, numbers.lost)
    );
}

#[test]
fn a_driver_that_panics_is_survived_and_counted() {
    let mut program = Program::start("own:panic");
    for _ in 0..3 {
        program.ask("record 100");
        program.numbers("flush");
    }
    let numbers = program.numbers("flush");
    balanced(&numbers, "a driver that panics");
    assert_eq!(numbers.by_reason["driver_failed"], 600);
    let messages = program.ask("messages");
    assert!(
        messages.contains("`own:panic` failed unexpectedly"),
        "{messages}"
    );
    assert!(program.end("exit 0").status.success());
}

#[test]
fn what_there_is_to_say_is_logged_by_the_next_thread_that_leaves_a_trace() {
    let mut program = Program::start("own:panic");
    assert_eq!(program.ask("logger"), "set=true");
    program.ask("record 1");
    program.numbers("flush");
    assert_eq!(program.ask("logged"), "", "nobody has left a trace yet");
    program.ask("trace");
    let logged = program.ask("logged");
    assert!(
        logged.starts_with("WARN in main: the driver of `own:panic`"),
        "{logged}"
    );
    assert_eq!(program.ask("messages"), "");
    let end = program.end("return");
    let said = end
        .stderr
        .lines()
        .find(|line| line.starts_with("osprofiler: "));
    assert_eq!(said, None, "once is enough");
}

#[test]
fn a_thread_that_cannot_be_started_is_started_by_a_later_record() {
    let mut program = Program::start("own:takes");
    assert_eq!(program.ask("deny-threads"), "limited=true");
    program.ask("submit");
    program.ask("submit");
    assert_eq!(program.threads(), 1);
    assert_eq!(program.ask("allow-threads"), "limited=true");
    let messages = program.ask("messages");
    assert_eq!(
        messages.matches("cannot start the thread").count(),
        1,
        "{messages}"
    );
    program.ask("record 1");
    assert_eq!(program.threads(), 2);
    let numbers = program.numbers("flush");
    balanced(&numbers, "a thread that started late");
    assert_eq!(numbers.stored, 4);
}

#[test]
fn a_removed_folder_that_comes_back_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("store");
    for store in stores(&inner) {
        std::fs::create_dir(&inner).unwrap();
        let mut program = Program::start(&store);
        program.ask("record 100");
        program.numbers("flush");
        std::fs::remove_dir_all(&inner).unwrap();
        program.ask("trace");
        program.ask("record 50");
        let during = program.numbers("try-flush 300");
        assert_eq!(during.recorded, 300, "{store}");
        assert!(during.waiting + during.lost > 0, "{store}: {during:?}");
        std::fs::create_dir(&inner).unwrap();
        program.ask("trace");
        program.ask("record 30");
        let numbers = program.numbers("flush");
        balanced(&numbers, &format!("{store}, removed and made again"));
        let end = program.end("return");
        assert!(end.status.success());
        let stored = Stored::read(&store);
        assert_eq!(stored.notifications(), numbers.stored, "{store}");
        std::fs::remove_dir_all(&inner).unwrap();
    }
}

#[test]
fn an_unwritable_path_is_said_once_and_heals_with_nothing_lost() {
    let folder = tempfile::tempdir().unwrap();
    // Root may write anywhere, but nobody below a regular file.
    let inner = folder.path().join("store");
    for store in stores(&inner) {
        std::fs::write(&inner, "").unwrap();
        let mut program = Program::start(&store);
        program.ask("record 20");
        let mut messages = program.await_answer("messages", |told| !told.is_empty());
        for _ in 0..4 {
            program.ask("record 20");
            program.numbers("try-flush 100");
        }
        messages += &program.ask("messages");
        assert_eq!(
            messages.matches("cannot store trace notifications").count(),
            1,
            "{messages}"
        );
        println!("{store}: {messages}");
        assert!(messages.contains("they wait in memory"), "{messages}");
        std::fs::remove_file(&inner).unwrap();
        std::fs::create_dir(&inner).unwrap();
        program.ask("record 20");
        let numbers = program.numbers("flush");
        balanced(&numbers, &format!("{store}, unwritable at first"));
        let stored = Stored::read(&store);
        assert_eq!(
            (stored.notifications(), stored.lost()),
            (6 * 40, 0),
            "{store}: what was recorded has waited"
        );
        let messages = program.ask("messages");
        assert!(
            messages.contains("takes trace notifications again"),
            "{messages}"
        );
        std::fs::remove_dir_all(&inner).unwrap();
    }
}

#[test]
fn a_full_disk_loses_only_what_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        panic!("this test mounts a small tmpfs, and mounting is denied here: run it as root");
    };
    for store in stores(disk.0) {
        let mut program = Program::start(&store);
        program.ask("record 100");
        program.numbers("flush");
        let ballast = disk.0.join("ballast");
        fill(&ballast);
        program.ask("record 5000");
        let during = program.numbers("try-flush 300");
        assert!(during.waiting + during.lost > 0, "{store}: {during:?}");
        std::fs::remove_file(&ballast).unwrap();
        let numbers = program.numbers("flush");
        balanced(&numbers, &format!("{store}, on a full disk for a while"));
        assert_eq!(numbers.recorded, 10_200, "{store}");
        let messages = program.ask("messages");
        println!("{store}: {messages}");
        assert!(program.end("return").status.success());
        let stored = Stored::read(&store);
        assert_eq!(stored.notifications(), numbers.stored, "{store}");
        clear(disk.0);
    }
}

/// recorded = stored + lost, and the numbers are there to be read.
fn balanced(numbers: &Numbers, what: &str) {
    println!(
        "{what}: recorded {} = stored {} + lost {} {:?}",
        numbers.recorded, numbers.stored, numbers.lost, numbers.by_reason
    );
    assert_eq!(numbers.waiting, 0, "{what}: {numbers:?}");
    assert_eq!(
        numbers.recorded,
        numbers.stored + numbers.lost,
        "{what}: {numbers:?}"
    );
}

/// A file system of 4 MiB.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(path)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(path))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// Writes until there is no room.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

fn clear(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
}
