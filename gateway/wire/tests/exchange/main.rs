//! The exchange's protocol, to the letter: stream names, control, events as JSON and as SBE.
//!
//! Expected texts and bytes are written out here by hand from the exchange's documentation, with its own
//! examples' numbers; nothing in them comes from the encoders.

mod control;
mod events;
mod random;
mod sbe;
mod streams;

use tickcast_wire::{Instrument, Symbol};

/// BTCUSDT with so many decimals of prices and quantities.
fn instrument(price_exponent: i8, quantity_exponent: i8) -> Instrument {
    Instrument {
        id: 0,
        symbol: Symbol::new("BTCUSDT").unwrap(),
        base_len: 3,
        price_exponent,
        quantity_exponent,
        tick_size: 1,
        lot_size: 1,
        channels: 0,
    }
}
