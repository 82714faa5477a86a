// Events: what handlers, iterators and observables get.
//
// In handlers an event of the binary encoding is a view: it decodes a field when that is read, and is used again for the
// next event. Keep `owned(event)`, never the view. Iterators and observables give owned events: plain data.

import type { BarChannel, Channel, PartialDepthChannel, RollingTickerChannel } from './channel.ts';
import type { ConnectError, EndedError, LostError, RefusedError } from './error.ts';
import type { Instrument } from './instrument.ts';
import type { Integer } from './integer.ts';

/** A side of the book. */
export type Side = 'bid' | 'ask';

/** What a market is doing. */
export type TradingStatus = 'trading' | 'halted' | 'closed';

/** What the gateway knows of its feed. */
export type FeedState = 'live' | 'silent' | 'restarted' | 'stopped';

/**
 * Why numbers do not come one by one. The protocol's are `conflated` (a newer or merged event follows: nothing to repair),
 * `lost`, `lapped`, `resume` and `reset`; `overflow` is the reader's own: an iterator was read too slowly.
 */
export type GapReason = 'conflated' | 'lost' | 'lapped' | 'resume' | 'reset' | 'overflow';

/** Of each name the exact text, and the mantissa that it was made of: `price` and `priceMantissa`. */
export type Decimals<Name extends string> =
  & { readonly [P in Name]: string }
  & { readonly [P in Name as `${P}Mantissa`]: Integer };

/** What all market data has. */
export interface MarketFields {
  readonly symbol: string;
  /** `SYMBOL.channel`. */
  readonly topic: string;
  readonly instrument: Instrument;
  /** The number within topic and epoch, from 1 without holes. Exact below 2^53. */
  readonly seq: number;
  /** When it happened, ns since 1970 by the venue's clock. */
  readonly tsEventNs: bigint;
  /** The same in milliseconds, with a fraction exact to the microsecond: comparable with `Date.now()`. */
  readonly tsEventMs: number;
  /** From then until it entered the gateway's ring; 4294967295 is that or more. */
  readonly ringDelayNs: number;
}

/** What a match is: a price, a quantity, and who waited for it. */
export interface MatchFields extends Decimals<'price' | 'quantity'> {
  /** When the match was made, by the venue's clock. */
  readonly tsTradeNs: bigint;
  /** Side of the order that was in the book; the other side's came and took it. */
  readonly makerSide: Side;
}

/** One trade. */
export interface Trade extends MarketFields, MatchFields {
  readonly type: 'trade';
  readonly channel: 'trade';
  /** The venue's. */
  readonly tradeId: bigint;
}

/** Best bid and offer. A side that is empty has quantity 0. */
export interface Quote extends MarketFields, Decimals<'bidPrice' | 'bidQuantity' | 'askPrice' | 'askQuantity'> {
  readonly type: 'quote';
  readonly channel: 'quote';
}

/** A price and the quantity at it. In changes of a book quantity 0 means that the level is gone. */
export type Level = Decimals<'price' | 'quantity'>;

/** Levels of one side, in the order in which they came. An owned event has an array. */
export interface Levels extends Iterable<Level> {
  readonly length: number;
  at(index: number): Level | undefined;
}

/** Changes of a book, to be applied together. */
export interface Depth extends MarketFields {
  readonly type: 'depth';
  readonly channel: 'depth';
  /** The venue's first and last update ids contained. */
  readonly firstUpdateId: bigint;
  readonly lastUpdateId: bigint;
  /** Whether several of the venue's events are merged; a gap has announced how many. */
  readonly isMerged: boolean;
  /** Whether the levels are the whole book from now on. */
  readonly replacesBook: boolean;
  readonly bids: Levels;
  readonly asks: Levels;
}

/** A whole book, or a part of it: big books come in several. */
export interface DepthSnapshot extends MarketFields {
  readonly type: 'snapshot';
  readonly channel: 'depth';
  readonly updateId: bigint;
  readonly isFirst: boolean;
  readonly isLast: boolean;
  /** Best first. */
  readonly bids: Levels;
  readonly asks: Levels;
}

/** The best levels of a book, best first. */
export interface PartialDepth extends MarketFields {
  readonly type: 'partialDepth';
  readonly channel: PartialDepthChannel;
  readonly updateId: bigint;
  readonly bids: Levels;
  readonly asks: Levels;
}

/** Statistics over a window: `volume` is the traded quantity, `quoteVolume` the traded value in the quote asset. */
export interface WindowFields extends Decimals<'open' | 'high' | 'low' | 'last' | 'volume' | 'quoteVolume'> {
  readonly firstTradeId: bigint;
  readonly lastTradeId: bigint;
  /** How many trades. */
  readonly trades: number;
}

/** When an interval or a window began. */
export interface OpenedFields {
  /** Ns since 1970, and the same in milliseconds. */
  readonly tsOpenNs: bigint;
  readonly tsOpenMs: number;
}

/** Statistics over the last 24 hours. `previousClose` is the price of the last trade before them; zero: none. */
export interface Ticker extends MarketFields, WindowFields, Decimals<'lastQuantity' | 'previousClose'> {
  readonly type: 'ticker';
  readonly channel: 'ticker';
}

/** Open, high, low, close of one interval; traded quantity and value, and of those what takers bought. */
export interface Bar extends
  MarketFields, OpenedFields,
  Decimals<'open' | 'high' | 'low' | 'close' | 'volume' | 'quoteVolume' | 'takerVolume' | 'takerQuoteVolume'> {
  readonly type: 'bar';
  readonly channel: BarChannel;
  readonly firstTradeId: bigint;
  readonly trades: number;
  /** Whether the interval is over and the bar will not change any more. */
  readonly isFinal: boolean;
}

/** A market's trading status. */
export interface Status extends MarketFields {
  readonly type: 'status';
  readonly channel: 'status';
  readonly status: TradingStatus;
}

/** Consecutive trades of one taker order at one price, as one. */
export interface AggTrade extends MarketFields, MatchFields {
  readonly type: 'aggTrade';
  readonly channel: 'agg_trade';
  /** The venue's id of the aggregate, and of the first and last trade in it. */
  readonly aggId: bigint;
  readonly firstTradeId: bigint;
  readonly lastTradeId: bigint;
}

/** Statistics over the last hours, those of the channel. The window begins with a whole minute. */
export interface RollingTicker extends MarketFields, WindowFields, OpenedFields {
  readonly type: 'rollingTicker';
  readonly channel: RollingTickerChannel;
}

/** The average price of the last minutes, weighted by quantity. */
export interface Average extends MarketFields, Decimals<'price'> {
  readonly type: 'average';
  readonly channel: 'average';
  readonly minutes: number;
  /** The time of the last trade contained. */
  readonly tsTradeNs: bigint;
}

/** Numbers of one topic that do not come one by one. */
export interface Gap {
  readonly type: 'gap';
  readonly topic: string;
  readonly symbol: string;
  readonly channel: Channel;
  readonly instrument: Instrument;
  readonly reason: GapReason;
  /** The first number that does not come. */
  readonly firstSeq: number;
  /** How many; 0 only for `reset`. */
  readonly count: number;
}

/** What an instrument is; before its first event in an epoch. */
export interface Definition {
  readonly type: 'definition';
  readonly epoch: bigint;
  readonly instrument: Instrument;
}

/** Nothing else to say. */
export interface Heartbeat {
  readonly type: 'heartbeat';
  /** The gateway's clock, ns since 1970. */
  readonly tsNs: bigint;
  readonly epoch: bigint;
}

/** What became of the feed. */
export interface FeedStatus {
  readonly type: 'feed';
  readonly tsNs: bigint;
  /** The epoch of numbers from now on. */
  readonly epoch: bigint;
  readonly state: FeedState;
}

/** A connection begins. */
export interface Connected {
  readonly type: 'connected';
  /** 0: the gateway has no feed yet. */
  readonly epoch: bigint;
  /** How often the connection was lost before. */
  readonly reconnects: number;
}

/** The connection is lost; another is being made. */
export interface Disconnected {
  readonly type: 'disconnected';
  readonly reason: LostError;
  readonly retryInMs: number;
}

/** An attempt to connect failed; there will be another. */
export interface AttemptFailed {
  readonly type: 'attemptFailed';
  readonly reason: ConnectError;
  readonly retryInMs: number;
}

/** The token of this connection is good for so long. If the option `token` is a function, it is asked for another now. */
export interface Expiring {
  readonly type: 'expiring';
  readonly inMs: number;
}

/** What the token allows has become less: topics that have ended (each is `refused`, too), and wildcards of fewer instruments. */
export interface Revoked {
  readonly type: 'revoked';
  readonly topics: readonly string[];
  readonly narrowed: readonly string[];
}

/** A topic that was subscribed is not any more. */
export interface Refused {
  readonly type: 'refused';
  readonly topic: string;
  readonly reason: RefusedError;
}

/** There will be no more events. */
export interface Ended {
  readonly type: 'ended';
  readonly reason: EndedError;
}

/** Market data. */
export type MarketEvent =
  | Trade | Quote | Depth | DepthSnapshot | PartialDepth | Ticker | Bar | Status | AggTrade | RollingTicker | Average;

/** Something that happened: in a market, to the feed, to the connection. */
export type TickcastEvent =
  | MarketEvent | Gap | Definition | Heartbeat | FeedStatus | Connected | Disconnected | AttemptFailed
  | Expiring | Revoked | Refused | Ended;

export type EventType = TickcastEvent['type'];

/** All of them. @internal */
export const EVENT_TYPES: Readonly<Record<EventType, true>> = {
  trade: true, quote: true, depth: true, snapshot: true, partialDepth: true, ticker: true, bar: true, status: true, aggTrade: true,
  rollingTicker: true, average: true, gap: true, definition: true, heartbeat: true, feed: true, connected: true, disconnected: true,
  attemptFailed: true, expiring: true, revoked: true, refused: true, ended: true,
};

/** The event of a type. */
export type EventOf<T extends EventType> = Extract<TickcastEvent, { readonly type: T }>;

/** An event that can be kept: views are copied, others are returned as they are. */
export function owned<E extends TickcastEvent>(event: E): E {
  const view = event as E & { toObject?: () => E };
  return view.toObject === undefined ? event : view.toObject();
}
