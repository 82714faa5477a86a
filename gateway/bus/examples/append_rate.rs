//! How many batches a second a bus takes, and how long each takes to be acknowledged and to come back live.
//!
//! `append_rate URL [SECONDS]`: for batches of 1, 16 and 256 ticks and for 1, 16 and 128 buckets it appends
//! as fast as it can, one append in flight per bucket, to a prefix of its own, while another connection is
//! subscribed to all of them. It is one process on one thread: with a server on the same machine both share
//! its cores. What a gateway or a feed does with the ticks is not in it.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::env;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bus::inbox::{Inbox, Signal, inbox};
use bus::{
    AppendError, Backend, Batch, BusUrl, ConnectOptions, Nats, Offset, Redis, StoreOptions, limits,
};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use wire::{Quote, Tick};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = env::args().skip(1);
    let url: BusUrl = arguments.next().ok_or("which bus? append_rate URL [SECONDS]")?.parse()?;
    let seconds = arguments.next().map_or(Ok(2.0), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!(
        "{:>5} {:>7} {:>7} {:>10} {:>10} {:>8} {:>8} {:>8} {:>8}",
        "ticks",
        "bytes",
        "buckets",
        "batches/s",
        "ticks/s",
        "ack p50",
        "ack p99",
        "live p50",
        "live p99"
    );
    for ticks in [1, 16, 256] {
        for buckets in [1, 16, 128] {
            let span = Duration::from_secs_f64(seconds);
            if url.scheme().is_nats() {
                runtime.block_on(measure::<Nats>(&url, ticks, buckets, span))?;
            } else {
                runtime.block_on(measure::<Redis>(&url, ticks, buckets, span))?;
            }
        }
    }
    println!("times in microseconds");
    Ok(())
}

async fn connect<B: Backend>(url: &BusUrl) -> Result<(B, Inbox), Failure> {
    let (sender, mut inbox) = inbox(256 << 20);
    let options = ConnectOptions {
        name: "append-rate".to_owned(),
        request_timeout: limits::REQUEST_TIMEOUT,
        inbox: sender,
    };
    let bus = B::connect(url, options).await?;
    loop {
        match inbox.next().await {
            Signal::Connected => return Ok((bus, inbox)),
            Signal::Disconnected(reason) => return Err(reason.into()),
            _ => {}
        }
    }
}

async fn measure<B: Backend>(
    url: &BusUrl,
    ticks: usize,
    buckets: u32,
    span: Duration,
) -> Result<(), Failure> {
    let (writer, _unread) = connect::<B>(url).await?;
    writer.establish(&StoreOptions::default()).await?;
    let (reader, mut live) = connect::<B>(url).await?;
    for bucket in 0..buckets {
        reader.subscribe(bucket).await?;
    }
    let acknowledged_us = RefCell::new(Vec::new());
    let bytes = batch(0, ticks).len();
    let began = Instant::now();
    let appending = try_join_all((0..buckets).map(async |bucket| -> Result<(), AppendError> {
        let mut newest = Offset::START;
        if let Ok(Some(entry)) = writer.tail(bucket).await {
            newest = entry.offset;
        }
        while began.elapsed() < span {
            let sent = Instant::now();
            newest = writer.append(bucket, newest, batch(bucket, ticks)).await?;
            acknowledged_us.borrow_mut().push(micros(sent.elapsed()));
        }
        Ok(())
    }));
    let mut live_us = Vec::new();
    let receiving = async {
        loop {
            match live.next().await {
                Signal::Entry(_, entry) => {
                    let batch = Batch::decode(&entry.payload)?;
                    live_us.push(unix_ns().saturating_sub(batch.sent_ns) / 1000);
                }
                Signal::Disconnected(reason) => return Err::<(), Failure>(reason.into()),
                _ => {}
            }
        }
    };
    tokio::select! {
        done = appending => {
            done?;
        }
        failed = receiving => failed?,
    }
    let took = began.elapsed().as_secs_f64();
    let mut acknowledged_us = acknowledged_us.into_inner();
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    let rate = acknowledged_us.len() as f64 / took;
    #[expect(clippy::cast_precision_loss, reason = "256 at most")]
    let ticks_rate = rate * ticks as f64;
    println!(
        "{ticks:>5} {bytes:>7} {buckets:>7} {rate:>10.0} {ticks_rate:>10.0} {:>8} {:>8} {:>8} {:>8}",
        quantile(&mut acknowledged_us, 0.5),
        quantile(&mut acknowledged_us, 0.99),
        quantile(&mut live_us, 0.5),
        quantile(&mut live_us, 0.99),
    );
    join_all([writer.close(), reader.close()]).await;
    Ok(())
}

/// Quotes with as many words that are not zero as a market's have.
fn batch(bucket: u32, ticks: usize) -> Bytes {
    let now_ns = unix_ns();
    let quote = Quote {
        bid_price: 6_512_345,
        bid_quantity: 120_000,
        ask_price: 6_512_350,
        ask_quantity: 90_000,
        update_id: 40_000_000_000,
    };
    let tick = |seq| Tick { seq, ts_ring_ns: now_ns, ..Tick::from_quote(bucket, now_ns, &quote) };
    let ticks = (1..).take(ticks).map(tick).collect();
    Batch { writer: 1, number: 1, epoch: 1, sent_ns: now_ns, ticks }.encode()
}

fn unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn quantile(sample: &mut [u64], quantile: f64) -> u64 {
    sample.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a place within the sample"
    )]
    let place = (sample.len().saturating_sub(1) as f64 * quantile) as usize;
    sample.get(place).copied().unwrap_or(0)
}
