//! How sessions end: close frames both ways, the end of our side, and what happens to those that do not
//! play along.
//!
//! A close frame is best effort: it stands behind the rest of a frame that the client is in the middle
//! of, and a client that does not read never sees it. What is certain is the counter, and that the
//! socket is gone when the grace is over.

use hub::{ConnId, Hub};
use wire::CloseCode;

use super::sessions::{NO_SLOT, Sessions, to_ms};
use super::{Face, Phase, frame};
use crate::clock::saturating_ns;
use crate::exchange::{self, Farewell};
use crate::shard::counters::Counter;
use crate::sse;

impl Sessions {
    /// Closes a session with a code. `phase` says what is expected of the client then:
    /// [`Phase::AwaitingClose`] its close frame, [`Phase::Finishing`] nothing intelligible.
    pub(super) fn close(
        &mut self,
        slot: u32,
        code: CloseCode,
        phase: Phase,
        hub: &mut Hub,
        now_ns: u64,
    ) {
        self.close_because(slot, code, code.reason(), phase, hub, now_ns);
    }

    /// The same, with words that say more than those of the code.
    pub(super) fn close_because(
        &mut self,
        slot: u32,
        code: CloseCode,
        reason: &'static str,
        phase: Phase,
        hub: &mut Hub,
        now_ns: u64,
    ) {
        let Some(session) = self.table.get(slot) else { return };
        if session.phase != Phase::Open {
            return;
        }
        let counter = counter_of(code);
        match session.face {
            Face::EventStream => {
                self.tally.counters.count(counter);
                self.replies.clear();
                sse::write_close(&mut self.replies, code, reason);
                self.begin_close(slot, Phase::Finishing, hub, now_ns);
            }
            Face::Native(_) | Face::Echo => {
                let farewell = Farewell { code: code.code(), reason, counter };
                self.part(slot, farewell, phase, hub, now_ns);
            }
            Face::Exchange(_) => {
                self.part(slot, exchange::farewell(code, reason, counter), phase, hub, now_ns);
            }
        }
    }

    /// Closes a WebSocket session with a code and a reason.
    pub(super) fn part(
        &mut self,
        slot: u32,
        farewell: Farewell,
        phase: Phase,
        hub: &mut Hub,
        now_ns: u64,
    ) {
        if self.table.get(slot).is_none_or(|session| session.phase != Phase::Open) {
            return;
        }
        self.tally.counters.count(farewell.counter);
        self.replies.clear();
        frame::append_close(&mut self.replies, farewell.code, farewell.reason);
        self.begin_close(slot, phase, hub, now_ns);
    }

    /// Answers the client's close frame with its own code.
    pub(super) fn answer_close(
        &mut self,
        slot: u32,
        code: Option<u16>,
        hub: &mut Hub,
        now_ns: u64,
    ) {
        let Some(session) = self.table.get_mut(slot) else { return };
        match session.phase {
            Phase::Open => {
                self.tally.counters.count(Counter::CloseByPeer);
                let payload = code.map(u16::to_be_bytes);
                let payload = payload.as_ref().map_or(&[][..], |code| &code[..]);
                self.replies.clear();
                frame::append(&mut self.replies, frame::Opcode::Close, frame::Fin::Last, payload);
                self.begin_close(slot, Phase::Finishing, hub, now_ns);
            }
            Phase::AwaitingClose => {
                session.phase = Phase::Finishing;
                self.finish_if_flushed(slot);
            }
            Phase::Finishing | Phase::Finished => {}
        }
    }

    pub(super) fn begin_close(&mut self, slot: u32, phase: Phase, hub: &mut Hub, now_ns: u64) {
        self.forget(slot, hub);
        let grace_ns = saturating_ns(self.settings.close_grace);
        let close_by_ns = now_ns.saturating_add(grace_ns);
        let Some(session) = self.table.get_mut(slot) else { return };
        session.phase = phase;
        session.close_by_ms = to_ms(close_by_ns);
        self.resume_reading(slot);
        self.wheel.schedule(slot, close_by_ns / 1_000_000);
        self.push_replies(slot, hub, now_ns);
        self.finish_if_flushed(slot);
    }

    /// Ends our side once everything is sent and nothing more is to come.
    pub(super) fn finish_if_flushed(&mut self, slot: u32) {
        let Some(session) = self.table.get_mut(slot) else { return };
        if session.phase == Phase::Finishing && !session.is_blocked {
            session.phase = Phase::Finished;
            session.transport.finish();
        }
    }

    /// The grace of a closing session is over.
    pub(super) fn cut(&mut self, slot: u32, hub: &mut Hub) {
        let Some(session) = self.table.get_mut(slot) else { return };
        if session.is_blocked {
            self.tally.counters.count(Counter::Resets);
        }
        // Whoever has not ended its side by now is not waited for: what is unsent is thrown away.
        let _ = sys::reset_on_close(session.transport.socket());
        self.remove(slot, hub);
    }

    /// Carries out what the hub decided about clients that are too slow.
    pub(crate) fn close_slow(&mut self, hub: &mut Hub, now_ns: u64) {
        while let Some((conn, code)) = hub.next_close() {
            self.close_one(conn, code, hub, now_ns);
        }
    }

    /// Closes the session of one of the hub's connections.
    pub(crate) fn close_one(&mut self, conn: ConnId, code: CloseCode, hub: &mut Hub, now_ns: u64) {
        match self.slots.get(conn.0).copied() {
            Some(slot) if slot != NO_SLOT => {
                self.close(slot, code, Phase::AwaitingClose, hub, now_ns);
            }
            _ => hub.disconnect(conn),
        }
    }

    /// Closes the next open sessions from slot `from` on, at most `count`. Returns where to go on;
    /// `None`: there are no more.
    pub(crate) fn close_some(
        &mut self,
        from: u32,
        count: usize,
        code: CloseCode,
        hub: &mut Hub,
        now_ns: u64,
    ) -> Option<u32> {
        let mut from = from;
        for _ in 0..count {
            let slot = self.table.next_used(from)?;
            self.close(slot, code, Phase::AwaitingClose, hub, now_ns);
            from = slot + 1;
        }
        self.table.next_used(from)
    }
}

const fn counter_of(code: CloseCode) -> Counter {
    match code {
        CloseCode::ProtocolError | CloseCode::UnsupportedData => Counter::CloseProtocol,
        CloseCode::InvalidPayload => Counter::CloseInvalidText,
        CloseCode::MessageTooBig => Counter::CloseTooBig,
        CloseCode::CommandFlood => Counter::CloseFlood,
        CloseCode::SlowConsumer => Counter::CloseSlow,
        CloseCode::PongTimeout => Counter::CloseTimeout,
        CloseCode::Idle => Counter::CloseIdle,
        CloseCode::Aged => Counter::CloseAged,
        CloseCode::Overloaded => Counter::CloseOverloaded,
        CloseCode::NotEntitled => Counter::CloseNotEntitled,
        CloseCode::Replaced => Counter::CloseReplaced,
        CloseCode::Draining | CloseCode::GoingAway => Counter::CloseDrain,
        _ => Counter::CloseOther,
    }
}
