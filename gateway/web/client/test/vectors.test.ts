// The golden vectors that the gateway's own tests are held to, read by both of this package's decoders.

import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

import { owned, type Levels, type MarketEvent, type TickcastEvent } from '../src/event.ts';
import { Instrument } from '../src/instrument.ts';
import { JsonDecoder } from '../src/json.ts';
import { Tracks } from '../src/position.ts';
import { SbeDecoder, type Sink } from '../src/sbe.ts';
import { CHANNELS } from '../src/channel.ts';

const PROTOCOL = resolve(import.meta.dirname, '../../../../docs/protocol');

interface Vector {
  readonly name: string;
  readonly sbe: string;
  readonly json: string | null;
  readonly instruments: { instrument: number; symbol: string; priceExponent: number; quantityExponent: number }[];
  readonly messages: { template: string; fields: Record<string, unknown> }[];
}

const VECTORS = readdirSync(`${PROTOCOL}/vectors`).map((file): Vector => (
  JSON.parse(readFileSync(`${PROTOCOL}/vectors/${file}`, 'utf8')) as Vector
));

/** What clients send is none of theirs to decode. */
const RECEIVED = VECTORS.filter(({ name }) => name !== 'publish');

/** Keeps what it is given. */
class Kept implements Sink {
  readonly events: TickcastEvent[] = [];

  market(...[, , seq, event]: Parameters<Sink['market']>): void {
    expect(event.seq).toBe(seq);
    this.events.push(owned(event));
  }

  gap(...[track, code, reason, firstSeq, count]: Parameters<Sink['gap']>): void {
    const instrument = track.instrument!;
    this.events.push({
      type: 'gap', topic: instrument.topic(code), symbol: track.symbol, channel: CHANNELS[code]!, instrument, reason, firstSeq,
      count,
    });
  }

  other(event: TickcastEvent): void {
    this.events.push(event);
  }
}

/** The tracks of a vector's instruments, and a message that defines them. */
function begin(vector: Vector): { tracks: Tracks; definitions: ArrayBuffer; json: unknown[] } {
  const tracks = new Tracks();
  const bytes = new Uint8Array(75 * vector.instruments.length);
  const json: unknown[] = [];
  vector.instruments.forEach(({ instrument, symbol, priceExponent, quantityExponent }, i) => {
    const data = new DataView(bytes.buffer, i * 75);
    [67, 22, 7101, 1].forEach((value, at) => data.setUint16(2 * at, value, true));
    data.setUint32(16, instrument, true);
    data.setInt8(40, priceExponent);
    data.setInt8(41, quantityExponent);
    new TextEncoder().encodeInto(symbol, bytes.subarray(i * 75 + 43));
    json.push({
      e: 'definition', s: symbol, instrument, epoch: '0', base: '', price_exponent: priceExponent,
      quantity_exponent: quantityExponent, tick_size: '0', lot_size: '0', channels: [],
    });
  });
  return { tracks, definitions: bytes.buffer, json };
}

function decodeSbe(vector: Vector): TickcastEvent[] {
  const { tracks, definitions } = begin(vector);
  const record = new Kept();
  const decoder = new SbeDecoder(tracks, record);
  decoder.decode(definitions);
  record.events.length = 0;
  decoder.decode(Uint8Array.from(Buffer.from(vector.sbe, 'hex')).buffer);
  return record.events;
}

function decodeJson(vector: Vector): TickcastEvent[] {
  const { tracks, json } = begin(vector);
  const record = new Kept();
  const decoder = new JsonDecoder(tracks, record);
  decoder.decode(json);
  record.events.length = 0;
  decoder.decode(JSON.parse(vector.json!) as unknown[]);
  return record.events;
}

const text = (value: unknown) => String(value);
const near = (value: unknown) => Number(value);
const upper = (name: string) => (name === 'bar_1M' ? 'BAR_1MONTH' : name.toUpperCase());
const levels = (side: Levels) => [...side].map(({ priceMantissa, quantityMantissa }) => (
  { price: text(priceMantissa), quantity: text(quantityMantissa) }
));
const flags = (set: Record<string, boolean>) => Object.keys(set).filter((name) => set[name]);

/** An event in the schema's names, as the vectors have it; numbers that may be inexact as the nearest ones. */
function fieldsOf(event: TickcastEvent): Record<string, unknown>[] {
  switch (event.type) {
    case 'definition': {
      const { instrument: i } = event;
      return [{
        epoch: text(event.epoch), instrument: i.id, channels: i.channels.map(upper), tickSize: text(i.tickSizeMantissa),
        lotSize: text(i.lotSizeMantissa), priceExponent: i.priceExponent, quantityExponent: i.quantityExponent,
        baseLength: i.base.length, symbol: i.symbol,
      }];
    }
    case 'heartbeat':
      return [{ ts: text(event.tsNs), epoch: text(event.epoch) }];
    case 'feed':
      return [{ ts: text(event.tsNs), epoch: text(event.epoch), state: event.state.toUpperCase() }];
    case 'gap':
      return [{
        firstSeq: event.firstSeq, count: event.count, instrument: event.instrument.id, channel: upper(event.channel),
        reason: event.reason.toUpperCase(),
      }];
    case 'connected': case 'disconnected': case 'attemptFailed': case 'expiring': case 'revoked': case 'refused': case 'ended':
      throw new Error('not of the wire');
  }
  return [marketFields(event)];
}

function marketFields(event: MarketEvent): Record<string, unknown> {
  const head = {
    instrument: event.instrument.id, seq: event.seq, tsEvent: text(event.tsEventNs), ringDelay: event.ringDelayNs,
  };
  switch (event.type) {
    case 'trade':
      return {
        ...head, price: text(event.priceMantissa), quantity: text(event.quantityMantissa), tradeId: text(event.tradeId),
        tsTrade: text(event.tsTradeNs), makerSide: event.makerSide.toUpperCase(),
      };
    case 'quote':
      return {
        ...head, bidPrice: text(event.bidPriceMantissa), bidQuantity: text(event.bidQuantityMantissa),
        askPrice: text(event.askPriceMantissa), askQuantity: text(event.askQuantityMantissa),
      };
    case 'depth':
      return {
        ...head, firstUpdateId: text(event.firstUpdateId), lastUpdateId: text(event.lastUpdateId),
        flags: flags({ MERGED: event.isMerged, REPLACES_BOOK: event.replacesBook }),
        bids: levels(event.bids), asks: levels(event.asks),
      };
    case 'snapshot':
      return {
        ...head, updateId: text(event.updateId), flags: flags({ FIRST: event.isFirst, LAST: event.isLast }),
        bids: levels(event.bids), asks: levels(event.asks),
      };
    case 'partialDepth':
      return {
        ...head, updateId: text(event.updateId), channel: upper(event.channel), bids: levels(event.bids),
        asks: levels(event.asks),
      };
    case 'ticker':
      return {
        ...head, open: text(event.openMantissa), high: text(event.highMantissa), low: text(event.lowMantissa),
        last: text(event.lastMantissa), lastQuantity: text(event.lastQuantityMantissa), volume: text(event.volumeMantissa),
        quoteVolume: text(event.quoteVolumeMantissa), previousClose: text(event.previousCloseMantissa),
        firstTradeId: text(event.firstTradeId), lastTradeId: text(event.lastTradeId), trades: event.trades,
      };
    case 'bar':
      return {
        ...head, tsOpen: text(event.tsOpenNs), open: text(event.openMantissa), high: text(event.highMantissa),
        low: text(event.lowMantissa), close: text(event.closeMantissa), volume: text(event.volumeMantissa),
        quoteVolume: text(event.quoteVolumeMantissa), takerVolume: text(event.takerVolumeMantissa),
        takerQuoteVolume: text(event.takerQuoteVolumeMantissa), firstTradeId: text(event.firstTradeId),
        trades: event.trades, channel: upper(event.channel), isFinal: event.isFinal ? 'TRUE' : 'FALSE',
      };
    case 'aggTrade':
      return {
        ...head, price: text(event.priceMantissa), quantity: text(event.quantityMantissa), aggId: text(event.aggId),
        firstTradeId: text(event.firstTradeId), lastTradeId: text(event.lastTradeId), tsTrade: text(event.tsTradeNs),
        makerSide: event.makerSide.toUpperCase(),
      };
    case 'rollingTicker':
      return {
        ...head, tsOpen: text(event.tsOpenNs), open: text(event.openMantissa), high: text(event.highMantissa),
        low: text(event.lowMantissa), last: text(event.lastMantissa), volume: text(event.volumeMantissa),
        quoteVolume: text(event.quoteVolumeMantissa), firstTradeId: text(event.firstTradeId),
        lastTradeId: text(event.lastTradeId), trades: event.trades, channel: upper(event.channel),
      };
    case 'average':
      return { ...head, price: text(event.priceMantissa), tsTrade: text(event.tsTradeNs), minutes: event.minutes };
    case 'status':
      return { ...head, status: event.status.toUpperCase() };
  }
}

/** What a vector says, entries of a gap one by one, numbers that may be inexact as the nearest ones. */
function expected(vector: Vector): Record<string, unknown>[] {
  return vector.messages.flatMap(({ fields }) => {
    const gaps = fields['gaps'] as Record<string, unknown>[] | undefined;
    const entries = gaps ?? [fields];
    return entries.map((entry) => {
      const numbers = ['seq', 'firstSeq', 'count', 'trades'].filter((name) => name in entry);
      return { ...entry, ...Object.fromEntries(numbers.map((name) => [name, near(entry[name])])) };
    });
  });
}

/** Without what the definitions made for the test leave out. */
const comparable = ({ instrument, ...event }: MarketEvent) => ({ ...event, instrument: instrument.id });

describe('golden vectors', () => {
  it('are all there', () => {
    const templates = new Set(VECTORS.flatMap(({ messages }) => messages.map(({ template }) => template)));
    expect([...templates].sort()).toEqual([
      'AggTrade', 'Average', 'Bar', 'Definition', 'DepthSnapshot', 'DepthUpdate', 'FeedStatus', 'Gap', 'Heartbeat', 'PartialDepth', 'Publish', 'Quote',
      'RollingTicker', 'Status', 'Ticker', 'Trade',
    ]);
  });

  it.each(RECEIVED)('$name says in SBE what the vector says', (vector) => {
    expect(decodeSbe(vector).flatMap(fieldsOf)).toEqual(expected(vector));
  });

  it.each(RECEIVED.filter(({ json }) => json !== null))('$name is the same in JSON, to the letter of decimals', (vector) => {
    const [sbe, json] = [decodeSbe(vector), decodeJson(vector)];
    expect(json.length).toBe(sbe.length);
    json.forEach((event, i) => {
      const other = sbe[i]!;
      if ('seq' in event && 'seq' in other) expect(comparable(event)).toEqual(comparable(other));
      else expect(fieldsOf(event)).toEqual(fieldsOf(other));
    });
  });

  it.each(RECEIVED)('$name that is cut off anywhere is refused, not misread', (vector) => {
    const { tracks, definitions } = begin(vector);
    const whole = Uint8Array.from(Buffer.from(vector.sbe, 'hex'));
    for (let length = 1; length < whole.length; length++) {
      const record = new Kept();
      const decoder = new SbeDecoder(tracks, record);
      decoder.decode(definitions);
      record.events.length = 0;
      // Cut between two messages it is a whole one.
      try {
        decoder.decode(whole.slice(0, length).buffer);
        expect(record.events.length).toBeGreaterThan(0);
      } catch (error) {
        expect(String(error)).toMatch(/cut off|too short/);
      }
    }
  });

  it('show decimals exactly', () => {
    const extremes = VECTORS.find(({ name }) => name === 'trade-extremes')!;
    const [trade] = decodeSbe(extremes);
    expect(trade).toMatchObject({ price: '-9.223372036854775808', quantity: '9223372036854775807' });
    expect(new Instrument({
      id: 0, symbol: 'X', base: 'X', priceExponent: -8, quantityExponent: 0, tickSize: 1, lotSize: 1, channels: [],
    }).tickSize).toBe('0.00000001');
  });
});
