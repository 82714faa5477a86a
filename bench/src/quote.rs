//! The one message of every measurement: the 64-byte SBE quote that Tickcast sends, written once, with
//! only what differs patched in. Bare senders, the canned sender and the peers' publisher all send it, so
//! that everybody carries the same bytes and the generator reads the same thing.

use wire::{Channel, Encoding, Instrument, Quote, Symbol, Tick};

/// A quote with its SBE header.
pub(crate) const QUOTE_BYTES: usize = 64;

/// A quote of instrument 0, its time and its number still 0.
pub(crate) fn template() -> [u8; QUOTE_BYTES] {
    let instrument = Instrument {
        id: 0,
        symbol: Symbol::new("S0").expect("a constant that is a symbol"),
        base_len: 0,
        price_exponent: -2,
        quantity_exponent: 0,
        tick_size: 1,
        lot_size: 1,
        channels: Channel::Quote.bit(),
    };
    let quote = Quote {
        bid_price: 10_000,
        bid_quantity: 5,
        ask_price: 10_001,
        ask_quantity: 7,
        update_id: 0,
    };
    let mut bytes = Vec::new();
    Encoding::Sbe.entry(&mut bytes, &[Tick::from_quote(0, 0, &quote)], &instrument);
    bytes.try_into().expect("a quote is 64 bytes in the schema")
}

/// Sets a quote's time, ns of the real-time clock, and its number.
pub(crate) fn patch(quote: &mut [u8], ts_event_ns: u64, seq: u64) {
    quote[8..16].copy_from_slice(&ts_event_ns.to_le_bytes());
    quote[16..24].copy_from_slice(&seq.to_le_bytes());
}

/// Sets a quote's instrument.
pub(crate) fn patch_instrument(quote: &mut [u8], instrument: u32) {
    quote[24..28].copy_from_slice(&instrument.to_le_bytes());
}
