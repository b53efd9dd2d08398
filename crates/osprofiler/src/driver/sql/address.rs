// SPDX-License-Identifier: Apache-2.0
//! Where a database's server is: hosts with ports, or the path of a socket.

use percent_encoding::percent_decode_str;

use crate::driver::ConnectionString;
use crate::{Error, ErrorKind, Result};

/// A place where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::driver) enum Address {
    /// A host, without the brackets of an IPv6 address, and a port.
    Host(String, u16),
    /// The absolute path of a socket, or of its folder.
    Path(String),
}

/// The servers that `text`, a list with commas out of `connection`, names.
pub(in crate::driver) fn parse_list(
    connection: &ConnectionString,
    text: &str,
    default_port: u16,
) -> Result<Vec<Address>> {
    text.split(',')
        .filter(|text| !text.is_empty())
        .map(|text| {
            parse(text, default_port).ok_or_else(|| {
                Error::new(
                    ErrorKind::Usage,
                    format!("`{connection}` names a server that cannot be: `{text}`"),
                )
                .with_help("write `host:port`, an IPv6 address in brackets: `[::1]:5432`")
            })
        })
        .collect()
}

fn parse(text: &str, default_port: u16) -> Option<Address> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    if decoded.contains('\0') {
        return None;
    }
    if decoded.starts_with('/') {
        return Some(Address::Path(decoded.into_owned()));
    }
    let (host, port) = match decoded.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => decoded.split_at(decoded.find(':').unwrap_or(decoded.len())),
    };
    let port = match port {
        "" => default_port,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    (!host.is_empty() && port != 0).then(|| Address::Host(host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_hosts_ports_and_sockets() {
        let host = |host: &str, port| Some(Address::Host(host.to_owned(), port));
        for (text, expected) in [
            ("h", host("h", 9)),
            ("h:1", host("h", 1)),
            ("[::1]", host("::1", 9)),
            ("[::1]:2", host("::1", 2)),
            ("%2Frun%2Fx", Some(Address::Path("/run/x".to_owned()))),
            ("/run/x", Some(Address::Path("/run/x".to_owned()))),
            ("h:", None),
            ("h:port", None),
            ("h:0", None),
            ("h:70000", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            (":1", None),
            ("h%00", None),
        ] {
            assert_eq!(parse(text, 9), expected, "{text}");
        }
    }
}
