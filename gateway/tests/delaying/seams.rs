//! Delayed sources whose epochs change in mid-stream: a recording that is replayed over and over, a feed that is
//! killed, and a bus. What the line tells is checked against what was really published, number by number.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bus::Nats;
use ring::{Reader, Ring, Start};
use serde_json::Value;
use wire::sbe::{self, Message as Event};
use wire::{Channel, FeedState, GapReason, Kind, Tick};

use crate::support::bus_feed::{Feed, INSTRUMENTS};
use crate::support::bus_server::{BusKind, BusServer};
use crate::support::event_source::EventSource;
use crate::support::ledger::Ledger;
use crate::support::process::{Gateway, PATIENCE, feed_sim, get, until};
use crate::support::recordings;
use crate::support::ring_file::RingFile;
use crate::support::subscriber::{Message, Subscriber};
use crate::{delay_ns, delayed, is_old, now_ns, times, wait_until_ready};

/// A topic of one epoch.
type Topic = (u64, Channel, u32);

/// Numbers of topics, and when they were in a ring or here, ns since 1970.
type Numbers = BTreeMap<Topic, BTreeMap<u64, u64>>;

/// What a subscriber was told, and when.
#[derive(Default)]
struct Told {
    epoch: u64,
    ledger: Ledger,
    /// The states of the feed, with their epochs.
    states: Vec<(FeedState, u64)>,
    /// Numbers that came one by one.
    numbers: Numbers,
    /// Those up to which whole books came.
    books: Numbers,
    /// How old what came was at least, by the venue's time; `None`: nothing came.
    youngest_ns: Option<u64>,
}

impl Told {
    /// Subscribes, and enters everything until it is enough.
    fn follow(gateway: &Gateway, enough: impl Fn(&Self) -> bool) -> Self {
        let mut subscriber = Subscriber::connect(gateway.listen, "tickcast.v1.sbe");
        let ack = subscriber.subscribe(&["*.trade", "*.quote", "*.depth"], r#","mode":"every""#);
        assert!(!ack.contains("\"ok\":false"), "{ack}");
        let (mut told, deadline) = (Self::default(), Instant::now() + 2 * PATIENCE);
        while !enough(&told) {
            assert!(Instant::now() < deadline, "it goes on and on: {:?}", told.states);
            match subscriber.next(PATIENCE) {
                Some(Message::Binary(bytes)) => told.enter(&bytes),
                Some(Message::Text(_)) => {}
                other => panic!("the stream stopped: {other:?}"),
            }
        }
        told
    }

    fn enter(&mut self, bytes: &[u8]) {
        let here_ns = now_ns();
        for event in sbe::decode(bytes).map(|event| event.expect("the gateway's decode")) {
            match event {
                Event::FeedStatus { state, epoch, .. } => {
                    self.states.push((state, epoch));
                    self.turn_to(epoch);
                }
                Event::Definition { epoch, .. } => self.turn_to(epoch),
                _ => {}
            }
            // That no number comes twice, out of order, or goes without a word, is the ledger's to say.
            self.ledger.enter(&event);
            let (Some(head), Some(channel)) = (event.head(), event.channel()) else { continue };
            let topic = (self.epoch, channel, head.instrument);
            let numbers = match event {
                Event::DepthSnapshot(_) => &mut self.books,
                _ => &mut self.numbers,
            };
            numbers.entry(topic).or_default().entry(head.seq).or_insert(here_ns);
            let age_ns = here_ns.saturating_sub(head.ts_event_ns);
            self.youngest_ns = Some(self.youngest_ns.map_or(age_ns, |least| least.min(age_ns)));
        }
    }

    fn turn_to(&mut self, epoch: u64) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.ledger.clear();
        }
    }

    /// The epochs there were, in the order of their begins.
    fn epochs(&self) -> Vec<u64> {
        let of_states = self.states.iter().map(|(_, epoch)| *epoch);
        let mut epochs: Vec<u64> = of_states.chain([self.epoch]).collect();
        epochs.dedup();
        epochs
    }

    /// The number that all topics of the present epoch have come to.
    fn reached(&self) -> u64 {
        let present = self.numbers.iter().filter(|((epoch, ..), _)| *epoch == self.epoch);
        present.filter_map(|(_, numbers)| numbers.keys().next_back()).min().copied().unwrap_or(0)
    }

    /// Whether the present epoch has gone on for a while.
    fn has_much(&self) -> bool {
        let present = self.numbers.iter().filter(|((epoch, ..), _)| *epoch == self.epoch);
        present.map(|(_, numbers)| numbers.len()).sum::<usize>() > 300
    }
}

/// Writes down what a ring's file has, and what replaces it, until it is told to stop.
fn record(path: &Path, stop: &AtomicBool) -> Numbers {
    let (mut numbers, mut records) = (Numbers::new(), Vec::new());
    let mut tape: Option<(Ring, Reader, u64)> = None;
    loop {
        // Before reading: what came before it is read.
        let is_over = stop.load(Ordering::Relaxed);
        let mut is_quiet = true;
        if let Some((_, reader, epoch)) = &mut tape {
            let read = reader.read(&mut records, 4_096);
            assert_eq!(read.lost, 0, "the test itself was lapped");
            is_quiet = read.records == 0;
            for words in &records {
                let tick = Tick::from_words(*words);
                match tick.kind() {
                    Ok(Kind::Epoch) => *epoch = tick.epoch(),
                    Ok(Kind::Data(channel)) if tick.ends() => {
                        let topic = (*epoch, channel, tick.instrument);
                        numbers.entry(topic).or_default().insert(tick.seq, tick.ts_ring_ns);
                    }
                    _ => {}
                }
            }
        }
        if is_quiet {
            if is_over {
                return numbers;
            }
            if tape.as_ref().is_none_or(|(ring, ..)| ring.is_replaced())
                && let Ok(ring) = Ring::open(path)
            {
                let (reader, epoch) = (ring.reader(Start::Oldest), ring.epoch());
                tape = Some((ring, reader, epoch));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The first frames of a recording, as one that is soon over.
fn short_recording(folder: &Path) -> String {
    let whole = std::fs::File::open(recordings().join("spot_btcusdt_20240808.gz")).unwrap();
    let lines = BufReader::new(flate2::read::GzDecoder::new(whole)).lines().map_while(Result::ok);
    let path = folder.join("short");
    let mut short = std::fs::File::create(&path).unwrap();
    lines.take(2_500).for_each(|line| writeln!(short, "{line}").unwrap());
    path.to_str().unwrap().to_owned()
}

/// Tells that a subscriber has heard everything that was published, and nothing before its time.
fn assert_whole(told: &Told, truth: &Numbers) {
    let is_reset = |gap: &wire::GapEntry| gap.reason == GapReason::Reset;
    assert!(told.ledger.gaps.iter().all(is_reset), "{:?}", told.ledger.gaps);
    let epochs = told.epochs();
    let none = BTreeMap::new();
    let (mut heard_of, mut ends) = (0, 0);
    for (topic @ (epoch, channel, _), published) in truth {
        let is_subscribed = matches!(channel, Channel::Trade | Channel::Quote | Channel::Depth);
        if !is_subscribed || !epochs.contains(epoch) {
            continue;
        }
        let heard = told.numbers.get(topic).unwrap_or(&none);
        let books = told.books.get(topic).unwrap_or(&none);
        for (seq, here_ns) in heard.iter().chain(books) {
            let ring_ns = published.get(seq).unwrap_or_else(|| panic!("{topic:?}: no {seq}"));
            let waited_ns = here_ns.saturating_sub(*ring_ns);
            assert!(waited_ns >= delay_ns(), "{topic:?}: {seq} after {waited_ns} ns");
            heard_of += 1;
        }
        let (first, last) = (published.keys().next(), published.keys().next_back());
        if *epoch != epochs[0] {
            let from = heard.keys().chain(books.keys()).min();
            assert_eq!(from, first, "{topic:?} begins in its midst");
        }
        if *epoch != told.epoch {
            assert_eq!(heard.keys().next_back(), last, "{topic:?} has no end");
            ends += 1;
        }
    }
    assert!(heard_of > 1_000 && ends >= 3, "{heard_of} numbers, {ends} ends");
}

/// Ends threads that go on until they are told, also when what they are for has failed.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The recording over and over, each turn another epoch; and the feed is killed in the middle of one, and comes back.
#[test]
fn a_replay_is_told_whole_and_no_sooner_whatever_becomes_of_its_feed() {
    let folder = tempfile::tempdir().unwrap();
    let (ring, replay) = (RingFile::new("seams"), short_recording(folder.path()));
    let (url, source) = (ring.url(), format!("replay:{replay}"));
    let begin = || feed_sim(&["--out", &url, "--source", &source, "--speed", "10", "--loop"]);
    let mut feed = begin();
    until("the ring", || ring.path().exists().then_some(()));
    let late = delayed(&["--source", &url, "--feed-silent-after", "500ms"]);
    let (stop, turns) = (AtomicBool::new(false), AtomicUsize::new(0));
    let is_silent = AtomicBool::new(false);
    let (told, truth) = thread::scope(|scope| {
        let end = AtEnd(&stop);
        let truth = scope.spawn(|| record(ring.path(), &stop));
        wait_until_ready(&late);
        let told = scope.spawn(|| {
            Told::follow(&late, |told| {
                turns.store(told.epochs().len(), Ordering::Relaxed);
                let silent = told.states.iter().find(|(state, _)| *state == FeedState::Silent);
                is_silent.store(silent.is_some(), Ordering::Relaxed);
                silent.is_some_and(|(_, epoch)| *epoch != told.epoch && told.has_much())
            })
        });
        until("three turns", || (turns.load(Ordering::Relaxed) >= 3).then_some(()));
        feed.kill();
        // What it wrote last was taken in before that was seen.
        until("the silence to be told", || is_silent.load(Ordering::Relaxed).then_some(()));
        let again = begin();
        let told = told.join().expect("its asserts hold");
        drop((end, again));
        (told, truth.join().expect("its asserts hold"))
    });
    assert!(told.epochs().len() >= 4, "{:?}", told.states);
    assert_whole(&told, &truth);
    assert_eq!(late.metric("tickcast_delay_dropped_total"), 0.0);
}

/// Listens until the second epoch has gone on for a while, and says all the time how far it is in the present one.
fn both_epochs(gateway: &Gateway, reached: &AtomicU64) -> Told {
    Told::follow(gateway, |told| {
        reached.store(told.reached(), Ordering::Relaxed);
        told.epoch == 78 && told.has_much()
    })
}

/// Two epochs of a bus, one after the other, and every door looked through meanwhile.
#[test]
fn a_bus_is_told_whole_and_no_sooner_by_any_door_also_across_its_epochs() {
    let server = BusServer::start(BusKind::Nats);
    let url = server.url();
    let feed = Feed::start::<Nats>(&url, 77);
    let patience = ["--lag-age", "1h", "--slow-age", "1h"];
    let live = Gateway::start(&[&["--source", &url, "--shards", "1"], &patience[..]].concat());
    let late = delayed(&["--source", &url]);
    wait_until_ready(&late);
    let is_over = AtomicBool::new(false);
    let reached = [const { AtomicU64::new(0) }; 2];
    let (early, told) = thread::scope(|scope| {
        let _end = AtEnd(&is_over);
        let early = scope.spawn(|| both_epochs(&live, &reached[0]));
        let told = scope.spawn(|| both_epochs(&late, &reached[1]));
        for path in [
            "/v1/snapshot/S3",
            "/v1/trades/S3",
            "/api/v3/trades?symbol=S3",
            "/api/v3/depth?symbol=S3",
            "/api/v3/ticker/24hr?symbol=S3",
        ] {
            let (late, is_over) = (&late, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    look_through(late, path);
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
        scope.spawn(|| {
            let query = "topics=S3.trade,S3.depth,S3.quote";
            let (mut events, _) = EventSource::stream(late.listen, query, None);
            while !is_over.load(Ordering::Relaxed) {
                let told = events.data().into_iter().filter(|event| event.get("seq").is_some());
                told.for_each(|event| is_old("SSE", event));
            }
        });
        scope.spawn(|| {
            let path = "/stream?streams=s3@trade/s3@depth@100ms/s3@bookTicker";
            let mut streams = Subscriber::upgrade(late.listen, path, None);
            while !is_over.load(Ordering::Relaxed) {
                let text = streams.next_text(PATIENCE);
                look_at("exchange", &text);
            }
        });
        feed.advance(100);
        feed.pause(true);
        until("everything to be told", || {
            let has_all = |at: &AtomicU64| at.load(Ordering::Relaxed) >= feed.newest();
            reached.iter().all(has_all).then_some(())
        });
        drop(feed);
        let _feed = Feed::start::<Nats>(&url, 78);
        let early = early.join().expect("its asserts hold");
        (early, told.join().expect("its asserts hold"))
    });
    // Its ticks bear the time at which they were appended.
    assert!(told.youngest_ns.is_some_and(|age_ns| age_ns >= delay_ns()), "{:?}", told.youngest_ns);
    for (topic, live) in &early.numbers {
        let heard = &told.numbers[topic];
        let books = told.books.get(topic).into_iter().flat_map(BTreeMap::keys);
        let begin = *heard.keys().chain(books).min().expect("not empty");
        let end = *live.keys().next_back().expect("not empty");
        assert!(topic.0 == 77 || begin <= *live.keys().next().unwrap(), "{topic:?}: {begin}");
        let missing = live.keys().filter(|seq| **seq > begin && !heard.contains_key(seq));
        let missing: Vec<&u64> = missing.filter(|seq| topic.0 == 77 || **seq < end).collect();
        assert!(missing.is_empty(), "{topic:?}: {missing:?}");
    }
    assert_eq!(early.numbers.len(), 2 * 3 * INSTRUMENTS as usize);
}

fn look_through(late: &Gateway, path: &str) {
    if let Some((200, body)) = get(late.listen, path) {
        look_at(path, &body);
    }
}

/// Between two epochs there may be nothing to look at.
fn look_at(door: &str, text: &str) {
    let told: Value = serde_json::from_str(text).expect("JSON");
    let mut found = Vec::new();
    times(&told, &mut found);
    if !found.is_empty() {
        is_old(door, told);
    }
}
