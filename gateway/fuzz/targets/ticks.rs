//! Records from shared memory and buses: what is valid can be sent, in both encodings.

use wire::{Channel, Encoding, Instrument, Kind, Symbol, TICK_WORDS, Tick};

pub fn run(bytes: &[u8]) {
    let mut words = [0; TICK_WORDS];
    words.iter_mut().zip(super::words(bytes)).for_each(|(word, given)| *word = given);
    let tick = Tick::from_words(words);
    assert_eq!(tick.to_words(), words);
    let Ok(kind) = tick.validate() else { return };
    match kind {
        // Of the others no native message tells.
        Kind::Data(channel) if channel.is_native() => encode(&tick, channel),
        Kind::Definition => {
            let instrument = tick.definition().expect("it is valid");
            let again = Tick::from_definition(&instrument, tick.ts_event_ns);
            assert_eq!(again.definition().expect("it was made from one"), instrument);
        }
        _ => {}
    }
}

fn encode(tick: &Tick, channel: Channel) {
    let instrument = Instrument {
        id: tick.instrument,
        symbol: Symbol::new("BTCUSDT").expect("it is one"),
        base_len: 3,
        price_exponent: -2,
        quantity_exponent: -5,
        tick_size: 1,
        lot_size: 1,
        channels: channel.bit(),
    };
    let mut out = Vec::new();
    Encoding::Sbe.entry(&mut out, std::slice::from_ref(tick), &instrument);
    let mut messages = wire::sbe::decode(&out);
    assert!(matches!(messages.next(), Some(Ok(_))), "{tick:?}");
    assert!(messages.next().is_none());
    out.clear();
    Encoding::Json.entry(&mut out, std::slice::from_ref(tick), &instrument);
    serde_json::from_slice::<serde_json::Value>(&out).expect("an event is a JSON value");
}
