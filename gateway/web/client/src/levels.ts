// Views of books: groups of levels, read where they lie.

import { CHANNELS, type PartialDepthChannel } from './channel.ts';
import type { Depth, DepthSnapshot, Level, Levels, PartialDepth } from './event.ts';
import type { Instrument } from './instrument.ts';
import { readInt64, type Integer } from './integer.ts';
import { MarketView } from './view.ts';

/** Bytes of a group's header. */
export const GROUP_HEADER = 4;

/** One side's levels where they lie. */
export class LevelsView implements Levels {
  #data!: DataView;
  #begin = 0;
  #stride = 0;
  #length = 0;
  #instrument!: Instrument;

  /**
   * Moves to the group whose header begins here, and returns where it ends.
   * @internal
   */
  move(data: DataView, at: number, instrument: Instrument): number {
    this.#data = data;
    this.#stride = data.getUint16(at, true);
    this.#length = data.getUint16(at + 2, true);
    this.#begin = at + GROUP_HEADER;
    this.#instrument = instrument;
    return this.#begin + this.#stride * this.#length;
  }

  get length(): number { return this.#length; }

  /** The mantissa of a level's price, without an object for the level. */
  priceMantissa(index: number): Integer { return readInt64(this.#data, this.#begin + index * this.#stride); }

  /** The mantissa of a level's quantity. */
  quantityMantissa(index: number): Integer { return readInt64(this.#data, this.#begin + index * this.#stride + 8); }

  at(index: number): Level | undefined {
    const i = index < 0 ? index + this.#length : index;
    if (!(i >= 0 && i < this.#length)) return undefined;
    return level(this.#instrument, this.priceMantissa(i), this.quantityMantissa(i));
  }

  *[Symbol.iterator](): Iterator<Level> {
    for (let i = 0; i < this.#length; i++) {
      yield level(this.#instrument, this.priceMantissa(i), this.quantityMantissa(i));
    }
  }

  toArray(): Level[] { return Array.from(this); }
}

/** A level of this instrument. */
export function level(instrument: Instrument, priceMantissa: Integer, quantityMantissa: Integer): Level {
  return {
    price: instrument.priceText(priceMantissa),
    priceMantissa,
    quantity: instrument.quantityText(quantityMantissa),
    quantityMantissa,
  };
}

abstract class BookView extends MarketView {
  readonly bids = new LevelsView();
  readonly asks = new LevelsView();

  /** @internal */
  override move(data: DataView, at: number, instrument: Instrument, code: number): this {
    const bids = at + 8 + data.getUint16(at, true);
    this.asks.move(data, this.bids.move(data, bids, instrument), instrument);
    return super.move(data, at, instrument, code);
  }

  /** @internal */
  copyBook<T>(keys: readonly string[]): T {
    return { ...this.copy<T>(keys), bids: this.bids.toArray(), asks: this.asks.toArray() };
  }
}

/** Changes of a book where they lie. */
export class DepthView extends BookView implements Depth {
  get type() { return 'depth' as const; }
  get channel() { return 'depth' as const; }
  get firstUpdateId(): bigint { return this.uint64(32); }
  get lastUpdateId(): bigint { return this.uint64(40); }
  get isMerged(): boolean { return (this.data.getUint8(this.at + 48) & 1) !== 0; }
  get replacesBook(): boolean { return (this.data.getUint8(this.at + 48) & 2) !== 0; }

  toObject(): Depth { return this.copyBook(['firstUpdateId', 'lastUpdateId', 'isMerged', 'replacesBook']); }
}

/** A part of a book where it lies. */
export class DepthSnapshotView extends BookView implements DepthSnapshot {
  get type() { return 'snapshot' as const; }
  get channel() { return 'depth' as const; }
  get updateId(): bigint { return this.uint64(32); }
  get isFirst(): boolean { return (this.data.getUint8(this.at + 40) & 1) !== 0; }
  get isLast(): boolean { return (this.data.getUint8(this.at + 40) & 2) !== 0; }

  toObject(): DepthSnapshot { return this.copyBook(['updateId', 'isFirst', 'isLast']); }
}

/** The best levels of a book where they lie. */
export class PartialDepthView extends BookView implements PartialDepth {
  get type() { return 'partialDepth' as const; }
  get channel() { return CHANNELS[this.code] as PartialDepthChannel; }
  get updateId(): bigint { return this.uint64(32); }

  toObject(): PartialDepth { return this.copyBook(['updateId']); }
}
