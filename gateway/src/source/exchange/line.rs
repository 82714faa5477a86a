//! A connection to an upstream of the exchange's protocol: its streams over a WebSocket, and books over REST.
//!
//! Tasks of their own read and ask; whoever holds the line gets everything over one channel, in the order in
//! which it came. Dropping the line ends them. Nothing is understood here.

use std::time::Duration;

use client::{Options, PlainSocket, get};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::clock::realtime_ns;

/// Streams of one command, and the pause behind it: five commands a second are allowed.
const STREAMS_PER_COMMAND: usize = 200;
const COMMAND_EVERY: Duration = Duration::from_millis(300);

/// Messages that may wait for whoever holds the line; then the socket is not read.
const INCOMING_MAX: usize = 4096;

/// Levels of a book that is asked for, each side: at this many a request weighs 50 of the 6,000 that a
/// minute has.
const BOOK_LEVELS: usize = 1000;

/// Books asked for at once, and the pause between two when those are used up: 100 a minute.
const BOOKS_AT_ONCE: u32 = 20;
const BOOK_EVERY: Duration = Duration::from_millis(600);

/// Between a failed request for a book and the next request.
const BOOK_PAUSE: Duration = Duration::from_millis(500);

/// What has come.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A message of the stream.
    Frame { received_ns: u64, text: Vec<u8> },
    /// A book.
    Snapshot { id: u32, received_ns: u64, text: Vec<u8> },
    /// No book, for this reason.
    NoSnapshot { id: u32, reason: String },
    /// The connection is lost, for this reason. Nothing comes behind it.
    Lost(String),
}

/// A book that is wanted. The number is whoever asks's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: u32,
    pub(crate) symbol: wire::Symbol,
}

/// See the module's header.
#[derive(Debug)]
pub(crate) struct Line {
    requests: mpsc::UnboundedSender<Request>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Line {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Line {
    /// Connects and subscribes to these streams. Errors are in words for people.
    pub(crate) async fn open(
        url: &str,
        rest: &str,
        options: &Options,
        streams: Vec<String>,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), String> {
        let mut socket =
            PlainSocket::connect(url, options).await.map_err(|error| error.to_string())?;
        let mut commands = streams.chunks(STREAMS_PER_COMMAND).zip(1u32..).peekable();
        while let Some((names, id)) = commands.next() {
            let command = serde_json::json!({"method": "SUBSCRIBE", "params": names, "id": id});
            socket.send(command.to_string()).await.map_err(|error| error.to_string())?;
            if commands.peek().is_some() {
                tokio::time::sleep(COMMAND_EVERY).await;
            }
        }
        let (sink, incoming) = mpsc::channel(INCOMING_MAX);
        let (requests, wanted) = mpsc::unbounded_channel();
        let read = tokio::spawn(read(socket, sink.clone()));
        let ask = tokio::spawn(ask(rest.to_owned(), options.clone(), wanted, sink));
        Ok((Self { requests, tasks: [read, ask] }, incoming))
    }

    /// Asks for a book. The answer comes with everything else.
    pub(crate) fn ask(&self, request: Request) {
        // The task ends with the line.
        let _ = self.requests.send(request);
    }
}

async fn read(mut socket: PlainSocket, sink: mpsc::Sender<Incoming>) {
    loop {
        let incoming = match socket.next().await {
            Ok(text) => Incoming::Frame { received_ns: realtime_ns(), text },
            Err(lost) => Incoming::Lost(lost.to_string()),
        };
        let is_over = matches!(incoming, Incoming::Lost(_));
        if sink.send(incoming).await.is_err() || is_over {
            return;
        }
    }
}

/// Asks for books, one after the other.
async fn ask(
    rest: String,
    options: Options,
    mut wanted: mpsc::UnboundedReceiver<Request>,
    sink: mpsc::Sender<Incoming>,
) {
    // The time at which all that may be asked at once may be asked again; each request moves it on.
    let mut full_at = Instant::now();
    while let Some(Request { id, symbol }) = wanted.recv().await {
        sleep_until(full_at.checked_sub(BOOK_EVERY * BOOKS_AT_ONCE).unwrap_or(full_at)).await;
        full_at = full_at.max(Instant::now()) + BOOK_EVERY;
        let url = format!("{rest}/api/v3/depth?symbol={symbol}&limit={BOOK_LEVELS}");
        let incoming = match get(&url, &options).await {
            Ok(text) => Incoming::Snapshot { id, received_ns: realtime_ns(), text },
            Err(error) => {
                tokio::time::sleep(BOOK_PAUSE).await;
                Incoming::NoSnapshot { id, reason: error.to_string() }
            }
        };
        if sink.send(incoming).await.is_err() {
            return;
        }
    }
}
