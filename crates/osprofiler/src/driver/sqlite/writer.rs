// SPDX-License-Identifier: Apache-2.0
//! Writing batches: one transaction each, into the file that is at the path now.
//!
//! The connection is opened by the first batch, in the process and thread that write. A file that was removed or replaced
//! since is left, and what this writer had put into it is counted as lost.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};

use super::expiry::Expiry;
use super::packer::Packer;
use super::{Settings, block, bounds, errors, schema};
use crate::driver::Writer;
use crate::driver::store_file::{self, FileIdentity, Written};
use crate::{Error, ErrorKind, Id, Loss, LossReason, Notifications, Result};

pub(super) struct SqliteWriter {
    settings: Settings,
    open: Option<OpenStore>,
    packer: Packer,
    expiry: Option<Expiry>,
    /// What files that were removed held, still to be kept in the file that follows.
    removed: Written,
    /// How much that was, and how much this writer evicted; told by the next `take_losses`.
    removed_count: u64,
    evicted_count: u64,
}

struct OpenStore {
    /// `None` after it was refused; then the next batch makes a new one.
    connection: Option<Connection>,
    identity: FileIdentity,
    /// Tells whether the file still has a name. Opened with `O_PATH`: closing any other descriptor of the file would drop
    /// SQLite's locks on it.
    watch: File,
    /// What this writer put into this very file; what of it is still there is gone if the file is removed.
    written: Written,
}

impl SqliteWriter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            expiry: settings.ttl.map(Expiry::new),
            settings,
            open: None,
            packer: Packer::default(),
            removed: Written::default(),
            removed_count: 0,
            evicted_count: 0,
        }
    }

    /// Sees to it that the store at the path is open, whatever happened to the one that was.
    fn reopen(&mut self) -> Result<()> {
        self.forget_removed()?;
        let is_connected = |open: &OpenStore| open.connection.is_some();
        if self.open.as_ref().is_some_and(is_connected) {
            return Ok(());
        }
        let mut open = OpenStore::open(&self.settings)?;
        if let Some(former) = &mut self.open {
            if former.identity != open.identity {
                // The next batch counts what was in the former.
                return Err(open.abandon(&self.settings.path));
            }
            open.written = std::mem::take(&mut former.written);
        }
        self.open = Some(open);
        Ok(())
    }

    /// Closes a store that is not at its path any more, and counts what went with it.
    fn forget_removed(&mut self) -> Result<()> {
        let path = &self.settings.path;
        let at_path =
            FileIdentity::at(path).map_err(|error| store_file::error("open", path, error))?;
        if let Some(mut open) = self.open.take_if(|open| Some(open.identity) != at_path) {
            // A file that was renamed can still be read; one without a name is gone with all that it held.
            if open.watch.metadata().is_ok_and(|file| file.nlink() == 0) {
                if let Some(connection) = &open.connection {
                    open.written
                        .keep_at_most(|trace| bounds::count(connection, trace).ok());
                }
                self.removed_count += open.written.total();
                self.removed.take_from(&mut open.written);
            }
            open.leave();
        }
        Ok(())
    }

    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Packer) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.reopen()?;
        let open = self.open.as_mut();
        let Some(connection) = open.and_then(|open| open.connection.as_mut()) else {
            return Err(Error::new(ErrorKind::Unavailable, "the store is not open"));
        };
        let result = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let result = work(&transaction, &mut self.packer)?;
                for (trace, loss) in self.removed.losses() {
                    bounds::add_loss(&transaction, trace, loss)?;
                }
                transaction.commit()?;
                self.removed = Written::default();
                Ok(result)
            });
        let error = match result {
            Ok(result) => return Ok(result),
            Err(error) => errors::sort("write", &self.settings.path, error),
        };
        // What puts a forbidden or damaged file right may leave it where it is. SQLite sees that from a new connection only, and while no
        // other of this process, which would share what it found out, is open.
        if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Full)
            && let Some(open) = &mut self.open
        {
            open.connection = None;
        }
        Err(error)
    }
}

impl OpenStore {
    fn open(settings: &Settings) -> Result<Self> {
        let path = &settings.path;
        let sort = |error| store_file::error("open", path, error);
        store_file::create(path).map_err(|error| store_file::error("make", path, error))?;
        let watch = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path)
            .map_err(sort)?;
        let identity = FileIdentity::of(&watch.metadata().map_err(sort)?);
        let open = Self {
            connection: Some(schema::open_to_write(settings)?),
            identity,
            watch,
            written: Written::default(),
        };
        // Else the connection may be to another file than the watched one, which nobody would see being removed.
        if FileIdentity::at(path).map_err(sort)? == Some(identity) {
            return Ok(open);
        }
        Err(open.abandon(path))
    }

    /// Leaves a file that is another than it was a moment ago; the error to return.
    fn abandon(self, path: &Path) -> Error {
        self.leave();
        let path = path.display();
        let message = format!("cannot open `{path}`: it was replaced at the same moment");
        Error::new(ErrorKind::Unavailable, message)
    }

    /// Closes a store that is not at its path any more. Closing deletes the journal by its name, which may by now be that of
    /// another file's journal; so this one stays.
    fn leave(self) {
        if let Some(connection) = self.connection {
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}

impl Writer for SqliteWriter {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(large) = batch
            .iter()
            .map(|notification| notification.text_bytes())
            .find(|&bytes| bytes > block::ROW_TEXT_BYTES)
        {
            let message = format!("a notification of {large} bytes is too large for this store");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let max_bytes = self.settings.max_bytes;
        let evicted = self.transact(|connection, packer| {
            packer.write(connection, batch)?;
            bounds::evict(connection, max_bytes)
        })?;
        self.evicted_count += evicted;
        if let Some(open) = &mut self.open {
            open.written.add(batch);
        }
        if let Some(expiry) = &mut self.expiry {
            expiry.wrote(batch.len());
        }
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let max_bytes = self.settings.max_bytes;
        self.transact(|connection, _| {
            bounds::add_loss(connection, base_id, loss)?;
            bounds::bound_losses(connection, max_bytes)
        })
    }

    fn tidy(&mut self) {
        if let Some(mut expiry) = self.expiry.take() {
            if let Some((oldest, most)) = expiry.due() {
                let _ = self.transact(|connection, _| expiry.remove(connection, oldest, most));
            }
            self.expiry = Some(expiry);
        }
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        // A path that cannot be looked at says nothing about the file; the next batch will.
        let _ = self.forget_removed();
        [
            (&mut self.evicted_count, LossReason::Evicted),
            (&mut self.removed_count, LossReason::StoreRemoved),
        ]
        .into_iter()
        .map(|(count, reason)| Loss {
            count: std::mem::take(count),
            reason,
        })
        .filter(|loss| loss.count > 0)
        .collect()
    }
}
