// The book of one instrument, built from snapshots and changes.
//
// Feed it every event and gap of the instrument's `depth`. It never guesses: a change that does not follow what it has
// makes it wait for the snapshot that the server then sends.

import type { Depth, DepthSnapshot, Level, Levels, Side, TickcastEvent } from './event.ts';
import type { Instrument } from './instrument.ts';
import type { Integer } from './integer.ts';
import { level, LevelsView } from './levels.ts';

/** `waiting`: a snapshot is to come, or its last part. `ready`: it is as the server had it at `seq`. */
export type BookState = 'waiting' | 'ready';

/** An order book. */
export class Book {
  readonly symbol: string;
  #state: BookState = 'waiting';
  #seq = 0;
  #instrument: Instrument | undefined;
  readonly #bids = new Ladder(1);
  readonly #asks = new Ladder(-1);

  constructor(symbol: string) {
    this.symbol = symbol;
  }

  get state(): BookState { return this.#state; }

  /** The number of the last change contained. */
  get seq(): number { return this.#seq; }

  /** None before the first event. */
  get instrument(): Instrument | undefined { return this.#instrument; }

  /** Takes an event, and says whether the book was changed by it and can be used. */
  apply(event: TickcastEvent): boolean {
    switch (event.type) {
      case 'snapshot':
        return event.symbol === this.symbol && this.#replace(event);
      case 'depth':
        return event.symbol === this.symbol && this.#change(event);
      case 'gap':
        if (event.symbol !== this.symbol || event.channel !== 'depth') return false;
        // What is conflated comes merged, and follows; anything else is gone.
        if (event.reason === 'conflated' && event.firstSeq === this.#seq + 1) this.#seq += event.count;
        else this.#state = 'waiting';
        return false;
      default:
        return false;
    }
  }

  /** How many levels a side has. */
  size(side: Side): number {
    return this.#side(side).length;
  }

  /** The level at an index, best first. */
  at(side: Side, index: number): Level | undefined {
    const ladder = this.#side(side);
    if (this.#instrument === undefined || !(index >= 0 && index < ladder.length)) return undefined;
    return level(this.#instrument, ladder.price(index), ladder.quantity(index));
  }

  /** The best levels of a side, best first. */
  levels(side: Side, limit = Infinity): Level[] {
    const count = Math.min(limit, this.size(side));
    return Array.from({ length: count }, (_, index) => this.at(side, index)!);
  }

  /** The best level of a side. */
  best(side: Side): Level | undefined {
    return this.at(side, 0);
  }

  /** Mantissas at an index, best first, without an object for the level: for painting many of them. */
  priceMantissa(side: Side, index: number): Integer {
    return this.#side(side).price(index);
  }

  quantityMantissa(side: Side, index: number): Integer {
    return this.#side(side).quantity(index);
  }

  #side(side: Side): Ladder {
    return side === 'bid' ? this.#bids : this.#asks;
  }

  #replace(snapshot: DepthSnapshot): boolean {
    if (snapshot.isFirst) {
      this.#clear();
      this.#state = 'waiting';
    }
    this.#set(snapshot);
    if (snapshot.isLast) this.#state = 'ready';
    return this.#state === 'ready';
  }

  #change(depth: Depth): boolean {
    if (depth.replacesBook) {
      this.#clear();
      this.#state = 'ready';
    } else if (depth.seq !== this.#seq + 1) {
      this.#state = 'waiting';
    }
    if (this.#state === 'waiting') return false;
    this.#set(depth);
    return true;
  }

  #clear(): void {
    this.#bids.clear();
    this.#asks.clear();
  }

  #set(event: Depth | DepthSnapshot): void {
    this.#instrument = event.instrument;
    this.#seq = event.seq;
    apply(this.#bids, event.bids);
    apply(this.#asks, event.asks);
  }
}

function apply(ladder: Ladder, levels: Levels): void {
  if (levels instanceof LevelsView) {
    for (let i = 0; i < levels.length; i++) ladder.set(levels.priceMantissa(i), levels.quantityMantissa(i));
  } else {
    for (const { priceMantissa, quantityMantissa } of levels) ladder.set(priceMantissa, quantityMantissa);
  }
}

/** One side. The best level is at the end of the arrays, because that is where a market changes. */
class Ladder {
  readonly #prices: Integer[] = [];
  readonly #quantities: Integer[] = [];
  /** 1: higher is better; -1: lower is. */
  readonly #better: 1 | -1;

  constructor(better: 1 | -1) {
    this.#better = better;
  }

  get length(): number { return this.#prices.length; }

  price(index: number): Integer { return this.#prices[this.#prices.length - 1 - index] ?? 0; }

  quantity(index: number): Integer { return this.#quantities[this.#quantities.length - 1 - index] ?? 0; }

  clear(): void {
    this.#prices.length = 0;
    this.#quantities.length = 0;
  }

  /** Sets the quantity at a price; 0 takes the level out. */
  set(price: Integer, quantity: Integer): void {
    const at = this.#find(price);
    const isThere = this.#prices[at] === price;
    if (quantity == 0) {
      if (!isThere) return;
      this.#prices.splice(at, 1);
      this.#quantities.splice(at, 1);
    } else if (isThere) {
      this.#quantities[at] = quantity;
    } else {
      this.#prices.splice(at, 0, price);
      this.#quantities.splice(at, 0, quantity);
    }
  }

  /** The place of the price, or where it would be. */
  #find(price: Integer): number {
    let low = 0;
    let high = this.#prices.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const there = this.#prices[middle]!;
      if (this.#better === 1 ? there < price : there > price) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
