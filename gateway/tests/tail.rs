//! `gateway tail` as a process: what it prints, and how it exits.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use support::credentials::Credentials;
use support::process::Gateway;

fn tail(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.arg("tail").args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = tail(arguments).output().expect("the binary runs");
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn url(gateway: &Gateway) -> String {
    format!("ws://{}/v1/stream", gateway.listen)
}

#[test]
fn it_prints_columns_or_json_and_ends_by_its_count() {
    let gateway = Gateway::start(&["--source", "pulse", "--symbols", "3", "--rate", "300"]);
    let url = url(&gateway);
    let (code, out, err) = output(&["--url", &url, "--count", "20", "*.quote"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let quotes: Vec<&str> = out.lines().filter(|line| line.contains(" quote ")).collect();
    assert_eq!(quotes.len(), 20, "{out}");
    let width = quotes[0].len();
    assert!(quotes.iter().all(|line| line.len() == width), "columns are aligned:\n{out}");
    assert!(!out.contains('\x1b'), "colours are for terminals");

    let (code, out, _) = output(&["--url", &url, "--json", "--count", "5", "*.quote"]);
    let parsed = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    assert_eq!((code, parsed.filter(|event| event["e"] == "quote").count()), (Some(0), 5));
}

#[test]
fn it_says_what_is_wrong_and_what_to_do() {
    // Bound but not listening: no other process can take the port meanwhile.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = silent.local_addr().unwrap();
    let nobody = format!("ws://{address}/v1/stream");
    let (code, _, err) = output(&["--url", &nobody, "BTCUSDT.quote"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("start a gateway"), "{err}");
    let (code, _, err) = output(&["--url", &nobody, "btcusdt.quote", "BTCUSDT.quote"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("btcusdt.quote: ") && !err.contains("BTCUSDT.quote: "), "{err}");

    let gateway = Gateway::start(&["--source", "pulse", "--symbols", "3", "--rate", "300"]);
    gateway.wait_for_ticks();
    let (code, out, err) = output(&["--url", &url(&gateway), "NOSUCH.quote", "*.quote"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("NOSUCH.quote: there is no such instrument"), "{err}");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let gateway = Gateway::start(&["--source", "pulse", "--symbols", "3", "--rate", "3000"]);
    let mut command = tail(&["--url", &url(&gateway), "*.quote"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("quote"), "{line}");
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn an_interrupt_prints_a_summary() {
    let gateway = Gateway::start(&["--source", "pulse", "--symbols", "3", "--rate", "3000"]);
    let mut command = tail(&["--url", &url(&gateway), "*.quote"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().is_some());
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    let printed = 1 + lines.count();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(0));
    let summary = String::from_utf8(stderr).unwrap();
    assert!(summary.starts_with(&format!("{printed} messages; 0 gaps")), "{printed}: {summary}");
}

#[test]
fn it_shows_a_token_where_one_is_asked_for() {
    let credentials =
        Credentials::new("[roles.desk]\nsee = [\"*.*\"]\n", &[("desk", "open-sesame", "desk")]);
    credentials.put("token", "open-sesame\n");
    let arguments = ["--source", "pulse", "--symbols", "3", "--auth", credentials.path()];
    let gateway = Gateway::start(&[&arguments[..], &["--rate", "300"]].concat());
    let url = url(&gateway);
    let folder = std::path::Path::new(credentials.path()).parent().unwrap();
    let [token, missing] = ["token", "missing"].map(|name| folder.join(name));
    let [token, missing] = [&token, &missing].map(|path| path.to_str().unwrap());
    let (code, out, err) =
        output(&["--url", &url, "--token-file", token, "--count", "5", "*.quote"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let (code, out, err) = output(&["--url", &url, "--count", "5", "*.quote"]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("this gateway asks for credentials"), "{err}");
    let (code, _, err) = output(&["--url", &url, "--token-file", missing, "*.quote"]);
    assert!(code == Some(1) && err.contains("cannot read the token from"), "{err}");
}
