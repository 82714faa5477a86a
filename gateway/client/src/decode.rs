//! From the wire's messages to events: instrument numbers become symbols, mantissas decimals.

use std::collections::HashMap;

use wire::sbe::{self, EventHead, Message};
use wire::{Channel, Instrument, Side};

use crate::decimal::Decimal;
use crate::event::{
    AggTrade, Average, Bar, Depth, DepthSnapshot, Event, Gap, Level, Levels, Origin, PartialDepth,
    Quote, RollingTicker, Status, Ticker, Trade,
};

/// The instruments of the present epoch, as defined on this connection.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    instruments: HashMap<u32, Instrument>,
    epoch: u64,
}

/// A message that means nothing: the protocol is violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    Undecodable,
    UndefinedInstrument,
}

impl Violation {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Undecodable => "a message that cannot be decoded",
            Self::UndefinedInstrument => "an instrument that was not defined",
        }
    }
}

impl Decoder {
    /// Decodes one binary WebSocket message; its events are appended to `out`.
    pub(crate) fn decode(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), Violation> {
        for message in sbe::decode(bytes) {
            let message = match message {
                Ok(message) => message,
                // A value of a later version: the message is skipped, as the decoder's contract says.
                Err(sbe::DecodeError::Value { .. }) => continue,
                Err(_) => return Err(Violation::Undecodable),
            };
            self.event(message, out)?;
        }
        Ok(())
    }

    fn event(&mut self, message: Message<'_>, out: &mut Vec<Event>) -> Result<(), Violation> {
        let channel = message.channel();
        if let (Some(head), Some(channel)) = (message.head().copied(), channel) {
            let instrument = self.instrument(head.instrument)?;
            out.extend(market(
                message,
                Scale::of(&instrument),
                origin(&head, &instrument, channel),
            ));
            return Ok(());
        }
        match message {
            Message::Gap(gap) => {
                for entry in gap.entries {
                    let symbol = self.instrument(entry.instrument)?.symbol;
                    out.push(Event::Gap(Gap {
                        symbol,
                        channel: entry.channel,
                        reason: entry.reason,
                        first_seq: entry.first_seq,
                        count: entry.count,
                    }));
                }
            }
            Message::Definition { instrument, epoch } => {
                self.enter(epoch);
                // A gateway may define again what this connection knows already.
                if self.instruments.insert(instrument.id, instrument) != Some(instrument) {
                    out.push(Event::Definition(instrument));
                }
            }
            Message::Heartbeat { ts_ns, epoch } => out.push(Event::Heartbeat { ts_ns, epoch }),
            Message::FeedStatus { ts_ns, epoch, state } => {
                out.push(Event::FeedStatus { ts_ns, epoch, state });
            }
            _ => {}
        }
        Ok(())
    }

    /// Numbers of an earlier epoch mean other instruments.
    fn enter(&mut self, epoch: u64) {
        if epoch != self.epoch {
            self.instruments.clear();
            self.epoch = epoch;
        }
    }

    fn instrument(&self, id: u32) -> Result<Instrument, Violation> {
        self.instruments.get(&id).copied().ok_or(Violation::UndefinedInstrument)
    }
}

const fn origin(head: &EventHead, instrument: &Instrument, channel: Channel) -> Origin {
    Origin {
        symbol: instrument.symbol,
        channel,
        seq: head.seq,
        ts_event_ns: head.ts_event_ns,
        ring_delay_ns: head.ring_delay_ns,
    }
}

/// An instrument's exponents.
#[derive(Clone, Copy)]
struct Scale {
    price: i8,
    quantity: i8,
}

impl Scale {
    const fn of(instrument: &Instrument) -> Self {
        Self { price: instrument.price_exponent, quantity: instrument.quantity_exponent }
    }

    const fn price(self, mantissa: i64) -> Decimal {
        Decimal::new(mantissa, self.price)
    }

    const fn quantity(self, mantissa: i64) -> Decimal {
        Decimal::new(mantissa, self.quantity)
    }

    const fn level(self, price: i64, quantity: i64) -> Level {
        Level { price: self.price(price), quantity: self.quantity(quantity) }
    }

    fn levels(self, levels: sbe::Levels<'_>) -> Levels {
        Levels {
            price_exponent: self.price,
            quantity_exponent: self.quantity,
            mantissas: levels.collect(),
        }
    }
}

fn market(message: Message<'_>, scale: Scale, origin: Origin) -> Option<Event> {
    Some(match message {
        Message::Trade(_, trade) => Event::Trade(Trade {
            origin,
            price: scale.price(trade.price),
            quantity: scale.quantity(trade.quantity),
            trade_id: trade.trade_id,
            ts_trade_ns: trade.ts_trade_ns,
            maker: maker(trade.buyer_is_maker),
        }),
        Message::Quote(_, quote) => Event::Quote(Quote {
            origin,
            bid: scale.level(quote.bid_price, quote.bid_quantity),
            ask: scale.level(quote.ask_price, quote.ask_quantity),
        }),
        Message::DepthUpdate(update) => Event::Depth(Depth {
            origin,
            first_update_id: update.first_update_id,
            last_update_id: update.last_update_id,
            is_merged: update.is_merged,
            replaces_book: update.replaces_book,
            bids: scale.levels(update.bids),
            asks: scale.levels(update.asks),
        }),
        Message::DepthSnapshot(snapshot) => Event::DepthSnapshot(DepthSnapshot {
            origin,
            part: snapshot.part,
            update_id: snapshot.update_id,
            bids: scale.levels(snapshot.bids),
            asks: scale.levels(snapshot.asks),
        }),
        Message::PartialDepth(partial) => Event::PartialDepth(PartialDepth {
            origin,
            update_id: partial.update_id,
            bids: scale.levels(partial.bids),
            asks: scale.levels(partial.asks),
        }),
        Message::Ticker(_, ticker) => Event::Ticker(Ticker {
            origin,
            open: scale.price(ticker.open),
            high: scale.price(ticker.high),
            low: scale.price(ticker.low),
            last: scale.price(ticker.last),
            last_quantity: scale.quantity(ticker.last_quantity),
            volume: scale.quantity(ticker.volume),
            quote_volume: scale.price(ticker.quote_volume),
            previous_close: scale.price(ticker.previous_close),
            first_trade_id: ticker.first_trade_id,
            last_trade_id: ticker.last_trade_id,
            trades: ticker.trades,
        }),
        Message::Bar(_, _, bar) => Event::Bar(Bar {
            origin,
            ts_open_ns: bar.ts_open_ns,
            open: scale.price(bar.open),
            high: scale.price(bar.high),
            low: scale.price(bar.low),
            close: scale.price(bar.close),
            volume: scale.quantity(bar.volume),
            quote_volume: scale.price(bar.quote_volume),
            taker_volume: scale.quantity(bar.taker_volume),
            taker_quote_volume: scale.price(bar.taker_quote_volume),
            first_trade_id: bar.first_trade_id,
            trades: bar.trades,
            is_final: bar.is_final,
        }),
        Message::Status(_, status) => Event::Status(Status { origin, status }),
        Message::AggTrade(_, trade) => Event::AggTrade(AggTrade {
            origin,
            price: scale.price(trade.price),
            quantity: scale.quantity(trade.quantity),
            agg_id: trade.agg_id,
            first_trade_id: trade.first_trade_id,
            last_trade_id: trade.last_trade_id,
            ts_trade_ns: trade.ts_trade_ns,
            maker: maker(trade.buyer_is_maker),
        }),
        Message::Rolling(_, _, ticker) => Event::RollingTicker(RollingTicker {
            origin,
            ts_open_ns: ticker.ts_open_ns,
            open: scale.price(ticker.open),
            high: scale.price(ticker.high),
            low: scale.price(ticker.low),
            last: scale.price(ticker.last),
            volume: scale.quantity(ticker.volume),
            quote_volume: scale.price(ticker.quote_volume),
            first_trade_id: ticker.first_trade_id,
            last_trade_id: ticker.last_trade_id,
            trades: ticker.trades,
        }),
        Message::Average(_, average) => Event::Average(Average {
            origin,
            price: scale.price(average.price),
            minutes: average.minutes,
            ts_trade_ns: average.ts_trade_ns,
        }),
        _ => return None,
    })
}

const fn maker(buyer_is_maker: bool) -> Side {
    if buyer_is_maker { Side::Bid } else { Side::Ask }
}

#[cfg(test)]
mod tests {
    use wire::{DepthHead, Encoding, SnapshotPart, Symbol, Tick};

    use super::*;

    fn instrument(id: u32, symbol: &str) -> Instrument {
        Instrument {
            id,
            symbol: Symbol::new(symbol).unwrap(),
            base_len: 0,
            price_exponent: -2,
            quantity_exponent: -5,
            tick_size: 1,
            lot_size: 1,
            channels: 7,
        }
    }

    fn decode(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Event>, Violation> {
        let mut out = Vec::new();
        decoder.decode(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn symbols_and_decimals_are_resolved() {
        let btc = instrument(4, "BTCUSDT");
        let mut bytes = Vec::new();
        Encoding::Sbe.definition(&mut bytes, &btc, 9);
        let trade = wire::Trade {
            price: 6_183_763,
            quantity: 378_826,
            trade_id: 77,
            ts_trade_ns: 5,
            buyer_is_maker: true,
        };
        let mut tick = Tick::from_trade(4, 10, &trade);
        (tick.seq, tick.ts_ring_ns) = (3, 25);
        Encoding::Sbe.entry(&mut bytes, &[tick], &btc);
        let mut decoder = Decoder::default();
        let events = decode(&mut decoder, &bytes).unwrap();
        let [Event::Definition(defined), Event::Trade(trade)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(*defined, btc);
        assert_eq!((trade.origin.symbol.as_str(), trade.origin.seq), ("BTCUSDT", 3));
        assert_eq!(
            (trade.price.to_string(), trade.quantity.to_string()),
            ("61837.63".into(), "3.78826".into())
        );
        assert_eq!((trade.maker, trade.origin.ring_delay_ns), (Side::Bid, 15));
        // The same definition again says nothing new; the next epoch's clears the table.
        assert_eq!(decode(&mut decoder, &bytes).unwrap().len(), 1);
        let mut next = Vec::new();
        Encoding::Sbe.definition(&mut next, &instrument(0, "ETHUSDT"), 10);
        Encoding::Sbe.entry(&mut next, &[tick], &btc);
        assert_eq!(decode(&mut decoder, &next), Err(Violation::UndefinedInstrument));
    }

    #[test]
    fn books_keep_their_levels_in_order() {
        let btc = instrument(0, "BTCUSDT");
        let head = DepthHead {
            ts_event_ns: 1,
            seq: 8,
            instrument: 0,
            ring_delay_ns: 0,
            first_update_id: 0,
            last_update_id: 50,
        };
        let mut bytes = Vec::new();
        Encoding::Sbe.definition(&mut bytes, &btc, 1);
        let (bids, asks) = ([(100, 7), (99, 8)], [(101, 9)]);
        Encoding::Sbe.depth_snapshot(&mut bytes, &head, SnapshotPart::Whole, &bids, &asks, &btc);
        let events = decode(&mut Decoder::default(), &bytes).unwrap();
        let Event::DepthSnapshot(snapshot) = &events[1] else { panic!("{events:?}") };
        assert_eq!(snapshot.bids.mantissas(), bids);
        assert_eq!(format!("{:?}", snapshot.asks), "[\"0.00009 x 1.01\"]");
        assert_eq!((snapshot.update_id, snapshot.part), (50, SnapshotPart::Whole));
    }

    #[test]
    fn nonsense_is_a_violation() {
        let mut decoder = Decoder::default();
        assert_eq!(decode(&mut decoder, b"nonsense"), Err(Violation::Undecodable));
    }
}
