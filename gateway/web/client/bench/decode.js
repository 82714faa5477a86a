// Ticks decoded in a second, and bytes of garbage for each: `npm run bench -w client` prints a table.
//
// One thread, no network: messages as the gateway sends them, from memory into a handler, by way of everything that the
// client does to a tick (decoding, the account of numbers, statistics, dispatch). A second is one of the processor's, so that
// other programs count less. Garbage is how much the heap grows while the collector is kept from running: the young generation
// is larger than what a round makes, and a round in which it ran all the same is done again.

import { PerformanceObserver } from 'node:perf_hooks';

import { Client } from '../dist/index.js';

const SYMBOLS = 1_000;
const TICKS_PER_MESSAGE = 64;
const MESSAGES = 2_000;
const ROUNDS = 15;
const EPOCH = 7n;

let collections = 0;
new PerformanceObserver((list) => { collections += list.getEntries().length; }).observe({ entryTypes: ['gc'] });

/** A socket that the bench itself feeds. */
class Socket {
  static last;
  constructor(_, [protocol]) {
    this.protocol = protocol;
    Socket.last = this;
  }
  send() {}
  close() {}
}

function header(data, at, blockLength, template) {
  [blockLength, template, 7101, 1].forEach((value, i) => data.setUint16(at + 2 * i, value, true));
}

function definitions() {
  const data = new DataView(new ArrayBuffer(75 * SYMBOLS));
  for (let i = 0; i < SYMBOLS; i++) {
    const at = 75 * i;
    header(data, at, 67, 22);
    data.setBigUint64(at + 8, EPOCH, true);
    data.setUint32(at + 16, i, true);
    data.setUint32(at + 20, 0b11, true);
    data.setInt8(at + 40, -2);
    data.setInt8(at + 41, -5);
    Buffer.from(`S${i}USDT`).copy(Buffer.from(data.buffer), at + 43);
  }
  return data.buffer;
}

/** A message of quotes; the next has the next numbers. */
function quotes(message) {
  const data = new DataView(new ArrayBuffer(64 * TICKS_PER_MESSAGE));
  for (let i = 0; i < TICKS_PER_MESSAGE; i++) {
    const at = 64 * i;
    const tick = message * TICKS_PER_MESSAGE + i;
    header(data, at, 56, 2);
    data.setBigUint64(at + 8, 1_723_075_200_123_456_789n + BigInt(tick), true);
    data.setBigUint64(at + 16, BigInt(Math.floor(tick / SYMBOLS) + 1), true);
    data.setUint32(at + 24, tick % SYMBOLS, true);
    data.setUint32(at + 28, 8_250, true);
    data.setBigInt64(at + 32, 6_183_763n + BigInt(tick % 100), true);
    data.setBigInt64(at + 40, 378_826n, true);
    data.setBigInt64(at + 48, 6_183_764n + BigInt(tick % 100), true);
    data.setBigInt64(at + 56, 61_000n, true);
  }
  return data.buffer;
}

function jsonQuotes(message) {
  const events = Array.from({ length: TICKS_PER_MESSAGE }, (_, i) => {
    const tick = message * TICKS_PER_MESSAGE + i;
    return {
      e: 'quote', s: `S${tick % SYMBOLS}USDT`, seq: String(Math.floor(tick / SYMBOLS) + 1), ts: '1723075200123456789',
      delay: 8250, bid: `${61837 + tick % 100}.63`, bid_qty: '3.78826', ask: `${61837 + tick % 100}.64`, ask_qty: '0.61000',
    };
  });
  return JSON.stringify(events);
}

function jsonDefinitions() {
  return JSON.stringify(Array.from({ length: SYMBOLS }, (_, i) => ({
    e: 'definition', s: `S${i}USDT`, instrument: i, epoch: String(EPOCH), base: `S${i}`, price_exponent: -2,
    quantity_exponent: -5, tick_size: '0.01', lot_size: '0.00001', channels: ['trade', 'quote'],
  })));
}

/** A client that is connected to the bench. */
async function begin(encoding, handler) {
  const client = new Client('ws://bench/', { webSocket: Socket, encoding });
  await Promise.resolve();
  const socket = Socket.last;
  const feed = (data) => socket.onmessage({ data });
  socket.onopen();
  feed(JSON.stringify({ op: 'hello', version: 1, encoding, epoch: String(EPOCH), heartbeat_ms: 60_000, limits: {} }));
  await client.ready();
  client.on('quote', handler);
  feed(encoding === 'sbe' ? definitions() : jsonDefinitions());
  return { client, feed };
}

let sum = 0;
const bids = new Float64Array(SYMBOLS);
// What makes more garbage gets a part of the messages, so that a round fits into the young generation.
const CASES = {
  'SBE, numbers into typed arrays': ['sbe', (quote) => { bids[quote.instrument.id] = quote.bidPriceMantissa; sum += quote.seq; }, 1],
  'SBE, two prices as exact text': ['sbe', (quote) => { sum += quote.bidPrice.length + quote.askPrice.length; }, 4],
  'SBE, an owned object each': ['sbe', (quote) => { sum += quote.toObject().seq; }, 20],
  'JSON': ['json', (quote) => { sum += quote.seq; }, 20],
};

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

console.log('| case | million ticks per CPU second | bytes of garbage per tick |\n|---|---|---|');
for (const [name, [encoding, handler, part]] of Object.entries(CASES)) {
  const [rates, garbage] = [[], []];
  const count = MESSAGES / part;
  const messages = Array.from({ length: count }, (_, i) => (encoding === 'sbe' ? quotes(i) : jsonQuotes(i)));
  for (let round = 0; rates.length < ROUNDS; round++) {
    const { client, feed } = await begin(encoding, handler);
    globalThis.gc();
    await new Promise((done) => { setTimeout(done, 5); });
    const [before, seen] = [process.memoryUsage().heapUsed, collections];
    const since = process.cpuUsage();
    for (const message of messages) feed(message);
    const { user, system } = process.cpuUsage(since);
    const grown = process.memoryUsage().heapUsed - before;
    await new Promise((done) => { setTimeout(done, 5); });
    const ticks = count * TICKS_PER_MESSAGE;
    if (client.statistics.events !== ticks) throw new Error(`${client.statistics.events} of ${ticks} ticks came`);
    client.close();
    if (round > 200) throw new Error('the collector runs in every round: give it a larger young generation');
    // The first rounds are interpreted.
    if (round < 5 || collections !== seen) continue;
    rates.push(ticks / (user + system));
    garbage.push(grown / ticks);
  }
  console.log(`| ${name} | ${median(rates).toFixed(1)} | ${median(garbage).toFixed(0)} |`);
}
if (!Number.isFinite(sum)) throw new Error('unused');
