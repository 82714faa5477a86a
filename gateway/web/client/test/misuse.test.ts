// What a front-end team gets wrong in its first hour, and what it is told: at once, and what was expected instead.

import WebSocket from 'ws';
import { afterEach, expect, it, vi } from 'vitest';

import { Client } from '../src/client.ts';
import { CommandError, ConnectError, RefusedError } from '../src/error.ts';
import type { TradeDraft } from '../src/publish.ts';
import { open } from './support/client.ts';
import { Gateway, sleep, until } from './support/process.ts';
import { Proxy } from './support/proxy.ts';

afterEach(() => { vi.restoreAllMocks(); });

const client = (options: object = {}, url = 'ws://127.0.0.1:1/v1/stream') => new Client(url, { webSocket: WebSocket, reconnect: 'never', ...options });

it('throws at once what cannot be meant', async () => {
  expect(() => client({}, 'ftp://nowhere')).toThrow(ConnectError);
  expect(() => client({}, 'localhost:9443')).toThrow('localhost:9443: expected ws://HOST:PORT/v1/stream or wss://HOST:PORT/v1/stream');
  const cases: [object, string][] = [
    [{ encoding: 'xml' }, "encoding: expected 'sbe' or 'json', found 'xml'"],
    [{ reconnect: { minMs: -1 } }, 'reconnect.minMs: expected a number of 0 or more, found -1'],
    [{ reconnect: { maxMs: NaN } }, 'reconnect.maxMs: expected a number of 0 or more, found NaN'],
    [{ connectTimeoutMs: '10s' }, "connectTimeoutMs: expected a number of 1 or more, found '10s'"],
    [{ hidden: { maxRate: 0.5 } }, 'hidden.maxRate: expected a whole number of 1 or more, found 0.5'],
    [{ webSocket: {} }, 'webSocket: expected a constructor'],
  ];
  for (const [options, message] of cases) expect(() => client(options)).toThrow(message);

  const idle = client();
  expect(() => idle.on('quotes' as 'quote', () => {})).toThrow(/^quotes: no such event; there are event, trade, quote, /);
  expect(() => idle.on('quote', undefined as never)).toThrow('quote: expected a function as its handler');
  expect(() => idle.watch('BTCUSDT', () => {})).toThrow('BTCUSDT: expected SYMBOL.channel or *.channel');
  expect(() => idle.watch('BTCUSDT.quotes', () => {})).toThrow('BTCUSDT.quotes: expected');
  expect(() => idle.watch('BTCUSDT.quote', () => {}, { mode: 'conflated' as 'conflate' })).toThrow("mode: expected 'every' or 'conflate', found 'conflated'");
  expect(() => idle.stream('BTCUSDT.quote', { maxRate: 0 })).toThrow('maxRate: expected a whole number of 1 or more, found 0');
  await expect(idle.subscribe('BTCUSDT.quote', { maxRate: 2.5 })).rejects.toThrow(RangeError);
  expect(() => idle.limitRate(0)).toThrow(RangeError);
  idle.close();
});

it('takes what is not given for not given', () => {
  const unset = { minMs: undefined, maxMs: undefined, attempts: undefined };
  const subject = client({ reconnect: unset, hidden: { maxRate: undefined, afterMs: undefined } });
  expect(subject.state).toBe('connecting');
  subject.close();
});

it('pauses between attempts though its options are unset', async () => {
  const subject = client({ reconnect: { minMs: undefined, maxMs: undefined } });
  const pauses: number[] = [];
  subject.on('attemptFailed', ({ retryInMs }) => pauses.push(retryInMs));
  await until('attempts', () => pauses.length >= 2);
  for (const pause of pauses) expect(pause).toBeGreaterThanOrEqual(0);
  subject.close();
});

it('warns of what nobody listens to', async () => {
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => {});
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '2']);
  const subject = open(gateway.url);
  // A typo, and nobody asks what became of it.
  subject.watch('BTCUSD.quote', () => {});
  await until('a warning', () => warned.mock.calls.length > 0);
  expect(warned.mock.calls).toEqual([[expect.stringMatching(/^tickcast: BTCUSD\.quote was refused: /)]]);
  const asked = subject.watch('ETHUSD.quote', () => {});
  await expect(asked.ready).rejects.toBeInstanceOf(RefusedError);
  expect(warned).toHaveBeenCalledTimes(1);

  const lonely = client();
  lonely.watch('BTCUSDT.quote', () => {});
  await until('another warning', () => warned.mock.calls.length > 1);
  expect(warned.mock.lastCall![0]).toMatch(/^tickcast: there will be no more events: ws:\/\/.*: no WebSocket could be opened$/);
});

it('carries out nothing of which it was said that it took too long', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '2']);
  const proxy = await Proxy.before(gateway.port);
  const subject = open(proxy.url, { commandTimeoutMs: 200 });
  await subject.ready();
  proxy.refuse();
  proxy.cut();
  await until('the outage', () => subject.state !== 'connected');
  const draft: TradeDraft = { topic: 'C0.trade', price: '1', quantity: '1', side: 'buy' };
  await expect(subject.publish([draft])).rejects.toMatchObject({ constructor: CommandError, kind: 'timeout' });
  await expect(subject.subscribe('BTCUSDT.trade')).rejects.toMatchObject({ kind: 'timeout' });
  proxy.heal();
  await subject.ready();
  await sleep(300);
  const list = await until('an answer in time', () => subject.list().catch(() => undefined));
  expect(list).toEqual([]);
});
