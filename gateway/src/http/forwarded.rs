//! Whom a request comes from, by the headers that proxies add: `X-Forwarded-For`, or `Forwarded` of
//! RFC 7239.
//!
//! Each proxy appends the address that it was connected from, so the list is read from its end for as long
//! as the one who wrote an element is trusted. The first address that is not a trusted proxy's is the
//! client; what stands before it is the client's own word. An element that is no address (`unknown`, a
//! name made up to hide one, rubbish) ends the walk at whoever wrote it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hyper::header::{FORWARDED, HeaderMap, HeaderName};

use crate::proxies::{ClientAddress, ForwardedHeader, Proxies};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies in a row that are looked at. A chain in earnest has two or three.
const HOPS_MAX: usize = 16;

/// Whom a connection comes from, before its requests say more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote {
    /// The other end of the socket.
    pub(crate) peer: SocketAddr,
    /// What its PROXY header said.
    pub(crate) told: Option<ClientAddress>,
}

impl Remote {
    /// The client of a request on this connection, if it is not the peer. Behind two proxies the outer
    /// one may have added a header, and the inner one named the outer as its client.
    pub(super) fn client(self, headers: &HeaderMap, proxies: &Proxies) -> Option<ClientAddress> {
        client(headers, self.nearest(), proxies).or(self.told)
    }

    /// The address of the client, unless a proxy's requests name it.
    pub(super) fn address(self, proxies: &Proxies) -> Option<IpAddr> {
        Some(self.nearest()).filter(|nearest| !proxies.trusted.contains(*nearest))
    }

    fn nearest(self) -> IpAddr {
        self.told.map_or(self.peer.ip(), |told| told.ip)
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.told {
            Some(client) => write!(f, "{client} via {}", self.peer),
            None => self.peer.fmt(f),
        }
    }
}

/// The client of a request that came from `peer`; `None`: the peer itself is the client, as far as can be
/// known.
fn client(headers: &HeaderMap, peer: IpAddr, proxies: &Proxies) -> Option<ClientAddress> {
    if !proxies.trusted.contains(peer) {
        return None;
    }
    let mut client = None;
    let name = match proxies.header {
        ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
        ForwardedHeader::Forwarded => FORWARDED,
    };
    // Several lines are one list (RFC 9110, section 5.3). Neither header has commas within what is
    // taken here: an address in quotes has none, and others in quotes end the walk.
    let lines = headers.get_all(name).iter().rev();
    let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for element in elements.take(HOPS_MAX) {
        let Ok(element) = std::str::from_utf8(element) else { break };
        let node = match proxies.header {
            ForwardedHeader::XForwardedFor => Some(element.trim()),
            ForwardedHeader::Forwarded => forwarded_for(element),
        };
        let Some(address) = node.and_then(address) else { break };
        client = Some(address);
        if !proxies.trusted.contains(address.ip) {
            break;
        }
    }
    client
}

/// The `for` parameter of one element of `Forwarded`: `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            // Each parameter is there at most once (section 4).
            if found.is_some() {
                return None;
            }
            found = Some(value);
        }
    }
    let value = found?;
    match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"'),
        None => Some(value),
    }
}

/// An address with or without a port; IPv6 in brackets or, without a port, bare.
fn address(text: &str) -> Option<ClientAddress> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ClientAddress::new(ip, None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.into());
    }
    let bracketed = text.strip_prefix('[')?.strip_suffix(']')?;
    let ip = bracketed.parse::<Ipv6Addr>().ok()?;
    Some(ClientAddress::new(ip.into(), None))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;
    use crate::proxies::TrustedProxies;

    fn found(
        header: ForwardedHeader,
        peer: &str,
        lines: &[(&'static str, &str)],
    ) -> Option<String> {
        let trusted = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|net| net.parse().unwrap());
        let trusted = TrustedProxies::new(trusted.to_vec());
        let proxies = Proxies { header, trusted, ..Proxies::default() };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        client(&headers, peer.parse().unwrap(), &proxies).map(|client| client.to_string())
    }

    fn x(peer: &str, values: &[&str]) -> Option<String> {
        let lines: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
        found(ForwardedHeader::XForwardedFor, peer, &lines)
    }

    fn forwarded(peer: &str, values: &[&str]) -> Option<String> {
        let lines: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
        found(ForwardedHeader::Forwarded, peer, &lines)
    }

    fn is(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(x("192.0.2.1", &["203.0.113.9"]), None);
        assert_eq!(x("10.0.0.1", &["203.0.113.9"]), is("203.0.113.9"));
        assert_eq!(x("::ffff:10.0.0.1", &["203.0.113.9"]), is("203.0.113.9"));
        assert_eq!(x("10.0.0.1", &[]), None);
    }

    #[test]
    fn what_a_client_wrote_itself_does_not_count() {
        assert_eq!(x("10.0.0.1", &["1.1.1.1, 203.0.113.9"]), is("203.0.113.9"));
        assert_eq!(x("10.0.0.1", &["1.1.1.1", "203.0.113.9"]), is("203.0.113.9"));
        assert_eq!(x("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"]), is("203.0.113.9"));
        assert_eq!(
            x("10.0.0.1", &["1.1.1.1, 203.0.113.9", "10.0.0.2,10.0.0.3"]),
            is("203.0.113.9")
        );
        // Everybody is a proxy: the first one is as near to the client as can be known.
        assert_eq!(x("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), is("10.0.0.3"));
    }

    #[test]
    fn the_header_that_is_not_configured_is_ignored() {
        let both = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=203.0.113.9")];
        let of = |header| found(header, "10.0.0.1", &both);
        assert_eq!(of(ForwardedHeader::XForwardedFor), is("1.1.1.1"));
        assert_eq!(of(ForwardedHeader::Forwarded), is("203.0.113.9"));
        assert_eq!(found(ForwardedHeader::Forwarded, "10.0.0.1", &both[..1]), None);
    }

    #[test]
    fn what_is_no_address_ends_at_whoever_wrote_it() {
        assert_eq!(x("10.0.0.1", &["1.1.1.1, unknown"]), None);
        assert_eq!(x("10.0.0.1", &["1.1.1.1, , 10.0.0.2"]), is("10.0.0.2"));
        assert_eq!(x("10.0.0.1", &["1.1.1.1 2.2.2.2"]), None);
        assert_eq!(x("10.0.0.1", &["1.1.1.1:99999"]), None);
        assert_eq!(x("10.0.0.1", &["fe80::1%eth0"]), None);
        assert_eq!(forwarded("10.0.0.1", &["for=_hidden"]), None);
        assert_eq!(forwarded("10.0.0.1", &["for=1.1.1.1;for=2.2.2.2"]), None);
        assert_eq!(forwarded("10.0.0.1", &["proto=https"]), None);
        assert_eq!(forwarded("10.0.0.1", &["for=\"1.1.1.1"]), None);
        assert_eq!(forwarded("10.0.0.1", &["for=\"a,b\", for=10.0.0.2"]), is("10.0.0.2"));
    }

    #[test]
    fn addresses_come_in_all_notations() {
        assert_eq!(x("10.0.0.1", &["203.0.113.9:4711"]), is("203.0.113.9:4711"));
        assert_eq!(x("10.0.0.1", &["2001:db8::9"]), is("2001:db8::9"));
        assert_eq!(x("10.0.0.1", &["[2001:db8::9]"]), is("2001:db8::9"));
        assert_eq!(x("10.0.0.1", &["[2001:db8::9]:4711"]), is("[2001:db8::9]:4711"));
        assert_eq!(x("10.0.0.1", &["::ffff:203.0.113.9"]), is("203.0.113.9"));
        let six = "For=\"[2001:db8:cafe::17]:4711\";proto=https;by=10.0.0.1";
        assert_eq!(forwarded("10.0.0.1", &[six]), is("[2001:db8:cafe::17]:4711"));
        assert_eq!(forwarded("10.0.0.1", &["for=203.0.113.9, for=10.0.0.7"]), is("203.0.113.9"));
    }

    #[test]
    fn a_long_chain_is_not_followed_without_end() {
        let chain = vec!["10.0.0.2"; 5000].join(",");
        assert_eq!(x("10.0.0.1", &[&format!("203.0.113.9,{chain}")]), is("10.0.0.2"));
    }
}
