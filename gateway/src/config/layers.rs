//! The raw configuration: texts by key, each with where it came from. Flags go before environment,
//! environment before file, file before default. Nothing is interpreted here but the layering.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::config::error::{ConfigError, Origin};
use crate::config::keys::{ENV_PREFIX, KEYS, Key};
use crate::config::nearest::nearest;
use crate::config::setting::{Refusal, Setting};

/// The variable that names the configuration file, like the flag `--config`.
pub(super) const CONFIG_VARIABLE: &str = "TICKCAST_CONFIG";

/// A value as somebody wrote it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The text.
    pub(super) text: String,
    /// Who wrote it.
    pub(super) origin: Origin,
}

impl Written {
    /// The text for people and logs: without passwords, which stand in URLs before an at sign.
    pub(super) fn shown(&self) -> String {
        // Several URLs have a semicolon between.
        let urls = self.text.split_inclusive(';');
        urls.map(|url| {
            let hidden = url.split_once("://").and_then(|(scheme, rest)| {
                let (credentials, host) = rest.rsplit_once('@')?;
                let user = credentials.split_once(':').map_or("", |(user, _)| user);
                Some(format!("{scheme}://{user}:…@{host}"))
            });
            hidden.unwrap_or_else(|| url.to_owned())
        })
        .collect()
    }
}

/// What was written for each key, by the layer that decides it.
#[derive(Debug, Default)]
pub(super) struct Layers {
    written: BTreeMap<&'static str, Written>,
}

impl Layers {
    /// Takes over a file's values; later layers go before them.
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let line_at = |offset: usize| {
            let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
            1 + before.iter().filter(|byte| **byte == b'\n').count()
        };
        let table = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: line_at(error.span().map_or(0, |span| span.start)),
            reason: error.message().to_owned(),
        })?;
        for (name, value) in table.get_ref() {
            let line = line_at(name.span().start);
            let origin = Origin::File { path: path.to_owned(), line };
            let key = known(name.get_ref(), &origin)?;
            let text = text_of(key, value.get_ref()).ok_or_else(|| ConfigError::NotPlain {
                key: key.name.to_owned(),
                origin: origin.clone(),
                found: value.get_ref().type_str(),
            })?;
            self.written.insert(key.name, Written { text, origin });
        }
        Ok(())
    }

    /// Takes over environment variables. Those with our prefix that are no key and look like none
    /// are returned, to be warned of: orchestrators put `TICKCAST_SERVICE_HOST` and the like there.
    pub(super) fn add_env(
        &mut self,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<String>, ConfigError> {
        let mut strangers = Vec::new();
        for (variable, value) in env {
            let Some(variable) = variable.to_str() else { continue };
            let Some(rest) = variable.strip_prefix(ENV_PREFIX) else { continue };
            if variable == CONFIG_VARIABLE {
                continue;
            }
            let name = rest.to_ascii_lowercase().replace('_', "-");
            let origin = Origin::Env { variable: variable.to_owned() };
            let key = match known(&name, &origin) {
                Ok(key) => key,
                Err(error @ ConfigError::UnknownKey { suggestion: Some(_), .. }) => {
                    return Err(error);
                }
                Err(_) => {
                    strangers.push(variable.to_owned());
                    continue;
                }
            };
            let text = value.into_string().map_err(|_| ConfigError::NotPlain {
                key: key.name.to_owned(),
                origin: origin.clone(),
                found: "bytes that are not UTF-8",
            })?;
            self.written.insert(key.name, Written { text, origin });
        }
        Ok(strangers)
    }

    /// Takes over one flag.
    pub(super) fn add_flag(&mut self, key: &Key, text: String) {
        let origin = Origin::Flag { flag: format!("--{}", key.name) };
        self.written.insert(key.name, Written { text, origin });
    }

    /// What is written for a key: by the layer that decides it, or its default.
    pub(super) fn written(&self, name: &'static str) -> Written {
        self.written.get(name).cloned().unwrap_or_else(|| {
            let key = KEYS.iter().find(|key| key.name == name).expect("only keys are read");
            Written { text: key.default.to_owned(), origin: Origin::Default }
        })
    }

    /// Whether somebody set this key.
    pub(super) fn is_set(&self, name: &'static str) -> bool {
        self.written.get(name).is_some_and(|written| !written.text.is_empty())
    }

    /// Reads a key's value.
    pub(super) fn read<S: Setting>(&self, name: &'static str) -> Result<S::Value, ConfigError> {
        let written = self.written(name);
        S::parse(&written.text).map_err(|refusal| {
            let (value, origin) = (written.shown(), written.origin);
            let expected = S::expected();
            match refusal {
                Refusal::Malformed => ConfigError::Value { key: name, value, origin, expected },
                Refusal::BusUrl(reason) => ConfigError::BusUrl { key: name, value, origin, reason },
                Refusal::NotBuiltIn(what) => {
                    ConfigError::NotBuiltIn { key: name, value, origin, what, expected }
                }
            }
        })
    }
}

/// The key of this name.
fn known(name: &str, origin: &Origin) -> Result<&'static Key, ConfigError> {
    KEYS.iter().find(|key| key.name == name).ok_or_else(|| ConfigError::UnknownKey {
        key: name.to_owned(),
        origin: origin.clone(),
        suggestion: nearest(name, KEYS.iter().map(|key| key.name)),
    })
}

/// A key's value in TOML as one text: a list becomes its parts with the key's separator between.
fn text_of(key: &Key, value: &DeValue<'_>) -> Option<String> {
    match (key.separator, value) {
        (Some(separator), DeValue::Array(parts)) => {
            let parts = parts.iter().map(|part| plain_text(part.get_ref()));
            Some(parts.collect::<Option<Vec<_>>>()?.join(separator.to_string().as_str()))
        }
        _ => plain_text(value),
    }
}

/// A TOML value as the text that a flag would have had.
fn plain_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        // TOML allows `1_000`; flags do not.
        DeValue::Integer(integer) => Some(integer.as_str().replace('_', "")),
        DeValue::Float(float) => Some(float.as_str().replace('_', "")),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}
