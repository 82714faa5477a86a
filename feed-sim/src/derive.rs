//! Derived channels: bars, tickers, average prices and aggregate trades, from the trades of any feed.
//!
//! [`Derived`] wraps a feed and adds ticks behind its batches; hubs and buses see ordinary topics, and
//! every node numbers them alike. Depth groups stay whole: additions come at a batch's end.
//!
//! # Time
//! Bars and windows go by the trades' own time. *Now* is the greatest event time of all trades and
//! depth events so far; quotes do not count, as in recordings theirs is the receiver's clock.
//!
//! - A bar is *final* as soon as a trade of its instrument lies behind it, or now is
//!   [`Options::grace_ns`] past its end. It is told once, and never opened again: a trade that comes
//!   still later counts in the bar that is open then ([`Derived::late_trades`]).
//! - An aggregate trade is told when a trade follows that is not of it, or at the end of the first batch that
//!   is [`Options::aggregate_wait_ns`] later than its last trade.
//! - Running bars, tickers and averages are told when they have changed, at most once per
//!   [`Options::cadence_ns`] and instrument, each instrument at its own phase so that thousands of them
//!   do not come at once. When the feed ends, the last state is told.
//! - Of an interval that has other boundaries by UTC+8, bars by both are derived.
//! - No trade, no bar: intervals without trades have none. The first bar of each interval, and the
//!   tickers of the first day, know only the trades since the epoch began.

mod aggregate;
mod bars;
mod options;
mod window;

use wire::{Channel, Instrument, Interval, Kind, Tick, Trade};

use crate::feed::{Feed, Next};
use aggregate::Aggregates;
use bars::OpenBar;
pub use options::{OTHERS, Options, RECORDED_WAIT_NS, TickerPolicy};
use window::{Span, Window};

/// Phases in a cadence: a sixteenth of the instruments is told at a time.
const PHASES: u64 = 16;

/// A feed with what is derived from its trades.
pub struct Derived<F> {
    inner: F,
    options: Options,
    instruments: Vec<Instrument>,
    states: Vec<State>,
    series: Vec<Series>,
    /// Instruments with an open aggregate trade.
    aggregating: Vec<u32>,
    /// Instruments with changes to tell, by phase.
    changed: Vec<Vec<u32>>,
    now_ns: u64,
    /// When the next phase is told.
    flush_at_ns: u64,
    /// When the first open bar of any interval is to be closed.
    close_at_ns: u64,
    late_trades: u64,
}

/// One instrument.
#[derive(Debug)]
struct State {
    /// What a quantity of 1 is as a mantissa.
    quantity_unit: i128,
    /// The open bar of each series.
    bars: Vec<Option<OpenBar>>,
    window: Window,
    /// Of each channel in [`Options::others`] that has one.
    others: Vec<(Channel, Window)>,
    /// `None`: they are not derived.
    aggregates: Option<Aggregates>,
    is_changed: bool,
}

/// One interval.
#[derive(Debug)]
struct Series {
    channel: Channel,
    interval: Interval,
    /// Instruments with an open bar.
    open: Vec<u32>,
}

impl<F: Feed> Derived<F> {
    /// Adds everything that can be derived to a feed.
    #[must_use]
    pub fn new(inner: F) -> Self {
        Self::with(inner, Options::default())
    }

    /// Adds what the options say to a feed.
    #[must_use]
    pub fn with(inner: F, mut options: Options) -> Self {
        for at in 0..options.intervals.len() {
            let by_utc8 = options.intervals[at].by_utc8();
            if !options.intervals.contains(&by_utc8) {
                options.intervals.push(by_utc8);
            }
        }
        let series = options.intervals.iter().map(|&interval| Series {
            channel: Channel::Bar(interval),
            interval,
            open: Vec::new(),
        });
        let mut derived = Self {
            series: series.collect(),
            inner,
            options,
            instruments: Vec::new(),
            states: Vec::new(),
            aggregating: Vec::new(),
            changed: Vec::new(),
            now_ns: 0,
            flush_at_ns: 0,
            close_at_ns: u64::MAX,
            late_trades: 0,
        };
        derived.reset();
        derived
    }

    /// The feed itself, to be given what it makes ticks of.
    pub const fn inner_mut(&mut self) -> &mut F {
        &mut self.inner
    }

    /// The feed itself.
    #[must_use]
    pub const fn inner(&self) -> &F {
        &self.inner
    }

    /// Trades that came after a bar of theirs was final.
    #[must_use]
    pub const fn late_trades(&self) -> u64 {
        self.late_trades
    }

    /// Nothing is known any more; the instruments may be others.
    fn reset(&mut self) {
        let mut derived = self.series.iter().fold(0, |set, series| set | series.channel.bit());
        if self.options.ticker == TickerPolicy::Derived {
            derived |= Channel::Ticker.bit();
        }
        derived = self.options.others.iter().fold(derived, |set, channel| set | channel.bit());
        self.instruments.clear();
        for instrument in self.inner.instruments() {
            let mut instrument = *instrument;
            if instrument.has(Channel::Trade) {
                instrument.channels |= derived;
            }
            self.instruments.push(instrument);
        }
        let options = &self.options;
        self.states = self.instruments.iter().map(|each| State::new(each, options)).collect();
        self.aggregating.clear();
        self.series.iter_mut().for_each(|series| series.open.clear());
        self.changed = vec![Vec::new(); usize::try_from(PHASES).expect("few")];
        (self.now_ns, self.flush_at_ns, self.close_at_ns) = (0, 0, u64::MAX);
    }

    /// Takes one of the feed's ticks.
    #[inline]
    fn take(&mut self, tick: &Tick, at_ns: u64, out: &mut Vec<Tick>) {
        match tick.kind() {
            Ok(Kind::Data(Channel::Trade)) => {
                self.now_ns = self.now_ns.max(tick.ts_event_ns);
                let trade = tick.trade();
                self.handle_trade(tick.instrument, &trade, out);
                self.aggregate(tick, &trade, at_ns, out);
            }
            Ok(Kind::Data(Channel::Depth)) => self.now_ns = self.now_ns.max(tick.ts_event_ns),
            _ => {}
        }
    }

    fn handle_trade(&mut self, instrument: u32, trade: &Trade, out: &mut Vec<Tick>) {
        let Some(state) = self.states.get_mut(instrument as usize) else { return };
        let mut is_late = false;
        for (bar, series) in state.bars.iter_mut().zip(&mut self.series) {
            match bar {
                Some(open) if trade.ts_trade_ns < open.end_ns => {
                    is_late |= trade.ts_trade_ns < open.start_ns();
                    open.add(trade);
                    continue;
                }
                Some(open) => {
                    let last = open.bar(state.quantity_unit, true);
                    out.push(Tick::from_bar(series.channel, instrument, self.now_ns, &last));
                }
                None => series.open.push(instrument),
            }
            let open = OpenBar::open(series.interval, trade);
            // Told after its bar was closed by the clock: this opens the same interval again, which
            // would be final twice. It counts in the interval that now is in.
            let closed_ns = self.now_ns.saturating_sub(self.options.grace_ns);
            let open = if open.end_ns <= closed_ns {
                is_late = true;
                OpenBar::open(series.interval, &Trade { ts_trade_ns: self.now_ns, ..*trade })
            } else {
                open
            };
            self.close_at_ns =
                self.close_at_ns.min(open.end_ns.saturating_add(self.options.grace_ns));
            *bar = Some(open);
        }
        self.late_trades += u64::from(is_late);
        state.window.add(trade);
        state.others.iter_mut().for_each(|(_, window)| window.add(trade));
        if !state.is_changed {
            state.is_changed = true;
            self.changed[phase_of(instrument)].push(instrument);
        }
    }

    fn aggregate(&mut self, tick: &Tick, trade: &Trade, at_ns: u64, out: &mut Vec<Tick>) {
        let Some(state) = self.states.get_mut(tick.instrument as usize) else { return };
        let Some(aggregates) = &mut state.aggregates else { return };
        let (complete, is_first) = aggregates.add(tick.instrument, tick.ts_event_ns, trade, at_ns);
        out.extend(complete);
        if is_first {
            self.aggregating.push(tick.instrument);
        }
    }

    /// Tells the aggregate trades whose last trade lies before this moment of the feed, or at it.
    fn tell_aggregates(&mut self, before_ns: u64, out: &mut Vec<Tick>) {
        self.aggregating.retain(|&instrument| {
            let Some(aggregates) = &mut self.states[instrument as usize].aggregates else {
                return false;
            };
            let is_complete = aggregates.open_at_ns().is_some_and(|at_ns| at_ns <= before_ns);
            if is_complete {
                out.extend(aggregates.take(instrument));
            }
            !is_complete
        });
    }

    /// Tells what is due by now.
    fn tell(&mut self, out: &mut Vec<Tick>) {
        if self.now_ns >= self.close_at_ns {
            self.close_bars(out);
        }
        if self.now_ns >= self.flush_at_ns {
            let step_ns = (self.options.cadence_ns / PHASES).max(1);
            // After a pause of more than a cadence each phase is told once.
            let first = (self.flush_at_ns / step_ns)
                .max((self.now_ns / step_ns + 1).saturating_sub(PHASES));
            for step in first..=self.now_ns / step_ns {
                self.flush(usize::try_from(step % PHASES).expect("few"), out);
            }
            self.flush_at_ns = (self.now_ns / step_ns + 1) * step_ns;
        }
    }

    /// Closes the bars whose time is over.
    fn close_bars(&mut self, out: &mut Vec<Tick>) {
        let closed_ns = self.now_ns.saturating_sub(self.options.grace_ns);
        let mut next_end_ns = u64::MAX;
        for (at, series) in self.series.iter_mut().enumerate() {
            series.open.retain(|&instrument| {
                let state = &mut self.states[instrument as usize];
                let bar = &mut state.bars[at];
                if let Some(open) = bar.take_if(|open| open.end_ns <= closed_ns) {
                    let last = open.bar(state.quantity_unit, true);
                    out.push(Tick::from_bar(series.channel, instrument, self.now_ns, &last));
                }
                next_end_ns = next_end_ns.min(bar.map_or(u64::MAX, |open| open.end_ns));
                bar.is_some()
            });
        }
        self.close_at_ns = next_end_ns.saturating_add(self.options.grace_ns);
    }

    /// Tells the running state of the changed instruments of a phase.
    fn flush(&mut self, phase: usize, out: &mut Vec<Tick>) {
        for instrument in self.changed[phase].drain(..) {
            let state = &mut self.states[instrument as usize];
            state.is_changed = false;
            for (bar, series) in state.bars.iter().zip(&self.series) {
                if let Some(open) = bar {
                    let running = open.bar(state.quantity_unit, false);
                    out.push(Tick::from_bar(series.channel, instrument, self.now_ns, &running));
                }
            }
            if self.options.ticker == TickerPolicy::Derived
                && let Some(ticker) = state.window.ticker(self.now_ns, state.quantity_unit)
            {
                out.push(Tick::from_ticker(instrument, self.now_ns, &ticker));
            }
            let (now_ns, unit) = (self.now_ns, state.quantity_unit);
            out.extend(state.others.iter_mut().filter_map(|(channel, window)| {
                match *channel {
                    Channel::Rolling(of) => window
                        .rolling(now_ns, unit)
                        .map(|ticker| Tick::from_rolling(of, instrument, now_ns, &ticker)),
                    _ => window
                        .average(now_ns)
                        .map(|average| Tick::from_average(instrument, now_ns, &average)),
                }
            }));
        }
    }
}

impl<F: Feed> Feed for Derived<F> {
    fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    fn next(&mut self, out: &mut Vec<Tick>) -> Next {
        let start = out.len();
        let next = self.inner.next(out);
        let at_ns = if let Next::At(at_ns) = next { at_ns } else { u64::MAX };
        for at in start..out.len() {
            let tick = out[at];
            self.take(&tick, at_ns, out);
        }
        match next {
            Next::At(_) => {
                if let Some(before_ns) = at_ns.checked_sub(self.options.aggregate_wait_ns) {
                    self.tell_aggregates(before_ns, out);
                }
                self.tell(out);
            }
            Next::End | Next::Restart | Next::Failed(_) => {
                self.tell_aggregates(u64::MAX, out);
                (0..self.changed.len()).for_each(|phase| self.flush(phase, out));
            }
        }
        if matches!(next, Next::Restart) {
            self.reset();
        }
        next
    }

    fn start(&mut self, realtime_ns: u64) {
        self.inner.start(realtime_ns);
    }
}

impl State {
    fn new(instrument: &Instrument, options: &Options) -> Self {
        let window = |channel: &Channel| match *channel {
            Channel::Rolling(of) => Some((*channel, Window::new(Span::rolling(of)))),
            Channel::Average => Some((*channel, Window::new(Span::AVERAGE))),
            _ => None,
        };
        Self {
            quantity_unit: 10i128.pow(u32::from(instrument.quantity_exponent.unsigned_abs())),
            bars: vec![None; options.intervals.len()],
            window: Window::new(Span::TICKER),
            others: options.others.iter().filter_map(window).collect(),
            aggregates: options.others.contains(&Channel::AggTrade).then(Aggregates::default),
            is_changed: false,
        }
    }
}

fn phase_of(instrument: u32) -> usize {
    usize::try_from(u64::from(instrument) % PHASES).expect("few")
}

#[cfg(test)]
mod tests {
    use wire::{Bar, Symbol};

    use super::*;

    /// Batches to hand out, one a call.
    struct Script {
        instruments: Vec<Instrument>,
        batches: std::vec::IntoIter<Vec<Tick>>,
    }

    impl Feed for Script {
        fn instruments(&self) -> &[Instrument] {
            &self.instruments
        }

        fn next(&mut self, out: &mut Vec<Tick>) -> Next {
            match self.batches.next() {
                Some(batch) => {
                    out.extend(batch);
                    Next::At(0)
                }
                None => Next::End,
            }
        }
    }

    const SECOND_NS: u64 = 1_000_000_000;
    const T0: u64 = 1_723_161_253 * SECOND_NS;

    fn trade(instrument: u32, at_ms: u64, price: i64) -> Tick {
        let ts_trade_ns = T0 + at_ms * 1_000_000;
        let trade = Trade {
            price,
            quantity: 3,
            trade_id: at_ms,
            ts_trade_ns,
            buyer_is_maker: price % 2 == 0,
        };
        Tick::from_trade(instrument, ts_trade_ns + 1_000_000, &trade)
    }

    fn depth(at_ms: u64) -> Tick {
        let mut out = Vec::new();
        Tick::push_depth(&mut out, 0, T0 + at_ms * 1_000_000, 1..=1, &[]);
        out[0]
    }

    fn derive(intervals: &[&str], batches: Vec<Vec<Tick>>) -> (Vec<Vec<Tick>>, u64) {
        let instrument = |id| Instrument {
            id,
            symbol: Symbol::new("X").unwrap(),
            base_len: 0,
            price_exponent: -2,
            quantity_exponent: -1,
            tick_size: 1,
            lot_size: 1,
            channels: Channel::Trade.bit(),
        };
        let script =
            Script { instruments: (0..2).map(instrument).collect(), batches: batches.into_iter() };
        let intervals = intervals.iter().filter_map(|name| Interval::parse(name)).collect();
        let mut derived =
            Derived::with(script, Options { intervals, others: Vec::new(), ..Options::default() });
        let mut result = Vec::new();
        loop {
            let mut out = Vec::new();
            let next = derived.next(&mut out);
            result.push(out);
            if !matches!(next, Next::At(_)) {
                return (result, derived.late_trades());
            }
        }
    }

    fn finals(batches: &[Vec<Tick>]) -> Vec<Bar> {
        let bars =
            batches.iter().flatten().filter(|t| t.kind == Channel::Bar(Interval::SECOND).code());
        bars.map(Tick::bar).filter(|bar| bar.is_final).collect()
    }

    #[test]
    fn a_bar_closes_with_the_next_trade_or_with_time() {
        let (out, late) = derive(
            &["1s"],
            vec![
                vec![trade(0, 100, 10), trade(0, 900, 13), trade(0, 950, 8)],
                vec![trade(0, 1_000, 11)],
                vec![depth(2_150)],
                vec![depth(2_200)],
                vec![depth(9_000)],
            ],
        );
        assert_eq!(late, 0);
        let bars = finals(&out);
        assert_eq!(bars.len(), 2);
        let first = Bar {
            ts_open_ns: T0,
            open: 10,
            high: 13,
            low: 8,
            close: 8,
            volume: 9,
            // (10 + 13 + 8) * 3 with one decimal of quantity less.
            quote_volume: 9,
            taker_volume: 3,
            taker_quote_volume: 3,
            first_trade_id: 100,
            trades: 3,
            is_final: true,
        };
        assert_eq!(bars[0], first);
        assert_eq!((bars[1].open, bars[1].trades), (11, 1));
        assert!(finals(&out[..3]).len() == 1 && finals(&out[..4]).len() == 2, "after the grace");
    }

    #[test]
    fn a_late_trade_never_opens_a_final_bar_again() {
        let (out, late) = derive(
            &["1s"],
            vec![
                vec![trade(0, 500, 10)],
                vec![depth(1_400)],
                vec![trade(0, 700, 12)],
                vec![trade(0, 1_100, 14)],
                vec![depth(9_000)],
            ],
        );
        assert_eq!(late, 1);
        let opened: Vec<u64> = finals(&out).iter().map(|bar| bar.ts_open_ns - T0).collect();
        assert_eq!(opened, [0, SECOND_NS]);
        assert_eq!(finals(&out)[1].trades, 2);
    }

    #[test]
    fn running_state_is_told_once_a_cadence_and_at_the_end() {
        let trades = (0..300).map(|n| vec![trade(0, n * 10, 100 + n.cast_signed())]).collect();
        let (out, _) = derive(&["1m"], trades);
        let told: Vec<&Tick> =
            out.iter().flatten().filter(|t| t.kind == Channel::Ticker.code()).collect();
        assert!((4..=5).contains(&told.len()), "{}", told.len());
        let whole = &told[..told.len() - 1];
        assert!(
            whole.windows(2).all(|pair| pair[1].ts_event_ns - pair[0].ts_event_ns >= 990_000_000)
        );
        let last = told.last().unwrap().ticker();
        assert_eq!((last.open, last.last, last.trades, last.last_trade_id), (100, 399, 300, 2_990));
        let running: Vec<Bar> =
            out.iter().flatten().filter(|t| t.kind >= 8).map(Tick::bar).collect();
        assert!(
            running.last().unwrap().trades == 300
                && running.iter().all(|bar| !bar.is_final || bar.trades < 300)
        );
    }

    #[test]
    fn bars_by_utc8_are_of_the_same_trades_and_end_when_it_is_midnight_there() {
        // T0 is 23:54:13 UTC: the last trade is of the next day by UTC, and of the same by UTC+8.
        let batches = vec![
            vec![trade(0, 0, 10), trade(0, 1_000, 13)],
            vec![trade(0, 400_000, 11)],
            vec![trade(0, 16 * 3_600_000 + 400_000, 12)],
        ];
        let (out, _) = derive(&["4h", "1d"], batches);
        let day = Interval::parse("1d").unwrap();
        let last = |interval: Interval, is_final| {
            let told = out.iter().flatten();
            let of = told.filter(|tick| tick.kind == Channel::Bar(interval).code());
            let bars = of.map(Tick::bar).filter(|bar: &Bar| bar.is_final == is_final);
            bars.map(|bar| (bar.ts_open_ns / SECOND_NS, bar.trades)).next_back()
        };
        assert_eq!(last(day, true), Some((1_723_075_200, 2)));
        assert_eq!(last(day, false), Some((1_723_161_600, 2)));
        assert_eq!(last(day.by_utc8(), true), Some((1_723_132_800, 3)));
        assert_eq!(last(day.by_utc8(), false), Some((1_723_219_200, 1)));
        let bars = out.iter().flatten().filter(|tick| tick.kind >= 8);
        let mut kinds: Vec<u8> = bars.map(|tick| tick.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let four = Interval::parse("4h").unwrap();
        assert_eq!(kinds, [four, day, day.by_utc8()].map(|of| Channel::Bar(of).code()));
    }

    #[test]
    fn instruments_without_trades_get_nothing() {
        let (out, _) =
            derive(&["1s"], vec![vec![depth(10)], vec![trade(1, 20, 5)], vec![depth(5_000)]]);
        assert!(out.iter().flatten().filter(|t| t.kind >= 6).all(|t| t.instrument == 1));
    }
}
