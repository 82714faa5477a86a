//! Positions: where a stream ended, in a text short enough for an HTTP header.
//!
//! What `id` fields of `/v1/sse` hold and what `Last-Event-ID` brings back. Two forms, both behind the
//! epoch whose numbers they are, all numbers in base 36:
//!
//! - `EPOCH:t,INSTRUMENT.CHANNEL.SEQ,…`: the last number delivered of each topic, for at most
//!   [`POSITION_TOPICS_MAX`] topics. Exact wherever it is taken to, and for as long as the epoch lasts.
//! - `EPOCH:aORDER,INSTRUMENT.CHANNEL.SEQ`: everything up to and with this entry was delivered. All who
//!   read a feed in the same order have the same before it, so one entry stands for any number of topics.
//!   Without `ORDER` it is the order of the feed itself; else that of one ring, which has this name.
//!
//! Hubs write and read them; they are at most [`POSITION_BYTES_MAX`] bytes long.

use crate::topic::Channel;

/// The most topics that are named one by one. Beyond, an event's `id` would be longer than the event.
pub const POSITION_TOPICS_MAX: usize = 8;

/// The longest position: an epoch of 13 digits and `:t`, and for each topic a comma, an instrument of
/// 7 digits, a channel of 1, a number of 13, and two dots.
pub const POSITION_BYTES_MAX: usize = 15 + POSITION_TOPICS_MAX * 24;

/// A number of a topic, by the feed's number of its instrument.
pub type TopicSeq = (u32, Channel, u64);

/// Where a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The epoch of the numbers.
    pub epoch: u64,
    /// How far it had come.
    pub reached: Reached,
}

/// How far a stream had come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The last numbers delivered; a topic that is not there had not begun.
    Topics(Vec<TopicSeq>),
    /// Everything up to and with this entry, in an order of all topics.
    Entry {
        /// Whose order; 0: the feed's own.
        order: u64,
        /// The entry.
        last: TopicSeq,
    },
}

impl Position {
    /// Reads a position.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > POSITION_BYTES_MAX {
            return None;
        }
        let (epoch, rest) = text.split_once(':')?;
        let epoch = number(epoch)?;
        let (form, topics) = rest.split_once(',')?;
        let mut topics = topics.split(',').map(topic_seq);
        let reached = match form.strip_prefix('a') {
            None if form == "t" => Reached::Topics(topics.collect::<Option<_>>()?),
            None => return None,
            Some(order) => Reached::Entry {
                order: if order.is_empty() { 0 } else { number(order).filter(|name| *name > 0)? },
                last: topics.next()?.filter(|_| topics.next().is_none())?,
            },
        };
        Some(Self { epoch, reached })
    }
}

/// Begins a position that names topics; [`write_topic`] follows.
pub fn begin_topics(out: &mut Vec<u8>, epoch: u64) {
    write_number(out, epoch);
    out.extend_from_slice(b":t");
}

/// Appends a topic's last number.
pub fn write_topic(out: &mut Vec<u8>, (instrument, channel, seq): TopicSeq) {
    out.push(b',');
    write_number(out, u64::from(instrument));
    out.push(b'.');
    write_number(out, u64::from(channel.code()));
    out.push(b'.');
    write_number(out, seq);
}

/// Writes a position that names the last entry delivered, in this order or, with 0, in the feed's own.
pub fn write_entry(out: &mut Vec<u8>, epoch: u64, order: u64, last: TopicSeq) {
    write_number(out, epoch);
    out.extend_from_slice(b":a");
    if order > 0 {
        write_number(out, order);
    }
    write_topic(out, last);
}

fn topic_seq(text: &str) -> Option<TopicSeq> {
    let mut parts = text.split('.');
    let instrument = u32::try_from(number(parts.next()?)?).ok()?;
    let channel = Channel::from_native_code(u8::try_from(number(parts.next()?)?).ok()?)?;
    let seq = number(parts.next()?)?;
    parts.next().is_none().then_some((instrument, channel, seq))
}

const RADIX: u32 = 36;

fn number(digits: &str) -> Option<u64> {
    // `from_str_radix` would take a sign and capitals.
    let plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    if digits.is_empty() || !digits.bytes().all(plain) {
        return None;
    }
    u64::from_str_radix(digits, RADIX).ok()
}

fn write_number(out: &mut Vec<u8>, mut value: u64) {
    const DIGITS: &[u8; RADIX as usize] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    const DIGITS_MAX: usize = 13;
    let mut digits = [0; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] = DIGITS[usize::try_from(value % u64::from(RADIX)).unwrap_or(0)];
        value /= u64::from(RADIX);
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(position: &Position) -> String {
        let mut out = Vec::new();
        match &position.reached {
            Reached::Topics(topics) => {
                begin_topics(&mut out, position.epoch);
                topics.iter().for_each(|topic| write_topic(&mut out, *topic));
            }
            Reached::Entry { order, last } => {
                write_entry(&mut out, position.epoch, *order, *last);
            }
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn positions_survive_their_text_and_its_bound_is_tight() {
        let last = Channel::all().filter(|channel| channel.is_native()).last().unwrap();
        let longest = vec![(u32::MAX, last, u64::MAX); POSITION_TOPICS_MAX];
        for reached in [
            Reached::Topics(vec![(0, Channel::Trade, 0), (71, Channel::Quote, 36)]),
            Reached::Topics(longest),
            Reached::Entry { order: 0, last: (1_000, Channel::Depth, 123_456_789) },
            Reached::Entry { order: u64::MAX, last: (u32::MAX, last, u64::MAX) },
        ] {
            let position = Position { epoch: u64::MAX, reached };
            let text = written(&position);
            assert!(text.len() <= POSITION_BYTES_MAX, "{text}");
            assert_eq!(Position::parse(&text), Some(position), "{text}");
        }
        let position = Position::parse("1z:a,1.0.10").unwrap();
        assert_eq!(
            position,
            Position {
                epoch: 71,
                reached: Reached::Entry { order: 0, last: (1, Channel::Trade, 36) }
            }
        );
        let position = Position::parse("1z:a10,1.0.10").unwrap();
        assert!(matches!(position.reached, Reached::Entry { order: 36, .. }));
    }

    #[test]
    fn other_texts_are_no_positions() {
        for text in [
            "",
            "1",
            "1:",
            "1:t",
            "1:t,",
            "1:t,1.0",
            "1:t,1.0.2.3",
            "1:t,1.0.-2",
            "1:t,1.0.+2",
            "1:t,1.0.A",
            "1:t,1.z.2",
            "1:a,1.0.2,1.0.3",
            "1:b,1.0.2",
            "1:a0,1.0.2",
            "1:aA,1.0.2",
            "1:t1,1.0.2",
            ":t,1.0.2",
            "é:t,1.0.2",
            "1:t,1.0.zzzzzzzzzzzzzz",
            "1:t,zzzzzzz.0.1",
        ] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
        assert_eq!(Position::parse(&format!("1:t{}", ",1.0.2".repeat(99))), None);
    }
}
