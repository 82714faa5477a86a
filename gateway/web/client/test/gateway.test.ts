// The client against the real gateway: order, acks, errors in types, books, both encodings.

import { createServer } from 'node:http';
import { resolve } from 'node:path';
import WebSocket, { WebSocketServer } from 'ws';
import { expect, it, onTestFinished } from 'vitest';

import { Book } from '../src/book.ts';
import { Client } from '../src/client.ts';
import { CommandError, ConnectError, EndedError, LostError, RefusedError } from '../src/error.ts';
import { owned, type Depth, type Trade } from '../src/event.ts';
import { isExact } from '../src/ledger.ts';
import { open, Witness } from './support/client.ts';
import { run } from './support/command.ts';
import { Gateway, sleep, until } from './support/process.ts';

it('delivers quotes in order and exactly accounted', async () => {
  const gateway = await Gateway.start(['--source', 'pulse', '--symbols', '10', '--rate', '1000']);
  const client = await Client.connect(gateway.url, { webSocket: WebSocket });
  onTestFinished(() => client.close());
  const witness = new Witness(client);
  let messages = 0;
  client.onMessage(() => { messages += 1; });
  expect(await client.subscribe('*.quote')).toEqual([{ topic: '*.quote', ok: true }]);
  await until('2,000 quotes', () => witness.ledger.total().delivered >= 2_000);
  // Commands are answered while events arrive.
  expect(await client.ping()).toBeGreaterThan(0);
  expect(await client.list()).toEqual([{ topic: '*.quote', mode: 'every' }]);
  expect(Object.keys(client.position().topics).length).toBe(10);
  expect(client.instruments().length).toBe(10);
  await client.unsubscribe('*.quote');
  expect(await client.list()).toEqual([]);
  expect(client.position().topics).toEqual({});
  const { delivered } = witness.ledger.total();
  await sleep(300);
  expect(witness.ledger.total().delivered).toBe(delivered);
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
  expect(client.statistics.messages).toBeGreaterThanOrEqual(messages);
  expect(client.statistics.events).toBe(delivered);
});

it('says what is wrong in types', async () => {
  const gateway = await Gateway.start(['--source', 'pulse', '--symbols', '2', '--rate', '100']);
  const client = open(gateway.url);
  const results = await until('what the feed has', async () => {
    const results = await client.subscribe(['NOSUCH.trade', 'nosuch', '*.quote']);
    // A feed that has only begun to say what it has may yet define it.
    return results.every(({ refusal }) => refusal?.codeName !== 'unavailable') && results;
  });
  expect(results.map(({ ok, refusal }) => [ok, refusal?.codeName])).toEqual([
    [false, 'unknown_instrument'], [false, 'bad_topic'], [true, undefined],
  ]);
  const tooMany = Array.from({ length: 1_001 }, (_, i) => `S${i}.quote`);
  await expect(client.subscribe(tooMany)).rejects.toMatchObject({ constructor: RefusedError, codeName: 'too_many_topics' });
  await expect(client.auth('x')).rejects.toMatchObject({ constructor: RefusedError, codeName: 'not_entitled' });
  await expect(client.publish([{ topic: 'C0.trade', price: '1', quantity: '1', side: 'buy' }]))
    .rejects.toMatchObject({ constructor: RefusedError, codeName: 'not_entitled' });

  const connect = (url: string, more = {}) => Client.connect(url, { webSocket: WebSocket, ...more });
  await expect(connect('ftp://nowhere')).rejects.toMatchObject({ constructor: ConnectError, kind: 'url', isRetriable: false });
  await expect(connect('ws://127.0.0.1:1')).rejects.toMatchObject({ kind: 'failed', isRetriable: true });
  await expect(connect(`ws://127.0.0.1:${gateway.port}/nowhere`)).rejects.toMatchObject({ kind: 'failed' });
  if (globalThis.WebSocket === undefined) {
    await expect(Client.connect(gateway.url)).rejects.toMatchObject({ kind: 'unsupported', isRetriable: false });
  }

  client.close();
  await expect(client.ping()).rejects.toMatchObject({ constructor: CommandError, kind: 'ended' });
  expect(() => client.watch('*.trade', () => {})).toThrow(EndedError);
  expect(client.state).toBe('ended');
});

it('takes no other server for a gateway', async () => {
  const http = createServer();
  const server = new WebSocketServer({ server: http, handleProtocols: () => 'tickcast.v1.sbe' });
  let greeting = 'hello';
  let code: number | undefined;
  server.on('connection', (socket) => {
    if (code === undefined) socket.send(greeting);
    else socket.close(code, 'why not');
  });
  await new Promise<void>((done) => { http.listen(0, '127.0.0.1', done); });
  onTestFinished(() => { http.close(); server.close(); });
  const url = `ws://127.0.0.1:${(http.address() as { port: number }).port}/`;
  const attempt = (more = {}) => Client.connect(url, { webSocket: WebSocket, ...more });
  await expect(attempt()).rejects.toMatchObject({ kind: 'protocol' });
  greeting = '{"op":"hello","version":2,"epoch":"0","heartbeat_ms":5000,"limits":{}}';
  await expect(attempt()).rejects.toMatchObject({ kind: 'protocol', message: 'the server speaks another version' });
  await expect(attempt({ encoding: 'json' })).rejects.toMatchObject({ kind: 'failed' });
  code = 4502;
  await expect(attempt()).rejects.toMatchObject({ kind: 'closed', isRetriable: false, cause: { constructor: LostError, code } });
  code = 4003;
  await expect(attempt()).rejects.toMatchObject({ kind: 'closed', isRetriable: true });
});

it('waits for a gateway that is behind what another has delivered', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'tickcast.v1.json' });
  onTestFinished(() => { server.close(); });
  const resumes: unknown[] = [];
  let connections = 0;
  const status = (seq: number) => (
    `{"e":"status","s":"BTC","seq":"${seq}","ts":"1723075200123456789","delay":8250,"status":"halted"}`
  );
  server.on('connection', (socket) => {
    connections += 1;
    socket.send('{"op":"hello","version":1,"encoding":"json","epoch":"7","heartbeat_ms":60000,"limits":{}}');
    socket.on('message', (data: Buffer) => {
      const { id, resume } = JSON.parse(data.toString()) as { id: number; resume?: { topics: object } };
      resumes.push(resume?.topics);
      // First it has more than it will have after its fall, then it is behind for ever.
      const isAhead = connections > 1 && resume !== undefined;
      const result = isAhead ? { ok: false, code: 25, name: 'resume_ahead', msg: 'the newest is 4' } : { ok: true, seq: '4' };
      socket.send(JSON.stringify({ op: 'ack', id, results: [{ topic: 'BTC.status', ...result }] }));
      if (isAhead) return;
      socket.send(`[{"e":"definition","s":"BTC","instrument":0,"epoch":"7","base":"BTC","price_exponent":-2,"quantity_exponent":-5,`
        + '"tick_size":"0.01","lot_size":"0.00001","channels":["status"]}]');
      const numbers = connections > 1 ? [4, 5, 9] : [4, 5];
      socket.send(`[${numbers.map(status).join()}]`);
      if (connections === 1) setTimeout(() => socket.terminate(), 20);
    });
  });
  await new Promise((done) => { server.once('listening', done); });
  const client = open(`ws://127.0.0.1:${(server.address() as { port: number }).port}/`, { encoding: 'json' });
  const seen: string[] = [];
  client.on('status', ({ seq }) => seen.push(`${seq}`));
  client.on('gap', ({ reason, firstSeq, count }) => seen.push(`${reason} ${firstSeq} ${count}`));
  client.watch('BTC.status', () => {});
  await until('what is new', () => seen.includes('9'));
  expect(seen, 'nothing twice, and what is missing is announced').toEqual(['4', '5', 'resume 6 3', '9']);
  expect(resumes).toEqual([undefined, ...Array.from({ length: 5 }, () => ({ 'BTC.status': '5' })), undefined]);
});

it('keeps a book that is right whenever it can be used', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '3', '--rate', '5000']);
  const client = open(gateway.url);
  const book = new Book('BTCUSDT');
  let [changes, compared, crossed] = [0, 0, 0];
  client.on('event', (event) => {
    if (book.apply(event)) {
      changes += 1;
      if (book.priceMantissa('bid', 0) >= book.priceMantissa('ask', 0)) crossed += 1;
    }
    // The gateway's own partial book of the same number must be the same.
    if (event.type === 'partialDepth' && event.seq === book.seq) {
      expect(book.levels('bid', 5)).toEqual([...event.bids]);
      expect(book.levels('ask', 5)).toEqual([...event.asks]);
      compared += 1;
    }
  });
  await client.subscribe(['BTCUSDT.depth', 'BTCUSDT.depth5']);
  await until('books to compare', () => changes >= 200 && compared >= 50);
  expect(crossed).toBe(0);
});

it('says the same in JSON', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '3', '--rate', '3000', '--seed', '5']);
  const kept = [new Map<string, unknown>(), new Map<string, unknown>()];
  const clients = [open(gateway.url), open(gateway.url, { encoding: 'json' })];
  const topics = ['trade', 'quote', 'depth', 'depth5', 'ticker', 'bar_1s', 'status'].map((channel) => `BTCUSDT.${channel}`);
  const witnesses = clients.map((client, i) => {
    client.on('event', (event) => {
      if ('seq' in event) kept[i]!.set(`${event.type} ${event.topic} ${event.seq} ${'isFirst' in event}`, owned(event));
    });
    return new Witness(client);
  });
  for (const client of clients) await client.subscribe(topics);
  // A snapshot has as many parts as fit into a message, which is another number in each encoding. Changes are merged for who is
  // behind, which each is at times of its own.
  const isAlike = (event: unknown) => (event as Trade).type as string !== 'snapshot' && !(event as Depth).isMerged;
  const common = () => [...kept[0]!].filter(([key, event]) => kept[1]!.has(key) && isAlike(event) && isAlike(kept[1]!.get(key)));
  await until('events of both', () => {
    const types = new Set(common().map(([, event]) => (event as Trade).type as string));
    return common().length > 500 && ['trade', 'quote', 'depth', 'partialDepth'].every((type) => types.has(type));
  });
  for (const client of clients) client.close();
  for (const [key, event] of common()) expect(kept[1]!.get(key)).toEqual(event);
  for (const witness of witnesses) expect(isExact(witness.ledger.total())).toBe(true);
});

it('changes terms without losing or doubling a trade', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '4', '--rate', '20000']);
  const client = open(gateway.url);
  const witness = new Witness(client);
  const book = new Book('BTCUSDT');
  client.on('event', (event) => { book.apply(event); });
  await client.subscribe(['*.trade', '*.quote', 'BTCUSDT.depth']);
  // Half a book would have to begin anew.
  await until('a whole book', () => book.state === 'ready');
  // Ten times, and until something was under way when the terms changed.
  for (let round = 0; round < 10 || (client.statistics.repeats === 0 && round < 500); round++) {
    await sleep(60);
    const terms = round % 2 === 0 ? { maxRate: 5, mode: 'conflate' as const } : {};
    await client.subscribe(['*.trade', '*.quote', 'BTCUSDT.depth'], terms);
  }
  await until('trades', () => witness.trades.length > 500);
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
  // A book may come anew: many changes are more than a snapshot.
  expect(witness.gaps.filter((gap) => gap.includes('.trade'))).toEqual([]);
  await until('a whole book', () => book.state === 'ready');
  expect(client.statistics.repeats, 'the gateway went back to what was received last').toBeGreaterThan(0);
});

it('begins behind a stored position', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '4', '--rate', '5000']);
  const first = open(gateway.url);
  const before = new Witness(first);
  await first.subscribe('*.trade');
  await until('trades', () => before.trades.length > 100);
  const position = JSON.parse(JSON.stringify(first.position())) as ReturnType<Client['position']>;
  const seen = before.trades.slice();
  first.close();
  await sleep(200);
  const second = open(gateway.url);
  const after = new Witness(second);
  await second.subscribe('*.trade', { resume: position });
  await until('trades', () => after.trades.length > 100);
  for (const symbol of ['BTCUSDT', 'ETHUSDT']) {
    const numbers = [...seen, ...after.trades].filter((trade) => trade.startsWith(symbol)).map((trade) => Number(trade.split(' ')[1]));
    expect(numbers).toEqual(numbers.map((_, i) => numbers[0]! + i));
  }
  expect(after.gaps).toEqual([]);
});

it("runs on Node's own WebSocket", async () => {
  const gateway = await Gateway.start(['--source', 'pulse', '--symbols', '2', '--rate', '100']);
  const script = `
    import { Client } from '@tickcast/client';
    const client = await Client.connect(process.argv.at(-1));
    const { value } = await client.stream('*.quote').next();
    console.log(value.type, value.seq > 0, Math.abs(Date.now() - value.tsEventMs) < 60_000);
    client.close();
  `;
  // Global from version 22 on; in 20 it has to be asked for.
  const args = ['--experimental-websocket', '--input-type=module', '--eval', script, gateway.url];
  expect(await run(process.execPath, args, resolve(import.meta.dirname, '..'))).toBe('quote true true\n');
});
