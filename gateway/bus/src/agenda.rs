//! The agenda: in which order a reader's requests are made, how many at a time, and when again.
//!
//! The second half of a reader's core: the [`Assembly`] says what is to be known, the agenda paces the asking.
//! Neither has I/O, a clock or randomness; [`crate::Reader`] and simulations are the shells around both.
//!
//! Subscriptions come first and nothing begins before they are made. What failed is made again after a wait that
//! grows ([`backoff`]), as long as its answer would still be used.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::assembly::{Assembly, Request};
use crate::backoff::backoff;
use crate::entry::{Offset, Slice};
use crate::limits::REQUESTS_AT_ONCE;

/// How long a bucket's log is left alone after it was read and had nothing, yet must be read again.
const PAUSE: Duration = Duration::from_millis(10);

/// A request to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What to ask.
    pub request: Request,
    /// From 1.
    pub attempt: usize,
    /// How long to wait before.
    pub pause: Duration,
}

/// What the bus answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::Subscribe`] and [`Request::Unsubscribe`].
    Done,
    /// To [`Request::Catalog`].
    Catalog(Option<Bytes>),
    /// To [`Request::Images`].
    Images(Vec<Option<Bytes>>),
    /// To [`Request::Locate`].
    Located(Offset),
    /// To [`Request::Read`].
    Slice(Slice),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Agenda {
    /// Not yet begun, in order.
    queue: VecDeque<Request>,
    /// Begun and not ended, of those that must come before all others.
    subscribing: usize,
    /// Begun and not ended, of the others.
    asking: usize,
    /// Buckets whose log had nothing when it was read last.
    empty: BTreeSet<u32>,
    failures: u64,
}

impl Agenda {
    /// The next request to begin, if one may begin now. Each ends with [`Agenda::answer`] or
    /// [`Agenda::fail`], unless [`Agenda::forget`] comes before.
    pub fn next(&mut self, assembly: &mut Assembly) -> Option<Due> {
        while let Some(request) = assembly.poll_request() {
            self.queue.push_back(request);
        }
        while self.subscribing == 0 && self.asking < REQUESTS_AT_ONCE {
            let request = self.queue.pop_front()?;
            if assembly.stands(&request) {
                let pause = match &request {
                    Request::Read { bucket, .. } if self.empty.remove(bucket) => PAUSE,
                    _ => Duration::ZERO,
                };
                *self.count(&request) += 1;
                return Some(Due { request, attempt: 1, pause });
            }
        }
        None
    }

    /// A request was answered.
    ///
    /// # Panics
    /// If that is no answer to such a request.
    pub fn answer(&mut self, assembly: &mut Assembly, request: Request, answer: Answer) {
        *self.count(&request) -= 1;
        match (request, answer) {
            (_, Answer::Done) => {}
            (_, Answer::Catalog(value)) => assembly.catalog(value.as_deref()),
            (Request::Images { bucket, ticket, .. }, Answer::Images(values)) => {
                assembly.images(bucket, ticket, &values);
            }
            (Request::Locate { bucket, ticket }, Answer::Located(offset)) => {
                assembly.located(bucket, ticket, offset);
            }
            (Request::Read { bucket, ticket, .. }, Answer::Slice(slice)) => {
                if slice.entries.is_empty() {
                    self.empty.insert(bucket);
                } else {
                    self.empty.remove(&bucket);
                }
                assembly.slice(bucket, ticket, &slice);
            }
            (request, _) => unreachable!("{request:?} was answered as another request"),
        }
    }

    /// A request failed: it is to be made again, if that still makes sense. `draw` is random, 0 to 1.
    pub fn fail(&mut self, assembly: &Assembly, failed: Due, draw: f64) -> Option<Due> {
        self.failures += 1;
        if assembly.stands(&failed.request) {
            let pause = backoff(failed.attempt, draw);
            return Some(Due { attempt: failed.attempt + 1, pause, ..failed });
        }
        *self.count(&failed.request) -= 1;
        None
    }

    /// The connection was made or lost: answers on their way went with it, and waiting for them would only
    /// cost time. Subscriptions are not forgotten: whoever keeps the connection makes them again.
    pub const fn forget(&mut self) {
        self.asking = 0;
    }

    /// Requests that failed.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    const fn count(&mut self, request: &Request) -> &mut usize {
        match request {
            Request::Subscribe(_) | Request::Unsubscribe(_) => &mut self.subscribing,
            _ => &mut self.asking,
        }
    }
}
