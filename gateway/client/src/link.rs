//! One WebSocket connection: TCP, TLS, the upgrade, the hello, then messages both ways.
//!
//! It knows nothing of subscriptions and never reconnects. Frames are read by a task of its own,
//! because reading one is not cancel-safe in fastwebsockets and receiving from a channel is.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocket, WebSocketError, WebSocketWrite,
    handshake::generate_key,
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::endpoint::{Endpoint, Socket};
use crate::error::{ConnectError, LostReason};
use crate::reply::{Hello, Reply};

const SUBPROTOCOL: &str = "tickcast.v1.sbe";

/// Frames read ahead of their decoding: enough for both tasks to be busy.
const FRAMES_AHEAD: usize = 4;

/// How long the server may leave a command unread before the connection counts as broken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of an HTTP error is worth showing.
const BODY_BYTES_MAX: usize = 512;

type Io = TokioIo<Upgraded>;

/// A message or control frame from the server; a close frame is an end, not a message.
pub(crate) enum Received {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
}

/// An open connection. Dropping it cuts the socket.
pub(crate) struct Link {
    writer: WebSocketWrite<WriteHalf<Io>>,
    frames: mpsc::Receiver<Result<Received, LostReason>>,
    reader: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Link {
    /// Connects and waits for the server's hello. The caller limits the time.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<(Self, Hello), ConnectError> {
        let mut link = Self::upgraded(endpoint, Some(SUBPROTOCOL)).await?;
        match link.next().await.map_err(ConnectError::Closed)? {
            Received::Text(text) => match serde_json::from_slice(&text) {
                Ok(Reply::Hello(hello)) if hello.version == wire::reply::PROTOCOL_VERSION => {
                    Ok((link, hello))
                }
                Ok(Reply::Hello(_)) => Err(ConnectError::Protocol("another version")),
                _ => Err(ConnectError::Protocol("it does not begin with a hello")),
            },
            _ => Err(ConnectError::Protocol("it does not begin with a hello")),
        }
    }

    /// Connects without waiting for anything to be said. The caller limits the time.
    pub(crate) async fn upgraded(
        endpoint: &Endpoint,
        subprotocol: Option<&'static str>,
    ) -> Result<Self, ConnectError> {
        Ok(Self::over(upgrade(endpoint, endpoint.connect().await?, subprotocol).await?))
    }

    fn over(upgraded: Io) -> Self {
        let socket = WebSocket::after_handshake(upgraded, Role::Client);
        let (mut reader, writer) = socket.split(tokio::io::split);
        // What is to be written is written by the owner of the writer.
        reader.set_auto_close(false);
        reader.set_auto_pong(false);
        let (sink, frames) = mpsc::channel(FRAMES_AHEAD);
        let reader = tokio::spawn(read(FragmentCollectorRead::new(reader), sink));
        Self { writer, frames, reader }
    }

    /// The next message. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Received, LostReason> {
        let broken = || Err(LostReason::Broken(io::ErrorKind::UnexpectedEof));
        self.frames.recv().await.unwrap_or_else(broken)
    }

    /// Sends a command.
    pub(crate) async fn send(&mut self, text: String) -> Result<(), LostReason> {
        self.write(Frame::text(Payload::Owned(text.into_bytes()))).await
    }

    /// Answers a ping.
    pub(crate) async fn pong(&mut self, payload: Vec<u8>) -> Result<(), LostReason> {
        self.write(Frame::pong(Payload::Owned(payload))).await
    }

    /// Says goodbye. The server answers and closes; nobody waits for that.
    pub(crate) async fn close(mut self) {
        let _ = self.write(Frame::close(1000, b"")).await;
    }

    async fn write(&mut self, frame: Frame<'static>) -> Result<(), LostReason> {
        let write = async {
            self.writer.write_frame(frame).await?;
            self.writer.flush().await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, write).await {
            Ok(written) => written.map_err(|error| lost(&error)),
            Err(_) => Err(LostReason::Broken(io::ErrorKind::TimedOut)),
        }
    }
}

async fn upgrade(
    endpoint: &Endpoint,
    socket: Box<dyn Socket>,
    subprotocol: Option<&'static str>,
) -> Result<Io, ConnectError> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    // Its errors are those of the request, too. It ends with the upgrade.
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::get(&endpoint.path)
        .header(HOST, &endpoint.authority)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_KEY, generate_key())
        .header(SEC_WEBSOCKET_VERSION, "13");
    if let Some(name) = subprotocol {
        request = request.header(SEC_WEBSOCKET_PROTOCOL, name);
    }
    let request = endpoint
        .authorize(request)
        .body(Empty::<Bytes>::new())
        .map_err(|_| ConnectError::Url(endpoint.authority.clone()))?;
    let mut response = sender.send_request(request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let body = String::from_utf8_lossy(&body).trim().to_owned();
        return Err(ConnectError::Http { status, body });
    }
    let protocol = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
    if let Some(expected) = subprotocol
        && protocol.is_none_or(|name| name != expected)
    {
        return Err(ConnectError::Protocol("it chose no subprotocol, or another"));
    }
    Ok(TokioIo::new(hyper::upgrade::on(&mut response).await?))
}

/// Reads until the connection ends, or nobody wants more.
async fn read(
    mut reader: FragmentCollectorRead<ReadHalf<Io>>,
    sink: mpsc::Sender<Result<Received, LostReason>>,
) {
    // Never called: answers are written by the owner of the writer.
    let mut unanswered = |_: Frame<'static>| std::future::ready(Ok::<(), io::Error>(()));
    loop {
        let received = match reader.read_frame(&mut unanswered).await {
            Ok(frame) => received(frame),
            Err(error) => Err(lost(&error)),
        };
        let is_end = received.is_err();
        if sink.send(received).await.is_err() || is_end {
            return;
        }
    }
}

fn received(frame: Frame<'static>) -> Result<Received, LostReason> {
    let opcode = frame.opcode;
    let payload = Vec::from(frame.payload);
    match opcode {
        OpCode::Text => Ok(Received::Text(payload)),
        OpCode::Binary => Ok(Received::Binary(payload)),
        OpCode::Ping => Ok(Received::Ping(payload)),
        OpCode::Pong => Ok(Received::Pong),
        OpCode::Close => {
            let (code, text) = payload.split_first_chunk().unwrap_or((&[0x03, 0xED], &[]));
            let text = String::from_utf8_lossy(text).into_owned();
            Err(LostReason::Closed { code: u16::from_be_bytes(*code), text })
        }
        OpCode::Continuation => Err(LostReason::Protocol("a fragment of nothing")),
    }
}

fn lost(error: &WebSocketError) -> LostReason {
    match error {
        WebSocketError::IoError(error) => LostReason::Broken(error.kind()),
        WebSocketError::UnexpectedEOF | WebSocketError::ConnectionClosed => {
            LostReason::Broken(io::ErrorKind::UnexpectedEof)
        }
        _ => LostReason::Protocol("a frame against RFC 6455"),
    }
}
