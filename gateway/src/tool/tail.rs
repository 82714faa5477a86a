//! `gateway tail`: prints a gateway's stream, for people and for pipes.
//!
//! It is a client like any other, over the [client library](client); it never starts a gateway. Data
//! and notices go to standard output, errors and the summary to standard error.

mod json;
mod text;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use client::{Client, CommandError, ConnectError, Ended, Event, GapReason, Ledger, Options};
use client::{Mode, Subscription};

use super::{EXIT_DONE, EXIT_FAILED, EXIT_USAGE};
use text::{Palette, Text};

/// Print a gateway's stream, one line for each event. Times are UTC.
#[derive(Debug, Parser)]
#[command(name = "gateway tail", bin_name = "gateway tail", version)]
pub(super) struct Arguments {
    /// Where the gateway is: `ws://HOST:PORT/v1/stream` or `wss://…`
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:9443/v1/stream")]
    url: String,
    /// Print JSON objects, one in each line, instead of columns
    #[arg(long)]
    json: bool,
    /// What to get of several updates that are due at once
    #[arg(long, value_enum, default_value_t = Delivery::Every)]
    mode: Delivery,
    /// At most so many updates a second of each topic
    #[arg(long, value_name = "N")]
    max_rate: Option<NonZeroU32>,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// PEM file of the root certificates to verify a wss server by [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File of the token or key to show, where the gateway asks for one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What to print: `SYMBOL.channel`, or '*.channel' for all instruments
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Delivery {
    /// Every update, while we keep up
    Every,
    /// The newest, or merged changes
    Conflate,
}

/// Why a tail does not go on.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Runtime(#[source] io::Error),
    #[error(
        "nothing listens at {0}; start a gateway there with `gateway`, or name another with --url"
    )]
    NobodyThere(String),
    #[error("cannot connect: {0}")]
    Connect(ConnectError),
    #[error("cannot subscribe: {0}")]
    Subscribe(#[from] CommandError),
    /// Each topic, and why not.
    #[error("{}", refusals(.0))]
    Topics(Vec<(String, String)>),
    #[error("{0}")]
    Ended(#[from] Ended),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            // Whoever reads us has enough: `gateway tail … | head`.
            Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => EXIT_DONE,
            Self::Topics(_) | Self::Connect(ConnectError::Url(_)) => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }
}

fn refusals(topics: &[(String, String)]) -> String {
    let lines: Vec<String> = topics.iter().map(|(topic, why)| format!("{topic}: {why}")).collect();
    lines.join("\ngateway tail: ")
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Io { address, source }
                if source.kind() == io::ErrorKind::ConnectionRefused =>
            {
                Self::NobodyThere(address)
            }
            error => Self::Connect(error),
        }
    }
}

/// Runs it. The answer is the exit code.
pub(super) fn run(arguments: &Arguments) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Failure::Runtime).and_then(|runtime| {
        runtime.block_on(async {
            let client = connect(arguments).await?;
            follow(client, arguments).await
        })
    });
    let Err(failure) = outcome else { return EXIT_DONE };
    let code = failure.exit_code();
    if code != EXIT_DONE {
        eprintln!("gateway tail: {failure}");
    }
    code
}

/// Connects and subscribes. One bad topic voids all: people look at what they typed.
async fn connect(arguments: &Arguments) -> Result<Client, Failure> {
    let bad = arguments.topics.iter().filter_map(|topic| {
        wire::Pattern::parse(topic).err().map(|why| (topic.clone(), why.to_string()))
    });
    let bad: Vec<_> = bad.collect();
    if !bad.is_empty() {
        return Err(Failure::Topics(bad));
    }
    let mut options = Options::new();
    if let Some(file) = &arguments.ca {
        options = options.root_pem_file(file)?;
    }
    if let Some(file) = &arguments.token_file {
        options = options.token_file(file)?;
    }
    let mut client = Client::connect(&arguments.url, options).await?;
    let mode = match arguments.mode {
        Delivery::Every => Mode::Every,
        Delivery::Conflate => Mode::Conflate,
    };
    let mut subscription = Subscription::new(arguments.topics.clone()).mode(mode);
    if let Some(rate) = arguments.max_rate {
        subscription = subscription.max_rate(rate);
    }
    let subscribed = client.subscribe(subscription).await?;
    let refused: Vec<_> =
        subscribed.refused().map(|(topic, why)| (topic.to_owned(), why.to_string())).collect();
    if refused.is_empty() { Ok(client) } else { Err(Failure::Topics(refused)) }
}

/// Prints until the count is reached, Ctrl-C, or an end.
async fn follow(mut client: Client, arguments: &Arguments) -> Result<(), Failure> {
    let stdout = io::stdout();
    let is_colourful = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let palette = if is_colourful { Palette::Ansi } else { Palette::Plain };
    let mut out = BufWriter::new(stdout.lock());
    let mut tail = Tail::new(arguments, Text::new(palette));
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let outcome = loop {
        if arguments.count.is_some_and(|count| tail.messages >= count) {
            out.flush()?;
            return Ok(());
        }
        tokio::select! {
            biased;
            _ = &mut interrupt => break Ok(()),
            event = client.next() => match event {
                Ok(event) => tail.print(&event, &mut out)?,
                Err(ended) => break Err(ended.into()),
            },
            // Nothing waits: what is written is shown.
            () = std::future::ready(()), if !out.buffer().is_empty() => out.flush()?,
        }
    };
    out.flush()?;
    eprintln!("{}", tail.summary());
    outcome
}

/// What was printed so far, and how.
struct Tail {
    is_json: bool,
    /// Conflation is what was asked for, so its gaps are not news.
    is_conflation_asked: bool,
    text: Text,
    line: String,
    ledger: Ledger,
    messages: u64,
    gaps: u64,
    reconnects: u64,
}

impl Tail {
    fn new(arguments: &Arguments, text: Text) -> Self {
        let is_conflation_asked =
            arguments.mode == Delivery::Conflate || arguments.max_rate.is_some();
        Self {
            is_json: arguments.json,
            is_conflation_asked,
            text,
            line: String::new(),
            ledger: Ledger::new(),
            messages: 0,
            gaps: 0,
            reconnects: 0,
        }
    }

    fn print(&mut self, event: &Event, out: &mut impl Write) -> io::Result<()> {
        self.ledger.enter(event);
        self.messages += u64::from(event.origin().is_some());
        match event {
            Event::Connected(connected) => self.reconnects = connected.reconnects,
            Event::Gap(gap) => {
                self.gaps += 1;
                if gap.reason == GapReason::Conflated && self.is_conflation_asked && !self.is_json {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.line.clear();
        if self.is_json {
            json::write(&mut self.line, event);
        } else {
            self.text.write(&mut self.line, event);
        }
        if self.line.is_empty() {
            return Ok(());
        }
        self.line.push('\n');
        out.write_all(self.line.as_bytes())
    }

    fn summary(&self) -> String {
        let total = self.ledger.total();
        format!(
            "{} messages; {} gaps with {} conflated and {} lost; {} reconnects",
            self.messages, self.gaps, total.conflated, total.lost, self.reconnects
        )
    }
}
