//! An offer: so many ticks to so many connections, as the scenarios of loads have it in common.
//!
//! One table of a scenario file becomes the server's [`Spec`], the generator's [`LoadArgs`] and the
//! record's [`Offered`], so that the three cannot disagree.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::generator::load::LoadArgs;
use crate::record::{Offered, float};
use crate::server::{Kind, Spec, Transport};

/// See the module's documentation.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Offer {
    pub(crate) connections: u64,
    /// Topics that there are.
    #[serde(default = "one")]
    pub(crate) topics: u64,
    /// Topics that each connection subscribes to.
    #[serde(default = "one")]
    pub(crate) per_connection: u64,
    /// Ticks a second over all topics, evenly paced.
    pub(crate) rate: f64,
    /// Seconds measured, before it, and behind it for stragglers.
    #[serde(default = "ten")]
    pub(crate) duration: f64,
    #[serde(default = "two")]
    pub(crate) warm_up: f64,
    #[serde(default = "two")]
    pub(crate) drain: f64,
    #[serde(default)]
    pub(crate) transport: Transport,
    #[serde(default = "core_0")]
    pub(crate) server_cores: Vec<usize>,
    /// Of the generator and of the publisher.
    #[serde(default = "core_1")]
    pub(crate) client_core: usize,
    /// Connects a second while they are opened.
    #[serde(default = "ramp_rate")]
    pub(crate) ramp_rate: f64,
    /// Whether the last arrival of each tick is kept.
    #[serde(default)]
    pub(crate) last_arrivals: bool,
    /// Further arguments for servers, by their names.
    #[serde(default)]
    pub(crate) args: BTreeMap<Kind, Vec<String>>,
}

/// Whether something can be measured in so many seconds; an hour is more than anybody waits for.
pub(crate) fn is_some_seconds(seconds: f64) -> bool {
    seconds > 0.0 && seconds <= 3_600.0
}

/// What [`is_some_seconds`] asks for.
pub(crate) const SOME_SECONDS: &str = "expected a number above 0, an hour's 3600 at most";

const fn one() -> u64 {
    1
}

const fn two() -> f64 {
    2.0
}

const fn ten() -> f64 {
    10.0
}

const fn ramp_rate() -> f64 {
    3_000.0
}

fn core_0() -> Vec<usize> {
    vec![0]
}

const fn core_1() -> usize {
    1
}

impl Offer {
    /// What makes no sense about it, if anything does not.
    pub(crate) fn complaint(&self) -> Option<String> {
        if self.connections == 0 || self.topics == 0 || self.per_connection == 0 {
            return Some("connections, topics and per-connection are at least 1".to_owned());
        }
        if self.per_connection > self.topics {
            return Some(format!(
                "per-connection = {} of topics = {}",
                self.per_connection, self.topics
            ));
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return Some(format!("rate = {}: expected a number above 0", self.rate));
        }
        if !is_some_seconds(self.duration) {
            return Some(format!("duration = {}: {SOME_SECONDS}", self.duration));
        }
        None
    }

    pub(crate) fn spec(&self, kind: Kind) -> Spec {
        Spec {
            kind,
            transport: self.transport,
            cores: self.server_cores.clone(),
            client_core: self.client_core,
            topics: self.topics,
            rate: self.rate,
            args: self.args.get(&kind).cloned().unwrap_or_default(),
        }
    }

    /// Connection n has the topics from n times their number on, around in a circle: every topic has as
    /// many subscribers as any other, and neighbours differ.
    pub(crate) fn load(&self) -> LoadArgs {
        let topics = match (self.topics, self.per_connection) {
            (1, _) => "S0.quote".to_owned(),
            (topics, each) => format!("S{{(n*{each}+k)%{topics}}}.quote"),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of deliveries, saturating"
        )]
        let due = (self.offered().deliveries_per_s * self.duration).ceil() as u64;
        LoadArgs {
            connections: self.connections,
            topics: Some(topics),
            per_connection: self.per_connection,
            duration: self.duration,
            warm_up: self.warm_up,
            drain: self.drain,
            due: Some(due),
            cpu: vec![self.client_core],
            ramp_rate: self.ramp_rate,
            last_arrivals: self.last_arrivals,
            ..LoadArgs::default()
        }
    }

    pub(crate) fn offered(&self) -> Offered {
        let subscriptions = float(self.connections) * float(self.per_connection);
        Offered {
            connections: self.connections,
            topics: self.topics,
            per_connection: self.per_connection,
            rate: self.rate,
            deliveries_per_s: subscriptions * self.rate / float(self.topics),
            duration_s: self.duration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(text: &str) -> Result<Offer, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_three_sides_of_an_offer_agree() {
        let offer = offer(
            "connections = 50\ntopics = 100\nper-connection = 10\nrate = 1000\nargs.tickcast = ['--spin', 'never']",
        );
        let offer = offer.unwrap();
        assert_eq!(offer.complaint(), None);
        let (spec, load, offered) = (offer.spec(Kind::Tickcast), offer.load(), offer.offered());
        assert_eq!((spec.topics, spec.rate, spec.args.len()), (100, 1000.0, 2));
        assert_eq!(offer.spec(Kind::Bun).args.len(), 0);
        assert_eq!(load.topics.unwrap(), "S{(n*10+k)%100}.quote");
        assert_eq!((load.connections, load.per_connection), (50, 10));
        assert_eq!(offered.deliveries_per_s, 5_000.0);
    }

    #[test]
    fn senseless_offers_are_refused() {
        let complaint = |text: &str| offer(text).unwrap().complaint().unwrap_or_default();
        assert!(complaint("connections = 0\nrate = 1").contains("at least 1"));
        assert!(complaint("connections = 1\nrate = -1").contains("rate = -1"));
        for duration in ["0", "-1.0", "nan", "inf"] {
            let said = complaint(&format!("connections = 1\nrate = 1\nduration = {duration}"));
            assert!(said.contains("expected a number above 0"), "{duration}: {said}");
        }
        let more = complaint("connections = 1\nrate = 1\ntopics = 2\nper-connection = 3");
        assert_eq!(more, "per-connection = 3 of topics = 2");
        let error = offer("connections = 1").unwrap_err();
        assert!(error.contains("missing field `rate`"), "{error}");
        let error = offer("connections = 1\nrate = 1\ncolour = 'red'").unwrap_err();
        assert!(error.contains("unknown field `colour`"), "{error}");
    }
}
