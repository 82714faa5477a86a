// Other clients of npm, as they are installed, against a gateway: `others.mjs NAME HOST:PORT SYMBOL`, where NAME is
// binance, binance-api-node, node-binance-api, @binance/connector or ws. They are found in the folder of NODE_PACKAGES.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.env.NODE_PACKAGES ?? process.cwd(), 'package.json'));
const [name, address, symbol] = process.argv.slice(2);
const lower = symbol.toLowerCase();
const deadline = setTimeout(() => {
  console.error('nothing more comes of', [...wanted]);
  process.exit(1);
}, 120_000);

// What events are waited for, and who is told when all have come.
const wanted = new Set();
let allCame;
const allHaveCome = new Promise((resolve) => (allCame = resolve));
const expect = (...names) => names.forEach((one) => wanted.add(one));
const came = (one) => {
  wanted.delete(one);
  if (wanted.size === 0) allCame();
};

// tiagosiebler's: subscribes by messages to /stream, and gives a connection up that does not answer pings in time.
async function binance() {
  const { MainClient, WebsocketClient } = require('binance');
  const rest = new MainClient({ baseUrl: `http://${address}` });
  assert.equal((await rest.getExchangeInfo()).symbols[0].symbol, symbol);
  assert.equal((await rest.getOrderBook({ symbol, limit: 5 })).bids.length, 5);
  assert.equal((await rest.getKlines({ symbol, interval: '1s', limit: 3 })).length, 3);
  assert.ok(Number((await rest.get24hrChangeStatistics({ symbol })).lastPrice) > 0);
  const quiet = { trace() {}, info() {}, error: console.error };
  const streams = new WebsocketClient({ wsUrl: `ws://${address}`, beautify: true }, quiet);
  const events = ['trade', 'aggTrade', 'kline', 'depthUpdate', 'bookTicker', '24hrTicker', '24hrMiniTicker', 'avgPrice'];
  expect(...events, 'array', 'answer');
  streams.on('formattedMessage', (event) => came(Array.isArray(event) ? 'array' : event.eventType));
  streams.on('response', () => came('answer'));
  for (const bad of ['exception', 'error', 'close']) {
    streams.on(bad, (what) => assert.fail(`${bad}: ${JSON.stringify(what)}`));
  }
  const names = ['trade', 'aggTrade', 'kline_1s', 'depth@100ms', 'bookTicker', 'ticker', 'miniTicker', 'avgPrice'];
  await streams.subscribe([...names.map((one) => `${lower}@${one}`), '!miniTicker@arr'], 'main');
  await allHaveCome;
  // It pings every ten seconds.
  await new Promise((resolve) => setTimeout(resolve, 16_000));
}

// A connection for each stream, named in the URL.
async function binanceApiNode() {
  const client = require('binance-api-node').default({ httpBase: `http://${address}`, wsBase: `ws://${address}/ws` });
  assert.equal((await client.exchangeInfo()).symbols[0].symbol, symbol);
  assert.ok((await client.book({ symbol })).bids.length > 5);
  assert.ok((await client.candles({ symbol, interval: '1s' })).length > 2);
  assert.ok(Number((await client.dailyStats({ symbol })).lastPrice) > 0);
  await assert.rejects(client.book({ symbol: 'NOPE' }), { code: -1121 });
  const { ws } = client;
  expect('depth', 'partial', 'ticker', 'tickers', 'mini', 'minis', 'candle', 'trade', 'aggregate', 'best');
  ws.depth(symbol, () => came('depth'));
  ws.partialDepth({ symbol, level: 10 }, (book) => came(book.bids.length === 10 ? 'partial' : 'short'));
  ws.ticker(symbol, () => came('ticker'));
  ws.allTickers((all) => came(all.length > 0 ? 'tickers' : 'none'));
  ws.miniTicker(symbol, () => came('mini'));
  ws.allMiniTickers((all) => came(all.length > 0 ? 'minis' : 'none'));
  ws.candles(symbol, '1s', () => came('candle'));
  ws.trades([symbol], (trade) => came(trade.symbol === symbol ? 'trade' : 'another'));
  ws.aggTrades([symbol], () => came('aggregate'));
  ws.bookTicker(symbol, () => came('best'));
  await allHaveCome;
}

// Keeps books of its own: a snapshot, and the changes behind it.
async function nodeBinanceApi() {
  const Binance = require('node-binance-api');
  const urls = {
    base: `http://${address}/api/`,
    stream: `ws://${address}/ws/`,
    combineStream: `ws://${address}/stream?streams=`,
  };
  const client = new (Binance.default ?? Binance)({ urls, log() {} });
  assert.ok(Number((await client.prices())[symbol]) > 0);
  assert.ok((await client.depth(symbol)).lastUpdateId > 0);
  assert.equal((await client.candlesticks(symbol, '1s', { limit: 2 })).length, 2);
  const streams = client.websockets;
  expect('trade', 'best', 'mini', 'day', 'candle', 'book');
  streams.trades([symbol], () => came('trade'));
  streams.bookTickers(symbol, () => came('best'));
  streams.miniTicker(() => came('mini'));
  streams.prevDay(symbol, () => came('day'));
  streams.candlesticks([symbol], '1s', () => came('candle'));
  let books = 0;
  streams.depthCache([symbol, 'ETHUSDT'], (of, book, context) => {
    const best = (side, order) => Number(Object.keys(side).sort((a, b) => order * (a - b))[0]);
    assert.ok(best(book.bids, -1) < best(book.asks, 1), `${of} is crossed`);
    // It begins anew at a gap; then there is no context yet.
    books += context === undefined ? 0 : 1;
    if (books > 20) came('book');
  });
  await allHaveCome;
}

// The exchange's former client: streams in the URL, and more of them by messages.
async function binanceConnector() {
  const { Spot, WebsocketStream } = require('@binance/connector');
  const rest = new Spot('', '', { baseURL: `http://${address}` });
  const answer = async (promise) => (await promise).data;
  assert.equal((await answer(rest.exchangeInfo({ symbols: [symbol] }))).symbols[0].symbol, symbol);
  assert.equal((await answer(rest.depth(symbol, { limit: 5 }))).bids.length, 5);
  assert.equal((await answer(rest.klines(symbol, '1s', { limit: 3 }))).length, 3);
  assert.ok((await answer(rest.rollingWindowTicker(symbol))).count > 0);
  assert.equal((await answer(rest.tickerPrice('', [symbol])))[0].symbol, symbol);
  await assert.rejects(rest.depth('NOPE'), (error) => error.response.data.code === -1121);
  const streams = new WebsocketStream({
    logger: new console.Console({ stdout: process.stderr, stderr: process.stderr }),
    callbacks: {
      open: () => streams.subscribe([`${lower}@bookTicker`, `${lower}@depth20@100ms`]),
      message: (text) => came(JSON.parse(text).stream ?? 'answer'),
    },
    wsURL: `ws://${address}`,
    combinedStreams: true,
  });
  expect('answer', `${lower}@aggTrade`, `${lower}@bookTicker`, `${lower}@depth20@100ms`);
  streams.aggTrade(symbol);
  await allHaveCome;
}

// What hand-written clients of Node use. It offers compression.
async function plainWs() {
  const WebSocket = require('ws');
  const socket = new WebSocket(`ws://${address}/stream`, { perMessageDeflate: true });
  const streams = ['kline_1m@+08:00', 'kline_1s', 'avgPrice', 'depth10@100ms'].map((one) => `${lower}@${one}`);
  expect('pong', 'answer', ...streams);
  socket.on('error', assert.fail);
  socket.on('close', (code, reason) => assert.fail(`closed with ${code} ${reason}`));
  socket.on('pong', (payload) => came(payload.toString() === 'payload' ? 'pong' : 'another'));
  socket.on('open', () => {
    assert.equal(socket.extensions, '', 'compression is declined');
    socket.send(JSON.stringify({ method: 'SUBSCRIBE', params: streams, id: 'a text' }));
    socket.ping('payload');
  });
  socket.on('message', (data, isBinary) => {
    assert.equal(isBinary, false);
    const event = JSON.parse(data);
    if (event.stream === undefined) assert.deepEqual(event, { result: null, id: 'a text' });
    came(event.stream ?? 'answer');
  });
  await allHaveCome;
}

const clients = {
  binance,
  'binance-api-node': binanceApiNode,
  'node-binance-api': nodeBinanceApi,
  '@binance/connector': binanceConnector,
  ws: plainWs,
};
await clients[name]();
console.log(`${name}: all events came`);
clearTimeout(deadline);
process.exit(0);
