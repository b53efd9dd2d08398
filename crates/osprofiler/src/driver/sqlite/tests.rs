// SPDX-License-Identifier: Apache-2.0
//! What only this driver can be asked: sizes, damage, removed files, locks. The conformance suite asks the rest.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::reader::SqliteReader;
use super::writer::SqliteWriter;
use super::{Settings, block, schema};
use crate::driver::{ListFilter, ReadSummary, Reader, Writer};
use crate::{ErrorKind, Id, Loss, LossReason, Notification, Notifications, Timestamp};

pub(super) fn settings(path: &Path) -> Settings {
    Settings {
        path: path.to_owned(),
        max_bytes: 1 << 30,
        ttl: None,
        busy_timeout: Duration::from_secs(5),
    }
}

pub(super) fn writer(path: &Path) -> SqliteWriter {
    SqliteWriter::new(settings(path))
}

/// Notifications `from..from + count` of the trace `base`, each with an info of its own.
pub(super) fn batch(base: u128, from: u32, count: u32) -> Notifications {
    let mut batch = Notifications::default();
    for number in from..from + count {
        let info = format!(
            r#"{{"number": "{:0100x}"}}"#,
            number.wrapping_mul(2_654_435_761)
        );
        batch.push(&Notification {
            name: "db-start",
            base_id: Id::from_u128(base),
            trace_id: Id::from_u128(u128::from(number) + 1000),
            parent_id: Id::from_u128(base),
            timestamp: Timestamp::from_micros(i64::from(number)),
            info: &info,
            project: Some("p"),
            service: None,
        });
    }
    batch
}

pub(super) fn read(path: &Path, base: u128) -> (Notifications, ReadSummary) {
    let mut notifications = Notifications::default();
    let summary = SqliteReader::new(settings(path))
        .read(Id::from_u128(base), &mut notifications)
        .unwrap();
    (notifications, summary)
}

pub(super) fn query(path: &Path, text: &str) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row(text, [], |row| row.get(0)).unwrap()
}

fn execute(path: &Path, text: &str) {
    Connection::open(path).unwrap().execute_batch(text).unwrap();
}

#[test]
fn small_batches_share_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = writer(&path);
    for number in 0..30 {
        writer.write(&batch(1, number * 100, 100)).unwrap();
    }
    assert_eq!(query(&path, "SELECT count(*) FROM block"), 6);
    let (notifications, summary) = read(&path, 1);
    assert!(notifications.iter().eq(batch(1, 0, 3000).iter()));
    assert_eq!(summary, ReadSummary::default());
}

#[test]
fn a_notification_too_large_is_refused_and_a_large_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = writer(&path);
    for (bytes, fits) in [
        (block::ROW_TEXT_BYTES - 100, true),
        (block::ROW_TEXT_BYTES, false),
    ] {
        let info = format!(r#"{{"a": "{}"}}"#, "x".repeat(bytes));
        let mut batch = Notifications::default();
        batch.push(&Notification {
            info: &info,
            ..self::batch(1, 0, 1).get(0)
        });
        let result = writer.write(&batch).map_err(|error| error.kind());
        assert_eq!(result, if fits { Ok(()) } else { Err(ErrorKind::Usage) });
    }
    let (notifications, summary) = read(&path, 1);
    assert_eq!((notifications.len(), summary.skipped), (1, 0));
}

#[test]
fn a_batch_written_twice_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = writer(&path);
    for _ in 0..2 {
        writer.write(&batch(1, 0, 700)).unwrap();
    }
    assert!(read(&path, 1).0.iter().eq(batch(1, 0, 700).iter()));
}

#[test]
fn the_oldest_traces_go_when_the_store_is_full_and_everything_is_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = SqliteWriter::new(Settings {
        max_bytes: 300_000,
        ..settings(&path)
    });
    let (mut written, mut evicted) = (0, 0);
    for base in 0..200u32 {
        writer
            .write(&batch(u128::from(base), base * 100, 100))
            .unwrap();
        written += 100;
        assert!(query(&path, "PRAGMA page_count") * 1024 < 320_000);
    }
    for loss in writer.take_losses() {
        assert_eq!(loss.reason, LossReason::Evicted);
        evicted += loss.count;
    }
    let mut listed = Vec::new();
    SqliteReader::new(settings(&path))
        .list(ListFilter::All, &mut |trace| {
            listed.push(trace.base_id.as_u128().unwrap());
        })
        .unwrap();
    let oldest = *listed.first().unwrap();
    assert!(listed.iter().copied().eq(oldest..200) && oldest > 0);
    let stored: usize = listed.iter().map(|&base| read(&path, base).0.len()).sum();
    assert_eq!(stored as u64 + evicted, written);
    let losses = query(
        &path,
        "SELECT sum(count) FROM loss WHERE reason = 'evicted'",
    );
    assert_eq!(losses as u64, evicted);
    let (notifications, summary) = read(&path, oldest - 1);
    assert!(notifications.is_empty());
    assert_eq!(
        summary.losses,
        [Loss {
            count: 100,
            reason: LossReason::Evicted
        }]
    );
}

#[test]
fn a_trace_larger_than_the_store_keeps_its_end_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = SqliteWriter::new(Settings {
        max_bytes: 300_000,
        ..settings(&path)
    });
    for number in 0..40 {
        writer.write(&batch(1, number * 1000, 1000)).unwrap();
    }
    let (notifications, summary) = read(&path, 1);
    let kept = notifications.len() as u32;
    assert!(
        notifications
            .iter()
            .eq(batch(1, 40_000 - kept, kept).iter())
    );
    let loss = Loss {
        count: u64::from(40_000 - kept),
        reason: LossReason::Evicted,
    };
    assert!(loss.count > 0);
    assert_eq!(summary.losses, [loss]);
    assert_eq!(writer.take_losses(), [loss]);
    assert_eq!(summary.skipped, 0);
}

#[test]
fn losses_of_traces_that_are_gone_do_not_fill_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = SqliteWriter::new(Settings {
        max_bytes: 256 << 10,
        ..settings(&path)
    });
    let loss = Loss {
        count: 2,
        reason: LossReason::QueueFull,
    };
    writer.write(&batch(5, 0, 1)).unwrap();
    for base in 0..1000 {
        writer.write_loss(Some(Id::from_u128(base)), loss).unwrap();
    }
    assert!(query(&path, "SELECT count(*) FROM loss") <= 129);
    assert_eq!(query(&path, "SELECT sum(count) FROM loss"), 2000);
    assert_eq!(read(&path, 5).1.losses, [loss]);
}

/// They come from outside: losses are told by whoever delivers, and a file may be somebody else's.
#[test]
fn counts_that_no_number_holds_together_become_the_largest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = SqliteWriter::new(Settings {
        max_bytes: 256 << 10,
        ..settings(&path)
    });
    writer.write(&batch(5, 0, 1)).unwrap();
    let count_of_the_gone = "SELECT count FROM loss WHERE base_id = x'' AND reason = 'queue_full'";
    for (count, expected) in [
        (i64::MIN, 0),
        (-1, 0),
        (1, 200),
        (i64::MAX - 100, i64::MAX),
        (i64::MIN, i64::MAX),
        (i64::MAX, i64::MAX),
    ] {
        execute(
            &path,
            &format!(
                "WITH RECURSIVE many(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM many WHERE number < 200)
                 INSERT INTO loss SELECT 'hostile' || number, 'queue_full', {count} FROM many"
            ),
        );
        let loss = Loss {
            count: 1,
            reason: LossReason::QueueFull,
        };
        writer.write_loss(Some(Id::from_u128(5)), loss).unwrap();
        assert_eq!(query(&path, count_of_the_gone), expected);
        assert!(query(&path, "SELECT count(*) FROM loss") <= 2);
    }
}

#[test]
fn a_removed_file_is_made_again_and_what_it_held_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let (mut first, mut second) = (writer(&path), writer(&path));
    first.write(&batch(1, 0, 5)).unwrap();
    second.write(&batch(1, 5, 4)).unwrap();
    std::fs::remove_file(&path).unwrap();
    first.write(&batch(1, 10, 3)).unwrap();
    second.write(&batch(1, 20, 2)).unwrap();
    first.write(&batch(1, 30, 1)).unwrap();
    for (writer, count) in [(&mut first, 5), (&mut second, 4)] {
        let reason = LossReason::StoreRemoved;
        assert_eq!(writer.take_losses(), [Loss { count, reason }]);
        assert_eq!(writer.take_losses(), []);
    }
    drop(second);
    drop(first);
    assert_eq!(read(&path, 1).0.len(), 6);
}

#[test]
fn a_file_removed_after_the_last_batch_is_counted_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = writer(&path);
    writer.write(&batch(1, 0, 5)).unwrap();
    std::fs::remove_file(&path).unwrap();
    let reason = LossReason::StoreRemoved;
    assert_eq!(writer.take_losses(), [Loss { count: 5, reason }]);
}

#[test]
fn a_renamed_file_is_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("trace.db"), folder.path().join("old.db"));
    let mut writer = writer(&path);
    writer.write(&batch(1, 0, 5)).unwrap();
    drop(std::mem::replace(&mut writer, self::writer(&path)));
    writer.write(&batch(1, 5, 1)).unwrap();
    std::fs::rename(&path, &old).unwrap();
    writer.write(&batch(1, 10, 3)).unwrap();
    assert_eq!(writer.take_losses(), []);
    assert_eq!(read(&path, 1).0.len(), 3);
}

#[test]
fn damaged_blocks_are_skipped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = writer(&path);
    for number in 0..3 {
        writer.write(&batch(1, number * 1000, 1000)).unwrap();
    }
    execute(
        &path,
        "UPDATE block SET data = x'0102' WHERE id = (SELECT min(id) + 1 FROM block)",
    );
    let (notifications, summary) = read(&path, 1);
    assert_eq!((notifications.len(), summary.skipped), (2000, 1000));
    execute(
        &path,
        "UPDATE block SET data = x'' WHERE id = (SELECT max(id) FROM block)",
    );
    writer.write(&batch(1, 9000, 10)).unwrap();
    let (notifications, summary) = read(&path, 1);
    assert_eq!((notifications.len(), summary.skipped), (1010, 2000));
}

#[test]
fn what_is_no_store_of_ours_is_refused_for_good_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, make: &dyn Fn(&Path), expected: &str| {
        let path = folder.path().join(name);
        make(&path);
        let before = std::fs::read(&path).ok();
        let written = writer(&path).write(&batch(1, 0, 1)).unwrap_err();
        let mut notifications = Notifications::default();
        let read = SqliteReader::new(settings(&path))
            .read(Id::from_u128(1), &mut notifications)
            .unwrap_err();
        for error in [written, read] {
            assert_eq!(
                (error.kind(), error.is_temporary()),
                (ErrorKind::Corrupt, false),
                "{error:?}"
            );
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert_eq!(std::fs::read(&path).ok(), before);
    };
    check(
        "text",
        &|path| std::fs::write(path, "no database at all, but quite long").unwrap(),
        "it is no SQLite database",
    );
    check(
        "other",
        &|path| execute(path, "CREATE TABLE x (a)"),
        "another program's database",
    );
    check(
        "later",
        &|path| {
            writer(path).write(&batch(1, 0, 1)).unwrap();
            execute(path, "PRAGMA user_version = 2");
        },
        "it has layout 2, this version knows layout 1",
    );
    check(
        "emptied",
        &|path| {
            writer(path).write(&batch(1, 0, 1)).unwrap();
            execute(path, "DROP TABLE trace");
        },
        "its tables are not this driver's",
    );
    for (name, sql) in [
        (
            "view",
            "ALTER TABLE loss RENAME TO kept; CREATE VIEW loss AS SELECT * FROM kept",
        ),
        (
            "trigger",
            "CREATE TRIGGER t AFTER INSERT ON trace BEGIN DELETE FROM block; END",
        ),
    ] {
        check(
            name,
            &|path| {
                writer(path).write(&batch(1, 0, 1)).unwrap();
                execute(path, sql);
            },
            "its tables are not this driver's",
        );
    }
}

#[test]
fn numbers_out_of_range_are_damage_not_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    for (number, change) in [
        "number = 1 << 45",
        "number = 9223372036854775807",
        "blocks = -9223372036854775808",
        "blocks = 9223372036854775807, tail = 0",
        "notifications = 9223372036854775807",
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(number.to_string());
        writer(&path).write(&batch(1, 0, 1)).unwrap();
        execute(&path, &format!("UPDATE trace SET {change}"));
        let mut writer = writer(&path);
        for batch in [batch(1, 1, 1), batch(2, 0, 1)] {
            // A trace of its own may be stored still.
            if let Err(error) = writer.write(&batch) {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{change}: {error:?}");
            }
        }
        assert!(writer.write(&batch(1, 2, 1)).is_err(), "{change}");
        let _ = SqliteReader::new(settings(&path))
            .read(Id::from_u128(1), &mut Notifications::default());
    }
}

/// Else its group would not be the store's, and other users would be refused.
#[test]
fn the_journal_is_there_to_be_shared_once_a_store_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    writer(&path).write(&batch(1, 0, 1)).unwrap();
    let _open = schema::open_to_write(&settings(&path)).unwrap();
    assert!(
        schema::journal_files(&path)
            .iter()
            .all(|file| file.exists())
    );
}

#[test]
fn a_link_in_place_of_the_journal_gives_nobody_a_file() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let other = folder.path().join("other");
    std::fs::write(&other, "").unwrap();
    writer(&path).write(&batch(1, 0, 1)).unwrap();
    // Only root may give a group away that is not its own; anybody else changes nothing here either way.
    let _ = std::os::unix::fs::chown(&path, None, Some(12_345));
    let before = other.metadata().unwrap().gid();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&other, &link).unwrap();
    crate::driver::store_file::share_group(&path, &[link]);
    assert_eq!(other.metadata().unwrap().gid(), before);
}

/// Each looks at the file while others make its tables; none may take half of that for a stranger's.
#[test]
fn several_that_make_the_store_at_once_all_write() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..8 {
        let path = folder.path().join(round.to_string());
        let begin = std::sync::Barrier::new(6);
        std::thread::scope(|scope| {
            for base in 0..6 {
                let (path, begin) = (&path, &begin);
                scope.spawn(move || {
                    begin.wait();
                    writer(path).write(&batch(base, 0, 1)).unwrap();
                });
            }
        });
        assert_eq!(query(&path, "SELECT count(*) FROM trace"), 6);
    }
}

#[test]
fn a_locked_store_is_temporary() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = SqliteWriter::new(Settings {
        busy_timeout: Duration::ZERO,
        ..settings(&path)
    });
    writer.write(&batch(1, 0, 1)).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = writer.write(&batch(1, 1, 1)).unwrap_err();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (ErrorKind::Unavailable, true)
    );
    other.execute_batch("ROLLBACK").unwrap();
    writer.write(&batch(1, 1, 1)).unwrap();
    assert_eq!(read(&path, 1).0.len(), 2);
}

#[test]
fn a_damaged_store_that_was_put_right_is_written_again_and_what_it_held_is_still_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    let mut writer = writer(&path);
    writer.write(&batch(1, 0, 3)).unwrap();
    // Then all is in the file, and the writer looks at it again.
    let other = Connection::open(&path).unwrap();
    other
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let good = std::fs::read(&path).unwrap();
    let write = |bytes: &[u8]| {
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(bytes).unwrap();
    };
    write(&[0xff; 100]);
    for _ in 0..2 {
        let error = writer.write(&batch(1, 3, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    }
    write(&good[..100]);
    writer.write(&batch(1, 4, 2)).unwrap();
    assert_eq!(read(&path, 1).0.len(), 5);
    std::fs::remove_file(&path).unwrap();
    let lost: u64 = writer.take_losses().iter().map(|loss| loss.count).sum();
    assert_eq!(lost, 5);
}

#[test]
fn a_damaged_row_is_left_out_of_the_list_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    for base in 0..3 {
        writer(&path).write(&batch(base, 0, 2)).unwrap();
    }
    let other = rusqlite::Connection::open(&path).unwrap();
    let damage = "UPDATE trace SET base_id = x'00' WHERE number = (SELECT min(number) FROM trace)";
    assert_eq!(other.execute(damage, []).unwrap(), 1);
    let mut listed = 0;
    let skipped = SqliteReader::new(settings(&path)).list(ListFilter::All, &mut |_| listed += 1);
    assert_eq!((skipped.unwrap(), listed), (1, 2));
}

/// Damages a whole file in many ways; writer and reader may refuse it, but must come back.
#[test]
fn a_damaged_file_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.db");
    for base in 0..4 {
        writer(&path).write(&batch(base, 0, 40)).unwrap();
    }
    let good = std::fs::read(&path).unwrap();
    let damaged_path = folder.path().join("damaged.db");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..80 {
        let mut damaged = good.clone();
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let position = (state >> 20) as usize % damaged.len();
            damaged[position] = (state >> 8) as u8;
        }
        if round % 4 == 0 {
            damaged.truncate((state >> 30) as usize % good.len());
        }
        std::fs::write(&damaged_path, &damaged).unwrap();
        let mut reader = SqliteReader::new(settings(&damaged_path));
        let _ = reader.list(ListFilter::All, &mut |_| ());
        let _ = reader.read(Id::from_u128(2), &mut Notifications::default());
        let _ = writer(&damaged_path).write(&batch(3, 40, 10));
        for beside in schema::journal_files(&damaged_path) {
            let _ = std::fs::remove_file(beside);
        }
    }
}
