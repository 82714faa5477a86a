// The parts that need no gateway: decimals, pauses, books, ledgers, streams.

import { describe, expect, it } from 'vitest';

import { Backoff } from '../src/backoff.ts';
import { Book } from '../src/book.ts';
import { decimalToNumber, formatDecimal, parseDecimal } from '../src/decimal.ts';
import type { Depth, DepthSnapshot, Gap, GapReason, Status } from '../src/event.ts';
import { Instrument } from '../src/instrument.ts';
import { isExact, Ledger } from '../src/ledger.ts';
import { level } from '../src/levels.ts';
import { Tracks } from '../src/position.ts';
import { moreOf, Registry, subscribeText, terms } from '../src/registry.ts';
import { EventStream } from '../src/stream.ts';

const BTC = new Instrument({
  id: 0, symbol: 'BTCUSDT', base: 'BTC', priceExponent: -2, quantityExponent: 0, tickSize: 1, lotSize: 1, channels: ['depth'],
});

const fields = { symbol: 'BTCUSDT', instrument: BTC, tsEventNs: 0n, tsEventMs: 0, ringDelayNs: 0 };

function status(seq: number): Status {
  return { ...fields, type: 'status', channel: 'status', topic: 'BTCUSDT.status', seq, status: 'trading' };
}

function gap(channel: 'status' | 'depth', reason: GapReason, firstSeq: number, count: number): Gap {
  return { type: 'gap', topic: `BTCUSDT.${channel}`, symbol: 'BTCUSDT', channel, instrument: BTC, reason, firstSeq, count };
}

type Pairs = [number, number][];
const levels = (pairs: Pairs) => pairs.map(([price, quantity]) => level(BTC, price, quantity));

function snapshot(seq: number, part: 'first' | 'last' | 'whole', bids: Pairs, asks: Pairs): DepthSnapshot {
  return {
    ...fields, type: 'snapshot', channel: 'depth', topic: 'BTCUSDT.depth', seq, updateId: 0n,
    isFirst: part !== 'last', isLast: part !== 'first', bids: levels(bids), asks: levels(asks),
  };
}

function change(seq: number, bids: Pairs, replacesBook = false): Depth {
  return {
    ...fields, type: 'depth', channel: 'depth', topic: 'BTCUSDT.depth', seq, firstUpdateId: 0n, lastUpdateId: 0n,
    isMerged: false, replacesBook, bids: levels(bids), asks: [],
  };
}

describe('decimals', () => {
  it('are written and read exactly', () => {
    const cases: [number | bigint, number, string][] = [
      [6_183_763, -2, '61837.63'], [-5, -3, '-0.005'], [0, -2, '0.00'], [7, 0, '7'], [12, 2, '1200'], [0, 2, '0'],
      [9_007_199_254_740_993n, -18, '0.009007199254740993'], [-9_223_372_036_854_775_808n, 0, '-9223372036854775808'],
    ];
    for (const [mantissa, exponent, text] of cases) {
      expect(formatDecimal(mantissa, exponent)).toBe(text);
      expect(parseDecimal(text, exponent)).toBe(mantissa);
    }
    expect(parseDecimal('0.5', -3)).toBe(500);
    expect(parseDecimal('1.500', -1)).toBe(15);
    for (const bad of ['', '-', '.', '1.', '+1', '1e3', '1.23', ' 1']) expect(() => parseDecimal(bad, -1)).toThrow(RangeError);
    expect(decimalToNumber(25, -2)).toBe(0.25);
  });
});

describe('pauses', () => {
  it('grow to a bound and are a random part of it', () => {
    const policy = { minMs: 100, maxMs: 2_000, attempts: 8 };
    for (const random of [0, 0.5, 0.999]) {
      const backoff = new Backoff(policy, () => random);
      const pauses = Array.from({ length: 8 }, () => backoff.pause()!);
      expect(pauses).toEqual([100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000].map((bound) => bound * random));
      expect(backoff.pause()).toBeUndefined();
      backoff.reset();
      expect(backoff.pause()).toBe(100 * random);
    }
    expect(new Backoff('never').pause()).toBeUndefined();
  });
});

describe('a book', () => {
  it('follows snapshots and changes', () => {
    const book = new Book('BTCUSDT');
    expect(book.apply(change(4, [[100, 1]]))).toBe(false);
    expect(book.apply(snapshot(5, 'first', [[100, 1]], []))).toBe(false);
    expect(book.apply(snapshot(5, 'last', [], [[103, 1], [104, 2]]))).toBe(true);
    expect(book.apply(change(6, [[101, 2], [100, 0], [99, 3]]))).toBe(true);
    expect(book.levels('bid').map(({ price }) => price)).toEqual(['1.01', '0.99']);
    expect(book.levels('ask', 1)).toEqual([level(BTC, 103, 1)]);
    expect(book.apply(gap('depth', 'conflated', 7, 2))).toBe(false);
    expect(book.apply(change(9, [[102, 1]]))).toBe(true);
    expect(book.best('bid')?.price).toBe('1.02');
    expect(book.apply(change(20, [[90, 1]], true))).toBe(true);
    expect([book.size('bid'), book.size('ask'), book.seq]).toEqual([1, 0, 20]);
  });

  it('with a hole waits for a snapshot', () => {
    const book = new Book('BTCUSDT');
    expect(book.apply(snapshot(5, 'whole', [[100, 1]], []))).toBe(true);
    book.apply(gap('depth', 'lapped', 6, 1));
    expect(book.apply(change(7, [[101, 1]]))).toBe(false);
    expect(book.state).toBe('waiting');
    expect(book.apply(snapshot(8, 'whole', [[99, 1]], []))).toBe(true);
    expect(book.apply(change(10, [[101, 1]]))).toBe(false);
    expect(book.state).toBe('waiting');
  });
});

describe('the ledger', () => {
  it('counts what is delivered or announced once', () => {
    const ledger = new Ledger();
    ledger.enter({ type: 'connected', epoch: 1n, reconnects: 0 });
    for (const event of [
      status(5), status(6), gap('status', 'conflated', 7, 3), status(10), gap('status', 'lost', 11, 2), status(13),
    ]) ledger.enter(event);
    expect(ledger.total()).toEqual({ delivered: 4, conflated: 3, lost: 2, resets: 0, missing: 0, repeated: 0 });
    ledger.enter({ type: 'feed', tsNs: 0n, epoch: 2n, state: 'restarted' });
    ledger.enter(status(1));
    expect(ledger.account('BTCUSDT.status').delivered).toBe(5);
    expect(isExact(ledger.total())).toBe(true);
  });

  it('counts a broken rule', () => {
    const ledger = new Ledger();
    for (const seq of [1, 4, 4]) ledger.enter(status(seq));
    expect(ledger.total()).toMatchObject({ missing: 2, repeated: 1 });
    expect(isExact(ledger.total())).toBe(false);
  });
});

describe('a track', () => {
  const begin = () => {
    const tracks = new Tracks();
    tracks.enter(1n);
    const track = tracks.of('BTCUSDT');
    track.instrument = BTC;
    return { tracks, track };
  };

  it('lets each number pass once', () => {
    const { track } = begin();
    expect([track.accept(0, 5), track.accept(0, 5), track.accept(0, 4), track.accept(0, 6)]).toEqual([true, false, false, true]);
    expect(track.skipped(0, 7)).toBeUndefined();
    expect(track.skipped(0, 10)).toMatchObject({ reason: 'resume', firstSeq: 7, count: 3 });
    expect(track.accept(0, 10)).toBe(true);
    // What is announced again after terms have changed is cut down to what is new of it.
    expect(track.announced(0, 'conflated', 8, 2)).toBeUndefined();
    expect(track.announced(0, 'conflated', 8, 5)).toMatchObject({ firstSeq: 11, count: 2 });
    track.repeats = 1;
    expect([track.accept(0, 12), track.accept(0, 12)]).toEqual([true, false]);
  });

  it('does not resume half a book', () => {
    const { tracks, track } = begin();
    expect(track.acceptSnapshot(9, false)).toBe(true);
    expect(tracks.position(['BTCUSDT.depth'])).toBeUndefined();
    expect(track.acceptSnapshot(9, true)).toBe(true);
    expect(tracks.position(['BTCUSDT.depth'])).toEqual({ epoch: '1', topics: { 'BTCUSDT.depth': '9' } });
    track.announced(2, 'lost', 10, 4);
    expect(tracks.position(['*.depth'])).toBeUndefined();
    expect(track.acceptSnapshot(13, true)).toBe(true);
    expect(tracks.position(['*.depth'])?.topics).toEqual({ 'BTCUSDT.depth': '13' });
    expect(track.acceptSnapshot(13, true), 'others have it already').toBe(false);
  });

  it('takes no book once more of which nothing is missing', () => {
    const { tracks, track } = begin();
    track.acceptSnapshot(9, true);
    for (const seq of [10, 11, 12]) track.accept(2, seq);
    // The gateway goes back to 9, behind which it has a snapshot only.
    expect(track.announced(2, 'resume', 10, 2)).toBeUndefined();
    expect(track.acceptSnapshot(12, false)).toBe(false);
    expect(tracks.position(['BTCUSDT.depth'])?.topics).toEqual({ 'BTCUSDT.depth': '12' });
    expect(track.announced(2, 'resume', 10, 5)).toMatchObject({ firstSeq: 13, count: 2 });
    expect(track.acceptSnapshot(15, true)).toBe(true);
  });

  it('forgets numbers of another epoch', () => {
    const { tracks, track } = begin();
    track.accept(0, 5);
    tracks.enter(0n);
    expect(tracks.position(['BTCUSDT.trade'])?.topics).toEqual({ 'BTCUSDT.trade': '5' });
    tracks.enter(2n);
    expect(tracks.position(['BTCUSDT.trade'])).toBeUndefined();
    tracks.adopt({ epoch: '1', topics: { 'BTCUSDT.trade': '7' } }, ['*.trade']);
    expect(tracks.position(['BTCUSDT.trade'])).toBeUndefined();
    tracks.adopt({ epoch: '2', topics: { 'BTCUSDT.trade': '7', 'BTCUSDT.quote': '8' } }, ['*.trade']);
    expect(tracks.position(['*.trade', '*.quote'])?.topics).toEqual({ 'BTCUSDT.trade': '7' });
  });
});

describe('the registry', () => {
  it('subscribes everything again within the limits', () => {
    const registry = new Registry();
    for (let i = 0; i < 25; i++) registry.set(`S${i}.quote`, terms(i % 5 === 0 ? { maxRate: 1 } : {}));
    registry.delete('S1.quote');
    const commands = registry.commands(registry.topics(), 10, () => undefined);
    expect(commands.flatMap(({ topics }) => topics).length).toBe(24);
    expect(Math.max(...commands.map(({ topics }) => topics.length))).toBe(10);
    expect(commands.filter(({ terms }) => terms.maxRate === 1).flatMap(({ topics }) => topics).length).toBe(5);
    registry.rateMax = 2;
    expect(registry.changed().length).toBe(19);
    const [command] = registry.commands(['S2.quote'], 10, () => ({ epoch: '1', topics: { 'S2.quote': '3' } }));
    expect(JSON.parse(subscribeText(4, command!))).toEqual({
      op: 'subscribe', id: 4, topics: ['S2.quote'], mode: 'every', max_rate: 2, resume: { epoch: '1', topics: { 'S2.quote': '3' } },
    });
    expect(registry.changed()).not.toContain('S2.quote');
  });

  it('gives those who share a topic the most that one of them wants', () => {
    const slow = terms({ mode: 'conflate', maxRate: 1 });
    expect(moreOf(slow, terms({ mode: 'conflate', maxRate: 5 }))).toMatchObject({ mode: 'conflate', maxRate: 5 });
    expect(moreOf(slow, terms({}))).toMatchObject({ mode: 'every', maxRate: undefined });
  });
});

describe('a stream', () => {
  it('keeps a bound and says what it has dropped', async () => {
    let released = 0;
    const stream = new EventStream({ queue: 3 }, () => { released += 1; });
    for (const event of [status(1), gap('status', 'conflated', 2, 2), status(4), status(5), status(6)]) stream.push(event);
    const seen = [];
    for (let i = 0; i < 4; i++) seen.push((await stream.next()).value);
    expect(seen).toEqual([gap('status', 'overflow', 1, 3), status(4), status(5), status(6)]);
    const later = stream.next();
    stream.push(status(7));
    expect((await later).value).toEqual(status(7));
    stream.end(undefined);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(released).toBe(1);
  });

  it('delivers what waits before it throws', async () => {
    const stream = new EventStream({}, () => {});
    stream.push(status(1));
    stream.end(new Error('over'));
    expect((await stream.next()).value).toEqual(status(1));
    await expect(stream.next()).rejects.toThrow('over');
  });
});
