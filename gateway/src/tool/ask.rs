//! `gateway ask`: asks a running gateway's operators' port, for where there is no curl: health checks of
//! containers, hooks of orchestrators.
//!
//! Plain HTTP to one address, one request, one answer on standard output. The exit code says whether the
//! answer was good.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use super::{EXIT_DONE, EXIT_FAILED, EXIT_USAGE};
use crate::config::ENV_PREFIX;

/// How long an answer may take. A gateway with a shard that hangs takes two seconds to say so.
const PATIENCE: Duration = Duration::from_secs(4);

/// The longest answer that is printed: metrics of 256 shards are some MiB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// How often a drain that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ask a running gateway, and say by the exit code whether the answer was good.
#[derive(Debug, Parser)]
#[command(name = "gateway ask", bin_name = "gateway ask", version)]
pub(super) struct Arguments {
    /// What to ask for
    #[arg(value_enum)]
    question: Question,
    /// The gateway's admin-listen [env: TICKCAST_ADMIN_LISTEN] [default: 127.0.0.1:9444]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Pause before asking: what load balancers need to hear that this gateway is going
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    after: Duration,
    /// With drain: how long to wait for the gateway's end
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Question {
    /// Whether every shard's loop turns
    Healthz,
    /// Whether new clients are welcome
    Readyz,
    /// All numbers
    Metrics,
    /// The slowest connections
    Connections,
    /// To read the configuration again
    Reload,
    /// To take nobody any more, close everybody at a pace, and end
    Drain,
}

impl Question {
    const fn request(self) -> (&'static str, &'static str) {
        match self {
            Self::Healthz => ("GET", "/healthz"),
            Self::Readyz => ("GET", "/readyz"),
            Self::Metrics => ("GET", "/metrics"),
            Self::Connections => ("GET", "/connections"),
            Self::Reload => ("POST", "/reload"),
            Self::Drain => ("POST", "/drain"),
        }
    }
}

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{ENV_PREFIX}ADMIN_LISTEN={0}: expected an IP address and a port")]
    Address(String),
    #[error("no answer from {0}: {1}")]
    Silent(SocketAddr, io::Error),
    #[error("the answer of {0} is not HTTP")]
    NotHttp(SocketAddr),
    #[error("it answers {0}")]
    Bad(u16),
    #[error("it has not ended within {} s", .0.as_secs())]
    StillThere(Duration),
}

/// Runs it. The answer is the exit code.
pub(super) fn run(arguments: &Arguments) -> u8 {
    match ask(arguments) {
        Ok(()) => EXIT_DONE,
        Err(failure) => {
            eprintln!("gateway ask: {failure}");
            if matches!(failure, Failure::Address(_)) { EXIT_USAGE } else { EXIT_FAILED }
        }
    }
}

fn ask(arguments: &Arguments) -> Result<(), Failure> {
    let admin = match arguments.admin {
        Some(admin) => admin,
        None => admin_from(std::env::var("TICKCAST_ADMIN_LISTEN").ok())?,
    };
    std::thread::sleep(arguments.after);
    let (method, path) = arguments.question.request();
    let (status, body) = request(admin, method, path)?;
    // Whoever reads us may have enough.
    let _ = io::stdout().write_all(&body);
    if !(200..300).contains(&status) {
        return Err(Failure::Bad(status));
    }
    if arguments.question == Question::Drain && !arguments.wait.is_zero() {
        return wait_for_end(admin, arguments.wait);
    }
    Ok(())
}

/// Where the operators' port is, as the gateway's own variable has it.
fn admin_from(variable: Option<String>) -> Result<SocketAddr, Failure> {
    let text = variable.unwrap_or_else(|| "127.0.0.1:9444".to_owned());
    text.parse().map_err(|_| Failure::Address(text))
}

/// One request: status and body.
fn request(admin: SocketAddr, method: &str, path: &str) -> Result<(u16, Vec<u8>), Failure> {
    let silent = |error| Failure::Silent(admin, error);
    // An address to listen on may be that of all interfaces, which connects to the machine itself.
    let mut socket = TcpStream::connect_timeout(&admin, PATIENCE).map_err(silent)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(silent)?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).map_err(silent)?;
    let mut answer = Vec::new();
    socket.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).map_err(silent)?;
    parse(&answer).ok_or(Failure::NotHttp(admin))
}

/// Status and body of an answer whose end is the connection's.
fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, answer[end + 4..].to_vec()))
}

/// Waits until nothing listens there any more.
fn wait_for_end(admin: SocketAddr, most: Duration) -> Result<(), Failure> {
    let until = Instant::now() + most;
    while TcpStream::connect_timeout(&admin, PATIENCE).is_ok() {
        if Instant::now() >= until {
            return Err(Failure::StillThere(most));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// A whole number of seconds or milliseconds, with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let read = |digits: &str| digits.parse::<u32>().ok().map(u64::from);
    let span = match text.strip_suffix("ms") {
        Some(digits) => read(digits).map(Duration::from_millis),
        None => text.strip_suffix('s').and_then(read).map(Duration::from_secs),
    };
    span.ok_or_else(|| "expected seconds or milliseconds, such as 5s or 500ms".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nno\r\n";
        assert_eq!(parse(answer), Some((503, b"no\r\n".to_vec())));
        for bad in [&b"HTTP/1.1 200 OK\r\n"[..], b"SSH-2.0\r\n\r\n", b"HTTP/1.1 \r\n\r\n", b""] {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn times_and_addresses_are_read_strictly() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["5", "s", "-1s", "1m", ""] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(admin_from(None).unwrap().port(), 9444);
        assert_eq!(admin_from(Some("[::]:1".into())).unwrap(), "[::]:1".parse().unwrap());
        assert!(admin_from(Some("localhost:9444".into())).is_err());
    }
}
