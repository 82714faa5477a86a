//! One instrument's past: a series of trades, and one of bars for each interval that it has.

use std::collections::VecDeque;

use wire::{AggTrade, Bar, Channel, Interval, Tick, Trade};

use super::{Bounds, Grid, Span};

/// One instrument.
#[derive(Debug, Default)]
pub(super) struct Past {
    trades: VecDeque<Trade>,
    /// The number of the newest trade; 0: none.
    trade_seq: u64,
    aggregates: VecDeque<AggTrade>,
    /// The number of the newest aggregate; 0: none.
    aggregate_seq: u64,
    /// In the order in which their first bars came.
    series: Vec<Series>,
}

/// The bars of one interval.
#[derive(Debug)]
struct Series {
    interval: Interval,
    /// The number of the newest tick; 0: none.
    seq: u64,
    finals: VecDeque<Bar>,
    running: Option<Bar>,
    /// Whether bars have gone because there was no room for them.
    is_cut: bool,
}

impl Series {
    const fn new(interval: Interval) -> Self {
        Self { interval, seq: 0, finals: VecDeque::new(), running: None, is_cut: false }
    }
}

impl Past {
    /// Enters a tick. What is older than what is known already is left out.
    pub(super) fn handle(&mut self, channel: Channel, tick: &Tick, bounds: &Bounds) {
        match channel {
            Channel::Trade if tick.seq > self.trade_seq => {
                self.trade_seq = tick.seq;
                push(&mut self.trades, tick.trade(), bounds.trades);
            }
            Channel::AggTrade if tick.seq > self.aggregate_seq => {
                self.aggregate_seq = tick.seq;
                push(&mut self.aggregates, tick.agg_trade(), bounds.trades);
            }
            Channel::Bar(interval) => self.series_of(interval).handle(tick, bounds),
            _ => {}
        }
    }

    fn series_of(&mut self, interval: Interval) -> &mut Series {
        let at = self.series.iter().position(|series| series.interval == interval);
        let at = at.unwrap_or_else(|| {
            self.series.push(Series::new(interval));
            self.series.len() - 1
        });
        &mut self.series[at]
    }

    /// Bytes that its series take.
    pub(super) fn bytes(&self) -> usize {
        let bars: usize = self.series.iter().map(|series| series.finals.len()).sum();
        self.trades.len() * size_of::<Trade>()
            + self.aggregates.len() * size_of::<AggTrade>()
            + bars * size_of::<Bar>()
    }

    /// Makes the series as short as the bounds say.
    pub(super) fn shorten(&mut self, bounds: &Bounds) {
        shorten(&mut self.trades, bounds.trades);
        shorten(&mut self.aggregates, bounds.trades);
        for series in &mut self.series {
            series.is_cut |= series.finals.len() > bounds.bars;
            shorten(&mut series.finals, bounds.bars);
        }
    }

    pub(super) fn bars(&self, grid: Grid, span: Span) -> Vec<Bar> {
        let is_it = |series: &&Series| {
            series.interval.by_utc() == grid.interval && grid.is_divided_by(series.interval)
        };
        match self.series.iter().find(is_it) {
            Some(series) => span.of(series.bars().copied(), |bar| bar.ts_open_ns),
            None => span.of(self.gathered(grid).into_iter(), |bar| bar.ts_open_ns),
        }
    }

    /// The bars of an interval that the stream does not have, made of those of the longest one that divides
    /// it. The first one is missing if its beginning may be.
    fn gathered(&self, grid: Grid) -> Vec<Bar> {
        let parts = self.series.iter().filter(|series| {
            series.interval < grid.interval && grid.is_divided_by(series.interval)
        });
        let Some(source) = parts.max_by_key(|series| series.interval) else { return Vec::new() };
        let mut gathered: Vec<Bar> = Vec::new();
        for part in source.bars() {
            let (ts_open_ns, end_ns) = grid.around(part.ts_open_ns);
            // The last part of an interval ends where it does.
            let is_final = part.is_final && source.interval.around(part.ts_open_ns).1 == end_ns;
            if let Some(bar) = gathered.last_mut().filter(|bar| bar.ts_open_ns == ts_open_ns) {
                add(bar, part, is_final);
                continue;
            }
            if let Some(before) = gathered.last_mut() {
                before.is_final = true;
            }
            gathered.push(Bar { ts_open_ns, is_final, ..*part });
        }
        if source.is_cut && !gathered.is_empty() {
            gathered.remove(0);
        }
        gathered
    }

    pub(super) fn aggregates(&self, span: Span) -> Vec<AggTrade> {
        span.of(self.aggregates.iter().copied(), |trade| trade.ts_trade_ns)
    }

    pub(super) fn trades(&self, span: Span) -> Vec<Trade> {
        span.of(self.trades.iter().copied(), |trade| trade.ts_trade_ns)
    }
}

impl Series {
    fn bars(&self) -> impl DoubleEndedIterator<Item = &Bar> {
        self.finals.iter().chain(&self.running)
    }

    fn finish(&mut self, bar: Bar, bounds: &Bounds) {
        self.is_cut |= self.finals.len() >= bounds.bars;
        push(&mut self.finals, bar, bounds.bars);
    }

    fn handle(&mut self, tick: &Tick, bounds: &Bounds) {
        if tick.seq <= self.seq {
            return;
        }
        self.seq = tick.seq;
        let bar = tick.bar();
        // The word that it is final was lost: nothing of it will come any more, which is all that final says.
        if let Some(before) = self.running.take_if(|running| running.ts_open_ns < bar.ts_open_ns) {
            self.finish(Bar { is_final: true, ..before }, bounds);
        }
        if bar.is_final {
            self.running = None;
            self.finish(bar, bounds);
        } else {
            self.running = Some(bar);
        }
    }
}

impl Span {
    /// What it says of items in the order of time.
    fn of<T>(
        &self,
        items: impl DoubleEndedIterator<Item = T>,
        time_ns: impl Fn(&T) -> u64,
    ) -> Vec<T> {
        let from_ns = self.from_ns.unwrap_or(0);
        let to_ns = self.to_ns.unwrap_or(u64::MAX);
        let within = items.filter(|item| (from_ns..to_ns).contains(&time_ns(item)));
        if self.from_ns.is_some() {
            return within.take(self.limit).collect();
        }
        let mut last: Vec<T> = within.rev().take(self.limit).collect();
        last.reverse();
        last
    }
}

/// Adds a later part to a bar.
fn add(bar: &mut Bar, part: &Bar, is_final: bool) {
    bar.high = bar.high.max(part.high);
    bar.low = bar.low.min(part.low);
    bar.close = part.close;
    bar.volume = bar.volume.saturating_add(part.volume);
    bar.quote_volume = bar.quote_volume.saturating_add(part.quote_volume);
    bar.taker_volume = bar.taker_volume.saturating_add(part.taker_volume);
    bar.taker_quote_volume = bar.taker_quote_volume.saturating_add(part.taker_quote_volume);
    bar.trades += part.trades;
    bar.is_final = is_final;
}

fn push<T>(series: &mut VecDeque<T>, item: T, most: usize) {
    if series.len() >= most {
        series.pop_front();
    }
    if most > 0 {
        series.push_back(item);
    }
}

fn shorten<T>(series: &mut VecDeque<T>, most: usize) {
    if series.len() > most {
        series.drain(..series.len() - most);
        series.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { trades: 3, bars: 3, bytes: 1 << 20 };
    const ALL: Span = Span { from_ns: None, to_ns: None, limit: 10 };

    fn bar(seq: u64, ts_open_ns: u64, trades: u64, is_final: bool) -> Tick {
        let bar = Bar {
            ts_open_ns,
            open: 1,
            high: 1,
            low: 1,
            close: 1,
            volume: 1,
            quote_volume: 1,
            taker_volume: 1,
            taker_quote_volume: 1,
            first_trade_id: 1,
            trades,
            is_final,
        };
        let mut tick = Tick::from_bar(Channel::Bar(Interval::SECOND), 0, ts_open_ns, &bar);
        tick.seq = seq;
        tick
    }

    fn past(ticks: &[Tick]) -> Past {
        let mut past = Past::default();
        for tick in ticks {
            past.handle(Channel::Bar(Interval::SECOND), tick, &BOUNDS);
        }
        past
    }

    fn shown(past: &Past, span: Span) -> Vec<(u64, u64, bool)> {
        let bars = past.bars(Interval::SECOND.into(), span);
        bars.iter().map(|bar| (bar.ts_open_ns, bar.trades, bar.is_final)).collect()
    }

    #[test]
    fn a_running_bar_is_the_last_until_it_is_final() {
        let told = [bar(1, 10, 1, false), bar(2, 10, 2, false), bar(3, 10, 3, true)];
        assert_eq!(shown(&past(&told[..2]), ALL), [(10, 2, false)]);
        assert_eq!(shown(&past(&told), ALL), [(10, 3, true)]);
        let lost = past(&[told[1], bar(5, 20, 1, false)]);
        assert_eq!(shown(&lost, ALL), [(10, 2, true), (20, 1, false)], "final without the word");
        let old = past(&[told[2], told[1]]);
        assert_eq!(shown(&old, ALL), [(10, 3, true)], "an image that is older changes nothing");
    }

    #[test]
    fn an_interval_that_is_not_told_is_gathered_from_one_that_divides_it() {
        const SECOND_NS: u64 = 1_000_000_000;
        let second = |n: u64, is_final| bar(n, n * SECOND_NS, n, is_final);
        let ticks = [second(59, true), second(60, true), second(61, false)];
        let shown = |ticks: &[Tick]| -> Vec<_> {
            let minutes = past(ticks).bars(Interval::MINUTE.into(), ALL);
            minutes.iter().map(|bar| (bar.ts_open_ns, bar.trades, bar.is_final)).collect()
        };
        let running = (60 * SECOND_NS, 121, false);
        assert_eq!(shown(&ticks), [(0, 59, true), running]);
        let three = [&[second(1, true)], &ticks[..]].concat();
        assert_eq!(shown(&three), [(0, 60, true), running], "three finals fit");
        let four = [&[second(1, true), second(2, true)], &ticks[..]].concat();
        assert_eq!(shown(&four), [running], "the first one's beginning is gone");
        // By a clock that is half a minute ahead.
        let grid = Grid { interval: Interval::MINUTE, ahead_ns: 30_000_000_000 };
        let minutes = past(&ticks).bars(grid, ALL);
        let begun: Vec<u64> = minutes.iter().map(|bar| bar.ts_open_ns / SECOND_NS).collect();
        assert_eq!((begun, minutes[0].trades), (vec![30], 180));
    }

    #[test]
    fn the_oldest_go_and_a_span_has_a_beginning_or_an_end() {
        let ticks: Vec<Tick> = (1..=5).map(|n| bar(n, n * 10, n, true)).collect();
        let mut past = past(&ticks);
        assert_eq!(past.bars(Interval::SECOND.into(), ALL).len(), 3);
        let opened = |past: &Past, from_ns, to_ns, limit| -> Vec<u64> {
            shown(past, Span { from_ns, to_ns, limit }).iter().map(|bar| bar.0).collect()
        };
        assert_eq!(opened(&past, None, None, 2), [40, 50]);
        assert_eq!(opened(&past, Some(30), None, 2), [30, 40]);
        assert_eq!(opened(&past, Some(31), Some(50), 9), [40]);
        past.shorten(&BOUNDS.tightened());
        assert_eq!(opened(&past, None, None, 9), [40, 50]);
        assert!(past.trades(ALL).is_empty());
    }
}
