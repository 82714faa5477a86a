//! `--out ws://…|wss://…`: a thread that publishes the ring's trades and quotes through a gateway.
//!
//! As any client would: with the `publish` command, one at a time, each with what has come meanwhile, so that what
//! the gateway or its bus cannot take in time is overwritten in the ring and counted. Instruments are those that
//! clients write: C0, C1, … in the feed's order, as `--published` adds them, else those of the feed's own symbols. Prices and
//! quantities are rounded to what the instrument there can have. Numbers are the bus's; depth, tickers and bars
//! are not for clients to publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use client::{CommandError, Draft, ErrorCode, Options, Refusal, Taker, TopicResult};
use ring::{Reader, Ring, Start, State};
use wire::{Channel, Instrument, Kind, Tick, decimal};

/// The environment's name for the key to publish with, where the gateway asks for one. Not a flag: those are
/// seen by everybody on the machine.
pub(crate) const KEY: &str = "TICKCAST_PUBLISH_KEY";

/// Ticks of one command, as gateways take by default.
const TICKS_MAX: usize = 64;

/// Records read at once.
const READ_MAX: usize = 1_024;

/// How long to wait when there is nothing to read, or when the gateway wants less.
const PAUSE: Duration = Duration::from_millis(2);

/// Why nothing, or not everything, was published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OntoGatewayError {
    #[error("no runtime: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Catalog(#[from] client::CatalogError),
    #[error(transparent)]
    Connect(#[from] client::ConnectError),
    #[error("the gateway has neither {symbol} nor C{place}: clients write nothing like it")]
    Missing { symbol: String, place: usize },
    #[error("the gateway does not take it: {0}")]
    Refused(Refusal),
    #[error("the connection has ended for good")]
    Ended,
}

/// What became of trades and quotes.
#[derive(Debug, Default)]
pub(crate) struct Published {
    acknowledged: AtomicU64,
    /// With a reason that passes: too fast, busy, unavailable.
    refused: AtomicU64,
    /// The answer did not come.
    uncertain: AtomicU64,
    /// Records overwritten before they were read.
    lapped: AtomicU64,
}

/// The thread.
pub(crate) struct OntoGateway {
    thread: JoinHandle<Result<(), OntoGatewayError>>,
    published: Arc<Published>,
}

impl OntoGateway {
    /// Begins to publish what the ring has of these instruments.
    pub(crate) fn start(
        url: &str,
        ring: &Ring,
        instruments: &[Instrument],
        stop: &Arc<AtomicBool>,
    ) -> Self {
        let published = Arc::new(Published::default());
        let job = Job {
            url: url.to_owned(),
            ring: ring.clone(),
            instruments: instruments.to_vec(),
            published: Arc::clone(&published),
        };
        let stop = Arc::clone(stop);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(OntoGatewayError::Runtime);
            let result = runtime.and_then(|runtime| runtime.block_on(job.run()));
            // Also after the end of the feed, when it changes nothing.
            stop.store(true, Ordering::Relaxed);
            result
        });
        Self { thread, published }
    }

    /// Waits until the closed ring is published, and says on standard error what became of it.
    pub(crate) fn end(self) -> Result<(), OntoGatewayError> {
        let result = match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Published { acknowledged, refused, uncertain, lapped } = &*self.published;
        eprintln!(
            "feed-sim: {} ticks acknowledged, {} refused, {} uncertain; {} records overwritten",
            count(acknowledged),
            count(refused),
            count(uncertain),
            count(lapped)
        );
        result
    }
}

struct Job {
    url: String,
    ring: Ring,
    instruments: Vec<Instrument>,
    published: Arc<Published>,
}

impl Job {
    async fn run(self) -> Result<(), OntoGatewayError> {
        let mut options = Options::new();
        if let Ok(key) = std::env::var(KEY) {
            options = options.token(&key)?;
        }
        let mut reader = self.ring.reader(Start::Oldest);
        let catalog = client::catalog(&self.url, &options).await?;
        let targets = targets(&self.instruments, &catalog.instruments)?;
        let mut client = client::Client::connect(&self.url, options).await?;
        loop {
            // Before reading: what is published before the end is read behind it.
            let state = self.ring.state();
            let drafts = self.read(&mut reader, &targets);
            if drafts.is_empty() {
                if state != State::Live && reader.lag() == 0 {
                    return Ok(());
                }
                tokio::time::sleep(PAUSE).await;
            }
            // Nothing is subscribed: these are connections made and lost.
            while client.ready().is_some() {}
            for some in drafts.chunks(TICKS_MAX) {
                self.settle(client.publish(some.to_vec()).await, some.len()).await?;
            }
        }
    }

    fn read(&self, reader: &mut Reader, targets: &[Target]) -> Vec<Draft> {
        let mut records = Vec::new();
        let read = reader.read(&mut records, READ_MAX);
        self.published.lapped.fetch_add(read.lost, Ordering::Relaxed);
        let ticks = records.iter().map(|record| Tick::from_words(*record));
        ticks.filter_map(|tick| targets.get(tick.instrument as usize)?.draft(&tick)).collect()
    }

    async fn settle(
        &self,
        answer: Result<Vec<TopicResult>, CommandError>,
        ticks: usize,
    ) -> Result<(), OntoGatewayError> {
        match answer {
            Ok(results) => {
                for result in results {
                    match result.outcome {
                        Ok(_) => self.published.acknowledged.fetch_add(1, Ordering::Relaxed),
                        Err(refusal) => self.refused(refusal, 1)?,
                    };
                }
            }
            Err(CommandError::Refused(refusal)) => {
                self.refused(refusal, ticks as u64)?;
                tokio::time::sleep(PAUSE).await;
            }
            Err(CommandError::Disconnected | CommandError::Timeout) => {
                self.published.uncertain.fetch_add(ticks as u64, Ordering::Relaxed);
            }
            Err(_) => return Err(OntoGatewayError::Ended),
        }
        Ok(())
    }

    /// A refusal that passes is counted; any other ends the run.
    fn refused(&self, refusal: Refusal, ticks: u64) -> Result<u64, OntoGatewayError> {
        match refusal.code {
            Some(ErrorCode::Uncertain) => {
                Ok(self.published.uncertain.fetch_add(ticks, Ordering::Relaxed))
            }
            Some(ErrorCode::TooFast | ErrorCode::Busy | ErrorCode::Unavailable) => {
                Ok(self.published.refused.fetch_add(ticks, Ordering::Relaxed))
            }
            _ => Err(OntoGatewayError::Refused(refusal)),
        }
    }
}

/// What an instrument of the feed is published as.
#[derive(Clone, Copy, Debug)]
struct Target {
    from: Instrument,
    to: Instrument,
}

fn targets(feed: &[Instrument], gateway: &[Instrument]) -> Result<Vec<Target>, OntoGatewayError> {
    let named = |name: &str| gateway.iter().find(|it| it.symbol.as_str() == name);
    let target = |(place, from): (usize, &Instrument)| {
        let symbol = from.symbol.as_str();
        let to = named(&format!("C{place}")).or_else(|| named(symbol));
        let missing = || OntoGatewayError::Missing { symbol: symbol.to_owned(), place };
        Ok(Target { from: *from, to: *to.ok_or_else(missing)? })
    };
    feed.iter().enumerate().map(target).collect()
}

impl Target {
    /// The tick as a client writes it, if it is a trade or a quote.
    fn draft(&self, tick: &Tick) -> Option<Draft> {
        let symbol = self.to.symbol.as_str();
        let draft = match tick.kind() {
            Ok(Kind::Data(Channel::Trade)) => {
                let trade = tick.trade();
                let taker = if trade.buyer_is_maker { Taker::Seller } else { Taker::Buyer };
                let (price, quantity) = (self.price(trade.price), self.quantity(trade.quantity));
                Draft::trade(symbol, price, quantity, taker).trade_id(trade.trade_id)
            }
            Ok(Kind::Data(Channel::Quote)) => {
                let quote = tick.quote();
                let mut draft = Draft::quote(symbol);
                if quote.bid_quantity > 0 {
                    draft =
                        draft.bid(self.price(quote.bid_price), self.quantity(quote.bid_quantity));
                }
                if quote.ask_quantity > 0 {
                    draft =
                        draft.ask(self.price(quote.ask_price), self.quantity(quote.ask_quantity));
                }
                draft
            }
            _ => return None,
        };
        Some(draft.ts_event_ns(tick.ts_event_ns))
    }

    fn price(&self, mantissa: i64) -> String {
        let (from, to) = (self.from.price_exponent, self.to.price_exponent);
        text(rescale(mantissa, from, to, self.to.tick_size), to)
    }

    fn quantity(&self, mantissa: i64) -> String {
        let (from, to) = (self.from.quantity_exponent, self.to.quantity_exponent);
        text(rescale(mantissa, from, to, self.to.lot_size), to)
    }
}

/// A mantissa with another exponent: the multiple of `step` next below, but at least one.
fn rescale(mantissa: i64, from: i8, to: i8, step: i64) -> i64 {
    let shift = i32::from(from) - i32::from(to);
    let factor = 10_i128.pow(shift.unsigned_abs().min(30));
    let value = i128::from(mantissa);
    let scaled = if shift >= 0 { value * factor } else { value / factor };
    let step = i128::from(step.max(1));
    let rounded = (scaled / step).max(1) * step;
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

fn text(mantissa: i64, exponent: i8) -> String {
    let mut out = Vec::new();
    decimal::write_decimal(&mut out, mantissa, exponent);
    String::from_utf8(out).expect("digits, a point, a sign")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mantissas_keep_their_value_as_far_as_the_instrument_has_places() {
        assert_eq!(rescale(6_183_763, -2, -2, 1), 6_183_763);
        assert_eq!(rescale(6_183_763, -2, -4, 1), 618_376_300);
        assert_eq!(rescale(6_183_763, -2, 0, 1), 61_837);
        assert_eq!(rescale(6_183_763, -2, -2, 5), 6_183_760);
        assert_eq!(rescale(3, -5, -3, 1), 1, "what rounds to nothing is the least there is");
        assert_eq!(text(rescale(6_183_763, -2, -1, 1), -1), "61837.6");
    }
}
