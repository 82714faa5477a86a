// @binance/spot, as it is installed from npm, against a gateway: `binance_spot.mjs HOST:PORT SYMBOL`.
// It is found in the folder of NODE_PACKAGES.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.env.NODE_PACKAGES ?? process.cwd(), 'package.json'));
const { Spot } = require('@binance/spot');

const [address, symbol] = process.argv.slice(2);
const name = symbol.toLowerCase();
const deadline = setTimeout(() => {
  console.error('nothing more comes');
  process.exit(1);
}, 120_000);

const client = new Spot({
  configurationRestAPI: { apiKey: '', apiSecret: '', basePath: `http://${address}` },
  configurationWebsocketStreams: { wsURL: `ws://${address}` },
});

// REST: what the library types is what is there.
const info = await (await client.restAPI.exchangeInfo({ symbol })).data();
assert.equal(info.symbols[0].symbol, symbol);
const book = await (await client.restAPI.depth({ symbol, limit: 10 })).data();
assert.equal(book.bids.length, 10);
const bars = await (await client.restAPI.klines({ symbol, interval: '1s', limit: 2 })).data();
assert.equal(bars.length, 2);

// Streams: so many events of each, in order.
const connection = await client.websocketStreams.connect();
const collect = (stream, count) =>
  new Promise((resolve) => {
    const events = [];
    stream.on('message', (event) => {
      events.push(event);
      if (events.length === count) resolve(events);
    });
  });
const trade = connection.trade({ symbol: name });
const quote = connection.bookTicker({ symbol: name });
const diff = connection.diffBookDepth({ symbol: name, updateSpeed: '100ms' });
const ticker = connection.ticker({ symbol: name });
const kline = connection.kline({ symbol: name, interval: '1s' });
const [trades, quotes, diffs, tickers, klines] = await Promise.all([
  collect(trade, 10),
  collect(quote, 10),
  collect(diff, 10),
  collect(ticker, 2),
  collect(kline, 2),
]);
const number = (value) => BigInt(value);
for (let i = 1; i < trades.length; i++) assert.equal(number(trades[i].t), number(trades[i - 1].t) + 1n);
for (let i = 1; i < quotes.length; i++) assert.ok(number(quotes[i].u) >= number(quotes[i - 1].u));
for (let i = 1; i < diffs.length; i++) assert.equal(number(diffs[i].U), number(diffs[i - 1].u) + 1n);
assert.equal(tickers[0].e, '24hrTicker');
assert.equal(klines[0].k.i, '1s');

trade.unsubscribe();
await connection.disconnect();
console.log(`@binance/spot: trades ${trades[0].t} to ${trades.at(-1).t}, depth to ${diffs.at(-1).u}`);
clearTimeout(deadline);
process.exit(0);
