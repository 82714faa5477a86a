//! A cable between real sockets: what comes out at the other end, when, and how it ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use cable::{Cable, Shape};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that echoes to one client after another, each on a thread of its own.
fn echo() -> SocketAddr {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((socket, _)) = server.accept() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (socket.try_clone().unwrap(), socket);
                // The end of the client's side ends the copy.
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn connect(cable: &Cable) -> TcpStream {
    let client = TcpStream::connect(cable.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn hear(client: &mut TcpStream, what: &[u8]) {
    let mut heard = vec![0; what.len()];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(heard, what);
}

#[test]
fn a_round_trip_takes_both_delays() {
    let shape = Shape { delay_ns: 30_000_000, ..Shape::default() };
    let cable = Cable::shaped(echo(), shape).unwrap();
    let mut client = connect(&cable);
    let began = Instant::now();
    client.write_all(b"hello").unwrap();
    hear(&mut client, b"hello");
    assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
}

#[test]
fn every_byte_arrives_in_order_at_the_links_rate_and_then_the_end() {
    let shape = Shape {
        delay_ns: 5_000_000,
        rate: Some(2e6),
        window_bytes: 100_000,
        queue_bytes: 10_000,
        ..Shape::default()
    };
    let cable = Cable::shaped(echo(), shape).unwrap();
    let client = connect(&cable);
    let sent: Vec<u8> = (0..500_000u32).flat_map(u32::to_le_bytes).take(500_000).collect();
    let mut writer = client.try_clone().unwrap();
    let writing = sent.clone();
    let began = Instant::now();
    std::thread::spawn(move || {
        writer.write_all(&writing).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let (mut reader, mut heard) = (client, Vec::new());
    reader.read_to_end(&mut heard).unwrap();
    assert!(heard == sent, "{} bytes of {}", heard.len(), sent.len());
    // 500 kB at 2 MB/s; what the queue holds may be under way at once.
    assert!(began.elapsed() >= Duration::from_millis(240), "{:?}", began.elapsed());
}

#[test]
fn pieces_add_up() {
    let cable = Cable::shaped(echo(), Shape { piece_bytes: 3, ..Shape::default() }).unwrap();
    let mut client = connect(&cable);
    let sent: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    client.write_all(&sent).unwrap();
    hear(&mut client, &sent);
}

#[test]
fn what_stalls_goes_on_where_it_was() {
    let cable = Cable::to(echo());
    let mut client = connect(&cable);
    client.write_all(b"one").unwrap();
    hear(&mut client, b"one");
    cable.stall();
    client.write_all(b"two").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let nothing = client.read(&mut [0; 1]).unwrap_err().kind();
    assert!(matches!(nothing, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    cable.go_on();
    hear(&mut client, b"two");
}

#[test]
fn a_cut_is_silent_and_final() {
    let cable = Cable::to(echo());
    let mut client = connect(&cable);
    client.write_all(b"one").unwrap();
    hear(&mut client, b"one");
    cable.cut();
    client.write_all(b"two").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let nothing = client.read(&mut [0; 1]).unwrap_err().kind();
    assert!(matches!(nothing, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    assert!(TcpStream::connect(cable.address).is_err());
}

#[test]
fn a_reset_reaches_the_client_and_the_next_connection_is_taken() {
    let cable = Cable::to(echo());
    let mut client = connect(&cable);
    client.write_all(b"one").unwrap();
    hear(&mut client, b"one");
    cable.reset();
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut next = connect(&cable);
    next.write_all(b"two").unwrap();
    hear(&mut next, b"two");
}

#[test]
fn connections_get_through_in_another_order_than_they_came_in() {
    const CLIENTS: u8 = 16;
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let shape = Shape { spread_ns: 500_000_000, ..Shape::default() };
    let cable = Cable::shaped(server.local_addr().unwrap(), shape).unwrap();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(&cable)).collect();
    for (number, client) in (0..CLIENTS).zip(&mut clients) {
        client.write_all(&[number]).unwrap();
    }
    let arrived: Vec<u8> = (0..CLIENTS)
        .map(|_| {
            let mut number = [0];
            server.accept().unwrap().0.read_exact(&mut number).unwrap();
            number[0]
        })
        .collect();
    assert!(!arrived.is_sorted(), "{arrived:?}");
    let mut sorted = arrived;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..CLIENTS).collect::<Vec<u8>>());
}
