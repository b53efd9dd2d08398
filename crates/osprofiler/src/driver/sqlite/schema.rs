// SPDX-License-Identifier: Apache-2.0
//! Opening a store: its tables, their version, and the settings of a connection.
//!
//! Nothing is taken for granted about a file that is there: it may be empty, another program's database, of a later
//! version, or hostile.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, TransactionBehavior};

use super::{Settings, errors};
use crate::driver::store_file;
use crate::{Error, ErrorKind, Id, Result};

/// The layout of [`TABLES`]; kept in the file's `user_version`.
const VERSION: i64 = 1;
/// `OSPr`; kept in the file's `application_id`.
const APPLICATION: i64 = 0x4f53_5072;
/// Small pages, because a block seldom fills its last one.
const PAGE_BYTES: i64 = 1024;
/// After this many bytes the journal is brought into the file.
const JOURNAL_BYTES: i64 = 4 << 20;

/// `trace.number` counts traces in order of their first batch; a block's `id` is that number and its position
/// ([`block_id`]), so that a trace's blocks lie together and the oldest come first. An id is 16 bytes if it is a UUID, else text.
/// Times are microseconds since 1970. `tail` is how many notifications the last block holds. A loss of traces that
/// nobody knows has an empty `base_id`.
const TABLES: &str = "
    CREATE TABLE trace (
        number INTEGER PRIMARY KEY,
        base_id ANY NOT NULL UNIQUE,
        started INTEGER NOT NULL,
        failed INTEGER,
        notifications INTEGER NOT NULL,
        blocks INTEGER NOT NULL,
        tail INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE block (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
    CREATE TABLE loss (
        base_id ANY NOT NULL,
        reason TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (base_id, reason)
    ) STRICT, WITHOUT ROWID;
";

/// How many blocks one trace may have.
pub(super) const MAX_BLOCKS: i64 = 1 << 24;

/// The id of the block at `position` of the trace `number`; an error for numbers that only a damaged or hostile file holds.
pub(super) fn block_id(number: i64, position: i64) -> rusqlite::Result<i64> {
    number
        .checked_mul(MAX_BLOCKS)
        .and_then(|first| first.checked_add(position))
        .filter(|_| (0..MAX_BLOCKS).contains(&position))
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(0, number))
}

/// An id as a column holds it: 16 bytes if it is a UUID, else text.
pub(super) struct SqlId<'a>(pub(super) Id<'a>);

impl ToSql for SqlId<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match (self.0.as_u128(), self.0.as_text()) {
            (Some(uuid), _) => ToSqlOutput::Owned(Value::Blob(uuid.to_be_bytes().to_vec())),
            (None, text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.unwrap_or_default().as_bytes()))
            }
        })
    }
}

/// Whether a file has the tables yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    Ready,
}

/// Opens the store for writing; makes the tables where they are missing. The file is there.
pub(super) fn open_to_write(settings: &Settings) -> Result<Connection> {
    let path = &*settings.path;
    let sort = |error| errors::sort("open", path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sort)?;
    configure(&connection, settings.busy_timeout).map_err(sort)?;
    connection
        .pragma_update(None, "page_size", PAGE_BYTES)
        .map_err(sort)?;
    if check(&connection, path)? == State::Empty {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sort)?;
        // Another process may have been faster.
        if check(&transaction, path)? == State::Empty {
            transaction.execute_batch(TABLES).map_err(sort)?;
            for (name, value) in [("application_id", APPLICATION), ("user_version", VERSION)] {
                transaction.pragma_update(None, name, value).map_err(sort)?;
            }
        }
        transaction.commit().map_err(sort)?;
    }
    use_journal(&connection, settings.busy_timeout).map_err(sort)?;
    let page_bytes: i64 = connection
        .pragma_query_value(None, "page_size", |row| row.get(0))
        .map_err(sort)?;
    for (name, value) in [
        ("synchronous", 1),
        ("wal_autocheckpoint", JOURNAL_BYTES / page_bytes.max(512)),
        ("journal_size_limit", JOURNAL_BYTES),
    ] {
        connection.pragma_update(None, name, value).map_err(sort)?;
    }
    // The first look at the store makes its journal and the index of that, which are to be shared as well.
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(sort)?;
    store_file::share_group(path, &journal_files(path));
    Ok(connection)
}

/// Opens the store for reading; never changes it.
pub(super) fn open_to_read(settings: &Settings) -> Result<(Connection, State)> {
    let path = &*settings.path;
    let metadata = path
        .metadata()
        .map_err(|error| store_file::error("read", path, error))?;
    if metadata.is_dir() {
        let error = std::io::ErrorKind::IsADirectory.into();
        return Err(store_file::error("read", path, error));
    }
    let open = |name: &Path, flags| {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | flags;
        let connection = Connection::open_with_flags(name, flags)
            .map_err(|error| errors::sort("read", path, error))?;
        configure(&connection, settings.busy_timeout)
            .map_err(|error| errors::sort("read", path, error))?;
        let state = check(&connection, path)?;
        Ok::<_, Error>((connection, state))
    };
    match open(path, OpenFlags::empty()) {
        // Without write access SQLite cannot make the index of the journal. Without a journal, the file is all there is.
        Err(error) if error.kind() == ErrorKind::Denied => {
            let journal = &journal_files(path)[0];
            if journal.metadata().is_ok_and(|journal| journal.len() > 0) {
                return Err(Error::new(
                    ErrorKind::Denied,
                    format!(
                        "cannot read `{}`: its newest part lies in `{}`, which this user cannot share",
                        path.display(),
                        journal.display()
                    ),
                )
                .with_help(store_file::access_help(journal)));
            }
            open(&immutable_uri(path), OpenFlags::SQLITE_OPEN_URI).map_err(|_| error)
        }
        result => result,
    }
}

/// SQLite's own files beside the store: the journal and its index.
pub(super) fn journal_files(path: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

fn immutable_uri(path: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let path = path.as_os_str().as_bytes();
    let escaped = percent_encoding::percent_encode(path, percent_encoding::NON_ALPHANUMERIC);
    // Slashes may stay escaped: SQLite decodes the path as a whole.
    format!("file:{escaped}?immutable=1").into()
}

fn configure(connection: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(32);
    // The file may be anybody's: nothing in its schema may call functions, and a wrong cell is an error, not a crash.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// Whether the store has its tables; an error if it is another program's, or a later version's.
fn check(connection: &Connection, path: &Path) -> Result<State> {
    let sort = |error| errors::sort("open", path, error);
    let marks = read_marks(connection).map_err(sort)?;
    match (marks.application, marks.version, marks.entries) {
        (0, 0, 0) => Ok(State::Empty),
        (APPLICATION, VERSION, _) if (marks.tables, marks.triggers) == (3, 0) => Ok(State::Ready),
        (APPLICATION, VERSION, _) => Err(store_file::corrupt(
            "open",
            path,
            "its tables are not this driver's",
        )),
        (APPLICATION, version, _) => Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "cannot open `{}`: it has layout {version}, this version knows layout {VERSION}",
                path.display()
            ),
        )
        .with_help("install the version of osprofiler that wrote it, or a later one")),
        _ => Err(store_file::corrupt(
            "open",
            path,
            "it is another program's database",
        )),
    }
}

/// What tells whose a file is.
struct Marks {
    application: i64,
    version: i64,
    /// Tables, indexes, views and triggers.
    entries: i64,
    /// How many of our tables are there and are tables: a view in the place of one, or a trigger, would have each of our
    /// statements run a stranger's SQL, for ever if they like.
    tables: i64,
    triggers: i64,
}

/// Reads the marks, all of one moment: another process may be making the tables.
fn read_marks(connection: &Connection) -> rusqlite::Result<Marks> {
    let _snapshot = connection
        .is_autocommit()
        .then(|| connection.unchecked_transaction())
        .transpose()?;
    let number = |query| connection.query_row(query, [], |row| row.get::<_, i64>(0));
    Ok(Marks {
        application: number("PRAGMA application_id")?,
        version: number("PRAGMA user_version")?,
        entries: number("SELECT count(*) FROM sqlite_schema")?,
        tables: number(
            "SELECT count(*) FROM sqlite_schema
             WHERE type = 'table' AND rootpage > 0 AND name IN ('trace', 'block', 'loss')",
        )?,
        triggers: number("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'")?,
    })
}

/// Switches to the write-ahead journal, which the file remembers. The first to switch needs the file for itself, and SQLite
/// does not wait for that as it waits for other locks.
fn use_journal(connection: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    let start = Instant::now();
    loop {
        let switched = connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()));
        match switched {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && start.elapsed() < busy_timeout =>
            {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "another process makes the same switch, and tells nobody when it is done"
                )]
                std::thread::sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
}
