//! `bench canned`: how fast the generator itself is.
//!
//! The server here is as bare as one can be: a loop of blocking sends of one prebuilt frame of quotes
//! to each of its connections, only sequence numbers and the time patched in. It runs on a core of its
//! own and outruns any gateway, so what the worker on the other core takes is the generator's limit,
//! with everything it always does: parse, account, record latencies.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use wire::Encoding;

use crate::clock::realtime_ns;
use crate::cpu;
use crate::frame::{self, Opcode};
use crate::generator::load::{self, LoadArgs, LoadError};
use crate::generator::report::Report;
use crate::generator::upgrade;
use crate::quote::{self, QUOTE_BYTES};

/// Measure the generator against a canned sender.
#[derive(Args, Debug)]
pub(crate) struct CannedArgs {
    /// Connections.
    #[arg(long, default_value_t = 50)]
    connections: u64,
    /// Quotes in one frame: 255 are 16 KiB.
    #[arg(long, default_value_t = 255)]
    batch: u16,
    /// Seconds measured.
    #[arg(long, default_value_t = 5.0)]
    duration: f64,
    /// Core of the sender.
    #[arg(long, default_value_t = 0)]
    sender_cpu: usize,
    /// Core of the generator's one worker.
    #[arg(long, default_value_t = 1)]
    cpu: usize,
    /// Write the report as JSON; - is standard output, instead of the table.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<std::path::PathBuf>,
}

/// The sender's own process.
#[derive(Args, Debug)]
pub(crate) struct SenderArgs {
    #[arg(long)]
    connections: u64,
    #[arg(long)]
    batch: u16,
    /// Ends after so many seconds whatever happens.
    #[arg(long)]
    seconds: u64,
    #[arg(long)]
    cpu: usize,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CannedError {
    #[error("sender: {0}")]
    Io(#[from] io::Error),
    #[error("sender: cannot pin to core {0}: {1}")]
    Pin(usize, nix::Error),
    #[error("sender: said no address")]
    Address,
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Runs sender and load.
pub(crate) fn run(args: &CannedArgs) -> Result<Report, CannedError> {
    let (_sender, address) = Sender::start(args)?;
    let load = LoadArgs {
        url: format!("ws://{address}/"),
        connections: args.connections,
        topics: Some("S0.quote".to_owned()),
        duration: args.duration,
        warm_up: 1.0,
        drain: 0.0,
        workers: Some(1),
        cpu: vec![args.cpu],
        ramp_rate: 1_000.0,
        ramp_concurrency: 1,
        patience: 10.0,
        json: args.json.clone(),
        ..LoadArgs::default()
    };
    Ok(load::run(&load)?)
}

/// The sender's process; it ends with this.
struct Sender(Child);

impl Sender {
    fn start(args: &CannedArgs) -> Result<(Self, SocketAddr), CannedError> {
        // Room for the ramp and the warm-up; ended earlier when the load is over.
        let seconds = load::seconds("duration", args.duration)?.as_secs() + 60;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("canned-sender");
        for (name, value) in [
            ("--connections", args.connections.to_string()),
            ("--batch", args.batch.to_string()),
            ("--cpu", args.sender_cpu.to_string()),
            ("--seconds", seconds.to_string()),
        ] {
            command.arg(name).arg(value);
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take();
        let sender = Self(child);
        let mut line = String::new();
        io::BufRead::read_line(
            &mut io::BufReader::new(output.ok_or(CannedError::Address)?),
            &mut line,
        )?;
        let address = line.trim().parse().map_err(|_| CannedError::Address)?;
        Ok((sender, address))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The sender's process: accepts, answers, blasts until nobody listens.
pub(crate) fn send(args: &SenderArgs) -> Result<(), CannedError> {
    cpu::pin(&[args.cpu]).map_err(|error| CannedError::Pin(args.cpu, error))?;
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let mut sockets = Vec::new();
    for _ in 0..args.connections {
        let (socket, _) = listener.accept()?;
        sockets.push(welcome(socket)?);
    }
    let mut frame = CannedFrame::new(args.batch);
    let mut next_seq = 1;
    while Instant::now() < end {
        frame.patch(realtime_ns(), next_seq);
        for socket in &mut sockets {
            if socket.write_all(&frame.bytes).is_err() {
                return Ok(());
            }
        }
        next_seq += u64::from(args.batch);
    }
    Ok(())
}

/// Answers upgrade and subscription. What the client sends is known, so only its amount is awaited:
/// the end of the head, then one command.
pub(crate) fn welcome(mut socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match socket.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&chunk[..read]),
        }
    }
    socket.write_all(&upgrade::response(Some(Encoding::Sbe.subprotocol())))?;
    if socket.read(&mut chunk)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let ack = br#"{"op":"ack","id":1,"results":[{"topic":"S0.quote","ok":true,"seq":"0"}]}"#;
    let mut out = Vec::new();
    frame::write_server_header(&mut out, Opcode::Text, ack.len());
    out.extend_from_slice(ack);
    socket.write_all(&out)?;
    Ok(socket)
}

/// A frame of quotes, written once.
struct CannedFrame {
    bytes: Vec<u8>,
    header: usize,
}

impl CannedFrame {
    fn new(batch: u16) -> Self {
        let payload = quote::template().repeat(usize::from(batch));
        let mut bytes = Vec::new();
        frame::write_server_header(&mut bytes, Opcode::Binary, payload.len());
        let header = bytes.len();
        bytes.extend_from_slice(&payload);
        Self { bytes, header }
    }

    /// Sets each quote's time and its number.
    fn patch(&mut self, ts_event_ns: u64, first_seq: u64) {
        let quotes = self.bytes[self.header..].chunks_exact_mut(QUOTE_BYTES);
        for (seq, quote) in (first_seq..).zip(quotes) {
            quote::patch(quote, ts_event_ns, seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::ledger::Ledger;
    use crate::generator::tally::{Arrivals, Cohort, Tally};

    #[test]
    fn canned_frames_are_what_the_generator_reads() {
        let mut frame = CannedFrame::new(255);
        let (mut tally, mut ledger) =
            (Tally::new(Encoding::Sbe, Arrivals::Unkept), Ledger::default());
        for round in 0..3 {
            frame.patch(1_000, 1 + round * 255);
            let frame::Parsed::Frame(parsed) = frame::parse(&frame.bytes).unwrap() else {
                panic!("whole")
            };
            assert_eq!(tally.message(&mut ledger, Cohort::Healthy, parsed.payload, 2_000), 255);
        }
        assert!(!tally.accounting.is_broken());
    }
}
