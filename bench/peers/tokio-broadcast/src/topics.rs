//! The topics: a broadcast channel each, made by whoever names it first.

use std::collections::HashMap;
use std::sync::RwLock;

use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Bytes;

/// Where a quote's instrument stands.
const INSTRUMENT: usize = 24;

/// See the module's documentation.
pub(crate) struct Topics {
    capacity: usize,
    channels: RwLock<HashMap<String, broadcast::Sender<Bytes>>>,
}

impl Topics {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, channels: RwLock::default() }
    }

    pub(crate) fn subscribe(&self, name: &str) -> broadcast::Receiver<Bytes> {
        let mut channels = self.channels.write().expect("no holder panics");
        if let Some(sender) = channels.get(name) {
            return sender.subscribe();
        }
        let (sender, receiver) = broadcast::channel(self.capacity);
        channels.insert(name.to_owned(), sender);
        receiver
    }

    /// None if it is not a quote. Without subscribers it goes nowhere.
    pub(crate) fn publish(&self, quote: Bytes) -> Option<()> {
        let instrument = quote.get(INSTRUMENT..)?.first_chunk()?;
        let name = format!("S{}.quote", u32::from_le_bytes(*instrument));
        let channels = self.channels.read().expect("no holder panics");
        if let Some(sender) = channels.get(&name) {
            let _ = sender.send(quote);
        }
        Some(())
    }
}
