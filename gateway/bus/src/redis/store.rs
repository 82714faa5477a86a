//! What is kept and how long: as a value at the bus, and remembered while it holds.
//!
//! Every append says how much its bucket keeps, so that a script touches no key of another slot.

use std::sync::{Mutex, PoisonError};

use redis::Value;

use crate::backend::{Storage, StoreOptions};
use crate::catalog::{Catalog, WriterKind};
use crate::limits::CLIENTS_BATCHES_KEPT;
use crate::redis::answer;

/// More than any log ever has, and exact as a number of Lua.
const ANY: u64 = 1 << 52;

/// What a bucket's log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retention {
    pub(super) age_ms: u64,
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

impl Retention {
    /// That of logs written by clients goes by count alone.
    pub(super) fn of_bucket(self, bucket: u32) -> Self {
        match WriterKind::of_bucket(bucket) {
            WriterKind::Feed => self,
            WriterKind::Clients => {
                Self { age_ms: ANY, bytes: ANY, entries: u64::from(CLIENTS_BATCHES_KEPT) }
            }
        }
    }
}

/// The value's text: age in ms, bytes of all logs together.
pub(super) fn encode(options: &StoreOptions) -> String {
    format!("{} {}", options.max_age.as_millis(), options.max_bytes)
}

/// What a bucket of the feed keeps, by the stored options and the catalog. `None` if the options are none.
pub(super) fn retention(options: &Value, catalog: &Value) -> Option<Retention> {
    let (age, bytes) = answer::text(options)?.split_once(' ')?;
    let (age_ms, bytes): (u64, u64) = (age.parse().ok()?, bytes.parse().ok()?);
    let catalog = match catalog {
        Value::BulkString(bytes) => Catalog::decode(bytes).ok(),
        _ => None,
    };
    let of_feed = |bucket: &u32| WriterKind::of_bucket(*bucket) == WriterKind::Feed;
    let buckets = catalog.map_or(0, |catalog| catalog.buckets().filter(of_feed).count());
    let share = bytes / u64::try_from(buckets.max(1)).ok()?;
    Some(Retention { age_ms: age_ms.min(ANY), bytes: share.min(ANY), entries: ANY })
}

/// Whether the server's settings keep what these options promise; if not, what is wrong.
pub(super) fn shortcoming(options: &StoreOptions, persistence: &str) -> Option<&'static str> {
    let appends = persistence.contains("aof_enabled:1");
    (options.storage == Storage::File && !appends)
        .then_some("storage on disk was asked for, but the server has no append-only file")
}

/// The retention as last read. Forgotten when it may have changed, also while it is being read.
#[derive(Debug, Default)]
pub(super) struct StoreCache(Mutex<(u64, Option<Retention>)>);

impl StoreCache {
    /// What is remembered, or else the ticket for remembering what is now read.
    pub(super) fn recall(&self) -> Result<Retention, Ticket> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.ok_or(Ticket(state.0))
    }

    pub(super) fn remember(&self, ticket: Ticket, retention: Retention) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 == ticket.0 {
            state.1 = Some(retention);
        }
    }

    pub(super) fn forget(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (state.0 + 1, None);
    }
}

/// Of when something was read: before or after the last change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn options_survive_their_text() {
        let options = StoreOptions {
            max_age: Duration::from_secs(7),
            max_bytes: 1 << 40,
            ..StoreOptions::default()
        };
        let text = Value::BulkString(encode(&options).into_bytes());
        let kept = Retention { age_ms: 7000, bytes: 1 << 40, entries: ANY };
        assert_eq!(retention(&text, &Value::Nil), Some(kept));
        assert_eq!(retention(&Value::Nil, &Value::Nil), None);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered() {
        let cache = StoreCache::default();
        let retention = Retention { age_ms: 1, bytes: 2, entries: 3 };
        let before = cache.recall().unwrap_err();
        cache.forget();
        cache.remember(before, retention);
        let after = cache.recall().unwrap_err();
        cache.remember(after, retention);
        assert_eq!(cache.recall().unwrap(), retention);
    }

    #[test]
    fn disk_needs_an_append_only_file() {
        let file = StoreOptions { storage: Storage::File, ..StoreOptions::default() };
        assert!(shortcoming(&file, "# Persistence\r\naof_enabled:0\r\n").is_some());
        assert!(shortcoming(&file, "# Persistence\r\naof_enabled:1\r\n").is_none());
        assert!(shortcoming(&StoreOptions::default(), "aof_enabled:0").is_none());
    }
}
