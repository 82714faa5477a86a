//! What comes unasked, on its way from connections to the inbox.
//!
//! Runs within the tasks that read the connections, and never waits: what the inbox cannot hold it
//! drops and counts itself. So the server's buffer for us fills only if the network is slow; a server that
//! then disconnects us has ended the session, like any other fault.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc;

use crate::inbox::{InboxSender, Signal};
use crate::redis::answer;
use crate::redis::names::Names;
use crate::redis::store::StoreCache;
use crate::url::Host;

/// On the control channel: the catalog was stored anew.
pub(super) const CATALOG: &[u8] = b"catalog";

/// On the control channel: what is kept, and how long, was changed.
pub(super) const STORE: &[u8] = b"store";

/// On the control channel, with a payload behind it: a writer lives.
pub(super) const PULSE: &[u8] = b"pulse:";

/// Where things go. All sessions of a handle share it.
#[derive(Clone)]
pub(super) struct Live {
    inbox: InboxSender,
    names: Arc<Names>,
    store: Arc<StoreCache>,
    wanted: Arc<Mutex<BTreeSet<u32>>>,
}

impl Live {
    pub(super) fn new(inbox: InboxSender, names: Arc<Names>, store: Arc<StoreCache>) -> Self {
        Self { inbox, names, store, wanted: Arc::default() }
    }

    /// Every channel that is to be subscribed: that for control, and those of buckets.
    pub(super) fn channels(&self) -> Vec<String> {
        let wanted = self.wanted();
        let buckets = wanted.iter().map(|bucket| self.names.live(*bucket));
        std::iter::once(self.names.control()).chain(buckets).collect()
    }

    /// What of buckets is to be subscribed.
    pub(super) fn wanted(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        // No code panics while it holds the lock.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection's state, for the inbox.
    pub(super) fn tell(&self, signal: Signal) {
        self.inbox.push(signal);
    }

    /// A new session may be with a server that has lost what was stored.
    pub(super) fn forget_store(&self) {
        self.store.forget();
    }

    /// Listens on a connection for subscriptions.
    pub(super) fn listener(
        &self,
        host: &Host,
        broken: &mpsc::Sender<String>,
    ) -> impl Fn(PushInfo) -> Result<(), Ended> + Send + Sync + 'static {
        let (live, host, broken) = (self.clone(), host.clone(), broken.clone());
        move |push| {
            match push.kind {
                PushKind::Message | PushKind::SMessage => live.message(push.data),
                PushKind::SUnsubscribe if live.still_wants(&push.data) => {
                    end(&broken, format!("{host} no longer has the slot of a subscription"));
                }
                PushKind::Disconnection => end(&broken, format!("{host} ended the connection")),
                _ => {}
            }
            Ok(())
        }
    }

    /// Listens on a connection for requests, where nothing comes unasked but its end.
    pub(super) fn faults_only(
        &self,
        host: &Host,
        broken: &mpsc::Sender<String>,
    ) -> impl Fn(PushInfo) -> Result<(), Ended> + Send + Sync + 'static {
        let (host, broken) = (host.clone(), broken.clone());
        move |push| {
            if push.kind == PushKind::Disconnection {
                end(&broken, format!("{host} ended the connection"));
            }
            Ok(())
        }
    }

    fn message(&self, data: Vec<Value>) {
        let Ok([Value::BulkString(channel), message]) = <[Value; 2]>::try_from(data) else {
            return;
        };
        if let Some(bucket) = self.names.bucket_of(&channel) {
            let entry = answer::live_entry(message);
            // Whoever writes there what is no entry makes us read the log, where it is not.
            self.inbox
                .push(entry.map_or(Signal::Missed(bucket), |entry| Signal::Entry(bucket, entry)));
        } else if let Some(message) = answer::bytes(message) {
            self.control(&message);
        }
    }

    fn control(&self, message: &Bytes) {
        if message == CATALOG {
            // The share of a bucket depends on how many there are.
            self.store.forget();
            self.inbox.push(Signal::CatalogChanged);
        } else if message == STORE {
            self.store.forget();
        } else if message.starts_with(PULSE) {
            self.inbox.push(Signal::Pulse(message.slice(PULSE.len()..)));
        }
    }

    fn still_wants(&self, data: &[Value]) -> bool {
        let Some(Value::BulkString(channel)) = data.first() else { return false };
        match self.names.bucket_of(channel) {
            Some(bucket) => self.wanted().contains(&bucket),
            None => channel == self.names.control().as_bytes(),
        }
    }
}

/// Never: what the client library wants to hear if nobody listens any more.
#[derive(Debug)]
pub(super) enum Ended {}

fn end(broken: &mpsc::Sender<String>, reason: String) {
    // Full: there is a reason already. Closed: the session has ended.
    let _ = broken.try_send(reason);
}
