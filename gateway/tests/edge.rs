//! Gateways in a tree, as processes of their own: a client at a leaf gets what one at the root gets.

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::credentials::Credentials;
use support::process::{Gateway, PATIENCE, free_address, get, until};
use support::subscriber::{Message, Subscriber};
use wire::sbe::{self, Message as Event};
use wire::{Channel, FeedState, GapReason};

const SBE: &str = "tickcast.v1.sbe";

/// A slow test machine must not be mistaken for a slow client.
const PATIENT: [&str; 6] = ["--shards", "1", "--lag-age", "1h", "--slow-age", "1h"];

fn root() -> Gateway {
    let source = ["--source", "sim", "--symbols", "3", "--rate", "1500"];
    Gateway::start(&[&source[..], &PATIENT].concat())
}

fn edge(at: SocketAddr, upstream: SocketAddr) -> Gateway {
    let source = format!("ws://{upstream}");
    let mut edge = Gateway::spawn(at, &[&["--source", &source][..], &PATIENT].concat());
    until("an edge that is ready", || {
        assert!(edge.process.is_running(), "{}", edge.process.log());
        get(edge.admin, "/readyz").filter(|(status, _)| *status == 200)
    });
    edge
}

/// Everything that a client was sent, by topic and number.
#[derive(Default)]
struct Record {
    /// The decoded message as text: every field of it.
    messages: BTreeMap<(Name, u32, u64), String>,
    gaps: Vec<(Name, GapReason, u64)>,
    states: Vec<FeedState>,
    last: BTreeMap<(Name, u32), u64>,
    epoch: u64,
}

/// A channel's name: channels themselves have no order.
type Name = &'static str;

impl Record {
    fn enter(&mut self, bytes: &[u8]) {
        for event in sbe::decode(bytes) {
            let event = event.expect("the gateway's messages decode");
            match &event {
                Event::Gap(gap) => {
                    for entry in gap.entries.clone() {
                        self.gaps.push((entry.channel.name(), entry.reason, entry.count));
                        let last = entry.first_seq + entry.count - 1;
                        self.last.insert((entry.channel.name(), entry.instrument), last);
                    }
                }
                Event::FeedStatus { state, .. } => self.states.push(*state),
                Event::Definition { epoch, .. } => self.epoch = *epoch,
                _ => {}
            }
            let (Some(head), Some(channel)) = (event.head(), event.channel()) else { continue };
            let topic = (channel.name(), head.instrument);
            let last = self.last.insert(topic, head.seq);
            // A state is not an event: when it entered the ring is not known.
            let is_state = match event {
                Event::DepthSnapshot(_) => true,
                Event::PartialDepth(_) => last.is_none() || head.ring_delay_ns == 0,
                _ => false,
            };
            if is_state {
                continue;
            }
            assert!(
                last.is_none_or(|last| head.seq == last + 1),
                "{topic:?} {last:?} {}",
                head.seq
            );
            self.messages.insert((topic.0, topic.1, head.seq), format!("{event:?}"));
        }
    }

    fn count(&self, channel: Channel) -> usize {
        self.messages.keys().filter(|(name, _, _)| *name == channel.name()).count()
    }

    /// How many messages of a channel both were sent; they must be the same.
    fn compare(&self, other: &Self, channel: Channel) -> usize {
        let of_channel = |(name, _, _): &(Name, u32, u64)| *name == channel.name();
        let mut same = 0;
        for (topic, message) in self.messages.iter().filter(|(topic, _)| of_channel(topic)) {
            if let Some(other) = other.messages.get(topic) {
                assert_eq!(message, other);
                same += 1;
            }
        }
        same
    }
}

/// A subscriber with what it was sent.
struct Watcher {
    subscriber: Subscriber,
    record: Record,
}

impl Watcher {
    fn new(gateway: &Gateway, topics: &[&str]) -> Self {
        let mut subscriber = Subscriber::connect(gateway.listen, SBE);
        let ack = subscriber.subscribe(topics, "");
        assert!(!ack.contains("\"ok\":false"), "{ack}");
        Self { subscriber, record: Record::default() }
    }

    /// Takes what has come by now.
    fn look(&mut self) {
        while let Some(message) = self.subscriber.next(Duration::from_millis(20)) {
            match message {
                Message::Binary(bytes) => self.record.enter(&bytes),
                Message::Text(_) => {}
                end => panic!("the stream stopped: {end:?}"),
            }
        }
    }
}

/// Lets clients look until `enough`.
fn follow(watchers: &mut [&mut Watcher], mut enough: impl FnMut(&[&mut Watcher]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !enough(watchers) {
        assert!(Instant::now() < deadline, "{PATIENCE:?} were not enough");
        for watcher in watchers.iter_mut() {
            let until = Instant::now() + Duration::from_millis(100);
            while Instant::now() < until
                && let Some(Message::Binary(bytes)) =
                    watcher.subscriber.next(Duration::from_millis(20))
            {
                watcher.record.enter(&bytes);
            }
        }
    }
}

const TOPICS: [&str; 11] = [
    "*.trade",
    "*.agg_trade",
    "*.quote",
    "BTCUSDT.depth",
    "BTCUSDT.depth5",
    "BTCUSDT.ticker",
    "BTCUSDT.ticker_1h",
    "BTCUSDT.average",
    "BTCUSDT.bar_1s",
    "BTCUSDT.bar_1m",
    "*.status",
];

#[test]
fn a_leaf_says_what_the_root_says() {
    let root = root();
    let middle = edge(free_address(), root.listen);
    let leaf = edge(free_address(), middle.listen);
    let mut above = Watcher::new(&root, &TOPICS);
    let mut below = Watcher::new(&leaf, &TOPICS);
    let channels = [
        (Channel::Trade, 100),
        (Channel::Quote, 300),
        (Channel::Depth, 100),
        (Channel::Depth5, 100),
        (Channel::Ticker, 3),
        (Channel::AggTrade, 50),
        (Channel::parse("ticker_1h").unwrap(), 3),
        (Channel::Average, 3),
        (Channel::parse("bar_1s").unwrap(), 5),
    ];
    follow(&mut [&mut above, &mut below], |watchers| {
        channels.iter().all(|(channel, least)| {
            watchers[0].record.compare(&watchers[1].record, *channel) >= *least
        })
    });
    above.look();
    assert_eq!(above.record.epoch, below.record.epoch, "one epoch in all of the tree");
    assert_eq!(below.record.gaps, [], "nothing is missing at the leaf");
    let (_, of_root) = get(root.listen, "/v1/instruments").unwrap();
    let (_, of_leaf) = get(leaf.listen, "/v1/instruments").unwrap();
    assert_eq!(of_root, of_leaf);
    assert!(middle.metric("tickcast_sessions") >= 1.0);
}

#[test]
fn a_leaf_loses_no_trade_when_the_gateway_above_it_dies() {
    let root = root();
    let mut middle = edge(free_address(), root.listen);
    let leaf = edge(free_address(), middle.listen);
    let topics = ["*.trade", "BTCUSDT.depth"];
    let mut above = Watcher::new(&root, &topics);
    let mut below = Watcher::new(&leaf, &topics);
    follow(&mut [&mut above, &mut below], |watchers| {
        watchers[1].record.count(Channel::Trade) > 100
    });
    middle.process.kill();
    let of_outage = above.record.count(Channel::Trade) + 100;
    follow(&mut [&mut above], |watchers| watchers[0].record.count(Channel::Trade) > of_outage);
    let middle = edge(middle.listen, root.listen);
    let before = below.record.count(Channel::Trade);
    let newest = above.record.last.clone();
    follow(&mut [&mut above, &mut below], |watchers| {
        let reached = |topic, last| watchers[1].record.last.get(topic).is_some_and(|at| at > last);
        newest.iter().all(|(topic, last)| reached(topic, last))
            && watchers[1].record.count(Channel::Depth) > 100
    });
    above.look();
    assert!(below.record.count(Channel::Trade) > before + 100, "the outage was caught up");
    // Numbers follow one another, or `enter` had panicked; and not one trade is in a gap.
    let lost = below.record.gaps.iter().filter(|(channel, _, _)| *channel == "trade").count();
    assert_eq!(lost, 0, "{:?}", below.record.gaps);
    assert!(above.record.compare(&below.record, Channel::Trade) > 200);
    assert!(above.record.compare(&below.record, Channel::Depth) > 100);
    assert_eq!(below.record.epoch, above.record.epoch);
    drop(middle);
}

#[test]
fn a_root_that_restarts_is_a_new_epoch_everywhere() {
    let mut top = root();
    let middle = edge(free_address(), top.listen);
    let mut below = Watcher::new(&middle, &["*.trade"]);
    follow(&mut [&mut below], |watchers| watchers[0].record.count(Channel::Trade) > 20);
    let first = below.record.epoch;
    top.process.kill();
    follow(&mut [&mut below], |watchers| watchers[0].record.states.contains(&FeedState::Silent));
    let source = ["--source", "sim", "--symbols", "2", "--rate", "1500"];
    let top = Gateway::spawn(top.listen, &[&source[..], &PATIENT].concat());
    below.record.last.clear();
    follow(&mut [&mut below], |watchers| {
        let record = &watchers[0].record;
        record.states.contains(&FeedState::Restarted) && record.epoch != first
    });
    drop(top);
}

#[test]
fn an_upstream_that_asks_for_a_token_is_shown_one() {
    let credentials =
        Credentials::new("[roles.edge]\nsee = [\"*.*\"]\n", &[("edge", "open-sesame", "edge")]);
    credentials.put("token", "open-sesame\n");
    let source = ["--source", "sim", "--symbols", "3", "--rate", "1500"];
    let root = Gateway::start(&[&source[..], &PATIENT, &["--auth", credentials.path()]].concat());
    let source = format!("ws://{}", root.listen);
    let stranger = Gateway::spawn(free_address(), &["--source", &source]);
    let why = until("the edge's reason", || {
        let (_, body) = get(stranger.admin, "/readyz")?;
        body.contains("401").then_some(body)
    });
    assert!(why.contains("credential"), "{why}");
    let token = std::path::Path::new(credentials.path()).with_file_name("token");
    let arguments = ["--source", &source, "--source-token-file", token.to_str().unwrap()];
    let edge = Gateway::start(&[&arguments[..], &PATIENT].concat());
    let mut subscriber = Subscriber::connect(edge.listen, SBE);
    let ack = subscriber.subscribe(&["BTCUSDT.trade"], "");
    assert!(ack.contains("\"ok\":true"), "{ack}");
    let mut record = Record::default();
    while record.messages.len() < 20 {
        if let Some(Message::Binary(bytes)) = subscriber.next(Duration::from_millis(20)) {
            record.enter(&bytes);
        }
    }
    assert_eq!(record.gaps, []);
}
