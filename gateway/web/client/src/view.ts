// Views: market data of the binary encoding, read where it lies.
//
// A view is a place in a message. It is moved from event to event and decodes a field when that is read, so that a tick
// costs no object. Offsets count from the begin of the message's header; a test holds them to the schema. Views of books
// are in `levels.ts`.

import { CHANNELS, type BarChannel, type RollingTickerChannel } from './channel.ts';
import type {
  AggTrade, Average, Bar, Quote, RollingTicker, Side, Status, Ticker, Trade, TradingStatus,
} from './event.ts';
import type { Instrument } from './instrument.ts';
import { readCount, readInt64, readMillis, type Integer } from './integer.ts';

/** Where fields begin that all market data has. */
export const AT_SEQ = 16;
export const AT_INSTRUMENT = 24;

const MARKET_KEYS = [
  'type', 'channel', 'symbol', 'topic', 'instrument', 'seq', 'tsEventNs', 'tsEventMs', 'ringDelayNs',
];

export const STATUSES: readonly (TradingStatus | undefined)[] = [undefined, 'trading', 'halted', 'closed'];

/** What all market data has. */
export abstract class MarketView {
  /** @internal */ data!: DataView;
  /** @internal */ at = 0;
  /** @internal */ code = 0;
  instrument!: Instrument;

  /** @internal */
  move(data: DataView, at: number, instrument: Instrument, code: number): this {
    this.data = data;
    this.at = at;
    this.instrument = instrument;
    this.code = code;
    return this;
  }

  get symbol(): string { return this.instrument.symbol; }
  get topic(): string { return this.instrument.topic(this.code); }
  get seq(): number { return readCount(this.data, this.at + AT_SEQ); }
  get tsEventNs(): bigint { return this.uint64(8); }
  get tsEventMs(): number { return readMillis(this.data, this.at + 8); }
  get ringDelayNs(): number { return this.data.getUint32(this.at + 28, true); }

  /** @internal */
  uint64(offset: number): bigint { return this.data.getBigUint64(this.at + offset, true); }
  /** @internal */
  count(offset: number): number { return readCount(this.data, this.at + offset); }
  /** @internal */
  int64(offset: number): Integer { return readInt64(this.data, this.at + offset); }
  /** @internal */
  priceText(offset: number): string { return this.instrument.priceText(this.int64(offset)); }
  /** @internal */
  quantityText(offset: number): string { return this.instrument.quantityText(this.int64(offset)); }

  /** @internal */
  copy<T>(keys: readonly string[]): T {
    const copy: Record<string, unknown> = {};
    const view = this as unknown as Record<string, unknown>;
    for (const key of MARKET_KEYS) copy[key] = view[key];
    for (const key of keys) copy[key] = view[key];
    return copy as T;
  }
}

const TRADE_KEYS = [
  'price', 'priceMantissa', 'quantity', 'quantityMantissa', 'tradeId', 'tsTradeNs', 'makerSide',
];

/** A trade where it lies. */
export class TradeView extends MarketView implements Trade {
  get type() { return 'trade' as const; }
  get channel() { return 'trade' as const; }
  get price(): string { return this.priceText(32); }
  get priceMantissa(): Integer { return this.int64(32); }
  get quantity(): string { return this.quantityText(40); }
  get quantityMantissa(): Integer { return this.int64(40); }
  get tradeId(): bigint { return this.uint64(48); }
  get tsTradeNs(): bigint { return this.uint64(56); }
  get makerSide(): Side { return this.data.getUint8(this.at + 64) === 0 ? 'bid' : 'ask'; }

  toObject(): Trade { return this.copy(TRADE_KEYS); }
}

const QUOTE_KEYS = [
  'bidPrice', 'bidPriceMantissa', 'bidQuantity', 'bidQuantityMantissa', 'askPrice', 'askPriceMantissa',
  'askQuantity', 'askQuantityMantissa',
];

/** A quote where it lies. */
export class QuoteView extends MarketView implements Quote {
  get type() { return 'quote' as const; }
  get channel() { return 'quote' as const; }
  get bidPrice(): string { return this.priceText(32); }
  get bidPriceMantissa(): Integer { return this.int64(32); }
  get bidQuantity(): string { return this.quantityText(40); }
  get bidQuantityMantissa(): Integer { return this.int64(40); }
  get askPrice(): string { return this.priceText(48); }
  get askPriceMantissa(): Integer { return this.int64(48); }
  get askQuantity(): string { return this.quantityText(56); }
  get askQuantityMantissa(): Integer { return this.int64(56); }

  toObject(): Quote { return this.copy(QUOTE_KEYS); }
}

const TICKER_KEYS = [
  'open', 'openMantissa', 'high', 'highMantissa', 'low', 'lowMantissa', 'last', 'lastMantissa', 'lastQuantity',
  'lastQuantityMantissa', 'volume', 'volumeMantissa', 'quoteVolume', 'quoteVolumeMantissa', 'previousClose',
  'previousCloseMantissa', 'firstTradeId', 'lastTradeId', 'trades',
];

/** A ticker where it lies. */
export class TickerView extends MarketView implements Ticker {
  get type() { return 'ticker' as const; }
  get channel() { return 'ticker' as const; }
  get open(): string { return this.priceText(32); }
  get openMantissa(): Integer { return this.int64(32); }
  get high(): string { return this.priceText(40); }
  get highMantissa(): Integer { return this.int64(40); }
  get low(): string { return this.priceText(48); }
  get lowMantissa(): Integer { return this.int64(48); }
  get last(): string { return this.priceText(56); }
  get lastMantissa(): Integer { return this.int64(56); }
  get lastQuantity(): string { return this.quantityText(64); }
  get lastQuantityMantissa(): Integer { return this.int64(64); }
  get volume(): string { return this.quantityText(72); }
  get volumeMantissa(): Integer { return this.int64(72); }
  get quoteVolume(): string { return this.priceText(80); }
  get quoteVolumeMantissa(): Integer { return this.int64(80); }
  get previousClose(): string { return this.priceText(88); }
  get previousCloseMantissa(): Integer { return this.int64(88); }
  get firstTradeId(): bigint { return this.uint64(96); }
  get lastTradeId(): bigint { return this.uint64(104); }
  get trades(): number { return this.count(112); }

  toObject(): Ticker { return this.copy(TICKER_KEYS); }
}

const BAR_KEYS = [
  'tsOpenNs', 'tsOpenMs', 'open', 'openMantissa', 'high', 'highMantissa', 'low', 'lowMantissa', 'close',
  'closeMantissa', 'volume', 'volumeMantissa', 'quoteVolume', 'quoteVolumeMantissa', 'takerVolume',
  'takerVolumeMantissa', 'takerQuoteVolume', 'takerQuoteVolumeMantissa', 'firstTradeId', 'trades', 'isFinal',
];

/** A bar where it lies. */
export class BarView extends MarketView implements Bar {
  get type() { return 'bar' as const; }
  get channel() { return CHANNELS[this.code] as BarChannel; }
  get tsOpenNs(): bigint { return this.uint64(32); }
  get tsOpenMs(): number { return readMillis(this.data, this.at + 32); }
  get open(): string { return this.priceText(40); }
  get openMantissa(): Integer { return this.int64(40); }
  get high(): string { return this.priceText(48); }
  get highMantissa(): Integer { return this.int64(48); }
  get low(): string { return this.priceText(56); }
  get lowMantissa(): Integer { return this.int64(56); }
  get close(): string { return this.priceText(64); }
  get closeMantissa(): Integer { return this.int64(64); }
  get volume(): string { return this.quantityText(72); }
  get volumeMantissa(): Integer { return this.int64(72); }
  get quoteVolume(): string { return this.priceText(80); }
  get quoteVolumeMantissa(): Integer { return this.int64(80); }
  get takerVolume(): string { return this.quantityText(88); }
  get takerVolumeMantissa(): Integer { return this.int64(88); }
  get takerQuoteVolume(): string { return this.priceText(96); }
  get takerQuoteVolumeMantissa(): Integer { return this.int64(96); }
  get firstTradeId(): bigint { return this.uint64(104); }
  get trades(): number { return this.count(112); }
  get isFinal(): boolean { return this.data.getUint8(this.at + 121) === 1; }

  toObject(): Bar { return this.copy(BAR_KEYS); }
}

const STATUS_KEYS = [
  'status',
];

/** A trading status where it lies. */
export class StatusView extends MarketView implements Status {
  get type() { return 'status' as const; }
  get channel() { return 'status' as const; }
  get status(): TradingStatus { return STATUSES[this.data.getUint8(this.at + 32)] ?? 'closed'; }

  toObject(): Status { return this.copy(STATUS_KEYS); }
}

const AGG_TRADE_KEYS = [
  'price', 'priceMantissa', 'quantity', 'quantityMantissa', 'aggId', 'firstTradeId', 'lastTradeId', 'tsTradeNs',
  'makerSide',
];

/** An aggregate of trades where it lies. */
export class AggTradeView extends MarketView implements AggTrade {
  get type() { return 'aggTrade' as const; }
  get channel() { return 'agg_trade' as const; }
  get price(): string { return this.priceText(32); }
  get priceMantissa(): Integer { return this.int64(32); }
  get quantity(): string { return this.quantityText(40); }
  get quantityMantissa(): Integer { return this.int64(40); }
  get aggId(): bigint { return this.uint64(48); }
  get firstTradeId(): bigint { return this.uint64(56); }
  get lastTradeId(): bigint { return this.uint64(64); }
  get tsTradeNs(): bigint { return this.uint64(72); }
  get makerSide(): Side { return this.data.getUint8(this.at + 80) === 0 ? 'bid' : 'ask'; }

  toObject(): AggTrade { return this.copy(AGG_TRADE_KEYS); }
}

const ROLLING_TICKER_KEYS = [
  'tsOpenNs', 'tsOpenMs', 'open', 'openMantissa', 'high', 'highMantissa', 'low', 'lowMantissa', 'last',
  'lastMantissa', 'volume', 'volumeMantissa', 'quoteVolume', 'quoteVolumeMantissa', 'firstTradeId',
  'lastTradeId', 'trades',
];

/** Statistics of some hours where they lie. */
export class RollingTickerView extends MarketView implements RollingTicker {
  get type() { return 'rollingTicker' as const; }
  get channel() { return CHANNELS[this.code] as RollingTickerChannel; }
  get tsOpenNs(): bigint { return this.uint64(32); }
  get tsOpenMs(): number { return readMillis(this.data, this.at + 32); }
  get open(): string { return this.priceText(40); }
  get openMantissa(): Integer { return this.int64(40); }
  get high(): string { return this.priceText(48); }
  get highMantissa(): Integer { return this.int64(48); }
  get low(): string { return this.priceText(56); }
  get lowMantissa(): Integer { return this.int64(56); }
  get last(): string { return this.priceText(64); }
  get lastMantissa(): Integer { return this.int64(64); }
  get volume(): string { return this.quantityText(72); }
  get volumeMantissa(): Integer { return this.int64(72); }
  get quoteVolume(): string { return this.priceText(80); }
  get quoteVolumeMantissa(): Integer { return this.int64(80); }
  get firstTradeId(): bigint { return this.uint64(88); }
  get lastTradeId(): bigint { return this.uint64(96); }
  get trades(): number { return this.count(104); }

  toObject(): RollingTicker { return this.copy(ROLLING_TICKER_KEYS); }
}

const AVERAGE_KEYS = [
  'price', 'priceMantissa', 'minutes', 'tsTradeNs',
];

/** An average price where it lies. */
export class AverageView extends MarketView implements Average {
  get type() { return 'average' as const; }
  get channel() { return 'average' as const; }
  get price(): string { return this.priceText(32); }
  get priceMantissa(): Integer { return this.int64(32); }
  get minutes(): number { return this.data.getUint32(this.at + 48, true); }
  get tsTradeNs(): bigint { return this.uint64(40); }

  toObject(): Average { return this.copy(AVERAGE_KEYS); }
}
