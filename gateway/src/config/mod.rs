//! Configuration: from texts in three places to one value that is known to be good.
//!
//! `keys` is the one table. `layers` is what was written, raw; [`Config`] is what it means.
//! Whoever holds a [`Config`] need not check it again. It does not touch the system: whether a port
//! is free or a certificate can be read shows when [`crate::boot`] uses it.

mod command_line;
mod error;
mod keys;
mod layers;
mod nearest;
mod paths;
mod proxy;
mod reference;
mod reload;
mod setting;
mod source;
mod sources;

pub use command_line::{Asked, load, load_again};
pub use error::{ConfigError, Origin};
pub use keys::{Config, ENV_PREFIX, KEYS, Key};
pub(crate) use nearest::nearest;
pub use reference::reference;
pub use reload::{Changes, Reload};
pub use setting::{
    Anonymous, Bus, BusInterest, Derivations, DescriptorTables, LogFormat, PublicStatus, Publish,
    Refusal, ReplayStart, SendBackend, Setting, Span, Speed, Spin, Switch,
};
pub use source::Source;
pub use sources::{ExchangeUrl, Sources, UpstreamUrl};

use crate::proxies::ProxyProtocol;
use layers::{Layers, Written};

impl PublicStatus {
    /// Whether a gateway of this configuration serves `/v1/status`.
    #[must_use]
    pub fn is_shown_by(self, config: &Config) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            // Behind a proxy everybody seems to be on this machine.
            Self::Auto => config.listen.ip().is_loopback() && config.trusted_proxies.is_empty(),
        }
    }
}

impl Config {
    /// Reads every key and checks those that depend on each other.
    fn resolve(layers: &Layers) -> Result<Self, ConfigError> {
        let config = Self::read(layers)?;
        for (key, needs) in [("tls-cert", "tls-key"), ("tls-key", "tls-cert")] {
            if layers.is_set(key) && !layers.is_set(needs) {
                let Written { text, origin } = layers.written(key);
                return Err(ConfigError::Alone { key, value: text, origin, needs });
            }
        }
        let contradiction = |key, expected: &str| {
            let Written { text, origin } = layers.written(key);
            let expected = expected.to_owned();
            Err(ConfigError::Contradiction { key, value: text, origin, expected })
        };
        let needs = |key, needs| {
            let Written { text, origin } = layers.written(key);
            Err(ConfigError::Alone { key, value: text, origin, needs })
        };
        if config.publish != Publish::Off && config.bus == Bus::None {
            return needs("publish", "bus");
        }
        match (config.publish, &config.auth) {
            (Publish::Granted, None) => return needs("publish", "auth"),
            (Publish::Local, Some(_)) => {
                return contradiction("publish", "off or granted, with auth");
            }
            _ => {}
        }
        if !config.delay.is_zero() {
            if config.publish != Publish::Off {
                return contradiction(
                    "publish",
                    "off with a delay: whoever publishes here would see it that much later; publish at a gateway without",
                );
            }
            let is_replay = matches!(config.source.first, Source::Replay(_));
            if is_replay && config.speed == Speed::Max {
                return contradiction("speed", "a number with a delay: nobody could be waited for");
            }
            if is_replay && config.replay_start == ReplayStart::FirstSubscriber {
                return contradiction(
                    "replay-start",
                    "now with a delay: subscribers are behind it",
                );
            }
        }
        if config.auth_query == Switch::On && config.auth.is_none() {
            return needs("auth-query", "auth");
        }
        let is_public = !config.listen.ip().is_loopback();
        if is_public && config.auth.is_none() && config.anonymous == Anonymous::Loopback {
            return contradiction(
                "listen",
                "a loopback address, or auth = FILE: other machines reach this one, and everybody could see \
                 everything (anonymous = anywhere if that is meant)",
            );
        }
        if config.pong_timeout <= config.ping_interval {
            return contradiction("pong-timeout", "more than the ping-interval");
        }
        if !config.ring_capacity.is_power_of_two() {
            return contradiction("ring-capacity", "a power of two, such as 65536 or 262144");
        }
        if config.symbols > config.instruments_max {
            return contradiction("symbols", "at most instruments-max");
        }
        if config.lag_age > config.slow_age {
            return contradiction("lag-age", "at most the slow-age");
        }
        if config.proxy_protocol == ProxyProtocol::On && config.trusted_proxies.is_empty() {
            return contradiction("proxy-protocol", "off, or proxies listed in trusted-proxies");
        }
        if config.listen == config.admin_listen && config.listen.port() != 0 {
            return contradiction("admin-listen", "another address than listen");
        }
        Ok(config)
    }
}
