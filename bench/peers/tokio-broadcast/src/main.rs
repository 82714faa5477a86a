//! What a Rust developer writes first: a task per connection, a `tokio::sync::broadcast` channel per
//! topic, tungstenite in between. One of the servers that Tickcast is compared with, and an honest one:
//! no message is copied per subscriber (`Bytes` are shared), a connection that finds several messages
//! waiting writes them with one system call (`feed`, then `flush`), and `TCP_NODELAY` is set.
//!
//! A text message is a subscribe command as of Tickcast's native protocol; a binary one is a 64-byte
//! quote of the publisher, which goes to the topic of the instrument at its byte 24.

#![forbid(unsafe_code)]

mod topics;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamMap;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Bytes, Message};

use crate::topics::Topics;

/// A broadcast server of a hundred lines, to be measured.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[arg(long, value_enum, default_value_t = Runtime::Current)]
    runtime: Runtime,
    /// Messages that a topic keeps for subscribers who are behind; beyond, they lose the oldest.
    #[arg(long, default_value_t = 4096)]
    capacity: usize,
}

/// Which of tokio's schedulers runs it.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Runtime {
    /// One thread: no queue between threads, no wake-up through the kernel.
    Current,
    /// As many workers as there are cores.
    Multi,
}

/// Why it cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum ServeError {
    #[error("cannot listen: {0}")]
    Listen(#[from] io::Error),
}

/// Why a connection ended before its client wanted it to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum ConnectionError {
    #[error(transparent)]
    WebSocket(#[from] tungstenite::Error),
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error("not a command: {0}")]
    Command(#[from] serde_json::Error),
    #[error("a quote shorter than its instrument")]
    Quote,
    #[error("{0} messages of a topic were overwritten before they could be sent")]
    Lagged(u64),
}

/// Connections waiting to be accepted; a ramp is a burst.
const BACKLOG: u32 = 4096;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut builder = match cli.runtime {
        Runtime::Current => tokio::runtime::Builder::new_current_thread(),
        Runtime::Multi => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build().map_err(ServeError::Listen);
    match runtime.and_then(|runtime| runtime.block_on(serve(&cli))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(cli: &Cli) -> Result<(), ServeError> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(cli.listen)?;
    let listener: TcpListener = socket.listen(BACKLOG)?;
    let topics = Arc::new(Topics::new(cli.capacity));
    loop {
        let (socket, _) = listener.accept().await?;
        let topics = Arc::clone(&topics);
        tokio::spawn(async move {
            match connection(socket, &topics).await {
                // A client that goes away is nobody's business.
                Ok(()) | Err(ConnectionError::WebSocket(_) | ConnectionError::Socket(_)) => {}
                Err(error) => eprintln!("connection ended: {error}"),
            }
        });
    }
}

#[derive(Deserialize)]
struct Command {
    id: u64,
    topics: Vec<String>,
}

#[derive(Serialize)]
struct Ack {
    op: &'static str,
    id: u64,
    results: Vec<TopicResult>,
}

#[derive(Serialize)]
struct TopicResult {
    topic: String,
    ok: bool,
}

type Subscribed = StreamMap<String, BroadcastStream<Bytes>>;
type Received = Result<Bytes, BroadcastStreamRecvError>;

async fn connection(socket: TcpStream, topics: &Topics) -> Result<(), ConnectionError> {
    socket.set_nodelay(true)?;
    // The default is 128 KiB a connection; commands are short, and memory is measured too.
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let mut websocket = tokio_tungstenite::accept_async_with_config(socket, Some(config)).await?;
    let mut subscribed = Subscribed::new();
    loop {
        tokio::select! {
            Some((_, message)) = subscribed.next() => {
                deliver(&mut websocket, &mut subscribed, message).await?;
            }
            message = websocket.next() => match message.transpose()? {
                Some(Message::Text(text)) => {
                    let command: Command = serde_json::from_str(&text)?;
                    for name in &command.topics {
                        let receiver = topics.subscribe(name);
                        subscribed.insert(name.clone(), BroadcastStream::new(receiver));
                    }
                    websocket.send(ack(&command)?).await?;
                }
                Some(Message::Binary(quote)) => topics.publish(quote).ok_or(ConnectionError::Quote)?,
                None => return Ok(()),
                // tungstenite answers pings and closes by itself, at the next read.
                Some(_) => {}
            },
        }
    }
}

/// Writes a message and all that wait behind it, with one flush.
async fn deliver(
    websocket: &mut WebSocketStream<TcpStream>,
    subscribed: &mut Subscribed,
    first: Received,
) -> Result<(), ConnectionError> {
    let mut next = Some(first);
    while let Some(received) = next {
        let BroadcastStreamRecvError::Lagged(lost) = match received {
            Ok(quote) => {
                websocket.feed(Message::Binary(quote)).await?;
                next = subscribed.next().now_or_never().flatten().map(|(_, received)| received);
                continue;
            }
            Err(error) => error,
        };
        return Err(ConnectionError::Lagged(lost));
    }
    Ok(websocket.flush().await?)
}

fn ack(command: &Command) -> Result<Message, ConnectionError> {
    let result = |topic: &'_ String| TopicResult { topic: topic.clone(), ok: true };
    let results = command.topics.iter().map(result).collect();
    let ack = serde_json::to_string(&Ack { op: "ack", id: command.id, results })?;
    Ok(Message::Text(ack.into()))
}
