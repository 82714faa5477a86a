//! `bench proxy`: a long way between client and server, in user space: delay, rate, window.
//!
//! One thread between two sockets of every connection. What it shows: how a server behaves whose client
//! takes bytes as late and as slowly as one far away, how much lies between the two, how old it is when
//! it arrives. A server's own TCP ends at the proxy, so the proxy plays the window: it takes no more
//! than a sender of that window could have unacknowledged over that round trip ([`path`]). What it does
//! not show: slow start, loss, retransmission, congestion control; nor is the connect itself delayed.
//! Chunks leave up to a millisecond late, which is what the poll set's timer resolves.

mod link;
mod path;

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use self::link::{Link, State};
pub(crate) use self::path::Shape;
use crate::cpu;
use crate::server::launch_words;

/// Put a long way between clients and a server.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProxyArgs {
    /// Where clients connect.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The server.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Delay of one way, in ms.
    #[arg(long, default_value_t = 50.0)]
    pub(crate) delay: f64,
    /// Bytes a second of the slowest link, each way; not limited if not given.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Bytes that may be unacknowledged, each way: the smallest of the sender's buffer, its congestion
    /// window and the receiver's window. The default is the most that Linux lets a send buffer grow to
    /// by itself.
    #[arg(long, default_value_t = 4 << 20)]
    pub(crate) window: usize,
    /// Bytes that may wait in front of the slowest link.
    #[arg(long, default_value_t = 64 << 10)]
    pub(crate) queue: usize,
    /// Core to pin to.
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
    /// Ends after so many seconds.
    #[arg(long, default_value_t = 3600)]
    pub(crate) seconds: u64,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProxyError {
    #[error("proxy: {0}")]
    Io(#[from] io::Error),
    #[error("proxy: cannot pin to core {0}: {1}")]
    Pin(usize, nix::Error),
    #[error("proxy: --{0} must be a number above 0")]
    Senseless(&'static str),
    #[error("proxy: said {0:?} instead of its address")]
    Said(String),
}

const LISTENER: Token = Token(usize::MAX);

/// Runs until the time is over, or the parent's end of standard output is closed. The first line
/// written says where it listens.
pub(crate) fn run(args: &ProxyArgs) -> Result<(), ProxyError> {
    let shape = shape(args)?;
    if let Some(core) = args.cpu {
        cpu::pin(&[core]).map_err(|error| ProxyError::Pin(core, error))?;
    }
    let mut proxy = Proxy {
        listener: TcpListener::bind(args.listen)?,
        poll: Poll::new()?,
        to: args.to,
        shape,
        links: HashMap::new(),
        next: 0,
    };
    let interest = Interest::READABLE;
    proxy.poll.registry().register(&mut proxy.listener, LISTENER, interest)?;
    println!("{}", proxy.listener.local_addr()?);
    io::stdout().flush()?;
    Ok(proxy.run(Duration::from_secs(args.seconds))?)
}

fn shape(args: &ProxyArgs) -> Result<Shape, ProxyError> {
    let delay = Duration::try_from_secs_f64(args.delay / 1e3);
    let delay = delay.map_err(|_| ProxyError::Senseless("delay"))?;
    if args.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
        return Err(ProxyError::Senseless("rate"));
    }
    if args.window == 0 {
        return Err(ProxyError::Senseless("window"));
    }
    if args.queue == 0 {
        return Err(ProxyError::Senseless("queue"));
    }
    Ok(Shape {
        delay_ns: u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX),
        rate: args.rate,
        window_bytes: args.window,
        queue_bytes: args.queue,
    })
}

struct Proxy {
    listener: TcpListener,
    poll: Poll,
    to: SocketAddr,
    shape: Shape,
    links: HashMap<usize, Link>,
    next: usize,
}

impl Proxy {
    fn run(&mut self, life: Duration) -> io::Result<()> {
        let began = Instant::now();
        let clock_ns = || ns(began.elapsed());
        let mut events = Events::with_capacity(256);
        let mut over = Vec::new();
        let mut turned_ns = 0;
        while began.elapsed() < life {
            // Asked as of the last turn: what has come due since then was not seen by it.
            let changes = self.links.values().filter_map(|link| link.next_change_ns(turned_ns));
            let now_ns = clock_ns();
            let wait =
                changes.min().map(|at_ns| Duration::from_nanos(at_ns.saturating_sub(now_ns)));
            let wait = wait.unwrap_or(Duration::MAX).min(life.saturating_sub(began.elapsed()));
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            if events.iter().any(|event| event.token() == LISTENER) {
                self.accept();
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

    fn accept(&mut self) {
        while let Ok((client, _)) = self.listener.accept() {
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

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A proxy in a process of its own; dropped, it ends.
pub(crate) struct Proxying {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Proxying {
    /// Starts it; returns when it accepts connections.
    pub(crate) fn start(args: &ProxyArgs) -> Result<Self, ProxyError> {
        shape(args)?;
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        // It listens to nobody but its clients, and must not outlive an interrupted run all the same.
        command.args(launch_words(&[])).arg(&program).arg("proxy").stdout(Stdio::piped());
        for (name, value) in [
            ("listen", Some(args.listen.to_string())),
            ("to", Some(args.to.to_string())),
            ("delay", Some(args.delay.to_string())),
            ("rate", args.rate.map(|rate| rate.to_string())),
            ("window", Some(args.window.to_string())),
            ("queue", Some(args.queue.to_string())),
            ("cpu", args.cpu.map(|cpu| cpu.to_string())),
            ("seconds", Some(args.seconds.to_string())),
        ] {
            if let Some(value) = value {
                command.arg(format!("--{name}={value}"));
            }
        }
        let mut child = command.spawn()?;
        let output = child.stdout.take();
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut proxying = Self { child, address: unspecified };
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        proxying.address = line.trim().parse().map_err(|_| ProxyError::Said(line))?;
        Ok(proxying)
    }
}

impl Drop for Proxying {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A proxy on a thread of this process, in front of a server that echoes.
    fn echo_behind(delay_ms: f64, rate: Option<f64>) -> std::net::TcpStream {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let args = ProxyArgs {
            listen: "127.0.0.1:0".parse().unwrap(),
            to: server.local_addr().unwrap(),
            delay: delay_ms,
            rate,
            window: 100_000,
            queue: 10_000,
            cpu: None,
            seconds: 30,
        };
        std::thread::spawn(move || {
            let (socket, _) = server.accept().unwrap();
            let (mut from, mut to) = (socket.try_clone().unwrap(), socket);
            // The client's end of the test ends the copy.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
        let listener = std::net::TcpListener::bind(args.listen).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let mut proxy = Proxy {
                listener: TcpListener::from_std(listener),
                poll: Poll::new().unwrap(),
                to: args.to,
                shape: shape(&args).unwrap(),
                links: HashMap::new(),
                next: 0,
            };
            let registry = proxy.poll.registry();
            registry.register(&mut proxy.listener, LISTENER, Interest::READABLE).unwrap();
            proxy.run(Duration::from_secs(args.seconds)).unwrap();
        });
        std::net::TcpStream::connect(address).unwrap()
    }

    #[test]
    fn a_round_trip_takes_both_delays() {
        let mut client = echo_behind(30.0, None);
        let began = Instant::now();
        client.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    }

    #[test]
    fn every_byte_arrives_in_order_at_the_links_rate_and_then_the_end() {
        let client = echo_behind(5.0, Some(2e6));
        let sent: Vec<u8> = (0..500_000u32).flat_map(|i| i.to_le_bytes()).take(500_000).collect();
        let mut writer = client.try_clone().unwrap();
        let writing = sent.clone();
        let began = Instant::now();
        std::thread::spawn(move || {
            writer.write_all(&writing).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let (mut reader, mut heard) = (client, Vec::new());
        reader.read_to_end(&mut heard).unwrap();
        assert!(heard == sent, "{} bytes of {}", heard.len(), sent.len());
        // 500 kB at 2 MB/s; what the queue holds may be under way at once.
        assert!(began.elapsed() >= Duration::from_millis(240), "{:?}", began.elapsed());
    }

    #[test]
    fn senseless_ways_are_refused() {
        let args = |delay, rate, window| ProxyArgs {
            listen: "127.0.0.1:0".parse().unwrap(),
            to: "127.0.0.1:1".parse().unwrap(),
            delay,
            rate,
            window,
            queue: 1,
            cpu: None,
            seconds: 1,
        };
        assert!(shape(&args(50.0, Some(1.0), 1)).is_ok());
        for (delay, rate, window) in
            [(-1.0, None, 1), (f64::NAN, None, 1), (1.0, Some(0.0), 1), (1.0, None, 0)]
        {
            assert!(matches!(shape(&args(delay, rate, window)), Err(ProxyError::Senseless(_))));
        }
    }
}
