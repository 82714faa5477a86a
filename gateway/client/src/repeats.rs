//! Repeats: numbers that a gateway gives once more because it begins behind what was received of
//! another. They are passed over, so that nobody gets a trade twice.

use std::collections::HashMap;

use wire::{Channel, Symbol};

use crate::event::Event;
use crate::position::Position;

/// The numbers up to which topics come once more.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    epoch: u64,
    last: HashMap<(Symbol, Channel), u64>,
}

impl Repeats {
    /// These topics begin anew, perhaps with what was received already.
    pub(crate) fn expect(&mut self, position: &Position, topics: &[String]) {
        if self.epoch != position.epoch() {
            *self = Self { epoch: position.epoch(), last: HashMap::new() };
        }
        self.last.extend(position.covered(topics));
    }

    /// What of an event is news.
    pub(crate) fn news(&mut self, event: Event) -> Option<Event> {
        if self.last.is_empty() {
            return Some(event);
        }
        let topic = match &event {
            Event::Connected(connected) => return self.enter(connected.epoch, event),
            Event::FeedStatus { epoch, .. } | Event::Heartbeat { epoch, .. } => {
                return self.enter(*epoch, event);
            }
            Event::Gap(gap) => Some((gap.symbol, gap.channel)),
            event => event.origin().map(|origin| (origin.symbol, origin.channel)),
        };
        let known = topic.and_then(|topic| Some((topic, *self.last.get(&topic)?)));
        let Some((topic, last)) = known else { return Some(event) };
        let end = match &event {
            Event::Gap(gap) if gap.count == 0 => u64::MAX,
            Event::Gap(gap) => gap.last_seq(),
            event => event.origin().map_or(u64::MAX, |origin| origin.seq),
        };
        if end <= last {
            return None;
        }
        self.last.remove(&topic);
        match event {
            Event::Gap(mut gap) if gap.count > 0 && gap.first_seq <= last => {
                gap.count = gap.last_seq() - last;
                gap.first_seq = last + 1;
                Some(Event::Gap(gap))
            }
            event => Some(event),
        }
    }

    /// Numbers of an earlier epoch mean nothing in this one; 0 is "no feed yet", not an epoch.
    fn enter(&mut self, epoch: u64, event: Event) -> Option<Event> {
        if epoch != 0 && epoch != self.epoch {
            self.last.clear();
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use wire::{GapReason, TradingStatus};

    use super::*;
    use crate::event::Status;
    use crate::ledger::tests::{gap, origin};

    fn status(seq: u64) -> Event {
        let origin = origin(Channel::Status, seq);
        Event::Status(Status { origin, status: TradingStatus::Trading })
    }

    fn after_five() -> Repeats {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let position = Position::new(7, [((symbol, Channel::Status), 5)]);
        let mut repeats = Repeats::default();
        repeats.expect(&position, &["*.status".to_owned()]);
        repeats
    }

    #[test]
    fn what_was_received_is_passed_over_and_what_follows_is_not() {
        let mut repeats = after_five();
        assert_eq!(repeats.news(status(4)), None);
        assert_eq!(repeats.news(gap(Channel::Status, GapReason::Lost, 3, 2)), None);
        assert_eq!(repeats.news(status(5)), None);
        assert_eq!(repeats.news(status(8)), Some(status(8)));
        assert_eq!(repeats.news(status(8)), Some(status(8)), "not ours to judge any more");
    }

    #[test]
    fn of_a_gap_the_part_that_is_news_remains() {
        let announced = gap(Channel::Status, GapReason::Lost, 4, 6);
        let news = gap(Channel::Status, GapReason::Lost, 6, 4);
        assert_eq!(after_five().news(announced), Some(news));
        let reset = gap(Channel::Status, GapReason::Reset, 1, 0);
        assert_eq!(after_five().news(reset.clone()), Some(reset));
    }

    #[test]
    fn another_epoch_has_no_repeats() {
        let mut repeats = after_five();
        let feed = Event::Heartbeat { ts_ns: 0, epoch: 8 };
        assert_eq!(repeats.news(feed.clone()), Some(feed));
        assert_eq!(repeats.news(status(1)), Some(status(1)));
    }
}
