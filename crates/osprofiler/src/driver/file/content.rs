// SPDX-License-Identifier: Apache-2.0
//! Whose a file is: nothing is appended to another program's file, and none is read as a store without traces.
//!
//! In: an open file, which stands at its beginning afterwards. Out: an error for what is not ours, with what was probably
//! meant. A file that is empty is anybody's, and so is what is no regular file, such as a pipe. The first line decides: a whole one
//! by what it holds, half of one, which a crashed writer left, by how it begins. A first line that is damaged is forgiven where a
//! line of ours follows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use crate::driver::{ConnectionString, store_file};
use crate::wire::{BYTE_ORDER_MARK, Line, Lines, json};
use crate::{Error, ErrorKind, Result};

/// How each SQLite file begins.
const SQLITE_HEAD: &[u8] = b"SQLite format 3\0";

/// As much of a file as a writer looks at: room for a line with the longest `info`, 1 MiB, and for one of usual size behind it. More
/// would be read at each batch that another program's file refuses.
const HEAD_BYTES: u64 = 2 << 20;

/// What half a line of ours may begin with: any member but `info`, with which a saved report begins.
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

/// A member that a whole line of ours has, and hardly a line of another program's log, whatever else is wrong with it.
const TELLING_MEMBERS: [&str; 2] = ["base_id", "osprofiler_lost"];

/// An error if lines must not be appended to the file: it does not begin like one of ours, and no line of ours is in its head.
pub(super) fn check_to_write(file: &File, path: &Path) -> Result<()> {
    check(file, path, "write", HEAD_BYTES)
}

/// An error if nothing of ours is in the file, however far behind a damaged beginning.
pub(super) fn check_to_read(file: &File, path: &Path) -> Result<()> {
    check(file, path, "read", u64::MAX)
}

/// `most_bytes` of the file are looked at for a line of ours, where its first line is none.
fn check(file: &File, path: &Path, action: &str, most_bytes: u64) -> Result<()> {
    match Owner::of(file, most_bytes).map_err(|error| store_file::error(action, path, error))? {
        Owner::We => Ok(()),
        Owner::Sqlite => {
            let message = format!("cannot {action} `{}`: it is an SQLite file", path.display());
            let store = ConnectionString::of_file("sqlite", path);
            Err(Error::new(ErrorKind::Corrupt, message)
                .with_help(format!("is it an SQLite store? write `{store}`")))
        }
        Owner::Another => {
            let why = "it is another program's file, it does not begin with a notification";
            Err(store_file::corrupt(action, path, why))
        }
    }
}

/// Whose a file is.
enum Owner {
    We,
    Sqlite,
    Another,
}

impl Owner {
    fn of(mut file: &File, most_bytes: u64) -> io::Result<Self> {
        if !file.metadata()?.is_file() {
            return Ok(Self::We);
        }
        file.rewind()?;
        let first = first_line(file)?;
        file.rewind()?;
        if first.starts_with(SQLITE_HEAD) {
            return Ok(Self::Sqlite);
        }
        let is_ours = is_ours(&first) || holds_line(file.take(most_bytes))?;
        file.rewind()?;
        Ok(if is_ours { Self::We } else { Self::Another })
    }
}

/// The first line that is not blank, as far as the head goes, with its end if it has one.
fn first_line(file: &File) -> io::Result<Vec<u8>> {
    let mut head = BufReader::with_capacity(1 << 13, file.take(HEAD_BYTES));
    let mut line = Vec::new();
    while head.read_until(b'\n', &mut line)? > 0 {
        if line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        if !line.trim_ascii().is_empty() {
            break;
        }
        line.clear();
    }
    Ok(line)
}

/// Whether the first line is one of ours, or half of one.
fn is_ours(line: &[u8]) -> bool {
    let is_ended = line.ends_with(b"\n");
    let line = line.trim_ascii();
    let object = std::str::from_utf8(line)
        .ok()
        .filter(|text| json::check_object(text).is_ok());
    match object {
        Some(text) => TELLING_MEMBERS
            .iter()
            .any(|name| json::member(text, name).is_some()),
        None => !is_ended && begins_like_a_line(line),
    }
}

/// Whether some line is a notification or a loss. Reads as far as the first one.
fn holds_line(file: impl Read) -> io::Result<bool> {
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, file));
    loop {
        match lines.next_line()? {
            None => return Ok(false),
            Some(Line::Junk(_)) => {}
            Some(Line::Notification(_) | Line::Loss(..)) => return Ok(true),
        }
    }
}

/// Whether these are the first bytes of an object whose first member is one of ours, as far as they go.
fn begins_like_a_line(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"{") else {
        return line.is_empty();
    };
    let rest = rest.trim_ascii_start();
    if rest.is_empty() {
        return true;
    }
    let Some(member) = rest.strip_prefix(b"\"") else {
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
        let damage = "\0".repeat(HEAD_BYTES as usize);
        let long = format!(r#"{{"name": "{}", "x": 1}}"#, "x".repeat(damage.len()));
        for (text, may_be_read, may_be_written) in [
            ("", true, true),
            ("\n\n", true, true),
            (&first, true, true),
            (first.trim_end(), true, true),
            (&format!("\u{feff}{first}"), true, true),
            ("\u{feff}", true, true),
            ("\u{feff}nothing of ours\n", false, false),
            (&damaged, true, true),
            (&format!("{damage}\n{first}"), true, false),
            (r#"{"name": "db-start""#, true, true),
            (r#"{"osprofiler_l"#, true, true),
            (r#"  { "service": null"#, true, true),
            ("{\"name\": \"db-st\n\0damaged\n", false, false),
            (&format!("{{\"name\": \"db-st\n{first}"), true, true),
            (r#"{"timestamp": "x", "base_id": 1}"#, true, true),
            (
                "{\"timestamp\": \"x\", \"level\": \"info\"}\n",
                false,
                false,
            ),
            (r#"{"name": "x", "version": 1}"#, false, false),
            ("{\"name\": \"x\"}\n\0damaged\n", false, false),
            (&format!("{{\"name\": \"x\"}}\n{first}"), true, true),
            (&format!("{long}\n"), true, true),
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
            let shown = &text[..text.len().min(60)];
            std::fs::write(&path, text).unwrap();
            let mut file = File::open(&path).unwrap();
            file.seek(io::SeekFrom::End(0)).unwrap();
            let outcomes = [check_to_read(&file, &path), check_to_write(&file, &path)];
            let may_be = outcomes.each_ref().map(Result::is_ok);
            assert_eq!(may_be, [may_be_read, may_be_written], "{shown:?}");
            assert_eq!(file.stream_position().unwrap(), 0, "{shown:?}");
            for error in outcomes.into_iter().filter_map(Result::err) {
                assert!(!error.is_temporary(), "{error:?}");
            }
        }
        let device = File::open("/dev/zero").unwrap();
        assert!(check_to_write(&device, Path::new("/dev/zero")).is_ok());
    }
}
