//! What the venue says an entry is: by which two lines that count differently are known to bring the same.
//!
//! Trades have ids without holes, depth events say which update ids they span: of these a loss is seen and
//! covered. Of the others the newest counts; one that comes behind a newer one is old.

use wire::{Channel, Kind, Tick, flags};

/// The venue gave no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {0} bears no id of the venue's")]
pub(super) struct Unplaceable(pub(super) Channel);

/// How new the state of something is: greater is newer. The venue's id or time first.
pub(super) type Age = (u64, u64, u64);

/// Where an entry belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It has these keys; what has the next ones follows.
    Run {
        /// Its first.
        first: u64,
        /// Behind its last.
        end: u64,
    },
    /// It makes what was before it superfluous; what has this key follows.
    Anew {
        /// Behind its last key.
        end: u64,
    },
    /// It replaces what is older.
    Newest(Age),
}

/// Where the entry that begins with this tick belongs.
pub(super) fn place(tick: &Tick) -> Result<Place, Unplaceable> {
    let Ok(Kind::Data(channel)) = tick.kind() else { return Err(Unplaceable(Channel::Status)) };
    match channel {
        Channel::Trade => match tick.trade().trade_id {
            0 | u64::MAX => Err(Unplaceable(channel)),
            id => Ok(Place::Run { first: id, end: id + 1 }),
        },
        Channel::Depth => match tick.update_ids() {
            (_, 0 | u64::MAX) => Err(Unplaceable(channel)),
            (_, last) if tick.flags & flags::REPLACES_BOOK != 0 => {
                Ok(Place::Anew { end: last + 1 })
            }
            (first, last) => Ok(Place::Run { first: first.min(last), end: last + 1 }),
        },
        Channel::Quote => match tick.quote().update_id {
            0 => Err(Unplaceable(channel)),
            id => Ok(Place::Newest((id, tick.ts_event_ns, 0))),
        },
        Channel::Bar(_) => {
            let bar = tick.bar();
            Ok(Place::Newest((bar.ts_open_ns, bar.trades, u64::from(bar.is_final))))
        }
        Channel::AggTrade => match tick.agg_trade().agg_id {
            0 | u64::MAX => Err(Unplaceable(channel)),
            id => Ok(Place::Run { first: id, end: id + 1 }),
        },
        Channel::Rolling(_) => {
            let ticker = tick.rolling();
            Ok(Place::Newest((ticker.last_trade_id, tick.ts_event_ns, 0)))
        }
        Channel::Average => {
            let average = tick.average();
            Ok(Place::Newest((average.ts_trade_ns, tick.ts_event_ns, 0)))
        }
        Channel::Ticker => Ok(Place::Newest((tick.ticker().last_trade_id, tick.ts_event_ns, 0))),
        Channel::Status => Ok(Place::Newest((tick.ts_event_ns, tick.body[0], 0))),
        Channel::Depth5 | Channel::Depth10 | Channel::Depth20 => Err(Unplaceable(channel)),
    }
}
