//! The inbox: what a bus sends without being asked, in one queue bounded by bytes.
//!
//! Backends fill it from their connection's tasks and never wait; one reader empties it. A full inbox
//! drops entries, counts them, and remembers for which buckets, so that the reader asks the log: a slow
//! reader is a hole like any other. Everything but entries is remembered as a state of which only the newest
//! counts, so that it always has room.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::entry::Entry;

/// What an entry costs besides its payload: itself, and the allocation that the client library keeps
/// for headers and subject.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// Something that came unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// The connection stands. Whatever was subscribed is in force again; what was missed is not known.
    Connected,
    /// The connection is gone, or could not be made. Said once per loss and once per failed attempt.
    Disconnected(String),
    /// The catalog's value was stored anew.
    CatalogChanged,
    /// A writer lives: the newest of what [`crate::Backend::pulse`] was given.
    Pulse(Bytes),
    /// Entries of this bucket came and were dropped: by this inbox, or by the client library.
    Missed(u32),
    /// An entry of a bucket.
    Entry(u32, Entry),
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Signal>,
    catalog_changed: bool,
    pulse: Option<Bytes>,
    missed: BTreeSet<u32>,
    entries: VecDeque<(u32, Entry)>,
    entry_bytes: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    filled: Notify,
    bytes_max: usize,
}

/// Where a backend puts things. Clones fill the same inbox.
#[derive(Clone, Debug)]
pub struct InboxSender(Arc<Shared>);

/// The end from which they are taken.
#[derive(Debug)]
pub struct Inbox(Arc<Shared>);

/// An inbox that holds entries of up to so many bytes, and both its ends.
#[must_use]
pub fn inbox(bytes_max: usize) -> (InboxSender, Inbox) {
    let shared = Arc::new(Shared { state: Mutex::default(), filled: Notify::new(), bytes_max });
    (InboxSender(Arc::clone(&shared)), Inbox(shared))
}

impl InboxSender {
    /// Puts it in. Never waits.
    pub fn push(&self, signal: Signal) {
        let mut state = lock(&self.0);
        match signal {
            Signal::Connected | Signal::Disconnected(_) => state.connection = Some(signal),
            Signal::CatalogChanged => state.catalog_changed = true,
            Signal::Pulse(payload) => state.pulse = Some(payload),
            Signal::Missed(bucket) => {
                state.missed.insert(bucket);
            }
            Signal::Entry(bucket, entry) => {
                let bytes = cost(&entry);
                // An entry larger than the whole inbox must still pass, alone.
                let fits = state.entry_bytes + bytes <= self.0.bytes_max;
                if fits || state.entries.is_empty() {
                    state.entry_bytes += bytes;
                    state.entries.push_back((bucket, entry));
                } else {
                    state.dropped += 1;
                    state.missed.insert(bucket);
                }
            }
        }
        drop(state);
        self.0.filled.notify_one();
    }
}

impl Inbox {
    /// The next signal: the connection's state first, entries in the order they came, and what was missed
    /// after the entries that came before. Waits for one. May be dropped at any time without losing any.
    pub async fn next(&mut self) -> Signal {
        loop {
            if let Some(signal) = self.try_next() {
                return signal;
            }
            self.0.filled.notified().await;
        }
    }

    /// The next signal, if there is one already.
    pub fn try_next(&mut self) -> Option<Signal> {
        let mut state = lock(&self.0);
        if let Some(signal) = state.connection.take() {
            return Some(signal);
        }
        if std::mem::take(&mut state.catalog_changed) {
            return Some(Signal::CatalogChanged);
        }
        if let Some(payload) = state.pulse.take() {
            return Some(Signal::Pulse(payload));
        }
        if let Some((bucket, entry)) = state.entries.pop_front() {
            state.entry_bytes -= cost(&entry);
            return Some(Signal::Entry(bucket, entry));
        }
        state.missed.pop_first().map(Signal::Missed)
    }

    /// Bytes of entries that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        lock(&self.0).entry_bytes
    }

    /// Entries dropped so far because the inbox was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        lock(&self.0).dropped
    }
}

fn cost(entry: &Entry) -> usize {
    entry.payload.len() + ENTRY_OVERHEAD_BYTES
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, State> {
    // No code panics while it holds the lock; if it did, the queue would still be one.
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Offset;

    fn entry(offset: u64, bytes: usize) -> Entry {
        Entry {
            offset: Offset(offset),
            previous: Offset(offset - 1),
            payload: Bytes::from(vec![0; bytes]),
        }
    }

    #[test]
    fn a_full_inbox_says_what_it_dropped_after_what_it_kept() {
        let (sender, mut inbox) = inbox(2 * ENTRY_OVERHEAD_BYTES + 100);
        for offset in 1..=3 {
            sender.push(Signal::Entry(7, entry(offset, 50)));
        }
        sender.push(Signal::Connected);
        assert_eq!(inbox.dropped(), 1);
        assert_eq!(inbox.try_next(), Some(Signal::Connected));
        assert_eq!(inbox.try_next(), Some(Signal::Entry(7, entry(1, 50))));
        assert_eq!(inbox.try_next(), Some(Signal::Entry(7, entry(2, 50))));
        assert_eq!(inbox.try_next(), Some(Signal::Missed(7)));
        assert_eq!(inbox.try_next(), None);
        assert_eq!(inbox.bytes(), 0);
    }

    #[test]
    fn an_entry_larger_than_the_inbox_passes_alone() {
        let (sender, mut inbox) = inbox(10);
        sender.push(Signal::Entry(1, entry(1, 1000)));
        sender.push(Signal::Entry(1, entry(2, 1)));
        assert_eq!(inbox.try_next(), Some(Signal::Entry(1, entry(1, 1000))));
        assert_eq!(inbox.try_next(), Some(Signal::Missed(1)));
    }

    #[test]
    fn of_states_only_the_newest_counts() {
        let (sender, mut inbox) = inbox(10);
        sender.push(Signal::Connected);
        sender.push(Signal::Disconnected("gone".to_owned()));
        sender.push(Signal::Pulse(Bytes::from_static(b"1")));
        sender.push(Signal::Pulse(Bytes::from_static(b"2")));
        assert_eq!(inbox.try_next(), Some(Signal::Disconnected("gone".to_owned())));
        assert_eq!(inbox.try_next(), Some(Signal::Pulse(Bytes::from_static(b"2"))));
        assert_eq!(inbox.try_next(), None);
    }
}
