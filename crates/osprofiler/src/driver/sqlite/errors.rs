// SPDX-License-Identifier: Apache-2.0
//! What SQLite's errors mean: of which kind, whether they pass, what to do about them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::driver::ConnectionString;
use crate::driver::store_file::{self, corrupt};
use crate::shown::shell_word;
use crate::{Error, ErrorKind};

/// The error for a call on the store at `path` that failed; `action` as in "cannot {action} `/srv/traces.db`: ...".
pub(super) fn sort(action: &str, path: &Path, error: rusqlite::Error) -> Error {
    let Some(code) = error.sqlite_error_code() else {
        // Not SQLite itself: a value of another type than the layout's.
        return corrupt(action, path, "what it holds is not what this driver writes")
            .with_source(error);
    };
    let shown = path.display();
    let (kind, why, help) = match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => (
            ErrorKind::Unavailable,
            "other processes kept it locked".to_owned(),
            format!(
                "see who: `fuser -v {}`; or wait longer: `?busy_timeout=30`",
                shell_word(&shown)
            ),
        ),
        _ if is_full(&error) => {
            return store_file::error(action, path, io::ErrorKind::StorageFull.into());
        }
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => {
            return refused(action, path).with_source(error);
        }
        ErrorCode::NotADatabase => {
            return no_database(action, path).with_source(error);
        }
        ErrorCode::DatabaseCorrupt => {
            return corrupt(action, path, "it is damaged").with_source(error);
        }
        // A row that contradicts another, or a number beyond its column: only a stranger writes such.
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => {
            return corrupt(action, path, "what it holds is not what this driver writes")
                .with_source(error);
        }
        ErrorCode::Unknown => {
            return corrupt(action, path, "its tables are not this driver's").with_source(error);
        }
        ErrorCode::SystemIoFailure => (
            ErrorKind::Unavailable,
            "the file system reports an error".to_owned(),
            "see the kernel's log: `dmesg`; network file systems are not supported".to_owned(),
        ),
        _ => (ErrorKind::Unavailable, error.to_string(), String::new()),
    };
    let sorted = Error::new(kind, format!("cannot {action} `{shown}`: {why}")).with_source(error);
    if help.is_empty() {
        sorted
    } else {
        sorted.with_help(help)
    }
}

/// The file at `path` is none of SQLite's; if it begins as JSON lines do, it may be a store of another driver.
fn no_database(action: &str, path: &Path) -> Error {
    let error = corrupt(action, path, "it is no SQLite database");
    let mut first = [0];
    let begun = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    if begun.is_ok() && first == *b"{" {
        let store = ConnectionString::of_file("file", path);
        return error.with_help(format!("is it a store of JSON lines? write `{store}`"));
    }
    error
}

/// Whether there is no room left. The shared memory beside a store that nobody has open is made anew even to read it; where there is
/// no room for that, SQLite speaks of a fault of input and output.
fn is_full(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else {
        return false;
    };
    error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
}

/// SQLite could not open, make or write one of its files, and does not say why; the file system does.
fn refused(action: &str, path: &Path) -> Error {
    if let Err(error) = path.metadata() {
        return store_file::error(action, path, error);
    }
    if path.is_dir() {
        return store_file::error(action, path, io::ErrorKind::IsADirectory.into());
    }
    let error = store_file::error(action, path, io::ErrorKind::PermissionDenied.into());
    // Who only reads makes nothing in the folder.
    if action == "read" {
        return error;
    }
    error.with_help(store_file::file_and_folder_help(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_a_store_locked_is_asked_by_its_path_as_it_is() {
        let busy = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None);
        let error = sort("write", Path::new("/my dir;x"), busy);
        let help = error.help().unwrap();
        assert!(help.contains("`fuser -v '/my dir;x'`"), "{help}");
    }

    #[test]
    fn a_file_of_json_lines_is_told_with_its_driver() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a,b.jsonl");
        for (content, expected) in [
            (&b"{\"base_id\": 1}\n"[..], "/a%2Cb.jsonl`"),
            (b"2026-11-28 a log", "/a,b.jsonl.old"),
            (b"", "/a,b.jsonl.old"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_NOTADB), None);
            let error = sort("write", &path, error);
            let help = error.help().unwrap();
            assert!(help.contains(expected), "{help}");
        }
    }

    #[test]
    fn a_full_disk_is_no_fault_of_the_hardware() {
        for (extended_code, kind, expected) in [
            (
                ffi::SQLITE_FULL,
                ErrorKind::Full,
                "no space left on the device",
            ),
            (
                ffi::SQLITE_IOERR_SHMSIZE,
                ErrorKind::Full,
                "no space left on the device",
            ),
            (
                ffi::SQLITE_IOERR_READ,
                ErrorKind::Unavailable,
                "the file system reports an error",
            ),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(extended_code), None);
            let error = sort("open", Path::new("/nowhere/x.db"), error);
            assert_eq!(
                (error.kind(), error.is_temporary(), error.to_string()),
                (
                    kind,
                    true,
                    format!("cannot open `/nowhere/x.db`: {expected}")
                ),
            );
            let advice = error.help().unwrap_or_default();
            assert_eq!(
                advice.contains("free some space"),
                kind == ErrorKind::Full,
                "{advice}"
            );
        }
    }
}
