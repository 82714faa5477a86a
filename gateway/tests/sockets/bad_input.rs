//! Every kind of bad input, its outcome, and that nobody else notices.

use std::time::{Duration, Instant};

use gateway::shard::counters::Counter;
use wire::Channel;

use super::client::{BINARY, CLOSE, Client, PING, TEXT, frame};
use super::follower::Follower;
use super::rig::Rig;

/// A subscriber that must not notice what others do.
struct Bystander {
    client: Client,
    follower: Follower,
}

impl Bystander {
    fn new(rig: &Rig) -> Self {
        let client = Client::subscribed(rig.address, &["S0.quote"]);
        Self { client, follower: Follower::default() }
    }

    /// It gets what is published now, and has got everything before.
    fn check(&mut self, rig: &mut Rig) {
        let seq = rig.market.quote(0);
        rig.market.wake();
        self.follower.follow(&mut self.client, (0, Channel::Quote), seq);
        let seen = self.follower.topic(0, Channel::Quote);
        assert_eq!((seen.last, seen.skipped), (seq, 0));
    }
}

/// Sends bytes on a new session; returns the close code.
fn closed_with(rig: &mut Rig, bytes: &[u8]) -> u16 {
    let mut bystander = Bystander::new(rig);
    bystander.check(rig);
    let mut client = Client::subscribed(rig.address, &["S1.quote"]);
    // The server may close before everything is written.
    let _ = client.try_write(bytes);
    let code = client.expect_close();
    bystander.check(rig);
    drop((client, bystander));
    rig.wait_until("everybody is gone", |report| report.sessions == 0 && report.kept_bytes == 0);
    code
}

#[test]
fn frames_against_the_protocol_end_with_1002() {
    let mut rig = Rig::start();
    let unmasked = [TEXT, 2, b'{', b'}'];
    let over_long = frame(PING, &[0; 126]);
    let cases: [&[u8]; 9] = [
        &unmasked,
        &over_long,
        &frame(0xC1, b"{}"),
        &frame(0x83, b""),
        &frame(0x8B, b""),
        &frame(0x09, b"half a ping"),
        &frame(0x80, b"goes on with nothing"),
        &frame(CLOSE, &[1]),
        &frame(CLOSE, &1005u16.to_be_bytes()),
    ];
    for bytes in cases {
        assert_eq!(closed_with(&mut rig, bytes), 1002, "{bytes:02x?}");
    }
    let inside = [frame(0x01, b"{"), frame(TEXT, b"{}")].concat();
    assert_eq!(closed_with(&mut rig, &inside), 1002);
    assert_eq!(rig.count(Counter::CloseProtocol), 10);
}

#[test]
fn binary_commands_end_with_1003_and_text_that_is_none_with_1007() {
    let mut rig = Rig::start();
    assert_eq!(closed_with(&mut rig, &frame(BINARY, b"{\"op\":\"ping\"}")), 1003);
    assert_eq!(closed_with(&mut rig, &frame(TEXT, &[b'{', 0xFF, b'}'])), 1007);
    let split = [frame(0x01, &[0xE2, 0x82]), frame(0x80, &[0x41])].concat();
    assert_eq!(closed_with(&mut rig, &split), 1007);
}

#[test]
fn a_command_of_4_mb_ends_with_1009_before_it_has_arrived() {
    let mut rig = Rig::start();
    let big = frame(TEXT, &vec![b' '; 4 << 20]);
    assert_eq!(closed_with(&mut rig, &big), 1009);
    let fragment = frame(0x01, &[b' '; 60_000]);
    let parts = [fragment, frame(0x00, &[b' '; 60_000]), frame(0x80, &[b' '; 60_000])].concat();
    assert_eq!(closed_with(&mut rig, &parts), 1009);
    assert_eq!(rig.count(Counter::CloseTooBig), 2);
}

#[test]
fn malformed_commands_are_answered_and_the_session_goes_on() {
    let mut rig = Rig::start();
    let mut bystander = Bystander::new(&rig);
    let mut client = Client::sbe(rig.address);
    for (text, expected) in [
        ("{\"op\":", "\"name\":\"malformed\""),
        ("[]", "\"name\":\"malformed\""),
        ("{\"op\":\"fly\",\"id\":9}", "\"id\":9,\"code\":3"),
        ("{\"op\":\"subscribe\",\"id\":9}", "\"name\":\"bad_field\""),
    ] {
        client.send(TEXT, text.as_bytes());
        let reply = client.frame();
        assert!(reply.text().starts_with("{\"op\":\"error\""), "{}", reply.text());
        assert!(reply.text().contains(expected), "{text}: {}", reply.text());
    }
    client.send(
        TEXT,
        b"{\"op\":\"subscribe\",\"id\":2,\"topics\":[\"NOPE.quote\",\"S1.quote\",\"x\"]}",
    );
    let ack = client.frame();
    assert_eq!(ack.text().matches("\"ok\":false").count(), 2, "{}", ack.text());
    assert_eq!(ack.text().matches("\"ok\":true").count(), 1, "{}", ack.text());
    bystander.check(&mut rig);
    assert_eq!(rig.count(Counter::CommandsMalformed), 4);
}

#[test]
fn a_flood_of_commands_is_refused_and_then_ends_with_4501() {
    const MANY: usize = 1_000;
    let mut rig = Rig::start();
    let mut bystander = Bystander::new(&rig);
    let command = frame(TEXT, b"{\"op\":\"subscribe\",\"id\":1,\"topics\":[\"S1.quote\"]}");
    let mut floods = 0;
    let (acks, errors) = loop {
        let mut client = Client::sbe(rig.address);
        let began = Instant::now();
        // A thousand at once.
        let _ = client.try_write(&command.repeat(MANY));
        let (mut acks, mut errors) = (0, 0);
        while acks + errors < MANY {
            let frame = client.frame();
            match frame.first {
                CLOSE => {
                    assert_eq!(frame.close_code(), 4501);
                    floods += 1;
                    break;
                }
                TEXT if frame.text().starts_with("{\"op\":\"ack\"") => acks += 1,
                TEXT if frame.text().contains("too_many_commands") => errors += 1,
                _ => {}
            }
        }
        // A hundred more are allowed for each second that it takes: a busy machine tries again.
        if began.elapsed() < Duration::from_millis(400) {
            break (acks, errors);
        }
    };
    assert!((200..260).contains(&acks), "{acks} acks");
    assert!((190..260).contains(&errors), "{errors} errors");
    bystander.check(&mut rig);
    assert!(floods > 0);
    assert_eq!(rig.count(Counter::CloseFlood), floods);
}

#[test]
fn a_flood_of_pings_ends_with_4501_and_one_of_errors_sooner() {
    let mut rig = Rig::start();
    let mut bystander = Bystander::new(&rig);
    // So many that a machine that stands still for a while does not forgive them.
    let mut took = Duration::ZERO;
    for bytes in [frame(PING, b"x").repeat(10_000), frame(TEXT, b"nonsense").repeat(10_000)] {
        let mut client = Client::sbe(rig.address);
        let began = Instant::now();
        let _ = client.try_write(&bytes);
        assert_eq!(client.expect_close(), 4501);
        took = began.elapsed();
    }
    bystander.check(&mut rig);
    // Each second allows some more.
    assert!(rig.count(Counter::CommandsMalformed) <= 60 + 100 * took.as_secs());
}

#[test]
fn fragmented_pings_and_torn_headers_cost_nothing_afterwards() {
    let mut rig = Rig::start();
    let mut bystander = Bystander::new(&rig);
    let mut client = Client::sbe(rig.address);
    for _ in 0..20 {
        for byte in frame(PING, b"torn to pieces") {
            client.write(&[byte]);
        }
        assert_eq!(client.frame().payload, b"torn to pieces");
    }
    assert_eq!(rig.report().kept_bytes, 0);
    bystander.check(&mut rig);
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_a_frame_leaves_nothing() {
    let mut rig = Rig::start();
    let mut bystander = Bystander::new(&rig);
    for _ in 0..50 {
        let mut client = Client::subscribed(rig.address, &["S0.quote", "*.trade"]);
        client.write(&frame(TEXT, &[b' '; 5000])[..4000]);
    }
    rig.wait_until("only the bystander is left", |report| {
        report.sessions == 1 && report.kept_bytes == 0 && report.hub.disconnects == 50
    });
    bystander.check(&mut rig);
}
