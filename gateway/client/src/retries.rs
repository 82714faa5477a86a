//! Retries: topics that a gateway refused for the moment after a reconnect, to be asked for again
//! in a while.
//!
//! A gateway that has only begun may not know an instrument yet, or be behind what another one has
//! delivered: it comes to that. One that does not come to it has another past, and is taken as it is.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;
use wire::ErrorCode;

use crate::backoff::Backoff;
use crate::error::Refusal;
use crate::options::Reconnect;

/// The pauses between two attempts.
const PAUSES: Reconnect = Reconnect::WithBackoff {
    min: Duration::from_millis(250),
    max: Duration::from_secs(5),
    attempts: None,
};

/// How often a gateway may say that it is behind.
const AHEAD_MAX: u32 = 5;

/// What is to become of a topic that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is asked for again, behind what was received.
    Later,
    /// It is asked for as the gateway has it now.
    Anew,
    /// The refusal will last.
    Refused,
}

/// The topics of one connection that are asked for again.
#[derive(Debug)]
pub(crate) struct Retries {
    topics: HashSet<String>,
    /// How often the gateway said of a topic that it is behind.
    ahead: HashMap<String, u32>,
    due: Option<Instant>,
    pauses: Backoff,
}

impl Default for Retries {
    fn default() -> Self {
        let (topics, ahead) = (HashSet::new(), HashMap::new());
        Self { topics, ahead, due: None, pauses: Backoff::new(PAUSES) }
    }
}

impl Retries {
    /// Takes note of a refusal, and says what it means.
    pub(crate) fn note(&mut self, topic: &str, refusal: &Refusal) -> Verdict {
        match refusal.code {
            Some(ErrorCode::ResumeAhead) => {
                let times = self.ahead.entry(topic.to_owned()).or_default();
                *times += 1;
                if *times > AHEAD_MAX {
                    return Verdict::Anew;
                }
            }
            Some(ErrorCode::Unavailable | ErrorCode::Busy | ErrorCode::TooManyCommands) => {}
            _ => return Verdict::Refused,
        }
        self.topics.insert(topic.to_owned());
        if self.due.is_none() {
            self.due = self.pauses.pause().map(|pause| Instant::now() + pause);
        }
        Verdict::Later
    }

    /// Takes note of a topic that was accepted.
    pub(crate) fn forget(&mut self, topic: &str) {
        self.topics.remove(topic);
        self.ahead.remove(topic);
        if self.topics.is_empty() {
            self.due = None;
            self.pauses.reset();
        }
    }

    /// When topics are to be asked for again, if there are any.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The topics to be asked for again now.
    pub(crate) fn take(&mut self) -> HashSet<String> {
        self.due = None;
        std::mem::take(&mut self.topics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: ErrorCode) -> Refusal {
        Refusal { code: Some(code), msg: String::new() }
    }

    #[test]
    fn a_gateway_that_stays_behind_is_taken_as_it_is() {
        let mut retries = Retries::default();
        let ahead = refusal(ErrorCode::ResumeAhead);
        for _ in 0..AHEAD_MAX {
            assert_eq!(retries.note("BTCUSDT.trade", &ahead), Verdict::Later);
            assert!(retries.due().is_some());
            assert_eq!(retries.take().len(), 1);
        }
        assert_eq!(retries.note("BTCUSDT.trade", &ahead), Verdict::Anew);
        retries.forget("BTCUSDT.trade");
        assert_eq!(retries.note("BTCUSDT.trade", &ahead), Verdict::Later, "it is asked anew");
    }

    #[test]
    fn what_lasts_is_not_asked_for_again() {
        let mut retries = Retries::default();
        assert_eq!(retries.note("A.trade", &refusal(ErrorCode::Unavailable)), Verdict::Later);
        assert_eq!(retries.note("B.trade", &refusal(ErrorCode::BadTopic)), Verdict::Refused);
        assert_eq!(retries.take(), HashSet::from(["A.trade".to_owned()]));
        assert_eq!(retries.due(), None);
    }
}
