//! `bus`: quotes from a writer through NATS or Redis into a reader.
//!
//! Writer and readers have a thread each; with the server's they share the machine. *As fast as can be* keeps
//! a bounded number of ticks unacknowledged. At the moderate rate ticks are due every millisecond, whatever
//! the bus does, and latency is from when one was due until the first reader has it. What the server and the
//! threads use of the CPU is divided by messages and ticks. The servers' files are in memory.
//!
//! What is unacknowledged is bounded by what a bus may have in flight, not by a number of ticks: with 2.9 of
//! nats-server and storage in memory each append looks through all messages that are kept, and tens of
//! thousands of batches would not be acknowledged within minutes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use bus::{
    Backend, BusUrl, Catalog, Event, Nats, Reader, ReaderOptions, Redis, Storage, StoreOptions,
    Writer, WriterCounters, WriterOptions,
};
use hdrhistogram::Histogram;
use serde::Deserialize;
use wire::{Channel, Instrument, Quote, Tick};

use super::{Options, Scenario, ScenarioError};
use crate::clock::{realtime_ns, thread_cpu_ns};
use crate::record::{Offered, Record, Run, Table, float};
use crate::server::{Process, Scratch, Usage, UsageError, free_address};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    instruments: u32,
    batch_ticks: Vec<usize>,
    bucket_sizes: Vec<u32>,
    /// Readers of the first, for what one more costs; the others have one.
    readers: Vec<u32>,
    buses: Vec<Kind>,
    rounds: u32,
    duration: f64,
    rate: u64,
}

/// Batches of each bucket that may be unacknowledged while it goes as fast as can be: one is in flight, the
/// others wait.
const WINDOW_BATCHES: usize = 4;

/// Between two moments at which ticks are due at the moderate rate.
const STEP: Duration = Duration::from_millis(1);

/// How long the rest may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// JetStream with files.
    Nats,
    /// JetStream in memory.
    NatsMemory,
    Redis,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::NatsMemory => "nats-memory",
            Self::Redis => "redis",
        }
    }

    const fn storage(self) -> Storage {
        match self {
            Self::Nats => Storage::File,
            Self::NatsMemory | Self::Redis => Storage::Memory,
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
    readers: u32,
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
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("{0} ticks were not acknowledged in time")]
    Unacknowledged(usize),
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
        for &kind in &settings.buses {
            for shape in shapes(&settings) {
                let name = format!("{}: {}", kind.name(), shape.name());
                if options.variant.as_ref().is_some_and(|text| !name.contains(text)) {
                    continue;
                }
                eprintln!("round {round}, {name}");
                record.runs.push(run_shape(kind, shape, &settings, round, duration));
            }
        }
    }
    record.summarise();
    if !record.runs.is_empty() {
        record.tables.push(table(record, &settings));
    }
    Ok(())
}

fn run_shape(kind: Kind, shape: Shape, settings: &Settings, round: u32, duration: f64) -> Run {
    let mut extra = BTreeMap::new();
    let mut failures = Vec::new();
    for load in [Load::Fastest, Load::Rate(settings.rate)] {
        let cell = Cell {
            instruments: settings.instruments,
            batch_ticks: shape.batch_ticks,
            bucket_size: shape.bucket_size,
            readers: shape.readers,
            load,
            duration: Duration::from_secs_f64(duration),
        };
        match measure(kind, &cell) {
            Ok(figures) => extra.extend(figures),
            Err(error) => failures.push(error.to_string()),
        }
    }
    Run {
        server: kind.name().to_owned(),
        variant: shape.name(),
        round,
        offered: Offered { duration_s: duration, ..Offered::default() },
        report: None,
        server_usage: None,
        failures,
        extra,
    }
}

/// What cells differ in, beside the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    batch_ticks: usize,
    bucket_size: u32,
    readers: u32,
}

impl Shape {
    fn name(self) -> String {
        let Self { batch_ticks, bucket_size, readers } = self;
        let more = if readers > 1 { format!(", {readers} readers") } else { String::new() };
        format!("batches of {batch_ticks}, N = {bucket_size}{more}")
    }
}

fn shapes(settings: &Settings) -> Vec<Shape> {
    let sizes = &settings.bucket_sizes;
    let grid = settings.batch_ticks.iter().flat_map(|&batch_ticks| {
        sizes.iter().map(move |&bucket_size| Shape { batch_ticks, bucket_size, readers: 1 })
    });
    let grid: Vec<Shape> = grid.collect();
    let first = grid.first().copied();
    let more = settings.readers.iter().filter(|&&readers| readers > 1);
    let more = more.filter_map(|&readers| Some(Shape { readers, ..first? }));
    grid.iter().copied().chain(more).collect()
}

fn measure(kind: Kind, cell: &Cell) -> Result<Vec<(String, f64)>, CellError> {
    let address = free_address()?;
    let scratch = Scratch::new()?;
    let port = address.port().to_string();
    let folder = scratch.path("").display().to_string();
    let (program, scheme, args) = match kind {
        Kind::Nats | Kind::NatsMemory => (
            "nats-server",
            "nats",
            vec!["--addr", "127.0.0.1", "--port", &port, "--jetstream", "--store_dir", &folder],
        ),
        Kind::Redis => (
            "redis-server",
            "redis",
            vec!["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir", &folder],
        ),
    };
    let mut server = Process::start(Path::new(program), args, &[])?;
    server.wait_until(|| std::net::TcpStream::connect(address).is_ok())?;
    let url: BusUrl = format!("{scheme}://{address}/bench").parse().expect("well-formed");
    match kind {
        Kind::Nats | Kind::NatsMemory => through::<Nats>(&url, kind, cell, server.pid()),
        Kind::Redis => through::<Redis>(&url, kind, cell, server.pid()),
    }
}

/// What a reader has seen.
struct Seen {
    ticks: u64,
    /// Of its thread, from the time that it had all buckets.
    cpu_ns: u64,
    latency_us: Histogram<u64>,
}

fn through<B: Backend>(
    url: &BusUrl,
    kind: Kind,
    cell: &Cell,
    server: u32,
) -> Result<Vec<(String, f64)>, CellError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = StoreOptions { storage: kind.storage(), ..StoreOptions::default() };
        let options = WriterOptions {
            batch_ticks: cell.batch_ticks,
            batch_age: Duration::ZERO,
            held_bytes: 1 << 30,
            store,
            ..WriterOptions::default()
        };
        let mut writer = Writer::<B>::open(url, options).await?;
        writer.begin_epoch(catalog(cell)?)?;
        let stage = Arc::new(Stage::default());
        let buckets = cell.instruments.div_ceil(cell.bucket_size);
        let readers = (0..cell.readers).map(|_| {
            let (url, stage) = (url.clone(), Arc::clone(&stage));
            thread::spawn(move || read::<B>(&url, buckets, &stage))
        });
        let readers: Vec<_> = readers.collect();
        let measured = write(&mut writer, cell, server, &stage).await;
        // Also if it went wrong: nobody reads on.
        let pushed = measured.as_ref().map_or(0, |measured| measured.pushed);
        let _ = stage.written.set(pushed);
        let mut seen = Vec::new();
        for reader in readers {
            seen.push(reader.join().expect("a reader does not panic")?);
        }
        let mut measured = measured?;
        measured.whole = measured.began.elapsed();
        measured.server_ns = Usage::of(server)?.cpu_since(&measured.usage);
        measured.counters = writer.counters();
        writer.close(PATIENCE).await?;
        if let Some(few) = seen.iter().find(|seen| seen.ticks < pushed) {
            return Err(CellError::Missing { read: few.ticks, written: pushed });
        }
        Ok(figures(cell, &measured, &seen[0]))
    })
}

/// Where writer and readers meet.
#[derive(Default)]
struct Stage {
    /// Readers that have all buckets.
    attached: AtomicU32,
    /// How many ticks there are, once that is known.
    written: OnceLock<u64>,
}

/// What the writer saw.
struct Measured {
    pushed: u64,
    began: Instant,
    /// The server's, when it began.
    usage: Usage,
    before: WriterCounters,
    counters: WriterCounters,
    written_in: Duration,
    whole: Duration,
    server_ns: u64,
}

/// Waits for the readers, then writes for the cell's time and until all is acknowledged.
async fn write<B: Backend>(
    writer: &mut Writer<B>,
    cell: &Cell,
    server: u32,
    stage: &Stage,
) -> Result<Measured, CellError> {
    let started = Instant::now();
    while stage.attached.load(Ordering::Acquire) < cell.readers {
        if started.elapsed() > PATIENCE {
            return Err(CellError::Attach);
        }
        turn(writer, Duration::from_millis(5)).await?;
    }
    let (usage, before, began) = (Usage::of(server)?, writer.counters(), Instant::now());
    let pushed = match cell.load {
        Load::Fastest => push_fastest(writer, cell).await?,
        Load::Rate(rate) => push_at(writer, cell, rate).await?,
    };
    let waited = tokio::time::timeout(PATIENCE, writer.flush()).await;
    waited.map_err(|_| CellError::Unacknowledged(writer.held()))??;
    let written_in = began.elapsed();
    let counters = before;
    let whole = written_in;
    Ok(Measured { pushed, began, usage, before, counters, written_in, whole, server_ns: 0 })
}

fn figures(cell: &Cell, measured: &Measured, seen: &Seen) -> Vec<(String, f64)> {
    let (counters, before) = (&measured.counters, &measured.before);
    let ticks = float(counters.appended - before.appended);
    let batches = float((counters.batches - before.batches).max(1));
    let bytes = float(counters.appended_bytes - before.appended_bytes);
    let us = |quantile| float(seen.latency_us.value_at_quantile(quantile));
    let figures = match cell.load {
        Load::Fastest => vec![
            ("written_ticks_per_s", ticks / measured.written_in.as_secs_f64()),
            ("read_ticks_per_s", float(seen.ticks) / measured.whole.as_secs_f64()),
            ("batches_per_s", batches / measured.written_in.as_secs_f64()),
            ("ticks_per_batch", ticks / batches),
            ("payload_bytes_per_tick", bytes / ticks.max(1.0)),
            ("server_us_per_batch", float(measured.server_ns) / 1e3 / batches),
            ("reader_us_per_batch", float(seen.cpu_ns) / 1e3 / batches),
        ],
        Load::Rate(_) => vec![
            ("latency_p50_us", us(0.5)),
            ("latency_p99_us", us(0.99)),
            ("moderate_ticks_per_batch", ticks / batches),
            ("moderate_bytes_per_tick", bytes / ticks.max(1.0)),
            ("moderate_server_us_per_batch", float(measured.server_ns) / 1e3 / batches),
            ("moderate_reader_us_per_batch", float(seen.cpu_ns) / 1e3 / batches),
        ],
    };
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Reads until it has what was written, or nothing has come for too long.
fn read<B: Backend>(url: &BusUrl, buckets: u32, stage: &Stage) -> Result<Seen, CellError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut reader = Reader::<B>::open(url, ReaderOptions::default()).await?;
        let latency_us = Histogram::new(3).expect("three digits");
        let (mut missing, mut seen) = (buckets, Seen { ticks: 0, cpu_ns: 0, latency_us });
        let mut last = Instant::now();
        let mut began_ns = thread_cpu_ns();
        while stage.written.get().is_none_or(|written| seen.ticks < *written) {
            let event = tokio::time::timeout(Duration::from_millis(50), reader.next()).await;
            match event {
                Ok(Event::Catalog(_)) => {
                    missing = buckets;
                    (0..buckets).for_each(|bucket| reader.want(bucket));
                }
                Ok(Event::Attached { .. }) => {
                    missing = missing.saturating_sub(1);
                    if missing == 0 {
                        stage.attached.fetch_add(1, Ordering::Release);
                        began_ns = thread_cpu_ns();
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
        seen.cpu_ns = thread_cpu_ns() - began_ns;
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
    let buckets = cell.instruments.div_ceil(cell.bucket_size) as usize;
    let window = WINDOW_BATCHES * buckets * cell.batch_ticks;
    let step = (window / 4).clamp(1, 1_024) as u64;
    while began.elapsed() < cell.duration {
        if writer.held() < window {
            quotes.push(writer, step, realtime_ns());
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
    let instrument = |id| Instrument::numbered(id, Channel::Quote.bit());
    let instruments = (0..cell.instruments).map(instrument).collect();
    Ok(Catalog::new(1, cell.bucket_size, instruments, cell.instruments)?)
}

/// Figures of a table, with the heads of their columns.
const COLUMNS: [(&str, &str); 11] = [
    ("read_ticks_per_s", "ticks/s"),
    ("batches_per_s", "messages/s"),
    ("ticks_per_batch", "ticks a message"),
    ("payload_bytes_per_tick", "bytes a tick"),
    ("server_us_per_batch", "server, µs a message"),
    ("reader_us_per_batch", "reader, µs a message"),
    ("latency_p50_us", "latency p50, µs"),
    ("latency_p99_us", "p99, µs"),
    ("moderate_ticks_per_batch", "ticks a message at that rate"),
    ("moderate_server_us_per_batch", "server then"),
    ("moderate_reader_us_per_batch", "reader then"),
];

fn table(record: &Record, settings: &Settings) -> Table {
    let mut columns = vec!["bus".to_owned(), String::new()];
    columns.extend(COLUMNS.iter().map(|(_, head)| (*head).to_owned()));
    let mut rows = Vec::new();
    for kind in &settings.buses {
        for shape in shapes(settings) {
            let Some(summary) = record.summary_of(kind.name(), &shape.name()) else { continue };
            let figure = |name: &str| {
                let figure = summary.figures.get(name);
                figure.map_or_else(|| "–".to_owned(), |figure| format!("{:.0}", figure.median))
            };
            let mut row = vec![kind.name().to_owned(), shape.name()];
            row.extend(COLUMNS.iter().map(|(name, _)| figure(name)));
            rows.push(row);
        }
    }
    Table {
        title: format!(
            "{} instruments as fast as can be; latency at {} ticks a second",
            settings.instruments, settings.rate
        ),
        columns,
        rows,
    }
}
