//! The catalog: every instrument that a gateway has, asked for over plain HTTP.
//!
//! A stream defines instruments as they come up. Who needs all of them beforehand, with what their
//! numbers mean, asks `/v1/instruments` of the same server. Not for prices.

use serde::Deserialize;
use tokio::time::timeout;
use wire::decimal::parse_mantissa;
use wire::{Channel, Instrument, Symbol};

use crate::endpoint::Endpoint;
use crate::error::ConnectError;
use crate::options::Options;
use crate::plain;

/// Where a gateway lists its instruments.
const PATH: &str = "/v1/instruments";

/// A million instruments of the usual 300 bytes.
const BODY_BYTES_MAX: usize = 300 << 20;

/// All instruments of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// The epoch; 0: the gateway has no feed yet.
    pub epoch: u64,
    /// The instruments, in the order of definition.
    pub instruments: Vec<Instrument>,
}

/// Why there is no catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The server could not be asked.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It answered something else.
    #[error("the answer is no list of instruments: {0}")]
    Answer(String),
}

/// Asks the server of this stream's URL for its instruments.
///
/// # Errors
/// If it cannot be asked, or does not answer with a list that can be read.
pub async fn catalog(url: &str, options: &Options) -> Result<Catalog, CatalogError> {
    let endpoint = Endpoint { path: PATH.to_owned(), ..Endpoint::parse(url, options)? };
    let asked = timeout(options.connect_timeout, plain::ask(&endpoint, BODY_BYTES_MAX)).await;
    let body = asked.unwrap_or(Err(ConnectError::Timeout))?;
    let listed: Listed = serde_json::from_slice(&body).map_err(|error| answer(&error))?;
    let instruments = listed.instruments.iter().map(Definition::instrument);
    Ok(Catalog {
        epoch: number(&listed.epoch)?,
        instruments: instruments.collect::<Result<_, _>>()?,
    })
}

#[derive(Deserialize)]
struct Listed<'a> {
    epoch: String,
    #[serde(borrow)]
    instruments: Vec<Definition<'a>>,
}

/// As the stream's JSON encoding has it.
#[derive(Deserialize)]
struct Definition<'a> {
    s: &'a str,
    instrument: u32,
    base: &'a str,
    price_exponent: i8,
    quantity_exponent: i8,
    tick_size: &'a str,
    lot_size: &'a str,
    channels: Vec<&'a str>,
}

impl Definition<'_> {
    fn instrument(&self) -> Result<Instrument, CatalogError> {
        let mantissa =
            |text, exponent| parse_mantissa(text, exponent).map_err(|error| answer(&error));
        // Channels of a newer gateway are none that this client could name.
        let channels = self.channels.iter().filter_map(|name| Channel::parse(name));
        Ok(Instrument {
            id: self.instrument,
            symbol: Symbol::new(self.s).map_err(|error| answer(&error))?,
            base_len: u8::try_from(self.base.len()).map_err(|error| answer(&error))?,
            price_exponent: self.price_exponent,
            quantity_exponent: self.quantity_exponent,
            tick_size: mantissa(self.tick_size, self.price_exponent)?,
            lot_size: mantissa(self.lot_size, self.quantity_exponent)?,
            channels: channels.fold(0, |set, channel| set | channel.bit()),
        })
    }
}

fn number(text: &str) -> Result<u64, CatalogError> {
    text.parse().map_err(|error: std::num::ParseIntError| answer(&error))
}

fn answer(error: &dyn std::fmt::Display) -> CatalogError {
    CatalogError::Answer(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_survive_the_gateways_json() {
        let instrument = Instrument {
            id: 3,
            symbol: Symbol::new("BTCUSDT").unwrap(),
            base_len: 3,
            price_exponent: -2,
            quantity_exponent: -5,
            tick_size: 1,
            lot_size: 10,
            channels: Channel::Trade.bit() | Channel::Depth.bit() | Channel::Depth5.bit(),
        };
        let mut json = Vec::new();
        wire::json::definition(&mut json, &instrument, 7);
        let read: Definition<'_> = serde_json::from_slice(&json).unwrap();
        assert_eq!(read.instrument().unwrap(), instrument);
    }
}
