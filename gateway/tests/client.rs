//! The client library against the real binary: order, errors, and a gateway that dies under it.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::{
    Book, Channel, Client, CommandError, ConnectError, Ended, ErrorCode, Event, Ledger, Options,
    Reconnect, Side, Subscription, Symbol,
};
use support::credentials::Credentials;
use support::process::{Gateway, feed_sim, free_address, get, until};
use support::ring_file::RingFile;
use support::scripted_gateway::{Say, scripted_gateway};
use tokio::time::timeout;
use wire::{Encoding, Instrument, Tick, TradingStatus};

fn url(gateway: &Gateway) -> String {
    format!("ws://{}/v1/stream", gateway.listen)
}

/// Options of a client that has patience with a busy machine.
fn patient() -> Options {
    let patience = Duration::from_secs(60);
    Options::new().connect_timeout(patience).command_timeout(patience)
}

fn quick() -> Options {
    let (min, max) = (Duration::from_millis(20), Duration::from_millis(200));
    patient().reconnect(Reconnect::WithBackoff { min, max, attempts: None })
}

async fn next(client: &mut Client) -> Event {
    let next = timeout(Duration::from_secs(60), client.next()).await;
    next.expect("an event within a minute").expect("a client that goes on")
}

#[tokio::test]
async fn quotes_come_in_order_and_exactly_accounted() {
    let gateway = Gateway::start(&["--source", "pulse", "--symbols", "10", "--rate", "1000"]);
    let mut client = Client::connect(&url(&gateway), patient()).await.unwrap();
    let subscribed = client.subscribe(Subscription::new(["*.quote"])).await.unwrap();
    assert_eq!(subscribed.refused().count(), 0);
    let (mut ledger, mut quotes) = (Ledger::new(), 0);
    while quotes < 2_000 {
        let event = next(&mut client).await;
        ledger.enter(&event);
        quotes += usize::from(matches!(event, Event::Quote(_)));
    }
    assert!(ledger.total().is_exact(), "{:?}", ledger.total());
    assert_eq!(ledger.total().delivered, 2_000);
    assert_eq!(client.position().len(), 10);

    // Commands are answered while events arrive, and lose none of them.
    assert!(client.ping().await.unwrap() < Duration::from_secs(60));
    let listed = client.list().await.unwrap();
    assert_eq!((listed.len(), listed[0].topic.as_str()), (1, "*.quote"));
    assert_eq!(client.unsubscribe(["*.quote"]).await.unwrap().refused().count(), 0);
    assert!(client.list().await.unwrap().is_empty());
    while let Ok(event) = timeout(Duration::from_millis(300), client.next()).await {
        ledger.enter(&event.unwrap());
    }
    assert!(ledger.total().is_exact(), "{:?}", ledger.total());
}

#[tokio::test]
async fn what_is_wrong_is_said_in_types() {
    let gateway = Gateway::start(&["--source", "pulse", "--symbols", "2", "--rate", "100"]);
    gateway.wait_for_ticks();
    let mut client = Client::connect(&url(&gateway), patient()).await.unwrap();
    let topics = ["NOSUCH.trade", "nosuch", "*.quote"];
    let subscribed = client.subscribe(Subscription::new(topics)).await.unwrap();
    let refused: Vec<_> = subscribed.refused().map(|(topic, why)| (topic, why.code)).collect();
    let expected = [
        ("NOSUCH.trade", Some(ErrorCode::UnknownInstrument)),
        ("nosuch", Some(ErrorCode::BadTopic)),
    ];
    assert_eq!(refused, expected);
    let too_many = (0..1_001).map(|i| format!("S{i}.quote"));
    let refused = client.subscribe(Subscription::new(too_many)).await.unwrap_err();
    let CommandError::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, Some(ErrorCode::TooManyTopics));

    let elsewhere = format!("ws://{}/nowhere", gateway.listen);
    let refused = Client::connect(&elsewhere, patient()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Http { status: 404, .. }), "{refused:?}");
    // Bound but not listening: no other process can take the port meanwhile.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = silent.local_addr().unwrap();
    let nobody = format!("ws://{address}/v1/stream");
    let refused = Client::connect(&nobody, patient()).await.unwrap_err();
    let ConnectError::Io { source, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_client_that_must_not_reconnect_ends_and_stays_so() {
    let mut gateway = Gateway::start(&["--source", "pulse", "--symbols", "2", "--rate", "100"]);
    let options = patient().reconnect(Reconnect::Never);
    let mut client = Client::connect(&url(&gateway), options).await.unwrap();
    client.subscribe(Subscription::new(["*.quote"])).await.unwrap();
    gateway.process.kill();
    let ended = loop {
        match timeout(Duration::from_secs(60), client.next()).await.expect("an end") {
            Ok(_) => {}
            Err(ended) => break ended,
        }
    };
    assert!(matches!(ended, Ended::Lost(_)), "{ended:?}");
    assert!(client.next().await.is_err());
    assert_eq!(client.ping().await, Err(CommandError::Ended));
}

#[tokio::test]
async fn a_book_is_right_whenever_it_can_be_used() {
    let gateway = Gateway::start(&["--source", "sim", "--symbols", "3", "--rate", "5000"]);
    let mut client = Client::connect(&url(&gateway), patient()).await.unwrap();
    client.subscribe(Subscription::new(["BTCUSDT.depth", "BTCUSDT.depth5"])).await.unwrap();
    let mut book = Book::new(Symbol::new("BTCUSDT").unwrap());
    let (mut changes, mut compared) = (0, 0);
    while changes < 200 || compared < 50 {
        let event = next(&mut client).await;
        if book.apply(&event) {
            changes += 1;
            let best = |side| book.best(side).map(|level| level.price);
            assert!(best(Side::Bid) < best(Side::Ask), "{book:?}");
        }
        // The gateway's own partial book of the same number must be the same.
        if let Event::PartialDepth(partial) = &event
            && partial.origin.seq == book.seq()
        {
            assert!(partial.bids.iter().eq(book.levels(Side::Bid).take(5)));
            assert!(partial.asks.iter().eq(book.levels(Side::Ask).take(5)));
            compared += 1;
        }
    }
}

#[tokio::test]
async fn a_wss_server_is_verified_by_the_roots_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (chain, key) = (path("chain.pem"), path("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let source = ["--source", "pulse", "--symbols", "2", "--rate", "100"];
    let gateway =
        Gateway::start(&[&source[..], &["--tls-cert", &chain, "--tls-key", &key]].concat());
    let url = format!("wss://localhost:{}/v1/stream", gateway.listen.port());

    let options = patient().root_pem_file(&chain).unwrap();
    let mut client = Client::connect(&url, options).await.unwrap();
    client.subscribe(Subscription::new(["*.quote"])).await.unwrap();
    while !matches!(next(&mut client).await, Event::Quote(_)) {}

    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let options = patient().root_certificates([stranger.cert.der().clone()]);
    let refused = Client::connect(&url, options).await.unwrap_err();
    assert!(!refused.is_retriable(), "it will not verify in a second either: {refused:?}");
}

#[tokio::test]
async fn trades_go_on_without_loss_or_doubling_when_the_gateway_is_killed() {
    let ring = RingFile::new("client");
    let shm = ring.url();
    let market = ["--symbols", "4", "--seed", "21", "--rate", "2000", "--ring-capacity", "262144"];
    let _feed = feed_sim(&[&["--out", shm.as_str()], market.as_slice()].concat());
    until("the ring's file", || ring.path().exists().then_some(()));
    let address = free_address();
    let arguments = ["--source", shm.as_str(), "--shards", "1"];
    let mut gateway = Gateway::spawn(address, &arguments);
    until("a ready gateway", || get(gateway.admin, "/readyz").filter(|(code, _)| *code == 200));

    let mut client = Client::connect(&url(&gateway), quick()).await.unwrap();
    client.subscribe(Subscription::new(["*.trade", "BTCUSDT.quote"])).await.unwrap();
    let (mut ledger, mut trades, mut ids) = (Ledger::new(), 0u32, Vec::new());
    for round in 0..3 {
        let goal = trades + 150;
        while trades < goal {
            let event = next(&mut client).await;
            ledger.enter(&event);
            match event {
                Event::Trade(trade) => {
                    trades += 1;
                    ids.push((trade.origin.symbol, trade.origin.seq));
                }
                Event::Gap(gap) => assert_ne!(gap.channel, Channel::Trade, "{gap:?}"),
                Event::Refused(refused) => panic!("{refused:?}"),
                _ => {}
            }
        }
        if round < 2 {
            gateway.process.kill();
            gateway = Gateway::spawn(address, &arguments);
        }
    }
    // The ring still had every trade of the outages, so none is lost and none comes twice.
    let total = ledger.total();
    assert!(total.is_exact() && total.lost == 0 && total.resets == 0, "{total:?}");
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "no trade comes twice");
}

/// Statuses with these numbers, after the instrument's definition.
fn statuses(numbers: &[u64]) -> Vec<u8> {
    let btc = Instrument {
        id: 0,
        symbol: Symbol::new("BTCUSDT").unwrap(),
        base_len: 3,
        price_exponent: -2,
        quantity_exponent: -5,
        tick_size: 1,
        lot_size: 1,
        channels: u64::MAX,
    };
    let mut bytes = Vec::new();
    Encoding::Sbe.definition(&mut bytes, &btc, 7);
    for seq in numbers {
        let mut tick = Tick::from_status(0, 1, TradingStatus::Trading);
        tick.seq = *seq;
        Encoding::Sbe.entry(&mut bytes, &[tick], &btc);
    }
    bytes
}

#[tokio::test]
async fn a_gateway_that_is_behind_is_waited_for_and_gives_nothing_twice() {
    let resumes = Arc::new(Mutex::new(Vec::new()));
    let seen = resumes.clone();
    let script = move |connection: usize, command: &str| {
        let command: serde_json::Value = serde_json::from_str(command).unwrap();
        let resume = command["resume"]["topics"]["BTCUSDT.status"].as_str().map(str::to_owned);
        // First it has more than it will have after its fall, then it is behind for ever.
        let is_ahead = connection > 1 && resume.is_some();
        let outcome = if is_ahead {
            r#""ok":false,"code":25,"name":"resume_ahead","msg":"the newest is 4""#
        } else {
            r#""ok":true,"seq":"4""#
        };
        seen.lock().unwrap().push(resume);
        let id = &command["id"];
        let ack = format!(
            r#"{{"op":"ack","id":{id},"results":[{{"topic":"BTCUSDT.status",{outcome}}}]}}"#
        );
        match (connection, is_ahead) {
            (1, _) => vec![Say::Text(ack), Say::Binary(statuses(&[4, 5])), Say::Nothing],
            (_, true) => vec![Say::Text(ack)],
            (_, false) => vec![Say::Text(ack), Say::Binary(statuses(&[4, 5, 9]))],
        }
    };
    let hello = r#"{"op":"hello","version":1,"encoding":"sbe","schema_version":1,"epoch":"7","heartbeat_ms":60000,"limits":{}}"#;
    let address = scripted_gateway(hello, Arc::new(script)).await;
    let url = format!("ws://{address}/v1/stream");
    let mut client = Client::connect(&url, quick()).await.unwrap();
    client.subscribe(Subscription::new(["BTCUSDT.status"])).await.unwrap();
    let (mut ledger, mut told) = (Ledger::new(), Vec::new());
    while told.last().is_none_or(|last| last != "9") {
        let event = next(&mut client).await;
        ledger.enter(&event);
        match event {
            Event::Status(status) => told.push(status.origin.seq.to_string()),
            Event::Gap(gap) => {
                told.push(format!("{:?} {} {}", gap.reason, gap.first_seq, gap.count));
            }
            Event::Refused(refused) => panic!("{refused:?}"),
            _ => {}
        }
    }
    assert_eq!(told, ["4", "5", "Resume 6 3", "9"], "nothing twice, and what is missing is said");
    assert!(ledger.total().is_exact(), "{:?}", ledger.total());
    let resumes = resumes.lock().unwrap().clone();
    let expected = [None, Some(5), Some(5), Some(5), Some(5), Some(5), Some(5), None];
    assert_eq!(resumes, expected.map(|seq: Option<u64>| seq.map(|seq| seq.to_string())));
}

#[tokio::test]
async fn what_a_credential_does_not_allow_any_more_is_an_event() {
    let keys = [("desk", "open-sesame", "desk")];
    let credentials = Credentials::new("[roles.desk]\nsee = [\"*.*\"]\n", &keys);
    let gateway = Gateway::start(&["--symbols", "4", "--auth", credentials.path()]);
    let mut client = Client::connect(&url(&gateway), patient()).await.unwrap();
    client.auth("open-sesame").await.unwrap();
    let topics = ["BTCUSDT.trade", "ETHUSDT.trade", "*.quote"];
    let subscribed = client.subscribe(Subscription::new(topics)).await.unwrap();
    assert_eq!(subscribed.refused().count(), 0, "{subscribed:?}");
    credentials.write("[roles.desk]\nsee = [\"BTC*.*\"]\n", &keys);
    gateway.process.signal("-HUP");
    let revoked = loop {
        if let Event::Revoked(revoked) = next(&mut client).await {
            break revoked;
        }
    };
    assert_eq!((revoked.topics, revoked.more), (vec!["ETHUSDT.trade".to_owned()], 0));
    assert_eq!(revoked.narrowed, ["*.quote"]);
    let mut left: Vec<_> = client.list().await.unwrap().into_iter().map(|all| all.topic).collect();
    left.sort();
    assert_eq!(left, ["*.quote", "BTCUSDT.trade"]);
}

#[tokio::test]
async fn a_token_is_shown_again_by_the_connections_that_follow() {
    let keys = [("desk", "open-sesame", "desk")];
    let credentials = Credentials::new("[roles.desk]\nsee = [\"*.*\"]\n", &keys);
    let ring = RingFile::new("token");
    let _feed = feed_sim(&["--out", &ring.url(), "--symbols", "2", "--rate", "100"]);
    until("the ring's file", || ring.path().exists().then_some(()));
    let (source, listen) = (ring.url(), free_address());
    let arguments = ["--source", &source, "--auth", credentials.path()];
    let mut gateway = Gateway::spawn(listen, &arguments);
    until("a ready gateway", || get(gateway.admin, "/readyz").filter(|(code, _)| *code == 200));
    let url = format!("ws://{listen}/v1/stream");
    let wrong = Client::connect(&url, quick().token("sesame").unwrap()).await.unwrap_err();
    assert!(matches!(wrong, ConnectError::Http { status: 401, .. }), "{wrong:?}");
    assert!(!format!("{:?}", quick().token("open-sesame").unwrap()).contains("sesame"));
    let mut shown = Client::connect(&url, quick().token("open-sesame").unwrap()).await.unwrap();
    let mut told = Client::connect(&url, quick()).await.unwrap();
    told.auth("open-sesame").await.unwrap();
    let mut ledgers = [Ledger::new(), Ledger::new()];
    for client in [&mut shown, &mut told] {
        let subscribed = client.subscribe(Subscription::new(["BTCUSDT.quote"])).await.unwrap();
        assert_eq!(subscribed.refused().count(), 0, "{subscribed:?}");
    }
    gateway.process.kill();
    let _gateway = Gateway::spawn(listen, &arguments);
    for (client, ledger) in [&mut shown, &mut told].into_iter().zip(&mut ledgers) {
        let (mut is_lost, mut after) = (false, 0);
        while after < 50 {
            let event = next(client).await;
            ledger.enter(&event);
            assert!(!matches!(event, Event::Refused(_)), "{event:?}");
            is_lost |= matches!(event, Event::Disconnected(_));
            after += usize::from(is_lost && matches!(event, Event::Quote(_)));
        }
        assert!(ledger.total().is_exact(), "{:?}", ledger.total());
    }
}
