//! Where the server is and how it is verified: the URL and the roots, resolved once.

use std::path::Path;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::request::Builder;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::ConnectError;
use crate::options::Options;

/// Where systems keep their roots: Debian, Fedora, openSUSE, Alpine and macOS.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A connection, encrypted or not.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// One server.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// As `Host` has it, with its port.
    pub(crate) authority: String,
    /// What to resolve; IPv6 addresses without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query.
    pub(crate) path: String,
    /// For wss.
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
    /// What every request shows.
    pub(crate) credential: Option<HeaderValue>,
}

impl Endpoint {
    pub(crate) fn parse(url: &str, options: &Options) -> Result<Self, ConnectError> {
        let bad = || ConnectError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let is_secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(bad()),
        };
        let bracketed = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        let host = bracketed.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let tls = if is_secure {
            let name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
            Some((TlsConnector::from(Arc::new(tls(options)?)), name))
        } else {
            None
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let (authority, credential) = (format!("{bracketed}:{port}"), options.credential.clone());
        Ok(Self { authority, host, port, path, tls, credential })
    }

    /// Adds the credential to a request.
    pub(crate) fn authorize(&self, request: Builder) -> Builder {
        match &self.credential {
            Some(credential) => request.header(AUTHORIZATION, credential),
            None => request,
        }
    }

    /// A connection to it, with TLS where the URL asks for that.
    pub(crate) async fn connect(&self) -> Result<Box<dyn Socket>, ConnectError> {
        let failed = |source| ConnectError::Io { address: self.authority.clone(), source };
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(failed)?;
        // Commands are small, and each waits for its answer.
        socket.set_nodelay(true).map_err(failed)?;
        Ok(match &self.tls {
            None => Box::new(socket),
            Some((connector, name)) => {
                Box::new(connector.connect(name.clone(), socket).await.map_err(failed)?)
            }
        })
    }
}

fn tls(options: &Options) -> Result<ClientConfig, ConnectError> {
    let with_system;
    let options = if options.roots.is_empty() {
        let file = SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.is_file());
        with_system = options.clone().root_pem_file(file.ok_or(ConnectError::NoRoots)?)?;
        &with_system
    } else {
        options
    };
    let mut roots = RootCertStore::empty();
    // A system's file may have roots too old to be read; one that is readable is enough.
    roots.add_parsable_certificates(options.roots.iter().cloned());
    if roots.is_empty() {
        return Err(ConnectError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parse = |url| Endpoint::parse(url, &Options::new());
        let plain = parse("ws://127.0.0.1:9443/v1/stream?x=1").unwrap();
        assert_eq!((plain.host.as_str(), plain.port), ("127.0.0.1", 9443));
        assert_eq!((plain.path.as_str(), plain.tls.is_none()), ("/v1/stream?x=1", true));
        let six = parse("ws://[::1]/").unwrap();
        assert_eq!((six.host.as_str(), six.authority.as_str()), ("::1", "[::1]:80"));
        let plain = parse("http://localhost/api/v3/ping").unwrap();
        assert_eq!((plain.port, plain.tls.is_none()), (80, true), "the same server, asked plainly");
        for bad in ["", "ftp://localhost/", "localhost:9443", "ws:///path", "ws://a b/"] {
            assert!(matches!(parse(bad), Err(ConnectError::Url(_))), "{bad}");
        }
        let missing = Options::new().root_pem_file("no-such-file.pem");
        assert!(matches!(missing, Err(ConnectError::Roots(..))));
    }
}
