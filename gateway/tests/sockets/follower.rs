//! Follows the numbers of topics through SBE messages and gap notices, and fails the test if one of
//! them is neither delivered nor announced as skipped, or both.

use std::collections::HashMap;

use wire::sbe::{Message, decode};
use wire::{Channel, GapReason};

use super::client::{BINARY, Client, Frame, Heard};

/// What is known of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The last number delivered or announced.
    pub(crate) last: u64,
    /// Messages.
    pub(crate) delivered: u64,
    /// Numbers in gap notices.
    pub(crate) skipped: u64,
    /// Where the number of the next one is not known, the first sets it.
    started: bool,
}

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    topics: HashMap<(u32, Channel), Seen>,
    pub(crate) reasons: Vec<GapReason>,
    pub(crate) heartbeats: u64,
}

impl Follower {
    pub(crate) fn topic(&self, instrument: u32, channel: Channel) -> Seen {
        self.topics.get(&(instrument, channel)).copied().unwrap_or_default()
    }

    /// Takes one binary message.
    pub(crate) fn take(&mut self, frame: &Frame) {
        assert_eq!(frame.first, BINARY, "{frame:?}");
        for message in decode(&frame.payload) {
            let message = message.unwrap();
            match &message {
                Message::Gap(gap) => {
                    for entry in gap.entries.clone() {
                        self.reasons.push(entry.reason);
                        let seen =
                            self.topics.entry((entry.instrument, entry.channel)).or_default();
                        if seen.started {
                            assert_eq!(entry.first_seq, seen.last + 1, "a gap of other numbers");
                        }
                        seen.started = true;
                        seen.last = entry.first_seq + entry.count - 1;
                        seen.skipped += entry.count;
                    }
                }
                Message::Heartbeat { .. } => self.heartbeats += 1,
                other => {
                    let (Some(head), Some(channel)) = (other.head(), other.channel()) else {
                        continue;
                    };
                    let seen = self.topics.entry((head.instrument, channel)).or_default();
                    if seen.started {
                        assert_eq!(head.seq, seen.last + 1, "{channel} of {}", head.instrument);
                    }
                    seen.started = true;
                    seen.last = head.seq;
                    seen.delivered += 1;
                }
            }
        }
    }

    /// Reads until a topic has come to a number.
    pub(crate) fn follow(&mut self, client: &mut Client, topic: (u32, Channel), to: u64) {
        while self.topic(topic.0, topic.1).last < to {
            match client.hear() {
                Heard::Frame(frame) => self.take(&frame),
                end => panic!("{end:?} at {:?} before {to}", self.topics),
            }
        }
    }
}
