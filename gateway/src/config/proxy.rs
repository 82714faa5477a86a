//! What is configured about proxies: who they are, and what they say of clients.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::setting::{Refusal, Setting};
use crate::proxies::{ForwardedHeader, ProxyProtocol, TrustedProxies};

/// Addresses and networks, with commas between; an empty text stands for none.
pub struct NetworkList;

impl Setting for NetworkList {
    type Value = TrustedProxies;
    const PLACEHOLDER: &'static str = "NETWORKS";

    fn parse(text: &str) -> Result<TrustedProxies, Refusal> {
        if text.is_empty() {
            return Ok(TrustedProxies::default());
        }
        let networks: Option<Vec<IpNet>> =
            text.split(',').map(|part| network(part.trim())).collect();
        networks.map(TrustedProxies::new).ok_or(Refusal::Malformed)
    }

    fn expected() -> String {
        "addresses or networks with commas between, such as 10.0.0.5,192.168.0.0/16,fd00::/8"
            .to_owned()
    }
}

/// One address or network. One with bits behind its prefix is refused: `10.1.2.3/8` is more likely a slip
/// than all of `10.0.0.0/8`.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text.parse().ok()?;
    (network.trunc() == network).then_some(network)
}

/// Whether connections begin with a header of the PROXY protocol.
impl Setting for ProxyProtocol {
    type Value = Self;
    const PLACEHOLDER: &'static str = "off|on";

    fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::On),
            _ => Err(Refusal::Malformed),
        }
    }

    fn expected() -> String {
        "off or on".to_owned()
    }
}

/// Which header of requests names clients.
impl Setting for ForwardedHeader {
    type Value = Self;
    const PLACEHOLDER: &'static str = "x-forwarded-for|forwarded";

    fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err(Refusal::Malformed),
        }
    }

    fn expected() -> String {
        "x-forwarded-for or forwarded".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_taken_and_slips_are_not() {
        let trusted = NetworkList::parse("127.0.0.1, 10.0.0.0/8,fd00::/8,::1").unwrap();
        for address in ["127.0.0.1", "10.9.8.7", "fd00::1", "::1"] {
            assert!(trusted.contains(address.parse().unwrap()), "{address}");
        }
        assert!(!trusted.contains("127.0.0.2".parse().unwrap()));
        assert!(NetworkList::parse("").unwrap().is_empty());
        for bad in [",", "10.0.0.1/8", "10.0.0.0/33", "localhost", "10.0.0.0/", "10.0.0.0-10.0.0.9"]
        {
            assert_eq!(NetworkList::parse(bad), Err(Refusal::Malformed), "{bad}");
        }
    }
}
