// A page that was written for the exchange, with a plain WebSocket and JSON and without this package, against the gateway's
// `/ws` in real Chromium: only the host in its URL is another.

import { expect, it } from 'vitest';

import { openPage } from './support/chromium.ts';
import { Gateway, until } from './support/process.ts';

const PAGE = (base: string) => `
  const seen = globalThis.seen = { trades: [], quotes: [], answers: [], errors: [] };
  const socket = new WebSocket('${base}/ws/btcusdt@trade');
  socket.onopen = () => {
    socket.send(JSON.stringify({ method: 'SUBSCRIBE', params: ['btcusdt@bookTicker'], id: 1 }));
    socket.send(JSON.stringify({ method: 'LIST_SUBSCRIPTIONS', id: 2 }));
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if ('id' in message) seen.answers.push(message);
    else if (message.e === 'trade') seen.trades.push(message);
    else if ('u' in message) seen.quotes.push(message);
    else seen.errors.push(data);
  };
  socket.onclose = socket.onerror = (event) => seen.errors.push(event.type);
  globalThis.leave = () => socket.send(JSON.stringify({ method: 'UNSUBSCRIBE', params: ['btcusdt@trade'], id: 3 }));
`;

interface Seen {
  readonly trades: { s: string; t: number; p: string; q: string; m: boolean; T: number }[];
  readonly quotes: { s: string; b: string; B: string; a: string; A: string }[];
  readonly answers: { id: number; result: unknown }[];
  readonly errors: string[];
}

it("runs on the gateway's own streams", async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--rate', '5000']);
  const page = await openPage(PAGE(`ws://127.0.0.1:${gateway.port}`));
  const seen = () => page.evaluate('seen') as Promise<Seen>;
  const filled = await until('trades and quotes', async () => {
    const now = await seen();
    return now.trades.length >= 20 && now.quotes.length >= 20 && now.answers.length === 2 && now;
  });
  expect(filled.answers).toEqual([{ result: null, id: 1 }, { result: ['btcusdt@trade', 'btcusdt@bookTicker'], id: 2 }]);
  const ids = filled.trades.map(({ t }) => t);
  expect(ids).toEqual(ids.map((_, i) => ids[0]! + i));
  for (const { s, p, q, m, T } of filled.trades) {
    expect([s, typeof m, Math.abs(Date.now() - T) < 600_000]).toEqual(['BTCUSDT', 'boolean', true]);
    expect(p).toMatch(/^\d+\.\d+$/);
    expect(q).toMatch(/^\d+\.\d+$/);
  }
  for (const { b, a } of filled.quotes) expect(Number(b)).toBeLessThan(Number(a));
  await page.evaluate('leave()');
  await until('the answer', async () => (await seen()).answers.some(({ id }) => id === 3));
  expect((await seen()).errors).toEqual([]);
});
