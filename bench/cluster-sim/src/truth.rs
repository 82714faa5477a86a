//! The truth: what the bus has accepted, number by number, and what a reader of it may therefore see.
//!
//! A reader's view of a topic is right if each number is above the last one, and if nothing that was accepted
//! lies between the two, unless a loss was announced. So nothing is lost silently, nothing doubled or
//! reordered; what the writer itself dropped was never accepted, and a jump over it is right.

use std::collections::{BTreeMap, BTreeSet};

use wire::Tick;

/// A topic: an instrument and the kind of its ticks.
pub type Topic = (u32, u8);

/// What was accepted of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Accepted {
    /// Runs of numbers, first and last, in order.
    runs: Vec<(u64, u64)>,
    /// What each tick was, by number less one, mixed into one word; 0: nothing was.
    content: Vec<u64>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    topics: BTreeMap<Topic, Accepted>,
    /// The venue's ids of trades that clients have published, by instrument and number.
    trades: BTreeMap<(u32, u64), u64>,
    /// From which instrument on clients write.
    clients_from: u32,
    /// Ticks accepted.
    pub ticks: u64,
}

impl Truth {
    /// Nothing was accepted yet. From this instrument on clients write.
    #[must_use]
    pub fn new(clients_from: u32) -> Self {
        Self { clients_from, ..Self::default() }
    }

    /// The bus has accepted these ticks.
    ///
    /// # Panics
    /// If a number was given twice, or goes back.
    pub fn accept(&mut self, ticks: &[Tick]) {
        for tick in ticks {
            let accepted = self.topics.entry((tick.instrument, tick.kind)).or_default();
            match accepted.runs.last_mut() {
                Some((_, last)) if *last + 1 == tick.seq => *last = tick.seq,
                Some((_, last)) => {
                    assert!(*last < tick.seq, "{} after {last} was accepted", tick.seq);
                    accepted.runs.push((tick.seq, tick.seq));
                }
                None => accepted.runs.push((tick.seq, tick.seq)),
            }
            let place = usize::try_from(tick.seq).expect("numbers are small");
            accepted.content.resize(place, 0);
            accepted.content[place - 1] = content(tick);
            if tick.instrument >= self.clients_from {
                self.trades.insert((tick.instrument, tick.seq), tick.trade().trade_id);
            }
            self.ticks += 1;
        }
    }

    /// The newest number of a topic; 0: none.
    #[must_use]
    pub fn newest(&self, topic: Topic) -> u64 {
        self.topics.get(&topic).and_then(|it| it.runs.last()).map_or(0, |(_, last)| *last)
    }

    /// Whether something was accepted between two numbers.
    #[must_use]
    pub fn is_between(&self, topic: Topic, last: u64, next: u64) -> bool {
        let Some(accepted) = self.topics.get(&topic) else { return false };
        let at = accepted.runs.partition_point(|(_, end)| *end <= last);
        accepted.runs.get(at).is_some_and(|(start, _)| (*start).max(last + 1) < next)
    }

    /// Whether this tick was accepted, as it is.
    #[must_use]
    pub fn is_true(&self, tick: &Tick) -> bool {
        let place = usize::try_from(tick.seq).expect("numbers are small");
        let accepted = self.topics.get(&(tick.instrument, tick.kind));
        let known = accepted.and_then(|it| it.content.get(place.checked_sub(1)?));
        known == Some(&content(tick))
    }

    /// Whether this trade of a client was accepted with this number.
    #[must_use]
    pub fn has_trade(&self, instrument: u32, seq: u64, id: u64) -> bool {
        self.trades.get(&(instrument, seq)) == Some(&id)
    }

    /// Topics of which something was accepted.
    pub fn topics(&self) -> impl Iterator<Item = Topic> + '_ {
        self.topics.keys().copied()
    }
}

/// A tick's body, as one word that is not 0.
fn content(tick: &Tick) -> u64 {
    tick.body.iter().fold(1, |mixed: u64, word| {
        (mixed.rotate_left(9) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }) | 1
}

/// One reader's view of the buckets it has.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// The last number of each topic, from ticks or an image.
    last: BTreeMap<Topic, u64>,
    /// Buckets that are complete.
    attached: BTreeSet<u32>,
    /// Topics of which the next number may jump, because that was announced or nothing precedes it.
    open: BTreeSet<Topic>,
    /// Losses that were announced.
    pub lost: u64,
    /// Ticks that came.
    pub ticks: u64,
}

impl Witness {
    /// Ticks came.
    ///
    /// # Panics
    /// If one is not what was accepted, is doubled, comes out of order, or leaves out something silently.
    pub fn ticks(&mut self, ticks: &[Tick], truth: &Truth) {
        for tick in ticks {
            let topic = (tick.instrument, tick.kind);
            assert!(truth.is_true(tick), "{topic:?}: {} was never accepted like this", tick.seq);
            let may_jump = self.open.remove(&topic);
            if let Some(last) = self.last.get(&topic) {
                assert!(tick.seq > *last, "{topic:?}: {} came after {last}", tick.seq);
                let is_silent = !may_jump && truth.is_between(topic, *last, tick.seq);
                assert!(!is_silent, "{topic:?}: silently from {last} to {}", tick.seq);
            }
            self.last.insert(topic, tick.seq);
            self.ticks += 1;
        }
    }

    /// An image's last values came: what they stand for is accounted for.
    pub fn image(&mut self, last: &[Tick], truth: &Truth) {
        for tick in last {
            assert!(truth.is_true(tick), "an image has what was never accepted");
            let topic = (tick.instrument, tick.kind);
            let known = self.last.entry(topic).or_default();
            if tick.seq >= *known {
                *known = tick.seq;
                self.open.remove(&topic);
            }
        }
    }

    /// A bucket is complete.
    pub fn attached(&mut self, bucket: u32) {
        self.attached.insert(bucket);
    }

    /// Of these topics, some numbers are lost.
    pub fn lost(&mut self, bucket: u32, is_of: impl Fn(u32) -> bool) {
        self.lost += 1;
        self.attached.remove(&bucket);
        let topics = self.last.keys().filter(|(instrument, _)| is_of(*instrument));
        self.open.extend(topics.copied());
    }

    /// The bucket is not wanted any more.
    pub fn detached(&mut self, bucket: u32, is_of: impl Fn(u32) -> bool) {
        self.attached.remove(&bucket);
        self.last.retain(|(instrument, _), _| !is_of(*instrument));
        self.open.retain(|(instrument, _)| !is_of(*instrument));
    }

    /// Buckets that are complete.
    #[must_use]
    pub fn complete(&self) -> usize {
        self.attached.len()
    }

    /// What is wrong at the end, when everything was delivered: topics of complete buckets that are behind.
    #[must_use]
    pub fn behind(&self, truth: &Truth, bucket_of: impl Fn(u32) -> u32) -> Vec<(Topic, u64, u64)> {
        let complete = truth.topics().filter(|(id, _)| self.attached.contains(&bucket_of(*id)));
        complete
            .map(|topic| (topic, self.last.get(&topic).copied().unwrap_or(0), truth.newest(topic)))
            .filter(|(_, last, newest)| last != newest)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use wire::Trade;

    use super::*;

    fn trade(seq: u64) -> Tick {
        let trade =
            Trade { price: 1, quantity: 1, trade_id: seq, ts_trade_ns: 1, buyer_is_maker: false };
        Tick { seq, ..Tick::from_trade(0, 1, &trade) }
    }

    fn truth() -> Truth {
        let mut truth = Truth::new(1);
        // The writer itself dropped 4 and 5.
        truth.accept(&[1, 2, 3, 6, 7, 8].map(trade));
        truth
    }

    #[test]
    fn a_jump_is_right_over_what_was_never_accepted() {
        let (truth, mut witness) = (truth(), Witness::default());
        witness.ticks(&[2, 3, 6].map(trade), &truth);
        witness.attached(0);
        assert_eq!(witness.behind(&truth, |_| 0), [((0, trade(1).kind), 6, 8)]);
        witness.ticks(&[7, 8].map(trade), &truth);
        assert!(witness.behind(&truth, |_| 0).is_empty());
    }

    #[test]
    #[should_panic(expected = "silently from 1 to 3")]
    fn a_jump_over_what_was_accepted_is_found() {
        Witness::default().ticks(&[1, 3].map(trade), &truth());
    }

    #[test]
    #[should_panic(expected = "came after")]
    fn a_double_is_found() {
        Witness::default().ticks(&[1, 2, 2].map(trade), &truth());
    }

    #[test]
    #[should_panic(expected = "was never accepted like this")]
    fn what_nobody_wrote_is_found() {
        let mut other = trade(1);
        other.body[0] += 1;
        Witness::default().ticks(&[other], &truth());
    }

    #[test]
    fn after_a_loss_that_was_announced_it_may_jump_once() {
        let (truth, mut witness) = (truth(), Witness::default());
        witness.ticks(&[trade(1)], &truth);
        witness.lost(0, |_| true);
        witness.ticks(&[trade(3)], &truth);
        let again = std::panic::catch_unwind(move || witness.ticks(&[trade(7)], &truth));
        assert!(again.is_err(), "the second jump is silent");
    }
}
