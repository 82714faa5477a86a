//! How often one client address may connect, or one user may ask: a bucket for each that did lately.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::saturating_ns;

/// Whoever is remembered. There: those that could come as often as any other are forgotten;
/// if all are busy, new ones are let in unseen. Memory: 32 B for an address, and a user's name.
const KNOWN_MAX: usize = 65_536;

/// See the module's header.
#[derive(Debug)]
pub struct Rates<K = IpAddr> {
    /// The time in which one may come so often.
    window_ns: u64,
    /// By whom, when the bucket was empty, ns of the shards' clock: a bucket fills from that time on,
    /// in the window's length.
    empty_ns: Mutex<HashMap<K, u64>>,
}

impl<K: Eq + Hash> Rates<K> {
    /// Nobody has come; how often anybody may is about this time.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self { window_ns: saturating_ns(window), empty_ns: Mutex::default() }
    }

    /// Whether this one, which may come so often in the window, may now, and takes it for done if so; 0: as
    /// often as it likes.
    pub(crate) fn admit(&self, most: u32, whom: K, now_ns: u64) -> bool {
        let Some(cost_ns) = self.window_ns.checked_div(u64::from(most)) else { return true };
        // The clock starts with the machine; a bucket must be able to have been empty before.
        let now_ns = now_ns.saturating_add(self.window_ns);
        let full_ns = now_ns - self.window_ns;
        let mut known = self.empty_ns.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX && !known.contains_key(&whom) {
            known.retain(|_, empty_ns| *empty_ns > full_ns);
            if known.len() >= KNOWN_MAX {
                return true;
            }
        }
        let empty_ns = known.entry(whom).or_insert(full_ns);
        let after_ns = (*empty_ns).max(full_ns).saturating_add(cost_ns);
        let is_admitted = after_ns <= now_ns;
        if is_admitted {
            *empty_ns = after_ns;
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_connects_so_often_and_again_when_its_bucket_fills() {
        let (one, other) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::from([10, 0, 0, 2]));
        let rates = Rates::new(Duration::from_secs(300));
        let admitted = (0..400).filter(|_| rates.admit(300, one, 7)).count();
        assert_eq!(admitted, 300);
        assert!(rates.admit(300, other, 7));
        let second_ns = 1_000_000_000;
        assert!(!rates.admit(300, one, 7 + second_ns / 2));
        assert!(rates.admit(300, one, 7 + second_ns));
        assert!(!rates.admit(300, one, 7 + second_ns));
        assert!((0..1000).all(|_| rates.admit(0, one, 7)));
    }

    #[test]
    fn where_too_many_are_busy_new_ones_pass_and_known_ones_are_held_to_it() {
        let rates: Rates<usize> = Rates::new(Duration::from_secs(1));
        assert!((0..KNOWN_MAX).all(|whom| rates.admit(1, whom, 7)));
        assert!(rates.admit(1, KNOWN_MAX, 7) && rates.admit(1, KNOWN_MAX, 7));
        assert!(!rates.admit(1, 0, 7));
    }
}
