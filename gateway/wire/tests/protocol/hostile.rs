//! Bytes that are not what they should be: newer, cut, of another schema, random.

use proptest::prelude::*;
use tickcast_wire::Encoding;
use tickcast_wire::sbe::{self, DecodeError, Message, Template};

use crate::cases::cases;
use crate::vectors::{decoded, frame, lengthen};

fn frames() -> Vec<Vec<u8>> {
    cases().iter().map(|case| frame(case, Encoding::Sbe)).collect()
}

fn frame_of(name: &str) -> Vec<u8> {
    frame(cases().iter().find(|case| case.name == name).unwrap(), Encoding::Sbe)
}

/// Uses everything of a message, so that lazily read parts are read.
fn exhaust(bytes: &[u8]) -> usize {
    let levels = |bids: sbe::Levels<'_>, asks: sbe::Levels<'_>| bids.count() + asks.count();
    sbe::decode(bytes)
        .map(|message| match message {
            Ok(Message::DepthUpdate(update)) => levels(update.bids, update.asks),
            Ok(Message::PartialDepth(partial)) => levels(partial.bids, partial.asks),
            Ok(Message::DepthSnapshot(snapshot)) => levels(snapshot.bids, snapshot.asks),
            Ok(Message::Gap(gap)) => {
                let expected = gap.entries.len();
                assert_eq!(gap.entries.count(), expected);
                expected
            }
            _ => 1,
        })
        .sum()
}

#[test]
fn fields_of_a_newer_schema_are_skipped() {
    for frame in frames() {
        let known = decoded(&frame);
        for unknown in [1, 8, 300] {
            assert_eq!(decoded(&lengthen(&frame, unknown)), known);
        }
    }
}

#[test]
fn a_cut_frame_ends_with_an_error() {
    for frame in frames() {
        let whole: Vec<_> = sbe::decode(&frame).map(Result::unwrap).collect();
        let mut boundaries = vec![0];
        let mut messages = sbe::decode(&frame);
        while messages.next().is_some() {
            boundaries.push(frame.len() - messages.rest().len());
        }
        for cut in 0..frame.len() {
            let mut messages = sbe::decode(&frame[..cut]);
            let complete = boundaries.iter().filter(|end| **end <= cut).count() - 1;
            for message in &whole[..complete] {
                assert_eq!(messages.next().as_ref(), Some(&Ok(message.clone())));
            }
            match messages.next() {
                None => assert!(boundaries.contains(&cut), "silent at {cut}"),
                Some(end) => {
                    assert!(matches!(end, Err(DecodeError::Truncated { .. })), "{end:?} at {cut}");
                    assert_eq!(messages.next(), None, "iteration ends with the error");
                }
            }
        }
    }
}

#[test]
fn an_unknown_template_ends_the_frame() {
    let mut bytes = frame_of("frame");
    let second = {
        let mut messages = sbe::decode(&bytes);
        messages.next();
        bytes.len() - messages.rest().len()
    };
    bytes[second + 2..second + 4].copy_from_slice(&999u16.to_le_bytes());
    bytes[second + 6] = 2;
    let messages: Vec<_> = sbe::decode(&bytes).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages[0].is_ok());
    assert_eq!(messages[1], Err(DecodeError::UnknownTemplate { template: 999, version: 2 }));
}

#[test]
fn another_schema_and_short_blocks_are_refused() {
    let mut other = frame_of("quote");
    other[4] ^= 1;
    assert_eq!(sbe::decode(&other).next(), Some(Err(DecodeError::Schema(7101 ^ 1))));

    let mut short = frame_of("quote");
    short[0] -= 1;
    let error = DecodeError::BlockTooShort { template: Template::Quote, needed: 56, found: 55 };
    assert_eq!(sbe::decode(&short).collect::<Vec<_>>(), [Err(error)]);

    // An entry of the first group: header 8, root 41, then the group's header.
    let mut short = frame_of("depth-merged");
    short[49] = 15;
    let template = Template::DepthUpdate;
    let error = DecodeError::BlockTooShort { template, needed: 16, found: 15 };
    assert_eq!(sbe::decode(&short).next(), Some(Err(error)));

    // A group without entries says nothing by its length.
    let mut empty = frame_of("depth-update-odd");
    empty[49] = 0;
    assert!(sbe::decode(&empty).all(|message| message.is_ok()));
}

/// What has no meaning is an error, and the next message follows it.
#[test]
fn values_without_meaning_do_not_end_the_frame() {
    for (name, at, value, template, field) in [
        ("trade", 64, 2, Template::Trade, "makerSide"),
        ("bar", 120, 1, Template::Bar, "channel"),
        ("bar", 121, 2, Template::Bar, "isFinal"),
        ("status", 32, 0, Template::Status, "status"),
        ("partial-depth", 40, 2, Template::PartialDepth, "channel"),
        ("gap", 20 + 20, 29, Template::Gap, "gaps"),
        ("gap", 20 + 21, 0, Template::Gap, "gaps"),
        ("agg-trade", 80, 2, Template::AggTrade, "makerSide"),
        ("rolling-ticker", 112, 24, Template::RollingTicker, "channel"),
        ("feed-status", 24, 5, Template::FeedStatus, "state"),
        ("definition", 40, 1, Template::Definition, "priceExponent"),
        ("definition", 41, 0x80, Template::Definition, "quantityExponent"),
        ("definition", 42, 8, Template::Definition, "baseLength"),
        ("definition", 43, b'b', Template::Definition, "symbol"),
        ("definition", 43, 0xFF, Template::Definition, "symbol"),
    ] {
        let mut bytes = frame_of(name);
        bytes[at] = value;
        bytes.extend_from_slice(&frame_of("heartbeat"));
        let mut messages = sbe::decode(&bytes);
        let error = DecodeError::Value { template, field };
        assert_eq!(messages.next(), Some(Err(error)), "{name} @{at}");
        let heartbeat = messages.last();
        assert!(matches!(heartbeat, Some(Ok(Message::Heartbeat { .. }))), "{name}: {heartbeat:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exhaust(&bytes);
    }

    #[test]
    fn no_mutation_panics(
        which: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut: prop::sample::Index,
    ) {
        let frames = frames();
        let mut bytes = which.get(&frames).clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        exhaust(&bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        exhaust(&bytes);
    }
}
