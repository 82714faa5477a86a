//! The certificate: from two PEM files to what shards need for handshakes.
//!
//! Read at start and again on SIGHUP. Nothing here touches a connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The chain cannot be read.
    #[error("tls-cert {}: {}", path.display(), explain(source))]
    Chain {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The chain's file has no certificate.
    #[error("tls-cert {}: no certificate in it; expected PEM with BEGIN CERTIFICATE", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The key cannot be read.
    #[error("tls-key {}: {}", path.display(), explain(source))]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The two do not belong together, or rustls does not support them.
    #[error("tls-cert and tls-key cannot be used together: {0}")]
    Pair(rustls::Error),
}

/// The parser's reason in words.
fn explain(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => {
            "no private key in it; expected PEM with BEGIN PRIVATE KEY".to_owned()
        }
        other => format!("not PEM: {other}"),
    }
}

/// Reads chain and key and makes of them what handshakes need.
///
/// # Errors
/// If a file cannot be read, is not PEM, or the key is not the certificate's.
pub(super) fn load(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, CertificateError> {
    let unreadable = |source| CertificateError::Chain { path: chain.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(chain)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    if certificates.is_empty() {
        return Err(CertificateError::Empty { path: chain.to_owned() });
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|source| CertificateError::Key { path: key.to_owned(), source })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(CertificateError::Pair)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(CertificateError::Pair)?;
    // Clients that come back skip the expensive half of the handshake. One ticket for each: a client
    // opens one connection, and tickets are bytes that wait in a new socket.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(CertificateError::Pair)?;
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tempfile::NamedTempFile;

    use super::*;

    fn file(text: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn refused(chain: &str, key: &str) -> String {
        load(file(chain).path(), file(key).path()).unwrap_err().to_string()
    }

    #[test]
    fn a_pair_is_taken_and_what_is_none_is_named() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());

        let config = load(file(&chain).path(), file(&key).path()).unwrap();
        assert_eq!(config.send_tls13_tickets, 1);
        assert!(config.ticketer.enabled());

        assert!(refused("", &key).contains("no certificate in it"));
        assert!(refused(&chain, "").contains("no private key in it"));
        assert!(refused(&key, &chain).contains("no certificate in it"));
        assert!(refused(&chain, &other.signing_key.serialize_pem()).contains("together"));
        let missing = load(Path::new("/nonexistent.pem"), file(&key).path()).unwrap_err();
        assert!(missing.to_string().starts_with("tls-cert /nonexistent.pem: cannot be read"));
    }
}
