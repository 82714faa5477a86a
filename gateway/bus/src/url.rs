//! Which bus: `nats://user:password@host:4222,other:4222/PREFIX`.
//!
//! Everything that this system keeps at a bus has the prefix in its name, so that several can share one.
//! A URL that exists is well-formed; shown, it is without its credentials.

use std::fmt;
use std::str::FromStr;

use crate::limits::PREFIX_BYTES_MAX;

/// The prefix of URLs that name none.
const PREFIX_DEFAULT: &str = "tickcast";

/// Where a bus is and what our names begin with there.
#[derive(Clone, PartialEq, Eq)]
pub struct BusUrl {
    scheme: Scheme,
    credentials: Option<Credentials>,
    hosts: Vec<Host>,
    prefix: String,
    topology: Topology,
}

/// The kind of bus, and whether over TLS. Certificates are checked against the system's roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `nats://`.
    Nats,
    /// `tls://`: NATS over TLS.
    NatsTls,
    /// `redis://`.
    Redis,
    /// `rediss://`: Redis over TLS.
    RedisTls,
}

/// Whether the hosts are one server or know of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// One server of Redis, or whatever the servers of NATS say they are.
    #[default]
    Single,
    /// `?topology=cluster`: a cluster of Redis, with sharded Pub/Sub.
    Cluster,
}

/// One address of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name or an address; one of version 6 is without brackets.
    pub name: String,
    /// The port.
    pub port: u16,
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: String,
    /// Absent: at NATS, the user is a token.
    password: Option<String>,
}

/// Why a text is not a bus's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("a bus begins with nats://, tls://, redis:// or rediss://")]
    Scheme,
    /// No host, or a port that is none.
    #[error("a bus needs a host, and its port is a number from 1 to 65535")]
    Host,
    /// A user or password whose percent signs are not followed by two hexadecimal digits.
    #[error("the user or password is not percent-encoded as it should be")]
    Credentials,
    /// The prefix has other characters or is too long.
    #[error("a prefix has 1 to 32 of a-z, A-Z, 0-9, '-' and '_'")]
    Prefix,
    /// A question mark and something unknown after it.
    #[error("the only option of a bus is topology=single or topology=cluster")]
    Option,
}

impl Scheme {
    /// Whether connections are encrypted.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::NatsTls | Self::RedisTls)
    }

    /// Whether this is NATS.
    #[must_use]
    pub const fn is_nats(self) -> bool {
        matches!(self, Self::Nats | Self::NatsTls)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::NatsTls => "tls",
            Self::Redis => "redis",
            Self::RedisTls => "rediss",
        }
    }

    const fn port(self) -> u16 {
        if self.is_nats() { 4222 } else { 6379 }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Nats, Self::NatsTls, Self::Redis, Self::RedisTls]
            .into_iter()
            .find(|scheme| scheme.name() == name)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.name())
    }
}

impl BusUrl {
    /// The kind of bus.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its addresses, at least one.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// What all our names there begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How its servers belong together.
    #[must_use]
    pub const fn topology(&self) -> Topology {
        self.topology
    }

    /// User and password, as far as there are any. At NATS a user without password is a token.
    #[must_use]
    pub fn credentials(&self) -> Option<(&str, Option<&str>)> {
        self.credentials.as_ref().map(|c| (c.user.as_str(), c.password.as_deref()))
    }
}

impl FromStr for BusUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = Scheme::from_name(scheme).ok_or(UrlError::Scheme)?;
        let (rest, topology) = match rest.split_once('?') {
            None => (rest, Topology::default()),
            Some((rest, "topology=single")) => (rest, Topology::Single),
            Some((rest, "topology=cluster")) if !scheme.is_nats() => (rest, Topology::Cluster),
            Some(_) => return Err(UrlError::Option),
        };
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        // A password may have an at sign in it, a host may not.
        let (credentials, hosts) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((credentials, hosts)) => (Some(parse_credentials(credentials)?), hosts),
        };
        let hosts = hosts
            .split(',')
            .map(|host| parse_host(host, scheme.port()))
            .collect::<Result<Vec<_>, _>>()?;
        let prefix = if prefix.is_empty() { PREFIX_DEFAULT } else { prefix };
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(allowed) {
            return Err(UrlError::Prefix);
        }
        Ok(Self { scheme, credentials, hosts, prefix: prefix.to_owned(), topology })
    }
}

fn parse_host(text: &str, port_default: u16) -> Result<Host, UrlError> {
    // An address of version 6 has colons of its own, and therefore brackets.
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']').ok_or(UrlError::Host)?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or(UrlError::Host)?),
            };
            (name, port)
        }
        None => match text.split_once(':') {
            None => (text, None),
            Some((name, port)) => (name, Some(port)),
        },
    };
    let port = match port {
        None => port_default,
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(UrlError::Host)?,
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:%".contains(&b);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(UrlError::Host);
    }
    Ok(Host { name: name.to_owned(), port })
}

fn parse_credentials(text: &str) -> Result<Credentials, UrlError> {
    let (user, password) = match text.split_once(':') {
        None => (text, None),
        Some((user, password)) => (user, Some(decode_percent(password)?)),
    };
    Ok(Credentials { user: decode_percent(user)?, password })
}

fn decode_percent(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let byte = rest.next().ok_or(UrlError::Credentials)?;
            char::from(byte).to_digit(16).ok_or(UrlError::Credentials)
        };
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).expect("two hexadecimal digits"));
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Credentials)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.scheme)?;
        for (i, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if i == 0 { "" } else { "," })?;
        }
        write!(f, "/{}", self.prefix)?;
        match self.topology {
            Topology::Single => Ok(()),
            Topology::Cluster => write!(f, "?topology=cluster"),
        }
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BusUrl, UrlError> {
        text.parse()
    }

    #[test]
    fn has_defaults() {
        let url = parse("nats://localhost").unwrap();
        assert_eq!(url.to_string(), "nats://localhost:4222/tickcast");
        assert_eq!(parse("rediss://h/").unwrap().to_string(), "rediss://h:6379/tickcast");
        assert_eq!(url.credentials(), None);
    }

    #[test]
    fn is_shown_without_credentials() {
        let url = parse("tls://me:p%40ss@[::1]:4223,b/x-1").unwrap();
        assert_eq!(url.to_string(), "tls://[::1]:4223,b:4222/x-1");
        assert_eq!(format!("{url:?}"), url.to_string());
        assert_eq!(url.credentials(), Some(("me", Some("p@ss"))));
        assert_eq!(parse(&url.to_string()).unwrap().hosts(), url.hosts());
    }

    #[test]
    fn knows_clusters_of_redis() {
        let url = parse("redis://a:1,b:2/p?topology=cluster").unwrap();
        assert_eq!(url.topology(), Topology::Cluster);
        assert_eq!(url.to_string(), "redis://a:1,b:2/p?topology=cluster");
        assert_eq!(parse("nats://a/p?topology=cluster"), Err(UrlError::Option));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(parse("localhost:4222"), Err(UrlError::Scheme));
        assert_eq!(parse("http://localhost"), Err(UrlError::Scheme));
        assert_eq!(parse("nats://"), Err(UrlError::Host));
        assert_eq!(parse("nats://h:0"), Err(UrlError::Host));
        assert_eq!(parse("nats://h,"), Err(UrlError::Host));
        assert_eq!(parse("nats://[::1"), Err(UrlError::Host));
        assert_eq!(parse("nats://h/a.b"), Err(UrlError::Prefix));
        assert_eq!(parse("nats://h/a/b"), Err(UrlError::Prefix));
        assert_eq!(parse("nats://a%4@h"), Err(UrlError::Credentials));
    }
}
