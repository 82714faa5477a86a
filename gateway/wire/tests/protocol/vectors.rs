//! Golden vectors: the encoders write exactly what is in the files, and the decoder reads it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tickcast_wire::command::{BadDraft, Buffers, Draft};
use tickcast_wire::sbe::{self, HEADER_BYTES, Message, SCHEMA_ID, SCHEMA_VERSION, Template};
use tickcast_wire::{Command, Encoding, Instrument, Tick};

use crate::cases::{Case, EPOCH, cases, instruments};
use crate::{blesses, fields, protocol_dir};

/// The case's events as one WebSocket message.
pub(crate) fn frame(case: &Case, encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::new();
    encoding.open(&mut out);
    for (index, event) in case.events.iter().enumerate() {
        if index > 0 {
            encoding.separator(&mut out);
        }
        event(encoding, &mut out);
    }
    encoding.close(&mut out);
    match encoding {
        Encoding::Sbe => lengthen(&out, case.unknown_bytes),
        Encoding::Json => out,
    }
}

/// The messages as a newer gateway would write them: every root block and every group entry is
/// longer by `unknown` bytes at its end, the version higher. 0 changes nothing.
pub(crate) fn lengthen(mut messages: &[u8], unknown: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let u16_at = |bytes: &[u8], at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let longer = |length: u16| (length + u16::try_from(unknown).unwrap()).to_le_bytes();
    while !messages.is_empty() {
        let (block, template) = (u16_at(messages, 0), u16_at(messages, 2));
        let version = SCHEMA_VERSION + u16::from(unknown > 0);
        out.extend_from_slice(&longer(block));
        out.extend_from_slice(&messages[2..6]);
        out.extend_from_slice(&version.to_le_bytes());
        let root_end = HEADER_BYTES + usize::from(block);
        out.extend_from_slice(&messages[HEADER_BYTES..root_end]);
        out.resize(out.len() + unknown, 0xEE);
        messages = &messages[root_end..];
        let groups = match Template::from_id(template).unwrap() {
            Template::DepthUpdate | Template::PartialDepth | Template::DepthSnapshot => 2,
            Template::Gap => 1,
            _ => 0,
        };
        for _ in 0..groups {
            let (length, count) = (u16_at(messages, 0), u16_at(messages, 2));
            out.extend_from_slice(&longer(length));
            out.extend_from_slice(&messages[2..4]);
            messages = &messages[4..];
            for _ in 0..count {
                let (entry, rest) = messages.split_at(length.into());
                out.extend_from_slice(entry);
                out.resize(out.len() + unknown, 0xEE);
                messages = rest;
            }
        }
    }
    out
}

/// All messages of a frame in the schema's terms.
pub(crate) fn decoded(frame: &[u8]) -> Vec<Value> {
    sbe::decode(frame).map(|message| fields::message(&message.unwrap())).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn vector(case: &Case) -> Value {
    let frame_sbe = frame(case, Encoding::Sbe);
    let text = String::from_utf8(frame(case, Encoding::Json)).unwrap();
    let used = |instrument: &Instrument| {
        json!({
            "instrument": instrument.id, "symbol": instrument.symbol.as_str(),
            "priceExponent": instrument.price_exponent,
            "quantityExponent": instrument.quantity_exponent,
        })
    };
    json!({
        "name": case.name,
        "about": case.about,
        "schema": { "id": SCHEMA_ID, "version": SCHEMA_VERSION },
        "instruments": instruments().iter().map(used).collect::<Vec<Value>>(),
        "sbe": hex(&frame_sbe),
        "messages": decoded(&frame_sbe),
        "json": match case.command {
            Some(command) => Value::String(command.to_owned()),
            None if case.is_sent() => Value::String(text),
            None => Value::Null,
        },
    })
}

#[test]
fn encoders_and_decoder_agree_with_the_files() {
    let dir = protocol_dir().join("vectors");
    let mut names = BTreeSet::new();
    for case in cases() {
        let name = format!("{}.v{SCHEMA_VERSION}.json", case.name);
        let (path, vector) = (dir.join(&name), vector(&case));
        if blesses() {
            fs::create_dir_all(&dir).unwrap();
            fs::write(&path, serde_json::to_string_pretty(&vector).unwrap() + "\n").unwrap();
        }
        let file = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{name}: {error}; TICKCAST_BLESS=1 writes it"));
        let golden: Value = serde_json::from_str(&file).unwrap();
        for field in ["sbe", "messages", "json"] {
            assert_eq!(
                vector[field], golden[field],
                "{field} of {name}; see tests/protocol/main.rs"
            );
        }
        assert_eq!(vector, golden, "{name}");
        assert!(names.insert(name), "two cases are called {}", case.name);
    }
    let found: BTreeSet<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, names, "files without a case");
}

#[test]
fn every_template_has_a_vector() {
    let mut missing: BTreeSet<String> =
        Template::ALL.iter().map(|template| format!("{template:?}")).collect();
    for message in cases().iter().flat_map(|case| decoded(&frame(case, Encoding::Sbe))) {
        missing.remove(message["template"].as_str().unwrap());
    }
    assert_eq!(missing, BTreeSet::new());
}

/// The JSON of each case is JSON, and says in `e` and `s` which topic it belongs to.
#[test]
fn json_events_carry_their_topic() {
    for case in cases().iter().filter(|case| case.is_sent()) {
        let text = frame(case, Encoding::Json);
        let events: Vec<Value> = serde_json::from_slice(&text).unwrap();
        let binary = frame(case, Encoding::Sbe);
        let messages: Vec<Message<'_>> = sbe::decode(&binary).map(Result::unwrap).collect();
        assert_eq!(events.len(), messages.len(), "{}", case.name);
        for (event, message) in events.iter().zip(&messages) {
            let Some(head) = message.head() else { continue };
            let instrument = instruments().into_iter().find(|it| it.id == head.instrument).unwrap();
            assert_eq!(event["s"], instrument.symbol.as_str());
            assert_eq!(event["seq"], head.seq.to_string());
            assert_eq!(event["ts"], head.ts_event_ns.to_string());
            assert_eq!(event["delay"], head.ring_delay_ns);
            let name = match message {
                Message::DepthSnapshot(_) => "snapshot",
                _ => message.channel().unwrap().name(),
            };
            assert_eq!(event["e"], name);
        }
    }
}

/// The two forms of each command of the vectors are one command, but for how instruments are named.
#[test]
fn binary_and_json_commands_say_the_same() {
    let mut buffers = Buffers::new();
    for case in cases() {
        let Some(text) = case.command else { continue };
        let json = Command::parse(&mut text.as_bytes().to_vec(), &mut buffers).unwrap();
        let binary = Command::parse_binary(&frame(&case, Encoding::Sbe)).unwrap();
        assert_eq!(json.id(), binary.id());
        let (Command::Publish(json), Command::Publish(binary)) = (json, binary) else {
            panic!("{} is no publish", case.name)
        };
        assert_eq!((json.epoch, binary.epoch), (None, Some(EPOCH)));
        let ticks = |drafts: &[Result<Draft, BadDraft>]| -> Vec<Tick> {
            let usual = instruments()[0];
            drafts.iter().map(|draft| draft.as_ref().unwrap().tick(&usual, 1).unwrap()).collect()
        };
        assert_eq!(ticks(&json.ticks), ticks(&binary.ticks), "{}", case.name);
        assert_eq!(json.ticks.len(), 2);
    }
}

/// Fixed points of the contract that clients may rely on without the schema.
#[test]
fn offsets_that_are_a_contract() {
    let case = cases().into_iter().find(|case| case.name == "quote").unwrap();
    let quote = frame(&case, Encoding::Sbe);
    assert_eq!(quote.len(), 64);
    let u16_at = |at| u16::from_le_bytes(quote[at..at + 2].try_into().unwrap());
    assert_eq!([u16_at(0), u16_at(2), u16_at(4), u16_at(6)], [56, 2, 7101, 1]);
    let u64_at = |at| u64::from_le_bytes(quote[at..at + 8].try_into().unwrap());
    assert_eq!(u64_at(8), 1_723_075_200_123_456_789, "ts_event");
    assert_eq!(u64_at(16), 12, "seq");
    assert_eq!(u64_at(24), 8_250 << 32, "instrument 0, ring delay");
    assert_eq!(
        [u64_at(32), u64_at(40), u64_at(48), u64_at(56)],
        [6_183_763, 378_826, 6_183_764, 61_000]
    );
}
