//! Those who ask for everything and read nothing, until the kernel has no room for more.

use crate::bystanders::Bystanders;
use crate::client::{TEXT, frame};
use crate::gateway;
use crate::support::process::until;
use crate::support::process_view::resident_bytes;
use crate::villain::Villain;

#[test]
fn closed_windows_on_every_face_are_given_up_and_cost_nobody_anything() {
    const EACH: usize = 20;
    let gateway = gateway(&[
        "--source",
        "sim",
        "--rate",
        "3000",
        "--sndbuf",
        "16KiB",
        "--notsent-lowat",
        "16KiB",
        // Long enough for bystanders on a busy machine.
        "--lag-age",
        "10s",
        "--slow-age",
        "10s",
        "--close-grace",
        "1s",
    ]);
    let pid = gateway.process.pid();
    let bystanders = Bystanders::at(gateway.listen, 2);
    let before = resident_bytes(pid);
    let mut villains = Vec::new();
    let connect = |nth| Villain::with_buffer(nth, gateway.listen, Some(4096));
    for nth in 0..EACH {
        let mut native = connect(nth).upgrade("/v1/stream");
        native.say(&frame(TEXT, br#"{"op":"subscribe","topics":["*.quote","*.trade","*.depth"]}"#));
        villains.push(native);
        let exchange = connect(nth).upgrade("/stream");
        let mut exchange = exchange;
        let names = r#"["!bookTicker","btcusdt@trade","ethusdt@trade","btcusdt@depth@100ms"]"#;
        exchange.say(&frame(
            0x81,
            format!(r#"{{"method":"SUBSCRIBE","params":{names},"id":1}}"#).as_bytes(),
        ));
        villains.push(exchange);
        let mut events = connect(nth);
        events.say(b"GET /v1/sse?topics=*.quote,*.trade HTTP/1.1\r\nHost: test\r\n\r\n");
        villains.push(events);
    }
    until("all of them to be given up", || {
        (gateway.metric("tickcast_closed_slow_total") >= 60.0).then_some(())
    });
    until("only bystanders to be left", || {
        (gateway.metric("tickcast_sessions") == 2.0).then_some(())
    });
    // Logs, arenas and books fill up meanwhile, whoever reads.
    let grown = resident_bytes(pid).saturating_sub(before);
    println!("{} MiB more", grown >> 20);
    until("nothing to be kept", || (gateway.metric("tickcast_kept_bytes") == 0.0).then_some(()));
    drop(villains);
    bystanders.noticed_nothing();
}
