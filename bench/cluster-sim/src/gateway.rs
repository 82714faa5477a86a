//! One gateway: the real core of a reader with its inbox, and what it costs to be one.
//!
//! It has one thread for the bus, which takes one thing after another, each for a time, and shards, which send
//! what it took to clients. While the thread is busy, live entries wait in the inbox, up to its bound.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bus::agenda::{Agenda, Answer, Due};
use bus::assembly::Assembly;
use bus::inbox::{Inbox, InboxSender, Signal, inbox};
use bus::{Catalog, Counters, Event};
use wire::Presence;

use crate::chance::Chance;
use crate::client::Clients;
use crate::costs::GatewayCosts;
use crate::percentiles::Percentiles;
use crate::truth::{Truth, Witness};

/// What a node has for its clients.
pub(crate) struct Gateway {
    pub(crate) assembly: Assembly,
    pub(crate) agenda: Agenda,
    pub(crate) inbox_sender: InboxSender,
    inbox: Inbox,
    /// Answers that came and were not looked at.
    pub(crate) answers: VecDeque<(Due, Answer)>,
    /// Questions on their way, by number.
    pub(crate) pending: BTreeMap<u64, Due>,
    /// The buckets that its clients want.
    wants: Vec<u32>,
    /// How many clients subscribe to each instrument.
    subscribers: Arc<Vec<u32>>,
    /// Instruments of each client that is followed for real.
    topics: Arc<Vec<Vec<u32>>>,
    clients: Option<Clients>,
    catalog: Option<Arc<Catalog>>,
    pub(crate) busy_until_ns: u64,
    /// When it is going to wake.
    pub(crate) wakes_at_ns: Option<u64>,
    shards_free_ns: u64,
    costs: GatewayCosts,
    pub(crate) witness: Witness,
    /// Time that the bus's thread, and shards, have worked, ns.
    pub(crate) thread_busy_ns: u64,
    pub(crate) shards_busy_ns: u64,
    /// When all that is wanted was complete last.
    pub(crate) complete_at_ns: Option<u64>,
    /// The most that waited in the inbox.
    pub(crate) inbox_peak: usize,
}

/// Where a gateway puts what it measures.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    /// When it began to be measured, ns.
    pub(crate) from_ns: u64,
    /// From the feed to the node, ns; one for each tick.
    pub(crate) node_ns: Percentiles,
    /// From the feed to the last client of the node, ns; one for each tick.
    pub(crate) client_ns: Percentiles,
    /// Ticks to clients.
    pub(crate) deliveries: u64,
}

impl Gateway {
    pub(crate) fn new(
        costs: GatewayCosts,
        wants: Vec<u32>,
        subscribers: Arc<Vec<u32>>,
        topics: Arc<Vec<Vec<u32>>>,
    ) -> Self {
        let (inbox_sender, inbox) = inbox(costs.inbox_bytes);
        Self {
            assembly: Assembly::new(costs.inbox_bytes),
            agenda: Agenda::default(),
            inbox_sender,
            inbox,
            answers: VecDeque::new(),
            pending: BTreeMap::new(),
            wants,
            subscribers,
            topics,
            clients: None,
            catalog: None,
            busy_until_ns: 0,
            wakes_at_ns: None,
            shards_free_ns: 0,
            costs,
            witness: Witness::default(),
            thread_busy_ns: 0,
            shards_busy_ns: 0,
            complete_at_ns: None,
            inbox_peak: 0,
        }
    }

    /// One that begins in its place, with the same clients.
    pub(crate) fn successor(&self) -> Self {
        let (subscribers, topics) = (Arc::clone(&self.subscribers), Arc::clone(&self.topics));
        Self::new(self.costs, self.wants.clone(), subscribers, topics)
    }

    /// The connection is gone, or stands: answers on their way are not waited for.
    pub(crate) fn forget(&mut self) {
        self.pending.retain(|_, due| is_order(due));
        self.answers.retain(|(due, _)| is_order(due));
        self.agenda.forget();
    }

    /// Takes one thing that waits, if there is one, and says what it took of its time, ns.
    pub(crate) fn turn(
        &mut self,
        now_ns: u64,
        truth: &Truth,
        measures: &mut Measures,
        chance: &mut Chance,
    ) -> Option<u64> {
        self.inbox_peak = self.inbox_peak.max(self.inbox.bytes());
        let mut cost_ns = 0;
        let answer_first = chance.happens(0.5);
        if answer_first && let Some((due, answer)) = self.answers.pop_front() {
            self.agenda.answer(&mut self.assembly, due.request, answer);
        } else if let Some(signal) = self.inbox.try_next() {
            cost_ns += self.hear(signal);
        } else if let Some((due, answer)) = self.answers.pop_front() {
            self.agenda.answer(&mut self.assembly, due.request, answer);
        } else {
            return None;
        }
        while let Some(event) = self.assembly.poll_event() {
            cost_ns += self.take(event, now_ns + cost_ns, truth, measures);
        }
        let (wanted, behind) = self.assembly.wanted();
        if behind == 0 && wanted > 0 && wanted == self.witness.complete() {
            self.complete_at_ns.get_or_insert(now_ns + cost_ns);
        } else {
            self.complete_at_ns = None;
        }
        self.thread_busy_ns += cost_ns;
        self.busy_until_ns = now_ns + cost_ns;
        Some(cost_ns)
    }

    fn hear(&mut self, signal: Signal) -> u64 {
        let cost_ns = match signal {
            Signal::Entry(..) => self.costs.entry_ns,
            Signal::Connected | Signal::Disconnected(_) => {
                self.forget();
                0
            }
            _ => 0,
        };
        self.assembly.hear(signal);
        cost_ns
    }

    fn take(&mut self, event: Event, now_ns: u64, truth: &Truth, measures: &mut Measures) -> u64 {
        match event {
            Event::Catalog(catalog) => {
                if !self.topics.is_empty() {
                    self.clients = Some(Clients::new(&catalog, &self.topics, now_ns));
                }
                self.catalog = Some(catalog);
                for bucket in &self.wants {
                    self.assembly.want(*bucket);
                }
            }
            Event::Image { image, .. } => {
                self.witness.image(&image.last, truth);
                if let Some(clients) = &mut self.clients {
                    clients.learn(&image);
                }
            }
            Event::Ticks { ticks, .. } => {
                self.witness.ticks(&ticks, truth);
                let count = ticks.len() as u64;
                let cost_ns = count * self.costs.tick_ns;
                if let Some(clients) = &mut self.clients {
                    clients.relay(&ticks, now_ns);
                }
                self.fan_out(&ticks, now_ns + cost_ns, measures);
                return cost_ns;
            }
            Event::Attached { bucket } => {
                self.witness.attached(bucket);
                self.set_presence(bucket, Presence::Attached, now_ns);
            }
            Event::Detached { bucket } => {
                let catalog = self.catalog.clone();
                let is_of = |id| catalog.as_ref().is_some_and(|it| it.bucket_of(id) == bucket);
                self.witness.detached(bucket, is_of);
                self.set_presence(bucket, Presence::Detached, now_ns);
            }
            Event::Lost { bucket } => {
                let catalog = self.catalog.clone();
                let is_of = |id| catalog.as_ref().is_some_and(|it| it.bucket_of(id) == bucket);
                self.witness.lost(bucket, is_of);
            }
            _ => {}
        }
        0
    }

    /// What shards do with ticks, by what it costs.
    fn fan_out(&mut self, ticks: &[wire::Tick], now_ns: u64, measures: &mut Measures) {
        let at = |id: u32| usize::try_from(id).expect("instruments are counted in u32");
        let mut deliveries = 0;
        for tick in ticks {
            let clients = self.subscribers.get(at(tick.instrument)).copied().unwrap_or(0);
            deliveries += u64::from(clients);
        }
        let cost_ns = deliveries * self.costs.delivery_ns / u64::from(self.costs.shards);
        self.shards_free_ns = self.shards_free_ns.max(now_ns) + cost_ns;
        self.shards_busy_ns += cost_ns;
        if now_ns < measures.from_ns {
            return;
        }
        measures.deliveries += deliveries;
        for tick in ticks {
            measures.node_ns.record(now_ns.saturating_sub(tick.ts_ring_ns), 1);
            measures.client_ns.record(self.shards_free_ns.saturating_sub(tick.ts_ring_ns), 1);
        }
    }

    fn set_presence(&mut self, bucket: u32, presence: Presence, now_ns: u64) {
        if let (Some(clients), Some(catalog)) = (&mut self.clients, &self.catalog) {
            clients.set_presence(catalog.instruments_of(bucket), presence, now_ns);
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            overflowed: self.inbox.dropped(),
            failures: self.agenda.failures(),
            ..self.assembly.counters()
        }
    }

    /// What its clients saw, if they are followed for real.
    pub(crate) const fn clients(&self) -> Option<&Clients> {
        self.clients.as_ref()
    }

    pub(crate) const fn catalog(&self) -> Option<&Arc<Catalog>> {
        self.catalog.as_ref()
    }
}

/// Whether a request is kept by the connection across its losses.
pub(crate) fn is_order(due: &Due) -> bool {
    use bus::assembly::Request;
    matches!(due.request, Request::Subscribe(_) | Request::Unsubscribe(_))
}
