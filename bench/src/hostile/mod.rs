//! `bench hostile`: connections that mean harm, so many a second, whatever the server does about them.
//!
//! Open loop: each connection is begun when it is due and does what its [`Kind`] does on its own clock. Nothing is awaited
//! and nothing read, so that a server which answers, one which closes, and one which only accepts are sent the same. One
//! thread, from many addresses of loopback. It ends by itself, and all of its connections with it.

mod kind;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use socket2::{Domain, Socket, Type};

pub(crate) use self::kind::Kind;
use self::kind::Next;
use crate::cpu;
use crate::server::launch_words;

/// Connections that mean harm.
#[derive(Args, Clone, Debug)]
pub(crate) struct HostileArgs {
    /// The server.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: SocketAddr,
    /// What they do.
    #[arg(long, value_enum)]
    pub(crate) kind: Kind,
    /// How many in all.
    #[arg(short = 'n', long, default_value_t = 10_000)]
    pub(crate) connections: usize,
    /// How many begin in a second.
    #[arg(long, default_value_t = 1_000.0)]
    pub(crate) rate: f64,
    /// What those that subscribe ask for.
    #[arg(long, default_value = "S0.quote")]
    pub(crate) topic: String,
    /// Seconds until all end.
    #[arg(long, default_value_t = 30.0)]
    pub(crate) seconds: f64,
    /// Core to pin to.
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
}

/// A server that accepts, and does nothing else.
#[derive(Args, Clone, Debug)]
pub(crate) struct AcceptOnlyArgs {
    /// Seconds until it ends.
    #[arg(long, default_value_t = 60.0)]
    pub(crate) seconds: f64,
    /// Core to pin to.
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
}

/// Why nobody did harm.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HostileError {
    #[error("hostile: {0}")]
    Io(#[from] io::Error),
    #[error("hostile: cannot pin to core {0}: {1}")]
    Pin(usize, nix::Error),
    #[error("hostile: --{0} must be a number above 0")]
    Senseless(&'static str),
    #[error("hostile: {0} ended without a word")]
    Silent(&'static str),
}

/// Between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Addresses that connections come from: 127.66.x.y.
const ADDRESSES: usize = 4_000;

fn pin(core: Option<usize>) -> Result<(), HostileError> {
    core.map_or(Ok(()), |core| cpu::pin(&[core]).map_err(|error| HostileError::Pin(core, error)))
}

fn seconds(seconds: f64) -> Result<Duration, HostileError> {
    Duration::try_from_secs_f64(seconds).map_err(|_| HostileError::Senseless("seconds"))
}

/// Runs until its time is over or its input ends; says then how many connections were begun, and how many could not be.
pub(crate) fn run(args: &HostileArgs) -> Result<(), HostileError> {
    pin(args.cpu)?;
    if !(args.rate.is_finite() && args.rate > 0.0) {
        return Err(HostileError::Senseless("rate"));
    }
    let life = seconds(args.seconds)?;
    crate::generator::fleet::connections_per_worker();
    let is_over = when_input_ends();
    let began = Instant::now();
    let (mut sockets, mut refused) = (Vec::with_capacity(args.connections), 0);
    // Whose turn is when, and how many turns it had.
    let mut due: BinaryHeap<Reverse<(Duration, usize, u32)>> = BinaryHeap::new();
    while began.elapsed() < life && !is_over() {
        let now = began.elapsed();
        while sockets.len() < args.connections && at(sockets.len(), args.rate) <= now {
            let socket = connect(sockets.len(), args).ok();
            refused += usize::from(socket.is_none());
            due.push(Reverse((now + kind::FIRST_AFTER, sockets.len(), 0)));
            sockets.push(socket);
        }
        while let Some(&Reverse((then, nth, turn))) = due.peek()
            && then <= now
        {
            due.pop();
            let Some(socket) = &sockets[nth] else { continue };
            match args.kind.act(turn, socket, &args.topic) {
                Next::After(pause) => due.push(Reverse((then + pause, nth, turn + 1))),
                Next::Wait => {}
                Next::Reset => {
                    // It may have been reset by the other side already.
                    let _ = socket.set_linger(Some(Duration::ZERO));
                    sockets[nth] = None;
                }
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    println!("{} {refused}", sockets.len());
    Ok(())
}

/// When the nth connection begins.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn at(nth: usize, rate: f64) -> Duration {
    Duration::try_from_secs_f64(nth as f64 / rate).unwrap_or(Duration::MAX)
}

fn connect(nth: usize, args: &HostileArgs) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if let Some(bytes) = args.kind.receive_buffer() {
        socket.set_recv_buffer_size(bytes)?;
    }
    let place = nth % ADDRESSES;
    let part = |of: usize| u8::try_from(of).unwrap_or(u8::MAX);
    let source = Ipv4Addr::new(127, 66, part(place / 250), part(place % 250 + 1));
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    match socket.connect(&args.to.into()) {
        Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

/// Says whether the parent has closed our standard input.
fn when_input_ends() -> impl Fn() -> bool {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        // Nothing is said; the end is what counts.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(sender);
    });
    move || matches!(receiver.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected))
}

/// Accepts until its time is over; the first line written says where.
pub(crate) fn accept_only(args: &AcceptOnlyArgs) -> Result<(), HostileError> {
    pin(args.cpu)?;
    let life = seconds(args.seconds)?;
    crate::generator::fleet::connections_per_worker();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    std::thread::spawn(move || {
        // They stay open: closing them would be more than accepting.
        let sockets: Vec<_> = listener.incoming().map_while(Result::ok).collect();
        drop(sockets);
    });
    let is_over = when_input_ends();
    let began = Instant::now();
    while began.elapsed() < life && !is_over() {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// One of the two in a process of its own; it ends with this.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    /// Closing it is the order to end.
    orders: Option<ChildStdin>,
    said: BufReader<std::process::ChildStdout>,
}

impl Process {
    fn start(name: &'static str, words: &[String], cores: &[usize]) -> Result<Self, HostileError> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        command.args(launch_words(cores)).arg(&program).arg(name).args(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take();
        let said = BufReader::new(child.stdout.take().ok_or(HostileError::Silent(name))?);
        Ok(Self { name, child, orders, said })
    }

    /// Begins to do harm.
    pub(crate) fn hostile(args: &HostileArgs) -> Result<Self, HostileError> {
        let words = [
            format!("--to={}", args.to),
            format!("--kind={}", args.kind.name()),
            format!("--connections={}", args.connections),
            format!("--rate={}", args.rate),
            format!("--topic={}", args.topic),
            format!("--seconds={}", args.seconds),
        ];
        Self::start("hostile", &words, &args.cpu.map_or_else(Vec::new, |core| vec![core]))
    }

    /// Begins to accept, on this core; where, is said too.
    pub(crate) fn accept_only(core: usize) -> Result<(Self, SocketAddr), HostileError> {
        let mut process = Self::start("accept-only", &[], &[core])?;
        let address = process.line()?.parse();
        Ok((process, address.map_err(|_| HostileError::Silent("accept-only"))?))
    }

    /// Ends it, and says what it says of itself: how many connections it began, and how many it could not.
    pub(crate) fn stop(mut self) -> Result<(u64, u64), HostileError> {
        self.orders = None;
        let line = self.line()?;
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(begun)), Some(Ok(refused))) => Ok((begun, refused)),
            _ => Err(HostileError::Silent(self.name)),
        }
    }

    fn line(&mut self) -> Result<String, HostileError> {
        let mut line = String::new();
        if self.said.read_line(&mut line)? == 0 {
            return Err(HostileError::Silent(self.name));
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
