//! What every bus must do, checked against a real server: the properties that [`Backend`] promises.
//!
//! The file of a bus says how its server is started and calls [`contract!`], which makes a test of each
//! property. Every test has a server of its own.

use std::time::Duration;

use bus::inbox::{Inbox, Signal, inbox};
use bus::{
    AppendError, Backend, BusError, BusUrl, ConnectOptions, Entry, Offset, StoreOptions, keys,
};
use bytes::Bytes;

/// Nothing in these tests takes as long on any machine that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One connection and what comes unasked.
pub(crate) struct Peer<B> {
    pub(crate) bus: B,
    pub(crate) inbox: Inbox,
}

impl<B: Backend> Peer<B> {
    /// Connects with an inbox of this size, and waits until it stands.
    pub(crate) async fn connect_with(
        url: &BusUrl,
        inbox_bytes: usize,
        request_timeout: Duration,
    ) -> Self {
        let (sender, inbox) = inbox(inbox_bytes);
        let options = ConnectOptions { name: "a test".to_owned(), request_timeout, inbox: sender };
        let bus = B::connect(url, options).await.expect("the URL is right");
        let mut peer = Self { bus, inbox };
        peer.until(|signal| (signal == Signal::Connected).then_some(())).await;
        peer
    }

    /// With room for everything, and requests that wait for a slow machine.
    pub(crate) async fn connect(url: &BusUrl) -> Self {
        Self::connect_with(url, 64 << 20, PATIENCE).await
    }

    /// One that has also made the place for logs.
    pub(crate) async fn writer(url: &BusUrl) -> Self {
        let peer = Self::connect(url).await;
        peer.bus.establish(&StoreOptions::default()).await.expect("a store can be made");
        peer
    }

    /// Takes signals until one is what is waited for.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(Signal) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = wanted(self.inbox.next().await) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it comes")
    }

    /// Subscribes, and has an answer behind it: the server has the subscription before anybody appends.
    pub(crate) async fn subscribe(&self, bucket: u32) {
        self.bus.subscribe(bucket).await.unwrap();
        self.bus.tail(bucket).await.unwrap();
    }

    /// The next entry, whatever the connection does meanwhile.
    pub(crate) async fn entry(&mut self) -> (u32, Entry) {
        self.until(|signal| match signal {
            Signal::Entry(bucket, entry) => Some((bucket, entry)),
            _ => None,
        })
        .await
    }

    /// Appends behind whatever is newest, as often as it takes, if nobody else does.
    pub(crate) async fn append(&self, bucket: u32, payload: impl Into<Bytes>) -> Offset {
        let tail = self.bus.tail(bucket).await.expect("the bus answers");
        let expected = tail.map_or(Offset::START, |entry| entry.offset);
        self.bus.append(bucket, expected, payload.into()).await.expect("nobody else appends")
    }

    /// The whole log, read in pieces of so many bytes.
    pub(crate) async fn log(&self, bucket: u32, max_bytes: usize) -> Vec<Entry> {
        let (mut log, mut after) = (Vec::new(), Offset::START);
        loop {
            let slice = self.bus.read(bucket, after, max_bytes).await.expect("the bus answers");
            let Some(last) = slice.entries.last() else { return log };
            assert!(slice.tail >= last.offset);
            after = last.offset;
            log.extend(slice.entries);
        }
    }
}

/// Whether each entry follows the one before it.
pub(crate) fn assert_chained(log: &[Entry]) {
    for pair in log.windows(2) {
        assert_eq!(pair[1].previous, pair[0].offset);
        assert!(pair[1].offset > pair[0].offset);
    }
}

fn payloads(log: &[Entry]) -> Vec<&[u8]> {
    log.iter().map(|entry| &entry.payload[..]).collect()
}

pub(crate) async fn appending_compares<B: Backend>(url: BusUrl) {
    let writer = Peer::<B>::writer(&url).await;
    assert!(writer.bus.tail(7).await.unwrap().is_none());
    let first = writer.bus.append(7, Offset::START, Bytes::from_static(b"a")).await.unwrap();
    assert!(first > Offset::START);
    for wrong in [Offset::START, Offset(first.0 + 1)] {
        let error = writer.bus.append(7, wrong, Bytes::from_static(b"x")).await.unwrap_err();
        assert!(matches!(error, AppendError::Conflict { actual } if actual == first), "{error:?}");
    }
    // Another bucket has a log of its own.
    writer.bus.append(8, Offset::START, Bytes::from_static(b"other")).await.unwrap();
    let second = writer.bus.append(7, first, Bytes::from_static(b"b")).await.unwrap();
    let tail = writer.bus.tail(7).await.unwrap().unwrap();
    let newest = Entry { offset: second, previous: first, payload: Bytes::from_static(b"b") };
    assert_eq!(tail, newest);
    let slice = writer.bus.read(7, Offset::START, 1000).await.unwrap();
    assert_eq!(payloads(&slice.entries), [b"a", b"b"]);
    assert_eq!(slice.entries[0].previous, Offset::START);
    assert_eq!(slice.tail, second);
    assert_eq!(writer.bus.read(7, second, 1000).await.unwrap().entries, []);
}

pub(crate) async fn writers_at_once_append_each_batch_once<B: Backend>(url: BusUrl) {
    const BATCHES: u32 = 150;
    let reader = Peer::<B>::writer(&url).await;
    let mut writers = Vec::new();
    for writer in 0..3_u32 {
        let peer = Peer::<B>::connect(&url).await;
        writers.push(tokio::spawn(async move {
            let mut expected = Offset::START;
            let mut conflicts = 0;
            for number in 0..BATCHES {
                let payload = Bytes::from(format!("{writer}:{number}"));
                loop {
                    match peer.bus.append(3, expected, payload.clone()).await {
                        Ok(offset) => {
                            expected = offset;
                            break;
                        }
                        Err(AppendError::Conflict { actual }) => {
                            assert!(actual > expected);
                            expected = actual;
                            conflicts += 1;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            conflicts
        }));
    }
    let mut conflicts = 0;
    for writer in writers {
        conflicts += writer.await.unwrap();
    }
    assert!(conflicts > 0, "they were not at it at once");
    let log = reader.log(3, 1000).await;
    assert_chained(&log);
    let mut found = payloads(&log);
    for writer in 0..3 {
        let of_one = |payload: &&&[u8]| payload.starts_with(format!("{writer}:").as_bytes());
        let own: Vec<&[u8]> = found.iter().filter(of_one).copied().collect();
        let expected: Vec<String> = (0..BATCHES).map(|n| format!("{writer}:{n}")).collect();
        assert!(own.iter().copied().eq(expected.iter().map(String::as_bytes)), "in order");
    }
    found.dedup();
    assert_eq!(found.len(), 3 * BATCHES as usize);
}

pub(crate) async fn live_and_read_agree<B: Backend>(url: BusUrl) {
    let writer = Peer::<B>::writer(&url).await;
    let mut reader = Peer::<B>::connect(&url).await;
    writer.append(1, "before").await;
    reader.subscribe(1).await;
    reader.subscribe(1).await;
    for i in 0..100 {
        writer.append(2, "of another bucket").await;
        writer.append(1, vec![i; usize::from(i) * 100]).await;
    }
    let mut live = Vec::new();
    while live.len() < 100 {
        let (bucket, entry) = reader.entry().await;
        assert_eq!(bucket, 1);
        live.push(entry);
    }
    let log = reader.log(1, 20_000).await;
    assert_eq!(payloads(&log[..1]), [b"before"]);
    assert_eq!(log[1..], live);
    assert_chained(&log);
}

pub(crate) async fn what_is_no_longer_subscribed_does_not_come<B: Backend>(url: BusUrl) {
    let writer = Peer::<B>::writer(&url).await;
    let mut reader = Peer::<B>::connect(&url).await;
    reader.subscribe(1).await;
    reader.subscribe(2).await;
    writer.append(1, "yes").await;
    assert_eq!(reader.entry().await.0, 1);
    reader.bus.unsubscribe(1).await.unwrap();
    // An entry on its way may still come, one appended after another subscription's answer may not.
    reader.subscribe(3).await;
    writer.append(1, "no").await;
    writer.append(2, "yes").await;
    assert_eq!(reader.entry().await.0, 2);
    reader.subscribe(1).await;
    writer.append(1, "again").await;
    assert_eq!(payloads(&[reader.entry().await.1]), [b"again"]);
}

pub(crate) async fn reading_keeps_to_its_size<B: Backend>(url: BusUrl) {
    let writer = Peer::<B>::writer(&url).await;
    let mut expected = Offset::START;
    for i in 0..60_u8 {
        let payload = vec![i; if i % 7 == 0 { 5000 } else { 100 }];
        expected = writer.bus.append(4, expected, payload.into()).await.unwrap();
    }
    let whole = writer.log(4, 1 << 20).await;
    assert_eq!(whole.len(), 60);
    assert_eq!(writer.log(4, 3000).await, whole, "in pieces it is the same");
    for after in [Offset::START, whole[20].offset, whole[27].offset] {
        let slice = writer.bus.read(4, after, 3000).await.unwrap();
        let bytes: usize = slice.entries.iter().map(|entry| entry.payload.len()).sum();
        assert!(bytes <= 3000 || slice.entries.len() == 1, "{bytes}");
        assert!(slice.entries[0].offset > after);
        assert_eq!(slice.tail, expected);
    }
}

pub(crate) async fn times_are_found_in_logs<B: Backend>(url: BusUrl) {
    let writer = Peer::<B>::writer(&url).await;
    let now_ns = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(now.unwrap().as_nanos()).unwrap()
    };
    assert_eq!(writer.bus.locate(5, now_ns()).await.unwrap(), Offset::START);
    let mut times = Vec::new();
    for i in 0..9_u8 {
        times.push(now_ns());
        writer.append(5, vec![i]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = writer.log(5, 1000).await;
    for (i, time) in times.iter().enumerate() {
        let at = writer.bus.locate(5, *time).await.unwrap();
        assert!(at < log[i].offset, "entry {i} was appended later than that");
    }
    assert_eq!(writer.bus.locate(5, 0).await.unwrap(), Offset::START);
    let later = now_ns() + 60_000_000_000;
    assert!(writer.bus.locate(5, later).await.unwrap() <= log[8].offset);
}

pub(crate) async fn values_are_kept<B: Backend>(url: BusUrl) {
    let writer = Peer::<B>::writer(&url).await;
    let mut reader = Peer::<B>::connect(&url).await;
    let names: Vec<String> = (0..300).map(keys::image).collect();
    for (i, name) in names.iter().enumerate().filter(|(i, _)| i % 3 != 0) {
        writer.bus.put_value(name, Bytes::from(vec![b'v'; i])).await.unwrap();
    }
    let found = reader.bus.values(&names).await.unwrap();
    for (i, value) in found.into_iter().enumerate() {
        assert_eq!(value, (i % 3 != 0).then(|| Bytes::from(vec![b'v'; i])), "{i}");
    }
    writer.bus.put_value(&names[1], Bytes::from_static(b"new")).await.unwrap();
    let one = [names[1].clone()];
    assert_eq!(reader.bus.values(&one).await.unwrap(), [Some(Bytes::from_static(b"new"))]);

    writer.bus.put_value(keys::CATALOG, Bytes::from_static(b"catalog")).await.unwrap();
    reader.until(|signal| (signal == Signal::CatalogChanged).then_some(())).await;
    let catalog = [keys::CATALOG.to_owned()];
    let found = reader.bus.values(&catalog).await.unwrap();
    assert_eq!(found, [Some(Bytes::from_static(b"catalog"))]);
}

pub(crate) async fn pulses_are_heard<B: Backend>(url: BusUrl) {
    let writer = Peer::<B>::writer(&url).await;
    let mut reader = Peer::<B>::connect(&url).await;
    reader.bus.tail(1).await.unwrap();
    writer.bus.pulse(Bytes::from_static(b"alive")).await.unwrap();
    let pulse = Signal::Pulse(Bytes::from_static(b"alive"));
    reader.until(|signal| (signal == pulse).then_some(())).await;
}

pub(crate) async fn a_full_inbox_names_what_it_missed<B: Backend>(url: BusUrl) {
    let writer = Peer::<B>::writer(&url).await;
    let mut reader = Peer::<B>::connect_with(&url, 50_000, PATIENCE).await;
    reader.subscribe(6).await;
    let mut newest = Offset::START;
    for _ in 0..100 {
        newest = writer.bus.append(6, newest, vec![0; 5000].into()).await.unwrap();
    }
    // Nothing is taken out until all is dropped that does not fit.
    let all_dropped = async {
        while reader.inbox.dropped() + (reader.inbox.bytes() / 5000) as u64 != 100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_dropped).await.expect("it comes");
    assert!(reader.inbox.bytes() <= 50_000);
    let mut kept = 0;
    let missed = reader
        .until(|signal| match signal {
            Signal::Entry(..) => {
                kept += 1;
                None
            }
            Signal::Missed(bucket) => Some(bucket),
            _ => None,
        })
        .await;
    assert_eq!(missed, 6);
    assert!((1..=10).contains(&kept));
    assert_eq!(reader.log(6, 1 << 20).await.len(), 100, "the log has them all");
}

pub(crate) async fn nothing_is_written_where_no_place_was_made<B: Backend>(url: BusUrl) {
    let peer = Peer::<B>::connect(&url).await;
    let error = peer.bus.append(1, Offset::START, Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(error, AppendError::Refused(BusError::Missing)), "{error:?}");
    assert_eq!(peer.bus.values(&[keys::image(1)]).await.unwrap(), [None]);
}

pub(crate) async fn a_closed_handle_refuses<B: Backend>(url: BusUrl) {
    let peer = Peer::<B>::writer(&url).await;
    let clone = peer.bus.clone();
    peer.bus.close().await;
    assert!(clone.tail(1).await.is_err());
    assert!(clone.subscribe(1).await.is_err());
    let error = clone.append(1, Offset::START, Bytes::from_static(b"x")).await.unwrap_err();
    assert!(!matches!(error, AppendError::Conflict { .. }), "{error:?}");
}

/// Tests of all properties: the kind of bus, and how a server is started, which ends when dropped and
/// says by `url()` where it is.
macro_rules! contract {
    ($backend:ty, $start:expr, [$($property:ident),* $(,)?]) => {
        $(
            #[tokio::test]
            async fn $property() {
                let server = $start;
                crate::contract::$property::<$backend>(server.url()).await;
            }
        )*
    };
    ($backend:ty, $start:expr) => {
        crate::contract::contract!($backend, $start, [
            appending_compares,
            writers_at_once_append_each_batch_once,
            live_and_read_agree,
            what_is_no_longer_subscribed_does_not_come,
            reading_keeps_to_its_size,
            times_are_found_in_logs,
            values_are_kept,
            pulses_are_heard,
            a_full_inbox_names_what_it_missed,
            nothing_is_written_where_no_place_was_made,
            a_closed_handle_refuses,
        ]);
    };
}
pub(crate) use contract;
