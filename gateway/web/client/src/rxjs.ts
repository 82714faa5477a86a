// RxJS: topics as observables.
//
// Each is cold and backed by a watch, so that all subscribers of a topic share one subscription at the gateway, which ends
// with the last of them. Events are owned. Import from `@tickcast/client/rxjs`; RxJS is a peer dependency of this entry only.

import { filter, Observable, type Subscriber } from 'rxjs';

import type { Book } from './book.ts';
import type { BarChannel, PartialDepthChannel } from './channel.ts';
import type { Client } from './client.ts';
import type { ClientState } from './driver.ts';
import {
  owned, type AggTrade, type Bar, type EventOf, type EventType, type Gap, type PartialDepth, type Quote, type Status, type Ticker,
  type Trade,
} from './event.ts';
import type { EventOfTopic, Watch, WatchOptions } from './watches.ts';

/** The observables of a client. */
export interface Streams {
  /** Events and gaps of topics. It errors if the gateway refuses a topic for good, and when the client ends. */
  topics$<const T extends string>(topics: T | readonly T[], options?: WatchOptions): Observable<EventOfTopic<T> | Gap>;
  quotes$(symbol: string, options?: WatchOptions): Observable<Quote>;
  trades$(symbol: string, options?: WatchOptions): Observable<Trade>;
  aggTrades$(symbol: string, options?: WatchOptions): Observable<AggTrade>;
  tickers$(symbol: string, options?: WatchOptions): Observable<Ticker>;
  bars$(symbol: string, channel: BarChannel, options?: WatchOptions): Observable<Bar>;
  partialDepth$(symbol: string, channel: PartialDepthChannel, options?: WatchOptions): Observable<PartialDepth>;
  status$(symbol: string, options?: WatchOptions): Observable<Status>;
  /** The kept book, each time that it has changed or its state has: the same object, lent. */
  books$(symbol: string, options?: WatchOptions): Observable<Book>;
  /** Gaps of topics; by themselves they subscribe to nothing. All if no topics are given. */
  gaps$(topics?: readonly string[]): Observable<Gap>;
  /** Events of any type, of what is subscribed anyway. */
  events$<T extends EventType>(type: T): Observable<EventOf<T>>;
  /** The client's state, and each change of it. */
  state$(): Observable<ClientState>;
}

/** The observables of a client. */
export function streams(client: Client): Streams {
  /** Ends a subscriber with what it watches; returns what ends the watch. */
  const follow = (subscriber: Subscriber<never>, watch: Watch) => {
    const refused = client.on('refused', ({ topic, reason }) => {
      if (watch.topics.includes(topic)) subscriber.error(reason);
    });
    const ended = client.on('ended', ({ reason }) => {
      if (reason.kind === 'closed') subscriber.complete();
      else subscriber.error(reason);
    });
    return () => {
      refused();
      ended();
      watch.close();
    };
  };
  const topics$ = <const T extends string>(topics: T | readonly T[], options: WatchOptions = {}) => (
    new Observable<EventOfTopic<T> | Gap>((subscriber) => (
      follow(subscriber, client.watch(topics, (event) => subscriber.next(owned(event)), options))
    ))
  );
  const values$ = <E>(topic: string, options: WatchOptions | undefined): Observable<E> => (
    topics$<string>(topic, options).pipe(filter((event) => event.type !== 'gap')) as Observable<unknown> as Observable<E>
  );
  const events$ = <T extends EventType>(type: T) => new Observable<EventOf<T>>((subscriber) => {
    const off = client.on(type, (event) => subscriber.next(owned(event)));
    // After the last one, if that is what is asked for.
    const ended = client.on('ended', () => subscriber.complete());
    return () => {
      off();
      ended();
    };
  });
  return {
    topics$,
    quotes$: (symbol, options) => values$(`${symbol}.quote`, options),
    trades$: (symbol, options) => values$(`${symbol}.trade`, options),
    aggTrades$: (symbol, options) => values$(`${symbol}.agg_trade`, options),
    tickers$: (symbol, options) => values$(`${symbol}.ticker`, options),
    bars$: (symbol, channel, options) => values$(`${symbol}.${channel}`, options),
    partialDepth$: (symbol, channel, options) => values$(`${symbol}.${channel}`, options),
    status$: (symbol, options) => values$(`${symbol}.status`, options),
    books$: (symbol, options) => new Observable((subscriber) => (
      follow(subscriber, client.watchBook(symbol, (book) => subscriber.next(book), options))
    )),
    gaps$: (topics) => {
      const wanted = topics === undefined ? undefined : new Set(topics);
      return events$('gap').pipe(filter((gap) => wanted === undefined || wanted.has(gap.topic)));
    },
    events$,
    state$: () => new Observable((subscriber) => {
      subscriber.next(client.state);
      const changes = (['connected', 'disconnected', 'attemptFailed', 'ended'] as const).map((type) => (
        client.on(type, () => {
          subscriber.next(client.state);
          if (type === 'ended') subscriber.complete();
        })
      ));
      return () => changes.forEach((off) => off());
    }),
  };
}
