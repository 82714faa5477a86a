//! Clients that do not read: what they cost, what the others lose (nothing), and how they go on.

use std::time::Duration;

use gateway::shard::SendBackend;
use gateway::shard::counters::Counter;
use wire::{Channel, GapReason};

use super::client::Client;
use super::follower::Follower;
use super::rig::Rig;

/// Publishes so many quotes and trades a batch, in batches, with a wake after each.
fn publish(rig: &mut Rig, batches: usize, per_batch: usize) {
    for _ in 0..batches {
        for _ in 0..per_batch {
            rig.market.quote(0);
            rig.market.trade(0);
        }
        rig.market.wake();
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// A follower that has seen the first quote and the first trade.
fn first(client: &mut Client) -> Follower {
    let mut follower = Follower::default();
    follower.follow(client, (0, Channel::Quote), 1);
    follower.follow(client, (0, Channel::Trade), 1);
    follower
}

/// Kernel buffers of the least size, so that a stall shows soon.
fn small_buffers(settings: &mut gateway::shard::ShardSettings) {
    settings.sockets.send_buffer_bytes = Some(16 * 1024);
    settings.sockets.unsent_max_bytes = Some(16 * 1024);
}

#[test]
fn a_stalled_reader_costs_little_and_resumes_with_the_newest_and_exact_gaps() {
    stalled_readers_resume(SendBackend::OneByOne);
}

pub(crate) fn stalled_readers_resume(backend: SendBackend) {
    const STALLED: usize = 50;
    let mut rig = Rig::with(|settings| {
        settings.send_backend = backend;
        small_buffers(settings);
        // One that reads may be late on a busy machine; the stalled ones are far behind.
        settings.hub.lag_entries_max = 1 << 15;
    });
    let mut stalled: Vec<Client> =
        (0..STALLED).map(|_| Client::subscribed(rig.address, &["S0.quote", "S0.trade"])).collect();
    let mut reading = Client::subscribed(rig.address, &["S0.quote", "S0.trade"]);
    // The first numbers, which everybody gets, so that none is missing from any account.
    publish(&mut rig, 1, 1);
    let mut followers: Vec<Follower> = stalled.iter_mut().map(first).collect();
    let mut follower = first(&mut reading);
    // 240,000 bytes and more for each, which no buffer takes; the log holds a half of it.
    for _ in 0..600 {
        publish(&mut rig, 1, 100);
        let newest = rig.market.last(0, Channel::Quote);
        follower.follow(&mut reading, (0, Channel::Quote), newest);
    }
    let quote = follower.topic(0, Channel::Quote);
    assert_eq!((quote.delivered, quote.skipped), (60_001, 0), "a neighbour loses nothing");
    rig.wait_until("all of them are blocked", |report| report.blocked == STALLED);
    let report = rig.report();
    assert!(report.kept_bytes <= STALLED * 2500, "{} bytes kept", report.kept_bytes);

    let (quotes, trades) = (rig.market.last(0, Channel::Quote), rig.market.last(0, Channel::Trade));
    for (client, follower) in stalled.iter_mut().zip(&mut followers) {
        follower.follow(client, (0, Channel::Quote), quotes);
        follower.follow(client, (0, Channel::Trade), trades);
        let (quote, trade) = (follower.topic(0, Channel::Quote), follower.topic(0, Channel::Trade));
        // Every number is delivered or announced, exactly once: the follower has seen to the order.
        assert_eq!(quote.delivered + quote.skipped, quotes);
        assert_eq!(trade.delivered + trade.skipped, trades);
        assert!(quote.skipped > 0, "quotes are conflated for who lags");
        assert!(trade.skipped > 0, "the log has not kept all trades");
        assert!(follower.reasons.contains(&GapReason::Conflated));
        assert!(follower.reasons.contains(&GapReason::Lost));
    }
    rig.wait_until("nothing is kept", |report| report.kept_bytes == 0 && report.blocked == 0);
}

#[test]
fn a_client_that_never_reads_is_closed_and_reset_and_counted() {
    never_readers_are_reset(SendBackend::OneByOne);
}

pub(crate) fn never_readers_are_reset(backend: SendBackend) {
    let mut rig = Rig::with(|settings| {
        settings.send_backend = backend;
        small_buffers(settings);
        settings.hub.slow_age_max_ns = 500_000_000;
        settings.close_grace = Duration::from_millis(300);
    });
    let stalled: Vec<Client> =
        (0..20).map(|_| Client::subscribed(rig.address, &["S0.quote", "S0.trade"])).collect();
    let mut reading = Client::subscribed(rig.address, &["S0.quote"]);
    let mut follower = Follower::default();
    for _ in 0..400 {
        publish(&mut rig, 1, 100);
        let newest = rig.market.last(0, Channel::Quote);
        follower.follow(&mut reading, (0, Channel::Quote), newest);
    }
    rig.wait_until("the slow ones are gone", |report| report.sessions == 1);
    let report = rig.report();
    assert_eq!(report.counters[Counter::CloseSlow], 20);
    assert_eq!(report.counters[Counter::Resets], 20);
    assert_eq!((report.hub.slow_closes, report.kept_bytes, report.blocked), (20, 0, 0));
    drop(stalled);
}

#[test]
fn a_slow_client_that_reads_at_last_sees_why_it_is_closed() {
    slow_reader_sees_why(SendBackend::OneByOne);
}

pub(crate) fn slow_reader_sees_why(backend: SendBackend) {
    let mut rig = Rig::with(|settings| {
        settings.send_backend = backend;
        small_buffers(settings);
        settings.hub.slow_age_max_ns = 300_000_000;
        settings.close_grace = Duration::from_secs(20);
    });
    let mut client = Client::subscribed(rig.address, &["S0.quote", "S0.trade"]);
    publish(&mut rig, 400, 100);
    rig.wait_until("it is given up", |report| report.hub.slow_closes == 1);
    // The rest of its frame, then the close frame: framing is never broken.
    assert_eq!(client.expect_close(), 4000);
}

#[test]
fn a_client_that_sends_but_does_not_read_its_answers_is_not_read() {
    let rig = Rig::with(|settings| {
        small_buffers(settings);
        settings.command_rate = 1_000_000;
    });
    let mut client = Client::sbe(rig.address);
    let many: Vec<String> = (0..900).map(|i| format!("NOPE{i}.quote")).collect();
    let command = format!("{{\"op\":\"subscribe\",\"id\":1,\"topics\":{many:?}}}");
    client.socket().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let command = super::client::frame(super::client::TEXT, command.as_bytes());
    let mut sent = 0;
    while client.try_write(&command).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "its commands are read although its answers are not");
    }
    rig.wait_until("it is not read", |report| report.counters[Counter::ReadsPaused] >= 1);
    let report = rig.report();
    assert!(report.kept_bytes < 4 << 20, "{} bytes kept", report.kept_bytes);
}
