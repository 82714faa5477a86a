//! Live frames: what a venue sends now, as a feed.
//!
//! The same parser and the same rule for books as for recordings. Whoever has the connection gives frames
//! and snapshots in, and asks which books are wanted; the ticks come out as of any feed, due at once.

use std::collections::HashMap;

use wire::decimal::{DecimalError, parse_mantissa};
use wire::{Instrument, Symbol, Tick};

use super::error::Fault;
use super::frame::{EXPONENT, Frame, Parser};
use super::sync::BookSync;
use crate::feed::{Feed, Next};

/// What a venue lists of an instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Its name.
    pub symbol: Symbol,
    /// How many bytes of it are the base asset's.
    pub base_len: u8,
    /// Smallest price step.
    pub tick_size: &'a str,
    /// Smallest quantity step.
    pub lot_size: &'a str,
}

/// Trades that did not come: the venue's ids have a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Of this instrument.
    pub instrument: u32,
    /// So many.
    pub trades: u64,
}

/// See the module's header.
pub struct Live {
    instruments: Vec<Instrument>,
    by_symbol: HashMap<Symbol, u32>,
    parser: Parser,
    /// One per instrument.
    syncs: Vec<BookSync>,
    /// The id of the last trade, one per instrument; 0: none.
    last_trades: Vec<u64>,
    ready: Vec<Tick>,
}

impl Listed<'_> {
    /// The instrument, with this number.
    ///
    /// # Errors
    /// If a step is no decimal of at most eight places.
    pub fn instrument(&self, id: u32) -> Result<Instrument, DecimalError> {
        Ok(Instrument {
            base_len: self.base_len,
            tick_size: parse_mantissa(self.tick_size, EXPONENT)?,
            lot_size: parse_mantissa(self.lot_size, EXPONENT)?,
            ..super::define(id, self.symbol)
        })
    }
}

impl Live {
    /// A feed of these instruments, numbered from 0; no book is known yet.
    #[must_use]
    pub fn new(instruments: Vec<Instrument>) -> Self {
        Self {
            by_symbol: instruments.iter().map(|one| (one.symbol, one.id)).collect(),
            parser: Parser::new(),
            syncs: instruments.iter().map(|_| BookSync::default()).collect(),
            last_trades: vec![0; instruments.len()],
            ready: Vec::new(),
            instruments,
        }
    }

    /// The connection is another one: what was known of books may have holes.
    pub fn reconnected(&mut self) {
        self.syncs.fill_with(BookSync::default);
    }

    /// Whether an instrument has no book.
    #[must_use]
    pub fn lacks_book(&self, instrument: u32) -> bool {
        self.syncs.get(instrument as usize).is_some_and(BookSync::is_waiting)
    }

    /// The instrument of a symbol.
    #[must_use]
    pub fn find(&self, symbol: &Symbol) -> Option<u32> {
        self.by_symbol.get(symbol).copied()
    }

    /// Takes a combined-stream frame; its text is overwritten. Says whose it was.
    ///
    /// # Errors
    /// If it is none that is understood: nothing comes of it.
    pub fn take_frame(
        &mut self,
        received_ns: u64,
        text: &mut [u8],
    ) -> Result<(u32, Option<Lost>), Fault> {
        let frame = self.parser.parse(text)?;
        let symbol = self.parser.symbol();
        let known = Symbol::new(symbol).ok().and_then(|symbol| self.find(&symbol));
        let expected = || Fault::Symbol {
            expected: "a symbol that was subscribed".to_owned(),
            found: symbol.to_owned(),
        };
        let id = known.ok_or_else(expected)?;
        let mut lost = None;
        match frame {
            Frame::Trade { ts_event_ns, trade } => {
                let last = &mut self.last_trades[id as usize];
                let missing = trade.trade_id.saturating_sub(last.saturating_add(1));
                if *last > 0 && missing > 0 {
                    lost = Some(Lost { instrument: id, trades: missing });
                }
                *last = trade.trade_id;
                self.ready.push(Tick::from_trade(id, ts_event_ns, &trade));
            }
            Frame::Quote(quote) => self.ready.push(Tick::from_quote(id, received_ns, &quote)),
            Frame::Depth { ts_event_ns, first_update_id, last_update_id } => {
                self.syncs[id as usize].handle_event(
                    id,
                    ts_event_ns,
                    (first_update_id, last_update_id),
                    self.parser.levels(),
                    &mut self.ready,
                );
            }
            Frame::Snapshot { .. } => return Err(expected()),
        }
        Ok((id, lost))
    }

    /// Takes a snapshot of the REST interface; its text is overwritten.
    ///
    /// # Errors
    /// If it is none.
    pub fn take_snapshot(
        &mut self,
        instrument: u32,
        received_ns: u64,
        text: &mut [u8],
    ) -> Result<(), Fault> {
        let Frame::Snapshot { last_update_id } = self.parser.parse(text)? else {
            return Err(Fault::Member { frame: "snapshot", member: "lastUpdateId" });
        };
        let Some(sync) = self.syncs.get_mut(instrument as usize) else { return Ok(()) };
        let levels = self.parser.levels();
        sync.handle_snapshot(instrument, received_ns, last_update_id, levels, &mut self.ready);
        Ok(())
    }
}

impl Feed for Live {
    fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    fn next(&mut self, out: &mut Vec<Tick>) -> Next {
        out.append(&mut self.ready);
        Next::At(0)
    }
}

#[cfg(test)]
mod tests {
    use wire::{Channel, Kind};

    use super::*;

    fn live() -> Live {
        let listed = Listed {
            symbol: Symbol::new("BTCUSDT").unwrap(),
            base_len: 3,
            tick_size: "0.01000000",
            lot_size: "0.00001000",
        };
        Live::new(vec![listed.instrument(0).unwrap()])
    }

    fn trade(id: u64) -> Vec<u8> {
        let data = format!(
            r#"{{"e":"trade","E":1767225600124,"s":"BTCUSDT","t":{id},"p":"1.00000000","q":"2.00000000","T":1767225600123,"m":true,"M":true}}"#
        );
        format!(r#"{{"stream":"btcusdt@trade","data":{data}}}"#).into_bytes()
    }

    fn depth(first: u64, last: u64) -> Vec<u8> {
        let data = format!(
            r#"{{"e":"depthUpdate","E":1767225600124,"s":"BTCUSDT","U":{first},"u":{last},"b":[["1.00000000","2.00000000"]],"a":[]}}"#
        );
        format!(r#"{{"stream":"btcusdt@depth@100ms","data":{data}}}"#).into_bytes()
    }

    #[test]
    fn trades_that_did_not_come_are_counted() {
        let mut live = live();
        assert_eq!(live.take_frame(1, &mut trade(7)).unwrap(), (0, None));
        assert_eq!(live.take_frame(1, &mut trade(8)).unwrap(), (0, None));
        let lost = Some(Lost { instrument: 0, trades: 2 });
        assert_eq!(live.take_frame(1, &mut trade(11)).unwrap(), (0, lost));
        assert_eq!(live.take_frame(1, &mut trade(3)).unwrap(), (0, None), "ids began anew");
        let mut out = Vec::new();
        live.next(&mut out);
        assert_eq!(out.len(), 4);
        assert!(live.take_frame(1, &mut br#"{"result":null,"id":1}"#.to_vec()).is_err());
    }

    #[test]
    fn a_book_is_wanted_until_a_snapshot_links_up_and_after_a_reconnect() {
        let mut live = live();
        assert!(live.lacks_book(0));
        live.take_frame(1, &mut depth(5, 9)).unwrap();
        let snapshot = |id: u64| format!(r#"{{"lastUpdateId":{id},"bids":[],"asks":[]}}"#);
        live.take_snapshot(0, 2, &mut snapshot(3).into_bytes()).unwrap();
        assert!(live.lacks_book(0), "older than what is held");
        live.take_snapshot(0, 2, &mut snapshot(6).into_bytes()).unwrap();
        assert!(!live.lacks_book(0));
        let mut out = Vec::new();
        live.next(&mut out);
        assert!(out.iter().all(|tick| tick.kind() == Ok(Kind::Data(Channel::Depth))));
        assert_eq!(out.len(), 2);
        live.take_frame(1, &mut depth(12, 13)).unwrap();
        assert!(live.lacks_book(0), "events are missing");
        live.take_snapshot(0, 2, &mut snapshot(12).into_bytes()).unwrap();
        live.reconnected();
        assert!(live.lacks_book(0));
    }
}
