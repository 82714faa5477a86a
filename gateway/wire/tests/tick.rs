//! The tick's layout, which is a contract between processes, and what its views keep.

use std::mem::{align_of, offset_of, size_of};

use proptest::prelude::*;
use tickcast_wire::{
    CHANNEL_COUNT, Channel, GROUP_LEVELS_MAX, Instrument, Kind, LEVELS_PER_TICK, Level, Presence,
    Side, Symbol, TICK_WORDS, Tick, TickError, TradingStatus, flags,
};

#[test]
fn layout() {
    assert_eq!(size_of::<Tick>(), 120);
    assert_eq!(size_of::<Tick>(), TICK_WORDS * 8);
    // With the ring's sequence word in front, a slot is two cache lines of 64 bytes.
    assert_eq!(size_of::<Tick>() + 8, 2 * 64);
    assert_eq!(align_of::<Tick>(), 8);
    assert_eq!(
        [
            offset_of!(Tick, ts_event_ns),
            offset_of!(Tick, ts_ring_ns),
            offset_of!(Tick, seq),
            offset_of!(Tick, instrument),
            offset_of!(Tick, kind),
            offset_of!(Tick, flags),
            offset_of!(Tick, levels),
            offset_of!(Tick, sides),
            offset_of!(Tick, body),
        ],
        [0, 8, 16, 24, 28, 29, 30, 31, 32]
    );
}

#[test]
fn words_are_the_fields_little_endian() {
    let mut tick = Tick::from_status(0x0403_0201, 7, TradingStatus::Closed);
    (tick.ts_ring_ns, tick.seq, tick.levels, tick.sides) = (8, 9, 0xAA, 0xBB);
    let words = tick.to_words();
    assert_eq!(words[..3], [7, 8, 9]);
    assert_eq!(words[3].to_le_bytes(), [1, 2, 3, 4, 7, 3, 0xAA, 0xBB]);
    assert_eq!(words[4..], [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Tick::from_words(words), tick);
}

fn instrument() -> Instrument {
    Instrument {
        id: 3,
        symbol: Symbol::new("BTCUSDT").unwrap(),
        base_len: 3,
        price_exponent: -2,
        quantity_exponent: -5,
        tick_size: 1,
        lot_size: 10,
        channels: Channel::Trade.bit() | Channel::Depth.bit(),
    }
}

#[test]
fn definitions_survive_and_are_validated() {
    let definition = Tick::from_definition(&instrument(), 5);
    assert_eq!(definition.validate(), Ok(Kind::Definition));
    assert_eq!(definition.definition(), Ok(instrument()));
    let longest = Instrument { symbol: Symbol::new(&"X".repeat(32)).unwrap(), ..instrument() };
    assert_eq!(Tick::from_definition(&longest, 5).definition(), Ok(longest));

    let broken = |change: &dyn Fn(&mut Tick)| {
        let mut tick = definition;
        change(&mut tick);
        tick.validate()
    };
    let bytes = |tick: &mut Tick, at: usize, byte: u8| {
        let mut bytes = tick.body[4].to_le_bytes();
        bytes[at] = byte;
        tick.body[4] = u64::from_le_bytes(bytes);
    };
    let malformed = Err(TickError::Definition);
    assert_eq!(broken(&|tick| tick.body[0] = 0), malformed, "no letters");
    assert_eq!(broken(&|tick| tick.body[0] |= 0x80), malformed, "not ASCII");
    assert_eq!(broken(&|tick| bytes(tick, 0, 33)), malformed, "longer than there is room");
    assert_eq!(broken(&|tick| bytes(tick, 0, 0)), malformed, "empty");
    assert_eq!(broken(&|tick| bytes(tick, 1, 8)), malformed, "a base longer than the symbol");
    assert_eq!(broken(&|tick| bytes(tick, 2, 1)), malformed, "exponent 1");
    assert_eq!(broken(&|tick| bytes(tick, 3, 0xED)), malformed, "exponent -19");
    assert_eq!(
        broken(&|tick| tick.body[7] = 1 << CHANNEL_COUNT),
        malformed,
        "a channel that is none"
    );
    assert_eq!(broken(&|tick| tick.body[7] = 1 << 40), malformed, "far beyond");
}

#[test]
fn records_that_mean_nothing_are_named() {
    let mut tick = Tick::new(Kind::Data(Channel::Depth), 0, 0);
    tick.levels = 5;
    assert_eq!(tick.validate(), Err(TickError::Levels(5)));
    assert_eq!(tick.depth_levels().count(), LEVELS_PER_TICK, "reading stays within the body");
    let none = u8::try_from(CHANNEL_COUNT).unwrap();
    tick.kind = none;
    assert_eq!(tick.validate(), Err(TickError::Kind(none)));
    tick.kind = Channel::Depth5.code();
    assert_eq!(tick.validate(), Err(TickError::Derived(Channel::Depth5)));
    let mut tick = Tick::from_status(0, 0, TradingStatus::Halted);
    assert_eq!(tick.validate(), Ok(Kind::Data(Channel::Status)));
    tick.body[0] = 4;
    assert_eq!(tick.validate(), Err(TickError::Status(4)));
    assert_eq!(Tick::from_epoch(9, 0).validate(), Ok(Kind::Epoch));
    assert_eq!(Tick::from_epoch(9, 0).epoch(), 9);
}

#[test]
fn ring_delay_saturates() {
    let mut tick = Tick::new(Kind::Data(Channel::Quote), 0, 1_000);
    let mut delay = |ts_ring_ns| {
        tick.ts_ring_ns = ts_ring_ns;
        tick.ring_delay_ns()
    };
    assert_eq!(delay(999), 0, "clocks that disagree");
    assert_eq!(delay(1_250), 250);
    assert_eq!(delay(1_000 + u64::from(u32::MAX) - 1), u32::MAX - 1);
    assert_eq!(delay(1_000 + u64::from(u32::MAX) + 1), u32::MAX);
    assert_eq!(delay(u64::MAX), u32::MAX);
}

#[test]
fn a_definition_and_a_record_of_its_own_say_whether_an_instrument_is_in_the_stream() {
    let definition = Tick::from_definition(&instrument(), 5);
    assert_eq!(definition.presence(), Presence::Attached);
    let detached = definition.with_presence(Presence::Detached);
    assert_eq!(
        (detached.presence(), detached.validate()),
        (Presence::Detached, Ok(Kind::Definition))
    );
    assert_eq!(detached.definition(), Ok(instrument()));
    assert_eq!(detached.with_presence(Presence::Attached), definition);
    for presence in [Presence::Attached, Presence::Detached] {
        let tick = Tick::from_presence(3, presence, 5);
        assert_eq!((tick.validate(), tick.presence()), (Ok(Kind::Presence), presence));
        assert_eq!((tick.instrument, tick.seq, tick.kind), (3, 0, 0xF2));
    }
}

/// What GROUP_LEVELS_MAX's documentation derives.
#[test]
fn the_largest_group_is_as_big_as_documented() {
    let level = Level { side: Side::Bid, price: 1, quantity: 1 };
    let mut ticks = Vec::new();
    Tick::push_depth(&mut ticks, 0, 0, 1..=1, &vec![level; GROUP_LEVELS_MAX]);
    assert_eq!(ticks.len() * size_of::<Tick>(), 480 * 1024);
}

proptest! {
    #[test]
    fn no_words_panic(words: [u64; TICK_WORDS]) {
        let tick = Tick::from_words(words);
        prop_assert_eq!(tick.to_words(), words);
        let _ = (tick.validate(), tick.definition(), tick.status(), tick.ring_delay_ns());
        let _ = (tick.quote(), tick.trade(), tick.ticker(), tick.bar(), tick.depth_levels().count());
    }

    #[test]
    fn a_group_keeps_its_levels(
        levels in prop::collection::vec((any::<bool>(), any::<i64>(), any::<i64>()), 0..30),
        before in 0usize..3,
    ) {
        let levels: Vec<Level> = levels
            .into_iter()
            .map(|(is_ask, price, quantity)| {
                Level { side: if is_ask { Side::Ask } else { Side::Bid }, price, quantity }
            })
            .collect();
        let other = Tick::from_epoch(1, 0);
        let mut ticks = vec![other; before];
        Tick::push_depth(&mut ticks, 3, 5, 10..=12, &levels);
        prop_assert_eq!(&ticks[..before], &vec![other; before]);
        let group = &ticks[before..];
        prop_assert_eq!(group.len(), levels.len().div_ceil(LEVELS_PER_TICK).max(1));
        prop_assert_eq!(group.iter().flat_map(Tick::depth_levels).collect::<Vec<_>>(), levels);
        for (index, tick) in group.iter().enumerate() {
            prop_assert_eq!(tick.validate(), Ok(Kind::Data(Channel::Depth)));
            prop_assert_eq!(tick.begins(), index == 0);
            prop_assert_eq!(tick.ends(), index + 1 == group.len());
            prop_assert_eq!(tick.update_ids(), (10, 12));
            prop_assert_eq!(tick.flags & !(flags::BEGIN | flags::END), 0);
        }
    }
}
