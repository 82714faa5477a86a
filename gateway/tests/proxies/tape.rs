//! One client's tape: every trade that it was sent, checked as it comes.
//!
//! The feed gives trades of an instrument the ids 1, 2, 3… beside the numbers that the stream gives them. So what
//! is missing is seen twice, by numbers that nobody has announced and by ids; and what a trade says is compared
//! with what it said to whoever got it first.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::{Channel, Event, FeedState, Gap, GapReason, Symbol, Trade};

/// What all clients were sent, so that each is held to what the others got.
#[derive(Default)]
pub(crate) struct Truth {
    /// A digest of each trade.
    trades: HashMap<(u64, Symbol, u64), u64>,
    newest: HashMap<Symbol, u64>,
    epoch: u64,
}

impl Truth {
    /// The newest number that anybody was sent of each instrument, in the newest epoch.
    pub(crate) fn newest(&self) -> HashMap<Symbol, u64> {
        self.newest.clone()
    }

    /// How many different trades there were.
    pub(crate) fn count(&self) -> usize {
        self.trades.len()
    }

    /// Enters a trade; says whether it is what it was before.
    fn agrees(&mut self, epoch: u64, trade: &Trade) -> bool {
        let (symbol, seq) = (trade.origin.symbol, trade.origin.seq);
        if epoch != self.epoch {
            self.epoch = epoch;
            self.newest.clear();
        }
        let newest = self.newest.entry(symbol).or_default();
        *newest = seq.max(*newest);
        let mut digest = DefaultHasher::new();
        let (price, quantity) = (trade.price.to_string(), trade.quantity.to_string());
        (price, quantity, trade.trade_id, trade.ts_trade_ns).hash(&mut digest);
        let digest = digest.finish();
        *self.trades.entry((epoch, symbol, seq)).or_insert(digest) == digest
    }
}

/// The place in one instrument's trades.
#[derive(Clone, Copy, Debug)]
struct Place {
    seq: u64,
    /// `None` behind a gap.
    id: Option<u64>,
}

/// What one client saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    /// Trades.
    pub(crate) trades: u64,
    /// Trades that did not come and that nothing has announced.
    pub(crate) missing: u64,
    /// Trades that came again, or behind a later one.
    pub(crate) repeated: u64,
    /// Trades that are not what others were sent under their number, or whose id does not follow.
    pub(crate) wrong: u64,
    /// Trades that gaps have announced, by reason.
    pub(crate) announced: BTreeMap<&'static str, u64>,
    /// How often numbers began anew.
    pub(crate) resets: u64,
    /// How often the feed was said to be silent.
    pub(crate) silent: u64,
    /// How often the connection was lost.
    pub(crate) losses: u64,
}

impl Sums {
    /// Trades that gaps have announced.
    pub(crate) fn announced(&self) -> u64 {
        self.announced.values().sum()
    }

    /// Adds what another saw.
    pub(crate) fn add(&mut self, other: &Self) {
        self.trades += other.trades;
        self.missing += other.missing;
        self.repeated += other.repeated;
        self.wrong += other.wrong;
        for (reason, count) in &other.announced {
            *self.announced.entry(reason).or_default() += count;
        }
        self.resets += other.resets;
        self.silent += other.silent;
        self.losses += other.losses;
    }
}

/// See the module's header.
pub(crate) struct Tape {
    truth: Arc<Mutex<Truth>>,
    places: HashMap<Symbol, Place>,
    epoch: u64,
    pub(crate) sums: Sums,
    last_at: Instant,
    /// The longest time without a trade since [`Tape::watch`].
    pub(crate) silence_max: Duration,
    /// How old a trade was at most, when it came, since [`Tape::watch`].
    pub(crate) age_max: Duration,
}

impl Tape {
    pub(crate) fn new(truth: Arc<Mutex<Truth>>) -> Self {
        Self {
            truth,
            places: HashMap::new(),
            epoch: 0,
            sums: Sums::default(),
            last_at: Instant::now(),
            silence_max: Duration::ZERO,
            age_max: Duration::ZERO,
        }
    }

    /// Measures anew from here on.
    pub(crate) fn watch(&mut self) {
        (self.silence_max, self.age_max) = (Duration::ZERO, Duration::ZERO);
        self.last_at = Instant::now();
        self.sums = Sums::default();
    }

    /// For how long there has been no trade.
    pub(crate) fn silence(&self) -> Duration {
        self.last_at.elapsed()
    }

    /// Whether it has come to these numbers, as far as it has these instruments at all.
    pub(crate) fn has_reached(&self, newest: &HashMap<Symbol, u64>) -> bool {
        self.places
            .iter()
            .all(|(symbol, place)| newest.get(symbol).is_none_or(|newest| place.seq >= *newest))
    }

    /// Whose trades came.
    pub(crate) fn symbols(&self) -> Vec<String> {
        self.places.keys().map(Symbol::to_string).collect()
    }

    /// Each trade came, once, in order, as others got it, and no connection was lost.
    ///
    /// # Panics
    /// If not.
    pub(crate) fn assert_whole(&self) {
        let Sums { trades, missing, repeated, wrong, ref announced, resets, losses, .. } =
            self.sums;
        assert!(trades > 0, "{:?}", self.sums);
        assert_eq!((missing, repeated, wrong), (0, 0, 0), "{:?}", self.sums);
        assert_eq!((announced.len(), resets, losses), (0, 0, 0), "{:?}", self.sums);
    }

    /// A subscription was acknowledged with this number: the next one comes.
    pub(crate) fn begin(&mut self, symbol: Symbol, seq: u64) {
        self.places.entry(symbol).or_insert(Place { seq, id: None });
    }

    pub(crate) fn enter(&mut self, event: &Event) {
        match event {
            Event::Connected(connected) => self.enter_epoch(connected.epoch),
            Event::Heartbeat { epoch, .. } => self.enter_epoch(*epoch),
            Event::FeedStatus { epoch, state, .. } => {
                self.sums.silent += u64::from(*state == FeedState::Silent);
                self.enter_epoch(*epoch);
            }
            Event::Disconnected(_) => self.sums.losses += 1,
            Event::Gap(gap) if gap.channel == Channel::Trade => self.enter_gap(gap),
            Event::Trade(trade) => self.enter_trade(trade),
            _ => {}
        }
    }

    fn enter_epoch(&mut self, epoch: u64) {
        if epoch != self.epoch && epoch != 0 {
            self.sums.resets += u64::from(self.epoch != 0);
            self.epoch = epoch;
            self.places.clear();
        }
    }

    fn enter_gap(&mut self, gap: &Gap) {
        if gap.reason == GapReason::Reset {
            self.sums.resets += 1;
            self.places.remove(&gap.symbol);
            return;
        }
        if let Some(place) = self.places.get(&gap.symbol) {
            self.sums.missing += gap.first_seq.saturating_sub(place.seq + 1);
            self.sums.repeated += (place.seq + 1).saturating_sub(gap.first_seq);
        }
        *self.sums.announced.entry(gap.reason.name()).or_default() += gap.count;
        self.places.insert(gap.symbol, Place { seq: gap.last_seq(), id: None });
    }

    fn enter_trade(&mut self, trade: &Trade) {
        self.sums.trades += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let age = now.saturating_sub(Duration::from_nanos(trade.origin.ts_event_ns));
        self.age_max = self.age_max.max(age);
        self.silence_max = self.silence_max.max(self.last_at.elapsed());
        self.last_at = Instant::now();

        let agrees = self.truth.lock().unwrap().agrees(self.epoch, trade);
        self.sums.wrong += u64::from(!agrees);
        let (seq, id) = (trade.origin.seq, trade.trade_id);
        if let Some(place) = self.places.get(&trade.origin.symbol) {
            if seq <= place.seq {
                self.sums.repeated += 1;
                return;
            }
            self.sums.missing += seq - place.seq - 1;
            let follows = place.id.is_none_or(|last| id == last + (seq - place.seq));
            self.sums.wrong += u64::from(!follows);
        }
        self.places.insert(trade.origin.symbol, Place { seq, id: Some(id) });
    }
}
