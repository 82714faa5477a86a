// Streams: the events of topics, to be read with `for await`.
//
// A WebSocket cannot be told to wait, so events wait here, up to a bound. A reader who falls further behind loses the
// oldest, and gets a gap of the reason `overflow` in their place: never silence.

import { owned, type Gap, type MarketEvent } from './event.ts';

/** How a stream is read. */
export interface StreamOptions {
  /** How many events may wait. 65,536 if not given. */
  readonly queue?: number;
}

type Item = MarketEvent | Gap;

interface Waiting {
  resolve(result: IteratorResult<never, undefined>): void;
  reject(error: Error): void;
}

/** Events as they come, owned. Ends when the loop is left, or throws why there will be no more. */
export class EventStream<E extends Item = Item> implements AsyncIterableIterator<E> {
  #queue: Item[] = [];
  #begin = 0;
  readonly #limit: number;
  /** What was dropped and is to be said, by topic. */
  readonly #dropped = new Map<string, Gap>();
  #waiting: Waiting[] = [];
  #end: { readonly error: Error | undefined } | undefined;
  readonly #release: () => void;

  constructor(options: StreamOptions, release: () => void) {
    this.#limit = Math.max(1, options.queue ?? 65_536);
    this.#release = release;
  }

  [Symbol.asyncIterator](): this { return this; }

  next(): Promise<IteratorResult<E, undefined>> {
    const item = this.#take();
    if (item !== undefined) return Promise.resolve({ done: false, value: item as E });
    if (this.#end?.error !== undefined) return Promise.reject(this.#end.error);
    if (this.#end !== undefined) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve: resolve as Waiting['resolve'], reject });
    });
  }

  /** Ends it: what waits is not wanted any more. */
  return(): Promise<IteratorResult<E, undefined>> {
    this.#queue = [];
    this.#begin = 0;
    this.#dropped.clear();
    this.end(undefined);
    return Promise.resolve({ done: true, value: undefined });
  }

  /**
   * Takes an event or a gap.
   * @internal
   */
  push(event: Item): void {
    if (this.#end !== undefined) return;
    const item = owned(event);
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) return waiting.resolve({ done: false, value: item as never });
    if (this.#queue.length - this.#begin >= this.#limit) this.#drop(this.#shift()!);
    this.#queue.push(item);
  }

  /**
   * There is nothing more to come.
   * @internal
   */
  end(error: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#release();
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (error === undefined) resolve({ done: true, value: undefined });
      else reject(error);
    }
  }

  #take(): Item | undefined {
    const [gap] = this.#dropped.values();
    if (gap === undefined) return this.#shift();
    this.#dropped.delete(gap.topic);
    return gap;
  }

  #shift(): Item | undefined {
    if (this.#begin >= this.#queue.length) return undefined;
    const item = this.#queue[this.#begin]!;
    this.#begin += 1;
    // Moving the rest is worth it only now and then.
    if (this.#begin > 1_024 && this.#begin * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#begin);
      this.#begin = 0;
    }
    return item;
  }

  #drop(item: Item): void {
    const { topic, symbol, channel, instrument } = item;
    const [firstSeq, count] = item.type === 'gap' ? [item.firstSeq, item.count] : [item.seq, 1];
    const before = this.#dropped.get(topic);
    const isReset = item.type === 'gap' && item.count === 0;
    // Numbers of two epochs do not add up: what was dropped of the old one is part of what is not known.
    if (isReset || before?.reason === 'reset') {
      this.#dropped.set(topic, { type: 'gap', topic, symbol, channel, instrument, reason: 'reset', firstSeq: 1, count: 0 });
      return;
    }
    const first = Math.min(before?.firstSeq ?? firstSeq, firstSeq);
    const end = Math.max(before === undefined ? 0 : before.firstSeq + before.count, firstSeq + count);
    this.#dropped.set(topic, {
      type: 'gap', topic, symbol, channel, instrument, reason: 'overflow', firstSeq: first, count: end - first,
    });
  }
}
