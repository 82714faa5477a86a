//! Client for Tickcast's native protocol.
//!
//! A [`Client`] is one connection that keeps itself alive: it subscribes, decodes, notices a dead
//! peer by the missing heartbeat, reconnects with growing and jittered pauses where the close code
//! allows, subscribes again and resumes each topic behind the last number it received.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tickcast_client::{Client, Event, Options, Subscription};
//!
//! let mut client = Client::connect("ws://127.0.0.1:9443/v1/stream", Options::new()).await?;
//! client.subscribe(Subscription::new(["BTCUSDT.trade", "*.quote"])).await?;
//! loop {
//!     match client.next().await? {
//!         Event::Trade(trade) => println!("{} {}", trade.origin.symbol, trade.price),
//!         Event::Gap(gap) => println!("{} numbers skipped", gap.count),
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! What arrives is exactly accounted for: each sequence number of a topic is in an event or counted
//! in a [`Gap`]. [`Ledger`] adds them up, [`Book`] keeps an order book, [`Position`] is what to store
//! for resuming after a restart of one's own process.

#![forbid(unsafe_code)]

mod backoff;
mod book;
mod catalog;
mod client;
mod decimal;
mod decode;
mod driver;
mod endpoint;
mod error;
mod event;
mod ledger;
mod link;
mod options;
mod plain;
mod position;
mod publish;
mod repeats;
mod reply;
mod retries;
mod subscription;

pub use backoff::Backoff;
pub use book::{Book, BookState};
pub use catalog::{Catalog, CatalogError, catalog};
pub use client::Client;
pub use decimal::Decimal;
pub use error::{CommandError, ConnectError, Ended, LostReason, Refusal};
pub use event::{
    AggTrade, Average, Bar, Connected, Depth, DepthSnapshot, Disconnected, Event, Gap, Level,
    Levels, Origin, PartialDepth, Quote, Refused, Revoked, RollingTicker, Status, Ticker, Trade,
};
pub use ledger::{Account, Ledger};
pub use options::{Options, Reconnect};
pub use plain::{PlainSocket, get};
pub use position::Position;
pub use publish::{Draft, Taker};
pub use subscription::{Listing, Subscribed, Subscription, TopicResult};
pub use wire::{
    Channel, CloseCode, ErrorCode, FeedState, GapReason, Instrument, Mode, Side, SnapshotPart,
    SnapshotPolicy, Symbol, TradingStatus,
};
