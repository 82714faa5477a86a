//! Events of the exchange's protocol in a message: each is a frame of its own, either as it is or in an
//! envelope that names its stream.
//!
//! Frames of events as they are lie ready in the arena. An envelope is put around them here: it differs
//! from client to client, by how each wrote the stream's name.

use std::fmt::{self, Write};

use wire::Channel;
use wire::exchange::{Schema, Stream};

use super::message::Message;
use super::state::At;
use super::{Collector, symbol_of};
use crate::format::{Described, Format};
use crate::market::Market;
use crate::streams::{Envelope, Streams};

/// What stands around an event and its stream's name, and room for a frame's header more.
const OVERHEAD: usize = 40;

/// What an envelope takes at most beyond the event in it, for names as long as they usually are.
pub(super) const fn overhead(envelope: Envelope) -> usize {
    match envelope {
        Envelope::Raw => 0,
        Envelope::Combined => OVERHEAD + wire::SYMBOL_MAX,
    }
}

/// Where the names of a topic are found.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) streams: Option<&'a Streams>,
    pub(super) topic: u32,
    pub(super) at: At,
}

/// Adds an event in its envelope, once for each name by which the client asked for it.
pub(super) fn combine(
    message: &mut Message<'_>,
    prefix: &mut Vec<u8>,
    names: Names<'_>,
    described: &Described<'_>,
    payload: &[u8],
) {
    let mut add = |write_name: &dyn Fn(&mut Vec<u8>)| {
        prefix.clear();
        prefix.extend_from_slice(b"{\"stream\":\"");
        write_name(prefix);
        prefix.extend_from_slice(b"\",\"data\":");
        message.frame(&[prefix, payload, b"}"]);
    };
    if let At::All(..) = names.at {
        let every = Stream::Every(described.shows.channel());
        return add(&|out| write_name(out, every));
    }
    let mut spellings =
        names.streams.into_iter().flat_map(|streams| streams.spellings(names.topic));
    match spellings.next() {
        None => add(&|out| write_name(out, described.stream())),
        Some(first) => {
            for name in std::iter::once(first).chain(spellings) {
                add(&|out| out.extend_from_slice(name.as_bytes()));
            }
        }
    }
}

fn write_name(out: &mut Vec<u8>, stream: Stream) {
    // A buffer takes whatever is written.
    let _ = write!(Text(out), "{}", stream.name(Schema::Json));
}

/// A buffer that text is appended to.
struct Text<'a>(&'a mut Vec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Collector<'_> {
    /// Whether the client speaks the exchange's protocol.
    pub(super) const fn is_exchange(&self) -> bool {
        self.message.format.is_exchange()
    }

    /// Whether a client of the exchange's protocol is closed when entries of this channel were lost to
    /// it: of trades it gets all or is told to begin anew.
    pub(super) const fn closes_at_loss(&self, channel: Channel) -> bool {
        self.is_exchange() && matches!(channel, Channel::Trade | Channel::AggTrade)
    }

    /// Adds an event of a topic that is written for this client alone.
    pub(super) fn deliver(
        &mut self,
        at: At,
        topic: u32,
        write: impl FnOnce(&mut Vec<u8>, Format, &Market),
    ) {
        let market = &*self.market;
        if !self.is_exchange() {
            let symbol_of = |id| symbol_of(&market.instruments, id);
            let write = |out: &mut Vec<u8>, format| write(out, format, market);
            return self.message.event(market.clock_ns, symbol_of, write);
        }
        self.payload.clear();
        write(self.payload, self.message.format, market);
        if self.envelope == Envelope::Raw {
            return self.message.frame(&[self.payload]);
        }
        let described = market.described(topic);
        let names = Names { streams: self.conn.streams(), topic, at };
        combine(&mut self.message, self.prefix, names, &described, self.payload);
    }
}
