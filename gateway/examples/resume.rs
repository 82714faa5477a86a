//! Goes on where the last run ended: the position of each topic is stored in a file.
//!
//! `cargo run --release --example resume -- ws://127.0.0.1:9443/v1/stream BTCUSDT position.json [COUNT]`
//!
//! Run it twice: the second run gets the trades that were made between the two, as far as the
//! gateway's log still has them. What it has no more comes as a gap with its count.

use client::{Client, Event, Options, Position, Subscription};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: resume URL SYMBOL FILE [COUNT]";
    let (url, symbol) = arguments.next().zip(arguments.next()).ok_or(usage)?;
    let file = arguments.next().ok_or(usage)?;
    let mut left = arguments.next().map_or(Ok(10), |count| count.parse::<u64>())?;

    let mut subscription = Subscription::new([format!("{symbol}.trade")]);
    if let Ok(text) = std::fs::read_to_string(&file) {
        let position: Position = serde_json::from_str(&text)?;
        println!("resuming behind {text}");
        subscription = subscription.resume(position);
    }
    let mut client = Client::connect(&url, Options::new()).await?;
    let subscribed = client.subscribe(subscription).await?;
    if let Some((topic, why)) = subscribed.refused().next() {
        return Err(format!("{topic}: {why}").into());
    }
    while left > 0 {
        match client.next().await? {
            Event::Trade(trade) => {
                println!("{:>10}  {} x {}", trade.origin.seq, trade.quantity, trade.price);
                left -= 1;
            }
            Event::Gap(gap) => println!("{} trades are gone ({})", gap.count, gap.reason.name()),
            _ => {}
        }
    }
    std::fs::write(&file, serde_json::to_string(client.position())?)?;
    Ok(())
}
