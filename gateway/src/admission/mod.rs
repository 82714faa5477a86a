//! Admission: how many connections one client address may have, and how often it may connect.
//!
//! Counted over all shards, by the address of the client, or, where it is one of IPv6, by its network of 64
//! bits: that is what one subscriber of a provider is given. Locked when a connection begins and ends, never
//! for a tick.

mod places;
mod rates;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

pub use places::{Pass, Places};
pub use rates::Rates;

/// The time that `address-rate` is about.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// What is allowed to one client address, and what each has: the counts are shared by all shards, and go on when
/// what is allowed changes.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Connections at once, and new ones in a minute; 0: any number.
    connections: u32,
    rate: u32,
    places: Arc<Places>,
    rates: Arc<Rates>,
}

/// Why a client address is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has as many connections as it may.
    TooMany,
    /// It connects too often.
    TooOften,
}

impl Admission {
    /// So many connections at once, and so many new ones in a minute; 0: any number.
    #[must_use]
    pub fn new(connections: u32, rate: u32) -> Self {
        let (places, rates) = (Arc::default(), Arc::new(Rates::new(RATE_WINDOW)));
        Self { connections, rate, places, rates }
    }

    /// The same limits, with what another one has counted.
    #[must_use]
    pub(crate) fn with_counts_of(self, other: &Self) -> Self {
        let (places, rates) = (Arc::clone(&other.places), Arc::clone(&other.rates));
        Self { places, rates, ..self }
    }

    /// Lets a connection of this address begin. It counts for as long as the pass lives.
    pub(crate) fn admit(&self, address: IpAddr, now_ns: u64) -> Result<Pass, Refused> {
        let network = network(address);
        // A client that has its places used up must not use up its rate as well by asking.
        let pass = Places::take(&self.places, self.connections, network).ok_or(Refused::TooMany)?;
        if self.rates.admit(self.rate, network, now_ns) { Ok(pass) } else { Err(Refused::TooOften) }
    }
}

/// Whose connections are counted together with those of this address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_ipv6_count_as_one_client() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2:ffff::1"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:3::1"), "2001:db8:1:3::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn places_are_given_back_and_refusals_do_not_count_against_the_rate() {
        let admission = Admission::new(2, 3);
        let address = "192.0.2.1".parse().unwrap();
        let first = admission.admit(address, 0).unwrap();
        let _second = admission.admit(address, 0).unwrap();
        assert_eq!(admission.admit(address, 0).err(), Some(Refused::TooMany));
        assert!(admission.admit("192.0.2.2".parse().unwrap(), 0).is_ok());
        drop(first);
        let _third = admission.admit(address, 0).unwrap();
        drop(_second);
        assert_eq!(admission.admit(address, 0).err(), Some(Refused::TooOften));
        // A third of a minute is one more.
        assert!(admission.admit(address, 20_000_000_000).is_ok());
    }

    #[test]
    fn other_limits_go_on_with_what_was_counted() {
        let address = "192.0.2.1".parse().unwrap();
        let narrow = Admission::new(2, 100);
        let passes = [(); 2].map(|()| narrow.admit(address, 0).unwrap());
        let wide = Admission::new(3, 100).with_counts_of(&narrow);
        let third = wide.admit(address, 0).unwrap();
        assert_eq!(wide.admit(address, 0).err(), Some(Refused::TooMany));
        drop(passes);
        let narrow = Admission::new(1, 100).with_counts_of(&wide);
        assert_eq!(narrow.admit(address, 0).err(), Some(Refused::TooMany));
        drop(third);
        assert!(narrow.admit(address, 0).is_ok());
        // The four that came took a twenty-fifth of the bucket, and each takes a quarter of it now.
        let slow = Admission::new(0, 4).with_counts_of(&narrow);
        assert_eq!((0..10).filter(|_| slow.admit(address, 0).is_ok()).count(), 3);
    }
}
