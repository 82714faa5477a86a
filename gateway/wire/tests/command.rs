//! Commands as clients write them, well and badly, and the replies to them.

use std::num::NonZeroU32;

use proptest::prelude::*;
use serde_json::{Value, json};
use tickcast_wire::command::{
    BadTopic, Buffers, COMMAND_BYTES_MAX, Command, CommandError, CommandId, Excerpt, Fault, IdText,
    Mode, Resume, SnapshotPolicy, Subscribe, TOPICS_PER_COMMAND_MAX, Unsubscribe,
};
use tickcast_wire::reply::{self, AckWriter, ErrorCode, Hello, ListWriter, PublishLimits};
use tickcast_wire::{Channel, Encoding, Pattern, PatternError, Symbol, SymbolError};

fn parse(text: &str) -> Result<Command, CommandError> {
    Command::parse(&mut text.as_bytes().to_vec(), &mut Buffers::new())
}

fn fault(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

fn text_id(text: &str) -> Option<CommandId> {
    IdText::new(text).map(CommandId::Text)
}

fn symbol(text: &str) -> Symbol {
    Symbol::new(text).unwrap()
}

#[test]
fn a_subscribe_with_everything() {
    let text = r#" {"op":"subscribe","id":1,"topics":["BTCUSDT.trade","*.quote"],"mode":"conflate",
        "max_rate":10,"snapshot":false,"future":{"x":[1,2.5,null]},
        "resume":{"epoch":"18446744073709551615","topics":{"ETHUSDT.bar_1m":7,"BTCUSDT.trade":"123"}}} "#;
    let btc = (symbol("BTCUSDT"), Channel::Trade, 123);
    let eth = (symbol("ETHUSDT"), Channel::parse("bar_1m").unwrap(), 7);
    let expected = Subscribe {
        id: Some(CommandId::Integer(1)),
        topics: vec![
            Ok(Pattern::One(symbol("BTCUSDT"), Channel::Trade)),
            Ok(Pattern::All(Channel::Quote)),
        ],
        mode: Mode::Conflate,
        max_rate: NonZeroU32::new(10),
        snapshot: SnapshotPolicy::Skip,
        resume: Some(Resume::new(u64::MAX, vec![eth, btc]).unwrap()),
    };
    assert_eq!(parse(text), Ok(Command::Subscribe(expected.clone())));
    let resume = expected.resume.unwrap();
    assert_eq!(resume.topics(), [btc, eth]);
    assert_eq!(resume.seq(&symbol("BTCUSDT"), Channel::Trade), Some(123));
    assert_eq!(resume.seq(&symbol("BTCUSDT"), Channel::Quote), None);
}

#[test]
fn defaults_are_every_update_after_a_snapshot() {
    let text = r#"{"topics":["A.trade"],"op":"subscribe","mode":null,"max_rate":null,"id":null,
        "snapshot":null,"resume":null}"#;
    let Ok(Command::Subscribe(subscribe)) = parse(text) else { panic!("{:?}", parse(text)) };
    assert_eq!(subscribe.id, None);
    assert_eq!(subscribe.mode, Mode::Every);
    assert_eq!(subscribe.max_rate, None);
    assert_eq!(subscribe.snapshot, SnapshotPolicy::Send);
    assert_eq!(subscribe.resume, None);
}

#[test]
fn the_other_operations() {
    let topics = vec![Ok(Pattern::All(Channel::Depth))];
    assert_eq!(
        parse(r#"{"op":"unsubscribe","id":"a","topics":["*.depth"]}"#),
        Ok(Command::Unsubscribe(Unsubscribe { id: text_id("a"), topics }))
    );
    assert_eq!(
        parse(r#"{"op":"list","id":-3}"#),
        Ok(Command::List { id: Some(CommandId::Integer(-3)) })
    );
    assert_eq!(parse(r#"{"op":"ping"}"#), Ok(Command::Ping { id: None }));
    assert_eq!(
        parse(r#"{"op":"auth","token":"s3cret"}"#),
        Ok(Command::Auth { id: None, token: "s3cret".into() })
    );
}

#[test]
fn a_bad_topic_does_not_void_the_others() {
    let long = "Q".repeat(70) + ".trade";
    let text = format!(
        r#"{{"op":"subscribe","topics":["BTCUSDT.trade","btcusdt.trade","{long}","x","Ä\"\u0000.q"]}}"#
    );
    let Ok(Command::Subscribe(subscribe)) = parse(&text) else { panic!("{:?}", parse(&text)) };
    let bad = |text: &str, error| Err(BadTopic { text: Excerpt::new(text), error });
    assert_eq!(
        subscribe.topics,
        [
            Ok(Pattern::One(symbol("BTCUSDT"), Channel::Trade)),
            bad("btcusdt.trade", PatternError::Symbol(SymbolError::Character)),
            bad(&long, PatternError::Symbol(SymbolError::TooLong)),
            bad("x", PatternError::NoDot),
            bad("Ä\"\0.q", PatternError::Channel),
        ]
    );
    let cut = subscribe.topics[2].as_ref().unwrap_err().text.to_string();
    assert_eq!(cut, "Q".repeat(Excerpt::BYTES_MAX) + "...");
    // A cut never divides a character.
    assert_eq!(Excerpt::new(&"ä".repeat(40)).as_str(), "ä".repeat(24) + "...");
    assert_eq!(Excerpt::new(&("x".to_owned() + &"ä".repeat(40))).as_str().len(), 47 + 3);
}

#[test]
fn faults_name_the_field_the_value_and_what_was_expected() {
    for (text, expected) in [
        (r#"{}"#, "op: missing, expected subscribe, unsubscribe, list, ping, auth or publish"),
        (
            r#"{"op":"subscribe","topics":["A.b"],"mode":"fast"}"#,
            r#"mode: expected "every" or "conflate", found "fast""#,
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"max_rate":0}"#,
            "max_rate: expected an integer from 1 to 1000, in updates a second, found 0",
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"max_rate":2.5}"#,
            "max_rate: expected an integer from 1 to 1000, in updates a second, found 2.5",
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"max_rate":1001}"#,
            "max_rate: expected an integer from 1 to 1000, in updates a second, found 1001",
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"snapshot":"yes"}"#,
            r#"snapshot: expected true or false, found "yes""#,
        ),
        (
            r#"{"op":"subscribe"}"#,
            r#"topics: missing, expected an array of topics such as "BTCUSDT.trade" or "*.quote""#,
        ),
        (
            r#"{"op":"subscribe","topics":"A.trade"}"#,
            r#"topics: expected an array of topics such as "BTCUSDT.trade" or "*.quote", found "A.trade""#,
        ),
        (
            r#"{"op":"subscribe","topics":[]}"#,
            "topics: expected at least one topic, found an empty array",
        ),
        (
            r#"{"op":"subscribe","topics":["A.trade",{"B":1}]}"#,
            r#"topics[1]: expected a string such as "BTCUSDT.trade", found an object"#,
        ),
        (r#"{"op":"subscribe","topics":["A.b"],"topics":["B.c"]}"#, "topics: given twice"),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":[1]}"#,
            "resume: expected an object with epoch and topics, found an array",
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":{"topics":{}}}"#,
            r#"resume.epoch: missing, expected an epoch as in hello, such as "1723075200""#,
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":{"epoch":"-1","topics":{}}}"#,
            r#"resume.epoch: expected an epoch as in hello, such as "1723075200", found "-1""#,
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":{"epoch":"+1","topics":{}}}"#,
            r#"resume.epoch: expected an epoch as in hello, such as "1723075200", found "+1""#,
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":{"epoch":1,"epoch":2,"topics":{}}}"#,
            "resume.epoch: given twice",
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":{"epoch":1}}"#,
            r#"resume.topics: missing, expected an object such as {"BTCUSDT.trade":"123"}"#,
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":{"epoch":1,"topics":{"*.trade":"1"}}}"#,
            r#"resume.topics: expected topics such as "BTCUSDT.trade", found "*.trade""#,
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":{"epoch":1,"topics":{"A.trade":"x"}}}"#,
            r#"resume.topics.A.trade: expected the last sequence number received, such as "123", found "x""#,
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":{"epoch":1,"topics":{"A.trade":""}}}"#,
            r#"resume.topics.A.trade: expected the last sequence number received, such as "123", found """#,
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":{"epoch":1,"topics":{"A.trade":"18446744073709551616"}}}"#,
            r#"resume.topics.A.trade: expected the last sequence number received, such as "123", found "18446744073709551616""#,
        ),
        (
            r#"{"op":"subscribe","topics":["A.b"],"resume":{"epoch":1,"topics":{"A.trade":"1","A.trade":"2"}}}"#,
            "resume.topics.A.trade: given twice",
        ),
        (
            r#"{"op":"ping","id":1.5}"#,
            "id: expected an integer or a string of at most 36 bytes, found 1.5",
        ),
        (
            r#"{"op":"ping","id":true}"#,
            "id: expected an integer or a string of at most 36 bytes, found true",
        ),
        (
            r#"{"op":"ping","id":"0123456789012345678901234567890123456"}"#,
            r#"id: expected an integer or a string of at most 36 bytes, found "0123456789012345678901234567890123456""#,
        ),
        (r#"{"op":"auth"}"#, "token: missing, expected a string of 1 to 8192 bytes"),
        (
            r#"{"op":"auth","token":""}"#,
            "token: expected a string of 1 to 8192 bytes, found a string of another length",
        ),
        (
            r#"{"op":"auth","token":{}}"#,
            "token: expected a string of 1 to 8192 bytes, found an object",
        ),
    ] {
        let refused = parse(text).expect_err(text);
        assert_eq!(refused.to_string(), expected, "{text}");
        assert_eq!(refused.code(), ErrorCode::BadField, "{text}");
    }
    let op = parse(r#"{"op":"subscirbe","id":"x"}"#).unwrap_err();
    assert_eq!(op.code(), ErrorCode::UnknownOp);
    assert_eq!(op.id, text_id("x"), "the id is read before anything else is refused");
    assert_eq!(
        op.to_string(),
        r#"op: expected subscribe, unsubscribe, list, ping, auth or publish, found "subscirbe""#
    );
    assert_eq!(fault("[1]"), "a command is a JSON object, not an array");
    assert_eq!(fault("7"), "a command is a JSON object, not 7");
    assert_eq!(fault(r#"{"op":1,"id":5}"#).split(", found ").last(), Some("1"));
}

#[test]
fn what_is_not_json_is_malformed() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "nonsense",
        "{\"op\":\"ping\"",
        "{\"op\":\"ping\"}}",
        "{'op':'ping'}",
        "{\"op\":\"ping\",}",
        "{\"op\":\"ping\"} {\"op\":\"ping\"}",
        "{\"op\" \"ping\"}",
        "\u{feff}{}",
        "{\"op\":\"pi\\qng\"}",
        "{\"id\":01,\"op\":\"ping\"}",
        "{\"op\":\"ping\"}\0",
        "NaN",
        "{\"op\":\"\\ud800\"}",
        "{\"id\":99999999999999999999999,\"op\":\"ping\"}",
    ] {
        let refused = parse(text).expect_err(text);
        assert_eq!(refused.code(), ErrorCode::Malformed, "{text:?}: {refused}");
    }
    let deep = "[".repeat(40) + &"]".repeat(40);
    let refused = parse(&format!(r#"{{"op":"ping","x":{deep}}}"#)).unwrap_err();
    assert!(matches!(refused.fault, Fault::Syntax { .. }), "{refused}");
}

/// Every position of a command with a byte that is not UTF-8, at each offset to the parser's blocks.
#[test]
fn bytes_that_are_no_text_are_refused() {
    let mut buffers = Buffers::new();
    for padding in 0..70 {
        let text = format!(r#"{}{{"op":"ping","x":"{}"}}"#, " ".repeat(padding), "y".repeat(40));
        for at in 0..text.len() {
            for byte in [0x80, 0xC0, 0xED, 0xF8, 0xFF] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = byte;
                let refused = Command::parse(&mut bytes, &mut buffers).unwrap_err();
                assert_eq!(refused.fault, Fault::Utf8, "{byte:#x} at {at} of {text}");
            }
        }
        assert!(Command::parse(&mut text.into_bytes(), &mut buffers).is_ok());
    }
}

#[test]
fn limits_hold() {
    let topics = |count| vec!["\"A.trade\""; count].join(",");
    let subscribe = |count| format!(r#"{{"op":"subscribe","topics":[{}]}}"#, topics(count));
    assert!(parse(&subscribe(TOPICS_PER_COMMAND_MAX)).is_ok());
    let refused = parse(&subscribe(TOPICS_PER_COMMAND_MAX + 1)).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::TooManyTopics);
    assert_eq!(refused.to_string(), "topics: at most 1000 topics in a command, found 1001");

    let ping = |bytes: usize| r#"{"op":"ping"}"#.to_owned() + &" ".repeat(bytes - 13);
    assert!(parse(&ping(COMMAND_BYTES_MAX)).is_ok());
    let refused = parse(&ping(COMMAND_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::TooLong);

    // The derivation of COMMAND_BYTES_MAX: the largest sensible command fits.
    let symbol = |i: usize| format!("{i:0>32}.depth20");
    let topics: Vec<String> = (0..TOPICS_PER_COMMAND_MAX).map(symbol).collect();
    let points: serde_json::Map<String, Value> =
        topics.iter().map(|topic| (topic.clone(), json!(u64::MAX.to_string()))).collect();
    let command = json!({"op": "subscribe", "id": "x".repeat(36), "topics": topics,
        "resume": {"epoch": u64::MAX.to_string(), "topics": points}});
    let Ok(Command::Subscribe(command)) = parse(&command.to_string()) else { panic!("refused") };
    assert_eq!(command.resume.unwrap().topics().len(), TOPICS_PER_COMMAND_MAX);
}

#[test]
fn buffers_keep_nothing_of_the_last_command() {
    let mut buffers = Buffers::new();
    let mut run = |text: &str| Command::parse(&mut text.as_bytes().to_vec(), &mut buffers);
    assert!(run(r#"{"op":"auth","token":"one"}"#).is_ok());
    assert!(run(r#"{"op":"#).is_err());
    assert!(run(r#"{"op":"auth"}"#).is_err());
    assert_eq!(run(r#"{"op":"ping"}"#), Ok(Command::Ping { id: None }));
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {out:?}"))
}

#[test]
fn replies_are_json_and_echo_the_id_in_kind() {
    let number = CommandId::Integer(7);
    let odd = text_id("\"\\\u{1}ä\n").unwrap();
    assert_eq!(written(|out| reply::pong(out, Some(&number))), json!({"op": "pong", "id": 7}));
    assert_eq!(written(|out| reply::pong(out, None)), json!({"op": "pong"}));
    assert_eq!(
        written(|out| reply::ack(out, Some(&odd))),
        json!({"op": "ack", "id": "\"\\\u{1}ä\n"})
    );
    let max = CommandId::Unsigned(u64::MAX);
    assert_eq!(
        written(|out| reply::error(out, Some(&max), ErrorCode::NotEntitled, "no \"publish\"")),
        json!({"op": "error", "id": u64::MAX, "code": 7, "name": "not_entitled",
               "msg": "no \"publish\""})
    );
    let refused = parse(r#"{"op":"\u0007","id":3}"#).unwrap_err();
    let reply = written(|out| reply::command_error(out, &refused));
    assert_eq!(reply["id"], 3);
    assert_eq!(reply["code"], ErrorCode::UnknownOp.code());
    assert_eq!(reply["msg"].as_str(), Some(refused.to_string().as_str()));
}

#[test]
fn an_ack_has_a_result_for_each_topic() {
    let number = CommandId::Integer(1);
    let reply = written(|out| {
        let mut ack = AckWriter::new(out, Some(&number));
        ack.accepted("BTCUSDT.trade", Some(u64::MAX));
        ack.accepted("*.quote", None);
        ack.refused("X\"y", ErrorCode::BadTopic, PatternError::NoDot);
        ack.finish();
    });
    assert_eq!(
        reply,
        json!({"op": "ack", "id": 1, "results": [
            {"topic": "BTCUSDT.trade", "ok": true, "seq": "18446744073709551615"},
            {"topic": "*.quote", "ok": true},
            {"topic": "X\"y", "ok": false, "code": 20, "name": "bad_topic",
             "msg": "a topic is written SYMBOL.channel or *.channel"},
        ]})
    );
    let reply = written(|out| {
        let mut list = ListWriter::new(out, None);
        list.topic("BTCUSDT.trade", Mode::Every, None, Some(9));
        list.topic("*.quote", Mode::Conflate, NonZeroU32::new(10), None);
        list.finish();
    });
    assert_eq!(
        reply,
        json!({"op": "list", "topics": [
            {"topic": "BTCUSDT.trade", "mode": "every", "seq": "9"},
            {"topic": "*.quote", "mode": "conflate", "max_rate": 10},
        ]})
    );
}

#[test]
fn hello_says_what_holds_on_the_connection() {
    let hello = Hello {
        encoding: Encoding::Sbe,
        epoch: u64::MAX,
        heartbeat_ms: 5_000,
        subscriptions_max: 20_000,
        commands_per_second: 50,
        auth: None,
        publish: None,
    };
    let with_publish = Hello {
        publish: Some(PublishLimits { ticks_per_second: 1_000, in_flight: 4_096 }),
        ..hello
    };
    let limits = &written(|out| with_publish.write(out))["limits"];
    assert_eq!(
        [&limits["ticks_per_publish"], &limits["publish_rate"], &limits["publish_in_flight"]],
        [&json!(1_000), &json!(1_000), &json!(4_096)]
    );
    assert_eq!(
        written(|out| hello.write(out)),
        json!({"op": "hello", "version": 1, "encoding": "sbe", "schema_version": 1,
            "epoch": "18446744073709551615", "heartbeat_ms": 5000,
            "limits": {"command_bytes": 131_072, "topics_per_command": 1000,
                "subscriptions": 20_000, "commands_per_second": 50, "max_rate": 1000}})
    );
}

#[test]
fn error_codes_are_distinct() {
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(code.code()), Some(code));
        assert_eq!(ErrorCode::ALL.iter().filter(|other| other.name() == code.name()).count(), 1);
    }
    assert_eq!(ErrorCode::from_code(0), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Command::parse(&mut bytes, &mut Buffers::new());
    }

    /// Valid commands with some bytes changed reach deeper than noise does.
    #[test]
    fn no_mutation_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = br#"{"op":"subscribe","id":"a\u00e4","topics":["BTCUSDT.trade","*.quote"],"mode":"every",
            "max_rate":10,"snapshot":true,"resume":{"epoch":"12","topics":{"BTCUSDT.trade":"123"}}}"#.to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(refused) = Command::parse(&mut bytes, &mut Buffers::new()) {
            let mut out = Vec::new();
            reply::command_error(&mut out, &refused);
            prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
        }
    }

    /// Whatever JSON a client sends, the parser agrees with another one on whether it is JSON.
    #[test]
    fn agrees_with_serde_json(text in r#"[ \{\}\[\]:,"a0-9\.eE\-\\ntfu]{0,12}"#) {
        let refused = parse(&text);
        let is_json = serde_json::from_str::<Value>(&text).is_ok();
        let malformed = matches!(&refused, Err(CommandError { fault: Fault::Syntax { .. }, .. }));
        prop_assert_eq!(malformed, !is_json, "{}: {:?}", text, refused);
    }
}
