//! What is different for sessions that are event streams: how they begin, and signs of life.
//!
//! Everything else is as for the others: visits, what waits for the socket, slow readers, closing. What
//! the event stream's face writes is in [`sse`].

use hub::Hub;
use wire::{CloseCode, Encoding};

use super::Phase;
use super::sessions::{Sessions, to_ms};
use crate::clock::realtime_ns;
use crate::native;
use crate::shard::counters::Counter;
use crate::sse::{self, Begun, Opening};

impl Sessions {
    /// Answers the request that a session was opened for.
    pub(super) fn begin_stream(&mut self, slot: u32, opening: Opening, hub: &mut Hub, now_ns: u64) {
        let Some(session) = self.table.get(slot) else { return };
        self.replies.clear();
        let Some(conn) = session.conn else {
            // The hub has no place for it, and it may come back.
            sse::write_stream_head(&mut self.replies, &opening.headers);
            self.push_replies(slot, hub, now_ns);
            return self.close(slot, CloseCode::Overloaded, Phase::Finishing, hub, now_ns);
        };
        self.reply.clear();
        let auth = self.auth_state(slot);
        native::hello(&mut self.reply, Encoding::Json, hub, &self.settings, auth);
        match sse::begin(&mut self.replies, opening, &self.reply, conn, hub, now_ns) {
            Begun::Stream => {
                self.tally.counters.count(Counter::EventStreams);
                self.schedule_open(slot, now_ns);
                self.push_replies(slot, hub, now_ns);
            }
            Begun::ComeBack => {
                self.tally.counters.count(Counter::EventStreams);
                self.push_replies(slot, hub, now_ns);
                self.close(slot, CloseCode::Overloaded, Phase::Finishing, hub, now_ns);
            }
            Begun::Refused => {
                self.tally.counters.count(Counter::EventStreamsRefused);
                self.begin_close(slot, Phase::Finishing, hub, now_ns);
            }
        }
    }

    /// Sends a sign of life where one is due.
    pub(super) fn look_at_stream(
        &mut self,
        slot: u32,
        heartbeat_ms: u32,
        hub: &mut Hub,
        now_ns: u64,
    ) {
        let Some(session) = self.table.get(slot) else { return };
        let quiet_ms = to_ms(now_ns).wrapping_sub(session.sent_ms);
        // What a blocked socket does not take would only be kept; it is the ladder's case.
        if !session.is_blocked && quiet_ms >= heartbeat_ms {
            self.replies.clear();
            sse::write_heartbeat(&mut self.replies, realtime_ns());
            self.tally.counters.count(Counter::HeartbeatsSent);
            self.push_replies(slot, hub, now_ns);
        }
        self.schedule_open(slot, now_ns);
    }
}
