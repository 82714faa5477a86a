//! No descriptors left, while clients go on coming.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::bystanders::Bystanders;
use crate::gateway;
use crate::support::process::until;
use crate::support::process_view::{cpu_ticks, descriptors};
use crate::villain::Villain;

fn limit_descriptors(pid: u32, most: usize) {
    let limit = format!("--nofile={most}:");
    let done = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status();
    assert!(done.expect("prlimit is there").success());
}

#[test]
fn without_descriptors_accepting_rests_and_goes_on_when_there_are_some() {
    const MANY: usize = 60;
    let gateway = gateway(&["--rate", "200", "--handshake-timeout", "10m"]);
    let pid = gateway.process.pid();
    let bystanders = Bystanders::at(gateway.listen, 2);
    // The limit is lowered under the gateway, which had counted on more.
    limit_descriptors(pid, descriptors(pid) + 10);
    let mut crowd: Vec<Villain> =
        (0..MANY).map(|nth| Villain::connect(nth, gateway.listen)).collect();
    std::thread::sleep(Duration::from_millis(500));
    let (before, began) = (cpu_ticks(pid), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let spent = cpu_ticks(pid) - before;
    let part = spent as f64 / 100.0 / began.elapsed().as_secs_f64();
    assert!(part < 0.3, "{part} of a core");
    bystanders.catch_up();

    limit_descriptors(pid, 1000);
    crowd = crowd.into_iter().map(|waiting| waiting.upgrade("/v1/stream")).collect();
    until("everybody to be served", || (gateway.metric("tickcast_sessions") == 62.0).then_some(()));
    assert!(gateway.metric("tickcast_accept_paused_total") >= 1.0);
    drop(crowd);
    bystanders.noticed_nothing();
}
