//! Between whom a token is: who says that he issued it, and for whom.
//!
//! What a token must say of both is in the file, which may say something else while sessions go on; so what
//! a token said is kept, and looked at again without the token. The rules are those of RFC 7519 (sections
//! 4.1.1 and 4.1.3), as the library that verifies tokens applies them: what is let in by one is let in by
//! the other, which the tests of `auth` compare.

use std::collections::{HashMap, HashSet};

use jsonwebtoken::Validation;
use serde_json::Value;

/// What one token says: see the module's header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parties {
    issuers: Claim,
    audiences: Claim,
}

/// A text or several, of which one has to be right; `None`: nothing that can be read.
type Claim = Option<Box<[Box<str>]>>;

impl Parties {
    /// Those of a token with these claims.
    pub(super) fn of(claims: &HashMap<String, Value>) -> Self {
        Self { issuers: claim(claims, "iss"), audiences: claim(claims, "aud") }
    }

    /// Whether a token between them would be let in.
    pub(super) fn satisfy(&self, validation: &Validation) -> bool {
        let is_issued = match (&self.issuers, &validation.iss) {
            (issuers, Some(wanted)) => has_one_of(issuers, wanted),
            (_, None) => true,
        };
        let is_for_us = match (&self.audiences, &validation.aud) {
            (audiences, Some(wanted)) => has_one_of(audiences, wanted),
            (audiences, None) => audiences.is_none(),
        };
        is_issued && is_for_us
    }
}

fn claim(claims: &HashMap<String, Value>, name: &str) -> Claim {
    match claims.get(name)? {
        Value::String(text) => Some([text.as_str().into()].into()),
        Value::Array(texts) => texts.iter().map(|text| text.as_str().map(Into::into)).collect(),
        _ => None,
    }
}

fn has_one_of(claim: &Claim, wanted: &HashSet<String>) -> bool {
    claim.as_deref().unwrap_or_default().iter().any(|text| wanted.contains(&**text))
}
