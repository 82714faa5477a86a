//! `/v1/status`: how the gateway is, for a panel of the dashboard.
//!
//! Sums and times only: no addresses, no symbols, nothing that acts. Who wants more asks on the operators' port.
//! The key `public-status` says whether it is served at all.
//!
//! The main thread writes the answer once a second while somebody asks for it; shards hand out what is there. A
//! shard can neither ask the others nor wait for them.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Response, StatusCode, header};

use crate::routes::reply::{self, Refusal, refusal};

/// How long after the last question the answer is still kept fresh.
const ASKED_FOR: Duration = Duration::from_secs(10);

/// Where the answer stands.
#[derive(Debug, Default)]
pub struct StatusBoard {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Empty before the first answer, and after nobody has asked for long: an old one would be a lie.
    body: Bytes,
    asked_at: Option<Instant>,
}

impl StatusBoard {
    /// Whether somebody has asked of late. Who is told no need not write; what was written is taken away.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let mut state = self.lock();
        let wanted = state.asked_at.is_some_and(|at| at.elapsed() < ASKED_FOR);
        if !wanted {
            state.body = Bytes::new();
        }
        wanted
    }

    /// Replaces the answer.
    pub fn write(&self, body: Bytes) {
        self.lock().body = body;
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        let body = {
            let mut state = self.lock();
            state.asked_at = Some(Instant::now());
            state.body.clone()
        };
        if !body.is_empty() {
            return reply::json(StatusCode::OK, body.to_vec());
        }
        // No failure: it is gathered because it was asked for.
        let mut response = reply::json(StatusCode::ACCEPTED, b"{\"gathering\":true}\n".to_vec());
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        response
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The answer where `public-status` is off.
pub(super) fn refused() -> Response<Bytes> {
    refusal(&Refusal {
        status: StatusCode::NOT_FOUND,
        code: "not_served",
        msg: "this gateway does not show its status here (public-status = off)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_there_after_a_first_question() {
        let board = StatusBoard::default();
        assert!(!board.is_wanted());
        assert_eq!(board.response().status(), StatusCode::ACCEPTED);
        assert!(board.is_wanted());
        board.write(Bytes::from_static(b"{}"));
        assert_eq!(board.response().status(), StatusCode::OK);
    }

    #[test]
    fn an_old_answer_is_not_given() {
        let board = StatusBoard::default();
        board.write(Bytes::from_static(b"{}"));
        assert!(!board.is_wanted());
        assert_eq!(board.response().status(), StatusCode::ACCEPTED);
    }
}
