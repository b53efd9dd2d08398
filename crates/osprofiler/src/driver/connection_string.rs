// SPDX-License-Identifier: Apache-2.0
//! Connection strings, `scheme://[user[:password]@]rest[?options]`, whose password nobody sees.

/// A connection string, parsed. `Debug` and `Display` show `***` for the password.
pub struct ConnectionString;
