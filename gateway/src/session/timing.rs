//! What happens to a session because time passes: heartbeats, pings, the end of patience.

use std::time::Duration;

use hub::Hub;
use wire::CloseCode;

use super::sessions::{Sessions, to_ms};
use super::{Face, Fin, Opcode, Phase, Session, append};
use crate::clock::realtime_ns;
use crate::native;
use crate::shard::counters::Counter;
use crate::shard::settings::ShardSettings;

/// The settings' spans in ms.
pub(super) struct Spans {
    heartbeat: u32,
    pub(super) ping: u32,
    pub(super) pong: u32,
    idle: u32,
    /// Whether sessions of the exchange's face, and others, are too old some day.
    is_aging_exchange: bool,
    is_aging: bool,
}

/// Of how long a session may live, what part may be missing, as one in so many.
const AGE_JITTER: u64 = 24;

/// When a session that begins now is as old as it may become. Golden-ratio hashing of the time: sessions that
/// were opened together end apart.
pub(super) fn end_ms(age_max: Duration, now_ns: u64) -> u32 {
    let age_ms = u64::try_from(age_max.as_millis()).unwrap_or(u64::MAX);
    let scattered = now_ns.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let jitter_ms = scattered % (age_ms / AGE_JITTER).max(1);
    to_ms(now_ns.saturating_add((age_ms - jitter_ms).saturating_mul(1_000_000)))
}

/// How long until a time on a clock that wraps; 0: it has passed.
const fn left_ms(until_ms: u32, now_ms: u32) -> u32 {
    match until_ms.wrapping_sub(now_ms) {
        left_ms if left_ms > u32::MAX / 2 => 0,
        left_ms => left_ms,
    }
}

impl Spans {
    pub(super) fn new(settings: &ShardSettings) -> Self {
        let ms = |span: std::time::Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        Self {
            heartbeat: ms(settings.heartbeat).max(1),
            ping: ms(settings.ping_interval).max(1),
            pong: ms(settings.pong_timeout).max(1),
            idle: ms(settings.idle_timeout).max(1),
            is_aging_exchange: settings.exchange.age_max.is_some(),
            is_aging: settings.age_max.is_some(),
        }
    }

    /// Whether a session of this face is too old some day.
    fn is_aging(&self, face: Face) -> bool {
        if matches!(face, Face::Exchange(_)) { self.is_aging_exchange } else { self.is_aging }
    }

    /// In how many ms an open session is to be looked at again.
    fn next_look(&self, session: &Session, now_ms: u32) -> u32 {
        let next = self.next_duty(session, now_ms);
        if self.is_aging(session.face) {
            next.min(left_ms(session.ends_ms, now_ms).max(1))
        } else {
            next
        }
    }

    fn next_duty(&self, session: &Session, now_ms: u32) -> u32 {
        let since = |then: u32| now_ms.wrapping_sub(then);
        if session.face == Face::EventStream {
            // It has nothing to answer to heartbeats with: that it is gone, TCP finds out.
            let due = if session.is_blocked { 0 } else { since(session.sent_ms) };
            return self.heartbeat.saturating_sub(due).max(1);
        }
        let mut next = self.pong.saturating_sub(since(session.heard_ms));
        if matches!(session.face, Face::Exchange(_)) {
            if !session.is_blocked {
                next = next.min(self.ping.saturating_sub(since(session.pinged_ms)));
            }
            return next.max(1);
        }
        // A ping is due an interval after the last sign of life, or after the last ping.
        let quiet = since(session.heard_ms).min(since(session.pinged_ms));
        next = next.min(self.ping.saturating_sub(quiet));
        if matches!(session.face, Face::Native(_)) {
            next = next.min(self.idle.saturating_sub(since(session.subscribed_ms)));
            if !session.is_blocked {
                next = next.min(self.heartbeat.saturating_sub(since(session.sent_ms)));
            }
        }
        next.max(1)
    }
}

impl Sessions {
    /// Has an open session looked at when its next interval ends.
    pub(super) fn schedule_open(&mut self, slot: u32, now_ns: u64) {
        let spans = Spans::new(&self.settings);
        let Some(session) = self.table.get(slot) else { return };
        let now_ms = now_ns / 1_000_000;
        let next = u64::from(spans.next_look(session, to_ms(now_ns)));
        let next = self.badges.next_look(slot, now_ms).map_or(next, |badge| next.min(badge.max(1)));
        self.wheel.schedule(slot, now_ms + next);
    }

    /// Gives an age to sessions that had none so far, counted from now, if there is one now. Those that have one keep
    /// it.
    pub(super) fn begin_to_age(&mut self, old: &ShardSettings, now_ns: u64) {
        let begins = |old: Option<Duration>, new: Option<Duration>| new.filter(|_| old.is_none());
        let native = begins(old.age_max, self.settings.age_max);
        let exchange = begins(old.exchange.age_max, self.settings.exchange.age_max);
        if native.is_none() && exchange.is_none() {
            return;
        }
        let mut from = 0;
        while let Some(slot) = self.table.next_used(from) {
            from = slot + 1;
            let Some(session) = self.table.get_mut(slot) else { continue };
            let is_exchange = matches!(session.face, Face::Exchange(_));
            if let Some(age_max) = if is_exchange { exchange } else { native } {
                // A ns apart, they end apart.
                session.ends_ms = end_ms(age_max, now_ns + u64::from(slot));
            }
        }
    }

    /// When the next session is to be looked at, ms of the shard's clock.
    pub(crate) fn next_look_ms(&self) -> Option<u64> {
        self.wheel.next_ms()
    }

    /// Looks at the sessions whose time has come.
    pub(crate) fn handle_time(&mut self, hub: &mut Hub, now_ns: u64) {
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        self.wheel.expire(now_ns / 1_000_000, &mut due);
        if !due.is_empty() {
            let spans = Spans::new(&self.settings);
            for slot in due.drain(..) {
                self.look_at(slot, &spans, hub, now_ns);
            }
        }
        self.due = due;
    }

    fn look_at(&mut self, slot: u32, spans: &Spans, hub: &mut Hub, now_ns: u64) {
        let now_ms = to_ms(now_ns);
        let Some(session) = self.table.get_mut(slot) else { return };
        if session.phase != Phase::Open {
            let left_ms = left_ms(session.close_by_ms, now_ms);
            if left_ms == 0 {
                self.cut(slot, hub);
            } else {
                self.wheel.schedule(slot, now_ns / 1_000_000 + u64::from(left_ms));
            }
            return;
        }
        let face = session.face;
        if spans.is_aging(face) && left_ms(session.ends_ms, now_ms) == 0 {
            return self.close(slot, CloseCode::Aged, Phase::AwaitingClose, hub, now_ns);
        }
        if self.look_at_badge(slot, hub, now_ns) {
            return;
        }
        if face == Face::EventStream {
            return self.look_at_stream(slot, spans.heartbeat, hub, now_ns);
        }
        if matches!(face, Face::Exchange(_)) {
            return self.look_at_exchange(slot, spans, hub, now_ns);
        }
        let Some(session) = self.table.get_mut(slot) else { return };
        let silent_ms = now_ms.wrapping_sub(session.heard_ms);
        // Who waits to be read has not been silent.
        if silent_ms >= spans.pong && !session.is_queued {
            self.close(slot, CloseCode::PongTimeout, Phase::AwaitingClose, hub, now_ns);
            return;
        }
        if session.conn.is_some_and(|conn| hub.is_subscribed(conn)) {
            session.subscribed_ms = now_ms;
        } else if now_ms.wrapping_sub(session.subscribed_ms) >= spans.idle
            && matches!(session.face, Face::Native(_))
            && !session.is_queued
        {
            self.close(slot, CloseCode::Idle, Phase::AwaitingClose, hub, now_ns);
            return;
        }
        self.replies.clear();
        // What a blocked socket does not take would only be kept; it is the ladder's case.
        if !session.is_blocked {
            if let Face::Native(encoding) = session.face
                && now_ms.wrapping_sub(session.sent_ms) >= spans.heartbeat
            {
                self.reply.clear();
                native::heartbeat(&mut self.reply, encoding, hub, realtime_ns());
                append(&mut self.replies, native::opcode(encoding), Fin::Last, &self.reply);
                self.tally.counters.count(Counter::HeartbeatsSent);
            }
            if silent_ms >= spans.ping && now_ms.wrapping_sub(session.pinged_ms) >= spans.ping {
                session.pinged_ms = now_ms;
                append(&mut self.replies, Opcode::Ping, Fin::Last, &[]);
                self.tally.counters.count(Counter::PingsSent);
            }
            if !self.replies.is_empty() {
                self.push_replies(slot, hub, now_ns);
            }
        }
        self.schedule_open(slot, now_ns);
    }
}
