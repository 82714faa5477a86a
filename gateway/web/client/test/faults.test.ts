// The client in a bad world: connections cut, stalled, delayed, and a gateway that is killed. No trade is lost or comes
// twice, and what gaps announce adds up.

import { expect, it } from 'vitest';

import type { Client } from '../src/client.ts';
import { Book } from '../src/book.ts';
import { open, Witness } from './support/client.ts';
import { feed, Gateway, sleep, until } from './support/process.ts';
import { Proxy } from './support/proxy.ts';

const MARKET = ['--symbols', '4', '--seed', '21', '--rate', '2000', '--ring-capacity', '65536'];

/** Waits for so many more trades. */
async function more(witness: Witness, count: number): Promise<void> {
  const goal = witness.trades.length + count;
  await until(`${count} more trades`, () => witness.trades.length >= goal);
}

/** Counts why connections were lost. */
function losses(client: Client): string[] {
  const kinds: string[] = [];
  client.on('disconnected', ({ reason }) => kinds.push(reason.kind));
  return kinds;
}

/** No trade is lost: none twice, none missing, and no gap stands for one. */
function expectAll(witness: Witness): void {
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
  expect(witness.gaps.filter((gap) => gap.includes('.trade'))).toEqual([]);
}

it('survives cuts, with every trade once', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '4', '--rate', '5000']);
  const proxy = await Proxy.before(gateway.port);
  const client = open(proxy.url);
  const [witness, kinds] = [new Witness(client), losses(client)];
  await client.subscribe(['*.trade', 'BTCUSDT.quote']);
  await client.subscribe('BTCUSDT.depth', { mode: 'conflate', maxRate: 20 });
  for (let round = 0; round < 5; round++) {
    await more(witness, 40);
    proxy.cut();
    // What was under way still arrives.
    await until('the loss', () => kinds.length > round);
  }
  await more(witness, 40);
  expectAll(witness);
  expect(kinds).toEqual(Array.from({ length: 5 }, () => 'broken'));
  expect(client.statistics.reconnects).toBe(5);
});

it('notices a dead peer by its silence', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '4', '--rate', '2000', '--heartbeat', '300ms']);
  const proxy = await Proxy.before(gateway.port);
  const client = open(proxy.url, { connectTimeoutMs: 2_000 });
  const [witness, kinds] = [new Witness(client), losses(client)];
  // Six tenths of a second that a busy machine takes are silence, too: not a command, which an end would interrupt.
  client.watch('*.trade', () => {});
  await more(witness, 50);
  const before = kinds.length;
  proxy.stall();
  await until('the loss', () => kinds.length > before || client.state !== 'connected');
  await sleep(500);
  proxy.heal();
  await more(witness, 50);
  expectAll(witness);
  expect(new Set(kinds)).toEqual(new Set(['silent']));
});

it('takes heartbeats for life', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '1', '--heartbeat', '200ms']);
  const client = open(gateway.url);
  let heartbeats = 0;
  client.on('heartbeat', () => { heartbeats += 1; });
  // Two of them are the longest silence. One that a busy machine makes longer ends a connection; without heartbeats all would end.
  client.on('disconnected', () => { heartbeats = 0; });
  await until('heartbeats on one connection', () => heartbeats >= 8);
});

it('waits out a network that is gone, and is quick when it is back', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '4', '--rate', '2000']);
  const proxy = await Proxy.before(gateway.port);
  const client = open(proxy.url);
  const witness = new Witness(client);
  let attempts = 0;
  client.on('attemptFailed', ({ reason }) => {
    expect(reason.kind).toBe('failed');
    attempts += 1;
  });
  await client.subscribe('*.trade');
  await more(witness, 50);
  proxy.refuse();
  proxy.cut();
  await until('attempts', () => attempts >= 4);
  expect(client.state === 'waiting' || client.state === 'connecting').toBe(true);
  // What is asked meanwhile is answered afterwards.
  const asked = client.subscribe('BTCUSDT.quote');
  proxy.heal();
  expect((await asked)[0]!.ok).toBe(true);
  await more(witness, 50);
  expectAll(witness);
});

it('keeps order and account through a slow network', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '4', '--rate', '5000']);
  const proxy = await Proxy.before(gateway.port);
  proxy.delay(150);
  const client = open(proxy.url);
  const witness = new Witness(client);
  await client.subscribe(['*.trade', '*.quote']);
  expect(await client.ping()).toBeGreaterThan(100);
  for (let round = 0; round < 3; round++) {
    await more(witness, 60);
    proxy.cut();
  }
  await more(witness, 60);
  expectAll(witness);
});

it.each(['sbe', 'json'] as const)('goes on in %s when the gateway is killed, without a lost or doubled trade', async (encoding) => {
  const source = await feed(MARKET);
  let gateway = await Gateway.start(['--source', source]);
  const client = open(gateway.url, { encoding });
  const witness = new Witness(client);
  const book = new Book('BTCUSDT');
  client.on('event', (event) => { book.apply(event); });
  const watched: number[] = [];
  client.watch('BTCUSDT.trade', (event) => { if (event.type === 'trade') watched.push(event.seq); });
  client.watch(['ETHUSDT.trade', 'SOLUSDT.trade', 'BTCUSDT.quote', 'BTCUSDT.depth'], () => {});
  for (let round = 0; round < 2; round++) {
    await more(witness, 100);
    await gateway.process.kill();
    gateway = await Gateway.start(['--source', source], gateway.port);
  }
  await more(witness, 100);
  // The ring still had every trade of the outages.
  expectAll(witness);
  expect(client.statistics.resets).toBe(0);
  expect(watched).toEqual(watched.map((_, i) => watched[0]! + i));
  await until('a book', () => book.state === 'ready');
  expect(book.best('bid')!.priceMantissa < book.best('ask')!.priceMantissa).toBe(true);
  expect(client.epoch).not.toBe(0n);
});

it('counts what is really gone', async () => {
  // A log of the least size keeps hardly anything of what happens during an outage.
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '4', '--rate', '30000', '--log-entries', '1024']);
  const proxy = await Proxy.before(gateway.port);
  const client = open(proxy.url);
  const witness = new Witness(client);
  // The first and the last number of each topic that anything was said of.
  const spans = new Map<string, [number, number]>();
  const say = (topic: string, first: number, last: number) => spans.set(topic, [spans.get(topic)?.[0] ?? first, last]);
  client.on('trade', ({ topic, seq }) => say(topic, seq, seq));
  client.on('gap', ({ topic, firstSeq, count }) => say(topic, firstSeq, firstSeq + count - 1));
  await client.subscribe('*.trade');
  await more(witness, 100);
  proxy.refuse();
  proxy.cut();
  await sleep(1_000);
  proxy.heal();
  await until('a gap', () => witness.gaps.length > 0);
  await more(witness, 100);
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
  const { delivered, lost } = witness.ledger.total();
  expect(lost).toBeGreaterThan(0);
  expect(lost).toBe(client.statistics.lost);
  // Numbers have no holes: what was delivered and what was lost are all there were.
  const span = [...spans.values()].map(([first, last]) => last - first + 1).reduce((a, b) => a + b);
  expect(delivered + lost).toBe(span);
});

it('follows a feed that begins anew', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '2', '--rate', '2000']);
  const client = open(gateway.url);
  const witness = new Witness(client);
  const epochs = new Set<bigint>();
  // A gateway that has only begun has no epoch yet when it greets, and says later which it has.
  const note = ({ epoch }: { epoch: bigint }) => { if (epoch !== 0n) epochs.add(epoch); };
  client.on('connected', note);
  client.on('feed', note);
  client.watch(['*.trade', 'BTCUSDT.quote'], () => {});
  await more(witness, 50);
  // The embedded simulator's epoch goes with its gateway.
  await gateway.process.kill();
  await Gateway.start(['--source', 'sim', '--symbols', '2', '--rate', '2000'], gateway.port);
  const before = witness.trades.length;
  await until('trades of the new epoch', () => witness.trades.length > before + 50);
  expect(epochs.size).toBe(2);
  expect(client.statistics.resets).toBeGreaterThan(0);
  expect(witness.refused).toEqual([]);
  expect(witness.ledger.total()).toMatchObject({ missing: 0, repeated: 0 });
});

it('does as close codes say', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '1', '--drain-window', '0ms']);
  const client = open(gateway.url, { reconnect: 'never' });
  await client.subscribe('*.quote');
  const ended = new Promise<unknown>((done) => { client.on('ended', ({ reason }) => done(reason)); });
  gateway.process.signal('SIGTERM');
  expect(await ended).toMatchObject({ kind: 'lost', cause: { kind: 'closed', code: 4001, isRetriable: true } });
  expect(client.state).toBe('ended');
});
