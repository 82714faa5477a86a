//! A group of visits whose messages are sent with one system call: the `io-uring` backend.
//!
//! A message is bound when it is gathered, so that the first of a group is sent later than one by one,
//! by what gathering the others takes. What became of each is told to the hub when all are sent. TLS
//! sessions do not take part: their records are made when they are sent.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use hub::{ConnId, Hub};
use sys::SendBatch;

use super::sessions::Sessions;
use super::transport::Sent;
use super::visiting::gather;
use crate::clock::monotonic_ns;
use crate::shard::counters::{Counter, VisitTimes};

/// The sender, and the visits whose messages lie in its arena: at most `visit_connections` messages of
/// `visit_bytes`.
#[derive(Debug)]
pub(super) struct Group {
    sends: SendBatch,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    conn: ConnId,
    slot: u32,
    message: Range<usize>,
    taken_ns: Option<u64>,
}

impl Group {
    /// For groups of so many.
    ///
    /// # Errors
    /// If the kernel forbids it, or has it not.
    pub(super) fn new(connections: usize) -> io::Result<Self> {
        Ok(Self { sends: SendBatch::new(connections)?, waiting: Vec::new() })
    }

    fn sent(&self, index: usize, bytes: usize) -> Sent {
        match self.sends.outcome(index) {
            Ok(sent) if sent == bytes => Sent::All,
            Ok(sent) => Sent::Part(sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
            Err(_) => Sent::Lost,
        }
    }
}

impl Sessions {
    /// Visits connections whose turn it is, at most so many. Returns how many it visited.
    pub(super) fn visit_group(&mut self, most: usize, hub: &mut Hub, now_ns: u64) -> usize {
        let Some(mut group) = self.group.take() else { return 0 };
        let started_ns = monotonic_ns();
        let mut visited = 0;
        while visited < most {
            let Some(conn) = hub.next_visit(now_ns) else { break };
            visited += 1;
            self.gather_for(&mut group, conn, hub, now_ns);
        }
        if !group.waiting.is_empty() {
            self.send_group(&mut group, started_ns, hub, now_ns);
        }
        if group.sends.is_broken() {
            tracing::warn!("the kernel gave up on io_uring; messages are sent one by one");
        } else {
            self.group = Some(group);
        }
        visited
    }

    fn gather_for(&mut self, group: &mut Group, conn: ConnId, hub: &mut Hub, now_ns: u64) {
        let slot = self.slot_of(conn);
        let Some(session) = self.table.get(slot).filter(|session| !session.transport.is_tls())
        else {
            return self.visit(conn, hub, now_ns);
        };
        let arena = group.sends.arena();
        let (visit, message) = gather(arena, session.face, conn, hub, now_ns);
        if message.is_empty() {
            hub.commit(conn);
        } else if session.transport.has_room(message.len()) {
            group.waiting.push(Waiting { conn, slot, message, taken_ns: visit.taken_ns });
        } else {
            arena.truncate(message.start);
            self.conclude(slot, conn, Sent::Blocked, &[], hub, now_ns);
        }
    }

    fn send_group(&mut self, group: &mut Group, started_ns: u64, hub: &mut Hub, now_ns: u64) {
        let send_ns = monotonic_ns();
        let table = &self.table;
        group.sends.send(group.waiting.iter().map(|waiting| {
            let session = table.get(waiting.slot).expect("only TLS sessions end meanwhile");
            (session.transport.socket().as_fd(), waiting.message.clone())
        }));
        let ended_ns = monotonic_ns();
        self.tally.counters.count(Counter::SendBatches);
        let count = u64::try_from(group.waiting.len()).unwrap_or(u64::MAX);
        for (index, waiting) in group.waiting.iter().enumerate() {
            if self.next_is_sample() {
                let wait_ns = |taken_ns| ended_ns.saturating_sub(taken_ns);
                self.tally.histograms.record_visit(VisitTimes {
                    wait_ns: waiting.taken_ns.map(wait_ns),
                    // The group's mean: one of its sends cannot be told from another.
                    visit_ns: (ended_ns - started_ns) / count,
                    send_ns: (ended_ns - send_ns) / count,
                });
            }
            let message = group.sends.message(waiting.message.clone());
            let sent = group.sent(index, message.len());
            self.conclude(waiting.slot, waiting.conn, sent, message, hub, now_ns);
            if let Some(trace) = self.tally.trace.as_mut() {
                trace.visited(waiting.conn, send_ns, hub);
            }
        }
        group.waiting.clear();
        group.sends.arena().clear();
    }
}
