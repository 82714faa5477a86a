//! The visit: one connection gets everything that is known for it at this moment, in one message, with
//! one send.
//!
//! That is [`Sessions::visit`]. With the `io-uring` backend the messages of several visits are gathered
//! before they are sent together: [`group`](super::group). Gathering and what follows from what became
//! of a message are the same.

use std::ops::Range;

use hub::{ConnId, Hub, Visit};

use super::frame::{SERVER_HEADER_MAX, write_before};
use super::sessions::{NO_SLOT, Sessions, to_ms};
use super::transport::Sent;
use super::{Face, Fin};
use crate::clock::monotonic_ns;
use crate::native;
use crate::shard::counters::{Counter, VisitTimes};
use crate::shard::limits::VISITS_PER_SAMPLE;
use crate::sse;

impl Sessions {
    /// Visits connections whose turn it is, at most so many. Returns how many it visited.
    #[inline]
    pub(crate) fn visit_some(&mut self, most: usize, hub: &mut Hub, now_ns: u64) -> usize {
        if self.group.is_some() {
            return self.visit_group(most, hub, now_ns);
        }
        let mut visited = 0;
        while visited < most {
            let Some(conn) = hub.next_visit(now_ns) else { break };
            visited += 1;
            self.visit(conn, hub, now_ns);
        }
        visited
    }

    /// Visits one connection.
    #[inline]
    pub(super) fn visit(&mut self, conn: ConnId, hub: &mut Hub, now_ns: u64) {
        let is_sample = self.next_is_sample();
        let is_traced = self.tally.trace.is_some();
        let started_ns = if is_sample { monotonic_ns() } else { 0 };
        let slot = self.slot_of(conn);
        let Some(session) = self.table.get_mut(slot) else {
            // It does not exist any more: nothing can be delivered to it.
            return hub.disconnect(conn);
        };
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        let (visit, message) = gather(&mut frame, session.face, conn, hub, now_ns);
        if message.is_empty() {
            hub.commit(conn);
        } else {
            let message = &frame[message];
            let send_ns = if is_sample || is_traced { monotonic_ns() } else { 0 };
            let sent = session.transport.send(message);
            if is_sample {
                let ended_ns = monotonic_ns();
                self.tally.histograms.record_visit(VisitTimes {
                    wait_ns: visit.taken_ns.map(|taken_ns| ended_ns.saturating_sub(taken_ns)),
                    visit_ns: ended_ns - started_ns,
                    send_ns: ended_ns - send_ns,
                });
            }
            self.conclude(slot, conn, sent, message, hub, now_ns);
            if let Some(trace) = self.tally.trace.as_mut() {
                trace.visited(conn, send_ns, hub);
            }
        }
        self.frame = frame;
    }

    /// The slot of the session that one of the hub's connections has, or [`NO_SLOT`].
    #[inline]
    pub(super) fn slot_of(&self, conn: ConnId) -> u32 {
        self.slots.get(conn.0).copied().unwrap_or(NO_SLOT)
    }

    /// Whether the next visit is timed.
    #[inline]
    pub(super) const fn next_is_sample(&mut self) -> bool {
        self.visit_number = self.visit_number.wrapping_add(1);
        self.visit_number.is_multiple_of(VISITS_PER_SAMPLE)
    }

    /// Acts upon what became of a visit's message.
    #[inline]
    pub(super) fn conclude(
        &mut self,
        slot: u32,
        conn: ConnId,
        sent: Sent,
        message: &[u8],
        hub: &mut Hub,
        now_ns: u64,
    ) {
        let Some(session) = self.table.get_mut(slot) else { return };
        let counters = &mut self.tally.counters;
        match sent {
            Sent::All => {
                session.sent_ms = to_ms(now_ns);
                counters.count(Counter::Sends);
                counters.add(Counter::BytesSent, message.len());
                hub.commit(conn);
            }
            Sent::Part(bytes) => {
                session.outbound.push(&message[bytes..]);
                counters.count(Counter::Sends);
                counters.count(Counter::SendsShort);
                counters.add(Counter::BytesSent, bytes);
                hub.commit(conn);
                self.block(slot, hub, now_ns);
            }
            Sent::Held => {
                counters.count(Counter::Sends);
                counters.count(Counter::SendsShort);
                counters.add(Counter::BytesSent, message.len());
                hub.commit(conn);
                self.block(slot, hub, now_ns);
            }
            Sent::Blocked => {
                counters.count(Counter::SendsBlocked);
                hub.abandon(conn);
                self.block(slot, hub, now_ns);
            }
            Sent::Lost => {
                hub.abandon(conn);
                self.lose(slot, hub);
            }
        }
    }
}

/// Appends what is new for a connection as one message of its face, and returns where that is. An
/// empty range: there is nothing to be sent.
#[inline]
pub(super) fn gather(
    out: &mut Vec<u8>,
    face: Face,
    conn: ConnId,
    hub: &mut Hub,
    now_ns: u64,
) -> (Visit, Range<usize>) {
    let room = out.len();
    out.extend_from_slice(&[0; SERVER_HEADER_MAX]);
    let payload = out.len();
    let visit = hub.collect(conn, now_ns, out);
    let payload_bytes = out.len() - payload;
    let start = match face {
        Face::Native(encoding) if payload_bytes > 0 => {
            let header = out[room..].first_chunk_mut().expect("the room is in front of it");
            room + write_before(header, native::opcode(encoding), Fin::Last, payload_bytes)
        }
        Face::EventStream if payload_bytes > 0 => sse::frame(out, payload, conn, hub),
        // Each of its events is a frame already.
        Face::Exchange(_) if payload_bytes > 0 => payload,
        Face::Native(_) | Face::EventStream | Face::Exchange(_) | Face::Echo => {
            out.truncate(room);
            room
        }
    };
    (visit, start..out.len())
}
