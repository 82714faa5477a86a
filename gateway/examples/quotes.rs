//! Best bids and offers of one instrument, as they change.
//!
//! `cargo run --release --example quotes -- ws://127.0.0.1:9443/v1/stream BTCUSDT [COUNT]`

use client::{Client, Event, Options, Subscription};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: quotes URL SYMBOL [COUNT]";
    let (url, symbol) = arguments.next().zip(arguments.next()).ok_or(usage)?;
    let mut left = arguments.next().map_or(Ok(u64::MAX), |count| count.parse())?;

    let mut client = Client::connect(&url, Options::new()).await?;
    let subscribed = client.subscribe(Subscription::new([format!("{symbol}.quote")])).await?;
    if let Some((topic, why)) = subscribed.refused().next() {
        return Err(format!("{topic}: {why}").into());
    }
    while left > 0 {
        match client.next().await? {
            Event::Quote(quote) => {
                let (bid, ask) = (quote.bid, quote.ask);
                println!(
                    "{symbol}  {} x {}  |  {} x {}",
                    bid.quantity, bid.price, ask.price, ask.quantity
                );
                left -= 1;
            }
            // What does not come one by one is announced, never dropped silently.
            Event::Gap(gap) => println!("{} quotes skipped ({})", gap.count, gap.reason.name()),
            // The client reconnects and resumes by itself.
            Event::Disconnected(lost) => println!("{}", lost.reason),
            _ => {}
        }
    }
    Ok(())
}
