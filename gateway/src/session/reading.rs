//! What clients send: reading it within a budget, and acting upon it.
//!
//! Messages have so much time of a turn; who finds it used up is read in a later one, so that a crowd that subscribes at
//! once delays itself and not the ticks. Answers to everything that one read brought leave in one send. A client that does not take its
//! answers is not read: its next ones would have to be kept.

use hub::Hub;
use wire::reply::{self, ErrorCode};
use wire::{CloseCode, Encoding};

use super::bucket::{Allowance, Verdict};
use super::frame::parse_close;
use super::inbound::{Unit, Units};
use super::sessions::{Sessions, to_ms};
use super::transport::Received;
use super::{Face, Fin, Opcode, Phase, append};
use crate::clock::monotonic_ns;
use crate::exchange::Farewell;
use crate::native;
use crate::shard::counters::Counter;
use crate::shard::limits::{
    ECHO_BYTES_MAX, MALFORMED_COST, MESSAGES_NS_PER_TURN, OUTBOUND_BYTES_MAX,
};

/// What is to be done with a session after a unit of its input.
pub(super) enum After {
    /// The next one.
    Next,
    /// Close it.
    Close(CloseCode, Phase),
    /// Close it with what its face says.
    Part(Farewell),
    /// Answer its close frame.
    AnswerClose(Option<u16>),
}

impl Sessions {
    pub(super) fn allowance(&self, face: Face) -> Allowance {
        match face {
            Face::Exchange(_) => Allowance::without_bursts(self.settings.exchange.message_rate),
            Face::Native(_) | Face::EventStream | Face::Echo => {
                Allowance::of_rate(self.settings.command_rate)
            }
        }
    }

    /// Reads what a session's share of a turn allows.
    pub(super) fn read(&mut self, slot: u32, hub: &mut Hub, now_ns: u64) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let mut budget = buffer.len();
        while budget > 0 {
            let Some(session) = self.table.get(slot) else { break };
            if session.is_unread {
                break;
            }
            if !self.has_time_for_messages() {
                self.tally.counters.count(Counter::ReadsPaced);
                self.queue_again(slot);
                break;
            }
            if self.reads_later(slot) {
                self.queue_again(slot);
                break;
            }
            let Some(session) = self.table.get_mut(slot) else { break };
            let begun_ns = monotonic_ns();
            let (bytes, is_more_there) = match session.transport.receive(&mut buffer[..budget]) {
                Received::Bytes(bytes) => (bytes, true),
                // No edge will announce an end that was announced already.
                Received::Last(bytes) => (bytes, bytes > 0 && session.is_ending),
                Received::End | Received::Lost => {
                    self.lose(slot, hub);
                    break;
                }
            };
            if bytes > 0 {
                self.tally.counters.add(Counter::BytesReceived, bytes);
                self.take(slot, &mut buffer[..bytes], hub, now_ns);
            }
            // Decryption is part of it, where it gave nothing, too.
            self.messages_ns += monotonic_ns() - begun_ns;
            if !is_more_there {
                break;
            }
            // A read that gave no bytes has used up its share of another kind.
            budget = if bytes == 0 { 0 } else { budget - bytes };
            if budget == 0 {
                self.queue_again(slot);
            }
        }
        self.read_buffer = buffer;
    }

    /// Reads those whose share of the last turn did not suffice.
    pub(crate) fn read_queued(&mut self, hub: &mut Hub, now_ns: u64) {
        for _ in 0..self.queue.len() {
            // Those who are not read now stay before those who come meanwhile.
            if !self.has_time_for_messages() {
                break;
            }
            let Some(token) = self.queue.pop_front() else { break };
            if !self.table.is_current(token) {
                continue;
            }
            if let Some(session) = self.table.get_mut(token.slot) {
                session.is_queued = false;
            }
            self.read(token.slot, hub, now_ns);
        }
    }

    /// Whether messages may be acted upon in this turn.
    const fn has_time_for_messages(&self) -> bool {
        self.messages_ns < MESSAGES_NS_PER_TURN
    }

    /// Whether another session may begin in this turn, with all that it brings.
    pub(crate) const fn may_open(&self) -> bool {
        self.openings_ns < MESSAGES_NS_PER_TURN
    }

    fn queue_again(&mut self, slot: u32) {
        let Some(session) = self.table.get_mut(slot) else { return };
        if session.is_queued || session.is_unread {
            return;
        }
        session.is_queued = true;
        self.tally.counters.count(Counter::ReadsRequeued);
        let token = self.table.token(slot).expect("looked up above");
        self.queue.push_back(token);
    }

    /// The client has taken its answers: it is read again.
    pub(super) fn resume_reading(&mut self, slot: u32) {
        let Some(session) = self.table.get_mut(slot) else { return };
        if std::mem::take(&mut session.is_unread) {
            self.queue_again(slot);
        }
    }

    /// Acts upon received bytes.
    pub(super) fn take(&mut self, slot: u32, input: &mut [u8], hub: &mut Hub, now_ns: u64) {
        let mut at = 0;
        self.replies.clear();
        loop {
            let Some(session) = self.table.get_mut(slot) else { return };
            let (units, message_max) = match session.face {
                // It has said everything in its request.
                Face::EventStream => return,
                Face::Native(_) | Face::Exchange(_) => {
                    (Units::Messages, wire::command::COMMAND_BYTES_MAX)
                }
                Face::Echo => (Units::Fragments, ECHO_BYTES_MAX),
            };
            if matches!(session.phase, Phase::Finishing | Phase::Finished) {
                return;
            }
            let unit = match session.inbound.next(input, &mut at, units, message_max) {
                Ok(Some(unit)) => unit,
                Ok(None) => break,
                Err(fault) => {
                    self.push_replies(slot, hub, now_ns);
                    self.close(slot, fault.close_code(), Phase::Finishing, hub, now_ns);
                    return;
                }
            };
            // Whole frames are signs of life: bytes of one that never ends are not. Of a client of the
            // exchange's protocol only a pong counts.
            if !matches!(session.face, Face::Exchange(_)) {
                session.heard_ms = to_ms(now_ns);
            }
            self.tally.counters.count(Counter::FramesReceived);
            match self.handle(slot, &unit, input, hub, now_ns) {
                After::Next => {}
                After::Close(code, phase) => {
                    self.push_replies(slot, hub, now_ns);
                    self.close(slot, code, phase, hub, now_ns);
                    self.replies.clear();
                }
                After::Part(farewell) => {
                    self.push_replies(slot, hub, now_ns);
                    self.part(slot, farewell, Phase::AwaitingClose, hub, now_ns);
                    self.replies.clear();
                }
                After::AnswerClose(code) => {
                    self.push_replies(slot, hub, now_ns);
                    self.answer_close(slot, code, hub, now_ns);
                    return;
                }
            }
        }
        self.push_replies(slot, hub, now_ns);
        let Some(session) = self.table.get_mut(slot) else { return };
        if session.outbound.pending().len() > OUTBOUND_BYTES_MAX && session.phase == Phase::Open {
            session.is_unread = true;
            self.tally.counters.count(Counter::ReadsPaused);
        }
    }

    fn handle(
        &mut self,
        slot: u32,
        unit: &Unit,
        input: &mut [u8],
        hub: &mut Hub,
        now_ns: u64,
    ) -> After {
        let Some(session) = self.table.get(slot) else { return After::Next };
        let (face, phase) = (session.face, session.phase);
        let allowance = self.allowance(face);
        if let Face::Exchange(format) = face
            && phase == Phase::Open
            && unit.opcode != Opcode::Close
        {
            return self.handle_exchange(slot, unit, input, format, hub, now_ns);
        }
        let Some(session) = self.table.get_mut(slot) else { return After::Next };
        let publishers = match self.settings.publish.is_on() {
            true => native::Publishers::Some,
            false => native::Publishers::None,
        };
        let takes_binary =
            publishers == native::Publishers::Some && face == Face::Native(Encoding::Sbe);
        let standing = match self.badges.is_awaited(slot) {
            true => native::Standing::Stranger,
            false => native::Standing::Admitted,
        };
        let payload = session.inbound.payload(input, unit);
        match unit.opcode {
            Opcode::Close => {
                return match parse_close(payload) {
                    Ok(code) => After::AnswerClose(code),
                    Err(fault) => After::Close(fault.close_code(), Phase::Finishing),
                };
            }
            // What a client says after we have closed is not answered any more.
            _ if phase != Phase::Open => {}
            Opcode::Ping | Opcode::Pong => {
                match session.bucket.take(allowance, 1, to_ms(now_ns)) {
                    Verdict::Accepted if unit.opcode == Opcode::Ping => {
                        append(&mut self.replies, Opcode::Pong, Fin::Last, payload);
                        self.tally.counters.count(Counter::PongsSent);
                    }
                    Verdict::Accepted => {}
                    // RFC 6455 wants the latest ping answered at least; the next one that is in time is.
                    Verdict::Refused => self.tally.counters.count(Counter::CommandsRefused),
                    Verdict::Flood => {
                        return After::Close(CloseCode::CommandFlood, Phase::AwaitingClose);
                    }
                }
            }
            data if face == Face::Echo => append(&mut self.replies, data, unit.fin, payload),
            Opcode::Binary if !takes_binary => {
                return After::Close(CloseCode::UnsupportedData, Phase::AwaitingClose);
            }
            Opcode::Text | Opcode::Binary => {
                self.reply.clear();
                let mut after = After::Next;
                match session.bucket.take(allowance, 1, to_ms(now_ns)) {
                    Verdict::Accepted => {
                        let Some(conn) = session.conn else { return After::Next };
                        let command = native::parse(payload, unit.opcode, &mut self.commands);
                        let out = &mut self.reply;
                        let handled =
                            native::handle(command, publishers, standing, conn, hub, now_ns, out);
                        after = self.finish_command(slot, handled, hub, now_ns);
                    }
                    Verdict::Refused => {
                        self.tally.counters.count(Counter::CommandsRefused);
                        let rate = allowance.rate();
                        let msg = format_args!("at most {rate} commands a second");
                        reply::error(&mut self.reply, None, ErrorCode::TooManyCommands, msg);
                    }
                    Verdict::Flood => {
                        return After::Close(CloseCode::CommandFlood, Phase::AwaitingClose);
                    }
                }
                // What was published is answered later.
                if !self.reply.is_empty() {
                    append(&mut self.replies, Opcode::Text, Fin::Last, &self.reply);
                }
                return after;
            }
            Opcode::Continuation => {
                return After::Close(CloseCode::UnsupportedData, Phase::AwaitingClose);
            }
        }
        After::Next
    }

    /// Counts a command, and does what the hub does not do.
    fn finish_command(
        &mut self,
        slot: u32,
        handled: native::Handled,
        hub: &mut Hub,
        now_ns: u64,
    ) -> After {
        let mut after = After::Next;
        let allowance = Allowance::of_rate(self.settings.command_rate);
        match handled {
            native::Handled::Malformed => {
                self.tally.counters.count(Counter::CommandsMalformed);
                if let Some(session) = self.table.get_mut(slot) {
                    session.bucket.take(allowance, MALFORMED_COST, to_ms(now_ns));
                }
                return after;
            }
            native::Handled::Command => {}
            native::Handled::Auth(id, token) => {
                after = self.authenticate(slot, id.as_ref(), &token, hub, now_ns);
            }
            native::Handled::Publish(publish) => self.publish(slot, &publish, now_ns),
        }
        self.tally.counters.count(Counter::Commands);
        after
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::session::scene::{NOW_NS, Scene};
    use crate::shard::settings::ShardSettings;

    /// `{"op":"ping"}`, masked with zeros.
    const PING: &[u8] = b"\x81\x8d\0\0\0\0{\"op\":\"ping\"}";

    fn hears_pong(client: &mut TcpStream) -> bool {
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (mut heard, mut part) = (Vec::new(), [0; 4096]);
        while !heard.windows(6).any(|text| text == b"\"pong\"") {
            let bytes = client.read(&mut part).unwrap_or(0);
            if bytes == 0 {
                return false;
            }
            heard.extend_from_slice(&part[..bytes]);
        }
        true
    }

    #[test]
    fn who_comes_when_the_time_for_messages_is_used_up_is_read_in_a_later_turn_in_order() {
        let mut scene = Scene::new(ShardSettings::default());
        let mut clients = [(); 3].map(|()| scene.open(None));
        let Scene { sessions, hub, .. } = &mut scene;
        let waiting = |sessions: &Sessions| -> Vec<u32> {
            sessions.queue.iter().map(|token| token.slot).collect()
        };
        let [first, second, third] = [0, 1, 2].map(|at: usize| clients[at].1);
        for (client, _) in &mut clients {
            client.write_all(PING).unwrap();
        }
        sessions.begin_turn();
        assert!(!sessions.has_queue());
        sessions.messages_ns = MESSAGES_NS_PER_TURN;
        sessions.read(first, hub, NOW_NS);
        sessions.read(second, hub, NOW_NS);
        assert_eq!(waiting(sessions), [first, second]);
        assert_eq!(sessions.tally.counters[Counter::ReadsPaced], 2);
        // So is everybody, and nobody loses the place.
        sessions.read_queued(hub, NOW_NS);
        sessions.read(third, hub, NOW_NS);
        sessions.read(first, hub, NOW_NS);
        assert_eq!(waiting(sessions), [first, second, third]);
        assert_eq!(sessions.tally.counters[Counter::Commands], 0);
        // Nobody is taken for silent who waits to be heard.
        sessions.handle_time(hub, NOW_NS + 3_600_000_000_000);
        for slot in [first, second, third] {
            assert_eq!(sessions.table.get(slot).unwrap().phase, Phase::Open);
        }
        // With the next turns it is theirs, however slow this machine is.
        for _ in 0..16 {
            sessions.begin_turn();
            sessions.read_queued(hub, NOW_NS);
        }
        assert_eq!(sessions.tally.counters[Counter::Commands], 3);
        assert!(!sessions.has_queue());
        for (client, _) in &mut clients {
            assert!(hears_pong(client), "it is answered");
        }
    }
}
