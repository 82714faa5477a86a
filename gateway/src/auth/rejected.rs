//! Why a credential is not accepted: what its bearer is told, and what counts it.

use std::num::NonZeroU32;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::shard::counters::Counter;

/// See the module's header. Who shows a credential may be told what is wrong with it; that a key or a
/// signature is wrong says nothing about the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    #[error("this gateway asks for credentials")]
    Missing,
    #[error("more than one credential was shown")]
    Several,
    #[error("the token is no token")]
    Malformed,
    #[error("the key, or the key of the token's signature, is not known")]
    Unknown,
    #[error("the token is signed by an algorithm that is not accepted")]
    Algorithm,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token's {0} is missing or not what is expected")]
    Claim(&'static str),
    #[error("the token has no role that this gateway knows, or a grant that it cannot read")]
    Role,
    #[error("it is revoked")]
    Revoked,
    #[error("sessions of its user replace each other all the time")]
    Crowded,
    #[error("its user asks too often: {0} requests a second, over all connections")]
    TooOften(NonZeroU32),
    #[error(
        "it entitles to data delayed by {0} minutes, and this gateway's are not: ask one that has them"
    )]
    Delay(u32),
}

impl Rejected {
    pub(crate) const fn counter(self) -> Counter {
        match self {
            Self::Missing => Counter::AuthMissing,
            Self::Several | Self::Malformed => Counter::AuthMalformed,
            Self::Unknown => Counter::AuthUnknown,
            Self::Algorithm | Self::Signature => Counter::AuthForged,
            Self::Expired | Self::NotYet => Counter::AuthOutOfTime,
            Self::Claim(_) | Self::Role | Self::Delay(_) => Counter::AuthUnfit,
            Self::Revoked => Counter::AuthRevoked,
            Self::Crowded => Counter::AuthCrowded,
            Self::TooOften(_) => Counter::AuthTooOften,
        }
    }

    /// Who is known and may not is told otherwise than who is not known.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Role | Self::Delay(_) => StatusCode::FORBIDDEN,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// Adds what a client is to do about it (RFC 6750, section 3).
    pub(crate) fn add_headers(self, headers: &mut HeaderMap) {
        if let Self::TooOften(_) = self {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return;
        }
        let error = match self {
            Self::Missing => None,
            Self::Several => Some("invalid_request"),
            Self::Role | Self::Delay(_) => Some("insufficient_scope"),
            _ => Some("invalid_token"),
        };
        let mut challenge = "Bearer realm=\"tickcast\"".to_owned();
        if let Some(error) = error {
            challenge.push_str(&format!(", error=\"{error}\", error_description=\"{self}\""));
        }
        // None of the texts has a quote or a character beyond ASCII.
        if let Ok(value) = HeaderValue::try_from(challenge) {
            headers.insert(WWW_AUTHENTICATE, value);
        }
    }
}
