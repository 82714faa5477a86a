//! A server that breaks its promises, on purpose and one at a time: the generator must name what it
//! broke. A measurement that finds nothing wrong is worth as much as its eye for what is.
//!
//! The server is this test's own; it knows the upgrade and the 64-byte quote, nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use wire::{Channel, Encoding, Instrument, Quote, Symbol, Tick};

/// What the server does instead of delivering each quote once and in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Every tenth quote does not come.
    Loses,
    /// Every tenth comes twice.
    Doubles,
    /// Every tenth comes behind the one after it.
    Swaps,
    /// Every tenth is cut off in the middle.
    Cuts,
    /// Nothing comes at all.
    Silent,
    /// After so many it closes the connection.
    Closes,
}

/// Of the nonce that the generator always sends, the RFC's own example.
const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A server of one quote a millisecond to each of its connections.
struct Server {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let accepting = thread::spawn(move || {
            let mut serving = Vec::new();
            for socket in listener.incoming() {
                if flag.load(Ordering::Relaxed) {
                    break;
                }
                let (socket, flag) = (socket.unwrap(), Arc::clone(&flag));
                serving.push(thread::spawn(move || serve(socket, fault, &flag)));
            }
            for one in serving {
                one.join().unwrap();
            }
        });
        Self { address, is_over, accepting: Some(accepting) }
    }

    /// A load on it until enough has come; what the generator says, and its report.
    fn load(&self) -> (Output, Value) {
        self.load_for(&["--duration", "120", "--count", "600"])
    }

    /// A load on it for as long as these arguments say.
    fn load_for(&self, duration: &[&str]) -> (Output, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(["load", "--dialect", "path", "--topics", "S0.quote", "--connections", "3"]);
        command.args(["--warm-up", "0.2", "--drain", "0", "--json", "-"]).args(duration);
        let output = command.args(["--url", &format!("ws://{}/", self.address)]).output().unwrap();
        let report = serde_json::from_slice(&output.stdout).expect("a report");
        (output, report)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the accepting thread; if it is gone already, it failed and says so.
        let _ = TcpStream::connect(self.address);
        self.accepting.take().unwrap().join().unwrap();
    }
}

fn serve(mut socket: TcpStream, fault: Fault, is_over: &AtomicBool) {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match socket.read(&mut chunk) {
            // The connect that ends the server, or a client that went.
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&chunk[..read]),
        }
    }
    let mut is_there = socket.write_all(RESPONSE.as_bytes()).is_ok();
    for n in (1..).step_by(10) {
        if !is_there || is_over.load(Ordering::Relaxed) || (fault == Fault::Closes && n > 500) {
            return;
        }
        // Ten numbers, of which the fifth is where it goes wrong.
        let mut numbers: Vec<u64> = (n..n + 10).collect();
        match fault {
            Fault::Loses => drop(numbers.remove(4)),
            Fault::Doubles => numbers.insert(4, n + 4),
            Fault::Swaps => numbers.swap(4, 5),
            Fault::Silent => numbers.clear(),
            Fault::None | Fault::Cuts | Fault::Closes => {}
        }
        for seq in numbers {
            let mut quote = quote(seq);
            if fault == Fault::Cuts && seq == n + 4 {
                quote.truncate(40);
            }
            // A whole binary message that is shorter than 126 bytes, unmasked.
            let mut frame = vec![0x82, u8::try_from(quote.len()).unwrap()];
            frame.extend(quote);
            is_there &= socket.write_all(&frame).is_ok();
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn quote(seq: u64) -> Vec<u8> {
    let instrument = Instrument {
        id: 0,
        symbol: Symbol::new("S0").unwrap(),
        base_len: 0,
        price_exponent: 0,
        quantity_exponent: 0,
        tick_size: 1,
        lot_size: 1,
        channels: Channel::Quote.bit(),
    };
    let quote =
        Quote { bid_price: 1, bid_quantity: 1, ask_price: 2, ask_quantity: 1, update_id: seq };
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let mut tick = Tick::from_quote(0, u64::try_from(now_ns).unwrap(), &quote);
    tick.seq = seq;
    let mut bytes = Vec::new();
    Encoding::Sbe.entry(&mut bytes, &[tick], &instrument);
    bytes
}

/// Whether a fault makes the load fail, and is counted under this name and no other.
fn is_named(fault: Fault, name: &str) {
    let (output, report) = Server::start(fault).load();
    assert_eq!(output.status.code(), Some(1), "{name}: {report}");
    for kind in ["missing", "doubled", "reordered", "misaccounted", "malformed"] {
        let count = report["accounting"][kind].as_u64().unwrap();
        assert_eq!(count > 0, kind == name, "{name}: {count} {kind}");
    }
}

#[test]
fn a_server_that_keeps_its_promise_is_found_to() {
    let (output, report) = Server::start(Fault::None).load();
    assert!(output.status.success(), "{report}");
    assert!(report["traffic"]["messages_in_window"].as_u64() > Some(0), "{report}");
    for kind in ["missing", "doubled", "reordered", "misaccounted", "malformed", "skipped"] {
        assert_eq!(report["accounting"][kind], 0, "{kind}");
    }
}

#[test]
fn a_lost_tick_is_missing() {
    is_named(Fault::Loses, "missing");
}

#[test]
fn a_tick_that_comes_twice_is_doubled() {
    is_named(Fault::Doubles, "doubled");
}

#[test]
fn a_cut_off_tick_is_malformed() {
    // It also leaves a hole: what cannot be read was not delivered.
    let (output, report) = Server::start(Fault::Cuts).load();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report["accounting"]["malformed"].as_u64() > Some(0), "{report}");
    assert!(report["accounting"]["missing"].as_u64() > Some(0), "{report}");
}

#[test]
fn a_tick_behind_its_successor_is_reordered() {
    // When the successor came, its number was missing, too.
    let (output, report) = Server::start(Fault::Swaps).load();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report["accounting"]["reordered"].as_u64() > Some(0), "{report}");
}

#[test]
fn who_gets_nothing_or_is_sent_away_is_counted() {
    let warnings = |fault, seconds: &str| {
        let (_, report) = Server::start(fault).load_for(&["--duration", seconds]);
        report["warnings"].to_string()
    };
    let silent = warnings(Fault::Silent, "0.6");
    assert!(silent.contains("not_all_received"), "{silent}");
    // A server that is not run for a while closes later.
    let mut tries = ["1", "10", "60"].into_iter().map(|seconds| warnings(Fault::Closes, seconds));
    assert!(tries.any(|closed| closed.contains("closed")), "never closed");
}
