// Channels: what a topic is of an instrument. Their order is that of the wire's codes.

/** Every channel, by its code. */
export const CHANNELS = [
  'trade', 'quote', 'depth', 'depth5', 'depth10', 'depth20', 'ticker', 'status',
  'bar_1s', 'bar_1m', 'bar_3m', 'bar_5m', 'bar_15m', 'bar_30m', 'bar_1h', 'bar_2h', 'bar_4h', 'bar_6h', 'bar_8h',
  'bar_12h', 'bar_1d', 'bar_3d', 'bar_1w', 'bar_1M', 'agg_trade', 'ticker_1h', 'ticker_4h', 'ticker_1d', 'average',
] as const;

/** A kind of market data. */
export type Channel = (typeof CHANNELS)[number];

/** A channel of bars. */
export type BarChannel = Extract<Channel, `bar_${string}`>;

/** A channel of partial books. */
export type PartialDepthChannel = 'depth5' | 'depth10' | 'depth20';

/** A channel of statistics over the last hours. */
export type RollingTickerChannel = Extract<Channel, `ticker_${string}`>;

export const TRADE = 0;
export const QUOTE = 1;
export const DEPTH = 2;
export const TICKER = 6;
export const STATUS = 7;
export const BAR_LAST = 23;
export const AGG_TRADE = 24;
export const AVERAGE = 28;

const CODES = new Map<string, number>(CHANNELS.map((name, code) => [name, code]));

/** The code of a channel's name. */
export function channelCode(name: string): number | undefined {
  return CODES.get(name);
}

/** `SYMBOL.channel` or `*.channel`, divided at the last dot. */
export function splitTopic(topic: string): { symbol: string; code: number } | undefined {
  const dot = topic.lastIndexOf('.');
  const code = channelCode(topic.slice(dot + 1));
  return dot < 1 || code === undefined ? undefined : { symbol: topic.slice(0, dot), code };
}

/** Whether a topic is a channel of all instruments. */
export function isWildcard(topic: string): boolean {
  return topic.startsWith('*.');
}
