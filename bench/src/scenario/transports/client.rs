//! The clients: all in one thread on their own core, each with one connection.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::holdings::{Account, Holdings};
use super::reader::{ReadError, Reader};
use super::request;
use super::way::Way;
use crate::clock::{realtime_ns, thread_cpu_ns};
use crate::cpu;
use crate::generator::market::{Item, JsonReader};
use crate::generator::target::{Scheme, Target};
use crate::latency::Latency;
use crate::record::float;

/// Between two polls of a client.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// The longest wait for events.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// What clients do.
pub(super) struct Plan {
    pub(super) way: Way,
    pub(super) address: SocketAddr,
    pub(super) clients: u64,
    pub(super) symbols: u64,
    pub(super) per_client: u64,
    /// Between two quotes of a symbol.
    pub(super) period: Duration,
    pub(super) core: usize,
    pub(super) window: Arc<Window>,
}

/// What is measured is what happens within.
pub(super) struct Window {
    begin_ns: AtomicU64,
    end_ns: AtomicU64,
}

impl Default for Window {
    fn default() -> Self {
        Self { begin_ns: AtomicU64::new(u64::MAX), end_ns: AtomicU64::new(u64::MAX) }
    }
}

impl Window {
    // Relaxed in both: two numbers, and a reader that sees one of them late is late by one event.
    pub(super) fn open(&self, begin_ns: u64, duration: Duration) {
        let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.end_ns.store(begin_ns.saturating_add(duration_ns), Ordering::Relaxed);
        self.begin_ns.store(begin_ns, Ordering::Relaxed);
    }

    fn place(&self, now_ns: u64) -> InWindow {
        if now_ns >= self.end_ns.load(Ordering::Relaxed) {
            InWindow::After
        } else if now_ns >= self.begin_ns.load(Ordering::Relaxed) {
            InWindow::Inside
        } else {
            InWindow::Before
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum InWindow {
    Before,
    Inside,
    After,
}

/// What the clients saw within the window.
#[derive(Clone, Default)]
pub(super) struct Seen {
    pub(super) delay: Latency,
    pub(super) seen: u64,
    pub(super) due: u64,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) requests: u64,
    /// CPU time of the clients' thread.
    pub(super) cpu_ns: u64,
    /// Connections that ended, at any time.
    pub(super) lost: u64,
    pub(super) complaint: Option<String>,
}

/// The running clients. Their connections stay open until [`Clients::finish`], so that closing them is not
/// among what the server did in the window.
pub(super) struct Clients(JoinHandle<(Seen, Vec<Client>)>);

impl Clients {
    /// Waits for the window's end.
    pub(super) fn finish(self) -> Seen {
        let broken = Seen { complaint: Some("panicked".to_owned()), lost: 1, ..Seen::default() };
        self.0.join().map_or(broken, |(seen, _)| seen)
    }
}

/// Starts the clients and waits until all have said what they want.
pub(super) fn start(plan: Plan) -> io::Result<Clients> {
    let (ready, is_ready): (Sender<io::Result<()>>, Receiver<_>) = channel();
    let thread = std::thread::Builder::new().name("clients".to_owned()).spawn(move || {
        let opened =
            cpu::pin(&[plan.core]).map_err(io::Error::from).and_then(|()| Crowd::open(plan));
        match opened {
            Ok(mut crowd) => {
                // Whoever started us waits for this.
                let _ = ready.send(Ok(()));
                crowd.run();
                crowd.finish()
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                (Seen::default(), Vec::new())
            }
        }
    })?;
    is_ready.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
    Ok(Clients(thread))
}

/// One client's connection, and what it holds.
struct Client {
    socket: TcpStream,
    reader: Reader,
    holdings: Holdings,
    topics: Vec<String>,
    /// Of a poll under way: how many of the topics were asked for.
    asked: usize,
    is_lost: bool,
}

struct Crowd {
    plan: Plan,
    target: Target,
    poll: Poll,
    clients: Vec<Client>,
    /// Who polls when, soonest first: everybody after the same time again.
    due: VecDeque<(Instant, usize)>,
    json: JsonReader,
    account: Account,
    seen: Seen,
    /// Of the thread, when the window began.
    cpu_began_ns: Option<u64>,
    out: Vec<u8>,
    buffer: Box<[u8]>,
}

impl Crowd {
    fn open(plan: Plan) -> io::Result<Self> {
        let poll = Poll::new()?;
        let target = Target {
            address: plan.address,
            host: plan.address.ip().to_string(),
            path: "/".to_owned(),
            scheme: Scheme::Ws,
        };
        let (mut clients, mut due) = (Vec::new(), VecDeque::new());
        let now = Instant::now();
        for number in 0..plan.clients {
            let socket = std::net::TcpStream::connect(plan.address)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            let index = clients.len();
            poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
            let topic = |nth| format!("S{}.quote", (number * plan.per_client + nth) % plan.symbols);
            let topics: Vec<String> = (0..plan.per_client).map(topic).collect();
            if plan.way.polls() {
                let phase = POLL_EVERY.mul_f64(float(number) / float(plan.clients));
                due.push_back((now + phase, index));
            }
            clients.push(Client {
                socket,
                reader: Reader::default(),
                holdings: Holdings::default(),
                topics,
                asked: usize::MAX,
                is_lost: false,
            });
        }
        let mut crowd = Self {
            plan,
            target,
            poll,
            clients,
            due,
            json: JsonReader::default(),
            account: Account::default(),
            seen: Seen::default(),
            cpu_began_ns: None,
            out: Vec::new(),
            buffer: vec![0; 64 << 10].into_boxed_slice(),
        };
        for index in 0..crowd.clients.len() {
            crowd.out.clear();
            let (way, topics) = (crowd.plan.way, &crowd.clients[index].topics);
            request::write_opening(&mut crowd.out, way, &crowd.target, topics);
            crowd.send(index, InWindow::Before);
        }
        Ok(crowd)
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let now = Instant::now();
            let wait = self.due.front().map_or(WAIT_MAX, |(due, _)| due.duration_since(now));
            if let Err(error) = self.poll.poll(&mut events, Some(wait.min(WAIT_MAX)))
                && error.kind() != ErrorKind::Interrupted
            {
                self.seen.complaint = Some(error.to_string());
                return;
            }
            let place = self.plan.window.place(realtime_ns());
            match place {
                InWindow::Before => {}
                InWindow::Inside => {
                    self.cpu_began_ns.get_or_insert_with(thread_cpu_ns);
                }
                InWindow::After => return,
            }
            for event in &events {
                self.receive(event.token().0, place);
            }
            while let Some((due, index)) = self.due.front().copied()
                && due <= Instant::now()
            {
                self.due.pop_front();
                self.due.push_back((due + POLL_EVERY, index));
                // One that still waits for answers has its turn in the next second.
                if self.clients[index].asked >= self.clients[index].topics.len() {
                    self.clients[index].asked = 0;
                    self.ask_next(index, place);
                }
            }
        }
    }

    fn finish(self) -> (Seen, Vec<Client>) {
        let Account { delay, seen, due } = self.account;
        let cpu_ns = self.cpu_began_ns.map_or(0, |began_ns| thread_cpu_ns() - began_ns);
        (Seen { delay, seen, due, cpu_ns, ..self.seen }, self.clients)
    }

    /// Asks for the next symbol of a poll.
    fn ask_next(&mut self, index: usize, place: InWindow) {
        let client = &mut self.clients[index];
        let Some(topic) = client.topics.get(client.asked) else { return };
        client.asked += 1;
        self.out.clear();
        request::write_poll(&mut self.out, self.plan.way, &self.target, topic);
        self.send(index, place);
    }

    fn send(&mut self, index: usize, place: InWindow) {
        if self.out.is_empty() || self.clients[index].is_lost {
            return;
        }
        if place == InWindow::Inside {
            self.seen.requests += 1;
            self.seen.sent_bytes += self.out.len() as u64;
        }
        // Some hundred bytes into the empty buffer of a socket: all of it is taken or it is gone.
        match self.clients[index].socket.write(&self.out) {
            Ok(sent) if sent == self.out.len() => {}
            Ok(_) => self.lose(index, "a request was not taken"),
            Err(error) => self.lose(index, &error.to_string()),
        }
    }

    fn receive(&mut self, index: usize, place: InWindow) {
        loop {
            match self.clients[index].socket.read(&mut self.buffer) {
                Ok(0) => return self.lose(index, "the server ended it"),
                Ok(bytes) => {
                    if place == InWindow::Inside {
                        self.seen.received_bytes += bytes as u64;
                    }
                    self.clients[index].reader.push(&self.buffer[..bytes]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.lose(index, &error.to_string()),
            }
        }
        match self.read(index, place) {
            Ok(answers) if answers > 0 && self.plan.way.polls() => self.ask_next(index, place),
            Ok(answers) if answers > 0 && self.plan.way.asks_again() => {
                self.out.clear();
                let Client { topics, reader, .. } = &self.clients[index];
                request::write_long_poll(&mut self.out, &self.target, topics, &reader.place);
                self.send(index, place);
            }
            Ok(_) => {}
            Err(error) => self.lose(index, &error.to_string()),
        }
    }

    fn read(&mut self, index: usize, place: InWindow) -> Result<u32, ReadError> {
        let now_ns = realtime_ns();
        let period_ns = u64::try_from(self.plan.period.as_nanos()).unwrap_or(u64::MAX);
        let Self { plan, clients, json, account, .. } = self;
        let Client { reader, holdings, .. } = &mut clients[index];
        reader.read(plan.way, json, |item| {
            if let Item::Data { topic, seq, ts_event_ns, .. } = item {
                let account = (place == InWindow::Inside).then_some(&mut *account);
                holdings.enter(topic, seq, ts_event_ns, now_ns, period_ns, account);
            }
        })
    }

    fn lose(&mut self, index: usize, why: &str) {
        let client = &mut self.clients[index];
        if !std::mem::replace(&mut client.is_lost, true) {
            self.seen.lost += 1;
            self.seen.complaint.get_or_insert_with(|| why.to_owned());
            // It may be unknown to the poll already.
            let _ = self.poll.registry().deregister(&mut client.socket);
        }
    }
}
