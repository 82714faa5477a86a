//! Clients of the exchange, unmodified and as their registries have them, against the real gateway: each
//! program in `exchange/clients` asserts what its library hands to a user.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use support::process::{Gateway, get, until};

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchange/clients")
}

/// Runs a command to its end.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out
}

/// Runs what asks a registry, which does not answer each time.
fn fetch(command: &mut Command) {
    let is_done = (0..5).any(|nth| {
        std::thread::sleep(Duration::from_secs(10) * nth);
        command.status().is_ok_and(|status| status.success())
    });
    assert!(is_done, "{command:?}: five times");
}

/// A folder for what `install` puts into it from this list of packages, unless it is there already.
fn installed(name: &str, list: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let wanted = std::fs::read_to_string(programs().join(list)).unwrap();
    let stamp = folder.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return folder;
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    install(&folder);
    std::fs::write(stamp, wanted).unwrap();
    folder
}

/// A Python that has the packages of a list, in a folder of this name.
fn python_with(name: &str, list: &str) -> PathBuf {
    let folder = installed(name, list, |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        let quiet = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
        fetch(Command::new(folder.join("bin/pip")).args(quiet).arg(programs().join(list)));
    });
    folder.join("bin/python")
}

/// A Python that has the packages.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| python_with("exchange-clients-pypi", "requirements.txt"))
}

/// One that has those which are called as others are: two clients are `import binance`.
fn other_python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| python_with("exchange-clients-pypi-others", "requirements-others.txt"))
}

/// The folder of the packages of npm.
fn node_packages() -> &'static Path {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        installed("exchange-clients-npm", "package.json", |folder| {
            std::fs::copy(programs().join("package.json"), folder.join("package.json")).unwrap();
            let quiet = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
            fetch(Command::new("npm").args(quiet).current_dir(folder));
        })
    })
}

/// A gateway whose market has begun: bars of some seconds, and a ticker.
fn market() -> (Gateway, String) {
    let gateway = Gateway::start(&["--shards", "1", "--symbols", "3", "--exchange-weight", "0"]);
    let address = gateway.listen.to_string();
    until("a market of some seconds", || {
        let (_, ticker) = get(gateway.listen, "/api/v3/ticker/24hr?symbol=BTCUSDT")?;
        let (_, bars) = get(gateway.listen, "/api/v3/klines?symbol=BTCUSDT&interval=1s")?;
        let bars: serde_json::Value = serde_json::from_str(&bars).ok()?;
        (ticker.contains("lastPrice") && bars.as_array()?.len() > 3).then_some(())
    });
    (gateway, address)
}

#[test]
fn ccxt_pro_watches_everything_and_unwatches() {
    let python = python();
    let (_gateway, address) = market();
    run(Command::new(python).arg(programs().join("ccxt_pro.py")).args([&address, "BTC/USDT"]));
}

#[test]
fn python_binance_has_sockets_and_a_depth_cache() {
    let python = python();
    let (_gateway, address) = market();
    let program = programs().join("python_binance.py");
    run(Command::new(python).arg(program).args([&address, "BTCUSDT"]));
}

#[test]
fn the_official_client_of_pypi_accepts_every_answer_and_event() {
    let python = python();
    let (_gateway, address) = market();
    run(Command::new(python).arg(programs().join("binance_sdk.py")).args([&address, "BTCUSDT"]));
}

#[test]
fn other_clients_of_npm_read_rest_and_streams() {
    let packages = node_packages();
    let (_gateway, address) = market();
    for name in ["binance", "binance-api-node", "node-binance-api", "@binance/connector", "ws"] {
        let mut node = Command::new("node");
        node.arg(programs().join("others.mjs")).args([name, &address, "BTCUSDT"]);
        run(node.env("NODE_PACKAGES", packages));
    }
}

#[test]
fn other_clients_of_pypi_read_rest_and_streams() {
    let python = other_python();
    let (_gateway, address) = market();
    for program in ["binance_connector.py", "unicorn.py", "plain_sockets.py"] {
        run(Command::new(python).arg(programs().join(program)).args([&address, "BTCUSDT"]));
    }
}

#[test]
fn the_official_client_of_npm_reads_rest_and_streams() {
    let packages = node_packages();
    let (_gateway, address) = market();
    let mut node = Command::new("node");
    node.arg(programs().join("binance_spot.mjs")).args([&address, "BTCUSDT"]);
    run(node.env("NODE_PACKAGES", packages));
}

#[test]
fn every_route_answers_as_it_is_described() {
    let python = python();
    let (_gateway, address) = market();
    run(Command::new(python).arg(programs().join("openapi.py")).args([&address, "BTCUSDT"]));
}
