//! Ticks to be published, as a client writes them.

use serde::Serialize;

/// A tick to be published. Decimals are texts, so that they arrive as they were written; the gateway checks
/// them against the instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[must_use]
pub struct Draft {
    topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trade_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid_quantity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask_quantity: Option<String>,
}

/// Which side of a trade took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Taker {
    /// A buyer took an offer.
    Buyer,
    /// A seller took a bid.
    Seller,
}

impl Draft {
    /// A trade of this symbol.
    pub fn trade(
        symbol: &str,
        price: impl Into<String>,
        quantity: impl Into<String>,
        taker: Taker,
    ) -> Self {
        let side = match taker {
            Taker::Buyer => "buy",
            Taker::Seller => "sell",
        };
        Self {
            topic: format!("{symbol}.trade"),
            price: Some(price.into()),
            quantity: Some(quantity.into()),
            side: Some(side),
            ..Self::default()
        }
    }

    /// A quote of this symbol, without sides yet.
    pub fn quote(symbol: &str) -> Self {
        Self { topic: format!("{symbol}.quote"), ..Self::default() }
    }

    /// The best bid of a quote.
    pub fn bid(mut self, price: impl Into<String>, quantity: impl Into<String>) -> Self {
        (self.bid, self.bid_quantity) = (Some(price.into()), Some(quantity.into()));
        self
    }

    /// The best offer of a quote.
    pub fn ask(mut self, price: impl Into<String>, quantity: impl Into<String>) -> Self {
        (self.ask, self.ask_quantity) = (Some(price.into()), Some(quantity.into()));
        self
    }

    /// The publisher's own id of a trade.
    pub fn trade_id(mut self, id: u64) -> Self {
        self.trade_id = Some(id.to_string());
        self
    }

    /// When it happened, ns since the epoch. The gateway's time if not set.
    pub fn ts_event_ns(mut self, ts_ns: u64) -> Self {
        self.ts = Some(ts_ns.to_string());
        self
    }
}

#[derive(Serialize)]
struct Publish<'a> {
    op: &'static str,
    id: u64,
    ticks: &'a [Draft],
}

#[derive(Serialize)]
struct Auth<'a> {
    op: &'static str,
    id: u64,
    token: &'a str,
}

pub(crate) fn publish(id: u64, ticks: &[Draft]) -> String {
    crate::subscription::to_json(&Publish { op: "publish", id, ticks })
}

pub(crate) fn auth(id: u64, token: &str) -> String {
    crate::subscription::to_json(&Auth { op: "auth", id, token })
}

#[cfg(test)]
mod tests {
    use wire::command::{Buffers, Command};

    use super::*;

    #[test]
    fn the_gateway_reads_what_the_client_writes() {
        let ticks = [
            Draft::trade("C0", "12.50", "3", Taker::Seller).trade_id(u64::MAX).ts_event_ns(7),
            Draft::quote("C0").bid("12.45", "1").ask("12.50", "2"),
        ];
        let text = publish(9, &ticks);
        let parsed = Command::parse(&mut text.into_bytes(), &mut Buffers::new()).unwrap();
        let Command::Publish(publish) = parsed else { panic!("{parsed:?}") };
        assert!(publish.ticks.iter().all(Result::is_ok), "{publish:?}");
        let parsed = Command::parse(&mut auth(1, "key").into_bytes(), &mut Buffers::new()).unwrap();
        assert!(matches!(parsed, Command::Auth { token, .. } if token == "key"));
    }
}
