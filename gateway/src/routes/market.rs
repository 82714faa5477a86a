//! What a hub knows, as JSON for one request: the instruments, and one instrument's snapshot.
//!
//! Not on the tick path: a request costs an allocation or two. Both bodies are consistent: they
//! are written between two records of the ring.

use bytes::Bytes;
use hub::BestLevels;
use hyper::{Response, StatusCode, header};
use wire::{Channel, Instrument, Symbol, Tick, json};

use crate::history::History;
use crate::routes::reply::{self, Refusal, refusal};

/// What these routes ask of a hub, as far as whoever asks may see it: what is not theirs is not there.
pub trait Market {
    /// The current epoch; 0 before the feed has begun.
    fn epoch(&self) -> u64;

    /// Every instrument of the epoch, in the order of definition, with the channels that may be seen.
    fn instruments(&self) -> Vec<Instrument>;

    /// Whether these are all that there are.
    fn is_whole(&self) -> bool;

    /// The instrument of this symbol.
    fn instrument(&self, symbol: &Symbol) -> Option<Instrument>;

    /// Whether a channel of this instrument may be seen, if it has it.
    fn allows(&self, instrument: &Instrument, channel: Channel) -> bool;

    /// How many levels of each side of its book may be seen.
    fn levels_max(&self, instrument: &Instrument) -> usize;

    /// Whether the present state of this instrument can be known. If not, it can be soon, because it was
    /// asked for.
    fn is_present(&self, instrument: &Instrument) -> bool;

    /// Appends the newest value of a topic as a JSON event; false if there is none.
    fn write_newest(&self, instrument: &Instrument, channel: Channel, out: &mut Vec<u8>) -> bool;

    /// The newest tick of a topic that is not a book.
    fn newest(&self, instrument: &Instrument, channel: Channel) -> Option<Tick>;

    /// The best levels of an instrument's book, if that is known.
    fn best_levels(&self, instrument: &Instrument, levels: usize) -> Option<BestLevels>;

    /// The recent past, if it is kept. What of it may be seen is for the caller to ask before.
    fn history(&self) -> Option<&History>;
}

/// Why there is nothing to say of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// No instrument has it.
    Unknown,
    /// The stream does not have its data yet; it was asked for.
    Fetching,
    /// There is something, and not for whoever asks.
    NotEntitled,
}

impl Absent {
    /// The response that says so.
    pub(super) fn response(self, symbol: &str) -> Response<Bytes> {
        match self {
            Self::Unknown => refusal(&Refusal {
                status: StatusCode::NOT_FOUND,
                code: "unknown_symbol",
                msg: &format!("no instrument {symbol}; /v1/instruments lists them"),
            }),
            Self::NotEntitled => refusal(&Refusal {
                status: StatusCode::FORBIDDEN,
                code: "not_entitled",
                msg: &format!("the credential does not allow this of {symbol}"),
            }),
            Self::Fetching => {
                let mut response = refusal(&Refusal {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    code: "not_present",
                    msg: &format!("the data of {symbol} is being fetched; ask again in a second"),
                });
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
                response
            }
        }
    }
}

/// The instrument of this symbol, if its present state can be known.
pub(super) fn present(market: &dyn Market, symbol: &str) -> Result<Instrument, Absent> {
    let instrument = Symbol::new(symbol).ok().and_then(|symbol| market.instrument(&symbol));
    let instrument = instrument.ok_or(Absent::Unknown)?;
    if market.is_present(&instrument) { Ok(instrument) } else { Err(Absent::Fetching) }
}

/// The same, if this channel of it may be seen.
pub(super) fn entitled(
    market: &dyn Market,
    symbol: &str,
    channel: Channel,
) -> Result<Instrument, Absent> {
    let instrument = present(market, symbol)?;
    if market.allows(&instrument, channel) { Ok(instrument) } else { Err(Absent::NotEntitled) }
}

/// Room for one instrument's definition in JSON.
const DEFINITION_BYTES: usize = 320;

/// `{"epoch":"…","instruments":[{…},…]}`; the objects are those of the stream's definitions.
pub(super) fn instruments(market: &dyn Market) -> Response<Bytes> {
    let epoch = market.epoch();
    let instruments = market.instruments();
    let mut body = Vec::with_capacity(64 + DEFINITION_BYTES * instruments.len());
    body.extend_from_slice(format!("{{\"epoch\":\"{epoch}\",\"instruments\":[").as_bytes());
    for (i, instrument) in instruments.iter().enumerate() {
        if i > 0 {
            body.extend_from_slice(b",\n");
        }
        json::definition(&mut body, instrument, epoch);
    }
    body.extend_from_slice(b"]}\n");
    reply::json(StatusCode::OK, body)
}

/// How much of the book a snapshot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Levels {
    /// The best ones, as this channel does.
    Best(Channel),
    /// All of them.
    All,
}

impl Levels {
    /// Reads `5`, `10`, `20` or `all`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "5" => Self::Best(Channel::Depth5),
            "10" => Self::Best(Channel::Depth10),
            "20" => Self::Best(Channel::Depth20),
            "all" => Self::All,
            _ => return None,
        })
    }

    /// The channel that shows so much, or less of it where no more may be seen.
    fn channel(self, market: &dyn Market, instrument: &Instrument) -> Option<Channel> {
        let wanted = match self {
            Self::Best(channel) => channel,
            Self::All => Channel::Depth,
        };
        let books = [Channel::Depth, Channel::Depth20, Channel::Depth10, Channel::Depth5];
        let mut fitting = books.into_iter().skip_while(|channel| *channel != wanted);
        fitting.find(|channel| market.allows(instrument, *channel))
    }
}

/// `{"epoch":"…","s":"…","last":[…],"book":{…}}`: the newest event of each channel, and the book as
/// the event that a subscriber would get, each with its sequence number. No book: the key is absent.
pub(super) fn snapshot(market: &dyn Market, symbol: &str, levels: Levels) -> Response<Bytes> {
    let instrument = match present(market, symbol) {
        Ok(instrument) => instrument,
        Err(absent) => return absent.response(symbol),
    };
    let mut body = Vec::with_capacity(2048);
    let begin =
        format!("{{\"epoch\":\"{}\",\"s\":\"{}\",\"last\":[", market.epoch(), instrument.symbol);
    body.extend_from_slice(begin.as_bytes());
    let is_book =
        |channel: Channel| channel == Channel::Depth || channel.partial_levels().is_some();
    let mut is_first = true;
    for channel in Channel::all()
        .filter(|channel| channel.is_native() && instrument.has(*channel) && !is_book(*channel))
    {
        let before = body.len();
        if !is_first {
            body.push(b',');
        }
        if market.write_newest(&instrument, channel, &mut body) {
            is_first = false;
        } else {
            body.truncate(before);
        }
    }
    body.push(b']');
    let before = body.len();
    body.extend_from_slice(b",\"book\":");
    let channel = levels.channel(market, &instrument);
    if !channel.is_some_and(|channel| market.write_newest(&instrument, channel, &mut body)) {
        body.truncate(before);
    }
    body.extend_from_slice(b"}\n");
    reply::json(StatusCode::OK, body)
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use wire::{DepthHead, Quote};

    use super::*;
    use crate::routes::answer;

    struct OneInstrument;

    fn instrument() -> Instrument {
        Instrument {
            id: 0,
            symbol: Symbol::new("BTCUSDT").unwrap(),
            base_len: 3,
            price_exponent: -2,
            quantity_exponent: -5,
            tick_size: 1,
            lot_size: 1,
            channels: Channel::Trade.bit() | Channel::Quote.bit() | Channel::Depth.bit(),
        }
    }

    impl Market for OneInstrument {
        fn epoch(&self) -> u64 {
            77
        }

        fn instruments(&self) -> Vec<Instrument> {
            vec![instrument()]
        }

        fn is_whole(&self) -> bool {
            true
        }

        fn allows(&self, _: &Instrument, _: Channel) -> bool {
            true
        }

        fn levels_max(&self, _: &Instrument) -> usize {
            usize::MAX
        }

        fn is_present(&self, instrument: &Instrument) -> bool {
            instrument.id == 0
        }

        fn write_newest(&self, known: &Instrument, channel: Channel, out: &mut Vec<u8>) -> bool {
            let instrument = known.id;
            let quote = Quote {
                bid_price: 6_183_763,
                bid_quantity: 378_826,
                ask_price: 6_183_764,
                ask_quantity: 5,
                update_id: 1,
            };
            let mut tick = Tick::from_quote(instrument, 5, &quote);
            tick.seq = 12;
            let head = DepthHead {
                ts_event_ns: 9,
                seq: 3,
                instrument,
                ring_delay_ns: 0,
                first_update_id: 41,
                last_update_id: 41,
            };
            let (bids, asks) = ([(6_183_763, 378_826)], [(6_183_764, 5)]);
            match channel {
                Channel::Quote => json::entry(out, &[tick], known),
                Channel::Depth5 => {
                    json::partial_depth(out, channel, &head, &bids, &asks, known);
                }
                _ => return false,
            }
            true
        }

        fn instrument(&self, symbol: &Symbol) -> Option<Instrument> {
            Some(instrument()).filter(|instrument| instrument.symbol == *symbol)
        }

        fn newest(&self, _: &Instrument, _: Channel) -> Option<Tick> {
            None
        }

        fn best_levels(&self, _: &Instrument, _: usize) -> Option<BestLevels> {
            None
        }

        fn history(&self) -> Option<&History> {
            None
        }
    }

    fn get(uri: &str) -> (StatusCode, serde_json::Value) {
        let (request, ()) = Request::get(uri).body(()).unwrap().into_parts();
        let response = answer(&request, &OneInstrument, None);
        (response.status(), serde_json::from_slice(response.body()).unwrap())
    }

    #[test]
    fn a_snapshot_is_exact_and_numbered() {
        let (status, body) = get("/v1/snapshot/BTCUSDT?levels=5");
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["epoch"], "77");
        assert_eq!(body["last"][0]["bid"], "61837.63");
        assert_eq!(body["last"][0]["seq"], "12");
        assert_eq!(body["book"]["seq"], "3");
        assert_eq!(body["book"]["update_id"], "41");
        assert_eq!(body["book"]["bids"], serde_json::json!([["61837.63", "3.78826"]]));
        assert_eq!(body["book"]["asks"], serde_json::json!([["61837.64", "0.00005"]]));
        // There is no trade yet, and no book of twenty levels: neither is shown.
        assert_eq!(body["last"].as_array().unwrap().len(), 1);
        let (_, body) = get("/v1/snapshot/BTCUSDT");
        assert!(body["book"].is_null());
    }

    #[test]
    fn instruments_are_the_streams_definitions() {
        let (status, body) = get("/v1/instruments");
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["instruments"][0]["s"], "BTCUSDT");
        assert_eq!(body["instruments"][0]["channels"][1], "quote");
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (uri, status, code) in [
            ("/v1/snapshot/NOPE", StatusCode::NOT_FOUND, "unknown_symbol"),
            ("/v1/snapshot/b%22ad", StatusCode::NOT_FOUND, "unknown_symbol"),
            ("/v1/snapshot/BTCUSDT?levels=-1", StatusCode::BAD_REQUEST, "bad_parameter"),
            ("/v1/snapshot/BTCUSDT?depth=5", StatusCode::BAD_REQUEST, "bad_parameter"),
            ("/v1/nothing", StatusCode::NOT_FOUND, "not_found"),
        ] {
            let (found, body) = get(uri);
            assert_eq!((found, &body["error"]["code"]), (status, &code.into()), "{uri}");
        }
        let (post, ()) = Request::post("/v1/instruments").body(()).unwrap().into_parts();
        let response = answer(&post, &OneInstrument, None);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
}
