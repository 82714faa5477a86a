// The offsets that views read at, against the schema that the gateway serves; and codes against the protocol's page.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

import { CHANNELS } from '../src/channel.ts';
import { ERROR_CODES, isReconnectCode } from '../src/error.ts';
import { Instrument } from '../src/instrument.ts';
import { DepthSnapshotView, DepthView, PartialDepthView } from '../src/levels.ts';
import { REASONS, SCHEMA_ID, STATES, TEMPLATES } from '../src/sbe.ts';
import {
  AggTradeView, AverageView, BarView, QuoteView, RollingTickerView, STATUSES, StatusView, TickerView, TradeView, type MarketView,
} from '../src/view.ts';

const PROTOCOL = resolve(import.meta.dirname, '../../../../docs/protocol');
const XML = readFileSync(`${PROTOCOL}/tickcast-1.xml`, 'utf8');
const PAGE = readFileSync(`${PROTOCOL}/README.md`, 'utf8');

interface Field {
  readonly name: string;
  readonly type: string;
  readonly offset: number;
}

/** The fields of a template's root block. */
function fields(template: string): Field[] {
  const body = new RegExp(`<sbe:message name="${template}"[^>]*>(.*?)</sbe:message>`, 's').exec(XML)![1]!;
  const root = body.replaceAll(/<group.*?<\/group>/gs, '');
  return [...root.matchAll(/<field name="(\w+)" id="\d+" type="(\w+)" offset="(\d+)"/g)].map(([, name, type, offset]) => (
    { name: name!, type: type!, offset: Number(offset) }
  ));
}

/** The names of an enum's values, by their codes. */
function values(name: string): (string | undefined)[] {
  const body = new RegExp(`<enum name="${name}"[^>]*>(.*?)</enum>`, 's').exec(XML)![1]!;
  const names: (string | undefined)[] = [];
  for (const [, value, code] of body.matchAll(/name="(\w+)">(\d+)</g)) names[Number(code)] = value!.toLowerCase();
  return names;
}

/** The rows of a table of codes. */
function codes(marker: string): [number, string][] {
  const table = PAGE.split(`<!-- ${marker} -->`)[1]!.split('<!-- end -->')[0]!;
  return [...table.matchAll(/^\| (\d+) \| `?([^|`]+)`? \|/gm)].map(([, code, name]) => [Number(code), name!.trim()]);
}

const SIZES: Record<string, number> = {
  makerSide: 1, flags: 1, channel: 1, isFinal: 1, status: 1, ringDelay: 4, instrument: 4, minutes: 4,
};

const VIEWS: [string, MarketView][] = [
  ['Trade', new TradeView()], ['Quote', new QuoteView()], ['Ticker', new TickerView()], ['Bar', new BarView()],
  ['Status', new StatusView()], ['DepthUpdate', new DepthView()], ['PartialDepth', new PartialDepthView()],
  ['DepthSnapshot', new DepthSnapshotView()], ['AggTrade', new AggTradeView()],
  ['RollingTicker', new RollingTickerView()], ['Average', new AverageView()],
];

describe('the schema', () => {
  it('has the id and the lengths that are known', () => {
    expect(XML).toContain(`id="${SCHEMA_ID}"`);
    for (const [name, { id, bytes }] of Object.entries(TEMPLATES)) {
      expect(XML).toContain(`<sbe:message name="${name}" id="${id}" blockLength="${bytes - 8}"`);
    }
  });

  it.each(VIEWS)('%s is read where its fields lie', (template, view) => {
    // Each field gets a value of its own, which only the right offset finds.
    const instrument = new Instrument({
      id: 7, symbol: 'X', base: 'X', priceExponent: 0, quantityExponent: 0, tickSize: 1, lotSize: 1, channels: [],
    });
    const data = new DataView(new ArrayBuffer(200));
    data.setUint16(0, Object.entries(TEMPLATES).find(([name]) => name === template)![1].bytes - 8, true);
    const all = fields(template);
    for (const { name, offset } of all) {
      if ((SIZES[name] ?? 8) === 8) data.setUint32(8 + offset, 1_000 + offset, true);
    }
    const event = view.move(data, 0, instrument, 8) as unknown as Record<string, unknown>;
    let compared = 0;
    for (const { name, type, offset } of all) {
      if ((SIZES[name] ?? 8) !== 8) continue;
      const own = { timestampNs: `${name}Ns`, price: `${name}Mantissa`, quantity: `${name}Mantissa` }[type] ?? name;
      expect(`${name} ${String(event[own])}`).toBe(`${name} ${1_000 + offset}`);
      compared += 1;
    }
    expect(compared).toBe(all.length - all.filter(({ name }) => name in SIZES).length);
  });

  it('names enums as this package does', () => {
    expect(values('channel').map((name) => name!.replace('1month', '1m'))).toEqual(CHANNELS.map((name) => name.toLowerCase()));
    expect(values('gapReason')).toEqual(REASONS);
    expect(values('feedState')).toEqual(STATES);
    expect(values('tradingStatus')).toEqual(STATUSES);
  });
});

describe("the protocol's page", () => {
  it('has these error codes', () => {
    expect(Object.fromEntries(codes('error codes').map(([code, name]) => [name, code]))).toEqual(ERROR_CODES);
  });

  it('has close codes that are kept to', () => {
    const known = codes('close codes').map(([code]) => code);
    expect(known.length).toBeGreaterThan(10);
    const reconnect = known.filter(isReconnectCode);
    expect(reconnect).toEqual([1001, 1011, 4000, 4001, 4002, 4003, 4004, 4005, 4006]);
  });
});
