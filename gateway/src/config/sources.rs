//! One source or two: what the key `source` says, and the URL of another gateway.

use std::fmt;

use hyper::Uri;
use wire::Symbol;

use crate::config::setting::{Refusal, Setting};
use crate::config::source::Source;

/// Where ticks come from: one source, or two that carry the same stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The first, or the only one.
    pub first: Source,
    /// The other line of the same stream.
    pub second: Option<Source>,
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.second.as_ref().map_or(Ok(()), |second| write!(f, ";{second}"))
    }
}

/// One source, or two with a semicolon between. A comma divides the files of a replay.
pub struct SourceList;

impl Setting for SourceList {
    type Value = Sources;
    const PLACEHOLDER: &'static str = "SOURCE";
    const SEPARATOR: Option<char> = Some(';');

    fn parse(text: &str) -> Result<Sources, Refusal> {
        let mut sources = text.split(';').map(|source| Source::parse(source.trim()));
        let first = sources.next().unwrap_or(Err(Refusal::Malformed))?;
        let second = sources.next().transpose()?;
        match (&second, sources.next()) {
            (_, Some(_)) => Err(Refusal::Malformed),
            (Some(second), None) if *second == first => Err(Refusal::Malformed),
            // Each would be another market, or the same one twice in the same process.
            (Some(second), None) if first.is_embedded() || second.is_embedded() => {
                Err(Refusal::Malformed)
            }
            (_, None) => Ok(Sources { first, second }),
        }
    }

    fn expected() -> String {
        "sim, pulse, replay:FILE[,FILE...], shm:PATH, ws[s]://HOST[:PORT], binance:ws[s]://HOST[:PORT], nats://HOST[:PORT][/PREFIX] or \
         redis://HOST[:PORT][/PREFIX]; or two different ones of the last five kinds"
            .to_owned()
    }
}

/// Where another gateway is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl(String);

impl UpstreamUrl {
    /// Reads `ws://HOST[:PORT][/PATH]` or `wss://…`.
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let uri: Uri = text.parse().map_err(|_| Refusal::Malformed)?;
        let is_web_socket = matches!(uri.scheme_str(), Some("ws" | "wss"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        if is_web_socket && has_host { Ok(Self(text.to_owned())) } else { Err(Refusal::Malformed) }
    }

    /// The URL of its stream: `/v1/stream` where no path is given.
    #[must_use]
    pub fn stream(&self) -> String {
        let authority = self.0.find("://").map_or(0, |at| at + 3);
        match self.0[authority..].find('/') {
            None => format!("{}/v1/stream", self.0),
            Some(at) if authority + at + 1 == self.0.len() => format!("{}v1/stream", self.0),
            Some(_) => self.0.clone(),
        }
    }
}

/// Where an upstream that speaks the exchange's protocol is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeUrl(String);

impl ExchangeUrl {
    /// Reads `ws://HOST[:PORT][/PREFIX]` or `wss://…`.
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let UpstreamUrl(url) = UpstreamUrl::parse(text)?;
        let url = url.trim_end_matches('/');
        if url.contains('?') { Err(Refusal::Malformed) } else { Ok(Self(url.to_owned())) }
    }

    /// The URL of combined streams, none of them subscribed yet.
    #[must_use]
    pub fn stream(&self) -> String {
        format!("{}/stream", self.0)
    }

    /// What stands before the paths of its REST interface, where that is on the same host.
    #[must_use]
    pub fn rest(&self) -> String {
        // `ws` becomes `http`, `wss` becomes `https`.
        let rest = self.0.strip_prefix("ws").unwrap_or(&self.0);
        let authority = rest.find("://").map_or(0, |at| at + 3);
        let end = rest[authority..].find('/').map_or(rest.len(), |at| authority + at);
        format!("http{}", &rest[..end])
    }
}

impl fmt::Display for ExchangeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Symbols, with commas between; an empty text stands for all.
pub struct SymbolList;

impl Setting for SymbolList {
    type Value = Vec<Symbol>;
    const PLACEHOLDER: &'static str = "SYMBOLS";

    fn parse(text: &str) -> Result<Vec<Symbol>, Refusal> {
        let symbols = text.split(',').filter(|symbol| !symbol.is_empty());
        symbols.map(|symbol| Symbol::new(symbol.trim()).map_err(|_| Refusal::Malformed)).collect()
    }

    fn expected() -> String {
        "symbols with commas between, such as BTCUSDT,ETHUSDT".to_owned()
    }
}

/// The URL of a REST interface; an empty text stands for none.
pub struct RestUrl;

impl Setting for RestUrl {
    type Value = Option<String>;
    const PLACEHOLDER: &'static str = "URL";

    fn parse(text: &str) -> Result<Option<String>, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        let uri: Uri = text.parse().map_err(|_| Refusal::Malformed)?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let url = text.trim_end_matches('/').to_owned();
        if is_web && has_host { Ok(Some(url)) } else { Err(Refusal::Malformed) }
    }

    fn expected() -> String {
        "http://HOST[:PORT] or https://HOST[:PORT]".to_owned()
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_are_two_different_ones_from_outside() {
        for text in ["sim", "shm:/a", "shm:/a;shm:/b", "ws://one:9443;wss://two"] {
            assert_eq!(SourceList::parse(text).unwrap().to_string(), text);
        }
        for bad in ["shm:/a;shm:/a", "shm:/a;sim", "shm:/a;shm:/b;shm:/c", "shm:/a;", ";", ""] {
            assert_eq!(SourceList::parse(bad), Err(Refusal::Malformed), "{bad}");
        }
    }

    #[test]
    fn an_exchange_has_streams_and_rest() {
        let url = ExchangeUrl::parse("wss://stream.example:9443/").unwrap();
        assert_eq!(url.stream(), "wss://stream.example:9443/stream");
        assert_eq!(url.rest(), "https://stream.example:9443");
        let below = ExchangeUrl::parse("ws://127.0.0.1:80/stream.example").unwrap();
        assert_eq!(below.stream(), "ws://127.0.0.1:80/stream.example/stream");
        assert_eq!(below.rest(), "http://127.0.0.1:80");
        assert_eq!(ExchangeUrl::parse("wss://a/stream?streams=x"), Err(Refusal::Malformed));
        assert_eq!(SymbolList::parse("BTCUSDT, ETHUSDT").unwrap().len(), 2);
        assert_eq!(SymbolList::parse("btcusdt"), Err(Refusal::Malformed));
        assert_eq!(RestUrl::parse("https://api.example/").unwrap().unwrap(), "https://api.example");
    }

    #[test]
    fn an_upstream_needs_no_path() {
        for (text, stream) in [
            ("ws://127.0.0.1:9443", "ws://127.0.0.1:9443/v1/stream"),
            ("wss://root.example/", "wss://root.example/v1/stream"),
            ("ws://[::1]:80/feed/v1/stream", "ws://[::1]:80/feed/v1/stream"),
        ] {
            assert_eq!(UpstreamUrl::parse(text).unwrap().stream(), stream);
        }
        for bad in ["http://localhost", "ws://", "localhost:9443"] {
            assert_eq!(UpstreamUrl::parse(bad), Err(Refusal::Malformed), "{bad}");
        }
    }
}
