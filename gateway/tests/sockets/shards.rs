//! Several shards, and a shard that changes rings.

use std::sync::Arc;

use gateway::shard::counters::Counter;
use gateway::shard::{
    Control, DescriptorTable, Order, ShardHandle, ShardReport, ShardSettings, ShardSpec, StartError,
};
use wire::{Channel, GapReason};

use super::client::Client;
use super::follower::Follower;
use super::rig::{Market, Paths, Rig};

fn spec(index: usize, listen: std::net::SocketAddr) -> ShardSpec {
    let mut settings = ShardSettings::default();
    settings.hub.log_entries = 1 << 14;
    settings.hub.log_ticks = 1 << 15;
    settings.hub.arena_bytes = [1 << 20, 1 << 20];
    ShardSpec {
        index,
        core: None,
        settings: Arc::new(settings),
        listen,
        tls: None,
        routes: Arc::new(Paths),
        descriptors: DescriptorTable::Own,
        publish: None,
    }
}

fn stop(shards: Vec<ShardHandle>) {
    for shard in &shards {
        shard.send(Control::Stop);
    }
    for shard in shards {
        assert!(shard.join().is_ok());
    }
}

#[test]
fn shards_share_a_port_and_each_serves_its_connections() {
    const SHARDS: usize = 3;
    let any = "127.0.0.1:0".parse().unwrap();
    let shards = gateway::shard::start((0..SHARDS).map(|i| spec(i, any)).collect()).unwrap();
    let address = shards[0].address();
    assert!(shards.iter().all(|shard| shard.address() == address));
    let (mut market, ring) = Market::new(10, 7);
    for shard in &shards {
        shard.send(Control::Attach(ring.clone(), Order::OfFeed));
        let knows = |report: ShardReport| report.ring.is_some_and(|ring| ring.lag == 0);
        while !knows(shard.report(0).blocking_recv().unwrap()) {
            std::thread::yield_now();
        }
    }
    let mut clients: Vec<Client> =
        (0..90).map(|_| Client::subscribed(address, &["S2.quote"])).collect();
    let seq = market.quote(2);
    market.wake();
    for client in &mut clients {
        Follower::default().follow(client, (2, Channel::Quote), seq);
    }
    let sessions: Vec<usize> =
        shards.iter().map(|shard| shard.report(0).blocking_recv().unwrap().sessions).collect();
    assert_eq!(sessions.iter().sum::<usize>(), 90);
    assert!(sessions.iter().all(|sessions| *sessions > 0), "{sessions:?}");
    stop(shards);
    assert!(std::net::TcpStream::connect(address).is_err(), "no table keeps a listener");
}

#[test]
fn a_port_in_use_is_a_clear_error_and_leaves_no_shard_behind() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = gateway::shard::start(vec![spec(0, address), spec(1, address)]).err().unwrap();
    let StartError::Listen { address: named, source } = &error else { panic!("{error}") };
    assert_eq!((*named, source.kind()), (address, std::io::ErrorKind::AddrInUse));
    assert!(error.to_string().starts_with(&format!("cannot listen on {address}")), "{error}");
}

#[test]
fn a_ring_with_another_epoch_replaces_the_first_and_clients_go_on() {
    let mut rig = Rig::start();
    let mut client = Client::subscribed(rig.address, &["S1.quote"]);
    let mut follower = Follower::default();
    for _ in 0..10 {
        rig.market.quote(1);
    }
    rig.market.wake();
    follower.follow(&mut client, (1, Channel::Quote), 10);
    let (mut market, ring) = Market::new(10, 0xABCD);
    rig.shard().send(Control::Attach(ring, Order::OfFeed));
    market.quote(1);
    market.wake();
    // Numbers begin anew, behind a notice that they do.
    let mut anew = Follower::default();
    anew.follow(&mut client, (1, Channel::Quote), 1);
    rig.wait_until("it reads the second ring", |report| {
        report.ring.is_some_and(|ring| ring.epoch == 0xABCD)
    });
    rig.market = market;
    rig.market.quote(1);
    rig.market.wake();
    anew.follow(&mut client, (1, Channel::Quote), 2);
    assert!(anew.reasons.contains(&GapReason::Reset), "{:?}", anew.reasons);
    assert_eq!(rig.count(Counter::ConnectionsLost), 0);
}

#[test]
fn a_shard_that_is_lapped_says_how_much_is_missing() {
    let mut rig = Rig::start();
    let mut client = Client::subscribed(rig.address, &["S0.trade"]);
    let mut follower = Follower::default();
    rig.market.trade(0);
    rig.market.wake();
    follower.follow(&mut client, (0, Channel::Trade), 1);
    // Eight times the ring without a wake-up: the shard sleeps, and finds the last of it. Unless a timer has just
    // woken it, and it keeps up.
    let is_lapped = (0..20).any(|_| {
        for _ in 0..8 << 16 {
            rig.market.trade(0);
        }
        let last = rig.market.trade(0);
        rig.market.wake();
        follower.follow(&mut client, (0, Channel::Trade), last);
        let seen = follower.topic(0, Channel::Trade);
        assert_eq!(seen.delivered + seen.skipped, last);
        rig.count(Counter::RingLapped) > 0
    });
    assert!(is_lapped);
    // Which of the two depends on whether the hole itself was still in the log at the next visit.
    let is_told = |reason: &GapReason| matches!(reason, GapReason::Lapped | GapReason::Lost);
    assert!(!follower.reasons.is_empty() && follower.reasons.iter().all(is_told));
}
