//! Those who go without a word: resets in every state, halves of connections.

use cable::Cable;

use crate::bystanders::Bystanders;
use crate::client::{TEXT, frame};
use crate::gateway;
use crate::support::process::{Gateway, until};
use crate::support::process_view::{descriptors, resident_bytes};
use crate::villain::{Villain, upgrade};

/// Waits until nothing is left but the bystanders and what was there before.
fn released(gateway: &Gateway, bystanders: f64, open: usize) {
    until("sessions and descriptors to be given back", || {
        let is_released = gateway.metric("tickcast_sessions") == bystanders
            && gateway.metric("tickcast_handshakes") == 0.0
            && descriptors(gateway.process.pid()) <= open;
        is_released.then_some(())
    });
}

#[test]
fn a_storm_of_resets_in_every_state_leaves_nothing() {
    let gateway = gateway(&[]);
    let pid = gateway.process.pid();
    let bystanders = Bystanders::at(gateway.listen, 2);
    let open = descriptors(pid);
    let subscribe = br#"{"op":"subscribe","id":1,"topics":["*.quote","*.depth"]}"#;
    let request = upgrade("/v1/stream");
    let mut settled = 0;
    for round in 0..40 {
        let mut villains = Vec::new();
        for state in 0..5 {
            for nth in 0..8 {
                let mut villain = Villain::connect(round * 40 + state * 8 + nth, gateway.listen);
                match state {
                    0 => {}
                    1 => drop(villain.say(&request.as_bytes()[..70])),
                    2 => drop(villain.say(format!("{request}\r\n").as_bytes())),
                    3 => villain = villain.upgrade("/v1/stream"),
                    _ => {
                        villain = villain.upgrade("/v1/stream");
                        villain.say(&frame(TEXT, subscribe));
                        villain.say(&frame(TEXT, &[b' '; 5000])[..3000]);
                    }
                }
                villains.push(villain);
            }
        }
        villains.into_iter().for_each(Villain::reset);
        if round == 9 {
            released(&gateway, 2.0, open);
            settled = resident_bytes(pid);
        }
    }
    released(&gateway, 2.0, open);
    let grown = resident_bytes(pid).saturating_sub(settled);
    assert!(grown < 16 << 20, "{grown} bytes more after 1,200 further resets");
    bystanders.noticed_nothing();
}

#[test]
fn halves_of_connections_are_given_up() {
    const MANY: usize = 50;
    let gateway = gateway(&[
        "--ping-interval",
        "1s",
        "--pong-timeout",
        // Long enough for all of them to come, and for bystanders to answer, on a busy machine too.
        "15s",
        "--heartbeat",
        "1s",
        "--close-grace",
        "1s",
    ]);
    let bystanders = Bystanders::at(gateway.listen, 2);
    let open = descriptors(gateway.process.pid());
    let cable = Cable::to(gateway.listen);
    let paths = ["/v1/stream", "/ws/s0@bookTicker", "/v1/stream"];
    let mut halves: Vec<Villain> = (0..MANY)
        .map(|nth| Villain::connect(nth, cable.address).upgrade(paths[nth % paths.len()]))
        .collect();
    until("all of them to be counted", || {
        (gateway.metric("tickcast_sessions") == 52.0).then_some(())
    });
    cable.cut();
    released(&gateway, 2.0, open);
    assert!(halves.iter_mut().all(|half| !half.is_ended()), "nobody told them");
    assert!(gateway.metric("tickcast_closed_timeout_total") >= 50.0);
    bystanders.noticed_nothing();
}
