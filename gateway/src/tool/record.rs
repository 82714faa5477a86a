//! `gateway record`: writes an upstream's streams into files that `--source replay:FILE` plays.
//!
//! The upstream speaks the exchange's protocol: theirs, or another Tickcast's. Frames are kept as they came,
//! with the time at which they did; among the depth events stands a book from the REST interface, with
//! which they can be joined. It never starts a gateway, and never writes over a file.

mod file;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use client::{ConnectError, Options};
use tokio::time::{Instant, timeout_at};
use wire::Symbol;
use wire::exchange::{Grammar, Stream, View};

use super::{EXIT_DONE, EXIT_FAILED, EXIT_USAGE};
use crate::config::{ExchangeUrl, Setting, Span};
use crate::source::{Incoming, Line, Request};
use file::File;

/// What stands in the name of files for the symbol of each.
const SYMBOL_MARK: &str = "{symbol}";

/// A day.
type Length = Span<1, 86_400_000>;

/// Record an upstream that speaks the protocol of Binance's spot market, for `--source replay:FILE`.
#[derive(Debug, Parser)]
#[command(name = "gateway record", bin_name = "gateway record", version)]
pub(super) struct Arguments {
    /// Where the upstream is: `ws://HOST:PORT` or `wss://…`
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:9443", value_parser = url)]
    url: ExchangeUrl,
    /// Where its REST interface is [default: on the same host]
    #[arg(long, value_name = "URL")]
    rest: Option<String>,
    /// What to record, with commas between: trade, bookTicker and depth streams
    #[arg(long, value_name = "STREAMS", value_delimiter = ',', required = true)]
    streams: Vec<String>,
    /// Where to: a file of each symbol, in whose name `{symbol}` stands for it; packed if it ends in .gz
    #[arg(long, value_name = "FILE")]
    out: String,
    /// For how long
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = length)]
    duration: Duration,
    /// PEM file of the root certificates to verify a wss server by [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File of the token or key to show, where the gateway asks for one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

fn url(text: &str) -> Result<ExchangeUrl, String> {
    ExchangeUrl::parse(text)
        .map_err(|_| "expected ws://HOST[:PORT] or wss://HOST[:PORT]".to_owned())
}

fn length(text: &str) -> Result<Duration, String> {
    Length::parse(text).map_err(|_| format!("expected {}", Length::expected()))
}

/// Why a recording does not begin, or ends early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}: expected SYMBOL@trade, SYMBOL@bookTicker or SYMBOL@depth[@100ms], in lower case")]
    Stream(String),
    #[error("several symbols need several files: put {{symbol}} into the name {0}")]
    OneFile(String),
    #[error("{0} exists already; recordings are never written over")]
    Exists(String),
    #[error("cannot write {0}: {1}")]
    Write(String, #[source] io::Error),
    #[error(transparent)]
    Roots(#[from] ConnectError),
    #[error("{0}")]
    Runtime(#[source] io::Error),
    #[error("{0}")]
    Lost(String),
    #[error("the upstream refuses: {0}")]
    Refused(String),
}

impl Failure {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Stream(_) | Self::OneFile(_) | Self::Exists(_) => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }
}

/// Runs it. The answer is the exit code.
pub(super) fn run(arguments: &Arguments) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        runtime.map_err(Failure::Runtime).and_then(|runtime| runtime.block_on(record(arguments)));
    match outcome {
        Ok(()) => EXIT_DONE,
        Err(failure) => {
            eprintln!("gateway record: {failure}");
            failure.exit_code()
        }
    }
}

async fn record(arguments: &Arguments) -> Result<(), Failure> {
    let symbols = symbols(&arguments.streams)?;
    let mut options = Options::new();
    if let Some(file) = &arguments.ca {
        options = options.root_pem_file(file)?;
    }
    if let Some(file) = &arguments.token_file {
        options = options.token_file(file)?;
    }
    let mut files = create(&symbols, &arguments.out)?;
    let rest = arguments.rest.clone().unwrap_or_else(|| arguments.url.rest());
    let rest = rest.trim_end_matches('/');
    let end = Instant::now() + arguments.duration;
    let mut outcome = follow(arguments, rest, &options, &symbols, &mut files, end).await;
    for file in files.into_values() {
        match file.finish() {
            Ok(summary) => eprintln!("gateway record: {summary}"),
            // The others are completed all the same, and what went wrong first is the reason.
            Err(failure) => outcome = outcome.and(Err(failure)),
        }
    }
    outcome
}

/// The symbols of streams that can be replayed.
fn symbols(streams: &[String]) -> Result<Vec<Symbol>, Failure> {
    let mut symbols = Vec::new();
    for name in streams {
        let stream = Stream::parse(name, Grammar::default());
        let symbol = match stream {
            Ok(Stream::One(symbol, View::Depth(_))) => symbol,
            Ok(Stream::One(symbol, View::Channel(wire::Channel::Trade | wire::Channel::Quote))) => {
                symbol
            }
            _ => return Err(Failure::Stream(name.clone())),
        };
        if !symbols.contains(&symbol) {
            symbols.push(symbol);
        }
    }
    Ok(symbols)
}

fn create(symbols: &[Symbol], out: &str) -> Result<BTreeMap<String, File>, Failure> {
    if symbols.len() > 1 && !out.contains(SYMBOL_MARK) {
        return Err(Failure::OneFile(out.to_owned()));
    }
    let create = |symbol: &Symbol| {
        let name = symbol.as_str().to_ascii_lowercase();
        let file = File::create(Path::new(&out.replace(SYMBOL_MARK, &name)))?;
        Ok((name, file))
    };
    symbols.iter().map(create).collect()
}

/// Writes what comes until the end.
async fn follow(
    arguments: &Arguments,
    rest: &str,
    options: &Options,
    symbols: &[Symbol],
    files: &mut BTreeMap<String, File>,
    end: Instant,
) -> Result<(), Failure> {
    let url = arguments.url.stream();
    let opened = Line::open(&url, rest, options, arguments.streams.clone()).await;
    let (line, mut incoming) = opened.map_err(|error| Failure::Lost(format!("{url}: {error}")))?;
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let arrived = tokio::select! {
            arrived = timeout_at(end, incoming.recv()) => arrived,
            _ = &mut interrupt => return Ok(()),
        };
        let symbol = |id: u32| symbols.get(id as usize).copied();
        match arrived {
            Err(_) => return Ok(()),
            Ok(None) => return Err(Failure::Lost("the connection's task ended".to_owned())),
            Ok(Some(Incoming::Lost(reason))) => return Err(Failure::Lost(reason)),
            Ok(Some(Incoming::Frame { received_ns, text })) => {
                let Some(name) = file::symbol(&text).map_err(Failure::Refused)? else { continue };
                let Some(file) = files.get_mut(&name) else { continue };
                file.write_frame(received_ns, &text)?;
                let place = symbols.iter().zip(0..);
                let place = place.filter(|(one, _)| one.as_str().eq_ignore_ascii_case(&name));
                for (&symbol, id) in place.filter(|_| file.wants_book()) {
                    line.ask(Request { id, symbol });
                }
            }
            Ok(Some(Incoming::Snapshot { id, received_ns, text })) => {
                let Some(symbol) = symbol(id) else { continue };
                let file = files.get_mut(&symbol.as_str().to_ascii_lowercase());
                if let Some(file) = file {
                    file.write_book(received_ns, &text)?;
                }
            }
            Ok(Some(Incoming::NoSnapshot { id, reason })) => {
                let Some(symbol) = symbol(id) else { continue };
                eprintln!("gateway record: no book of {symbol}: {reason}");
                line.ask(Request { id, symbol });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_replayed_is_recorded() {
        let streams =
            |names: &str| symbols(&names.split(',').map(str::to_owned).collect::<Vec<_>>());
        let found = streams("btcusdt@trade,btcusdt@depth@100ms,ethusdt@bookTicker").unwrap();
        assert_eq!(found.len(), 2);
        for bad in
            ["btcusdt@ticker", "btcusdt", "BTCUSDT@trade", "!miniTicker@arr", "btcusdt@depth5"]
        {
            assert!(matches!(streams(bad), Err(Failure::Stream(_))), "{bad}");
        }
        assert!(matches!(create(&found, "one.gz"), Err(Failure::OneFile(_))));
    }
}
