//! What happens when something is used up.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway::shard::counters::Counter;

use super::client::{Client, Heard};
use super::process_view::cpu_ticks;
use super::rig::Rig;

#[test]
fn a_full_shard_stops_listening_and_listens_again_when_there_is_room() {
    let rig = Rig::with(|settings| settings.connections_max = 20);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::sbe(rig.address)).collect();
    rig.wait_until("it has stopped listening", |report| {
        report.counters[Counter::ListenerClosed] == 1
    });
    assert!(TcpStream::connect(rig.address).is_err());
    clients.truncate(10);
    let again = (0..6_000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        TcpStream::connect(rig.address).ok()
    });
    assert!(again.is_some(), "it listens again");
    drop(again);
    Client::subscribed(rig.address, &["S0.quote"]);
}

#[test]
fn without_descriptors_connections_are_refused_and_nothing_spins() {
    let gateway = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 200; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_gateway")])
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--shards", "1"])
        .args(["--descriptor-tables", "shared", "--symbols", "2", "--rate", "1"])
        .args(["--log-format", "json"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut gateway = Killed(gateway);
    let address = announced_address(&mut gateway.0);
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(address) {
        clients.push(client);
        assert!(clients.len() < 5000, "a full gateway goes on listening");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(clients.len() >= 50, "{} connections", clients.len());
    let (before, began) = (cpu_ticks(gateway.0.id()), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let spent = cpu_ticks(gateway.0.id()) - before;
    let part = spent as f64 / 100.0 / began.elapsed().as_secs_f64();
    assert!(part < 0.3, "{part} of a core");
}

/// A process that ends with its test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where a gateway says that it listens. Its later lines are thrown away.
fn announced_address(gateway: &mut std::process::Child) -> std::net::SocketAddr {
    let mut lines = std::io::BufReader::new(gateway.stderr.take().unwrap()).lines();
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            line["listen"].as_str()?.parse().ok()
        })
        .expect("it says where");
    std::thread::spawn(move || lines.count());
    address
}

#[test]
fn a_connection_over_the_hubs_limit_is_told_so() {
    let rig = Rig::with(|settings| settings.hub.connections_max = 3);
    let _clients: Vec<Client> = (0..3).map(|_| Client::sbe(rig.address)).collect();
    let mut client = Client::connect(rig.address);
    client.request("/v1/stream", super::client::UPGRADE);
    assert_eq!(client.expect_close(), 4003);
    assert!(matches!(client.hear(), Heard::End | Heard::Reset));
}

#[test]
fn a_client_that_sends_all_the_time_leaves_room_for_the_others() {
    let rig = Rig::with(|settings| settings.command_rate = 1_000_000);
    let address = rig.address;
    let mut flooding = Client::sbe(address);
    let is_enough = Arc::new(AtomicBool::new(false));
    let flood = {
        let is_enough = Arc::clone(&is_enough);
        std::thread::spawn(move || {
            const ANSWER: usize = "xx{\"op\":\"pong\",\"id\":1}".len();
            let ping = |id: u8| format!("{{\"op\":\"ping\",\"id\":{id}}}").into_bytes();
            let command = super::client::frame(super::client::TEXT, &ping(1));
            let reader = flooding.socket().try_clone().unwrap();
            let reading = std::thread::spawn(move || {
                let mut answers = BufReader::new(&reader);
                let mut answer = [0; ANSWER];
                for nth in 1.. {
                    answers.read_exact(&mut answer).unwrap();
                    if answer.ends_with(b"2}") {
                        return nth;
                    }
                }
                unreachable!("it counts further than that")
            });
            let mut sent = 0;
            // Relaxed: a flag that says nothing of other memory.
            while sent < 100_000 || !is_enough.load(Ordering::Relaxed) {
                flooding.write(&command.repeat(2000));
                sent += 2000;
            }
            flooding.send(super::client::TEXT, &ping(2));
            assert_eq!(reading.join().unwrap(), sent + 1, "each is answered");
        })
    };
    // It goes on until they are served: without a turn of their own they would never be.
    for _ in 0..20 {
        let mut client = Client::subscribed(address, &["S0.quote"]);
        client.subscribe(&["S1.quote"]);
    }
    assert!(!flood.is_finished(), "they were served beside it");
    is_enough.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    assert!(rig.count(Counter::ReadsRequeued) > 0);
}
