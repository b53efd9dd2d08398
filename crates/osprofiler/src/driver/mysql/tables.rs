// SPDX-License-Identifier: Apache-2.0
//! The tables: upstream's `data` and our `data_error` and `data_lost`, looked for and made.
//!
//! A table that is there is taken as it is. One that is not is made by a writer, with its indexes in one statement, so that
//! several may make it at once; a reader takes it for an empty one.

use mysql::prelude::Queryable;

use super::connection::{Connection, text};
use super::errors;
use crate::{ErrorKind, Result};

/// Upstream's, but that the numbers are wider than 32 bits, the index of `base_id` also knows times, which is what a listing
/// reads, and texts are compared character for character.
const DATA: &str = "\
CREATE TABLE IF NOT EXISTS data (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    timestamp VARCHAR(26),
    base_id VARCHAR(255),
    parent_id VARCHAR(255),
    trace_id VARCHAR(255),
    project VARCHAR(255),
    host VARCHAR(255),
    service VARCHAR(255),
    name VARCHAR(255),
    data JSON,
    INDEX ix_data_timestamp (timestamp),
    INDEX ix_data_base_id (base_id, timestamp),
    INDEX ix_data_parent_id (parent_id),
    INDEX ix_data_trace_id (trace_id),
    INDEX ix_data_project (project),
    INDEX ix_data_host (host),
    INDEX ix_data_service (service),
    INDEX ix_data_name (name)
)";

const DATA_ERROR: &str = "\
CREATE TABLE IF NOT EXISTS data_error (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    timestamp VARCHAR(26) NOT NULL,
    base_id VARCHAR(255) NOT NULL,
    INDEX ix_data_error_timestamp (timestamp),
    INDEX ix_data_error_base_id (base_id, timestamp)
)";

const DATA_LOST: &str = "\
CREATE TABLE IF NOT EXISTS data_lost (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    timestamp VARCHAR(26) NOT NULL,
    base_id VARCHAR(255),
    reason VARCHAR(32) NOT NULL,
    count BIGINT NOT NULL,
    INDEX ix_data_lost_timestamp (timestamp),
    INDEX ix_data_lost_base_id (base_id)
)";

/// How texts are compared where the server can: as they are, trailing blanks included. MariaDB's, MySQL 8's, everybody's.
const COLLATIONS: [&str; 3] = ["utf8mb4_nopad_bin", "utf8mb4_0900_bin", "utf8mb4_bin"];

/// Which tables there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) data: bool,
    pub(super) data_error: bool,
    pub(super) data_lost: bool,
}

impl Tables {
    const ALL: Self = Self {
        data: true,
        data_error: true,
        data_lost: true,
    };

    /// Looks for them in the database.
    pub(super) fn find(connection: &mut Connection) -> Result<Self> {
        let mut tables = Self::default();
        connection.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() \
             AND table_name IN ('data', 'data_error', 'data_lost')",
            vec![],
            &mut |row| match text(row, 0) {
                Some("data") => tables.data = true,
                Some("data_error") => tables.data_error = true,
                Some("data_lost") => tables.data_lost = true,
                _ => {}
            },
        )?;
        Ok(tables)
    }

    /// Makes those that are not there, and returns those that are then. A user who may not make tables goes on with `data` alone:
    /// then errors are not listed apart, and losses not kept.
    pub(super) fn make(connection: &mut Connection) -> Result<Self> {
        let there = Self::find(connection)?;
        if there == Self::ALL {
            return Ok(there);
        }
        match make_all(connection) {
            Ok(()) => Ok(Self::ALL),
            Err(error) if there.data && error.kind() == ErrorKind::Denied => Ok(there),
            Err(error) => Err(error),
        }
    }
}

fn make_all(connection: &mut Connection) -> Result<()> {
    let known: Vec<String> = connection
        .client
        .query("SELECT collation_name FROM information_schema.collations WHERE character_set_name = 'utf8mb4'")
        .map_err(|error| errors::sort(&error))?;
    let collation = COLLATIONS
        .into_iter()
        .find(|wanted| known.iter().any(|known| known == wanted))
        .unwrap_or(COLLATIONS[2]);
    for table in [DATA, DATA_ERROR, DATA_LOST] {
        connection.execute(&format!(
            "{table} ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}"
        ))?;
    }
    Ok(())
}
