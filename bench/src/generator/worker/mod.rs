//! A worker: one process, one thread, one poll set, its share of the load's connections.
//!
//! It is a process of its own because the limit on open files is per process, and because its CPU
//! time can then be told from everyone else's. It opens its connections ([`ramp`]), says that it is
//! ready, measures when told, drains, reports and ends; the parent is spoken to by [`control`].

mod control;
mod ramp;
mod recovery;
mod slow;

use std::io;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use wire::Encoding;

use self::control::Control;
use self::ramp::Ramp;
use self::recovery::Comeback;
use self::slow::SlowLinks;
use crate::clock::realtime_ns;
use crate::cpu::{self, CpuUse};
use crate::generator::connection::{
    BUFFER_BYTES, Closure, Connection, Phase, Reading, Shared, Turn,
};
use crate::generator::dialect::Subscriptions;
use crate::generator::plan::{
    AfterClose, Connections, Held, Note, Order, Plan, Progress, WorkerReport,
};
use crate::generator::tally::{Cohort, Tally, Window};
use crate::generator::template::TemplateError;
use crate::generator::tls::{TlsConnector, TlsError};
use crate::latency::Latency;

/// Why a worker cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WorkerError {
    #[error("the parent's plan cannot be read")]
    Plan(#[source] serde_json::Error),
    #[error("cannot pin to core {0}: {1}")]
    Pin(usize, nix::Error),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("poll: {0}")]
    Poll(#[from] io::Error),
}

/// The token of the parent's orders; connections have their index.
const CONTROL: Token = Token(usize::MAX - 1);

/// How often the parent hears of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

struct Slot {
    connection: Option<Connection>,
    started: Instant,
    attempts: u32,
    has_opened: bool,
    has_received: bool,
}

/// See the module's documentation.
struct Worker {
    plan: Plan,
    poll: Poll,
    shared: Shared,
    buffer: Vec<u8>,
    slots: Vec<Slot>,
    ramp: Ramp,
    /// Connections whose turn ended before their socket was empty.
    unfinished: Vec<usize>,
    stage: Stage,
    connections: Connections,
    handshake: Latency,
    comeback: Comeback,
    slow_links: Option<SlowLinks>,
    ramp_ns: u64,
}

/// What the worker is doing. CPU readings are taken at the window's edges.
#[derive(Clone, Copy)]
enum Stage {
    Opening,
    Ready,
    Waiting(Window),
    Measuring { window: Window, before: CpuUse, stalls: Stalls },
    Measured { cpu: CpuUse, wall_ns: u64, stalls: Stalls, window: Window },
}

/// Which of the stall's two moments have passed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stalls {
    Ahead,
    Now,
    Over,
}

/// Runs a worker to its end; the parent is at standard input and output.
pub(crate) fn run() -> Result<(), WorkerError> {
    let mut control = Control::new();
    let plan = control.plan()?;
    let result = Worker::new(plan, &control).and_then(|mut worker| worker.run(&mut control));
    if let Err(error) = &result {
        control.say(&Note::Fatal(error.to_string()));
    }
    result
}

impl Worker {
    fn new(plan: Plan, control: &Control) -> Result<Self, WorkerError> {
        if let Some(core) = plan.cpu {
            cpu::pin(&[core]).map_err(|error| WorkerError::Pin(core, error))?;
        }
        let poll = Poll::new()?;
        control.register(&poll, CONTROL)?;
        let tls = match plan.target.scheme {
            crate::generator::target::Scheme::Ws => None,
            crate::generator::target::Scheme::Wss => {
                Some(TlsConnector::new(&plan.target, plan.root.as_deref())?)
            }
        };
        let subprotocol = plan.subprotocol.as_deref();
        let encoding = subprotocol.and_then(Encoding::from_subprotocol).unwrap_or(Encoding::Sbe);
        let shared =
            Shared::new(Tally::new(encoding, plan.arrivals), Subscriptions::new(&plan)?, tls);
        let wanted = (plan.connections + plan.workers - 1 - plan.worker) / plan.workers;
        let rate = plan.ramp.rate * (wanted as f64) / (plan.connections as f64);
        let ramp = Ramp::new(wanted, rate, plan.ramp.concurrency);
        Ok(Self {
            poll,
            shared,
            buffer: vec![0; BUFFER_BYTES],
            slots: Vec::with_capacity(usize::try_from(wanted).unwrap_or(0)),
            ramp,
            unfinished: Vec::new(),
            stage: Stage::Opening,
            connections: Connections { wanted, ..Connections::default() },
            handshake: Latency::default(),
            comeback: Comeback::default(),
            slow_links: plan.slow.map(SlowLinks::new),
            ramp_ns: 0,
            plan,
        })
    }

    fn run(&mut self, control: &mut Control) -> Result<(), WorkerError> {
        let began = Instant::now();
        let mut events = Events::with_capacity(1024);
        let mut progress_at = began + PROGRESS_EVERY;
        loop {
            let wait = self.wait(progress_at);
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                _ => {}
            }
            // Orders first: what is to be measured may have come while this process did not run.
            if events.iter().any(|event| event.token() == CONTROL) {
                match control.order() {
                    Some(Order::Measure(window)) => {
                        self.expect(window);
                        control.say(&Note::Heard);
                    }
                    Some(Order::Enough) => self.ramp.give_up(),
                    Some(Order::Cut) => self.cut(),
                    Some(Order::Finish) | None => return self.finish(control),
                }
            }
            for event in events.iter().filter(|event| event.token() != CONTROL) {
                self.turn(event.token().0, Some(event));
            }
            for index in std::mem::take(&mut self.unfinished) {
                self.turn(index, None);
            }
            self.open_more(began);
            self.grant();
            self.advance();
            if matches!(self.stage, Stage::Opening) && self.is_ready(began) {
                self.ramp_ns = ns(began.elapsed());
                self.stage = Stage::Ready;
                control.say(&Note::Ready(self.progress()));
            }
            if Instant::now() >= progress_at {
                progress_at = Instant::now() + PROGRESS_EVERY;
                control.say(&Note::Progress(self.progress()));
            }
        }
    }

    /// How long to sleep at most.
    fn wait(&self, progress_at: Instant) -> Duration {
        if !self.unfinished.is_empty() {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let mut wait = progress_at.saturating_duration_since(now);
        if let Some(at) = self.ramp.next_at() {
            wait = wait.min(at.saturating_duration_since(now));
        }
        if let Some(links) = &self.slow_links {
            wait = wait.min(links.next_at().saturating_duration_since(now));
        }
        let clock_ns = realtime_ns();
        let until = |at_ns: u64| Duration::from_nanos(at_ns.saturating_sub(clock_ns));
        match self.stage {
            Stage::Waiting(window) => wait.min(until(window.start_ns)),
            Stage::Measuring { window, .. } => wait.min(until(window.end_ns)),
            _ => wait,
        }
    }

    /// Every connection is open or has failed, or patience is at its end.
    fn is_ready(&self, began: Instant) -> bool {
        let patience = Duration::from_millis(self.plan.ramp.patience_ms);
        self.ramp.is_done() || began.elapsed() > patience
    }

    /// The number of a slot's connection in the whole load.
    const fn number(&self, index: usize) -> u64 {
        index as u64 * self.plan.workers + self.plan.worker
    }

    fn open_more(&mut self, began: Instant) {
        let patience = Duration::from_millis(self.plan.ramp.patience_ms);
        if matches!(self.stage, Stage::Opening) && began.elapsed() > patience {
            self.ramp.give_up();
        }
        while let Some(index) = self.ramp.take(Instant::now()) {
            let number = self.number(index);
            let held = self.plan.held(number);
            let cohort = if held.is_some() { Cohort::Stalled } else { Cohort::Healthy };
            if index == self.slots.len() {
                self.slots.push(Slot {
                    connection: None,
                    started: Instant::now(),
                    attempts: 0,
                    has_opened: false,
                    has_received: false,
                });
            }
            let target = &self.plan.target;
            let receive_buffer = held.and_then(|held| held.receive_buffer());
            let connected = ramp::connect(target.address, target.source(number), receive_buffer);
            let registered = connected.and_then(|mut socket| {
                let both = Interest::READABLE | Interest::WRITABLE;
                self.poll.registry().register(&mut socket, Token(index), both)?;
                Ok(socket)
            });
            let slot = &mut self.slots[index];
            slot.started = Instant::now();
            slot.attempts += 1;
            match registered {
                Ok(socket) => slot.connection = Some(Connection::new(socket, cohort)),
                Err(error) => {
                    self.closed(index, Phase::Connecting, &Closure::Connect(error.kind()));
                }
            }
        }
    }

    /// Gives a connection its turn.
    fn turn(&mut self, index: usize, event: Option<&Event>) {
        let number = self.number(index);
        let Self { slots, shared, buffer, .. } = self;
        // An event of a socket that an earlier event of the same batch closed.
        let Some(connection) = slots.get_mut(index).and_then(|slot| slot.connection.as_mut())
        else {
            return;
        };
        if event.is_some_and(Event::is_error) && connection.phase() == Phase::Connecting {
            let error = connection.socket.take_error().ok().flatten();
            let kind = error.map_or(io::ErrorKind::Other, |error| error.kind());
            return self.closed(index, Phase::Connecting, &Closure::Connect(kind));
        }
        let (before, received) = (connection.phase(), connection.received());
        match connection.turn(shared, buffer, number) {
            Ok(turn) => {
                let after = connection.phase();
                let has_begun = received == 0 && connection.received() > 0;
                if turn == Turn::More {
                    self.unfinished.push(index);
                }
                if before != Phase::Open && after == Phase::Open {
                    self.opened(index);
                }
                if has_begun {
                    self.comeback.received(self.connections.wanted);
                }
            }
            Err(closure) => self.closed(index, before, &closure),
        }
    }

    fn opened(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        self.comeback.opened(self.connections.wanted);
        self.handshake.record(ns(slot.started.elapsed()));
        self.ramp.settled();
        slot.attempts = 0;
        if std::mem::replace(&mut slot.has_opened, true) {
            self.connections.reconnects += 1;
        } else {
            self.connections.opened += 1;
        }
    }

    fn closed(&mut self, index: usize, phase: Phase, closure: &Closure) {
        let slot = &mut self.slots[index];
        let mut was_receiving = false;
        if let Some(mut connection) = slot.connection.take() {
            was_receiving = connection.received() > 0;
            slot.has_received |= was_receiving;
            // The kernel forgets a closed socket by itself; an error here changes nothing.
            let _ = self.poll.registry().deregister(&mut connection.socket);
        }
        let reasons = if phase == Phase::Open {
            self.comeback.closed(was_receiving);
            &mut self.connections.closes
        } else {
            self.comeback.failed(was_receiving);
            self.ramp.settled();
            &mut self.connections.failures
        };
        *reasons.entry(closure.to_string()).or_default() += 1;
        if self.plan.after_close == AfterClose::Reconnect {
            self.ramp.again(index, slot.attempts);
        }
    }

    /// Cuts all open connections, as a lost link would, and lets them be opened again at once.
    fn cut(&mut self) {
        for index in 0..self.slots.len() {
            let phase = self.slots[index].connection.as_ref().map(Connection::phase);
            if phase == Some(Phase::Open) {
                self.closed(index, Phase::Open, &Closure::Cut);
            }
        }
    }

    /// Lets connections on slow links read their next bytes.
    fn grant(&mut self) {
        let Some(links) = &mut self.slow_links else { return };
        if !links.is_due(Instant::now()) {
            return;
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let number = index as u64 * self.plan.workers + self.plan.worker;
            if !matches!(self.plan.held(number), Some(Held::Slow(_))) {
                continue;
            }
            if let Some(connection) = &mut slot.connection {
                links.grant(connection);
                self.unfinished.push(index);
            }
        }
    }

    fn expect(&mut self, window: Window) {
        self.shared.tally.measure(window);
        self.stage = Stage::Waiting(window);
    }

    /// Moves on when a moment of the measurement has come.
    fn advance(&mut self) {
        let now_ns = realtime_ns();
        match self.stage {
            Stage::Opening | Stage::Ready => {}
            Stage::Waiting(window) => {
                if now_ns >= window.start_ns {
                    let before = CpuUse::now();
                    self.stage = Stage::Measuring { window, before, stalls: Stalls::Ahead };
                }
            }
            Stage::Measuring { window, before, stalls } => {
                let stalls = self.stall(window, stalls, now_ns);
                self.stage = if now_ns >= window.end_ns {
                    let cpu = CpuUse::now().since(before);
                    let wall_ns = now_ns - window.start_ns;
                    Stage::Measured { cpu, wall_ns, stalls, window }
                } else {
                    Stage::Measuring { window, before, stalls }
                };
            }
            Stage::Measured { cpu, wall_ns, stalls, window } => {
                let stalls = self.stall(window, stalls, now_ns);
                self.stage = Stage::Measured { cpu, wall_ns, stalls, window };
            }
        }
    }

    /// Makes the connections meant for it stop and resume reading.
    fn stall(&mut self, window: Window, stalls: Stalls, now_ns: u64) -> Stalls {
        let Some(stall) = self.plan.stall else { return stalls };
        let since_ms = now_ns.saturating_sub(window.start_ns) / 1_000_000;
        let (reading, next) = match stalls {
            Stalls::Ahead if since_ms >= stall.after_ms => (Reading::Stalled, Stalls::Now),
            Stalls::Now if stall.resume_ms.is_some_and(|at| since_ms >= at) => {
                (Reading::On, Stalls::Over)
            }
            _ => return stalls,
        };
        for index in 0..self.slots.len() {
            if self.number(index) >= stall.connections {
                break;
            }
            if let Some(connection) = &mut self.slots[index].connection {
                connection.reading = reading;
                // The edges that came meanwhile are gone.
                self.unfinished.push(index);
            }
        }
        next
    }

    fn progress(&self) -> Progress {
        let sum = |reasons: &std::collections::BTreeMap<String, u64>| reasons.values().sum();
        Progress {
            started: self.slots.len() as u64,
            open: self.comeback.open,
            receiving: self.comeback.receiving,
            failed: sum(&self.connections.failures),
            closed: sum(&self.connections.closes),
            messages: self.shared.tally.traffic.messages,
            in_window: self.shared.tally.traffic.messages_in_window,
            bytes: self.shared.tally.traffic.bytes,
        }
    }

    /// Closes everything and reports.
    fn finish(&mut self, control: &mut Control) -> Result<(), WorkerError> {
        let mut connections = std::mem::take(&mut self.connections);
        connections.open = self.comeback.open;
        for index in 0..self.slots.len() {
            let number = self.number(index);
            let slot = &mut self.slots[index];
            if let Some(connection) = &mut slot.connection {
                slot.has_received |= connection.received() > 0;
                connections.topics_received += u64::from(connection.topics());
                let is_healthy = self.plan.held(number).is_none();
                if is_healthy && connection.phase() == Phase::Open {
                    let received = connection.received();
                    let fewest = connections.fewest.unwrap_or(u64::MAX).min(received);
                    connections.fewest = Some(fewest);
                    connections.most = Some(connections.most.unwrap_or(0).max(received));
                }
                connection.close();
            }
            connections.received += u64::from(slot.has_received);
        }
        let (cpu, wall_ns, window_ns) = match self.stage {
            Stage::Measured { cpu, wall_ns, window, .. } => {
                (cpu, wall_ns, window.end_ns - window.start_ns)
            }
            Stage::Measuring { window, before, .. } => {
                let wall_ns = realtime_ns().saturating_sub(window.start_ns);
                (CpuUse::now().since(before), wall_ns, wall_ns)
            }
            _ => (CpuUse::default(), 0, 0),
        };
        let tally = &self.shared.tally;
        control.say(&Note::Report(Box::new(WorkerReport {
            worker: self.plan.worker,
            connections,
            traffic: tally.traffic,
            accounting: tally.accounting,
            healthy: tally.healthy.clone(),
            stalled: tally.stalled.clone(),
            from_ring: tally.from_ring.clone(),
            ring_delay: tally.ring_delay.clone(),
            last_arrivals: tally.last_arrivals.clone(),
            recovery: self.comeback.recovery(),
            handshake: self.handshake.clone(),
            ramp_ns: self.ramp_ns,
            cpu,
            wall_ns,
            window_ns,
        })));
        Ok(())
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
