//! Connections: made, lost, and made again.

use bus::inbox::Signal;

use super::{Line, MS, What, World};
use crate::costs::Costs;

/// How long an attempt to connect into a cut takes to fail.
const CONNECT_TIMEOUT_NS: u64 = 2_000 * MS;

/// After how long without a sign of life both ends take a connection to be dead.
const SILENCE_NS: u64 = 3_000 * MS;

impl World {
    /// A port tries to connect.
    pub(super) fn connect(&mut self, port: usize) {
        if self.links[port].is_up {
            return;
        }
        self.attempts += 1;
        let costs = self.plan.costs;
        let link = &mut self.links[port];
        link.attempt += 1;
        let line = Line { port, generation: link.generation };
        if link.cut_until_ns > self.now_ns {
            return self.at(self.now_ns + CONNECT_TIMEOUT_NS, What::HangUp(line));
        }
        let arrival = self.now_ns + costs.latency_ns;
        if arrival < self.away_until_ns {
            return self.at(arrival + costs.latency_ns, What::HangUp(line));
        }
        // All servers of the bus, and with the connection all that was subscribed.
        let mut done_ns = arrival;
        let orders = self.subscribed[port].len() as u64 / self.servers.len() as u64;
        for server in &mut self.servers {
            let cost_ns = costs.connect_ns + orders * costs.deliver_ns;
            done_ns = done_ns.max(server.serve(arrival, cost_ns, &costs));
        }
        self.at(done_ns, What::Accept(line));
    }

    pub(super) fn accept(&mut self, line: Line) {
        if !self.is_current(line) || self.links[line.port].is_open {
            return;
        }
        if self.now_ns < self.away_until_ns {
            return self.at(self.now_ns + self.plan.costs.latency_ns, What::HangUp(line));
        }
        self.links[line.port].is_open = true;
        for bucket in self.subscribed[line.port].clone() {
            self.store.subscribe(bucket, line.port);
        }
        self.at(self.now_ns + self.plan.costs.latency_ns, What::Connected(line));
    }

    pub(super) fn connected(&mut self, line: Line) {
        if !self.is_current(line) {
            return;
        }
        let link = &mut self.links[line.port];
        link.is_up = true;
        link.attempt = 0;
        if line.port < self.plan.nodes {
            // What was ordered while there was no connection is part of this one now.
            for bucket in self.subscribed[line.port].clone() {
                self.store.subscribe(bucket, line.port);
            }
            self.gateways[line.port].inbox_sender.push(Signal::Connected);
            self.rouse(line.port);
        } else if line.port == self.writer_port() {
            self.outbox.set_connected(true);
            self.turn_writer();
        } else if let Some(publisher) = self.publisher_of(line.port) {
            self.turn_publisher(publisher);
        }
    }

    /// The port knows that it has no connection, and tries again after a while.
    pub(super) fn hang_up(&mut self, line: Line) {
        if !self.is_current(line) {
            return;
        }
        let port = line.port;
        let link = &mut self.links[port];
        let was_up = std::mem::replace(&mut link.is_up, false);
        link.end();
        let attempt = link.attempt.max(1);
        self.store.disconnect(port);
        if was_up {
            if port < self.plan.nodes {
                self.gateways[port].inbox_sender.push(Signal::Disconnected("gone".to_owned()));
            } else if port == self.writer_port() {
                self.outbox.set_connected(false);
            }
            self.fail_all(port);
        }
        let pause_ns = self.pause_ns(attempt);
        self.at(self.now_ns + pause_ns, What::Connect(port));
    }

    /// The server ends a connection; what was on its way is lost.
    pub(super) fn close(&mut self, port: usize) {
        let link = &mut self.links[port];
        let was_open = link.is_open;
        link.is_open = false;
        self.store.disconnect(port);
        if !was_open && !link.is_up {
            return;
        }
        // Nothing of it arrives any more but the news of its end.
        link.end();
        let line = self.line(port);
        self.at(self.now_ns + self.plan.costs.latency_ns, What::HangUp(line));
    }

    /// The process behind a port is gone.
    pub(super) fn drop_connection(&mut self, port: usize) {
        let link = &mut self.links[port];
        link.is_up = false;
        link.attempt = 0;
        link.end();
        self.store.disconnect(port);
    }

    /// Nothing gets through for so long. Both ends notice by silence.
    pub(super) fn cut(&mut self, port: usize, ns: u64) {
        let link = &mut self.links[port];
        link.cut_until_ns = self.now_ns + ns;
        self.last_fault_ns = self.last_fault_ns.max(link.cut_until_ns);
        let silence_ns = SILENCE_NS.min(ns.max(MS));
        if link.is_up || link.is_open {
            link.end();
            self.store.disconnect(port);
            let line = self.line(port);
            self.at(self.now_ns + silence_ns, What::HangUp(line));
        }
    }

    /// What it would cost all ports to connect at once, ns of one server: for reports.
    pub(super) fn storm_ns(&self) -> u64 {
        let costs: &Costs = &self.plan.costs;
        let orders: u64 = self.subscribed.iter().map(|buckets| buckets.len() as u64).sum();
        (costs.connect_ns * self.links.len() as u64 + orders * costs.deliver_ns)
            / self.servers.len() as u64
    }
}
