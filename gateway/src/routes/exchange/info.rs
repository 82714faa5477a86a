//! `exchangeInfo`: what is traded, with the rules that clients look for.
//!
//! Rules about orders are those of an exchange that takes none: clients read precisions out of them and
//! refuse symbols without. The price filter stands first, since some clients look for it there.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use wire::{Channel, Instrument, TradingStatus};

use super::error::RestError;
use super::parameters::{Parameters, Symbols};
use super::text::{Padded, array, milliseconds, price, quantity};
use super::{Answered, Desk};

/// Room for one symbol.
const SYMBOL_BYTES: usize = 1300;

/// The list of all symbols, which takes long to write and changes rarely.
#[derive(Debug, Default)]
pub struct InfoCache(Mutex<Option<Listed>>);

#[derive(Debug)]
struct Listed {
    epoch: u64,
    /// Number and status of instruments: what a list can differ in within an epoch.
    fingerprint: u64,
    symbols: Bytes,
}

pub(super) fn exchange_info(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    let symbols = match given.symbols()? {
        Symbols::All => all(desk),
        Symbols::One(symbol) => listed(desk, &[symbol])?,
        Symbols::Many(symbols) => listed(desk, &symbols)?,
    };
    let mut out = Vec::with_capacity(512 + symbols.len());
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "{{\"timezone\":\"UTC\",\"serverTime\":{},\"rateLimits\":[\
         {{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":{}}},\
         {{\"rateLimitType\":\"ORDERS\",\"interval\":\"SECOND\",\"intervalNum\":10,\"limit\":100}},\
         {{\"rateLimitType\":\"RAW_REQUESTS\",\"interval\":\"MINUTE\",\"intervalNum\":5,\"limit\":300000}}],\
         \"exchangeFilters\":[],\"symbols\":",
        milliseconds(desk.now_ns),
        // Clients pace themselves by it; without a limit they may do as at the exchange.
        if desk.weights.limit() == 0 { 6000 } else { desk.weights.limit() },
    );
    out.extend_from_slice(&symbols);
    out.push(b'}');
    Ok(out)
}

fn listed(desk: &Desk<'_>, symbols: &[wire::Symbol]) -> Result<Bytes, RestError> {
    let find = |symbol| desk.market.instrument(symbol).ok_or(RestError::Symbol);
    let instruments = symbols.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    Ok(list(desk, &instruments))
}

fn all(desk: &Desk<'_>) -> Bytes {
    let instruments = desk.market.instruments();
    if !desk.market.is_whole() {
        return list(desk, &instruments);
    }
    let epoch = desk.market.epoch();
    let fingerprint = instruments.iter().fold(0u64, |print, instrument| {
        print.wrapping_mul(31).wrapping_add(1 + u64::from(status(desk, instrument) as u8))
    });
    let mut cache = desk.info.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(listed) = cache.as_ref()
        && (listed.epoch, listed.fingerprint) == (epoch, fingerprint)
    {
        return listed.symbols.clone();
    }
    let symbols = list(desk, &instruments);
    *cache = Some(Listed { epoch, fingerprint, symbols: symbols.clone() });
    symbols
}

fn list(desk: &Desk<'_>, instruments: &[Instrument]) -> Bytes {
    let mut out = Vec::with_capacity(SYMBOL_BYTES * instruments.len());
    array(&mut out, instruments.iter(), |out, instrument| {
        write_symbol(out, instrument, status(desk, instrument))
    });
    Bytes::from(out)
}

/// Trading, unless the feed has said something else.
fn status(desk: &Desk<'_>, instrument: &Instrument) -> TradingStatus {
    let told = desk.market.newest(instrument, Channel::Status);
    told.and_then(|tick| tick.status().ok()).unwrap_or(TradingStatus::Trading)
}

fn write_symbol(out: &mut Vec<u8>, instrument: &Instrument, status: TradingStatus) -> bool {
    let symbol = instrument.symbol.as_str();
    let (base, quote) = match symbol.split_at_checked(usize::from(instrument.base_len)) {
        Some((base, quote)) if !base.is_empty() => {
            (base, quote.trim_start_matches(['-', '_', '.']))
        }
        // Unknown: a base that is something, and no quote.
        _ => (symbol, ""),
    };
    let status = match status {
        TradingStatus::Trading => "TRADING",
        TradingStatus::Halted => "HALT",
        TradingStatus::Closed => "END_OF_DAY",
    };
    // The smallest step that can be said, where it is unknown.
    let tick = price(instrument.tick_size.max(1), instrument);
    let lot = quantity(instrument.lot_size.max(1), instrument);
    let most = Padded(9_000_000, 0);
    let written = write!(
        out,
        "{{\"symbol\":\"{symbol}\",\"status\":\"{status}\",\"baseAsset\":\"{base}\",\"baseAssetPrecision\":8,\
         \"quoteAsset\":\"{quote}\",\"quotePrecision\":8,\"quoteAssetPrecision\":8,\
         \"baseCommissionPrecision\":8,\"quoteCommissionPrecision\":8,\
         \"orderTypes\":[\"LIMIT\",\"LIMIT_MAKER\",\"MARKET\"],\"icebergAllowed\":true,\"ocoAllowed\":true,\
         \"otoAllowed\":true,\"opoAllowed\":true,\"quoteOrderQtyMarketAllowed\":true,\
         \"allowTrailingStop\":false,\"cancelReplaceAllowed\":false,\"amendAllowed\":false,\
         \"pegInstructionsAllowed\":false,\"isSpotTradingAllowed\":true,\"isMarginTradingAllowed\":false,\
         \"filters\":[{{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"{tick}\",\"maxPrice\":\"{most}\",\
         \"tickSize\":\"{tick}\"}},{{\"filterType\":\"LOT_SIZE\",\"minQty\":\"{lot}\",\"maxQty\":\"{most}\",\
         \"stepSize\":\"{lot}\"}},{{\"filterType\":\"NOTIONAL\",\"minNotional\":\"5.00000000\",\
         \"applyMinToMarket\":true,\"maxNotional\":\"{most}\",\"applyMaxToMarket\":false,\"avgPriceMins\":5}}],\
         \"permissions\":[],\"permissionSets\":[[\"SPOT\"]],\"defaultSelfTradePreventionMode\":\"NONE\",\
         \"allowedSelfTradePreventionModes\":[\"NONE\"]}}",
    );
    written.is_ok()
}
