//! What one credential allows: which channels of which instruments its bearer may see and write, how
//! deep, and how often.
//!
//! A grant is made once, from texts, and does not change; whoever has it shares it. It knows no
//! connection and no instrument that exists: it answers for any symbol, also for one that is not
//! defined yet or never will be, so that a refusal does not tell what there is. Who holds which grant
//! is for [`Hub::entitle`](crate::Hub::entitle); where credentials come from is the shell's.
//!
//! A rule is written like a topic: `BTC*.trade`, `*.quote`, `BTCUSDT.bar_*`, `*.*`, and `!BTC*.depth`
//! denies. `*` stands for any text, also none, on both sides of the last dot. Whatever a rule denies
//! is denied, wherever in the list it stands.

use std::num::NonZeroU32;

use wire::command::Mode;
use wire::exchange::Stream;
use wire::{Channel, Symbol};

use crate::topics::Shows;

/// All channels, as a set of [`Channel::bit`]s.
const ALL_CHANNELS: u64 = (1 << wire::CHANNEL_COUNT) - 1;

/// The channels that show the book beyond its best prices.
const BOOK: [Channel; 4] = [Channel::Depth5, Channel::Depth10, Channel::Depth20, Channel::Depth];

/// The most characters of a symbol's pattern: those of a symbol, each with a `*` before it, and one
/// behind the last.
const GLOB_MAX: usize = 2 * wire::SYMBOL_MAX + 1;

/// The most rules of one list. A wildcard asks them for each instrument when it is the first of its grant: at some 2 ns
/// a rule, 10,000 instruments take 5 ms of so many, and 0.6 ms of ten, which the shard's other connections wait.
pub const RULES_MAX: usize = 256;

/// Why a text is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// There is no dot between symbols and channels.
    #[error("a rule is written SYMBOLS.CHANNELS, as BTC*.trade, *.quote or !*.depth")]
    NoDot,
    /// What stands before the last dot cannot match a symbol.
    #[error("a pattern of symbols is 1 to 65 of A-Z, 0-9, '.', '_', '-' and '*'")]
    Symbols,
    /// It is one more than [`RULES_MAX`].
    #[error("there are more than {RULES_MAX} rules")]
    TooMany,
    /// What stands behind the last dot matches no channel.
    #[error("there is no such channel")]
    Channels,
}

/// What a rule does to the topics that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Effect {
    Allow,
    Deny,
}

/// Symbols by pattern and a set of channels, allowed or denied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    effect: Effect,
    symbols: Box<str>,
    head: Head,
    /// A set of [`Channel::bit`]s.
    channels: u64,
}

/// What symbols of a pattern begin with, as far as eight bytes say: most rules of a long list are passed over with
/// one comparison. A symbol that is shorter is filled up with zeros, which no symbol has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Head {
    bits: u64,
    /// The bytes that are the pattern's.
    mask: u64,
}

impl Head {
    const BYTES: usize = 8;

    fn of(pattern: &str) -> Self {
        let literal = pattern.find('*').map_or(Self::BYTES, |star| star.min(Self::BYTES));
        let mut mask = [0; Self::BYTES];
        mask[..literal].fill(u8::MAX);
        let mask = u64::from_le_bytes(mask);
        Self { bits: first_bytes(pattern) & mask, mask }
    }

    const fn is_in(self, first_bytes: u64) -> bool {
        first_bytes & self.mask == self.bits
    }
}

/// The first bytes of a symbol, as [`Head`]s compare them.
fn first_bytes(text: &str) -> u64 {
    let len = text.len().min(Head::BYTES);
    let mut bytes = [0; Head::BYTES];
    bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    u64::from_le_bytes(bytes)
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// If the text is none, with the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let (effect, topics) = match text.strip_prefix('!') {
            Some(denied) => (Effect::Deny, denied),
            None => (Effect::Allow, text),
        };
        let (symbols, named) = topics.rsplit_once('.').ok_or(RuleError::NoDot)?;
        let is_part = |b: u8| {
            b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-' | b'*')
        };
        if symbols.is_empty() || symbols.len() > GLOB_MAX || !symbols.bytes().all(is_part) {
            return Err(RuleError::Symbols);
        }
        // Bars by UTC+8 are meant with those by UTC, and may be meant alone.
        let is_named = |channel: &Channel| {
            matches(named, channel.name())
                || matches!(channel, Channel::Bar(interval)
                    if matches(named, Channel::Bar(interval.by_utc()).name()))
        };
        let matching = Channel::all().filter(is_named);
        let channels = matching.fold(0, |set, channel| set | channel.bit());
        if channels == 0 {
            return Err(RuleError::Channels);
        }
        Ok(Self { effect, head: Head::of(symbols), symbols: symbols.into(), channels })
    }

    fn is_of(&self, channel: Channel) -> bool {
        self.channels & channel.bit() != 0
    }

    /// Whether it matches every symbol that the other one does, as far as that is plain to see.
    fn covers(&self, other: &Self) -> bool {
        *self.symbols == *"*" || self.symbols == other.symbols
    }
}

/// Whether the text is of this pattern, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: one byte more is the star's.
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut retry {
                Some((after, taken)) => {
                    *taken += 1;
                    (p, t) = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// A list of rules: what is allowed and not denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules(Box<[Rule]>);

impl Rules {
    /// Reads a list of rules; an empty one allows nothing.
    ///
    /// # Errors
    /// If a text is no rule, or one too many, with its place in the list.
    pub fn parse<T: AsRef<str>>(
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Self, (usize, RuleError)> {
        let read = |(at, text): (usize, T)| match at {
            RULES_MAX.. => Err((at, RuleError::TooMany)),
            _ => Rule::parse(text.as_ref()).map_err(|error| (at, error)),
        };
        Ok(Self(texts.into_iter().enumerate().map(read).collect::<Result<_, _>>()?))
    }

    /// The rule `*.*`.
    #[must_use]
    pub fn everything() -> Self {
        let (symbols, head) = ("*".into(), Head::of("*"));
        Self(Box::new([Rule { effect: Effect::Allow, symbols, head, channels: ALL_CHANNELS }]))
    }

    fn with(&self, effect: Effect, channel: Channel) -> impl Iterator<Item = &Rule> {
        self.0.iter().filter(move |rule| rule.effect == effect && rule.is_of(channel))
    }

    fn allow(&self, symbol: &Symbol, channel: Channel) -> bool {
        let first_bytes = first_bytes(symbol.as_str());
        let is_any = |effect| {
            let mut fitting = self.with(effect, channel).filter(|it| it.head.is_in(first_bytes));
            fitting.any(|rule| matches(&rule.symbols, symbol.as_str()))
        };
        is_any(Effect::Allow) && !is_any(Effect::Deny)
    }

    fn allow_all(&self, channel: Channel) -> bool {
        self.with(Effect::Allow, channel).any(|rule| *rule.symbols == *"*")
            && self.with(Effect::Deny, channel).next().is_none()
    }

    fn allow_some(&self, channel: Channel) -> bool {
        let is_denied =
            |allowed: &Rule| self.with(Effect::Deny, channel).any(|rule| rule.covers(allowed));
        self.with(Effect::Allow, channel).any(|allowed| !is_denied(allowed))
    }
}

/// What one credential allows. See the module's header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// What may be subscribed to and asked for.
    pub see: Rules,
    /// What may be published.
    pub publish: Rules,
    /// How many levels of each side of a book may be seen; `None`: the whole book, with its changes.
    pub depth_levels: Option<u16>,
    /// The most updates of a topic a second, by conflation; `None`: what the client asks for.
    pub max_rate: Option<NonZeroU32>,
    /// What is delivered of several updates that are due: with [`Mode::Conflate`] the newest, whatever the
    /// client asks for.
    pub mode: Mode,
    /// By how many minutes the data must be delayed at least. The hub does not delay; the shell
    /// refuses who must not see what it has.
    pub delay_min: u32,
}

impl Grant {
    /// May see everything, and publish nothing: what a gateway without credentials gives.
    #[must_use]
    pub fn everything() -> Self {
        Self { see: Rules::everything(), ..Self::nothing() }
    }

    /// May do nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            see: Rules::default(),
            publish: Rules::default(),
            depth_levels: None,
            max_rate: None,
            mode: Mode::Every,
            delay_min: 0,
        }
    }

    /// Whether it may see this channel of this instrument.
    #[must_use]
    pub fn allows(&self, symbol: &Symbol, channel: Channel) -> bool {
        self.is_shallow(channel) && self.see.allow(symbol, channel)
    }

    /// Whether it may see this channel of every instrument there is and will be.
    #[must_use]
    pub fn allows_all(&self, channel: Channel) -> bool {
        self.is_shallow(channel) && self.see.allow_all(channel)
    }

    /// Whether there may be an instrument of which it may see this channel.
    #[must_use]
    pub fn allows_some(&self, channel: Channel) -> bool {
        self.is_shallow(channel) && self.see.allow_some(channel)
    }

    /// Whether it may see a stream of the exchange's protocol. An array's events are of many instruments
    /// and the same for everybody: they are for who may see that channel of all.
    #[must_use]
    pub fn allows_stream(&self, stream: &Stream) -> bool {
        match stream {
            Stream::One(symbol, view) => self.allows(symbol, Shows::View(*view).channel()),
            Stream::Every(channel) => self.allows_some(*channel),
            Stream::Array(array) => self.allows_all(Shows::Array(*array).channel()),
            Stream::Silent => true,
        }
    }

    /// Whether it may know that there is this instrument: it may see a channel of it.
    #[must_use]
    pub fn knows(&self, symbol: &Symbol) -> bool {
        Channel::all().any(|channel| self.allows(symbol, channel))
    }

    /// How many levels of each side of this instrument's book it may see: 0 if none, [`usize::MAX`] if all.
    /// A book that is asked for is to be cut there.
    #[must_use]
    pub fn levels_max(&self, symbol: &Symbol) -> usize {
        let bound = self.depth_levels.map_or(usize::MAX, usize::from);
        let allowed = BOOK.into_iter().filter(|channel| self.see.allow(symbol, *channel));
        allowed.map(levels_of).max().unwrap_or(0).min(bound)
    }

    /// Whether it may publish to this channel of this instrument.
    #[must_use]
    pub fn may_publish(&self, symbol: &Symbol, channel: Channel) -> bool {
        self.publish.allow(symbol, channel)
    }

    /// Whether it may publish anything.
    #[must_use]
    pub fn publishes(&self) -> bool {
        Channel::all().any(|channel| self.publish.allow_some(channel))
    }

    /// Whether it leaves a client all it can ask for.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        Channel::all().all(|channel| self.allows_all(channel))
            && self.max_rate.is_none()
            && self.mode == Mode::Every
    }

    /// Whether the channel shows no more levels of a book than may be seen.
    fn is_shallow(&self, channel: Channel) -> bool {
        self.depth_levels.is_none_or(|levels| levels_of(channel) <= usize::from(levels))
    }
}

/// How many levels of each side of a book a channel shows beyond the best price.
fn levels_of(channel: Channel) -> usize {
    match channel {
        Channel::Depth => usize::MAX,
        other => other.partial_levels().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(text: &str) -> Symbol {
        Symbol::new(text).unwrap()
    }

    fn grant(rules: &[&str]) -> Grant {
        Grant { see: Rules::parse(rules).unwrap(), ..Grant::nothing() }
    }

    #[test]
    fn patterns_match_like_a_backtracking_search() {
        /// The definition, without care for what it costs.
        fn plain(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern, text) {
                ([], []) => true,
                ([b'*', rest @ ..], _) => {
                    plain(rest, text) || !text.is_empty() && plain(pattern, &text[1..])
                }
                ([a, rest @ ..], [b, text @ ..]) => a == b && plain(rest, text),
                _ => false,
            }
        }
        let words = |letters: &[u8], longest: u32| -> Vec<String> {
            let base = letters.len();
            let word = |len: u32, mut nth: usize| -> String {
                (0..len)
                    .map(|_| {
                        let letter = letters[nth % base];
                        nth /= base;
                        char::from(letter)
                    })
                    .collect()
            };
            (0..=longest)
                .flat_map(|len| (0..base.pow(len)).map(move |nth| (len, nth)))
                .map(|(len, nth)| word(len, nth))
                .collect()
        };
        assert!(
            !Head::of("AB*").is_in(first_bytes("BA")) && !Head::of("A").is_in(first_bytes("AB"))
        );
        let texts = words(b"AB", 6);
        for pattern in words(b"AB*", 5) {
            for text in &texts {
                let expected = plain(pattern.as_bytes(), text.as_bytes());
                assert_eq!(matches(&pattern, text), expected, "{pattern} {text}");
                // Behind nothing, and across the end of what is compared at once.
                for front in ["", "BABABA"] {
                    let (pattern, text) = (format!("{front}{pattern}"), format!("{front}{text}"));
                    let may_match = Head::of(&pattern).is_in(first_bytes(&text));
                    assert!(may_match || !expected, "{pattern} {text}");
                }
            }
        }
    }

    #[test]
    fn what_is_denied_is_denied_wherever_it_stands() {
        for rules in [["!BTC*.depth", "*.*"], ["*.*", "!BTC*.depth"]] {
            let grant = grant(&rules);
            assert!(grant.allows(&symbol("BTCUSDT"), Channel::Trade));
            assert!(grant.allows(&symbol("ETHUSDT"), Channel::Depth));
            assert!(!grant.allows(&symbol("BTCUSDT"), Channel::Depth));
            assert!(grant.allows_all(Channel::Trade) && !grant.allows_all(Channel::Depth));
            assert!(grant.allows_some(Channel::Depth) && !grant.is_unrestricted());
        }
        let none = grant(&["BTC*.quote", "!*.quote"]);
        assert!(!none.allows_some(Channel::Quote) && !none.knows(&symbol("BTCUSDT")));
    }

    #[test]
    fn symbols_with_dots_and_groups_of_channels() {
        let grant = grant(&["BRK.*.bar_*", "*USDT.trade"]);
        assert!(grant.allows(&symbol("BRK.B"), Channel::parse("bar_1s").unwrap()));
        assert!(!grant.allows(&symbol("BRK.B"), Channel::Trade));
        assert!(grant.allows(&symbol("ETHUSDT"), Channel::Trade));
        assert!(!grant.allows(&symbol("ETHUSDC"), Channel::Trade));
        assert!(grant.knows(&symbol("BRK.A")) && !grant.knows(&symbol("ETHUSDC")));
    }

    #[test]
    fn bars_by_utc8_are_meant_with_those_by_utc_and_may_be_meant_alone() {
        let day = wire::Interval::parse("1d").unwrap();
        let by = |interval| Channel::Bar(interval);
        let may = |rules: &[&str]| {
            let rules = Rules::parse(rules).unwrap();
            [by(day), by(day.by_utc8())].map(|channel| rules.allow(&symbol("A"), channel))
        };
        assert_eq!(may(&["*.bar_1d"]), [true, true]);
        assert_eq!(may(&["*.bar_1d_utc8"]), [false, true]);
        assert_eq!(may(&["*.*", "!*.bar_1d"]), [false, false]);
        assert_eq!(may(&["*.*", "!*.bar_1d_utc8"]), [true, false]);
        assert_eq!(may(&["*.bar_1h"]), [false, false]);
    }

    #[test]
    fn books_are_shown_as_deep_as_granted() {
        let shallow = Grant { depth_levels: Some(10), ..Grant::everything() };
        let btc = symbol("BTCUSDT");
        let shown: Vec<_> = BOOK.into_iter().filter(|c| shallow.allows(&btc, *c)).collect();
        assert_eq!(shown, [Channel::Depth5, Channel::Depth10]);
        assert!(shallow.allows(&btc, Channel::Quote) && !shallow.allows_some(Channel::Depth));
        assert_eq!(shallow.levels_max(&btc), 10);
        assert_eq!(Grant::everything().levels_max(&btc), usize::MAX);
        assert_eq!(grant(&["*.depth5", "*.quote"]).levels_max(&btc), 5);
        assert_eq!(grant(&["*.quote"]).levels_max(&btc), 0);
        let cut = Grant { depth_levels: Some(7), ..grant(&["*.depth"]) };
        assert_eq!((cut.levels_max(&btc), cut.allows(&btc, Channel::Depth)), (7, false));
    }

    #[test]
    fn everything_is_unrestricted_and_nothing_is_nothing() {
        let (everything, nothing) = (Grant::everything(), Grant::nothing());
        assert!(everything.is_unrestricted() && !nothing.is_unrestricted());
        for channel in Channel::all() {
            assert!(everything.allows_all(channel) && !nothing.allows_some(channel));
            assert!(!everything.may_publish(&symbol("X"), channel));
        }
        assert!(!everything.publishes());
        let writer = Grant { publish: Rules::parse(["X.quote"]).unwrap(), ..Grant::nothing() };
        assert!(writer.publishes() && writer.may_publish(&symbol("X"), Channel::Quote));
        assert!(!writer.may_publish(&symbol("X"), Channel::Trade) && !writer.knows(&symbol("X")));
        let slow = Grant { mode: Mode::Conflate, ..Grant::everything() };
        assert!(!slow.is_unrestricted());
    }

    #[test]
    fn what_is_no_rule_is_told_with_its_place() {
        for (text, error) in [
            ("BTCUSDT", RuleError::NoDot),
            (".trade", RuleError::Symbols),
            ("btc*.trade", RuleError::Symbols),
            ("BTC?.trade", RuleError::Symbols),
            ("BTC*.trades", RuleError::Channels),
            ("BTC*.", RuleError::Channels),
            ("!", RuleError::NoDot),
        ] {
            assert_eq!(Rule::parse(text), Err(error), "{text}");
            assert_eq!(Rules::parse(["*.*", text]), Err((1, error)));
        }
        let many = vec!["*.*"; RULES_MAX];
        assert!(Rules::parse(&many).is_ok());
        let error = Err((RULES_MAX, RuleError::TooMany));
        assert_eq!(Rules::parse(many.into_iter().chain(["*.*"])), error);
        assert_eq!(Rule::parse(&format!("{}.trade", "*".repeat(66))), Err(RuleError::Symbols));
    }
}
