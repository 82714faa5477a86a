//! The backend `io-uring`: what may not change with it, and that it is what sends.
//!
//! Everything else runs with it too under `TICKCAST_SEND_BACKEND=io-uring`.

use gateway::shard::SendBackend;
use gateway::shard::counters::Counter;
use wire::Channel;

use super::client::Client;
use super::follower::Follower;
use super::rig::Rig;
use super::{delivery, stalls};

/// Whether this kernel, or this container, allows it. Where not, the gateway sends one by one.
fn is_allowed() -> bool {
    sys::SendBatch::new(1).is_ok()
}

#[test]
fn every_quote_comes_in_order() {
    delivery::every_quote_in_order(SendBackend::Batches);
}

#[test]
fn everybody_gets_everything_by_groups() {
    let counters = delivery::everything_to_everybody(SendBackend::Batches).counters;
    let (sends, batches) = (counters[Counter::Sends], counters[Counter::SendBatches]);
    if is_allowed() {
        // Everybody subscribes alone; from then on all are due at once, in groups.
        assert!(batches > 0 && sends - batches > 400, "{sends} sends in {batches} batches");
    } else {
        assert_eq!(batches, 0);
    }
}

#[test]
fn stalled_readers_resume_with_exact_gaps() {
    stalls::stalled_readers_resume(SendBackend::Batches);
}

#[test]
fn readers_that_never_read_are_reset() {
    stalls::never_readers_are_reset(SendBackend::Batches);
}

#[test]
fn a_slow_reader_sees_why_it_is_closed() {
    stalls::slow_reader_sees_why(SendBackend::Batches);
}

#[test]
fn those_who_vanish_take_nobody_with_them() {
    let mut rig = Rig::with(|settings| settings.send_backend = SendBackend::Batches);
    let mut clients: Vec<Client> =
        (0..60).map(|_| Client::subscribed(rig.address, &["S0.quote"])).collect();
    let mut follower = Follower::default();
    let mut staying = clients.pop().unwrap();
    for gone in clients.drain(..) {
        rig.market.quote(0);
        rig.market.wake();
        // Unread bytes make it a reset, which may hit a send of the group.
        drop(gone);
        let newest = rig.market.last(0, Channel::Quote);
        follower.follow(&mut staying, (0, Channel::Quote), newest);
    }
    rig.wait_until("the others are gone", |report| report.sessions == 1);
    let seen = follower.topic(0, Channel::Quote);
    assert_eq!((seen.delivered, seen.skipped), (59, 0));
}
