//! Books as clients of the exchange's protocol build them, and the recording's own at each of its steps.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::json;
use crate::support::recordings;

/// One side of a book: quantities by price, as texts.
type Levels = BTreeMap<String, String>;

/// See the module's header. Two books are equal if neither has a level that the other has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) bids: Levels,
    pub(crate) asks: Levels,
    pub(crate) id: u64,
    /// Of all levels, in no order.
    pub(crate) fingerprint: u64,
}

impl Book {
    pub(crate) fn of_snapshot(snapshot: &Value) -> Self {
        let mut book = Self::default();
        book.set(&snapshot["bids"], &snapshot["asks"]);
        book.id = snapshot["lastUpdateId"].as_u64().expect("an id");
        book
    }

    pub(crate) fn apply(&mut self, event: &Value) {
        self.set(&event["b"], &event["a"]);
        self.id = event["u"].as_u64().expect("an id");
    }

    fn set(&mut self, bids: &Value, asks: &Value) {
        for (side, levels, changes) in [(0, &mut self.bids, bids), (1, &mut self.asks, asks)] {
            for change in changes.as_array().expect("changes are a list") {
                let text = |at: usize| change[at].as_str().expect("numbers are texts").to_owned();
                let (price, quantity) = (text(0), text(1));
                let is_gone = quantity.bytes().all(|byte| matches!(byte, b'0' | b'.'));
                let before = if is_gone {
                    levels.remove(&price)
                } else {
                    self.fingerprint ^= of_level(side, &price, &quantity);
                    levels.insert(price.clone(), quantity)
                };
                if let Some(before) = before {
                    self.fingerprint ^= of_level(side, &price, &before);
                }
            }
        }
    }
}

fn of_level(side: u8, price: &str, quantity: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (side, price, quantity).hash(&mut hasher);
    hasher.finish()
}

/// The depth of a recording: a snapshot, and the events that go on from there.
pub(crate) struct RecordedDepth {
    pub(crate) snapshot: Book,
    pub(crate) events: Vec<Value>,
}

impl RecordedDepth {
    pub(crate) fn read(file: &str) -> Self {
        let file = File::open(recordings().join(file)).expect("checked by recordings()");
        let (mut snapshot, mut events) = (None, Vec::new());
        for line in BufReader::new(GzDecoder::new(file)).lines() {
            let line = line.expect("the recording is whole");
            let (_, frame) = line.split_once(' ').expect("receive time, space, frame");
            if frame.contains("@depth@100ms") {
                events.push(json(frame)["data"].clone());
            } else if frame.starts_with("{\"lastUpdateId\"") {
                snapshot = Some(Book::of_snapshot(&json(frame)));
            }
        }
        let snapshot = snapshot.expect("a snapshot is recorded");
        events.retain(|event| event["u"].as_u64().expect("an id") > snapshot.id);
        Self { snapshot, events }
    }

    /// The fingerprint of the book as it was at first and behind each event, by update id.
    pub(crate) fn steps(&self) -> HashMap<u64, u64> {
        let mut book = self.snapshot.clone();
        let mut steps = HashMap::from([(book.id, book.fingerprint)]);
        for event in &self.events {
            book.apply(event);
            steps.insert(book.id, book.fingerprint);
        }
        steps
    }

    /// The book that it ends with.
    pub(crate) fn last(&self) -> Book {
        let mut book = self.snapshot.clone();
        self.events.iter().for_each(|event| book.apply(event));
        book
    }
}
