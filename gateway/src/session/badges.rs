//! The credentials of sessions: shown in the request or with `auth`, warned of, expired, revoked, replaced.
//!
//! Only where the gateway asks for credentials has any session something here. What a badge allows is told to
//! the hub when it is accepted; here is when it ends, and whose it is.

use std::collections::HashMap;
use std::sync::Arc;

use hub::{Grant, Hub};
use sys::Token;
use wire::CloseCode;
use wire::command::CommandId;
use wire::reply::{self, AuthState, ErrorCode};

use super::bucket::Allowance;
use super::reading::After;
use super::sessions::{Sessions, to_ms};
use super::{Face, Fin, Opcode, Phase, append};
use crate::auth::{Authenticator, Badge, Rejected, Review, Seat, User};
use crate::clock::{monotonic_ns, realtime_ns, saturating_ns};
use crate::shard::counters::Counter;
use crate::shard::limits::{
    CREDENTIAL_TRIES_MAX, CREDENTIALS_NS_PER_TURN, EXPIRY_NOTICE_MS, EXPIRY_NOTICE_PART,
    MALFORMED_COST,
};
use crate::sse;

/// All of a shard, by slot.
#[derive(Debug, Default)]
pub(super) struct Badges {
    by_slot: HashMap<u32, Held>,
    /// How long credentials of messages were looked at in this turn.
    spent_ns: u64,
}

/// What a session has to show.
#[derive(Debug)]
enum Held {
    /// Nothing that is worth something yet, and not for longer than this, ms of the shard's clock.
    Awaited { until_ms: u64, tries: u8 },
    /// A badge.
    Shown(Box<Shown>),
    /// One that is worth nothing: any more, when the session began, or for want of a place.
    Void(Rejected),
}

#[derive(Debug)]
struct Shown {
    badge: Badge,
    user: User,
    seat: Seat,
    /// When its client is to be told that it expires, ms since 1970-01-01 UTC; `None`: it has been, or never
    /// need be.
    warn_at_ms: Option<u64>,
}

impl Shown {
    fn expires_at_ms(&self) -> Option<u64> {
        self.badge.expires_s.map(|expires_s| expires_s.saturating_mul(1_000))
    }
}

impl Badges {
    /// What a session may publish and see; `None`: it has shown nothing.
    pub(super) fn grant(&self, slot: u32) -> Option<&Arc<Grant>> {
        match self.by_slot.get(&slot)? {
            Held::Awaited { .. } | Held::Void(_) => None,
            Held::Shown(shown) => Some(&shown.badge.role.grant),
        }
    }

    /// Whether a session has yet to show something.
    pub(super) fn is_awaited(&self, slot: u32) -> bool {
        matches!(self.by_slot.get(&slot), Some(Held::Awaited { .. }))
    }

    /// In how many ms a session's credential is to be looked at, by the shard's clock.
    pub(super) fn next_look(&self, slot: u32, now_ms: u64) -> Option<u64> {
        match self.by_slot.get(&slot)? {
            Held::Awaited { until_ms, .. } => Some(until_ms.saturating_sub(now_ms)),
            Held::Shown(shown) => {
                let at_ms = shown.warn_at_ms.or_else(|| shown.expires_at_ms())?;
                Some(at_ms.saturating_sub(realtime_ms()))
            }
            Held::Void(_) => Some(0),
        }
    }
}

fn realtime_ms() -> u64 {
    realtime_ns() / 1_000_000
}

/// What clients are told whose credential is worth nothing any more.
const fn end_of(rejected: Rejected) -> &'static str {
    match rejected {
        Rejected::Expired => "credential expired",
        Rejected::Revoked => "credential revoked",
        Rejected::Crowded => "sessions of this user replace each other",
        _ => CloseCode::NotEntitled.reason(),
    }
}

/// When a client is told that its badge expires.
fn warn_at_ms(badge: &Badge, now_ms: u64) -> Option<u64> {
    let expires_ms = badge.expires_s?.saturating_mul(1_000);
    let life_ms = expires_ms.saturating_sub(now_ms);
    Some(expires_ms.saturating_sub(EXPIRY_NOTICE_MS.min(life_ms / EXPIRY_NOTICE_PART)))
}

impl Sessions {
    fn authenticator(&self) -> Option<Arc<Authenticator>> {
        self.settings.access.authenticator().cloned()
    }

    /// What a client is told of its credentials in its hello.
    pub(super) fn auth_state(&self, slot: u32) -> Option<AuthState> {
        self.settings.access.authenticator()?;
        Some(if self.badges.is_awaited(slot) { AuthState::Required } else { AuthState::Accepted })
    }

    /// A new session: with the badge of its request, or one that is to show a credential in time.
    pub(super) fn begin_badge(
        &mut self,
        slot: u32,
        badge: Option<Badge>,
        hub: &mut Hub,
        now_ns: u64,
    ) {
        let Some(authenticator) = self.settings.access.authenticator() else { return };
        match badge {
            // While its handshake was under way, which may take long, nobody looked at it again.
            Some(badge) => match authenticator.review(&badge) {
                Review::Same => {
                    self.reply.clear();
                    self.accept(slot, badge, hub, now_ns);
                }
                Review::Changed(badge) => {
                    self.reply.clear();
                    self.accept(slot, badge, hub, now_ns);
                }
                Review::Void(rejected) => {
                    self.badges.by_slot.insert(slot, Held::Void(rejected));
                }
            },
            None => {
                let patience_ns = saturating_ns(self.settings.handshake_timeout);
                let until_ms = now_ns.saturating_add(patience_ns) / 1_000_000;
                self.badges.by_slot.insert(slot, Held::Awaited { until_ms, tries: 0 });
            }
        }
    }

    /// Gives a session what its badge allows, in place of what it had. What the hub has to say of that is in
    /// `reply` then.
    fn accept(&mut self, slot: u32, badge: Badge, hub: &mut Hub, now_ns: u64) {
        let (Some(authenticator), Some(token)) = (self.authenticator(), self.table.token(slot))
        else {
            return;
        };
        let seat = Seat { shard: self.shard, token };
        let user = badge.user();
        let before = match self.badges.by_slot.remove(&slot) {
            Some(Held::Shown(before)) => Some(before.user),
            _ => None,
        };
        // Who shows another credential of the same user keeps its place.
        let has_seat = before.as_ref() == Some(&user) || {
            if let Some(before) = before {
                authenticator.registry.leave(&before, seat);
            }
            let sessions_max = badge.role.sessions_max;
            authenticator.registry.enter(user.clone(), sessions_max, seat, now_ns).is_ok()
        };
        let grant = match has_seat {
            true => Arc::clone(&badge.role.grant),
            false => Arc::new(Grant::nothing()),
        };
        if let Some(conn) = self.table.get(slot).and_then(|session| session.conn) {
            hub.entitle(conn, grant, now_ns, &mut self.reply);
        }
        let warn_at_ms = warn_at_ms(&badge, realtime_ms());
        let held = match has_seat {
            true => Held::Shown(Box::new(Shown { badge, user, seat, warn_at_ms })),
            false => Held::Void(Rejected::Crowded),
        };
        self.badges.by_slot.insert(slot, held);
    }

    /// A session has ended.
    pub(super) fn end_badge(&mut self, slot: u32) {
        let Some(Held::Shown(shown)) = self.badges.by_slot.remove(&slot) else { return };
        if let Some(authenticator) = self.authenticator() {
            authenticator.registry.leave(&shown.user, shown.seat);
        }
    }

    /// Another turn begins: credentials and messages have their time again.
    pub(crate) fn begin_turn(&mut self) {
        self.badges.spent_ns = 0;
        self.messages_ns = 0;
        self.openings_ns = 0;
    }

    /// Whether credentials of messages may be looked at in this turn.
    pub(crate) fn may_look_at_credentials(&self) -> bool {
        self.badges.spent_ns < CREDENTIALS_NS_PER_TURN
    }

    /// Whether a session is to be read in a later turn: what it has to say is a credential.
    pub(super) fn reads_later(&self, slot: u32) -> bool {
        !self.may_look_at_credentials() && self.badges.is_awaited(slot)
    }

    /// Checks a credential that a session shows, and writes the answer. Says whether it is the last that it may
    /// show.
    pub(super) fn authenticate(
        &mut self,
        slot: u32,
        id: Option<&CommandId>,
        credential: &str,
        hub: &mut Hub,
        now_ns: u64,
    ) -> After {
        let Some(authenticator) = self.authenticator() else {
            let msg = "auth: this gateway asks for no credentials";
            reply::error(&mut self.reply, id, ErrorCode::NotEntitled, msg);
            return After::Next;
        };
        let begun_ns = monotonic_ns();
        let authenticated = authenticator.authenticate(credential);
        self.badges.spent_ns += monotonic_ns() - begun_ns;
        match authenticated {
            Ok(badge) => {
                self.tally.counters.count(Counter::AuthAccepted);
                self.accept(slot, badge, hub, now_ns);
                self.schedule_open(slot, now_ns);
                // What ends because of it comes before the answer.
                if !self.reply.is_empty() {
                    append(&mut self.replies, Opcode::Text, Fin::Last, &self.reply);
                    self.reply.clear();
                }
                reply::ack(&mut self.reply, id);
                After::Next
            }
            Err(rejected) => {
                self.tally.counters.count(rejected.counter());
                // Guessing is as dear as talking nonsense.
                let allowance = Allowance::of_rate(self.settings.command_rate);
                if let Some(session) = self.table.get_mut(slot) {
                    session.bucket.take(allowance, MALFORMED_COST, to_ms(now_ns));
                }
                let msg = format_args!("auth: {rejected}");
                reply::error(&mut self.reply, id, ErrorCode::NotEntitled, msg);
                let Some(Held::Awaited { tries, .. }) = self.badges.by_slot.get_mut(&slot) else {
                    return After::Next;
                };
                *tries += 1;
                if *tries < CREDENTIAL_TRIES_MAX {
                    return After::Next;
                }
                After::Close(CloseCode::NotEntitled, Phase::AwaitingClose)
            }
        }
    }

    /// Warns, or closes, where the time of a session's credential has come. Says whether it is over.
    pub(super) fn look_at_badge(&mut self, slot: u32, hub: &mut Hub, now_ns: u64) -> bool {
        let mut code = CloseCode::NotEntitled;
        // It may have said it, and wait to be read.
        let is_queued = self.table.get(slot).is_some_and(|session| session.is_queued);
        let end = match self.badges.by_slot.get_mut(&slot) {
            None => return false,
            Some(Held::Awaited { until_ms, .. }) => {
                if is_queued || now_ns / 1_000_000 < *until_ms {
                    return false;
                }
                self.tally.counters.count(Counter::AuthMissing);
                "no credential in time"
            }
            Some(Held::Void(rejected)) => {
                self.tally.counters.count(rejected.counter());
                if *rejected == Rejected::Crowded {
                    code = CloseCode::Replaced;
                }
                end_of(*rejected)
            }
            Some(Held::Shown(shown)) => {
                let now_ms = realtime_ms();
                match shown.expires_at_ms() {
                    Some(expires_ms) if now_ms < expires_ms => {
                        if shown.warn_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                            shown.warn_at_ms = None;
                            self.warn(slot, expires_ms - now_ms, hub, now_ns);
                        }
                        return false;
                    }
                    None => return false,
                    Some(_) => {
                        self.tally.counters.count(Counter::AuthOutOfTime);
                        "credential expired"
                    }
                }
            }
        };
        self.close_because(slot, code, end, Phase::AwaitingClose, hub, now_ns);
        true
    }

    /// Tells a client that its credential expires, where its protocol has a word for that.
    fn warn(&mut self, slot: u32, in_ms: u64, hub: &mut Hub, now_ns: u64) {
        let Some(session) = self.table.get(slot) else { return };
        self.replies.clear();
        match session.face {
            Face::Native(_) => {
                self.reply.clear();
                reply::expiring(&mut self.reply, in_ms);
                append(&mut self.replies, Opcode::Text, Fin::Last, &self.reply);
            }
            Face::EventStream => sse::write_expiring(&mut self.replies, in_ms),
            Face::Exchange(_) | Face::Echo => return,
        }
        self.push_replies(slot, hub, now_ns);
    }

    /// Credentials were read again: whoever has one that is worth nothing any more is closed, and whoever has
    /// one that is worth something else gets that.
    pub(crate) fn review_badges(&mut self, hub: &mut Hub, now_ns: u64) {
        let Some(authenticator) = self.authenticator() else { return };
        let reviewed = self.badges.by_slot.iter().filter_map(|(slot, held)| match held {
            Held::Awaited { .. } | Held::Void(_) => None,
            Held::Shown(shown) => match authenticator.review(&shown.badge) {
                Review::Same => None,
                other => Some((*slot, other)),
            },
        });
        let reviewed: Vec<_> = reviewed.collect();
        for (slot, review) in reviewed {
            match review {
                Review::Same => {}
                Review::Changed(badge) => {
                    self.tally.counters.count(Counter::AuthChanged);
                    self.reply.clear();
                    self.accept(slot, badge, hub, now_ns);
                    self.tell_of_grant(slot, hub, now_ns);
                    self.schedule_open(slot, now_ns);
                }
                Review::Void(rejected) => {
                    self.tally.counters.count(rejected.counter());
                    let (code, phase) = (CloseCode::NotEntitled, Phase::AwaitingClose);
                    self.close_because(slot, code, end_of(rejected), phase, hub, now_ns);
                }
            }
        }
    }

    /// Sends what the hub said about a grant that was replaced.
    fn tell_of_grant(&mut self, slot: u32, hub: &mut Hub, now_ns: u64) {
        let Some(session) = self.table.get(slot) else { return };
        if self.reply.is_empty() || session.phase != Phase::Open {
            return;
        }
        self.replies.clear();
        match session.face {
            Face::Native(_) | Face::Exchange(_) => {
                append(&mut self.replies, Opcode::Text, Fin::Last, &self.reply);
            }
            Face::EventStream => sse::write_revoked(&mut self.replies, &self.reply),
            Face::Echo => return,
        }
        self.push_replies(slot, hub, now_ns);
    }

    /// A session's user has newer ones, and too many.
    pub(crate) fn close_replaced(&mut self, token: Token, hub: &mut Hub, now_ns: u64) {
        if self.table.is_current(token) {
            self.close(token.slot, CloseCode::Replaced, Phase::AwaitingClose, hub, now_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::auth::QueryToken;
    use crate::session::scene::{NOW_NS, Scene};
    use crate::shard::Access;
    use crate::shard::settings::ShardSettings;

    const KEYS: &str = r#"
        revoked-file = "revoked"
        [roles.all]
        see = ["*.*"]
        [[keys]]
        name = "desk"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        role = "all"
    "#;

    #[test]
    fn a_credential_that_is_revoked_during_its_handshake_is_worth_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auth.toml");
        std::fs::write(&file, KEYS).unwrap();
        std::fs::write(folder.path().join("revoked"), "").unwrap();
        let authenticator = Arc::new(Authenticator::open(&file, 0).unwrap());
        let badge = authenticator.authenticate("abc").unwrap();
        let access = Access::Credentials {
            authenticator: Arc::clone(&authenticator),
            in_query: QueryToken::Ignored,
        };
        let settings = ShardSettings { access, ..ShardSettings::default() };
        let mut scene = Scene::new(settings);
        scene.hub.use_default_grant(Arc::new(Grant::nothing()));
        let (_first, before) = scene.open(Some(badge.clone()));
        assert!(scene.sessions.badges.grant(before).is_some());

        std::fs::write(folder.path().join("revoked"), "key desk\n").unwrap();
        authenticator.read_again().unwrap();
        let (mut client, slot) = scene.open(Some(badge));
        let Scene { sessions, hub, .. } = &mut scene;
        assert!(sessions.badges.grant(slot).is_none());
        sessions.handle_time(hub, NOW_NS + 1_000_000_000);
        client.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        assert_eq!(sessions.tally.counters[Counter::AuthRevoked], 1);
        let mut heard = Vec::new();
        let mut part = [0; 4096];
        while !heard.windows(18).any(|text| text == b"credential revoked") {
            let bytes = client.read(&mut part).expect("it is told why");
            assert!(bytes > 0, "it is told why");
            heard.extend_from_slice(&part[..bytes]);
        }
    }
}
