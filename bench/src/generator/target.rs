//! Where a load goes: a WebSocket URL, parsed and resolved once by the parent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use serde::{Deserialize, Serialize};

/// A resolved WebSocket URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Host as written: what TLS verifies and the Host header names.
    pub(crate) host: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) scheme: Scheme,
}

/// With or without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scheme {
    Ws,
    Wss,
}

/// Why a text is not a target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TargetError {
    #[error("{0}: expected ws://HOST:PORT/PATH or wss://HOST:PORT/PATH")]
    Form(String),
    #[error("{0}: no such host")]
    Resolve(String, #[source] std::io::Error),
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, TargetError> {
        let form = || TargetError::Form(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(form)?;
        let (scheme, default_port) = match scheme {
            "ws" => (Scheme::Ws, 80),
            "wss" => (Scheme::Wss, 443),
            _ => return Err(form()),
        };
        let cut = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(cut);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| form())?),
            _ => (authority, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || path.contains(|c: char| c.is_control() || c == ' ') {
            return Err(form());
        }
        let mut found = (host.as_str(), port)
            .to_socket_addrs()
            .map_err(|source| TargetError::Resolve(host.clone(), source))?;
        let address = found.next().ok_or_else(form)?;
        Ok(Self { address, host, path, scheme })
    }

    /// Whether all traffic stays on this machine.
    pub(crate) const fn is_loopback(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// The address that connection `n` comes from: loopback has 2^24 of them, and each has only some
    /// 28,000 ephemeral ports. Elsewhere the kernel chooses.
    pub(crate) fn source(&self, n: u64) -> Option<IpAddr> {
        if !self.address.is_ipv4() || !self.is_loopback() {
            return None;
        }
        let [_, high, middle, low] = u32::try_from(n / CONNECTIONS_PER_SOURCE % SOURCES)
            .map_or([0; 4], |index| (index + FIRST_SOURCE).to_be_bytes());
        Some(Ipv4Addr::new(127, high, middle, low).into())
    }
}

/// Few enough that the kernel finds a free port at once.
const CONNECTIONS_PER_SOURCE: u64 = 1024;

/// 127.1.0.1: apart from 127.0.0.1, where other things live.
const FIRST_SOURCE: u32 = 1 << 16 | 1;

/// The rest of 127.0.0.0/8 without its last address.
const SOURCES: u64 = (1 << 24) - 2 - FIRST_SOURCE as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_addresses() {
        let plain = Target::parse("ws://127.0.0.1:9443/v1/stream").unwrap();
        assert_eq!(plain.address, "127.0.0.1:9443".parse().unwrap());
        assert_eq!((plain.path.as_str(), plain.scheme), ("/v1/stream", Scheme::Ws));
        let bare = Target::parse("wss://[::1]").unwrap();
        assert_eq!((bare.address.port(), bare.path.as_str()), (443, "/"));
        for wrong in [
            "http://127.0.0.1/",
            "127.0.0.1:1",
            "ws://",
            "ws://127.0.0.1:port/",
            "ws://127.0.0.1/a b",
        ] {
            assert!(matches!(Target::parse(wrong), Err(TargetError::Form(_))), "{wrong}");
        }
    }

    #[test]
    fn sources_are_spread_over_loopback_only() {
        let here = Target::parse("ws://127.0.0.1:1/").unwrap();
        assert_eq!(here.source(0), Some("127.1.0.1".parse().unwrap()));
        assert_eq!(here.source(1024 * 255), Some("127.1.1.0".parse().unwrap()));
        assert!(here.source(u64::MAX).unwrap().is_loopback());
        let there = Target { address: "192.0.2.1:80".parse().unwrap(), ..here };
        assert_eq!(there.source(0), None);
    }
}
