//! Why a configuration is refused: the key, the value, where it came from, and what was expected.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything: the documented default.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Env {
        /// The variable's name.
        variable: String,
    },
    /// A flag on the command line.
    Flag {
        /// The flag, with its dashes.
        flag: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Env { variable } => write!(f, "the environment variable {variable}"),
            Self::Flag { flag } => write!(f, "the flag {flag}"),
        }
    }
}

/// Why a configuration is refused. All of these are the user's to mend: exit code 2.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The command line is not well-formed; the text is the parser's, with its usage hint.
    #[error("{0}")]
    CommandLine(String),
    /// A key that does not exist.
    #[error("unknown key `{key}` from {origin}{}", did_you_mean(*suggestion))]
    UnknownKey {
        /// As it was written.
        key: String,
        /// Who wrote it.
        origin: Origin,
        /// The key that is nearest, if one is near.
        suggestion: Option<&'static str>,
    },
    /// A value that its key cannot have.
    #[error("{key} = \"{value}\" from {origin}: expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value as it was written.
        value: String,
        /// Who wrote it.
        origin: Origin,
        /// What was expected.
        expected: String,
    },
    /// A bus whose URL is none.
    #[error("{key} = \"{value}\" from {origin}: {reason}, such as nats://127.0.0.1:4222/tickcast")]
    BusUrl {
        /// The key.
        key: &'static str,
        /// The value as it was written.
        value: String,
        /// Who wrote it.
        origin: Origin,
        /// What is wrong with it.
        reason: bus::UrlError,
    },
    /// A value that this build cannot honour.
    #[error(
        "{key} = \"{value}\" from {origin}: {what} is not built into this version; expected {expected}"
    )]
    NotBuiltIn {
        /// The key.
        key: &'static str,
        /// The value as it was written.
        value: String,
        /// Who wrote it.
        origin: Origin,
        /// What is missing.
        what: &'static str,
        /// What was expected.
        expected: String,
    },
    /// A key that makes no sense without another one.
    #[error("{key} = \"{value}\" from {origin}: {needs} must be set with it")]
    Alone {
        /// The key that is set.
        key: &'static str,
        /// Its value.
        value: String,
        /// Who wrote it.
        origin: Origin,
        /// The key that is not set.
        needs: &'static str,
    },
    /// Two keys whose values contradict each other.
    #[error("{key} = \"{value}\" from {origin}: expected {expected}")]
    Contradiction {
        /// The key that is out of line.
        key: &'static str,
        /// Its value.
        value: String,
        /// Who wrote it.
        origin: Origin,
        /// How it must stand to which other key.
        expected: String,
    },
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The configuration file is not TOML.
    #[error("{} line {line}: not valid TOML: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A value in the file or environment that is not a plain one.
    #[error("{key} from {origin}: expected a text, a number or true/false, not {found}")]
    NotPlain {
        /// The key.
        key: String,
        /// Who wrote it.
        origin: Origin,
        /// What stands there.
        found: &'static str,
    },
}

/// The end of the sentence that a suggestion adds.
fn did_you_mean(suggestion: Option<&'static str>) -> String {
    suggestion.map_or_else(
        || "; docs/CONFIG.md and `gateway --help` list the keys".to_owned(),
        |key| format!("; did you mean `{key}`?"),
    )
}
