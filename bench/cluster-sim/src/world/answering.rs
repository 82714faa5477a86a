//! What the bus's servers do: each request costs time, is done in one moment, and is answered; what is appended goes to
//! everybody subscribed, one after the other.

use bus::THRONE_BUCKET;
use bus::keys;

use super::asking::FRAME_BYTES;
use super::{Line, News, Op, Reply, What, World};
use crate::costs::Costs;
use crate::link::Overflow;

impl World {
    /// A request has reached its server: it waits for its turn.
    pub(super) fn arrive(&mut self, line: Line, id: u64, op: Op) {
        if !self.is_served(line) {
            return;
        }
        let costs = self.plan.costs;
        let at = self.server_of(op_bucket(&op));
        let server = &mut self.servers[at];
        let done_ns = match &op {
            Op::Append { payload, .. } => {
                let bytes = payload.len() as u64;
                let cost_ns = costs.append_ns + Costs::bytes_ns(costs.append_byte_ps, bytes);
                server.append(self.now_ns, cost_ns, &costs)
            }
            Op::Put(values) => {
                let bytes = values.iter().map(|(_, value)| value.len() as u64).sum();
                let each = costs.append_ns + Costs::bytes_ns(costs.append_byte_ps, bytes);
                server.append(self.now_ns, each * values.len() as u64, &costs)
            }
            Op::Values(keys) => {
                let cost_ns = costs.answer_ns * (1 + keys.len() as u64 / 8);
                server.serve(self.now_ns, cost_ns, &costs)
            }
            Op::Pulse(_) | Op::Subscribe(_) | Op::Unsubscribe(_) => {
                server.serve(self.now_ns, costs.deliver_ns, &costs)
            }
            Op::Tail(_) | Op::Read { .. } | Op::Locate { .. } => {
                server.serve(self.now_ns, costs.answer_ns, &costs)
            }
        };
        self.at(done_ns, What::Execute(self.process, line, id, op));
    }

    /// It is done, whether the one who asked is still there or not.
    pub(super) fn execute(&mut self, line: Line, id: u64, op: Op) {
        let at = self.server_of(op_bucket(&op));
        let reply = match op {
            Op::Tail(bucket) => Reply::Tail(self.store.tail(bucket)),
            Op::Append { bucket, expected, payload } => {
                match self.store.append(bucket, expected, &payload, self.now_ns) {
                    Ok(entry) => {
                        let offset = entry.offset;
                        if bucket != THRONE_BUCKET {
                            self.accept_batch(&payload);
                        }
                        // Who appended is answered before those who are subscribed.
                        self.reply(line, id, Reply::Appended(offset), at);
                        for port in self.store.subscribers(bucket) {
                            self.tell(port, News::Entry(bucket, entry.clone()), at);
                        }
                        return;
                    }
                    Err(actual) => Reply::Conflict(actual),
                }
            }
            Op::Read { bucket, after, bytes_max } => {
                Reply::Slice(self.store.read(bucket, after, bytes_max))
            }
            Op::Locate { bucket, since_ns } => Reply::Located(self.store.locate(bucket, since_ns)),
            Op::Values(keys) => Reply::Values(self.store.values(&keys)),
            Op::Put(values) => {
                let is_catalog = values.iter().any(|(key, _)| key == keys::CATALOG);
                values.into_iter().for_each(|(key, value)| self.store.put(key, value));
                if is_catalog {
                    (0..self.plan.nodes).for_each(|node| self.tell(node, News::CatalogChanged, at));
                }
                Reply::Done
            }
            Op::Subscribe(bucket) => {
                if self.is_served(line) {
                    self.store.subscribe(bucket, line.port);
                }
                Reply::Done
            }
            Op::Unsubscribe(bucket) => {
                self.store.unsubscribe(bucket, line.port);
                Reply::Done
            }
            Op::Pulse(payload) => {
                (0..self.plan.nodes).for_each(|node| {
                    self.tell(node, News::Pulse(payload.clone()), at);
                });
                return;
            }
        };
        self.reply(line, id, reply, at);
    }

    fn reply(&mut self, line: Line, id: u64, reply: Reply, at: usize) {
        let bytes = reply_bytes(&reply);
        let cost_ns = Costs::bytes_ns(self.plan.costs.answer_byte_ps, bytes);
        if let Some(at_ns) = self.download(line.port, bytes, cost_ns, at)
            && self.is_current(line)
        {
            self.at(at_ns, What::Answer(line, id, reply));
        }
    }

    fn tell(&mut self, port: usize, news: News, at: usize) {
        let line = self.line(port);
        let bytes = match &news {
            News::Entry(_, entry) => entry.payload.len() as u64,
            News::Pulse(payload) => payload.len() as u64,
            News::CatalogChanged => 0,
        };
        let costs = &self.plan.costs;
        let cost_ns = costs.deliver_ns + Costs::bytes_ns(costs.deliver_byte_ps, bytes);
        if let Some(at_ns) = self.download(port, bytes, cost_ns, at) {
            self.at(at_ns, What::News(line, news));
        }
    }

    /// When so many bytes reach a port, if its connection has room for them.
    fn download(&mut self, port: usize, bytes: u64, cost_ns: u64, at: usize) -> Option<u64> {
        if !self.links[port].is_open {
            return None;
        }
        let costs = self.plan.costs;
        let ready_ns = self.servers[at].serve(self.now_ns, cost_ns, &costs);
        let bytes = bytes + FRAME_BYTES;
        let taken_ns = self.servers[at].send(ready_ns, bytes, &costs);
        let link = &mut self.links[port];
        match link.download(self.now_ns, taken_ns, bytes, &costs, &mut self.chance) {
            // What is sent into a cut is lost with the connection.
            Ok(at_ns) => (link.cut_until_ns <= self.now_ns).then_some(at_ns),
            Err(Overflow) => {
                self.overflows += 1;
                self.close(port);
                None
            }
        }
    }

    fn is_served(&self, line: Line) -> bool {
        self.is_current(line) && self.links[line.port].is_open && self.now_ns >= self.away_until_ns
    }
}

/// Where an operation goes. Values are spread by their first key.
fn op_bucket(op: &Op) -> u32 {
    match op {
        Op::Tail(bucket)
        | Op::Append { bucket, .. }
        | Op::Read { bucket, .. }
        | Op::Locate { bucket, .. }
        | Op::Subscribe(bucket)
        | Op::Unsubscribe(bucket) => *bucket,
        Op::Values(keys) => spread(keys.first()),
        Op::Put(values) => spread(values.first().map(|(key, _)| key)),
        Op::Pulse(_) => 0,
    }
}

fn spread(key: Option<&String>) -> u32 {
    key.map_or(0, |key| key.bytes().fold(0, |sum, byte| sum.wrapping_mul(31) + u32::from(byte)))
}

fn reply_bytes(reply: &Reply) -> u64 {
    let bytes = match reply {
        Reply::Tail(tail) => tail.as_ref().map_or(0, |entry| entry.payload.len()),
        Reply::Slice(slice) => slice.entries.iter().map(|entry| entry.payload.len()).sum(),
        Reply::Values(values) => values.iter().flatten().map(bytes::Bytes::len).sum(),
        _ => 0,
    };
    bytes as u64
}
