//! How much clients ask: each request has a documented weight, and each address so much of it a minute.
//!
//! Minutes are those of the clock, as at the exchange: with each of them everybody begins anew.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hyper::http::request::Parts;

use super::parameters::{Parameters, Symbols};
use crate::proxies::ClientAddress;

/// Addresses that are counted at once: 2 MiB. There: further ones are not counted in that minute.
const CLIENTS_MAX: usize = 65_536;

const MINUTE_NS: u64 = 60_000_000_000;

/// What a client may use, and what each has used in this minute.
#[derive(Debug)]
pub struct Weights {
    /// A minute; 0: as much as anybody likes. Read by every shard, and changed when the configuration is.
    limit: AtomicU64,
    minute: Mutex<Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    number: u64,
    used: HashMap<IpAddr, u64>,
}

/// What a client has used with this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    Within(u64),
    Over { sum: u64, retry_after_s: u64 },
}

impl Used {
    pub(super) const fn sum(self) -> u64 {
        match self {
            Self::Within(sum) | Self::Over { sum, .. } => sum,
        }
    }
}

impl Weights {
    /// So much for each address a minute; 0 is no limit.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), minute: Mutex::default() }
    }

    /// From now on so much; what has been used in this minute counts.
    pub fn set_limit(&self, limit: u64) {
        // Relaxed, here and below: a number by which nothing else is published.
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self, client: Option<IpAddr>, weight: u64, now_ns: u64) -> Used {
        let Some(client) = client else { return Used::Within(weight) };
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number != now_ns / MINUTE_NS {
            *minute = Minute { number: now_ns / MINUTE_NS, used: HashMap::new() };
        }
        if minute.used.len() >= CLIENTS_MAX && !minute.used.contains_key(&client) {
            return Used::Within(weight);
        }
        let used = minute.used.entry(client).or_default();
        *used += weight;
        let limit = self.limit();
        if limit == 0 || *used <= limit {
            return Used::Within(*used);
        }
        let left_ns = MINUTE_NS - now_ns % MINUTE_NS;
        Used::Over { sum: *used, retry_after_s: left_ns.div_ceil(1_000_000_000) }
    }
}

/// Whom a request comes from: the shell has noted it there.
pub(super) fn client(request: &Parts) -> Option<IpAddr> {
    request.extensions.get::<ClientAddress>().map(|client| client.ip)
}

/// The documented weight of a request.
pub(super) fn of(path: &str, given: &Parameters<'_>) -> u64 {
    let count = match given.symbols() {
        Ok(Symbols::One(_)) | Err(_) => Some(1),
        Ok(Symbols::Many(symbols)) => Some(symbols.len()),
        Ok(Symbols::All) => None,
    };
    match path {
        "exchangeInfo" => 20,
        "depth" => match given.number("limit").ok().flatten().unwrap_or(100) {
            0..=100 => 5,
            101..=500 => 25,
            501..=1000 => 50,
            _ => 250,
        },
        "trades" | "historicalTrades" => 25,
        "aggTrades" => 4,
        "klines" | "uiKlines" | "avgPrice" => 2,
        "ticker/24hr" => match count {
            Some(0..=20) => 2,
            Some(21..=100) => 40,
            _ => 80,
        },
        "ticker/price" | "ticker/bookTicker" => match count {
            Some(0 | 1) => 2,
            _ => 4,
        },
        "ticker" | "ticker/tradingDay" => match count {
            Some(count) => u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(4).min(200),
            None => 200,
        },
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_much_a_minute() {
        let weights = Weights::new(10);
        let (one, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        assert_eq!(weights.take(one, 6, 5 * MINUTE_NS), Used::Within(6));
        assert_eq!(weights.take(one, 4, 5 * MINUTE_NS), Used::Within(10));
        let over = weights.take(one, 1, 5 * MINUTE_NS + 30_500_000_000);
        assert_eq!(over, Used::Over { sum: 11, retry_after_s: 30 });
        assert_eq!(weights.take(other, 1, 5 * MINUTE_NS), Used::Within(1));
        assert_eq!(weights.take(one, 1, 6 * MINUTE_NS), Used::Within(1));
        weights.set_limit(20);
        assert_eq!(weights.take(one, 10, 6 * MINUTE_NS), Used::Within(11));
        let free = Weights::new(0);
        assert_eq!(free.take(one, 1_000_000, 0), Used::Within(1_000_000));
    }

    #[test]
    fn weights_are_those_of_the_documentation() {
        let weight = |path, query| of(path, &Parameters::parse(query).unwrap());
        assert_eq!(weight("depth", "symbol=A&limit=1000"), 50);
        assert_eq!(weight("ticker/24hr", ""), 80);
        assert_eq!(weight("ticker/24hr", "symbols=[\"A\",\"B\"]"), 2);
        assert_eq!(weight("ticker/bookTicker", ""), 4);
        assert_eq!(weight("ping", ""), 1);
    }
}
