// SPDX-License-Identifier: Apache-2.0
//! The tables: upstream's `data` and our `data_error` and `data_lost`, looked for and made.
//!
//! A table that is there is taken as it is. One that is not is made by a writer, with its indexes, under a lock that lets one
//! process at a time make them; a reader takes it for an empty one.

use super::connection::Connection;
use crate::{ErrorKind, Result};

/// `data` is upstream's, but that the numbers are wider than 32 bits, the index of `base_id` also knows times, which is what a listing
/// reads, and texts are compared byte for byte.
const TABLES: &str = r#"
CREATE TABLE IF NOT EXISTS data (
    id BIGSERIAL PRIMARY KEY,
    timestamp VARCHAR(26) COLLATE "C",
    base_id VARCHAR(255) COLLATE "C",
    parent_id VARCHAR(255) COLLATE "C",
    trace_id VARCHAR(255) COLLATE "C",
    project VARCHAR(255) COLLATE "C",
    host VARCHAR(255) COLLATE "C",
    service VARCHAR(255) COLLATE "C",
    name VARCHAR(255) COLLATE "C",
    data JSON
);
CREATE INDEX IF NOT EXISTS ix_data_timestamp ON data (timestamp);
CREATE INDEX IF NOT EXISTS ix_data_base_id ON data (base_id, timestamp);
CREATE INDEX IF NOT EXISTS ix_data_parent_id ON data (parent_id);
CREATE INDEX IF NOT EXISTS ix_data_trace_id ON data (trace_id);
CREATE INDEX IF NOT EXISTS ix_data_project ON data (project);
CREATE INDEX IF NOT EXISTS ix_data_host ON data (host);
CREATE INDEX IF NOT EXISTS ix_data_service ON data (service);
CREATE INDEX IF NOT EXISTS ix_data_name ON data (name);

CREATE TABLE IF NOT EXISTS data_error (
    id BIGSERIAL PRIMARY KEY,
    timestamp VARCHAR(26) COLLATE "C" NOT NULL,
    base_id VARCHAR(255) COLLATE "C" NOT NULL
);
CREATE INDEX IF NOT EXISTS ix_data_error_timestamp ON data_error (timestamp);
CREATE INDEX IF NOT EXISTS ix_data_error_base_id ON data_error (base_id, timestamp);

CREATE TABLE IF NOT EXISTS data_lost (
    id BIGSERIAL PRIMARY KEY,
    timestamp VARCHAR(26) COLLATE "C" NOT NULL,
    base_id VARCHAR(255) COLLATE "C",
    reason VARCHAR(32) COLLATE "C" NOT NULL,
    count BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS ix_data_lost_timestamp ON data_lost (timestamp);
CREATE INDEX IF NOT EXISTS ix_data_lost_base_id ON data_lost (base_id);
"#;

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

    /// Looks for them where the session looks for tables.
    pub(super) fn find(connection: &Connection) -> Result<Self> {
        let mut tables = Self::default();
        connection.query(
            "SELECT to_regclass('data') IS NOT NULL, to_regclass('data_error') IS NOT NULL, to_regclass('data_lost') IS NOT NULL",
            &[],
            &mut |row| {
                let is_there = |column| row.try_get(column).unwrap_or(false);
                tables = Self {
                    data: is_there(0),
                    data_error: is_there(1),
                    data_lost: is_there(2),
                };
            },
        )?;
        Ok(tables)
    }

    /// Makes those that are not there, and returns those that are then. A user who may not make tables goes on with `data` alone:
    /// then errors are not listed apart, and losses not kept.
    pub(super) fn make(connection: &Connection) -> Result<Self> {
        let there = Self::find(connection)?;
        if there == Self::ALL {
            return Ok(there);
        }
        // The number is nothing but this lock's name. Those who had to wait find the tables made.
        let made = connection
            .execute("BEGIN; SET LOCAL client_min_messages = warning; SELECT pg_advisory_xact_lock(7166489210437)")
            .and_then(|()| connection.execute(TABLES))
            .and_then(|()| connection.execute("COMMIT"));
        match made {
            Ok(()) => Ok(Self::ALL),
            Err(error) if there.data && error.kind() == ErrorKind::Denied => {
                connection.execute("ROLLBACK")?;
                Ok(there)
            }
            Err(error) => Err(error),
        }
    }
}
