//! NATS with JetStream as a bus.
//!
//! | what | is |
//! |---|---|
//! | logs that feeds write | stream `PREFIX`, subjects `PREFIX.log.<bucket>`, kept by age and bytes |
//! | logs that clients write | stream `PREFIX_clients`, subjects `PREFIX.clients.<bucket>`, kept by count |
//! | live entries | `PREFIX.live.<bucket>`: what the streams accepted, republished by the server itself |
//! | values | key-value bucket `PREFIX`, that is, stream `KV_PREFIX`, subjects `$KV.PREFIX.<key>` |
//! | a changed catalog | `PREFIX.live.catalog`, republished likewise |
//! | the pulse | `PREFIX.live.pulse`, not kept |
//!
//! An offset is a sequence number of its stream. Appending says which one must be the subject's last
//! (`Nats-Expected-Last-Subject-Sequence`); the same number travels in our own header, so that an entry
//! says what preceded it also when that is kept no longer. The connection is the client library's: it
//! connects again and subscribes again, before any request that was made meanwhile is sent.

mod api;
mod log;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_nats::{Event, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::backend::{AppendError, Backend, BusError, ConnectOptions, Storage, StoreOptions, keys};
use crate::backoff::backoff;
use crate::catalog::WriterKind;
use crate::entry::{Entry, Offset, Slice};
use crate::inbox::{InboxSender, Signal};
use crate::limits::{CLIENTS_BATCHES_KEPT, CLIENTS_BUCKET_FIRST};
use crate::url::BusUrl;
use api::{Api, ErrorCode, KnownStreams};
use log::Cursor;

/// The offset that a message was appended behind.
const PREVIOUS: &str = "Tickcast-Previous";

/// The server's condition for accepting a message.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// How often the connection is tried when nothing comes. After two answers missing it counts as lost: a
/// cut cable is noticed within three of these.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// Messages that wait between the connection's task and the one that puts them into the inbox. The inbox
/// is the real bound; this one is only reached if the runtime does not come to run tasks.
const SUBSCRIPTION_MESSAGES: usize = 4_096;

/// Requests for values in flight at once.
const VALUES_AT_ONCE: usize = 32;

/// A connection to NATS.
#[derive(Clone, Debug)]
pub struct Nats(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    api: Api,
    names: Names,
    inbox: InboxSender,
    /// The tasks that move messages of subscribed buckets into the inbox.
    live: Arc<Mutex<BTreeMap<u32, AbortHandle>>>,
    /// Those for the pulse and the catalog.
    listeners: Vec<AbortHandle>,
    /// Where reads that have not come to their end go on.
    cursors: Mutex<HashMap<u32, Cursor>>,
    /// Which stream, by when it was made, a bucket's last reading was of.
    streams: Mutex<HashMap<u32, String>>,
}

/// What things are called, by prefix.
#[derive(Clone, Debug)]
struct Names {
    prefix: String,
}

impl Names {
    fn stream(&self, bucket: u32) -> String {
        match WriterKind::of_bucket(bucket) {
            WriterKind::Feed => self.prefix.clone(),
            WriterKind::Clients => format!("{}_clients", self.prefix),
        }
    }

    fn log(&self, bucket: u32) -> String {
        match WriterKind::of_bucket(bucket) {
            WriterKind::Feed => format!("{}.log.{bucket}", self.prefix),
            WriterKind::Clients => format!("{}.clients.{bucket}", self.prefix),
        }
    }

    fn live(&self, what: &str) -> String {
        format!("{}.live.{what}", self.prefix)
    }

    fn values_stream(&self) -> String {
        format!("KV_{}", self.prefix)
    }

    fn value(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.prefix)
    }
}

impl Backend for Nats {
    async fn connect(url: &BusUrl, options: ConnectOptions) -> Result<Self, BusError> {
        if !url.scheme().is_nats() {
            return Err(BusError::Scheme(url.scheme()));
        }
        let inbox = options.inbox;
        let live = Arc::new(Mutex::new(BTreeMap::new()));
        let known = KnownStreams::default();
        let (opened, open) = watch::channel(None);
        let ear = Ear { inbox: inbox.clone(), live: Arc::clone(&live), known: known.clone(), open };
        let client = client(url, &options.name, options.request_timeout, ear).await?;
        let names = Names { prefix: url.prefix().to_owned() };
        let api = Api::new(client, options.request_timeout, known);
        let pulses = api.subscribe(names.live("pulse")).await?;
        let pulse_inbox = inbox.clone();
        let catalogs = api.subscribe(names.live(keys::CATALOG)).await?;
        let catalog_inbox = inbox.clone();
        let listeners = vec![
            pump(pulses, move |message| pulse_inbox.push(Signal::Pulse(message.payload))),
            pump(catalogs, move |_| catalog_inbox.push(Signal::CatalogChanged)),
        ];
        let (cursors, streams) = (Mutex::default(), Mutex::default());
        let shared = Shared { api, names, inbox, live, listeners, cursors, streams };
        let shared = Arc::new(shared);
        // Only the ear can be gone, and it with the connection.
        let _ = opened.send(Some(Arc::downgrade(&shared)));
        Ok(Self(shared))
    }

    async fn establish(&self, store: &StoreOptions) -> Result<(), BusError> {
        let Shared { api, names, .. } = &*self.0;
        let prefix = &names.prefix;
        let storage = match store.storage {
            Storage::Memory => "memory",
            Storage::File => "file",
        };
        let republish =
            |source: String, destination: String| json!({ "src": source, "dest": destination });
        let replicas = store.replicas;
        api.establish(&json!({
            "name": prefix,
            "subjects": [format!("{prefix}.log.*")],
            "retention": "limits",
            "discard": "old",
            "storage": storage,
            "num_replicas": replicas,
            "max_age": u64::try_from(store.max_age.as_nanos()).unwrap_or(u64::MAX),
            "max_bytes": store.max_bytes,
            "allow_direct": true,
            "republish": republish(format!("{prefix}.log.>"), names.live(">")),
        }))
        .await?;
        api.establish(&json!({
            "name": names.stream(CLIENTS_BUCKET_FIRST),
            "subjects": [format!("{prefix}.clients.*")],
            "retention": "limits",
            "discard": "old",
            "storage": storage,
            "num_replicas": replicas,
            "max_msgs_per_subject": CLIENTS_BATCHES_KEPT,
            "allow_direct": true,
            "republish": republish(format!("{prefix}.clients.>"), names.live(">")),
        }))
        .await?;
        // As the server's own tools make key-value buckets, so that they can show it.
        api.establish(&json!({
            "name": names.values_stream(),
            "subjects": [names.value(">")],
            "retention": "limits",
            "discard": "new",
            "storage": storage,
            "num_replicas": replicas,
            "max_msgs_per_subject": 1,
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "allow_direct": true,
            "republish": republish(names.value(keys::CATALOG), names.live(keys::CATALOG)),
        }))
        .await
    }

    async fn append(
        &self,
        bucket: u32,
        expected: Offset,
        payload: Bytes,
    ) -> Result<Offset, AppendError> {
        match self.append_at(bucket, expected, expected, payload.clone()).await {
            // Nothing of the bucket is kept, so nobody can tell what its last offset was.
            Err(AppendError::Conflict { actual: Offset::START }) if expected > Offset::START => {
                self.append_at(bucket, Offset::START, expected, payload).await
            }
            result => result,
        }
    }

    async fn tail(&self, bucket: u32) -> Result<Option<Entry>, BusError> {
        let Shared { api, names, .. } = &*self.0;
        let message = api.last(&names.stream(bucket), &names.log(bucket)).await?;
        message.map(|message| parse_entry(&message)).transpose()
    }

    async fn read(&self, bucket: u32, after: Offset, max_bytes: usize) -> Result<Slice, BusError> {
        self.read_log(bucket, after, max_bytes).await
    }

    async fn locate(&self, bucket: u32, unix_ns: u64) -> Result<Offset, BusError> {
        self.locate_in_log(bucket, unix_ns).await
    }

    async fn subscribe(&self, bucket: u32) -> Result<(), BusError> {
        let Shared { api, names, inbox, live, .. } = &*self.0;
        if lock(live).contains_key(&bucket) {
            return Ok(());
        }
        let subscriber = api.subscribe(names.live(&bucket.to_string())).await?;
        let inbox = inbox.clone();
        let handle = pump(subscriber, move |message| {
            // Anybody may publish to a live subject; only what a stream republished has these headers.
            match parse_entry(&message) {
                Ok(entry) => inbox.push(Signal::Entry(bucket, entry)),
                Err(error) => tracing::warn!(bucket, %error, "a message on a live subject"),
            }
        });
        if let Some(other) = lock(live).insert(bucket, handle) {
            other.abort();
        }
        Ok(())
    }

    async fn unsubscribe(&self, bucket: u32) -> Result<(), BusError> {
        // The subscription ends with the task that owns it.
        if let Some(handle) = lock(&self.0.live).remove(&bucket) {
            handle.abort();
        }
        Ok(())
    }

    async fn put_value(&self, key: &str, value: Bytes) -> Result<(), BusError> {
        let Shared { api, names, .. } = &*self.0;
        match api.publish(names.value(key), HeaderMap::new(), value).await? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(BusError::Refused(Box::new(refusal))),
        }
    }

    async fn values(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, BusError> {
        let Shared { api, names, .. } = &*self.0;
        let stream = names.values_stream();
        let value = |key: String| {
            let (api, stream, subject) = (api.clone(), stream.clone(), names.value(&key));
            async move {
                match api.last(&stream, &subject).await {
                    Ok(message) => Ok(message.map(|message| message.payload)),
                    Err(BusError::Missing) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        };
        stream::iter(keys.to_vec()).map(value).buffered(VALUES_AT_ONCE).try_collect().await
    }

    async fn pulse(&self, payload: Bytes) -> Result<(), BusError> {
        self.0.api.tell(self.0.names.live("pulse"), payload).await
    }

    async fn close(&self) {
        self.0.api.drain().await;
        self.0.end_tasks();
    }
}

impl Nats {
    async fn append_at(
        &self,
        bucket: u32,
        expected: Offset,
        previous: Offset,
        payload: Bytes,
    ) -> Result<Offset, AppendError> {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED, expected.to_string());
        headers.insert(PREVIOUS, previous.to_string());
        let subject = self.0.names.log(bucket);
        let answer = self.0.api.publish(subject, headers, payload).await;
        let refusal = match answer {
            Ok(Ok(sequence)) => return Ok(Offset(sequence)),
            Ok(Err(refusal)) => refusal,
            Err(error @ (BusError::Missing | BusError::Refused(_) | BusError::Closed)) => {
                return Err(AppendError::Refused(error));
            }
            Err(error) => return Err(AppendError::Unknown(error)),
        };
        if refusal.code != ErrorCode::WRONG_LAST_SEQUENCE {
            return Err(AppendError::Refused(BusError::Refused(Box::new(refusal))));
        }
        // "wrong last sequence: 17"
        let words = refusal.description.rsplit(' ').next();
        match words.and_then(|word| word.parse().ok()) {
            Some(actual) => Err(AppendError::Conflict { actual: Offset(actual) }),
            None => match self.tail(bucket).await {
                Ok(entry) => {
                    let actual = entry.map_or(Offset::START, |entry| entry.offset);
                    Err(AppendError::Conflict { actual })
                }
                Err(error) => Err(AppendError::Refused(error)),
            },
        }
    }
}

impl Shared {
    fn end_tasks(&self) {
        for handle in &self.listeners {
            handle.abort();
        }
        for handle in std::mem::take(&mut *lock(&self.live)).values() {
            handle.abort();
        }
    }
}

impl Drop for Shared {
    /// The tasks own subscriptions, and these the connection.
    fn drop(&mut self) {
        self.end_tasks();
    }
}

/// The client library's connection, being made.
async fn client(
    url: &BusUrl,
    name: &str,
    request_timeout: Duration,
    ear: Ear,
) -> Result<async_nats::Client, BusError> {
    let options = async_nats::ConnectOptions::new()
        .name(name)
        .retry_on_initial_connect()
        .connection_timeout(request_timeout)
        .request_timeout(Some(request_timeout))
        .ping_interval(PING_INTERVAL)
        .reconnect_delay_callback(|attempt| backoff(attempt, rand::random()))
        .subscription_capacity(SUBSCRIPTION_MESSAGES)
        .read_buffer_capacity(u16::MAX)
        .require_tls(url.scheme().is_tls())
        .event_callback(move |event| ear.clone().hear(event));
    let options = match url.credentials() {
        None => options,
        Some((token, None)) => options.token(token.to_owned()),
        Some((user, Some(password))) => {
            options.user_and_password(user.to_owned(), password.to_owned())
        }
    };
    let scheme = url.scheme();
    let servers: Vec<String> = url.hosts().iter().map(|host| format!("{scheme}{host}")).collect();
    options.connect(servers).await.map_err(|error| BusError::Unreachable(Box::new(error)))
}

/// What the library says about the connection, said to the inbox.
#[derive(Clone)]
struct Ear {
    inbox: InboxSender,
    live: Arc<Mutex<BTreeMap<u32, AbortHandle>>>,
    known: KnownStreams,
    /// The handle, once it listens to the pulse and the catalog. Weak: it ends with its last clone.
    open: watch::Receiver<Option<Weak<Shared>>>,
}

impl Ear {
    async fn hear(mut self, event: Event) {
        match event {
            Event::Connected => {
                self.known.forget();
                // The library has sent the subscriptions, or is about to; behind an answer they are in force.
                let open = self.open.wait_for(Option::is_some).await;
                let shared = open.ok().and_then(|open| open.as_ref().and_then(Weak::upgrade));
                if let Some(api) = shared.map(|shared| shared.api.clone()) {
                    api.round_trip().await;
                }
                self.inbox.push(Signal::Connected);
            }
            Event::Disconnected | Event::Closed => {
                self.inbox.push(Signal::Disconnected(event.to_string()));
            }
            Event::ClientError(error) => {
                self.inbox.push(Signal::Disconnected(error.to_string()));
            }
            Event::SlowConsumer(_) => {
                // It says which subscription in numbers of its own; asking the log for all is rare enough.
                for bucket in lock(&self.live).keys() {
                    self.inbox.push(Signal::Missed(*bucket));
                }
            }
            Event::LameDuckMode | Event::Draining | Event::ServerError(_) => {
                tracing::info!(%event, "the bus says");
            }
        }
    }
}

/// Starts a task that hands on every message of a subscription, until it is aborted.
fn pump(mut from: Subscriber, to: impl Fn(Message) + Send + 'static) -> AbortHandle {
    let task = async move {
        while let Some(message) = from.next().await {
            to(message);
        }
    };
    tokio::spawn(task).abort_handle()
}

/// The entry that a message of a stream is, live or read.
fn parse_entry(message: &Message) -> Result<Entry, BusError> {
    let number =
        |name: &str| -> Option<u64> { message.headers.as_ref()?.get(name)?.as_str().parse().ok() };
    let offset = number("Nats-Sequence").or_else(|| api::sequence(message.reply.as_ref()?));
    match (offset, number(PREVIOUS)) {
        (Some(offset), Some(previous)) => Ok(Entry {
            offset: Offset(offset),
            previous: Offset(previous),
            payload: message.payload.clone(),
        }),
        _ => Err(BusError::Malformed("a message without its offsets")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
