// Watches, kept books, streams and observables against the real gateway: shared, and ended with the last who wants them.

import { firstValueFrom, take, toArray } from 'rxjs';
import { expect, it } from 'vitest';

import type { Book } from '../src/book.ts';
import type { Quote } from '../src/event.ts';
import { streams } from '../src/rxjs.ts';
import { open, Witness } from './support/client.ts';
import { Gateway, until } from './support/process.ts';

const SIM = ['--source', 'sim', '--symbols', '4', '--rate', '3000'];

it('share one subscription, on the terms of who wants most', async () => {
  const gateway = await Gateway.start(SIM);
  const client = open(gateway.url);
  const first: number[] = [];
  const a = client.watch('BTCUSDT.quote', (event) => { if (event.type === 'quote') first.push(event.seq); }, {
    mode: 'conflate', maxRate: 5,
  });
  await a.ready;
  expect(await client.list()).toMatchObject([{ topic: 'BTCUSDT.quote', mode: 'conflate', maxRate: 5 }]);
  let b = 0;
  const second = client.watch(['BTCUSDT.quote', 'ETHUSDT.trade'], () => { b += 1; });
  await second.ready;
  const listed = async () => (await client.list()).map(({ topic, mode, maxRate }) => [topic, mode, maxRate].join(' ')).sort();
  await until('the terms of who wants more', async () => (await listed())[0] === 'BTCUSDT.quote every ');
  expect(await listed()).toEqual(['BTCUSDT.quote every ', 'ETHUSDT.trade every ']);
  await until('events of both', () => b > 10 && first.length > 10);
  second.close();
  await until('terms of who is left', async () => (await listed()).join() === 'BTCUSDT.quote conflate 5');
  a.close();
  await until('the end of the subscription', async () => (await listed()).length === 0);
  expect(first).toEqual([...new Set(first)].sort((x, y) => x - y));
});

it('give who comes later the present state, and nobody else', async () => {
  // Quotes come so seldom that what is seen at once is the state.
  const gateway = await Gateway.start(['--source', 'pulse', '--symbols', '1', '--rate', '1']);
  const client = open(gateway.url);
  const witness = new Witness(client);
  const quotes: Quote[][] = [[], []];
  const keep = (i: number) => (event: Quote | { type: 'gap' }) => {
    if (event.type === 'quote') quotes[i]!.push({ ...event, seq: event.seq });
  };
  const [symbol] = await until('a quote', async () => {
    const client = open(gateway.url);
    const stream = client.stream('*.quote');
    const { value } = await stream.next();
    await stream.return();
    client.close();
    return value === undefined ? undefined : [value.symbol];
  });
  client.watch(`${symbol}.quote`, keep(0));
  await until('the state', () => quotes[0]!.length > 0);
  client.watch(`${symbol}.quote`, keep(1));
  await until('the state once more', () => quotes[1]!.length > 0);
  await until('another quote', () => quotes.every((seen) => seen.length > 1));
  for (const seen of quotes) expect(new Set(seen.map(({ seq }) => seq)).size).toBe(seen.length);
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
});

it('begin anew with the present state when all had left, however quickly', async () => {
  const gateway = await Gateway.start(['--source', 'pulse', '--symbols', '1', '--rate', '2']);
  const client = open(gateway.url);
  const witness = new Witness(client);
  const stream = client.stream('*.quote');
  const { value } = await stream.next();
  const topic = `${value!.symbol}.quote`;
  const first = () => new Promise<number>((done) => {
    const watch = client.watch(topic, (event) => {
      if (event.type === 'gap') return;
      watch.close();
      done((event as Quote).seq);
    });
  });
  // First with a wildcard beside it, then without.
  for (let turn = 0; turn < 2; turn++) {
    const seqs = [];
    for (let i = 0; i < 20; i++) seqs.push(await first());
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(new Set(seqs).size, 'most of them the same quote').toBeLessThan(seqs.length);
    await stream.return();
  }
  expect(witness.gaps, 'nobody was there who could have missed it').toEqual([]);
  expect(client.statistics.lost).toBe(0);
});

it('give who comes later to a wildcard the state of every instrument', async () => {
  const gateway = await Gateway.start(['--source', 'pulse', '--symbols', '50', '--rate', '50']);
  const client = open(gateway.url);
  const witness = new Witness(client);
  const last = new Map<string, number>();
  client.watch('*.quote', (event) => { if (event.type === 'quote') last.set(event.symbol, event.seq); });
  await until('all instruments', () => last.size === 50);
  await until('what the first watcher had got already to come once more', async () => {
    const atJoin = new Map(last);
    const numbers = new Map<string, number[]>();
    const watch = client.watch('*.quote', (event) => {
      if (event.type === 'quote') numbers.set(event.symbol, [...(numbers.get(event.symbol) ?? []), event.seq]);
    });
    await until('all instruments again', () => numbers.size === 50);
    watch.close();
    for (const seqs of numbers.values()) expect(seqs).toEqual(seqs.map((_, i) => seqs[0]! + i));
    // Who is answered after a second finds that all have moved on.
    return [...numbers].some(([symbol, [first]]) => first === atJoin.get(symbol));
  });
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
});

it('keep one book for all, which is right', async () => {
  const gateway = await Gateway.start(SIM);
  const client = open(gateway.url);
  const seen = new Set<Book>();
  const first = client.watchBook('BTCUSDT', (book) => { seen.add(book); });
  await until('a book', () => [...seen].some(({ state }) => state === 'ready'));
  let calls = 0;
  const second = client.watchBook('BTCUSDT', (book) => {
    calls += 1;
    seen.add(book);
  });
  expect(calls, 'who comes later is called at once').toBe(1);
  expect(seen.size).toBe(1);
  const [book] = seen;
  first.close();
  await until('more of it', () => calls > 20);
  expect(book!.best('bid')!.priceMantissa < book!.best('ask')!.priceMantissa).toBe(true);
  second.close();
  await until('the end of the subscription', async () => (await client.list()).length === 0);
});

it('say when a topic is refused for good', async () => {
  const gateway = await Gateway.start(SIM);
  const client = open(gateway.url);
  const refused: string[] = [];
  client.on('refused', ({ topic, reason }) => refused.push(`${topic} ${reason.codeName}`));
  await expect(client.watch('NOSUCH.quote', () => {}).ready).rejects.toMatchObject({ codeName: 'unknown_instrument' });
  expect(refused).toEqual(['NOSUCH.quote unknown_instrument']);
  await expect(client.stream('NOSUCH.trade').next()).rejects.toMatchObject({ codeName: 'unknown_instrument' });
  await expect(firstValueFrom(streams(client).quotes$('NOSUCH'))).rejects.toMatchObject({ codeName: 'unknown_instrument' });
  expect(() => client.watch('nonsense', () => {})).toThrow(TypeError);
});

it('end a stream with its loop', async () => {
  const gateway = await Gateway.start(SIM);
  const client = open(gateway.url);
  const seen: string[] = [];
  for await (const event of client.stream(['BTCUSDT.trade', 'BTCUSDT.quote'])) {
    if (event.type === 'gap') continue;
    seen.push(event.type === 'trade' ? event.price : event.bidPrice);
    if (seen.length === 50) break;
  }
  expect(seen.every((price) => /^\d+\.\d\d$/.test(price))).toBe(true);
  await until('the end of the subscription', async () => (await client.list()).length === 0);
  const over = client.stream('*.trade');
  client.close();
  for await (const _ of over) { /* What waits is delivered. */ }
});

it('end an observable with its last subscriber', async () => {
  const gateway = await Gateway.start(SIM);
  const client = open(gateway.url);
  const { quotes$, trades$, books$, gaps$, state$ } = streams(client);
  const quotes = quotes$('BTCUSDT');
  const [one, two] = await Promise.all([
    firstValueFrom(quotes.pipe(take(20), toArray())), firstValueFrom(quotes.pipe(take(10), toArray())),
  ]);
  // Owned: they differ, though views would be the same.
  expect(new Set(one.map(({ seq }) => seq)).size).toBe(20);
  expect(two.length).toBe(10);
  await until('the end of the subscription', async () => (await client.list()).length === 0);
  const held = trades$('*').subscribe();
  const book = await firstValueFrom(books$('ETHUSDT'));
  expect(book.symbol).toBe('ETHUSDT');
  await until('one subscription', async () => (await client.list()).map(({ topic }) => topic).join() === '*.trade');
  held.unsubscribe();
  const states: string[] = [];
  state$().subscribe((state) => states.push(state));
  const over: string[] = [];
  books$('BTCUSDT').subscribe({ complete: () => over.push('books$') });
  quotes.subscribe({ complete: () => over.push('quotes$') });
  gaps$().subscribe({ complete: () => over.push('gaps$') });
  client.close();
  expect(states).toEqual(['connected', 'ended']);
  expect(over).toEqual(['books$', 'quotes$', 'gaps$']);
});
