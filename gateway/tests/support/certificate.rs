//! A certificate for the test's own machine, as files for servers and as roots for clients.

use std::fs;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// A self-signed certificate for `localhost` and 127.0.0.1. Its files are gone with it.
pub struct Certificate {
    folder: TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("the names are valid");
        let folder = TempDir::new().expect("a place for files");
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let both = chain.clone() + &key;
        for (name, text) in [("chain.pem", &chain), ("key.pem", &key), ("both.pem", &both)] {
            fs::write(folder.path().join(name), text).expect("a new file");
        }
        Self { folder, der: CertificateDer::from(made.cert.der().to_vec()) }
    }

    /// The path of `chain.pem`, `key.pem`, or, as HAProxy wants them, `both.pem`.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.to_str().expect("temporary paths are UTF-8").to_owned()
    }

    /// The certificate itself.
    #[must_use]
    pub fn der(&self) -> CertificateDer<'static> {
        self.der.clone()
    }

    /// What a client needs that trusts it and nobody else.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).expect("our own certificate");
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }

    /// The name that it is for.
    #[must_use]
    pub fn name() -> ServerName<'static> {
        ServerName::try_from("localhost").expect("a name")
    }
}
