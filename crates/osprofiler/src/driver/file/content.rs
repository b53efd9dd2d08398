// SPDX-License-Identifier: Apache-2.0
//! Whose a file is: nothing is appended to another program's file, and none is read as a store without traces.
//!
//! In: an open file, which stands at its beginning, then and afterwards. Out: an error for what is not ours, with what was probably
//! meant. A file that is empty is anybody's, and so is what is no regular file, such as a pipe. Half a line that a crashed writer left
//! is ours. How a file begins decides; a reader forgives a beginning that is damaged where a line of ours follows.

use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::driver::store_file;
use crate::wire::{BYTE_ORDER_MARK, Line, Lines};
use crate::{Error, ErrorKind, Result};

/// How each SQLite file begins.
const SQLITE_HEAD: &[u8] = b"SQLite format 3\0";

/// Enough of a file to know it by.
const HEAD_BYTES: usize = 64;

/// What a line of ours may begin with: any member but `info`, with which a saved report begins.
const MEMBERS: [&str; 8] = [
    "name",
    "base_id",
    "trace_id",
    "parent_id",
    "timestamp",
    "project",
    "service",
    "osprofiler_lost",
];

/// An error if lines must not be appended to the file: it does not begin like one of ours.
pub(super) fn check_to_write(file: &File, path: &Path) -> Result<()> {
    check(file, path, "write", |_| Ok(false))
}

/// An error if nothing of ours is in the file. One that would not be written is read if a line of ours is in it: its beginning may
/// be damaged.
pub(super) fn check_to_read(file: &File, path: &Path) -> Result<()> {
    check(file, path, "read", holds_line)
}

/// `others` says of a file that does not begin like ours whether it is ours all the same.
fn check(
    file: &File,
    path: &Path,
    action: &str,
    others: impl FnOnce(&File) -> io::Result<bool>,
) -> Result<()> {
    let fails = |error| store_file::error(action, path, error);
    let mut head = [0; HEAD_BYTES];
    let head = read_head(file, &mut head).map_err(fails)?;
    if head.starts_with(SQLITE_HEAD) {
        let path = path.display();
        let message = format!("cannot {action} `{path}`: it is an SQLite file");
        return Err(Error::new(ErrorKind::Corrupt, message)
            .with_help(format!("is it an SQLite store? write `sqlite://{path}`")));
    }
    if begins_like_a_line(head) || others(file).map_err(fails)? {
        return Ok(());
    }
    let why = "it is another program's file, it does not begin with a notification";
    Err(store_file::corrupt(action, path, why))
}

/// Whether a line of the file is a notification or a loss. Reads as far as the first one.
fn holds_line(mut file: &File) -> io::Result<bool> {
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, file));
    let found = loop {
        match lines.next_line()? {
            None => break false,
            Some(Line::Junk(_)) => {}
            Some(Line::Notification(_) | Line::Loss(..)) => break true,
        }
    };
    file.rewind()?;
    Ok(found)
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

/// Whether a file's first bytes are those of an object whose first member is one of ours, as far as they go; not those of an object
/// over several lines, which is a document of its own.
fn begins_like_a_line(head: &[u8]) -> bool {
    let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let text = text.trim_ascii_start();
    let Some(rest) = text.strip_prefix(b"{") else {
        return text.is_empty();
    };
    let first = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    let Some(first) = first else { return true };
    let Some(member) = rest[first..].strip_prefix(b"\"") else {
        return false;
    };
    match member.iter().position(|&byte| byte == b'"') {
        Some(end) => MEMBERS
            .iter()
            .any(|known| known.as_bytes() == &member[..end]),
        None => MEMBERS
            .iter()
            .any(|known| known.as_bytes().starts_with(member)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::{Id, Loss, LossReason, wire};

    fn line() -> String {
        let mut line = String::new();
        let reason = LossReason::Exit;
        wire::push_loss_line(Some(Id::from_u128(1)), Loss { count: 1, reason }, &mut line);
        line
    }

    #[test]
    fn no_other_programs_file_is_written_or_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let (first, damaged) = (line(), format!("\0\0damaged\n{{}}\n{}", line()));
        for (text, may_be_read, may_be_written) in [
            ("", true, true),
            ("\n\n", true, true),
            (&first, true, true),
            (&format!("\u{feff}{first}"), true, true),
            ("\u{feff}", true, true),
            ("\u{feff}nothing of ours\n", false, false),
            (&damaged, true, false),
            (r#"{"name": "db-start""#, true, true),
            (r#"{"osprofiler_l"#, true, true),
            (r#"  { "service": null"#, true, true),
            ("{\"name\": \"x\"}\n\0damaged\n", true, true),
            ("{", true, true),
            ("{\n  \"info\": {}\n}\n", false, false),
            ("{\"level\": \"info\"}\n", false, false),
            ("{\"info\": {}, \"children\": []}", false, false),
            ("{\"names", false, false),
            ("{}\n", false, false),
            ("[{\"name\": 1}]", false, false),
            ("nothing of ours\n", false, false),
            ("name,base_id\nx,y\n", false, false),
            ("SQLite format 3", false, false),
            ("SQLite format 3\0\x04\0", false, false),
            ("\0\0\0", false, false),
        ] {
            std::fs::write(&path, text).unwrap();
            let mut file = File::open(&path).unwrap();
            let outcomes = [check_to_read(&file, &path), check_to_write(&file, &path)];
            let may_be = outcomes.each_ref().map(Result::is_ok);
            assert_eq!(may_be, [may_be_read, may_be_written], "{text:?}");
            assert_eq!(file.stream_position().unwrap(), 0, "{text:?}");
            for error in outcomes.into_iter().filter_map(Result::err) {
                assert!(!error.is_temporary(), "{error:?}");
            }
        }
        let device = File::open("/dev/zero").unwrap();
        assert!(check_to_write(&device, Path::new("/dev/zero")).is_ok());
    }
}
