//! One source or two: what the key `source` says, and the URL of another gateway.

use std::fmt;

use hyper::Uri;

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
        "sim, pulse, replay:FILE[,FILE...], shm:PATH, ws[s]://HOST[:PORT], nats://HOST[:PORT][/PREFIX] or \
         redis://HOST[:PORT][/PREFIX]; or two different ones of the last four kinds"
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
