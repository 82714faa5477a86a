//! The summary of a sample: the numbers by which markets are compared.

use super::sample::{QuotePoint, Sample};

/// Returns are taken over these times, seconds.
pub(super) const HORIZONS: [f64; 3] = [0.1, 1.0, 5.0];

/// The part of the non-zero returns that counts as their tail.
const TAIL_PART: usize = 20;

/// How one instrument's market behaved.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Whose.
    pub symbol: wire::Symbol,
    /// From first to last quote, seconds.
    pub seconds: f64,
    /// Ticks a second, all channels: records in a ring.
    pub ticks_rate: f64,
    /// Quotes a second.
    pub quotes_rate: f64,
    /// Trades a second.
    pub trades_rate: f64,
    /// Depth groups a second.
    pub groups_rate: f64,
    /// Level changes in a group: mean, median, 99th percentile.
    pub group_levels: [f64; 3],
    /// Part of the quotes with a spread of one tick.
    pub spread_of_one: f64,
    /// Spread, ticks: mean, 90th, 99th percentile.
    pub spread_ticks: [f64; 3],
    /// Part of the quotes that change a price, not only a quantity.
    pub price_changes: f64,
    /// Quantity at a best price relative to its median: 10th and 90th percentile.
    pub best_quantity: [f64; 2],
    /// Time between quotes.
    pub quote_gaps: Gaps,
    /// Time between trades.
    pub trade_gaps: Gaps,
    /// Trades that one market order makes: mean, 90th, 99th percentile.
    pub order_trades: [f64; 3],
    /// Part of the market orders that buy.
    pub buys: f64,
    /// Trade size relative to its median: 75th, 90th, 99th percentile.
    pub trade_size: [f64; 3],
    /// Mid-price returns over each horizon.
    pub returns: [Returns; 3],
}

/// Times between events.
#[derive(Clone, Copy, Debug)]
pub struct Gaps {
    /// Median, 90th, 99th percentile, ms.
    pub quantiles_ms: [f64; 3],
    /// Standard deviation over mean; 1 for a Poisson process.
    pub variation: f64,
    /// Variance over mean of the events in each second; 1 for a Poisson process.
    pub burstiness: f64,
    /// Events in the busiest second over events in the mean one.
    pub busiest: f64,
}

/// Returns over one horizon.
#[derive(Clone, Copy, Debug)]
pub struct Returns {
    /// Standard deviation, basis points.
    pub deviation_bp: f64,
    /// Part of them that is zero.
    pub zero: f64,
    /// Fourth moment over squared variance; 3 for normal returns.
    pub kurtosis: f64,
    /// Hill's estimate of the tail index, from the largest twentieth of those that are not zero.
    pub tail_index: f64,
    /// Correlation of neighbouring absolute returns: volatility clusters if it is above 0.
    pub clustering: f64,
}

impl Summary {
    /// The summary of a sample; none if it is too small for the quantities here.
    #[must_use]
    pub fn of(sample: &Sample) -> Option<Self> {
        let quotes = &sample.quotes;
        let (first, last) = (quotes.first()?, quotes.last()?);
        if quotes.len() < 100 || sample.trades.len() < 20 || sample.groups.is_empty() {
            return None;
        }
        let seconds = (last.at_ns - first.at_ns) as f64 * 1e-9;
        let spreads: Vec<f64> = quotes.iter().map(|quote| quote.ask - quote.bid).collect();
        // Recordings do not say their tick size; both are measured by the least spread.
        let grid = spreads.iter().copied().filter(|&x| x > 0.0).fold(f64::MAX, f64::min);
        let spreads = sorted(spreads.iter().map(|spread| (spread / grid).round()));
        let levels = sorted(sample.groups.iter().map(|&(_, levels)| f64::from(levels)));
        let best = sorted(quotes.iter().flat_map(|quote| [quote.bid_quantity, quote.ask_quantity]));
        let sizes = sorted(sample.trades.iter().map(|trade| trade.quantity));
        let (order_trades, buys) = orders(sample);
        let moved = quotes.windows(2).filter(|w| w[0].bid != w[1].bid || w[0].ask != w[1].ask);
        Some(Self {
            symbol: sample.symbol,
            seconds,
            ticks_rate: sample.ticks as f64 / seconds,
            quotes_rate: quotes.len() as f64 / seconds,
            trades_rate: sample.trades.len() as f64 / seconds,
            groups_rate: sample.groups.len() as f64 / seconds,
            group_levels: [mean(&levels), quantile(&levels, 0.5), quantile(&levels, 0.99)],
            spread_of_one: spreads.iter().filter(|&&x| x < 1.5).count() as f64
                / spreads.len() as f64,
            spread_ticks: [mean(&spreads), quantile(&spreads, 0.9), quantile(&spreads, 0.99)],
            price_changes: moved.count() as f64 / quotes.len() as f64,
            best_quantity: [0.1, 0.9].map(|q| quantile(&best, q) / quantile(&best, 0.5)),
            quote_gaps: Gaps::of(&quotes.iter().map(|quote| quote.at_ns).collect::<Vec<_>>()),
            trade_gaps: Gaps::of(
                &sample.trades.iter().map(|trade| trade.at_ns).collect::<Vec<_>>(),
            ),
            order_trades: [
                mean(&order_trades),
                quantile(&order_trades, 0.9),
                quantile(&order_trades, 0.99),
            ],
            buys,
            trade_size: [0.75, 0.9, 0.99].map(|q| quantile(&sizes, q) / quantile(&sizes, 0.5)),
            returns: HORIZONS.map(|horizon| Returns::of(quotes, horizon)),
        })
    }
}

impl Gaps {
    fn of(times_ns: &[u64]) -> Self {
        let ms = |w: &[u64]| w[1].saturating_sub(w[0]) as f64 * 1e-6;
        let gaps = sorted(times_ns.windows(2).map(ms));
        let first_ns = times_ns[0];
        let seconds = (times_ns[times_ns.len() - 1] - first_ns) / 1_000_000_000 + 1;
        let mut counts = vec![0.0; usize::try_from(seconds).unwrap_or(1)];
        for at_ns in times_ns {
            let second = (at_ns - first_ns) / 1_000_000_000;
            counts[usize::try_from(second).unwrap_or(0)] += 1.0;
        }
        let busiest = counts.iter().copied().fold(0.0, f64::max);
        Self {
            quantiles_ms: [0.5, 0.9, 0.99].map(|q| quantile(&gaps, q)),
            variation: variance(&gaps).sqrt() / mean(&gaps),
            burstiness: variance(&counts) / mean(&counts),
            busiest: busiest / mean(&counts),
        }
    }
}

impl Returns {
    fn of(quotes: &[QuotePoint], horizon_s: f64) -> Self {
        let mids = sample_mids(quotes, horizon_s);
        let returns: Vec<f64> = mids.windows(2).map(|w| (w[1] / w[0]).ln()).collect();
        let (mean, variance) = (mean(&returns), variance(&returns));
        let fourth = returns.iter().map(|x| (x - mean).powi(4)).sum::<f64>() / returns.len() as f64;
        let mut sizes = sorted(returns.iter().map(|x| x.abs()).filter(|&x| x > 0.0));
        sizes.reverse();
        let absolute: Vec<f64> = returns.iter().map(|x| x.abs()).collect();
        Self {
            deviation_bp: variance.sqrt() * 1e4,
            zero: 1.0 - sizes.len() as f64 / returns.len() as f64,
            kurtosis: fourth / (variance * variance),
            tail_index: hill(&sizes),
            clustering: autocorrelation(&absolute),
        }
    }
}

/// Mid prices every `horizon_s` seconds.
fn sample_mids(quotes: &[QuotePoint], horizon_s: f64) -> Vec<f64> {
    let start_ns = quotes[0].at_ns;
    let (mut mids, mut index, mut at_s) = (Vec::new(), 0, 0.0);
    let seconds = |quote: &QuotePoint| (quote.at_ns - start_ns) as f64 * 1e-9;
    while at_s <= seconds(&quotes[quotes.len() - 1]) {
        while index + 1 < quotes.len() && seconds(&quotes[index + 1]) <= at_s {
            index += 1;
        }
        mids.push((quotes[index].bid + quotes[index].ask) / 2.0);
        at_s += horizon_s;
    }
    mids
}

/// Trades per market order, sorted, and the part of the orders that buy. Fills of one order follow
/// each other with one trade time and one side.
fn orders(sample: &Sample) -> (Vec<f64>, f64) {
    let mut runs: Vec<(u64, bool, f64)> = Vec::new();
    for trade in &sample.trades {
        match runs.last_mut() {
            Some(run) if (run.0, run.1) == (trade.ts_trade_ns, trade.buyer_is_maker) => {
                run.2 += 1.0;
            }
            _ => runs.push((trade.ts_trade_ns, trade.buyer_is_maker, 1.0)),
        }
    }
    let buys = runs.iter().filter(|run| !run.1).count() as f64 / runs.len() as f64;
    (sorted(runs.iter().map(|run| run.2)), buys)
}

/// Hill's estimator over the largest part of sizes in falling order.
fn hill(falling: &[f64]) -> f64 {
    let count = (falling.len() / TAIL_PART).max(5);
    if falling.len() <= count {
        return f64::NAN;
    }
    let threshold = falling[count];
    count as f64 / falling[..count].iter().map(|x| (x / threshold).ln()).sum::<f64>()
}

fn autocorrelation(series: &[f64]) -> f64 {
    let (mean, variance) = (mean(series), variance(series));
    let products = series.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum::<f64>();
    products / series.len() as f64 / variance
}

fn mean(series: &[f64]) -> f64 {
    series.iter().sum::<f64>() / series.len() as f64
}

fn variance(series: &[f64]) -> f64 {
    let mean = mean(series);
    series.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / series.len() as f64
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// A quantile of sorted values: the one at that part of the way.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index from a part between 0 and 1"
)]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hill_finds_the_index_of_a_pareto_tail() {
        let count = 100_000;
        let falling: Vec<f64> =
            (1..=count).map(|rank| (f64::from(rank) / f64::from(count)).powf(-1.0 / 3.0)).collect();
        assert!((hill(&falling) - 3.0).abs() < 0.05, "{}", hill(&falling));
    }

    #[test]
    fn even_arrivals_have_no_variation_and_no_bursts() {
        let gaps = Gaps::of(&(0..10_000).map(|i| i * 10_000_000).collect::<Vec<_>>());
        assert!(gaps.variation < 1e-9 && gaps.burstiness < 0.01, "{gaps:?}");
        assert!((gaps.quantiles_ms[1] - 10.0).abs() < 1e-9);
    }

    #[test]
    fn mids_are_those_that_held_at_the_time() {
        let quote = |at_s: u64, mid: f64| QuotePoint {
            at_ns: at_s * 1_000_000_000,
            bid: mid - 1.0,
            ask: mid + 1.0,
            bid_quantity: 1.0,
            ask_quantity: 1.0,
        };
        let quotes = [quote(0, 10.0), quote(2, 20.0), quote(3, 30.0), quote(4, 40.0)];
        assert_eq!(sample_mids(&quotes, 1.0), [10.0, 10.0, 20.0, 30.0, 40.0]);
    }
}
