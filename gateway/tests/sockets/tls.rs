//! The same over TLS.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use gateway::shard::Echo;
use gateway::shard::counters::Counter;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use wire::Channel;

use super::client::{BINARY, Client, Frame, UPGRADE};
use super::follower::Follower;
use super::rig::Rig;

struct Identity {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Identity {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { server: Arc::new(server), client: Arc::new(client) }
    }

    fn connect(&self, rig: &Rig) -> Client {
        let socket = TcpStream::connect(rig.address).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let stream = StreamOwned::new(connection, socket.try_clone().unwrap());
        Client::over(Box::new(stream), socket)
    }
}

fn rig(identity: &Identity) -> Rig {
    Rig::with_tls(Some(Arc::clone(&identity.server)), |settings| {
        settings.sockets.send_buffer_bytes = Some(16 * 1024);
        settings.sockets.unsent_max_bytes = Some(16 * 1024);
    })
}

#[test]
fn subscribers_get_everything_and_commands_behind_the_handshake_are_not_lost() {
    let identity = Identity::new();
    let mut rig = rig(&identity);
    let mut client = identity.connect(&rig);
    let mut bytes = format!(
        "GET /v1/stream HTTP/1.1\r\nHost: test\r\n{UPGRADE}Sec-WebSocket-Protocol: tickcast.v1.sbe\r\n\r\n"
    )
    .into_bytes();
    bytes.extend(super::client::frame(super::client::TEXT, b"{\"op\":\"ping\",\"id\":1}"));
    client.write(&bytes);
    assert!(client.response().starts_with("HTTP/1.1 101"));
    assert!(client.frame().text().contains("hello"));
    assert_eq!(client.frame().text(), "{\"op\":\"pong\",\"id\":1}");
    client.subscribe(&["S0.quote"]);
    let mut follower = Follower::default();
    rig.market.quote(0);
    rig.market.wake();
    follower.follow(&mut client, (0, Channel::Quote), 1);
    for _ in 0..999 {
        rig.market.quote(0);
        rig.market.wake();
    }
    follower.follow(&mut client, (0, Channel::Quote), 1000);
    assert_eq!(follower.topic(0, Channel::Quote).delivered, 1000);
    client.send(super::client::CLOSE, &1000u16.to_be_bytes());
    assert_eq!(client.expect_close(), 1000);
}

#[test]
fn a_stalled_reader_keeps_a_record_and_resumes_with_exact_gaps() {
    let identity = Identity::new();
    let mut rig = rig(&identity);
    let mut client = identity.connect(&rig).into_sbe();
    client.subscribe(&["S0.quote", "S0.trade"]);
    rig.market.quote(0);
    rig.market.trade(0);
    rig.market.wake();
    let mut follower = Follower::default();
    follower.follow(&mut client, (0, Channel::Quote), 1);
    follower.follow(&mut client, (0, Channel::Trade), 1);
    for _ in 0..600 {
        for _ in 0..100 {
            rig.market.quote(0);
            rig.market.trade(0);
        }
        rig.market.wake();
        std::thread::sleep(Duration::from_micros(300));
    }
    rig.wait_until("it is blocked", |report| report.blocked == 1);
    let report = rig.report();
    assert!(report.kept_bytes <= 20 * 1024, "{} bytes kept", report.kept_bytes);
    follower.follow(&mut client, (0, Channel::Quote), 60_001);
    follower.follow(&mut client, (0, Channel::Trade), 60_001);
    for channel in [Channel::Quote, Channel::Trade] {
        let seen = follower.topic(0, channel);
        assert_eq!(seen.delivered + seen.skipped, 60_001);
        assert!(seen.skipped > 0);
    }
}

#[test]
fn messages_of_every_size_pass() {
    let identity = Identity::new();
    let rig = Rig::with_tls(Some(Arc::clone(&identity.server)), |settings| {
        settings.echo = Echo::Served;
    });
    let mut client = identity.connect(&rig);
    assert!(client.request("/v1/echo", UPGRADE).starts_with("HTTP/1.1 101"));
    // What is more than 64 KiB at once takes several records, and more than a TLS library keeps by default.
    for bytes in [0usize, 16_384, 65_536, 400_000] {
        let payload: Vec<u8> = (0..bytes).map(|i| (i * 31) as u8).collect();
        client.send(BINARY, &payload);
        assert_eq!(client.frame(), Frame { first: BINARY, payload }, "{bytes} bytes");
    }
    rig.wait_until("nothing is kept", |report| report.kept_bytes == 0);
}

#[test]
fn an_event_stream_is_served_too() {
    let identity = Identity::new();
    let mut rig = rig(&identity);
    let mut client = identity.connect(&rig);
    let head = client.request("/v1/sse?topics=S0.quote", "");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    for _ in 0..3 {
        rig.market.quote(0);
    }
    rig.market.wake();
    let text = client.hear_text_until("\"seq\":\"3\"");
    assert!(text.contains("event: hello\ndata: {\"op\":\"hello\""), "{text}");
    assert!(text.contains("\ndata: [{\"e\":\"definition\""), "{text}");
}

#[test]
fn handshakes_that_are_none_or_do_not_come_are_closed() {
    let identity = Identity::new();
    let rig = Rig::with_tls(Some(Arc::clone(&identity.server)), |settings| {
        // Long enough for those who are in earnest, on a busy machine too.
        settings.handshake_timeout = Duration::from_secs(6);
    });
    let mut plain = Client::connect(rig.address);
    plain.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    plain.hear_end();
    let mut silent = Client::connect(rig.address);
    silent.hear_end();
    assert_eq!(rig.count(Counter::HandshakesFailed), 1);
    assert_eq!(rig.count(Counter::HandshakesTimedOut), 1);
    identity.connect(&rig).into_sbe();
}

#[test]
fn a_crowd_of_handshakes_is_served_by_a_shard_that_was_asleep() {
    let identity = Identity::new();
    let rig = Rig::with_tls(Some(Arc::clone(&identity.server)), |_| {});
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| identity.connect(&rig).into_sbe());
        }
    });
    assert_eq!(rig.count(Counter::SessionsOpened), 64);
    assert_eq!(rig.count(Counter::HandshakesTimedOut), 0);
}
