//! What is different for sessions of the exchange-compatible face: how they begin, what counts against
//! their rate, signs of life, and news of a drain.
//!
//! Everything else is as for the others. What the face reads and writes is in
//! [`exchange`].

use hub::{Format, Hub};
use wire::CloseCode;

use super::bucket::Verdict;
use super::inbound::Unit;
use super::reading::After;
use super::sessions::{Sessions, to_ms};
use super::timing::Spans;
use super::{Face, Fin, Opcode, Phase, append};
use crate::clock::realtime_ns;
use crate::exchange::{self, Handled, Opening, ShutdownEvent};
use crate::shard::counters::Counter;

impl Sessions {
    /// Does what the request that a session was opened for asked for.
    pub(super) fn begin_exchange(&mut self, slot: u32, opening: Opening, hub: &mut Hub) {
        self.tally.counters.count(Counter::ExchangeSessions);
        let Some(session) = self.table.get(slot) else { return };
        if let Some(conn) = session.conn {
            exchange::begin(opening, conn, hub, &self.settings.exchange);
        }
    }

    /// Acts upon a frame of an open session.
    pub(super) fn handle_exchange(
        &mut self,
        slot: u32,
        unit: &Unit,
        input: &mut [u8],
        format: Format,
        hub: &mut Hub,
        now_ns: u64,
    ) -> After {
        let now_ms = to_ms(now_ns);
        let allowance = self.allowance(Face::Exchange(format));
        let spans = Spans::new(&self.settings);
        let Some(session) = self.table.get_mut(slot) else { return After::Next };
        let payload = session.inbound.payload(input, unit);
        if unit.opcode == Opcode::Pong && answers_a_ping(payload, now_ms, spans.pong) {
            session.heard_ms = now_ms;
            return After::Next;
        }
        if allowance.rate() > 0 && session.bucket.take(allowance, 1, now_ms) != Verdict::Accepted {
            return After::Close(CloseCode::CommandFlood, Phase::AwaitingClose);
        }
        match unit.opcode {
            Opcode::Ping => {
                append(&mut self.replies, Opcode::Pong, Fin::Last, payload);
                self.tally.counters.count(Counter::PongsSent);
            }
            Opcode::Pong => {}
            Opcode::Text => {
                let Some(conn) = session.conn else { return After::Next };
                self.reply.clear();
                let settings = &self.settings.exchange;
                let handled =
                    exchange::handle(payload, format, conn, hub, settings, &mut self.reply);
                append(&mut self.replies, Opcode::Text, Fin::Last, &self.reply);
                match handled {
                    Handled::Request => self.tally.counters.count(Counter::Commands),
                    Handled::Malformed => {
                        self.tally.counters.count(Counter::CommandsMalformed);
                        return After::Part(exchange::INVALID_REQUEST);
                    }
                }
            }
            Opcode::Binary | Opcode::Continuation | Opcode::Close => {
                return After::Close(CloseCode::UnsupportedData, Phase::AwaitingClose);
            }
        }
        After::Next
    }

    /// Sends a ping where one is due, and ends what is silent or too old.
    pub(super) fn look_at_exchange(
        &mut self,
        slot: u32,
        spans: &Spans,
        hub: &mut Hub,
        now_ns: u64,
    ) {
        let now_ms = to_ms(now_ns);
        let Some(session) = self.table.get_mut(slot) else { return };
        if now_ms.wrapping_sub(session.heard_ms) >= spans.pong && !session.is_queued {
            return self.close(slot, CloseCode::PongTimeout, Phase::AwaitingClose, hub, now_ns);
        }
        // What a blocked socket does not take would only be kept; it is the ladder's case.
        if !session.is_blocked && now_ms.wrapping_sub(session.pinged_ms) >= spans.ping {
            session.pinged_ms = now_ms;
            self.replies.clear();
            let clock = now_ms.to_string();
            append(&mut self.replies, Opcode::Ping, Fin::Last, clock.as_bytes());
            self.tally.counters.count(Counter::PingsSent);
            self.push_replies(slot, hub, now_ns);
        }
        self.schedule_open(slot, now_ns);
    }

    /// Tells clients that the gateway is about to stop.
    pub(crate) fn announce_shutdown(&mut self, hub: &mut Hub, now_ns: u64) {
        if self.settings.exchange.shutdown_event == ShutdownEvent::Omitted {
            return;
        }
        let mut from = 0;
        while let Some(slot) = self.table.next_used(from) {
            from = slot + 1;
            let Some(session) = self.table.get(slot) else { continue };
            let (Face::Exchange(format), Phase::Open, Some(conn)) =
                (session.face, session.phase, session.conn)
            else {
                continue;
            };
            if session.is_blocked {
                continue;
            }
            self.reply.clear();
            exchange::shutdown(&mut self.reply, format, hub.envelope(conn), realtime_ns());
            self.replies.clear();
            append(&mut self.replies, Opcode::Text, Fin::Last, &self.reply);
            self.push_replies(slot, hub, now_ns);
        }
    }
}

/// Whether a pong is to a ping of ours, which say when they were sent, of so long ago at most.
fn answers_a_ping(payload: &[u8], now_ms: u32, most_ms: u32) -> bool {
    let sent_ms = std::str::from_utf8(payload).ok().and_then(|text| text.parse::<u32>().ok());
    sent_ms.is_some_and(|sent_ms| now_ms.wrapping_sub(sent_ms) <= most_ms)
}
