//! How a client behaves: one value, built once.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use hyper::header::HeaderValue;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::ConnectError;

/// How a client connects and reconnects. The default suits a process that runs for long.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    pub(crate) reconnect: Reconnect,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) silence_max: Option<Duration>,
    pub(crate) queue: usize,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) credential: Option<HeaderValue>,
}

/// What a client does when its connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// It ends.
    Never,
    /// It tries again after a random part of a pause that doubles from `min` to `max`, unless the
    /// close code forbids it.
    WithBackoff {
        /// Bound of the first pause.
        min: Duration,
        /// Bound of every later one.
        max: Duration,
        /// How often at most in one outage; none: for ever.
        attempts: Option<NonZeroU32>,
    },
}

impl Default for Reconnect {
    fn default() -> Self {
        let (min, max) = (Duration::from_millis(250), Duration::from_secs(30));
        Self::WithBackoff { min, max, attempts: None }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reconnect: Reconnect::default(),
            connect_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(10),
            silence_max: None,
            queue: 64,
            roots: Vec::new(),
            credential: None,
        }
    }
}

impl Options {
    /// The default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to do when the connection is lost.
    pub const fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// How long a connect may take, from the name's resolution to the server's hello. 10 s if not
    /// set.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait for the answer to a command, an outage included. 10 s if not set.
    pub const fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// After how much silence the peer is taken for dead. Twice the heartbeat interval that the
    /// server announces, if not set.
    pub const fn silence_max(mut self, silence: Duration) -> Self {
        self.silence_max = Some(silence);
        self
    }

    /// How many WebSocket messages may wait for [`Client::next`](crate::Client::next) before the
    /// socket is read no more. The server then conflates, and in the end disconnects; a command that
    /// waits for its answer keeps what arrives meanwhile. 64 if not set.
    pub const fn queue(mut self, messages: usize) -> Self {
        self.queue = if messages == 0 { 1 } else { messages };
        self
    }

    /// Shows this token or key with every connection and request, as `Authorization: Bearer`. What
    /// [`Client::auth`](crate::Client::auth) shows later is shown by connections from then on.
    ///
    /// # Errors
    /// If it has characters that no header has.
    pub fn token(mut self, token: &str) -> Result<Self, ConnectError> {
        self.credential = Some(bearer(token).ok_or(ConnectError::Token)?);
        Ok(self)
    }

    /// [`Options::token`] from a file; a line's end behind it does not count.
    ///
    /// # Errors
    /// If the file cannot be read, or what is in it is no token.
    pub fn token_file(self, path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        let path = path.as_ref();
        let failed = |source| ConnectError::TokenFile(path.to_owned(), source);
        self.token(std::fs::read_to_string(path).map_err(failed)?.trim_end())
    }

    /// Verifies `wss` servers by these root certificates, and those given before.
    pub fn root_certificates(
        mut self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        self.roots.extend(roots);
        self
    }

    /// Verifies `wss` servers by the root certificates of a PEM file, and those given before. Without
    /// any the system's are used.
    ///
    /// # Errors
    /// If the file cannot be read or has no certificate.
    pub fn root_pem_file(self, path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        let path = path.as_ref();
        let failed = |source| ConnectError::Roots(path.to_owned(), source);
        let roots = CertificateDer::pem_file_iter(path).map_err(failed)?;
        let roots = roots.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        if roots.is_empty() {
            return Err(failed(rustls_pki_types::pem::Error::NoItemsFound));
        }
        Ok(self.root_certificates(roots))
    }
}

/// The value of the header that shows a token; it is not printed with others.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    (!token.is_empty()).then_some(value)
}
