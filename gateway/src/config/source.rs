//! Where ticks come from, as configured: the address of a source, not the source.

use std::fmt;
use std::path::PathBuf;

use bus::BusUrl;

use crate::config::setting::Refusal;
use crate::config::sources::{ExchangeUrl, UpstreamUrl};

/// Where ticks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The embedded simulated venue.
    Sim,
    /// Evenly paced quotes, for measurements.
    Pulse,
    /// Recordings, merged by time.
    Replay(Vec<PathBuf>),
    /// A ring in shared memory that another process writes.
    Shm(PathBuf),
    /// A bus that a feed elsewhere writes to.
    Bus(BusUrl),
    /// Another gateway.
    Upstream(UpstreamUrl),
    /// An upstream that speaks the exchange's protocol.
    Exchange(ExchangeUrl),
}

impl Source {
    /// Reads `sim`, `pulse`, `replay:FILE[,FILE…]`, `shm:PATH`, `ws[s]://HOST[:PORT]`,
    /// `binance:ws[s]://HOST[:PORT]`, or the URL of a bus.
    ///
    /// # Errors
    /// If the text is none of these.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match text.split_once(':') {
            None if text == "sim" => Ok(Self::Sim),
            None if text == "pulse" => Ok(Self::Pulse),
            Some(("replay", files)) => {
                let files: Vec<PathBuf> = files.split(',').map(PathBuf::from).collect();
                let named = files.iter().all(|file| !file.as_os_str().is_empty());
                if named { Ok(Self::Replay(files)) } else { Err(Refusal::Malformed) }
            }
            Some(("shm", path)) if !path.is_empty() => Ok(Self::Shm(PathBuf::from(path))),
            Some(("nats" | "tls" | "redis" | "rediss", _)) => {
                text.parse().map(Self::Bus).map_err(Refusal::BusUrl)
            }
            Some(("binance", url)) => ExchangeUrl::parse(url).map(Self::Exchange),
            Some(("ws" | "wss", _)) => UpstreamUrl::parse(text).map(Self::Upstream),
            _ => Err(Refusal::Malformed),
        }
    }

    /// Whether it is made in this process.
    #[must_use]
    pub const fn is_embedded(&self) -> bool {
        matches!(self, Self::Sim | Self::Pulse | Self::Replay(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sim => f.write_str("sim"),
            Self::Pulse => f.write_str("pulse"),
            Self::Replay(files) => {
                f.write_str("replay:")?;
                for (i, file) in files.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{}", file.display())?;
                }
                Ok(())
            }
            Self::Shm(path) => write!(f, "shm:{}", path.display()),
            Self::Bus(url) => write!(f, "{url}"),
            Self::Upstream(url) => write!(f, "{url}"),
            Self::Exchange(url) => write!(f, "binance:{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_its_text() {
        for text in ["sim", "pulse", "replay:a.gz", "replay:a.gz,b.gz", "shm:/dev/shm/ticks"] {
            assert_eq!(Source::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "simm", "replay:", "replay:a,,b", "shm:", "tcp://x"] {
            assert_eq!(Source::parse(bad), Err(Refusal::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_bus_is_shown_without_its_credentials_and_refused_with_a_reason() {
        let source = Source::parse("nats://me:secret@127.0.0.1:4333/market").unwrap();
        assert_eq!(source.to_string(), "nats://127.0.0.1:4333/market");
        assert!(matches!(Source::parse("redis://localhost"), Ok(Source::Bus(_))));
        let port = Source::parse("nats://localhost:port");
        assert_eq!(port, Err(Refusal::BusUrl(bus::UrlError::Host)));
    }
}
