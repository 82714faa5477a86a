//! TLS of the load's connections: rustls, one shared configuration, tickets kept for reconnects.
//!
//! On loopback the certificate is not verified: a gateway under test has one that it made itself.
//! Anywhere else a root certificate must be given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};

use crate::generator::target::Target;

/// Why there is no TLS client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TlsError {
    #[error("a server beyond loopback needs --ca FILE with its root certificate")]
    NoRoot,
    #[error("cannot read certificates from {0}")]
    Read(PathBuf, #[source] rustls_pki_types::pem::Error),
    #[error(transparent)]
    Name(#[from] InvalidDnsNameError),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// Makes the client side of each connection.
pub(crate) struct TlsConnector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsConnector {
    pub(crate) fn new(target: &Target, root: Option<&Path>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let config = match root {
            Some(path) => {
                let read = |source| TlsError::Read(path.to_owned(), source);
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
                    roots.add(certificate.map_err(read)?)?;
                }
                versions.with_root_certificates(roots)
            }
            None if target.is_loopback() => versions
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(TrustLoopback(provider))),
            None => return Err(TlsError::NoRoot),
        };
        Ok(Self {
            config: Arc::new(config.with_no_client_auth()),
            name: ServerName::try_from(target.host.clone())?,
        })
    }

    pub(crate) fn connection(&self) -> Result<Box<ClientConnection>, TlsError> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        Ok(Box::new(connection))
    }
}

/// Takes any certificate, but checks that the server holds its key.
#[derive(Debug)]
struct TrustLoopback(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustLoopback {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
