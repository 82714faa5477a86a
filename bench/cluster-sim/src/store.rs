//! What a bus keeps: a log for each bucket, and values. Without time of its own, and without cost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bus::{Entry, Offset, Slice};
use bytes::Bytes;

/// An entry, and when it was appended, ns.
type Kept = (Entry, u64);

#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<Kept>,
    newest: Offset,
    subscribers: BTreeSet<usize>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Store {
    logs: BTreeMap<u32, Log>,
    values: BTreeMap<String, Bytes>,
    retention_ns: u64,
}

impl Store {
    pub(crate) fn new(retention_ns: u64) -> Self {
        Self { retention_ns, ..Self::default() }
    }

    /// Appends if the newest offset is as expected; else says what it is.
    pub(crate) fn append(
        &mut self,
        bucket: u32,
        expected: Offset,
        payload: &Bytes,
        now_ns: u64,
    ) -> Result<Entry, Offset> {
        let retention_ns = self.retention_ns;
        let log = self.logs.entry(bucket).or_default();
        if log.newest != expected {
            return Err(log.newest);
        }
        let offset = Offset(log.newest.0 + 1);
        let entry = Entry { offset, previous: log.newest, payload: payload.clone() };
        log.newest = offset;
        log.entries.push_back((entry.clone(), now_ns));
        // The newest is never dropped.
        while log.entries.len() > 1
            && log.entries.front().is_some_and(|(_, at_ns)| at_ns + retention_ns < now_ns)
        {
            log.entries.pop_front();
        }
        Ok(entry)
    }

    pub(crate) fn tail(&self, bucket: u32) -> Option<Entry> {
        self.logs.get(&bucket)?.entries.back().map(|(entry, _)| entry.clone())
    }

    /// Entries behind an offset, up to so many bytes, at least one.
    pub(crate) fn read(&self, bucket: u32, after: Offset, bytes_max: usize) -> Slice {
        let Some(log) = self.logs.get(&bucket) else { return Slice::default() };
        let start = log.entries.partition_point(|(entry, _)| entry.offset <= after);
        let mut entries = Vec::new();
        let mut bytes = 0;
        for (entry, _) in log.entries.range(start..) {
            bytes += entry.payload.len();
            if !entries.is_empty() && bytes > bytes_max {
                break;
            }
            entries.push(entry.clone());
        }
        Slice { entries, tail: log.newest }
    }

    /// The offset to read after to get all that was appended from this time on.
    pub(crate) fn locate(&self, bucket: u32, since_ns: u64) -> Offset {
        let Some(log) = self.logs.get(&bucket) else { return Offset::START };
        let at = log.entries.partition_point(|(_, at_ns)| *at_ns < since_ns);
        match log.entries.get(at) {
            Some((entry, _)) => entry.previous,
            None => log.newest,
        }
    }

    pub(crate) fn put(&mut self, key: String, value: Bytes) {
        self.values.insert(key, value);
    }

    pub(crate) fn values(&self, keys: &[String]) -> Vec<Option<Bytes>> {
        keys.iter().map(|key| self.values.get(key).cloned()).collect()
    }

    pub(crate) fn subscribe(&mut self, bucket: u32, port: usize) {
        self.logs.entry(bucket).or_default().subscribers.insert(port);
    }

    pub(crate) fn unsubscribe(&mut self, bucket: u32, port: usize) {
        if let Some(log) = self.logs.get_mut(&bucket) {
            log.subscribers.remove(&port);
        }
    }

    /// A connection is gone, with what it was subscribed to.
    pub(crate) fn disconnect(&mut self, port: usize) {
        for log in self.logs.values_mut() {
            log.subscribers.remove(&port);
        }
    }

    pub(crate) fn subscribers(&self, bucket: u32) -> Vec<usize> {
        self.logs
            .get(&bucket)
            .map_or_else(Vec::new, |log| log.subscribers.iter().copied().collect())
    }

    /// Forgets all, but for who is subscribed.
    pub(crate) fn forget(&mut self) {
        self.values.clear();
        for log in self.logs.values_mut() {
            log.entries.clear();
            log.newest = Offset::START;
        }
    }
}
