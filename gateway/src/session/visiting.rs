//! The visit: one connection gets everything that is known for it at this moment, in one message, with
//! one send.

use hub::{ConnId, Hub};

use super::frame::{SERVER_HEADER_MAX, write_before};
use super::sessions::{NO_SLOT, Sessions, to_ms};
use super::transport::Sent;
use super::{Face, Fin};
use crate::clock::monotonic_ns;
use crate::native;
use crate::shard::counters::Counter;
use crate::shard::limits::VISITS_PER_SAMPLE;
use crate::sse;

impl Sessions {
    /// Visits the connection that the hub names next.
    #[inline]
    pub(crate) fn visit(&mut self, conn: ConnId, hub: &mut Hub, now_ns: u64) {
        let slot = self.slots.get(conn.0).copied().unwrap_or(NO_SLOT);
        let Some(session) = self.table.get_mut(slot) else {
            // It does not exist any more: nothing can be delivered to it.
            hub.abandon(conn);
            hub.disconnect(conn);
            return;
        };
        self.visit_number = self.visit_number.wrapping_add(1);
        let is_sample = self.visit_number.is_multiple_of(VISITS_PER_SAMPLE);
        let started_ns = if is_sample { monotonic_ns() } else { 0 };

        self.frame.clear();
        self.frame.extend_from_slice(&[0; SERVER_HEADER_MAX]);
        let visit = hub.collect(conn, now_ns, &mut self.frame);
        let payload_bytes = self.frame.len() - SERVER_HEADER_MAX;
        if payload_bytes == 0 {
            hub.commit(conn);
            return;
        }
        let start = match session.face {
            Face::Native(encoding) => {
                let room =
                    self.frame.first_chunk_mut().expect("the room is in front of every frame");
                write_before(room, native::opcode(encoding), Fin::Last, payload_bytes)
            }
            Face::EventStream => sse::frame(&mut self.frame, conn, hub),
            Face::Echo => {
                hub.commit(conn);
                return;
            }
        };
        let message = &self.frame[start..];

        let send_ns = if is_sample { monotonic_ns() } else { 0 };
        let sent = session.transport.send(message);
        if is_sample {
            let ended_ns = monotonic_ns();
            let histograms = &mut self.tally.histograms;
            histograms.send_ns.saturating_record(ended_ns - send_ns);
            histograms.visit_ns.saturating_record(ended_ns - started_ns);
            if let Some(taken_ns) = visit.taken_ns {
                histograms.visit_wait_ns.saturating_record(ended_ns.saturating_sub(taken_ns));
            }
        }
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
