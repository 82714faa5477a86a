//! The loop of one shard.
//!
//! A turn: what others have to say to the shard; new sessions; then, in groups, a batch of the ring
//! and some visits, so that whoever is visited gets everything known at that moment; sockets that have
//! something to say; timers. Between turns the runtime runs handshakes. When a turn finds nothing to
//! do, the shard sleeps until the ring, a socket, a task or a timer wakes it.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;
use hub::{Grant, Hub};
use sys::{EventFd, PollSet, Readiness, Ready, Token};
use tokio::task::{JoinHandle, spawn_local, yield_now};
use wire::CloseCode;

use super::counters::Counter;
use super::draining::Draining;
use super::intake::Intake;
use super::interest::InterestTable;
use super::limits::{
    ARRIVALS_PER_TURN, BACKLOG, DESCRIPTORS_RESERVED, EVENTS_PER_TURN, GROUPS_PER_TURN, PARK_MAX,
    SHED_PART, SHED_SLOWEST,
};
use super::report::{ConnectionReport, ShardReport};
use super::settings::{ShardSettings, Spin};
use super::start::{Bound, Control, Order, Pressure, ShardLink, ShardSpec};
use super::thrift::Thrift;
use super::trace::Trace;
use crate::clock::{monotonic_ns, saturating_ns};
use crate::http::{self, Front};
use crate::session::{Sessions, Whereabouts};

/// What the poll set calls the shard's eventfd. No session has this slot.
const WAKER: Token = Token { slot: u32::MAX, generation: 0 };

/// A shard on its own thread. Not to be moved to another: its sockets are in that thread's table.
pub(super) struct EventLoop {
    index: usize,
    settings: Arc<ShardSettings>,
    hub: Rc<RefCell<Hub>>,
    front: Rc<Front>,
    sessions: Sessions,
    intake: Option<Intake>,
    /// Who is to know of interest; nobody, if the source has everything anyway.
    interest: Option<Arc<InterestTable>>,
    readiness: Readiness<PollSet>,
    events: Vec<Ready>,
    control: Receiver<Control>,
    waker: Arc<EventFd>,
    /// How many sessions there are, for the shard's handle.
    gauge: Arc<AtomicUsize>,
    accepting: Option<JoinHandle<()>>,
    draining: Option<Draining>,
    /// The slot at which shedding goes on.
    shed_from: u32,
    spinning: Spinning,
    thrift: Thrift,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There may be more to do.
    Busy,
    /// There was nothing to do.
    Idle,
    /// The shard is to end.
    Over,
}

impl EventLoop {
    /// A shard that does not listen yet. To be called on its thread, in its runtime.
    pub(super) fn new(spec: ShardSpec, link: ShardLink) -> io::Result<Self> {
        let ShardSpec { index, settings, tls, routes, publish, .. } = spec;
        let poll = PollSet::new(EVENTS_PER_TURN)?;
        poll.add(&*link.waker, WAKER)?;
        let mut hub = Hub::new(settings.hub);
        hub.use_trade_ids(settings.exchange.trade_ids);
        if settings.access.authenticator().is_some() {
            hub.use_default_grant(Arc::new(Grant::nothing()));
        }
        let hub = Rc::new(RefCell::new(hub));
        let front = Front::new(index, Arc::clone(&settings), routes, Rc::clone(&hub), tls);
        let mut sessions = Sessions::new(index, Arc::clone(&settings), monotonic_ns());
        if let Some(port) = publish {
            sessions.set_publish_port(port);
        }
        Ok(Self {
            index,
            hub,
            front,
            sessions,
            intake: None,
            interest: None,
            readiness: Readiness::new(poll)?,
            events: Vec::with_capacity(EVENTS_PER_TURN),
            control: link.control,
            waker: link.waker,
            gauge: link.sessions,
            accepting: None,
            draining: None,
            shed_from: 0,
            spinning: Spinning::new(settings.spin),
            thrift: Thrift::default(),
            settings,
        })
    }

    /// Opens the listener and begins to accept. `sharers` shards use one table of open files.
    pub(super) fn listen(&mut self, address: SocketAddr, sharers: usize) -> io::Result<Bound> {
        let listener = sys::listen(address, BACKLOG)?;
        let address = listener.local_addr()?;
        let limit = sys::open_files_limit()?;
        let open = sys::count_open_files().unwrap_or(0);
        let room = limit.saturating_sub(open + DESCRIPTORS_RESERVED) / sharers.max(1);
        self.front.limit_connections(room);
        let accepting = http::accept(Rc::clone(&self.front), listener, address);
        self.accepting = Some(spawn_local(accepting));
        Ok(Bound { address, room })
    }

    /// Turns until told to stop.
    pub(super) async fn run(&mut self) {
        loop {
            match self.turn() {
                Turn::Busy => {
                    self.spinning.reset();
                    yield_now().await;
                }
                Turn::Idle if self.spin() => yield_now().await,
                Turn::Idle => self.park().await,
                Turn::Over => break,
            }
        }
        self.stop();
    }

    fn turn(&mut self) -> Turn {
        let started_ns = monotonic_ns();
        let hub = Rc::clone(&self.hub);
        let hub = &mut *hub.borrow_mut();
        self.sessions.tally.counters.count(Counter::Turns);
        self.sessions.begin_turn();

        if self.handle_control(hub, started_ns) == Turn::Over {
            return Turn::Over;
        }
        let arrivals = self.take_arrivals(hub, started_ns);
        // Before any of them is answered: who has an answer is counted.
        self.show_sessions();
        let (records, visits) = self.serve_ticks(hub);
        let now_ns = monotonic_ns();
        let events = self.serve_sockets(hub, now_ns);

        if let Some(table) = &self.interest {
            table.tell(std::iter::from_fn(|| hub.next_interest()));
        }
        let has_made = hub.handle_timers(now_ns);
        self.sessions.handle_time(hub, now_ns);
        self.sessions.close_slow(hub, now_ns);
        if let Some(draining) = self.draining.as_mut() {
            draining.step(&mut self.sessions, hub, now_ns);
        }
        if let Some(trace) = self.sessions.tally.trace.take_if(|trace| trace.is_over(now_ns)) {
            trace.end();
        }
        self.show_sessions();
        self.front.set_sessions(self.sessions.len());
        self.front.begin_turn();

        if self.thrift.is_due(self.sessions.len(), self.front.handshakes(), now_ns) {
            sys::give_back();
        }

        let is_waited_for = has_made || self.sessions.has_queue() || self.front.has_waiting();
        if records + visits + events + arrivals == 0 && !is_waited_for {
            return Turn::Idle;
        }
        let turn_ns = monotonic_ns() - started_ns;
        self.sessions.tally.histograms.turn_ns.saturating_record(turn_ns);
        Turn::Busy
    }

    fn show_sessions(&self) {
        // Relaxed: a number to look at, read by nobody who needs anything else of this turn.
        self.gauge.store(self.sessions.len(), Ordering::Relaxed);
    }

    /// Ring and visits in turn. Returns how many records and visits there were.
    fn serve_ticks(&mut self, hub: &mut Hub) -> (usize, usize) {
        let group = self.settings.visit_connections;
        let (mut records, mut visits) = (0, 0);
        for _ in 0..GROUPS_PER_TURN {
            let now_ns = monotonic_ns();
            let drained = match self.intake.as_mut() {
                Some(intake) => intake.drain(hub, &mut self.sessions.tally, now_ns),
                None => 0,
            };
            records += drained;
            let visited = self.sessions.visit_some(group, hub, now_ns);
            visits += visited;
            if drained == 0 && visited < group {
                break;
            }
        }
        (records, visits)
    }

    fn take_arrivals(&mut self, hub: &mut Hub, now_ns: u64) -> usize {
        let mut arrivals = 0;
        while arrivals < ARRIVALS_PER_TURN
            && self.sessions.may_look_at_credentials()
            && self.sessions.may_open()
            && let Some(arrival) = self.front.next_arrival()
        {
            arrivals += 1;
            let slot = self.sessions.open(arrival, self.readiness.inner(), hub, now_ns);
            if self.draining.is_some() {
                // Its handshake had begun before, and the drain may have passed its slot already.
                self.sessions.close_some(slot, 1, CloseCode::Draining, hub, now_ns);
            }
        }
        arrivals
    }

    /// Reads and flushes what the poll set reports, and those left over from the last turn.
    fn serve_sockets(&mut self, hub: &mut Hub, now_ns: u64) -> usize {
        self.sessions.read_queued(hub, now_ns);
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        if let Err(error) = self.readiness.inner().poll(&mut events, Duration::ZERO) {
            tracing::error!(shard = self.index, %error, "the poll set fails");
        }
        for ready in &events {
            if ready.token == WAKER {
                self.waker.drain();
            } else {
                self.sessions.ready(*ready, hub, now_ns);
            }
        }
        let count = events.len();
        self.events = events;
        count
    }

    fn handle_control(&mut self, hub: &mut Hub, now_ns: u64) -> Turn {
        while let Ok(control) = self.control.try_recv() {
            match control {
                Control::Attach(ring, order) => {
                    hub.handle_order(match order {
                        Order::OfFeed => 0,
                        Order::Own(name) => name,
                    });
                    self.intake = Some(Intake::attach(ring, &self.waker, hub, now_ns));
                }
                Control::Interest(table) => self.interest = Some(table),
                Control::Feed(state) => hub.handle_feed(state, now_ns),
                Control::Review => self.sessions.review_badges(hub, now_ns),
                Control::Replaced(token) => self.sessions.close_replaced(token, hub, now_ns),
                Control::Tls(config) => self.front.use_tls(config),
                Control::Settings(settings) => self.use_settings(settings, hub, now_ns),
                Control::Directory(directory) => self.sessions.use_directory(directory),
                Control::Published(settlement) => self.sessions.settle(&settlement, hub, now_ns),
                Control::Pressure(pressure) => {
                    self.front.press(pressure);
                    if pressure == Pressure::Over {
                        self.shed(hub, now_ns);
                    }
                }
                Control::Drain(window) => self.drain(window, hub, now_ns),
                Control::Report { top, reply } => {
                    // Whoever asked may have given up.
                    let _ = reply.send(self.report(top, hub));
                }
                Control::Trace { order, reply } => {
                    let trace = Trace::begin(self.index, order, reply, hub, now_ns);
                    self.sessions.tally.trace = Some(Box::new(trace));
                }
                Control::Stop => return Turn::Over,
            }
        }
        Turn::Busy
    }

    /// Goes by other settings from now on: those who come, and those who are here, whatever these go by.
    fn use_settings(&mut self, settings: Arc<ShardSettings>, hub: &mut Hub, now_ns: u64) {
        hub.use_limits(&settings.hub);
        self.sessions.use_settings(Arc::clone(&settings), now_ns);
        self.front.use_settings(Arc::clone(&settings));
        self.settings = settings;
    }

    fn drain(&mut self, window: Duration, hub: &mut Hub, now_ns: u64) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        self.front.drain();
        if self.draining.is_none() {
            tracing::info!(shard = self.index, sessions = self.sessions.len(), "draining");
            self.sessions.announce_shutdown(hub, now_ns);
            self.draining = Some(Draining::new(window, self.sessions.len(), now_ns));
        }
    }

    /// Closes some sessions because memory is short: those that do not read, the slowest first, or else a part of
    /// all.
    fn shed(&mut self, hub: &mut Hub, now_ns: u64) {
        let mut slowest = Vec::new();
        hub.slowest(SHED_SLOWEST, now_ns, &mut slowest);
        slowest.retain(|view| view.blocked_ns > 0);
        for view in &slowest {
            self.sessions.close_one(view.conn, CloseCode::Overloaded, hub, now_ns);
        }
        let closed = if slowest.is_empty() {
            let part = self.sessions.len().div_ceil(SHED_PART);
            let from = self.shed_from;
            let next = self.sessions.close_some(from, part, CloseCode::Overloaded, hub, now_ns);
            self.shed_from = next.unwrap_or(0);
            part
        } else {
            slowest.len()
        };
        tracing::warn!(shard = self.index, closed, slow = slowest.len(), "short of memory");
        sys::give_back();
    }

    /// Closes everything, without waiting for anybody.
    fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        self.front.abort_handshakes();
        let hub = Rc::clone(&self.hub);
        let hub = &mut *hub.borrow_mut();
        let everybody = self.sessions.len();
        self.sessions.close_some(0, everybody, CloseCode::GoingAway, hub, monotonic_ns());
        self.gauge.store(0, Ordering::Relaxed);
    }

    /// Sleeps until there is something to do.
    async fn park(&mut self) {
        if self.intake.as_ref().is_some_and(|intake| !intake.prepare()) {
            return;
        }
        self.sessions.tally.counters.count(Counter::Parks);
        let sleep = tokio::time::sleep(self.until_next_timer());
        tokio::select! {
            biased;
            ready = self.readiness.wait() => {
                if let Err(error) = ready {
                    tracing::error!(shard = self.index, %error, "waiting for sockets fails");
                }
            }
            () = self.front.arrived() => {}
            () = sleep => {}
        }
        if let Some(intake) = &self.intake {
            intake.unpark();
        }
    }

    fn until_next_timer(&self) -> Duration {
        let now_ns = monotonic_ns();
        let until = |at_ns: u64| Duration::from_nanos(at_ns.saturating_sub(now_ns));
        [
            self.hub.borrow().next_deadline(),
            self.sessions.next_look_ms().map(|at_ms| at_ms.saturating_mul(1_000_000)),
            self.draining.as_ref().and_then(Draining::next_step_ns),
        ]
        .into_iter()
        .flatten()
        .map(until)
        .fold(PARK_MAX, Duration::min)
    }

    /// Whether the shard looks once more instead of sleeping.
    fn spin(&mut self) -> bool {
        // Without a ring there is nothing to look at.
        let Some(intake) = &self.intake else { return false };
        if !self.spinning.may_go_on() {
            return false;
        }
        // A look at the ring is a load of a line that stays cached until the publisher writes.
        for _ in 0..64 {
            if intake.is_behind() {
                self.spinning.succeeded();
                break;
            }
            std::hint::spin_loop();
        }
        true
    }

    fn report(&self, top: usize, hub: &mut Hub) -> ShardReport {
        let mut counters = self.front.counters();
        counters.add_all(&self.sessions.tally.counters);
        let mut views = Vec::new();
        hub.slowest(top, monotonic_ns(), &mut views);
        let slowest = views.into_iter().map(|view| {
            let Whereabouts { peer, client, unacknowledged_bytes } =
                self.sessions.describe(view.conn);
            ConnectionReport { peer, client, view, unacknowledged_bytes }
        });
        ShardReport {
            index: self.index,
            hub: *hub.counters(),
            counters,
            histograms: self.sessions.tally.histograms.clone(),
            sessions: self.sessions.len(),
            handshakes: self.front.handshakes(),
            blocked: self.sessions.blocked(),
            kept_bytes: self.sessions.kept_bytes(),
            ring: self.intake.as_ref().map(Intake::position),
            slowest: slowest.collect(),
        }
    }
}

/// How long an idle shard looks at the ring before it sleeps: up to the setting, half as long after
/// each spin that was in vain, back to it with the first that was not.
#[derive(Debug)]
struct Spinning {
    /// `u64::MAX`: without end.
    most_ns: u64,
    allowed_ns: u64,
    began_ns: Option<u64>,
}

impl Spinning {
    fn new(spin: Spin) -> Self {
        let most_ns = match spin {
            Spin::Off => 0,
            Spin::Adaptive(most) => saturating_ns(most),
            Spin::Always => u64::MAX,
        };
        Self { most_ns, allowed_ns: most_ns, began_ns: None }
    }

    fn may_go_on(&mut self) -> bool {
        if matches!(self.most_ns, 0 | u64::MAX) {
            return self.most_ns > 0;
        }
        let now_ns = monotonic_ns();
        let began_ns = *self.began_ns.get_or_insert(now_ns);
        if now_ns - began_ns < self.allowed_ns {
            return true;
        }
        // Never quite nothing: a spin that never happens cannot succeed either.
        self.allowed_ns = (self.allowed_ns / 2).max(self.most_ns / 16);
        self.began_ns = None;
        false
    }

    fn succeeded(&mut self) {
        self.allowed_ns = self.most_ns;
    }

    fn reset(&mut self) {
        self.began_ns = None;
    }
}
