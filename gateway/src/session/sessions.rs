//! The sessions of one shard: opening, sending to, blocking, ending them.
//!
//! Reading, visiting, timers and closing are in files of their own, as further `impl`s of
//! [`Sessions`].

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use hub::{ConnId, Hub, Pages};
use sys::{PollSet, Readable, Ready, Token};
use wire::command::Buffers;
use wire::{CloseCode, Encoding};

use super::badges::Badges;
use super::bucket::Bucket;
use super::group::Group;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::publishing::Publishers;
use super::table::Table;
use super::timing::end_ms;
use super::transport::{Sent, Transport};
use super::wheel::Wheel;
use super::{Arrival, Face, Fin, Opcode, Opening, Phase, Session, append};
use crate::admission::Pass;
use crate::clock::monotonic_ns;
use crate::native;
use crate::proxies::ClientAddress;
use crate::shard::Trace;
use crate::shard::counters::{Counter, Counters, Histograms};
use crate::shard::limits::READ_BYTES_PER_TURN;
use crate::shard::settings::{SendBackend, ShardSettings};

/// All sessions of a shard, and what they share: one buffer to read into, one to write from.
pub(crate) struct Sessions {
    pub(super) settings: Arc<ShardSettings>,
    /// Whose sessions they are.
    pub(super) shard: usize,
    pub(super) table: Table<Session>,
    /// The slot of each of the hub's connections.
    pub(super) slots: Pages<u32>,
    /// Where clients behind proxies are, by slot; without proxies it stays empty.
    clients: Pages<Option<ClientAddress>>,
    /// Places of sessions among the connections of their clients' addresses, by slot; empty where nobody counts.
    passes: HashMap<u32, Pass>,
    pub(super) wheel: Wheel,
    pub(crate) tally: Tally,
    pub(super) read_buffer: Box<[u8]>,
    /// One visit's frame, with room for its header in front.
    pub(super) frame: Vec<u8>,
    /// With the `io-uring` backend: what sends the messages of a group of visits.
    pub(super) group: Option<Box<Group>>,
    /// Frames that answer what one read brought.
    pub(super) replies: Vec<u8>,
    /// One of those answers, before it is framed.
    pub(super) reply: Vec<u8>,
    pub(super) commands: Buffers,
    pub(super) publishers: Publishers,
    pub(super) badges: Badges,
    /// Whom to read again in the next turn, without being told by the poll set.
    pub(super) queue: VecDeque<Token>,
    /// How long messages were acted upon in this turn.
    pub(super) messages_ns: u64,
    /// How long what sessions bring with them was acted upon in this turn, as they began.
    pub(super) openings_ns: u64,
    pub(super) due: Vec<u32>,
    pub(super) blocked: usize,
    pub(super) visit_number: u32,
}

/// Where a connection comes from; nothing of it is known once the connection is gone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whereabouts {
    /// The other end of the socket.
    pub(crate) peer: Option<SocketAddr>,
    /// Where the client is, if the peer is a proxy and said so.
    pub(crate) client: Option<ClientAddress>,
    /// Bytes in the kernel's send buffer.
    pub(crate) unacknowledged_bytes: usize,
}

/// The slot of a connection that has no session.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// What sessions count and measure.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) counters: Counters,
    pub(crate) histograms: Histograms,
    /// The tick that an operator wants to be followed.
    pub(crate) trace: Option<Box<Trace>>,
}

/// The shard's clock as sessions keep it: ms, wrapping after 49 days.
#[expect(clippy::cast_possible_truncation, reason = "time stamps wrap and are only subtracted")]
pub(super) const fn to_ms(now_ns: u64) -> u32 {
    (now_ns / 1_000_000) as u32
}

impl Sessions {
    pub(crate) fn new(shard: usize, settings: Arc<ShardSettings>, now_ns: u64) -> Self {
        let group = match settings.send_backend {
            SendBackend::OneByOne => None,
            SendBackend::Batches => Group::new(settings.visit_connections)
                .inspect_err(|error| {
                    tracing::warn!(%error, "no io_uring here; messages are sent one by one");
                })
                .ok(),
        };
        Self {
            settings,
            shard,
            table: Table::new(),
            slots: Pages::default(),
            clients: Pages::default(),
            passes: HashMap::new(),
            wheel: Wheel::new(now_ns / 1_000_000),
            tally: Tally::default(),
            read_buffer: vec![0; READ_BYTES_PER_TURN].into_boxed_slice(),
            frame: Vec::new(),
            group: group.map(Box::new),
            replies: Vec::new(),
            reply: Vec::new(),
            commands: Buffers::default(),
            publishers: Publishers::default(),
            badges: Badges::default(),
            queue: VecDeque::new(),
            messages_ns: 0,
            openings_ns: 0,
            due: Vec::new(),
            blocked: 0,
            visit_number: 0,
        }
    }

    /// Goes by other settings from now on. Sessions find them when they are looked at next: within half a minute, the
    /// wheel's horizon.
    pub(crate) fn use_settings(&mut self, settings: Arc<ShardSettings>, now_ns: u64) {
        let old = std::mem::replace(&mut self.settings, settings);
        self.begin_to_age(&old, now_ns);
    }

    /// How many there are, those that are closing included.
    pub(crate) const fn len(&self) -> usize {
        self.table.len()
    }

    /// How many wait for their sockets.
    pub(crate) const fn blocked(&self) -> usize {
        self.blocked
    }

    /// Whether there is something to read that the poll set will not tell of.
    pub(crate) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Memory kept for clients that do not take or complete what they are owed or owe.
    pub(crate) fn kept_bytes(&self) -> usize {
        let mut bytes = 0;
        let mut from = 0;
        while let Some(slot) = self.table.next_used(from) {
            from = slot + 1;
            if let Some(session) = self.table.get(slot) {
                bytes += session.inbound.kept_bytes()
                    + session.outbound.kept_bytes()
                    + session.transport.held_bytes();
            }
        }
        bytes
    }

    /// Where a connection of the hub comes from, and how much of what it was sent is unacknowledged.
    pub(crate) fn describe(&self, conn: ConnId) -> Whereabouts {
        let slot = self.slots.get(conn.0).copied().unwrap_or(NO_SLOT);
        let Some(session) = self.table.get(slot) else { return Whereabouts::default() };
        let socket = session.transport.socket();
        Whereabouts {
            peer: sys::peer_address(socket),
            client: self.clients.get(slot).copied().flatten(),
            unacknowledged_bytes: sys::unsent_bytes(socket),
        }
    }

    /// Takes a connection over from its handshake, and says hello. Returns the session's slot.
    pub(crate) fn open(
        &mut self,
        arrival: Arrival,
        poll: &PollSet,
        hub: &mut Hub,
        now_ns: u64,
    ) -> u32 {
        let now_ms = to_ms(now_ns);
        let Arrival { socket, tls, face, opening, early, client, pass, badge } = arrival;
        let age_max = match face {
            Face::Exchange(_) => self.settings.exchange.age_max,
            Face::Native(_) | Face::EventStream | Face::Echo => self.settings.age_max,
        };
        let conn = match face {
            Face::Native(encoding) => Some(hub.connect(encoding, now_ns)),
            Face::EventStream => Some(hub.connect(Encoding::Json, now_ns)),
            Face::Exchange(format) => Some(hub.connect(format, now_ns)),
            Face::Echo => None,
        };
        let refused = matches!(conn, Some(Err(_)));
        let conn = conn.and_then(Result::ok);
        let token = self.table.insert(Session {
            transport: Transport::new(socket, tls),
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            bucket: Bucket::full(self.allowance(face), now_ms),
            conn,
            heard_ms: now_ms,
            sent_ms: now_ms,
            pinged_ms: now_ms,
            subscribed_ms: now_ms,
            close_by_ms: now_ms,
            ends_ms: age_max.map_or(now_ms, |age_max| end_ms(age_max, now_ns)),
            face,
            phase: Phase::Open,
            is_blocked: false,
            is_queued: false,
            is_unread: false,
            is_ending: false,
        });
        let slot = token.slot;
        self.tally.counters.count(Counter::SessionsOpened);
        self.place(slot, client);
        if let Some(pass) = pass {
            self.passes.insert(slot, pass);
        }
        if let Some(client) = client {
            tracing::debug!(%client, slot, ?face, "a session of a client behind a proxy");
        }
        if let Some(conn) = conn {
            self.slots.reach(conn.0, || NO_SLOT);
            self.name(conn, slot);
        }
        let session = self.table.get(slot).expect("inserted above");
        if let Err(error) = poll.add(session.transport.socket(), token) {
            tracing::warn!(%error, "cannot watch a socket");
            self.lose(slot, hub);
            return slot;
        }
        self.begin_badge(slot, badge, hub, now_ns);
        let begun_ns = monotonic_ns();
        match opening {
            Some(Opening::Events(opening)) => {
                self.begin_stream(slot, *opening, hub, now_ns);
                self.openings_ns += monotonic_ns() - begun_ns;
                return slot;
            }
            Some(Opening::Streams(opening)) => self.begin_exchange(slot, *opening, hub),
            None => {}
        }
        if refused {
            self.close(slot, CloseCode::Overloaded, Phase::AwaitingClose, hub, now_ns);
            return slot;
        }
        self.schedule_open(slot, now_ns);
        if let Face::Native(encoding) = face {
            self.reply.clear();
            let auth = self.auth_state(slot);
            native::hello(&mut self.reply, encoding, hub, &self.settings, auth);
            self.replies.clear();
            append(&mut self.replies, Opcode::Text, Fin::Last, &self.reply);
            self.push_replies(slot, hub, now_ns);
        }
        let mut rest: &[u8] = &early;
        while !rest.is_empty() {
            let mut buffer = std::mem::take(&mut self.read_buffer);
            let taken = rest.len().min(buffer.len());
            buffer[..taken].copy_from_slice(&rest[..taken]);
            self.take(slot, &mut buffer[..taken], hub, now_ns);
            self.read_buffer = buffer;
            rest = &rest[taken..];
        }
        self.openings_ns += monotonic_ns() - begun_ns;
        // TLS may hold messages that came with the last bytes of the handshake: no edge tells of them.
        self.read(slot, hub, now_ns);
        slot
    }

    /// Acts upon a report of the poll set.
    pub(crate) fn ready(&mut self, ready: Ready, hub: &mut Hub, now_ns: u64) {
        if !self.table.is_current(ready.token) {
            return;
        }
        let slot = ready.token.slot;
        if ready.writable {
            self.flush(slot, hub, now_ns);
        }
        if ready.readable != Readable::No {
            let Some(session) = self.table.get_mut(slot) else { return };
            session.is_ending |= ready.readable == Readable::ToTheEnd;
            self.read(slot, hub, now_ns);
        }
    }

    /// Sends bytes behind whatever waits, and keeps what is not taken.
    pub(super) fn push(&mut self, slot: u32, bytes: &[u8], hub: &mut Hub, now_ns: u64) {
        let Some(session) = self.table.get_mut(slot) else { return };
        if bytes.is_empty() {
            return;
        }
        if !session.outbound.is_empty() {
            session.outbound.push(bytes);
            return;
        }
        match session.transport.send(bytes) {
            Sent::All => session.sent_ms = to_ms(now_ns),
            Sent::Part(sent) => {
                session.outbound.push(&bytes[sent..]);
                self.block(slot, hub, now_ns);
            }
            Sent::Held => self.block(slot, hub, now_ns),
            Sent::Blocked => {
                session.outbound.push(bytes);
                self.block(slot, hub, now_ns);
            }
            Sent::Lost => self.lose(slot, hub),
        }
    }

    /// Sends what `replies` holds.
    pub(super) fn push_replies(&mut self, slot: u32, hub: &mut Hub, now_ns: u64) {
        let replies = std::mem::take(&mut self.replies);
        self.push(slot, &replies, hub, now_ns);
        self.replies = replies;
    }

    /// Notes that the socket takes no more for now. The poll set tells when it does again.
    pub(super) fn block(&mut self, slot: u32, hub: &mut Hub, now_ns: u64) {
        let Some(session) = self.table.get_mut(slot) else { return };
        if session.is_blocked {
            return;
        }
        session.is_blocked = true;
        self.blocked += 1;
        if let Some(conn) = session.conn {
            hub.handle_blocked(conn, now_ns);
        }
    }

    /// Sends what waits; when all of it is out, the session is as good as any other again.
    fn flush(&mut self, slot: u32, hub: &mut Hub, now_ns: u64) {
        let Some(session) = self.table.get_mut(slot) else { return };
        if !session.is_blocked {
            return;
        }
        match session.transport.flush() {
            Sent::All => {}
            Sent::Lost => return self.lose(slot, hub),
            _ => return,
        }
        while !session.outbound.is_empty() {
            let pending = session.outbound.pending();
            let bytes = pending.len();
            match session.transport.send(pending) {
                Sent::All => session.outbound.advance(bytes),
                Sent::Part(sent) => return session.outbound.advance(sent),
                Sent::Held => return session.outbound.advance(bytes),
                Sent::Blocked => return,
                Sent::Lost => return self.lose(slot, hub),
            }
        }
        session.is_blocked = false;
        session.sent_ms = to_ms(now_ns);
        self.blocked -= 1;
        if let Some(conn) = session.conn {
            hub.handle_writable(conn, now_ns);
        }
        self.finish_if_flushed(slot);
        self.resume_reading(slot);
    }

    /// Ends a session whose connection is gone.
    pub(super) fn lose(&mut self, slot: u32, hub: &mut Hub) {
        if let Some(session) = self.table.get(slot)
            && session.phase == Phase::Open
        {
            self.tally.counters.count(match session.face {
                // It has no other way to end.
                Face::EventStream => Counter::CloseByPeer,
                Face::Native(_) | Face::Exchange(_) | Face::Echo => Counter::ConnectionsLost,
            });
        }
        self.remove(slot, hub);
    }

    /// Forgets a session and closes its socket.
    pub(super) fn remove(&mut self, slot: u32, hub: &mut Hub) {
        self.forget(slot, hub);
        self.publishers.forget(slot);
        self.passes.remove(&slot);
        self.end_badge(slot);
        self.wheel.cancel(slot);
        let Some(session) = self.table.remove(slot) else { return };
        self.blocked -= usize::from(session.is_blocked);
        self.tally.counters.count(Counter::SessionsClosed);
    }

    /// Has the hub forget a session: nothing more is delivered to it.
    pub(super) fn forget(&mut self, slot: u32, hub: &mut Hub) {
        let Some(session) = self.table.get_mut(slot) else { return };
        if let Some(conn) = session.conn.take() {
            self.name(conn, NO_SLOT);
            hub.disconnect(conn);
        }
    }

    /// Notes where the client of a slot is. The last one's of the slot must not stay.
    fn place(&mut self, slot: u32, client: Option<ClientAddress>) {
        if client.is_some() {
            self.clients.reach(slot, || None);
        }
        if let Some(known) = self.clients.get_mut(slot) {
            *known = client;
        }
    }

    /// Notes the slot of one of the hub's connections.
    fn name(&mut self, conn: ConnId, slot: u32) {
        if let Some(known) = self.slots.get_mut(conn.0) {
            *known = slot;
        }
    }
}
