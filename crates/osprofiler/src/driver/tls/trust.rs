// SPDX-License-Identifier: Apache-2.0
//! Whom a store's certificate is trusted from, for clients that take rustls's own settings.
//!
//! In: the options `tls_ca_file` and `tls_verify`, and a certificate of ours where the store wants one. Out: rustls's
//! settings, with `ring`. Files are read when a connection is made, so a renewed certificate is taken up by the next.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::{Error, ErrorKind, Result};

/// What a connection string says of trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::driver) struct Trust {
    /// A PEM file with further authorities.
    pub(in crate::driver) authorities: Option<String>,
    /// Whether any certificate will do.
    pub(in crate::driver) anybody: bool,
    /// Whether a certificate may be for another host. Then those of `authorities` are the only ones.
    pub(in crate::driver) any_name: bool,
    /// PEM files with our own certificate, and its key.
    pub(in crate::driver) identity: Option<(String, String)>,
}

impl Trust {
    /// The settings of a client. Reads the files.
    pub(in crate::driver) fn client(&self) -> Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| usage(format!("cannot prepare TLS: {error}")))?;
        let builder = if self.anybody {
            let anybody = Arc::new(Anybody(provider));
            builder
                .dangerous()
                .with_custom_certificate_verifier(anybody)
        } else if self.any_name {
            let verifier =
                WebPkiServerVerifier::builder_with_provider(self.roots()?.into(), provider)
                    .build()
                    .map_err(|error| usage(format!("cannot prepare TLS: {error}")))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyName(verifier)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let Some((certificate, key)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unreadable(key, "a private key", &error))?;
        builder
            .with_client_auth_cert(chain, private)
            .map_err(|error| usage(format!("`{key}` is no key for `{certificate}`: {error}")))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        // Public authorities certify anybody: without a look at the name they would let anybody in.
        if !self.any_name {
            // A certificate of the system's that rustls cannot read is one that it would not trust.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if let Some(file) = &self.authorities {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| {
                    usage(format!(
                        "`{file}` holds a certificate that is none: {error}"
                    ))
                })?;
            }
        }
        Ok(roots)
    }
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |error| unreadable(file, "certificates", &error);
    let all: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(unreadable)?;
    if all.is_empty() {
        return Err(unreadable(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(all)
}

fn unreadable(file: &str, what: &str, error: &rustls::pki_types::pem::Error) -> Error {
    let why = match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "it holds none".to_owned(),
        other => other.to_string(),
    };
    let error = usage(format!("cannot read {what} from `{file}`: {why}"))
        // The next connection reads it anew.
        .set_temporary(true);
    if Path::new(file).is_absolute() {
        error
    } else {
        error.with_help("name the file by its whole path: a service may start in any folder")
    }
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// Takes any certificate, for who asked for it. Signatures are still checked: the peer has the key to what it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes a certificate of an authority, whatever host it is for.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is what is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
