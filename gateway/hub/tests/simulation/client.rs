//! A client that believes only the bytes it gets and holds them against the truth.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tickcast_hub::Grant;
use wire::command::Mode;
use wire::{Channel, Encoding, FeedState, GapReason, Symbol};

use crate::events::{Body, Event, Named, decode_json, decode_sbe, fields};
use crate::feed::{Feed, Levels, Truth};
use crate::trust::assert_unnamed;

pub type Topic = (Symbol, Channel);

/// How far a topic has come.
#[derive(Clone, Debug)]
pub struct View {
    /// The last number that is accounted for; `None`: the present state will bind it.
    last: Option<u64>,
    /// The base is not below this.
    least: u64,
    resumed: bool,
    /// It begins at a number that only the gateway knows.
    is_unknown: bool,
    /// A reset of this topic has to come before its next data.
    reset_due: bool,
    /// Number and levels of a snapshot that is not complete.
    part: Option<(u64, Levels, Levels)>,
    /// The epoch it is of.
    epoch: u64,
    book: Option<(BTreeMap<i64, i64>, BTreeMap<i64, i64>)>,
}

impl View {
    pub fn at(epoch: u64, last: u64) -> Self {
        Self { last: Some(last), ..Self::fresh(epoch, 0) }
    }

    pub fn fresh(epoch: u64, least: u64) -> Self {
        Self {
            last: None,
            least,
            is_unknown: false,
            resumed: false,
            reset_due: false,
            part: None,
            epoch,
            book: None,
        }
    }

    pub fn resumed(epoch: u64, last: u64) -> Self {
        Self { resumed: true, ..Self::at(epoch, last) }
    }

    pub fn unknown(epoch: u64) -> Self {
        Self { is_unknown: true, ..Self::fresh(epoch, 0) }
    }

    pub fn foreign(epoch: u64) -> Self {
        Self { reset_due: true, ..Self::fresh(epoch, 0) }
    }

    /// A reset may come or may have come under another subscription.
    pub fn without_reset(self) -> Self {
        Self { reset_due: false, ..self }
    }

    pub fn is_bound(&self) -> bool {
        self.last.is_some()
    }

    fn reset(&mut self, epoch: u64) {
        if self.epoch != epoch {
            // A reset is due where something was delivered before; elsewhere it may come.
            *self = match self.last {
                Some(last) => Self { reset_due: last > 0, ..Self::at(epoch, 0) },
                None => Self::fresh(epoch, 0),
            };
        }
    }
}

pub struct Client {
    pub grant: Arc<Grant>,
    pub encoding: Encoding,
    pub epoch: u64,
    ids: HashMap<u32, Symbol>,
    defined: HashSet<Symbol>,
    pub exact: HashMap<Topic, Mode>,
    /// Wildcards, and the instruments that were there when they were made.
    pub wildcards: HashMap<Channel, Mode>,
    pub views: HashMap<Topic, View>,
    /// Views under a wildcard while an exact subscription has precedence.
    pub shadows: HashMap<Topic, View>,
    /// Nothing may be conflated or lost: it reads, wants everything, and the log has room.
    pub is_strict: bool,
    pub laps_seen: u64,
    pub messages: u64,
}

impl Client {
    pub fn new(encoding: Encoding, epoch: u64) -> Self {
        Self {
            grant: Arc::new(Grant::everything()),
            encoding,
            epoch,
            ids: HashMap::new(),
            defined: HashSet::new(),
            exact: HashMap::new(),
            wildcards: HashMap::new(),
            views: HashMap::new(),
            shadows: HashMap::new(),
            is_strict: false,
            laps_seen: 0,
            messages: 0,
        }
    }

    pub fn is_subscribed(&self, topic: &Topic) -> bool {
        let is_reached = || self.grant.allows(&topic.0, topic.1);
        self.exact.contains_key(topic) || self.wildcards.contains_key(&topic.1) && is_reached()
    }

    /// Numbers to resume with.
    pub fn positions(&self) -> Vec<(Symbol, Channel, u64)> {
        let all = self
            .views
            .iter()
            .filter(|(topic, view)| self.is_subscribed(topic) && view.part.is_none());
        let mut all: Vec<_> = all.filter_map(|((s, c), view)| Some((*s, *c, view.last?))).collect();
        all.sort();
        all
    }

    /// The book of a topic, to go on with after a resume.
    pub fn take_books_from(&mut self, other: &Self) {
        for (topic, view) in &mut self.views {
            if let (true, Some(old)) = (view.resumed, other.views.get(topic)) {
                view.book.clone_from(&old.book);
            }
        }
    }

    /// Reads one message.
    pub fn read(&mut self, bytes: &[u8], feed: &Feed, budget: usize) {
        self.messages += 1;
        assert_unnamed(bytes, &self.grant, feed.symbols());
        let events: Vec<Event> = match self.encoding {
            Encoding::Sbe => decode_sbe(bytes),
            Encoding::Json => decode_json(bytes),
        };
        let mut announced: HashMap<Topic, GapReason> = HashMap::new();
        let mut long = 0;
        for event in &events {
            match event {
                Event::Feed { epoch, state } => self.feed_state(*epoch, *state),
                Event::Definition { symbol, id, epoch } => {
                    assert_eq!(*epoch, self.epoch, "a definition of another epoch");
                    let is_used = Channel::all().any(|c| self.is_subscribed(&(*symbol, c)));
                    assert!(is_used, "a definition of what is not subscribed: {symbol}");
                    self.ids.insert(*id, *symbol);
                    self.defined.insert(*symbol);
                    long += 1;
                }
                Event::Gap { of, channel, reason, first, count } => {
                    let topic = (self.symbol(*of), *channel);
                    self.gap(topic, *reason, *first, *count);
                    if *count > 0 {
                        let before = announced.insert(topic, *reason);
                        let is_trade = topic.1.is_tape();
                        assert!(
                            before.is_none() || is_trade,
                            "{topic:?}: two gaps without data between"
                        );
                    }
                }
                Event::Data { of, channel, seq, body } => {
                    long += 1;
                    let topic = (self.symbol(*of), *channel);
                    let gap = announced.remove(&topic);
                    self.data(topic, *seq, body, gap, feed);
                }
            }
        }
        for (topic, reason) in announced {
            assert!(
                matches!(reason, GapReason::Lost | GapReason::Resume) && topic.1.is_tape(),
                "{topic:?}: a gap ({reason:?}) without the data it announces"
            );
        }
        assert!(
            bytes.len() <= budget || long <= 1,
            "{} bytes of {budget}: {events:?}",
            bytes.len()
        );
    }

    fn symbol(&self, named: Named) -> Symbol {
        match named {
            Named::Id(id) => {
                *self.ids.get(&id).unwrap_or_else(|| panic!("instrument {id} not defined"))
            }
            Named::Symbol(symbol) => {
                assert!(self.defined.contains(&symbol), "{symbol} is not defined");
                symbol
            }
        }
    }

    fn feed_state(&mut self, epoch: u64, state: FeedState) {
        if epoch != self.epoch {
            assert!(matches!(
                state,
                FeedState::Restarted | FeedState::Live | FeedState::Silent | FeedState::Stopped
            ));
            self.epoch = epoch;
            self.ids.clear();
            self.defined.clear();
            for view in self.views.values_mut().chain(self.shadows.values_mut()) {
                view.reset(epoch);
            }
        }
    }

    /// The view of a topic that something came for; made now if it falls under a wildcard.
    fn view(&mut self, topic: Topic) -> &mut View {
        assert!(self.is_subscribed(&topic), "{topic:?} is not subscribed");
        // An instrument that came after the wildcard begins with its first number.
        let epoch = self.epoch;
        self.views.entry(topic).or_insert_with(|| View::at(epoch, 0))
    }

    fn gap(&mut self, topic: Topic, reason: GapReason, first: u64, count: u64) {
        let (is_strict, laps_seen) = (self.is_strict, self.laps_seen);
        let view = self.view(topic);
        if reason == GapReason::Reset {
            assert_eq!(count, 0, "{topic:?}");
            view.reset_due = false;
            return;
        }
        assert!(count > 0, "{topic:?}: an empty gap");
        match view.last {
            Some(last) => assert_eq!(first, last + 1, "{topic:?}: a gap that does not join"),
            None => assert!(
                first > view.least,
                "{topic:?}: a gap before the base: {first} {count} {reason:?}, at least {}",
                view.least
            ),
        }
        match reason {
            GapReason::Conflated => {
                assert!(!topic.1.is_tape(), "trades are never conflated");
                // A snapshot that its own unsubscribing cut off begins anew.
                assert!(
                    !is_strict || view.part.is_some(),
                    "{topic:?}: conflated although the client reads: {first} {count}"
                );
            }
            GapReason::Lost => {
                let may = topic.1.is_tape() || matches!(topic.1, Channel::Bar(_));
                assert!(may, "{topic:?}: lost");
                assert!(!is_strict, "{topic:?}: lost although the client reads");
            }
            GapReason::Lapped => assert!(laps_seen > 0, "{topic:?}: lapped, but nothing was"),
            GapReason::Resume => assert!(view.resumed, "{topic:?}: never resumed"),
            other => panic!("{topic:?}: {other:?}"),
        }
        view.last = Some(first + count - 1);
    }

    fn data(&mut self, topic: Topic, seq: u64, body: &Body, gap: Option<GapReason>, feed: &Feed) {
        let epoch = self.epoch;
        let view = self.view(topic);
        assert!(!view.reset_due, "{topic:?}: data before the reset");
        let is_snapshot = matches!(body, Body::Snapshot { .. });
        let goes_on = matches!(body, Body::Snapshot { part, .. } if !part.is_first());
        match (view.last, &view.part) {
            (_, Some((number, ..))) if goes_on => assert_eq!(*number, seq, "{topic:?}"),
            _ if goes_on => panic!("{topic:?}: a snapshot without beginning"),
            // A snapshot that was taken back half-way may begin anew with the same number.
            (Some(last), Some(_)) if is_snapshot && seq == last => {}
            (Some(last), _) => assert_eq!(seq, last + 1, "{topic:?}: after {last}"),
            (None, _) => assert!(seq >= view.least, "{topic:?}: {seq} is below {}", view.least),
        }
        if !is_snapshot {
            assert!(view.part.is_none(), "{topic:?}: data within a snapshot");
        }
        view.last = Some(seq);
        let source = if topic.1.partial_levels().is_some() { Channel::Depth } else { topic.1 };
        let all = feed.truth.get(&(epoch, topic.0, source.code()));
        let truth = all.and_then(|all| all.get(seq as usize - 1));
        let truth = truth.unwrap_or_else(|| panic!("{topic:?}: {seq} does not exist in {epoch}"));
        match (body, truth) {
            (Body::Value(seen), Truth::Tick(tick)) => {
                assert_eq!(*seen, fields(topic.1, tick), "{topic:?} {seq}");
            }
            (Body::Partial { bids, asks }, Truth::Group { bids: b, asks: a, .. }) => {
                let most = topic.1.partial_levels().unwrap();
                assert_eq!(bids[..], b[..b.len().min(most)], "{topic:?} {seq}");
                assert_eq!(asks[..], a[..a.len().min(most)], "{topic:?} {seq}");
            }
            (Body::Snapshot { part, bids, asks }, Truth::Group { bids: b, asks: a, .. }) => {
                if part.is_first() {
                    view.part = Some((seq, Vec::new(), Vec::new()));
                }
                let whole = view.part.as_mut().unwrap();
                whole.1.extend(bids);
                whole.2.extend(asks);
                if part.is_last() {
                    let (_, bids, asks) = view.part.take().unwrap();
                    assert_eq!((&bids, &asks), (b, a), "{topic:?}: snapshot {seq}");
                    view.book = Some((bids.into_iter().collect(), asks.into_iter().collect()));
                }
            }
            (
                Body::Update { merged, replaces, first_id, last_id, bids, asks },
                Truth::Group { ticks, bids: b, asks: a },
            ) => {
                assert_eq!(
                    *merged,
                    gap.is_some(),
                    "{topic:?} {seq}: only merged groups skip numbers"
                );
                assert_eq!(*last_id, ticks[0].update_ids().1);
                if !merged {
                    assert_eq!(*first_id, ticks[0].update_ids().0);
                }
                // Before the first group the book is empty; later a snapshot must have come.
                let (own_bids, own_asks) = view.book.get_or_insert_with(|| {
                    assert!(
                        seq == 1 || *replaces || *merged && *first_id == 10,
                        "{topic:?}: changes {seq} of an unknown book"
                    );
                    Default::default()
                });
                if *replaces {
                    own_bids.clear();
                    own_asks.clear();
                }
                for (side, levels) in [(&mut *own_bids, bids), (&mut *own_asks, asks)] {
                    for &(price, quantity) in levels {
                        if quantity == 0 {
                            side.remove(&price);
                        } else {
                            side.insert(price, quantity);
                        }
                    }
                }
                let bids: Levels = own_bids.iter().rev().map(|(p, q)| (*p, *q)).collect();
                let asks: Levels = own_asks.iter().map(|(p, q)| (*p, *q)).collect();
                assert_eq!((&bids, &asks), (b, a), "{topic:?}: the book after {seq}");
            }
            (body, truth) => panic!("{topic:?}: {body:?} for {truth:?}"),
        }
    }

    /// The feed is silent, everything is delivered: every topic is at its newest number.
    pub fn check_complete(&self, feed: &Feed, images_max: u64) -> u64 {
        assert_eq!(self.epoch, feed.epoch, "the client was not told of the epoch");
        let mut complete = 0;
        // Without an image the shard does not hear of what a lap took.
        let is_known = |id: u32| self.laps_seen == 0 || u64::from(id) < images_max;
        for definition in feed.definitions().filter(|definition| is_known(definition.id)) {
            let has_depth = definition.has(Channel::Depth);
            for channel in Channel::all() {
                let topic = (definition.symbol, channel);
                let exists =
                    definition.has(channel) || has_depth && channel.partial_levels().is_some();
                if !exists || !self.is_subscribed(&topic) {
                    continue;
                }
                let newest = feed.newest(feed.epoch, definition.symbol, channel);
                let view = self.views.get(&topic);
                if view.is_some_and(|view| view.is_unknown && view.last.is_none()) {
                    continue;
                }
                let last = view.and_then(|view| view.last).unwrap_or(0);
                assert_eq!(last, newest, "{topic:?} is not complete: {view:?}");
                assert!(view.is_none_or(|view| view.part.is_none()), "{topic:?}: half a snapshot");
                complete += 1;
            }
        }
        complete
    }
}
