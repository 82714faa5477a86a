//! `/trace?topic=SYMBOL.channel&seconds=N`: where the next tick of a topic spends its time, from the venue to the last
//! subscriber's socket, shard by shard.
//!
//! Times are in µs since the tick entered the ring, so that they add up by themselves: each stage ends where the
//! next begins. One at a time: who asks meanwhile takes the shards from who asked before.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde_json::{Value, json as object};
use wire::{Channel, Pattern, Symbol};

use crate::admin::Admin;
use crate::routes::{Refusal, json, refusal};
use crate::shard::{Journey, Read};

/// How long the tick is waited for where that is not said, and at most.
const SECONDS_DEFAULT: u64 = 10;
const SECONDS_MAX: u64 = 60;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    symbol: Symbol,
    channel: Channel,
    patience: Duration,
}

/// Waits for the tick and tells its journey.
pub(super) async fn trace(admin: &Admin, query: Option<&str>) -> Response<Bytes> {
    let bad = |msg: &str| {
        refusal(&Refusal { status: StatusCode::BAD_REQUEST, code: "bad_parameter", msg })
    };
    let Asked { symbol, channel, patience } = match asked(query.unwrap_or_default()) {
        Ok(asked) => asked,
        Err(msg) => return bad(&msg),
    };
    let journeys = admin.fleet.trace(symbol, channel, patience).await;
    if !journeys.iter().any(|journey| journey.is_known) {
        let msg = format!("no shard knows {symbol}.{channel} at the moment");
        let status = StatusCode::NOT_FOUND;
        return refusal(&Refusal { status, code: "not_found", msg: &msg });
    }
    // Each shard has read the same tick, at its own time.
    let read = journeys.iter().find_map(|journey| journey.read);
    let body = object!({
        "topic": format!("{symbol}.{channel}"),
        "tick": read.map(|read| object!({
            "seq": read.seq,
            "venue_ns": read.event_ns,
            "ring_ns": read.ring_ns,
            "venue_to_ring_us": us(read.ring_ns, read.event_ns),
        })),
        "shards": journeys.iter().map(shard).collect::<Vec<_>>(),
    });
    json(StatusCode::OK, format!("{body}\n").into_bytes())
}

fn shard(journey: &Journey) -> Value {
    let stages = journey.read.map(|read| {
        let since = |at_ns| us(at_ns, read.ring_ns);
        let Read { read_ns, logged_ns, .. } = read;
        let sent = journey.sent.as_ref();
        object!({
            "read": since(read_ns),
            "logged": since(logged_ns),
            "first_gathered": sent.map(|sent| since(sent.gathered_ns)),
            "first_sent": sent.map(|sent| since(sent.first_ns)),
            "last_sent": sent.map(|sent| since(sent.last_ns)),
        })
    });
    object!({
        "shard": journey.shard,
        "subscribers": journey.subscribers,
        "reached": journey.sent.map_or(0, |sent| sent.reached),
        "us_since_ring": stages,
    })
}

/// From one real time to another, whole µs. Clocks of two machines may differ, so that it may be negative.
fn us(to_ns: u64, from_ns: u64) -> i64 {
    let us = (i128::from(to_ns) - i128::from(from_ns)) / 1000;
    i64::try_from(us).unwrap_or(i64::MAX)
}

/// `topic=SYMBOL.channel[&seconds=N]`
fn asked(query: &str) -> Result<Asked, String> {
    let (mut topic, mut seconds) = (None, SECONDS_DEFAULT);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "topic" => topic = Some(value),
            "seconds" => {
                let number = value.parse().ok().filter(|number| (1..=SECONDS_MAX).contains(number));
                seconds = number.ok_or_else(|| {
                    format!("seconds={value}: expected a whole number from 1 to {SECONDS_MAX}")
                })?;
            }
            _ => return Err(format!("unknown parameter {name}; there are topic and seconds")),
        }
    }
    let topic = topic.ok_or("which? topic=SYMBOL.channel, such as topic=BTCUSDT.trade")?;
    match Pattern::parse(topic) {
        Ok(Pattern::One(_, channel)) if channel.partial_levels().is_some() => {
            Err(format!("topic={topic}: {channel} is made here of depth, which can be followed"))
        }
        Ok(Pattern::One(symbol, channel)) => {
            Ok(Asked { symbol, channel, patience: Duration::from_secs(seconds) })
        }
        Ok(Pattern::All(_)) => Err(format!("topic={topic}: expected one instrument's")),
        Err(error) => Err(format!("topic={topic}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_topic_is_named_and_anything_else_is_refused() {
        let asked_for = asked("topic=BTCUSDT.trade&seconds=3").unwrap();
        assert_eq!(asked_for.symbol.as_str(), "BTCUSDT");
        assert_eq!((asked_for.channel, asked_for.patience.as_secs()), (Channel::Trade, 3));
        for bad in [
            "",
            "topic=",
            "topic=*.trade",
            "topic=BTCUSDT",
            "topic=BTCUSDT.depth5",
            "topic=A.trades",
            "topic=A.trade&seconds=0",
            "topic=A.trade&seconds=61",
            "topic=A.trade&top=5",
        ] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_may_be_negative() {
        assert_eq!((us(2_750, 750), us(750, 2_750)), (2, -2));
    }
}
