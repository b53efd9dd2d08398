// SPDX-License-Identifier: Apache-2.0
//! What drivers of files have to do beside: paths that are wrong, other users, removed folders.
//!
//! Root may do anything, so a check about permissions runs its other half as user 65534 when root runs the tests.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use osprofiler::driver::{ConnectionString, ListFilter};
use osprofiler::{ErrorKind, Loss, LossReason, Notifications};

use super::{Check, Subject, assert_same, numbered, parse};
use crate::sample::id;

/// The checks for drivers whose store is a file at a path.
#[rustfmt::skip] // one line a check
pub const FILE_CHECKS: &[Check] = &[
    Check { name: "a missing folder is temporary, and named", needs: &[], run: missing_folder },
    Check { name: "a path below a file, or of a folder, is a mistake", needs: &[], run: impossible_paths },
    Check { name: "a path below a file is written once it is a folder", needs: &[], run: a_file_in_the_way },
    Check { name: "a store that is not there is not found", needs: &[], run: no_store },
    Check { name: "a store that may not be written says whose it is", needs: &[], run: unwritable },
    Check { name: "a store that may be written again is, by who was refused", needs: &[], run: writable_again },
    Check { name: "a user without write access can read", needs: &[], run: read_only_user },
    Check { name: "users of one group share a store", needs: &[], run: shared_by_users },
    Check { name: "a removed folder comes back, and what was lost is counted", needs: &[], run: removed_folder },
    Check { name: "a store that cannot grow keeps whole batches", needs: &[], run: full_store },
    Check { name: "junk in the store harms nothing else, and is counted", needs: &[], run: junk },
];

/// A folder that everybody may pass through, removed at the end, and a connection string to a store in it.
fn folder_and_store(subject: &Subject) -> (tempfile::TempDir, PathBuf, ConnectionString) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    set_mode(folder.path(), 0o755);
    let path = folder.path().join("store");
    let connection = connect(subject, &path);
    (folder, path, connection)
}

fn connect(subject: &Subject, path: &Path) -> ConnectionString {
    let scheme = parse(subject.implementation.example).scheme().to_owned();
    parse(&format!("{scheme}://{}", path.display()))
}

fn set_mode(path: &Path, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("the mode can be set");
}

fn missing_folder(subject: &Subject) {
    let (folder, _, _) = folder_and_store(subject);
    let path = folder.path().join("gone/store");
    let connection = connect(subject, &path);
    let mut writer = subject.writer(&connection);
    let error = writer.write(&numbered("t", 0, 10)).expect_err("no folder");
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (ErrorKind::Unavailable, true)
    );
    assert!(
        error.to_string().contains("gone` does not exist"),
        "{error}"
    );
    std::fs::create_dir(folder.path().join("gone")).expect("the folder can be made");
    writer
        .write(&numbered("t", 0, 10))
        .expect("now there is one");
    assert_same(&subject.read(&connection, "t").0, &numbered("t", 0, 10));
}

fn impossible_paths(subject: &Subject) {
    let (folder, _, _) = folder_and_store(subject);
    std::fs::write(folder.path().join("file"), "").expect("a file for the test");
    for (path, is_temporary) in [
        (folder.path().join("file/store"), true),
        (folder.path().to_owned(), false),
    ] {
        let connection = connect(subject, &path);
        let error = subject
            .writer(&connection)
            .write(&numbered("t", 0, 1))
            .expect_err("no such path");
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (ErrorKind::Usage, is_temporary),
            "{error}"
        );
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
    }
}

fn a_file_in_the_way(subject: &Subject) {
    let (folder, _, _) = folder_and_store(subject);
    let inner = folder.path().join("inner");
    std::fs::write(&inner, "").expect("a file for the test");
    let connection = connect(subject, &inner.join("store"));
    let mut writer = subject.writer(&connection);
    let batch = numbered("t", 0, 10);
    let error = writer.write(&batch).expect_err("no folder");
    assert!(error.is_temporary(), "{error}");
    std::fs::remove_file(&inner).expect("the file can be removed");
    std::fs::create_dir(&inner).expect("the folder can be made");
    writer.write(&batch).expect("now there is one");
    assert_same(&subject.read(&connection, "t").0, &batch);
}

fn no_store(subject: &Subject) {
    let (folder, path, connection) = folder_and_store(subject);
    let mut notifications = Notifications::default();
    let error = subject
        .reader(&connection)
        .read(id("t"), &mut notifications)
        .expect_err("no store");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!path.exists(), "reading makes no file");
    drop(folder);
}

fn unwritable(subject: &Subject) {
    let (_folder, path, connection) = folder_and_store(subject);
    let text = as_other_user(subject, &["--write", &connection.to_string(), "0", "10"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("Denied temporary=true cannot "), "{text}");
    for part in ["permission denied", "belongs to", "chmod"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!path.exists());
}

/// Somebody else's writer is open meanwhile, so that what lies beside the store is there to be refused as well.
fn writable_again(subject: &Subject) {
    let (folder, _path, connection) = folder_and_store(subject);
    let mut writer = subject.writer(&connection);
    writer
        .write(&numbered("t", 0, 10))
        .expect("the batch is stored");
    let set_modes = |of_files: u32, of_folder: u32| {
        for entry in folder.path().read_dir().expect("the folder can be read") {
            set_mode(&entry.expect("a file").path(), of_files);
        }
        set_mode(folder.path(), of_folder);
    };
    set_modes(0o444, 0o555);
    let (_place, mut command) = other_user(subject);
    let mut refused = command
        .args(["--write-again", &connection.to_string(), "10", "10"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the second process runs");
    let mut output = BufReader::new(refused.stdout.take().expect("its output"));
    let mut said = String::new();
    output.read_line(&mut said).expect("it says something");
    set_modes(0o666, 0o777);
    assert!(said.starts_with("Denied temporary=true cannot "), "{said}");
    // Until then it waits.
    drop(refused.stdin.take());
    said.clear();
    output.read_to_string(&mut said).expect("it ends");
    assert!(refused.wait().expect("it ends").success(), "{said}");
    assert_same(&subject.read(&connection, "t").0, &numbered("t", 0, 20));
}

fn read_only_user(subject: &Subject) {
    let (folder, path, connection) = folder_and_store(subject);
    subject.write(&connection, &numbered("t", 0, 10));
    set_mode(&path, 0o444);
    set_mode(folder.path(), 0o555);
    let text = as_other_user(subject, &["--count", &connection.to_string()]);
    set_mode(folder.path(), 0o755);
    assert_eq!(String::from_utf8_lossy(&text.stdout), "10");
}

/// Root, and user 65534 of the folder's group; somebody else who runs the tests shares with himself.
fn shared_by_users(subject: &Subject) {
    let (folder, path, connection) = folder_and_store(subject);
    if we_are_root() {
        chown(folder.path(), None, Some(OTHER_USER)).expect("root may change the group");
    }
    set_mode(folder.path(), 0o770);
    let mut writer = subject.writer(&connection);
    writer
        .write(&numbered("t", 0, 10))
        .expect("the batch is stored");
    let mode = path.metadata().expect("the store is there").mode() & 0o777;
    assert_eq!(mode, 0o660);
    let (_place, mut command) = other_user(subject);
    let output = command
        .args(["--write", &connection.to_string(), "10", "10"])
        .output();
    let output = output.expect("the second process runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    writer
        .write(&numbered("t", 20, 10))
        .expect("the batch is stored");
    assert_same(&subject.read(&connection, "t").0, &numbered("t", 0, 30));
}

fn removed_folder(subject: &Subject) {
    let (folder, _, _) = folder_and_store(subject);
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("the folder can be made");
    let connection = connect(subject, &inner.join("store"));
    let mut writer = subject.writer(&connection);
    writer
        .write(&numbered("t", 0, 10))
        .expect("the batch is stored");
    std::fs::remove_dir_all(&inner).expect("the folder can be removed");
    let error = writer.write(&numbered("t", 10, 10)).expect_err("no folder");
    assert!(error.is_temporary(), "{error}");
    std::fs::create_dir(&inner).expect("the folder can be made");
    writer
        .write(&numbered("t", 20, 10))
        .expect("the batch is stored");
    let lost: u64 = writer.take_losses().iter().map(|loss| loss.count).sum();
    assert_eq!(lost, 10);
    assert_eq!(writer.take_losses(), []);
    let (_, summary) = subject.read(&connection, "t");
    let reason = LossReason::StoreRemoved;
    assert_eq!(summary.losses, [Loss { count: 10, reason }]);
    assert_same(&subject.read(&connection, "t").0, &numbered("t", 20, 10));
}

/// The limit of a file's size stands in for a full disk, which a test cannot make without mounting one.
fn full_store(subject: &Subject) {
    let (_folder, _, connection) = folder_and_store(subject);
    let output = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 200; exec "$0" "$@""#])
        .arg(&subject.program)
        .args(["--write", &connection.to_string(), "0", "100000"])
        .output()
        .expect("the second process runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("temporary=true cannot "), "{text}");
    let (read, summary) = subject.read(&connection, "t");
    assert!(!read.is_empty());
    assert_same(&read, &numbered("t", 0, read.len() as i64));
    assert_eq!((read.len() % 10, summary.skipped), (0, 0));
}

fn junk(subject: &Subject) {
    let (_folder, path, connection) = folder_and_store(subject);
    std::fs::write(&path, b"{\"name\": \"x\"}\n\0\xff\xfe\n{\"half").expect("junk can be written");
    let mut writer = subject.writer(&connection);
    let written = writer.write(&numbered("t", 0, 10));
    let mut notifications = Notifications::default();
    let read = subject
        .reader(&connection)
        .read(id("t"), &mut notifications);
    let listed = subject
        .reader(&connection)
        .list(ListFilter::All, &mut |_| ());
    // Either it lies between the notifications and is skipped, or it makes the whole file another one.
    match (written, read, listed) {
        (Ok(()), Ok(summary), Ok(listed)) => {
            assert_same(&notifications, &numbered("t", 0, 10));
            assert_eq!((summary.skipped, listed), (3, 3));
        }
        (Err(written), Err(read), Err(listed)) => {
            for error in [written, read, listed] {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            }
        }
        different => panic!("written, read, listed: {different:?}"),
    }
}

const OTHER_USER: u32 = 65534;

fn we_are_root() -> bool {
    let process = Path::new("/proc/self").metadata();
    process.is_ok_and(|process| process.uid() == 0)
}

/// Runs the second process as somebody who owns nothing here, or takes the folder's write permission from ourselves.
fn as_other_user(subject: &Subject, arguments: &[&str]) -> Output {
    let (_place, mut command) = other_user(subject);
    if !we_are_root() {
        let connection = parse(arguments[1]);
        let folder = Path::new(connection.path())
            .parent()
            .expect("a store lies in a folder");
        set_mode(folder, 0o555);
    }
    command
        .args(arguments)
        .output()
        .expect("the second process runs")
}

/// The second process as user 65534 if we may, in a place where that user can run it.
fn other_user(subject: &Subject) -> (tempfile::TempDir, Command) {
    let place = tempfile::tempdir().expect("a folder for the program");
    set_mode(place.path(), 0o755);
    let program = place.path().join("program");
    std::fs::copy(&subject.program, &program).expect("the program can be copied");
    let mut command = Command::new(&program);
    if we_are_root() {
        command.uid(OTHER_USER).gid(OTHER_USER);
    }
    (place, command)
}
