//! Statistics of feeds: the simulated market's beside recordings' own, in one table.
//!
//! What makes a market believable is not one number: how wide the spread is and how long, how ticks
//! crowd together, how far prices jump, how sizes are spread. `feed-sim stats` prints these for the
//! simulation and, with `--recording FILE`, for recorded frames, computed by the same code from the
//! same ticks. Not a measurement of speed: nothing here is paced or published.

mod sample;
mod summary;
mod table;

use std::io;
use std::path::PathBuf;

pub use sample::{Arrival, Sample};
pub use summary::{Gaps, Returns, Summary};

use crate::market::{Market, MarketConfig, MarketError, Sessions};
use crate::replay::{Repeat, Replay, ReplayError};
use crate::{Feed, FeedError};

/// Ticks a second of an instrument that is as busy as the recorded ones.
const VENUE_PACE: u64 = 200;

/// `feed-sim stats`: what is compared.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The market's seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many instruments are simulated, all equally busy; each is a column.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub instruments: u32,
    /// Ticks a second of each instrument. The default is how busy the recorded ones are.
    #[arg(long, default_value_t = VENUE_PACE)]
    pub rate: u64,
    /// How long is simulated, seconds of the market's own time.
    #[arg(long, default_value_t = 1_800)]
    pub seconds: u64,
    /// A recording to set beside it; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub recording: Vec<PathBuf>,
}

/// Why there are no statistics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// The market cannot be made so.
    #[error(transparent)]
    Market(#[from] MarketError),
    /// A recording cannot be opened.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A feed broke off.
    #[error(transparent)]
    Feed(#[from] Box<FeedError>),
    /// An instrument showed too little to say anything about it.
    #[error("{symbol}: {quotes} quotes and {trades} trades are too few for statistics")]
    TooFew {
        /// Whose.
        symbol: wire::Symbol,
        /// Quotes seen.
        quotes: usize,
        /// Trades seen.
        trades: usize,
    },
    /// The table cannot be written.
    #[error("cannot write the table: {0}")]
    Write(#[from] io::Error),
}

/// Simulates, replays and writes the table.
///
/// # Errors
/// If a feed cannot be had or says too little, or the output cannot be written.
pub fn run(args: &Args, out: &mut impl io::Write) -> Result<(), StatisticsError> {
    let config = MarketConfig {
        seed: args.seed,
        instruments: args.instruments,
        rate: args.rate.saturating_mul(u64::from(args.instruments)),
        sessions: Sessions::CONTINUOUS,
        zipf: 0.0,
        ..MarketConfig::default()
    };
    let mut market = Market::new(&config)?;
    let mut columns =
        summaries("simulated", &mut market, Arrival::Event, Some(args.seconds * 1_000_000_000))?;
    for path in &args.recording {
        let mut replay = Replay::open(std::slice::from_ref(path), Repeat::Once)?;
        columns.extend(summaries("recorded", &mut replay, Arrival::Due, None)?);
    }
    table::write(&columns, out)?;
    Ok(())
}

/// The summary of each of a feed's instruments, over at most `length_ns` of its time.
fn summaries(
    origin: &'static str,
    feed: &mut dyn Feed,
    arrival: Arrival,
    length_ns: Option<u64>,
) -> Result<Vec<(&'static str, Summary)>, StatisticsError> {
    let samples = Sample::take(feed, arrival, length_ns)?;
    samples
        .iter()
        .map(|sample| {
            let summary = Summary::of(sample).ok_or(StatisticsError::TooFew {
                symbol: sample.symbol,
                quotes: sample.quotes.len(),
                trades: sample.trades.len(),
            })?;
            Ok((origin, summary))
        })
        .collect()
}
