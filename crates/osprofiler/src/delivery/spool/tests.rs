// SPDX-License-Identifier: Apache-2.0
//! Tests of a spool with folders as somebody who wishes ill might leave them.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::*;
use crate::{Id, Notification, Timestamp};

fn batch(count: u128) -> Notifications {
    let mut batch = Notifications::default();
    batch.extend((0..count).map(|number| Notification {
        name: "db-start",
        base_id: Id::from_u128(1),
        trace_id: Id::from_u128(number),
        parent_id: Id::from_u128(1),
        timestamp: Timestamp::from_micros(0),
        info: "{}",
        project: None,
        service: None,
    }));
    batch
}

fn count(piece: Option<Result<Piece, Unreadable>>) -> usize {
    match piece {
        Some(Ok(Piece::Batch(batch))) => batch.len(),
        Some(Ok(Piece::Losses(_))) => 0,
        Some(Err(why)) => panic!("{why:?}"),
        None => panic!("nothing"),
    }
}

#[test]
fn batches_come_back_oldest_first_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::new(folder.path(), 1 << 20, "s");
    for number in 1..=3 {
        spool.keep(&batch(number)).unwrap();
    }
    assert_eq!(spool.len(), 6);
    for number in 1..=3 {
        assert_eq!(count(spool.read(Whose::Own)), number);
        spool.remove(Whose::Own);
    }
    assert!(spool.read(Whose::Own).is_none() && !spool.has(Whose::Own));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Whether it adopts what nobody has. A program that another test starts has all that is open until it is itself: locks last as long.
fn adopts(spool: &mut Spool) -> bool {
    let start = Instant::now();
    while !spool.adopt().unwrap() {
        if start.elapsed() > Duration::from_secs(60) {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

#[test]
fn two_never_adopt_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut ended = Spool::new(folder.path(), 1 << 20, "s");
    ended.keep(&batch(2)).unwrap();
    drop(ended);
    let [mut one, mut other] = [(); 2].map(|()| Spool::new(folder.path(), 1 << 20, "s"));
    assert!(adopts(&mut one));
    assert!(!other.adopt().unwrap());
    // It ended in the middle of it.
    drop(one);
    assert!(adopts(&mut other));
    assert_eq!(count(other.read(Whose::Adopted)), 2);
}

#[test]
fn what_is_no_owner_of_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("secret"), "osprofiler spool owner 1\ns").unwrap();
    symlink(path("secret"), path("osprofiler-1-1.owner")).unwrap();
    fs::create_dir(path("osprofiler-1-2.owner")).unwrap();
    fs::write(path("osprofiler-1-3.owner"), [0xff; 100]).unwrap();
    fs::write(path("osprofiler-1-4.owner"), "s").unwrap();
    fs::write(path("other.owner"), "osprofiler spool owner 1\ns").unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(path("osprofiler-1-5.owner"))
        .status();
    assert!(made.unwrap().success());
    for name in ["osprofiler-1-1", "osprofiler-1-4", "other"] {
        fs::write(
            path(&format!("{name}-00000001.spool")),
            piece::of_batch(&batch(1)),
        )
        .unwrap();
    }
    let before = fs::read_dir(folder.path()).unwrap().count();
    assert!(!Spool::new(folder.path(), 1 << 20, "s").adopt().unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
}

#[test]
fn what_waits_is_counted_whatever_else_is_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(spooled(folder.path()).unwrap(), Spooled::default());
    let mut spool = Spool::new(folder.path(), 1 << 20, "s");
    spool.keep(&batch(2)).unwrap();
    spool.keep(&batch(3)).unwrap();
    let mut bytes = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "spool") {
            bytes += path.metadata().unwrap().len();
            symlink(&path, path.with_extension("link.spool")).unwrap();
        }
    }
    fs::create_dir(folder.path().join("osprofiler-1-1.spool")).unwrap();
    fs::write(folder.path().join("osprofiler-2-1.spool"), "junk").unwrap();
    fs::write(folder.path().join("other.spool"), "other").unwrap();
    let found = spooled(folder.path()).unwrap();
    assert!(found.oldest.is_some());
    let expected = Spooled {
        files: 3,
        bytes: bytes + 4,
        notifications: 5,
        oldest: found.oldest,
        ..Spooled::default()
    };
    assert_eq!(found, expected);
    assert!(spooled(&folder.path().join("missing")).is_err());
}
