//! Instruments: what is traded, and how its integers are to be read.
//!
//! Prices and quantities travel as integer mantissas; an instrument's exponents say where the
//! decimal point is (`price = mantissa * 10^price_exponent`). Ids are dense: the feed numbers its
//! instruments from 0 in the order in which it defines them, and never reuses a number in an epoch.

use std::fmt;

use crate::topic::Channel;

/// The longest symbol, in bytes.
pub const SYMBOL_MAX: usize = 32;

/// An instrument's name: 1 to [`SYMBOL_MAX`] bytes of `A-Z`, `0-9`, `.`, `_`, `-`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol {
    bytes: [u8; SYMBOL_MAX],
    len: u8,
}

/// Why a text is not a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// Nothing there.
    #[error("a symbol cannot be empty")]
    Empty,
    /// Longer than [`SYMBOL_MAX`].
    #[error("a symbol has at most 32 bytes")]
    TooLong,
    /// Another character than the allowed ones.
    #[error("a symbol consists of A-Z, 0-9, '.', '_' and '-'")]
    Character,
}

impl Symbol {
    /// A symbol of this text.
    ///
    /// # Errors
    /// If the text is empty, too long or has a character that symbols do not have.
    pub fn new(text: &str) -> Result<Self, SymbolError> {
        if text.is_empty() {
            return Err(SymbolError::Empty);
        }
        if text.len() > SYMBOL_MAX {
            return Err(SymbolError::TooLong);
        }
        let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if !text.bytes().all(allowed) {
            return Err(SymbolError::Character);
        }
        let mut bytes = [0; SYMBOL_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, len: u8::try_from(text.len()).expect("checked above") })
    }

    /// The symbol's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in, so this never takes the empty default.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The most decimals a price or quantity can have: 10^18 is the last power of ten in an i64.
pub const DECIMALS_MAX: u8 = 18;

/// What is traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Dense number, chosen by the feed; valid within its epoch.
    pub id: u32,
    /// The name clients use.
    pub symbol: Symbol,
    /// How many leading bytes of the symbol name the base asset (`BTC` of `BTCUSDT`); 0: unknown.
    pub base_len: u8,
    /// Power of ten of price mantissas: 0 to -[`DECIMALS_MAX`].
    pub price_exponent: i8,
    /// Power of ten of quantity mantissas: 0 to -[`DECIMALS_MAX`].
    pub quantity_exponent: i8,
    /// Smallest price step, as a price mantissa; 0: unknown.
    pub tick_size: i64,
    /// Smallest quantity step, as a quantity mantissa; 0: unknown.
    pub lot_size: i64,
    /// The channels this instrument has: a set of [`Channel::bit`]s.
    pub channels: u64,
}

impl Instrument {
    /// One of the instruments that are only numbered: `S0`, `S1` and so on, with prices of two decimals and
    /// quantities of three. The feed `pulse` has these, as have benchmarks and tests.
    ///
    /// # Panics
    /// Never: a letter and at most ten digits are a symbol.
    #[must_use]
    pub fn numbered(id: u32, channels: u64) -> Self {
        Self {
            id,
            symbol: Symbol::new(&format!("S{id}")).expect("a letter and digits"),
            base_len: 0,
            price_exponent: -2,
            quantity_exponent: -3,
            tick_size: 1,
            lot_size: 1,
            channels,
        }
    }

    /// Whether the instrument has this channel.
    #[must_use]
    pub const fn has(&self, channel: Channel) -> bool {
        self.channels & channel.bit() != 0
    }
}
