//! The real binary from its start to its end: every source, what keeps it from starting, signals.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use feed_sim::{Feed as _, Feeder};
use ring::Ring;
use rustls_pki_types::CertificateDer;
use support::process::{Gateway, free_address, get, until};
use support::subscriber::{Message, Subscriber};

const JSON: &str = "tickcast.v1.json";

/// Runs a gateway that is expected to end by itself.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    if !arguments.contains(&"--admin-listen") {
        command.args(["--admin-listen", "127.0.0.1:0"]);
    }
    command.args(["--log-level", "off"]).args(arguments).output().unwrap()
}

/// The one line that it says, with exit code 1.
fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "one line, not: {text}");
    text
}

fn ready(gateway: &Gateway) -> (u16, serde_json::Value) {
    let (status, body) = get(gateway.admin, "/readyz").unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

fn signal(gateway: &Gateway, name: &str) {
    let status =
        Command::new("kill").args([name, &gateway.process.pid().to_string()]).status().unwrap();
    assert!(status.success());
}

fn next_close(subscriber: &mut Subscriber) -> u16 {
    loop {
        match subscriber.next(Duration::from_secs(30)) {
            Some(Message::Close(code)) => return code,
            Some(Message::Text(_) | Message::Binary(_)) => {}
            other => panic!("expected a close frame, got {other:?}"),
        }
    }
}

#[test]
fn the_simulator_is_the_source_when_nothing_is_said() {
    let gateway = Gateway::start(&["--shards", "1"]);
    let (status, body) = get(gateway.listen, "/v1/instruments").unwrap();
    assert_eq!(status, 200);
    let list: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(list["instruments"].as_array().unwrap().len(), 20);
    until("ticks", || (gateway.metric("tickcast_ticks_total") > 100.0).then_some(()));
}

#[test]
fn a_pulse_keeps_its_rate() {
    let gateway =
        Gateway::start(&["--source", "pulse", "--symbols", "3", "--rate", "500", "--shards", "1"]);
    let count = || gateway.metric("tickcast_ticks_total");
    // A busy machine asks late now and then, and not each time.
    let mut rates = Vec::new();
    let is_kept = (0..10).any(|_| {
        let (first, begin) = (count(), Instant::now());
        std::thread::sleep(Duration::from_secs(2));
        let rate = (count() - first) / begin.elapsed().as_secs_f64();
        rates.push(rate);
        (400.0..600.0).contains(&rate)
    });
    assert!(is_kept, "{rates:?} ticks a second instead of 500");
}

#[test]
fn a_replay_waits_for_the_first_subscriber_and_says_when_it_has_ended() {
    let gateway = Gateway::replaying("spot_ethusdt_20240808.gz", "max");
    std::thread::sleep(Duration::from_millis(300));
    // The epoch and one definition.
    assert_eq!(gateway.metric("tickcast_feed_published_total"), 2.0);

    let mut subscriber = Subscriber::connect(gateway.listen, JSON);
    subscriber.send(r#"{"op":"subscribe","id":1,"topics":["ETHUSDT.status","ETHUSDT.trade"]}"#);
    let stopped = |text: &str| text.contains(r#""e":"feed""#) && text.contains(r#""stopped""#);
    let mut trades = 0;
    loop {
        match subscriber.next(Duration::from_secs(60)) {
            Some(Message::Text(text)) => {
                trades += text.matches(r#""e":"trade""#).count();
                if stopped(&text) {
                    break;
                }
            }
            other => panic!("the stream stays up: {other:?}"),
        }
    }
    assert_eq!(trades, 6_106, "every recorded trade comes before the end is announced");
    until("operators to be told", || {
        let (status, ready) = ready(&gateway);
        (status == 503 && ready["reasons"][0] == "the feed is stopped").then_some(())
    });
    let (status, body) = get(gateway.listen, "/v1/snapshot/ETHUSDT").unwrap();
    assert_eq!(status, 200);
    assert!(body.contains(r#""e":"trade""#), "{body}");
}

#[test]
fn what_cannot_be_listened_on_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = refusal(&["--listen", &address]);
    assert!(text.contains(&format!("cannot listen on {address} (listen)")), "{text}");
    assert!(text.contains("in use by another process"), "{text}");
    let text = refusal(&["--admin-listen", &address]);
    assert!(text.contains(&format!("cannot listen on {address} (admin-listen)")), "{text}");
}

#[test]
fn a_second_gateway_does_not_join_the_port_of_the_first() {
    let gateway = Gateway::start(&["--source", "pulse", "--shards", "2"]);
    let text = refusal(&["--listen", &gateway.listen.to_string()]);
    assert!(text.contains("in use by another process"), "{text}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        path(name)
    };
    let garbage = write("garbage.pem", "not a certificate");
    let text = refusal(&["--tls-cert", &path("missing.pem"), "--tls-key", &garbage]);
    assert!(text.contains("tls-cert") && text.contains("cannot be read"), "{text}");
    let text = refusal(&["--tls-cert", &garbage, "--tls-key", &garbage]);
    assert!(text.contains("no certificate in it"), "{text}");
    let text = refusal(&["--source", &format!("replay:{}", path("missing.gz"))]);
    assert!(text.contains("missing.gz"), "{text}");
    let text = refusal(&["--source", &format!("replay:{garbage}")]);
    assert!(text.contains("garbage.pem"), "{text}");
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let output = run(&["--source", "sim", "--symbols", "50k"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("source sim") && text.contains("20000"), "{text}");
}

#[test]
fn a_signal_drains_and_the_exit_code_says_that_all_is_well() {
    let mut gateway =
        Gateway::start(&["--source", "pulse", "--shards", "2", "--drain-window", "500ms"]);
    let mut subscriber = Subscriber::connect(gateway.listen, JSON);
    signal(&gateway, "-TERM");
    assert_eq!(next_close(&mut subscriber), 4001);
    assert_eq!(gateway.process.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut gateway =
        Gateway::start(&["--source", "pulse", "--shards", "1", "--drain-window", "10m"]);
    // Three sessions: the last of them would be closed after minutes.
    let _subscribers: Vec<Subscriber> =
        (0..3).map(|_| Subscriber::connect(gateway.listen, JSON)).collect();
    signal(&gateway, "-INT");
    until("the drain", || (ready(&gateway).1["reasons"][0] == "draining").then_some(()));
    signal(&gateway, "-INT");
    assert_eq!(gateway.process.wait(), Some(130));
}

/// Writes a new self-signed certificate and its key, and returns it as clients know it.
fn write_certificate(chain: &Path, key: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(chain, made.cert.pem()).unwrap();
    std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

/// Whether a client that trusts only this certificate gets an answer.
fn is_trusted(gateway: &Gateway, certificate: &CertificateDer<'static>) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(client, TcpStream::connect(gateway.listen).unwrap());
    let asked = stream.write_all(b"GET /v1/instruments HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let mut head = [0; 12];
    asked.is_ok() && stream.read_exact(&mut head).is_ok() && head.ends_with(b" 200")
}

#[test]
fn a_hangup_reads_the_certificate_again_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let first = write_certificate(&chain, &key);
    let gateway = Gateway::start(&[
        "--source",
        "pulse",
        "--shards",
        "1",
        "--tls-cert",
        chain.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ]);
    assert!(is_trusted(&gateway, &first));

    let second = write_certificate(&chain, &key);
    assert!(!is_trusted(&gateway, &second), "not before it is told");
    signal(&gateway, "-HUP");
    until("the new certificate", || is_trusted(&gateway, &second).then_some(()));
    assert!(!is_trusted(&gateway, &first));
    until("the reload to be counted", || {
        (gateway.metric("tickcast_certificate_reloads_total") == 1.0).then_some(())
    });

    std::fs::write(&chain, "broken").unwrap();
    signal(&gateway, "-HUP");
    until("a failed reload", || {
        (gateway.metric("tickcast_certificate_failures_total") == 1.0).then_some(())
    });
    assert!(is_trusted(&gateway, &second), "it goes on with the one it has");
}

#[test]
fn a_certificate_that_has_expired_is_served_warned_of_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let pair = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&chain, parameters.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let paths = [chain.to_str().unwrap(), key.to_str().unwrap()];
    let tls = ["--source", "pulse", "--shards", "1", "--tls-cert", paths[0], "--tls-key", paths[1]];
    let gateway = Gateway::start(&tls);
    until("the warning", || gateway.process.log().contains("has expired").then_some(()));
    assert_eq!(gateway.metric("tickcast_certificate_expires_seconds"), 1_577_836_800.0);

    let trusted = write_certificate(&chain, &key);
    signal(&gateway, "-HUP");
    until("the new certificate", || is_trusted(&gateway, &trusted).then_some(()));
    until("its end", || {
        let expires = gateway.metric("tickcast_certificate_expires_seconds");
        (expires == 67_090_118_400.0).then_some(())
    });
    assert_eq!(gateway.process.log().matches("expire").count(), 1);
}

/// A pulse in a shared ring that the test publishes by hand.
struct Publisher {
    feeder: Feeder,
    pulse: feed_sim::pulse::Pulse,
}

impl Publisher {
    fn create(path: &Path, epoch: u64) -> Self {
        let pulse = feed_sim::pulse::Pulse::new(4, 100.0).unwrap();
        let shape = feed_sim::shape(pulse.instruments(), 4096, 0);
        let (publisher, _) = Ring::create(path, shape, epoch).unwrap();
        let mut feeder = Feeder::new(publisher, shape);
        feeder.begin_epoch(pulse.instruments(), feed_sim::realtime_ns()).unwrap();
        Self { feeder, pulse }
    }

    fn publish(&mut self, ticks: usize) {
        let mut batch = Vec::new();
        for _ in 0..ticks {
            let _ = self.pulse.next(&mut batch);
        }
        self.feeder.publish(&batch, feed_sim::realtime_ns()).unwrap();
    }
}

fn shm_gateway(path: &Path) -> Gateway {
    let source = format!("shm:{}", path.display());
    Gateway::spawn(
        free_address(),
        &["--source", &source, "--shards", "2", "--feed-silent-after", "300ms"],
    )
}

fn feed_becomes(gateway: &Gateway, state: &str) {
    let sample = format!("tickcast_feed_state{{state=\"{state}\"}} 1");
    until(&format!("the feed to be {state}; log:\n{}", gateway.process.log()), || {
        get(gateway.admin, "/metrics").filter(|(_, text)| text.contains(&sample))
    });
}

fn ring_path(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("ring")
}

#[test]
fn a_shared_ring_that_is_missing_is_waited_for() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = ring_path(&folder);
    let gateway = shm_gateway(&path);
    let (status, body) = ready(&gateway);
    assert_eq!(status, 503);
    until("a reason", || {
        ready(&gateway).1["reasons"][0].as_str().unwrap().contains("ring").then_some(())
    });
    assert_eq!(body["feed"], "none");
    let mut subscriber = Subscriber::connect(gateway.listen, JSON);
    assert_eq!(feed_states(&subscriber.next_text(Duration::from_secs(30))), ["silent"]);
    std::fs::write(&path, "this is no ring").unwrap();
    until("a second reason", || {
        (gateway.process.log().matches("no usable ring yet").count() >= 2).then_some(())
    });

    let mut publisher = Publisher::create(&path, 7);
    publisher.publish(20);
    // Signs of life until the watch has seen them.
    until("the feed to be live", || {
        publisher.publish(1);
        let (status, body) = ready(&gateway);
        (status == 200 && body["feed"] == "live").then_some(())
    });
    // Both shards have read all of it: five control records and twenty ticks each.
    until("all records", || (gateway.metric("tickcast_ring_records_total") >= 50.0).then_some(()));
}

#[test]
fn a_feed_that_falls_silent_comes_back_ends_or_is_replaced() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = ring_path(&folder);
    let mut publisher = Publisher::create(&path, 7);
    let gateway = shm_gateway(&path);
    feed_becomes(&gateway, "silent");
    assert_eq!(ready(&gateway).0, 503);
    assert_eq!(get(gateway.admin, "/healthz").unwrap().0, 200, "a lost feed is no ill health");

    let mut subscriber = Subscriber::connect(gateway.listen, JSON);
    subscriber.send(r#"{"op":"subscribe","id":1,"topics":["*.quote"]}"#);
    // Signs of life until the watch has seen them.
    until("the feed to be back", || {
        publisher.publish(1);
        (ready(&gateway).0 == 200).then_some(())
    });
    publisher.feeder.close();
    feed_becomes(&gateway, "stopped");

    let mut publisher = Publisher::create(&path, 8);
    publisher.publish(5);
    // Clients are told of the restart; to operators it is live again with its next ticks.
    until("the feed to be live again", || {
        publisher.publish(1);
        (ready(&gateway).1["feed"] == "live").then_some(())
    });
    assert_eq!(gateway.metric("tickcast_feed_attaches_total"), 2.0);
    let mut told = Vec::new();
    while told.last().is_none_or(|state| state != "restarted") {
        match subscriber.next(Duration::from_secs(30)) {
            Some(Message::Text(text)) => told.extend(feed_states(&text)),
            other => panic!("the stream stays up: {other:?}"),
        }
    }
    told.dedup();
    assert!(told.ends_with(&["stopped".into(), "restarted".into()]), "{told:?}");
}

/// What the events of a message say of the feed.
fn feed_states(text: &str) -> Vec<String> {
    let events: serde_json::Value = serde_json::from_str(text).unwrap();
    let events = events.as_array().cloned().unwrap_or_default();
    let states = events.iter().filter(|event| event["e"] == "feed");
    states.map(|event| event["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_ring_that_is_cut_while_it_is_mapped_does_not_end_the_gateway() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = ring_path(&folder);
    let mut publisher = Publisher::create(&path, 7);
    publisher.publish(10);
    let mut gateway = shm_gateway(&path);
    until("a ring", || (gateway.metric("tickcast_feed_attaches_total") == 1.0).then_some(()));
    // The publisher's own mapping is cut as well: it must not be touched any more.
    std::mem::forget(publisher);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
    feed_becomes(&gateway, "silent");
    assert!(gateway.process.is_running());
    until("the log", || gateway.process.log().contains("was cut or overwritten").then_some(()));

    let mut publisher = Publisher::create(&path, 9);
    until("the feed to be live again", || {
        publisher.publish(1);
        let (status, body) = ready(&gateway);
        (status == 200 && body["feed"] == "live").then_some(())
    });
}

#[test]
fn listening_is_logged_for_machines_with_the_ports_that_were_found() {
    let gateway = Gateway::start(&["--source", "pulse", "--shards", "1", "--log-format", "json"]);
    let line = until("a line that says so", || {
        let log = gateway.process.log();
        log.lines().find(|line| line.contains("\"listening\"")).map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let listen: SocketAddr = line["listen"].as_str().unwrap().parse().unwrap();
    assert_eq!(listen, gateway.listen);
    assert_eq!(line["level"], "INFO");
}
