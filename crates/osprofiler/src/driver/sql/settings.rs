// SPDX-License-Identifier: Apache-2.0
//! Options of connection strings that SQL databases' clients have in common, under names of their own.
//!
//! In: a connection string, and the names. Out: checked values, or an error that shows what would do.

use crate::driver::ConnectionString;
use crate::driver::options::refused;
use crate::{Error, ErrorKind, Result};

/// The value of the first of these options that is there.
pub(in crate::driver) fn first<'a>(
    connection: &'a ConnectionString,
    names: &[&str],
) -> Option<&'a str> {
    names.iter().find_map(|name| connection.option(name))
}

/// The option `port`.
pub(in crate::driver) fn port(connection: &ConnectionString, default: u16) -> Result<u16> {
    match connection.option("port") {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|&port| port != 0)
            .ok_or_else(|| refused("port", text, &format!("write a number: `port={default}`"))),
    }
}

/// The files with our own certificate and its key, which need each other.
pub(in crate::driver) fn identity(
    connection: &ConnectionString,
    names: [&str; 2],
) -> Result<Option<(String, String)>> {
    match names.map(|name| connection.option(name)) {
        [None, None] => Ok(None),
        [Some(certificate), Some(key)] => Ok(Some((certificate.to_owned(), key.to_owned()))),
        _ => {
            let [certificate, key] = names;
            let message = format!("the options `{certificate}` and `{key}` need each other");
            Err(Error::new(ErrorKind::Usage, message)
                .with_help("name both files, of the certificate and of its key"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: std::fmt::Debug + PartialEq>(
        options: &str,
        read: impl Fn(&ConnectionString) -> Result<T>,
        expected: std::result::Result<T, &str>,
    ) {
        let connection = ConnectionString::parse(&format!("x://h?{options}")).unwrap();
        let found = read(&connection).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{options}");
    }

    #[test]
    fn a_port_is_a_number_of_one() {
        let read = |connection: &ConnectionString| port(connection, 9);
        for (options, expected) in [
            ("", Ok(9)),
            ("port=7", Ok(7)),
            ("port=0", Err("the option `port` cannot be `0`")),
            ("port=70000", Err("the option `port` cannot be `70000`")),
            ("port=x", Err("the option `port` cannot be `x`")),
        ] {
            check(options, read, expected);
        }
    }

    #[test]
    fn a_certificate_has_a_key() {
        let read = |connection: &ConnectionString| identity(connection, ["cert", "key"]);
        let both = Some(("/c".to_owned(), "/k".to_owned()));
        let one = Err("the options `cert` and `key` need each other");
        check("", read, Ok(None));
        check("cert=/c&key=/k", read, Ok(both));
        check("cert=/c", read, one.clone());
        check("key=/k", read, one);
    }
}
