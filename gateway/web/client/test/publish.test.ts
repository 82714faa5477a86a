// Publishing through a real gateway to a real bus: acknowledged ticks come to all, at another gateway, too.

import { expect, it } from 'vitest';

import { RefusedError } from '../src/error.ts';
import type { QuoteDraft, TradeDraft } from '../src/publish.ts';
import { bus, publishing } from './support/bus.ts';
import { open, Witness } from './support/client.ts';
import { until } from './support/process.ts';

const TRADE: TradeDraft = { topic: 'C0.trade', price: '12.50', quantity: '0.75', side: 'sell', tradeId: 77n, tsNs: 1_700_000_000_000_000_001n };

it.each(['redis', 'nats'] as const)('reaches everybody over %s, each tick once, under the number of its answer', async (kind) => {
  const url = await bus(kind);
  const [here, there] = [await publishing(url), await publishing(url)];
  const [writer, reader] = [open(here.url), open(there.url, { encoding: 'json' })];
  const witnesses = await Promise.all([writer, reader].map(async (client) => {
    const seen: string[] = [];
    client.on('trade', ({ topic, seq, price, quantity, makerSide, tradeId, tsEventNs }) => (
      seen.push([topic, seq, price, quantity, makerSide, tradeId, tsEventNs].join(' '))
    ));
    client.on('quote', ({ topic, seq, bidPrice, bidQuantity, askQuantity }) => seen.push([topic, seq, bidPrice, bidQuantity, askQuantity].join(' ')));
    const witness = new Witness(client);
    await client.watch(['C0.trade', 'C0.quote'], () => {}).ready;
    return { seen, witness };
  }));
  const { limits } = await writer.ready();
  expect(limits.ticksPerPublish).toBeGreaterThan(0);

  // The first may come before the gateway knows the catalog.
  const first = await until('a published trade', async () => {
    const [result] = await writer.publish([TRADE]).catch((error: unknown) => {
      if (error instanceof RefusedError && error.codeName === 'unavailable') return [undefined];
      throw error;
    });
    return result?.ok ? result : undefined;
  });
  expect(first).toEqual({ topic: 'C0.trade', ok: true, seq: '1' });
  const quote: QuoteDraft = { topic: 'C0.quote', bid: '12.49', bidQuantity: '3' };
  const results = await writer.publish([quote, { ...TRADE, price: '12.5' }, { ...TRADE, price: 'much' }, { ...TRADE, topic: 'NOSUCH.trade' }]);
  expect(results.map(({ ok, seq, refusal }) => [ok, seq ?? refusal?.codeName])).toEqual([
    [true, '1'], [true, '2'], [false, 'bad_field'], [false, 'unknown_instrument'],
  ]);
  // A hundred at once are a hundred numbers.
  const many = await writer.publish(Array.from({ length: 100 }, (_, i): TradeDraft => ({ ...TRADE, quantity: `${i + 1}` })));
  expect(many.map(({ seq }) => seq)).toEqual(many.map((_, i) => String(i + 3)));
  const refused = await writer.publish([{ topic: 'BTCUSDT.trade', price: '1', quantity: '1', side: 'buy' }]);
  expect(refused[0]!.refusal?.codeName).toBe('not_publishable');

  for (const { seen, witness } of witnesses) {
    await until('all trades', () => ['C0.trade 102 ', 'C0.quote '].every((begin) => seen.some((line) => line.startsWith(begin))));
    expect(seen.find((line) => line.startsWith('C0.trade 1 '))).toMatch(/^C0\.trade 1 12\.50* 0\.750* bid 77 1700000000000000001$/);
    expect(seen.filter((line) => line.startsWith('C0.quote')).at(-1)).toMatch(/^C0\.quote 1 12\.490* 3\.?0* 0\.?0*$/);
    expect(witness.faults()).toEqual(Witness.NO_FAULTS);
  }
});
