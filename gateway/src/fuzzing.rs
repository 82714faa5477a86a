//! What fuzz targets call of what the gateway keeps to itself. Nothing else calls it, and the gateway's own
//! program has none of it.
//!
//! Each function takes a client's bytes in one piece and once more cut into pieces, as a network may, and
//! holds that the same becomes of them.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hub::Hub;
use hyper::http::request::Parts;
use jsonwebtoken::Algorithm;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::runtime::Runtime;
use wire::CloseCode;

use crate::auth::{Authenticator, KeySet, Revocations};
use crate::exchange::ExchangeSettings;
use crate::http::{Front, Missing, ProxyHeaderError, Remote, meaning, missing, serve};
use crate::session::{Face, Inbound, Units};
use crate::shard::settings::{Echo, Origins};
use crate::shard::{Answer, Routes, ShardQuery, ShardSettings};

/// The longest message that is taken.
const MESSAGE_MAX: usize = 4096;

/// The longest PROXY header of either version.
const PROXY_HEADER_MAX: usize = 2048;

/// Reads a client's bytes as frames.
///
/// # Panics
/// If it matters how they are cut.
pub fn frames(bytes: &[u8], cut: usize) {
    for kind in [Units::Messages, Units::Fragments] {
        let whole = units(bytes, bytes.len().max(1), kind);
        assert_eq!(whole, units(bytes, cut.max(1), kind));
    }
}

/// Payloads of what arrives, with the code that ends it, if one does.
fn units(bytes: &[u8], cut: usize, kind: Units) -> (Vec<Vec<u8>>, Option<CloseCode>) {
    let mut inbound = Inbound::default();
    let mut out = Vec::new();
    for piece in bytes.chunks(cut) {
        let (mut input, mut at) = (piece.to_vec(), 0);
        loop {
            match inbound.next(&mut input, &mut at, kind, MESSAGE_MAX) {
                Ok(Some(unit)) => out.push(inbound.payload(&mut input, &unit).to_vec()),
                Ok(None) => break,
                Err(fault) => return (out, Some(fault.close_code())),
            }
            assert!(inbound.kept_bytes() < 2 * MESSAGE_MAX + 1024, "what is kept has a bound");
        }
    }
    (out, None)
}

/// Takes a PROXY header off the front of these bytes, as it is taken off a socket.
///
/// # Panics
/// If more is awaited than any header has, or nothing.
pub fn proxy_header(bytes: &[u8]) {
    let mut taken = 0;
    while taken <= bytes.len() {
        match missing(&bytes[..taken]) {
            Ok(Missing::Nothing) => {
                assert!(!matches!(meaning(&bytes[..taken]), Err(ProxyHeaderError::TooLong)));
                return;
            }
            Ok(Missing::Bytes(more)) => {
                assert!(more > 0 && taken + more <= PROXY_HEADER_MAX, "{more} after {taken}");
                taken += more;
            }
            Ok(Missing::RestOfLine) => {
                let rest = &bytes[taken..];
                taken += rest.iter().position(|byte| *byte == b'\n').map_or(1, |at| at.min(5) + 1);
            }
            Err(_) => return,
        }
    }
}

/// Serves a connection on which these bytes come and then the end: requests, upgrades, event streams.
///
/// # Panics
/// If it matters how they are cut to what the connection is turned into. What is said to requests that are none does
/// depend on it: one that is whole is looked at, and one that is not is waited for.
pub fn handshake(bytes: &[u8], cut: usize) {
    thread_local! {
        static DESK: RefCell<Desk> = RefCell::new(Desk::new());
    }
    DESK.with_borrow(|desk| {
        let whole = desk.conversation(bytes, bytes.len().max(1));
        let pieces = desk.conversation(bytes, cut.max(1));
        if whole.taken.is_some() || pieces.taken.is_some() {
            assert_eq!(whole, pieces);
        }
    });
}

/// Who a credential is of, if it is accepted.
#[must_use]
pub fn user_of(authenticator: &Authenticator, credential: &str) -> Option<String> {
    authenticator.authenticate(credential).ok().map(|badge| badge.user().to_string())
}

/// Reads what the file of `auth` may name: a list of what is revoked, and a set of public keys.
///
/// # Panics
/// If what is wrong is said of no line, or without a word.
pub fn lists_of_auth(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Err(line) = Revocations::parse(text)
    {
        assert!(line > 0 && line <= text.lines().count());
    }
    let algorithms = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    if let Err(reason) = KeySet::parse(bytes, &algorithms) {
        assert!(!reason.is_empty());
    }
}

/// Serves one connection after another.
struct Desk {
    runtime: Runtime,
    front: Rc<Front>,
}

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Heads and bodies, as they were sent.
    answers: String,
    /// What it was turned into, and the bytes that were left for that.
    taken: Option<(String, Vec<u8>)>,
}

impl Desk {
    fn new() -> Self {
        let exchange = ExchangeSettings { connection_rate: 0, ..Default::default() };
        let limits = hub::Limits {
            log_entries: 64,
            log_ticks: 256,
            group_levels_max: 64,
            arena_bytes: [1 << 14; 2],
            ..Default::default()
        };
        let origins = Origins::Listed(vec!["https://a.example".to_owned()]);
        let settings = ShardSettings {
            hub: limits,
            echo: Echo::Served,
            origins,
            exchange,
            ..Default::default()
        };
        let hub = Rc::new(RefCell::new(Hub::new(limits)));
        let front = Front::new(0, Arc::new(settings), Arc::new(Paths), hub, None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self { runtime: runtime.expect("a thread can have a runtime"), front }
    }

    fn conversation(&self, bytes: &[u8], cut: usize) -> Outcome {
        let (near, far) = duplex(1 << 20);
        let (mut heard, mut say) = tokio::io::split(far);
        let sending = async move {
            for piece in bytes.chunks(cut) {
                // Whoever has heard enough need not hear the rest.
                if say.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            // An end that comes together with the last byte of a request would take its answer away.
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
            let _ = say.shutdown().await;
        };
        let hearing = async move {
            let mut answers = Vec::new();
            let _ = heard.read_to_end(&mut answers).await;
            answers
        };
        let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
        let serving = async {
            let mut taken = serve(&self.front, near, Remote { peer, told: None }).await?;
            let mut rest = taken.early.to_vec();
            let _ = taken.stream.read_to_end(&mut rest).await;
            if taken.face == Face::EventStream {
                // Nothing of it is looked at, as of a body that the request may have had.
                rest.clear();
            }
            Some((format!("{:?}", taken.face), rest))
        };
        let joined = async { tokio::join!(sending, hearing, serving) };
        let ((), answers, taken) = self.runtime.block_on(async {
            tokio::select! {
                done = joined => done,
                never = self.turn() => match never {},
            }
        });
        Outcome { answers: undated(&answers), taken }
    }

    /// What a shard's loop does for requests.
    async fn turn(&self) -> Infallible {
        loop {
            self.front.begin_turn();
            tokio::task::yield_now().await;
        }
    }
}

/// Answers without their dates, which may differ from one run to the next.
fn undated(answers: &[u8]) -> String {
    let text = String::from_utf8_lossy(answers);
    text.split_inclusive('\n').filter(|line| !line.starts_with("date: ")).collect()
}

/// Answers every request with its path and query.
struct Paths;

impl Routes for Paths {
    fn answer(&self, request: &Parts, _shard: &ShardQuery<'_>) -> Answer {
        Answer::new(Bytes::from(request.uri.to_string()))
    }
}
