//! What is derived from recorded trades, against those trades reckoned anew.

mod recorded;

use feed_sim::derive::{Derived, OTHERS, Options, RECORDED_WAIT_NS};
use feed_sim::replay::{Repeat, Replay};
use feed_sim::{Feed as _, Next};
use recorded::{BTC, recording};
use wire::{AggTrade, Channel, Tick, Trade, Window};

fn play(options: Options) -> Vec<Tick> {
    let replay = Replay::open(&[recording(BTC)], Repeat::Once).unwrap();
    let mut feed = Derived::with(replay, options);
    let mut all = Vec::new();
    while let Next::At(_) = feed.next(&mut all) {}
    let derives: Vec<bool> = OTHERS.iter().map(|c| feed.instruments()[0].has(*c)).collect();
    let is_told = |channel: &Channel| all.iter().any(|tick| tick.kind == channel.code());
    assert_eq!(derives, OTHERS.iter().map(is_told).collect::<Vec<bool>>(), "told if said to be");
    all
}

fn all_of(ticks: &[Tick], channel: Channel) -> impl DoubleEndedIterator<Item = &Tick> {
    ticks.iter().filter(move |tick| tick.kind == channel.code())
}

fn recorded_wait() -> Options {
    Options { aggregate_wait_ns: RECORDED_WAIT_NS, ..Options::default() }
}

#[test]
fn aggregates_part_the_trades_into_what_belongs_together() {
    let ticks = play(recorded_wait());
    let trades: Vec<Trade> = all_of(&ticks, Channel::Trade).map(Tick::trade).collect();
    let aggregates: Vec<AggTrade> =
        all_of(&ticks, Channel::AggTrade).map(Tick::agg_trade).collect();
    let mut at = 0;
    for (number, aggregate) in (1..).zip(&aggregates) {
        let count = usize::try_from(aggregate.last_trade_id - aggregate.first_trade_id).unwrap();
        let own = &trades[at..=at + count];
        at += own.len();
        assert_eq!(aggregate.agg_id, number);
        assert_eq!(aggregate.first_trade_id, own[0].trade_id);
        assert_eq!(aggregate.quantity, own.iter().map(|trade| trade.quantity).sum::<i64>());
        for trade in own {
            assert_eq!(
                (trade.price, trade.buyer_is_maker, trade.ts_trade_ns),
                (aggregate.price, aggregate.buyer_is_maker, aggregate.ts_trade_ns)
            );
        }
    }
    assert_eq!(at, trades.len(), "every trade is in one");
    assert!(aggregates.len() * 5 < trades.len() * 4, "{} of {}", aggregates.len(), trades.len());
    // Two next to each other that belong together would be one, were they not told too early.
    let split = aggregates.windows(2).filter(|pair| {
        let key = |a: &AggTrade| (a.price, a.buyer_is_maker, a.ts_trade_ns);
        key(&pair[0]) == key(&pair[1])
    });
    assert_eq!(split.count(), 0);
}

#[test]
fn rolling_tickers_and_averages_are_those_of_the_trades() {
    let ticks = play(recorded_wait());
    let trades: Vec<Trade> = all_of(&ticks, Channel::Trade).map(Tick::trade).collect();
    for window in Window::ALL {
        let told: Vec<&Tick> = all_of(&ticks, Channel::Rolling(window)).collect();
        assert!(told.len() > 300 && told.len() < 348, "once a second: {}", told.len());
        for tick in &told {
            let ticker = tick.rolling();
            assert_eq!(ticker.ts_open_ns % 60_000_000_000, 0);
            let length_ns = tick.ts_event_ns - ticker.ts_open_ns;
            let wider_ns = length_ns.checked_sub(window.length_ns()).unwrap();
            assert!(wider_ns < 300_000_000_000, "{wider_ns}");
        }
        // The recording is shorter than any window: the last has all trades.
        let last = told.last().unwrap().rolling();
        assert_eq!((last.trades, last.open), (trades.len() as u64, trades[0].price));
        assert_eq!(last.volume, trades.iter().map(|trade| trade.quantity).sum::<i64>());
        assert_eq!(last.high, trades.iter().map(|trade| trade.price).max().unwrap());
        assert_eq!(last.low, trades.iter().map(|trade| trade.price).min().unwrap());
        assert_eq!(last.last_trade_id, trades.last().unwrap().trade_id);
    }
    let last = all_of(&ticks, Channel::Average).next_back().unwrap();
    let average = last.average();
    let open_ns = last.ts_event_ns - 300_000_000_000;
    let open_ns = open_ns - open_ns % 5_000_000_000;
    let (mut value, mut quantity) = (0i128, 0i128);
    for trade in trades.iter().filter(|trade| trade.ts_trade_ns >= open_ns) {
        value += i128::from(trade.price) * i128::from(trade.quantity);
        quantity += i128::from(trade.quantity);
    }
    assert_eq!(i128::from(average.price), value / quantity);
    assert_eq!((average.minutes, average.ts_trade_ns), (5, trades.last().unwrap().ts_trade_ns));
    let first_ns = trades[0].ts_trade_ns;
    assert!(open_ns > first_ns, "the average has forgotten the recording's begin");
}

#[test]
fn each_can_be_left_out() {
    let only = |others: &[Channel]| Options { others: others.to_vec(), ..Options::nothing() };
    for channel in OTHERS {
        let ticks = play(only(&[channel]));
        let is_derived = |tick: &&Tick| tick.kind > Channel::Depth20.code();
        assert!(ticks.iter().filter(is_derived).all(|tick| tick.kind == channel.code()));
    }
    let nothing = play(only(&[]));
    assert!(nothing.iter().all(|tick| tick.kind <= Channel::Depth.code()));
}
