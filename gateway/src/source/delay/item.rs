//! What the line holds, one by one: the stream of a ring, and what has to be known of it beside its records.

use wire::FeedState;

/// What an item is. Its words are the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// An epoch, new or gone on with after a loss: the definitions of its instruments, as records.
    Begin,
    /// What is known of one instrument: its recovery image.
    Image,
    /// Records of the ring.
    Records,
    /// What the images since the last [`Item::Begin`] know of their instruments holds from here on.
    Present,
    /// What became of the feed.
    Feed(FeedState),
}

impl Item {
    /// As a number.
    pub(super) const fn code(self) -> u64 {
        match self {
            Self::Begin => 0,
            Self::Image => 1,
            Self::Records => 2,
            Self::Present => 3,
            Self::Feed(state) => 0x100 | state.code() as u64,
        }
    }

    /// What this number stands for; `None`: nothing.
    pub(super) fn from_code(code: u64) -> Option<Self> {
        let states = FeedState::ALL.into_iter().map(Self::Feed);
        let all = [Self::Begin, Self::Image, Self::Records, Self::Present];
        all.into_iter().chain(states).find(|item| item.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_back() {
        for code in 0..0x200 {
            assert!(Item::from_code(code).is_none_or(|item| item.code() == code));
        }
        assert_eq!(Item::from_code(0x104), Some(Item::Feed(FeedState::Stopped)));
        assert_eq!(Item::from_code(4), None);
    }
}
