//! The directory: what clients write, by symbol, as the bus's catalog says.
//!
//! It is the bus's and not the hub's: a gateway may publish to a bus that is not its source.

use std::collections::HashMap;
use std::sync::Arc;

use bus::{Catalog, WriterKind};
use wire::command::{Draft, DraftError, Subject};
use wire::{ErrorCode, Instrument, Pattern, Symbol, Tick};

/// See the module's header. Made once for each catalog, shared by all shards.
#[derive(Debug)]
pub struct Directory {
    catalog: Arc<Catalog>,
    by_symbol: HashMap<Symbol, u32>,
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
    #[error(transparent)]
    Draft(#[from] DraftError),
}

impl Unlisted {
    pub(crate) const fn code(&self) -> ErrorCode {
        match self {
            Self::Instrument => ErrorCode::UnknownInstrument,
            Self::Channel => ErrorCode::UnknownChannel,
            Self::Feed => ErrorCode::NotPublishable,
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

    /// What a draft is called in its answer.
    pub(crate) fn name(&self, draft: &Draft) -> String {
        match draft.subject {
            Subject::Symbol(symbol) => Pattern::One(symbol, draft.channel()).to_string(),
            Subject::Id(id) => match self.instrument(id) {
                Some(instrument) => Pattern::One(instrument.symbol, draft.channel()).to_string(),
                None => format!("{id}.{}", draft.channel()),
            },
        }
    }

    /// The tick that a draft is, without its number.
    pub(crate) fn tick(&self, draft: &Draft, now_ns: u64) -> Result<Tick, Unlisted> {
        let id = match draft.subject {
            Subject::Symbol(symbol) => self.by_symbol.get(&symbol).copied(),
            Subject::Id(id) => Some(id),
        };
        let instrument = id.and_then(|id| self.instrument(id)).ok_or(Unlisted::Instrument)?;
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
