//! The whole order book of one instrument, kept up to date; its top is printed once a second.
//!
//! `cargo run --release --example book -- ws://127.0.0.1:9443/v1/stream BTCUSDT [SECONDS]`

use std::time::{Duration, Instant};

use client::{Book, Client, Options, Side, Subscription, Symbol};

const LEVELS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: book URL SYMBOL [SECONDS]";
    let (url, symbol) = arguments.next().zip(arguments.next()).ok_or(usage)?;
    let mut left = arguments.next().map_or(Ok(u64::MAX), |seconds| seconds.parse())?;

    let mut book = Book::new(Symbol::new(&symbol)?);
    let mut client = Client::connect(&url, Options::new()).await?;
    let subscribed = client.subscribe(Subscription::new([format!("{symbol}.depth")])).await?;
    if let Some((topic, why)) = subscribed.refused().next() {
        return Err(format!("{topic}: {why}").into());
    }
    let mut due = Instant::now();
    while left > 0 {
        // A book takes every event and picks its own: snapshots, changes, gaps.
        let is_changed = book.apply(&client.next().await?);
        if !is_changed || Instant::now() < due {
            continue;
        }
        due = Instant::now() + Duration::from_secs(1);
        left -= 1;
        println!("{symbol} after change {}", book.seq());
        let asks: Vec<_> = book.levels(Side::Ask).take(LEVELS).collect();
        for ask in asks.iter().rev() {
            println!("  {:>31} {:>16}", ask.price, ask.quantity);
        }
        for bid in book.levels(Side::Bid).take(LEVELS) {
            println!("  {:>16} {:>14}", bid.quantity, bid.price);
        }
    }
    Ok(())
}
