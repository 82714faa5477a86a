//! The simulated market beside the recordings, by the same statistics.

mod recorded;

use feed_sim::market::{Market, MarketConfig, Sessions};
use feed_sim::replay::{Repeat, Replay};
use feed_sim::statistics::{self, Args, Arrival, Sample, StatisticsError, Summary};
use recorded::{BTC, ETH, recording};

fn recorded() -> Vec<Summary> {
    let summary = |name| {
        let mut replay = Replay::open(&[recording(name)], Repeat::Once).unwrap();
        let samples = Sample::take(&mut replay, Arrival::Due, None).unwrap();
        Summary::of(&samples[0]).expect("recordings are large enough")
    };
    vec![summary(BTC), summary(ETH)]
}

/// Two instruments as busy as the recorded ones, for half an hour.
fn simulated(seed: u64) -> Vec<Summary> {
    let config = MarketConfig {
        seed,
        instruments: 2,
        rate: 400,
        zipf: 0.0,
        sessions: Sessions::CONTINUOUS,
        ..MarketConfig::default()
    };
    let mut market = Market::new(&config).unwrap();
    let samples = Sample::take(&mut market, Arrival::Event, Some(1_800_000_000_000)).unwrap();
    samples.iter().map(|sample| Summary::of(sample).expect("half an hour is enough")).collect()
}

#[test]
fn the_recordings_have_the_numbers_counted_otherwise() {
    // Counted with other tools: frames over the time from the first quote to the last, spreads of one
    // tick, runs of trades with one time and side.
    let [btc, eth] = &recorded()[..] else { panic!("two recordings") };
    let close = |x: f64, to: f64| assert!((x / to - 1.0).abs() < 0.01, "{x}, not {to}");
    close(btc.quotes_rate, 28_040.0 / 345.911);
    close(btc.trades_rate, 9_757.0 / 345.911);
    close(eth.quotes_rate, 24_077.0 / 345.876);
    close(btc.spread_of_one, 24_716.0 / 28_040.0);
    close(btc.order_trades[0], 9_757.0 / 3_241.0);
    close(btc.quote_gaps.variation, 2.757);
    close(eth.trade_gaps.variation, 3.561);
    close(btc.returns[1].kurtosis, 28.7);
    close(btc.price_changes, 0.0953);
}

/// Every number of the simulation is within twice and half of what the two recordings span; those that
/// are parts of a whole are within 15 points.
#[test]
fn the_simulation_is_in_the_neighbourhood_of_the_recordings() {
    type Number = (&'static str, fn(&Summary) -> f64);
    const RATIOS: [Number; 16] = [
        ("ticks a second", |s| s.ticks_rate),
        ("quotes a second", |s| s.quotes_rate),
        ("trades a second", |s| s.trades_rate),
        ("groups a second", |s| s.groups_rate),
        ("levels in a group", |s| s.group_levels[0]),
        ("levels in a large group", |s| s.group_levels[2]),
        ("mean spread", |s| s.spread_ticks[0]),
        ("wide spread", |s| s.spread_ticks[2]),
        ("price changes", |s| s.price_changes),
        ("median time between quotes", |s| s.quote_gaps.quantiles_ms[0]),
        ("variation between quotes", |s| s.quote_gaps.variation),
        ("burstiness of quotes", |s| s.quote_gaps.burstiness),
        ("variation between trades", |s| s.trade_gaps.variation),
        ("trades of an order", |s| s.order_trades[0]),
        ("returns over 1 s", |s| s.returns[1].deviation_bp),
        ("returns over 5 s", |s| s.returns[2].deviation_bp),
    ];
    const PARTS: [Number; 4] = [
        ("spread of one tick", |s| s.spread_of_one),
        ("buyers", |s| s.buys),
        ("zero returns over 0.1 s", |s| s.returns[0].zero),
        ("zero returns over 1 s", |s| s.returns[1].zero),
    ];
    let recorded = recorded();
    let span = |number: fn(&Summary) -> f64| {
        let numbers = recorded.iter().map(number);
        (numbers.clone().fold(f64::MAX, f64::min), numbers.fold(0.0, f64::max))
    };
    for seed in [1, 2, 3] {
        for summary in simulated(seed) {
            for (name, number) in RATIOS {
                let ((low, high), x) = (span(number), number(&summary));
                assert!(low / 2.0 < x && x < high * 2.0, "seed {seed}, {name}: {x}");
            }
            for (name, number) in PARTS {
                let ((low, high), x) = (span(number), number(&summary));
                assert!(low - 0.15 < x && x < high + 0.15, "seed {seed}, {name}: {x}");
            }
            for returns in summary.returns {
                assert!(returns.kurtosis > 3.5, "tails are fat: {returns:?}");
                assert!((1.5..7.0).contains(&returns.tail_index), "{returns:?}");
            }
        }
    }
}

#[test]
fn the_table_has_a_column_for_each() {
    let args = Args {
        seed: 1,
        instruments: 3,
        rate: 400,
        seconds: 60,
        recording: vec![recording(BTC), recording(ETH)],
    };
    let mut table = Vec::new();
    statistics::run(&args, &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    let mut lines = table.lines();
    let origins: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(origins, ["simulated", "simulated", "simulated", "recorded", "recorded"]);
    let symbols: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(symbols, ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BTCUSDT", "ETHUSDT"]);
    assert!(!table.contains("NaN") && !table.contains("inf"), "{table}");
    assert_eq!(table.lines().count(), 2 + 20 + 3 * 5);
}

#[test]
fn too_little_is_said_to_be_so() {
    let args = Args { seed: 1, instruments: 1, rate: 10, seconds: 1, recording: Vec::new() };
    let error = statistics::run(&args, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, StatisticsError::TooFew { .. }), "{error}");
}
