//! Nobody sees what is not granted: random grants against every way in, and every byte that comes looked at.
//!
//! For each of some seeds: a grant of random rules goes into a token. With it a client of each protocol and
//! encoding asks for everything there is, by name, by wildcard, by number to resume from, by stream, and over
//! plain HTTP. What comes back must not have the name of a symbol of which nothing is granted, in either case,
//! nor its id; and of the others no event of a channel that is not granted. What is granted is worked out here, by the
//! definition of rules and not by the gateway's code. An answer that says a name back to who asked for it must be
//! the one that a symbol gets that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wire::position::Reached;
use wire::sbe::{self, Message as Event};
use wire::{Channel, Position};

use crate::bearer;
use crate::support::credentials::{Credentials, SYMMETRIC, token};
use crate::support::event_source::{EventSource, Heard};
use crate::support::process::{Gateway, get_with, until};
use crate::support::subscriber::{Message, Subscriber};

/// How many grants are tried, and how long each connection is listened to.
const SEEDS: u64 = 8;
const LISTEN: Duration = Duration::from_millis(700);

/// A symbol that does not exist.
const NOBODY: &str = "NOBODYUSDT";

/// xorshift64*: enough to draw rules.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap() % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// A grant as the token has it, and what it means.
struct Terms {
    see: Vec<String>,
    depth_levels: Option<u16>,
}

/// By definition: `*` is any text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            glob(rest, text) || (!text.is_empty() && glob(pattern, &text[1..]))
        }
        ([a, rest @ ..], [b, more @ ..]) => a == b && glob(rest, more),
        _ => false,
    }
}

impl Terms {
    fn draw(dice: &mut Dice, symbols: &[String]) -> Self {
        let channels = [
            "trade",
            "quote",
            "depth",
            "depth5",
            "depth20",
            "ticker",
            "bar_1m",
            "bar_*",
            "agg_trade",
            "ticker_1h",
            "average",
            "status",
            "*",
        ];
        let rule = |dice: &mut Dice| {
            let symbol = dice.pick(symbols).clone();
            let symbols = match dice.roll(4) {
                0 => symbol,
                1 => format!("{}*", &symbol[..2]),
                2 => "*".to_owned(),
                _ => format!("*{}", &symbol[1..]),
            };
            let sign = if dice.roll(4) == 0 { "!" } else { "" };
            format!("{sign}{symbols}.{}", dice.pick(&channels))
        };
        let see = (0..=dice.roll(5)).map(|_| rule(dice)).collect();
        let depth_levels = *dice.pick(&[None, None, Some(0), Some(5), Some(10)]);
        Self { see, depth_levels }
    }

    fn allows(&self, symbol: &str, channel: Channel) -> bool {
        let levels = match channel {
            Channel::Depth => usize::MAX,
            other => other.partial_levels().unwrap_or(0),
        };
        if self.depth_levels.is_some_and(|most| levels > usize::from(most)) {
            return false;
        }
        let is_of = |rule: &str| {
            let (symbols, channels) = rule.rsplit_once('.').unwrap();
            glob(symbols.as_bytes(), symbol.as_bytes())
                && glob(channels.as_bytes(), channel.name().as_bytes())
        };
        self.see.iter().any(|rule| !rule.starts_with('!') && is_of(rule))
            && !self.see.iter().any(|rule| rule.strip_prefix('!').is_some_and(is_of))
    }

    fn knows(&self, symbol: &str) -> bool {
        Channel::all().any(|channel| self.allows(symbol, channel))
    }
}

/// What must not be seen under one grant, and how much was.
struct Watch<'a> {
    terms: &'a Terms,
    symbols: &'a BTreeMap<String, u32>,
    hidden: Vec<&'a str>,
    events: u64,
}

impl<'a> Watch<'a> {
    fn new(terms: &'a Terms, symbols: &'a BTreeMap<String, u32>) -> Self {
        let hidden = symbols.keys().map(String::as_str).filter(|symbol| !terms.knows(symbol));
        Self { terms, symbols, hidden: hidden.collect(), events: 0 }
    }

    /// No hidden symbol's name stands anywhere, whatever is before and behind it.
    fn bytes(&self, bytes: &[u8], what: &str) {
        let text = bytes.to_ascii_uppercase();
        for symbol in &self.hidden {
            let is_there = text.windows(symbol.len()).any(|window| window == symbol.as_bytes());
            assert!(!is_there, "{symbol} in {what}: {}", String::from_utf8_lossy(bytes));
        }
    }

    fn event(&mut self, symbol: &str, channel: Channel, what: &str) {
        assert!(self.terms.allows(symbol, channel), "{symbol}.{channel} in {what}");
        self.events += 1;
    }

    /// An ack: what is refused for want of a grant is refused as what does not exist.
    fn ack(&mut self, text: &str) {
        let ack: Value = serde_json::from_str(text).unwrap();
        assert_eq!(ack["op"], "ack", "{ack}");
        let mut refused = BTreeSet::new();
        for result in ack["results"].as_array().unwrap() {
            let (symbol, channel) = result["topic"].as_str().unwrap().rsplit_once('.').unwrap();
            let channel = Channel::parse(channel).unwrap();
            let is_allowed = match symbol {
                "*" => self.symbols.keys().any(|symbol| self.terms.allows(symbol, channel)),
                NOBODY => self.terms.allows(NOBODY, channel),
                symbol => self.terms.allows(symbol, channel),
            };
            if symbol != "*" && !is_allowed {
                assert_eq!(result["ok"], false, "{result}");
                refused.insert(format!("{} {} {}", result["code"], result["name"], result["msg"]));
            }
            if is_allowed && symbol != NOBODY && symbol != "*" {
                // Where the rate is bounded it may be asked for only so often.
                let is_too_often = result["name"] == "too_many_commands";
                assert!(result["ok"] == true || is_too_often, "{result}");
            }
        }
        assert!(refused.len() <= 1, "{refused:?}");
    }

    /// Where an event stream is: not at what must not be seen.
    fn position(&mut self, id: &str) {
        let reached = match Position::parse(id).expect("an id is a position").reached {
            Reached::Topics(topics) => topics,
            Reached::Entry { last, .. } => vec![last],
        };
        for (instrument, channel, _) in reached {
            let mut symbols = self.symbols.iter();
            let (symbol, _) = symbols.find(|(_, id)| **id == instrument).expect("there is such");
            self.event(symbol, channel, "an id");
        }
    }

    /// An array of events of the native protocol.
    fn native_json(&mut self, text: &str, what: &str) {
        self.bytes(text.as_bytes(), what);
        let events: Value = serde_json::from_str(text).unwrap();
        for event in events.as_array().unwrap() {
            for gap in event["gaps"].as_array().into_iter().flatten() {
                let (symbol, channel) = gap["topic"].as_str().unwrap().rsplit_once('.').unwrap();
                self.event(symbol, Channel::parse(channel).unwrap(), what);
            }
            let Some(symbol) = event["s"].as_str() else { continue };
            match event["e"].as_str().unwrap() {
                "definition" => assert!(self.terms.knows(symbol), "{event} in {what}"),
                "snapshot" => self.event(symbol, Channel::Depth, what),
                name => match Channel::parse(name) {
                    Some(channel) => self.event(symbol, channel, what),
                    None => panic!("{event} in {what}"),
                },
            }
        }
    }

    fn native_sbe(&mut self, bytes: &[u8]) {
        self.bytes(bytes, "binary messages");
        let names: BTreeMap<u32, String> =
            self.symbols.iter().map(|(name, id)| (*id, name.clone())).collect();
        for event in sbe::decode(bytes) {
            let event = event.expect("the gateway's messages decode");
            let channel = match &event {
                Event::Trade(..) => Channel::Trade,
                Event::Quote(..) => Channel::Quote,
                Event::DepthUpdate(_) | Event::DepthSnapshot(_) => Channel::Depth,
                Event::Ticker(..) => Channel::Ticker,
                Event::Status(..) => Channel::Status,
                Event::AggTrade(..) => Channel::AggTrade,
                Event::Average(..) => Channel::Average,
                Event::Bar(_, channel, _) | Event::Rolling(_, channel, _) => *channel,
                Event::PartialDepth(partial) => partial.channel,
                Event::Definition { instrument, .. } => {
                    assert!(self.terms.knows(instrument.symbol.as_str()), "{event:?}");
                    continue;
                }
                Event::Gap(gap) => {
                    for entry in gap.entries.clone() {
                        self.event(&names[&entry.instrument], entry.channel, "a binary gap");
                    }
                    continue;
                }
                _ => continue,
            };
            let head = event.head().expect("market data has a head");
            self.event(&names[&head.instrument], channel, "binary messages");
        }
    }
}

/// Everything that comes within [`LISTEN`].
fn listen(client: &mut Subscriber, mut each: impl FnMut(Message)) {
    let until = Instant::now() + LISTEN;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        match client.next(left) {
            Some(message @ (Message::Text(_) | Message::Binary(_))) => each(message),
            Some(ended) => panic!("the connection ended: {ended:?}"),
            None => {}
        }
    }
}

/// All topics by name and by wildcard, in the order that the dice have, some of them from a number on.
fn subscribe(dice: &mut Dice, symbols: &BTreeMap<String, u32>) -> String {
    let channels: Vec<&str> = [
        "trade",
        "quote",
        "depth",
        "depth5",
        "depth10",
        "ticker",
        "bar_1m",
        "agg_trade",
        "status",
        "ticker_1h",
    ]
    .into();
    let mut topics: Vec<String> = channels.iter().map(|channel| format!("*.{channel}")).collect();
    for symbol in symbols.keys().map(String::as_str).chain([NOBODY]) {
        topics.extend(channels.iter().map(|channel| format!("{symbol}.{channel}")));
    }
    for at in (1..topics.len()).rev() {
        topics.swap(at, dice.roll(at + 1));
    }
    let mut command = json!({"op": "subscribe", "topics": topics});
    match dice.roll(3) {
        0 => command["mode"] = json!("conflate"),
        1 => command["max_rate"] = json!(5),
        _ => {}
    }
    command.to_string()
}

fn native_clients(watch: &mut Watch<'_>, dice: &mut Dice, gateway: &Gateway, key: &str) {
    for protocol in ["tickcast.v1.json", "tickcast.v1.sbe"] {
        let lines = format!("Sec-WebSocket-Protocol: {protocol}\r\n{key}");
        let mut client = Subscriber::try_upgrade(gateway.listen, "/v1/stream", &lines).unwrap();
        let hello: Value = serde_json::from_str(&client.next_text(LISTEN * 60)).unwrap();
        watch.bytes(hello.to_string().as_bytes(), "hello");
        client.send(&subscribe(dice, watch.symbols));
        client.send(r#"{"op":"list"}"#);
        // Once more, from numbers that somebody else may have been given.
        let resume: BTreeMap<String, &str> =
            watch.symbols.keys().map(|symbol| (format!("{symbol}.trade"), "1")).collect();
        let topics: Vec<&String> = resume.keys().collect();
        let resume = json!({"op": "subscribe", "topics": topics,
            "resume": {"epoch": hello["epoch"], "topics": resume.clone()}});
        client.send(&resume.to_string());
        listen(&mut client, |message| match message {
            Message::Binary(bytes) => watch.native_sbe(&bytes),
            Message::Text(text) if text.starts_with('[') => {
                watch.native_json(&text, "JSON messages");
            }
            Message::Text(text) if text.starts_with("{\"op\":\"ack\"") => watch.ack(&text),
            Message::Text(text) => watch.bytes(text.as_bytes(), "a reply"),
            _ => {}
        });
    }
}

/// Event streams: begun anew, gone on with from where they were, and from where somebody was who sees everything.
fn event_streams(watch: &mut Watch<'_>, dice: &mut Dice, gateway: &Gateway, key: &str) {
    let wildcards = "*.trade,*.quote,*.depth,*.depth5,*.ticker,*.bar_1m".to_owned();
    // Few enough that a position has the number of each.
    let channels = ["trade", "quote", "depth", "ticker"];
    let symbols: Vec<&str> = watch.symbols.keys().map(String::as_str).collect();
    let few: Vec<String> = (0..wire::position::POSITION_TOPICS_MAX)
        .map(|_| format!("{}.{}", dice.pick(&symbols), dice.pick(&channels)))
        .collect();
    for topics in [wildcards, few.join(",")] {
        let query = format!("topics={topics}");
        let mut elsewhere = EventSource::open_with(gateway.listen, &query, &bearer("everything"));
        while elsewhere.last_event_id.is_none() {
            assert_ne!(elsewhere.next(), Heard::End, "a stream goes on");
        }
        let theirs = elsewhere.last_event_id.unwrap();
        let own = event_stream(watch, gateway, &query, key);
        for id in own.into_iter().chain([theirs]) {
            let lines = format!("{key}Last-Event-ID: {id}\r\n");
            event_stream(watch, gateway, &query, &lines);
        }
    }
}

/// One of them, and where it was in the end.
fn event_stream(
    watch: &mut Watch<'_>,
    gateway: &Gateway,
    query: &str,
    headers: &str,
) -> Option<String> {
    let mut source = EventSource::open_with(gateway.listen, query, headers);
    if !source.head.starts_with("HTTP/1.1 200") {
        // It says names back to who asked for them, as of what does not exist.
        let refusal: Value = serde_json::from_str(&source.body()).unwrap();
        assert_eq!(refusal["error"]["code"], "no_topic", "{refusal}");
        watch.ack(&json!({"op": "ack", "results": refusal["results"]}).to_string());
        return None;
    }
    let until = Instant::now() + LISTEN / 4;
    let mut own = None;
    while Instant::now() < until {
        match source.next() {
            Heard::Event(event) => {
                match event.name.as_str() {
                    "" => watch.native_json(&event.data, "event streams"),
                    "ack" => watch.ack(&event.data),
                    _ => watch.bytes(event.data.as_bytes(), "event streams"),
                }
                if let Some(id) = event.id {
                    watch.position(&id);
                    own = Some(id);
                }
            }
            Heard::Comment(_) => {}
            Heard::End => panic!("the stream ended"),
        }
    }
    own
}

fn exchange_client(watch: &mut Watch<'_>, gateway: &Gateway, key: &str) {
    let kinds = [
        ("trade", Channel::Trade),
        ("aggTrade", Channel::AggTrade),
        ("bookTicker", Channel::Quote),
        ("depth@100ms", Channel::Depth),
        ("depth5@100ms", Channel::Depth5),
        ("ticker", Channel::Ticker),
        ("kline_1m", Channel::parse("bar_1m").unwrap()),
    ];
    let mut names: Vec<String> =
        vec!["!ticker@arr".into(), "!miniTicker@arr".into(), "!bookTicker".into()];
    for symbol in watch.symbols.keys() {
        names.extend(kinds.map(|(kind, _)| format!("{}@{kind}", symbol.to_lowercase())));
    }
    let path = format!("/stream?streams={}", names.join("/"));
    let mut client = Subscriber::try_upgrade(gateway.listen, &path, key).unwrap();
    listen(&mut client, |message| {
        let Message::Text(text) = message else { panic!("text, and not {message:?}") };
        watch.bytes(text.as_bytes(), "the exchange's streams");
        let event: Value = serde_json::from_str(&text).unwrap();
        let name = event["stream"].as_str().unwrap();
        if name == "!bookTicker" {
            let symbol = event["data"]["s"].as_str().unwrap();
            return watch.event(symbol, Channel::Quote, "the exchange's quotes of all");
        }
        if name.starts_with('!') {
            let all =
                watch.symbols.keys().all(|symbol| watch.terms.allows(symbol, Channel::Ticker));
            return assert!(all, "{name} is for those who see all: {event}");
        }
        let (symbol, kind) = name.split_once('@').unwrap();
        let (_, channel) = kinds.iter().find(|(known, _)| *known == kind).unwrap();
        watch.event(&symbol.to_uppercase(), *channel, "the exchange's streams");
    });
}

fn plain_http(watch: &mut Watch<'_>, gateway: &Gateway, key: &str) {
    let ask = |path: &str| {
        get_with(gateway.listen, path, key).map(|(status, _, body)| (status, body)).unwrap()
    };
    for path in [
        "/v1/instruments",
        "/api/v3/exchangeInfo",
        "/api/v3/ticker/24hr",
        "/api/v3/ticker/price",
        "/api/v3/ticker/bookTicker",
        "/v1/status",
    ] {
        let (_, body) = ask(path);
        watch.bytes(body.as_bytes(), path);
    }
    let (_, listed) = ask("/v1/instruments");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    for instrument in listed["instruments"].as_array().unwrap() {
        for channel in instrument["channels"].as_array().unwrap() {
            let channel = Channel::parse(channel.as_str().unwrap()).unwrap();
            watch.event(instrument["s"].as_str().unwrap(), channel, "the list");
        }
    }
    let paths = [
        ("/v1/snapshot/{S}?levels=all", None),
        ("/v1/bars/{S}?interval=1m", Channel::parse("bar_1m")),
        ("/v1/trades/{S}", Some(Channel::Trade)),
        ("/api/v3/exchangeInfo?symbol={S}", None),
        ("/api/v3/depth?symbol={S}", None),
        ("/api/v3/trades?symbol={S}", Some(Channel::Trade)),
        ("/api/v3/aggTrades?symbol={S}", Some(Channel::AggTrade)),
        ("/api/v3/klines?symbol={S}&interval=1m", Channel::parse("bar_1m")),
        ("/api/v3/ticker/price?symbol={S}", None),
        ("/api/v3/ticker/bookTicker?symbol={S}", Some(Channel::Quote)),
        ("/api/v3/ticker/24hr?symbol={S}", Some(Channel::Ticker)),
        ("/api/v3/ticker?symbol={S}&windowSize=1h", Channel::parse("bar_1m")),
        ("/api/v3/avgPrice?symbol={S}", None),
    ];
    for (path, channel) in paths {
        let of = |symbol: &str| {
            let (status, body) = ask(&path.replace("{S}", symbol));
            (status, body.replace(symbol, "S"))
        };
        let nobody = of(NOBODY);
        for symbol in watch.symbols.keys() {
            let found = of(symbol);
            if !watch.terms.knows(symbol) {
                assert_eq!(found, nobody, "{path} of {symbol}");
            } else if let Some(channel) = channel
                && !watch.terms.allows(symbol, channel)
            {
                assert_eq!(found.0, 403, "{path} of {symbol}: {}", found.1);
            }
        }
    }
    for symbol in watch.symbols.keys().filter(|symbol| watch.terms.knows(symbol)) {
        let (_, body) = ask(&format!("/v1/snapshot/{symbol}?levels=all"));
        let snapshot: Value = serde_json::from_str(&body).unwrap();
        let book = snapshot.get("book").map(std::slice::from_ref);
        for event in snapshot["last"].as_array().unwrap().iter().chain(book.unwrap_or_default()) {
            let channel = match event["e"].as_str().unwrap() {
                "snapshot" => Channel::Depth,
                name => Channel::parse(name).unwrap(),
            };
            watch.event(symbol, channel, "a snapshot");
        }
    }
}

#[test]
fn nobody_sees_what_is_not_granted() {
    let text = format!("[roles.all]\nsee = [\"*.*\"]\n{SYMMETRIC}");
    let credentials = Credentials::new(&text, &[("all", "everything", "all")]);
    let gateway = Gateway::start(&[
        "--shards",
        "2",
        "--symbols",
        "12",
        "--rate",
        "3000",
        "--exchange-message-rate",
        "0",
        "--exchange-weight",
        "0",
        "--exchange-connections",
        "0",
        "--auth",
        credentials.path(),
    ]);
    let symbols: BTreeMap<String, u32> = until("all instruments, and a past", || {
        let (_, _, body) = get_with(gateway.listen, "/v1/instruments", &bearer("everything"))?;
        let listed: Value = serde_json::from_str(&body).ok()?;
        let listed = listed["instruments"].as_array()?.iter().map(|instrument| {
            let id = instrument["instrument"].as_u64().unwrap();
            (instrument["s"].as_str().unwrap().to_owned(), u32::try_from(id).unwrap())
        });
        let listed: BTreeMap<String, u32> = listed.collect();
        (listed.len() == 12 && gateway.metric("tickcast_feed_published_total") > 5_000.0)
            .then_some(listed)
    });
    let names: Vec<String> = symbols.keys().cloned().collect();
    let (mut hidden, mut events) = (0, 0);
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let terms = Terms::draw(&mut dice, &names);
        let mut inline = json!({"see": terms.see});
        if let Some(levels) = terms.depth_levels {
            inline["depth_levels"] = json!(levels);
        }
        if dice.roll(3) == 0 {
            inline["max_rate"] = json!(10);
        }
        if dice.roll(3) == 0 {
            inline["conflate"] = json!(true);
        }
        println!("seed {seed}: {inline}");
        let key = bearer(&token("anybody", 600, &json!({"tickcast": inline})));
        let mut watch = Watch::new(&terms, &symbols);
        native_clients(&mut watch, &mut dice, &gateway, &key);
        event_streams(&mut watch, &mut dice, &gateway, &key);
        exchange_client(&mut watch, &gateway, &key);
        plain_http(&mut watch, &gateway, &key);
        hidden += watch.hidden.len();
        events += watch.events;
    }
    // Not for want of anything to see, or to hide.
    assert!(hidden > 20 && events > 1_000, "{hidden} hidden symbols, {events} events");
}
