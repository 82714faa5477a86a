//! `gateway ask` against the real binary: health checks and hooks where there is no curl.

mod support;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use support::process::{Gateway, free_address, until};
use support::subscriber::{Message, Subscriber};

fn ask(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.env_remove("TICKCAST_ADMIN_LISTEN").arg("ask").args(arguments);
    told(&command.output().unwrap())
}

fn told(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn pulse(more: &[&str]) -> Gateway {
    let mut arguments = vec!["--source", "pulse", "--symbols", "2", "--shards", "1"];
    arguments.extend_from_slice(more);
    Gateway::start(&arguments)
}

#[test]
fn the_exit_code_is_the_answer() {
    let gateway = pulse(&[]);
    let admin = gateway.admin.to_string();
    for question in ["healthz", "readyz", "metrics", "connections"] {
        // A gateway that is late, on a busy machine, is asked once more.
        let text = until(question, || {
            let (code, text) = ask(&[question, "--admin", &admin]);
            (code == Some(0)).then_some(text)
        });
        assert!(text.starts_with(['{', '#']), "{question}: {text}");
    }
    // The gateway's own variable says where to ask, as in a container.
    until("an answer there", || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.env("TICKCAST_ADMIN_LISTEN", format!("0.0.0.0:{}", gateway.admin.port()));
        (told(&command.args(["ask", "healthz"]).output().unwrap()).0 == Some(0)).then_some(())
    });

    let unready =
        Gateway::spawn(free_address(), &["--source", "shm:/dev/shm/tickcast-no-such-ring"]);
    until("what is not ready", || {
        let (code, text) = ask(&["readyz", "--admin", &unready.admin.to_string()]);
        assert_eq!(code, Some(1));
        (text.contains("\"ready\":false") && text.contains("it answers 503")).then_some(())
    });

    let (code, text) = ask(&["healthz", "--admin", &free_address().to_string()]);
    assert_eq!(code, Some(1));
    assert!(text.contains("no answer from 127.0.0.1:"), "{text}");
    for wrong in [&["health"][..], &["drain", "--wait", "5"], &["healthz", "--admin", "localhost"]]
    {
        assert_eq!(ask(wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_hook_drains_and_the_signal_behind_it_hurries_nobody() {
    let mut gateway = pulse(&["--drain-window", "3s"]);
    let mut subscribers: Vec<Subscriber> =
        (0..20).map(|_| Subscriber::connect(gateway.listen, "tickcast.v1.json")).collect();
    let admin = gateway.admin.to_string();
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.args(["ask", "drain", "--admin", &admin, "--after", "500ms", "--wait", "60s"]);
    let mut hook = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    until("the drain", || (gateway.metric("tickcast_draining") == 1.0).then_some(()));
    assert!(began.elapsed() >= Duration::from_millis(500), "the pause comes first");
    // An orchestrator whose patience with the hook is over.
    let pid = gateway.process.pid().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    for subscriber in &mut subscribers {
        let code = loop {
            match subscriber.next(Duration::from_secs(60)) {
                Some(Message::Close(code)) => break code,
                Some(Message::Text(_) | Message::Binary(_)) => {}
                other => panic!("expected a close frame, got {other:?}"),
            }
        };
        assert_eq!(code, 4001);
        // Its answer lets the gateway end the session.
        subscriber.send_frame(0x88, &4001u16.to_be_bytes());
    }
    assert_eq!(gateway.process.wait(), Some(0));
    assert!(hook.wait().unwrap().success());
    assert!(began.elapsed() > Duration::from_secs(2), "twenty are closed over three seconds");
}
