//! The certificate: from two PEM files to what shards need for handshakes.
//!
//! Read at start and again on SIGHUP. Nothing here touches a connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::prelude::FromDer as _;

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
    /// The first certificate in the chain's file is none.
    #[error("tls-cert {}: not a certificate: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: x509_parser::nom::Err<X509Error>,
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

/// A certificate that was read.
#[derive(Debug)]
pub(super) struct Certificate {
    /// What handshakes need.
    pub(super) tls: Arc<ServerConfig>,
    /// When it expires, seconds since the Unix epoch. The certificate itself: what is behind it in the chain is its
    /// issuer's to renew, and may be there for clients of long ago.
    pub(super) expires_at_s: i64,
}

/// How long before a certificate expires it is warned of. Renewals are mostly tried a month before.
const NOTICE_S: i64 = 7 * 86_400;

/// How good a certificate still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validity {
    Good,
    Ending { hours_left: i64 },
    Over { hours_ago: i64 },
}

impl Validity {
    const fn of(expires_at_s: i64, now_s: i64) -> Self {
        match expires_at_s.saturating_sub(now_s) {
            left_s if left_s <= 0 => Self::Over { hours_ago: -(left_s / 3600) },
            left_s if left_s < NOTICE_S => Self::Ending { hours_left: left_s / 3600 },
            _ => Self::Good,
        }
    }
}

impl Certificate {
    /// Warns if it has expired, or will soon.
    pub(super) fn warn_of_expiry(&self, now: SystemTime) {
        let now_s = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        match Validity::of(self.expires_at_s, i64::try_from(now_s).unwrap_or(i64::MAX)) {
            Validity::Good => {}
            Validity::Ending { hours_left } => {
                tracing::warn!(hours_left, "the certificate expires soon");
            }
            Validity::Over { hours_ago } => {
                tracing::warn!(hours_ago, "the certificate has expired: clients refuse it");
            }
        }
    }
}

/// Reads chain and key and makes of them what handshakes need.
///
/// # Errors
/// If a file cannot be read, is not PEM, or the key is not the certificate's.
pub(super) fn load(chain: &Path, key: &Path) -> Result<Certificate, CertificateError> {
    let unreadable = |source| CertificateError::Chain { path: chain.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(chain)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    let Some(own) = certificates.first() else {
        return Err(CertificateError::Empty { path: chain.to_owned() });
    };
    let expires_at_s = match X509Certificate::from_der(own) {
        Ok((_, own)) => own.validity().not_after.timestamp(),
        Err(source) => {
            return Err(CertificateError::Malformed { path: chain.to_owned(), source });
        }
    };
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
    Ok(Certificate { tls: Arc::new(config), expires_at_s })
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
    fn a_certificate_is_warned_of_for_a_week() {
        let now_s = 1_800_000_000;
        assert_eq!(Validity::of(now_s + NOTICE_S, now_s), Validity::Good);
        let ending = Validity::of(now_s + NOTICE_S - 1, now_s);
        assert_eq!(ending, Validity::Ending { hours_left: 7 * 24 - 1 });
        assert_eq!(Validity::of(now_s, now_s), Validity::Over { hours_ago: 0 });
        assert_eq!(Validity::of(now_s - 7200, now_s), Validity::Over { hours_ago: 2 });
    }

    #[test]
    fn a_pair_is_taken_and_what_is_none_is_named() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());

        let config = load(file(&chain).path(), file(&key).path()).unwrap();
        assert_eq!(config.tls.send_tls13_tickets, 1);
        assert!(config.tls.ticketer.enabled());
        // The end of the year 4095, as the crate that made it has it.
        assert_eq!(config.expires_at_s, 67_090_118_400);

        assert!(refused("", &key).contains("no certificate in it"));
        assert!(refused(&chain, "").contains("no private key in it"));
        assert!(refused(&key, &chain).contains("no certificate in it"));
        assert!(refused(&chain, &other.signing_key.serialize_pem()).contains("together"));
        let missing = load(Path::new("/nonexistent.pem"), file(&key).path()).unwrap_err();
        assert!(missing.to_string().starts_with("tls-cert /nonexistent.pem: cannot be read"));
    }
}
