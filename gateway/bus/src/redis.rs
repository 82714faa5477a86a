//! Redis as a bus: a server, or a cluster with sharded Pub/Sub; version 7 on, RESP3.
//!
//! A bucket's log is a stream, appended to by a script ([`append.lua`](self)) that checks the newest offset
//! and publishes the entry; offsets are 1, 2, 3, and so on. Values are fields of hashes. What is
//! kept through a crash is up to the server: everything that was acknowledged with `appendonly yes` and
//! `appendfsync always`. A cluster copies to its replicas after it has answered: a failover may lose the
//! newest entries, which [`Slice::tail`] then shows.
//!
//! | | |
//! |---|---|
//! | `supervisor`, `session`, `dial` | the connections: keeping, finding, making them |
//! | `live` | what comes unasked |
//! | `store` | how long logs are kept |
//! | `names`, `slots`, `answer` | keys and channels, where they are, what comes back |

mod answer;
mod dial;
mod limits;
mod live;
mod names;
mod session;
mod slots;
mod store;
mod supervisor;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::{ErrorKind, Pipeline, RedisError, Script, ServerErrorKind, Value};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use self::dial::Dial;
use self::live::Live;
use self::names::Names;
use self::session::{Change, Failure};
use self::store::{Retention, StoreCache};
use self::supervisor::{Shared, State};
use crate::backend::{AppendError, Backend, BusError, ConnectOptions, StoreOptions, keys};
use crate::entry::{Entry, Offset, Slice};
use crate::url::{BusUrl, Topology};

static APPEND: Code = Code::new(include_str!("redis/append.lua"));
static LOCATE: Code = Code::new(include_str!("redis/locate.lua"));
static ANNOUNCE: Code = Code::new(include_str!("redis/announce.lua"));

/// A handle to a bus at Redis. See [`Backend`].
#[derive(Clone)]
pub struct Redis(Arc<Handle>);

/// A script and the name by which a server knows it once it has seen it.
struct Code {
    text: &'static str,
    script: OnceLock<Script>,
}

impl Code {
    const fn new(text: &'static str) -> Self {
        Self { text, script: OnceLock::new() }
    }

    fn hash(&self) -> &str {
        self.script.get_or_init(|| Script::new(self.text)).get_hash()
    }
}

struct Handle {
    shared: Arc<Shared>,
    names: Arc<Names>,
    store: Arc<StoreCache>,
    supervisor: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
        self.supervisor.abort();
    }
}

impl Backend for Redis {
    async fn connect(url: &BusUrl, options: ConnectOptions) -> Result<Self, BusError> {
        if url.scheme().is_nats() {
            return Err(BusError::Scheme(url.scheme()));
        }
        let names = Arc::new(Names::new(url.prefix(), url.topology()));
        let store = Arc::new(StoreCache::default());
        let dial = Dial::new(url, &options);
        let live = Live::new(options.inbox, Arc::clone(&names), Arc::clone(&store));
        let timeout = options.request_timeout;
        let shared = Arc::new(Shared::new(dial, url.hosts(), url.topology(), timeout, live));
        let supervised = Arc::clone(&shared);
        let task = tokio::spawn(async move { supervised.supervise().await });
        let supervisor = task.abort_handle();
        Ok(Self(Arc::new(Handle { shared, names, store, supervisor })))
    }

    async fn establish(&self, store: &StoreOptions) -> Result<(), BusError> {
        let names = &self.0.names;
        let key = names.control_values();
        let mut info = redis::pipe();
        info.cmd("INFO").arg("persistence");
        let persistence = self.request(&key, &info).await?.pop();
        if let Some(persistence) = persistence.as_ref().and_then(answer::text)
            && let Some(shortcoming) = store::shortcoming(store, persistence)
        {
            tracing::warn!(prefix = names.control(), "{shortcoming}");
        }
        self.announce(names::STORE, store::encode(store).as_bytes(), live::STORE).await?;
        // The announcement comes on another connection, and maybe later.
        self.0.store.forget();
        Ok(())
    }

    async fn append(
        &self,
        bucket: u32,
        expected: Offset,
        payload: Bytes,
    ) -> Result<Offset, AppendError> {
        let retention = self.retention().await.map_err(AppendError::Refused)?.of_bucket(bucket);
        let names = &self.0.names;
        let key = names.log(bucket);
        let answer = self
            .run(&APPEND, &[&key, &names.head(bucket), &names.marks(bucket)], |command| {
                command
                    .arg(expected.0)
                    .arg(&payload[..])
                    .arg(names.live(bucket))
                    .arg(self.publish())
                    .arg(retention.age_ms)
                    .arg(retention.bytes)
                    .arg(retention.entries);
            })
            .await;
        let malformed = || AppendError::Unknown(BusError::Malformed("an append's"));
        let answer = answer.map_err(append_error)?;
        let Some([Value::Int(done), Value::Int(newest)]) = answer::array(&answer) else {
            return Err(malformed());
        };
        let newest = Offset(u64::try_from(*newest).map_err(|_| malformed())?);
        if *done == 1 { Ok(newest) } else { Err(AppendError::Conflict { actual: newest }) }
    }

    async fn tail(&self, bucket: u32) -> Result<Option<Entry>, BusError> {
        let log = self.0.names.log(bucket);
        let mut newest = redis::pipe();
        newest.cmd("XREVRANGE").arg(&log).arg("+").arg("-").arg("COUNT").arg(1);
        let answer = self.request(&log, &newest).await?.pop().unwrap_or(Value::Nil);
        let entries = answer::entries(answer).ok_or(BusError::Malformed("a log's tail"))?;
        Ok(entries.into_iter().next())
    }

    async fn read(&self, bucket: u32, after: Offset, max_bytes: usize) -> Result<Slice, BusError> {
        let (log, head) = (self.0.names.log(bucket), self.0.names.head(bucket));
        let mut slice = Slice { entries: Vec::new(), tail: Offset::START };
        let (mut bytes, mut next, mut count) = (0, after.0 + 1, limits::ENTRIES_FIRST);
        loop {
            let mut range = redis::pipe();
            range.cmd("HGET").arg(&head).arg("offset");
            range.cmd("XRANGE").arg(&log).arg(next).arg("+").arg("COUNT").arg(count);
            let answers = self.request(&log, &range).await?;
            let malformed = BusError::Malformed("a log's range");
            let Ok([tail, entries]) = <[Value; 2]>::try_from(answers) else {
                return Err(malformed);
            };
            let (Some(tail), Some(entries)) = (answer::offset(&tail), answer::entries(entries))
            else {
                return Err(malformed);
            };
            let all = entries.len() < count;
            slice.tail = tail;
            for entry in entries {
                bytes += entry.payload.len();
                if bytes > max_bytes && !slice.entries.is_empty() {
                    return Ok(slice);
                }
                next = entry.offset.0 + 1;
                // The head was read first: an entry may have come in between.
                slice.tail = slice.tail.max(entry.offset);
                slice.entries.push(entry);
            }
            if all || bytes >= max_bytes {
                return Ok(slice);
            }
            let mean = bytes / slice.entries.len() + 1;
            count = ((max_bytes - bytes) / mean + 1).min(limits::ENTRIES_MAX);
        }
    }

    async fn locate(&self, bucket: u32, unix_ns: u64) -> Result<Offset, BusError> {
        let names = &self.0.names;
        let keys = [&names.log(bucket), &names.head(bucket)];
        let answer = self.run(&LOCATE, &keys, |command| {
            command.arg(unix_ns / 1_000_000);
        });
        let offset = answer::offset(&answer.await?);
        offset.ok_or(BusError::Malformed("where a time is in a log"))
    }

    async fn subscribe(&self, bucket: u32) -> Result<(), BusError> {
        self.change(Change::Subscribe, bucket).await
    }

    async fn unsubscribe(&self, bucket: u32) -> Result<(), BusError> {
        self.change(Change::Unsubscribe, bucket).await
    }

    async fn put_value(&self, key: &str, value: Bytes) -> Result<(), BusError> {
        if key == keys::CATALOG {
            self.announce(key, &value, live::CATALOG).await?;
            self.0.store.forget();
            return Ok(());
        }
        let hash = self.0.names.values(key);
        let mut put = redis::pipe();
        put.cmd("HSET").arg(&hash).arg(key).arg(&value[..]);
        self.request(&hash, &put).await?;
        Ok(())
    }

    async fn values(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, BusError> {
        let mut by_hash: Vec<(String, Vec<usize>)> = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            let hash = self.0.names.values(key);
            let open = by_hash.iter_mut().rev().find(|(known, _)| *known == hash);
            match open.filter(|(_, places)| places.len() < limits::VALUES_AT_ONCE) {
                Some((_, places)) => places.push(place),
                None => by_hash.push((hash, vec![place])),
            }
        }
        let mut values = vec![None; keys.len()];
        let answers = try_join_all(by_hash.iter().map(async |(hash, places)| {
            let mut some = redis::pipe();
            let command = some.cmd("HMGET").arg(hash);
            for place in places {
                command.arg(&keys[*place]);
            }
            self.request(hash, &some).await
        }));
        for ((_, places), mut answer) in by_hash.iter().zip(answers.await?) {
            let Some(Value::Array(found)) = answer.pop() else {
                return Err(BusError::Malformed("values"));
            };
            for (place, value) in places.iter().zip(found) {
                values[*place] = answer::bytes(value);
            }
        }
        Ok(values)
    }

    async fn pulse(&self, payload: Bytes) -> Result<(), BusError> {
        let channel = self.0.names.control();
        let mut publish = redis::pipe();
        publish.cmd(self.publish()).arg(&channel).arg([live::PULSE, &payload].concat());
        self.request(&channel, &publish).await?;
        Ok(())
    }

    async fn close(&self) {
        // Whoever wanted something sent has its answer by now.
        self.0.shared.close();
        self.0.supervisor.abort();
    }
}

impl Redis {
    /// Asks the node of this key, again while the key moves.
    async fn ask(&self, key: &str, pipeline: &Pipeline) -> Result<Vec<Value>, Failure> {
        let shared = &self.0.shared;
        let slot = slots::slot_of(key);
        let deadline = Instant::now() + shared.timeout;
        loop {
            let session = shared.session(deadline).await?;
            match session.request(slot, pipeline, deadline).await {
                Err(Failure::NotYet(error)) => {
                    if Instant::now() + limits::RETRY_PAUSE >= deadline {
                        return Err(Failure::NotDone(BusError::Unreachable(error.into())));
                    }
                    tokio::time::sleep(limits::RETRY_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    async fn request(&self, key: &str, pipeline: &Pipeline) -> Result<Vec<Value>, BusError> {
        Ok(self.ask(key, pipeline).await?)
    }

    /// Runs a script, which the server may not know yet.
    async fn run(
        &self,
        script: &Code,
        keys: &[&String],
        arguments: impl Fn(&mut redis::Cmd),
    ) -> Result<Value, Failure> {
        let call = |how: &str, code: &str| {
            let mut command = redis::cmd(how);
            command.arg(code).arg(keys.len()).arg(keys);
            arguments(&mut command);
            let mut pipeline = redis::pipe();
            pipeline.add_command(command);
            pipeline
        };
        let mut answer = self.ask(keys[0], &call("EVALSHA", script.hash())).await;
        if let Err(Failure::Refused(error)) = &answer
            && error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
        {
            answer = self.ask(keys[0], &call("EVAL", script.text)).await;
        }
        Ok(answer?.pop().unwrap_or(Value::Nil))
    }

    async fn announce(&self, field: &str, value: &[u8], message: &[u8]) -> Result<(), BusError> {
        let names = &self.0.names;
        self.run(&ANNOUNCE, &[&names.control_values()], |command| {
            command.arg(field).arg(value).arg(names.control()).arg(self.publish()).arg(message);
        })
        .await?;
        Ok(())
    }

    async fn retention(&self) -> Result<Retention, BusError> {
        let ticket = match self.0.store.recall() {
            Ok(retention) => return Ok(retention),
            Err(ticket) => ticket,
        };
        let key = self.0.names.control_values();
        let mut both = redis::pipe();
        both.cmd("HMGET").arg(&key).arg(names::STORE).arg(keys::CATALOG);
        let answer = self.request(&key, &both).await?.pop().unwrap_or(Value::Nil);
        let Some([options, catalog]) = answer::array(&answer) else {
            return Err(BusError::Malformed("what is kept"));
        };
        if *options == Value::Nil {
            return Err(BusError::Missing);
        }
        let malformed = BusError::Malformed("what is kept");
        let retention = store::retention(options, catalog).ok_or(malformed)?;
        self.0.store.remember(ticket, retention);
        Ok(retention)
    }

    async fn change(&self, change: Change, bucket: u32) -> Result<(), BusError> {
        let shared = &self.0.shared;
        let _changing = shared.changes.lock().await;
        match change {
            Change::Subscribe => shared.live.wanted().insert(bucket),
            Change::Unsubscribe => shared.live.wanted().remove(&bucket),
        };
        let session = match &*shared.state.borrow() {
            State::Up(session) => Arc::clone(session),
            State::Down(_) => return Ok(()),
            State::Closed => return Err(BusError::Closed),
        };
        // Also if it is so already: whoever asked for it may have gone before it was done.
        let channel = self.0.names.live(bucket);
        if let Err(error) = session.change(change, &[channel], shared.timeout).await {
            // The next session subscribes what is wanted, whatever this one has done.
            session.end(error.to_string());
        }
        Ok(())
    }

    fn publish(&self) -> &'static str {
        match self.0.shared.topology {
            Topology::Single => "PUBLISH",
            Topology::Cluster => "SPUBLISH",
        }
    }
}

impl From<Failure> for BusError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotDone(error) | Failure::Unknown(error) => error,
            Failure::NotYet(error) => Self::Unreachable(error.into()),
            Failure::Refused(error) => Self::Refused(error.into()),
        }
    }
}

fn append_error(failure: Failure) -> AppendError {
    match failure {
        Failure::Unknown(error) => AppendError::Unknown(error),
        // An error within the script comes after its check, and maybe after its writing.
        Failure::Refused(error) if is_within_script(&error) => {
            AppendError::Unknown(BusError::Refused(error.into()))
        }
        failure => AppendError::Refused(failure.into()),
    }
}

fn is_within_script(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("script:"))
}
