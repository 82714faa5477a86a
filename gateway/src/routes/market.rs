//! What a hub knows, as JSON for one request: the instruments, and one instrument's snapshot.
//!
//! Not on the tick path: a request costs an allocation or two. Both bodies are consistent: they
//! are written between two records of the ring.

use bytes::Bytes;
use hyper::{Response, StatusCode};
use wire::{DepthHead, Instrument, InstrumentImage, SnapshotPart, Symbol, json};

use crate::routes::reply::{self, Refusal, refusal};

/// What these routes ask of a hub.
pub trait Market {
    /// The current epoch; 0 before the feed has begun.
    fn epoch(&self) -> u64;

    /// Every instrument of the epoch, by id.
    fn instruments(&self) -> Vec<Instrument>;

    /// The last values and the book of one instrument.
    fn image(&self, symbol: &Symbol) -> Option<InstrumentImage>;
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

/// `{"epoch":"…","s":"…","last":[…],"book":{…}}`: the newest event of each channel and the best
/// levels, as the stream's own objects, each with its sequence number.
pub(super) fn snapshot(market: &dyn Market, symbol: &str, levels: usize) -> Response<Bytes> {
    let known = Symbol::new(symbol).ok().and_then(|symbol| market.image(&symbol));
    let Some(image) = known else {
        return refusal(&Refusal {
            status: StatusCode::NOT_FOUND,
            code: "unknown_symbol",
            msg: &format!("no instrument {symbol}; /v1/instruments lists them"),
        });
    };
    let instrument = &image.definition;
    let mut body = Vec::with_capacity(1024);
    body.extend_from_slice(b"{\"epoch\":\"");
    body.extend_from_slice(image.epoch.to_string().as_bytes());
    body.extend_from_slice(b"\",\"s\":\"");
    body.extend_from_slice(instrument.symbol.as_str().as_bytes());
    body.extend_from_slice(b"\",\"last\":[");
    for (i, tick) in image.last.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        json::entry(&mut body, std::slice::from_ref(tick), instrument);
    }
    body.push(b']');
    if image.depth_seq > 0 {
        body.extend_from_slice(b",\"book\":");
        let head = DepthHead {
            ts_event_ns: image.ts_event_ns,
            seq: image.depth_seq,
            instrument: instrument.id,
            ring_delay_ns: 0,
            first_update_id: image.update_id,
            last_update_id: image.update_id,
        };
        let bids = &image.bids[..image.bids.len().min(levels)];
        let asks = &image.asks[..image.asks.len().min(levels)];
        json::depth_snapshot(&mut body, &head, SnapshotPart::Whole, bids, asks, instrument);
    }
    body.extend_from_slice(b"}\n");
    reply::json(StatusCode::OK, body)
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use wire::{Channel, Quote, Tick};

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
            channels: Channel::Quote.bit() | Channel::Depth.bit(),
        }
    }

    impl Market for OneInstrument {
        fn epoch(&self) -> u64 {
            77
        }

        fn instruments(&self) -> Vec<Instrument> {
            vec![instrument()]
        }

        fn image(&self, symbol: &Symbol) -> Option<InstrumentImage> {
            let quote = Quote {
                bid_price: 6_183_763,
                bid_quantity: 378_826,
                ask_price: 6_183_764,
                ask_quantity: 5,
                update_id: 1,
            };
            let mut tick = Tick::from_quote(0, 5, &quote);
            tick.seq = 12;
            (*symbol == instrument().symbol).then(|| InstrumentImage {
                epoch: 77,
                definition: instrument(),
                last: vec![tick],
                depth_seq: 3,
                update_id: 41,
                ts_event_ns: 9,
                bids: vec![(6_183_763, 378_826), (6_183_700, 1)],
                asks: vec![(6_183_764, 5), (6_183_800, 2)],
            })
        }
    }

    fn get(uri: &str) -> (StatusCode, serde_json::Value) {
        let (request, ()) = Request::get(uri).body(()).unwrap().into_parts();
        let response = answer(&request, &OneInstrument);
        (response.status(), serde_json::from_slice(response.body()).unwrap())
    }

    #[test]
    fn a_snapshot_is_exact_and_numbered() {
        let (status, body) = get("/v1/snapshot/BTCUSDT?levels=1");
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["epoch"], "77");
        assert_eq!(body["last"][0]["bid"], "61837.63");
        assert_eq!(body["last"][0]["seq"], "12");
        assert_eq!(body["book"]["seq"], "3");
        assert_eq!(body["book"]["update_id"], "41");
        assert_eq!(body["book"]["bids"], serde_json::json!([["61837.63", "3.78826"]]));
        assert_eq!(body["book"]["asks"], serde_json::json!([["61837.64", "0.00005"]]));
    }

    #[test]
    fn instruments_are_the_streams_definitions() {
        let (status, body) = get("/v1/instruments");
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["instruments"][0]["s"], "BTCUSDT");
        assert_eq!(body["instruments"][0]["channels"][0], "quote");
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
        let response = answer(&post, &OneInstrument);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
}
