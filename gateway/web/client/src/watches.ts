// Watches: several parts of a page that want the same topic share one subscription of it.

import { channelCode, splitTopic, type Channel } from './channel.ts';
import type { Delivery, Watcher } from './delivery.ts';
import type {
  AggTrade, Average, Bar, Depth, DepthSnapshot, Gap, MarketEvent, PartialDepth, Quote, RollingTicker, Status, Ticker, Trade,
} from './event.ts';
import { EndedError, RefusedError } from './error.ts';
import type { Tracks } from './position.ts';
import { moreOf, terms, type SubscribeOptions, type Terms } from './registry.ts';
import type { Subscriptions } from './subscriptions.ts';

/** The events of a topic, by its name. */
export type EventOfTopic<T extends string> =
  T extends `${string}.trade` ? Trade
  : T extends `${string}.agg_trade` ? AggTrade
  : T extends `${string}.quote` ? Quote
  : T extends `${string}.depth` ? Depth | DepthSnapshot
  : T extends `${string}.depth${number}` ? PartialDepth
  : T extends `${string}.ticker` ? Ticker
  : T extends `${string}.ticker_${string}` ? RollingTicker
  : T extends `${string}.average` ? Average
  : T extends `${string}.bar_${string}` ? Bar
  : T extends `${string}.status` ? Status
  : MarketEvent;

/** Terms of a watch: the most that one of those who share a topic asks for is what all get. */
export type WatchOptions = Pick<SubscribeOptions, 'mode' | 'maxRate'>;

/** An interest in topics. */
export interface Watch {
  readonly topics: readonly string[];
  /** The server has taken all topics; rejects with the first refusal that will last. Who does not ask for it is not told. */
  readonly ready: Promise<void>;
  /** Ends it; the subscription ends with the last watch of the topic. */
  close(): void;
}

interface Member extends Watcher {
  readonly terms: Terms;
  readonly waiting: Set<string>;
  readonly outcome: Outcome;
}

/** What became of a watch, for who asks. */
class Outcome {
  #isAsked = false;
  readonly #promise: Promise<void>;
  #settle!: { resolve(): void; reject(error: Error): void };

  constructor() {
    this.#promise = new Promise((resolve, reject) => { this.#settle = { resolve, reject }; });
    // Who does not ask is not told by an unhandled rejection.
    this.#promise.catch(() => {});
  }

  get promise(): Promise<void> {
    this.#isAsked = true;
    return this.#promise;
  }

  resolve(): void {
    this.#settle.resolve();
  }

  /** Says whether anybody has asked. */
  reject(error: Error): boolean {
    this.#settle.reject(error);
    return this.#isAsked;
  }
}

interface Shared {
  members: Member[];
  isAccepted: boolean;
}

/** All watches of a client. */
export class Watches {
  readonly #subscriptions: Subscriptions;
  readonly #delivery: Delivery;
  readonly #tracks: Tracks;
  readonly #shared = new Map<string, Shared>();
  /** Changed since the last flush: what was asked for together is sent together. */
  readonly #changed = new Set<string>();
  readonly #stateWanted = new Set<string>();
  #isFlushDue = false;

  constructor(subscriptions: Subscriptions, delivery: Delivery, tracks: Tracks) {
    this.#subscriptions = subscriptions;
    this.#delivery = delivery;
    this.#tracks = tracks;
  }

  /** With `needs-state` the present state is sent once more of a topic that others watch already. */
  watch(
    topics: readonly string[],
    handler: (event: MarketEvent | Gap) => void,
    options: WatchOptions,
    needsState: 'needs-state' | 'has-state' = 'needs-state',
  ): Watch {
    const distinct = [...new Set(topics)];
    const bad = distinct.find((topic) => splitTopic(topic) === undefined);
    if (bad !== undefined) throw new TypeError(`${bad}: expected SYMBOL.channel or *.channel`);
    if (typeof handler !== 'function') throw new TypeError('watch: expected a function as the handler');
    const wanted = terms(options);
    const waiting = new Set(distinct);
    const outcome = new Outcome();
    // A member for each topic: each waits for its own present state.
    const members = distinct.map((topic): [string, Member] => (
      [topic, { handler, missing: undefined, terms: wanted, waiting, outcome }]
    ));
    for (const [topic, member] of members) this.#join(topic, member, needsState);
    if (waiting.size === 0) outcome.resolve();
    let isOpen = true;
    const close = () => {
      if (!isOpen) return;
      isOpen = false;
      for (const [topic, member] of members) this.#leave(topic, member);
    };
    return { topics: distinct, get ready() { return outcome.promise; }, close };
  }

  accepted(topic: string): void {
    const shared = this.#shared.get(topic);
    if (shared === undefined) return;
    shared.isAccepted = true;
    for (const member of shared.members) {
      member.waiting.delete(topic);
      if (member.waiting.size === 0) member.outcome.resolve();
    }
  }

  /**
   * The watches stay: if somebody else joins, or terms change, it is asked for again. Says whether somebody waited for the
   * answer.
   */
  refused(topic: string, error: RefusedError | EndedError): boolean {
    const shared = this.#shared.get(topic);
    if (shared === undefined) return false;
    shared.isAccepted = false;
    return shared.members.map((member) => member.outcome.reject(error)).includes(true);
  }

  ended(error: EndedError): boolean {
    return [...this.#shared.keys()].map((topic) => this.refused(topic, error)).includes(true);
  }

  #join(topic: string, member: Member, needsState: 'needs-state' | 'has-state'): void {
    const shared = this.#shared.get(topic) ?? { members: [], isAccepted: false };
    this.#shared.set(topic, shared);
    shared.members = [...shared.members, member];
    const known = this.#subscriptions.registry.get(topic);
    if (known !== undefined && shared.isAccepted) member.waiting.delete(topic);
    if (needsState === 'needs-state') this.#wantState(topic, member);
    const more = known === undefined ? undefined : moreOf(known, member.terms);
    if (more === undefined || more.mode !== known?.mode || more.maxRate !== known.maxRate) this.#change(topic);
    this.#publish(topic, shared);
  }

  #leave(topic: string, member: Member): void {
    const shared = this.#shared.get(topic);
    if (shared === undefined) return;
    shared.members = shared.members.filter((other) => other !== member);
    this.#publish(topic, shared);
    this.#change(topic);
  }

  #publish(topic: string, { members }: Shared): void {
    const { symbol, code } = splitTopic(topic)!;
    this.#delivery.setWatchers(symbol === '*' ? undefined : this.#tracks.of(symbol), code, members);
  }

  #change(topic: string): void {
    this.#changed.add(topic);
    this.#flushSoon();
  }

  #wantState(topic: string, member: Member): void {
    const received = [...this.#tracks.covered(topic)].filter(([track, code]) => track.last[code]! >= 0);
    // What nobody has received yet will come to all.
    if (received.length === 0) return;
    member.missing = new Set(received.map(([track]) => track));
    this.#stateWanted.add(topic);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushDue = false;
    const { registry } = this.#subscriptions;
    const more: string[] = [];
    const gone: string[] = [];
    for (const topic of this.#changed) {
      const members = this.#shared.get(topic)?.members ?? [];
      const known = registry.get(topic);
      if (members.length === 0) {
        this.#shared.delete(topic);
        registry.delete(topic);
        if (known !== undefined) gone.push(topic);
        continue;
      }
      const wanted = members.map((member) => member.terms).reduce(moreOf);
      if (known?.mode === wanted.mode && known.maxRate === wanted.maxRate) continue;
      registry.set(topic, wanted);
      more.push(topic);
    }
    this.#changed.clear();
    const stateWanted = [...this.#stateWanted];
    this.#stateWanted.clear();
    this.#subscriptions.drop(gone);
    this.#subscriptions.send(more.filter((topic) => !stateWanted.includes(topic)));
    this.#subscriptions.sendState(stateWanted);
  }
}

/** The topic of a symbol's channel. */
export function topicOf<C extends Channel>(symbol: string, channel: C): `${string}.${C}` {
  if (channelCode(channel) === undefined) throw new TypeError(`${channel}: not a channel`);
  return `${symbol}.${channel}`;
}
