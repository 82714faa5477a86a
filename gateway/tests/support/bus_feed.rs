//! A feed that writes to a bus what the test can foretell: every tick follows from its number.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bus::{
    AppendError, Backend, Batch, BusUrl, Catalog, ConnectOptions, Offset, Storage, StoreOptions,
    StoredImage, inbox, keys,
};
use wire::{Book, Channel, Instrument, InstrumentImage, Level, Presence, Quote, Side, Tick, Trade};

use super::process::until;

/// How many instruments the feed has, S0, S1, …
pub const INSTRUMENTS: u32 = 8;

/// How many of them are in a bucket.
pub const BUCKET_SIZE: u32 = 2;

/// How many batches of a bucket go by between two images.
const IMAGE_EVERY: u64 = 20;

fn instrument(id: u32) -> Instrument {
    Instrument::numbered(id, Channel::Trade.bit() | Channel::Quote.bit() | Channel::Depth.bit())
}

/// The levels that the depth group of this number changes.
fn changes(seq: u64) -> [Level; 3] {
    let n = i64::try_from(seq).expect("numbers of a test are small");
    [
        Level { side: Side::Bid, price: 1_000 - n % 7, quantity: n },
        Level { side: Side::Ask, price: 1_001 + n % 5, quantity: n },
        // Deletes what an earlier one has set.
        Level { side: Side::Ask, price: 1_001 + (n + 2) % 5, quantity: 0 },
    ]
}

/// The book of any instrument after the depth group of this number.
#[must_use]
pub fn book_after(seq: u64) -> Book {
    let mut book = Book::new();
    // What is older is overwritten: the pattern is 35 long.
    for number in seq.saturating_sub(40).max(1)..=seq {
        changes(number).iter().for_each(|level| book.apply(level));
    }
    book
}

fn trade(id: u32, seq: u64, now_ns: u64) -> Tick {
    let trade = Trade {
        price: 1_000,
        quantity: i64::try_from(seq).expect("small"),
        trade_id: seq,
        ts_trade_ns: now_ns,
        buyer_is_maker: false,
    };
    Tick { seq, ts_ring_ns: now_ns, ..Tick::from_trade(id, now_ns, &trade) }
}

fn quote(id: u32, seq: u64, now_ns: u64) -> Tick {
    let quote = Quote {
        bid_price: 1_000,
        bid_quantity: i64::try_from(seq).expect("small"),
        ask_price: 1_001,
        ask_quantity: 1,
        update_id: seq,
    };
    Tick { seq, ts_ring_ns: now_ns, ..Tick::from_quote(id, now_ns, &quote) }
}

/// All ticks of one number of an instrument: a trade, a quote, a depth group.
fn push(ticks: &mut Vec<Tick>, id: u32, seq: u64, now_ns: u64) {
    ticks.push(trade(id, seq, now_ns));
    ticks.push(quote(id, seq, now_ns));
    let begin = ticks.len();
    Tick::push_depth(ticks, id, now_ns, seq..=seq, &changes(seq));
    for tick in &mut ticks[begin..] {
        (tick.seq, tick.ts_ring_ns) = (seq, now_ns);
    }
}

/// A feed at work on a thread of its own: every few milliseconds the next number of every instrument.
pub struct Feed {
    stop: Arc<AtomicBool>,
    pause: Arc<AtomicBool>,
    newest: Arc<Mutex<u64>>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Begins this epoch at a bus.
    #[must_use]
    pub fn start<B: Backend>(url: &str, epoch: u64) -> Self {
        let url: BusUrl = url.parse().expect("a URL");
        let (stop, pause, newest) = (Arc::default(), Arc::default(), Arc::default());
        let writer = Writer::<B> {
            backend: None,
            url,
            epoch,
            seq: 0,
            tails: Vec::new(),
            stop: Arc::clone(&stop),
            pause: Arc::clone(&pause),
            newest: Arc::clone(&newest),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(writer.run());
        });
        Self { stop, pause, newest, thread: Some(thread) }
    }

    /// The newest number that all buckets have.
    #[must_use]
    pub fn newest(&self) -> u64 {
        *self.newest.lock().expect("no holder panics")
    }

    /// Waits until so many more numbers are there.
    pub fn advance(&self, by: u64) -> u64 {
        let target = self.newest() + by;
        until("the feed to go on", || (self.newest() >= target).then(|| self.newest()))
    }

    /// Says nothing from now on, or goes on.
    pub fn pause(&self, is_paused: bool) {
        self.pause.store(is_paused, Ordering::Relaxed);
        // What is being appended is then done.
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the feed failed");
        }
    }
}

struct Writer<B> {
    backend: Option<B>,
    url: BusUrl,
    epoch: u64,
    seq: u64,
    tails: Vec<Offset>,
    stop: Arc<AtomicBool>,
    pause: Arc<AtomicBool>,
    newest: Arc<Mutex<u64>>,
}

const WRITER: u64 = 0xFEED;

impl<B: Backend> Writer<B> {
    async fn run(mut self) {
        // Nothing that comes unasked is of interest.
        let (sender, _inbox) = inbox::inbox(0);
        let options = ConnectOptions {
            name: "feed".to_owned(),
            request_timeout: Duration::from_secs(2),
            inbox: sender,
        };
        // On a busy machine an answer may be late; it is asked once more.
        let backend = loop {
            match B::connect(&self.url, options.clone()).await {
                Ok(backend) => break backend,
                Err(_) => self.nap(20).await,
            }
        };
        self.backend = Some(backend);
        let instruments: Vec<Instrument> = (0..INSTRUMENTS).map(instrument).collect();
        let catalog =
            Catalog::new(self.epoch, BUCKET_SIZE, instruments, INSTRUMENTS).expect("a catalog");
        let store = StoreOptions { storage: Storage::File, ..StoreOptions::default() };
        while self.backend().establish(&store).await.is_err() {
            self.nap(20).await;
        }
        let buckets = catalog.buckets().count();
        for bucket in 0..u32::try_from(buckets).expect("few") {
            let tail = loop {
                match self.backend().tail(bucket).await {
                    Ok(tail) => break tail,
                    Err(_) => self.nap(20).await,
                }
            };
            self.tails.push(tail.map_or(Offset::START, |entry| entry.offset));
        }
        let bytes = catalog.encode().expect("a small catalog");
        while self.backend().put_value(keys::CATALOG, bytes.clone()).await.is_err() {
            self.nap(20).await;
        }
        while !self.stop.load(Ordering::Relaxed) {
            if !self.pause.load(Ordering::Relaxed) {
                self.seq += 1;
                for bucket in 0..u32::try_from(buckets).expect("few") {
                    self.append(bucket).await;
                }
                *self.newest.lock().expect("no holder panics") = self.seq;
            }
            self.nap(4).await;
        }
        self.backend().close().await;
    }

    fn backend(&self) -> &B {
        self.backend.as_ref().expect("connected first")
    }

    async fn nap(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Appends the present number of the bucket's instruments once, whatever happens on the way.
    async fn append(&mut self, bucket: u32) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let now_ns = u64::try_from(now.as_nanos()).expect("before 2554");
        let first = bucket * BUCKET_SIZE;
        let mut ticks = Vec::new();
        (first..first + BUCKET_SIZE).for_each(|id| push(&mut ticks, id, self.seq, now_ns));
        let (writer, number, epoch) = (WRITER, self.seq, self.epoch);
        let payload = Batch { writer, number, epoch, sent_ns: now_ns, ticks }.encode();
        let at = usize::try_from(bucket).expect("few");
        loop {
            let appended = self.backend().append(bucket, self.tails[at], payload.clone()).await;
            match appended {
                Ok(offset) => {
                    self.tails[at] = offset;
                    break;
                }
                Err(AppendError::Conflict { .. } | AppendError::Unknown(_)) => {
                    // It may have been this very batch.
                    if let Ok(Some(tail)) = self.backend().tail(bucket).await {
                        self.tails[at] = tail.offset;
                        if tail.payload == payload {
                            break;
                        }
                    }
                }
                Err(_) => {}
            }
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            self.nap(20).await;
        }
        if self.seq % IMAGE_EVERY == 1 {
            for id in first..first + BUCKET_SIZE {
                let image = StoredImage { offset: self.tails[at], image: self.image(id, now_ns) };
                // An image that is not kept this time is kept the next.
                let _ = self.backend().put_value(&keys::image(id), image.encode()).await;
            }
        }
    }

    fn image(&self, id: u32, now_ns: u64) -> InstrumentImage {
        let book = book_after(self.seq);
        let side = |side| book.levels(side).collect();
        InstrumentImage {
            epoch: self.epoch,
            definition: instrument(id),
            presence: Presence::Attached,
            last: vec![trade(id, self.seq, now_ns), quote(id, self.seq, now_ns)],
            depth_seq: self.seq,
            update_id: self.seq,
            ts_event_ns: now_ns,
            bids: side(Side::Bid),
            asks: side(Side::Ask),
        }
    }
}
