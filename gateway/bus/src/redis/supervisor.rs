//! The supervisor: the task that opens sessions, one after the other, for as long as the handle lives.
//!
//! Order when one opens: requests may use it; then everything wanted is subscribed; then the inbox hears
//! of it. So whoever catches up on [`Signal::Connected`] misses nothing.

use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::backend::BusError;
use crate::backoff::backoff;
use crate::inbox::Signal;
use crate::limits::BACKOFF_MAX;
use crate::redis::dial::Dial;
use crate::redis::live::Live;
use crate::redis::session::{Change, Failure, Session};
use crate::url::{Host, Topology};

/// Where the connection stands.
#[derive(Clone)]
pub(super) enum State {
    /// Not yet, or no more, for this reason.
    Down(RedisError),
    Up(Arc<Session>),
    Closed,
}

/// What handles and the supervisor share.
pub(super) struct Shared {
    pub(super) dial: Dial,
    pub(super) hosts: Vec<Host>,
    pub(super) topology: Topology,
    pub(super) timeout: Duration,
    pub(super) live: Live,
    pub(super) state: watch::Sender<State>,
    /// Held while subscriptions change, so that the server and we agree on them afterwards.
    pub(super) changes: Mutex<()>,
}

impl Shared {
    pub(super) fn new(
        dial: Dial,
        hosts: &[Host],
        topology: Topology,
        timeout: Duration,
        live: Live,
    ) -> Self {
        let state = State::Down((ErrorKind::Io, "not connected yet").into());
        Self {
            dial,
            hosts: hosts.to_vec(),
            topology,
            timeout,
            live,
            state: watch::Sender::new(state),
            changes: Mutex::new(()),
        }
    }

    /// The session, if need be after a wait.
    pub(super) async fn session(&self, deadline: Instant) -> Result<Arc<Session>, Failure> {
        let mut states = self.state.subscribe();
        let stands = states.wait_for(|state| !matches!(state, State::Down(_)));
        match tokio::time::timeout_at(deadline, stands).await {
            Ok(Ok(state)) => match &*state {
                State::Up(session) => Ok(Arc::clone(session)),
                _ => Err(Failure::NotDone(BusError::Closed)),
            },
            // The sender is ours: it is not gone.
            Ok(Err(_)) => Err(Failure::NotDone(BusError::Closed)),
            Err(_) => Err(Failure::NotDone(match &*self.state.borrow() {
                State::Down(error) => BusError::Unreachable(error.clone().into()),
                _ => BusError::TimedOut,
            })),
        }
    }

    /// Ends everything, for good.
    pub(super) fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::Closed)
    }

    /// Changes the state, unless it is closed: that stays.
    fn set(&self, state: State) {
        self.state.send_if_modified(|current| {
            let open = !matches!(current, State::Closed);
            if open {
                *current = state;
            }
            open
        });
    }

    /// Opens sessions until closed.
    pub(super) async fn supervise(&self) {
        let mut attempt = 0;
        let mut known: Vec<Host> = Vec::new();
        while !self.is_closed() {
            let began = Instant::now();
            let reason = self.run_session(&mut known).await;
            self.set(State::Down(reason.clone()));
            self.live.tell(Signal::Disconnected(reason.to_string()));
            if began.elapsed() > BACKOFF_MAX + self.timeout {
                attempt = 0;
            }
            attempt += 1;
            tokio::time::sleep(backoff(attempt, rand::random())).await;
        }
    }

    /// Opens one session and gives the reason for its end. Nodes are remembered: those of the URL may be gone.
    async fn run_session(&self, known: &mut Vec<Host>) -> RedisError {
        let hosts: Vec<Host> = self.hosts.iter().chain(known.iter()).cloned().collect();
        let opened = Session::open(&self.dial, self.topology, &hosts, &self.live).await;
        let (session, mut broken) = match opened {
            Ok(opened) => opened,
            Err(error) => return error,
        };
        *known = session.hosts().to_vec();
        self.live.forget_store();
        self.set(State::Up(Arc::clone(&session)));
        if let Err(error) = self.subscribe_wanted(&session).await {
            return error;
        }
        self.live.tell(Signal::Connected);
        let reason = session.watch(&mut broken, self.timeout).await;
        (ErrorKind::Io, "the session ended", reason).into()
    }

    async fn subscribe_wanted(&self, session: &Session) -> Result<(), RedisError> {
        let _changing = self.changes.lock().await;
        session.change(Change::Subscribe, &self.live.channels(), self.timeout).await
    }
}
