// SPDX-License-Identifier: Apache-2.0
//! Outages that are longer than memory lasts, with files for the rest: what fits is stored later, by this process or another, and
//! the rest is counted.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{LIMITS, Mood, Scene, Store};
use crate::LossReason;
use crate::delivery::limits::Limits;
use crate::delivery::queue::{Next, Outlet};
use crate::delivery::spool::Spool;

const ROOMY: u64 = 1 << 20;

fn scene(folder: &Path, bytes: u64) -> Scene {
    let folder = folder.to_path_buf();
    Scene::with(1, LIMITS, move |number| {
        Some(Spool::new(&folder, bytes, &format!("test:{number}")))
    })
}

/// One whose store is down.
fn down(folder: &Path, bytes: u64) -> Scene {
    let scene = scene(folder, bytes);
    scene.outage(Mood::IsDown);
    scene
}

/// Leaves in files what a process that has ended recorded while its store was down.
fn leave(folder: &Path, count: u64) {
    let mut ended = down(folder, ROOMY);
    ended.record(1, "B", count);
    ended.end();
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(end))
        .collect();
    paths.sort();
    paths
}

impl Scene {
    fn outage(&self, mood: Mood) {
        self.stores[0].with(|inner| (inner.open, inner.write) = (mood, mood));
    }

    /// What the thread does as the process ends. What is in memory then is lost.
    fn end(mut self) -> Store {
        self.keep();
        self.stores[0].clone()
    }

    pub(super) fn keep(&mut self) {
        self.keep_until(u64::MAX);
    }

    /// With files of others sent until then.
    fn keep_until(&mut self, others_ms: u64) {
        let outlet = Outlet {
            tally: &self.tally,
            messages: &self.messages,
        };
        let others_until = Duration::from_millis(others_ms);
        self.pipeline.keep(others_until, outlet);
    }

    /// Brings what waits into files while the process lives: the store is down, and tried again.
    fn spill(&mut self) {
        self.outage(Mood::IsDown);
        self.step();
        self.pipeline.hurry();
        self.step();
    }

    fn balance(&self) -> [u64; 4] {
        let counters = self.counters();
        let (stored, spooled) = (counters.stored(), counters.spooled());
        assert_eq!(
            counters.recorded(),
            stored + spooled + counters.lost() + counters.waiting()
        );
        [stored, spooled, counters.lost(), counters.waiting()]
    }

    /// Ends an outage by a process that has files to send and records `more`.
    fn recover(&mut self, more: u64) {
        self.record(1, "more", more);
        self.pass(120_000);
    }
}

#[test]
fn what_memory_does_not_hold_is_in_files_and_stored_in_order_when_the_store_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = down(folder.path(), ROOMY);
    for count in [500, 100, 100, 100, 100, 100] {
        scene.record(1, "B", count);
        scene.pass(100_000);
    }
    let [stored, spooled, lost, waiting] = scene.balance();
    assert_eq!((stored, lost, spooled + waiting), (0, 0, 1_000));
    assert!(spooled > 500, "{spooled}");
    let texts = scene.texts();
    assert!(texts[0].contains("the oldest are kept in `/"), "{texts:?}");
    assert!(
        texts[1].contains("they wait in memory, then in `/"),
        "{texts:?}"
    );
    scene.outage(Mood::Takes);
    scene.pass(20_000);
    assert_eq!(scene.names(0), (1..=1_000).collect::<Vec<_>>());
    assert_eq!(scene.balance(), [1_000, 0, 0, 0]);
    assert!(files(folder.path(), "").is_empty());
}

/// A store that is down when the first is recorded, and a folder for 8 KiB that is not there yet.
fn down_without(folder: &Path) -> Scene {
    let place = folder.to_owned();
    let mut scene = Scene::with(1, LIMITS, move |_| {
        let mut spool = Spool::new(&place, 8 << 10, "test:0");
        let _refused = spool.probe();
        Some(spool)
    });
    scene.outage(Mood::IsDown);
    scene.record(1, "B", 5);
    scene.step();
    scene
}

/// What is said while the folder is missing, after it was made, and of one that is full as the process ends.
#[test]
fn files_are_promised_where_there_can_be_some() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("spool");
    let mut scene = down_without(&folder);
    let texts = scene.texts();
    assert!(
        texts[0].contains("they wait in memory, the program"),
        "{texts:?}"
    );
    std::fs::create_dir(&folder).unwrap();
    scene.pass(100_000);
    assert_eq!(scene.balance(), [0, 5, 0, 0]);
    scene.outage(Mood::Takes);
    scene.pass(100_000);
    scene.outage(Mood::IsDown);
    scene.record(1, "B", 5);
    scene.pass(100_000);
    let texts = scene.texts();
    let promise = format!("then in `{}`", folder.display());
    assert!(
        texts.iter().any(|text| text.contains(&promise)),
        "{texts:?}"
    );
    scene.record(1, "B", 300);
    scene.pass(100_000);
    scene.keep();
    let texts = scene.texts();
    let full = "is not kept: the files in";
    assert!(texts.iter().any(|text| text.contains(full)), "{texts:?}");
}

/// That it took nothing before, for another reason, does not say it.
#[test]
fn a_folder_that_comes_back_full_is_told_as_the_process_ends() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("spool");
    let mut scene = down_without(&folder);
    std::fs::create_dir(&folder).unwrap();
    let others = folder.join("osprofiler-1-1-00000001.spool");
    std::fs::write(others, vec![0; 8 << 10]).unwrap();
    scene.pass(100_000);
    scene.keep();
    let texts = scene.texts();
    let full = "is not kept: the files in";
    assert!(texts.iter().any(|text| text.contains(full)), "{texts:?}");
}

#[test]
fn before_a_store_that_failed_is_tried_again_everything_is_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = down(folder.path(), ROOMY);
    scene.record(1, "B", 25);
    scene.step();
    assert_eq!(scene.balance(), [0, 0, 0, 25]);
    scene.record(1, "B", 5);
    scene.pipeline.hurry();
    scene.step();
    assert_eq!(scene.balance(), [0, 30, 0, 0]);
}

#[test]
fn memory_stays_within_its_bound_however_small_the_batches_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = down(folder.path(), 0);
    for _ in 0..500 {
        // Fewer than a batch has.
        scene.record(1, "B", 9);
        scene.pass(10_000);
    }
    let [_, _, lost, waiting] = scene.balance();
    // A row has 72 bytes.
    assert!(waiting * 72 < LIMITS.queue_bytes as u64, "{waiting}");
    assert_eq!(lost + waiting, 4_500);
}

#[test]
fn files_are_for_this_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = down(folder.path(), ROOMY);
    scene.record(1, "B", 10);
    scene.keep();
    let found = files(folder.path(), "");
    assert_eq!(found.len(), 2);
    for path in found {
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
    }
}

#[test]
fn beyond_the_bound_of_files_the_oldest_in_memory_are_lost_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let bound = 20_000;
    let mut scene = down(folder.path(), bound);
    for _ in 0..100 {
        scene.record(1, "B", 100);
        scene.pass(6_000);
    }
    let taken: u64 = files(folder.path(), ".spool")
        .iter()
        .map(|path| path.metadata().unwrap().len().next_multiple_of(4096))
        .sum();
    assert!(taken <= bound && taken > bound / 2, "{taken}");
    let [_, spooled, lost, waiting] = scene.balance();
    assert!(spooled > 0 && lost > 0 && waiting > 0);
    let texts = scene.texts();
    let full = texts.iter().filter(|text| text.contains("spool_max_mib"));
    // Ten minutes, and nothing has changed since.
    assert_eq!(full.count(), 1, "{texts:?}");
    scene.outage(Mood::Takes);
    scene.pass(20_000);
    assert_eq!(scene.balance(), [10_000 - lost, 0, lost, 0]);
    let names = scene.names(0);
    assert!(names.is_sorted_by(|one, next| one < next));
    assert_eq!(
        (names[0], names.last(), names.len() as u64),
        (1, Some(&10_000), 10_000 - lost)
    );
    assert_eq!(
        scene.told(0),
        [(Some("B".to_owned()), lost, LossReason::QueueFull)]
    );
}

#[test]
fn what_waits_at_the_end_is_sent_by_a_later_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = down(folder.path(), ROOMY);
    first.record(1, "B", 25);
    first.pass(1_000);
    first.keep();
    assert_eq!(first.balance(), [0, 25, 0, 0]);
    // As long as that one lives, it is its own affair.
    let mut second = scene(folder.path(), ROOMY);
    second.recover(1);
    assert_eq!(second.names(0), [1]);
    drop(first);
    second.recover(1);
    assert_eq!(second.names(0).len(), 27);
    assert_eq!(
        (second.counters().adopted(), second.balance()),
        (25, [2, 0, 0, 0])
    );
    assert!(second.texts()[0].starts_with("25 trace notifications that a process had kept"));
    assert!(files(folder.path(), "").is_empty());
}

#[test]
fn a_process_ends_when_it_has_sent_what_another_left_or_the_store_is_down() {
    let folder = tempfile::tempdir().unwrap();
    leave(folder.path(), 25);
    let mut second = scene(folder.path(), ROOMY);
    second.record(1, "B", 1);
    second.pipeline.mark();
    second.step();
    assert_eq!(second.names(0), [1]);
    assert!(second.pipeline.is_past_mark());
    assert!(!second.pipeline.may_end());
    second.outage(Mood::IsDown);
    second.step();
    assert!(second.pipeline.may_end());
    second.outage(Mood::Takes);
    second.pass(20_000);
    assert!(second.pipeline.may_end());
    assert_eq!(second.names(0).len(), 26);
}

#[test]
fn an_end_does_not_wait_for_all_that_others_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = scene(folder.path(), ROOMY);
    first.outage(Mood::IsDown);
    first.record(1, "B", 25);
    first.end();
    let mut second = scene(folder.path(), ROOMY);
    second.stores[0].with(|inner| inner.call_ms = 100);
    second.record(1, "B", 1);
    second.pipeline.mark();
    // It is opened, and has the first batch at 200.
    second.step();
    second.keep_until(350);
    for may_end in [false, false, false, true] {
        assert_eq!(second.pipeline.may_end(), may_end);
        second.step();
    }
    assert_eq!(second.names(0).len(), 21);
    assert_eq!(
        (second.counters().adopted(), second.step()),
        (20, Next::Never)
    );
    assert_eq!(
        second.texts(),
        ["20 trace notifications that a process had kept until its end are in `test:0` now"]
    );
    // What is left is the next one's, whether or not that one has gone yet.
    let mut third = scene(folder.path(), ROOMY);
    third.recover(1);
    assert_eq!(third.counters().adopted(), 5);
    assert!(files(folder.path(), "").is_empty());
}

#[test]
fn each_of_many_ended_processes_files_is_sent_once_and_another_stores_is_left() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        leave(folder.path(), 15);
    }
    let path = folder.path().to_path_buf();
    let mut other = Scene::with(1, LIMITS, move |_| {
        Some(Spool::new(&path, ROOMY, "test:other"))
    });
    other.outage(Mood::IsDown);
    other.record(1, "B", 10);
    other.end();
    let mut second = scene(folder.path(), ROOMY);
    second.recover(1);
    assert_eq!(second.counters().adopted(), 45);
    assert_eq!(files(folder.path(), ".spool").len(), 1);
    assert_eq!(files(folder.path(), ".owner").len(), 1);
}

#[test]
fn losses_that_nobody_could_be_told_of_are_told_by_a_later_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = down(folder.path(), 20_000);
    first.record(1, "B", 2_000);
    first.pass(1_000);
    let lost = first.counters().lost();
    assert!(lost > 0);
    first.end();
    let mut second = scene(folder.path(), ROOMY);
    second.recover(1);
    let told = second.told(0);
    let of_trace = told
        .iter()
        .find(|(trace, ..)| trace.as_deref() == Some("B"));
    assert_eq!(
        of_trace,
        Some(&(Some("B".to_owned()), lost, LossReason::QueueFull))
    );
}

#[test]
fn a_damaged_file_is_counted_and_the_others_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = scene(folder.path(), ROOMY);
    scene.record(1, "B", 40);
    scene.spill();
    let found = files(folder.path(), ".spool");
    assert_eq!(found.len(), 4);
    let bytes = std::fs::read(&found[0]).unwrap();
    std::fs::write(&found[0], &bytes[..bytes.len() / 2]).unwrap();
    std::fs::remove_file(&found[1]).unwrap();
    // Not even of a file that is as good as any, where it is a link.
    std::fs::rename(&found[2], folder.path().join("elsewhere")).unwrap();
    symlink(folder.path().join("elsewhere"), &found[2]).unwrap();
    scene.outage(Mood::Takes);
    scene.pass(20_000);
    assert_eq!(scene.balance(), [10, 0, 30, 0]);
    assert_eq!(scene.lost(), [(30, LossReason::SpoolDamaged)]);
    assert_eq!(scene.told(0), [(None, 30, LossReason::SpoolDamaged)]);
    assert_eq!(scene.names(0), (31..=40).collect::<Vec<_>>());
    assert_eq!(
        files(folder.path(), "").len(),
        1,
        "what a link led to stays"
    );
}

#[test]
fn of_files_that_gave_nothing_it_is_not_said_that_they_were_sent() {
    let folder = tempfile::tempdir().unwrap();
    leave(folder.path(), 10);
    std::fs::write(&files(folder.path(), ".spool")[0], "").unwrap();
    let mut second = scene(folder.path(), ROOMY);
    second.recover(1);
    let texts = second.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].starts_with("a file in `/"), "{texts:?}");
    assert!(files(folder.path(), "").is_empty());
}

#[test]
fn half_a_file_of_a_process_that_was_killed_is_counted_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    leave(folder.path(), 20);
    let last = files(folder.path(), ".spool").pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    let mut second = scene(folder.path(), ROOMY);
    second.recover(1);
    assert_eq!(
        (second.counters().adopted(), second.balance()),
        (10, [1, 0, 0, 0])
    );
    assert_eq!(second.told(0), [(None, 10, LossReason::SpoolDamaged)]);
    assert!(files(folder.path(), "").is_empty());
}

#[test]
fn a_folder_that_takes_nothing_costs_what_memory_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = scene(&folder.path().join("missing"), ROOMY);
    scene.outage(Mood::IsDown);
    scene.record(1, "B", 1_000);
    scene.pass(1_000);
    scene.keep();
    let [stored, spooled, lost, waiting] = scene.balance();
    assert_eq!((stored, spooled, lost + waiting), (0, 0, 1_000));
    assert!(lost > 0);
    let texts = scene.texts();
    assert!(
        texts
            .iter()
            .any(|text| text.contains("no file can be written in")),
        "{texts:?}"
    );
    std::fs::create_dir(folder.path().join("missing")).unwrap();
    scene.keep();
    assert_eq!(scene.balance(), [0, waiting, lost, 0]);
}

#[test]
fn a_store_that_refuses_what_was_in_a_file_loses_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = scene(folder.path(), ROOMY);
    scene.record(1, "B", 30);
    scene.spill();
    scene.stores[0].with(|inner| (inner.open, inner.write) = (Mood::Takes, Mood::Refuses));
    scene.pipeline.hurry();
    scene.step();
    scene.outage(Mood::Takes);
    scene.pass(20_000);
    assert_eq!(scene.balance(), [20, 0, 10, 0]);
    assert_eq!(scene.lost(), [(10, LossReason::Refused)]);
}

#[test]
fn a_flush_while_the_store_is_down_is_over_with_what_is_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = down(folder.path(), ROOMY);
    scene.record(1, "B", 25);
    scene.pipeline.mark();
    scene.step();
    assert!(!scene.pipeline.is_past_mark());
    scene.spill();
    assert!(scene.pipeline.is_past_mark());
    // Once it answers, they are waited for.
    scene.outage(Mood::Takes);
    scene.pipeline.hurry();
    scene.step();
    assert!(!scene.pipeline.is_past_mark());
    scene.pass(0);
    assert!(scene.pipeline.is_past_mark());
}

#[test]
fn the_end_keeps_everything_before_it_calls_a_store_that_may_hang() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    let mut scene = Scene::with(1, Limits::DEFAULT, move |_| {
        Some(Spool::new(&path, ROOMY, "test:0"))
    });
    scene.record(1, "B", 5);
    scene.keep();
    assert_eq!(scene.balance(), [0, 5, 0, 0]);
    scene.pass(0);
    assert_eq!(scene.balance(), [5, 0, 0, 0]);
    assert_eq!(scene.names(0), [1, 2, 3, 4, 5]);
}
