//! Why a request is refused, with the exchange's code and words (its `errors.md`).

use hyper::StatusCode;

use crate::auth::Rejected;

/// What legal symbols are, in the exchange's words.
const SYMBOL_RANGE: &str = "^[A-Z0-9-_.]{1,20}$";

/// See the module's header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RestError {
    #[error("No such endpoint.")]
    NoSuchPath,
    #[error("This endpoint is read with GET.")]
    Method,
    #[error("Only application/json is served here.")]
    NotAcceptable,
    #[error("The data of this symbol is being fetched or has not begun; ask again in a second.")]
    Fetching,
    #[error(
        "Too much request weight used; the limit is counted by minute and client. Use the websocket \
         streams for live updates to avoid polling the API."
    )]
    TooMuch { retry_after_s: u64 },
    #[error("Illegal characters found in parameter '{0}'; legal range is '{1}'.")]
    Illegal(&'static str, &'static str),
    #[error("Mandatory parameter '{0}' was not sent, was empty/null, or malformed.")]
    Missing(&'static str),
    #[error("Invalid interval.")]
    Interval,
    #[error("Invalid symbol.")]
    Symbol,
    #[error("Combination of optional parameters invalid.")]
    Combination,
    #[error("Data sent for parameter '{0}' is not valid.")]
    Invalid(&'static str),
    #[error("This gateway keeps no history.")]
    NoHistory,
    #[error("You are not authorized to execute this request.")]
    NotEntitled,
    #[error("Invalid API-key, IP, or permissions for action: {0}.")]
    Credential(Rejected),
}

impl RestError {
    pub(super) const fn illegal_symbol() -> Self {
        Self::Illegal("symbol", SYMBOL_RANGE)
    }

    pub(super) const fn illegal_number(name: &'static str) -> Self {
        Self::Illegal(name, "^[0-9]{1,20}$")
    }

    const fn code(&self) -> i32 {
        match self {
            Self::NoSuchPath | Self::Method | Self::NotAcceptable | Self::NoHistory => -1000,
            Self::Fetching => -1001,
            Self::NotEntitled => -1002,
            Self::TooMuch { .. } | Self::Credential(Rejected::TooOften(_)) => -1003,
            Self::Illegal(..) => -1100,
            Self::Missing(_) => -1102,
            Self::Interval => -1120,
            Self::Symbol => -1121,
            Self::Combination => -1128,
            Self::Invalid(_) => -1130,
            Self::Credential(_) => -2015,
        }
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath | Self::NoHistory => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Fetching => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooMuch { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotEntitled => StatusCode::FORBIDDEN,
            Self::Credential(rejected) => rejected.status(),
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) const fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Fetching => Some(1),
            Self::TooMuch { retry_after_s } => Some(*retry_after_s),
            _ => None,
        }
    }

    /// `{"code":-1121,"msg":"Invalid symbol."}`
    pub(super) fn body(&self) -> Vec<u8> {
        // None of the texts has a character that JSON would have to escape.
        format!("{{\"code\":{},\"msg\":\"{self}\"}}", self.code()).into_bytes()
    }
}
