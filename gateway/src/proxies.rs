//! Load balancers in front of the gateway: which of them are believed, and what they say of clients.
//!
//! Behind a proxy every connection comes from the proxy's address. It tells the client's in a PROXY
//! protocol header before the first byte, or in a header of each request. Anybody can write such
//! headers, so they count only if their sender is listed, and only the kind that is configured: a proxy
//! that sets one kind passes the other on as the client wrote it.
//!
//! Reading the PROXY header is `http/proxy_header.rs`, reading requests' headers `http/forwarded.rs`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// What is believed of whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Whether connections begin with a PROXY header.
    pub protocol: ProxyProtocol,
    /// Which header of requests names clients.
    pub header: ForwardedHeader,
    /// Who is believed.
    pub trusted: TrustedProxies,
}

/// Whether connections to the public port begin with a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// None does.
    #[default]
    Off,
    /// Each one does, and only listed proxies may connect at all. The protocol forbids guessing
    /// whether there is a header (section 2 of its specification).
    On,
}

/// Which header of a request names the client, where a listed proxy sends it. The other one is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, as nginx and HAProxy write it.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Addresses whose word about clients is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// These networks.
    #[must_use]
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether nobody is believed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this address is believed. One that is IPv4 in IPv6's clothes counts as IPv4: a
    /// listener on `[::]` sees those.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Where a client is, as a proxy says. A header of a request need not know its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    /// The address, canonical: never IPv4 in IPv6's clothes.
    pub ip: IpAddr,
    /// The port, if it is known.
    pub port: Option<u16>,
}

// One for each session of a client behind a proxy.
const _: () = assert!(size_of::<Option<ClientAddress>>() <= 24);

impl ClientAddress {
    /// An address whose port may not be known.
    #[must_use]
    pub fn new(ip: IpAddr, port: Option<u16>) -> Self {
        Self { ip: ip.to_canonical(), port }
    }
}

impl From<SocketAddr> for ClientAddress {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip(), Some(address.port()))
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_listed_is_believed_in_either_notation() {
        let listed = ["10.0.0.0/8", "fd00::/8", "192.0.2.7/32"];
        let trusted = TrustedProxies::new(listed.map(|text| text.parse().unwrap()).to_vec());
        for yes in ["10.255.0.1", "::ffff:10.0.0.1", "fd12::1", "192.0.2.7"] {
            assert!(trusted.contains(yes.parse().unwrap()), "{yes}");
        }
        for no in ["11.0.0.1", "::ffff:192.0.2.8", "fe80::1", "::10.0.0.1"] {
            assert!(!trusted.contains(no.parse().unwrap()), "{no}");
        }
        assert!(!TrustedProxies::default().contains(IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn addresses_are_shown_with_their_ports_if_known() {
        let shown = |ip: &str, port| ClientAddress::new(ip.parse().unwrap(), port).to_string();
        assert_eq!(shown("192.0.2.1", Some(80)), "192.0.2.1:80");
        assert_eq!(shown("::ffff:192.0.2.1", None), "192.0.2.1");
        assert_eq!(shown("2001:db8::1", Some(80)), "[2001:db8::1]:80");
        assert_eq!(shown("2001:db8::1", None), "2001:db8::1");
    }
}
