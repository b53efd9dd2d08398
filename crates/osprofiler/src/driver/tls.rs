// SPDX-License-Identifier: Apache-2.0
//! What drivers that speak TLS have in common: whom to trust, and how it is told that somebody is not trusted.
//!
//! Clients that take rustls's own settings get them from [`trust`]; the others take a file with authorities, the system's
//! where none is named.

#[cfg(feature = "_trust")]
mod trust;

#[cfg(feature = "_authorities")]
use std::path::PathBuf;

#[cfg(feature = "_trust")]
pub(super) use trust::Trust;

/// Where systems keep the authorities that they trust.
#[cfg(feature = "_authorities")]
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The file with the authorities that the system trusts, for a client that would bring a list of its own otherwise: the one
/// that the variable `SSL_CERT_FILE` names, or the first that is where systems keep it. `None` if there is none.
#[cfg(feature = "_authorities")]
pub(super) fn system_authorities() -> Option<PathBuf> {
    let told = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let known = SYSTEM_AUTHORITIES.iter().map(PathBuf::from);
    told.into_iter().chain(known).find(|path| path.is_file())
}

/// Why a certificate is not trusted. It may name as many hosts as whoever shows it likes: only a part is repeated.
#[cfg(feature = "_rustls")]
pub(super) fn untrusted(why: &rustls::CertificateError) -> String {
    let why = super::words::one_line(&why.to_string());
    format!("its certificate is not trusted: {why}")
}

#[cfg(all(test, feature = "_rustls"))]
mod tests {
    use rustls::CertificateError;
    use rustls::pki_types::ServerName;

    use super::*;

    #[test]
    fn a_certificate_of_many_names_is_told_in_a_line() {
        let error = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("db.example").unwrap(),
            presented: (0..10_000)
                .map(|number| format!("DnsName(\"\u{1b}[2J\nhost-{number}\")"))
                .collect(),
        };
        let told = untrusted(&error);
        assert!(
            told.starts_with(
                "its certificate is not trusted: certificate not valid for name \"db.example\""
            ),
            "{told}"
        );
        assert!(told.len() < 300, "{told}");
        assert!(!told.contains(char::is_control), "{told:?}");
    }
}
