//! The command line of `gateway`: one flag for each key, `--config`, `--check`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::error::ConfigError;
use crate::config::keys::{Config, KEYS};
use crate::config::layers::{CONFIG_VARIABLE, Layers};

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// To run with this configuration.
    Run {
        /// The configuration.
        config: Box<Config>,
        /// Environment variables with our prefix that are no keys.
        strangers: Vec<String>,
    },
    /// To print this and end: help, version, or the checked configuration.
    Print(String),
}

/// Reads the command line (with the program's name first), the environment and the file they name.
///
/// # Errors
/// With the first thing that is wrong, saying where it came from and what was expected.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Asked, ConfigError> {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Asked::Print(error.to_string())),
        Err(error) => return Err(ConfigError::CommandLine(plain(&error))),
    };
    let (layers, strangers) = layers(&matches, env)?;
    let config = Config::resolve(&layers)?;
    if matches.get_flag("check") {
        return Ok(Asked::Print(listing(&layers)));
    }
    Ok(Asked::Run { config: Box::new(config), strangers })
}

/// Reads the same once more, for a gateway that runs: the file may say something else.
///
/// # Errors
/// As [`load`].
pub fn load_again(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    let matches = command().try_get_matches_from(args);
    let matches = matches.map_err(|error| ConfigError::CommandLine(plain(&error)))?;
    let (layers, _) = layers(&matches, env)?;
    Config::resolve(&layers)
}

/// What flags, environment and file say, and environment variables with our prefix that are no keys.
fn layers(
    matches: &ArgMatches,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(Layers, Vec<String>), ConfigError> {
    let env: Vec<(OsString, OsString)> = env.into_iter().collect();
    let from_env = || {
        let variable = env.iter().find(|(name, _)| name == CONFIG_VARIABLE);
        variable.map(|(_, value)| PathBuf::from(value))
    };
    let file = matches.get_one::<PathBuf>("config").cloned().or_else(from_env);

    let mut layers = Layers::default();
    if let Some(path) = file {
        layers.add_file(&path)?;
    }
    let strangers = layers.add_env(env)?;
    for key in KEYS {
        if let Some(texts) = matches.get_many::<String>(key.name) {
            let separator = key.separator.map(String::from).unwrap_or_default();
            let texts: Vec<&str> = texts.map(String::as_str).collect();
            layers.add_flag(key, texts.join(&separator));
        }
    }
    Ok((layers, strangers))
}

/// The parser, derived from the table of keys.
fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Configuration file in TOML, with the keys below [env: TICKCAST_CONFIG]");
    let check = Arg::new("check")
        .long("check")
        .action(ArgAction::SetTrue)
        .help("Check the configuration, print every key with where its value came from, and end");
    let keys = KEYS.iter().map(|key| {
        let default = if key.default.is_empty() { "none" } else { key.default };
        let help = format!("{} [env: {}] [default: {default}]", key.doc.trim(), key.variable());
        let arg = Arg::new(key.name)
            .long(key.name)
            .value_name(key.placeholder)
            .help(help)
            .help_heading(key.group);
        let arg = if key.separator.is_some() { arg.action(ArgAction::Append) } else { arg };
        if key.is_switch() {
            arg.num_args(0..=1).require_equals(true).default_missing_value("true")
        } else {
            arg.allow_negative_numbers(true)
        }
    });
    Command::new("gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Tickcast: a market-data push gateway")
        .after_help(
            "`gateway tail --help` prints a stream readably, `gateway ask --help` asks a running gateway,\n\
             `gateway record --help` records an upstream for a replay.\n\
             Flags go before environment variables, these before the file, the file before defaults.\n\
             Signals: SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reads configuration, certificates and credentials again.",
        )
        .arg(config)
        .arg(check)
        .args(keys)
}

/// clap's message without its own "error: ", which the caller puts before every message alike.
fn plain(error: &clap::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()
}

/// Every key with its value and where that came from.
fn listing(layers: &Layers) -> String {
    let mut out = String::new();
    for key in KEYS {
        let written = layers.written(key.name);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{} = \"{}\"  # {}", key.name, written.shown(), written.origin);
    }
    out
}
