// SPDX-License-Identifier: Apache-2.0
//! Where a trace comes from: an id in a store, a file of notifications, or a saved report. The result is always notifications.
//!
//! An existing file wins over an id and needs no store. Files are told apart by how they begin, not by their name, and are read
//! as a stream where they can be, so that a pipe or a file of any size will do. What is neither is refused before it is read.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use osprofiler::driver::{ConnectionString, ReadSummary, Reader};
use osprofiler::shown::shell_word;
use osprofiler::wire::{BYTE_ORDER_MARK, Line, Lines};
use osprofiler::{Id, LossReason, Notifications};
use osprofiler_report::saved;

use crate::printer::plural;
use crate::store::StoreArguments;
use crate::stores::{Answer, Stores};
use crate::{Failure, Session};

/// How many bytes of a file tell what it is.
const HEAD_BYTES: u64 = 64 * 1024;

/// How each SQLite file begins.
const SQLITE_HEAD: &[u8] = b"SQLite format 3\0";

/// How each file begins that gzip wrote.
const GZIP_HEAD: &[u8] = b"\x1f\x8b";

/// The file that `-` stands for.
const STDIN: &str = "/dev/stdin";

/// What a file may be, for help.
const SHOWABLE: &str = "`osprofiler trace show` takes a trace's id, a file with a notification in JSON a line, or a report that \
                        `--json` wrote";

/// Why somebody names a trace's id, which decides what is likely where no store knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To see a request, which was perhaps not traced, or only just.
    ForRequest,
    /// To do something with what a store is known to hold.
    ForStored,
}

/// A trace as it was found.
pub(crate) struct Source {
    pub(crate) notifications: Notifications,
    pub(crate) summary: ReadSummary,
    /// Whether it is a saved report that breaks off; one of the skipped elements stands for what is missing.
    pub(crate) is_cut_off: bool,
    /// The store that had it, if it came from one.
    pub(crate) store: Option<ConnectionString>,
}

impl Source {
    /// Reads the file `trace`, standard input if that is `-`, or the trace of that id from the store.
    pub(crate) fn load(
        trace: &OsStr,
        store: &StoreArguments,
        session: &mut Session<'_>,
    ) -> Result<Self, Failure> {
        let path = Path::new(if trace == "-" { STDIN.as_ref() } else { trace });
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                Err(cannot_show(path, "it is a directory").with_help(SHOWABLE))
            }
            Ok(_) => {
                store.refuse_beside(&format!("not with {}", named(path)))?;
                Self::from_file(path)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(cannot_read(path, &error))
            }
            Err(_) if looks_like_file(path) => Err(cannot_show(path, "there is no such file")),
            Err(_) => {
                let text = trace.to_str().ok_or_else(|| {
                    cannot_show(path, "there is no such file, and an id is UTF-8")
                        .with_help(SHOWABLE)
                })?;
                Self::from_store(text, Asked::ForRequest, &mut store.open(session)?, session)
            }
        }
    }

    /// The trace `text`, taken as it is written or else as the UUID that it is.
    pub(crate) fn from_store(
        text: &str,
        asked: Asked,
        stores: &mut Stores,
        session: &mut Session<'_>,
    ) -> Result<Self, Failure> {
        let id = Id::parse(text).map_err(|invalid| Failure::usage(invalid.to_string()))?;
        let canonical = canonical_uuid(text).filter(|canonical| *canonical != id);
        let source = stores.ask(|store| {
            let mut read = || {
                let source = Self::read(id, &mut *store.reader)?;
                match canonical {
                    Some(id) if source.notifications.is_empty() => {
                        Self::read(id, &mut *store.reader)
                    }
                    _ => Ok(source),
                }
            };
            Ok(match read() {
                Ok(source) if source.notifications.is_empty() => Answer::Nothing(source),
                Ok(source) => Answer::Here(Self {
                    store: Some(store.connection.clone()),
                    ..source
                }),
                Err(failure) => Answer::Failed(failure),
            })
        });
        stores.tell(&mut session.printer);
        let source = source.map_err(|broken| broken.into_failure("nothing"))?;
        if source.notifications.is_empty() {
            return Err(not_found(text, asked, &source.summary, stores));
        }
        Ok(source)
    }

    /// What a store has under exactly this id; perhaps nothing.
    fn read(id: Id<'_>, reader: &mut dyn Reader) -> Result<Self, Failure> {
        let mut notifications = Notifications::default();
        let summary = reader.read(id, &mut notifications)?;
        Ok(Self {
            notifications,
            summary,
            is_cut_off: false,
            store: None,
        })
    }

    fn from_file(path: &Path) -> Result<Self, Failure> {
        let fails = |error: io::Error| cannot_read(path, &error);
        let mut file = File::open(path).map_err(fails)?;
        let mut head = Vec::new();
        (&mut file)
            .take(HEAD_BYTES)
            .read_to_end(&mut head)
            .map_err(fails)?;
        let content = Content::guess(&head, path);
        let mut whole =
            BufReader::with_capacity(HEAD_BYTES as usize, Cursor::new(head).chain(file));
        match content {
            Content::Empty => Err(cannot_show(path, "it is empty")),
            Content::Sqlite => Err(sqlite_store(path)),
            Content::Gzip => Err(compressed(path)),
            Content::Neither => Err(cannot_show(
                path,
                "it holds neither notifications nor a report",
            )
            .with_help(SHOWABLE)),
            Content::Notifications => Self::from_lines(path, whole),
            Content::Report => {
                let mut document = Vec::new();
                whole.read_to_end(&mut document).map_err(fails)?;
                Self::from_report(path, &document)
            }
        }
    }

    fn from_report(path: &Path, document: &[u8]) -> Result<Self, Failure> {
        let mut notifications = Notifications::default();
        let saved = saved::read(document, &mut notifications)
            .map_err(|error| cannot_show(path, &error.to_string()))?;
        if notifications.is_empty() {
            return Err(cannot_show(path, "the report in it has no points"));
        }
        Ok(Self {
            notifications,
            summary: saved.summary,
            is_cut_off: saved.is_cut_off,
            store: None,
        })
    }

    fn from_lines(path: &Path, file: impl io::BufRead) -> Result<Self, Failure> {
        let mut lines = Lines::new(file);
        let mut notifications = Notifications::default();
        let mut summary = ReadSummary::default();
        let mut losses = Vec::new();
        while let Some(line) = lines
            .next_line()
            .map_err(|error| cannot_read(path, &error))?
        {
            match line {
                Line::Notification(parsed) => {
                    let notification = parsed.as_notification();
                    if !notifications.is_empty()
                        && notifications.get(0).base_id != notification.base_id
                    {
                        return Err(several_traces(path, notifications.get(0).base_id));
                    }
                    notifications.push(&notification);
                }
                Line::Loss(base_id, loss) => losses.push((base_id, loss)),
                Line::Junk(_) => summary.skipped += 1,
            }
        }
        if notifications.is_empty() {
            let lines = summary.skipped;
            let why = format!("none of its {lines} lines is a notification");
            return Err(cannot_show(path, &why).with_help(SHOWABLE));
        }
        let base_id = notifications.get(0).base_id.to_string();
        for (id, loss) in losses {
            if id.is_none_or(|id| id == base_id) {
                summary.add_loss(loss);
            }
        }
        Ok(Self {
            notifications,
            summary,
            is_cut_off: false,
            store: None,
        })
    }
}

/// What a file seems to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Empty,
    Notifications,
    Report,
    Sqlite,
    Gzip,
    Neither,
}

impl Content {
    /// By the file's first bytes: an object that begins with a report's member, or a notification's member somewhere. A name
    /// that ends in `.jsonl` is believed, so that a file with junk at its head is read all the same.
    fn guess(head: &[u8], path: &Path) -> Self {
        if head.starts_with(SQLITE_HEAD) {
            return Self::Sqlite;
        }
        if head.starts_with(GZIP_HEAD) {
            return Self::Gzip;
        }
        let text = head
            .strip_prefix(BYTE_ORDER_MARK)
            .unwrap_or(head)
            .trim_ascii_start();
        if text.is_empty() && (head.len() as u64) < HEAD_BYTES {
            return Self::Empty;
        }
        let first_member = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
        let is_report = ["\"info\"", "\"children\"", "\"stats\""]
            .iter()
            .any(|member| first_member.is_some_and(|text| text.starts_with(member.as_bytes())));
        let holds = |member: &str| {
            text.windows(member.len())
                .any(|window| window == member.as_bytes())
        };
        if is_report {
            Self::Report
        } else if path.extension() == Some(OsStr::new("jsonl")) || holds("\"base_id\"") {
            Self::Notifications
        } else {
            Self::Neither
        }
    }
}

/// The id that `text` is in any of the forms in which people write UUIDs: upper case, without hyphens, in braces, as a URN.
fn canonical_uuid(text: &str) -> Option<Id<'static>> {
    let text = text.trim();
    let text = text.strip_prefix("urn:").unwrap_or(text);
    let text = text.strip_prefix("uuid:").unwrap_or(text);
    let digits = text
        .trim_start_matches('{')
        .trim_end_matches('}')
        .replace('-', "");
    let is_uuid = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(&digits, 16).ok()?;
    is_uuid.then(|| Id::from_u128(number))
}

/// Whether a name that is no file was meant as one.
fn looks_like_file(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    matches!(extension, Some("json" | "jsonl" | "html")) || path.components().count() > 1
}

/// The file in a message.
fn named(path: &Path) -> String {
    if path == Path::new(STDIN) {
        "standard input".to_owned()
    } else {
        format!("`{}`", path.display())
    }
}

fn cannot_show(path: &Path, why: &str) -> Failure {
    Failure::failed(format!("cannot show {}: {why}", named(path)))
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    if path == Path::new(STDIN) {
        Failure::io(format!("cannot read {}", named(path)), error)
    } else {
        Failure::file("read", path, error)
    }
}

/// The failure for the file `path`, of which one trace has to be named; as a store it lets its reader do that.
fn to_be_named(failure: Failure, id: &str, scheme: &str, path: &Path) -> Failure {
    let found = std::fs::canonicalize(path).ok();
    let (failure, store) = match found.filter(|found| found.is_file()) {
        Some(found) => {
            let connection = ConnectionString::of_file(scheme, &found);
            (failure, shell_word(connection))
        }
        // A pipe is read once.
        None => (
            failure.with_help("write it to a file first: what was read of it is gone"),
            format!("{scheme}:///PATH"),
        ),
    };
    let store = format!("--connection-string {store}");
    failure
        .with_help(format!("say which: `osprofiler trace show {id} {store}`"))
        .with_help(format!("list them: `osprofiler trace list {store}`"))
}

fn sqlite_store(path: &Path) -> Failure {
    let failure = cannot_show(path, "it is an SQLite file, which may hold many traces");
    to_be_named(failure, "ID", "sqlite", path)
}

fn compressed(path: &Path) -> Failure {
    let unpack = if path == Path::new(STDIN) {
        "zcat".to_owned()
    } else {
        format!("zcat {}", shell_word(path.display()))
    };
    cannot_show(path, "it is compressed with gzip").with_help(format!(
        "unpack it on the way: `{unpack} | osprofiler trace show -`"
    ))
}

fn several_traces(path: &Path, first: Id<'_>) -> Failure {
    let failure = cannot_show(path, "it holds several traces");
    to_be_named(failure, &shell_word(first), "file", path)
}

/// The failure for a trace that no store knows, with what is likely.
fn not_found(id: &str, asked: Asked, summary: &ReadSummary, stores: &Stores) -> Failure {
    let lost: u64 = summary.losses.iter().map(|loss| loss.count).sum();
    let failure = Failure::failed(format!("no trace `{id}` in {}", stores.names()));
    let evicted = summary.losses.iter();
    let evicted = evicted.filter(|loss| loss.reason == LossReason::Evicted);
    let evicted: u64 = evicted.map(|loss| loss.count).sum();
    if evicted > 0 {
        let notifications = plural(evicted, "notification");
        return failure.with_help(format!(
            "it was traced, but the store removed it ({notifications}) to stay within `max_size`: a larger one in the services' \
             `connection_string` keeps traces longer"
        ));
    }
    if lost > 0 {
        let notifications = plural(lost, "notification");
        return failure.with_help(format!(
            "it was traced, but {notifications} of it were lost: see the services' logs"
        ));
    }
    let failure = if summary.skipped > 0 {
        let elements = plural(summary.skipped, "stored element");
        failure.with_help(format!(
            "is the store damaged? {elements} in it could not be read"
        ))
    } else {
        failure
    };
    let advice = "`osprofiler trace list` shows the traces that are there";
    if canonical_uuid(id).is_none() {
        return failure
            .with_help("is the id whole? it is no UUID, and the id of a request's trace is one")
            .with_help(advice);
    }
    if asked == Asked::ForStored {
        return failure.with_help(advice);
    }
    failure
        .with_help(
            "was the request traced? the key given to the client has to be one of `hmac_keys` of each service",
        )
        .with_help(
            "is it the right store? compare with `connection_string` in the services' section `[profiler]`",
        )
        .with_help("is it too early? services store what they recorded some tenths of a second later")
        .with_help(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_it_begins_like() {
        for (head, path, expected) in [
            ("", "x", Content::Empty),
            (" \n\n", "x.jsonl", Content::Empty),
            (
                r#"{"name": "a", "base_id": "b""#,
                "x",
                Content::Notifications,
            ),
            ("junk\n{\"base_id\": 1}", "x", Content::Notifications),
            ("\0\0", "x.jsonl", Content::Notifications),
            ("{\n  \"info\": {", "x", Content::Report),
            ("\u{feff}{\"children\":[]", "x.jsonl", Content::Report),
            (r#"{"stats": {}, "base_id": 1"#, "x", Content::Report),
            ("SQLite format 3\0 \"base_id\"", "x.jsonl", Content::Sqlite),
            ("SQLite format 3", "x.txt", Content::Neither),
            ("\u{feff}{\"base_id\": 1}", "x", Content::Notifications),
            ("\0\0\0", "x.bin", Content::Neither),
            ("<html>", "report.html", Content::Neither),
            ("{}", "x.json", Content::Neither),
            ("[]", "x.json", Content::Neither),
        ] {
            let guess = Content::guess(head.as_bytes(), Path::new(path));
            assert_eq!(guess, expected, "{head:?} {path}");
        }
        let guess = Content::guess(b"\x1f\x8b\x08\0", Path::new("x.jsonl"));
        assert_eq!(guess, Content::Gzip);
    }

    #[test]
    fn a_uuid_is_known_in_any_form() {
        let id = Some(Id::from_u128(0x4e3e_0ec6_2938_40b1_8504_09eb_1d4b_0dee));
        for (text, expected) in [
            ("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", id),
            ("4E3E0EC6-2938-40B1-8504-09EB1D4B0DEE", id),
            ("4e3e0ec6293840b1850409eb1d4b0dee", id),
            ("{4e3e0ec6-2938-40b1-8504-09eb1d4b0dee}", id),
            ("urn:uuid:4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", id),
            (" 4e3e0ec6-2938-40b1-8504-09eb1d4b0dee\n", id),
            ("4e3e0ec6-2938-40b1-8504-09eb1d4b0de", None),
            ("+e3e0ec6-2938-40b1-8504-09eb1d4b0dee", None),
            ("B", None),
            ("", None),
        ] {
            assert_eq!(canonical_uuid(text), expected, "{text}");
        }
    }
}
