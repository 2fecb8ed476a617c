//! Which certificates the endpoints of webhooks are held to.

use std::io;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Authorities whose certificates callbacks may have, besides those that this machine trusts.
#[derive(Clone, Debug, Default)]
pub struct CallbackAuthorities(Vec<CertificateDer<'static>>);

/// Why a text names no authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAuthoritiesError {
    /// It is not PEM.
    #[error("not PEM: {0}")]
    NotPem(String),
    /// There is no certificate in it.
    #[error("there is no certificate in it; `-----BEGIN CERTIFICATE-----` begins one")]
    NoCertificate,
    /// A certificate, counted from 1, that no authority has.
    #[error("certificate {number} is of no authority: {reason}")]
    NotAnAuthority {
        /// Its place.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl CallbackAuthorities {
    /// Reads PEM (RFC 7468): one certificate or several. Other things in it are passed over.
    pub fn from_pem(text: &[u8]) -> Result<CallbackAuthorities, ParseAuthoritiesError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let found = found.map_err(|error| ParseAuthoritiesError::NotPem(error.to_string()))?;
        if found.is_empty() {
            return Err(ParseAuthoritiesError::NoCertificate);
        }
        let mut roots = RootCertStore::empty();
        for (place, certificate) in found.iter().enumerate() {
            roots.add(certificate.clone()).map_err(|error| {
                let (number, reason) = (place + 1, error.to_string());
                ParseAuthoritiesError::NotAnAuthority { number, reason }
            })?;
        }
        Ok(CallbackAuthorities(found))
    }

    /// A client that trusts these and what this machine trusts. Reads files.
    pub(super) fn client_config(&self) -> io::Result<ClientConfig> {
        let loaded = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs);
        roots.add_parsable_certificates(self.0.iter().cloned());
        if roots.is_empty() {
            let what = "this machine trusts no certificates; install ca-certificates";
            return Err(io::Error::other(what));
        }
        let config = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }
}
