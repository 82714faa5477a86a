// What this package exports.

export { Book, type BookState } from './book.ts';
export type { BookHandler } from './books.ts';
export type { BarChannel, Channel, PartialDepthChannel, RollingTickerChannel } from './channel.ts';
export { CHANNELS } from './channel.ts';
export { Client } from './client.ts';
export { decimalToNumber, formatDecimal, parseDecimal } from './decimal.ts';
export type { Statistics } from './delivery.ts';
export type { ClientState } from './driver.ts';
export type { MessageEnd } from './emitter.ts';
export {
  CommandError, ConnectError, EndedError, ERROR_CODES, LostError, RefusedError, TickcastError, type ErrorName,
} from './error.ts';
export { owned } from './event.ts';
export type * from './event.ts';
export { Instrument } from './instrument.ts';
export type { Integer } from './integer.ts';
export type {
  ClientOptions, HiddenOptions, ReconnectOptions, TokenSource, WebSocketConstructor, WebSocketLike,
} from './options.ts';
export { isExact, Ledger, type Account } from './ledger.ts';
export type { Position } from './position.ts';
export type { Draft, QuoteDraft, TradeDraft } from './publish.ts';
export type { SubscribeOptions } from './registry.ts';
export type { Hello, Limits, Listing, Mode, TopicResult } from './reply.ts';
export { EventStream, type StreamOptions } from './stream.ts';
export { topicOf, type EventOfTopic, type Watch, type WatchOptions } from './watches.ts';
