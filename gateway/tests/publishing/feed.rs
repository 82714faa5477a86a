//! `feed-sim --out ws://…`: what a feed publishes as clients do is what subscribers get, tick by tick. Its ticks
//! are a function of its seed and start, so that the test has them from the feed itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use feed_sim::Feed;
use feed_sim::market::{Market, MarketConfig};
use feed_sim::pulse::Pulse;
use wire::sbe::{self, Message as Event};
use wire::{Channel, Instrument, Kind, Quote, Tick};

use crate::BUSES;
use crate::support::bus_server::{BusKind, BusServer};
use crate::support::credentials::{Credentials, now_s};
use crate::support::ledger::Ledger;
use crate::support::process::{Gateway, PATIENCE, Process, feed_sim, feed_sim_with, free_address};
use crate::support::process::{get, until};
use crate::support::subscriber::{Message, Subscriber};

/// A tick as subscribers get it: `C<place>.<channel>`, the event's time, and prices, quantities, number and side.
type Told = (u64, [i64; 5]);

/// By topic, in order.
type Tape = BTreeMap<(u32, Channel), Vec<Told>>;

/// A bus with instruments that clients publish, as a feed defines them. The feed ends with it.
struct Place {
    server: BusServer,
    _feed: Process,
}

impl Place {
    fn new(kind: BusKind) -> Self {
        let server = BusServer::start(kind);
        let url = server.url();
        let source = ["--source", "pulse", "--symbols", "1", "--rate", "10", "--published", "2"];
        let feed = feed_sim(&[&["--out", &url], &source[..]].concat());
        Self { server, _feed: feed }
    }

    /// A gateway that serves and publishes what is at the bus.
    fn gateway(&self, listen: SocketAddr, more: &[&str]) -> Gateway {
        let url = self.server.url();
        let all = ["--source", &url, "--bus", &url, "--shards", "2", "--publish-rate", "100k"];
        let patience = ["--lag-age", "1h", "--slow-age", "1h"];
        let gateway = Gateway::spawn(listen, &[&all[..], &patience, more].concat());
        until("a gateway that is ready to serve and to publish", || {
            let is_ready = get(gateway.admin, "/readyz").is_some_and(|(status, _)| status == 200);
            (is_ready && gateway.process.log().contains("catalog is known")).then_some(())
        });
        gateway
    }
}

/// Listens to what is published, from the first on.
struct Listener {
    subscriber: Subscriber,
    symbols: BTreeMap<u32, String>,
    ledger: Ledger,
    tape: Tape,
}

impl Listener {
    fn begin(gateway: &Gateway) -> Self {
        let mut subscriber = Subscriber::connect(gateway.listen, "tickcast.v1.sbe");
        let topics = ["C0.trade", "C0.quote", "C1.trade", "C1.quote"];
        let ack = subscriber.subscribe(&topics, r#","mode":"every""#);
        assert!(!ack.contains("\"ok\":false"), "{ack}");
        let (symbols, ledger, tape) = (BTreeMap::new(), Ledger::default(), Tape::new());
        Self { subscriber, symbols, ledger, tape }
    }

    /// Enters what comes until there is as much as that.
    fn follow(&mut self, ticks: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.tape.values().map(Vec::len).sum::<usize>() < ticks {
            assert!(Instant::now() < deadline, "{ticks} ticks, and here are {:?}", self.ledger);
            match self.subscriber.next(PATIENCE) {
                Some(Message::Binary(bytes)) => self.enter(&bytes),
                Some(Message::Text(_)) => {}
                other => panic!("the stream stopped: {other:?}"),
            }
        }
    }

    fn enter(&mut self, bytes: &[u8]) {
        for event in sbe::decode(bytes).map(|event| event.expect("the gateway's decode")) {
            // That no number is missing, doubled or out of order is the ledger's to say.
            self.ledger.enter(&event);
            assert!(self.ledger.gaps.is_empty(), "{event:?}");
            match event {
                Event::Definition { instrument, .. } => {
                    self.symbols.insert(instrument.id, instrument.symbol.to_string());
                }
                Event::Trade(head, trade) => {
                    let told = Tick::from_trade(head.instrument, head.ts_event_ns, &trade);
                    self.tell(&told);
                }
                Event::Quote(head, quote) => {
                    self.tell(&Tick::from_quote(head.instrument, head.ts_event_ns, &quote));
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, tick: &Tick) {
        let symbol = &self.symbols[&tick.instrument];
        let place = symbol[1..].parse().expect("a letter and digits");
        let (channel, told) = told(tick, |price| price, |quantity| quantity).expect("one of both");
        self.tape.entry((place, channel)).or_default().push(told);
    }
}

/// A trade or quote as subscribers get it, with prices and quantities as published.
fn told(
    tick: &Tick,
    price: impl Fn(i64) -> i64,
    quantity: impl Fn(i64) -> i64,
) -> Option<(Channel, Told)> {
    let side = |at: i64, quantity_there: i64| match quantity_there {
        0 => [0, 0],
        _ => [price(at), quantity(quantity_there)],
    };
    let (channel, values) = match tick.kind() {
        Ok(Kind::Data(Channel::Trade)) => {
            let trade = tick.trade();
            let number = trade.trade_id.cast_signed();
            let taker = i64::from(trade.buyer_is_maker);
            let values = [price(trade.price), quantity(trade.quantity), number, taker, 0];
            (Channel::Trade, values)
        }
        Ok(Kind::Data(Channel::Quote)) => {
            let Quote { bid_price, bid_quantity, ask_price, ask_quantity, .. } = tick.quote();
            let (bid, ask) = (side(bid_price, bid_quantity), side(ask_price, ask_quantity));
            (Channel::Quote, [bid[0], bid[1], ask[0], ask[1], 0])
        }
        _ => return None,
    };
    Some((channel, (tick.ts_event_ns, values)))
}

/// What a feed begins with, as it is published: so many trades and quotes of all topics together.
fn truth(feed: &mut dyn Feed, start_ns: u64, ticks: usize) -> Tape {
    feed.start(start_ns);
    let instruments = feed.instruments().to_vec();
    let (mut tape, mut batch, mut count) = (Tape::new(), Vec::new(), 0);
    while count < ticks {
        batch.clear();
        let _ = feed.next(&mut batch);
        for tick in &batch {
            let Instrument { price_exponent, quantity_exponent, .. } =
                instruments[tick.instrument as usize];
            // What clients publish has two places of prices and three of quantities.
            let price = |price: i64| scaled(price, price_exponent, -2);
            let quantity = |quantity: i64| scaled(quantity, quantity_exponent, -3);
            if let Some((channel, told)) = told(tick, price, quantity) {
                tape.entry((tick.instrument, channel)).or_default().push(told);
                count += 1;
            }
        }
    }
    tape
}

/// A number with other places, rounded down to them, and not to nothing.
fn scaled(mantissa: i64, from: i8, to: i8) -> i64 {
    let ten = |places: i8| 10_i64.pow(u32::from(places.unsigned_abs()));
    let scaled = if from >= to { mantissa * ten(from - to) } else { mantissa / ten(to - from) };
    scaled.max(1)
}

/// What a feed that has ended says that it published: acknowledged, refused and uncertain.
fn said(feed: &Process) -> [usize; 3] {
    let line = line_of(feed, " ticks acknowledged, ");
    assert!(line.ends_with("; 0 records overwritten"), "{line}");
    let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
    [0; 3].map(|_: usize| numbers.next().expect("three numbers"))
}

/// The line with this in what a process says, also when it has just ended.
fn line_of(process: &Process, part: &str) -> String {
    until(part, || process.log().lines().find(|line| line.contains(part)).map(str::to_owned))
}

#[test]
fn what_a_feed_publishes_through_a_gateway_reaches_subscribers_as_it_was() {
    const ENOUGH: usize = 300;
    for kind in BUSES {
        let place = Place::new(kind);
        let gateway = place.gateway(free_address(), &["--publish", "local"]);
        let mut listener = Listener::begin(&gateway);
        let start_s = now_s();
        let (url, start) = (format!("ws://{}/v1/stream", gateway.listen), start_s.to_string());
        let market = ["--symbols", "2", "--rate", "300", "--seed", "7", "--start-at", &start];
        let mut feed = feed_sim(&[&["--out", &url], &market[..]].concat());
        listener.follow(ENOUGH);
        assert_eq!(feed.terminate(), Some(0), "{}", feed.log());
        let [acknowledged, refused, uncertain] = said(&feed);
        assert_eq!((refused, uncertain), (0, 0), "{kind:?}");
        listener.follow(acknowledged);
        let config = MarketConfig { seed: 7, instruments: 2, rate: 300, ..MarketConfig::default() };
        let start_ns = start_s * 1_000_000_000;
        let mut market = Market::join(&config, start_ns).expect("a good configuration");
        let truth = truth(&mut market, start_ns, 2 * acknowledged);
        for (topic, told) in &listener.tape {
            assert_eq!(*told, truth[topic][..told.len()], "{kind:?}: {topic:?}");
        }
        let count = listener.tape.values().map(Vec::len).sum::<usize>();
        assert_eq!((listener.tape.len(), count), (4, acknowledged), "{kind:?}");
    }
}

#[test]
fn a_feed_goes_on_when_its_gateway_was_restarted() {
    const ENOUGH: usize = 50;
    let place = Place::new(BusKind::Nats);
    // Subscribers are at another one, which stays.
    let watched = place.gateway(free_address(), &["--publish", "local"]);
    let mut listener = Listener::begin(&watched);
    let listen = free_address();
    let mut gateway = place.gateway(listen, &["--publish", "local"]);
    let url = format!("ws://{listen}/v1/stream");
    let pulse = ["--source", "pulse", "--symbols", "2", "--rate", "200"];
    let mut feed = feed_sim(&[&["--out", &url], &pulse[..]].concat());
    listener.follow(ENOUGH);
    for end in [Process::kill as fn(&mut Process), |process| {
        assert_eq!(process.terminate(), Some(0));
    }] {
        end(&mut gateway.process);
        gateway = place.gateway(listen, &["--publish", "local"]);
        let before = listener.tape.values().map(Vec::len).sum::<usize>();
        // More than can have been on its way.
        listener.follow(before + 2 * ENOUGH);
        assert!(feed.is_running(), "{}", feed.log());
    }
    assert_eq!(feed.terminate(), Some(0), "{}", feed.log());
    let [acknowledged, refused, uncertain] = said(&feed);
    listener.follow(acknowledged);
    let count = listener.tape.values().map(Vec::len).sum::<usize>();
    assert!((acknowledged..=acknowledged + uncertain).contains(&count), "{}", feed.log());
    // What is there is there once, in the feed's order, and nothing else is.
    let mut pulse = Pulse::new(2, 200.0).expect("a good pulse");
    let truth = truth(&mut pulse, 0, acknowledged + refused + uncertain);
    for (topic, told) in &listener.tape {
        let mut rest = truth[topic].iter();
        for (_, values) in told {
            assert!(rest.any(|(_, wanted)| wanted == values), "{topic:?}: {values:?} in its place");
        }
    }
}

#[test]
fn a_feed_says_why_its_key_is_not_taken() {
    let place = Place::new(BusKind::Nats);
    let credentials = Credentials::new(
        "[roles.writer]\nsee = [\"*.*\"]\npublish = [\"C*.*\"]\n[roles.reader]\nsee = [\"*.*\"]\n",
        &[("desk", "open-sesame", "writer"), ("eye", "another", "reader")],
    );
    let publish = ["--publish", "granted", "--auth", credentials.path()];
    let gateway = place.gateway(free_address(), &publish);
    let url = format!("ws://{}/v1/stream", gateway.listen);
    let arguments = ["--out", &url, "--source", "pulse", "--symbols", "2", "--rate", "200"];
    let with = |key: Option<&str>| {
        let key = key.map(|key| ("TICKCAST_PUBLISH_KEY", key));
        feed_sim_with(&arguments, key.as_slice())
    };
    for (key, expected) in [
        (None, "the server answered HTTP 401: "),
        (Some("wrong"), "the server answered HTTP 401: "),
        (Some("another"), "the gateway does not take it: "),
        (Some("open\u{7f}"), "the token is empty, or has characters that no token has"),
    ] {
        let mut feed = with(key);
        assert_eq!(feed.wait(), Some(1), "{key:?}: {}", feed.log());
        let line = line_of(&feed, &format!("feed-sim: --out {url}: "));
        assert!(line.contains(expected), "{key:?}: {line}");
        assert!(key.is_none_or(|key| !feed.log().contains(key)), "{}", feed.log());
    }
    let mut feed = with(Some("open-sesame"));
    until("ticks of a feed with a good key", || {
        (gateway.metric("tickcast_publish_accepted_total") >= 50.0).then_some(())
    });
    assert_eq!(feed.terminate(), Some(0), "{}", feed.log());
    let [acknowledged, refused, uncertain] = said(&feed);
    assert!(acknowledged >= 50 && refused == 0 && uncertain == 0, "{}", feed.log());
}
