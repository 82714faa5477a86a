//! Seeds in binary formats, by our own encoders. Seeds in text are files written by hand.

use bus::{Batch, Catalog, Offset, StoredImage};
use wire::{
    Book, Channel, Encoding, Instrument, InstrumentImage, Level, Presence, Quote, Side, Symbol,
    Tick, Trade,
};

/// Target, name and bytes of each.
pub(crate) fn made() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let words =
        |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut image_words = Vec::new();
    image().encode(&mut image_words);
    let [trade, quote] = ticks();
    let mut depth = Vec::new();
    Tick::push_depth(&mut depth, 0, 5, 7..=9, &levels());
    let batch = Batch { writer: 1, number: 2, epoch: 3, sent_ns: 4, ticks: depth.clone() };
    let catalog = Catalog::new(3, 2, vec![instrument()], 1).expect("a catalog");
    let stored = StoredImage { offset: Offset::START, image: image() };
    vec![
        ("bus_values", "batch", batch.encode().to_vec()),
        ("bus_values", "catalog", catalog.encode().expect("a small catalog").to_vec()),
        ("bus_values", "image", stored.encode().to_vec()),
        ("frames", "fragments", frames()),
        ("hub", "lives", operations()),
        ("images", "image", words(&image_words)),
        ("messages", "quote", message(&[quote])),
        ("messages", "trade", message(&[trade])),
        ("messages", "depth", message(&depth)),
        ("ticks", "definition", words(&Tick::from_definition(&instrument(), 5).to_words())),
        ("ticks", "quote", words(&quote.to_words())),
        ("ticks", "trade", words(&trade.to_words())),
        ("ticks", "depth", words(&depth[0].to_words())),
    ]
}

fn instrument() -> Instrument {
    Instrument {
        id: 0,
        symbol: Symbol::new("BTCUSDT").expect("a symbol"),
        base_len: 3,
        price_exponent: -2,
        quantity_exponent: -5,
        tick_size: 1,
        lot_size: 1,
        channels: Channel::Trade.bit() | Channel::Quote.bit() | Channel::Depth.bit(),
    }
}

fn levels() -> [Level; 3] {
    [
        Level { side: Side::Bid, price: 100, quantity: 3 },
        Level { side: Side::Ask, price: 101, quantity: 4 },
        Level { side: Side::Ask, price: 102, quantity: 0 },
    ]
}

/// A trade and a quote.
fn ticks() -> [Tick; 2] {
    let trade =
        Trade { price: 100, quantity: 2, trade_id: 9, ts_trade_ns: 5, buyer_is_maker: true };
    let quote =
        Quote { bid_price: 100, bid_quantity: 3, ask_price: 101, ask_quantity: 4, update_id: 8 };
    [
        Tick { seq: 1, ..Tick::from_trade(0, 5, &trade) },
        Tick { seq: 1, ..Tick::from_quote(0, 5, &quote) },
    ]
}

fn image() -> InstrumentImage {
    let mut book = Book::new();
    levels().iter().for_each(|level| book.apply(level));
    InstrumentImage {
        epoch: 3,
        definition: instrument(),
        presence: Presence::Attached,
        last: ticks().to_vec(),
        depth_seq: 1,
        update_id: 9,
        ts_event_ns: 5,
        bids: book.levels(Side::Bid).collect(),
        asks: book.levels(Side::Ask).collect(),
    }
}

fn message(ticks: &[Tick]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoding::Sbe.entry(&mut out, ticks, &instrument());
    out
}

/// Cut after every third byte: a ping inside of a message of two fragments, and a close. The masks are zero.
fn frames() -> Vec<u8> {
    let mut bytes = vec![3];
    for (first, payload) in
        [(0x01, &b"{\"op\":"[..]), (0x89, b"now"), (0x80, b"\"ping\"}"), (0x88, &[0x03, 0xE8])]
    {
        bytes.extend([first, 0x80 | u8::try_from(payload.len()).expect("short"), 0, 0, 0, 0]);
        bytes.extend(payload);
    }
    bytes
}

/// Operations on a hub, as its target reads them: clients of all formats come, subscribe, get ticks, stall and go.
fn operations() -> Vec<u8> {
    let mut bytes = Vec::new();
    (0..4).for_each(|id| bytes.extend([12, id]));
    (0..5).for_each(|format| bytes.extend([0, format]));
    (0..2).for_each(|client| (0..8).for_each(|topic| bytes.extend([3, client, topic])));
    (2..5).for_each(|client| (0..12).for_each(|stream| bytes.extend([6, client, stream])));
    bytes.extend([9, 2]);
    for number in 1..30 {
        let id = number % 4;
        bytes.extend([14, id, number, 1, 15, id, number, 1]);
        bytes.extend([16, id, number, 0, 4, 100, number, 200, number]);
        bytes.extend([22, number, 22, 1, 22, 1, 21, 200, number, 9]);
    }
    (0..5).for_each(|client| bytes.extend([24, client, 2 + 37 * client, 22, 1]));
    bytes.extend([18, 3, 0, 19, 11, 9, 5, 1, 2, 4, 0, 1, 8, 3, 2, 1, 0]);
    bytes
}
