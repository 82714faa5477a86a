//! The catalog: what the venue lists, and how each instrument's market is built.
//!
//! The first listings bear names people know, at the prices and grids those had in August 2024; then
//! come made-up ones, as many as wanted. A rank decides how busy a listing is (Zipf's law), how deep its
//! book is kept and how much memory that takes.

use wire::{Channel, Instrument, Symbol};

use super::random::{Dice, mix, signed, to_f64, whole};

/// A listing's grid and price.
#[derive(Clone, Copy, Debug)]
struct Known {
    base: &'static str,
    /// Price mantissa and its exponent.
    price: i64,
    price_exponent: i8,
    tick_size: i64,
    quantity_exponent: i8,
    lot_size: i64,
}

const fn known(
    base: &'static str,
    (price, price_exponent, tick_size): (i64, i8, i64),
    (quantity_exponent, lot_size): (i8, i64),
) -> Known {
    Known { base, price, price_exponent, tick_size, quantity_exponent, lot_size }
}

/// The currency everything is quoted in.
const QUOTE_ASSET: &str = "USDT";

const KNOWN: [Known; 32] = [
    known("BTC", (6_183_763, -2, 1), (-5, 1)),
    known("ETH", (268_380, -2, 1), (-4, 1)),
    known("SOL", (15_432, -2, 1), (-3, 1)),
    known("XRP", (58_720, -5, 10), (0, 1)),
    known("BNB", (51_430, -2, 10), (-3, 1)),
    known("DOGE", (102_460, -6, 10), (0, 1)),
    known("ADA", (33_850, -5, 10), (-1, 1)),
    known("AVAX", (21_470, -3, 10), (-2, 1)),
    known("LINK", (10_335, -3, 10), (-2, 1)),
    known("TON", (65_410, -4, 10), (-2, 1)),
    known("PEPE", (812, -8, 1), (0, 1)),
    known("LTC", (6_135, -2, 1), (-3, 1)),
    known("BCH", (34_460, -2, 10), (-3, 1)),
    known("DOT", (4_587, -3, 1), (-2, 1)),
    known("NEAR", (4_094, -3, 1), (-1, 1)),
    known("UNI", (58_930, -4, 10), (-2, 1)),
    known("SHIB", (1_382, -8, 1), (0, 1)),
    known("TRX", (12_735, -5, 1), (-1, 1)),
    known("ICP", (7_862, -3, 1), (-2, 1)),
    known("APT", (6_080, -3, 1), (-2, 1)),
    known("SUI", (90_150, -5, 10), (-1, 1)),
    known("FIL", (3_655, -3, 1), (-2, 1)),
    known("ATOM", (5_021, -3, 1), (-2, 1)),
    known("ARB", (53_470, -5, 10), (-1, 1)),
    known("OP", (12_940, -4, 10), (-2, 1)),
    known("INJ", (17_210, -3, 10), (-1, 1)),
    known("AAVE", (9_541, -2, 1), (-3, 1)),
    known("ETC", (18_760, -3, 10), (-2, 1)),
    known("RENDER", (50_310, -4, 10), (-2, 1)),
    known("WIF", (16_520, -4, 10), (-2, 1)),
    known("SEI", (27_680, -5, 10), (-1, 1)),
    known("FET", (84_300, -5, 10), (0, 1)),
];

/// How one listing's market behaves. Lots and ticks throughout; times at the venue's pace.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) instrument: Instrument,
    pub(super) seed: u64,
    /// Long-run price, ticks.
    pub(super) center_ticks: i64,
    /// Standard deviation of the fair value over one second, ticks.
    pub(super) volatility_ticks: f64,
    /// Prices in the book's band: the chapter's opening price is in the middle.
    pub(super) band: u16,
    /// Orders the book has room for.
    pub(super) orders: u16,
    /// How far behind the best price orders are placed, ticks.
    pub(super) depth_ticks: u16,
    /// Mean distance between neighbouring levels behind the best, ticks.
    pub(super) gap_ticks: f64,
    /// How much larger sizes are than on the instrument the sizes were taken from: log2 in 1/256.
    pub(super) size_shift_q8: i32,
}

/// A rank from which on books are shallower: memory per listing falls.
struct Tier {
    from_rank: u32,
    /// Levels kept on each side.
    levels: u16,
    /// The farthest an order is placed from the best, ticks.
    depth_ticks_max: u16,
}

/// Memory per listing is 12 bytes for each tick of the band, four depths, and each order: 0.8 MiB for
/// the first tier at most, 9 KiB for the last.
const TIERS: [Tier; 4] = [
    Tier { from_rank: 0, levels: 700, depth_ticks_max: 16_256 },
    Tier { from_rank: 4, levels: 400, depth_ticks_max: 2_048 },
    Tier { from_rank: 64, levels: 150, depth_ticks_max: 512 },
    Tier { from_rank: 1_024, levels: 50, depth_ticks_max: 128 },
];

/// Orders are placed within this part of the price, as nearly all of the recordings' are.
const DEPTH_PART: f64 = 0.003_3;

/// The least depth, ticks: coarse grids have few levels within [`DEPTH_PART`].
const DEPTH_TICKS_MIN: f64 = 40.0;

/// What the recorded BTCUSDT's lot was worth, in the quote asset: sizes in lots scale from there.
const RECORDED_LOT_VALUE: f64 = 0.618;

/// The listing of this rank, the busiest being 0.
pub(super) fn listing(seed: u64, rank: u32) -> Listing {
    let seed = mix([seed, u64::from(rank), 0x6C69_7374, 0]);
    let mut dice = Dice::new(seed);
    let (base, grid) = match KNOWN.get(usize::try_from(rank).unwrap_or(usize::MAX)) {
        Some(known) => (known.base.to_owned(), *known),
        None => (made_up_name(rank), made_up_grid(&mut dice)),
    };
    let symbol = Symbol::new(&format!("{base}{QUOTE_ASSET}")).expect("made of letters, and short");
    let instrument = Instrument {
        id: rank,
        symbol,
        base_len: u8::try_from(base.len()).unwrap_or_default(),
        price_exponent: grid.price_exponent,
        quantity_exponent: grid.quantity_exponent,
        tick_size: grid.tick_size,
        lot_size: grid.lot_size,
        channels: Channel::Trade.bit()
            | Channel::Quote.bit()
            | Channel::Depth.bit()
            | Channel::Depth5.bit()
            | Channel::Depth10.bit()
            | Channel::Depth20.bit()
            | Channel::Status.bit(),
    };
    let center_ticks = grid.price / grid.tick_size;
    let price_ticks = to_f64(center_ticks.unsigned_abs());
    let tier = TIERS.iter().rev().find(|tier| rank >= tier.from_rank).unwrap_or(&TIERS[0]);
    let depth = (price_ticks * DEPTH_PART).clamp(DEPTH_TICKS_MIN, f64::from(tier.depth_ticks_max));
    let depth_ticks = u16::try_from(whole(depth)).unwrap_or(tier.depth_ticks_max);
    // Market orders move prices too: with them it is 1.1 to 1.7 basis points a second, as recorded.
    let relative = 1.0e-4 * (1.0 + 0.5 * dice.unit() + 0.02 * f64::from(rank.min(10)));
    Listing {
        instrument,
        seed,
        center_ticks,
        volatility_ticks: relative * price_ticks,
        band: depth_ticks * 4,
        orders: tier.levels * 4,
        depth_ticks,
        gap_ticks: (depth / f64::from(tier.levels)).max(1.2),
        size_shift_q8: size_shift_q8(&grid, rank),
    }
}

impl Listing {
    /// Levels kept on each side, about.
    pub(super) fn levels(&self) -> f64 {
        f64::from(self.depth_ticks) / self.gap_ticks
    }
}

/// Sizes are worth as much as the recorded ones, and less the lower the rank.
fn size_shift_q8(grid: &Known, rank: u32) -> i32 {
    let power = |exponent: i8| (0..exponent.unsigned_abs()).fold(1.0, |p, _| p / 10.0);
    let price = to_f64(grid.price.unsigned_abs()) * power(grid.price_exponent);
    let lot = to_f64(grid.lot_size.unsigned_abs()) * power(grid.quantity_exponent);
    let worth_less = 1.0 + f64::from(rank.min(200)) / 4.0;
    let ratio = RECORDED_LOT_VALUE / (price * lot) / worth_less;
    let shift = signed(super::random::log2(ratio) * 256.0);
    i32::try_from(shift).unwrap_or_default().clamp(-12 * 256, 4 * 256)
}

/// A price between 0.4 and 4,000 on a grid of 400 to 40,000 ticks.
fn made_up_grid(dice: &mut Dice) -> Known {
    let decimals = 2 + dice.below(6);
    let ticks = 400 + i64::from(dice.log_uniform(7, 15));
    let tick_size = [1, 1, 1, 5, 10][usize::try_from(dice.below(5)).unwrap_or_default()];
    Known {
        base: "",
        price: ticks * tick_size,
        price_exponent: -i8::try_from(decimals).unwrap_or_default(),
        tick_size,
        quantity_exponent: 0,
        lot_size: 1,
    }
    .with_quantities()
}

impl Known {
    /// Lots worth about a cent, as exchanges choose them.
    fn with_quantities(mut self) -> Self {
        let power = |exponent: i8| (0..exponent.unsigned_abs()).fold(1.0, |p, _| p / 10.0);
        let price = to_f64(self.price.unsigned_abs()) * power(self.price_exponent);
        while self.quantity_exponent > -6 && price * power(self.quantity_exponent) > 0.05 {
            self.quantity_exponent -= 1;
        }
        self
    }
}

/// A name of two to four syllables, different for every rank: the rank written in syllables.
fn made_up_name(rank: u32) -> String {
    const FIRST: [&str; 16] =
        ["B", "D", "F", "G", "H", "J", "K", "L", "M", "N", "P", "R", "S", "T", "V", "Z"];
    const SECOND: [&str; 8] = ["A", "E", "I", "O", "U", "AX", "OR", "YN"];
    let mut name = String::new();
    // Odd and invertible: neighbouring ranks get unlike names, no two the same one.
    let mut number = rank.wrapping_mul(40_503) & 0xFFFF | rank & 0xFFFF_0000;
    for syllable in 0.. {
        if number == 0 && syllable >= 2 {
            break;
        }
        name.push_str(FIRST[usize::try_from(number % 16).unwrap_or_default()]);
        name.push_str(SECOND[usize::try_from(number / 16 % 8).unwrap_or_default()]);
        number /= 128;
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_listing_is_one_that_can_be_published() {
        let mut symbols = HashSet::new();
        for rank in 0..20_000 {
            let listing = listing(1, rank);
            let instrument = listing.instrument;
            assert!(symbols.insert(instrument.symbol), "{} is listed twice", instrument.symbol);
            assert_eq!(wire::Tick::from_definition(&instrument, 0).definition(), Ok(instrument));
            assert!((-8..=-2).contains(&instrument.price_exponent), "{instrument:?}");
            assert!(listing.center_ticks > i64::from(listing.band), "{listing:?}");
            assert!(listing.band >= 4 * listing.depth_ticks && listing.band < u16::MAX);
        }
    }

    #[test]
    fn the_first_listings_are_the_known_ones() {
        let names: Vec<String> =
            (0..3).map(|rank| listing(9, rank).instrument.symbol.to_string()).collect();
        assert_eq!(names, ["BTCUSDT", "ETHUSDT", "SOLUSDT"]);
    }
}
