//! What the simulated market promises, seen by a reader of its ticks.

use std::collections::HashMap;
use std::time::Duration;

use feed_sim::market::{DepthCadence, Halts, Market, MarketConfig, MarketError, Sessions};
use feed_sim::{Feed, Next};
use nix::time::{ClockId, clock_gettime};
use wire::{Book, Channel, Kind, Quote, Side, Tick, TradingStatus, flags};

const SECOND_NS: u64 = 1_000_000_000;

/// Sessions short enough that a test sees many: 40 s, 4 s of them closed, halts of 1 to 3 s.
const SHORT: Sessions = Sessions {
    length_ns: 40 * SECOND_NS,
    closed_ns: 4 * SECOND_NS,
    halts: Halts::Some { shortest_ns: SECOND_NS, longest_ns: 3 * SECOND_NS },
};

/// FNV-1a over the words of ticks.
fn hash(market: &mut Market, count: usize) -> u64 {
    let (mut ticks, mut seen, mut hash) = (Vec::new(), 0, 0xCBF2_9CE4_8422_2325_u64);
    while seen < count {
        ticks.clear();
        assert!(matches!(market.next(&mut ticks), Next::At(_)), "a market has no end");
        for tick in ticks.iter().take(count - seen) {
            for word in tick.to_words() {
                hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01B3);
            }
        }
        seen += ticks.len();
    }
    hash
}

#[test]
fn a_million_ticks_of_one_seed_have_one_hash() {
    let config = MarketConfig { rate: 100_000, ..MarketConfig::default() };
    let first = hash(&mut Market::new(&config).unwrap(), 1_000_000);
    assert_eq!(first, hash(&mut Market::new(&config).unwrap(), 1_000_000));
    let other = MarketConfig { seed: 2, ..config };
    assert_ne!(first, hash(&mut Market::new(&other).unwrap(), 1_000_000));
}

/// What a reader knows of one instrument, and the checks it makes.
#[derive(Default)]
struct Reader {
    book: Book,
    quote: Option<Quote>,
    update_id: u64,
    trade_id: u64,
    status: Option<TradingStatus>,
    /// Price, maker side and time of the last trade, until a quote ends the run.
    run: Option<(i64, bool, u64)>,
    groups: u64,
    trades: u64,
    halts: u64,
    closes: u64,
}

impl Reader {
    fn read(&mut self, tick: &Tick) {
        match tick.kind().expect("markets make valid ticks") {
            Kind::Data(Channel::Quote) => {
                let quote = tick.quote();
                assert_eq!(self.status, Some(TradingStatus::Trading));
                assert!(
                    quote.bid_quantity == 0
                        || quote.ask_quantity == 0
                        || quote.bid_price < quote.ask_price,
                    "crossed: {quote:?}"
                );
                self.quote = Some(quote);
                self.run = None;
            }
            Kind::Data(Channel::Trade) => self.read_trade(tick),
            Kind::Data(Channel::Depth) => self.read_depth(tick),
            Kind::Data(Channel::Status) => {
                let status = tick.status().unwrap();
                assert_ne!(self.status, Some(status), "a status is told when it changes");
                self.halts += u64::from(status == TradingStatus::Halted);
                self.closes += u64::from(status == TradingStatus::Closed);
                self.status = Some(status);
            }
            other => panic!("markets do not make {other:?}"),
        }
    }

    /// A market order begins at the price that was quoted and walks away from it.
    fn read_trade(&mut self, tick: &Tick) {
        let trade = tick.trade();
        assert_eq!(self.status, Some(TradingStatus::Trading), "traded while not trading");
        assert!(trade.quantity > 0);
        if self.trade_id != 0 {
            assert_eq!(trade.trade_id, self.trade_id + 1);
        }
        self.trade_id = trade.trade_id;
        self.trades += 1;
        let quote = self.quote.expect("quotes come before trades");
        let run = (trade.price, trade.buyer_is_maker, tick.ts_event_ns);
        match self.run {
            Some((price, side, ts)) if side == run.1 && ts == run.2 => {
                let better = if side { trade.price > price } else { trade.price < price };
                assert!(!better, "a later fill is not at a better price");
            }
            _ => {
                let (price, quantity) = if trade.buyer_is_maker {
                    (quote.bid_price, quote.bid_quantity)
                } else {
                    (quote.ask_price, quote.ask_quantity)
                };
                assert_eq!(trade.price, price, "a market order begins at the best price");
                assert!(trade.quantity <= quantity, "a fill is not larger than what rested");
            }
        }
        self.run = Some(run);
    }

    fn read_depth(&mut self, tick: &Tick) {
        let (first, last) = tick.update_ids();
        if tick.begins() {
            if tick.flags & flags::REPLACES_BOOK == 0 {
                assert_eq!(first, self.update_id + 1, "update ids have no holes");
            } else {
                self.book.clear();
            }
            assert!(last + 1 >= first);
        }
        for level in tick.depth_levels() {
            self.book.apply(&level);
        }
        if !tick.ends() {
            return;
        }
        self.update_id = last;
        self.groups += 1;
        assert!(!self.book.is_crossed());
        let quote = self.quote.expect("quotes come before groups");
        assert!(quote.update_id <= last);
        let side = |price, quantity| (quantity > 0).then_some((price, quantity));
        assert_eq!(self.book.best(Side::Bid), side(quote.bid_price, quote.bid_quantity));
        assert_eq!(self.book.best(Side::Ask), side(quote.ask_price, quote.ask_quantity));
    }
}

/// Reads a market until its time is over and returns what the readers saw.
fn read(config: &MarketConfig, until_ns: u64) -> Vec<Reader> {
    let mut market = Market::new(config).unwrap();
    let mut readers: Vec<Reader> = market.instruments().iter().map(|_| Reader::default()).collect();
    let (mut ticks, mut newest_ns, mut open_group) = (Vec::new(), 0, None);
    loop {
        ticks.clear();
        let Next::At(due_ns) = market.next(&mut ticks) else { panic!("a market has no end") };
        for tick in &ticks {
            assert!(tick.ts_event_ns >= newest_ns, "times never go back");
            assert!(tick.ts_event_ns <= config.start_ns + due_ns, "told before it happened");
            newest_ns = tick.ts_event_ns;
            assert_eq!(open_group.is_none(), tick.begins(), "groups are contiguous");
            open_group = (!tick.ends()).then_some(tick.instrument);
            assert!(open_group.is_none_or(|id| id == tick.instrument));
            readers[usize::try_from(tick.instrument).unwrap()].read(tick);
        }
        assert_eq!(open_group, None, "a group is not split over batches");
        if due_ns >= until_ns {
            return readers;
        }
    }
}

#[test]
fn quotes_trades_and_depth_agree() {
    let config =
        MarketConfig { rate: 20_000, instruments: 12, sessions: SHORT, ..Default::default() };
    let readers = read(&config, 130 * SECOND_NS);
    for reader in &readers {
        assert!(reader.groups > 300 && reader.trades > 300, "{} groups", reader.groups);
        assert_eq!(reader.closes, 3, "every session closes");
    }
    assert!(readers.iter().map(|reader| reader.halts).sum::<u64>() > 2, "some are halted");
}

#[test]
fn slow_instruments_are_told_of_too() {
    let config = MarketConfig { rate: 3, instruments: 40, ..Default::default() };
    let readers = read(&config, 3_500 * SECOND_NS);
    assert!(readers.iter().all(|reader| reader.groups >= 1), "books are introduced");
    let busy = readers.iter().filter(|reader| reader.trades > 0).count();
    assert!(busy > 30, "{busy} of 40 trade within the hour");
}

#[test]
fn depth_can_have_a_cadence_of_its_own() {
    let depth = DepthCadence::Every(SECOND_NS / 4);
    let config = MarketConfig { rate: 5_000, instruments: 3, depth, ..Default::default() };
    let readers = read(&config, 60 * SECOND_NS);
    for reader in readers {
        assert!((200..=300).contains(&reader.groups), "{} groups in a minute", reader.groups);
    }
}

#[test]
fn the_rate_is_the_one_asked_for() {
    for (instruments, rate) in [(1, 200), (20, 2_000), (20, 400_000), (300, 50_000)] {
        let sessions = Sessions::CONTINUOUS;
        let config = MarketConfig { instruments, rate, sessions, ..Default::default() };
        let mut market = Market::new(&config).unwrap();
        let (mut ticks, mut count, mut due_ns) = (Vec::new(), 0, 0);
        market.next(&mut ticks);
        while count < 400_000 {
            ticks.clear();
            if let Next::At(at) = market.next(&mut ticks) {
                due_ns = at;
            }
            count += ticks.len();
        }
        let seconds = due_ns as f64 * 1e-9;
        let ratio = count as f64 / seconds / rate as f64;
        assert!((0.85..1.2).contains(&ratio), "{instruments} at {rate}: {ratio} of it");
    }
}

/// A market's ticks from `from_ns` to `to_ns`, both since the epoch; introductions left out.
fn ticks_between(market: &mut Market, from_ns: u64, to_ns: u64) -> Vec<Tick> {
    let (mut all, mut ticks) = (Vec::new(), Vec::new());
    market.next(&mut ticks);
    loop {
        ticks.clear();
        market.next(&mut ticks);
        all.extend(ticks.iter().filter(|tick| (from_ns..to_ns).contains(&tick.ts_event_ns)));
        if ticks.last().is_some_and(|tick| tick.ts_event_ns >= to_ns) {
            return all;
        }
    }
}

#[test]
fn a_late_twin_joins_in_step() {
    let config = MarketConfig { rate: 5_000, sessions: SHORT, ..Default::default() };
    // In mid-session, in a close (36 to 40 s), just at an opening, and where somebody is halted.
    for join_s in [17, 38, 40, 91, 203] {
        let join_ns = config.start_ns + join_s * SECOND_NS;
        let until_ns = join_ns + 12 * SECOND_NS;
        let first = ticks_between(&mut Market::new(&config).unwrap(), join_ns, until_ns);
        let mut twin = Market::join(&config, join_ns).unwrap();
        let late = ticks_between(&mut twin, join_ns, until_ns);
        assert!(first.len() > 10_000, "{} ticks", first.len());
        assert_eq!(first.len(), late.len(), "joined after {join_s} s");
        assert!(first == late, "joined after {join_s} s");
    }
}

#[test]
fn what_a_late_twin_says_first_is_what_readers_of_the_other_know() {
    let config = MarketConfig { rate: 5_000, sessions: SHORT, ..Default::default() };
    let join_ns = config.start_ns + 93 * SECOND_NS + 1_234_567;
    let mut readers: HashMap<u32, Reader> = HashMap::new();
    let (mut market, mut ticks) = (Market::new(&config).unwrap(), Vec::new());
    'play: loop {
        ticks.clear();
        market.next(&mut ticks);
        for tick in &ticks {
            if tick.ts_event_ns >= join_ns {
                break 'play;
            }
            readers.entry(tick.instrument).or_default().read(tick);
        }
    }
    let mut late: HashMap<u32, Reader> = HashMap::new();
    ticks.clear();
    Market::join(&config, join_ns).unwrap().next(&mut ticks);
    for tick in &ticks {
        let reader = late.entry(tick.instrument).or_default();
        match tick.kind().unwrap() {
            // The quote may be newer than the group: read only together with what follows.
            Kind::Data(Channel::Depth) => {
                tick.depth_levels().for_each(|level| reader.book.apply(&level));
                reader.update_id = tick.update_ids().1;
            }
            Kind::Data(Channel::Quote) => reader.quote = Some(tick.quote()),
            _ => reader.status = tick.status().ok(),
        }
    }
    for (id, reader) in &readers {
        let twin = &late[id];
        assert_eq!(twin.status, reader.status);
        assert_eq!(twin.quote, reader.quote);
        assert_eq!(twin.update_id, reader.update_id);
        for side in [Side::Bid, Side::Ask] {
            assert!(twin.book.levels(side).eq(reader.book.levels(side)), "book of {id}");
        }
    }
}

#[test]
fn nothing_is_allocated_once_it_runs() {
    let config = MarketConfig { rate: 500_000, sessions: SHORT, ..Default::default() };
    let mut market = Market::new(&config).unwrap();
    let mut ticks = Vec::with_capacity(1 << 16);
    market.next(&mut ticks);
    let mut seen = 0;
    let allocated = allocation_counter::measure(|| {
        while seen < 1_000_000 {
            ticks.clear();
            market.next(&mut ticks);
            seen += ticks.len();
        }
    });
    assert_eq!(allocated.count_total, 0, "{allocated:?} in {seen} ticks");
}

#[test]
fn joining_after_a_day_takes_seconds() {
    let config = MarketConfig { rate: 20_000, instruments: 50, ..Default::default() };
    let day_ns = 86_400 * SECOND_NS;
    // Of this thread's own time: what others take of a machine is not the market's.
    let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let before = used();
    let mut market = Market::join(&config, config.start_ns + day_ns).unwrap();
    let took = used() - before;
    let mut ticks = Vec::new();
    market.next(&mut ticks);
    assert!(ticks.len() > 50 * 3);
    // Without optimisation; it is some 0.1 s otherwise.
    assert!(took.as_secs() < 60, "{took:?} for a day");
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let refused = |change: fn(&mut MarketConfig)| {
        let mut config = MarketConfig::default();
        change(&mut config);
        Market::new(&config).map(|_| ()).unwrap_err()
    };
    assert_eq!(refused(|c| c.instruments = 0), MarketError::Instruments(0));
    assert_eq!(refused(|c| c.rate = 0), MarketError::Rate(0));
    assert_eq!(refused(|c| c.rate = 1 << 40), MarketError::Rate(1 << 40));
    assert_eq!(refused(|c| c.sessions.closed_ns = u64::MAX), MarketError::Sessions);
    assert_eq!(refused(|c| c.depth = DepthCadence::Every(10)), MarketError::DepthCadence(10));
    assert_eq!(refused(|c| c.zipf = f64::NAN), MarketError::Zipf);
}
