//! What a run has shown.

use std::fmt;

use bus::Counters;

use super::{MS, World};
use crate::percentiles::Percentiles;
use crate::publishing::Settled;
use crate::truth::Topic;

/// See the module. Utilisations are parts of the time that was measured, of one core each.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Ticks that the bus has accepted.
    pub accepted: u64,
    /// Ticks that the writer dropped.
    pub dropped: u64,
    /// Ticks that readers took.
    pub read: u64,
    /// Ticks that clients got one by one: from real hubs, or by what they cost.
    pub delivered: u64,
    /// Ticks that clients of real hubs were told to have been skipped.
    pub skipped: u64,
    /// What readers' cores counted, added up.
    pub readers: Counters,
    /// Ticks of clients: acknowledged, refused, left open.
    pub published: (u64, u64, u64),
    /// Batches that the writer appended.
    pub batches: u64,
    /// From the feed to a node, ns.
    pub node_ns: Percentiles,
    /// From the feed to the last client of a node, ns.
    pub client_ns: Percentiles,
    /// The busiest server: its cores, as the one that it has least of.
    pub server_busy: f64,
    /// The busiest server's network.
    pub network_busy: f64,
    /// The busiest gateway's thread for the bus.
    pub thread_busy: f64,
    /// The busiest gateway's shards.
    pub shards_busy: f64,
    /// Bytes that left the servers.
    pub sent_bytes: u64,
    /// The most that waited in a server for one node, bytes.
    pub output_peak: u64,
    /// The most that waited in a node's inbox, bytes.
    pub inbox_peak: usize,
    /// Connections that servers closed because too much waited.
    pub overflows: u64,
    /// Attempts to connect.
    pub attempts: u64,
    /// What all connects together cost the busiest core, ns.
    pub storm_ns: u64,
    /// From the end of the last fault, or from the beginning, until every node was complete, ns; none: one is not.
    pub complete_ns: Option<u64>,
    /// Things that happened in the simulation.
    pub events: u64,
    /// What is wrong: nodes that are behind though all is at rest.
    pub behind: Vec<(usize, Topic, u64, u64)>,
}

impl World {
    /// Looks at everything once more, when it has come to rest.
    pub(super) fn report(&self) -> Report {
        let mut behind = Vec::new();
        let catalog = &self.catalog;
        for (node, gateway) in self.gateways.iter().enumerate() {
            let found = gateway.witness.behind(&self.truth, |id| catalog.bucket_of(id));
            behind
                .extend(found.into_iter().map(|(topic, last, newest)| (node, topic, last, newest)));
            self.check_clients(node);
        }
        let published = self.check_published();
        let counters = self.gateways.iter().map(|gateway| gateway.counters());
        let readers = counters.reduce(add).unwrap_or_default();
        let measured_ns = self.now_ns.min(self.plan.span_ns).max(1);
        let part = |busy_ns: u64| float(busy_ns) / float(measured_ns);
        let cores = match self.plan.costs.threading {
            crate::costs::Threading::One => 1.0,
            crate::costs::Threading::Many(cores) => f64::from(cores),
        };
        let server_busy = self.servers.iter().map(|server| match self.plan.costs.threading {
            crate::costs::Threading::One => part(server.append_busy_ns + server.serve_busy_ns),
            crate::costs::Threading::Many(_) => {
                part(server.append_busy_ns).max(part(server.serve_busy_ns) / cores)
            }
        });
        let network = |sent: u64| {
            float(sent) / float(self.plan.costs.network_bytes) / (float(measured_ns) / 1e9)
        };
        let network_busy = self.servers.iter().map(|server| network(server.sent_bytes));
        let mut complete = self.gateways.iter().map(|gateway| gateway.complete_at_ns);
        let complete = complete.try_fold(0, |last: u64, at_ns| Some(last.max(at_ns?)));
        let seen = self.gateways.iter().filter_map(|gateway| Some(gateway.clients()?.seen));
        let (delivered, skipped) =
            seen.fold((0, 0), |(all, skips), it| (all + it.delivered, skips + it.skipped));
        let writer = self.outbox.counters();
        Report {
            accepted: self.truth.ticks,
            dropped: writer.dropped,
            read: self.gateways.iter().map(|gateway| gateway.witness.ticks).sum(),
            delivered: if delivered > 0 { delivered } else { self.measures.deliveries },
            skipped,
            readers,
            published: (published.taken, published.refused, published.uncertain),
            batches: writer.batches,
            node_ns: self.measures.node_ns.clone(),
            client_ns: self.measures.client_ns.clone(),
            server_busy: server_busy.fold(0.0, f64::max),
            network_busy: network_busy.fold(0.0, f64::max),
            thread_busy: self.busiest(|gateway| part(gateway.thread_busy_ns)),
            shards_busy: self.busiest(|gateway| part(gateway.shards_busy_ns)),
            sent_bytes: self.servers.iter().map(|server| server.sent_bytes).sum(),
            output_peak: self.links.iter().map(|link| link.peak_bytes).max().unwrap_or(0),
            inbox_peak: self.gateways.iter().map(|it| it.inbox_peak).max().unwrap_or(0),
            overflows: self.overflows,
            attempts: self.attempts,
            storm_ns: self.storm_ns(),
            complete_ns: complete.map(|at_ns| at_ns.saturating_sub(self.last_fault_ns)),
            events: self.events,
            behind,
        }
    }

    fn busiest(&self, busy: impl Fn(&crate::gateway::Gateway) -> f64) -> f64 {
        self.gateways.iter().map(busy).fold(0.0, f64::max)
    }

    /// Every client of a complete node has everything, or was told what it has not.
    fn check_clients(&self, node: usize) {
        let gateway = &self.gateways[node];
        let (Some(clients), Some(catalog)) = (gateway.clients(), gateway.catalog()) else { return };
        if !self.is_complete(node) || gateway.witness.complete() < gateway.assembly.wanted().0 {
            return;
        }
        for topic in self.truth.topics() {
            if catalog.instruments().len() <= topic.0 as usize {
                continue;
            }
            if let Some((least, most)) = clients.accounted_to(topic) {
                let newest = self.truth.newest(topic);
                assert_eq!((least, most), (newest, newest), "node {node}: clients of {topic:?}");
            }
        }
    }

    /// What was acknowledged to clients that publish is the truth, with the numbers they were told.
    fn check_published(&self) -> Settled {
        let mut all = Settled::default();
        for publisher in &self.publishers {
            for &(instrument, id, seq) in &publisher.acknowledged {
                let is_true = self.truth.has_trade(instrument, seq, id);
                assert!(is_true, "instrument {instrument}: {id} was acknowledged as {seq}");
            }
            all.taken += publisher.settled.taken;
            all.refused += publisher.settled.refused;
            all.uncertain += publisher.settled.uncertain;
        }
        all
    }
}

fn add(a: Counters, b: Counters) -> Counters {
    Counters {
        batches: a.batches + b.batches,
        batches_replayed: a.batches_replayed + b.batches_replayed,
        ticks: a.ticks + b.ticks,
        ticks_replayed: a.ticks_replayed + b.ticks_replayed,
        bytes: a.bytes + b.bytes,
        repeats: a.repeats + b.repeats,
        holes: a.holes + b.holes,
        lost: a.lost + b.lost,
        resets: a.resets + b.resets,
        foreign: a.foreign + b.foreign,
        malformed: a.malformed + b.malformed,
        crowded: a.crowded + b.crowded,
        connections: a.connections + b.connections,
        overflowed: a.overflowed + b.overflowed,
        failures: a.failures + b.failures,
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures to be read by people")]
pub(crate) const fn float(value: u64) -> f64 {
    value as f64
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |ns: u64| float(ns) / float(MS);
        let readers = &self.readers;
        writeln!(
            f,
            "accepted     {} ticks in {} batches, {} dropped by the writer",
            self.accepted, self.batches, self.dropped
        )?;
        writeln!(
            f,
            "read         {} ticks by all nodes, {} of them from the log",
            self.read, readers.ticks_replayed
        )?;
        writeln!(
            f,
            "delivered    {} to clients, {} announced as skipped",
            self.delivered, self.skipped
        )?;
        let (taken, refused, uncertain) = self.published;
        writeln!(f, "published    {taken} acknowledged, {refused} refused, {uncertain} uncertain")?;
        writeln!(
            f,
            "holes        {} found, {} entries dropped by inboxes, {} losses announced",
            readers.holes, readers.overflowed, readers.lost
        )?;
        writeln!(
            f,
            "connections  {} made, {} attempts, {} closed by the bus",
            readers.connections, self.attempts, self.overflows
        )?;
        writeln!(
            f,
            "to nodes     p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            ms(self.node_ns.at(500)),
            ms(self.node_ns.at(990)),
            ms(self.node_ns.max())
        )?;
        writeln!(
            f,
            "to clients   p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            ms(self.client_ns.at(500)),
            ms(self.client_ns.at(990)),
            ms(self.client_ns.max())
        )?;
        writeln!(
            f,
            "busy         servers {:.0} %, network {:.0} %, bus threads {:.0} %, shards {:.0} %",
            100.0 * self.server_busy,
            100.0 * self.network_busy,
            100.0 * self.thread_busy,
            100.0 * self.shards_busy
        )?;
        match self.complete_ns {
            Some(ns) => writeln!(f, "complete     {:.1} ms after the last fault", ms(ns))?,
            None => writeln!(f, "complete     not all nodes are")?,
        }
        write!(f, "behind       {:?}, in {} events", self.behind, self.events)
    }
}
