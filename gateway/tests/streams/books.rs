//! Books: clients that attach at random moments, fetch their snapshot late, drop out and stall all
//! converge to the market's book, and update ids never break without a visible jump.
//!
//! A recording is replayed sixty times as fast as it was, or less on a machine that is slow. Each client
//! does what the exchange's documentation tells it to: it collects changes, fetches a snapshot, drops what
//! that has, and goes on. The book of each client must be the recording's behind every event and every snapshot, level for level
//! in both directions: an update id that hid a loss would show there at once. In the end all have the book
//! that the recording ends with.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::book::{Book, RecordedDepth};
use crate::random::Random;
use crate::support::process::{Gateway, get};
use crate::support::recordings;
use crate::support::subscriber::{Message, Subscriber};
use crate::{PATIENCE, connect, json};

const RECORDING: &str = "spot_btcusdt_20240808.gz";
const CLIENTS: usize = 12;

/// What one client went through.
#[derive(Debug, Default)]
struct Story {
    events: u32,
    /// Events that did not go on where the one before ended.
    jumps: u32,
    snapshots: u32,
    /// Books that were compared with the recording's.
    compared: u32,
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
        pacing_bytes_per_second: None,
    };
    sys::configure(client.socket(), &options).expect("a connected socket");
    client
}

/// What all clients know: the market's books by update id, and where they end.
struct Market {
    steps: HashMap<u64, u64>,
    end: u64,
}

impl Market {
    fn compare(&self, book: &Book, what: &str, story: &mut Story) {
        let expected = self.steps.get(&book.id).unwrap_or_else(|| panic!("{what}: no {}", book.id));
        assert_eq!(book.fingerprint, *expected, "{what} at {}: another book: {story:?}", book.id);
        story.compared += 1;
    }

    /// Follows the stream until the book has the last id.
    fn follow(&self, gateway: &Gateway, stream: &str, seed: u64) -> (Book, Story) {
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
            if let Some(book) = book.as_ref().filter(|book| book.id == self.end) {
                return (book.clone(), story);
            }
            if book.is_none() && Instant::now() >= fetch_at {
                // A slow answer.
                let fetched = fetch(gateway);
                thread::sleep(Duration::from_millis(pick(200)));
                story.snapshots += 1;
                book = fetched;
                if let Some(book) = &book {
                    self.compare(book, "a snapshot", &mut story);
                }
                fetch_at = Instant::now() + Duration::from_millis(100 + pick(300));
            }
            match client.next(Duration::from_millis(20)) {
                Some(Message::Text(text)) => held.push(json(&text)),
                None => {}
                other => panic!("{stream}: {other:?}"),
            }
            let Some(known) = &mut book else { continue };
            for event in held.drain(..) {
                let (first, last) =
                    (event["U"].as_u64().expect("U"), event["u"].as_u64().expect("u"));
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
                self.compare(known, stream, &mut story);
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
}

/// Has clients converge until it was as difficult as it is to be: the slower the replay, the more of it there is for
/// those who are late on a busy machine.
fn converge_until(more: &[&str], is_difficult: impl Fn(&Gateway, &[Story]) -> bool) {
    let mut told = Vec::new();
    let is_enough = ["60", "60", "30", "15"].into_iter().any(|speed| {
        let (gateway, stories) = converge(speed, more);
        let had_all = |story: &Story| story.events > 0 && story.snapshots > 0 && story.compared > 1;
        let is_enough = stories.iter().all(had_all) && is_difficult(&gateway, &stories);
        told.push(stories);
        is_enough
    });
    assert!(is_enough, "nobody stalled long enough: {told:?}");
}

/// Runs the clients to their end, and answers what they went through.
fn converge(speed: &str, more: &[&str]) -> (Gateway, Vec<Story>) {
    let recorded = RecordedDepth::read(RECORDING);
    let expected = recorded.last();
    // Else a snapshot could not be told from one that lacks levels.
    assert!(expected.bids.len() < 5000 && expected.asks.len() < 5000);
    let market = Market { steps: recorded.steps(), end: expected.id };
    let source = format!("replay:{}", recordings().join(RECORDING).display());
    let usual = [
        "--source",
        &source,
        "--speed",
        speed,
        "--shards",
        "2",
        "--sndbuf",
        "16KiB",
        "--notsent-lowat",
        "4KiB",
        "--exchange-connections",
        "0",
        "--exchange-weight",
        "0",
    ];
    let gateway = Gateway::start(&[&usual[..], more].concat());
    let ends: Vec<(Book, Story)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|nth| {
                let (gateway, market) = (&gateway, &market);
                let stream = ["btcusdt@depth@100ms", "btcusdt@depth"][nth % 2];
                scope.spawn(move || market.follow(gateway, stream, 7 + nth as u64))
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client converges")).collect()
    });
    let stories = ends.into_iter().map(|(book, story)| {
        assert_eq!(book, expected, "{story:?}");
        story
    });
    let stories = stories.collect();
    (gateway, stories)
}

#[test]
fn clients_that_come_late_drop_out_and_stall_converge_to_the_markets_book() {
    converge_until(&["--lag-age", "50ms"], |gateway, _| {
        gateway.metric("tickcast_merges_total") > 0.0
    });
}

#[test]
fn clients_of_which_the_log_lost_sight_see_the_jump_and_converge_too() {
    // A log of so few entries has the market of some 200 ms.
    converge_until(&["--log-entries", "1024", "--lag-age", "30s"], |_, stories| {
        stories.iter().any(|story| story.jumps > 0)
    });
}
