//! What an upstream trades, read from its `exchangeInfo`.

use std::borrow::Cow;

use feed_sim::replay::Listed;
use serde::Deserialize;
use wire::{Instrument, Symbol};

/// Symbols of one connection: three streams each, of 1,024.
const SYMBOLS_MAX: usize = 341;

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    symbols: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    // An asset's name may have letters that are escaped.
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    status: &'a str,
    #[serde(borrow)]
    base_asset: Cow<'a, str>,
    #[serde(borrow, default)]
    filters: Vec<Filter<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter<'a> {
    tick_size: Option<&'a str>,
    step_size: Option<&'a str>,
    filter_type: &'a str,
}

impl<'a> Entry<'a> {
    fn step(&self, filter: &str, of: impl Fn(&Filter<'a>) -> Option<&'a str>) -> &'a str {
        let found = self.filters.iter().find(|one| one.filter_type == filter);
        // Unknown is 0.
        found.and_then(of).unwrap_or("0")
    }
}

/// Those of these symbols that trade, or of all; numbered in the list's order. Errors are in words for people.
pub(super) fn instruments(answer: &[u8], symbols: &[Symbol]) -> Result<Vec<Instrument>, String> {
    let info: Info<'_> =
        serde_json::from_slice(answer).map_err(|error| format!("no list of symbols: {error}"))?;
    let mut instruments = Vec::new();
    let mut left = symbols.to_vec();
    for entry in info.symbols.iter().filter(|entry| entry.status == "TRADING") {
        // Others than symbols of these letters cannot be named here.
        let Ok(symbol) = Symbol::new(&entry.symbol) else { continue };
        if !symbols.is_empty() && !symbols.contains(&symbol) {
            continue;
        }
        left.retain(|other| *other != symbol);
        let tick_size = entry.step("PRICE_FILTER", |filter| filter.tick_size);
        let lot_size = entry.step("LOT_SIZE", |filter| filter.step_size);
        let base =
            entry.symbol.strip_prefix(&*entry.base_asset).map_or(0, |_| entry.base_asset.len());
        let base_len = u8::try_from(base).unwrap_or(0);
        let id = u32::try_from(instruments.len()).map_err(|error| error.to_string())?;
        let listed = Listed { symbol, base_len, tick_size, lot_size };
        let instrument = listed.instrument(id);
        instruments.push(instrument.map_err(|error| format!("{symbol}: {error}"))?);
    }
    if let Some(missing) = left.first() {
        return Err(format!("{missing} does not trade there"));
    }
    match instruments.len() {
        0 => Err("nothing trades there".to_owned()),
        1..=SYMBOLS_MAX => Ok(instruments),
        more => Err(format!("{more} symbols, at most {SYMBOLS_MAX}: name some (source-symbols)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = br#"{"timezone":"UTC","symbols":[
        {"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","filters":[
            {"filterType":"PRICE_FILTER","minPrice":"0.01000000","tickSize":"0.01000000"},
            {"filterType":"LOT_SIZE","stepSize":"0.00001000"}]},
        {"symbol":"OLDUSDT","status":"BREAK","baseAsset":"OLD","filters":[]},
        {"symbol":"\u5e01USDT","status":"TRADING","baseAsset":"\u5e01","filters":[]},
        {"symbol":"ETHUSDT","status":"TRADING","baseAsset":"ETH","filters":[]}]}"#;

    #[test]
    fn what_trades_is_listed_with_its_steps() {
        let all = instruments(LIST, &[]).unwrap();
        let names: Vec<_> = all.iter().map(|one| one.symbol.as_str()).collect();
        assert_eq!(names, ["BTCUSDT", "ETHUSDT"]);
        assert_eq!((all[0].base_len, all[0].tick_size, all[0].lot_size), (3, 1_000_000, 1_000));
        assert_eq!((all[1].id, all[1].tick_size), (1, 0));
        let eth = Symbol::new("ETHUSDT").unwrap();
        assert_eq!(instruments(LIST, &[eth]).unwrap().len(), 1);
        let old = Symbol::new("OLDUSDT").unwrap();
        let refused = instruments(LIST, &[old]).unwrap_err();
        assert_eq!(refused, "OLDUSDT does not trade there");
        assert!(instruments(b"{}", &[]).unwrap_err().contains("no list of symbols"));
    }
}
