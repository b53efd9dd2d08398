// SPDX-License-Identifier: Apache-2.0
//! Whose a file is, by how it begins: nothing is appended to another program's file, and no SQLite store is read as an empty one.
//!
//! In: an open file, in which nothing is moved. Out: an error for what is not ours, with what was probably meant. A file that is
//! empty is anybody's, and so is what is no regular file, such as a pipe. Half a line that a crashed writer left is ours.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::driver::store_file;
use crate::{Error, ErrorKind, Result};

/// How each SQLite file begins.
const SQLITE_HEAD: &[u8] = b"SQLite format 3\0";

/// Enough of a file to know it by.
const HEAD_BYTES: usize = 64;

/// An error if lines must not be appended to the file: it does not begin like a line of JSON.
pub(super) fn check_to_write(file: &File, path: &Path) -> Result<()> {
    check(file, path, "write", |head| {
        if begins_like_a_line(head) {
            return Ok(());
        }
        let why = "it is another program's file, it does not begin with a notification";
        Err(store_file::corrupt("write", path, why))
    })
}

/// An error if the file is an SQLite store. Junk may be read: lines of ours may follow.
pub(super) fn check_to_read(file: &File, path: &Path) -> Result<()> {
    check(file, path, "read", |_| Ok(()))
}

fn check(
    file: &File,
    path: &Path,
    action: &str,
    others: impl FnOnce(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut head = [0; HEAD_BYTES];
    let head =
        read_head(file, &mut head).map_err(|error| store_file::error(action, path, error))?;
    if !head.starts_with(SQLITE_HEAD) {
        return others(head);
    }
    let path = path.display();
    let message = format!("cannot {action} `{path}`: it is an SQLite file");
    Err(Error::new(ErrorKind::Corrupt, message)
        .with_help(format!("is it an SQLite store? write `sqlite://{path}`")))
}

fn read_head<'a>(file: &File, head: &'a mut [u8; HEAD_BYTES]) -> io::Result<&'a [u8]> {
    if !file.metadata()?.is_file() {
        return Ok(&[]);
    }
    loop {
        match file.read_at(head, 0) {
            Ok(length) => return Ok(&head[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether a file's first bytes are those of an object's first member, as far as they go; not those of an object over
/// several lines, which is a document of its own.
fn begins_like_a_line(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    let Some(rest) = text.strip_prefix(b"{") else {
        return text.is_empty();
    };
    let first = rest.iter().find(|&&byte| !matches!(byte, b' ' | b'\t'));
    first.is_none_or(|&byte| byte == b'"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_json_are_written_to_and_no_sqlite_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for (text, may_be_read, may_be_written) in [
            ("", true, true),
            ("\n\n", true, true),
            (r#"{"name": "db-start""#, true, true),
            (r#"{"osprofiler_lost": 1"#, true, true),
            (r#"  { "service": null"#, true, true),
            ("{", true, true),
            ("{\n  \"info\": {}\n}\n", true, false),
            ("{}\n", true, false),
            ("[{\"name\": 1}]", true, false),
            ("nothing of ours\n", true, false),
            ("SQLite format 3", true, false),
            ("SQLite format 3\0\x04\0", false, false),
            ("\0\0\0", true, false),
        ] {
            std::fs::write(&path, text).unwrap();
            let file = File::open(&path).unwrap();
            assert_eq!(check_to_read(&file, &path).is_ok(), may_be_read, "{text:?}");
            let writes = check_to_write(&file, &path);
            assert_eq!(writes.is_ok(), may_be_written, "{text:?}");
            if let Err(error) = writes {
                assert!(!error.is_temporary(), "{error:?}");
            }
        }
        let device = File::open("/dev/zero").unwrap();
        assert!(check_to_write(&device, Path::new("/dev/zero")).is_ok());
    }
}
