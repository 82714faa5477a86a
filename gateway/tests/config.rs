//! Configuration as a user meets it: precedence, misspelt keys, bad values, and what is said of them.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::Command;

use gateway::config::{Asked, Config, ConfigError, LogFormat, Origin, Source, Speed, Switch, load};
use tempfile::NamedTempFile;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn try_load(args: &[&str], env: &[(&str, &str)]) -> Result<Asked, ConfigError> {
    let args = std::iter::once("gateway").chain(args.iter().copied()).map(OsString::from);
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    load(args, env)
}

fn resolved(args: &[&str], env: &[(&str, &str)]) -> Config {
    match try_load(args, env) {
        Ok(Asked::Run { config, .. }) => *config,
        other => panic!("expected a configuration, got {other:?}"),
    }
}

fn refused(args: &[&str], env: &[(&str, &str)]) -> ConfigError {
    try_load(args, env).expect_err("expected a refusal")
}

#[test]
fn flags_go_before_environment_before_file_before_defaults() {
    let file = file("rate = 10\nsymbols = 20\nseed = 30\n# rate is set three times\n");
    let path = file.path().to_str().unwrap();
    let env = [("TICKCAST_RATE", "11"), ("TICKCAST_SYMBOLS", "21"), ("HOME", "/")];
    let config = resolved(&["--config", path, "--rate", "12"], &env);
    assert_eq!(config.rate, 12);
    assert_eq!(config.symbols, 21);
    assert_eq!(config.seed, 30);
    assert_eq!(config.listen.to_string(), "127.0.0.1:9443");
}

#[test]
fn the_environment_can_name_the_file() {
    let file =
        file("source = \"shm:/dev/shm/ticks\"\nlog-format = \"json\"\nloop = true\nspeed = 2.5\n");
    let config = resolved(&[], &[("TICKCAST_CONFIG", file.path().to_str().unwrap())]);
    assert_eq!(config.source.first, Source::Shm("/dev/shm/ticks".into()));
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.replay_loop, Switch::On);
    assert_eq!(config.speed, Speed::Times(2.5));
}

#[test]
fn two_sources_are_two_flags_a_list_or_a_semicolon() {
    let file = file("source = [\"shm:/a\", \"ws://127.0.0.1:1\"]\n");
    let from_file = resolved(&["--config", file.path().to_str().unwrap()], &[]);
    let from_flags = resolved(&["--source", "shm:/a", "--source", "ws://127.0.0.1:1"], &[]);
    let from_env = resolved(&[], &[("TICKCAST_SOURCE", "shm:/a;ws://127.0.0.1:1")]);
    assert_eq!(
        from_file.source.second.as_ref().map(ToString::to_string).as_deref(),
        Some("ws://127.0.0.1:1")
    );
    assert_eq!((&from_flags.source, &from_env.source), (&from_file.source, &from_file.source));
    let three = ["--source", "shm:/a", "--source", "shm:/b", "--source", "shm:/c"];
    assert!(matches!(refused(&three, &[]), ConfigError::Value { key: "source", .. }));
}

#[test]
fn a_switch_needs_no_value() {
    assert_eq!(resolved(&["--test-echo"], &[]).test_echo, Switch::On);
    assert_eq!(resolved(&["--test-echo=false"], &[]).test_echo, Switch::Off);
    assert_eq!(resolved(&[], &[]).test_echo, Switch::Off);
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_key_that_was_meant() {
    let file =
        file("# comment\nrate = 5\nlisten-adress = \"127.0.0.1:1\"\nlisen = \"127.0.0.1:1\"\n");
    let error = refused(&["--config", file.path().to_str().unwrap()], &[]);
    // TOML tables are read in alphabetical order, so the first of two bad keys is `lisen`.
    let ConfigError::UnknownKey { key, origin, suggestion } = &error else { panic!("{error}") };
    assert_eq!(key, "lisen");
    assert_eq!(*suggestion, Some("listen"));
    assert!(matches!(origin, Origin::File { line: 4, .. }), "{origin:?}");
    assert!(error.to_string().ends_with("did you mean `listen`?"), "{error}");

    let error = refused(&[], &[("TICKCAST_SHARD", "3")]);
    assert_eq!(
        error.to_string(),
        "unknown key `shard` from the environment variable TICKCAST_SHARD; did you mean `shards`?"
    );
    let error = refused(&["--symbls", "3"], &[]).to_string();
    assert!(error.contains("--symbls") && error.contains("--symbols"), "{error}");
}

#[test]
fn variables_of_an_orchestrator_are_reported_and_not_refused() {
    let env = [("TICKCAST_SERVICE_HOST", "10.0.0.1"), ("TICKCAST_RATE", "7")];
    let Asked::Run { config, strangers } = try_load(&[], &env).unwrap() else { panic!() };
    assert_eq!(config.rate, 7);
    assert_eq!(strangers, ["TICKCAST_SERVICE_HOST"]);
}

#[test]
fn a_bad_value_is_named_with_its_key_its_origin_and_what_was_expected() {
    /// Flags, environment, and what the message must contain.
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Case<'_>; 19] = [
        (
            &["--listen", "localhost"],
            &[],
            &["listen = \"localhost\"", "the flag --listen", "IP address"],
        ),
        (&["--shards", "0"], &[], &["shards = \"0\"", "auto (one per core)", "1 to 256"]),
        (&[], &[("TICKCAST_SLOW_AGE", "30")], &["slow-age = \"30\"", "TICKCAST_SLOW_AGE", "30s"]),
        (&["--log-level", "inof"], &[], &["log-level = \"inof\"", "error, warn, info"]),
        (
            &["--source", "nats://127.0.0.1:none"],
            &[],
            &["source = \"nats://127.0.0.1:none\"", "the flag --source", "its port is a number"],
        ),
        (&["--source", "redis://h/a.b"], &[], &["a prefix has 1 to 32"]),
        (&["--bus-interest", "some"], &[], &["clients or all"]),
        (&["--bus", "kafka://127.0.0.1"], &[], &["bus = \"kafka://127.0.0.1\"", "expected none"]),
        (&["--bus", "nats://127.0.0.1/a.b"], &[], &["a prefix has 1 to 32 of"]),
        (&["--publish", "local"], &[], &["publish = \"local\"", "bus must be set with it"]),
        (
            &["--publish", "granted", "--bus", "redis://127.0.0.1"],
            &[],
            &["publish = \"granted\"", "auth must be set with it"],
        ),
        (
            &["--publish", "local", "--bus", "redis://127.0.0.1", "--auth", "auth.toml"],
            &[],
            &["publish = \"local\"", "off or granted, with auth"],
        ),
        (&["--auth-query"], &[], &["auth-query = \"true\"", "auth must be set with it"]),
        (
            &["--listen", "0.0.0.0:9443"],
            &[],
            &[
                "listen = \"0.0.0.0:9443\"",
                "a loopback address, or auth = FILE",
                "anonymous = anywhere",
            ],
        ),
        (&["--source", "replay:"], &[], &["replay:FILE"]),
        (&["--speed", "-1"], &[], &["speed = \"-1\"", "max or a positive number"]),
        (&["--tls-cert", "a.pem"], &[], &["tls-cert = \"a.pem\"", "tls-key must be set with it"]),
        (&["--pong-timeout", "1s"], &[], &["pong-timeout = \"1s\"", "more than the ping-interval"]),
        (&["--ring-capacity", "5000"], &[], &["ring-capacity = \"5000\"", "power of two"]),
    ];
    for (args, env, parts) in cases {
        let error = refused(args, env).to_string();
        for part in parts {
            assert!(error.contains(part), "{args:?} {env:?}: {error:?} lacks {part:?}");
        }
    }
}

#[test]
fn files_that_cannot_be_read_say_where_they_are_wrong() {
    let error = refused(&["--config", "/nonexistent/tickcast.toml"], &[]);
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
    let broken = file("rate = 5\nlisten = \n");
    let error = refused(&["--config", broken.path().to_str().unwrap()], &[]);
    assert!(matches!(error, ConfigError::Syntax { line: 2, .. }), "{error:?}");
    let nested = file("[listen]\nport = 3\n");
    let error = refused(&["--config", nested.path().to_str().unwrap()], &[]);
    assert!(matches!(error, ConfigError::NotPlain { found: "table", .. }), "{error:?}");
}

#[test]
fn the_command_itself_ends_with_2_and_one_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["--rate", "fast"])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "gateway: rate = \"fast\" from the flag --rate: expected a whole number from 1 to \
         100000000, such as 250, 10k or 2M\n"
    );
}

#[test]
fn check_prints_every_key_with_its_origin_in_the_files_own_format() {
    let output = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["--check", "--rate", "7"])
        .env_clear()
        .env("TICKCAST_SEED", "9")
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("rate = \"7\"  # the flag --rate"), "{text}");
    assert!(text.contains("seed = \"9\"  # the environment variable TICKCAST_SEED"), "{text}");
    // What it prints is a file that says the same, but for passwords.
    let again = file(&text);
    assert_eq!(resolved(&["--config", again.path().to_str().unwrap()], &[]).rate, 7);
}

#[test]
fn passwords_are_neither_printed_nor_complained_about() {
    let run = |source: &str| {
        let command = &mut Command::new(env!("CARGO_BIN_EXE_gateway"));
        let output = command.args(["--check", "--source", source]).env_clear().output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = run("nats://amy:s3cr@t@127.0.0.1:4222/a;redis://:s3cret@127.0.0.1:6379");
    assert_eq!(code, Some(0), "{text}");
    let shown = "source = \"nats://amy:…@127.0.0.1:4222/a;redis://:…@127.0.0.1:6379\"";
    assert!(text.contains(shown) && !text.contains("s3cr"), "{text}");
    // At NATS a user alone is a token.
    let (code, text) = run("nats://s3cret@");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nats://:…@") && !text.contains("s3cr"), "{text}");
}
