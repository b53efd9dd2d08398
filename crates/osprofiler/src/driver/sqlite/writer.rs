// SPDX-License-Identifier: Apache-2.0
//! Writing batches: one transaction each, into the file that is at the path now.
//!
//! The connection is opened by the first batch, in the process and thread that write. A file that was removed or replaced
//! since is left, and what this writer had put into it is counted as lost.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};

use super::packer::Packer;
use super::{Settings, block, bounds, errors, schema};
use crate::driver::Writer;
use crate::driver::store_file::{self, FileIdentity, Written};
use crate::{Error, ErrorKind, Id, Loss, LossReason, Notifications, Result};

pub(super) struct SqliteWriter {
    settings: Settings,
    open: Option<OpenStore>,
    packer: Packer,
    /// What files that were removed held, still to be kept in the file that follows.
    removed: Written,
    /// How much that was, and how much this writer evicted; told by the next `take_losses`.
    removed_count: u64,
    evicted_count: u64,
}

struct OpenStore {
    connection: Connection,
    identity: FileIdentity,
    /// Tells whether the file still has a name. Opened with `O_PATH`: closing any other descriptor of the file would drop
    /// SQLite's locks on it.
    watch: File,
    /// What this writer put into this very file: what is gone if it is removed.
    written: Written,
}

impl SqliteWriter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            open: None,
            packer: Packer::default(),
            removed: Written::default(),
            removed_count: 0,
            evicted_count: 0,
        }
    }

    /// The store at the path, whatever happened to the one that was open.
    fn store(&mut self) -> Result<&mut OpenStore> {
        self.forget_removed()?;
        let open = match self.open.take() {
            Some(open) => open,
            None => OpenStore::open(&self.settings)?,
        };
        Ok(self.open.insert(open))
    }

    /// Closes a store that is not at its path any more, and counts what went with it.
    fn forget_removed(&mut self) -> Result<()> {
        let path = &self.settings.path;
        let at_path =
            FileIdentity::at(path).map_err(|error| store_file::error("open", path, error))?;
        if let Some(mut open) = self.open.take_if(|open| Some(open.identity) != at_path) {
            // A file that was renamed can still be read; one without a name is gone with all that it held.
            if open.watch.metadata().is_ok_and(|file| file.nlink() == 0) {
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
        self.store()?;
        let Some(open) = &mut self.open else {
            return Err(Error::new(ErrorKind::Unavailable, "the store is not open"));
        };
        let result = open
            .connection
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
        // A damaged or forbidden file may be put right without being replaced: look at it afresh next time.
        if !error.is_temporary() {
            self.open = None;
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
            connection: schema::open_to_write(settings)?,
            identity,
            watch,
            written: Written::default(),
        };
        // Else the connection may be to another file than the watched one, which nobody would see being removed.
        if FileIdentity::at(path).map_err(sort)? == Some(identity) {
            return Ok(open);
        }
        open.leave();
        Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "cannot open `{}`: it was replaced at the same moment",
                path.display()
            ),
        ))
    }

    /// Closes a store that is not at its path any more. Closing deletes the journal by its name, which may by now be that of
    /// another file's journal; so this one stays.
    fn leave(self) {
        let _ = self
            .connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
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
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let max_bytes = self.settings.max_bytes;
        self.transact(|connection, _| {
            bounds::add_loss(connection, base_id, loss)?;
            bounds::bound_losses(connection, max_bytes)
        })
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
