//! The world: everything that happens, in order of time.
//!
//! Ports are numbered: each gateway's reader has one, then the writer, then each publishing gateway's publisher. A
//! port has one connection at a time to the bus, all of whose servers it reaches (a server ends them all, as the real
//! backends take it). Requests are numbered, and each has a time-out; what a port asked on a connection that has
//! ended fails.

mod answering;
mod asking;
mod connecting;
mod report;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use bus::agenda::Due;
use bus::outbox::{self, BatchLimits, Limits, Outbox};
use bus::{Batch, Catalog, Entry, Offset, Slice, StoreOptions, WriterOptions, limits, sequencer};
use bytes::Bytes;

use crate::chance::Chance;
use crate::feed::{EPOCH, Feed, Urn, instruments};
use crate::gateway::{Gateway, Measures};
use crate::link::Link;
use crate::plan::{Delivery, Fault, Memory, Plan};
use crate::publishing::Publisher;
use crate::server::Server;
use crate::store::Store;
use crate::truth::Truth;

pub use report::Report;

const MS: u64 = 1_000_000;

/// Between two steps of the market.
const STEP_NS: u64 = MS;

/// How long what is on its way may take when the market has ended.
const SETTLE_NS: u64 = 30_000 * MS;

/// The Unix time at which simulations begin, ns.
const UNIX_NS: u64 = 1_700_000_000_000_000_000;

/// What a port asks of the bus.
#[derive(Clone, Debug)]
enum Op {
    Tail(u32),
    Append { bucket: u32, expected: Offset, payload: Bytes },
    Read { bucket: u32, after: Offset, bytes_max: usize },
    Locate { bucket: u32, since_ns: u64 },
    Values(Vec<String>),
    Put(Vec<(String, Bytes)>),
    Subscribe(u32),
    Unsubscribe(u32),
    Pulse(Bytes),
}

/// What it is answered.
#[derive(Clone, Debug)]
enum Reply {
    Done,
    Tail(Option<Entry>),
    Appended(Offset),
    Conflict(Offset),
    Slice(Slice),
    Located(Offset),
    Values(Vec<Option<Bytes>>),
}

/// What the bus tells unasked.
#[derive(Clone, Debug)]
enum News {
    Entry(u32, Entry),
    Pulse(Bytes),
    CatalogChanged,
}

/// A connection of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    port: usize,
    generation: u64,
}

#[derive(Debug)]
enum What {
    /// A request has reached its server.
    Arrive(Line, u64, Op),
    /// A server has done what was asked, if it still is the process that began it.
    Execute(u64, Line, u64, Op),
    /// A reply has reached the port.
    Answer(Line, u64, Reply),
    /// News has reached the port.
    News(Line, News),
    /// A request was not answered for long.
    TimeOut(Line, u64),
    /// A reader asks what it had to wait for.
    Ask(Line, Due),
    /// A port tries to connect.
    Connect(usize),
    /// The servers have its connection.
    Accept(Line),
    /// It knows.
    Connected(Line),
    /// Or that it has none any more, or got none.
    HangUp(Line),
    /// A gateway has time.
    Wake(usize),
    WakeWriter,
    WakePublisher(usize),
    Market,
    Fault(usize),
}

struct Happening {
    at_ns: u64,
    number: u64,
    what: What,
}

impl PartialEq for Happening {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Happening {}

impl PartialOrd for Happening {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Happening {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.number).cmp(&(other.at_ns, other.number))
    }
}

/// See the module.
pub struct World {
    plan: Plan,
    now_ns: u64,
    happenings: BinaryHeap<Reverse<Happening>>,
    count: u64,
    chance: Chance,
    requests: u64,
    // The bus.
    store: Store,
    servers: Vec<Server>,
    links: Vec<Link>,
    /// Buckets that each port's connection is to be subscribed to.
    subscribed: Vec<BTreeSet<u32>>,
    /// The servers are away until this time.
    away_until_ns: u64,
    /// How often they began.
    process: u64,
    // Around it.
    gateways: Vec<Gateway>,
    outbox: Outbox,
    writing: BTreeMap<u64, outbox::Request>,
    writer_wakes_at_ns: Option<u64>,
    publishers: Vec<Publisher>,
    publishing: Vec<BTreeMap<u64, (u32, sequencer::Request)>>,
    catalog: Arc<Catalog>,
    feed: Feed,
    truth: Truth,
    measures: Measures,
    // What was seen.
    overflows: u64,
    attempts: u64,
    last_fault_ns: u64,
    events: u64,
}

impl World {
    /// A cluster that is about to begin: nobody is connected.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let mut all = instruments(0, plan.instruments);
        all.extend(instruments(plan.instruments, plan.published));
        let catalog = Catalog::new(EPOCH, plan.bucket_size, all, plan.instruments);
        let catalog = Arc::new(catalog.expect("instruments are numbered"));
        let mut chance = Chance::new(plan.seed);
        let popularity = plan.popularity();
        let gateways = (0..plan.nodes).map(|_| gateway(&plan, &catalog, &popularity, &mut chance));
        let gateways = gateways.collect();
        let publishers = (0..plan.publishers).map(|node| {
            let writer = 1_000 + node as u64;
            Publisher::new(writer, &catalog, plan.instruments, plan.published)
        });
        let ports = plan.nodes + 1 + plan.publishers;
        let mut world = Self {
            now_ns: 0,
            happenings: BinaryHeap::new(),
            count: 0,
            requests: 0,
            store: Store::new(plan.retention_ns),
            servers: (0..plan.shards.max(1)).map(|_| Server::default()).collect(),
            links: (0..ports).map(|_| Link::default()).collect(),
            subscribed: vec![BTreeSet::new(); ports],
            away_until_ns: 0,
            process: 0,
            gateways,
            outbox: Outbox::new(1, writer_limits(&plan)),
            writing: BTreeMap::new(),
            writer_wakes_at_ns: None,
            publishers: publishers.collect(),
            publishing: vec![BTreeMap::new(); plan.publishers],
            feed: Feed::new(chance.below(u64::MAX), &popularity, plan.rate),
            catalog,
            truth: Truth::new(plan.instruments),
            measures: Measures { from_ns: plan.warm_up_ns, ..Measures::default() },
            overflows: 0,
            attempts: 0,
            last_fault_ns: 0,
            events: 0,
            chance,
            plan,
        };
        let now = world.outbox_now();
        world.outbox.begin(Arc::clone(&world.catalog), now);
        let writer = world.writer_port();
        world.at(0, What::Connect(writer));
        for port in (0..ports).filter(|port| *port != writer) {
            // Nodes begin one after the other, in a tenth of a second.
            let at_ns = world.chance.below(100 * MS);
            world.at(at_ns, What::Connect(port));
        }
        world.at(STEP_NS, What::Market);
        for (number, (at_ns, _)) in world.plan.faults.clone().into_iter().enumerate() {
            world.at(at_ns, What::Fault(number));
        }
        world
    }

    /// Runs the market to its end, lets everything come to rest, and says what was seen.
    ///
    /// # Panics
    /// If something was lost silently, doubled or reordered, or does not come to rest.
    pub fn run(mut self) -> Report {
        let end_ns = self.plan.span_ns + SETTLE_NS;
        while let Some(Reverse(happening)) = self.happenings.pop() {
            if happening.at_ns > end_ns {
                break;
            }
            self.now_ns = happening.at_ns;
            self.events += 1;
            self.happen(happening.what);
            if self.now_ns > self.plan.span_ns
                && self.events.is_multiple_of(1_024)
                && self.is_at_rest()
            {
                break;
            }
        }
        self.report()
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrive(line, id, op) => self.arrive(line, id, op),
            What::Execute(process, line, id, op) if process == self.process => {
                self.execute(line, id, op);
            }
            What::Execute(..) => {}
            What::Answer(line, id, reply) => self.answered(line, id, reply),
            What::News(line, news) => self.hear_news(line, news),
            What::TimeOut(line, id) => self.time_out(line, id),
            What::Ask(line, due) => self.ask_due(line, due),
            What::Connect(port) => self.connect(port),
            What::Accept(line) => self.accept(line),
            What::Connected(line) => self.connected(line),
            What::HangUp(line) => self.hang_up(line),
            What::Wake(node) => self.wake(node),
            What::WakeWriter => self.wake_writer(),
            What::WakePublisher(publisher) => self.turn_publisher(publisher),
            What::Market => self.market(),
            What::Fault(number) => self.fault(self.plan.faults[number].1),
        }
    }

    fn market(&mut self) {
        let ticks = self.feed.pass(STEP_NS, self.now_ns);
        self.outbox.push(&ticks, self.now_ns);
        self.turn_writer();
        for publisher in 0..self.publishers.len() {
            let rate = self.plan.publish_rate * STEP_NS;
            let count = rate / 1_000_000_000
                + u64::from(self.chance.below(1_000_000_000) < rate % 1_000_000_000);
            for _ in 0..count {
                let instrument = self.plan.instruments
                    + u32::try_from(self.chance.below(u64::from(self.plan.published)))
                        .expect("instruments are counted in u32");
                let (bucket, now) = (self.catalog.bucket_of(instrument), self.sequencer_now());
                self.publishers[publisher].offer(bucket, instrument, now);
            }
            self.turn_publisher(publisher);
        }
        if self.now_ns + STEP_NS <= self.plan.span_ns {
            self.at(self.now_ns + STEP_NS, What::Market);
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.last_fault_ns = self.now_ns;
        match fault {
            Fault::Restart { after_ns, memory } => {
                self.away_until_ns = self.now_ns + after_ns;
                self.process += 1;
                self.last_fault_ns = self.away_until_ns;
                if memory == Memory::Lost {
                    self.store.forget();
                }
                for port in 0..self.links.len() {
                    self.close(port);
                }
                let back_ns = self.away_until_ns;
                self.servers.iter_mut().for_each(|server| server.restart(back_ns));
            }
            Fault::Stall { ns } => {
                let until_ns = self.now_ns + ns;
                self.last_fault_ns = until_ns;
                self.servers.iter_mut().for_each(|server| server.stall(until_ns));
            }
            Fault::Cut { node, ns } => self.cut(node, ns),
            Fault::CutWriter { ns } => self.cut(self.writer_port(), ns),
            Fault::Freeze { node, ns } => {
                let until_ns = self.now_ns + ns;
                self.last_fault_ns = until_ns;
                let gateway = &mut self.gateways[node];
                gateway.busy_until_ns = gateway.busy_until_ns.max(until_ns);
            }
            Fault::Replace { node } => {
                self.gateways[node] = self.gateways[node].successor();
                self.subscribed[node].clear();
                self.drop_connection(node);
                self.at(self.now_ns, What::Connect(node));
            }
        }
    }

    /// Whether nothing is to be done any more but beats.
    fn is_at_rest(&self) -> bool {
        self.outbox.is_empty()
            && self.publishers.iter().all(Publisher::is_settled)
            && self.links.iter().all(|link| link.is_up)
            && self.gateways.iter().all(|gateway| {
                gateway.pending.is_empty()
                    && gateway.answers.is_empty()
                    && gateway.wakes_at_ns.is_none()
            })
            && (0..self.plan.nodes).all(|node| self.is_complete(node))
    }

    fn is_complete(&self, node: usize) -> bool {
        let gateway = &self.gateways[node];
        let (wanted, behind) = gateway.assembly.wanted();
        let catalog = &self.catalog;
        behind == 0
            && wanted == gateway.witness.complete()
            && gateway.witness.behind(&self.truth, |id| catalog.bucket_of(id)).is_empty()
    }

    fn at(&mut self, at_ns: u64, what: What) {
        self.count += 1;
        let at_ns = at_ns.max(self.now_ns);
        self.happenings.push(Reverse(Happening { at_ns, number: self.count, what }));
    }

    fn line(&self, port: usize) -> Line {
        Line { port, generation: self.links[port].generation }
    }

    fn is_current(&self, line: Line) -> bool {
        self.links[line.port].generation == line.generation
    }

    const fn writer_port(&self) -> usize {
        self.plan.nodes
    }

    /// The publisher of this port, if it is one's.
    const fn publisher_of(&self, port: usize) -> Option<usize> {
        port.checked_sub(self.plan.nodes + 1)
    }

    fn server_of(&self, bucket: u32) -> usize {
        bucket as usize % self.servers.len()
    }

    const fn outbox_now(&self) -> outbox::Now {
        outbox::Now { monotonic_ns: self.now_ns, realtime_ns: UNIX_NS + self.now_ns }
    }

    const fn sequencer_now(&self) -> sequencer::Now {
        sequencer::Now { monotonic_ns: self.now_ns, unix_ns: self.now_ns }
    }

    /// A batch was accepted: it is the truth from here on.
    fn accept_batch(&mut self, payload: &Bytes) {
        let batch = Batch::decode(payload).expect("written by one of ours");
        self.truth.accept(&batch.ticks);
    }
}

/// A gateway with the clients that chance gives it.
fn gateway(plan: &Plan, catalog: &Catalog, popularity: &[f64], chance: &mut Chance) -> Gateway {
    #[expect(clippy::cast_precision_loss, reason = "subscriptions are counted in millions")]
    let all = (plan.clients * plan.topics) as f64;
    // What every instrument has of the subscriptions, and a fair coin for the fraction.
    let subscribers = popularity.iter().map(|part| {
        let expected = (all * part).min(all / plan.topics.max(1) as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and below the number of clients"
        )]
        let whole = expected as u32;
        whole + u32::from(chance.happens(expected.fract()))
    });
    let mut subscribers: Vec<u32> = subscribers.collect();
    let mut topics = Vec::new();
    if let Delivery::Real(clients) = plan.delivery {
        let urn = Urn::new(popularity);
        for _ in 0..clients {
            let mut chosen: Vec<u32> = (0..plan.topics).map(|_| urn.draw(chance)).collect();
            if plan.published > 0 {
                let drawn = chance.below(u64::from(plan.published));
                chosen.push(plan.instruments + u32::try_from(drawn).expect("below a u32"));
            }
            chosen.sort_unstable();
            chosen.dedup();
            topics.push(chosen);
        }
        subscribers = vec![0; catalog.instruments().len()];
        for id in topics.iter().flatten() {
            subscribers[*id as usize] += 1;
        }
    }
    let is_wanted = |bucket: &u32| {
        let mut of = catalog.instruments_of(*bucket);
        of.any(|id| subscribers.get(id as usize).is_none_or(|count| *count > 0))
    };
    let wants = catalog.buckets().filter(is_wanted).collect();
    Gateway::new(plan.gateway, wants, Arc::new(subscribers), Arc::new(topics))
}

/// What the real writer keeps to, with the plan's retention and age of batches.
fn writer_limits(plan: &Plan) -> Limits {
    let (options, store) = (WriterOptions::default(), StoreOptions::default());
    let part = u64::from(options.image_part);
    Limits {
        batch: BatchLimits {
            bytes: options.batch_bytes,
            ticks: options.batch_ticks,
            age_ns: plan.batch_age_ns,
        },
        held: options.held_bytes / size_of::<wire::Tick>(),
        beat_ns: u64::try_from(options.beat.as_nanos()).expect("a beat is short"),
        image_age_ns: plan.retention_ns / part,
        image_bytes: store.max_bytes / part,
        bucket_image_bytes: options.bucket_image_bytes,
    }
}

/// How long a request may take.
fn time_out_ns() -> u64 {
    u64::try_from(limits::REQUEST_TIMEOUT.as_nanos()).expect("seconds")
}
