//! Books: clients that attach at random moments, fetch their snapshot late, drop out and stall all
//! converge to the market's book, and update ids never break without a visible jump.
//!
//! A recording is replayed sixty times as fast as it was. Each client does what the exchange's
//! documentation tells it to: it collects changes, fetches a snapshot, drops what that has, and goes on.
//! In the end each must have the book that the recording ends with, which is computed here from the
//! recording itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::random::Random;
use crate::support::process::{Gateway, get};
use crate::support::recordings;
use crate::support::subscriber::{Message, Subscriber};
use crate::{PATIENCE, connect, json};

const RECORDING: &str = "spot_btcusdt_20240808.gz";
const CLIENTS: usize = 12;

/// One side of a book: quantities by price, as texts.
type Levels = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Book {
    bids: Levels,
    asks: Levels,
    id: u64,
}

impl Book {
    fn set(levels: &mut Levels, changes: &Value) {
        for change in changes.as_array().expect("changes are a list") {
            let text = |at: usize| change[at].as_str().expect("numbers are texts").to_owned();
            let (price, quantity) = (text(0), text(1));
            if quantity.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
                levels.remove(&price);
            } else {
                levels.insert(price, quantity);
            }
        }
    }

    fn apply(&mut self, event: &Value) {
        Self::set(&mut self.bids, &event["b"]);
        Self::set(&mut self.asks, &event["a"]);
        self.id = event["u"].as_u64().expect("an id");
    }

    fn of_snapshot(snapshot: &Value) -> Self {
        let mut book = Self::default();
        Self::set(&mut book.bids, &snapshot["bids"]);
        Self::set(&mut book.asks, &snapshot["asks"]);
        let id = &snapshot["lastUpdateId"];
        book.id = id.as_u64().expect("an id");
        book
    }
}

/// The book that the recording ends with.
fn final_book() -> Book {
    let file = File::open(recordings().join(RECORDING)).expect("checked by recordings()");
    let (mut book, mut held) = (None::<Book>, Vec::new());
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let line = line.expect("the recording is whole");
        let (_, frame) = line.split_once(' ').expect("receive time, space, frame");
        if frame.contains("@depth@100ms") {
            let event = json(frame)["data"].clone();
            match &mut book {
                Some(book) if event["u"].as_u64().expect("an id") > book.id => book.apply(&event),
                Some(_) => {}
                None => held.push(event),
            }
        } else if frame.starts_with("{\"lastUpdateId\"") {
            let mut snapshot = Book::of_snapshot(&json(frame));
            for event in held.drain(..) {
                if event["u"].as_u64().expect("an id") > snapshot.id {
                    snapshot.apply(&event);
                }
            }
            book = Some(snapshot);
        }
    }
    book.expect("a snapshot is recorded")
}

/// What one client went through.
#[derive(Debug, Default)]
struct Story {
    events: u32,
    /// Events that did not go on where the one before ended.
    jumps: u32,
    snapshots: u32,
}

/// The book as the server has it now; `None`: it has none.
fn fetch(gateway: &Gateway) -> Option<Book> {
    let (status, body) = get(gateway.listen, "/api/v3/depth?symbol=BTCUSDT&limit=5000")?;
    // Before the instrument is defined there is no such symbol.
    let book = (status == 200).then(|| Book::of_snapshot(&json(&body)))?;
    (book.id > 0).then_some(book)
}

fn attach(gateway: &Gateway, stream: &str) -> Subscriber {
    let client = connect(gateway, &format!("/ws/{stream}"));
    let options = sys::SocketOptions {
        unsent_max_bytes: None,
        send_buffer_bytes: None,
        // Small, so that stalls are felt at the other end.
        receive_buffer_bytes: Some(8 * 1024),
        user_timeout: None,
    };
    sys::configure(client.socket(), &options).expect("a connected socket");
    client
}

/// Follows the stream until the book has this id.
fn follow(gateway: &Gateway, stream: &str, end: u64, seed: u64) -> (Book, Story) {
    let mut random = Random::new(seed);
    let mut pick = |below: u64| random.below(below);
    let deadline = Instant::now() + 2 * PATIENCE;
    let mut story = Story::default();
    thread::sleep(Duration::from_millis(pick(3000)));
    let mut client = attach(gateway, stream);
    let mut held: Vec<Value> = Vec::new();
    let mut book: Option<Book> = None;
    let mut fetch_at = Instant::now() + Duration::from_millis(pick(300));
    loop {
        assert!(Instant::now() < deadline, "{stream} did not converge: {story:?}");
        if let Some(book) = book.as_ref().filter(|book| book.id == end) {
            return (book.clone(), story);
        }
        if book.is_none() && Instant::now() >= fetch_at {
            // A slow answer.
            let fetched = fetch(gateway);
            thread::sleep(Duration::from_millis(pick(200)));
            story.snapshots += 1;
            book = fetched;
            fetch_at = Instant::now() + Duration::from_millis(100 + pick(300));
        }
        match client.next(Duration::from_millis(20)) {
            Some(Message::Text(text)) => held.push(json(&text)),
            None => {}
            other => panic!("{stream}: {other:?}"),
        }
        let Some(known) = &mut book else { continue };
        for event in held.drain(..) {
            let (first, last) = (event["U"].as_u64().expect("U"), event["u"].as_u64().expect("u"));
            assert!(first <= last, "{event}");
            story.events += 1;
            if last <= known.id {
                continue;
            }
            if first > known.id + 1 {
                // Visible: the documented answer is to begin anew.
                story.jumps += 1;
                book = None;
                break;
            }
            known.apply(&event);
        }
        match pick(400) {
            0 => thread::sleep(Duration::from_millis(300 + pick(700))),
            1 => {
                client = attach(gateway, stream);
                (book, held) = (None, Vec::new());
            }
            _ => {}
        }
    }
}

#[test]
fn clients_that_come_late_drop_out_and_stall_converge_to_the_markets_book() {
    let expected = final_book();
    let source = format!("replay:{}", recordings().join(RECORDING).display());
    let gateway = Gateway::start(&[
        "--source",
        &source,
        "--speed",
        "60",
        "--shards",
        "2",
        "--lag-age",
        "50ms",
        "--sndbuf",
        "16KiB",
        "--notsent-lowat",
        "4KiB",
        "--exchange-connections",
        "0",
        "--exchange-weight",
        "0",
    ]);
    let ends: Vec<(Book, Story)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|nth| {
                let (gateway, end) = (&gateway, expected.id);
                let stream = ["btcusdt@depth@100ms", "btcusdt@depth"][nth % 2];
                scope.spawn(move || follow(gateway, stream, end, 7 + nth as u64))
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client converges")).collect()
    });
    for (book, story) in &ends {
        assert_eq!(book.id, expected.id);
        let differ =
            |a: &Levels, b: &Levels| a.iter().filter(|(p, q)| b.get(*p) != Some(q)).count();
        assert_eq!(differ(&book.bids, &expected.bids), 0, "{story:?}");
        assert_eq!(differ(&book.asks, &expected.asks), 0, "{story:?}");
        assert!(story.events > 0 && story.snapshots > 0, "{story:?}");
    }
    assert!(gateway.metric("tickcast_merges_total") > 0.0, "nobody stalled long enough");
}
