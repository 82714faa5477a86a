//! Events as aligned columns: time, symbol, channel, values.

use std::fmt::Write as _;

use client::{Bar, Decimal, Event, FeedState, Level, Levels, Origin, Side, Ticker};

/// Levels of a side that fit a line; the rest is counted.
const LEVELS_SHOWN: usize = 3;

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    Plain,
    Ansi,
}

#[derive(Clone, Copy)]
enum Ink {
    Faint,
    Bid,
    Ask,
    Notice,
}

/// Writes lines.
#[derive(Debug)]
pub(super) struct Text {
    palette: Palette,
}

impl Text {
    pub(super) const fn new(palette: Palette) -> Self {
        Self { palette }
    }

    /// Appends the event's line; nothing for what people need not see.
    pub(super) fn write(&self, out: &mut String, event: &Event) {
        if let Some(origin) = event.origin() {
            self.head(out, origin);
        }
        match event {
            Event::Trade(trade) => {
                self.taken(out, trade.maker, trade.price, trade.quantity);
            }
            Event::AggTrade(trade) => {
                self.taken(out, trade.maker, trade.price, trade.quantity);
                let count = trade.last_trade_id.saturating_sub(trade.first_trade_id) + 1;
                let _ = write!(out, " in {count}");
            }
            Event::RollingTicker(ticker) => {
                let _ = write!(
                    out,
                    "{:>14} of {} to {}, {} in {} trades",
                    ticker.last, ticker.low, ticker.high, ticker.volume, ticker.trades
                );
            }
            Event::Average(average) => {
                let _ = write!(out, "{:>14} in {} min", average.price, average.minutes);
            }
            Event::Quote(quote) => {
                self.level(out, Ink::Bid, quote.bid);
                out.push_str("  |");
                self.level(out, Ink::Ask, quote.ask);
            }
            Event::Depth(depth) => {
                let what = match (depth.replaces_book, depth.is_merged) {
                    (true, _) => "replaces",
                    (_, true) => "merged",
                    _ => "changes",
                };
                self.sides(out, what, &depth.bids, &depth.asks);
            }
            Event::DepthSnapshot(snapshot) => {
                self.sides(out, "snapshot", &snapshot.bids, &snapshot.asks);
            }
            Event::PartialDepth(partial) => self.sides(out, "best", &partial.bids, &partial.asks),
            Event::Ticker(ticker) => write_ticker(out, ticker),
            Event::Bar(bar) => write_bar(out, bar),
            Event::Status(status) => out.push_str(status.status.name()),
            Event::Gap(gap) => {
                let (symbol, channel, reason) = (gap.symbol, gap.channel, gap.reason.name());
                let what = if gap.count == 0 {
                    "numbers begin anew".to_owned()
                } else {
                    format!("{} numbers from {}", gap.count, gap.first_seq)
                };
                self.notice(out, &format!("gap in {symbol}.{}: {reason}, {what}", channel.name()));
            }
            Event::Connected(connected) if connected.reconnects > 0 => {
                self.notice(out, "connected again");
            }
            Event::Disconnected(lost) => {
                self.notice(out, &format!("{}; next try in {:.1?}", lost.reason, lost.retry_in));
            }
            Event::Refused(refused) => {
                self.notice(out, &format!("{} is refused now: {}", refused.topic, refused.refusal));
            }
            Event::FeedStatus { ts_ns, state, .. } => {
                let what = match state {
                    FeedState::Live => "the feed is live",
                    FeedState::Silent => "the feed is silent",
                    FeedState::Restarted => "the feed was restarted: numbers begin anew",
                    FeedState::Stopped => "the feed has ended",
                    _ => state.name(),
                };
                self.ink(out, Ink::Faint, &Utc(*ts_ns).to_string());
                out.push_str("  ");
                self.notice(out, what);
            }
            _ => {}
        }
    }

    fn head(&self, out: &mut String, origin: &Origin) {
        self.ink(out, Ink::Faint, &Utc(origin.ts_event_ns).to_string());
        // Writing to a String cannot fail, here and below.
        let _ = write!(out, "  {:<12} {:<8}", origin.symbol, origin.channel.name());
    }

    fn taken(&self, out: &mut String, maker: Side, price: Decimal, quantity: Decimal) {
        let (ink, taker) = match maker {
            Side::Bid => (Ink::Ask, "sold"),
            Side::Ask => (Ink::Bid, "bought"),
        };
        self.ink(out, ink, &format!("{price:>14} {quantity:>16}  {taker}"));
    }

    fn level(&self, out: &mut String, ink: Ink, level: Level) {
        if level.quantity.is_zero() {
            let _ = write!(out, "{:>31}", "-");
        } else {
            self.ink(out, ink, &format!("{:>14} {:>16}", level.price, level.quantity));
        }
    }

    fn sides(&self, out: &mut String, what: &str, bids: &Levels, asks: &Levels) {
        let _ = write!(out, "{what:<9}");
        for (ink, name, levels) in [(Ink::Bid, " bids", bids), (Ink::Ask, "  asks", asks)] {
            let _ = write!(out, "{name} {:>4}:", levels.len());
            for level in levels.iter().take(LEVELS_SHOWN) {
                self.ink(out, ink, &format!(" {} x {}", level.price, level.quantity));
            }
            if levels.len() > LEVELS_SHOWN {
                out.push_str(" …");
            }
        }
    }

    fn notice(&self, out: &mut String, text: &str) {
        self.ink(out, Ink::Notice, &format!("-- {text}"));
    }

    fn ink(&self, out: &mut String, ink: Ink, text: &str) {
        let code = match ink {
            Ink::Faint => 2,
            Ink::Bid => 32,
            Ink::Ask => 31,
            Ink::Notice => 33,
        };
        match self.palette {
            Palette::Plain => out.push_str(text),
            Palette::Ansi => {
                let _ = write!(out, "\x1b[{code}m{text}\x1b[0m");
            }
        }
    }
}

fn write_ticker(out: &mut String, ticker: &Ticker) {
    let Ticker { open, high, low, last, volume, trades, .. } = ticker;
    let _ = write!(
        out,
        "{last:>14}  open {open} high {high} low {low} volume {volume} trades {trades}"
    );
}

fn write_bar(out: &mut String, bar: &Bar) {
    let Bar { open, high, low, close, volume, .. } = bar;
    let (since, state) = (Utc(bar.ts_open_ns), if bar.is_final { "final" } else { "open" });
    let _ = write!(out, "{close:>14}  open {open} high {high} low {low} volume {volume}");
    let _ = write!(out, " since {since} {state}");
}

/// A time of day in UTC, with milliseconds.
struct Utc(u64);

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = self.0 / 1_000_000;
        let (s, m, h) = (ms / 1_000 % 60, ms / 60_000 % 60, ms / 3_600_000 % 24);
        write!(f, "{h:02}:{m:02}:{s:02}.{:03}", ms % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use client::{Channel, Decimal, Gap, GapReason, Quote, Symbol};

    use super::*;

    fn line(palette: Palette, event: &Event) -> String {
        let mut out = String::new();
        Text::new(palette).write(&mut out, event);
        out
    }

    fn quote() -> Event {
        let level = |price, quantity| Level {
            price: Decimal::new(price, -2),
            quantity: Decimal::new(quantity, -5),
        };
        let origin = Origin {
            symbol: Symbol::new("BTCUSDT").unwrap(),
            channel: Channel::Quote,
            seq: 1,
            ts_event_ns: 1_723_075_200_123_456_789,
            ring_delay_ns: 0,
        };
        Event::Quote(Quote { origin, bid: level(6_183_763, 378_826), ask: level(0, 0) })
    }

    #[test]
    fn values_are_exact_and_columns_aligned() {
        let expected = "00:00:00.123  BTCUSDT      quote         61837.63          3.78826  |\
                        \u{20}                             -";
        assert_eq!(line(Palette::Plain, &quote()), expected);
        assert!(line(Palette::Ansi, &quote()).starts_with("\x1b[2m00:00:00.123\x1b[0m"));
    }

    #[test]
    fn gaps_are_announced_and_heartbeats_are_not() {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let (channel, reason) = (Channel::Trade, GapReason::Lost);
        let gap = Event::Gap(Gap { symbol, channel, reason, first_seq: 7, count: 3 });
        let expected = "-- gap in BTCUSDT.trade: lost, 3 numbers from 7";
        assert_eq!(line(Palette::Plain, &gap), expected);
        assert_eq!(line(Palette::Plain, &Event::Heartbeat { ts_ns: 1, epoch: 1 }), "");
    }
}
