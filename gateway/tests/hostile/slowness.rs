//! Those who say things very slowly: requests byte by byte, frames that never end.

use std::time::{Duration, Instant};

use crate::bystanders::Bystanders;
use crate::client::{TEXT, frame};
use crate::gateway;
use crate::support::process::{PATIENCE, until};
use crate::support::process_view::resident_bytes;
use crate::villain::{Villain, upgrade};

#[test]
fn requests_byte_by_byte_are_ended_in_time_however_they_dribble() {
    const MANY: usize = 100;
    // Long enough for those who are in earnest, on a busy machine too.
    let gateway = gateway(&["--handshake-timeout", "6s"]);
    let bystanders = Bystanders::at(gateway.listen, 2);
    let before = gateway.metric("tickcast_sessions_opened_total");
    let request = upgrade("/v1/stream").into_bytes();
    let mut villains: Vec<Villain> =
        (0..MANY).map(|nth| Villain::connect(nth, gateway.listen)).collect();
    let began = Instant::now();
    // At this pace a request takes a quarter of a minute, and the endless header behind it for ever.
    for byte in request.iter().chain(std::iter::repeat(&b'x')) {
        villains.retain_mut(|villain| villain.say(&[*byte]) && !villain.is_ended());
        if villains.is_empty() {
            break;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "{} are still there", villains.len());
        std::thread::sleep(Duration::from_millis(50));
    }
    until("all of them to be counted", || {
        (gateway.metric("tickcast_handshakes_timed_out_total") >= 100.0).then_some(())
    });
    assert_eq!(gateway.metric("tickcast_sessions_opened_total"), before);
    bystanders.noticed_nothing();
}

#[test]
fn frames_that_never_end_keep_no_more_than_they_sent_and_are_given_up() {
    const MANY: usize = 100;
    const SENT: usize = 100_000;
    let gateway =
        gateway(&["--ping-interval", "1s", "--pong-timeout", "12s", "--close-grace", "1s"]);
    let pid = gateway.process.pid();
    let bystanders = Bystanders::at(gateway.listen, 2);
    let before = resident_bytes(pid);
    let whole = frame(TEXT, &vec![b' '; SENT + 20_000]);
    let mut villains: Vec<Villain> = (0..MANY)
        .map(|nth| {
            let mut villain = Villain::connect(nth, gateway.listen).upgrade("/v1/stream");
            assert!(villain.say(&whole[..SENT]));
            villain
        })
        .collect();
    let received = || gateway.metric("tickcast_bytes_received_total");
    until("everything to be read", || (received() >= (MANY * SENT) as f64).then_some(()));
    // Twice, as buffers grow by doubling.
    let kept = resident_bytes(pid).saturating_sub(before);
    assert!(kept < 2 * (MANY * SENT) as u64 + (32 << 20), "{kept} bytes for {}", MANY * SENT);
    // Byte by byte they would go on for half an hour: bytes are no signs of life.
    let began = Instant::now();
    for byte in &whole[SENT..] {
        villains.retain_mut(|villain| villain.say(&[*byte]) && !villain.is_ended());
        if villains.is_empty() {
            break;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "{} are still there", villains.len());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(gateway.metric("tickcast_closed_timeout_total") >= 100.0);
    until("only bystanders to be left", || {
        (gateway.metric("tickcast_sessions") == 2.0).then_some(())
    });
    until("nothing to be kept", || (gateway.metric("tickcast_kept_bytes") == 0.0).then_some(()));
    bystanders.noticed_nothing();
}
