//! The directory: what clients write, by symbol, as the bus's catalog says.
//!
//! It is the bus's and not the hub's: a gateway may publish to a bus that is not its source.

use std::collections::HashMap;
use std::sync::Arc;

use bus::{Catalog, WriterKind};
use hub::Grant;
use wire::command::{Draft, DraftError, Subject};
use wire::{Channel, ErrorCode, Instrument, Pattern, Symbol, Tick};

/// See the module's header. Made once for each catalog, shared by all shards.
#[derive(Debug)]
pub struct Directory {
    catalog: Arc<Catalog>,
    by_symbol: HashMap<Symbol, u32>,
}

/// What somebody may publish of what is listed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right<'a> {
    /// All of it.
    Anything,
    /// What this grants.
    Granted(&'a Grant),
}

impl Right<'_> {
    fn covers(self, symbol: &Symbol, channel: Channel) -> bool {
        match self {
            Self::Anything => true,
            Self::Granted(grant) => grant.may_publish(symbol, channel),
        }
    }
}

/// Why a draft cannot be published here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unlisted {
    #[error("there is no such instrument")]
    Instrument,
    #[error("the instrument has no such channel")]
    Channel,
    #[error("this instrument is written by the feed, not by clients")]
    Feed,
    #[error("this connection is not entitled to it")]
    NotGranted,
    #[error(transparent)]
    Draft(#[from] DraftError),
}

impl Unlisted {
    pub(crate) const fn code(&self) -> ErrorCode {
        match self {
            Self::Instrument => ErrorCode::UnknownInstrument,
            Self::Channel => ErrorCode::UnknownChannel,
            Self::Feed => ErrorCode::NotPublishable,
            Self::NotGranted => ErrorCode::NotEntitled,
            Self::Draft(error) => error.code(),
        }
    }
}

impl Directory {
    /// The directory of a catalog.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>) -> Self {
        let by_symbol = catalog.instruments().iter().map(|it| (it.symbol, it.id)).collect();
        Self { catalog, by_symbol }
    }

    /// The epoch of its instruments.
    pub(crate) fn epoch(&self) -> u64 {
        self.catalog.epoch()
    }

    /// What a draft is called in its answer. A number is given a name only for who may know it.
    pub(crate) fn name(&self, draft: &Draft, right: Right<'_>) -> String {
        let channel = draft.channel();
        let symbol = match draft.subject {
            Subject::Symbol(symbol) => Some(symbol),
            Subject::Id(id) => self.instrument(id).map(|instrument| instrument.symbol),
        };
        match (symbol, draft.subject) {
            (Some(symbol), Subject::Symbol(_)) => Pattern::One(symbol, channel).to_string(),
            (Some(symbol), Subject::Id(_)) if right.covers(&symbol, channel) => {
                Pattern::One(symbol, channel).to_string()
            }
            (_, Subject::Id(id)) => format!("{id}.{channel}"),
            (None, Subject::Symbol(symbol)) => Pattern::One(symbol, channel).to_string(),
        }
    }

    /// The tick that a draft is, without its number. What may not be published is refused before it is known
    /// whether there is such a thing.
    pub(crate) fn tick(
        &self,
        draft: &Draft,
        right: Right<'_>,
        now_ns: u64,
    ) -> Result<Tick, Unlisted> {
        let id = match draft.subject {
            Subject::Symbol(symbol) if !right.covers(&symbol, draft.channel()) => {
                return Err(Unlisted::NotGranted);
            }
            Subject::Symbol(symbol) => self.by_symbol.get(&symbol).copied(),
            Subject::Id(id) => Some(id),
        };
        let instrument = id.and_then(|id| self.instrument(id)).ok_or(Unlisted::Instrument)?;
        if !right.covers(&instrument.symbol, draft.channel()) {
            return Err(Unlisted::NotGranted);
        }
        if self.catalog.writer_of(instrument.id) == WriterKind::Feed {
            return Err(Unlisted::Feed);
        }
        if !instrument.has(draft.channel()) {
            return Err(Unlisted::Channel);
        }
        Ok(draft.tick(instrument, now_ns)?)
    }

    fn instrument(&self, id: u32) -> Option<&Instrument> {
        self.catalog.instruments().get(usize::try_from(id).ok()?)
    }
}
