//! Who holds which grant.
//!
//! Grants lie beside the connections: commands ask for them, ticks and visits never do. What of a grant
//! matters in a visit is what its wildcards reach, and that is in `reach.rs`. While nobody is restricted there
//! is nothing here.
//!
//! A subscription begins with the present state, whatever its rate. Who may have only so many updates a second
//! may therefore ask for a topic only so often, too.

use std::collections::HashMap;
use std::sync::Arc;

use wire::command::Mode;
use wire::{Channel, Symbol};

use crate::grant::Grant;
use crate::pages::Pages;

const SECOND_NS: u32 = 1_000_000_000;

/// How many topics of a connection are remembered before those are forgotten that may be asked for again.
const ASKED_MAX: usize = 1024;

/// What a connection asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    Topic(u32),
    Channel(Channel),
}

/// What a new grant is to who holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// What it had.
    Same,
    /// Another one.
    Changed,
}

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// What connections begin with; `None`: everything.
    default: Option<Arc<Grant>>,
    /// By connection's slot; `None`: everything, as where there is no place yet.
    held: Pages<Option<Arc<Grant>>>,
    /// By connection's slot, when it asked for what, ns: of those who may have only so much a second.
    asked: HashMap<u32, HashMap<Asked, u64>>,
}

impl Grants {
    /// What connections begin with from now on.
    pub(crate) fn set_default(&mut self, grant: Arc<Grant>) {
        self.default = restricted(grant);
    }

    /// A connection is open.
    pub(crate) fn begin(&mut self, conn: u32) {
        if let Some(grant) = self.default.clone() {
            self.put(conn, Some(grant));
        }
    }

    /// A connection is gone.
    pub(crate) fn end(&mut self, conn: u32) {
        self.asked.remove(&conn);
        if let Some(held) = self.held.get_mut(conn) {
            *held = None;
        }
    }

    pub(crate) fn give(&mut self, conn: u32, grant: Arc<Grant>) -> Given {
        let grant = restricted(grant);
        if self.of(conn) == grant.as_ref() {
            return Given::Same;
        }
        self.put(conn, grant);
        Given::Changed
    }

    fn put(&mut self, conn: u32, grant: Option<Arc<Grant>>) {
        self.held.reach(conn, || None);
        if let Some(held) = self.held.get_mut(conn) {
            *held = grant;
        }
    }

    /// The connection's grant; `None`: everything.
    pub(crate) fn of(&self, conn: u32) -> Option<&Arc<Grant>> {
        self.held.get(conn)?.as_ref()
    }

    pub(crate) fn allows(&self, conn: u32, symbol: &Symbol, channel: Channel) -> bool {
        self.of(conn).is_none_or(|grant| grant.allows(symbol, channel))
    }

    pub(crate) fn allows_some(&self, conn: u32, channel: Channel) -> bool {
        self.of(conn).is_none_or(|grant| grant.allows_some(channel))
    }

    /// Whether a connection may ask for this now, and takes it for done if so.
    pub(crate) fn may_ask(&mut self, conn: u32, what: Asked, now_ns: u64) -> bool {
        let rate = self.of(conn).and_then(|grant| grant.max_rate);
        let Some(rate) = rate else { return true };
        let interval_ns = u64::from(SECOND_NS / rate.get());
        let is_recent = |asked_ns: u64| now_ns.saturating_sub(asked_ns) < interval_ns;
        let asked = self.asked.entry(conn).or_default();
        if asked.get(&what).is_some_and(|asked_ns| is_recent(*asked_ns)) {
            return false;
        }
        if asked.len() >= ASKED_MAX {
            asked.retain(|_, asked_ns| is_recent(*asked_ns));
        }
        asked.insert(what, now_ns);
        true
    }

    /// What of a mode and an interval between updates a connection gets that asks for them.
    pub(crate) fn hold_back(&self, conn: u32, mode: Mode, interval_ns: u32) -> (Mode, u32) {
        let Some(grant) = self.of(conn) else { return (mode, interval_ns) };
        let mode = if grant.mode == Mode::Conflate { Mode::Conflate } else { mode };
        let least_ns = grant.max_rate.map_or(0, |rate| SECOND_NS / rate.get());
        (mode, interval_ns.max(least_ns))
    }
}

fn restricted(grant: Arc<Grant>) -> Option<Arc<Grant>> {
    (!grant.is_unrestricted()).then_some(grant)
}
