/** One instrument's book, built from a snapshot and the changes after it (docs/protocol, "Building a book"). */
import type { Depth, DepthSnapshot, Instrument, Integer, Levels } from "@tickcast/client";
import { compare, difference, sum } from "./exact.ts";
import type { Book, Level, Move } from "./protocol.ts";

/** Levels of a side that go to the page as text. */
const LEVELS = 50;
/** Levels of a side that go to the page to scale. */
const CURVE = 1500;

/** One side, best first. */
class BookSide {
  readonly prices: Integer[] = [];
  readonly sizes: Integer[] = [];

  /** 1: higher prices are worse (asks). */
  constructor(private readonly sign: 1 | -1) {}

  clear(): void {
    this.prices.length = 0;
    this.sizes.length = 0;
  }

  set(price: Integer, size: Integer): void {
    let [low, high] = [0, this.prices.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compare(this.prices[middle] as Integer, price) * this.sign < 0) low = middle + 1;
      else high = middle;
    }
    const isThere = low < this.prices.length && this.prices[low] == price;
    if (size == 0) {
      if (!isThere) return;
      this.prices.splice(low, 1);
      this.sizes.splice(low, 1);
    } else if (isThere) {
      this.sizes[low] = size;
    } else {
      this.prices.splice(low, 0, price);
      this.sizes.splice(low, 0, size);
    }
  }

  apply(levels: Levels): void {
    for (const { priceMantissa, quantityMantissa } of levels) this.set(priceMantissa, quantityMantissa);
  }

  levels(instrument: Instrument): Level[] {
    let total: Integer = 0;
    return this.prices.slice(0, LEVELS).map((price, at) => {
      const size = this.sizes[at] ?? 0;
      total = sum(total, size);
      return {
        price: instrument.priceText(price), size: instrument.quantityText(size), sum: instrument.quantityText(total),
        at: Number(price), depth: Number(total),
      };
    });
  }

  curve(): Float64Array {
    const count = Math.min(this.prices.length, CURVE);
    const curve = new Float64Array(count * 2);
    let total = 0;
    for (let i = 0; i < count; i += 1) {
      total += Number(this.sizes[i]);
      curve[2 * i] = Number(this.prices[i]);
      curve[2 * i + 1] = total;
    }
    return curve;
  }
}

export class OrderBook {
  private readonly bids = new BookSide(-1);
  private readonly asks = new BookSide(1);
  private instrument: Instrument | null = null;
  private seq = 0;
  private isWhole = false;
  private isChanged = false;
  private shownMiddle: Integer = 0;

  /** Another instrument, or the same from its beginning. */
  clear(): void {
    this.bids.clear();
    this.asks.clear();
    this.isWhole = false;
    this.isChanged = false;
    this.shownMiddle = 0;
  }

  snapshot(event: DepthSnapshot): void {
    if (event.isFirst) this.clear();
    this.take(event);
    this.isWhole ||= event.isLast;
  }

  change(event: Depth): void {
    if (event.replacesBook) this.clear();
    else if (!this.isWhole) return;
    this.take(event);
    this.isWhole = true;
  }

  /** The book, if it has changed since it was asked for last. */
  changed(last: Integer | null): Book | null {
    if (!this.isChanged || !this.isWhole || !this.instrument) return null;
    this.isChanged = false;
    const { instrument } = this;
    const [bid, ask] = [this.bids.prices[0], this.asks.prices[0]];
    const middle = last ?? bid ?? ask ?? 0;
    const middleMove: Move = this.shownMiddle === 0 ? 0 : compare(middle, this.shownMiddle);
    this.shownMiddle = middle;
    return {
      symbol: instrument.symbol,
      seq: String(this.seq),
      bids: this.bids.levels(instrument),
      asks: this.asks.levels(instrument),
      spread: bid === undefined || ask === undefined ? "–" : instrument.priceText(difference(ask, bid)),
      middle: instrument.priceText(middle),
      middleMove,
      bidCurve: this.bids.curve(),
      askCurve: this.asks.curve(),
      levels: this.bids.prices.length + this.asks.prices.length,
    };
  }

  private take(event: Depth | DepthSnapshot): void {
    this.instrument = event.instrument;
    this.seq = event.seq;
    this.bids.apply(event.bids);
    this.asks.apply(event.asks);
    this.isChanged = true;
  }
}
