//! The command line: parsed into types here, so that nothing behind it meets a senseless value.
//!
//! Flags have the names and defaults of the gateway's keys for its embedded feeds.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bus::{BusUrl, Storage, UrlError};
use clap::{Args, Parser, Subcommand, ValueEnum};
use feed_sim::derive::OTHERS;
use wire::{Channel, INTERVALS, Interval};

/// A venue in a box: writes a feed into a ring in shared memory, or to a bus.
#[derive(Debug, Parser)]
#[command(name = "feed-sim", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a feed to where it is wanted; what `feed-sim` does without a subcommand.
    Run(Box<RunArgs>),
    /// Check recordings: every line, and the book against the recorded quotes.
    Check(CheckArgs),
    /// Print statistics of the simulator, beside those of recordings.
    Stats(feed_sim::statistics::Args),
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Where to: shm:PATH, a file for the ring, best under /dev/shm; or a bus that gateways share, as
    /// nats://HOST:PORT/PREFIX or redis://HOST:PORT/PREFIX (tls:// and rediss:// with TLS); or a gateway, as
    /// ws://HOST:PORT/v1/stream (wss:// with TLS), at which trades and quotes are published as clients do.
    #[arg(long, value_name = "TARGET", required = true)]
    pub(crate) out: Option<Out>,
    /// What: sim, pulse, or replay:FILE[,FILE…] (recordings, merged by time).
    #[arg(long, value_name = "SOURCE", default_value = "sim")]
    pub(crate) source: Source,
    /// How many instruments sim and pulse have.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) symbols: u32,
    /// Ticks a second in total, of sim (on average) and pulse (evenly).
    #[arg(long, value_name = "RATE", default_value_t = 2000.0, value_parser = positive)]
    pub(crate) rate: f64,
    /// The simulator's seed: the same seed gives the same market.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The epoch of all numbers; none: a fresh one. Feeds that are to be merged have the same.
    #[arg(long, value_name = "EPOCH", value_parser = epoch)]
    pub(crate) epoch: Option<u64>,
    /// When the feed's time begins, seconds since 1970; none: now. Two simulators with the same seed, epoch
    /// and start make the same numbered ticks. One whose start is past publishes all since at once.
    #[arg(long, value_name = "UNIX_SECONDS", value_parser = start_at)]
    pub(crate) start_at: Option<StartAt>,
    /// How fast a replay goes: 1, any other factor, or max (readers in other processes may be lapped).
    #[arg(long, value_name = "N|max", default_value = "1")]
    pub(crate) speed: SpeedArg,
    /// Begin a replay again at its end; each turn is a new epoch.
    #[arg(long = "loop")]
    pub(crate) repeat: bool,
    /// Intervals of the bars derived from trades: a list such as 1s,1m,1h; all; or none.
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub(crate) bars: Bars,
    /// Whether 24-hour tickers are derived from trades.
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub(crate) ticker: Switch,
    /// What else is derived from trades: a list of agg_trade, ticker_1h, ticker_4h, ticker_1d, average; all;
    /// or none.
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub(crate) derive: Others,
    /// Records that the ring holds; a power of two. Each takes 128 bytes.
    #[arg(long, value_name = "RECORDS", default_value_t = 262_144, value_parser = capacity)]
    pub(crate) ring_capacity: usize,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    /// Show progress on standard error though it is no terminal: a line every second.
    #[arg(long)]
    pub(crate) progress: bool,
}

/// What a bus is told, and what it is given at once.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "With --out nats://… or redis://…")]
pub(crate) struct BusArgs {
    /// Instruments in a bucket: what a gateway can want of the stream, or not.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) bus_bucket: u32,
    /// How long ticks are gathered into a batch; while another of the bucket is in flight, until that is
    /// acknowledged. 0s: as soon as can be.
    #[arg(long, value_name = "SPAN", default_value = "1ms", value_parser = span)]
    pub(crate) batch_age: Duration,
    /// Bytes beyond which a batch takes no more ticks.
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = batch_bytes)]
    pub(crate) batch_bytes: usize,
    /// Bytes of ticks that may wait for the bus; beyond it some are dropped, and numbers jump.
    #[arg(long, value_name = "BYTES", default_value_t = 134_217_728)]
    pub(crate) held_bytes: usize,
    /// How long the bus keeps ticks, for gateways that come or come back.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = retention)]
    pub(crate) retention: Duration,
    /// Renew images when one part in so many of what the bus keeps was appended behind them: gateways that
    /// come read the log from the oldest image of a bucket on.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) image_part: u32,
    /// Where NATS keeps them; at Redis the server's own settings decide.
    #[arg(long, value_name = "memory|file", default_value = "memory")]
    pub(crate) storage: StorageArg,
    /// Add instruments C0, C1, … with trades and quotes that clients publish through gateways.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) published: u32,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Recordings: gzip, zstd or plain. Each is checked on its own.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// Where a feed goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    Shm(PathBuf),
    Bus(BusUrl),
    /// The URL of its stream.
    Gateway(String),
}

/// Where NATS keeps a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StorageArg {
    Memory,
    File,
}

impl From<StorageArg> for Storage {
    fn from(storage: StorageArg) -> Self {
        match storage {
            StorageArg::Memory => Self::Memory,
            StorageArg::File => Self::File,
        }
    }
}

/// Where a feed comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Sim,
    Pulse,
    Replay(Vec<PathBuf>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SpeedArg {
    Times(f64),
    Max,
}

/// A moment of the realtime clock, ns since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StartAt(pub(crate) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bars(pub(crate) Vec<Interval>);

/// Derived channels other than bars and the ticker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Others(pub(crate) Vec<Channel>);

/// What was expected of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Expected {
    #[error(
        "expected shm:PATH, nats://HOST:PORT/PREFIX, redis://HOST:PORT/PREFIX or ws://HOST:PORT/v1/stream"
    )]
    Out,
    #[error(transparent)]
    Url(UrlError),
    #[error("expected a span such as 500us, 1ms, 60s, 5m or 2h")]
    Span,
    #[error("expected a span of at least 1s")]
    Retention,
    #[error("expected 1024 to 500000")]
    BatchBytes,
    #[error("expected sim, pulse or replay:FILE[,FILE…]")]
    Source,
    #[error("expected a number above 0, or max")]
    Speed,
    #[error("expected a number above 0")]
    Positive,
    #[error("expected all, none, or a list of {}", INTERVALS.join(","))]
    Bars,
    #[error("expected all, none, or a list of agg_trade,ticker_1h,ticker_4h,ticker_1d,average")]
    Others,
    #[error("expected a power of two from 1024 to 67108864")]
    Capacity,
    #[error("expected a whole number above 0")]
    Epoch,
    #[error("expected seconds since 1970, such as 1767225600 or 1767225600.5")]
    StartAt,
}

impl FromStr for Out {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        match text.split_once(':') {
            Some(("shm", path)) if !path.is_empty() => Ok(Self::Shm(PathBuf::from(path))),
            Some(("nats" | "tls" | "redis" | "rediss", _)) => {
                text.parse().map(Self::Bus).map_err(Expected::Url)
            }
            Some(("ws" | "wss", rest)) if rest.len() > 2 && rest.starts_with("//") => {
                Ok(Self::Gateway(text.to_owned()))
            }
            _ => Err(Expected::Out),
        }
    }
}

impl FromStr for Source {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        match text.split_once(':') {
            None if text == "sim" => Ok(Self::Sim),
            None if text == "pulse" => Ok(Self::Pulse),
            Some(("replay", files)) if files.split(',').all(|file| !file.is_empty()) => {
                Ok(Self::Replay(files.split(',').map(PathBuf::from).collect()))
            }
            _ => Err(Expected::Source),
        }
    }
}

impl FromStr for SpeedArg {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        match text {
            "max" => Ok(Self::Max),
            _ => positive(text).map(Self::Times).map_err(|_| Expected::Speed),
        }
    }
}

impl FromStr for Bars {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let names: Vec<&str> = match text {
            "none" => Vec::new(),
            "all" => INTERVALS.to_vec(),
            list => list.split(',').collect(),
        };
        let mut intervals = Vec::new();
        for name in names {
            let interval = Interval::parse(name).ok_or(Expected::Bars)?;
            if !intervals.contains(&interval) {
                intervals.push(interval);
            }
        }
        Ok(Self(intervals))
    }
}

impl FromStr for Others {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let mut channels = match text {
            "none" => return Ok(Self(Vec::new())),
            "all" => return Ok(Self(OTHERS.to_vec())),
            list => list
                .split(',')
                .map(|name| Channel::parse(name).filter(|channel| OTHERS.contains(channel)))
                .collect::<Option<Vec<Channel>>>()
                .ok_or(Expected::Others)?,
        };
        channels.sort_unstable();
        channels.dedup();
        Ok(Self(channels))
    }
}

fn positive(text: &str) -> Result<f64, Expected> {
    let number: f64 = text.parse().map_err(|_| Expected::Positive)?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err(Expected::Positive) }
}

fn capacity(text: &str) -> Result<usize, Expected> {
    let capacity: usize = text.parse().map_err(|_| Expected::Capacity)?;
    let is_possible = capacity.is_power_of_two() && (1 << 10..=1 << 26).contains(&capacity);
    if is_possible { Ok(capacity) } else { Err(Expected::Capacity) }
}

/// A whole number and a unit.
fn span(text: &str) -> Result<Duration, Expected> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| Expected::Span)?;
    let unit_us: u64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(Expected::Span),
    };
    number.checked_mul(unit_us).map(Duration::from_micros).ok_or(Expected::Span)
}

fn retention(text: &str) -> Result<Duration, Expected> {
    let retention = span(text)?;
    if retention >= Duration::from_secs(1) { Ok(retention) } else { Err(Expected::Retention) }
}

/// NATS takes messages of a megabyte by default.
fn batch_bytes(text: &str) -> Result<usize, Expected> {
    let bytes = text.parse().map_err(|_| Expected::BatchBytes)?;
    if (1_024..=500_000).contains(&bytes) { Ok(bytes) } else { Err(Expected::BatchBytes) }
}

fn epoch(text: &str) -> Result<u64, Expected> {
    // 0 is no epoch: it stands for none elsewhere.
    text.parse().ok().filter(|epoch| *epoch > 0).ok_or(Expected::Epoch)
}

/// Seconds with up to nine decimals, read as the decimal it is: two processes must agree to the ns.
fn start_at(text: &str) -> Result<StartAt, Expected> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(seconds) || !is_number(decimals) || decimals.len() > 9 {
        return Err(Expected::StartAt);
    }
    let nanoseconds = format!("{seconds}{decimals:0<9}").parse().map_err(|_| Expected::StartAt)?;
    Ok(StartAt(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<RunArgs, String> {
        let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        Ok(match cli.command {
            None => cli.run,
            Some(Command::Run(args)) => *args,
            Some(other) => panic!("{other:?}"),
        })
    }

    #[test]
    fn run_is_what_happens_without_a_subcommand() {
        for line in ["feed-sim --out shm:/dev/shm/t", "feed-sim run --out shm:/dev/shm/t"] {
            let args = parse(line).unwrap();
            assert_eq!(args.out, Some(Out::Shm(PathBuf::from("/dev/shm/t"))));
            assert_eq!((args.source, args.symbols, args.repeat), (Source::Sim, 20, false));
            assert_eq!((args.bars.0.len(), args.ring_capacity), (16, 262_144));
            assert_eq!(args.derive.0, OTHERS);
        }
        let line = "feed-sim --source replay:a.gz,b --speed max --loop --bars 1m,1M --derive average \
                    --out shm:x";
        let args = parse(&line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap();
        assert_eq!(args.source, Source::Replay(vec!["a.gz".into(), "b".into()]));
        assert_eq!((args.speed, args.repeat, args.bars.0.len()), (SpeedArg::Max, true, 2));
        assert_eq!(args.derive.0, [Channel::Average]);
    }

    #[test]
    fn a_bus_is_read_with_what_it_is_told() {
        let line = "feed-sim --out redis://u:p@h:7/t --bus-bucket 1 --batch-age 250us --retention 5m \
                    --storage file --published 3 --image-part 10";
        let args = parse(&line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap();
        let Some(Out::Bus(url)) = args.out else { panic!("{:?}", args.out) };
        assert!(!url.to_string().contains('p') || !url.to_string().contains("u:p"), "{url}");
        assert_eq!((args.bus.bus_bucket, args.bus.published, args.bus.image_part), (1, 3, 10));
        assert_eq!(args.bus.batch_age, Duration::from_micros(250));
        assert_eq!(args.bus.retention, Duration::from_secs(300));
        assert_eq!(Storage::from(args.bus.storage), Storage::File);
    }

    #[test]
    fn a_start_is_read_to_the_nanosecond() {
        let at = |text: &str| {
            parse(&format!("feed-sim --out shm:t --start-at {text}")).unwrap().start_at
        };
        assert_eq!(at("1767225600"), Some(StartAt(1_767_225_600_000_000_000)));
        assert_eq!(at("1767225600.1"), Some(StartAt(1_767_225_600_100_000_000)));
        assert_eq!(at("1767225600.123456789"), Some(StartAt(1_767_225_600_123_456_789)));
    }

    #[test]
    fn a_senseless_value_is_named_with_its_flag_and_what_was_expected() {
        let cases = [
            ("--out shm:", "'shm:' for '--out <TARGET>': expected shm:PATH"),
            ("--out ws://", "expected shm:PATH, nats://HOST:PORT/PREFIX, redis://"),
            ("--out http://h", "expected shm:PATH, nats://HOST:PORT/PREFIX, redis://"),
            ("--out nats://h:4222/t/u", "'nats://h:4222/t/u' for '--out <TARGET>'"),
            ("--out nats://h --retention 10", "expected a span such as 500us"),
            ("--out nats://h --retention 10ms", "expected a span of at least 1s"),
            ("--out nats://h --batch-bytes 0", "expected 1024 to 500000"),
            ("--out nats://h --image-part 1", "'1' for '--image-part <N>'"),
            ("--out nats://h --bus-bucket 0", "'0' for '--bus-bucket <N>'"),
            ("--out shm:t --source market", "'market' for '--source <SOURCE>': expected sim"),
            ("--out shm:t --source replay:a,,b", "expected sim, pulse or replay:FILE"),
            ("--out shm:t --rate 0", "'0' for '--rate <RATE>': expected a number above 0"),
            ("--out shm:t --rate NaN", "'NaN' for '--rate <RATE>': expected a number above 0"),
            ("--out shm:t --speed fast", "'fast' for '--speed <N|max>': expected a number"),
            ("--out shm:t --bars 7m", "'7m' for '--bars <LIST>': expected all, none, or a list"),
            ("--out shm:t --derive trade", "'trade' for '--derive <LIST>': expected all, none"),
            ("--out shm:t --ring-capacity 1000", "expected a power of two from 1024"),
            ("--out shm:t --symbols many", "'many' for '--symbols <N>'"),
            ("--out shm:t --epoch 0", "'0' for '--epoch <EPOCH>': expected a whole number above"),
            ("--out shm:t --start-at noon", "expected seconds since 1970"),
            ("--out shm:t --start-at 1.", "expected seconds since 1970"),
            ("--out shm:t --start-at 99999999999", "expected seconds since 1970"),
            ("--source sim", "--out <TARGET>"),
            ("--outt shm:t", "'--outt'"),
        ];
        for (line, expected) in cases {
            let error = parse(&format!("feed-sim {line}")).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
