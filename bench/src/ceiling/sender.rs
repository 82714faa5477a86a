//! The bare sender's process: accepts, answers what the generator asks, sends until its clients go, says
//! what it did.
//!
//! It never sleeps: it looks at the clock until the next tick is due, which is what its core is for.

use std::io::{self, ErrorKind, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::crowd::{Crowd, UpTo};
use super::quotes::Quotes;
use super::{CeilingError, Order, SenderArgs, SenderReport};
use crate::canned;
use crate::clock::realtime_ns;
use crate::cpu::{self, CpuUse};

/// From the last subscription to the first tick: clients say that they are open before it comes.
const LEAD_NS: u64 = 100_000_000;

/// Runs the sender to its end.
pub(crate) fn send(args: &SenderArgs) -> Result<(), CeilingError> {
    cpu::pin(&[args.cpu]).map_err(|error| CeilingError::Pin(args.cpu, error))?;
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say(&listener.local_addr()?.to_string())?;
    let mut sockets = Vec::new();
    for _ in 0..args.connections {
        let (socket, _) = listener.accept()?;
        let socket = canned::welcome(socket)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let mut run = Run {
        crowd: Crowd::new(sockets, args.via, args.group)?,
        quotes: Quotes::new(args.rate, realtime_ns() + LEAD_NS),
        warm_up_ticks: args.warm_up_ticks,
        end,
        report: SenderReport::default(),
    };
    let before = CpuUse::now();
    let ended = match args.order {
        Order::Burst => run.bursts(),
        Order::PerPass => run.passes(),
        Order::LateBinding => run.late(),
    };
    match ended {
        // Clients that go end the run; that is how it is meant to end.
        Err(error)
            if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
        {
            return Err(error.into());
        }
        _ => {}
    }
    run.report.ticks = run.crowd.slowest();
    run.report.cpu = CpuUse::now().since(before);
    let report = serde_json::to_string(&run.report).map_err(io::Error::other)?;
    say(&report)?;
    Ok(())
}

/// A line to the parent.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

struct Run {
    crowd: Crowd,
    quotes: Quotes,
    warm_up_ticks: u64,
    end: Instant,
    report: SenderReport,
}

impl Run {
    /// One tick at a time. Returns the error that ended it, if it was not the time.
    fn bursts(&mut self) -> io::Result<()> {
        while Instant::now() < self.end {
            let due_ns = self.quotes.due_ns(self.quotes.head());
            if realtime_ns() < due_ns {
                std::hint::spin_loop();
                continue;
            }
            self.quotes.make_next();
            let tick = self.quotes.head();
            let is_timed = tick > self.warm_up_ticks;
            let began_ns = realtime_ns();
            let sends = self.crowd.pass(&mut self.quotes, UpTo::Tick(tick), &mut self.report)?;
            if is_timed {
                let ended_ns = realtime_ns();
                self.timed(sends, ended_ns.saturating_sub(began_ns));
                self.report.from_due.record(ended_ns.saturating_sub(due_ns));
            }
        }
        Ok(())
    }

    /// What is due, to everybody; then what has become due meanwhile.
    fn passes(&mut self) -> io::Result<()> {
        while Instant::now() < self.end {
            let began_ns = realtime_ns();
            self.quotes.advance(began_ns);
            let up_to = UpTo::Tick(self.quotes.head());
            self.pass(up_to, began_ns)?;
        }
        Ok(())
    }

    /// What is due at the turn of each.
    fn late(&mut self) -> io::Result<()> {
        while Instant::now() < self.end {
            self.pass(UpTo::Now(realtime_ns), realtime_ns())?;
        }
        Ok(())
    }

    fn pass(&mut self, up_to: UpTo, began_ns: u64) -> io::Result<()> {
        let sends = self.crowd.pass(&mut self.quotes, up_to, &mut self.report)?;
        // A pass that found nothing due is no pass, but the wait for one.
        if sends > 0 && self.quotes.head() > self.warm_up_ticks {
            self.timed(sends, realtime_ns().saturating_sub(began_ns));
        }
        Ok(())
    }

    fn timed(&mut self, sends: u64, pass_ns: u64) {
        self.report.pass.record(pass_ns);
        self.report.timed_sends += sends;
        self.report.timed_ns += pass_ns;
    }
}
