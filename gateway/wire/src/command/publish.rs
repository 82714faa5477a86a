//! Publishing: ticks that a client writes, parsed from JSON commands and from binary messages.
//!
//! A [`Draft`] is a tick without number, before it is known what its instrument is: decimals are exact
//! but not yet mantissas. [`Draft::tick`] makes the tick that an instrument can have, or says what is
//! wrong with it. Which instruments clients may write is not known here.

use std::fmt;

use super::{Command, CommandError, CommandId, Excerpt, Fault};
use crate::body::{Quote, Side, Trade};
use crate::decimal::{Decimal, DecimalError};
use crate::instrument::{Instrument, Symbol};
use crate::reply::ErrorCode;
use crate::sbe::{self, DecodeError, Message};
use crate::tick::Tick;
use crate::topic::{Channel, Pattern, PatternError};

/// The most ticks of one `publish`. More are several commands.
pub const TICKS_PER_PUBLISH_MAX: usize = 1_000;

/// The fields of `publish`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Echoed in the reply.
    pub id: Option<CommandId>,
    /// The epoch of the instruments' ids, where drafts have ids.
    pub epoch: Option<u64>,
    /// What to publish, in the client's order. One that is wrong does not void the others.
    pub ticks: Vec<Result<Draft, BadDraft>>,
}

/// A tick as a client writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Of which instrument.
    pub subject: Subject,
    /// When it happened, ns since the epoch; 0: now.
    pub ts_event_ns: u64,
    /// What happened.
    pub body: DraftBody,
}

/// How a draft names its instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// By symbol, as in JSON.
    Symbol(Symbol),
    /// By id, as in binary messages; of the epoch that stands in [`Publish::epoch`].
    Id(u32),
}

/// What a draft says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftBody {
    /// One trade.
    Trade {
        /// Its price.
        price: Amount,
        /// Its quantity.
        quantity: Amount,
        /// Whose order was in the book.
        maker: Side,
        /// The client's id for it; 0: none.
        trade_id: u64,
        /// When the match was made, ns since the epoch; 0: at the draft's own time.
        ts_trade_ns: u64,
    },
    /// Best bid and offer: prices and quantities.
    Quote {
        /// Price and quantity of the best bid; `None`: there is none.
        bid: Option<(Amount, Amount)>,
        /// Price and quantity of the best offer; `None`: there is none.
        ask: Option<(Amount, Amount)>,
    },
}

/// A price or quantity whose instrument is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// The number itself.
    Decimal(Decimal),
    /// A mantissa at whatever exponent the instrument has.
    Mantissa(i64),
}

impl Amount {
    fn mantissa(self, exponent: i8) -> Result<i64, DecimalError> {
        match self {
            Self::Decimal(decimal) => decimal.mantissa(exponent),
            Self::Mantissa(mantissa) => Ok(mantissa),
        }
    }
}

/// A tick that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDraft {
    /// The beginning of what the client wrote as its topic.
    pub topic: Excerpt,
    /// What is wrong with it.
    pub error: DraftError,
}

/// Why something is not a tick that can be published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// The topic is malformed.
    #[error(transparent)]
    Topic(#[from] PatternError),
    /// Something else than a trade or a quote.
    #[error("{0} is made by the gateway's feed: clients publish trade and quote")]
    Channel(&'static str),
    /// A field is missing, of the wrong type, out of range or given twice.
    #[error(transparent)]
    Field(Fault),
    /// An enum of a binary message has a value without meaning.
    #[error(transparent)]
    Value(DecodeError),
    /// The instrument cannot have this price or quantity.
    #[error("{field}: {reason}")]
    Amount {
        /// Which.
        field: &'static str,
        /// Why.
        reason: AmountError,
    },
    /// The best bid is above the best offer.
    #[error("bid: above the ask")]
    Crossed,
}

/// Why an instrument cannot have a price or quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// Digits that the instrument has no place for, or too many of them.
    #[error("{error} ({places} decimal places)")]
    Decimal {
        /// What does not fit.
        error: DecimalError,
        /// How many the instrument has.
        places: u8,
    },
    /// Prices and quantities are above zero.
    #[error("must be above zero")]
    NotPositive,
    /// Between two steps of the instrument.
    #[error("must be a multiple of {}", Steps(*.step, *.exponent))]
    Step {
        /// The instrument's tick or lot size, a mantissa.
        step: i64,
        /// Its exponent.
        exponent: i8,
    },
}

impl DraftError {
    /// The code in the reply.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Topic(_) => ErrorCode::BadTopic,
            Self::Channel(_) => ErrorCode::NotPublishable,
            Self::Field(_) | Self::Value(_) | Self::Amount { .. } | Self::Crossed => {
                ErrorCode::BadField
            }
        }
    }
}

/// A mantissa as a decimal number.
struct Steps(i64, i8);

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        crate::decimal::write_decimal(&mut text, self.0, self.1);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl Draft {
    /// The channel that it belongs to.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        match self.body {
            DraftBody::Trade { .. } => Channel::Trade,
            DraftBody::Quote { .. } => Channel::Quote,
        }
    }

    /// The tick that it is of this instrument, without a number. What has no time happened at `now_ns`.
    ///
    /// # Errors
    /// If the instrument cannot have its prices or quantities.
    pub fn tick(&self, instrument: &Instrument, now_ns: u64) -> Result<Tick, DraftError> {
        let at = |ts_ns: u64, default_ns: u64| if ts_ns == 0 { default_ns } else { ts_ns };
        let ts_event_ns = at(self.ts_event_ns, now_ns);
        let price = |field, amount: Amount| {
            positive(field, amount, instrument.price_exponent, instrument.tick_size)
        };
        let quantity = |field, amount: Amount| {
            positive(field, amount, instrument.quantity_exponent, instrument.lot_size)
        };
        match self.body {
            DraftBody::Trade { price: paid, quantity: size, maker, trade_id, ts_trade_ns } => {
                let trade = Trade {
                    price: price("price", paid)?,
                    quantity: quantity("quantity", size)?,
                    trade_id,
                    ts_trade_ns: at(ts_trade_ns, ts_event_ns),
                    buyer_is_maker: maker == Side::Bid,
                };
                Ok(Tick::from_trade(instrument.id, ts_event_ns, &trade))
            }
            DraftBody::Quote { bid, ask } => {
                let side = |names: [&'static str; 2], side: Option<(Amount, Amount)>| {
                    let Some((at, size)) = side else { return Ok((0, 0)) };
                    Ok::<_, DraftError>((price(names[0], at)?, quantity(names[1], size)?))
                };
                let (bid_price, bid_quantity) = side(["bid", "bid_quantity"], bid)?;
                let (ask_price, ask_quantity) = side(["ask", "ask_quantity"], ask)?;
                if bid.is_some() && ask.is_some() && bid_price > ask_price {
                    return Err(DraftError::Crossed);
                }
                let quote =
                    Quote { bid_price, bid_quantity, ask_price, ask_quantity, update_id: 0 };
                Ok(Tick::from_quote(instrument.id, ts_event_ns, &quote))
            }
        }
    }
}

/// An amount's mantissa, above zero and on one of the instrument's steps.
fn positive(
    field: &'static str,
    amount: Amount,
    exponent: i8,
    step: i64,
) -> Result<i64, DraftError> {
    let refused = |reason| DraftError::Amount { field, reason };
    let mantissa = amount.mantissa(exponent).map_err(|error| {
        refused(AmountError::Decimal { error, places: exponent.unsigned_abs() })
    })?;
    if mantissa <= 0 {
        return Err(refused(AmountError::NotPositive));
    }
    if step > 0 && mantissa % step != 0 {
        return Err(refused(AmountError::Step { step, exponent }));
    }
    Ok(mantissa)
}

/// What the message of a draft is called where the client has no topic for it.
fn unnamed(template: &str) -> Excerpt {
    Excerpt::new(template)
}

impl Command {
    /// Parses a binary message: a Publish message and the ticks behind it.
    ///
    /// # Errors
    /// If it does not begin with Publish, ends within a message, or has too many ticks.
    pub fn parse_binary(bytes: &[u8]) -> Result<Self, CommandError> {
        let anonymous = |fault| CommandError { id: None, fault };
        let mut messages = sbe::decode(bytes);
        let (epoch, request) = match messages.next() {
            Some(Ok(Message::Publish { epoch, request })) => (epoch, request),
            Some(Ok(_)) | None => return Err(anonymous(Fault::NotPublish)),
            Some(Err(error)) => return Err(anonymous(Fault::Binary(error))),
        };
        let id = Some(match i64::try_from(request) {
            Ok(request) => CommandId::Integer(request),
            Err(_) => CommandId::Unsigned(request),
        });
        let named = |fault| CommandError { id, fault };
        let mut ticks = Vec::new();
        for message in messages {
            ticks.push(match message {
                Ok(message) => draft(&message),
                Err(error @ DecodeError::Value { template, .. }) => {
                    let topic = unnamed(&format!("{template:?}"));
                    Err(BadDraft { topic, error: DraftError::Value(error) })
                }
                Err(error) => return Err(named(Fault::Binary(error))),
            });
        }
        check_count(ticks.len()).map_err(named)?;
        Ok(Self::Publish(Publish { id, epoch: Some(epoch), ticks }))
    }
}

/// Whether a command may have so many ticks.
pub(super) const fn check_count(count: usize) -> Result<(), Fault> {
    match count {
        0 => Err(Fault::NoTicks),
        1..=TICKS_PER_PUBLISH_MAX => Ok(()),
        count => Err(Fault::TooManyTicks { count }),
    }
}

/// The draft that a binary message is.
fn draft(message: &Message<'_>) -> Result<Draft, BadDraft> {
    let side = |price: i64, quantity: i64| {
        let is_empty = price == 0 && quantity == 0;
        (!is_empty).then_some((Amount::Mantissa(price), Amount::Mantissa(quantity)))
    };
    let (head, body) = match message {
        Message::Trade(head, trade) => (
            head,
            DraftBody::Trade {
                price: Amount::Mantissa(trade.price),
                quantity: Amount::Mantissa(trade.quantity),
                maker: if trade.buyer_is_maker { Side::Bid } else { Side::Ask },
                trade_id: trade.trade_id,
                ts_trade_ns: trade.ts_trade_ns,
            },
        ),
        Message::Quote(head, quote) => (
            head,
            DraftBody::Quote {
                bid: side(quote.bid_price, quote.bid_quantity),
                ask: side(quote.ask_price, quote.ask_quantity),
            },
        ),
        other => {
            let channel = other.channel().map_or("a message that is no tick", Channel::name);
            let error = DraftError::Channel(channel);
            return Err(BadDraft { topic: unnamed(channel), error });
        }
    };
    Ok(Draft { subject: Subject::Id(head.instrument), ts_event_ns: head.ts_event_ns, body })
}

/// The symbol and channel of a draft's topic, if clients can publish such.
pub(super) fn topic(text: &str) -> Result<(Symbol, Channel), DraftError> {
    match Pattern::parse(text)? {
        Pattern::One(symbol, channel @ (Channel::Trade | Channel::Quote)) => Ok((symbol, channel)),
        Pattern::One(_, channel) => Err(DraftError::Channel(channel.name())),
        Pattern::All(_) => Err(DraftError::Channel("a wildcard")),
    }
}
