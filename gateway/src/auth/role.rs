//! A role: a grant, how many sessions at once a user of it may have, and how often one may ask over plain HTTP.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hub::{Grant, Rules};
use serde::Deserialize;
use wire::command::{MAX_RATE_MAX, Mode};

use super::error::AuthError;
use super::section::Section;
use crate::config::{Setting as _, Span};

/// See the module's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) grant: Arc<Grant>,
    /// `None`: as many as they like.
    pub(crate) sessions_max: Option<NonZeroU32>,
    /// Plain HTTP, a second; `None`: as often as they like.
    pub(crate) requests_max: Option<NonZeroU32>,
}

/// A role as a token has it within itself, in the claim `tickcast`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Terms {
    see: Vec<String>,
    publish: Vec<String>,
    depth_levels: Option<u16>,
    max_rate: Option<NonZeroU32>,
    conflate: bool,
    sessions: Option<NonZeroU32>,
    requests: Option<NonZeroU32>,
    delay_minutes: u32,
}

impl Terms {
    /// The role, or which of the terms is none.
    pub(super) fn role(self) -> Result<Role, &'static str> {
        let see = Rules::parse(&self.see).map_err(|_| "see")?;
        let publish = Rules::parse(&self.publish).map_err(|_| "publish")?;
        if self.max_rate.is_some_and(|rate| rate.get() > MAX_RATE_MAX) {
            return Err("max_rate");
        }
        let grant = Grant {
            see,
            publish,
            depth_levels: self.depth_levels,
            max_rate: self.max_rate,
            mode: mode(self.conflate),
            delay_min: self.delay_minutes,
        };
        let (sessions_max, requests_max) = (self.sessions, self.requests);
        Ok(Role { grant: Arc::new(grant), sessions_max, requests_max })
    }
}

const fn mode(is_conflated: bool) -> Mode {
    if is_conflated { Mode::Conflate } else { Mode::Every }
}

impl Role {
    /// Reads `[roles.NAME]`.
    pub(super) fn read(section: Section<'_>) -> Result<Self, AuthError> {
        let rules = |key| {
            let texts = section.texts(key)?.unwrap_or_default();
            Rules::parse(&texts).map_err(|(at, error)| {
                section.refuse(key, format!("{error}; {:?} is none", texts[at]))
            })
        };
        let grant = Grant {
            see: rules("see")?,
            publish: rules("publish")?,
            depth_levels: section.number("depth-levels", 0..=u64::from(u16::MAX))?,
            max_rate: section
                .number("max-rate", 1..=u64::from(MAX_RATE_MAX))?
                .and_then(NonZeroU32::new),
            mode: mode(section.truth("conflate")?.unwrap_or(false)),
            delay_min: span::<0, 86_400_000>(&section, "delay")?.map_or(0, whole_minutes),
        };
        let most = |key| section.number(key, 1..=u64::from(u32::MAX));
        let (sessions_max, requests_max) = (most("sessions")?, most("requests")?);
        section.finish()?;
        let sessions_max = sessions_max.and_then(NonZeroU32::new);
        let requests_max = requests_max.and_then(NonZeroU32::new);
        Ok(Self { grant: Arc::new(grant), sessions_max, requests_max })
    }
}

/// So many whole minutes, none too few.
fn whole_minutes(span: Duration) -> u32 {
    u32::try_from(span.as_secs().div_ceil(60)).unwrap_or(u32::MAX)
}

/// A duration with its unit.
pub(super) fn span<const MIN_MS: u64, const MAX_MS: u64>(
    section: &Section<'_>,
    key: &'static str,
) -> Result<Option<Duration>, AuthError> {
    let Some(text) = section.text(key)? else { return Ok(None) };
    let span = Span::<MIN_MS, MAX_MS>::parse(&text);
    span.map(Some).map_err(|_| section.refuse(key, Span::<MIN_MS, MAX_MS>::expected()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(json: &str) -> Result<Role, String> {
        let terms: Terms = serde_json::from_str(json).map_err(|error| error.to_string())?;
        terms.role().map_err(str::to_owned)
    }

    #[test]
    fn a_claim_is_read_whole_or_not_at_all() {
        let found = role(
            r#"{"see":["BTC*.*","!*.depth"],"depth_levels":10,"max_rate":5,"conflate":true,
                "sessions":2,"requests":7,"delay_minutes":15,"publish":["X.quote"]}"#,
        );
        let Role { grant, sessions_max, requests_max } = found.unwrap();
        assert_eq!(requests_max, NonZeroU32::new(7));
        assert_eq!((grant.depth_levels, grant.max_rate), (Some(10), NonZeroU32::new(5)));
        assert_eq!(
            (grant.mode, grant.delay_min, sessions_max),
            (Mode::Conflate, 15, NonZeroU32::new(2))
        );
        assert_eq!(*role("{}").unwrap().grant, Grant::nothing());
        for (json, part) in [
            (r#"{"see":["*.*"],"depth_level":5}"#, "unknown field"),
            (r#"{"see":"*.*"}"#, "expected a sequence"),
            (r#"{"see":["btc.trade"]}"#, "see"),
            (r#"{"publish":["*"]}"#, "publish"),
            (r#"{"max_rate":1001}"#, "max_rate"),
            (r#"{"max_rate":0}"#, "nonzero"),
            (r#"{"sessions":-1}"#, "invalid value"),
            (r#"{"requests":0}"#, "nonzero"),
            (r#"{"see":[],"see":["*.*"]}"#, "duplicate field"),
        ] {
            let refused = role(json).unwrap_err();
            assert!(refused.contains(part), "{json}: {refused}");
        }
    }
}
