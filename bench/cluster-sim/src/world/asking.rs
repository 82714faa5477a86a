//! What ports ask, and how they take the answers: the shells around the real cores.

use bus::agenda::{self, Due};
use bus::assembly;
use bus::inbox::Signal;
use bus::outbox::{self, Mark};
use bus::sequencer::{self, Appended};
use bus::{Batch, Entry, StoredImage, backoff, keys, limits};

use super::{Line, News, Op, Reply, What, World, time_out_ns};
use crate::gateway::is_order;
use crate::plan::Backoff;
use crate::publishing::Said;

/// What travels beside a payload: frames, subjects, headers.
pub(super) const FRAME_BYTES: u64 = 120;

impl World {
    /// Sends a request; its number.
    fn send(&mut self, port: usize, op: Op) -> u64 {
        self.requests += 1;
        let id = self.requests;
        let line = self.line(port);
        self.at(self.now_ns + time_out_ns(), What::TimeOut(line, id));
        let bytes = FRAME_BYTES + payload_bytes(&op);
        let link = &mut self.links[port];
        if link.cut_until_ns <= self.now_ns {
            let at_ns = link.upload(self.now_ns, bytes, &self.plan.costs, &mut self.chance);
            self.at(at_ns, What::Arrive(line, id, op));
        }
        id
    }

    /// The gateway's turn: one thing after the other, as long as it takes.
    pub(super) fn wake(&mut self, node: usize) {
        let gateway = &mut self.gateways[node];
        gateway.wakes_at_ns = None;
        if gateway.busy_until_ns > self.now_ns {
            return self.rouse(node);
        }
        // Several things that cost nothing are done in one moment.
        for _ in 0..64 {
            let gateway = &mut self.gateways[node];
            let turned =
                gateway.turn(self.now_ns, &self.truth, &mut self.measures, &mut self.chance);
            self.ask(node);
            match turned {
                None => return,
                Some(0) => {}
                Some(_) => break,
            }
        }
        self.rouse(node);
    }

    /// Has the gateway look as soon as it has time.
    pub(super) fn rouse(&mut self, node: usize) {
        let gateway = &mut self.gateways[node];
        let at_ns = gateway.busy_until_ns.max(self.now_ns);
        if gateway.wakes_at_ns.is_none() {
            gateway.wakes_at_ns = Some(at_ns);
            self.at(at_ns, What::Wake(node));
        }
    }

    /// Makes the requests that a reader may make now.
    pub(super) fn ask(&mut self, node: usize) {
        loop {
            let gateway = &mut self.gateways[node];
            let Some(due) = gateway.agenda.next(&mut gateway.assembly) else { return };
            let line = self.line(node);
            if due.pause.is_zero() {
                self.ask_due(line, due);
            } else {
                let pause_ns = nanoseconds(due.pause);
                self.at(self.now_ns + pause_ns, What::Ask(line, due));
            }
        }
    }

    pub(super) fn ask_due(&mut self, line: Line, due: Due) {
        let node = line.port;
        let is_order = is_order(&due);
        if is_order {
            let (bucket, is_wanted) = match due.request {
                assembly::Request::Subscribe(bucket) => (bucket, true),
                assembly::Request::Unsubscribe(bucket) => (bucket, false),
                _ => unreachable!("orders are these two"),
            };
            if is_wanted {
                self.subscribed[node].insert(bucket);
            } else {
                self.subscribed[node].remove(&bucket);
            }
        } else if !self.is_current(line) {
            // Asked on a connection that is no more: nobody waits for it.
            return;
        }
        if !self.links[node].is_up {
            // An order is in force as soon as there is a connection; anything else has failed.
            if is_order {
                self.gateways[node].answers.push_back((due, agenda::Answer::Done));
                return self.rouse(node);
            }
            return self.fail(node, due);
        }
        let history_ns = self.plan.history_ns;
        let op = match &due.request {
            assembly::Request::Catalog => Op::Values(vec![keys::CATALOG.to_owned()]),
            assembly::Request::Subscribe(bucket) => Op::Subscribe(*bucket),
            assembly::Request::Unsubscribe(bucket) => Op::Unsubscribe(*bucket),
            assembly::Request::Images { instruments, .. } => {
                Op::Values(instruments.clone().map(keys::image).collect())
            }
            assembly::Request::Locate { bucket, .. } => {
                let since_ns = self.now_ns.saturating_sub(history_ns);
                Op::Locate { bucket: *bucket, since_ns }
            }
            assembly::Request::Read { bucket, after, .. } => {
                Op::Read { bucket: *bucket, after: *after, bytes_max: limits::SLICE_BYTES }
            }
        };
        let id = self.send(node, op);
        self.gateways[node].pending.insert(id, due);
    }

    fn fail(&mut self, node: usize, due: Due) {
        let gateway = &mut self.gateways[node];
        let draw = self.chance.share();
        if let Some(due) = gateway.agenda.fail(&gateway.assembly, due, draw) {
            let (line, pause_ns) = (self.line(node), nanoseconds(due.pause));
            self.at(self.now_ns + pause_ns, What::Ask(line, due));
        }
        self.ask(node);
    }

    /// A reply has reached its port.
    pub(super) fn answered(&mut self, line: Line, id: u64, reply: Reply) {
        if !self.is_current(line) {
            return;
        }
        if line.port < self.plan.nodes {
            let gateway = &mut self.gateways[line.port];
            if let Some(due) = gateway.pending.remove(&id) {
                let answer = reader_answer(&due, reply);
                gateway.answers.push_back((due, answer));
                self.rouse(line.port);
            }
        } else if line.port == self.writer_port() {
            if let Some(request) = self.writing.remove(&id) {
                self.tell_outbox(writer_answer(&request, reply));
            }
        } else if let Some(publisher) = self.publisher_of(line.port)
            && let Some((bucket, request)) = self.publishing[publisher].remove(&id)
        {
            let now = self.sequencer_now();
            let said = publisher_answer(&request, reply);
            self.publishers[publisher].hear(bucket, said, now);
            self.turn_publisher(publisher);
        }
    }

    pub(super) fn time_out(&mut self, line: Line, id: u64) {
        if line.port < self.plan.nodes {
            if let Some(due) = self.gateways[line.port].pending.remove(&id) {
                self.fail(line.port, due);
            }
        } else if line.port == self.writer_port() {
            if let Some(request) = self.writing.remove(&id) {
                self.tell_outbox(writer_failure(&request));
            }
        } else if let Some(publisher) = self.publisher_of(line.port)
            && let Some((bucket, request)) = self.publishing[publisher].remove(&id)
        {
            self.fail_publisher(publisher, bucket, &request);
            self.turn_publisher(publisher);
        }
    }

    /// The connection has ended: what was asked on it is not answered.
    pub(super) fn fail_all(&mut self, port: usize) {
        if port < self.plan.nodes {
            let gateway = &mut self.gateways[port];
            let orders: Vec<u64> = gateway
                .pending
                .iter()
                .filter(|(_, due)| is_order(due))
                .map(|(id, _)| *id)
                .collect();
            for id in orders {
                let due = gateway.pending.remove(&id).expect("just found");
                gateway.answers.push_back((due, agenda::Answer::Done));
            }
            self.rouse(port);
        } else if port == self.writer_port() {
            for request in std::mem::take(&mut self.writing).into_values() {
                self.tell_outbox(writer_failure(&request));
            }
        } else if let Some(publisher) = self.publisher_of(port) {
            for (bucket, request) in std::mem::take(&mut self.publishing[publisher]).into_values() {
                self.fail_publisher(publisher, bucket, &request);
            }
        }
    }

    fn fail_publisher(&mut self, publisher: usize, bucket: u32, request: &sequencer::Request) {
        let now = self.sequencer_now();
        let said = match request {
            sequencer::Request::Append { .. } => Said::Appended(Appended::Unknown),
            _ => Said::Failed,
        };
        self.publishers[publisher].hear(bucket, said, now);
    }

    fn tell_outbox(&mut self, answer: Option<outbox::Answer>) {
        if let Some(answer) = answer {
            self.outbox.handle(answer, self.now_ns).expect("there is one writer");
        }
        self.turn_writer();
    }

    pub(super) fn wake_writer(&mut self) {
        if self.writer_wakes_at_ns.is_some_and(|at_ns| at_ns <= self.now_ns) {
            self.writer_wakes_at_ns = None;
        }
        self.turn_writer();
    }

    /// The writer asks what it has to ask.
    pub(super) fn turn_writer(&mut self) {
        let port = self.writer_port();
        let now = self.outbox_now();
        while let Some(request) = self.outbox.poll(now) {
            let op = match &request {
                outbox::Request::Tail { bucket } => Op::Tail(*bucket),
                outbox::Request::Append { bucket, expected, payload } => {
                    Op::Append { bucket: *bucket, expected: *expected, payload: payload.clone() }
                }
                outbox::Request::PutCatalog(catalog) => {
                    let bytes = catalog.encode().expect("a catalog that fits");
                    Op::Put(vec![(keys::CATALOG.to_owned(), bytes)])
                }
                outbox::Request::PutImage(stored) => {
                    let key = keys::image(stored.image.definition.id);
                    Op::Put(vec![(key, stored.encode())])
                }
                outbox::Request::Pulse(payload) => Op::Pulse(payload.clone()),
            };
            let id = self.send(port, op);
            if !matches!(request, outbox::Request::Pulse(_)) {
                self.writing.insert(id, request);
            }
        }
        if let Some(at_ns) = self.outbox.wake_at_ns()
            && self.writer_wakes_at_ns.is_none_or(|known| at_ns < known)
        {
            let at_ns = at_ns.max(self.now_ns + 1);
            self.writer_wakes_at_ns = Some(at_ns);
            self.at(at_ns, What::WakeWriter);
        }
    }

    /// A publisher asks what it has to ask.
    pub(super) fn turn_publisher(&mut self, publisher: usize) {
        let port = self.plan.nodes + 1 + publisher;
        let now = self.sequencer_now();
        for (bucket, ids, request) in self.publishers[publisher].poll(now) {
            if !self.links[port].is_up {
                // Nothing was sent, so it certainly was not done.
                let said = match request {
                    sequencer::Request::Append { .. } => Said::Appended(Appended::Refused),
                    _ => Said::Failed,
                };
                self.publishers[publisher].hear(bucket, said, now);
                continue;
            }
            let op = match &request {
                sequencer::Request::Images => {
                    Op::Values(ids.iter().map(|id| keys::image(*id)).collect())
                }
                sequencer::Request::Read { after } => {
                    Op::Read { bucket, after: *after, bytes_max: limits::PAYLOAD_BYTES_MAX }
                }
                sequencer::Request::Append { expected, payload } => {
                    Op::Append { bucket, expected: *expected, payload: payload.clone() }
                }
                sequencer::Request::Store { images } => Op::Put(
                    images.iter().map(|(id, bytes)| (keys::image(*id), bytes.clone())).collect(),
                ),
            };
            let id = self.send(port, op);
            self.publishing[publisher].insert(id, (bucket, request));
        }
        // While the market runs, it asks every millisecond anyhow.
        if self.now_ns >= self.plan.span_ns
            && let Some(at_ns) = self.publishers[publisher].deadline_ns()
        {
            let at_ns = at_ns.max(self.now_ns + super::MS);
            self.at(at_ns, What::WakePublisher(publisher));
        }
    }

    /// News has reached a port. Only readers want any.
    pub(super) fn hear_news(&mut self, line: Line, news: News) {
        if !self.is_current(line) || line.port >= self.plan.nodes {
            return;
        }
        let signal = match news {
            News::Entry(bucket, entry) => Signal::Entry(bucket, entry),
            News::Pulse(payload) => Signal::Pulse(payload),
            News::CatalogChanged => Signal::CatalogChanged,
        };
        self.gateways[line.port].inbox_sender.push(signal);
        self.rouse(line.port);
    }

    /// How long a port waits before this attempt.
    pub(super) fn pause_ns(&mut self, attempt: usize) -> u64 {
        match self.plan.backoff {
            Backoff::Jittered => nanoseconds(backoff(attempt, self.chance.share())),
            Backoff::Plain => nanoseconds(backoff(attempt, 1.0)),
            Backoff::Fixed(ns) => ns,
        }
    }
}

fn payload_bytes(op: &Op) -> u64 {
    let bytes = match op {
        Op::Append { payload, .. } | Op::Pulse(payload) => payload.len(),
        Op::Put(values) => values.iter().map(|(key, value)| key.len() + value.len()).sum(),
        Op::Values(keys) => keys.iter().map(String::len).sum(),
        _ => 0,
    };
    bytes as u64
}

fn reader_answer(due: &Due, reply: Reply) -> agenda::Answer {
    match (&due.request, reply) {
        (assembly::Request::Catalog, Reply::Values(mut values)) => {
            agenda::Answer::Catalog(values.pop().flatten())
        }
        (_, Reply::Values(values)) => agenda::Answer::Images(values),
        (_, Reply::Located(offset)) => agenda::Answer::Located(offset),
        (_, Reply::Slice(slice)) => agenda::Answer::Slice(slice),
        _ => agenda::Answer::Done,
    }
}

fn writer_answer(request: &outbox::Request, reply: Reply) -> Option<outbox::Answer> {
    Some(match (request, reply) {
        (outbox::Request::Tail { bucket }, Reply::Tail(tail)) => {
            outbox::Answer::Tail { bucket: *bucket, tail: tail.as_ref().map(mark) }
        }
        (outbox::Request::Append { bucket, .. }, Reply::Appended(offset)) => {
            outbox::Answer::Appended { bucket: *bucket, offset }
        }
        (outbox::Request::Append { bucket, .. }, Reply::Conflict(actual)) => {
            outbox::Answer::Conflict { bucket: *bucket, actual }
        }
        (outbox::Request::PutCatalog(_), _) => outbox::Answer::CatalogPut { is_stored: true },
        (outbox::Request::PutImage(stored), _) => {
            outbox::Answer::ImagePut { instrument: stored.image.definition.id, is_stored: true }
        }
        (request, reply) => unreachable!("{request:?} was answered with {reply:?}"),
    })
}

fn writer_failure(request: &outbox::Request) -> Option<outbox::Answer> {
    Some(match request {
        outbox::Request::Tail { bucket } | outbox::Request::Append { bucket, .. } => {
            outbox::Answer::Doubt { bucket: *bucket }
        }
        outbox::Request::PutCatalog(_) => outbox::Answer::CatalogPut { is_stored: false },
        outbox::Request::PutImage(stored) => {
            outbox::Answer::ImagePut { instrument: stored.image.definition.id, is_stored: false }
        }
        outbox::Request::Pulse(_) => return None,
    })
}

fn publisher_answer(request: &sequencer::Request, reply: Reply) -> Said {
    match (request, reply) {
        (sequencer::Request::Images, Reply::Values(values)) => {
            let known = values.iter().flatten().map(|bytes| StoredImage::decode(bytes));
            Said::Images(known.map(|image| image.expect("written by one of ours")).collect())
        }
        (_, Reply::Slice(slice)) => Said::Read(slice),
        (_, Reply::Appended(offset)) => Said::Appended(Appended::At(offset)),
        (_, Reply::Conflict(_)) => Said::Appended(Appended::Conflict),
        (sequencer::Request::Store { .. }, _) => Said::Stored,
        (request, reply) => unreachable!("{request:?} was answered with {reply:?}"),
    }
}

/// Who appended an entry.
fn mark(entry: &Entry) -> Mark {
    let (writer, number) = Batch::decode_origin(&entry.payload).expect("written by one of ours");
    Mark { offset: entry.offset, writer, number }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("waits are short")
}
