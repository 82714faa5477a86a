//! How many connections one client address has at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Connections by address. Memory: 32 B for each address that has one, nothing where there is no limit.
#[derive(Debug, Default)]
pub struct Places {
    taken: Mutex<HashMap<IpAddr, u32>>,
}

/// The place of one connection, given back when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Pass(Option<(Arc<Places>, IpAddr)>);

impl Places {
    /// A place for a connection of this address, of which there may be so many, or any number if that is 0;
    /// `None`: it has as many as it may.
    pub(super) fn take(places: &Arc<Self>, most: u32, address: IpAddr) -> Option<Pass> {
        if most == 0 {
            return Some(Pass(None));
        }
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Pass(Some((Arc::clone(places), address))))
    }
}

impl Pass {
    /// Whether anybody counts: a pass that does not need not be kept.
    pub(crate) const fn is_counted(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let Some((places, address)) = self.0.take() else { return };
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&address);
            }
        }
    }
}
