//! The feeder as a relay: ticks that were numbered elsewhere, images of what was before them, and
//! instruments that are not always in the stream.

use feed_sim::{Feeder, shape};
use ring::Ring;
use wire::{
    Channel, Instrument, InstrumentImage, Kind, Level, Presence, Quote, Side, Symbol, Tick, flags,
};

fn instruments() -> [Instrument; 2] {
    [0, 1].map(|id| Instrument {
        id,
        symbol: Symbol::new(&format!("X{id}")).unwrap(),
        base_len: 0,
        price_exponent: -2,
        quantity_exponent: -2,
        tick_size: 1,
        lot_size: 1,
        channels: Channel::Quote.bit() | Channel::Depth.bit(),
    })
}

fn relay_ring(presence: Presence) -> (Feeder, Ring) {
    let shape = shape(&instruments(), 1 << 10, 10);
    let (publisher, ring) = Ring::heap(shape, 7);
    let mut feeder = Feeder::new(publisher, shape);
    feeder.begin_epoch_as(42, &instruments(), presence, 1_000).unwrap();
    (feeder, ring)
}

fn quote(seq: u64) -> Tick {
    let price = i64::try_from(seq).unwrap();
    let quote = Quote {
        bid_price: price,
        bid_quantity: 1,
        ask_price: price + 1,
        ask_quantity: 1,
        update_id: 0,
    };
    Tick { seq, ts_ring_ns: 10 + seq, ..Tick::from_quote(0, 5, &quote) }
}

fn bid(price: i64, quantity: i64) -> Level {
    Level { side: Side::Bid, price, quantity }
}

/// A depth group of five levels, two ticks.
fn group(seq: u64, quantity: i64) -> Vec<Tick> {
    let levels: Vec<Level> = (1..=5).map(|price| bid(price, quantity)).collect();
    let mut group = Vec::new();
    Tick::push_depth(&mut group, 0, 5, seq..=seq, &levels);
    group.iter_mut().for_each(|tick| (tick.seq, tick.ts_ring_ns) = (seq, 10 + seq));
    group
}

fn image(ring: &Ring) -> InstrumentImage {
    let mut words = Vec::new();
    ring.read_image(0, &mut words).expect("every instrument has an image");
    InstrumentImage::decode(&words).unwrap()
}

/// What the ring has from this position on, one for each tick: kind, number, time of the ring.
fn data(ring: &Ring, from: u64) -> Vec<(Kind, u64, u64)> {
    let (mut reader, mut records) = (ring.reader(ring::Start::Oldest), Vec::new());
    let read = reader.read(&mut records, 4096);
    assert_eq!((read.lost, reader.lag()), (0, 0));
    let ticks = records[usize::try_from(from).unwrap()..].iter().map(|r| Tick::from_words(*r));
    ticks.map(|tick| (tick.kind().unwrap(), tick.seq, tick.ts_ring_ns)).collect()
}

#[test]
fn numbers_and_times_stay_and_repeats_are_dropped() {
    let (mut feeder, ring) = relay_ring(Presence::Attached);
    assert_eq!(feeder.epoch(), 42);
    let batch =
        [vec![quote(1), quote(2), quote(2), quote(1)], group(1, 7), group(1, 9), vec![quote(9)]];
    feeder.relay(&batch.concat(), 2_000);
    feeder.relay(&[quote(3), quote(10)], 3_000);
    let (quotes, depth) = (Kind::Data(Channel::Quote), Kind::Data(Channel::Depth));
    let expected = [(quotes, 1), (quotes, 2), (depth, 1), (depth, 1), (quotes, 9), (quotes, 10)];
    assert_eq!(data(&ring, 3), expected.map(|(kind, seq)| (kind, seq, 10 + seq)));
    let counters = feeder.counters();
    assert_eq!((counters.ticks, counters.repeated, counters.refused), (6, 5, 0));
    feeder.close();
    let image = image(&ring);
    assert_eq!((image.epoch, image.last[0], image.depth_seq), (42, quote(10), 1));
    assert_eq!(image.bids[0], (5, 7));
}

#[test]
fn what_cannot_be_is_dropped_and_the_rest_goes_on() {
    let (mut feeder, ring) = relay_ring(Presence::Attached);
    let mixed = [group(1, 7)[0], Tick { seq: 2, ..group(1, 7)[1] }];
    let half = &group(1, 7)[1..];
    let foreign = Tick { instrument: 2, ..quote(1) };
    let status = Tick { seq: 1, ..Tick::from_status(0, 5, wire::TradingStatus::Halted) };
    let unended = [group(1, 7)[0], quote(1)];
    let batch: Vec<Tick> = [&mixed[..], half, &[foreign, status], &[quote(0)], &unended]
        .concat()
        .into_iter()
        .chain([Tick::from_epoch(9, 9), quote(2)])
        .collect();
    feeder.relay(&batch, 2_000);
    assert_eq!(feeder.counters().refused, 8, "all but the two quotes");
    assert_eq!(data(&ring, 3).iter().map(|(_, seq, _)| *seq).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_hole_in_depth_leaves_the_image_at_its_number_until_an_image_or_a_new_book_comes() {
    let (mut feeder, ring) = relay_ring(Presence::Attached);
    feeder.relay(&[group(1, 7), group(3, 8)].concat(), 2_000);
    feeder.set_presence([0], Presence::Attached, 2_000);
    assert_eq!((image(&ring).depth_seq, image(&ring).bids[0]), (1, (5, 7)));

    let learnt = InstrumentImage { depth_seq: 4, bids: vec![(6, 1)], ..image(&ring) };
    feeder.learn(&learnt);
    // What the image knows already goes through the ring all the same.
    feeder.relay(&[group(4, 5), group(5, 9)].concat(), 3_000);
    feeder.set_presence([0], Presence::Attached, 3_000);
    let now = image(&ring);
    assert_eq!((now.depth_seq, now.bids.len(), now.bids[1]), (5, 6, (5, 9)));

    let mut replacing = group(8, 2);
    replacing[0].flags |= flags::REPLACES_BOOK;
    feeder.relay(&replacing, 4_000);
    feeder.set_presence([0], Presence::Attached, 4_000);
    assert_eq!((image(&ring).depth_seq, image(&ring).bids.len()), (8, 5));
    let depth = Kind::Data(Channel::Depth);
    let relayed = data(&ring, 3).into_iter().filter(|(kind, ..)| *kind == depth);
    let seqs: Vec<u64> = relayed.map(|(_, seq, _)| seq).collect();
    assert_eq!(seqs, [1, 1, 3, 3, 4, 4, 5, 5, 8, 8]);
}

#[test]
fn an_instrument_that_was_left_out_comes_back_with_its_image_and_its_past() {
    let (mut feeder, ring) = relay_ring(Presence::Detached);
    let mut reader = ring.reader(ring::Start::Oldest);
    let mut records = Vec::new();
    reader.read(&mut records, 4096);
    let definition = Tick::from_words(records[1]);
    assert_eq!(
        (definition.presence(), image(&ring).presence),
        (Presence::Detached, Presence::Detached)
    );

    let learnt = InstrumentImage {
        last: vec![quote(50)],
        depth_seq: 20,
        bids: vec![(1, 1)],
        ..image(&ring)
    };
    feeder.learn(&learnt);
    feeder.relay(&[quote(48), quote(49)], 2_000);
    assert_eq!(image(&ring).presence, Presence::Detached, "not a word of the image so far");
    feeder.set_presence([0], Presence::Attached, 2_000);
    let now = image(&ring);
    assert_eq!((now.presence, now.last[0], now.depth_seq), (Presence::Attached, quote(50), 20));
    assert_eq!(data(&ring, 3).last(), Some(&(Kind::Presence, 0, 2_000)));

    // Who comes back may be given once more what it had: hubs that still have it drop it.
    feeder.set_presence([0], Presence::Detached, 3_000);
    let head = ring.head();
    feeder.relay(&[quote(49), quote(50), quote(51)], 4_000);
    assert_eq!(ring.head(), head + 3);
    feeder.set_presence([0], Presence::Attached, 4_000);
    assert_eq!(image(&ring).last[0], quote(51));

    // Of another epoch, of another market, of no instrument: nothing.
    feeder.learn(&InstrumentImage { epoch: 41, ..learnt.clone() });
    let other = Instrument { tick_size: 2, ..learnt.definition };
    feeder.learn(&InstrumentImage { definition: other, ..learnt.clone() });
    let nobody = Instrument { id: 2, ..learnt.definition };
    feeder.learn(&InstrumentImage { definition: nobody, ..learnt });
    feeder.set_presence([7], Presence::Attached, 4_000);
    assert_eq!(feeder.counters().refused, 4);
}
