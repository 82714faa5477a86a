//! Connections that do not speak the native protocol: a WebSocket whose messages are handed out as they
//! come, and a GET over plain HTTP. For what reads other servers; never reconnects.

use std::error::Error;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::endpoint::Endpoint;
use crate::error::{ConnectError, LostReason};
use crate::link::{Link, Received};
use crate::options::Options;

/// The most that an answer may have: the book of every level, or a list of all symbols.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How much of an error is worth showing.
const SHOWN_BYTES_MAX: usize = 512;

/// A WebSocket to any server. Dropping it cuts the socket.
pub struct PlainSocket {
    link: Link,
}

impl PlainSocket {
    /// Connects, within [`Options::connect_timeout`].
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn connect(url: &str, options: &Options) -> Result<Self, ConnectError> {
        let endpoint = Endpoint::parse(url, options)?;
        let link = timeout(options.connect_timeout, Link::upgraded(&endpoint, None)).await;
        Ok(Self { link: link.unwrap_or(Err(ConnectError::Timeout))? })
    }

    /// The next message, text or binary. Pings are answered on the way: not to be dropped before it is
    /// done.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn next(&mut self) -> Result<Vec<u8>, LostReason> {
        loop {
            match self.link.next().await? {
                Received::Text(message) | Received::Binary(message) => return Ok(message),
                Received::Ping(payload) => self.link.pong(payload).await?,
                Received::Pong => {}
            }
        }
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send(&mut self, text: String) -> Result<(), LostReason> {
        self.link.send(text).await
    }
}

/// The body that a server answers to a GET of this URL, within [`Options::connect_timeout`].
///
/// # Errors
/// If it cannot be asked, or answers with another status than 200.
pub async fn get(url: &str, options: &Options) -> Result<Vec<u8>, ConnectError> {
    let endpoint = Endpoint::parse(url, options)?;
    let asked = timeout(options.connect_timeout, ask(&endpoint, ANSWER_BYTES_MAX)).await;
    asked.unwrap_or(Err(ConnectError::Timeout))
}

pub(crate) async fn ask(endpoint: &Endpoint, bytes_max: usize) -> Result<Vec<u8>, ConnectError> {
    let socket = TokioIo::new(endpoint.connect().await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(socket).await?;
    // Its errors are those of the request, too. It ends with the answer.
    tokio::spawn(connection);
    let request =
        Request::get(&endpoint.path).header(HOST, &endpoint.authority).header(CONNECTION, "close");
    let request = endpoint
        .authorize(request)
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|_| ConnectError::Url(endpoint.authority.clone()))?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), bytes_max).collect().await;
    let refused = |body: String| ConnectError::Http { status, body };
    let body = body.map_err(|error: Box<dyn Error + Send + Sync>| refused(error.to_string()))?;
    let body = body.to_bytes();
    if status != StatusCode::OK.as_u16() {
        let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]);
        return Err(refused(shown.trim().to_owned()));
    }
    Ok(body.to_vec())
}
