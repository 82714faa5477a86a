//! The forwarder: a listener, the connections between it and the server, and the one thread that moves them.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::link::{Link, State};
use crate::path::Shape;

const LISTENER: Token = Token(usize::MAX);
const ORDERS: Token = Token(usize::MAX - 1);

/// What is to be done to a running forwarder.
#[derive(Debug)]
pub(crate) enum Order {
    Reshape(Shape),
    Stall,
    GoOn,
    Cut,
    Reset,
    /// Says that all orders before it are carried out.
    Say(Sender<()>),
    End,
}

/// Whether bytes move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Motion {
    Moving,
    Stalled,
    /// For good.
    Cut,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Forwarder {
    listener: Option<TcpListener>,
    poll: Poll,
    waker: Arc<Waker>,
    orders: Receiver<Order>,
    to: SocketAddr,
    shape: Shape,
    motion: Motion,
    links: HashMap<usize, Link>,
    /// Connections that are let through later than they came, and when.
    waiting: Vec<(u64, TcpStream)>,
    next: usize,
}

impl Forwarder {
    /// One that listens, and connects to the server for each connection that it takes.
    ///
    /// # Errors
    /// If it cannot listen.
    pub(crate) fn new(
        listen: SocketAddr,
        to: SocketAddr,
        shape: Shape,
        orders: Receiver<Order>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(listen)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), ORDERS)?);
        let listener = Some(listener);
        let (links, waiting) = (HashMap::new(), Vec::new());
        let motion = Motion::Moving;
        Ok(Self { listener, poll, waker, orders, to, shape, motion, links, waiting, next: 0 })
    }

    /// One that nobody changes while it runs.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn fixed(listen: SocketAddr, to: SocketAddr, shape: Shape) -> io::Result<Self> {
        Self::new(listen, to, shape, std::sync::mpsc::channel().1)
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }

    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Forwards for so long, or until it is told to end.
    ///
    /// # Errors
    /// If its poll set fails.
    pub fn run(&mut self, life: Duration) -> io::Result<()> {
        let began = Instant::now();
        let clock_ns = || ns(began.elapsed());
        let mut events = Events::with_capacity(256);
        let mut over = Vec::new();
        let mut turned_ns = 0;
        while began.elapsed() < life {
            // Asked as of the last turn: what has come due since then was not seen by it.
            let links = self.links.values().filter(|_| self.motion == Motion::Moving);
            let changes = links.filter_map(|link| link.next_change_ns(turned_ns));
            let next = changes.chain(self.waiting.iter().map(|(at_ns, _)| *at_ns)).min();
            let wait = next.map(|at_ns| Duration::from_nanos(at_ns.saturating_sub(clock_ns())));
            let left = life.saturating_sub(began.elapsed());
            // Poll sets count milliseconds, in few bits.
            let wait = wait.unwrap_or(Duration::MAX).min(left).min(Duration::from_hours(1));
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            if self.obey() == Told::ToEnd {
                return Ok(());
            }
            if events.iter().any(|event| event.token() == LISTENER) {
                self.accept(clock_ns());
            }
            self.let_through(clock_ns());
            if self.motion != Motion::Moving {
                continue;
            }
            // Links are few and time moves all of them: every one gets a turn, whatever the event.
            turned_ns = clock_ns();
            for (id, link) in &mut self.links {
                if link.turn(&clock_ns) == State::Over {
                    over.push(*id);
                }
            }
            for id in over.drain(..) {
                self.links.remove(&id);
            }
        }
        Ok(())
    }

    fn obey(&mut self) -> Told {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Reshape(shape) => self.shape = shape,
                Order::Stall if self.motion == Motion::Moving => self.motion = Motion::Stalled,
                Order::GoOn if self.motion == Motion::Stalled => self.motion = Motion::Moving,
                Order::Stall | Order::GoOn => {}
                Order::Cut => {
                    self.motion = Motion::Cut;
                    self.listener = None;
                }
                Order::Reset => self.links.drain().for_each(|(_, link)| link.reset()),
                // Whoever asked may have given up.
                Order::Say(done) => drop(done.send(())),
                Order::End => return Told::ToEnd,
            }
        }
        Told::Nothing
    }

    fn accept(&mut self, now_ns: u64) {
        while let Some(Ok((client, _))) = self.listener.as_ref().map(TcpListener::accept) {
            // Later by a time that follows from its number, so that those which come together get through
            // in another order.
            let spread_ns = self.shape.spread_ns.max(1);
            let number = u64::try_from(self.next + self.waiting.len()).unwrap_or(0);
            let late_ns = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % spread_ns;
            self.waiting.push((now_ns + late_ns, client));
        }
    }

    /// Connects those whose time has come to the server.
    fn let_through(&mut self, now_ns: u64) {
        let due = self.waiting.extract_if(.., |(at_ns, _)| *at_ns <= now_ns);
        let mut due: Vec<_> = due.collect();
        // Whoever did not run meanwhile finds several, which keep their order.
        due.sort_by_key(|(at_ns, _)| *at_ns);
        for (_, client) in due {
            match self.open(client) {
                Ok(link) => {
                    self.links.insert(self.next, link);
                    self.next += 1;
                }
                // The client sees its connection end, and says so.
                Err(error) => eprintln!("cannot reach {}: {error}", self.to),
            }
        }
    }

    fn open(&self, client: TcpStream) -> io::Result<Link> {
        let mut link = Link::connect(client, self.to, self.shape)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        // Events only wake; which link they are for does not matter.
        self.poll.registry().register(&mut link.client, Token(self.next), both)?;
        self.poll.registry().register(&mut link.server, Token(self.next), both)?;
        Ok(link)
    }
}

/// What the orders were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    ToEnd,
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
