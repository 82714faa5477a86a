//! What a shard's loop and its handshake tasks share. All of it lives on the shard's thread, and is
//! borrowed only between awaits.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use hub::Hub;
use hyper::Uri;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use rustls::ServerConfig;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::budget::Budget;
use super::ration::Ration;
use crate::admission::{Pass, Refused};
use crate::auth::{self, Badge, QueryToken, Rejected};
use crate::clock::monotonic_ns;
use crate::session::Arrival;
use crate::shard::counters::{Counter, Counters};
use crate::shard::limits::{
    ACCEPTS_PER_TURN, HANDSHAKE_PATIENCE, HANDSHAKES_MAX, ROOM_TO_REOPEN, TLS_HANDSHAKES_PER_TURN,
};
use crate::shard::settings::ShardSettings;
use crate::shard::{Access, Answer, Pressure, Routes, ShardQuery};

/// See the module's header.
pub(crate) struct Front {
    pub(crate) index: usize,
    settings: RefCell<Arc<ShardSettings>>,
    routes: Arc<dyn Routes>,
    hub: Rc<RefCell<Hub>>,
    tls: RefCell<Option<Arc<ServerConfig>>>,
    counters: RefCell<Counters>,
    arrivals: RefCell<VecDeque<Arrival>>,
    /// Wakes the loop for arrivals.
    arrived: Notify,
    /// Connections that are accepted before the next turn.
    accept_ration: Ration,
    /// TLS handshakes that begin before the next turn.
    tls_ration: Ration,
    /// What requests may cost before the next turn.
    budget: Budget,
    handshakes: RefCell<BTreeMap<u64, Handshake>>,
    next_handshake: Cell<u64>,
    sessions: Cell<usize>,
    /// How many connections there are descriptors for.
    room: Cell<usize>,
    /// Wakes a full shard's accepting task.
    has_room: Notify,
    /// Wakes the accepting task when there may be more connections than before, or fewer.
    relimited: Notify,
    /// Wakes the accepting task that waits for a handshake to end.
    handshake_ended: Notify,
    is_draining: Cell<bool>,
    /// Whether the process is near its memory's ceiling.
    is_pressed: Cell<bool>,
}

/// A handshake under way.
struct Handshake {
    task: AbortHandle,
    begun: Instant,
}

impl Front {
    pub(crate) fn new(
        index: usize,
        settings: Arc<ShardSettings>,
        routes: Arc<dyn Routes>,
        hub: Rc<RefCell<Hub>>,
        tls: Option<Arc<ServerConfig>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            index,
            settings: RefCell::new(settings),
            routes,
            hub,
            tls: RefCell::new(tls),
            counters: RefCell::new(Counters::default()),
            arrivals: RefCell::default(),
            arrived: Notify::new(),
            accept_ration: Ration::new(ACCEPTS_PER_TURN),
            tls_ration: Ration::new(TLS_HANDSHAKES_PER_TURN),
            budget: Budget::new(),
            handshakes: RefCell::default(),
            next_handshake: Cell::new(0),
            sessions: Cell::new(0),
            room: Cell::new(usize::MAX),
            has_room: Notify::new(),
            relimited: Notify::new(),
            handshake_ended: Notify::new(),
            is_draining: Cell::new(false),
            is_pressed: Cell::new(false),
        })
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.counters.borrow_mut().count(counter);
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters.borrow().clone()
    }

    /// What the credential of a request allows; `None`: it shows none, or none is asked for.
    pub(crate) fn badge(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<Badge>, Rejected> {
        let settings = self.settings();
        let Access::Credentials { authenticator, in_query } = &settings.access else {
            return Ok(None);
        };
        let shown = auth::shown(headers, uri.query().unwrap_or_default(), *in_query);
        let badge = shown.and_then(|credential| {
            credential.map(|credential| authenticator.authenticate(&credential)).transpose()
        });
        match &badge {
            Ok(None) => {}
            Ok(Some(_)) => self.count(Counter::AuthAccepted),
            Err(rejected) => self.count(rejected.counter()),
        }
        badge
    }

    /// The same where nobody is served who shows none, if any is asked for.
    pub(crate) fn needed_badge(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Option<Badge>, Rejected> {
        match self.badge(headers, uri)? {
            None if self.settings().access.authenticator().is_some() => {
                self.count(Rejected::Missing.counter());
                Err(Rejected::Missing)
            }
            badge => Ok(badge),
        }
    }

    /// The badge of a plain request, from which a credential in its query is taken out, if its user may ask so often.
    pub(crate) fn take_badge(&self, request: &mut Parts) -> Result<Option<Badge>, Rejected> {
        let badge = self.needed_badge(&request.headers, &request.uri);
        let badge = badge.and_then(|badge| self.may_request(badge.as_ref()).map(|()| badge));
        if let Access::Credentials { in_query: QueryToken::Accepted, .. } = self.settings().access {
            request.uri = auth::without_credential(&request.uri);
        }
        badge
    }

    fn may_request(&self, badge: Option<&Badge>) -> Result<(), Rejected> {
        let settings = self.settings();
        let (Some(authenticator), Some(badge)) = (settings.access.authenticator(), badge) else {
            return Ok(());
        };
        let may = authenticator.may_request(badge, monotonic_ns());
        if let Err(rejected) = &may {
            self.count(rejected.counter());
        }
        may
    }

    /// The answer to a plain request.
    pub(crate) fn answer(&self, request: &Parts) -> Answer {
        let hub = self.hub.borrow();
        self.routes.answer(request, &ShardQuery { hub: &hub, index: self.index })
    }

    /// What TLS handshakes are made with, if clients must speak TLS.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.borrow().clone()
    }

    /// New connections get this certificate.
    pub(crate) fn use_tls(&self, config: Arc<ServerConfig>) {
        *self.tls.borrow_mut() = Some(config);
    }

    /// New WebSocket connections are refused from now on.
    pub(crate) fn drain(&self) {
        self.is_draining.set(true);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Waits until a TLS handshake may begin.
    pub(crate) async fn tls_turn(&self) {
        self.tls_ration.take(|| self.arrived.notify_one()).await;
    }

    /// Waits until a connection may be accepted.
    pub(crate) async fn accept_turn(&self) {
        self.accept_ration.take(|| self.arrived.notify_one()).await;
    }

    /// Does the work of a request, in a later turn if requests have had their time in this one.
    pub(crate) async fn work<T>(&self, work: impl FnOnce() -> T) -> T {
        let wait = || {
            self.count(Counter::RequestsPaced);
            self.arrived.notify_one();
        };
        self.budget.work(wait, work).await
    }

    /// Whether the next turn is waited for.
    pub(crate) fn has_waiting(&self) -> bool {
        let rations = [&self.accept_ration, &self.tls_ration];
        rations.into_iter().any(Ration::has_waiting) || self.budget.has_waiting()
    }

    /// Lets the next connections, TLS handshakes and requests begin. Told by the loop, every turn.
    pub(crate) fn begin_turn(&self) {
        self.accept_ration.renew();
        self.tls_ration.renew();
        self.budget.renew();
    }

    /// Hands a connection to the loop.
    pub(crate) fn arrive(&self, arrival: Arrival) {
        self.arrivals.borrow_mut().push_back(arrival);
        self.arrived.notify_one();
    }

    pub(crate) fn next_arrival(&self) -> Option<Arrival> {
        self.arrivals.borrow_mut().pop_front()
    }

    /// Waits until there are arrivals.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.borrow().len()
    }

    /// What this shard goes by, at the moment.
    pub(crate) fn settings(&self) -> Arc<ShardSettings> {
        Arc::clone(&self.settings.borrow())
    }

    /// Goes by other settings from now on.
    pub(crate) fn use_settings(&self, settings: Arc<ShardSettings>) {
        *self.settings.borrow_mut() = settings;
        // Room for more, or for fewer than there are.
        self.has_room.notify_one();
        self.relimited.notify_one();
    }

    /// Waits until there may be more connections than before, or fewer.
    pub(crate) async fn relimited(&self) {
        self.relimited.notified().await;
    }

    /// Sets how many connections there are descriptors for.
    pub(crate) fn limit_connections(&self, room: usize) {
        self.room.set(room);
    }

    fn connections_max(&self) -> usize {
        self.settings.borrow().connections_max.min(self.room.get()).max(1)
    }

    /// Told by the loop, every turn.
    pub(crate) fn set_sessions(&self, sessions: usize) {
        if self.sessions.replace(sessions) > sessions && self.has_room_to_reopen() {
            self.has_room.notify_one();
        }
    }

    fn connections(&self) -> usize {
        self.sessions.get() + self.arrivals.borrow().len() + self.handshakes.borrow().len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.connections() >= self.connections_max()
    }

    fn has_room_to_reopen(&self) -> bool {
        let max = self.connections_max();
        self.connections() + (max / ROOM_TO_REOPEN).max(1) <= max
    }

    /// Waits until it is worth listening again.
    pub(crate) async fn room(&self) {
        while !self.has_room_to_reopen() {
            self.has_room.notified().await;
        }
    }

    /// Waits while as many handshakes are under way as there may be and the oldest is still young: a crowd that
    /// comes back is let in at the pace at which handshakes end, and waits in the kernel meanwhile. Whoever holds
    /// handshakes open is displaced instead.
    pub(crate) async fn pace(&self) {
        loop {
            let ended = self.handshake_ended.notified();
            let patience = match self.handshakes.borrow().first_key_value() {
                Some((_, oldest)) if self.handshakes() >= HANDSHAKES_MAX => {
                    HANDSHAKE_PATIENCE.saturating_sub(oldest.begun.elapsed())
                }
                _ => return,
            };
            if patience.is_zero() {
                return;
            }
            self.count(Counter::AcceptPaced);
            tokio::select! {
                () = ended => {}
                () = tokio::time::sleep(patience) => {}
            }
        }
    }

    /// Lets a client's connection begin, if its address may have one more.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Pass, Refused> {
        let pass = self.settings().admission.admit(address, monotonic_ns());
        if let Err(refused) = &pass {
            tracing::debug!(shard = self.index, %address, ?refused, "an address is refused");
            self.count(Counter::AddressesRefused);
        }
        pass
    }

    /// Whether new sessions are refused because memory is short.
    pub(crate) fn is_pressed(&self) -> bool {
        self.is_pressed.get()
    }

    /// Has new sessions refused, or not any more.
    pub(crate) fn press(&self, pressure: Pressure) {
        self.is_pressed.set(pressure != Pressure::None);
    }

    /// Registers a handshake's task, in place of the oldest if there are too many.
    pub(crate) fn begin_handshake(&self, number: u64, task: AbortHandle) {
        let mut handshakes = self.handshakes.borrow_mut();
        let oldest = if handshakes.len() >= HANDSHAKES_MAX { handshakes.pop_first() } else { None };
        handshakes.insert(number, Handshake { task, begun: Instant::now() });
        drop(handshakes);
        if let Some((_, oldest)) = oldest {
            oldest.task.abort();
            self.count(Counter::HandshakesEvicted);
        }
    }

    /// The number of the next handshake.
    pub(crate) fn number_handshake(&self) -> u64 {
        let number = self.next_handshake.get();
        self.next_handshake.set(number + 1);
        number
    }

    /// Ends all handshakes.
    pub(crate) fn abort_handshakes(&self) {
        for (_, handshake) in std::mem::take(&mut *self.handshakes.borrow_mut()) {
            handshake.task.abort();
        }
    }
}

/// A handshake's place among those under way, given back however its task ends.
pub(crate) struct Place {
    front: Rc<Front>,
    number: u64,
}

impl Place {
    pub(crate) const fn new(front: Rc<Front>, number: u64) -> Self {
        Self { front, number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.front.handshakes.borrow_mut().remove(&self.number);
        self.front.handshake_ended.notify_one();
        if self.front.has_room_to_reopen() {
            self.front.has_room.notify_one();
        }
    }
}
