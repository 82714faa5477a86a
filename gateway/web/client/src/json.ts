// The JSON encoding: an array of objects per message. Its events are owned from the start.

import {
  channelCode, DEPTH, splitTopic, type BarChannel, type Channel, type PartialDepthChannel, type RollingTickerChannel,
} from './channel.ts';
import { parseDecimal } from './decimal.ts';
import type { Decimals, FeedState, GapReason, Level, MarketEvent, Side, TradingStatus } from './event.ts';
import { Instrument } from './instrument.ts';
import type { Track, Tracks } from './position.ts';
import { define, REASONS, STATES, Violation, type Sink } from './sbe.ts';
import { STATUSES } from './view.ts';

type Fields = Record<string, unknown>;

/** Takes the messages of one connection apart. */
export class JsonDecoder {
  readonly #tracks: Tracks;
  readonly #sink: Sink;

  constructor(tracks: Tracks, sink: Sink) {
    this.#tracks = tracks;
    this.#sink = sink;
  }

  /** Hands the events of an array to the sink one after another. */
  decode(events: readonly unknown[]): void {
    for (const event of events) {
      try {
        this.#event(event as Fields);
      } catch (error) {
        if (error instanceof Violation) throw error;
        throw new Violation(`an event that cannot be read: ${String(error)}`);
      }
    }
  }

  #event(e: Fields): void {
    const name = e['e'] as string;
    switch (name) {
      case 'gap': {
        for (const gap of e['gaps'] as Fields[]) {
          const split = splitTopic(gap['topic'] as string);
          if (split === undefined || !REASONS.includes(gap['reason'] as GapReason)) continue;
          const count = Number(gap['count']);
          this.#sink.gap(this.#track(split.symbol), split.code, gap['reason'] as GapReason, Number(gap['first']), count);
        }
        return;
      }
      case 'heartbeat':
        return this.#sink.other({ type: 'heartbeat', tsNs: big(e['ts']), epoch: big(e['epoch']) });
      case 'feed': {
        const state = e['state'] as FeedState;
        if (!STATES.includes(state)) return;
        return this.#sink.other({ type: 'feed', tsNs: big(e['ts']), epoch: big(e['epoch']), state });
      }
      case 'definition':
        return this.#define(e);
    }
    const code = name === 'snapshot' ? DEPTH : channelCode(name);
    // An event of a later version.
    if (code === undefined) return;
    const track = this.#track(e['s'] as string);
    const event = market(name, code, e, track.instrument!);
    if (event !== undefined) this.#sink.market(track, code, event.seq, event);
  }

  #define(e: Fields): void {
    const symbol = e['s'] as string;
    const priceExponent = e['price_exponent'] as number;
    const quantityExponent = e['quantity_exponent'] as number;
    const instrument = new Instrument({
      id: e['instrument'] as number,
      symbol,
      base: e['base'] as string,
      priceExponent,
      quantityExponent,
      tickSize: parseDecimal(e['tick_size'] as string, priceExponent),
      lotSize: parseDecimal(e['lot_size'] as string, quantityExponent),
      channels: (e['channels'] as Channel[]).filter((name) => channelCode(name) !== undefined),
    });
    define(this.#tracks.of(symbol), instrument, big(e['epoch']), this.#sink);
  }

  #track(symbol: string): Track {
    const track = this.#tracks.get(symbol);
    if (track?.instrument === undefined) throw new Violation('an instrument that was not defined');
    return track;
  }
}

function big(value: unknown): bigint {
  return BigInt(value as string);
}

function market(name: string, code: number, e: Fields, instrument: Instrument): MarketEvent | undefined {
  const tsEventNs = big(e['ts']);
  const fields = {
    symbol: instrument.symbol,
    topic: instrument.topic(code),
    instrument,
    seq: Number(e['seq']),
    tsEventNs,
    tsEventMs: Number(tsEventNs) / 1e6,
    ringDelayNs: e['delay'] as number,
  };
  const [price, quantity] = [instrument.priceExponent, instrument.quantityExponent].map((exponent) => (
    <Name extends string>(name: Name, key: string) => decimal(name, e[key] as string, exponent)
  )) as [Reader, Reader];
  const levels = (key: string) => (e[key] as [string, string][]).map((pair) => level(instrument, pair));
  const match = () => ({
    ...price('price', 'price'), ...quantity('quantity', 'qty'), tsTradeNs: big(e['ts_trade']), makerSide: e['maker'] as Side,
  });
  const opened = () => {
    const tsOpenNs = big(e['ts_open']);
    return { tsOpenNs, tsOpenMs: Number(tsOpenNs) / 1e6 };
  };
  const window = () => ({
    ...price('open', 'open'), ...price('high', 'high'), ...price('low', 'low'), ...price('last', 'last'),
    ...quantity('volume', 'volume'), ...price('quoteVolume', 'quote_volume'),
    firstTradeId: big(e['first_id']), lastTradeId: big(e['last_id']), trades: Number(e['trades']),
  });
  switch (name) {
    case 'trade':
      return { type: 'trade', channel: 'trade', ...fields, ...match(), tradeId: big(e['id']) };
    case 'quote':
      return {
        type: 'quote', channel: 'quote', ...fields,
        ...price('bidPrice', 'bid'), ...quantity('bidQuantity', 'bid_qty'),
        ...price('askPrice', 'ask'), ...quantity('askQuantity', 'ask_qty'),
      };
    case 'depth':
      return {
        type: 'depth', channel: 'depth', ...fields,
        firstUpdateId: big(e['first_id']), lastUpdateId: big(e['last_id']),
        isMerged: e['merged'] as boolean, replacesBook: e['replaces'] as boolean,
        bids: levels('bids'), asks: levels('asks'),
      };
    case 'snapshot':
      return {
        type: 'snapshot', channel: 'depth', ...fields,
        updateId: big(e['update_id']), isFirst: e['first'] as boolean, isLast: e['last'] as boolean,
        bids: levels('bids'), asks: levels('asks'),
      };
    case 'depth5':
    case 'depth10':
    case 'depth20':
      return {
        type: 'partialDepth', channel: name as PartialDepthChannel, ...fields,
        updateId: big(e['update_id']), bids: levels('bids'), asks: levels('asks'),
      };
    case 'ticker':
      return {
        type: 'ticker', channel: 'ticker', ...fields, ...window(),
        ...quantity('lastQuantity', 'last_qty'), ...price('previousClose', 'prev_close'),
      };
    case 'agg_trade':
      return {
        type: 'aggTrade', channel: 'agg_trade', ...fields, ...match(),
        aggId: big(e['id']), firstTradeId: big(e['first_id']), lastTradeId: big(e['last_id']),
      };
    case 'ticker_1h':
    case 'ticker_4h':
    case 'ticker_1d':
      return { type: 'rollingTicker', channel: name as RollingTickerChannel, ...fields, ...window(), ...opened() };
    case 'average':
      return {
        type: 'average', channel: 'average', ...fields,
        ...price('price', 'price'), minutes: e['minutes'] as number, tsTradeNs: big(e['ts_trade']),
      };
    case 'status': {
      const status = e['status'] as TradingStatus;
      return STATUSES.includes(status) ? { type: 'status', channel: 'status', ...fields, status } : undefined;
    }
    default:
      return {
        type: 'bar', channel: name as BarChannel, ...fields, ...opened(),
        ...price('open', 'open'), ...price('high', 'high'), ...price('low', 'low'), ...price('close', 'close'),
        ...quantity('volume', 'volume'), ...price('quoteVolume', 'quote_volume'),
        ...quantity('takerVolume', 'taker_volume'), ...price('takerQuoteVolume', 'taker_quote_volume'),
        firstTradeId: big(e['first_id']), trades: Number(e['trades']), isFinal: e['final'] as boolean,
      };
  }
}

/** Reads a decimal of the event's: by its name here, and its key there. */
type Reader = <Name extends string>(name: Name, key: string) => Decimals<Name>;

/** A decimal's text as it came, and its mantissa. */
function decimal<Name extends string>(name: Name, text: string, exponent: number): Decimals<Name> {
  return { [name]: text, [`${name}Mantissa`]: parseDecimal(text, exponent) } as Decimals<Name>;
}

function level(instrument: Instrument, [price, quantity]: [string, string]): Level {
  return { ...decimal('price', price, instrument.priceExponent), ...decimal('quantity', quantity, instrument.quantityExponent) };
}
