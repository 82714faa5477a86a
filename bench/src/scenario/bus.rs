//! `bus`: quotes from a writer through NATS or Redis into a reader.
//!
//! Writer and reader have a thread each; with the server's they share the machine. *As fast as can be* keeps
//! a bounded number of ticks unacknowledged. At the moderate rate ticks are due every millisecond, whatever
//! the bus does, and latency is from when one was due until the reader has it. The servers keep nothing
//! on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bus::{
    Backend, BusUrl, Catalog, Event, Nats, Reader, ReaderOptions, Redis, Writer, WriterCounters,
    WriterOptions,
};
use hdrhistogram::Histogram;
use serde::Deserialize;
use wire::{Channel, Instrument, Quote, Symbol, Tick};

use super::{Options, Scenario, ScenarioError};
use crate::clock::realtime_ns;
use crate::record::{Offered, Record, Run, Table, float};
use crate::server::{Process, Scratch, free_address};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    instruments: u32,
    batch_ticks: Vec<usize>,
    bucket_sizes: Vec<u32>,
    rounds: u32,
    duration: f64,
    rate: u64,
}

/// Ticks that may be unacknowledged while it goes as fast as can be.
const WINDOW: usize = 1 << 16;

/// Between two moments at which ticks are due at the moderate rate.
const STEP: Duration = Duration::from_millis(1);

/// How long the rest may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nats,
    Redis,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Redis => "redis",
        }
    }
}

/// How a cell is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Fastest,
    /// Ticks a second.
    Rate(u64),
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
struct Cell {
    instruments: u32,
    batch_ticks: usize,
    bucket_size: u32,
    load: Load,
    duration: Duration,
}

/// Why a cell has no figures.
#[derive(Debug, thiserror::Error)]
enum CellError {
    #[error(transparent)]
    Server(#[from] crate::server::ServerError),
    #[error(transparent)]
    Writer(#[from] bus::WriterError),
    #[error(transparent)]
    Reader(#[from] bus::BusError),
    #[error(transparent)]
    Catalog(#[from] bus::CatalogError),
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("the reader was not attached in time")]
    Attach,
    #[error("{read} of {written} ticks arrived in time")]
    Missing { read: u64, written: u64 },
}

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let settings: Settings = scenario.settings()?;
    let duration = options.duration.unwrap_or(settings.duration);
    let is_sensible = (1..=10_000).contains(&settings.instruments)
        && settings.batch_ticks.iter().all(|&ticks| ticks > 0)
        && settings.bucket_sizes.iter().all(|&size| size > 0);
    if !is_sensible || !(0.05..=60.0).contains(&duration) {
        return Err(scenario.senseless("sizes are above 0, a duration is 0.05 to 60 seconds"));
    }
    for round in 1..=options.rounds.unwrap_or(settings.rounds) {
        for kind in [Kind::Nats, Kind::Redis] {
            for (batch_ticks, bucket_size) in cells(&settings) {
                let cell = |load| Cell {
                    instruments: settings.instruments,
                    batch_ticks,
                    bucket_size,
                    load,
                    duration: Duration::from_secs_f64(duration),
                };
                let mut extra = BTreeMap::new();
                let mut failures = Vec::new();
                for load in [Load::Fastest, Load::Rate(settings.rate)] {
                    match measure(kind, &cell(load)) {
                        Ok(figures) => extra.extend(figures),
                        Err(error) => failures.push(error.to_string()),
                    }
                }
                record.runs.push(Run {
                    server: kind.name().to_owned(),
                    variant: variant(batch_ticks, bucket_size),
                    round,
                    offered: Offered { duration_s: duration, ..Offered::default() },
                    report: None,
                    server_usage: None,
                    failures,
                    extra,
                });
            }
        }
    }
    record.summarise();
    if !record.runs.is_empty() {
        record.tables.push(table(record, &settings));
    }
    Ok(())
}

fn cells(settings: &Settings) -> impl Iterator<Item = (usize, u32)> + '_ {
    let sizes = &settings.bucket_sizes;
    settings.batch_ticks.iter().flat_map(|&ticks| sizes.iter().map(move |&size| (ticks, size)))
}

fn variant(batch_ticks: usize, bucket_size: u32) -> String {
    format!("batches of {batch_ticks}, N = {bucket_size}")
}

fn measure(kind: Kind, cell: &Cell) -> Result<Vec<(String, f64)>, CellError> {
    let address = free_address()?;
    let scratch = Scratch::new()?;
    let port = address.port().to_string();
    let folder = scratch.path("").display().to_string();
    let (program, args) = match kind {
        Kind::Nats => (
            "nats-server",
            vec!["--addr", "127.0.0.1", "--port", &port, "--jetstream", "--store_dir", &folder],
        ),
        Kind::Redis => (
            "redis-server",
            vec!["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir", &folder],
        ),
    };
    let mut server = Process::start(Path::new(program), args, &[])?;
    server.wait_until(|| std::net::TcpStream::connect(address).is_ok())?;
    let url: BusUrl = format!("{}://{address}/bench", kind.name()).parse().expect("well-formed");
    match kind {
        Kind::Nats => through::<Nats>(&url, cell),
        Kind::Redis => through::<Redis>(&url, cell),
    }
}

/// What a reader has seen.
struct Seen {
    ticks: u64,
    latency_us: Histogram<u64>,
}

fn through<B: Backend>(url: &BusUrl, cell: &Cell) -> Result<Vec<(String, f64)>, CellError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let options = WriterOptions {
            batch_ticks: cell.batch_ticks,
            batch_age: Duration::ZERO,
            held_bytes: 1 << 30,
            ..WriterOptions::default()
        };
        let mut writer = Writer::<B>::open(url, options).await?;
        writer.begin_epoch(catalog(cell)?)?;
        let attached = Arc::new(AtomicBool::new(false));
        let written = Arc::new(std::sync::OnceLock::new());
        let reader = {
            let (url, attached, written) =
                (url.clone(), Arc::clone(&attached), Arc::clone(&written));
            let buckets = cell.instruments.div_ceil(cell.bucket_size);
            thread::spawn(move || read::<B>(&url, buckets, &attached, &written))
        };
        let started = Instant::now();
        while !attached.load(Ordering::Acquire) {
            if started.elapsed() > PATIENCE {
                return Err(CellError::Attach);
            }
            turn(&mut writer, Duration::from_millis(5)).await?;
        }
        let began = Instant::now();
        let pushed = match cell.load {
            Load::Fastest => push_fastest(&mut writer, cell).await?,
            Load::Rate(rate) => push_at(&mut writer, cell, rate).await?,
        };
        writer.flush().await?;
        let elapsed = began.elapsed();
        let counters = writer.counters();
        // The reader ends when it has as many.
        let _ = written.set(pushed);
        let seen = reader.join().expect("the reader does not panic")?;
        let whole = began.elapsed();
        writer.close(PATIENCE).await?;
        if seen.ticks < pushed {
            return Err(CellError::Missing { read: seen.ticks, written: pushed });
        }
        Ok(figures(cell, &counters, elapsed, whole, &seen))
    })
}

fn figures(
    cell: &Cell,
    counters: &WriterCounters,
    written_in: Duration,
    read_in: Duration,
    seen: &Seen,
) -> Vec<(String, f64)> {
    let (ticks, batches) = (float(counters.appended), float(counters.batches.max(1)));
    let us = |quantile| float(seen.latency_us.value_at_quantile(quantile));
    let figures = match cell.load {
        Load::Fastest => vec![
            ("written_ticks_per_s", ticks / written_in.as_secs_f64()),
            ("read_ticks_per_s", float(seen.ticks) / read_in.as_secs_f64()),
            ("batches_per_s", batches / written_in.as_secs_f64()),
            ("ticks_per_batch", ticks / batches),
            ("payload_bytes_per_tick", float(counters.appended_bytes) / ticks.max(1.0)),
        ],
        Load::Rate(_) => vec![
            ("latency_p50_us", us(0.5)),
            ("latency_p99_us", us(0.99)),
            ("moderate_ticks_per_batch", ticks / batches),
            ("moderate_bytes_per_tick", float(counters.appended_bytes) / ticks.max(1.0)),
        ],
    };
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Reads until it has what was written, or nothing has come for too long.
fn read<B: Backend>(
    url: &BusUrl,
    buckets: u32,
    attached: &AtomicBool,
    written: &std::sync::OnceLock<u64>,
) -> Result<Seen, CellError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut reader = Reader::<B>::open(url, ReaderOptions::default()).await?;
        let latency_us = Histogram::new(3).expect("three digits");
        let (mut missing, mut seen) = (buckets, Seen { ticks: 0, latency_us });
        let mut last = Instant::now();
        while written.get().is_none_or(|written| seen.ticks < *written) {
            let event = tokio::time::timeout(Duration::from_millis(50), reader.next()).await;
            match event {
                Ok(Event::Catalog(_)) => {
                    missing = buckets;
                    (0..buckets).for_each(|bucket| reader.want(bucket));
                }
                Ok(Event::Attached { .. }) => {
                    missing = missing.saturating_sub(1);
                    if missing == 0 {
                        attached.store(true, Ordering::Release);
                    }
                }
                Ok(Event::Ticks { ticks, .. }) => {
                    let now_ns = realtime_ns();
                    for tick in &ticks {
                        let us = now_ns.saturating_sub(tick.ts_event_ns) / 1_000;
                        seen.latency_us.saturating_record(us);
                    }
                    seen.ticks += ticks.len() as u64;
                    last = Instant::now();
                }
                Ok(_) => {}
                Err(_) if last.elapsed() > PATIENCE => break,
                Err(_) => {}
            }
        }
        reader.close().await;
        Ok(seen)
    })
}

/// Numbered quotes of all instruments in turn.
struct Quotes {
    instruments: u32,
    made: u64,
}

impl Quotes {
    fn push<B: Backend>(&mut self, writer: &mut Writer<B>, count: u64, ts_event_ns: u64) {
        let instruments = u64::from(self.instruments);
        let quotes = (self.made..self.made + count).map(|made| {
            let quote = Quote {
                bid_price: 6_183_763,
                bid_quantity: 378_826,
                ask_price: 6_183_764,
                ask_quantity: 61_000,
                update_id: made,
            };
            let instrument = u32::try_from(made % instruments).expect("below a u32");
            let tick = Tick::from_quote(instrument, ts_event_ns, &quote);
            Tick { seq: made / instruments + 1, ts_ring_ns: ts_event_ns, ..tick }
        });
        let quotes: Vec<Tick> = quotes.collect();
        writer.push(&quotes);
        self.made += count;
    }
}

async fn push_fastest<B: Backend>(writer: &mut Writer<B>, cell: &Cell) -> Result<u64, CellError> {
    let mut quotes = Quotes { instruments: cell.instruments, made: 0 };
    let began = Instant::now();
    while began.elapsed() < cell.duration {
        if writer.held() < WINDOW {
            quotes.push(writer, 1_024, realtime_ns());
            tokio::select! {
                biased;
                error = writer.drive() => return Err(error.into()),
                () = tokio::task::yield_now() => {}
            }
        } else {
            turn(writer, STEP).await?;
        }
    }
    Ok(quotes.made)
}

async fn push_at<B: Backend>(
    writer: &mut Writer<B>,
    cell: &Cell,
    rate: u64,
) -> Result<u64, CellError> {
    let mut quotes = Quotes { instruments: cell.instruments, made: 0 };
    let (began, began_ns) = (tokio::time::Instant::now(), realtime_ns());
    let steps = u64::try_from(cell.duration.as_millis() / STEP.as_millis()).unwrap_or(u64::MAX);
    for step in 1..=steps {
        let due = STEP * u32::try_from(step).unwrap_or(u32::MAX);
        tokio::select! {
            error = writer.drive() => return Err(error.into()),
            () = tokio::time::sleep_until(began + due) => {}
        }
        let due_ns = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
        quotes.push(writer, rate * step / 1_000 - quotes.made, began_ns + due_ns);
    }
    Ok(quotes.made)
}

/// Lets the writer work for so long.
async fn turn<B: Backend>(writer: &mut Writer<B>, span: Duration) -> Result<(), CellError> {
    match tokio::time::timeout(span, writer.drive()).await {
        Ok(error) => Err(error.into()),
        Err(_) => Ok(()),
    }
}

fn catalog(cell: &Cell) -> Result<Catalog, CellError> {
    let instrument = |id| Instrument {
        id,
        symbol: Symbol::new(&format!("S{id}")).expect("a letter and digits"),
        base_len: 0,
        price_exponent: -2,
        quantity_exponent: -5,
        tick_size: 1,
        lot_size: 1,
        channels: Channel::Quote.bit(),
    };
    let instruments = (0..cell.instruments).map(instrument).collect();
    Ok(Catalog::new(1, cell.bucket_size, instruments, cell.instruments)?)
}

/// Figures of a table, with the heads of their columns.
const COLUMNS: [(&str, &str); 7] = [
    ("read_ticks_per_s", "ticks/s"),
    ("batches_per_s", "messages/s"),
    ("ticks_per_batch", "ticks a message"),
    ("payload_bytes_per_tick", "bytes a tick"),
    ("latency_p50_us", "latency p50, µs"),
    ("latency_p99_us", "p99, µs"),
    ("moderate_ticks_per_batch", "ticks a message at that rate"),
];

fn table(record: &Record, settings: &Settings) -> Table {
    let mut columns = vec!["bus".to_owned(), String::new()];
    columns.extend(COLUMNS.iter().map(|(_, head)| (*head).to_owned()));
    let rows = [Kind::Nats, Kind::Redis].into_iter().flat_map(|kind| {
        cells(settings).map(move |(batch_ticks, bucket_size)| {
            let variant = variant(batch_ticks, bucket_size);
            let summary = record.summary_of(kind.name(), &variant);
            let figure = |name: &str| {
                let figure = summary.and_then(|summary| summary.figures.get(name));
                figure.map_or_else(|| "–".to_owned(), |figure| format!("{:.0}", figure.median))
            };
            let mut row = vec![kind.name().to_owned(), variant.clone()];
            row.extend(COLUMNS.iter().map(|(name, _)| figure(name)));
            row
        })
    });
    Table {
        title: format!(
            "{} instruments as fast as can be; latency at {} ticks a second",
            settings.instruments, settings.rate
        ),
        columns,
        rows: rows.collect(),
    }
}
