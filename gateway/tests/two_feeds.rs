//! Two feeds of one market, each in a process and a ring of its own, merged by a gateway: either may die,
//! and clients notice nothing.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::process::{Gateway, PATIENCE, Process, feed_sim, get, until};
use support::ring_file::RingFile;
use support::subscriber::{Message, Subscriber};
use wire::sbe::{self, Message as Event};
use wire::{Channel, FeedState};

/// The market that both lines carry.
struct Market {
    start: String,
    more: Vec<&'static str>,
}

impl Market {
    /// Its feeds have this epoch, or each its own.
    fn new(epoch: Option<&'static str>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let more = epoch.map(|epoch| vec!["--epoch", epoch]).unwrap_or_default();
        Self { start: now.to_string(), more }
    }

    /// A feed of it. One that is restarted makes all from the start once more.
    fn feed(&self, ring: &RingFile) -> Process {
        let url = ring.url();
        let market = ["--symbols", "3", "--seed", "7", "--rate", "2000", "--start-at", &self.start];
        feed_sim(&[&["--out", &url][..], &market, &self.more].concat())
    }
}

fn gateway(one: &RingFile, other: &RingFile, more: &[&str]) -> Gateway {
    let (one, other) = (one.url(), other.url());
    let sources = ["--source", &one, "--source", &other, "--feed-silent-after", "5s"];
    // A slow test machine must not be mistaken for a slow client, nor a slow feed for a lossy one.
    let patient =
        ["--shards", "1", "--lag-age", "1h", "--slow-age", "1h", "--arbitration-wait", "10s"];
    Gateway::start(&[&sources[..], &patient, more].concat())
}

/// How many lines the gateway calls live.
fn lines_live(gateway: &Gateway) -> usize {
    let (_, body) = get(gateway.admin, "/readyz").expect("operators' port answers");
    body.matches("\"live\":true").count()
}

/// A client that must get every trade once and in order, and hear of nothing else.
struct Watcher {
    subscriber: Subscriber,
    trades: u64,
    depths: u64,
    last: BTreeMap<(u8, u32), u64>,
    trade_ids: BTreeMap<u32, u64>,
}

impl Watcher {
    fn new(gateway: &Gateway) -> Self {
        let mut subscriber = Subscriber::connect(gateway.listen, "tickcast.v1.sbe");
        let ack = subscriber.subscribe(&["*.trade", "*.depth", "*.quote"], "");
        assert!(!ack.contains("\"ok\":false"), "{ack}");
        let (last, trade_ids) = (BTreeMap::new(), BTreeMap::new());
        Self { subscriber, trades: 0, depths: 0, last, trade_ids }
    }

    fn enter(&mut self, bytes: &[u8]) {
        for event in sbe::decode(bytes) {
            let event = event.expect("the gateway's messages decode");
            match &event {
                Event::Gap(gap) => panic!("a gap: {:?}", gap.entries.clone().collect::<Vec<_>>()),
                Event::FeedStatus { state, .. } => assert_eq!(*state, FeedState::Live),
                Event::DepthSnapshot(_) => assert_eq!(self.depths, 0, "a book that was lost"),
                Event::DepthUpdate(_) => self.depths += 1,
                Event::Trade(head, trade) => {
                    self.trades += 1;
                    let last = self.trade_ids.insert(head.instrument, trade.trade_id);
                    assert!(
                        last.is_none_or(|last| trade.trade_id == last + 1),
                        "{last:?} {trade:?}"
                    );
                }
                _ => {}
            }
            if let (Some(head), Some(channel)) = (event.head(), event.channel()) {
                let last = self.last.insert((channel.code(), head.instrument), head.seq);
                // A book may come in several parts.
                let is_part = matches!(&event, Event::DepthSnapshot(part) if !part.part.is_first());
                let follows = last.is_none_or(|last| head.seq == last + 1 - u64::from(is_part));
                assert!(follows, "{} {last:?} {}", channel.name(), head.seq);
            }
        }
    }

    /// Follows so many more trades, and until `enough`.
    fn follow(&mut self, trades: u64, mut enough: impl FnMut() -> bool) {
        let (deadline, goal) = (Instant::now() + PATIENCE, self.trades + trades);
        while self.trades < goal || !enough() {
            assert!(Instant::now() < deadline, "{PATIENCE:?} were not enough: {}", self.trades);
            match self.subscriber.next(Duration::from_millis(100)) {
                Some(Message::Binary(bytes)) => self.enter(&bytes),
                Some(Message::Text(_)) | None => {}
                end => panic!("the stream stopped: {end:?}"),
            }
        }
    }
}

/// Kills one, restarts it, kills the other, under load.
fn either_may_die(epoch: Option<&'static str>, name: &str) {
    let rings = [RingFile::new(&format!("{name}-a")), RingFile::new(&format!("{name}-b"))];
    let market = Market::new(epoch);
    let [mut one, mut other] = rings.each_ref().map(|ring| market.feed(ring));
    until("both rings", || rings.iter().all(|ring| ring.path().exists()).then_some(()));
    let gateway = gateway(&rings[0], &rings[1], &[]);
    until("both lines", || (lines_live(&gateway) == 2).then_some(()));
    let mut watcher = Watcher::new(&gateway);
    watcher.follow(100, || true);
    one.kill();
    watcher.follow(100, || lines_live(&gateway) == 1);
    let mut one = market.feed(&rings[0]);
    watcher.follow(100, || lines_live(&gateway) == 2);
    other.kill();
    watcher.follow(300, || lines_live(&gateway) == 1);
    assert!(one.is_running());
    assert!(watcher.depths > 100 && watcher.last.len() > 6);
    assert!(gateway.metric("tickcast_lines_duplicates_total") > 100.0);
    assert_eq!(gateway.metric("tickcast_lines_missing_total"), 0.0);
    assert!(watcher.last.keys().any(|(channel, _)| *channel == Channel::Quote.code()));
}

#[test]
fn either_of_two_feeds_with_the_same_numbers_may_die() {
    either_may_die(Some("4711"), "numbers");
}

#[test]
fn either_of_two_feeds_with_numbers_of_their_own_may_die() {
    either_may_die(None, "ids");
}

#[test]
fn a_line_that_has_nothing_in_common_is_refused_with_the_reason() {
    let rings = [RingFile::new("refused-a"), RingFile::new("refused-b")];
    let feed = |ring: &RingFile, symbols| {
        let pulse = ["--source", "pulse", "--rate", "100", "--symbols", symbols];
        feed_sim(&[&["--out", &ring.url()][..], &pulse].concat())
    };
    let feeds = [feed(&rings[0], "3"), feed(&rings[1], "4")];
    until("both rings", || rings.iter().all(|ring| ring.path().exists()).then_some(()));
    let gateway = gateway(&rings[0], &rings[1], &[]);
    until("a refusal", || {
        let (_, body) = get(gateway.admin, "/readyz")?;
        body.contains("its instruments are others").then_some(())
    });
    until("the other to go on alone", || (lines_live(&gateway) == 1).then_some(()));
    drop(feeds);
}
