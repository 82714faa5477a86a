//! Starting shards, and speaking with them afterwards. Called by boot, and by tests.
//!
//! The order matters where shards get descriptor tables of their own: first everything that other
//! threads write to exists (eventfds, runtimes); then every shard splits its table off; only then do
//! they open listeners. A listener opened earlier would live on, unserved, in the tables copied
//! after it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use ring::Ring;
use rustls::ServerConfig;
use sys::{EventFd, Token};
use tokio::sync::oneshot;
use wire::FeedState;

use super::event_loop::EventLoop;
use super::interest::InterestTable;
use super::report::ShardReport;
use super::routes::Routes;
use super::settings::ShardSettings;
use super::trace::{Journey, TraceOrder};
use crate::publish::{Directory, PublishPort, Settlement};

/// What a shard is made of.
pub struct ShardSpec {
    /// Its number, from 0.
    pub index: usize,
    /// The core that it is pinned to, if any.
    pub core: Option<usize>,
    /// Its settings, shared by all.
    pub settings: Arc<ShardSettings>,
    /// Where clients connect. With port 0 the first shard's port becomes everybody's.
    pub listen: SocketAddr,
    /// With it, clients must speak TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// What plain HTTP requests are answered.
    pub routes: Arc<dyn Routes>,
    /// Whether it wants a table of open files of its own.
    pub descriptors: DescriptorTable,
    /// Where ticks go that clients publish; `None`: nobody may.
    pub publish: Option<PublishPort>,
}

/// Whose table of open files a shard uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorTable {
    /// Its own where the kernel allows that: the limit on open files is one per shard then.
    Own,
    /// The process's.
    Shared,
}

/// What a shard can be told.
pub enum Control {
    /// Read this ring, from its oldest record and its images on, instead of the one before.
    Attach(Ring, Order),
    /// From now on tell this table which instruments are of interest.
    Interest(Arc<InterestTable>),
    /// Tell clients what became of the feed.
    Feed(FeedState),
    /// What clients write, from now on.
    Directory(Arc<Directory>),
    /// Answer who published this.
    Published(Settlement),
    /// Credentials were read again: look whether each session's is still worth what it was.
    Review,
    /// Close this session: its user has newer ones.
    Replaced(Token),
    /// Use this certificate for connections from now on.
    Tls(Arc<ServerConfig>),
    /// Go by these settings from now on. What is memory in them is what it was.
    Settings(Arc<ShardSettings>),
    /// Accept nobody any more, tell everybody, and close sessions one after another over this time.
    Drain(Duration),
    /// How short memory is.
    Pressure(Pressure),
    /// Describe yourself, with so many of the slowest connections.
    Report {
        /// How many connections.
        top: usize,
        /// Where to.
        reply: oneshot::Sender<ShardReport>,
    },
    /// Follow the next tick of a topic. One that is followed already is left.
    Trace {
        /// Which.
        order: TraceOrder,
        /// Where to.
        reply: oneshot::Sender<Journey>,
    },
    /// Close what is still open with code 1001 and end the thread.
    Stop,
}

/// How short the process's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// It is not.
    None,
    /// New sessions are refused.
    Near,
    /// Sessions are closed, some each time that this is said.
    Over,
}

/// The order in which a ring has what is of different topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The feed's: every ring of this feed has the same.
    OfFeed,
    /// One that only this ring has, by name; not 0.
    Own(u64),
}

/// Why shards did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No thread, runtime or descriptor for it.
    #[error("cannot start shard {shard}: {source}")]
    Resources {
        /// Which.
        shard: usize,
        /// The system's reason.
        source: io::Error,
    },
    /// The address is not ours, in use, or not allowed.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A shard's thread ended while it was started.
    #[error("shard {0} ended while it was started")]
    Ended(usize),
}

/// The way to a shard, for whoever has something to tell it.
#[derive(Clone)]
pub struct Post {
    control: Sender<Control>,
    waker: Arc<EventFd>,
}

impl Post {
    /// Tells the shard something. A shard that has ended hears nothing.
    pub fn send(&self, control: Control) {
        if self.control.send(control).is_ok() {
            self.waker.signal();
        }
    }
}

/// A running shard.
pub struct ShardHandle {
    index: usize,
    bound: Bound,
    /// How many connections the settings allow, as they were told last.
    allowed: AtomicUsize,
    table: DescriptorTable,
    post: Post,
    sessions: Arc<AtomicUsize>,
    thread: thread::JoinHandle<()>,
}

impl ShardHandle {
    /// Its number.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.bound.address
    }

    /// How many connections it takes: what is configured, or what its table of open files has room
    /// for.
    #[must_use]
    pub fn connections_max(&self) -> usize {
        self.allowed.load(Ordering::Relaxed).min(self.bound.room).max(1)
    }

    /// Has it go by these settings from now on.
    pub fn use_settings(&self, settings: &Arc<ShardSettings>) {
        // Relaxed: a number to look at. The shard is told by the message.
        self.allowed.store(settings.connections_max, Ordering::Relaxed);
        self.send(Control::Settings(Arc::clone(settings)));
    }

    /// Whose table of open files it got.
    #[must_use]
    pub const fn table(&self) -> DescriptorTable {
        self.table
    }

    /// How many sessions it has, as of its last turn. 0 after a drain means that it is complete.
    #[must_use]
    pub fn sessions(&self) -> usize {
        // Relaxed: a number to look at; nothing else is read because of it.
        self.sessions.load(Ordering::Relaxed)
    }

    /// Tells the shard something. A shard that has ended hears nothing.
    pub fn send(&self, control: Control) {
        self.post.send(control);
    }

    /// The way to it.
    #[must_use]
    pub fn post(&self) -> Post {
        self.post.clone()
    }

    /// Asks for a report; the receiver errs if the shard has ended.
    #[must_use]
    pub fn report(&self, top: usize) -> oneshot::Receiver<ShardReport> {
        let (reply, report) = oneshot::channel();
        self.send(Control::Report { top, reply });
        report
    }

    /// Asks for the journey of a tick; the receiver errs if the shard has ended, or was asked for another.
    #[must_use]
    pub fn trace(&self, order: TraceOrder) -> oneshot::Receiver<Journey> {
        let (reply, journey) = oneshot::channel();
        self.send(Control::Trace { order, reply });
        journey
    }

    /// Waits until the shard has ended: after [`Control::Stop`].
    ///
    /// # Errors
    /// If it panicked, with the panic.
    pub fn join(self) -> thread::Result<()> {
        self.thread.join()
    }
}

/// Starts shards. When this returns, all of them listen.
///
/// # Errors
/// With the first thing that failed; the other shards have ended then.
pub fn start(specs: Vec<ShardSpec>) -> Result<Vec<ShardHandle>, StartError> {
    let mut starting = Vec::with_capacity(specs.len());
    for spec in specs {
        starting.push(Starting::spawn(spec)?);
    }
    for shard in &starting {
        shard.expect_built()?;
    }
    for shard in &starting {
        shard.step(Step::SplitTable)?;
    }
    let tables: Vec<DescriptorTable> =
        starting.iter().map(Starting::expect_split).collect::<Result<_, _>>()?;
    let shared = tables.iter().filter(|table| **table == DescriptorTable::Shared).count();

    let mut port = None;
    let mut handles = Vec::with_capacity(starting.len());
    for (shard, table) in starting.into_iter().zip(tables) {
        let mut address = shard.listen;
        if address.port() == 0 {
            address.set_port(port.unwrap_or(0));
        }
        let sharers = if table == DescriptorTable::Shared { shared } else { 1 };
        shard.step(Step::Listen { address, sharers })?;
        let bound = shard.expect_listening(address)?;
        port.get_or_insert(bound.address.port());
        handles.push(shard.into_handle(bound, table));
    }
    for handle in &handles {
        handle.post.waker.signal();
    }
    Ok(handles)
}

/// What a starting shard is told to do next. A closed channel: give up.
enum Step {
    SplitTable,
    Listen { address: SocketAddr, sharers: usize },
}

/// What it answers.
enum Done {
    Built(io::Result<()>),
    Split(DescriptorTable),
    Listening(io::Result<Bound>),
}

/// What a shard that listens has found out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// Where it listens: the port may have been the kernel's choice.
    pub(super) address: SocketAddr,
    /// How many connections its table of open files has room for.
    pub(super) room: usize,
}

struct Starting {
    index: usize,
    allowed: usize,
    listen: SocketAddr,
    steps: Sender<Step>,
    done: Receiver<Done>,
    control: Sender<Control>,
    waker: Arc<EventFd>,
    sessions: Arc<AtomicUsize>,
    thread: thread::JoinHandle<()>,
}

impl Starting {
    fn spawn(spec: ShardSpec) -> Result<Self, StartError> {
        let (index, listen) = (spec.index, spec.listen);
        let allowed = spec.settings.connections_max;
        let failed = |source| StartError::Resources { shard: index, source };
        let waker = Arc::new(EventFd::new().map_err(failed)?);
        let (control, orders) = unbounded();
        let (steps, next_step) = bounded(1);
        let (report, done) = bounded(1);
        let sessions = Arc::new(AtomicUsize::new(0));
        let link = ShardLink {
            control: orders,
            waker: Arc::clone(&waker),
            sessions: Arc::clone(&sessions),
        };
        let thread = thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || run(spec, link, &next_step, &report))
            .map_err(failed)?;
        Ok(Self { index, allowed, listen, steps, done, control, waker, sessions, thread })
    }

    fn step(&self, step: Step) -> Result<(), StartError> {
        self.steps.send(step).map_err(|_| StartError::Ended(self.index))
    }

    fn done(&self) -> Result<Done, StartError> {
        self.done.recv().map_err(|_| StartError::Ended(self.index))
    }

    fn expect_built(&self) -> Result<(), StartError> {
        match self.done()? {
            Done::Built(result) => {
                result.map_err(|source| StartError::Resources { shard: self.index, source })
            }
            _ => Err(StartError::Ended(self.index)),
        }
    }

    fn expect_split(&self) -> Result<DescriptorTable, StartError> {
        match self.done()? {
            Done::Split(table) => Ok(table),
            _ => Err(StartError::Ended(self.index)),
        }
    }

    fn expect_listening(&self, address: SocketAddr) -> Result<Bound, StartError> {
        match self.done()? {
            Done::Listening(result) => {
                result.map_err(|source| StartError::Listen { address, source })
            }
            _ => Err(StartError::Ended(self.index)),
        }
    }

    fn into_handle(self, bound: Bound, table: DescriptorTable) -> ShardHandle {
        ShardHandle {
            index: self.index,
            bound,
            allowed: AtomicUsize::new(self.allowed),
            table,
            post: Post { control: self.control, waker: self.waker },
            sessions: self.sessions,
            thread: self.thread,
        }
    }
}

/// The shard's ends of what it shares with its handle.
pub(super) struct ShardLink {
    pub(super) control: Receiver<Control>,
    pub(super) waker: Arc<EventFd>,
    pub(super) sessions: Arc<AtomicUsize>,
}

/// A shard's thread, from its first step to its end.
fn run(spec: ShardSpec, link: ShardLink, steps: &Receiver<Step>, done: &Sender<Done>) {
    let index = spec.index;
    if let Some(core) = spec.core
        && let Err(error) = sys::pin_to_core(core)
    {
        tracing::warn!(shard = index, core, %error, "cannot pin the shard to its core");
    }
    let descriptors = spec.descriptors;
    // Whoever starts shards and is gone has given up: every failure to tell it ends the thread.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = done.send(Done::Built(Err(error)));
            return;
        }
    };
    runtime.block_on(async {
        let mut event_loop = match EventLoop::new(spec, link) {
            Ok(event_loop) => event_loop,
            Err(error) => {
                let _ = done.send(Done::Built(Err(error)));
                return;
            }
        };
        if done.send(Done::Built(Ok(()))).is_err() {
            return;
        }
        let Ok(Step::SplitTable) = steps.recv() else { return };
        let table = split_table(index, descriptors);
        if done.send(Done::Split(table)).is_err() {
            return;
        }
        let Ok(Step::Listen { address, sharers }) = steps.recv() else { return };
        let bound = event_loop.listen(address, sharers);
        let listens = bound.is_ok();
        if done.send(Done::Listening(bound)).is_err() || !listens {
            return;
        }
        event_loop.run().await;
    });
}

fn split_table(index: usize, wanted: DescriptorTable) -> DescriptorTable {
    if wanted == DescriptorTable::Shared {
        return DescriptorTable::Shared;
    }
    match sys::unshare_files() {
        Ok(()) => DescriptorTable::Own,
        Err(error) => {
            tracing::warn!(
                shard = index, %error,
                "no descriptor table of its own; the limit on open files is the process's"
            );
            DescriptorTable::Shared
        }
    }
}
